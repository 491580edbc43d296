// Unigram models: of all ways to cut a text into tokens, the one with the best sum of scores.
#ifndef JUNTO_TEXT_UNIGRAM_H_
#define JUNTO_TEXT_UNIGRAM_H_

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/text/piece_trie.h"
#include "junto/text/sentencepiece.h"
#include "junto/text/utf8.h"
#include "junto/text/vocabulary.h"

namespace junto {

// How scores are summed up, which decides between ways that are nearly as good.
enum class ScoreSum {
  kFloat,   // as SentencePiece 0.2.3 does, which favours user-defined tokens
  kDouble,  // as HF tokenizers do
};

// The best way to cut what stands before a place in a text.
struct UnigramStep {
  static constexpr uint32_t kNone = UINT32_MAX;
  double score = 0;
  uint32_t begin = kNone;  // of its last token
  int32_t id = -1;         // of that token; -1: one character that is no token
};

// Immutable once filled, so any number of threads may use it.
class Unigram {
 public:
  // Bounds the work per byte of a hostile text; real pieces are below 128.
  static constexpr size_t kMaxPieceBytes = 512;

  explicit Unigram(Memory* memory) : trie_(memory), scores_({memory, Tag::kTokenizer}) {}

  // `scores` has one for each token; `tokens` are those that a text may be cut into: normal and
  // user-defined ones. E_FORMAT names the key. Throws OutOfMemory.
  Status Fill(const Vocabulary& vocabulary, Span<const float> scores, ScoreSum sum,
              Vector<int32_t> tokens);

  // Calls token(std::string_view bytes, int32_t id) from the front to the back; an id of -1 is for
  // one character, or byte of what is not UTF-8, that is in no token. O(n) for `text` of n bytes,
  // n < 2^32 - 1, times kMaxPieceBytes. Throws OutOfMemory.
  template <class F>
  void Cut(std::string_view text, Vector<UnigramStep>* steps, F&& token) const {
    FindSteps(text, steps);
    // From the back to the front each step knows the one before it: turn that around.
    uint32_t after = 0;
    for (uint32_t at = static_cast<uint32_t>(text.size()); at != 0;) {
      const uint32_t before = (*steps)[at].begin;
      (*steps)[at].begin = after;
      after = at;
      at = before;
    }
    for (uint32_t begin = 0; begin != text.size();) {
      token(text.substr(begin, after - begin), (*steps)[after].id);
      begin = after;
      after = (*steps)[after].begin;
    }
  }

 private:
  static constexpr float kUnknownPenalty = 10.0f;  // what is in no token is worse than all that are
  static constexpr double kReset = 1e5;            // where sums of floats begin anew, to stay exact

  static float UserDefinedScore(std::string_view piece) {
    const auto spaces = static_cast<size_t>(std::count(piece.begin(), piece.end(), ' '));
    const size_t bytes = piece.size() + spaces * (kSpaceMark.size() - 1);
    return static_cast<float>(0.1 * static_cast<double>(bytes - 1));
  }
  static Status CheckScores(const Vocabulary& vocabulary, Span<const float> scores);
  void FindSteps(std::string_view text, Vector<UnigramStep>* steps) const;
  static void Reset(UnigramStep* from, UnigramStep* to);
  void Offer(double score, uint32_t begin, int32_t id, UnigramStep* step) const {
    if (sum_ == ScoreSum::kFloat) score = static_cast<float>(score);
    if (step->begin == UnigramStep::kNone || score > step->score) *step = {score, begin, id};
  }

  PieceTrie trie_;
  Vector<double> scores_;  // of each token
  double unknown_ = 0;     // of a character that is no token
  ScoreSum sum_ = ScoreSum::kFloat;
};

inline Status Unigram::CheckScores(const Vocabulary& vocabulary, Span<const float> scores) {
  static constexpr float kMost = 1e9f;  // so that no sum leaves the range of floats
  if (scores.size() != vocabulary.size()) {
    return Status::Make(Code::kFormat, "tokenizer.ggml.scores: %zu scores expected, %zu found",
                        vocabulary.size(), scores.size());
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::fabs(scores[i]) <= kMost) continue;  // and is a number
    return Status::Make(Code::kFormat, "tokenizer.ggml.scores: the score of token %zu is %g", i,
                        static_cast<double>(scores[i]));
  }
  return Status();
}

inline Status Unigram::Fill(const Vocabulary& vocabulary, Span<const float> scores, ScoreSum sum,
                            Vector<int32_t> tokens) {
  JUNTO_TRY(CheckScores(vocabulary, scores));
  float worst = FLT_MAX;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (vocabulary.Type(static_cast<int32_t>(i)) != TokenType::kNormal) continue;
    worst = std::min(worst, scores[i]);
  }
  sum_ = sum;
  unknown_ = worst - kUnknownPenalty;
  scores_.assign(scores.begin(), scores.end());
  for (const int32_t id : tokens) {
    const size_t bytes = vocabulary.Piece(id).size();
    if (bytes > kMaxPieceBytes) {
      return Status::Make(Code::kFormat,
                          "tokenizer.ggml.tokens: token %d has %zu bytes, at most %zu read",
                          static_cast<int>(id), bytes, kMaxPieceBytes);
    }
    if (sum == ScoreSum::kFloat && vocabulary.Type(id) == TokenType::kUserDefined && bytes != 0) {
      scores_[static_cast<size_t>(id)] = UserDefinedScore(vocabulary.Piece(id));
    }
  }
  trie_.Fill([&vocabulary](int32_t id) { return vocabulary.Piece(id); }, std::move(tokens));
  return Status();
}

inline void Unigram::Reset(UnigramStep* from, UnigramStep* to) {
  const double offset = from->score;
  for (UnigramStep* step = from; step <= to; ++step) {
    if (step->begin != UnigramStep::kNone) step->score = static_cast<float>(step->score - offset);
  }
}

inline void Unigram::FindSteps(std::string_view text, Vector<UnigramStep>* steps) const {
  steps->assign(text.size() + 1, UnigramStep());
  size_t reached = 0;  // the last place that a token ends at
  for (size_t at = 0; at < text.size();) {
    if (sum_ == ScoreSum::kFloat && std::fabs((*steps)[at].score) > kReset) {
      Reset(steps->data() + at, steps->data() + reached);
    }
    const double before = (*steps)[at].score;
    const auto begin = static_cast<uint32_t>(at);
    const size_t character = std::max<size_t>(1, CodePointLength(text.substr(at)));
    bool whole = false;  // whether the character is a token
    trie_.ForEachPrefix(text.substr(at), [&](size_t bytes, int32_t id) {
      Offer(before + scores_[static_cast<size_t>(id)], begin, id, &(*steps)[at + bytes]);
      whole = whole || bytes == character;
      reached = std::max(reached, at + bytes);
    });
    at += character;
    reached = std::max(reached, at);
    if (!whole) Offer(before + unknown_, begin, -1, &(*steps)[at]);
  }
}

}  // namespace junto

#endif  // JUNTO_TEXT_UNIGRAM_H_
