// Panels: how weights lie in memory once loaded.
//
// A panel holds 8 output rows, interleaved so that one vector lane is one row. Along k it is a
// sequence of blocks of 32 columns (float formats: of single columns); formats with two-level
// scales put a header before every eighth block. Multi-byte fields are little-endian.
// docs/formats.md draws each layout.
#ifndef JUNTO_QUANT_PANEL_H_
#define JUNTO_QUANT_PANEL_H_

#include <cstddef>
#include <cstdint>

#include "junto/base/checked.h"

namespace junto {

// Packed files carry it: raise it when a byte of any panel comes to lie or to mean otherwise.
constexpr uint32_t kPanelVersion = 1;

constexpr uint32_t kPanelRows = 8;
constexpr uint32_t kBlockColumns = 32;
constexpr uint32_t kSuperColumns = 256;

// Named <codes><scales>. Codes: T table of 16 values, N unsigned integer, B signed byte.
// Scales: E8 power of two per 32; H half per 32; K half per 256 times an integer per 32; J the same
// with an integer per 16; M adds a minimum of the same shape that is subtracted.
enum class PanelFormat : uint8_t {
  kF32,
  kF16,
  kBF16,
  kB8H,   // Q8_0
  kT4E8,  // MXFP4
  kT4H,   // Q4_0, IQ4_NL
  kT4K,   // IQ4_XS
  kN4HM,  // Q4_1
  kN4KM,  // Q4_K
  kN4JM,  // Q2_K
  kN5H,   // Q5_0
  kN5HM,  // Q5_1
  kN5KM,  // Q5_K
  kN6J,   // Q6_K, Q3_K
};
constexpr int kPanelFormatCount = 14;

constexpr bool IsQuantised(PanelFormat format) { return format >= PanelFormat::kB8H; }

// The 16 values of table formats.
enum class CodeTable : uint8_t { kMxfp4, kQ40, kIq4Nl };
constexpr int8_t kCodeTables[3][16] = {
    {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12},  // E2M1 times two
    {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7},
    {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
};

// Sizes in bytes of one block and of the header that precedes every group of 8 blocks.
struct PanelLayout {
  uint32_t code_bytes;    // codes of 8 rows x 32 columns
  uint32_t scale_bytes;   // scales (and minima) that stand before the codes of each block
  uint32_t header_bytes;  // before every 8th block; 0 for single-level scales
};
constexpr PanelLayout kPanelLayouts[kPanelFormatCount] = {
    {8 * 32 * 4, 0, 0},  // kF32
    {8 * 32 * 2, 0, 0},  // kF16
    {8 * 32 * 2, 0, 0},  // kBF16
    {256, 16, 0},        // kB8H
    {128, 8, 0},         // kT4E8
    {128, 16, 0},        // kT4H
    {128, 8, 16},        // kT4K
    {128, 32, 0},        // kN4HM
    {128, 16, 32},       // kN4KM
    {128, 32, 32},       // kN4JM
    {160, 16, 0},        // kN5H
    {160, 32, 0},        // kN5HM
    {160, 16, 32},       // kN5KM
    {192, 16, 16},       // kN6J
};
constexpr const PanelLayout& LayoutOf(PanelFormat format) {
  return kPanelLayouts[static_cast<int>(format)];
}

// Bytes of one panel of `columns` columns: a multiple of 32 for quantised formats, of 256 for those
// with a header.
constexpr uint64_t PanelBytes(PanelFormat format, uint64_t columns) {
  const PanelLayout& layout = LayoutOf(format);
  if (!IsQuantised(format)) return layout.code_bytes / kBlockColumns * columns;
  return columns / kBlockColumns * (layout.code_bytes + layout.scale_bytes) +
         columns / kSuperColumns * layout.header_bytes;
}

constexpr uint32_t PanelCount(uint32_t rows) { return CeilDiv(rows, kPanelRows); }

constexpr uint64_t MatrixBytes(PanelFormat format, uint32_t rows, uint32_t columns) {
  return PanelCount(rows) * PanelBytes(format, columns);
}

// A matrix in panels; rows of the last panel that are past `rows` are zero. The panels of two
// matrices may alternate (an expert's gate and up), hence the stride.
struct PanelMatrix {
  const uint8_t* data = nullptr;
  uint64_t stride = 0;  // bytes from one panel to the next
  PanelFormat format = PanelFormat::kF32;
  CodeTable table = CodeTable::kMxfp4;  // T formats only
  uint32_t rows = 0;
  uint32_t columns = 0;
};

// A row of activations as quantised formats take it, 32 values at a time. Every 8 values share a
// small integer below the block's scale, so that one outlier costs its neighbours little:
//   value[k] = scale * sub_scale[GroupOf(k)] * q[k].
// Groups take pairs of columns in turn, because a product of bytes leaves sums of pairs: what lies
// in the low and the high half of a 32-bit lane then belongs to different groups, and one
// instruction scales both. Where sub-scales and codes stand in the block is the affair of the
// instruction set that wrote it and alone reads it (kernels/dot-inl.h).
constexpr uint32_t kGroupColumns = 8;
constexpr uint32_t kGroups = kBlockColumns / kGroupColumns;
constexpr int kSubScaleMax = 63;
constexpr uint32_t GroupOf(uint32_t column) { return column / 16 * 2 + column / 2 % 2; }

// A cache line.
struct ActivationBlock {
  float scale;     // max |x| / (127 * 63)
  int32_t sum[3];  // of sub_scale * q: over the first 16 columns, the last 16, and all
  int16_t sub_scale[2 * kGroups];
  int8_t q[kBlockColumns];
};
static_assert(sizeof(ActivationBlock) == 64, "kernels index it by 4-byte words");

}  // namespace junto

#endif  // JUNTO_QUANT_PANEL_H_
