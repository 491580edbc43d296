// Eight rows of a file's tensor into a panel at once: what PackRow does value by value, whole words
// at a time. PackRow says what is right; tests hold these functions to its bits.
#ifndef JUNTO_QUANT_PACK_PANEL_H_
#define JUNTO_QUANT_PACK_PANEL_H_

#include <cstring>

#include "junto/quant/transcode.h"

namespace junto {
namespace pack {

// Four codes, or four bytes that hold two each, of one row: what a lane of a vector is.
inline uint32_t LoadWord(const uint8_t* p) {
  uint32_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}
inline void StoreWord(uint32_t word, uint8_t* p) { std::memcpy(p, &word, sizeof(word)); }

constexpr uint32_t kLowNibbles = 0x0F0F0F0F;
constexpr uint32_t kLowPairs = 0x03030303;
constexpr uint32_t kLowBits = 0x01010101;

inline uint32_t NotFinite(uint16_t half) { return IsFiniteHalf(half) ? 0 : 1; }

// Halves of row `row`: the first, and the second from 16 bytes on. Nonzero: one is not finite.
inline uint32_t PutScale(const uint8_t* src, uint32_t row, uint8_t* halves) {
  const uint16_t scale = LoadU16(src);
  StoreU16(scale, halves + 2 * row);
  return NotFinite(scale);
}
inline uint32_t PutMinimum(uint16_t minimum, uint32_t row, uint8_t* halves) {
  StoreU16(minimum, halves + 2 * kPanelRows + 2 * row);
  return NotFinite(minimum);
}

// `words` quads of a row, which already are as the panel wants them.
template <uint32_t words>
void PutQuads(const uint8_t* src, uint32_t row, uint8_t* codes) {
  for (uint32_t i = 0; i < words; ++i) StoreWord(LoadWord(src + 4 * i), Quad(codes, i, row));
}

// Sixteen scales of a row, two for each of 8 blocks of `block_bytes`, from `to` on.
inline void PutSixteen(const uint8_t* scales, uint32_t row, uint32_t block_bytes, uint8_t* to) {
  for (uint32_t b = 0; b < 8; ++b) std::memcpy(to + b * block_bytes + 2 * row, scales + 2 * b, 2);
}

// The fifth bits of 32 codes, bit i for code i: bit i of byte j of the plane's word is that of
// code 4 i + j.
inline uint32_t PlaneOfBits(uint32_t bits) {
  uint32_t plane = 0;
  for (uint32_t i = 0; i < 8; ++i) {
    plane |= ((bits >> 4 * i & 15) * 0x00204081u & kLowBits) << i;
  }
  return plane;
}

// Each of the following takes the block of one row that starts at `src` and writes it to the panel,
// whose blocks for the same columns start at `to`. Nonzero: a scale is not finite.

struct PanelMxfp4 {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    to[row] = src[0];
    PutQuads<4>(src + 1, row, to + 8);
    return src[0] > 252 ? 1 : 0;
  }
};

struct PanelNibbles {  // Q4_0, IQ4_NL
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    PutQuads<4>(src + 2, row, to + 16);
    return PutScale(src, row, to);
  }
};

struct PanelQ4_1 {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    PutQuads<4>(src + 4, row, to + 32);
    return PutScale(src, row, to) | PutMinimum(unpack::Negated(LoadU16(src + 2)), row, to);
  }
};

struct PanelQ5_0 {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    PutQuads<4>(src + 6, row, to + 16);
    StoreWord(PlaneOfBits(LoadWord(src + 2)), Quad(to + 16, 4, row));
    return PutScale(src, row, to);
  }
};

struct PanelQ5_1 {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    PutQuads<4>(src + 8, row, to + 32);
    StoreWord(PlaneOfBits(LoadWord(src + 4)), Quad(to + 32, 4, row));
    return PutScale(src, row, to) | PutMinimum(unpack::Negated(LoadU16(src + 2)), row, to);
  }
};

struct PanelQ8_0 {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    PutQuads<8>(src + 2, row, to + 16);
    return PutScale(src, row, to);
  }
};

