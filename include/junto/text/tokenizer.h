// Tokenizer: text to token ids and back, as the model's own tokenizer does it.
#ifndef JUNTO_TEXT_TOKENIZER_H_
#define JUNTO_TEXT_TOKENIZER_H_

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/io/gguf.h"
#include "junto/io/metadata.h"
#include "junto/text/bpe.h"
#include "junto/text/byte_pairs.h"
#include "junto/text/nfc.h"
#include "junto/text/rewriter.h"
#include "junto/text/segments.h"
#include "junto/text/sentencepiece_model.h"
#include "junto/text/special_tokens.h"
#include "junto/text/split_rule.h"
#include "junto/text/splitter.h"
#include "junto/text/tokenizer_json.h"
#include "junto/text/tokenizer_kind.h"
#include "junto/text/tokenizer_source.h"
#include "junto/text/unigram.h"
#include "junto/text/utf8.h"
#include "junto/text/vocabulary.h"

namespace junto {

// The working memory of Encode: one thread at a time. Keeping it saves allocations.
struct EncodeScratch {
  explicit EncodeScratch(Memory* memory)
      : split(memory),
        nfc(memory),
        merger(memory),
        text({memory, Tag::kTokenizer}),
        segments({memory, Tag::kTokenizer}),
        piece({memory, Tag::kTokenizer}),
        symbols({memory, Tag::kTokenizer}),
        offsets({memory, Tag::kTokenizer}),
        steps({memory, Tag::kTokenizer}) {}
  SplitScratch split;
  NfcNormaliser nfc;
  BpeMerger merger;
  String text;  // with spaces for space marks
  Vector<Segment> segments;
  String piece;  // of it, with a space before, or rewritten
  Vector<int32_t> symbols;
  Vector<uint32_t> offsets;  // of the symbols before they were joined, and where the last one ends
  Vector<UnigramStep> steps;
};

// Does not change once created but for what it remembers, which threads share without waiting: any
// number of them may use it.
class Tokenizer {
 public:
  static constexpr size_t kMaxTextBytes = size_t{1} << 30;

  // Reads the keys tokenizer.ggml.* or, where there is no tokenizer.ggml.model, the file that
  // tokenizer.huggingface.json or tokenizer.sentencepiece.model holds and the ids beside it.
  // E_FORMAT and E_UNSUPPORTED name the key; throws OutOfMemory.
  static Status FromGguf(const Gguf& file, Memory* memory, Owned<Tokenizer>* out) {
    return FromMetadata(file.metadata(), memory, out);
  }
  static Status FromMetadata(const Metadata& metadata, Memory* memory, Owned<Tokenizer>* out) {
    TokenizerSource source;
    TokenizerJson json(memory);
    SentencePieceModel model(memory);
    const bool native = metadata.Find("tokenizer.ggml.model") != nullptr;
    const bool is_json = metadata.Find(Gguf::kTokenizerJson) != nullptr;
    if (native || (!is_json && metadata.Find(Gguf::kTokenizerModel) == nullptr)) {
      JUNTO_TRY(ReadTokenizerSource(metadata, &source));
      return Create(source, memory, out);
    }
    std::string_view file;
    JUNTO_TRY(metadata.GetString(is_json ? Gguf::kTokenizerJson : Gguf::kTokenizerModel, &file));
    JUNTO_TRY(is_json ? json.Read(file, &source) : model.Read(file, &source));
    JUNTO_TRY(ReadTokenizerIds(metadata, &source));
    return Create(source, memory, out);
  }
  // Reads tokenizer.json, as HF tokenizers write it, or tokenizer.model, as SentencePiece does.
  // E_UNSUPPORTED names the step that is not known. Throws OutOfMemory.
  static Status FromJson(std::string_view json, Memory* memory, Owned<Tokenizer>* out) {
    TokenizerJson file(memory);
    TokenizerSource source;
    JUNTO_TRY(file.Read(json, &source));
    return Create(source, memory, out);
  }
  static Status FromSentencePiece(std::string_view model, Memory* memory, Owned<Tokenizer>* out) {
    SentencePieceModel file(memory);
    TokenizerSource source;
    JUNTO_TRY(file.Read(model, &source));
    return Create(source, memory, out);
  }
  static Status Create(const TokenizerSource& source, Memory* memory, Owned<Tokenizer>* out);

