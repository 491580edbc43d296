// Tokenizer: text to token ids and back, as the model's own tokenizer does it.
#ifndef JUNTO_TEXT_TOKENIZER_H_
#define JUNTO_TEXT_TOKENIZER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/io/gguf.h"
#include "junto/io/metadata.h"
#include "junto/text/bpe.h"
#include "junto/text/nfc.h"
#include "junto/text/segments.h"
#include "junto/text/special_tokens.h"
#include "junto/text/split_rule.h"
#include "junto/text/splitter.h"
#include "junto/text/utf8.h"
#include "junto/text/vocabulary.h"

namespace junto {

// What a file says about its tokenizer. Views are read while it is created and not kept.
struct TokenizerSource {
  std::string_view model;  // "gpt2" (byte-level BPE) or "no_vocab"
  std::string_view pre;    // a name of kSplitRules
  Span<const std::string_view> tokens;
  Span<const int32_t> types;            // empty, or one per token
  Span<const std::string_view> merges;  // "left right", spelled like tokens, best first
  int32_t bos = -1;                     // -1 where there is none
  int32_t eos = -1;
  int32_t more_ends[2] = {-1, -1};  // end of turn, end of message
  int8_t adds_bos = -1;             // 0, 1, or -1 where the file does not say
};

// The working memory of Encode: one thread at a time. Keeping it saves allocations.
struct EncodeScratch {
  explicit EncodeScratch(Memory* memory) : split(memory), nfc(memory), merger(memory) {}
  SplitScratch split;
  NfcNormaliser nfc;
  BpeMerger merger;
};

// Immutable once created, so any number of threads may use it.
class Tokenizer {
 public:
  static constexpr size_t kMaxTextBytes = size_t{1} << 30;

  // Reads the keys tokenizer.ggml.*. E_FORMAT and E_UNSUPPORTED name the key; throws OutOfMemory.
  // See Splitter::Create about `jit`.
  static Status FromGguf(const Gguf& file, Memory* memory, Owned<Tokenizer>* out,
                         bool jit = false) {
    return FromMetadata(file.metadata(), memory, out, jit);
  }
  static Status FromMetadata(const Metadata& metadata, Memory* memory, Owned<Tokenizer>* out,
                             bool jit = false);
  static Status Create(const TokenizerSource& source, Memory* memory, Owned<Tokenizer>* out,
                       bool jit = false);

  explicit Tokenizer(Memory* memory)  // use Create
      : memory_(memory), vocabulary_(memory), specials_(memory), merges_(memory) {}

  // False for a file without a vocabulary: then Encode is E_UNSUPPORTED and every piece is empty.
  bool has_vocabulary() const { return vocabulary_.size() != 0; }

  // Appends the ids of `text`. Control tokens are recognised only with `parse_special`;
  // user-defined ones always are. `add_bos` begins with BOS where the model's own tokenizer would,
  // and never makes it two. Bytes that are not UTF-8 are encoded as they are. A byte that the
  // vocabulary does not have is left out, as the reference implementations do. E_INVALID beyond
  // kMaxTextBytes. A failure leaves `*out` as it was. Throws OutOfMemory.
  Status Encode(std::string_view text, bool add_bos, bool parse_special,
                Vector<int32_t>* out) const {
    EncodeScratch scratch(memory_);
    const Segment whole = {text.size(), parse_special};
    return Encode(text, {&whole, 1}, add_bos, &scratch, out);
  }

  // The same for a text with trusted and other parts. Control tokens are recognised where all of
  // their spelling is trusted; otherwise segment borders do not show in the ids.
  Status Encode(std::string_view text, Span<const Segment> segments, bool add_bos,
                EncodeScratch* scratch, Vector<int32_t>* out) const;

  // Raw bytes, which may begin or end inside a code point; control tokens give their spelling.
  // Empty for ids without a token.
  std::string_view Piece(int32_t id) const { return vocabulary_.Piece(id); }
  size_t max_piece_bytes() const { return vocabulary_.max_piece_bytes(); }