// Blocks of 256 columns keep the nibbles of two blocks of 32 in the low and the high halves of 32
// bytes; a panel wants those of columns j and j + 16 of one block in a byte.
inline void PutLowNibbles(const uint8_t* src, uint32_t row, uint8_t* codes) {
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t first = LoadWord(src + 4 * i) & kLowNibbles;
    StoreWord(first | (LoadWord(src + 16 + 4 * i) & kLowNibbles) << 4, Quad(codes, i, row));
  }
}
inline void PutHighNibbles(const uint8_t* src, uint32_t row, uint8_t* codes) {
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t first = LoadWord(src + 4 * i) >> 4 & kLowNibbles;
    StoreWord(first | (LoadWord(src + 16 + 4 * i) & ~kLowNibbles), Quad(codes, i, row));
  }
}

// The 12 bytes of Q4_K and Q5_K as 8 scales and 8 minima of a byte each, as unpack::SixBitPair.
struct SixBits {
  explicit SixBits(const uint8_t* packed) {
    const uint32_t low = LoadWord(packed);
    const uint32_t mid = LoadWord(packed + 4);
    const uint32_t high = LoadWord(packed + 8);
    StoreWord(low & 0x3F3F3F3Fu, scales);
    StoreWord(mid & 0x3F3F3F3Fu, minima);
    StoreWord((high & kLowNibbles) | (low >> 2 & 0x30303030u), scales + 4);
    StoreWord((high >> 4 & kLowNibbles) | (mid >> 2 & 0x30303030u), minima + 4);
  }
  uint8_t scales[8];
  uint8_t minima[8];
};

template <uint32_t code_bytes>
uint32_t PutSuperScales(const uint8_t* src, uint32_t row, uint8_t* to) {
  const SixBits six(src + 4);
  for (uint32_t b = 0; b < 8; ++b) {
    uint8_t* block = to + 32 + b * (16 + code_bytes);
    block[row] = six.scales[b];
    block[8 + row] = six.minima[b];
  }
  return PutScale(src, row, to) | PutMinimum(LoadU16(src + 2), row, to);
}

struct PanelQ4_K {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    for (uint32_t b = 0; b < 8; b += 2) {
      uint8_t* codes = to + 32 + b * 144 + 16;
      PutLowNibbles(src + 16 + b / 2 * 32, row, codes);
      PutHighNibbles(src + 16 + b / 2 * 32, row, codes + 144);
    }
    return PutSuperScales<128>(src, row, to);
  }
};

struct PanelQ5_K {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    uint32_t planes[8] = {};
    for (uint32_t i = 0; i < 8; ++i) {
      const uint32_t high = LoadWord(src + 16 + 4 * i);
      for (uint32_t b = 0; b < 8; ++b) planes[b] |= (high >> b & kLowBits) << i;
    }
    for (uint32_t b = 0; b < 8; b += 2) {
      uint8_t* codes = to + 32 + b * 176 + 16;
      PutLowNibbles(src + 48 + b / 2 * 32, row, codes);
      PutHighNibbles(src + 48 + b / 2 * 32, row, codes + 176);
      StoreWord(planes[b], Quad(codes, 4, row));
      StoreWord(planes[b + 1], Quad(codes + 176, 4, row));
    }
    return PutSuperScales<160>(src, row, to);
  }
};

struct PanelQ6_K {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    PutSixteen(src + 192, row, 208, to + 16);
    for (uint32_t b = 0; b < 8; ++b) {
      uint8_t* codes = to + 16 + b * 208 + 16;
      const uint8_t* low = src + b / 4 * 64 + b % 2 * 32;
      if (b % 4 < 2) {
        PutLowNibbles(low, row, codes);
      } else {
        PutHighNibbles(low, row, codes);
      }
      const uint8_t* high = src + 128 + b / 4 * 32;
      for (uint32_t p = 0; p < 2; ++p) {
        uint32_t plane = 0;
        for (uint32_t i = 0; i < 4; ++i) {
          plane |= (LoadWord(high + 16 * p + 4 * i) >> (b % 4 * 2) & kLowPairs) << (2 * i);
        }
        StoreWord(plane, Quad(codes, 4 + p, row));
      }
    }
    return PutScale(src + 208, row, to);
  }
};

