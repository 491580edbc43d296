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
#include "junto/quant/pack.h"
#include "junto/quant/transcode.h"

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Sums of one panel for up to kRows input rows: [kRows][8].
template <int kRows>
using PanelSums = float[kRows][kPanelRows];

#if HWY_TARGET == HWY_SCALAR

// Fallback without vectors: one row of the panel at a time, through the packed format's definition.

inline float PlainFloatRow(const PanelMatrix& w, const uint8_t* panel, uint32_t lane,
                           const float* x) {
  const uint32_t size = transcode::FloatSize(w.format);
  float sum = 0.0f;
  for (uint64_t k = 0; k < w.columns; ++k) {
    const uint8_t* p = panel + (k * kPanelRows + lane) * size;
    sum += transcode::ValueOfBits(transcode::LoadBits(p, w.format), w.format) * x[k];
  }
  return sum;
}

// The exact integer that multiplies the block's scale.
inline int32_t PlainDot(const WeightBlock& block, const PanelMatrix& w, const ActivationBlock& x) {
  WeightBlock unit = block;
  unit.scale = w.format == PanelFormat::kT4E8 ? 128 : 0x3C00;  // 1
  unit.minimum = 0;
  float codes[kBlockColumns];
  EvaluateBlock(unit, w.format, w.table, codes);
  int32_t dot = 0;
  for (uint32_t k = 0; k < kBlockColumns; ++k) {
    dot += static_cast<int32_t>(codes[k]) * x.q[k] * x.sub_scale[k / kGroupColumns][0];
  }
  return dot;
}

inline float PlainQuantisedRow(const PanelMatrix& w, const uint8_t* panel, uint32_t lane,
                               const ActivationBlock* x) {
  const PanelTraits& traits = TraitsOf(w.format);
  float sum = 0.0f;
  for (uint64_t b = 0; b < w.columns / kBlockColumns; ++b) {
    const WeightBlock block = ExtractBlock(panel, w.format, b, lane);
    const float scale = w.format == PanelFormat::kT4E8
                            ? FloatFromE8M0Half(static_cast<uint8_t>(block.scale))
                            : FloatFromHalf(block.scale);
    sum += static_cast<float>(PlainDot(block, w, x[b])) * (scale * x[b].scale);
    if (!traits.minimum) continue;
    const float minimum = FloatFromHalf(block.minimum);
    for (int part = 0; part < (traits.halves ? 2 : 1); ++part) {
      const float weight = minimum * static_cast<float>(block.sub_minimum[part]);
      sum -= weight *
             (traits.halves ? static_cast<float>(x[b].sum[part]) * x[b].scale : x[b].scaled_sum);
    }
  }
  return sum;
}

template <class XOf>
void PanelPlain(const PanelMatrix& w, const uint8_t* panel, int rows, XOf x_of, float (*sums)[8]) {
  for (int t = 0; t < rows; ++t) {
    for (uint32_t lane = 0; lane < kPanelRows; ++lane) {
      sums[t][lane] =
          IsQuantised(w.format)
              ? PlainQuantisedRow(w, panel, lane, static_cast<const ActivationBlock*>(x_of(t)))
              : PlainFloatRow(w, panel, lane, static_cast<const float*>(x_of(t)));
    }
  }
}

#else  // HWY_TARGET != HWY_SCALAR

// The codes of 16 columns, the first or second `part` of a block, as Dot16 takes them. `table` is
// for 4-bit table formats.
template <Codes kCodes>
struct CodeReader;

template <>
struct CodeReader<Codes::kTable4> {
  static HWY_INLINE void Read(const uint8_t* codes, size_t lane_bytes, int part, VecU8 table,
                              VecU8* w) {
    const PanelU8 d8;
    const hn::Repartition<uint16_t, PanelU8> d16;
    const auto mask = hn::Set(d8, 15);
    for (int i = 0; i < 4; ++i) {
      auto pairs = hn::LoadU(d8, codes + 32 * i + lane_bytes);
      if (part == 1) pairs = hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, pairs)));
      w[i] = hn::TableLookupBytes(table, hn::And(pairs, mask));
    }
  }
};

