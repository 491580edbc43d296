// Split rules: how each tokenizer cuts text into the pieces that merging never crosses.
#ifndef JUNTO_TEXT_SPLIT_RULE_H_
#define JUNTO_TEXT_SPLIT_RULE_H_

#include <string_view>

namespace junto {

// What tokenizer.ggml.pre stands for.
struct SplitRule {
  const char* name;
  const char* pattern;   // alternatives in order of preference; \s and \S are Unicode White_Space
  bool nfc;              // text is brought to Unicode normal form C before it is split
  bool whole_pieces;     // a piece that is one token of the vocabulary is not merged up to it
  bool begins_with_bos;  // where the file does not say
};

// Contractions; letters, digits and symbols, each with the space before them; white space, whose
// last character is left to the word after it.
constexpr char kGpt2Split[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Digits are cut out one by one first, so white space before a digit stands at an end of text.
constexpr char kSmolLmSplit[] =
    R"(\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+)";

// Words are told apart at a change from lower to upper case, and keep their contraction.
constexpr char kO200kSplit[] =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr char kLlama3Split[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr char kQwen2Split[] = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                               R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Combining marks belong to words.
constexpr char kQwen35Split[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
    R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// clang-format off
constexpr SplitRule kSplitRules[] = {
    // name        pattern       nfc    whole  bos
    {"default",    kGpt2Split,   false, false, false},
    {"gpt-2",      kGpt2Split,   false, false, false},
    {"smollm",     kSmolLmSplit, false, false, false},
    {"gpt-4o",     kO200kSplit,  false, true,  false},
    {"qwen2",      kQwen2Split,  true,  false, false},
    {"qwen35",     kQwen35Split, true,  false, false},
    {"llama-bpe",  kLlama3Split, false, true,  true},
    {"llama3",     kLlama3Split, false, true,  true},
};
// clang-format on

// nullptr when no rule has the name.
inline const SplitRule* FindSplitRule(std::string_view name) {
  for (const SplitRule& rule : kSplitRules) {
    if (name == rule.name) return &rule;
  }
  return nullptr;
}

}  // namespace junto

#endif  // JUNTO_TEXT_SPLIT_RULE_H_
