// SplitScanner: cuts text as the pattern of a known rule would, in one pass and without steps back.
#ifndef JUNTO_TEXT_SPLIT_SCANNER_H_
#define JUNTO_TEXT_SPLIT_SCANNER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/character_class.h"
#include "junto/text/split_rule.h"

namespace junto {

// Each function tells where what begins at byte `at` ends, or returns `at` when it does not begin
// there. The text is UTF-8.
class SplitScanner {
 public:
  SplitScanner(const SplitShape& shape, std::string_view text)
      : shape_(shape), letters_(kLetter | (shape.marks_in_words ? kMark : 0)), text_(text) {}

  // Of the piece at `at`, which is not the end of the text.
  size_t Piece(size_t at) const {
    const Character first = CharacterAt(text_, at);
    if (shape_.digits_first && first.classes == kNumber) return at + first.size;
    if (text_[at] == '\'' && shape_.contractions != Contractions::kAttached) {
      const size_t end = Contraction(at);
      if (end != at) return end;
    }
    size_t end = Word(at, first);
    if (end == at) end = Digits(at, first);
    if (end == at) end = Symbols(at, first);
    return end == at ? WhiteSpace(at) : end;
  }

 private:
  // Past all characters of these classes.
  size_t Run(size_t at, int classes) const {
    for (;;) {
      const Character next = CharacterAt(text_, at);
      if ((next.classes & classes) == 0) return at;
      at += next.size;
    }
  }

  size_t Contraction(size_t at) const {
    const bool exact = shape_.contractions == Contractions::kExact;
    const auto letter = [&](size_t i) -> char {
      if (i >= text_.size()) return '\0';
      const char c = text_[i];
      return !exact && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    if (at >= text_.size() || text_[at] != '\'') return at;
    const char first = letter(at + 1);
    const char second = letter(at + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
    if (first == 'l' && second == 'l') return at + 3;
    const bool long_s = !exact && text_.substr(at + 1, 2) == "\xC5\xBF";  // U+017F, s in capitals
    return long_s ? at + 3 : at;
  }

  size_t Word(size_t at, Character first) const {
    const size_t behind = at + first.size;
    const bool prefixes = shape_.prefix == WordPrefix::kSpace
                              ? text_[at] == ' '
                              : (first.classes & (kLetter | kNumber | kLineBreak)) == 0;
    if (shape_.cased_words) return CasedWord(at, prefixes ? behind : at);
    if ((first.classes & letters_) != 0) return Run(behind, letters_);
    const size_t end = prefixes ? Run(behind, letters_) : behind;
    return end == behind ? at : end;
  }

  // The first of these that there is: behind a prefix or without one, capitals, if any, and what
  // they lead to; and both again, nothing but capitals.
  size_t CasedWord(size_t at, size_t behind) const {
    for (const size_t begin : {behind, at}) {
      const size_t end = SmallEnd(begin);
      if (end != begin) return Contraction(end);
    }
    for (const size_t begin : {behind, at}) {
      const size_t end = Run(begin, kCapitals);
      if (end != begin) return Contraction(end);
    }
    return at;
  }

  // Capitals, then at least one that is not: the last of them where that may count as either.
  size_t SmallEnd(size_t at) const {
    size_t last = at;
    for (;;) {
      const Character next = CharacterAt(text_, at);
      if ((next.classes & kCapitals) == 0) break;
      at += next.size;
      if ((next.classes & kSmall) != 0) last = at;
    }
    const size_t end = Run(at, kSmall);
    return end == at ? last : end;
  }

  size_t Digits(size_t at, Character first) const {
    if (shape_.digits == 0) {
      const size_t begin = text_[at] == ' ' ? at + first.size : at;
      const size_t end = Run(begin, kNumber);
      return end == begin ? at : end;
    }
    for (int i = 0; i < shape_.digits; ++i) {
      const Character next = CharacterAt(text_, at);
      if (next.classes != kNumber) break;
      at += next.size;
    }
    return at;
  }

  size_t Symbols(size_t at, Character first) const {
    const size_t begin = text_[at] == ' ' ? at + first.size : at;
    size_t end = Run(begin, (kMark | kOtherSymbol) & ~letters_);
    if (end == begin) return at;
    const std::string_view tail = shape_.tail;
    while (end < text_.size() && tail.find(text_[end]) != std::string_view::npos) ++end;
    return end;
  }

  // The last character is left to the word behind it, if there is one.
  size_t WhiteSpace(size_t at) const {
    size_t end = at;
    size_t last = at;
    size_t behind_break = at;
    Character next = CharacterAt(text_, end);
    while ((next.classes & kSpace) != 0) {
      last = end;
      end += next.size;
      if (next.classes == kLineBreak) behind_break = end;
      next = CharacterAt(text_, end);
    }
    if (shape_.line_breaks && behind_break != at) return behind_break;
    const bool closed = next.classes == 0 || (shape_.digits_first && next.classes == kNumber);
    return closed || last == at ? end : last;
  }

  // Modifiers, letters without case, and marks count as either.
  static constexpr int kCapitals = kUpperCase | kOtherLetter | kMark;
  static constexpr int kSmall = kLowerCase | kOtherLetter | kMark;

  const SplitShape& shape_;
  const int letters_;
  std::string_view text_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_SPLIT_SCANNER_H_