  explicit Tokenizer(Memory* memory)  // use Create
      : memory_(memory),
        vocabulary_(memory),
        specials_(memory),
        user_defined_(memory),
        merges_(memory),
        ranks_({memory, Tag::kTokenizer}),
        unigram_(memory),
        rewriter_(memory),
        yields_({memory, Tag::kTokenizer}) {}

  // False for a file without a vocabulary: then Encode is E_UNSUPPORTED and every piece is empty.
  bool has_vocabulary() const { return vocabulary_.size() != 0; }

  // Appends the ids of `text`. Markup tokens are recognised only with `parse_special`; other
  // user-defined ones always are. `add_bos` begins with BOS where the model's own tokenizer would,
  // and never makes it two. Bytes that are not UTF-8 are encoded as they are. What the vocabulary
  // has no token for becomes the unknown token or, in byte-level vocabularies, is left out, as the
  // reference implementations do. E_INVALID beyond kMaxTextBytes. A failure leaves `*out` as it
  // was. Throws OutOfMemory.
  Status Encode(std::string_view text, bool add_bos, bool parse_special,
                Vector<int32_t>* out) const {
    EncodeScratch scratch(memory_);
    const Segment whole = {text.size(), parse_special};
    return Encode(text, {&whole, 1}, add_bos, &scratch, out);
  }

  // The same for a text with trusted and other parts. Markup tokens are recognised where all of
  // their spelling is trusted; otherwise segment borders do not show in the ids.
  Status Encode(std::string_view text, Span<const Segment> segments, bool add_bos,
                EncodeScratch* scratch, Vector<int32_t>* out) const;

  // Raw bytes, which may begin or end inside a code point; control tokens give their spelling.
  // Empty for ids without a token.
  std::string_view Piece(int32_t id) const { return vocabulary_.Piece(id); }
  size_t max_piece_bytes() const { return vocabulary_.max_piece_bytes(); }

  bool IsControl(int32_t id) const { return vocabulary_.Type(id) == TokenType::kControl; }
  // A control token, or a user-defined one by which models tell parts of their text apart.
  bool IsMarkup(int32_t id) const { return SpecialTokens::IsMarkup(vocabulary_, id); }
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

  // The markup token that is spelled like this, or -1.
  int32_t FindMarkup(std::string_view spelling) const {
    const int32_t id = specials_.Find(spelling);
    return id >= 0 && IsMarkup(id) ? id : -1;
  }

 private:
  Status SetSplit(const TokenizerSource& source);
  Status SetHabits(const TokenizerSource& source);
  Status FillVocabulary(const TokenizerSource& source);
  Status FillBytes();
  Status FillMethod(const TokenizerSource& source);
  Status FillMerges(Span<const std::string_view> merges);
  // The token that a merge makes. Files list all ways to make one in a row.
  struct Joined {
    String bytes;
    String before;  // those of the last merge, and the token that it made
    int32_t id;
  };
  struct PairMerge {
    int32_t left;
    int32_t right;
    int32_t id;
  };
  const char* ReadMerge(std::string_view spelled, Joined* joined, PairMerge* out) const;
  const char* KeepMerge(const PairMerge& pair, uint32_t rank);
  bool AppendPart(std::string_view spelled, String* bytes) const;
  Status FillRanks(Span<const float> scores);
  Status FillUnigram(Span<const float> scores);
  Status SetEnds(const TokenizerSource& source);
  void AddEnd(int32_t id);
  Status CheckId(const char* key, int32_t id) const;

