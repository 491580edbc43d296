// From GGUF's quantised block formats to WeightBlocks, exactly. One short function per format; the
// table at the end says which panel format each one becomes.
//
// Block layouts: the GGUF format as ggml defines it (docs/formats.md restates each one).
#ifndef JUNTO_QUANT_UNPACK_H_
#define JUNTO_QUANT_UNPACK_H_

#include <cstring>

#include "junto/quant/block_types.h"
#include "junto/quant/weight_block.h"

namespace junto {
namespace unpack {

// Each takes one file block and fills its elements / 32 WeightBlocks.

inline void Mxfp4(const uint8_t* src, WeightBlock* out) {
  out->scale = src[0];
  std::memcpy(out->codes, src + 1, 16);
}

// Q4_0 and IQ4_NL differ in the table only.
inline void Nibbles(const uint8_t* src, WeightBlock* out) {
  out->scale = LoadU16(src);
  std::memcpy(out->codes, src + 2, 16);
}

// Files with an added minimum store it with the other sign.
inline uint16_t Negated(uint16_t half) { return half ^ 0x8000; }

inline void Q4_1(const uint8_t* src, WeightBlock* out) {
  out->scale = LoadU16(src);
  out->minimum = Negated(LoadU16(src + 2));
  std::memcpy(out->codes, src + 4, 16);
}

// Codes of 5 bits: 4 bytes of fifth bits, then nibbles j | j + 16.
inline void FiveBits(const uint8_t* src, uint8_t* codes) {
  uint32_t high;
  std::memcpy(&high, src, sizeof(high));
  for (uint32_t j = 0; j < 16; ++j) {
    codes[j] = static_cast<uint8_t>((src[4 + j] & 15) | (high >> j & 1) << 4);
    codes[j + 16] = static_cast<uint8_t>(src[4 + j] >> 4 | (high >> (j + 16) & 1) << 4);
  }
}

inline void Q5_0(const uint8_t* src, WeightBlock* out) {
  out->scale = LoadU16(src);
  FiveBits(src + 2, out->codes);
}

inline void Q5_1(const uint8_t* src, WeightBlock* out) {
  out->scale = LoadU16(src);
  out->minimum = Negated(LoadU16(src + 2));
  FiveBits(src + 4, out->codes);
}

inline void Q8_0(const uint8_t* src, WeightBlock* out) {
  out->scale = LoadU16(src);
  std::memcpy(out->codes, src + 2, 32);
}

// Writes 32 four-bit codes as the nibble pairs of a WeightBlock.
inline void PairNibbles(const uint8_t* codes, uint8_t* pairs) {
  for (uint32_t j = 0; j < 16; ++j) {
    pairs[j] = static_cast<uint8_t>(codes[j] | codes[j + 16] << 4);
  }
}

// 84 bytes: 16 x (scale | minimum << 4), 64 bytes of 2-bit codes, d, dmin.
inline void Q2_K(const uint8_t* src, WeightBlock* out) {
  const uint8_t* codes = src + 16;
  for (uint32_t b = 0; b < 8; ++b) {
    out[b].scale = LoadU16(src + 80);
    out[b].minimum = LoadU16(src + 82);
    for (uint32_t h = 0; h < 2; ++h) {
      out[b].sub_scale[h] = static_cast<int8_t>(src[2 * b + h] & 15);
      out[b].sub_minimum[h] = src[2 * b + h] >> 4;
    }
    uint8_t wide[32];
    for (uint32_t j = 0; j < 32; ++j) wide[j] = codes[b / 4 * 32 + j] >> (b % 4 * 2) & 3;
    PairNibbles(wide, out[b].codes);
  }
}

// The 16 six-bit scales of Q3_K, less 32, as bytes of two's complement.
inline uint8_t Q3Scale(const uint8_t* packed, uint32_t s) {
  const uint32_t low4 = s < 8 ? packed[s] & 15 : packed[s - 8] >> 4;
  const uint32_t high2 = packed[8 + s % 4] >> (s / 4 * 2) & 3;
  return static_cast<uint8_t>((low4 | high2 << 4) - 32);
}

// 110 bytes: 32 bytes of third bits (set means no subtraction of 4), 64 bytes of low 2 bits, 16
// six-bit scales in 12 bytes, d.
inline void Q3_K(const uint8_t* src, WeightBlock* out) {
  const uint8_t* low = src + 32;
  for (uint32_t b = 0; b < 8; ++b) {
    out[b].scale = LoadU16(src + 108);
    for (uint32_t h = 0; h < 2; ++h) {
      out[b].sub_scale[h] = static_cast<int8_t>(Q3Scale(src + 96, 2 * b + h));
    }
    for (uint32_t j = 0; j < 32; ++j) {
      const uint32_t code = (low[b / 4 * 32 + j] >> (b % 4 * 2) & 3) | (src[j] >> b & 1) << 2;
      out[b].codes[j] = static_cast<uint8_t>(code - 4 + 32);  // kN6J subtracts 32
    }
  }
}

// The 8 six-bit scales and 8 six-bit minima that Q4_K and Q5_K keep in 12 bytes.
inline void SixBitPair(const uint8_t* packed, uint32_t b, WeightBlock* out) {
  uint32_t scale;
  uint32_t minimum;
  if (b < 4) {
    scale = packed[b] & 63;
    minimum = packed[b + 4] & 63;
  } else {
    scale = (packed[b + 4] & 15) | (packed[b - 4] >> 6) << 4;
    minimum = packed[b + 4] >> 4 | (packed[b] >> 6) << 4;
  }
  for (uint32_t h = 0; h < 2; ++h) {
    out->sub_scale[h] = static_cast<int8_t>(scale);
    out->sub_minimum[h] = static_cast<uint8_t>(minimum);
  }
}

// 144 bytes: d, dmin, 12 bytes of scales, 128 bytes: 32 low nibbles of one block and, high, of the
// next.
inline void Q4_K(const uint8_t* src, WeightBlock* out) {
  for (uint32_t b = 0; b < 8; ++b) {
    out[b].scale = LoadU16(src);
    out[b].minimum = LoadU16(src + 2);
    SixBitPair(src + 4, b, &out[b]);
    uint8_t wide[32];
    const uint8_t* nibbles = src + 16 + b / 2 * 32;
    for (uint32_t j = 0; j < 32; ++j) wide[j] = nibbles[j] >> (b % 2 * 4) & 15;
    PairNibbles(wide, out[b].codes);
  }
}

// 176 bytes: as Q4_K with 32 bytes of fifth bits (bit b for block b) before the nibbles.
inline void Q5_K(const uint8_t* src, WeightBlock* out) {
  const uint8_t* high = src + 16;
  for (uint32_t b = 0; b < 8; ++b) {
    out[b].scale = LoadU16(src);
    out[b].minimum = LoadU16(src + 2);
    SixBitPair(src + 4, b, &out[b]);
    const uint8_t* nibbles = src + 48 + b / 2 * 32;
    for (uint32_t j = 0; j < 32; ++j) {
      out[b].codes[j] =
          static_cast<uint8_t>((nibbles[j] >> (b % 2 * 4) & 15) | (high[j] >> b & 1) << 4);
    }
  }
}

// 210 bytes: 128 bytes of low nibbles, 64 bytes of high 2 bits, 16 signed scales, d.
inline void Q6_K(const uint8_t* src, WeightBlock* out) {
  for (uint32_t b = 0; b < 8; ++b) {
    out[b].scale = LoadU16(src + 208);
    out[b].sub_scale[0] = static_cast<int8_t>(src[192 + 2 * b]);
    out[b].sub_scale[1] = static_cast<int8_t>(src[192 + 2 * b + 1]);
    const uint8_t* low = src + b / 4 * 64 + b % 2 * 32;
    const uint8_t* high = src + 128 + b / 4 * 32;
    for (uint32_t j = 0; j < 32; ++j) {
      out[b].codes[j] = static_cast<uint8_t>((low[j] >> (b % 4 / 2 * 4) & 15) |
                                             (high[j] >> (b % 4 * 2) & 3) << 4);
    }
  }
}

// The scale of block b of IQ4_XS, less 32, as a byte of two's complement.
inline uint8_t IQ4Scale(const uint8_t* src, uint32_t b) {
  const uint32_t low4 = src[4 + b / 2] >> (b % 2 * 4) & 15;
  const uint32_t high2 = LoadU16(src + 2) >> (2 * b) & 3;
  return static_cast<uint8_t>((low4 | high2 << 4) - 32);
}

// 136 bytes: d, 16 bits of high scale bits, 4 bytes of low scale nibbles, 8 x 16 nibble pairs.
inline void IQ4_XS(const uint8_t* src, WeightBlock* out) {
  for (uint32_t b = 0; b < 8; ++b) {
    out[b].scale = LoadU16(src);
    out[b].sub_scale[0] = out[b].sub_scale[1] = static_cast<int8_t>(IQ4Scale(src, b));
    std::memcpy(out[b].codes, src + 8 + 16 * b, 16);
  }
}

}  // namespace unpack

// How a file format is read: into which panel format, and by what function (nullptr for floats).
struct SourceFormat {
  BlockType type;
  PanelFormat panel;
  CodeTable table;
  void (*unpack)(const uint8_t* src, WeightBlock* out);
};

constexpr SourceFormat kSourceFormats[] = {
    {BlockType::kF32, PanelFormat::kF32, CodeTable::kMxfp4, nullptr},
    {BlockType::kF16, PanelFormat::kF16, CodeTable::kMxfp4, nullptr},
    {BlockType::kBF16, PanelFormat::kBF16, CodeTable::kMxfp4, nullptr},
    {BlockType::kMXFP4, PanelFormat::kT4E8, CodeTable::kMxfp4, unpack::Mxfp4},
    {BlockType::kQ4_0, PanelFormat::kT4H, CodeTable::kQ40, unpack::Nibbles},
    {BlockType::kQ4_1, PanelFormat::kN4HM, CodeTable::kMxfp4, unpack::Q4_1},
    {BlockType::kQ5_0, PanelFormat::kN5H, CodeTable::kMxfp4, unpack::Q5_0},
    {BlockType::kQ5_1, PanelFormat::kN5HM, CodeTable::kMxfp4, unpack::Q5_1},
    {BlockType::kQ8_0, PanelFormat::kB8H, CodeTable::kMxfp4, unpack::Q8_0},
    {BlockType::kQ2_K, PanelFormat::kN4JM, CodeTable::kMxfp4, unpack::Q2_K},
    {BlockType::kQ3_K, PanelFormat::kN6J, CodeTable::kMxfp4, unpack::Q3_K},
    {BlockType::kQ4_K, PanelFormat::kN4KM, CodeTable::kMxfp4, unpack::Q4_K},
    {BlockType::kQ5_K, PanelFormat::kN5KM, CodeTable::kMxfp4, unpack::Q5_K},
    {BlockType::kQ6_K, PanelFormat::kN6J, CodeTable::kMxfp4, unpack::Q6_K},
    {BlockType::kIQ4_NL, PanelFormat::kT4H, CodeTable::kIq4Nl, unpack::Nibbles},
    {BlockType::kIQ4_XS, PanelFormat::kT4K, CodeTable::kIq4Nl, unpack::IQ4_XS},
};

// nullptr for formats that Junto does not compute with.
constexpr const SourceFormat* FindSourceFormat(BlockType type) {
  for (const SourceFormat& format : kSourceFormats) {
    if (format.type == type) return &format;
  }
  return nullptr;
}

// Whether the scales of a block are numbers, and its weights too: files are not trusted to hold no
// NaN, and E8M0 exponents from 253 on take the largest code beyond what f32 holds.
inline bool IsFinite(const WeightBlock& block, PanelFormat format) {
  if (format == PanelFormat::kT4E8) return block.scale <= 252;
  return IsFiniteHalf(block.scale) && IsFiniteHalf(block.minimum);
}

}  // namespace junto

#endif  // JUNTO_QUANT_UNPACK_H_
