// Activations to int8, 32 at a time.
#if defined(JUNTO_KERNELS_QUANTISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_QUANTISE_INL_H_
#undef JUNTO_KERNELS_QUANTISE_INL_H_
#else
#define JUNTO_KERNELS_QUANTISE_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "junto/kernels/dot-inl.h"
#include "junto/kernels/math-inl.h"
#include "junto/kernels/plain.h"
#include "junto/kernels/targets.h"
#include "junto/quant/panel.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

using plain::AbsoluteMaximum;
using plain::QuantiseBlock;

#else

// Four columns: two of a group and two of the next.
using QuadF32 = hn::FixedTag<float, 4>;
using QuadI32 = hn::RebindToSigned<QuadF32>;
constexpr size_t kQuads = 16 / 4;  // of half a block

// The largest magnitudes of the groups of 16 columns, each twice, as bits: as integers those of NaN
// are above those of infinity.
HWY_INLINE hn::Vec<QuadI32> GroupMaxima(const float* x) {
  const QuadF32 d;
  const QuadI32 di;
  auto bits = hn::Zero(di);
  for (size_t i = 0; i < kQuads; ++i) {
    bits = hn::Max(bits, hn::BitCast(di, hn::Abs(hn::LoadU(d, x + 4 * i))));
  }
  return hn::Max(bits, hn::Shuffle2301(bits));
}

HWY_INLINE float AbsoluteMaximum(const float* x) {
  const auto bits = hn::Max(GroupMaxima(x), GroupMaxima(x + 16));
  return hn::GetLane(hn::BitCast(QuadF32(), hn::Max(bits, hn::Shuffle1032(bits))));
}

// The codes of half a block, to where they belong.
HWY_INLINE void StoreCodes(const int8_t* codes, int8_t* q) {
  const hn::FixedTag<int8_t, 16> d;
  HWY_ALIGN uint8_t from[16];
  for (uint32_t i = 0; i < 16; ++i) from[CodeAt(i)] = static_cast<uint8_t>(i);
  hn::StoreU(hn::TableLookupBytes(hn::Load(d, codes),
                                  hn::BitCast(d, hn::Load(hn::FixedTag<uint8_t, 16>(), from))),
             d, q);
}

// Half a block; `inverse` = 127 * 63 / maximum and `groups` = 63 / maximum of the block. Returns
// the sum of sub_scale * q.
HWY_INLINE int32_t QuantiseHalf(const float* x, float inverse, float groups, int16_t* sub_scale,
                                int8_t* q) {
  const QuadF32 d;
  const QuadI32 di;
  const hn::Rebind<int8_t, QuadF32> d8;
  HWY_ALIGN int8_t codes[16];
  const auto wanted = hn::Mul(hn::BitCast(d, GroupMaxima(x)), hn::Set(d, groups));
  const auto whole = hn::Min(hn::Ceil(wanted), hn::Set(d, kSubScaleMax));
  // x / (scale * sub_scale) passes 127 by less than 2^-14, which rounds to 127: no clamp is needed.
  const auto step =
      hn::IfThenZeroElse(hn::Eq(whole, hn::Zero(d)), hn::Div(hn::Set(d, inverse), whole));
  const auto factors = hn::ConvertTo(di, whole);
  auto sum = hn::Zero(di);
  for (size_t i = 0; i < kQuads; ++i) {
    // A sum of its own: a fused one would round once where the contract rounds twice.
    const auto scaled = hn::Mul(hn::LoadU(d, x + 4 * i), step);
    const auto code = BiasedToInt(d, hn::Add(scaled, hn::Set(d, kRoundingBias)));
    hn::StoreU(hn::DemoteTo(d8, code), d8, codes + 4 * i);
    sum = hn::Add(sum, hn::Mul(code, factors));
  }
  StoreCodes(codes, q);
  sub_scale[SubScaleAt(0)] = static_cast<int16_t>(hn::GetLane(factors));
  sub_scale[SubScaleAt(1)] = static_cast<int16_t>(hn::GetLane(hn::Shuffle1032(factors)));
  return hn::GetLane(hn::SumOfLanes(di, sum));
}

// A block of which the largest magnitude, `maximum`, is an ordinary number.
HWY_INLINE void QuantiseBlock(const float* x, float maximum, ActivationBlock* y) {
  constexpr float kSteps = kActivationMax * kSubScaleMax;
  const float inverse = kSteps / maximum;
  const float groups = kSubScaleMax / maximum;
  std::fill(y->sub_scale, y->sub_scale + 2 * kGroups, int16_t{0});
  y->scale = maximum / kSteps;
  y->sum[0] = QuantiseHalf(x, inverse, groups, y->sub_scale, y->q);
  y->sum[1] = QuantiseHalf(x + 16, inverse, groups, y->sub_scale + SubScaleAt(2), y->q + 16);
  y->sum[2] = y->sum[0] + y->sum[1];
}

#endif  // HWY_TARGET == HWY_SCALAR

// See KernelTable::dequantise.
inline void DequantiseRow(const ActivationBlock* x, size_t n, float* y) {
  for (uint32_t k = 0; k < n; ++k) {
    const ActivationBlock& block = x[k / kBlockColumns];
    const uint32_t column = k % kBlockColumns;
    const int16_t sub_scale = block.sub_scale[SubScaleAt(GroupOf(column))];
    const float step = block.scale * static_cast<float>(sub_scale);
    y[k] = step * static_cast<float>(block.q[CodeAt(column)]);
  }
}

// See KernelTable::quantise. A block with a value that is not finite becomes NaN as a whole: its
// scale NaN and all codes 0. A block whose largest value is below 2^-112 becomes 0, so that neither
// the scale is subnormal nor its inverse infinite.
inline void QuantiseRow(const float* x, size_t n, ActivationBlock* y) {
  for (size_t i = 0; i < n; i += kBlockColumns, ++y) {
    const float maximum = AbsoluteMaximum(x + i);
    if (maximum >= 0x1p-112f && maximum <= std::numeric_limits<float>::max()) {
      QuantiseBlock(x + i, maximum, y);
      continue;
    }
    *y = ActivationBlock{};
    if (!(maximum < 1.0f)) y->scale = std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_QUANTISE_INL_H_