  bool IsControl(int32_t id) const { return vocabulary_.Type(id) == TokenType::kControl; }
  // Whether the id has a meaning; others are padding.
  bool IsDefined(int32_t id) const { return vocabulary_.Type(id) != TokenType::kUnused; }
  // Whether the model ends its answer with this token.
  bool IsEnd(int32_t id) const {
    return std::find(ends_, ends_ + end_count_, id) != ends_ + end_count_;
  }
  Span<const int32_t> ends() const { return {ends_, end_count_}; }

  int32_t bos() const { return bos_; }  // -1 where there is none
  int32_t eos() const { return eos_; }
  bool adds_bos() const { return adds_bos_; }
  size_t vocabulary_size() const { return vocabulary_.size(); }

  // The control token that is spelled like this, or -1. Slow: for look-ups at load.
  int32_t FindControl(std::string_view spelling) const {
    return vocabulary_.FindTyped(spelling, TokenType::kControl);
  }

 private:
  Status FillMerges(Span<const std::string_view> merges);
  Status AddMerge(std::string_view spelled, uint32_t rank, Vector<char>* bytes);
  Status SetEnds(const TokenizerSource& source);
  void AddEnd(int32_t id);
  Status CheckId(const char* key, int32_t id) const;
  Status EncodeSegments(std::string_view text, Span<const Segment> segments, bool add_bos,
                        EncodeScratch* scratch, Vector<int32_t>* out) const;
  Status EncodeText(std::string_view text, EncodeScratch* scratch, Vector<int32_t>* out) const;
  Status EncodePiece(std::string_view piece, EncodeScratch* scratch, Vector<int32_t>* out) const;

  static constexpr size_t kMaxEnds = 16;
  Memory* memory_;
  Vocabulary vocabulary_;
  SpecialTokens specials_;
  MergeTable merges_;
  Splitter splitter_;
  const SplitRule* rule_ = nullptr;
  int32_t byte_ids_[256] = {};
  int32_t bos_ = -1;
  int32_t eos_ = -1;
  bool adds_bos_ = false;
  int32_t ends_[kMaxEnds] = {};
  size_t end_count_ = 0;
};

inline Status Tokenizer::FromMetadata(const Metadata& metadata, Memory* memory,
                                      Owned<Tokenizer>* out, bool jit) {
  TokenizerSource source;
  JUNTO_TRY(metadata.GetString("tokenizer.ggml.model", &source.model));
  if (source.model != "gpt2") return Create(source, memory, out, jit);
  const auto id = [&metadata](const char* key, int32_t* value) {
    uint32_t found = UINT32_MAX;
    JUNTO_TRY(metadata.GetU32Or(key, UINT32_MAX, &found));
    // Out of every vocabulary, yet not "none": Create then names it.
    *value = found == UINT32_MAX ? -1 : static_cast<int32_t>(std::min<uint32_t>(found, INT32_MAX));
    return Status();
  };
  JUNTO_TRY(metadata.GetStringOr("tokenizer.ggml.pre", "default", &source.pre));
  JUNTO_TRY(metadata.GetStrings("tokenizer.ggml.tokens", &source.tokens));
  JUNTO_TRY(metadata.GetStrings("tokenizer.ggml.merges", &source.merges));
  if (metadata.Find("tokenizer.ggml.token_type") != nullptr) {
    JUNTO_TRY(metadata.GetI32s("tokenizer.ggml.token_type", &source.types));
  }
  JUNTO_TRY(id("tokenizer.ggml.bos_token_id", &source.bos));
  JUNTO_TRY(id("tokenizer.ggml.eos_token_id", &source.eos));
  JUNTO_TRY(id("tokenizer.ggml.eot_token_id", &source.more_ends[0]));
  JUNTO_TRY(id("tokenizer.ggml.eom_token_id", &source.more_ends[1]));
  if (metadata.Find("tokenizer.ggml.add_bos_token") != nullptr) {
    bool adds_bos = false;
    JUNTO_TRY(metadata.GetBool("tokenizer.ggml.add_bos_token", &adds_bos));
    source.adds_bos = adds_bos ? 1 : 0;
  }
  return Create(source, memory, out, jit);
}

inline Status Tokenizer::Create(const TokenizerSource& source, Memory* memory,
                                Owned<Tokenizer>* out, bool jit) {
  Owned<Tokenizer> fresh = New<Tokenizer>(memory, Tag::kTokenizer, memory);
  if (source.model != "no_vocab") {
    if (source.model != "gpt2") {
      return Status::Make(Code::kUnsupported, "tokenizer.ggml.model: '%.*s' is not supported",
                          static_cast<int>(Utf8Prefix(source.model, 64).size()),
                          source.model.data());
    }
    fresh->rule_ = FindSplitRule(source.pre);
    if (fresh->rule_ == nullptr) {
      return Status::Make(Code::kUnsupported, "tokenizer.ggml.pre: '%.*s' is not supported",
                          static_cast<int>(Utf8Prefix(source.pre, 64).size()), source.pre.data());
    }
    JUNTO_TRY(Splitter::Create(fresh->rule_->pattern, jit, memory, &fresh->splitter_));
    JUNTO_TRY(fresh->vocabulary_.Fill(source.tokens, source.types));
    JUNTO_TRY(fresh->specials_.Fill(fresh->vocabulary_));
    JUNTO_TRY(fresh->FillMerges(source.merges));
    JUNTO_TRY(fresh->SetEnds(source));
    fresh->adds_bos_ = source.adds_bos < 0 ? fresh->rule_->begins_with_bos : source.adds_bos != 0;
  }
  *out = std::move(fresh);
  return Status();
}

inline Status Tokenizer::FillMerges(Span<const std::string_view> merges) {
  static constexpr size_t kMaxMerges = size_t{1} << 26;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_ids_[byte] = vocabulary_.Find({&c, 1});
  }
  if (merges.size() > kMaxMerges) {
    return Status::Make(Code::kFormat, "tokenizer.ggml.merges: %zu merges found, at most %zu read",
                        merges.size(), kMaxMerges);
  }
  merges_.Reserve(merges.size());
  Vector<char> bytes({memory_, Tag::kTokenizer});
  for (size_t i = 0; i < merges.size(); ++i) {
    JUNTO_TRY(AddMerge(merges[i], static_cast<uint32_t>(i), &bytes));
  }
  return Status();
}

