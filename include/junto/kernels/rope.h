// Rotary position embedding: frequencies of pairs, and their angles at a position.
//
// Everything is computed in double by the few lines below instead of the C library, whose last bit
// differs between machines; the results are rounded to float once.
#ifndef JUNTO_KERNELS_ROPE_H_
#define JUNTO_KERNELS_ROPE_H_

#include <cmath>
#include <cstdint>

#include "junto/base/math.h"
#include "junto/base/status.h"
#include "junto/kernels/kernels.h"

namespace junto {

// How frequencies are stretched beyond the context that a model was first trained on.
enum class RopeScaling : uint8_t {
  kNone,
  kLinear,  // all frequencies / factor
  kYarn,    // long waves / factor, short ones kept, a ramp between (arXiv 2309.00071)
  kLlama3,  // the same idea with the ramp over the wave's length
};

struct RopeSpec {
  double base = 10000.0;
  uint32_t dims = 0;  // rotated elements of a head, twice the number of pairs
  RopePairing pairing = RopePairing::kHalves;

  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  uint32_t original_context = 0;  // kYarn, kLlama3
  double beta_fast = 32.0;        // kYarn: turns within the original context above which a
  double beta_slow = 1.0;         // frequency is kept, and below which it is divided
  bool truncate = true;           // kYarn: the ramp begins and ends at whole pairs
  double attention_factor = 0.0;  // multiplies cos and sin; 0: kYarn 0.1 ln(factor) + 1, others 1
  double low_freq_factor = 1.0;   // kLlama3, as turns within the original context
  double high_freq_factor = 4.0;  // kLlama3

  const float* factors = nullptr;  // [dims / 2] divisors of the frequencies before any scaling

