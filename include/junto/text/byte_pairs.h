// BytePairs: which bytes stand side by side in some token.
#ifndef JUNTO_TEXT_BYTE_PAIRS_H_
#define JUNTO_TEXT_BYTE_PAIRS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace junto {

// Tokenizers without a split rule merge over all of a text. Where two bytes meet that no token has
// side by side, no merge can cross, so cutting there changes nothing: mostly before the space of
// each word and around line breaks.
class BytePairs {
 public:
  void Add(std::string_view token) {
    for (size_t i = 1; i < token.size(); ++i) {
      words_[Index(token[i - 1], token[i])] |= Bit(token[i]);
    }
  }

  // The longest prefix of a text that is not empty that merges may have to see as a whole. It ends
  // where a character of UTF-8 begins.
  size_t Prefix(std::string_view text) const {
    size_t end = 1;
    for (; end < text.size(); ++end) {
      const bool continues = (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80;
      if (!continues && (words_[Index(text[end - 1], text[end])] & Bit(text[end])) == 0) break;
    }
    return end;
  }

 private:
  static size_t Index(char left, char right) {
    return static_cast<size_t>(static_cast<uint8_t>(left)) << 2 | static_cast<uint8_t>(right) >> 6;
  }
  static uint64_t Bit(char right) { return uint64_t{1} << (static_cast<uint8_t>(right) & 63); }

  uint64_t words_[1024] = {};
};

}  // namespace junto

#endif  // JUNTO_TEXT_BYTE_PAIRS_H_