// The nibbles of 16 columns without a table.
HWY_INLINE void ReadNibbles(const uint8_t* codes, size_t lane_bytes, int part, VecU8* w) {
  const PanelU8 d8;
  const hn::Repartition<uint16_t, PanelU8> d16;
  const auto mask = hn::Set(d8, 15);
  for (int i = 0; i < 4; ++i) {
    auto pairs = hn::LoadU(d8, codes + 32 * i + lane_bytes);
    if (part == 1) pairs = hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, pairs)));
    w[i] = hn::And(pairs, mask);
  }
}

template <>
struct CodeReader<Codes::kUnsigned4> {
  static HWY_INLINE void Read(const uint8_t* codes, size_t lane_bytes, int part, VecU8, VecU8* w) {
    ReadNibbles(codes, lane_bytes, part, w);
  }
};

// Moves bits kFrom.. of every byte to bits 4.. and keeps those of kMask.
template <int kFrom, int kMask>
HWY_INLINE VecU8 HighBits(VecU8 plane) {
  const PanelU8 d8;
  const hn::Repartition<uint16_t, PanelU8> d16;
  auto bits = hn::BitCast(d16, plane);
  if constexpr (kFrom < 4) bits = hn::ShiftLeft<4 - kFrom>(bits);
  if constexpr (kFrom > 4) bits = hn::ShiftRight<kFrom - 4>(bits);
  return hn::And(hn::BitCast(d8, bits), hn::Set(d8, kMask));
}

template <>
struct CodeReader<Codes::kUnsigned5> {
  static HWY_INLINE void Read(const uint8_t* codes, size_t lane_bytes, int part, VecU8, VecU8* w) {
    ReadNibbles(codes, lane_bytes, part, w);
    const auto plane = hn::LoadU(PanelU8(), codes + 128 + lane_bytes);
    if (part == 0) {
      w[0] = hn::Or(w[0], HighBits<0, 16>(plane));
      w[1] = hn::Or(w[1], HighBits<1, 16>(plane));
      w[2] = hn::Or(w[2], HighBits<2, 16>(plane));
      w[3] = hn::Or(w[3], HighBits<3, 16>(plane));
    } else {
      w[0] = hn::Or(w[0], HighBits<4, 16>(plane));
      w[1] = hn::Or(w[1], HighBits<5, 16>(plane));
      w[2] = hn::Or(w[2], HighBits<6, 16>(plane));
      w[3] = hn::Or(w[3], HighBits<7, 16>(plane));
    }
  }
};

template <>
struct CodeReader<Codes::kUnsigned6> {
  static HWY_INLINE void Read(const uint8_t* codes, size_t lane_bytes, int part, VecU8, VecU8* w) {
    ReadNibbles(codes, lane_bytes, part, w);
    const auto plane = hn::LoadU(PanelU8(), codes + 128 + 32 * part + lane_bytes);
    w[0] = hn::Or(w[0], HighBits<0, 48>(plane));
    w[1] = hn::Or(w[1], HighBits<2, 48>(plane));
    w[2] = hn::Or(w[2], HighBits<4, 48>(plane));
    w[3] = hn::Or(w[3], HighBits<6, 48>(plane));
  }
};

template <>
struct CodeReader<Codes::kSigned8> {
  static HWY_INLINE void Read(const uint8_t* codes, size_t lane_bytes, int part, VecU8, VecU8* w) {
    for (int i = 0; i < 4; ++i) {
      w[i] = hn::LoadU(PanelU8(), codes + 128 * part + 32 * i + lane_bytes);
    }
  }
};

