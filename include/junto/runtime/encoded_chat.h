// EncodedChat: a conversation's text with its tokens, of which the next one keeps what it shares.
#ifndef JUNTO_RUNTIME_ENCODED_CHAT_H_
#define JUNTO_RUNTIME_ENCODED_CHAT_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/text/segments.h"
#include "junto/text/tokenizer.h"

namespace junto {

// The text is encoded in pieces, each of which begins with a control token, so nothing merges
// across them.
class EncodedChat {
 public:
  explicit EncodedChat(Memory* memory)
      : text_(memory), pieces_({memory, Tag::kObject}), tokens_({memory, Tag::kObject}) {}

  // Takes the text; `first` says whether it begins the context. `marker` spells the control token
  // that begins pieces, or is empty. Leading pieces that `before` has are not encoded again. Throws
  // OutOfMemory.
  Status Encode(const Tokenizer& tokenizer, std::string_view marker, SegmentList text, bool first,
                const EncodedChat& before, EncodeScratch* scratch) {
    text_ = std::move(text);
    pieces_.clear();
    tokens_.clear();
    const size_t size = text_.text().size();
    bool shares = first == before.first_;
    first_ = first;
    for (size_t begin = 0; begin < size;) {
      const size_t end = NextPiece(marker, begin);
      const size_t index = pieces_.size();
      shares = shares && index < before.pieces_.size() && before.pieces_[index].text_end == end &&
               text_.SameAs(before.text_, begin, end);
      if (shares) {
        const size_t from = tokens_.size();
        const int32_t* tokens = before.tokens_.data();
        tokens_.insert(tokens_.end(), tokens + from, tokens + before.pieces_[index].token_end);
      } else {
        const SegmentList piece = text_.Part(begin, end);
        JUNTO_TRY(tokenizer.Encode(piece.text(), piece.segments(), first && begin == 0, scratch,
                                   &tokens_));
      }
      pieces_.push_back({end, tokens_.size()});
      begin = end;
    }
    return Status();
  }

  const SegmentList& text() const { return text_; }
  Span<const int32_t> tokens() const { return tokens_; }
  // Bytes and tokens before the last `count` pieces.
  size_t TextBefore(size_t count) const {
    return pieces_.size() <= count ? 0 : pieces_[pieces_.size() - count - 1].text_end;
  }
  size_t TokensBefore(size_t count) const {
    return pieces_.size() <= count ? 0 : pieces_[pieces_.size() - count - 1].token_end;
  }
  bool empty() const { return tokens_.empty(); }
  void Clear() {
    text_.Clear();
    pieces_.clear();
    tokens_.clear();
  }

 private:
  struct Piece {
    size_t text_end;
    size_t token_end;
  };

  // Where the piece that begins at `begin` ends.
  size_t NextPiece(std::string_view marker, size_t begin) const {
    const std::string_view text = text_.text();
    if (marker.empty()) return text.size();
    for (size_t at = text.find(marker, begin + 1); at != std::string_view::npos;
         at = text.find(marker, at + 1)) {
      if (text_.Trusted(at, at + marker.size())) return at;
    }
    return text.size();
  }

  SegmentList text_;
  Vector<Piece> pieces_;
  Vector<int32_t> tokens_;
  bool first_ = true;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_ENCODED_CHAT_H_