  static void WriteSpaces(std::string_view text, Span<const Segment> segments,
                          EncodeScratch* scratch);
  Status EncodeSegments(std::string_view text, Span<const Segment> segments, bool add_bos,
                        EncodeScratch* scratch, Vector<int32_t>* out) const;
  Status EncodeText(std::string_view text, bool first, EncodeScratch* scratch,
                    Vector<int32_t>* out) const;
  Status EncodeSplit(std::string_view text, EncodeScratch* scratch, Vector<int32_t>* out) const;
  void EncodeWords(std::string_view text, EncodeScratch* scratch, Vector<int32_t>* out) const;
  void EncodeRun(std::string_view text, EncodeScratch* scratch, Vector<int32_t>* out) const;
  void EncodePiece(std::string_view piece, EncodeScratch* scratch, Vector<int32_t>* out) const;
  void JoinBytes(std::string_view piece, EncodeScratch* scratch, Vector<int32_t>* out) const;
  void JoinCharacters(std::string_view piece, EncodeScratch* scratch, Vector<int32_t>* out) const;
  void ReadCharacters(std::string_view piece, EncodeScratch* scratch) const;
  void SpellCharacter(std::string_view character, Vector<int32_t>* out) const;

  // Whether merging the bytes of a token yields that token; most do, some none can reach.
  using Yield = uint8_t;
  static constexpr Yield kNotTried = 0;
  static constexpr Yield kItself = 1;
  static constexpr Yield kOthers = 2;

