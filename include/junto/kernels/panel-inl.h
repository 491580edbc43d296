// Reads panels into vectors: codes, scales and minima of one block of 32 columns at a time, a lane
// for each row.
#include "junto/kernels/targets.h"
#if defined(JUNTO_KERNELS_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_PANEL_INL_H_
#undef JUNTO_KERNELS_PANEL_INL_H_
#else
#define JUNTO_KERNELS_PANEL_INL_H_
#endif

#include <cstdint>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "junto/kernels/dot-inl.h"
#include "junto/quant/weight_block.h"

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// Largest code that Dot16 sees, and what has been added to it. Tables are biased to be unsigned
// where the bound allows.
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
constexpr int CodeBias(const PanelTraits& traits, CodeTable table) {
  if (traits.codes != Codes::kTable4) return traits.offset;
  return table == CodeTable::kMxfp4 ? 12 : table == CodeTable::kQ40 ? 8 : 0;
}

constexpr bool TableFits(CodeTable table) {
  const int bias = CodeBias({Codes::kTable4, false, false, false, 0}, table);
  for (const int8_t value : kCodeTables[static_cast<int>(table)]) {
    if (value + bias < 0 || value + bias > MaxCode(Codes::kTable4, table)) return false;
  }
  return true;
}
static_assert(TableFits(CodeTable::kMxfp4) && TableFits(CodeTable::kQ40), "unsigned, and bounded");

// The largest magnitude of a block's integer.
constexpr int64_t DotBound(int code) {
  return int64_t{kBlockColumns} * code * kActivationMax * kSubScaleMax;
}
static_assert(2 * DotBound(128) < INT32_MAX, "any code of 8 bits, its bias included");

// Where the rows of one vector lie: those of a panel from `lane` on, or those of two panels.
struct VectorRows {
  size_t lane;     // first row of the vector in its panel
  uint64_t apart;  // bytes from the first panel to the second, for vectors of two
};

// What the rows hold at `p` of (the first) panel, where each row has as many bytes as D has per
// lane of PanelF32.
template <class D>
HWY_INLINE hn::Vec<D> LoadRows(D d, const uint8_t* p, const VectorRows& rows) {
  using T = hn::TFromD<D>;
  if constexpr (kVectorPanels == 2) {
    const hn::Half<D> half;
    return hn::Combine(d, hn::LoadU(half, reinterpret_cast<const T*>(p + rows.apart)),
                       hn::LoadU(half, reinterpret_cast<const T*>(p)));
  } else {
    constexpr size_t kRowBytes = sizeof(T) * hn::MaxLanes(D()) / kVectorRows;
    return hn::LoadU(d, reinterpret_cast<const T*>(p + rows.lane * kRowBytes));
  }
}

// Codes of columns 4 i .. 4 i + 3 of a block in code[i]. `table` is for 4-bit table formats.
template <Codes kCodes>
HWY_INLINE void ReadCodes(const uint8_t* p, const VectorRows& rows, VecU8 table, VecU8* code) {
  const PanelU8 d8;
  const PanelU16 d16;
  if constexpr (kCodes == Codes::kSigned8) {
    for (int i = 0; i < 8; ++i) code[i] = LoadRows(d8, p + 32 * i, rows);
    return;
  }
  const VecU8 low = hn::Set(d8, 15);
  for (int i = 0; i < 4; ++i) {
    const VecU8 pairs = LoadRows(d8, p + 32 * i, rows);
    code[i] = hn::And(pairs, low);
    code[4 + i] = hn::And(hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, pairs))), low);
  }
  if constexpr (kCodes == Codes::kTable4) {
    for (int i = 0; i < 8; ++i) code[i] = hn::TableLookupBytes(table, code[i]);
  }
}

// ORs bits kFrom.. of every byte of `plane` into a code, as its bits 4 and up, masked.
template <int kFrom, int kMask>
HWY_INLINE VecU8 OrHighBits(VecU8 code, VecU8 plane) {
  const PanelU8 d8;
  auto bits = hn::BitCast(PanelU16(), plane);
  if constexpr (kFrom < 4) bits = hn::ShiftLeft<4 - kFrom>(bits);
  if constexpr (kFrom > 4) bits = hn::ShiftRight<kFrom - 4>(bits);
  return hn::Or(code, hn::And(hn::BitCast(d8, bits), hn::Set(d8, kMask)));
}

