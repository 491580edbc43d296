// What tokenizers tell apart in a character: a bit for each class of Unicode.
#ifndef JUNTO_TEXT_CHARACTER_CLASS_H_
#define JUNTO_TEXT_CHARACTER_CLASS_H_

#include <utf8proc.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/utf8.h"

namespace junto {

enum CharacterClass : uint8_t {
  kUpperCase = 1,     // Lu, Lt
  kLowerCase = 2,     // Ll
  kOtherLetter = 4,   // Lm, Lo
  kMark = 8,          // M
  kNumber = 16,       // N
  kWhiteSpace = 32,   // White_Space but for the next
  kLineBreak = 64,    // CR, LF
  kOtherSymbol = 128  // the rest
};
constexpr int kLetter = kUpperCase | kLowerCase | kOtherLetter;
constexpr int kSpace = kWhiteSpace | kLineBreak;

inline CharacterClass ClassOf(uint32_t code_point) {
  if ((code_point >= 0x09 && code_point <= 0x0D) || code_point == 0x20) {
    return code_point == '\r' || code_point == '\n' ? kLineBreak : kWhiteSpace;
  }
  if (code_point == 0x85) return kWhiteSpace;
  switch (utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point))->category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
      return kUpperCase;
    case UTF8PROC_CATEGORY_LL:
      return kLowerCase;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kOtherLetter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kMark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return kWhiteSpace;
    default:
      return kOtherSymbol;
  }
}

// The classes of ASCII, which most text is.
class AsciiClasses {
 public:
  constexpr AsciiClasses() {
    for (int c = 0; c < 128; ++c) {
      const bool lower = c >= 'a' && c <= 'z';
      const bool upper = c >= 'A' && c <= 'Z';
      const bool digit = c >= '0' && c <= '9';
      const bool space = c == ' ' || c == '\t' || c == '\v' || c == '\f';
      of_[c] = lower                    ? kLowerCase
               : upper                  ? kUpperCase
               : digit                  ? kNumber
               : space                  ? kWhiteSpace
               : c == '\r' || c == '\n' ? kLineBreak
                                        : kOtherSymbol;
    }
  }
  constexpr CharacterClass operator[](char c) const { return of_[static_cast<uint8_t>(c) & 127]; }

 private:
  CharacterClass of_[128] = {};
};
constexpr AsciiClasses kAsciiClasses;

struct Character {
  int classes;  // a CharacterClass, or 0 at the end of the text
  size_t size;  // bytes
};

// The character at byte `at` of UTF-8, which is checked already.
inline Character CharacterAt(std::string_view text, size_t at) {
  if (at >= text.size()) return {0, 0};
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {kAsciiClasses[text[at]], 1};
  const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  return {ClassOf(DecodeUtf8(text.data() + at, size)), size};
}

}  // namespace junto

#endif  // JUNTO_TEXT_CHARACTER_CLASS_H_