  static constexpr size_t kMaxEnds = 16;
  Memory* memory_;
  const TokenizerKind* kind_ = nullptr;
  Vocabulary vocabulary_;
  SpecialTokens specials_;
  SpecialTokens user_defined_;  // those that are found once the text is rewritten
  MergeTable merges_;           // where pairs are ranked
  Vector<uint32_t> ranks_;      // where tokens are: of each, lower is better
  Unigram unigram_;             // where there are sums
  Rewriter rewriter_;
  Splitter splitter_;
  const SplitRule* rule_ = nullptr;            // byte-level vocabularies only
  BytePairs pairs_;                            // others
  mutable Vector<std::atomic<Yield>> yields_;  // of each token
  int32_t byte_ids_[256] = {};
  int32_t ascii_ids_[128] = {};
  int32_t bos_ = -1;
  int32_t eos_ = -1;
  int32_t unknown_ = -1;
  bool adds_bos_ = false;
  bool adds_space_ = false;
  bool rewrites_ = false;
  bool cuts_words_ = false;
  bool nfc_ = false;
  bool whole_pieces_ = false;
  int32_t ends_[kMaxEnds] = {};
  size_t end_count_ = 0;
};

inline Status Tokenizer::Create(const TokenizerSource& source, Memory* memory,
                                Owned<Tokenizer>* out) {
  Owned<Tokenizer> fresh = New<Tokenizer>(memory, Tag::kTokenizer, memory);
  if (source.model != "no_vocab") {
    fresh->kind_ = FindTokenizerKind(source.model);
    if (fresh->kind_ == nullptr) return UnsupportedTokenizer("model", source.model);
    if (fresh->kind_->spelling == Spelling::kByteAlphabet) {
      const bool known = !source.pattern.empty() || FindSplitRule(source.pre) != nullptr;
      if (!known) return UnsupportedTokenizer("pre", source.pre);
      JUNTO_TRY(fresh->SetSplit(source));
    }
    JUNTO_TRY(fresh->FillVocabulary(source));
    JUNTO_TRY(fresh->FillBytes());
    JUNTO_TRY(fresh->FillMethod(source));
    JUNTO_TRY(fresh->SetEnds(source));
    JUNTO_TRY(fresh->SetHabits(source));
  }
  *out = std::move(fresh);
  return Status();
}

// A pattern that is a known one is read as its rule.
inline Status Tokenizer::SetSplit(const TokenizerSource& source) {
  rule_ = source.pattern.empty() ? FindSplitRule(source.pre) : FindSplitPattern(source.pattern);
  if (rule_ == nullptr) return Splitter::Create(source.pattern, memory_, &splitter_);
  splitter_ = Splitter::Of(rule_->shape);
  return Status();
}

// What the file says goes before what is usual, but not before what must be.
inline Status Tokenizer::SetHabits(const TokenizerSource& source) {
  const auto choose = [](int8_t said, bool usual) { return said < 0 ? usual : said != 0; };
  const bool split = rule_ != nullptr;
  adds_bos_ = kind_->needs_bos ||
              choose(source.adds_bos, split ? rule_->begins_with_bos : kind_->begins_with_bos);
  adds_space_ = choose(source.adds_space, kind_->adds_space);
  nfc_ = choose(source.nfc, split && rule_->nfc);
  whole_pieces_ = choose(source.whole_pieces, split && rule_->whole_pieces);
  rewrites_ = source.rewrites;
  cuts_words_ = source.cuts_words;
  if (!rewrites_) return Status();
  RewriteRules rules = source.rules;
  rules.adds_space = adds_space_;
  return rewriter_.Fill(rules, vocabulary_, user_defined_.ids());
}

inline Status Tokenizer::FillVocabulary(const TokenizerSource& source) {
  Vector<int32_t> types({memory_, Tag::kTokenizer});
  if (!kind_->known.empty() && (source.types.empty() ||  // else Fill refuses
                                source.types.size() == source.tokens.size())) {
    types.assign(source.types.begin(), source.types.end());
    types.resize(source.tokens.size(), static_cast<int32_t>(TokenType::kNormal));
    for (size_t i = 0; i < types.size(); ++i) {
      if (source.tokens[i].substr(0, 1) != "<") continue;
      for (const KnownToken& known : kind_->known) {
        if (known.text == source.tokens[i]) types[i] = static_cast<int32_t>(known.type);
      }
    }
  } else {
    types.assign(source.types.begin(), source.types.end());
  }
  JUNTO_TRY(vocabulary_.Fill(kind_->spelling, source.tokens, types));
  yields_ = Vector<std::atomic<Yield>>(vocabulary_.size(), {memory_, Tag::kTokenizer});
  const auto comes_last = [&](int32_t id) {
    return source.user_defined_last && vocabulary_.Type(id) == TokenType::kUserDefined &&
           !IsMarkup(id);
  };
  JUNTO_TRY(user_defined_.Fill(vocabulary_, comes_last));
  return specials_.Fill(vocabulary_, [&](int32_t id) { return !comes_last(id); });
}

inline Status Tokenizer::FillMethod(const TokenizerSource& source) {
  switch (kind_->method) {
    case Method::kMerges:
      return FillMerges(source.merges);
    case Method::kScores:
      return FillRanks(source.scores);
    case Method::kSums:
    case Method::kDoubleSums:
      break;
  }
  return FillUnigram(source.scores);
}

// Which tokens single bytes and characters are, and which bytes tokens have side by side.
inline Status Tokenizer::FillBytes() {
  const bool pieces = kind_->spelling == Spelling::kSentencePiece;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const int32_t id = vocabulary_.Find({&c, 1});
    byte_ids_[byte] = pieces ? -1 : id;
    if (byte < 128) ascii_ids_[byte] = id;
  }
  if (!pieces) return Status();
  for (size_t i = 0; i < vocabulary_.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view piece = vocabulary_.Piece(id);
    if (vocabulary_.Type(id) == TokenType::kNormal) pairs_.Add(piece);
    if (vocabulary_.Type(id) == TokenType::kByte) byte_ids_[static_cast<uint8_t>(piece[0])] = id;
  }
  return Status();
}