struct PanelQ2_K {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    uint8_t scales[16];
    uint8_t minima[16];
    for (uint32_t i = 0; i < 16; i += 4) {
      StoreWord(LoadWord(src + i) & kLowNibbles, scales + i);
      StoreWord(LoadWord(src + i) >> 4 & kLowNibbles, minima + i);
    }
    PutSixteen(scales, row, 160, to + 32);
    PutSixteen(minima, row, 160, to + 32 + 16);
    for (uint32_t b = 0; b < 8; ++b) {
      const uint8_t* pairs = src + 16 + b / 4 * 32;
      uint8_t* codes = to + 32 + b * 160 + 32;
      for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t first = LoadWord(pairs + 4 * i) >> (b % 4 * 2) & kLowPairs;
        const uint32_t second = LoadWord(pairs + 16 + 4 * i) >> (b % 4 * 2) & kLowPairs;
        StoreWord(first | second << 4, Quad(codes, i, row));
      }
    }
    return PutScale(src + 80, row, to) | PutMinimum(LoadU16(src + 82), row, to);
  }
};

// The 16 scales of Q3_K, as unpack::Q3Scale: four at a time, less 32 by a flip of the sixth bit and
// its copy into the two above.
struct ThirdScales {
  explicit ThirdScales(const uint8_t* packed) {
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t low = LoadWord(packed + i % 2 * 4) >> (i / 2 * 4) & kLowNibbles;
      const uint32_t high = LoadWord(packed + 8) >> (2 * i) & kLowPairs;
      const uint32_t flipped = (low | high << 4) ^ 0x20202020u;
      StoreWord(flipped | (flipped & 0x20202020u) * 6, bytes + 4 * i);
    }
  }
  uint8_t bytes[16];
};

// A code c of 3 bits becomes c + 28, of 6 bits: the nibble is c + 12 without its carry, and the
// high bits are 2 where the third bit is set and 1 where it is not.
struct PanelQ3_K {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    const ThirdScales third_scales(src + 96);
    PutSixteen(third_scales.bytes, row, 208, to + 16);
    for (uint32_t b = 0; b < 8; ++b) {
      uint8_t* codes = to + 16 + b * 208 + 16;
      uint32_t nibbles[8];
      uint32_t planes[2] = {};
      for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t low = LoadWord(src + 32 + b / 4 * 32 + 4 * i) >> (b % 4 * 2) & kLowPairs;
        const uint32_t third = LoadWord(src + 4 * i) >> b & kLowBits;
        nibbles[i] = low | (third ^ kLowBits) * 12;
        planes[i / 4] |= (third + kLowBits) << (2 * (i % 4));
      }
      for (uint32_t i = 0; i < 4; ++i) {
        StoreWord(nibbles[i] | nibbles[i + 4] << 4, Quad(codes, i, row));
      }
      StoreWord(planes[0], Quad(codes, 4, row));
      StoreWord(planes[1], Quad(codes, 5, row));
    }
    return PutScale(src + 108, row, to);
  }
};

struct PanelIQ4_XS {
  static uint32_t Put(const uint8_t* src, uint32_t row, uint8_t* to) {
    for (uint32_t b = 0; b < 8; ++b) {
      uint8_t* block = to + 16 + b * 136;
      block[row] = unpack::IQ4Scale(src, b);
      PutQuads<4>(src + 8 + 16 * b, row, block + 8);
    }
    return PutScale(src, row, to);
  }
};

