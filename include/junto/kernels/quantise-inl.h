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

#include "junto/kernels/dot-inl.h"
#include "junto/kernels/math-inl.h"
#include "junto/kernels/targets.h"
#include "junto/quant/half.h"
#include "junto/quant/panel.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using GroupTag = hn::CappedTag<float, kGroupColumns>;

// The bits of max |x| over one group. As integers the bits of NaN are above those of infinity.
HWY_INLINE int32_t AbsoluteMaximumBits(const float* x) {
  const GroupTag d;
  const hn::RebindToSigned<GroupTag> di;
  auto bits = hn::Zero(di);
  for (size_t i = 0; i < kGroupColumns; i += hn::Lanes(d)) {
    bits = hn::Max(bits, hn::BitCast(di, hn::Abs(hn::LoadU(d, x + i))));
  }
  return hn::GetLane(hn::MaxOfLanes(di, bits));
}

// q[i] = x[i] * inverse rounded to nearest even, for one group; returns their sum.
HWY_INLINE int32_t QuantiseGroup(const float* x, float inverse, int8_t* q) {
  const GroupTag d;
  const hn::RebindToSigned<GroupTag> di;
  const hn::Rebind<int8_t, GroupTag> d8;
  auto sum = hn::Zero(di);
  for (size_t i = 0; i < kGroupColumns; i += hn::Lanes(d)) {
    // A sum of its own: a fused one would round once where the contract rounds twice.
    const auto scaled = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, inverse));
    const auto whole = BiasedToInt(d, hn::Add(scaled, hn::Set(d, kRoundingBias)));
    hn::StoreU(hn::DemoteTo(d8, whole), d8, q + i);
    sum = hn::Add(sum, whole);
  }
  return hn::GetLane(hn::SumOfLanes(di, sum));
}

// The smallest integer that is not below x, for 0 <= x <= kSubScaleMax but for rounding.
HWY_INLINE int SubScaleOf(float x) {
  const int whole = static_cast<int>(x);
  return HWY_MIN(whole + (static_cast<float>(whole) < x ? 1 : 0), kSubScaleMax);
}

// The columns of a block in the order of their groups.
struct GroupedColumns {
  uint8_t column[kBlockColumns] = {};
  constexpr GroupedColumns() {
    uint32_t filled[kGroups] = {};
    for (uint32_t k = 0; k < kBlockColumns; ++k) {
      const uint32_t g = GroupOf(k);
      column[g * kGroupColumns + filled[g]++] = static_cast<uint8_t>(k);
    }
  }
};
constexpr GroupedColumns kGrouped;

// One block, in the order of its groups, whose largest magnitude is `maximum`; bits[g] are those of
// group g's.
HWY_INLINE void QuantiseBlock(const float* x, float maximum, const int32_t* bits,
                              ActivationBlock* y) {
  constexpr float kSteps = kActivationMax * kSubScaleMax;
  const float inverse = kSteps / maximum;
  const float groups = kSubScaleMax / maximum;
  int32_t sum[2] = {0, 0};  // of sub_scale * q
  int8_t q[kBlockColumns];
  for (size_t g = 0; g < kGroups; ++g) {
    const int sub_scale = SubScaleOf(FloatFromBits(static_cast<uint32_t>(bits[g])) * groups);
    // x / (scale * sub_scale) passes 127 by less than 2^-14, which rounds to 127: no clamp is
    // needed.
    const float step = sub_scale == 0 ? 0.0f : inverse / static_cast<float>(sub_scale);
    const size_t first = g * kGroupColumns;
    sum[g / 2] += sub_scale * QuantiseGroup(x + first, step, q + first);
    y->sub_scale[g] = static_cast<int16_t>(sub_scale);
  }
  for (size_t i = 0; i < kBlockColumns; ++i) y->q[kGrouped.column[i]] = q[i];
  y->scale = maximum / kSteps;
  y->sum[0] = y->scale * static_cast<float>(sum[0]);
  y->sum[1] = y->scale * static_cast<float>(sum[1]);
  y->sum[2] = y->scale * static_cast<float>(sum[0] + sum[1]);
}

// See KernelTable::quantise. A block with a value that is not finite becomes NaN as a whole: scale
// and sums NaN and codes 0. A block whose largest value is below 2^-112 becomes 0, so that neither
// the scale is subnormal nor its inverse infinite.
inline void QuantiseRow(const float* x, size_t n, ActivationBlock* y) {
  for (size_t i = 0; i < n; i += kBlockColumns, ++y) {
    float grouped[kBlockColumns];
    for (size_t k = 0; k < kBlockColumns; ++k) grouped[k] = x[i + kGrouped.column[k]];
    int32_t bits[kGroups];
    int32_t largest = 0;
    for (size_t g = 0; g < kGroups; ++g) {
      bits[g] = AbsoluteMaximumBits(grouped + g * kGroupColumns);
      largest = HWY_MAX(largest, bits[g]);
    }
    const float maximum = FloatFromBits(static_cast<uint32_t>(largest));
    if (maximum >= 0x1p-112f && maximum <= std::numeric_limits<float>::max()) {
      QuantiseBlock(grouped, maximum, bits, y);
      continue;
    }
    *y = ActivationBlock{};
    if (maximum < 1.0f) continue;
    y->scale = y->sum[0] = y->sum[1] = y->sum[2] = std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_QUANTISE_INL_H_
