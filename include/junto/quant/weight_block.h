// WeightBlock: 32 consecutive weights of one row, between a file's block format and a panel.
#ifndef JUNTO_QUANT_WEIGHT_BLOCK_H_
#define JUNTO_QUANT_WEIGHT_BLOCK_H_

#include <cstdint>

#include "junto/quant/half.h"
#include "junto/quant/panel.h"

namespace junto {

// The integers a quantised file holds, in one shape for every PanelFormat: weight i is
//   scale * sub_scale[i / 16] * code(i) - minimum * sub_minimum[i / 16].
// Nothing is rounded here; formats without a field leave it at its default.
struct WeightBlock {
  // 4-bit formats: byte j holds weight j low and weight j + 16 high, in codes[0..15]. Others: one
  // byte per weight (kB8H: signed).
  uint8_t codes[kBlockColumns] = {};
  uint16_t scale = 0;    // half bits; kT4E8: the E8M0 byte
  uint16_t minimum = 0;  // half bits
  int8_t sub_scale[2] = {1, 1};
  uint8_t sub_minimum[2] = {1, 1};
};

// What a panel format is made of.
enum class Codes : uint8_t { kFloat, kTable4, kUnsigned4, kUnsigned5, kUnsigned6, kSigned8 };
struct PanelTraits {
  Codes codes;
  bool two_level;  // scale (and minimum) per 256 with small integers below it
  bool halves;     // those integers are per 16 weights, not per 32
  bool minimum;    // has one
  int8_t offset;   // of unsigned codes: code(i) = codes[i] - offset
};
constexpr PanelTraits kPanelTraits[kPanelFormatCount] = {
    {Codes::kFloat, false, false, false, 0},       // kF32
    {Codes::kFloat, false, false, false, 0},       // kF16
    {Codes::kFloat, false, false, false, 0},       // kBF16
    {Codes::kSigned8, false, false, false, 0},     // kB8H
    {Codes::kTable4, false, false, false, 0},      // kT4E8
    {Codes::kTable4, false, false, false, 0},      // kT4H
    {Codes::kTable4, true, false, false, 0},       // kT4K
    {Codes::kUnsigned4, false, false, true, 0},    // kN4HM
    {Codes::kUnsigned4, true, false, true, 0},     // kN4KM
    {Codes::kUnsigned4, true, true, true, 0},      // kN4JM
    {Codes::kUnsigned5, false, false, false, 16},  // kN5H
    {Codes::kUnsigned5, false, false, true, 0},    // kN5HM
    {Codes::kUnsigned5, true, false, true, 0},     // kN5KM
    {Codes::kUnsigned6, true, true, false, 32},    // kN6J
};
constexpr const PanelTraits& TraitsOf(PanelFormat format) {
  return kPanelTraits[static_cast<int>(format)];
}

constexpr bool IsFourBit(Codes codes) {
  return codes == Codes::kTable4 || codes == Codes::kUnsigned4;
}

// The 32 weights as floats: each product is exact, so the only rounding is that of the subtraction.
inline void EvaluateBlock(const WeightBlock& block, PanelFormat format, CodeTable table,
                          float* values) {
  const PanelTraits& traits = TraitsOf(format);
  const float scale = format == PanelFormat::kT4E8
                          ? FloatFromE8M0Half(static_cast<uint8_t>(block.scale))
                          : FloatFromHalf(block.scale);
  const float minimum = FloatFromHalf(block.minimum);
  for (uint32_t i = 0; i < kBlockColumns; ++i) {
    const uint32_t half = i / 16;
    int code = IsFourBit(traits.codes) ? block.codes[i % 16] >> (half * 4) & 15 : block.codes[i];
    if (traits.codes == Codes::kTable4) {
      code = kCodeTables[static_cast<int>(table)][code];
    } else if (traits.codes == Codes::kSigned8) {
      code = static_cast<int8_t>(block.codes[i]);
    } else {
      code -= traits.offset;
    }
    const float product =
        scale * static_cast<float>(block.sub_scale[half]) * static_cast<float>(code);
    values[i] =
        traits.minimum ? product - minimum * static_cast<float>(block.sub_minimum[half]) : product;
  }
}

}  // namespace junto

#endif  // JUNTO_QUANT_WEIGHT_BLOCK_H_