inline Status Tokenizer::AddMerge(std::string_view spelled, uint32_t rank, Vector<char>* bytes) {
  const auto failure = [spelled, rank](const char* fact) {
    return Status::Make(Code::kFormat, "tokenizer.ggml.merges: merge %u '%.*s' %s", rank,
                        static_cast<int>(Utf8Prefix(spelled, 64).size()), spelled.data(), fact);
  };
  const size_t space = spelled.find(' ');
  if (space == std::string_view::npos) return failure("is not two pieces with a space between");
  bytes->clear();
  const bool left_ok = kByteAlphabet.Decode(spelled.substr(0, space), bytes);
  const size_t left_bytes = bytes->size();
  if (!left_ok || !kByteAlphabet.Decode(spelled.substr(space + 1), bytes)) {
    return failure("is not spelled in the byte alphabet");
  }
  const std::string_view joined(bytes->data(), bytes->size());
  const int32_t left = vocabulary_.Find(joined.substr(0, left_bytes));
  const int32_t right = vocabulary_.Find(joined.substr(left_bytes));
  const int32_t id = vocabulary_.Find(joined);
  if (left < 0 || right < 0 || id < 0) return failure("names a piece that is no token");
  if (!merges_.Insert(left, right, {rank, id})) return failure("repeats an earlier one");
  return Status();
}

inline Status Tokenizer::CheckId(const char* key, int32_t id) const {
  if (id == -1 || vocabulary_.Contains(id)) return Status();
  return Status::Make(Code::kFormat, "tokenizer.ggml.%s: token %d of %zu", key,
                      static_cast<int>(id), vocabulary_.size());
}

inline void Tokenizer::AddEnd(int32_t id) {
  if (id >= 0 && !IsEnd(id) && end_count_ < kMaxEnds) ends_[end_count_++] = id;
}

// Files name one end; vocabularies have others that end an answer just the same.
inline Status Tokenizer::SetEnds(const TokenizerSource& source) {
  JUNTO_TRY(CheckId("bos_token_id", source.bos));
  JUNTO_TRY(CheckId("eos_token_id", source.eos));
  JUNTO_TRY(CheckId("eot_token_id", source.more_ends[0]));
  JUNTO_TRY(CheckId("eom_token_id", source.more_ends[1]));
  bos_ = source.bos;
  eos_ = source.eos;
  // In Harmony markup <|end|> only separates the reasoning from the answer, whatever a file says.
  const bool harmony = FindControl("<|return|>") >= 0 && FindControl("<|call|>") >= 0;
  const int32_t separator = harmony ? FindControl("<|end|>") : -1;
  for (const int32_t id : {source.eos, source.more_ends[0], source.more_ends[1]}) {
    if (id != separator) AddEnd(id);
  }
  for (const char* name : {"<|return|>", "<|call|>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>"}) {
    AddEnd(FindControl(name));
  }
  return Status();
}