// Largest code that Dot16 sees and what has been added to it, per format. Tables are biased to be
// unsigned where the bound allows.
constexpr int MaxCode(Codes codes, CodeTable table) {
  switch (codes) {
    case Codes::kTable4:
      return table == CodeTable::kMxfp4 ? 24 : table == CodeTable::kQ40 ? 15 : kSignedCodes;
    case Codes::kUnsigned4:
      return 15;
    case Codes::kUnsigned5:
      return 31;
    case Codes::kUnsigned6:
      return 63;
    default:
      return kSignedCodes;
  }
}
// The largest magnitude of a block's integer: 32 codes times activations, times an integer scale.
constexpr int64_t DotBound(int code, int sub_scale) {
  return int64_t{kBlockColumns} * code * kActivationMax * kSubScaleMax * sub_scale;
}
static_assert(DotBound(128, 1) < INT32_MAX, "Q8_0");
static_assert(DotBound(127, 32) < INT32_MAX, "IQ4_XS: the table times a scale of six bits");
static_assert(DotBound(31, 63) < INT32_MAX, "Q5_K and Q4_K");
static_assert(DotBound(32, 128) < INT32_MAX, "Q6_K and Q3_K");

constexpr int TableBias(CodeTable table) {
  return table == CodeTable::kMxfp4 ? 12 : table == CodeTable::kQ40 ? 8 : 0;
}

template <CodeTable kTable>
HWY_INLINE VecU8 BiasedTable() {
  alignas(16) uint8_t biased[16];
  for (int i = 0; i < 16; ++i) {
    biased[i] = static_cast<uint8_t>(kCodeTables[static_cast<int>(kTable)][i] + TableBias(kTable));
  }
  return hn::LoadDup128(PanelU8(), biased);
}

// The half-precision numbers at p, one per row.
HWY_INLINE VecF32 LoadF16(const uint8_t* p, size_t lane) {
  const hn::Rebind<hwy::float16_t, PanelF32> d16;
  return hn::PromoteTo(PanelF32(),
                       hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p) + lane));
}

// 2^(e - 128) per row, subnormal results included.
HWY_INLINE VecF32 LoadE8M0(const uint8_t* p, size_t lane) {
  const PanelI32 d;
  const auto e = hn::PromoteTo(d, hn::LoadU(hn::Rebind<uint8_t, PanelI32>(), p + lane));
  const auto normal = hn::ShiftLeft<23>(hn::Sub(e, hn::Set(d, 1)));
  const auto tiny = hn::ShiftLeft<21>(hn::Add(e, hn::Set(d, 1)));  // 0 -> 2^21, 1 -> 2^22
  return hn::BitCast(PanelF32(), hn::IfThenElse(hn::Lt(e, hn::Set(d, 2)), tiny, normal));
}

// Small integers below a two-level scale: T is int8_t for scales, uint8_t for minima. Formats with
// kHalves have two per row, of which `part` is taken.
template <class T, bool kHalves>
HWY_INLINE VecI32 LoadSub(const uint8_t* p, size_t lane, int part) {
  const PanelI32 d;
  if constexpr (kHalves) {
    const hn::Repartition<int16_t, PanelI32> d16;
    const auto pairs =
        hn::BitCast(d, hn::PromoteTo(d16, hn::LoadU(hn::Rebind<T, decltype(d16)>(),
                                                    reinterpret_cast<const T*>(p) + 2 * lane)));
    return part == 0 ? hn::ShiftRight<16>(hn::ShiftLeft<16>(pairs)) : hn::ShiftRight<16>(pairs);
  } else {
    return hn::PromoteTo(
        d, hn::LoadU(hn::Rebind<T, PanelI32>(), reinterpret_cast<const T*>(p) + lane));
  }
}