// Adds the planes of high bits to the low nibbles of 5 and 6-bit codes.
template <Codes kCodes>
HWY_INLINE void ReadHighBits(const uint8_t* p, const VectorRows& rows, VecU8* code) {
  if constexpr (kCodes == Codes::kUnsigned5) {
    const VecU8 plane = LoadRows(PanelU8(), p, rows);
    code[0] = OrHighBits<0, 16>(code[0], plane);
    code[1] = OrHighBits<1, 16>(code[1], plane);
    code[2] = OrHighBits<2, 16>(code[2], plane);
    code[3] = OrHighBits<3, 16>(code[3], plane);
    code[4] = OrHighBits<4, 16>(code[4], plane);
    code[5] = OrHighBits<5, 16>(code[5], plane);
    code[6] = OrHighBits<6, 16>(code[6], plane);
    code[7] = OrHighBits<7, 16>(code[7], plane);
  } else if constexpr (kCodes == Codes::kUnsigned6) {
    for (int part = 0; part < 2; ++part) {
      const VecU8 plane = LoadRows(PanelU8(), p + 32 * part, rows);
      VecU8* const at = code + 4 * part;
      at[0] = OrHighBits<0, 48>(at[0], plane);
      at[1] = OrHighBits<2, 48>(at[1], plane);
      at[2] = OrHighBits<4, 48>(at[2], plane);
      at[3] = OrHighBits<6, 48>(at[3], plane);
    }
  }
}

// A table's values, biased.
template <CodeTable kTable>
HWY_INLINE VecU8 BiasedTable() {
  constexpr int kBias = CodeBias({Codes::kTable4, false, false, false, 0}, kTable);
  alignas(16) uint8_t biased[16];
  for (int i = 0; i < 16; ++i) {
    biased[i] = static_cast<uint8_t>(kCodeTables[static_cast<int>(kTable)][i] + kBias);
  }
  return hn::LoadDup128(PanelU8(), biased);
}

// Half-precision numbers, one per row.
HWY_INLINE VecF32 LoadF16(const uint8_t* p, const VectorRows& rows) {
  const hn::Rebind<uint16_t, PanelF32> d16;
  return hn::PromoteTo(PanelF32(),
                       hn::BitCast(hn::Rebind<hwy::float16_t, PanelF32>(), LoadRows(d16, p, rows)));
}

// 2^(e - 128) per row, subnormal results included.
HWY_INLINE VecF32 LoadE8M0(const uint8_t* p, const VectorRows& rows) {
  const PanelI32 d;
  const auto e = hn::PromoteTo(d, LoadRows(hn::Rebind<uint8_t, PanelI32>(), p, rows));
  const auto normal = hn::ShiftLeft<23>(hn::Sub(e, hn::Set(d, 1)));
  const auto tiny = hn::ShiftLeft<21>(hn::Add(e, hn::Set(d, 1)));  // 0 -> 2^21, 1 -> 2^22
  return hn::BitCast(PanelF32(), hn::IfThenElse(hn::Lt(e, hn::Set(d, 2)), tiny, normal));
}

// Small integers below a two-level scale, of T = int8_t for scales and uint8_t for minima, as
// floats. With kParts == 2 each row has two, of which `part` is taken.
template <class T, int kParts>
HWY_INLINE VecF32 LoadSub(const uint8_t* p, const VectorRows& rows, int part) {
  const PanelI32 d;
  if constexpr (kParts == 2) {
    const hn::Rebind<T, PanelI16> d8;
    const auto pairs = hn::BitCast(d, hn::PromoteTo(PanelI16(), LoadRows(d8, p, rows)));
    return hn::ConvertTo(PanelF32(), part == 0 ? hn::ShiftRight<16>(hn::ShiftLeft<16>(pairs))
                                               : hn::ShiftRight<16>(pairs));
  } else {
    return hn::ConvertTo(PanelF32(),
                         hn::PromoteTo(d, LoadRows(hn::Rebind<T, PanelI32>(), p, rows)));
  }
}

