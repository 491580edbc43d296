// Published weights against what HF transformers computes from them: what tests of real models
// share. A reference.gguf holds the tokens of a text and some of the logits at some positions.
#ifndef JUNTO_TESTS_SUPPORT_REAL_MODEL_H_
#define JUNTO_TESTS_SUPPORT_REAL_MODEL_H_

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/support/runtime.h"

namespace junto {
namespace test {

inline LoadOptions Widened() {
  LoadOptions options;
  options.widen = true;
  return options;
}

template <class T>
std::vector<T> ReadReference(Host* host, const char* reference, const char* name) {
  return ReadTensor<T>(host->Open(reference).get(), name);
}

class Answer final : public ChunkSink {
 public:
  Status Take(const OutputPiece& piece, Span<const int32_t> ids) override {
    text.append(piece.text);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    return Status();
  }
  std::string text;
  std::vector<int32_t> tokens;
};

// Greedily.
inline Answer Generate(Host* host, const Model& model, const Prompt& prompt, size_t count) {
  Owned<Session> session;
  RequireOk(Session::Create(model, &host->clock, SpecOf(128, 64, KvType::kF32), &session));
  RequireOk(session->Prefill(prompt));
  session->generation().sampling.temperature = 0.0f;
  session->generation().max_new_tokens = static_cast<uint32_t>(count);
  Answer answer;
  REQUIRE(session->Step(kNoBudget, &answer).code() == Code::kDone);
  return answer;
}

// Reads a text piece by piece, and has the logits of one piece at a time.
class TextReader {
 public:
  TextReader(Host* host, const Model& model, size_t context, KvType type) : model_(model) {
    RequireOk(Session::Create(model, &host->clock,
                              SpecOf(static_cast<uint32_t>(context), 256, type), &session_));
  }
  // Logits from where the last piece ended to the end of `tokens`.
  std::vector<float> Read(Span<const int32_t> tokens) {
    Prompt prompt(&model_);
    RequireOk(prompt.AddTokens(tokens));
    RequireOk(session_->Prefill(prompt));
    LogitsCollector collector;
    RequireOk(session_->Evaluate(&collector));
    return std::move(collector.rows);
  }

 private:
  const Model& model_;
  Owned<Session> session_;
};

inline double LogSumExp(const float* row, size_t n) {
  const double most = *std::max_element(row, row + n);
  double sum = 0.0;
  for (size_t i = 0; i < n; ++i) sum += std::exp(row[i] - most);
  return most + std::log(sum);
}

inline size_t ArgMax(const float* row, size_t n) {
  return static_cast<size_t>(std::max_element(row, row + n) - row);
}

// The stored logits of some positions of the reference.
class Golden {
 public:
  Golden(Host* host, const char* reference)
      : positions_(ReadReference<int32_t>(host, reference, "positions")),
        logsumexp_(ReadReference<float>(host, reference, "logsumexp")),
        ids_(ReadReference<int32_t>(host, reference, "ids")),
        logits_(ReadReference<float>(host, reference, "logits")),
        width_(ids_.size() / positions_.size()) {}

  // Compares a row of logits, if its position is among those stored; positions come ascending.
  void Compare(size_t position, const float* row, size_t vocab) {
    if (at_ == positions_.size() || static_cast<size_t>(positions_[at_]) != position) return;
    const int32_t* ids = &ids_[at_ * width_];
    for (size_t i = 0; i < width_; ++i) Compare(row[ids[i]], logits_[at_ * width_ + i]);
    Compare(LogSumExp(row, vocab), logsumexp_[at_]);
    same_best_ += ArgMax(row, vocab) == static_cast<size_t>(ids[0]) ? 1 : 0;
    ++at_;
  }

  void Check() const {
    INFO("largest difference " << worst_ << ", relative to 1 + |logit|");
    CHECK(worst_ <= 2e-4);
    CHECK(at_ == positions_.size());
    CHECK(same_best_ == positions_.size());
  }

 private:
  void Compare(double found, double expected) {
    const double difference = std::abs(found - expected) / (1.0 + std::abs(expected));
    worst_ = std::max(worst_, difference <= 1e30 ? difference : 1e30);  // NaN is not small
  }

  std::vector<int32_t> positions_;
  std::vector<float> logsumexp_;
  std::vector<int32_t> ids_;  // [positions][width], the most likely first
  std::vector<float> logits_;
  size_t width_;
  size_t at_ = 0;
  size_t same_best_ = 0;
  double worst_ = 0.0;
};

// How far rows of logits are from what they should be.
class Distance {
 public:
  void Add(const float* expected, const float* found, size_t n) {
    const double log_p = LogSumExp(expected, n);
    const double log_q = LogSumExp(found, n);
    double divergence = 0.0;
    double error = 0.0;
    double power = 0.0;
    for (size_t i = 0; i < n; ++i) {
      const double p = expected[i] - log_p;
      divergence += std::exp(p) * (p - (found[i] - log_q));
      error += std::pow(double{found[i]} - expected[i], 2);
      power += std::pow(double{expected[i]}, 2);
    }
    rows_ += 1.0;
    divergence_ += divergence;
    squares_ += divergence * divergence;
    nmse_ += error / power;
    agreed_ += ArgMax(expected, n) == ArgMax(found, n) ? 1.0 : 0.0;
  }

  double divergence() const { return divergence_ / rows_; }  // KL(expected || found), in nats
  double divergence_error() const {                          // the standard error of that mean
    return std::sqrt((squares_ / rows_ - divergence() * divergence()) / rows_);
  }
  double agreement() const { return agreed_ / rows_; }  // of the most likely token
  double nmse() const { return nmse_ / rows_; }

 private:
  double rows_ = 0.0;
  double divergence_ = 0.0;
  double squares_ = 0.0;
  double nmse_ = 0.0;
  double agreed_ = 0.0;
};

// Reads the reference's text with the model of these tests, `piece` tokens at a time, which divide
// it. Holds float weights to the golden logits, and returns how far the file as it is, with int8
// activations and f16 keys and values, is from them.
inline Distance ReadBothWays(Host* host, const char* reference, size_t piece) {
  const auto tokens = ReadReference<int32_t>(host, reference, "tokens");
  const auto exact = host->Load(JUNTO_TEST_MODEL, Widened());
  const auto shipped = host->Load(JUNTO_TEST_MODEL);
  const size_t vocab = exact->spec().vocab;
  TextReader exact_reader(host, *exact, tokens.size(), KvType::kF32);
  TextReader shipped_reader(host, *shipped, tokens.size(), KvType::kF16);
  Golden golden(host, reference);
  Distance distance;
  for (size_t begin = 0; begin < tokens.size(); begin += piece) {
    const Span<const int32_t> text(tokens.data(), begin + piece);
    const std::vector<float> expected = exact_reader.Read(text);
    const std::vector<float> found = shipped_reader.Read(text);
    REQUIRE(expected.size() == piece * vocab);
    REQUIRE(found.size() == piece * vocab);
    for (size_t i = 0; i < piece; ++i) {
      golden.Compare(begin + i, &expected[i * vocab], vocab);
      distance.Add(&expected[i * vocab], &found[i * vocab], vocab);
    }
  }
  golden.Check();
  return distance;
}

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_REAL_MODEL_H_
