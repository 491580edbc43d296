// File formats to floats and to panels, bit for bit against tests/data/quant/blocks.gguf (made by
// tests/oracle/quant_blocks.py), and the panel layouts as docs/formats.md draws them.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "junto/quant/pack_panel.h"
#include "tests/support/runtime.h"

namespace junto {
namespace {

using test::Host;

// One tensor of blocks.gguf beside what it decodes to.
struct Sample {
  Sample(Gguf* gguf, const SourceFormat& source) {
    const std::string name = BlockTypeName(source.type);
    // Any ".f32" tensor is a sample of F32.
    const std::string raw = source.type == BlockType::kF32 ? "F16.f32" : name;
    const std::string decoded = source.type == BlockType::kF32 ? "F16.f32" : name + ".f32";
    bytes = test::ReadTensor<uint8_t>(gguf, raw.c_str());
    values = test::ReadTensor<float>(gguf, decoded.c_str());
    const TensorInfo& tensor = *gguf->FindTensor(raw);
    CHECK(tensor.type == source.type);
    columns = tensor.dims[0];
    rows = tensor.dims[1];
    row_bytes = bytes.size() / rows;
  }
  const uint8_t* row(size_t r) const { return bytes.data() + r * row_bytes; }

  std::vector<uint8_t> bytes;
  std::vector<float> values;
  uint64_t columns = 0;
  uint64_t rows = 0;
  size_t row_bytes = 0;
};

bool SameBits(const std::vector<float>& a, const float* b) {
  return std::memcmp(a.data(), b, a.size() * sizeof(float)) == 0;
}

TEST_CASE("every format dequantises to the bits of the reference") {
  Host host;
  const auto gguf = host.Open(std::string(JUNTO_TEST_DATA) + "/quant/blocks.gguf");
  for (const SourceFormat& source : kSourceFormats) {
    const Sample sample(gguf.get(), source);
    REQUIRE(sample.rows != 0);
    for (size_t r = 0; r < sample.rows; ++r) {
      INFO(BlockTypeName(source.type) << ", row " << r);
      std::vector<float> values(sample.columns, NAN);
      REQUIRE(Dequantise(source, sample.row(r), sample.columns, values.data()) == kAllFinite);
      REQUIRE(SameBits(values, &sample.values[r * sample.columns]));
    }
  }
}

TEST_CASE("panels give back the bits that went in, widened or not") {
  Host host;
  const auto gguf = host.Open(std::string(JUNTO_TEST_DATA) + "/quant/blocks.gguf");
  for (const SourceFormat& source : kSourceFormats) {
    const Sample sample(gguf.get(), source);
    for (const bool widen : {false, true}) {
      PanelMatrix matrix;
      matrix.format = widen ? PanelFormat::kF32 : source.panel;
      matrix.table = source.table;
      matrix.rows = static_cast<uint32_t>(sample.rows);
      matrix.columns = static_cast<uint32_t>(sample.columns);
      matrix.stride = PanelBytes(matrix.format, sample.columns);
      // Rubbish, so that a byte which packing forgets is noticed, and a guard behind the end.
      std::vector<uint8_t> storage(MatrixBytes(matrix.format, matrix.rows, matrix.columns) + 64,
                                   0xA5);
      matrix.data = storage.data();
      for (uint32_t r = 0; r < sample.rows; ++r) {
        uint8_t* panel = storage.data() + r / kPanelRows * matrix.stride;
        REQUIRE(PackRow(source, sample.row(r), sample.columns, widen, r % kPanelRows, panel) ==
                kAllFinite);
      }
      for (uint32_t r = 0; r < sample.rows; ++r) {
        INFO(BlockTypeName(source.type) << ", row " << r << (widen ? ", widened" : ""));
        std::vector<float> values(sample.columns, NAN);
        UnpackRow(matrix, r, values.data());
        REQUIRE(SameBits(values, &sample.values[r * sample.columns]));
      }
      REQUIRE(std::count(storage.end() - 64, storage.end(), 0xA5) == 64);
    }
  }
}

// Where a block of a file format keeps the halves that scale it; -1: it has no second one.
struct HalfPlaces {
  BlockType type;
  int scale;
  int minimum;
};
constexpr HalfPlaces kHalfPlaces[] = {
    {BlockType::kQ4_0, 0, -1},   {BlockType::kQ4_1, 0, 2},    {BlockType::kQ5_0, 0, -1},
    {BlockType::kQ5_1, 0, 2},    {BlockType::kQ8_0, 0, -1},   {BlockType::kQ2_K, 80, 82},
    {BlockType::kQ3_K, 108, -1}, {BlockType::kQ4_K, 0, 2},    {BlockType::kQ5_K, 0, 2},
    {BlockType::kQ6_K, 208, -1}, {BlockType::kIQ4_NL, 0, -1}, {BlockType::kIQ4_XS, 0, -1},
};

// Reports `column` from every function that reads a row.
void RequireBadAt(const SourceFormat& source, const std::vector<uint8_t>& row, uint64_t columns,
                  uint64_t column) {
  INFO(BlockTypeName(source.type));
  std::vector<float> values(columns);
  REQUIRE(Dequantise(source, row.data(), columns, values.data()) == column);
  for (const bool widen : {false, true}) {
    const PanelFormat format = widen ? PanelFormat::kF32 : source.panel;
    std::vector<uint8_t> panel(PanelBytes(format, columns));
    REQUIRE(PackRow(source, row.data(), columns, widen, 3, panel.data()) == column);
  }
}

TEST_CASE("scales that are no numbers are reported at their block's first column") {
  for (const HalfPlaces& places : kHalfPlaces) {
    const SourceFormat& source = *FindSourceFormat(places.type);
    const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(places.type));
    for (const int at : {places.scale, places.minimum}) {
      if (at < 0) continue;
      for (const uint16_t bad : {0x7C00, 0xFC00, 0x7E00, 0xFFFF, 0x7C01}) {
        for (const uint64_t block : {0u, 1u, 2u}) {
          std::vector<uint8_t> row(type.bytes * 3);
          StoreU16(bad, &row[block * type.bytes + static_cast<size_t>(at)]);
          RequireBadAt(source, row, type.elements * 3, block * type.elements);
        }
      }
    }
  }
  const SourceFormat& mxfp4 = *FindSourceFormat(BlockType::kMXFP4);
  for (const uint64_t block : {0u, 1u, 2u}) {
    std::vector<uint8_t> row(17 * 3);
    row[17 * block] = 253;
    RequireBadAt(mxfp4, row, 96, 32 * block);
  }
}

// Eight rows of random bytes whose scales are numbers, at an odd address and with a gap behind
// each.
class RandomRows {
 public:
  RandomRows(const SourceFormat& source, uint64_t columns, uint32_t seed)
      : source_(source), type_(*FindBlockType(static_cast<uint32_t>(source.type))) {
    row_bytes = columns / type_.elements * type_.bytes + 3;
    bytes_.resize(1 + kPanelRows * row_bytes);
    std::mt19937 random(seed);
    for (uint8_t& byte : bytes_) byte = static_cast<uint8_t>(random());
    for (uint32_t row = 0; row < kPanelRows; ++row) {
      for (uint64_t block = 0; block < columns / type_.elements; ++block) {
        for (uint8_t* scale : Scales(row, block)) scale[0] &= 0x3B;
      }
    }
  }
  const uint8_t* data() const { return bytes_.data() + 1; }