// Walks the blocks of a quantised panel for the rows from `lane` on.
template <PanelFormat kFormat, CodeTable kTable>
struct BlockWalker {
  static constexpr PanelTraits kTraits = TraitsOf(kFormat);
  static constexpr PanelLayout kLayout = LayoutOf(kFormat);
  static constexpr int kMax = MaxCode(kTraits.codes, kTable);
  static constexpr int kBias = kTraits.codes == Codes::kTable4 ? TableBias(kTable) : kTraits.offset;
  static constexpr uint32_t kSubBytes = (kTraits.halves ? 2 : 1) * kPanelRows;

  HWY_INLINE void ReadScales(const uint8_t* p) {
    if constexpr (kFormat == PanelFormat::kT4E8) {
      scale = LoadE8M0(p, lane);
    } else {
      scale = LoadF16(p, lane);
      if constexpr (kTraits.minimum) minimum = LoadF16(p + 2 * kPanelRows, lane);
    }
  }

  // Moves to block b; blocks come in ascending order.
  HWY_INLINE void Enter(uint64_t b) {
    hwy::Prefetch(next + 2048);
    hwy::Prefetch(next + 2112);
    if constexpr (kTraits.two_level) {
      if (b % 8 == 0) {
        ReadScales(next);
        next += kLayout.header_bytes;
      }
    } else {
      ReadScales(next);
    }
    scales = next;
    codes = scales + kLayout.scale_bytes;
    next = codes + kLayout.code_bytes;
  }

  // dot[t] = the exact integers that multiply the block's scale, for block b of each row x[t].
  template <int kRows>
  HWY_INLINE void Dot(VecU8 table, const ActivationBlock* const* x, uint64_t b,
                      VecI32 (&dot)[kRows]) const {
    const PanelI32 di;
    for (int t = 0; t < kRows; ++t) dot[t] = hn::Zero(di);
    for (int part = 0; part < 2; ++part) {
      VecU8 code[4];
      CodeReader<kTraits.codes>::Read(codes, 4 * lane, part, table, code);
      for (int t = 0; t < kRows; ++t) {
        const ActivationBlock& row = x[t][b];
        const VecI32 unbias = hn::Set(di, -kBias * row.sum[part]);
        if constexpr (kTraits.halves) {
          const VecI32 sum = Dot16<kMax>(code, row, part, unbias);
          dot[t] = hn::Add(dot[t], hn::Mul(sum, LoadSub<int8_t, true>(scales, lane, part)));
        } else {
          dot[t] = Dot16<kMax>(code, row, part, hn::Add(dot[t], unbias));
        }
      }
    }
    if constexpr (kTraits.two_level && !kTraits.halves) {
      const VecI32 sub = LoadSub<int8_t, false>(scales, lane, 0);
      for (int t = 0; t < kRows; ++t) dot[t] = hn::Mul(dot[t], sub);
    }
  }

  // acc[t] -= minimum * sum of x[t], for formats that have one.
  template <int kRows>
  HWY_INLINE void SubtractMinima(const ActivationBlock* const* x, uint64_t b,
                                 VecF32 (&acc)[kRows]) const {
    const PanelF32 df;
    for (int part = 0; part < (kTraits.halves ? 2 : 1); ++part) {
      VecF32 low = minimum;
      if constexpr (kTraits.two_level) {
        low = hn::Mul(low, hn::ConvertTo(df, LoadSub<uint8_t, kTraits.halves>(scales + kSubBytes,
                                                                              lane, part)));
      }
      for (int t = 0; t < kRows; ++t) {
        const ActivationBlock& row = x[t][b];
        const float sum =
            kTraits.halves ? static_cast<float>(row.sum[part]) * row.scale : row.scaled_sum;
        acc[t] = hn::NegMulAdd(low, hn::Set(df, sum), acc[t]);
      }
    }
  }

  size_t lane;
  const uint8_t* next;
  const uint8_t* scales = nullptr;  // of the current block
  const uint8_t* codes = nullptr;
  VecF32 scale = hn::Zero(PanelF32());
  VecF32 minimum = hn::Zero(PanelF32());
};