inline Status Tokenizer::FillMerges(Span<const std::string_view> merges) {
  static constexpr size_t kMaxMerges = size_t{1} << 26;
  if (merges.size() > kMaxMerges) {
    return Status::Make(Code::kFormat, "tokenizer.ggml.merges: %zu merges found, at most %zu read",
                        merges.size(), kMaxMerges);
  }
  merges_.Reserve(merges.size());
  Joined joined = {String({memory_, Tag::kTokenizer}), String({memory_, Tag::kTokenizer}), -1};
  static constexpr size_t kAhead = 16;  // merges that are read before one is kept
  PairMerge pairs[kAhead];
  const auto failure = [&merges](size_t rank, const char* fact) {
    return Status::Make(Code::kFormat, "tokenizer.ggml.merges: merge %zu '%.*s' %s", rank,
                        static_cast<int>(Utf8Prefix(merges[rank], 64).size()), merges[rank].data(),
                        fact);
  };
  for (size_t i = 0; i < merges.size() + kAhead; ++i) {
    PairMerge* pair = &pairs[i % kAhead];
    if (i >= kAhead && i - kAhead < merges.size()) {
      const char* wrong = KeepMerge(*pair, static_cast<uint32_t>(i - kAhead));
      if (wrong != nullptr) return failure(i - kAhead, wrong);
    }
    if (i >= merges.size()) continue;
    const char* wrong = ReadMerge(merges[i], &joined, pair);
    if (wrong != nullptr) return failure(i, wrong);
    merges_.Prefetch(pair->left, pair->right);
  }
  return Status();
}

inline bool Tokenizer::AppendPart(std::string_view spelled, String* bytes) const {
  if (kind_->spelling == Spelling::kByteAlphabet) return kByteAlphabet.Decode(spelled, bytes);
  AppendWithSpaces(spelled, bytes);
  return true;
}

// What is wrong with the text of a merge, or null. An id of -1 is for one that never happens.
inline const char* Tokenizer::ReadMerge(std::string_view spelled, Joined* joined,
                                        PairMerge* out) const {
  const size_t space = spelled.find(' ', 1);  // the first piece may be one itself
  if (space == std::string_view::npos) return "is not two pieces with a space between";
  joined->bytes.clear();
  const bool left_ok = AppendPart(spelled.substr(0, space), &joined->bytes);
  const size_t left_bytes = joined->bytes.size();
  if (!left_ok || !AppendPart(spelled.substr(space + 1), &joined->bytes)) {
    return "is not spelled in the byte alphabet";
  }
  if (joined->bytes != joined->before) joined->id = vocabulary_.Find(joined->bytes);
  joined->bytes.swap(joined->before);
  const std::string_view bytes(joined->before);
  *out = {vocabulary_.Find(bytes.substr(0, left_bytes)), vocabulary_.Find(bytes.substr(left_bytes)),
          joined->id};
  if (out->left >= 0 && out->right >= 0 && out->id >= 0) return nullptr;
  const auto special = [&](int32_t id, std::string_view part) {
    return id < 0 && specials_.Find(part) >= 0;
  };
  // Special tokens are cut out before anything is merged.
  if (special(out->id, bytes) || special(out->left, bytes.substr(0, left_bytes)) ||
      special(out->right, bytes.substr(left_bytes))) {
    out->id = -1;
    return nullptr;
  }
  return "names a piece that is no token";
}

inline const char* Tokenizer::KeepMerge(const PairMerge& pair, uint32_t rank) {
  if (pair.id < 0) return nullptr;
  switch (merges_.Insert(pair.left, pair.right, {rank, pair.id})) {
    case MergeTable::Outcome::kNew:
      return nullptr;
    case MergeTable::Outcome::kRepeated:
      return "repeats an earlier one";
    case MergeTable::Outcome::kCrowded:
      break;
  }
  return "comes after too many that hash alike";
}

