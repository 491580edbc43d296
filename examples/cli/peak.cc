#include "peak.h"

#include <chrono>
#include <numeric>

#include "threads.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <sys/auxv.h>
#endif

namespace cli {
namespace {

constexpr uint64_t kStepsPerLook = 1 << 14;  // at the clock
constexpr std::chrono::milliseconds kRound(20);

// Sums that do not wait for each other: more than latency times throughput of any of these.
constexpr int kSums = 12;

// Makes the compiler believe that a register is read and changed, so that it neither computes once
// for all steps nor leaves out what nobody reads.
#if defined(__x86_64__)
#define JUNTO_OPAQUE(x) __asm__ volatile("" : "+v"(x))
#elif defined(__aarch64__)
#define JUNTO_OPAQUE(x) __asm__ volatile("" : "+w"(x))
#else
#define JUNTO_OPAQUE(x) __asm__ volatile("" : "+r"(x))
#endif

// Body of every run: STEP(sum, a, b) on each of the sums in turn.
#define JUNTO_RUN(TYPE, OPERAND, STEP)                         \
  TYPE sums[kSums] = {};                                       \
  OPERAND a = {}, b = {};                                      \
  for (uint64_t s = 0; s < steps; s += kSums) {                \
    _Pragma("GCC unroll 12") for (int i = 0; i < kSums; ++i) { \
      JUNTO_OPAQUE(a);                                         \
      JUNTO_OPAQUE(b);                                         \
      sums[i] = STEP(sums[i], a, b);                           \
    }                                                          \
  }                                                            \
  _Pragma("GCC unroll 12") for (int i = 0; i < kSums; ++i) JUNTO_OPAQUE(sums[i]);

#if defined(__x86_64__)

#define JUNTO_STEP(sum, a, b) _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b))
__attribute__((target("avx2"))) void RunMaddubs(uint64_t steps) {
  JUNTO_RUN(__m256i, __m256i, JUNTO_STEP)
}
#undef JUNTO_STEP
#define JUNTO_STEP(sum, a, b) _mm256_fmadd_ps(a, b, sum)
__attribute__((target("avx2,fma"))) void RunFma(uint64_t steps) {
  JUNTO_RUN(__m256, __m256, JUNTO_STEP)
}
#undef JUNTO_STEP
#define JUNTO_STEP(sum, a, b) _mm512_dpbusd_epi32(sum, a, b)
__attribute__((target("avx512f,avx512vnni"))) void RunDpbusd(uint64_t steps) {
  JUNTO_RUN(__m512i, __m512i, JUNTO_STEP)
}
#undef JUNTO_STEP
#define JUNTO_STEP(sum, a, b) _mm_add_epi16(sum, _mm_madd_epi16(a, b))
void RunMadd(uint64_t steps) { JUNTO_RUN(__m128i, __m128i, JUNTO_STEP) }
#undef JUNTO_STEP
#define JUNTO_STEP(sum, a, b) _mm_add_ps(sum, _mm_mul_ps(a, b))
void RunMulAdd(uint64_t steps) { JUNTO_RUN(__m128, __m128, JUNTO_STEP) }
#undef JUNTO_STEP

bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

MultiplyAdd FindIntegers() {
  if (HasAvx2()) return {"256-bit vpmaddubsw + vpaddw", 32, RunMaddubs};
  return {"128-bit pmaddwd + paddw", 8, RunMadd};
}
MultiplyAdd FindDotProducts() {
  const bool vnni = __builtin_cpu_supports("avx512vnni");
  return {"512-bit vpdpbusd", 64, vnni ? RunDpbusd : nullptr};
}
MultiplyAdd FindFloats() {
  if (HasAvx2()) return {"256-bit vfmadd", 8, RunFma};
  return {"128-bit mulps + addps", 4, RunMulAdd};
}

#elif defined(__aarch64__)

#define JUNTO_STEP(sum, a, b) vpadalq_s16(sum, vmull_s8(a, b))
void RunMull(uint64_t steps) { JUNTO_RUN(int32x4_t, int8x8_t, JUNTO_STEP) }
#undef JUNTO_STEP
#define JUNTO_STEP(sum, a, b) vdotq_s32(sum, a, b)
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
void RunDot(uint64_t steps) { JUNTO_RUN(int32x4_t, int8x16_t, JUNTO_STEP) }
#pragma GCC pop_options
#undef JUNTO_STEP
#define JUNTO_STEP(sum, a, b) vfmaq_f32(sum, a, b)
void RunFma(uint64_t steps) { JUNTO_RUN(float32x4_t, float32x4_t, JUNTO_STEP) }
#undef JUNTO_STEP

constexpr unsigned long kHasDot = 1ul << 20;  // HWCAP_ASIMDDP

MultiplyAdd FindIntegers() { return {"128-bit smull + sadalp", 8, RunMull}; }
MultiplyAdd FindDotProducts() {
  return {"128-bit sdot", 16, (getauxval(AT_HWCAP) & kHasDot) != 0 ? RunDot : nullptr};
}
MultiplyAdd FindFloats() { return {"128-bit fmla", 4, RunFma}; }

#else

#define JUNTO_STEP(sum, a, b) (sum + a * b)
void RunScalar(uint64_t steps){JUNTO_RUN(uint32_t, uint32_t, JUNTO_STEP)}
#undef JUNTO_STEP

MultiplyAdd FindIntegers() {
  return {"scalar multiply and add", 1, RunScalar};
}
MultiplyAdd FindDotProducts() { return {"no dot product", 0, nullptr}; }
MultiplyAdd FindFloats() { return {"scalar multiply and add", 1, RunScalar}; }

#endif

}  // namespace

const MultiplyAdd& Integers() {
  static const MultiplyAdd found = FindIntegers();
  return found;
}
const MultiplyAdd& DotProducts() {
  static const MultiplyAdd found = FindDotProducts();
  return found;
}
const MultiplyAdd& Floats() {
  static const MultiplyAdd found = FindFloats();
  return found;
}

std::vector<double> Rates(const MultiplyAdd& what, unsigned threads, unsigned rounds) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> rates;
  for (unsigned round = 0; round < rounds; ++round) {
    std::vector<double> rate(threads);
    OnThreads(threads, [&](unsigned t) {
      uint64_t steps = 0;
      const Clock::time_point start = Clock::now();
      Clock::time_point now = start;
      for (; now < start + kRound; now = Clock::now(), steps += kStepsPerLook) {
        what.run(kStepsPerLook);
      }
      rate[t] = static_cast<double>(steps) * what.count /
                std::chrono::duration<double>(now - start).count();
    });
    rates.push_back(std::accumulate(rate.begin(), rate.end(), 0.0));
  }
  return rates;
}

}  // namespace cli