  // M-RoPE: pairs that turn with time, height, width, and none; all 0: every pair turns with time.
  uint32_t sections[4] = {0, 0, 0, 0};
  bool interleaved_sections = false;  // pairs take turns t, h, w, t, h, w, ... instead of runs
};

// A token's place. Text has the same number on all axes.
struct RopePosition {
  RopePosition(uint64_t p) : time(p), height(p), width(p) {}  // NOLINT: a number is a position
  RopePosition(uint64_t t, uint64_t h, uint64_t w) : time(t), height(h), width(w) {}
  uint64_t time;
  uint64_t height;
  uint64_t width;
};

namespace rope_internal {

struct SineCosine {
  double sine;
  double cosine;
};

// Within 2e-16 for 0 <= x < 2^31, nothing worse than meaningless beyond: by the quarter turn, then
// the Taylor series on |r| <= pi/4.
inline SineCosine SinCos(double x) {
  constexpr double kQuarter[3] = {1.5707963267948966, 6.123233995736766e-17,
                                  -1.4973849048591833e-33};
  const double n = std::floor(x * 0.63661977236758134 + 0.5);
  double r = std::fma(-n, kQuarter[0], x);
  r = std::fma(-n, kQuarter[1], r);
  r = std::fma(-n, kQuarter[2], r);

  const double square = r * r;
  double odd = 0.0;
  double even = 0.0;
  for (int i = 8; i >= 1; --i) {
    const double sign = i % 2 == 0 ? 1.0 : -1.0;
    odd = std::fma(odd, square, sign * InverseFactorial(2 * i + 1));
    even = std::fma(even, square, sign * InverseFactorial(2 * i));
  }
  const double sine = std::fma(odd * square, r, r);
  const double cosine = std::fma(even, square, 1.0);
  switch (static_cast<int>(n - 4.0 * std::floor(n * 0.25))) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

constexpr double kTwoPi = 6.2831853071795865;

inline double Clamp01(double x) { return x < 0.0 ? 0.0 : x > 1.0 ? 1.0 : x; }

// The (fractional) pair that turns `turns` times within the original context.
inline double YarnPair(const RopeSpec& spec, double turns) {
  return spec.dims * ExactLog(spec.original_context / (turns * kTwoPi)) /
         (2.0 * ExactLog(spec.base));
}

// How much of a pair's frequency is divided by the factor: the ramp between the two betas.
inline double YarnShare(const RopeSpec& spec, uint32_t pair) {
  double low = YarnPair(spec, spec.beta_fast);
  double high = YarnPair(spec, spec.beta_slow);
  if (spec.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  if (low < 0.0) low = 0.0;
  if (high > spec.dims - 1.0) high = spec.dims - 1.0;
  if (high <= low) high = low + 0.001;
  return Clamp01((pair - low) / (high - low));
}

// The same by how often the pair turns within the original context.
inline double Llama3Share(const RopeSpec& spec, double frequency) {
  const double turns = spec.original_context * frequency / kTwoPi;
  const double range = spec.high_freq_factor - spec.low_freq_factor;
  return Clamp01((spec.high_freq_factor - turns) / range);
}

inline double DividedShare(const RopeSpec& spec, uint32_t pair, double frequency) {
  switch (spec.scaling) {
    case RopeScaling::kNone:
      return 0.0;
    case RopeScaling::kLinear:
      return 1.0;
    case RopeScaling::kYarn:
      return YarnShare(spec, pair);
    case RopeScaling::kLlama3:
      return Llama3Share(spec, frequency);
  }
  return 0.0;
}

// Far enough from both ends that no product of a few such numbers leaves the range of double.
inline bool Positive(double x) { return x >= 1e-30 && x <= 1e38; }

inline Status CheckScaling(const RopeSpec& spec) {
  if (!Positive(spec.factor)) {
    return Status::Make(Code::kFormat, "rope scaling factor %g: a positive number expected",
                        spec.factor);
  }
  if (spec.scaling == RopeScaling::kNone || spec.scaling == RopeScaling::kLinear) return Status();
  if (spec.original_context == 0) {
    return Status::Make(Code::kFormat, "rope original context 0: at least 1 expected");
  }
  if (spec.scaling == RopeScaling::kYarn) {
    if (!Positive(spec.beta_slow) || !Positive(spec.beta_fast) || spec.beta_fast < spec.beta_slow) {
      return Status::Make(Code::kFormat,
                          "rope yarn betas: 0 < slow <= fast expected, %g and %g found",
                          spec.beta_slow, spec.beta_fast);
    }
  } else if (!Positive(spec.low_freq_factor) || !Positive(spec.high_freq_factor) ||
             spec.high_freq_factor <= spec.low_freq_factor) {
    return Status::Make(Code::kFormat,
                        "rope frequency factors: 0 < low < high expected, %g and %g found",
                        spec.low_freq_factor, spec.high_freq_factor);
  }
  return Status();
}

inline Status CheckSections(const RopeSpec& spec) {
  const uint32_t* const s = spec.sections;
  const uint64_t pairs = uint64_t{s[0]} + s[1] + s[2] + s[3];
  if (pairs != 0 && pairs != spec.dims / 2) {
    return Status::Make(Code::kFormat, "rope sections %u, %u, %u, %u: a sum of %u expected", s[0],
                        s[1], s[2], s[3], spec.dims / 2);
  }
  return Status();
}

// Which position turns a pair.
inline uint64_t PositionOf(const RopeSpec& spec, uint32_t pair, const RopePosition& position) {
  const uint32_t* const s = spec.sections;
  if (spec.interleaved_sections) {
    if (pair % 3 == 1 && pair / 3 < s[1]) return position.height;
    if (pair % 3 == 2 && pair / 3 < s[2]) return position.width;
    return position.time;
  }
  if (pair < s[0] || s[0] + s[1] + s[2] == 0) return position.time;
  if (pair < s[0] + s[1]) return position.height;
  return pair < s[0] + s[1] + s[2] ? position.width : 0;
}

}  // namespace rope_internal

// E_FORMAT with the field and its value when a number is out of its range. The other functions
// require a spec that passed.
inline Status CheckRope(const RopeSpec& spec) {
  if (spec.dims == 0 || spec.dims % 2 != 0) {
    return Status::Make(Code::kFormat, "rope dims %u: a positive even number expected", spec.dims);
  }
  if (!(spec.base > 1.0 && spec.base <= 1e30)) {
    return Status::Make(Code::kFormat, "rope base %g: a number in (1, 1e30] expected", spec.base);
  }
  if (spec.attention_factor != 0.0 && !rope_internal::Positive(spec.attention_factor)) {
    return Status::Make(Code::kFormat, "rope attention factor %g: a positive number expected",
                        spec.attention_factor);
  }
  for (uint32_t i = 0; spec.factors != nullptr && i < spec.dims / 2; ++i) {
    if (!rope_internal::Positive(spec.factors[i])) {
      return Status::Make(Code::kFormat, "rope factor %u is %g: a positive number expected", i,
                          static_cast<double>(spec.factors[i]));
    }
  }
  JUNTO_TRY(rope_internal::CheckScaling(spec));
  return rope_internal::CheckSections(spec);
}

// Radians per position of each of the dims/2 pairs, base^(-2 pair / dims) scaled as the spec says,
// and the factor of cos and sin.
inline void RopeFrequencies(const RopeSpec& spec, double* frequencies, float* magnitude) {
  const double log_base = ExactLog(spec.base);
  for (uint32_t pair = 0; pair < spec.dims / 2; ++pair) {
    double frequency = ExactExp(-2.0 * pair / spec.dims * log_base);
    if (spec.factors != nullptr) frequency /= spec.factors[pair];
    const double divided = rope_internal::DividedShare(spec, pair, frequency);
    frequencies[pair] = frequency * (1.0 - divided) + frequency / spec.factor * divided;
  }

  double scale = spec.attention_factor;
  if (scale == 0.0) {
    const bool stretched = spec.scaling == RopeScaling::kYarn && spec.factor > 1.0;
    scale = stretched ? 0.1 * ExactLog(spec.factor) + 1.0 : 1.0;
  }
  *magnitude = static_cast<float>(scale);
}

// cosine[pair] and sine[pair], times magnitude, at a position; dims/2 of each. Angles are exact to
// 1e-15 relative, for positions below 2^31.
inline void RopeAngles(const RopeSpec& spec, const double* frequencies, float magnitude,
                       const RopePosition& position, float* cosine, float* sine) {
  for (uint32_t pair = 0; pair < spec.dims / 2; ++pair) {
    const auto p = static_cast<double>(rope_internal::PositionOf(spec, pair, position));
    const rope_internal::SineCosine turn = rope_internal::SinCos(p * frequencies[pair]);
    cosine[pair] = static_cast<float>(magnitude * turn.cosine);
    sine[pair] = static_cast<float>(magnitude * turn.sine);
  }
}

}  // namespace junto

#endif  // JUNTO_KERNELS_ROPE_H_