// Floats in descending order as integers in ascending order.
inline Status Tokenizer::FillRanks(Span<const float> scores) {
  if (scores.size() != vocabulary_.size()) {
    return Status::Make(Code::kFormat, "tokenizer.ggml.scores: %zu scores expected, %zu found",
                        vocabulary_.size(), scores.size());
  }
  ranks_.reserve(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) {
      return Status::Make(Code::kFormat, "tokenizer.ggml.scores: the score of token %zu is %g", i,
                          static_cast<double>(scores[i]));
    }
    const float score = scores[i] + 0.0f;  // -0 is 0
    uint32_t bits = 0;
    std::memcpy(&bits, &score, sizeof(bits));
    ranks_.push_back((bits >> 31) != 0 ? bits : ~bits & 0x7FFFFFFF);
  }
  return Status();
}

// Text may be cut into normal tokens and user-defined ones; trust in markup is not a matter of
// scores.
inline Status Tokenizer::FillUnigram(Span<const float> scores) {
  Vector<int32_t> tokens({memory_, Tag::kLoadTemp});
  for (size_t i = 0; i < vocabulary_.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const TokenType type = vocabulary_.Type(id);
    const bool user_defined = type == TokenType::kUserDefined && !IsMarkup(id);
    if (user_defined || type == TokenType::kNormal) tokens.push_back(id);
  }
  const ScoreSum sum = kind_->method == Method::kSums ? ScoreSum::kFloat : ScoreSum::kDouble;
  return unigram_.Fill(vocabulary_, scores, sum, std::move(tokens));
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
  JUNTO_TRY(CheckId("unknown_token_id", source.unknown));
  JUNTO_TRY(CheckId("eot_token_id", source.more_ends[0]));
  JUNTO_TRY(CheckId("eom_token_id", source.more_ends[1]));
  bos_ = source.bos;
  eos_ = source.eos;
  unknown_ = source.unknown;
  // In Harmony markup <|end|> only separates the reasoning from the answer, whatever a file says.
  const bool harmony = FindMarkup("<|return|>") >= 0 && FindMarkup("<|call|>") >= 0;
  const int32_t separator = harmony ? FindMarkup("<|end|>") : -1;
  for (const int32_t id : {source.eos, source.more_ends[0], source.more_ends[1]}) {
    if (id != separator) AddEnd(id);
  }
  for (const char* name : {"<|return|>", "<|call|>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>",
                           "<eos>", "<end_of_turn>", "<turn|>", "<|tool_response>"}) {
    AddEnd(FindMarkup(name));
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
  if (kind_->spelling == Spelling::kSentencePiece && !rewrites_ &&
      text.find(kSpaceMark) != std::string_view::npos) {
    WriteSpaces(text, segments, scratch);
    text = scratch->text;
    segments = scratch->segments;
  }
  JUNTO_TRY(EncodeSegments(text, segments, add_bos, scratch, out));
  appended.keep = out->size();
  return Status();
}

// A space mark is a space to these vocabularies, whoever wrote it.
inline void Tokenizer::WriteSpaces(std::string_view text, Span<const Segment> segments,
                                   EncodeScratch* scratch) {
  scratch->text.clear();
  scratch->segments.clear();
  size_t begin = 0;
  for (const Segment& segment : segments) {
    const size_t end = std::min<size_t>(segment.end, text.size());
    AppendWithSpaces(text.substr(begin, end - begin), &scratch->text);
    scratch->segments.push_back({scratch->text.size(), segment.trusted});
    begin = end;
  }
  AppendWithSpaces(text.substr(begin), &scratch->text);
}

inline Status Tokenizer::EncodeSegments(std::string_view text, Span<const Segment> segments,
                                        bool add_bos, EncodeScratch* scratch,
                                        Vector<int32_t>* out) const {
  const bool begins_with_bos = add_bos && adds_bos_ && bos_ >= 0;
  if (begins_with_bos) out->push_back(bos_);
  size_t plain = 0;  // where the text since the last special token begins
  size_t segment = 0;
  for (size_t at = 0; at < text.size();) {
    if (!specials_.MayStart(text[at])) {
      ++at;
      continue;
    }
    while (segment < segments.size() && segments[segment].end <= at) ++segment;
    const bool trusted = segment < segments.size() && segments[segment].trusted;
    const size_t trusted_bytes = trusted ? segments[segment].end - at : 0;
    const auto accept = [this, trusted_bytes](int32_t id) {
      return Piece(id).size() <= trusted_bytes || !IsMarkup(id);
    };
    const int32_t id = specials_.LongestAt(text.substr(at), accept);
    if (id < 0) {
      ++at;
      continue;
    }
    JUNTO_TRY(EncodeText(text.substr(plain, at - plain), plain == 0, scratch, out));
    if (at != 0 || id != bos_ || !begins_with_bos) out->push_back(id);
    at += Piece(id).size();
    plain = at;
  }
  return EncodeText(text.substr(plain), plain == 0, scratch, out);
}

// Text between special tokens; `first` where the whole text begins.
inline Status Tokenizer::EncodeText(std::string_view text, bool first, EncodeScratch* scratch,
                                    Vector<int32_t>* out) const {
  if (kind_->spelling == Spelling::kByteAlphabet) return EncodeSplit(text, scratch, out);
  if (text.empty()) return Status();
  if (rewrites_) {
    JUNTO_TRY(rewriter_.Rewrite(text, first, kMaxTextBytes, &scratch->piece));
    text = scratch->piece;
  } else if (adds_space_) {
    scratch->piece.assign(1, ' ');
    scratch->piece.append(text);
    text = scratch->piece;
  }
  EncodeWords(text, scratch, out);
  return Status();
}

inline void Tokenizer::EncodeWords(std::string_view text, EncodeScratch* scratch,
                                   Vector<int32_t>* out) const {
  while (!text.empty()) {
    const size_t end = cuts_words_ ? text.find(' ', 1) : std::string_view::npos;
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(word.size());
    if (kind_->method == Method::kMerges || kind_->method == Method::kScores) {
      EncodeRun(word, scratch, out);
      continue;
    }
    unigram_.Cut(word, &scratch->steps, [&](std::string_view bytes, int32_t id) {
      id < 0 ? SpellCharacter(bytes, out) : out->push_back(id);
    });
  }
}

// Joins what stands between the user-defined tokens of a text.
inline void Tokenizer::EncodeRun(std::string_view text, EncodeScratch* scratch,
                                 Vector<int32_t>* out) const {
  const auto join = [&](std::string_view run) {
    while (!run.empty()) {
      const size_t bytes = pairs_.Prefix(run);
      EncodePiece(run.substr(0, bytes), scratch, out);
      run.remove_prefix(bytes);
    }
  };
  size_t begin = 0;
  for (size_t at = 0; at < text.size() && !user_defined_.empty();) {
    const int32_t id = user_defined_.LongestAt(text.substr(at), [](int32_t) { return true; });
    if (id < 0) {
      ++at;
      continue;
    }
    join(text.substr(begin, at - begin));
    out->push_back(id);
    at += Piece(id).size();
    begin = at;
  }
  join(text.substr(begin));
}

// What is not UTF-8 is cut out, and each stretch of it is one piece.
inline Status Tokenizer::EncodeSplit(std::string_view text, EncodeScratch* scratch,
                                     Vector<int32_t>* out) const {
  const auto piece = [&](std::string_view bytes) {
    EncodePiece(bytes, scratch, out);
    return Status();
  };
  while (!text.empty()) {
    const std::string_view whole = text.substr(0, WholePrefix(text));
    text.remove_prefix(whole.size());
    JUNTO_TRY(
        splitter_.Split(nfc_ ? scratch->nfc.Normalise(whole) : whole, &scratch->split, piece));
    size_t broken = 0;
    while (broken < text.size() && CodePointLength(text.substr(broken)) == 0) ++broken;
    if (broken != 0) JUNTO_TRY(piece(text.substr(0, broken)));
    text.remove_prefix(broken);
  }
  return Status();
}

// A piece is mostly one token, which merging its bytes would yield: that is tried once for each.
inline void Tokenizer::EncodePiece(std::string_view piece, EncodeScratch* scratch,
                                   Vector<int32_t>* out) const {
  const int32_t whole = vocabulary_.Find(piece);
  std::atomic<Yield>* yield = whole < 0 ? nullptr : &yields_[static_cast<size_t>(whole)];
  Yield known = yield == nullptr ? kOthers : yield->load(std::memory_order_relaxed);
  if (yield != nullptr && whole_pieces_) known = kItself;
  if (known == kItself) {
    out->push_back(whole);
    return;
  }
  const size_t first = out->size();
  if (kind_->spelling == Spelling::kByteAlphabet) {
    JoinBytes(piece, scratch, out);
  } else {
    JoinCharacters(piece, scratch, out);
  }
  if (known != kNotTried) return;
  // An unknown token is joined with the one before it, if that is one as well.
  const bool itself = whole != unknown_ && out->size() == first + 1 && out->back() == whole;
  yield->store(itself ? kItself : kOthers, std::memory_order_relaxed);
}

inline void Tokenizer::JoinBytes(std::string_view piece, EncodeScratch* scratch,
                                 Vector<int32_t>* out) const {
  const size_t first = out->size();
  for (const char c : piece) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
    if (id >= 0) out->push_back(id);
  }
  const auto find = [this](const auto& pair) { return merges_.Find(pair.left, pair.right); };
  scratch->merger.Join(find, first, out);
}