// One block of 32 columns of the rows of a vector.
template <PanelFormat kFormat, CodeTable kTable>
struct WeightVectors {
  static constexpr PanelTraits kTraits = TraitsOf(kFormat);
  static constexpr PanelLayout kLayout = LayoutOf(kFormat);
  static constexpr int kParts = kTraits.halves ? 2 : 1;  // with a scale of their own
  static constexpr int kMax = MaxCode(kTraits.codes, kTable);
  static constexpr int kBias = CodeBias(kTraits, kTable);  // codes stand for code - kBias
  static constexpr bool kHasMinimum = kTraits.minimum;

  // Block b of the rows at `panel`.
  HWY_INLINE WeightVectors(const uint8_t* panel, uint64_t b, const VectorRows& rows) {
    constexpr uint32_t kBytes = kLayout.scale_bytes + kLayout.code_bytes;
    const uint8_t* p = panel + b * kBytes;
    if constexpr (kTraits.two_level) p += (b / 8 + 1) * kLayout.header_bytes;
    PrefetchBlock(p, kBytes);
    if constexpr (kVectorPanels == 2) PrefetchBlock(p + rows.apart, kBytes);
    ReadScales(p, kTraits.two_level ? p - b % 8 * kBytes - kLayout.header_bytes : p, rows);
    ReadCodes<kTraits.codes>(p + kLayout.scale_bytes, rows, BiasedTable<kTable>(), code);
    ReadHighBits<kTraits.codes>(p + kLayout.scale_bytes + 128, rows, code);
    ArrangeCodes<kMax>(code);
  }

  VecU8 code[kCodeVectors<kMax>];
  VecF32 scale[kParts];
  VecF32 minimum[kParts];  // to subtract, times the sum of the activations

 private:
  // Vectors are read in turn, one block of each: what is asked for is some blocks of all of them
  // ahead.
  static HWY_INLINE void PrefetchBlock(const uint8_t* p, uint32_t bytes) {
    for (uint32_t at = 0; at < bytes; at += 64) hwy::Prefetch(p + 2 * bytes + at);
  }

  // The scales of a block at p, and those of two levels at `wide`.
  HWY_INLINE void ReadScales(const uint8_t* p, const uint8_t* wide, const VectorRows& rows) {
    const VecF32 wide_scale =
        kFormat == PanelFormat::kT4E8 ? LoadE8M0(wide, rows) : LoadF16(wide, rows);
    for (int part = 0; part < kParts; ++part) {
      scale[part] = wide_scale;
      if constexpr (kTraits.two_level) {
        scale[part] = hn::Mul(wide_scale, LoadSub<int8_t, kParts>(p, rows, part));
      }
      if constexpr (!kTraits.minimum) continue;
      minimum[part] = LoadF16(wide + 2 * kPanelRows, rows);
      if constexpr (kTraits.two_level) {
        minimum[part] =
            hn::Mul(minimum[part], LoadSub<uint8_t, kParts>(p + kParts * kPanelRows, rows, part));
      }
    }
  }
};

// The weights of column k of a float panel, as f32.
template <PanelFormat kFormat>
HWY_INLINE VecF32 LoadColumn(const uint8_t* panel, uint64_t k, const VectorRows& rows) {
  const PanelF32 df;
  const uint8_t* const p = panel + k * kPanelRows * (kFormat == PanelFormat::kF32 ? 4 : 2);
  if constexpr (kFormat == PanelFormat::kF32) {
    return LoadRows(df, p, rows);
  } else if constexpr (kFormat == PanelFormat::kF16) {
    return LoadF16(p, rows);
  } else {
    const auto bits = LoadRows(hn::Rebind<uint16_t, PanelF32>(), p, rows);
    return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(PanelI32(), bits)));
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_PANEL_INL_H_
