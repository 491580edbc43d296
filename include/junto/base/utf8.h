// UTF-8 that comes from outside: is it valid, and how much of it fits in a message.
#ifndef JUNTO_BASE_UTF8_H_
#define JUNTO_BASE_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace junto {

// Bytes of the code point that starts at text[0], or 0 when it is not well formed: cut off, longer
// than needed, a surrogate, or beyond U+10FFFF.
inline size_t CodePointLength(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;
  if (lead == 0xED && byte(1) > 0x9F) return 0;
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) > 0x8F) return 0;
  return length;
}

inline bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = CodePointLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// The longest prefix of at most `bytes` bytes that cuts no code point.
inline std::string_view Utf8Prefix(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<uint8_t>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

}  // namespace junto

#endif  // JUNTO_BASE_UTF8_H_