inline void Tokenizer::JoinCharacters(std::string_view piece, EncodeScratch* scratch,
                                      Vector<int32_t>* out) const {
  ReadCharacters(piece, scratch);
  const uint32_t* offsets = scratch->offsets.data();
  const auto by_pair = [this](const auto& pair) { return merges_.Find(pair.left, pair.right); };
  const auto by_token = [&](const auto& pair) -> Merge {
    const uint32_t begin = offsets[pair.begin];
    const int32_t id = vocabulary_.Find(piece.substr(begin, offsets[pair.end] - begin));
    return id < 0 ? Merge() : Merge{ranks_[static_cast<size_t>(id)], id};
  };
  if (kind_->method == Method::kScores) {
    scratch->merger.Join(by_token, 0, &scratch->symbols);
  } else {
    scratch->merger.Join(by_pair, 0, &scratch->symbols);
  }
  for (const int32_t symbol : scratch->symbols) {
    if (symbol >= 0) {
      out->push_back(symbol);
    } else {
      SpellCharacter(piece.substr(static_cast<size_t>(~symbol)), out);
    }
  }
}

// A character that is no token becomes the complement of its offset.
inline void Tokenizer::ReadCharacters(std::string_view piece, EncodeScratch* scratch) const {
  scratch->symbols.clear();
  scratch->offsets.clear();
  for (size_t at = 0; at < piece.size();) {
    const size_t bytes = std::max<size_t>(1, CodePointLength(piece.substr(at)));
    const auto lead = static_cast<uint8_t>(piece[at]);
    const int32_t id = lead < 128 ? ascii_ids_[lead] : vocabulary_.Find(piece.substr(at, bytes));
    scratch->symbols.push_back(id < 0 ? ~static_cast<int32_t>(at) : id);
    scratch->offsets.push_back(static_cast<uint32_t>(at));
    at += bytes;
  }
  scratch->offsets.push_back(static_cast<uint32_t>(piece.size()));
}

// The tokens of the bytes of the first character; of what has none, one unknown token for all that
// stand side by side.
inline void Tokenizer::SpellCharacter(std::string_view text, Vector<int32_t>* out) const {
  for (const char c : text.substr(0, std::max<size_t>(1, CodePointLength(text)))) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
    if (id >= 0) {
      out->push_back(id);
    } else if (unknown_ >= 0 && (out->empty() || out->back() != unknown_)) {
      out->push_back(unknown_);
    }
  }
}

}  // namespace junto

#endif  // JUNTO_TEXT_TOKENIZER_H_
