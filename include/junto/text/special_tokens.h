// Special tokens: finds the control and user-defined tokens that are spelled out in a text.
#ifndef JUNTO_TEXT_SPECIAL_TOKENS_H_
#define JUNTO_TEXT_SPECIAL_TOKENS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/text/vocabulary.h"

namespace junto {

// The tokens in byte order: those that share a prefix with the text are a range, which each further
// byte narrows. Immutable once filled, so any number of threads may use it.
class SpecialTokens {
 public:
  // Bounds the work per byte of a hostile text; real ones are below 64.
  static constexpr size_t kMaxBytes = 512;

  explicit SpecialTokens(Memory* memory) : sorted_({memory, Tag::kTokenizer}) {}

  // Of the control and user-defined tokens those for which take(id). `vocabulary` outlives this
  // object. E_FORMAT names the token; throws OutOfMemory.
  template <class Take>
  Status Fill(const Vocabulary& vocabulary, const Take& take) {
    vocabulary_ = &vocabulary;
    for (size_t i = 0; i < vocabulary.size(); ++i) {
      const auto id = static_cast<int32_t>(i);
      const TokenType type = vocabulary.Type(id);
      if (type != TokenType::kControl && type != TokenType::kUserDefined) continue;
      if (!take(id)) continue;
      const size_t bytes = vocabulary.Piece(id).size();
      if (bytes > kMaxBytes) {
        return Status::Make(
            Code::kFormat,
            "tokenizer.ggml.tokens: special token %zu has %zu bytes, at most %zu read", i, bytes,
            kMaxBytes);
      }
      if (bytes != 0) sorted_.push_back(id);
    }
    std::sort(sorted_.begin(), sorted_.end(), [&vocabulary](int32_t a, int32_t b) {
      const int order = vocabulary.Piece(a).compare(vocabulary.Piece(b));
      return order != 0 ? order < 0 : a < b;
    });
    for (size_t i = 1; i < sorted_.size(); ++i) {
      if (vocabulary.Piece(sorted_[i - 1]) == vocabulary.Piece(sorted_[i])) {
        return Status::Make(Code::kFormat, "tokenizer.ggml.tokens: token %d repeats token %d",
                            static_cast<int>(sorted_[i]), static_cast<int>(sorted_[i - 1]));
      }
    }
    for (const int32_t id : sorted_) ++begin_[First(vocabulary.Piece(id)) + 1];
    for (size_t i = 0; i < 256; ++i) begin_[i + 1] += begin_[i];
    return Status();
  }

  // The longest special token that `text` starts with and accept(id) allows, or -1.
  template <class Accept>
  int32_t LongestAt(std::string_view text, const Accept& accept) const {
    const int32_t* begin = sorted_.data() + begin_[First(text)];
    const int32_t* end = sorted_.data() + begin_[First(text) + 1];
    int32_t longest = -1;
    for (size_t depth = 1; begin != end; ++depth) {
      if (vocabulary_->Piece(*begin).size() == depth) {
        if (accept(*begin)) longest = *begin;
        ++begin;  // a range in byte order starts with the token that is a prefix of the others
      }
      if (depth == text.size()) break;
      Narrow(depth, text[depth], &begin, &end);
    }
    return longest;
  }

  // The special token that is spelled like this, or -1.
  int32_t Find(std::string_view spelling) const {
    if (spelling.empty()) return -1;
    const int32_t id = LongestAt(spelling, [](int32_t) { return true; });
    return id >= 0 && vocabulary_->Piece(id).size() == spelling.size() ? id : -1;
  }

  // Whether a token tells parts of a text apart, so that untrusted text must not spell it: control
  // tokens do, and of the user-defined ones those that frame reasoning and the calls of tools.
  static bool IsMarkup(const Vocabulary& vocabulary, int32_t id) {
    const TokenType type = vocabulary.Type(id);
    if (type != TokenType::kUserDefined) return type == TokenType::kControl;
    const std::string_view piece = vocabulary.Piece(id);
    if (piece.size() < 3 || piece.front() != '<' || piece.back() != '>') return false;
    if (piece[1] == '|' || piece[piece.size() - 2] == '|') return true;
    for (const std::string_view name :
         {"<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>",
          "</tool_response>", "<tools>", "</tools>"}) {
      if (piece == name) return true;
    }
    return false;
  }

  bool empty() const { return sorted_.empty(); }
  Span<const int32_t> ids() const { return sorted_; }

  // Whether some special token starts with this byte.
  bool MayStart(char c) const {
    const auto byte = static_cast<uint8_t>(c);
    return begin_[byte] != begin_[byte + 1];
  }

 private:
  static size_t First(std::string_view text) { return static_cast<uint8_t>(text[0]); }

  // Keeps the tokens whose byte at `depth` is `c`; all of them have one.
  void Narrow(size_t depth, char c, const int32_t** begin, const int32_t** end) const {
    const auto byte = static_cast<uint8_t>(c);
    const auto at = [this, depth](int32_t id) {
      return static_cast<uint8_t>(vocabulary_->Piece(id)[depth]);
    };
    *begin =
        std::lower_bound(*begin, *end, byte, [&at](int32_t id, uint8_t b) { return at(id) < b; });
    *end =
        std::upper_bound(*begin, *end, byte, [&at](uint8_t b, int32_t id) { return b < at(id); });
  }

  const Vocabulary* vocabulary_ = nullptr;
  Vector<int32_t> sorted_;
  uint32_t begin_[257] = {};  // of the tokens that start with each byte
};

}  // namespace junto

#endif  // JUNTO_TEXT_SPECIAL_TOKENS_H_
