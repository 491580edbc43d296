// Activations to int8, 32 at a time.
#if defined(JUNTO_KERNELS_QUANTISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_QUANTISE_INL_H_
#undef JUNTO_KERNELS_QUANTISE_INL_H_
#else
#define JUNTO_KERNELS_QUANTISE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>

#include "junto/kernels/lanes-inl.h"
#include "junto/kernels/math-inl.h"
#include "junto/kernels/targets.h"
#include "junto/quant/panel.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// max |x| over one block; NaN when a value is NaN, because as integers the bits of NaN are above
// those of infinity.
HWY_INLINE float AbsoluteMaximum(const float* x) {
  const WideTag d;
  const hn::RebindToSigned<WideTag> di;
  auto bits = hn::Zero(di);
  for (size_t i = 0; i < kBlockColumns; i += kWideLanes) {
    bits = hn::Max(bits, hn::BitCast(di, hn::Abs(hn::LoadU(d, x + i))));
  }
  return hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(di, bits)));
}

// q[i] = x[i] * inverse rounded to nearest even, for 16 values; returns their sum.
HWY_INLINE int16_t QuantiseHalf(const float* x, float inverse, int8_t* q) {
  const WideTag d;
  const hn::RebindToSigned<WideTag> di;
  const hn::Rebind<int8_t, WideTag> d8;
  auto sum = hn::Zero(di);
  for (size_t i = 0; i < kVirtualLanes; i += kWideLanes) {
    // A sum of its own: a fused one would round once where the contract rounds twice.
    const auto scaled = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, inverse));
    const auto whole = BiasedToInt(d, hn::Add(scaled, hn::Set(d, kRoundingBias)));
    hn::StoreU(hn::DemoteTo(d8, whole), d8, q + i);
    sum = hn::Add(sum, whole);
  }
  return static_cast<int16_t>(hn::GetLane(hn::SumOfLanes(di, sum)));
}

// See KernelTable::quantise. A block with a value that is not finite becomes NaN as a whole: scale
// NaN and codes 0. A block whose largest value is below 2^-118 becomes 0, so that neither the scale
// is subnormal nor its inverse infinite.
inline void QuantiseRow(const float* x, size_t n, ActivationBlock* y) {
  static_assert(kBlockColumns == 2 * kVirtualLanes, "a half is one set of virtual lanes");
  for (size_t i = 0; i < n; i += kBlockColumns, ++y) {
    const float maximum = AbsoluteMaximum(x + i);
    if (maximum >= 0x1p-118f && maximum <= std::numeric_limits<float>::max()) {
      // x * inverse passes 127 by less than 2^-15, which rounds to 127: no clamp is needed.
      const float inverse = 127.0f / maximum;
      y->scale = maximum / 127.0f;
      y->half_sum[0] = QuantiseHalf(x + i, inverse, y->q);
      y->half_sum[1] = QuantiseHalf(x + i + kVirtualLanes, inverse, y->q + kVirtualLanes);
      y->scaled_sum = y->scale * static_cast<float>(y->half_sum[0] + y->half_sum[1]);
    } else {
      *y = ActivationBlock{};
      if (!(maximum < 1.0f)) y->scale = y->scaled_sum = std::numeric_limits<float>::quiet_NaN();
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_QUANTISE_INL_H_