// Rows in the outer loop: the file is read from beginning to end, and the panel stays in cache.
template <class Format, uint32_t source_columns, uint32_t source_bytes, PanelFormat format>
bool PutPanel(const uint8_t* src, uint64_t row_bytes, uint64_t columns, uint8_t* panel) {
  constexpr uint64_t kStep = PanelBytes(format, source_columns);
  uint32_t bad = 0;
  for (uint32_t row = 0; row < kPanelRows; ++row) {
    const uint8_t* from = src + row * row_bytes;
    uint8_t* to = panel;
    for (uint64_t b = 0; b < columns / source_columns; ++b) {
      bad |= Format::Put(from, row, to);
      from += source_bytes;
      to += kStep;
    }
  }
  return bad == 0;
}

// `exponent` is the mask of the exponent bits, which are all ones in what is no number.
template <class T, T exponent>
bool PutFloats(const uint8_t* src, uint64_t row_bytes, uint64_t columns, uint8_t* panel) {
  uint32_t bad = 0;
  for (uint32_t row = 0; row < kPanelRows; ++row) {
    for (uint64_t k = 0; k < columns; ++k) {
      T value;
      std::memcpy(&value, src + row * row_bytes + k * sizeof(T), sizeof(T));
      bad |= (value & exponent) == exponent;
    }
  }
  for (uint64_t k = 0; k < columns; ++k) {
    for (uint32_t row = 0; row < kPanelRows; ++row) {
      std::memcpy(panel + (k * kPanelRows + row) * sizeof(T), src + row * row_bytes + k * sizeof(T),
                  sizeof(T));
    }
  }
  return bad == 0;
}

}  // namespace pack

// Packs the 8 rows of `columns` weights that start at `src`, `row_bytes` from one to the next, like
// PackRow without widening. False: a weight is not a number, and the panel holds rubbish.
using PanelPacker = bool (*)(const uint8_t* src, uint64_t row_bytes, uint64_t columns,
                             uint8_t* panel);

// nullptr for formats that Junto does not compute with.
inline PanelPacker FindPanelPacker(BlockType type) {
  using pack::PutFloats;
  using pack::PutPanel;
  switch (type) {
    case BlockType::kF32:
      return PutFloats<uint32_t, 0x7F800000>;
    case BlockType::kF16:
      return PutFloats<uint16_t, 0x7C00>;
    case BlockType::kBF16:
      return PutFloats<uint16_t, 0x7F80>;
    case BlockType::kMXFP4:
      return PutPanel<pack::PanelMxfp4, 32, 17, PanelFormat::kT4E8>;
    case BlockType::kQ4_0:
    case BlockType::kIQ4_NL:
      return PutPanel<pack::PanelNibbles, 32, 18, PanelFormat::kT4H>;
    case BlockType::kQ4_1:
      return PutPanel<pack::PanelQ4_1, 32, 20, PanelFormat::kN4HM>;
    case BlockType::kQ5_0:
      return PutPanel<pack::PanelQ5_0, 32, 22, PanelFormat::kN5H>;
    case BlockType::kQ5_1:
      return PutPanel<pack::PanelQ5_1, 32, 24, PanelFormat::kN5HM>;
    case BlockType::kQ8_0:
      return PutPanel<pack::PanelQ8_0, 32, 34, PanelFormat::kB8H>;
    case BlockType::kQ2_K:
      return PutPanel<pack::PanelQ2_K, 256, 84, PanelFormat::kN4JM>;
    case BlockType::kQ3_K:
      return PutPanel<pack::PanelQ3_K, 256, 110, PanelFormat::kN6J>;
    case BlockType::kQ4_K:
      return PutPanel<pack::PanelQ4_K, 256, 144, PanelFormat::kN4KM>;
    case BlockType::kQ5_K:
      return PutPanel<pack::PanelQ5_K, 256, 176, PanelFormat::kN5KM>;
    case BlockType::kQ6_K:
      return PutPanel<pack::PanelQ6_K, 256, 210, PanelFormat::kN6J>;
    case BlockType::kIQ4_XS:
      return PutPanel<pack::PanelIQ4_XS, 256, 136, PanelFormat::kT4K>;
    default:
      return nullptr;
  }
}

}  // namespace junto

#endif  // JUNTO_QUANT_PACK_PANEL_H_
