// Rewriter: what SentencePiece does to a text before it looks for tokens.
#ifndef JUNTO_TEXT_REWRITER_H_
#define JUNTO_TEXT_REWRITER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/text/character_class.h"
#include "junto/text/charsmap.h"
#include "junto/text/piece_trie.h"
#include "junto/text/sentencepiece.h"
#include "junto/text/utf8.h"
#include "junto/text/vocabulary.h"

namespace junto {

// Where the space goes that makes the first word one like the others.
enum class SpacePlace : uint8_t { kBefore, kBeforeUnlessThere, kBehind };

struct RewriteRules {
  std::string_view charsmap;  // see Charsmap; read while a Rewriter is filled and not kept
  bool squeezes = false;      // spaces that follow a space are left out
  bool strips_front = false;  // and those at the front,
  bool strips_back = false;   // and at the end,
  bool strips_white = false;  // as is all white space there
  bool adds_space = false;
  SpacePlace place = SpacePlace::kBefore;
  bool only_first = false;  // where the whole text begins, not behind special tokens
};

// Immutable once filled, so any number of threads may use it.
class Rewriter {
 public:
  explicit Rewriter(Memory* memory) : memory_(memory), kept_(memory), charsmap_(memory) {}

  // `kept` are tokens whose spelling, with space marks, is never rewritten. E_FORMAT names what is
  // wrong with the rules; throws OutOfMemory.
  Status Fill(const RewriteRules& rules, const Vocabulary& vocabulary, Span<const int32_t> kept);

  // Writes what becomes of `text`, with spaces for space marks; `first` says that the whole text
  // begins with it. Bytes that are not UTF-8 stay. E_INVALID from `most` bytes on. Throws
  // OutOfMemory.
  Status Rewrite(std::string_view text, bool first, size_t most, String* out) const;

 private:
  // A piece of a text and what it is replaced by: what one rule says, or the next character.
  Charsmap::Rule Next(std::string_view text) const {
    size_t bytes = 0;
    kept_.ForEachPrefix(text, [&bytes](size_t length, int32_t) { bytes = length; });
    if (bytes != 0) return {bytes, text.substr(0, bytes)};
    const Charsmap::Rule rule = charsmap_.Longest(text);
    if (rule.bytes != 0) return rule;
    bytes = std::max<size_t>(1, CodePointLength(text));
    return {bytes, text.substr(0, bytes)};
  }

  static void StripWhite(String* text);

  Memory* memory_;
  PieceTrie kept_;
  Charsmap charsmap_;
  RewriteRules rules_;
};

inline Status Rewriter::Fill(const RewriteRules& rules, const Vocabulary& vocabulary,
                             Span<const int32_t> kept) {
  rules_ = rules;
  rules_.charsmap = {};
  String spelled({memory_, Tag::kLoadTemp});
  Vector<size_t> ends({memory_, Tag::kLoadTemp});
  Vector<int32_t> numbers({memory_, Tag::kLoadTemp});
  for (const int32_t id : kept) {
    for (const char c : vocabulary.Piece(id)) {
      c == ' ' ? spelled.append(kSpaceMark) : spelled.append(1, c);
    }
    numbers.push_back(static_cast<int32_t>(ends.size()));
    ends.push_back(spelled.size());
  }
  const auto piece = [&](int32_t number) {
    const auto at = static_cast<size_t>(number);
    const size_t begin = at == 0 ? 0 : ends[at - 1];
    return std::string_view(spelled).substr(begin, ends[at] - begin);
  };
  kept_.Fill(piece, std::move(numbers));
  return charsmap_.Read(rules.charsmap);
}

// Of the end.
inline void Rewriter::StripWhite(String* text) {
  for (size_t begin = text->size(); begin > 0;) {
    do --begin;
    while (begin > 0 && (static_cast<uint8_t>((*text)[begin]) & 0xC0) == 0x80);
    const std::string_view last = std::string_view(*text).substr(begin);
    if (CodePointLength(last) != last.size()) return;
    if ((CharacterAt(last, 0).classes & kSpace) == 0) return;
    text->resize(begin);
  }
}

inline Status Rewriter::Rewrite(std::string_view text, bool first, size_t most, String* out) const {
  out->clear();
  while (rules_.strips_front && !text.empty()) {
    const Charsmap::Rule next = Next(text);
    if (next.text != " ") break;
    text.remove_prefix(next.bytes);
  }
  if (text.empty()) return Status();
  const bool adds_space = rules_.adds_space && (first || !rules_.only_first);
  if (adds_space && rules_.place == SpacePlace::kBefore) out->push_back(' ');
  bool after_space = rules_.strips_front;
  while (!text.empty()) {
    Charsmap::Rule next = Next(text);
    text.remove_prefix(next.bytes);
    while (rules_.squeezes && after_space && next.text.substr(0, 1) == " ") {
      next.text.remove_prefix(1);
    }
    if (next.text.empty()) continue;
    after_space = next.text.back() == ' ';
    AppendWithSpaces(next.text, out);
    if (out->size() < most) continue;
    return Status::Make(Code::kInvalid, "text of more than %zu bytes once it is rewritten", most);
  }
  while (rules_.strips_back && !out->empty() && out->back() == ' ') out->pop_back();
  if (rules_.strips_white) StripWhite(out);
  const bool lacks_space = !out->empty() && out->front() != ' ';
  if (adds_space && rules_.place == SpacePlace::kBeforeUnlessThere && lacks_space) {
    out->insert(out->begin(), ' ');
  }
  if (adds_space && rules_.place == SpacePlace::kBehind) out->push_back(' ');
  return Status();
}

}  // namespace junto

#endif  // JUNTO_TEXT_REWRITER_H_
