// Matrix times rows, for every panel format. The order of summation is fixed (docs/numerics.md):
// within a block exact integers, across blocks ascending f32 fma into one accumulator per output;
// float formats fma along k. So one row or a thousand, narrow vectors or wide, give the same bits.
#include "junto/kernels/targets.h"
#if defined(JUNTO_KERNELS_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_MATMUL_INL_H_
#undef JUNTO_KERNELS_MATMUL_INL_H_
#else
#define JUNTO_KERNELS_MATMUL_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "junto/kernels/dot-inl.h"
#include "junto/kernels/kernels.h"
#include "junto/kernels/panel-inl.h"
#include "junto/kernels/plain.h"

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

// See MatmulArgs.
inline void Matmul(const MatmulArgs& args) { plain::Matmul(args); }
using plain::WidenPanels;

#else  // HWY_TARGET != HWY_SCALAR

// The output rows of one vector.
struct OutputRows {
  const uint8_t* panel;  // the first that holds any of them
  VectorRows rows;
  uint32_t first;  // counted from that of MatmulArgs::first_panel
  uint32_t count;  // how many there are; the vector's other lanes are computed and dropped
};

inline uint32_t VectorCount(const MatmulArgs& args) {
  return CeilDiv(args.panel_count * kPanelRows, kVectorRows);
}

inline OutputRows RowsOfVector(const MatmulArgs& args, uint32_t vector) {
  const PanelMatrix& w = args.weights;
  OutputRows at;
  at.first = vector * kVectorRows;
  const uint32_t panel = at.first / kPanelRows;
  const uint32_t begin = args.first_panel * kPanelRows + at.first;
  at.panel = w.data + (args.first_panel + panel) * w.stride;
  at.rows.lane = at.first % kPanelRows;
  at.rows.apart = panel + 1 < args.panel_count ? w.stride : 0;  // 0: twice the same, the last
  const uint32_t end = HWY_MIN(w.rows, (args.first_panel + args.panel_count) * kPanelRows);
  at.count = HWY_MIN(kVectorRows, end > begin ? end - begin : 0);
  return at;
}

// Writes the sums of one vector for input row i.
HWY_INLINE void StoreRows(const MatmulArgs& args, const OutputRows& at, uint32_t i, VecF32 sum) {
  const PanelF32 df;
  float* const y = args.y + i * args.y_stride + at.first;
  const float* bias =
      args.bias == nullptr ? nullptr : args.bias + args.first_panel * kPanelRows + at.first;
  if (at.count == kVectorRows) {
    hn::StoreU(bias == nullptr ? sum : hn::Add(sum, hn::LoadU(df, bias)), df, y);
    return;
  }
  float sums[kVectorRows];
  hn::StoreU(sum, df, sums);
  for (uint32_t r = 0; r < at.count; ++r) y[r] = bias == nullptr ? sums[r] : sums[r] + bias[r];
}

// Input row i, as T.
template <class T>
HWY_INLINE const T* InputRow(const MatmulArgs& args, uint32_t i) {
  return static_cast<const T*>(args.x) +
         (args.x_rows == nullptr ? i : args.x_rows[i]) * args.x_stride;
}

// ---- quantised formats

// What is multiplied at once: a block of weights is decoded once for so many input rows, and a
// block of activations prepared once for so many vectors of output rows. Neither half nor twice as
// many rows were faster: bench/README.md.
constexpr uint32_t kRowChunk = 32;
constexpr uint32_t kVectorChunk = 128 / kVectorRows;
constexpr uint32_t kPrefetchBlocks = 4;  // of each input row, ahead

// The most that is at or below `most` and divides `count` into as few parts of nearly one size.
constexpr uint32_t EvenChunk(uint32_t count, uint32_t most) {
  return count <= most ? count : CeilDiv(count, CeilDiv(count, most));
}

// A block of an input row, as all vectors of weights take it.
template <class Weights>
struct PreparedBlock {
  static constexpr int kParts = Weights::kParts;

  HWY_INLINE void Set(const ActivationBlock& x) {
    factors.Set(x);
    scale = SpreadOf(PanelF32(), x.scale);
    for (int part = 0; part < kParts; ++part) {
      const int32_t sum = x.sum[kParts == 1 ? 2 : part];
      if constexpr (Weights::kBias != 0) start[part] = SpreadOf(PanelI32(), -Weights::kBias * sum);
      if constexpr (Weights::kHasMinimum) {
        value_sum[part] = SpreadOf(PanelF32(), x.scale * static_cast<float>(sum));
      }
    }
  }

  DotFactors<Weights::kMax> factors;
  Spread<PanelF32> scale;
  Spread<PanelI32> start[kParts];  // of the integer sum: takes away what the codes are too large
  Spread<PanelF32> value_sum[kParts];  // for formats with a minimum
};

