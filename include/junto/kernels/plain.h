// Kernels without vectors, for the fallback target: the formats' definitions, slow and obvious.
#ifndef JUNTO_KERNELS_PLAIN_H_
#define JUNTO_KERNELS_PLAIN_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "junto/kernels/kernels.h"
#include "junto/quant/pack.h"
#include "junto/quant/transcode.h"

namespace junto {
namespace plain {

// Of one block. As integers the bits of NaN are above those of infinity.
inline float AbsoluteMaximum(const float* x) {
  uint32_t bits = 0;
  for (uint32_t k = 0; k < kBlockColumns; ++k)
    bits = std::max(bits, BitsFromFloat(std::fabs(x[k])));
  return FloatFromBits(bits);
}

// One block of which the largest magnitude, `maximum`, is an ordinary number.
inline void QuantiseBlock(const float* x, float maximum, ActivationBlock* y) {
  constexpr float kSteps = 127 * kSubScaleMax;
  float largest[kGroups] = {};
  *y = ActivationBlock{};
  for (uint32_t k = 0; k < kBlockColumns; ++k) {
    largest[GroupOf(k)] = std::max(largest[GroupOf(k)], std::fabs(x[k]));
  }
  for (uint32_t g = 0; g < kGroups; ++g) {
    const float whole = std::ceil(largest[g] * (kSubScaleMax / maximum));
    y->sub_scale[g] = static_cast<int16_t>(std::min<float>(whole, kSubScaleMax));
  }
  for (uint32_t k = 0; k < kBlockColumns; ++k) {
    const int16_t sub_scale = y->sub_scale[GroupOf(k)];
    if (sub_scale == 0) continue;
    y->q[k] = static_cast<int8_t>(std::nearbyint(x[k] * (kSteps / maximum / sub_scale)));
    y->sum[k / 16] += sub_scale * y->q[k];
  }
  y->scale = maximum / kSteps;
  y->sum[2] = y->sum[0] + y->sum[1];
}

// One row of a panel times x.
inline float FloatRow(const PanelMatrix& w, const uint8_t* panel, uint32_t lane, const float* x) {
  const uint32_t size = transcode::FloatSize(w.format);
  float sum = 0.0f;
  for (uint64_t k = 0; k < w.columns; ++k) {
    const uint8_t* p = panel + (k * kPanelRows + lane) * size;
    sum += transcode::ValueOfBits(transcode::LoadBits(p, w.format), w.format) * x[k];
  }
  return sum;
}

// The exact integers that multiply the scales of a block, one or one for each half.
inline void Dots(const WeightBlock& block, const PanelMatrix& w, const ActivationBlock& x,
                 int32_t (&dot)[2]) {
  WeightBlock unit = block;
  unit.scale = w.format == PanelFormat::kT4E8 ? 128 : 0x3C00;  // 1
  unit.minimum = 0;
  unit.sub_scale[0] = unit.sub_scale[1] = 1;
  float codes[kBlockColumns];
  EvaluateBlock(unit, w.format, w.table, codes);
  const uint32_t per_part = TraitsOf(w.format).halves ? kBlockColumns / 2 : kBlockColumns;
  dot[0] = dot[1] = 0;
  for (uint32_t k = 0; k < kBlockColumns; ++k) {
    dot[k / per_part] += static_cast<int32_t>(codes[k]) * x.q[k] * x.sub_scale[GroupOf(k)];
  }
}

inline float QuantisedRow(const PanelMatrix& w, const uint8_t* panel, uint32_t lane,
                          const ActivationBlock* x) {
  const PanelTraits& traits = TraitsOf(w.format);
  const int parts = traits.halves ? 2 : 1;
  float sum = 0.0f;
  for (uint64_t b = 0; b < w.columns / kBlockColumns; ++b) {
    const WeightBlock block = ExtractBlock(panel, w.format, b, lane);
    const float scale = w.format == PanelFormat::kT4E8
                            ? FloatFromE8M0Half(static_cast<uint8_t>(block.scale))
                            : FloatFromHalf(block.scale);
    int32_t dot[2];
    Dots(block, w, x[b], dot);
    for (int part = 0; part < parts; ++part) {
      const float part_scale = scale * static_cast<float>(block.sub_scale[part]);
      sum += static_cast<float>(dot[part]) * (part_scale * x[b].scale);
    }
    if (!traits.minimum) continue;
    const float minimum = FloatFromHalf(block.minimum);
    for (int part = 0; part < parts; ++part) {
      const float weight = minimum * static_cast<float>(block.sub_minimum[part]);
      sum -= weight * (x[b].scale * static_cast<float>(x[b].sum[traits.halves ? part : 2]));
    }
  }
  return sum;
}

inline void Matmul(const MatmulArgs& args) {
  const PanelMatrix& w = args.weights;
  const uint32_t begin = args.first_panel * kPanelRows;
  const uint32_t end = std::min(w.rows, begin + args.panel_count * kPanelRows);
  for (uint32_t i = 0; i < args.count; ++i) {
    const size_t at = (args.x_rows == nullptr ? i : args.x_rows[i]) * args.x_stride;
    for (uint32_t row = begin; row < end; ++row) {
      const uint8_t* panel = w.data + row / kPanelRows * w.stride;
      const uint32_t lane = row % kPanelRows;
      const float sum =
          IsQuantised(w.format)
              ? QuantisedRow(w, panel, lane, static_cast<const ActivationBlock*>(args.x) + at)
              : FloatRow(w, panel, lane, static_cast<const float*>(args.x) + at);
      args.y[i * args.y_stride + row - begin] = args.bias == nullptr ? sum : sum + args.bias[row];
    }
  }
}

inline void WidenPanels(const PanelMatrix& w, uint32_t first_panel, uint32_t panel_count,
                        float* y) {
  const uint32_t size = transcode::FloatSize(w.format);
  for (uint64_t k = 0; k < w.columns; ++k) {
    for (uint32_t row = 0; row < panel_count * kPanelRows; ++row) {
      const uint8_t* panel = w.data + (first_panel + row / kPanelRows) * w.stride;
      const uint8_t* p = panel + (k * kPanelRows + row % kPanelRows) * size;
      *y++ = transcode::ValueOfBits(transcode::LoadBits(p, w.format), w.format);
    }
  }
}

}  // namespace plain
}  // namespace junto

#endif  // JUNTO_KERNELS_PLAIN_H_