  // The bytes that hold the exponents of a block: of halves, or a float, or E8M0.
  std::vector<uint8_t*> Scales(uint32_t row, uint64_t block) {
    uint8_t* at = bytes_.data() + 1 + row * row_bytes + block * type_.bytes;
    if (source_.type == BlockType::kMXFP4) return {at};
    if (source_.unpack == nullptr) return {at + type_.bytes - 1};
    for (const HalfPlaces& places : kHalfPlaces) {
      if (places.type != source_.type) continue;
      if (places.minimum < 0) return {at + places.scale + 1};
      return {at + places.scale + 1, at + places.minimum + 1};
    }
    return {};
  }

  uint64_t row_bytes = 0;

 private:
  const SourceFormat& source_;
  const BlockTypeInfo& type_;
  std::vector<uint8_t> bytes_;
};

TEST_CASE("panels packed whole have the bits of rows packed one by one") {
  for (const SourceFormat& source : kSourceFormats) {
    const uint32_t block = FindBlockType(static_cast<uint32_t>(source.type))->elements;
    const PanelPacker packer = FindPanelPacker(source.type);
    REQUIRE(packer != nullptr);
    for (const uint64_t blocks : {1u, 2u, 3u, 9u, 67u}) {
      INFO(BlockTypeName(source.type) << ", " << blocks << " blocks");
      const uint64_t columns = blocks * block;
      const RandomRows rows(source, columns, static_cast<uint32_t>(blocks));
      const uint64_t panel_bytes = PanelBytes(source.panel, columns);
      std::vector<uint8_t> expected(panel_bytes + 64, 0x5A);
      std::vector<uint8_t> found(panel_bytes + 64, 0x5A);
      for (uint32_t row = 0; row < kPanelRows; ++row) {
        REQUIRE(PackRow(source, rows.data() + row * rows.row_bytes, columns, false, row,
                        expected.data()) == kAllFinite);
      }
      std::fill(found.begin(), found.begin() + static_cast<ptrdiff_t>(panel_bytes), 0xA5);
      REQUIRE(packer(rows.data(), rows.row_bytes, columns, found.data()));
      REQUIRE(found == expected);
    }
  }
  CHECK(FindPanelPacker(BlockType::kQ8_K) == nullptr);
}

TEST_CASE("panels packed whole notice every scale that is no number") {
  for (const SourceFormat& source : kSourceFormats) {
    const uint64_t columns = 3 * FindBlockType(static_cast<uint32_t>(source.type))->elements;
    std::vector<uint8_t> panel(PanelBytes(source.panel, columns));
    for (uint32_t row = 0; row < kPanelRows; ++row) {
      for (const uint64_t block : {0u, 1u, 2u}) {
        RandomRows rows(source, columns, row);
        const size_t places = rows.Scales(row, block).size();
        REQUIRE(places != 0);
        for (size_t place = 0; place < places; ++place) {
          INFO(BlockTypeName(source.type) << ", row " << row << ", block " << block);
          RandomRows broken(source, columns, row);
          uint8_t* scale = broken.Scales(row, block)[place];
          *scale = 0xFF;  // infinite or NaN, but that a bfloat or float has one exponent bit below
          if (source.panel == PanelFormat::kF32 || source.panel == PanelFormat::kBF16) {
            scale[-1] |= 0x80;
          }
          REQUIRE(FindPanelPacker(source.type)(rows.data(), rows.row_bytes, columns, panel.data()));
          REQUIRE_FALSE(
              FindPanelPacker(source.type)(broken.data(), broken.row_bytes, columns, panel.data()));
        }
      }
    }
  }
}

TEST_CASE("floats that are no numbers are reported at their column") {
  const uint32_t bad32[] = {0x7F800000, 0xFF800000, 0x7FC00000, 0xFFFFFFFF, 0x7F800001};
  for (const BlockType type : {BlockType::kF32, BlockType::kF16, BlockType::kBF16}) {
    const SourceFormat& source = *FindSourceFormat(type);
    for (const uint32_t bits : bad32) {
      for (const uint64_t column : {0u, 5u, 18u}) {
        std::vector<uint8_t> row(19 * 4);
        if (type == BlockType::kF32) {
          std::memcpy(&row[column * 4], &bits, 4);
        } else {
          const auto wide = static_cast<uint16_t>(bits >> 16 | (bits & 0xFFFF ? 1 : 0));
          const auto half = static_cast<uint16_t>((wide & 0x8000) | 0x7C00 | (wide & 0x3FF) % 128);
          StoreU16(type == BlockType::kF16 ? half : wide, &row[column * 2]);
        }
        RequireBadAt(source, row, 19, column);
      }
    }
  }
}

TEST_CASE("all halves, bfloats and E8M0 scales convert exactly") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const int sign = half & 0x8000 ? -1 : 1;
    const int exponent = half >> 10 & 31;
    const int mantissa = half & 0x3FF;
    const float value = FloatFromHalf(half);
    INFO("bits " << bits);
    if (exponent == 31) {
      CHECK_FALSE(IsFiniteHalf(half));
      REQUIRE((mantissa == 0 ? std::isinf(value) : std::isnan(value)));
    } else {
      CHECK(IsFiniteHalf(half));
      REQUIRE(value == (exponent == 0 ? std::ldexp(sign * mantissa, -24)
                                      : std::ldexp(sign * (1024 + mantissa), exponent - 25)));
    }
    REQUIRE(std::signbit(value) == (sign < 0));

