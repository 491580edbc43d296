// Split rules: how each tokenizer cuts text into the pieces that merging never crosses.
#ifndef JUNTO_TEXT_SPLIT_RULE_H_
#define JUNTO_TEXT_SPLIT_RULE_H_

#include <cstdint>
#include <string_view>

namespace junto {

// What may stand before the letters of a word and belong to it.
enum class WordPrefix : uint8_t {
  kSpace,  // one space
  kAny,    // one character that is no letter, digit or line break
};

enum class Contractions : uint8_t {
  kExact,     // 's 't 're 've 'm 'll 'd are pieces
  kAnyCase,   // in capitals, too
  kAttached,  // belong to the word before
};

// What the patterns of the known tokenizers have in common, and where they differ. SplitScanner
// (split_scanner.h) reads it in the place of a pattern.
struct SplitShape {
  Contractions contractions;
  WordPrefix prefix;
  bool cased_words;     // a word ends where lower case changes to upper case
  bool marks_in_words;  // combining marks are letters
  bool digits_first;    // each digit is cut out before anything else is looked at
  uint8_t digits;       // at most so many in a piece; 0: any number, and a space before them
  const char* tail;     // what symbols take along of the characters after them
  bool line_breaks;     // white space up to its last line break is a piece
};

// What tokenizer.ggml.pre stands for.
struct SplitRule {
  const char* name;
  const char* pattern;   // alternatives in order of preference; \s and \S are Unicode White_Space
  SplitShape shape;      // means the same as the pattern
  bool nfc;              // text is brought to Unicode normal form C before it is split
  bool whole_pieces;     // a piece that is one token of the vocabulary is not merged up to it
  bool begins_with_bos;  // where the file does not say
};

// Contractions; letters, digits and symbols, each with the space before them; white space, whose
// last character is left to the word after it.
constexpr char kGpt2Split[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr SplitShape kGpt2Shape = {
    Contractions::kExact, WordPrefix::kSpace, false, false, false, 0, "", false};

// Digits are cut out one by one first, so white space before a digit stands at an end of text.
constexpr char kSmolLmSplit[] =
    R"(\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+)";
constexpr SplitShape kSmolLmShape = {
    Contractions::kExact, WordPrefix::kSpace, false, false, true, 1, "", false};

// Words are told apart at a change from lower to upper case, and keep their contraction.
constexpr char kO200kSplit[] =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr SplitShape kO200kShape = {
    Contractions::kAttached, WordPrefix::kAny, true, false, false, 3, "\r\n/", true};

constexpr char kLlama3Split[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr SplitShape kLlama3Shape = {
    Contractions::kAnyCase, WordPrefix::kAny, false, false, false, 3, "\r\n", true};

constexpr char kQwen2Split[] = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                               R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr SplitShape kQwen2Shape = {
    Contractions::kAnyCase, WordPrefix::kAny, false, false, false, 1, "\r\n", true};

// Combining marks belong to words.
constexpr char kQwen35Split[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
    R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr SplitShape kQwen35Shape = {
    Contractions::kAnyCase, WordPrefix::kAny, false, true, false, 1, "\r\n", true};

// clang-format off
constexpr SplitRule kSplitRules[] = {
    // name        pattern       shape         nfc    whole  bos
    {"default",    kGpt2Split,   kGpt2Shape,   false, false, false},
    {"gpt-2",      kGpt2Split,   kGpt2Shape,   false, false, false},
    {"smollm",     kSmolLmSplit, kSmolLmShape, false, false, false},
    {"gpt-4o",     kO200kSplit,  kO200kShape,  false, true,  false},
    {"qwen2",      kQwen2Split,  kQwen2Shape,  true,  false, false},
    {"qwen35",     kQwen35Split, kQwen35Shape, true,  false, false},
    {"llama-bpe",  kLlama3Split, kLlama3Shape, false, true,  true},
    {"llama3",     kLlama3Split, kLlama3Shape, false, true,  true},
};
// clang-format on

// nullptr when no rule has the name.
inline const SplitRule* FindSplitRule(std::string_view name) {
  for (const SplitRule& rule : kSplitRules) {
    if (name == rule.name) return &rule;
  }
  return nullptr;
}

// nullptr when no rule has the pattern.
inline const SplitRule* FindSplitPattern(std::string_view pattern) {
  for (const SplitRule& rule : kSplitRules) {
    if (pattern == rule.pattern) return &rule;
  }
  return nullptr;
}

}  // namespace junto

#endif  // JUNTO_TEXT_SPLIT_RULE_H_
