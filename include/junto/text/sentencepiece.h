// How vocabularies of the SentencePiece family spell tokens.
#ifndef JUNTO_TEXT_SENTENCEPIECE_H_
#define JUNTO_TEXT_SENTENCEPIECE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace junto {

// U+2581, which stands for a space. Junto writes spaces in both, vocabulary and text: files that
// spell some tokens with it and some with spaces mean the same.
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// Appends `text` with spaces for space marks.
template <class Bytes>
void AppendWithSpaces(std::string_view text, Bytes* bytes) {
  for (;;) {
    const size_t mark = text.find(kSpaceMark);
    const std::string_view plain = text.substr(0, mark);
    bytes->insert(bytes->end(), plain.begin(), plain.end());
    if (mark == std::string_view::npos) return;
    bytes->push_back(' ');
    text.remove_prefix(mark + kSpaceMark.size());
  }
}

// The byte that "<0x41>" spells, or -1.
inline int SpelledByte(std::string_view spelled) {
  const auto digit = [spelled](size_t i) {
    const char c = spelled[i];
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  if (spelled.size() != 6 || spelled.substr(0, 3) != "<0x" || spelled[5] != '>') return -1;
  return digit(3) < 0 || digit(4) < 0 ? -1 : digit(3) * 16 + digit(4);
}

}  // namespace junto

#endif  // JUNTO_TEXT_SENTENCEPIECE_H_
