// TokenizerSource: what a file says about its tokenizer.
#ifndef JUNTO_TEXT_TOKENIZER_SOURCE_H_
#define JUNTO_TEXT_TOKENIZER_SOURCE_H_

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/io/metadata.h"
#include "junto/text/rewriter.h"
#include "junto/text/tokenizer_kind.h"

namespace junto {

// Views are read while a tokenizer is created and not kept.
struct TokenizerSource {
  std::string_view model;    // a name of kTokenizerKinds, or "no_vocab"
  std::string_view pre;      // a name of kSplitRules; byte-level vocabularies only, as the next
  std::string_view pattern;  // if not empty, a PCRE2 pattern in the place of the rule's
  Span<const std::string_view> tokens;
  Span<const int32_t> types;            // empty, or one per token
  Span<const std::string_view> merges;  // "left right", spelled like tokens, best first
  Span<const float> scores;             // one per token, unless there are merges
  int32_t bos = -1;                     // -1 where there is none
  int32_t eos = -1;
  int32_t unknown = -1;
  int32_t more_ends[2] = {-1, -1};  // end of turn, end of message
  // 0, 1, or -1 where the file does not say.
  int8_t adds_bos = -1;
  int8_t adds_space = -1;    // before the text
  int8_t nfc = -1;           // see SplitRule
  int8_t whole_pieces = -1;  // see SplitRule
  // SentencePiece's vocabularies only: whether text is rewritten, and how but for adds_space.
  bool rewrites = false;
  RewriteRules rules;
  bool cuts_words = false;         // no token goes on behind a space
  bool user_defined_last = false;  // but for markup, they are found in what text was rewritten to
};

inline Status UnsupportedTokenizer(const char* key, std::string_view value) {
  return Status::Make(Code::kUnsupported, "tokenizer.ggml.%s: '%.*s' is not supported", key,
                      static_cast<int>(Utf8Prefix(value, 64).size()), value.data());
}

// Ids and habits of the keys tokenizer.ggml.* that are there. E_FORMAT names the key.
inline Status ReadTokenizerIds(const Metadata& metadata, TokenizerSource* source) {
  const auto id = [&metadata](const char* key, int32_t* value) {
    if (metadata.Find(key) == nullptr) return Status();
    uint32_t found = 0;
    JUNTO_TRY(metadata.GetU32(key, &found));
    // Out of every vocabulary, yet not "none": Create then names it.
    *value = found == UINT32_MAX ? -1 : static_cast<int32_t>(std::min<uint32_t>(found, INT32_MAX));
    return Status();
  };
  const auto flag = [&metadata](const char* key, int8_t* value) {
    if (metadata.Find(key) == nullptr) return Status();
    bool found = false;
    JUNTO_TRY(metadata.GetBool(key, &found));
    *value = found ? 1 : 0;
    return Status();
  };
  JUNTO_TRY(id("tokenizer.ggml.bos_token_id", &source->bos));
  JUNTO_TRY(id("tokenizer.ggml.eos_token_id", &source->eos));
  JUNTO_TRY(id("tokenizer.ggml.unknown_token_id", &source->unknown));
  JUNTO_TRY(id("tokenizer.ggml.eot_token_id", &source->more_ends[0]));
  JUNTO_TRY(id("tokenizer.ggml.eom_token_id", &source->more_ends[1]));
  JUNTO_TRY(flag("tokenizer.ggml.add_bos_token", &source->adds_bos));
  return flag("tokenizer.ggml.add_space_prefix", &source->adds_space);
}

// How a unigram model rewrites text.
inline Status ReadRewriteRules(const Metadata& metadata, TokenizerSource* source) {
  const char* const charsmap = "tokenizer.ggml.precompiled_charsmap";
  bool squeezes = false;
  JUNTO_TRY(metadata.GetBoolOr("tokenizer.ggml.remove_extra_whitespaces", false, &squeezes));
  source->rewrites = source->user_defined_last = true;
  source->rules.squeezes = source->rules.strips_front = source->rules.strips_back = squeezes;
  if (metadata.Find(charsmap) == nullptr) return Status();
  return metadata.GetBytes(charsmap, &source->rules.charsmap);
}

// Reads the keys tokenizer.ggml.*, those of a vocabulary only where there is one. The views point
// into `metadata`. E_FORMAT names the key.
inline Status ReadTokenizerSource(const Metadata& metadata, TokenizerSource* out) {
  TokenizerSource source;
  JUNTO_TRY(metadata.GetString("tokenizer.ggml.model", &source.model));
  if (source.model == "no_vocab") {
    *out = source;
    return Status();
  }
  const TokenizerKind* kind = FindTokenizerKind(source.model);
  if (kind == nullptr) return UnsupportedTokenizer("model", source.model);
  JUNTO_TRY(metadata.GetStringOr("tokenizer.ggml.pre", "default", &source.pre));
  JUNTO_TRY(metadata.GetStrings("tokenizer.ggml.tokens", &source.tokens));
  JUNTO_TRY(kind->method == Method::kMerges
                ? metadata.GetStrings("tokenizer.ggml.merges", &source.merges)
                : metadata.GetF32s("tokenizer.ggml.scores", &source.scores));
  if (kind->method == Method::kSums) JUNTO_TRY(ReadRewriteRules(metadata, &source));
  if (metadata.Find("tokenizer.ggml.token_type") != nullptr) {
    JUNTO_TRY(metadata.GetI32s("tokenizer.ggml.token_type", &source.types));
  }
  JUNTO_TRY(ReadTokenizerIds(metadata, &source));
  *out = source;
  return Status();
}

}  // namespace junto

#endif  // JUNTO_TEXT_TOKENIZER_SOURCE_H_