// sum + weights * x, as docs/numerics.md defines it.
template <class Weights>
HWY_INLINE VecF32 AddBlock(const Weights& w, const PreparedBlock<Weights>& x, VecF32 sum) {
  const PanelF32 df;
  const PanelI32 di;
  constexpr int kParts = Weights::kParts;
  constexpr int kMax = Weights::kMax;
  constexpr int kHalf = kCodeVectors<kMax> / 2;
  for (int part = 0; part < kParts; ++part) {
    VecI32 dot = Weights::kBias == 0 ? hn::Zero(di) : LoadSpread(di, x.start[part]);
    dot = Dot16<kMax>(w.code + kHalf * part, x.factors, part, dot);
    if (kParts == 1) dot = Dot16<kMax>(w.code + kHalf, x.factors, 1, dot);
    const VecF32 scale = hn::Mul(w.scale[part], LoadSpread(df, x.scale));
    sum = hn::MulAdd(hn::ConvertTo(df, dot), scale, sum);
  }
  if (!Weights::kHasMinimum) return sum;
  for (int part = 0; part < kParts; ++part) {
    sum = hn::NegMulAdd(w.minimum[part], LoadSpread(df, x.value_sum[part]), sum);
  }
  return sum;
}

// `count` <= kRowChunk input rows from `first_row`, `vectors` <= kVectorChunk from `first_vector`.
template <class Weights>
HWY_NOINLINE void QuantisedTile(const MatmulArgs& args, uint32_t first_row, uint32_t count,
                                uint32_t first_vector, uint32_t vectors) {
  const PanelF32 df;
  const ActivationBlock* x[kRowChunk];
  PreparedBlock<Weights> prepared[kRowChunk];
  OutputRows at[kVectorChunk];
  HWY_ALIGN float sums[kVectorChunk][kRowChunk][kVectorRows];
  for (uint32_t t = 0; t < count; ++t) x[t] = InputRow<ActivationBlock>(args, first_row + t);
  for (uint32_t v = 0; v < vectors; ++v) {
    at[v] = RowsOfVector(args, first_vector + v);
    for (uint32_t t = 0; t < count; ++t) hn::Store(hn::Zero(df), df, sums[v][t]);
  }
  for (uint64_t b = 0; b < args.weights.columns / kBlockColumns; ++b) {
    for (uint32_t t = 0; t < count; ++t) {
      prepared[t].Set(x[t][b]);
      // Rows are too far apart for the hardware to see a pattern.
      hwy::Prefetch(x[t] + b + kPrefetchBlocks);
    }
    for (uint32_t v = 0; v < vectors; ++v) {
      const Weights weights(at[v].panel, b, at[v].rows);
      for (uint32_t t = 0; t < count; ++t) {
        const VecF32 sum = hn::Load(df, sums[v][t]);
        hn::Store(AddBlock(weights, prepared[t], sum), df, sums[v][t]);
      }
    }
  }
  for (uint32_t v = 0; v < vectors; ++v) {
    for (uint32_t t = 0; t < count; ++t) {
      StoreRows(args, at[v], first_row + t, hn::Load(df, sums[v][t]));
    }
  }
}

template <PanelFormat kFormat, CodeTable kTable = CodeTable::kMxfp4>
void MatmulQuantised(const MatmulArgs& args) {
  const uint32_t vectors = VectorCount(args);
  const uint32_t rows_at_once = EvenChunk(args.count, kRowChunk);
  const uint32_t vectors_at_once = EvenChunk(vectors, kVectorChunk);
  for (uint32_t t = 0; t < args.count; t += rows_at_once) {
    const uint32_t count = HWY_MIN(rows_at_once, args.count - t);
    for (uint32_t v = 0; v < vectors; v += vectors_at_once) {
      QuantisedTile<WeightVectors<kFormat, kTable> >(args, t, count, v,
                                                     HWY_MIN(vectors_at_once, vectors - v));
    }
  }
}

// ---- float formats

// Sums in flight, enough to hide the latency of fma: kRows input rows times so many vectors.
constexpr uint32_t kFloatSums = 8;

template <PanelFormat kFormat, uint32_t kRows, uint32_t kVectors>
HWY_INLINE void FloatTile(const MatmulArgs& args, uint32_t first_row, uint32_t first_vector) {
  const PanelF32 df;
  const float* x[kRows];
  OutputRows at[kVectors];
  VecF32 sum[kVectors][kRows];
  for (uint32_t t = 0; t < kRows; ++t) x[t] = InputRow<float>(args, first_row + t);
  for (uint32_t v = 0; v < kVectors; ++v) {
    at[v] = RowsOfVector(args, first_vector + v);
    for (uint32_t t = 0; t < kRows; ++t) sum[v][t] = hn::Zero(df);
  }
  for (uint64_t k = 0; k < args.weights.columns; ++k) {
    VecF32 x_k[kRows];
    for (uint32_t t = 0; t < kRows; ++t) x_k[t] = hn::Set(df, x[t][k]);
    for (uint32_t v = 0; v < kVectors; ++v) {
      const VecF32 column = LoadColumn<kFormat>(at[v].panel, k, at[v].rows);
      for (uint32_t t = 0; t < kRows; ++t) sum[v][t] = hn::MulAdd(column, x_k[t], sum[v][t]);
    }
  }
  for (uint32_t v = 0; v < kVectors; ++v) {
    for (uint32_t t = 0; t < kRows; ++t) StoreRows(args, at[v], first_row + t, sum[v][t]);
  }
}

