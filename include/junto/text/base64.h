// Base64, as JSON carries bytes.
#ifndef JUNTO_TEXT_BASE64_H_
#define JUNTO_TEXT_BASE64_H_

#include <cstddef>
#include <cstdint>

namespace junto {

// Puts the bytes that `size` characters spell in their place, which they never fill. False, and
// bytes without a meaning, where a character is not of the alphabet or the padding is not right.
inline bool DecodeBase64(char* text, size_t size, size_t* bytes) {
  const auto digit = [](char c) -> uint32_t {
    if (c >= 'A' && c <= 'Z') return static_cast<uint32_t>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<uint32_t>(c - 'a' + 26);
    if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0' + 52);
    return c == '+' ? 62 : c == '/' ? 63 : 64;
  };
  if (size % 4 != 0) return false;
  size_t padding = 0;
  while (padding < 2 && size > padding && text[size - 1 - padding] == '=') ++padding;
  *bytes = 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < size; ++i) {
    const uint32_t next = i < size - padding ? digit(text[i]) : 0;
    if (next == 64) return false;
    bits = bits << 6 | next;
    if (i % 4 != 3) continue;
    for (int shift = 16; shift >= 0; shift -= 8)
      text[(*bytes)++] = static_cast<char>(bits >> shift);
  }
  *bytes -= padding;
  return true;
}

}  // namespace junto

#endif  // JUNTO_TEXT_BASE64_H_