    const float wide = FloatFromBFloat16(half);
    const int wide_exponent = half >> 7 & 255;
    REQUIRE(IsFiniteBFloat16(half) == (wide_exponent != 255));
    REQUIRE(std::isfinite(wide) == (wide_exponent != 255));
    REQUIRE(std::signbit(wide) == (sign < 0));
    if (wide_exponent == 255) continue;
    const int wide_mantissa = half & 0x7F;
    REQUIRE(wide == (wide_exponent == 0
                         ? std::ldexp(sign * wide_mantissa, -133)
                         : std::ldexp(sign * (128 + wide_mantissa), wide_exponent - 134)));
  }
  for (int exponent = 0; exponent < 256; ++exponent) {
    INFO("exponent " << exponent);
    REQUIRE(FloatFromE8M0Half(static_cast<uint8_t>(exponent)) == std::ldexp(1.0, exponent - 128));
  }
}

// The numbers that docs/formats.md gives for each format, in bytes.
struct DrawnPanel {
  PanelFormat format;
  uint64_t header;  // before every eighth block
  uint64_t block;
  uint64_t codes;    // from the block's start
  uint64_t minimum;  // of row 0, from where the scales start; 0: none
  uint32_t code_bits;
};
constexpr DrawnPanel kDrawn[] = {
    {PanelFormat::kB8H, 0, 272, 16, 0, 8},    {PanelFormat::kT4E8, 0, 136, 8, 0, 4},
    {PanelFormat::kT4H, 0, 144, 16, 0, 4},    {PanelFormat::kT4K, 16, 136, 8, 0, 4},
    {PanelFormat::kN4HM, 0, 160, 32, 16, 4},  {PanelFormat::kN4KM, 32, 144, 16, 16, 4},
    {PanelFormat::kN4JM, 32, 160, 32, 16, 4}, {PanelFormat::kN5H, 0, 176, 16, 0, 5},
    {PanelFormat::kN5HM, 0, 192, 32, 16, 5},  {PanelFormat::kN5KM, 32, 176, 16, 16, 5},
    {PanelFormat::kN6J, 16, 208, 16, 0, 6},
};

