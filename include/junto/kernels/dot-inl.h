// Exact dot products of 8-bit integers, four columns per 32-bit lane: the few instructions Highway
// lacks stand here and nowhere else. Every form gives the same integers.
#include "junto/kernels/targets.h"
#if defined(JUNTO_KERNELS_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_DOT_INL_H_
#undef JUNTO_KERNELS_DOT_INL_H_
#else
#define JUNTO_KERNELS_DOT_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "junto/quant/panel.h"

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int kActivationMax = 127;

#if HWY_TARGET != HWY_SCALAR

// A vector lane is an output row: half a panel, a panel, or two panels to a vector.
using PanelF32 = hn::CappedTag<float, 2 * kPanelRows>;
using PanelI32 = hn::RebindToSigned<PanelF32>;
using PanelI16 = hn::Repartition<int16_t, PanelF32>;
using PanelU16 = hn::Repartition<uint16_t, PanelF32>;
using PanelU8 = hn::Repartition<uint8_t, PanelF32>;
using PanelI8 = hn::Repartition<int8_t, PanelF32>;
using VecF32 = hn::Vec<PanelF32>;
using VecI32 = hn::Vec<PanelI32>;
using VecI16 = hn::Vec<PanelI16>;
using VecU8 = hn::Vec<PanelU8>;
using VecI8 = hn::Vec<PanelI8>;
constexpr uint32_t kVectorRows = hn::MaxLanes(PanelF32());
constexpr uint32_t kVectorPanels = HWY_MAX(kVectorRows / kPanelRows, 1);

// Weights as kernels multiply them: unsigned codes up to kMax, or signed bytes.
constexpr int kSignedCodes = -1;
// How many sums of two products fit one int16.
constexpr int PairHeadroom(int max) {
  return 32767 / (2 * (max == kSignedCodes ? 128 : max) * kActivationMax);
}
static_assert(PairHeadroom(31) >= 4, "up to 5 bits: all pairs of a group");
static_assert(PairHeadroom(63) >= 2, "6 bits");
static_assert(PairHeadroom(kSignedCodes) >= 1, "8 bits");

// Sums of two adjacent products w * a; the caller has proven that they fit 16 bits.
HWY_INLINE VecI16 MulPairs(VecU8 w, VecI8 a) {
#if HWY_TARGET <= HWY_AVX3
  return VecI16{_mm512_maddubs_epi16(w.raw, a.raw)};
#elif HWY_TARGET <= HWY_AVX2
  return VecI16{_mm256_maddubs_epi16(w.raw, a.raw)};
#elif HWY_TARGET == HWY_SSE4
  return VecI16{_mm_maddubs_epi16(w.raw, a.raw)};
#else
  const PanelI16 d16;
  const auto w16 = hn::BitCast(PanelU16(), w);
  const auto w_even = hn::BitCast(d16, hn::And(w16, hn::Set(PanelU16(), 255)));
  const auto w_odd = hn::BitCast(d16, hn::ShiftRight<8>(w16));
  const auto a16 = hn::BitCast(d16, a);
  const auto a_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(a16));
  const auto a_odd = hn::ShiftRight<8>(a16);
  return hn::Add(hn::Mul(w_even, a_even), hn::Mul(w_odd, a_odd));
#endif
}

// sum + the 16-bit halves of each 32-bit lane of v, each times that of `factors`.
HWY_INLINE VecI32 AddScaledHalves(VecI32 sum, VecI16 v, VecI16 factors) {
#if HWY_TARGET <= HWY_AVX3_DL && HWY_COMPILER_GCC
  // Highway 1.0.3 does not enable AVX512_VNNI for this target, so the intrinsic would not inline.
  __asm__("vpdpwssd %2, %1, %0" : "+v"(sum.raw) : "v"(v.raw), "v"(factors.raw));
  return sum;
#elif HWY_TARGET <= HWY_AVX3
  return hn::Add(sum, VecI32{_mm512_madd_epi16(v.raw, factors.raw)});
#elif HWY_TARGET <= HWY_AVX2
  return hn::Add(sum, VecI32{_mm256_madd_epi16(v.raw, factors.raw)});
#elif HWY_TARGET == HWY_SSE4
  return hn::Add(sum, VecI32{_mm_madd_epi16(v.raw, factors.raw)});
#else
  const PanelI32 d32;
  const auto halves = [&](VecI16 x, VecI32* low, VecI32* high) {
    *low = hn::ShiftRight<16>(hn::ShiftLeft<16>(hn::BitCast(d32, x)));
    *high = hn::ShiftRight<16>(hn::BitCast(d32, x));
  };
  VecI32 v_low, v_high, f_low, f_high;
  halves(v, &v_low, &v_high);
  halves(factors, &f_low, &f_high);
  return hn::Add(sum, hn::Add(hn::Mul(v_low, f_low), hn::Mul(v_high, f_high)));
#endif
}

// `a` with the signs of `w`; anything where w is 0.
HWY_INLINE VecI8 CopySigns(VecI8 a, VecI8 w) {
#if HWY_TARGET <= HWY_AVX3
  return VecI8{
      _mm512_mask_sub_epi8(a.raw, _mm512_movepi8_mask(w.raw), _mm512_setzero_si512(), a.raw)};
#elif HWY_TARGET <= HWY_AVX2
  return VecI8{_mm256_sign_epi8(a.raw, w.raw)};
#elif HWY_TARGET == HWY_SSE4
  return VecI8{_mm_sign_epi8(a.raw, w.raw)};
#else
  return hn::IfNegativeThenElse(w, hn::Neg(a), a);
#endif
}

// Four bytes, broadcast to every row.
HWY_INLINE VecI32 BroadcastWord(const void* p) {
  int32_t word;
  std::memcpy(&word, p, sizeof(word));
  return hn::Set(PanelI32(), word);
}

// Sums of pairs of products of four columns.
template <int kMax>
HWY_INLINE VecI16 MulCodes(VecU8 w, VecI8 a) {
  if constexpr (kMax == kSignedCodes) {
    const VecI8 weights = hn::BitCast(PanelI8(), w);
    return MulPairs(hn::BitCast(PanelU8(), hn::Abs(weights)), CopySigns(a, weights));
  } else {
    return MulPairs(w, a);
  }
}

// sum + the dot products of 16 columns: w[i] holds columns 4 i .. 4 i + 3 of every row, `part` says
// which 16 of the activations.
template <int kMax>
HWY_INLINE VecI32 Dot16(const VecU8* HWY_RESTRICT w, const ActivationBlock& x, int part,
                        VecI32 sum) {
  constexpr int kTogether = HWY_MIN(PairHeadroom(kMax), 4);  // products summed in 16 bits
  static_assert(4 % kTogether == 0, "columns are taken in equal steps");
  const VecI16 factors = hn::BitCast(PanelI16(), BroadcastWord(x.sub_scale + 2 * part));
  for (int i = 0; i < 4; i += kTogether) {
    VecI16 pairs = hn::Zero(PanelI16());
    for (int j = i; j < i + kTogether; ++j) {
      const VecI8 a = hn::BitCast(PanelI8(), BroadcastWord(x.q + 16 * part + 4 * j));
      const VecI16 products = MulCodes<kMax>(w[j], a);
      pairs = j == i ? products : hn::Add(pairs, products);
    }
    sum = AddScaledHalves(sum, pairs, factors);
  }
  return sum;
}

#endif  // HWY_TARGET != HWY_SCALAR

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_DOT_INL_H_
