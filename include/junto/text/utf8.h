// UTF-8 beyond validation: reading code points, and text that may be broken or cut off.
#ifndef JUNTO_TEXT_UTF8_H_
#define JUNTO_TEXT_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "junto/base/utf8.h"

namespace junto {

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

enum class Utf8Kind {
  kWhole,   // one well-formed code point
  kBroken,  // no continuation can repair these bytes
  kCutOff,  // the text ends inside a code point that is well formed so far
};

struct Utf8Head {
  Utf8Kind kind;
  size_t size;  // bytes, at least 1; of what is broken, one maximal subpart (Unicode 3.9, D93b)
};

// What a non-empty text starts with.
inline Utf8Head ReadUtf8(std::string_view text) {
  const size_t whole = CodePointLength(text);
  if (whole != 0) return {Utf8Kind::kWhole, whole};
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Kind::kBroken, 1};
  // The second byte of some leads is restricted: no overlong forms, surrogates, or > U+10FFFF.
  uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  size_t size = 1;
  while (size < text.size() && byte(size) >= low && byte(size) <= high) {
    low = 0x80;
    high = 0xBF;
    ++size;
  }
  return {size == text.size() ? Utf8Kind::kCutOff : Utf8Kind::kBroken, size};
}

// Bytes of the longest well-formed prefix.
inline size_t WholePrefix(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    uint64_t eight = 0x80;
    if (text.size() - size >= sizeof(eight)) std::memcpy(&eight, text.data() + size, sizeof(eight));
    if ((eight & 0x8080808080808080u) == 0) {  // ASCII, as most text is
      size += sizeof(eight);
      continue;
    }
    const size_t length = CodePointLength(text.substr(size));
    if (length == 0) break;
    size += length;
  }
  return size;
}

// The code point of a well-formed sequence of `size` bytes.
inline uint32_t DecodeUtf8(const char* p, size_t size) {
  const auto bits = [p](size_t i) { return static_cast<uint32_t>(p[i] & 0x3F); };
  switch (size) {
    case 1:
      return static_cast<uint8_t>(p[0]);
    case 2:
      return (p[0] & 0x1Fu) << 6 | bits(1);
    case 3:
      return (p[0] & 0x0Fu) << 12 | bits(1) << 6 | bits(2);
    default:
      return (p[0] & 0x07u) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3);
  }
}

// Writes a scalar value as 1 to 4 bytes and returns their number.
inline size_t EncodeUtf8(uint32_t code_point, char* dst) {
  const auto tail = [code_point](int shift) {
    return static_cast<char>(0x80 | (code_point >> shift & 0x3F));
  };
  if (code_point < 0x80) {
    dst[0] = static_cast<char>(code_point);
    return 1;
  }
  if (code_point < 0x800) {
    dst[0] = static_cast<char>(0xC0 | code_point >> 6);
    dst[1] = tail(0);
    return 2;
  }
  if (code_point < 0x10000) {
    dst[0] = static_cast<char>(0xE0 | code_point >> 12);
    dst[1] = tail(6);
    dst[2] = tail(0);
    return 3;
  }
  dst[0] = static_cast<char>(0xF0 | code_point >> 18);
  dst[1] = tail(12);
  dst[2] = tail(6);
  dst[3] = tail(0);
  return 4;
}

}  // namespace junto

#endif  // JUNTO_TEXT_UTF8_H_