// Code `k` of a row, read by the drawing.
uint32_t DrawnCode(const DrawnPanel& drawn, const uint8_t* codes, uint32_t row, uint32_t k) {
  const uint32_t lane = 4 * row + k % 4;
  if (drawn.code_bits == 8) return codes[32 * (k / 4) + lane];
  const uint32_t nibble = codes[32 * (k % 16 / 4) + lane] >> (k / 16 * 4) & 15;
  if (drawn.code_bits == 5) return nibble | (codes[128 + lane] >> (k / 4) & 1) << 4;
  if (drawn.code_bits == 6) {
    return nibble | (codes[128 + 32 * (k / 16) + lane] >> (k % 16 / 4 * 2) & 3) << 4;
  }
  return nibble;
}

WeightBlock RandomBlock(const DrawnPanel& drawn, std::mt19937* random) {
  const PanelTraits& traits = TraitsOf(drawn.format);
  WeightBlock block;
  const uint32_t used = drawn.code_bits == 4 ? 16 : 32;
  const uint32_t mask = drawn.code_bits == 4 ? 255 : (1u << drawn.code_bits) - 1;
  for (uint32_t i = 0; i < used; ++i) block.codes[i] = static_cast<uint8_t>((*random)() & mask);
  block.scale =
      static_cast<uint16_t>((*random)() & (drawn.format == PanelFormat::kT4E8 ? 255 : 0x7BFF));
  if (traits.minimum) block.minimum = static_cast<uint16_t>((*random)() & 0x7BFF);
  if (!traits.two_level) return block;
  for (int h = 0; h < 2; ++h) {
    const bool copy = h == 1 && !traits.halves;
    block.sub_scale[h] = copy ? block.sub_scale[0] : static_cast<int8_t>((*random)());
    if (traits.minimum) {
      block.sub_minimum[h] = copy ? block.sub_minimum[0] : static_cast<uint8_t>((*random)());
    }
  }
  return block;
}

