// Half precision, bfloat16 and power-of-two scales, converted exactly, one value at a time.
#ifndef JUNTO_QUANT_HALF_H_
#define JUNTO_QUANT_HALF_H_

#include <cstdint>
#include <cstring>

namespace junto {

inline float FloatFromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint32_t BitsFromFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// IEEE 754 binary16, subnormals and NaN included.
inline float FloatFromHalf(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 31;
  const uint32_t mantissa = half & 0x3FF;
  if (exponent == 31) return FloatFromBits(sign | 0x7F800000 | mantissa << 13);
  if (exponent != 0) return FloatFromBits(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

inline float FloatFromBFloat16(uint16_t bits) {
  return FloatFromBits(static_cast<uint32_t>(bits) << 16);
}

// 2^(exponent - 128): the E8M0 scale of MXFP4, halved because its code table is doubled. 255 is NaN
// in E8M0; loading refuses it.
inline float FloatFromE8M0Half(uint8_t exponent) {
  return exponent < 2 ? FloatFromBits(0x00200000u << exponent)
                      : FloatFromBits(static_cast<uint32_t>(exponent - 1) << 23);
}

inline bool IsFiniteHalf(uint16_t half) { return (half & 0x7C00) != 0x7C00; }
inline bool IsFiniteBFloat16(uint16_t bits) { return (bits & 0x7F80) != 0x7F80; }
inline bool IsFiniteFloat(uint32_t bits) { return (bits & 0x7F800000) != 0x7F800000; }

inline uint16_t LoadU16(const uint8_t* p) {
  uint16_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

inline void StoreU16(uint16_t value, uint8_t* p) { std::memcpy(p, &value, sizeof(value)); }

}  // namespace junto

#endif  // JUNTO_QUANT_HALF_H_