template <PanelFormat kFormat, uint32_t kRows>
void FloatRows(const MatmulArgs& args, uint32_t first_row) {
  constexpr uint32_t kVectors = kFloatSums / kRows;
  const uint32_t vectors = VectorCount(args);
  uint32_t v = 0;
  for (; v + kVectors <= vectors; v += kVectors) {
    FloatTile<kFormat, kRows, kVectors>(args, first_row, v);
  }
  for (; v < vectors; ++v) FloatTile<kFormat, kRows, 1>(args, first_row, v);
}

template <PanelFormat kFormat>
void MatmulFloat(const MatmulArgs& args) {
  uint32_t row = 0;
  for (; row + 4 <= args.count; row += 4) FloatRows<kFormat, 4>(args, row);
  for (; row + 2 <= args.count; row += 2) FloatRows<kFormat, 2>(args, row);
  if (row < args.count) FloatRows<kFormat, 1>(args, row);
}

// See MatmulArgs.
inline void Matmul(const MatmulArgs& args) {
  switch (args.weights.format) {
    case PanelFormat::kF32:
      return MatmulFloat<PanelFormat::kF32>(args);
    case PanelFormat::kF16:
      return MatmulFloat<PanelFormat::kF16>(args);
    case PanelFormat::kBF16:
      return MatmulFloat<PanelFormat::kBF16>(args);
    case PanelFormat::kB8H:
      return MatmulQuantised<PanelFormat::kB8H>(args);
    case PanelFormat::kT4E8:
      return MatmulQuantised<PanelFormat::kT4E8>(args);
    case PanelFormat::kT4H:
      if (args.weights.table == CodeTable::kQ40) {
        return MatmulQuantised<PanelFormat::kT4H, CodeTable::kQ40>(args);
      }
      return MatmulQuantised<PanelFormat::kT4H, CodeTable::kIq4Nl>(args);
    case PanelFormat::kT4K:
      return MatmulQuantised<PanelFormat::kT4K, CodeTable::kIq4Nl>(args);
    case PanelFormat::kN4HM:
      return MatmulQuantised<PanelFormat::kN4HM>(args);
    case PanelFormat::kN4KM:
      return MatmulQuantised<PanelFormat::kN4KM>(args);
    case PanelFormat::kN4JM:
      return MatmulQuantised<PanelFormat::kN4JM>(args);
    case PanelFormat::kN5H:
      return MatmulQuantised<PanelFormat::kN5H>(args);
    case PanelFormat::kN5HM:
      return MatmulQuantised<PanelFormat::kN5HM>(args);
    case PanelFormat::kN5KM:
      return MatmulQuantised<PanelFormat::kN5KM>(args);
    case PanelFormat::kN6J:
      return MatmulQuantised<PanelFormat::kN6J>(args);
  }
}

template <PanelFormat kFormat>
void WidenFloats(const MatmulArgs& args, float* y) {
  const uint32_t outputs = args.panel_count * kPanelRows;
  for (uint32_t v = 0; v < VectorCount(args); ++v) {
    const OutputRows at = RowsOfVector(args, v);
    const bool whole = at.first + kVectorRows <= outputs;
    for (uint64_t k = 0; k < args.weights.columns; ++k) {
      const VecF32 column = LoadColumn<kFormat>(at.panel, k, at.rows);
      float* const to = y + k * outputs + at.first;
      if (whole) {
        hn::StoreU(column, PanelF32(), to);
        continue;
      }
      float both[kVectorRows];
      hn::StoreU(column, PanelF32(), both);
      std::copy(both, both + HWY_MIN(kPanelRows, kVectorRows), to);
    }
  }
}

// See KernelTable::widen_panels.
inline void WidenPanels(const PanelMatrix& w, uint32_t first_panel, uint32_t panel_count,
                        float* y) {
  MatmulArgs args = {};
  args.weights = w;
  args.first_panel = first_panel;
  args.panel_count = panel_count;
  if (w.format == PanelFormat::kF32) return WidenFloats<PanelFormat::kF32>(args, y);
  if (w.format == PanelFormat::kF16) return WidenFloats<PanelFormat::kF16>(args, y);
  WidenFloats<PanelFormat::kBF16>(args, y);
}

#endif  // HWY_TARGET != HWY_SCALAR

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_MATMUL_INL_H_