void RequireDrawn(const DrawnPanel& drawn, const WeightBlock& block, const uint8_t* panel,
                  uint32_t index, uint32_t row) {
  const PanelTraits& traits = TraitsOf(drawn.format);
  const uint64_t group = drawn.header + 8 * drawn.block;
  const uint8_t* const here = panel + index / 8 * group + drawn.header + index % 8 * drawn.block;
  const uint8_t* const scales = traits.two_level ? panel + index / 8 * group : here;
  if (drawn.format == PanelFormat::kT4E8) {
    REQUIRE(here[row] == block.scale);
  } else {
    REQUIRE(LoadU16(scales + 2 * row) == block.scale);
  }
  if (traits.minimum) REQUIRE(LoadU16(scales + drawn.minimum + 2 * row) == block.minimum);
  const uint32_t each = traits.halves ? 2 : 1;
  for (uint32_t h = 0; traits.two_level && h < each; ++h) {
    REQUIRE(static_cast<int8_t>(here[each * row + h]) == block.sub_scale[h]);
    if (traits.minimum) REQUIRE(here[8 * each + each * row + h] == block.sub_minimum[h]);
  }
  for (uint32_t k = 0; k < kBlockColumns; ++k) {
    const uint32_t code =
        drawn.code_bits == 4 ? block.codes[k % 16] >> (k / 16 * 4) & 15 : block.codes[k];
    REQUIRE(DrawnCode(drawn, here + drawn.codes, row, k) == code);
  }
}

bool SameBlock(const WeightBlock& a, const WeightBlock& b) {
  return std::memcmp(a.codes, b.codes, sizeof(a.codes)) == 0 && a.scale == b.scale &&
         a.minimum == b.minimum && std::memcmp(a.sub_scale, b.sub_scale, 2) == 0 &&
         std::memcmp(a.sub_minimum, b.sub_minimum, 2) == 0;
}

TEST_CASE("panels lie as docs/formats.md draws them") {
  std::mt19937 random(11);
  for (const DrawnPanel& drawn : kDrawn) {
    const uint32_t kBlocks = 16;
    INFO("format " << static_cast<int>(drawn.format));
    REQUIRE(PanelBytes(drawn.format, kBlocks * kBlockColumns) ==
            2 * drawn.header + kBlocks * drawn.block);
    std::vector<uint8_t> panel(PanelBytes(drawn.format, kBlocks * kBlockColumns));
    std::vector<WeightBlock> blocks(kBlocks * kPanelRows);
    for (uint32_t row = 0; row < kPanelRows; ++row) {
      for (uint32_t b = 0; b < kBlocks; ++b) {
        WeightBlock& block = blocks[row * kBlocks + b];
        block = RandomBlock(drawn, &random);
        if (drawn.header != 0 && b % 8 != 0) {  // one header for eight blocks of a row
          block.scale = blocks[row * kBlocks + b / 8 * 8].scale;
          block.minimum = blocks[row * kBlocks + b / 8 * 8].minimum;
        }
        PackBlock(block, drawn.format, b, row, panel.data());
      }
    }
    for (uint32_t row = 0; row < kPanelRows; ++row) {
      for (uint32_t b = 0; b < kBlocks; ++b) {
        RequireDrawn(drawn, blocks[row * kBlocks + b], panel.data(), b, row);
        REQUIRE(
            SameBlock(ExtractBlock(panel.data(), drawn.format, b, row), blocks[row * kBlocks + b]));
      }
    }
  }
}

}  // namespace
}  // namespace junto