// One panel, kRows input rows. x_of(t) is the t-th row's ActivationBlocks.
template <PanelFormat kFormat, CodeTable kTable, int kRows, class XOf>
HWY_INLINE void PanelQuantised(const PanelMatrix& w, const uint8_t* panel, XOf x_of,
                               PanelSums<kRows>& sums) {
  const PanelF32 df;
  const ActivationBlock* x[kRows];
  for (int t = 0; t < kRows; ++t) x[t] = static_cast<const ActivationBlock*>(x_of(t));
  const VecU8 table = BiasedTable<kTable>();
  for (size_t lane = 0; lane < kPanelRows; lane += hn::Lanes(df)) {
    BlockWalker<kFormat, kTable> block{lane, panel};
    VecF32 acc[kRows];
    for (int t = 0; t < kRows; ++t) acc[t] = hn::Zero(df);
    for (uint64_t b = 0; b < w.columns / kBlockColumns; ++b) {
      block.Enter(b);
      VecI32 dot[kRows];
      block.template Dot<kRows>(table, x, b, dot);
      for (int t = 0; t < kRows; ++t) {
        const VecF32 scale = hn::Mul(block.scale, hn::Set(df, x[t][b].scale));
        acc[t] = hn::MulAdd(hn::ConvertTo(df, dot[t]), scale, acc[t]);
      }
      if constexpr (TraitsOf(kFormat).minimum) block.template SubtractMinima<kRows>(x, b, acc);
    }
    for (int t = 0; t < kRows; ++t) hn::StoreU(acc[t], df, sums[t] + lane);
  }
}

// The weights of column k, one per row, as f32.
template <PanelFormat kFormat>
HWY_INLINE VecF32 LoadColumn(const uint8_t* panel, uint64_t k, size_t lane) {
  const PanelF32 df;
  const uint64_t at = k * kPanelRows + lane;
  if constexpr (kFormat == PanelFormat::kF32) {
    return hn::LoadU(df, reinterpret_cast<const float*>(panel) + at);
  } else if constexpr (kFormat == PanelFormat::kF16) {
    return hn::PromoteTo(df, hn::LoadU(hn::Rebind<hwy::float16_t, PanelF32>(),
                                       reinterpret_cast<const hwy::float16_t*>(panel) + at));
  } else {
    return hn::PromoteTo(df, hn::LoadU(hn::Rebind<hwy::bfloat16_t, PanelF32>(),
                                       reinterpret_cast<const hwy::bfloat16_t*>(panel) + at));
  }
}

