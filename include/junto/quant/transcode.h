// Rows of a file's tensor into panels, rows of panels into floats, and plain vectors.
#ifndef JUNTO_QUANT_TRANSCODE_H_
#define JUNTO_QUANT_TRANSCODE_H_

#include <cstring>

#include "junto/quant/pack.h"
#include "junto/quant/unpack.h"

namespace junto {

constexpr uint64_t kAllFinite = ~uint64_t{0};

namespace transcode {

inline uint32_t FloatSize(PanelFormat format) { return format == PanelFormat::kF32 ? 4 : 2; }

// One float of `format` at p, as its bits.
inline uint32_t LoadBits(const uint8_t* p, PanelFormat format) {
  if (format != PanelFormat::kF32) return LoadU16(p);
  uint32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

inline bool IsFiniteBits(uint32_t bits, PanelFormat format) {
  if (format == PanelFormat::kF32) return IsFiniteFloat(bits);
  const auto low = static_cast<uint16_t>(bits);
  return format == PanelFormat::kF16 ? IsFiniteHalf(low) : IsFiniteBFloat16(low);
}

inline float ValueOfBits(uint32_t bits, PanelFormat format) {
  if (format == PanelFormat::kF32) return FloatFromBits(bits);
  const auto low = static_cast<uint16_t>(bits);
  return format == PanelFormat::kF16 ? FloatFromHalf(low) : FloatFromBFloat16(low);
}

}  // namespace transcode

// Calls f(values, first_column, count) for consecutive pieces of one row of `columns` weights in
// file format `source`. Returns the column of the first weight that is not a number, or kAllFinite.
template <class F>
uint64_t ForEachPiece(const SourceFormat& source, const uint8_t* src, uint64_t columns, F&& f) {
  if (source.unpack == nullptr) {
    const uint32_t size = transcode::FloatSize(source.panel);
    for (uint64_t k = 0; k < columns; ++k) {
      const uint32_t bits = transcode::LoadBits(src + k * size, source.panel);
      if (!transcode::IsFiniteBits(bits, source.panel)) return k;
      const float value = transcode::ValueOfBits(bits, source.panel);
      f(&value, k, 1u);
    }
    return kAllFinite;
  }
  const BlockTypeInfo& info = *FindBlockType(static_cast<uint32_t>(source.type));
  for (uint64_t k = 0; k < columns; k += info.elements, src += info.bytes) {
    WeightBlock blocks[8];
    source.unpack(src, blocks);
    for (uint32_t b = 0; b < info.elements / kBlockColumns; ++b) {
      const uint64_t column = k + b * kBlockColumns;
      if (!IsFinite(blocks[b], source.panel)) return column;
      float values[kBlockColumns];
      EvaluateBlock(blocks[b], source.panel, source.table, values);
      f(values, column, kBlockColumns);
    }
  }
  return kAllFinite;
}

// One row to floats, exactly as ggml defines the format.
inline uint64_t Dequantise(const SourceFormat& source, const uint8_t* src, uint64_t columns,
                           float* values) {
  return ForEachPiece(source, src, columns, [&](const float* piece, uint64_t k, uint32_t count) {
    std::memcpy(values + k, piece, count * sizeof(float));
  });
}

// One row into row `row` < 8 of a panel of format `source.panel`, or of kF32 when `widen`.
// Returns like ForEachPiece.
inline uint64_t PackRow(const SourceFormat& source, const uint8_t* src, uint64_t columns,
                        bool widen, uint32_t row, uint8_t* panel) {
  if (widen) {
    return ForEachPiece(source, src, columns, [&](const float* piece, uint64_t k, uint32_t count) {
      for (uint32_t i = 0; i < count; ++i) {
        std::memcpy(panel + ((k + i) * kPanelRows + row) * sizeof(float), piece + i, sizeof(float));
      }
    });
  }
  if (source.unpack == nullptr) {
    const uint32_t size = transcode::FloatSize(source.panel);
    for (uint64_t k = 0; k < columns; ++k) {
      if (!transcode::IsFiniteBits(transcode::LoadBits(src + k * size, source.panel),
                                   source.panel)) {
        return k;
      }
      std::memcpy(panel + (k * kPanelRows + row) * size, src + k * size, size);
    }
    return kAllFinite;
  }
  const BlockTypeInfo& info = *FindBlockType(static_cast<uint32_t>(source.type));
  const uint32_t per_source = info.elements / kBlockColumns;
  for (uint64_t k = 0; k < columns; k += info.elements, src += info.bytes) {
    WeightBlock blocks[8];
    source.unpack(src, blocks);
    for (uint32_t b = 0; b < per_source; ++b) {
      const uint64_t index = k / kBlockColumns + b;
      if (!IsFinite(blocks[b], source.panel)) return index * kBlockColumns;
      PackBlock(blocks[b], source.panel, index, row, panel);
    }
  }
  return kAllFinite;
}

// Row `row` of a matrix in panels, as floats: the embedding lookup.
inline void UnpackRow(const PanelMatrix& matrix, uint32_t row, float* values) {
  const uint8_t* panel = matrix.data + row / kPanelRows * matrix.stride;
  const uint32_t lane = row % kPanelRows;
  if (!IsQuantised(matrix.format)) {
    const uint32_t size = transcode::FloatSize(matrix.format);
    for (uint64_t k = 0; k < matrix.columns; ++k) {
      values[k] = transcode::ValueOfBits(
          transcode::LoadBits(panel + (k * kPanelRows + lane) * size, matrix.format),
          matrix.format);
    }
    return;
  }
  for (uint64_t b = 0; b < matrix.columns / kBlockColumns; ++b) {
    EvaluateBlock(ExtractBlock(panel, matrix.format, b, lane), matrix.format, matrix.table,
                  values + b * kBlockColumns);
  }
}

}  // namespace junto

#endif  // JUNTO_QUANT_TRANSCODE_H_
