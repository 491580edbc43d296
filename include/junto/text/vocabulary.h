// Vocabulary: the bytes and the type of every token, and which ordinary token has given bytes.
#ifndef JUNTO_TEXT_VOCABULARY_H_
#define JUNTO_TEXT_VOCABULARY_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/text/byte_alphabet.h"

namespace junto {

// Values of tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // chat markup and the like; never made from untrusted text
  kUserDefined = 4,  // always cut out of the text before it is split
  kUnused = 5,       // a row of the embedding without a meaning
  kByte = 6,
};

// Immutable once filled, so any number of threads may use it.
class Vocabulary {
 public:
  static constexpr size_t kMaxTokens = size_t{1} << 24;

  explicit Vocabulary(Memory* memory)
      : bytes_({memory, Tag::kTokenizer}),
        ends_({memory, Tag::kTokenizer}),
        types_({memory, Tag::kTokenizer}),
        index_({memory, Tag::kTokenizer}) {}

  // `tokens` as tokenizer.ggml.tokens spells them; `types` is as long, or empty when all are
  // normal. Normal tokens are spelled in the byte alphabet, or as they are where they leave it; the
  // others are spelled as they are. E_FORMAT names the key and the number. Throws OutOfMemory.
  Status Fill(Span<const std::string_view> tokens, Span<const int32_t> types);

  size_t size() const { return ends_.size(); }
  bool Contains(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < size(); }

  // Raw bytes, which need not be whole code points; empty for ids that are not in the vocabulary.
  std::string_view Piece(int32_t id) const {
    if (!Contains(id)) return {};
    const uint32_t begin = id == 0 ? 0 : ends_[static_cast<size_t>(id) - 1];
    return {bytes_.data() + begin, ends_[static_cast<size_t>(id)] - begin};
  }
  TokenType Type(int32_t id) const {
    return Contains(id) ? types_[static_cast<size_t>(id)] : TokenType::kUnused;
  }
  size_t max_piece_bytes() const { return max_piece_bytes_; }

  // The normal token with exactly these bytes, or -1.
  int32_t Find(std::string_view bytes) const { return index_.empty() ? -1 : index_[Probe(bytes)]; }

  // The first token of this type with exactly these bytes, or -1. Linear: for look-ups at load.
  int32_t FindTyped(std::string_view bytes, TokenType type) const {
    for (size_t id = 0; id < size(); ++id) {
      if (types_[id] == type && Piece(static_cast<int32_t>(id)) == bytes) {
        return static_cast<int32_t>(id);
      }
    }
    return -1;
  }

 private:
  Status Append(std::string_view spelled, TokenType type);
  Status IndexNormal();

  // The slot that holds the normal token `bytes`, else the empty one (-1) where it belongs.
  size_t Probe(std::string_view bytes) const {
    const size_t mask = index_.size() - 1;
    size_t i = Hash(bytes) & mask;
    while (index_[i] >= 0 && Piece(index_[i]) != bytes) i = (i + 1) & mask;
    return i;
  }
  static size_t Hash(std::string_view bytes) {
    uint64_t hash = bytes.size();
    for (const char c : bytes) {
      hash = (hash ^ static_cast<uint8_t>(c)) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 32;
    }
    return static_cast<size_t>(hash);
  }

  Vector<char> bytes_;  // of all tokens, one after the other
  Vector<uint32_t> ends_;
  Vector<TokenType> types_;
  Vector<int32_t> index_;  // open addressing, at most half full
  size_t max_piece_bytes_ = 0;
};

inline Status Vocabulary::Fill(Span<const std::string_view> tokens, Span<const int32_t> types) {
  if (tokens.empty() || tokens.size() > kMaxTokens) {
    return Status::Make(Code::kFormat, "tokenizer.ggml.tokens: 1 to %zu tokens expected, %zu found",
                        kMaxTokens, tokens.size());
  }
  if (!types.empty() && types.size() != tokens.size()) {
    return Status::Make(Code::kFormat, "tokenizer.ggml.token_type: %zu types expected, %zu found",
                        tokens.size(), types.size());
  }
  uint64_t bytes = 0;  // decoding never lengthens a token
  for (const std::string_view token : tokens) bytes += token.size();
  if (bytes > UINT32_MAX) {
    return Status::Make(Code::kFormat, "tokenizer.ggml.tokens: %llu bytes of text, at most %u read",
                        static_cast<unsigned long long>(bytes), UINT32_MAX);
  }
  bytes_.reserve(static_cast<size_t>(bytes));
  ends_.reserve(tokens.size());
  types_.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int32_t type = types.empty() ? 1 : types[i];
    if (type < 1 || type > 6) {
      return Status::Make(Code::kFormat,
                          "tokenizer.ggml.token_type: type 1 to 6 expected for token %zu, %d found",
                          i, static_cast<int>(type));
    }
    JUNTO_TRY(Append(tokens[i], static_cast<TokenType>(type)));
  }
  return IndexNormal();
}

inline Status Vocabulary::Append(std::string_view spelled, TokenType type) {
  const size_t begin = bytes_.size();
  if (type != TokenType::kNormal || !kByteAlphabet.Decode(spelled, &bytes_)) {
    bytes_.insert(bytes_.end(), spelled.begin(), spelled.end());
  }
  ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  types_.push_back(type);
  max_piece_bytes_ =
      bytes_.size() - begin > max_piece_bytes_ ? bytes_.size() - begin : max_piece_bytes_;
  return Status();
}

inline Status Vocabulary::IndexNormal() {
  size_t capacity = 2;
  while (capacity < size() * 2) capacity *= 2;
  index_.assign(capacity, -1);
  for (size_t i = 0; i < size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (types_[i] != TokenType::kNormal || Piece(id).empty()) continue;
    int32_t* slot = &index_[Probe(Piece(id))];
    if (*slot >= 0) {
      return Status::Make(Code::kFormat, "tokenizer.ggml.tokens: token %zu repeats token %d", i,
                          static_cast<int>(*slot));
    }
    *slot = id;
  }
  return Status();
}

}  // namespace junto

#endif  // JUNTO_TEXT_VOCABULARY_H_