template <PanelFormat kFormat, int kRows, class XOf>
HWY_INLINE void PanelFloat(const PanelMatrix& w, const uint8_t* panel, XOf x_of,
                           PanelSums<kRows>& sums) {
  const PanelF32 df;
  const float* x[kRows];
  for (int t = 0; t < kRows; ++t) x[t] = static_cast<const float*>(x_of(t));
  for (size_t lane = 0; lane < kPanelRows; lane += hn::Lanes(df)) {
    VecF32 acc[kRows];
    for (int t = 0; t < kRows; ++t) acc[t] = hn::Zero(df);
    for (uint64_t k = 0; k < w.columns; ++k) {
      const VecF32 column = LoadColumn<kFormat>(panel, k, lane);
      for (int t = 0; t < kRows; ++t) {
        acc[t] = hn::MulAdd(column, hn::Set(df, x[t][k]), acc[t]);
      }
    }
    for (int t = 0; t < kRows; ++t) hn::StoreU(acc[t], df, sums[t] + lane);
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

// Adds the bias and writes one panel's sums to where they belong.
template <int kRows>
HWY_INLINE void StoreSums(const MatmulArgs& args, uint32_t panel, uint32_t first_row,
                          const PanelSums<kRows>& sums) {
  const uint32_t begin = panel * kPanelRows;
  const uint32_t count = std::min(kPanelRows, args.weights.rows - begin);
  for (int t = 0; t < kRows; ++t) {
    float* y = args.y + (first_row + t) * args.y_stride + (panel - args.first_panel) * kPanelRows;
    for (uint32_t r = 0; r < count; ++r) {
      y[r] = args.bias == nullptr ? sums[t][r] : sums[t][r] + args.bias[begin + r];
    }
  }
}

// Runs kRows input rows, from first_row on, through every panel of the range.
template <PanelFormat kFormat, CodeTable kTable, int kRows>
void MatmulRows(const MatmulArgs& args, uint32_t first_row) {
  const size_t element = IsQuantised(kFormat) ? sizeof(ActivationBlock) : sizeof(float);
  const auto x_of = [&](int t) -> const void* {
    const uint32_t row = first_row + static_cast<uint32_t>(t);
    const size_t at = args.x_rows == nullptr ? row : args.x_rows[row];
    return static_cast<const uint8_t*>(args.x) + at * args.x_stride * element;
  };
  for (uint32_t p = args.first_panel; p < args.first_panel + args.panel_count; ++p) {
    const uint8_t* panel = args.weights.data + p * args.weights.stride;
    alignas(32) PanelSums<kRows> sums;
#if HWY_TARGET == HWY_SCALAR
    PanelPlain(args.weights, panel, kRows, x_of, sums);
#else
    if constexpr (IsQuantised(kFormat)) {
      PanelQuantised<kFormat, kTable, kRows>(args.weights, panel, x_of, sums);
    } else {
      PanelFloat<kFormat, kRows>(args.weights, panel, x_of, sums);
    }
#endif
    StoreSums<kRows>(args, p, first_row, sums);
  }
}

template <PanelFormat kFormat, CodeTable kTable = CodeTable::kMxfp4>
void MatmulFormat(const MatmulArgs& args) {
  uint32_t row = 0;
  for (; row + 4 <= args.count; row += 4) MatmulRows<kFormat, kTable, 4>(args, row);
  for (; row < args.count; ++row) MatmulRows<kFormat, kTable, 1>(args, row);
}

// See MatmulArgs.
inline void Matmul(const MatmulArgs& args) {
  switch (args.weights.format) {
    case PanelFormat::kF32:
      return MatmulFormat<PanelFormat::kF32>(args);
    case PanelFormat::kF16:
      return MatmulFormat<PanelFormat::kF16>(args);
    case PanelFormat::kBF16:
      return MatmulFormat<PanelFormat::kBF16>(args);
    case PanelFormat::kB8H:
      return MatmulFormat<PanelFormat::kB8H>(args);
    case PanelFormat::kT4E8:
      return MatmulFormat<PanelFormat::kT4E8>(args);
    case PanelFormat::kT4H:
      if (args.weights.table == CodeTable::kQ40) {
        return MatmulFormat<PanelFormat::kT4H, CodeTable::kQ40>(args);
      }
      return MatmulFormat<PanelFormat::kT4H, CodeTable::kIq4Nl>(args);
    case PanelFormat::kT4K:
      return MatmulFormat<PanelFormat::kT4K, CodeTable::kIq4Nl>(args);
    case PanelFormat::kN4HM:
      return MatmulFormat<PanelFormat::kN4HM>(args);
    case PanelFormat::kN4KM:
      return MatmulFormat<PanelFormat::kN4KM>(args);
    case PanelFormat::kN4JM:
      return MatmulFormat<PanelFormat::kN4JM>(args);
    case PanelFormat::kN5H:
      return MatmulFormat<PanelFormat::kN5H>(args);
    case PanelFormat::kN5HM:
      return MatmulFormat<PanelFormat::kN5HM>(args);
    case PanelFormat::kN5KM:
      return MatmulFormat<PanelFormat::kN5KM>(args);
    case PanelFormat::kN6J:
      return MatmulFormat<PanelFormat::kN6J>(args);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_MATMUL_INL_H_
