// Tokenizer kinds: the algorithms that tokenizer.ggml.model stands for.
#ifndef JUNTO_TEXT_TOKENIZER_KIND_H_
#define JUNTO_TEXT_TOKENIZER_KIND_H_

#include <cstdint>
#include <string_view>

#include "junto/base/span.h"
#include "junto/text/vocabulary.h"

namespace junto {

// A token whose type is known by its text, whatever a file says.
struct KnownToken {
  std::string_view text;
  TokenType type;
};

// Files in the wild have some of these as normal tokens and others confused.
constexpr KnownToken kGemma4Tokens[] = {
    {"<pad>", TokenType::kControl},
    {"<eos>", TokenType::kControl},
    {"<bos>", TokenType::kControl},
    {"<unk>", TokenType::kControl},
    {"<mask>", TokenType::kControl},
    {"<|tool>", TokenType::kControl},
    {"<tool|>", TokenType::kControl},
    {"<|tool_call>", TokenType::kUserDefined},
    {"<tool_call|>", TokenType::kUserDefined},
    {"<|tool_response>", TokenType::kUserDefined},
    {"<tool_response|>", TokenType::kUserDefined},
    {"<|\"|>", TokenType::kUserDefined},
    {"<|think|>", TokenType::kControl},
    {"<|channel>", TokenType::kUserDefined},
    {"<channel|>", TokenType::kUserDefined},
    {"<|turn>", TokenType::kControl},
    {"<turn|>", TokenType::kControl},
    {"<|image>", TokenType::kControl},
    {"<image|>", TokenType::kControl},
    {"<|audio>", TokenType::kControl},
    {"<audio|>", TokenType::kControl},
    {"<|image|>", TokenType::kControl},
    {"<|audio|>", TokenType::kControl},
    {"<|video|>", TokenType::kControl},
};

// How text becomes tokens.
enum class Method : uint8_t {
  kMerges,      // neighbours are joined; a list of merges ranks them
  kScores,      // the score of what a merge makes ranks it
  kSums,        // the best sum of scores, as SentencePiece's Unigram has it
  kDoubleSums,  // the same as HF tokenizers have it
};

struct TokenizerKind {
  const char* name;
  Spelling spelling;  // kByteAlphabet: text is split by a rule, and merging starts from bytes;
                      // kSentencePiece: from characters, or bytes where there is none
  Method method;
  bool adds_space;       // before the text, where the file does not say
  bool begins_with_bos;  // kSentencePiece: where the file does not say
  bool needs_bos;        // whatever the file says
  Span<const KnownToken> known;
};

// clang-format off
constexpr TokenizerKind kTokenizerKinds[] = {
    // name       spelling                  method               space  bos    needs
    {"gpt2",    Spelling::kByteAlphabet,  Method::kMerges,     false, false, false, {}},
    {"bpe",     Spelling::kSentencePiece, Method::kMerges,     false, false, false, {}},
    {"llama",   Spelling::kSentencePiece, Method::kScores,     true,  true,  false, {}},
    {"t5",      Spelling::kSentencePiece, Method::kSums,       true,  false, false, {}},
    {"unigram", Spelling::kSentencePiece, Method::kDoubleSums, false, false, false, {}},
    {"gemma4",  Spelling::kSentencePiece, Method::kMerges,     false, true,  true,
     {kGemma4Tokens, sizeof(kGemma4Tokens) / sizeof(kGemma4Tokens[0])}},
};
// clang-format on

// nullptr when no kind has the name.
inline const TokenizerKind* FindTokenizerKind(std::string_view name) {
  for (const TokenizerKind& kind : kTokenizerKinds) {
    if (name == kind.name) return &kind;
  }
  return nullptr;
}

}  // namespace junto

#endif  // JUNTO_TEXT_TOKENIZER_KIND_H_