inline Status Tokenizer::Encode(std::string_view text, Span<const Segment> segments, bool add_bos,
                                EncodeScratch* scratch, Vector<int32_t>* out) const {
  if (!has_vocabulary()) {
    return Status::Make(Code::kUnsupported, "the file has no vocabulary: %zu bytes of text given",
                        text.size());
  }
  if (text.size() > kMaxTextBytes) {
    return Status::Make(Code::kInvalid, "text of %zu bytes, at most %zu at once", text.size(),
                        kMaxTextBytes);
  }
  // Undoes what was appended unless all went well.
  struct Appended {
    ~Appended() { ids->resize(keep); }
    Vector<int32_t>* ids;
    size_t keep;
  } appended = {out, out->size()};
  JUNTO_TRY(EncodeSegments(text, segments, add_bos, scratch, out));
  appended.keep = out->size();
  return Status();
}

inline Status Tokenizer::EncodeSegments(std::string_view text, Span<const Segment> segments,
                                        bool add_bos, EncodeScratch* scratch,
                                        Vector<int32_t>* out) const {
  const bool begins_with_bos = add_bos && adds_bos_ && bos_ >= 0;
  if (begins_with_bos) out->push_back(bos_);
  size_t plain = 0;  // where the text since the last special token begins
  size_t segment = 0;
  for (size_t at = 0; at < text.size();) {
    while (segment < segments.size() && segments[segment].end <= at) ++segment;
    const bool trusted = segment < segments.size() && segments[segment].trusted;
    const size_t trusted_bytes = trusted ? segments[segment].end - at : 0;
    const auto accept = [this, trusted_bytes](int32_t id) {
      return !IsControl(id) || Piece(id).size() <= trusted_bytes;
    };
    const bool may_start = specials_.MayStart(text[at]);
    const int32_t id = may_start ? specials_.LongestAt(text.substr(at), accept) : -1;
    if (id < 0) {
      ++at;
      continue;
    }
    JUNTO_TRY(EncodeText(text.substr(plain, at - plain), scratch, out));
    if (at != 0 || id != bos_ || !begins_with_bos) out->push_back(id);
    at += Piece(id).size();
    plain = at;
  }
  return EncodeText(text.substr(plain), scratch, out);
}

// Text without special tokens. What is not UTF-8 is cut out, and each stretch of it is one piece.
inline Status Tokenizer::EncodeText(std::string_view text, EncodeScratch* scratch,
                                    Vector<int32_t>* out) const {
  const auto piece = [&](std::string_view bytes) { return EncodePiece(bytes, scratch, out); };
  while (!text.empty()) {
    const std::string_view whole = text.substr(0, WholePrefix(text));
    text.remove_prefix(whole.size());
    JUNTO_TRY(splitter_.Split(rule_->nfc ? scratch->nfc.Normalise(whole) : whole, &scratch->split,
                              piece));
    size_t broken = 0;
    while (broken < text.size() && CodePointLength(text.substr(broken)) == 0) ++broken;
    if (broken != 0) JUNTO_TRY(piece(text.substr(0, broken)));
    text.remove_prefix(broken);
  }
  return Status();
}

inline Status Tokenizer::EncodePiece(std::string_view piece, EncodeScratch* scratch,
                                     Vector<int32_t>* out) const {
  const int32_t whole = rule_->whole_pieces ? vocabulary_.Find(piece) : -1;
  if (whole >= 0) {
    out->push_back(whole);
    return Status();
  }
  const size_t first = out->size();
  for (const char c : piece) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
    if (id >= 0) out->push_back(id);
  }
  scratch->merger.Join(merges_, first, out);
  return Status();
}

}  // namespace junto

#endif  // JUNTO_TEXT_TOKENIZER_H_
