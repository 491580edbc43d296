// WeightBlocks into panels and back. Packing moves bits and never changes a value.
#ifndef JUNTO_QUANT_PACK_H_
#define JUNTO_QUANT_PACK_H_

#include <cstring>

#include "junto/quant/weight_block.h"

namespace junto {

// Where block `block` of a panel lies, in bytes from the panel's start; its group's header, where
// the format has one, precedes the first block of every 8.
constexpr uint64_t PanelBlockOffset(PanelFormat format, uint64_t block) {
  const PanelLayout& layout = LayoutOf(format);
  return block * (layout.scale_bytes + layout.code_bytes) + (block / 8 + 1) * layout.header_bytes;
}
constexpr uint64_t PanelHeaderOffset(PanelFormat format, uint64_t block) {
  return PanelBlockOffset(format, block / 8 * 8) - LayoutOf(format).header_bytes;
}

namespace pack {

// Moves one row's scales to or from the places that the panel gives them.
struct ScalePlaces {
  uint8_t* scale = nullptr;        // half, or the E8M0 byte
  uint8_t* minimum = nullptr;      // half
  uint8_t* sub_scale = nullptr;    // one byte, or two for halves
  uint8_t* sub_minimum = nullptr;  // one byte, or two for halves
};

inline ScalePlaces PlacesOf(PanelFormat format, uint8_t* panel, uint64_t block, uint32_t row) {
  const PanelTraits& traits = TraitsOf(format);
  uint8_t* const here = panel + PanelBlockOffset(format, block);
  ScalePlaces places;
  if (format == PanelFormat::kT4E8) {
    places.scale = here + row;
    return places;
  }
  uint8_t* const halves = traits.two_level ? panel + PanelHeaderOffset(format, block) : here;
  places.scale = halves + 2 * row;
  if (traits.minimum) places.minimum = halves + 2 * kPanelRows + 2 * row;
  if (traits.two_level) {
    const uint32_t each = traits.halves ? 2 : 1;
    places.sub_scale = here + each * row;
    if (traits.minimum) places.sub_minimum = here + each * kPanelRows + each * row;
  }
  return places;
}

// Codes of row r: byte 4 r + j of the i-th 32-byte vector belongs to column 4 i + j.
inline uint8_t* Quad(uint8_t* codes, uint32_t i, uint32_t row) { return codes + 32 * i + 4 * row; }

inline void PackNibbles(const uint8_t* pairs, uint32_t row, uint8_t* codes) {
  for (uint32_t i = 0; i < 4; ++i) std::memcpy(Quad(codes, i, row), pairs + 4 * i, 4);
}

// Low nibbles as in 4-bit formats. High bits: byte 4 r + j of a plane holds those of the columns
// 4 i + j of row r, bit i for one bit each (8 columns per byte), bits 2 i for two (4 per byte).
inline void PackWide(const uint8_t* wide, uint32_t bits, uint32_t row, uint8_t* codes) {
  const uint32_t per_byte = 8 / bits;
  for (uint32_t k = 0; k < kBlockColumns; ++k) {
    const uint32_t i = k / 4;
    uint8_t* nibble = Quad(codes, i % 4, row) + k % 4;
    *nibble = static_cast<uint8_t>(i < 4 ? wide[k] & 15 : *nibble | (wide[k] & 15) << 4);
    uint8_t* high = codes + 128 + i / per_byte * 32 + 4 * row + k % 4;
    const auto shifted = static_cast<uint8_t>(wide[k] >> 4 << (i % per_byte * bits));
    *high = i % per_byte == 0 ? shifted : static_cast<uint8_t>(*high | shifted);
  }
}

inline void UnpackWide(const uint8_t* codes, uint32_t bits, uint32_t row, uint8_t* wide) {
  const uint32_t per_byte = 8 / bits;
  for (uint32_t k = 0; k < kBlockColumns; ++k) {
    const uint32_t i = k / 4;
    const uint32_t nibble = codes[32 * (i % 4) + 4 * row + k % 4] >> (i / 4 * 4) & 15;
    const uint32_t high = codes[128 + i / per_byte * 32 + 4 * row + k % 4];
    wide[k] =
        static_cast<uint8_t>(nibble | (high >> (i % per_byte * bits) & ((1u << bits) - 1)) << 4);
  }
}

}  // namespace pack

// Writes `block`, columns [32 index, 32 index + 32) of row `row` < 8, into its panel. The 8
// blocks of one row under a header share its scale and minimum; rows share nothing.
inline void PackBlock(const WeightBlock& block, PanelFormat format, uint64_t index, uint32_t row,
                      uint8_t* panel) {
  const PanelTraits& traits = TraitsOf(format);
  const pack::ScalePlaces places = pack::PlacesOf(format, panel, index, row);
  if (format == PanelFormat::kT4E8) {
    *places.scale = static_cast<uint8_t>(block.scale);
  } else {
    StoreU16(block.scale, places.scale);
  }
  if (places.minimum != nullptr) StoreU16(block.minimum, places.minimum);
  const uint32_t each = traits.halves ? 2 : 1;
  if (places.sub_scale != nullptr) std::memcpy(places.sub_scale, block.sub_scale, each);
  if (places.sub_minimum != nullptr) std::memcpy(places.sub_minimum, block.sub_minimum, each);

  uint8_t* codes = panel + PanelBlockOffset(format, index) + LayoutOf(format).scale_bytes;
  switch (traits.codes) {
    case Codes::kTable4:
    case Codes::kUnsigned4:
      pack::PackNibbles(block.codes, row, codes);
      break;
    case Codes::kUnsigned5:
      pack::PackWide(block.codes, 1, row, codes);
      break;
    case Codes::kUnsigned6:
      pack::PackWide(block.codes, 2, row, codes);
      break;
    case Codes::kSigned8:
      for (uint32_t i = 0; i < 8; ++i)
        std::memcpy(pack::Quad(codes, i, row), block.codes + 4 * i, 4);
      break;
    case Codes::kFloat:
      break;
  }
}

// The inverse of PackBlock.
inline WeightBlock ExtractBlock(const uint8_t* panel, PanelFormat format, uint64_t index,
                                uint32_t row) {
  WeightBlock block;
  const PanelTraits& traits = TraitsOf(format);
  const pack::ScalePlaces places = pack::PlacesOf(format, const_cast<uint8_t*>(panel), index, row);
  block.scale = format == PanelFormat::kT4E8 ? *places.scale : LoadU16(places.scale);
  if (places.minimum != nullptr) block.minimum = LoadU16(places.minimum);
  for (uint32_t h = 0; h < 2; ++h) {
    const uint32_t at = traits.halves ? h : 0;
    if (places.sub_scale != nullptr) {
      block.sub_scale[h] = static_cast<int8_t>(places.sub_scale[at]);
    }
    if (places.sub_minimum != nullptr) block.sub_minimum[h] = places.sub_minimum[at];
  }
  const uint8_t* codes = panel + PanelBlockOffset(format, index) + LayoutOf(format).scale_bytes;
  switch (traits.codes) {
    case Codes::kTable4:
    case Codes::kUnsigned4:
      for (uint32_t i = 0; i < 4; ++i)
        std::memcpy(block.codes + 4 * i, codes + 32 * i + 4 * row, 4);
      break;
    case Codes::kUnsigned5:
      pack::UnpackWide(codes, 1, row, block.codes);
      break;
    case Codes::kUnsigned6:
      pack::UnpackWide(codes, 2, row, block.codes);
      break;
    case Codes::kSigned8:
      for (uint32_t i = 0; i < 8; ++i)
        std::memcpy(block.codes + 4 * i, codes + 32 * i + 4 * row, 4);
      break;
    case Codes::kFloat:
      break;
  }
  return block;
}

}  // namespace junto

#endif  // JUNTO_QUANT_PACK_H_
