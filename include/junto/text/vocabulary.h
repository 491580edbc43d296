// Vocabulary: the bytes and the type of every token, and which ordinary token has given bytes.
#ifndef JUNTO_TEXT_VOCABULARY_H_
#define JUNTO_TEXT_VOCABULARY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/base/utf8.h"
#include "junto/text/byte_alphabet.h"
#include "junto/text/probe_table.h"
#include "junto/text/sentencepiece.h"

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

// How a file writes the bytes of its normal tokens.
enum class Spelling {
  kByteAlphabet,   // one printable character for each; as they are where they leave the alphabet
  kSentencePiece,  // as they are, with U+2581 for a space; byte tokens as "<0x41>"
};

// Immutable once filled, so any number of threads may use it.
class Vocabulary {
 public:
  static constexpr size_t kMaxTokens = size_t{1} << 24;

  explicit Vocabulary(Memory* memory)
      : bytes_({memory, Tag::kTokenizer}),
        ends_({memory, Tag::kTokenizer}),
        types_({memory, Tag::kTokenizer}),
        index_(memory) {}

  // `tokens` as tokenizer.ggml.tokens spells them; `types` is as long, or empty when all are
  // normal. Control tokens, and in byte alphabet all that are not normal, are spelled as they are.
  // E_FORMAT names the key and the number. Throws OutOfMemory.
  Status Fill(Spelling spelling, Span<const std::string_view> tokens, Span<const int32_t> types);

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
  int32_t Find(std::string_view bytes) const {
    const BytesKey key(bytes);
    const Slot* slot = index_.Find(key.Hash(), [&](const Slot& s) { return Holds(s, key, bytes); });
    return slot == nullptr ? -1 : slot->id;
  }

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
  struct Slot {
    uint64_t word = 0;  // of a BytesKey, as the next
    uint32_t size = 0;
    int32_t id = -1;
    bool used() const { return id >= 0; }
  };

  Status Append(Spelling spelling, std::string_view spelled, TokenType type);
  Status IndexNormal(Spelling spelling);
  bool Holds(const Slot& slot, const BytesKey& key, std::string_view bytes) const {
    return slot.word == key.word && slot.size == key.size &&
           (key.size <= BytesKey::kShort || Piece(slot.id) == bytes);
  }

  Vector<char> bytes_;  // of all tokens, one after the other
  Vector<uint32_t> ends_;
  Vector<TokenType> types_;
  ProbeTable<Slot> index_;  // of normal tokens, by their bytes
  size_t max_piece_bytes_ = 0;
};

inline Status Vocabulary::Fill(Spelling spelling, Span<const std::string_view> tokens,
                               Span<const int32_t> types) {
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
    JUNTO_TRY(Append(spelling, tokens[i], static_cast<TokenType>(type)));
  }
  return IndexNormal(spelling);
}

inline Status Vocabulary::Append(Spelling spelling, std::string_view spelled, TokenType type) {
  const size_t begin = bytes_.size();
  const bool pieces = spelling == Spelling::kSentencePiece;
  if (pieces && type == TokenType::kByte) {
    const int byte = SpelledByte(spelled);
    if (byte < 0) {
      return Status::Make(
          Code::kFormat, "tokenizer.ggml.tokens: byte token %zu is '%.*s', not <0x00> to <0xFF>",
          ends_.size(), static_cast<int>(Utf8Prefix(spelled, 64).size()), spelled.data());
    }
    bytes_.push_back(static_cast<char>(byte));
  } else if (pieces && type != TokenType::kControl) {
    AppendWithSpaces(spelled, &bytes_);
  } else if (type != TokenType::kNormal || !kByteAlphabet.Decode(spelled, &bytes_)) {
    bytes_.insert(bytes_.end(), spelled.begin(), spelled.end());
  }
  ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  types_.push_back(type);
  max_piece_bytes_ = std::max(max_piece_bytes_, bytes_.size() - begin);
  return Status();
}

inline Status Vocabulary::IndexNormal(Spelling spelling) {
  index_.Reserve(size());
  for (size_t i = 0; i < size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view piece = Piece(id);
    if (types_[i] != TokenType::kNormal || piece.empty()) continue;
    const BytesKey key(piece);
    Slot* slot = index_.Place(key.Hash(), [&](const Slot& s) { return Holds(s, key, piece); });
    if (slot == nullptr) {
      return Status::Make(Code::kFormat,
                          "tokenizer.ggml.tokens: token %zu: more than %zu tokens hash alike", i,
                          ProbeTable<Slot>::kReach);
    }
    if (slot->used() && spelling == Spelling::kSentencePiece) continue;  // "\u2581" beside " "
    if (slot->used()) {
      return Status::Make(Code::kFormat, "tokenizer.ggml.tokens: token %zu repeats token %d", i,
                          static_cast<int>(slot->id));
    }
    *slot = {key.word, key.size, id};
  }
  return Status();
}

}  // namespace junto

#endif  // JUNTO_TEXT_VOCABULARY_H_
