// Generation: what happens between logits and text: the sampler, the stop rules, the stream.
#ifndef JUNTO_RUNTIME_GENERATION_H_
#define JUNTO_RUNTIME_GENERATION_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "junto/runtime/model.h"
#include "junto/runtime/sampler.h"
#include "junto/runtime/sequence.h"
#include "junto/runtime/snapshot.h"
#include "junto/text/output/stream.h"

namespace junto {

// Why a generation ended. Values equal junto_stop in c_api/junto.h.
enum class Stop : int32_t {
  kNone = 0,
  kEos = 1,
  kText = 2,
  kLength = 3,
  kContext = 4,
  kCallback = 5,
  kCancelled = 6,
  kToolCall = 7,
};

// What is added to the logit of a token before anything else is done with it.
struct TokenBias {
  int32_t token;
  float bias;
};

// Receives output and tokens as they come. OK goes on, a code > 0 stops, a failure stops and fails
// the step.
class ChunkSink {
 public:
  virtual ~ChunkSink() = default;
  virtual Status Take(const OutputPiece& piece, Span<const int32_t> tokens) = 0;
};

class Generation {
 public:
  static constexpr uint32_t kMaxBiases = 1024;

  // Takes its scratch from `arena`; must be called twice, measuring and placing.
  void LayOut(const Model& model, Arena* arena) {
    tokenizer_ = &model.tokenizer();
    const uint32_t vocab = model.spec().vocab;
    candidates_ = {arena->Take<Candidate>(vocab), vocab};
    biases_ = {arena->Take<TokenBias>(kMaxBiases), kMaxBiases};
    markup_ = &model.output();
    output_.LayOut(markup_, tokenizer_->max_piece_bytes(), arena);
  }

  SamplingSpec sampling;
  uint32_t max_new_tokens = 0;  // 0: until the context is full
  uint32_t wanted = 0;          // of kOutput*; counts from the next Start on

  OutputStream& output() { return output_; }
  Stop stop() const { return stop_; }
  uint32_t new_tokens() const { return new_tokens_; }
  bool running() const { return running_; }
  // Whether waiting text must be read before another token fits.
  bool blocked() const { return output_.blocked(); }

  // The same state as `other`, of the same model, but for what Replay does.
  void CopyFrom(const Generation& other) {
    sampling = other.sampling;
    max_new_tokens = other.max_new_tokens;
    SetBiases(other.biases());
    wanted = other.wanted;
    output_.CopyFrom(other.output_);
    stop_ = other.stop_;
    new_tokens_ = other.new_tokens_;
    running_ = other.running_;
  }

  // Writes all of it.
  void Save(SnapshotWriter* to) const {
    const auto put = [to](auto* value) { to->Put(*value); };
    ForEachSetting(sampling, put);
    to->Put(max_new_tokens);
    to->Put(bias_count_);
    for (const TokenBias& bias : biases()) {
      to->Put(bias.token);
      to->Put(bias.bias);
    }
    to->Put(static_cast<int32_t>(stop_));
    to->Put(new_tokens_);
    to->Put(static_cast<uint8_t>(running_));
    to->Put(wanted);
    output_.Save(to);
  }

  // Reads that back in place of what is here, but for what Replay does; without `apply` only checks
  // it.
  void Load(uint32_t vocab, bool apply, SnapshotReader* from) {
    SamplingSpec settings;
    ForEachSetting(settings, [from](auto* value) { from->Get(value); });
    const auto limit = from->Get<uint32_t>();
    const auto biases = from->Get<uint32_t>();
    from->Require(CheckSampling(settings).ok() && biases <= kMaxBiases);
    for (uint32_t i = 0; i < biases && from->ok(); ++i) {
      const auto token = from->Get<int32_t>();
      const auto bias = from->Get<float>();
      from->Require(IsBias({token, bias}, vocab));
      if (apply) biases_[i] = {token, bias};
    }
    const auto stop = from->Get<int32_t>();
    const auto new_tokens = from->Get<uint32_t>();
    const auto running = from->Get<uint8_t>();
    from->Require(stop >= 0 && stop <= static_cast<int32_t>(Stop::kToolCall) && running <= 1);
    const auto next = from->Get<uint32_t>();
    from->Require(next <= kOutputAll);
    output_.Load(apply, from);
    if (!apply) return;
    sampling = settings;
    max_new_tokens = limit;
    bias_count_ = biases;
    wanted = next;
    stop_ = static_cast<Stop>(stop);
    new_tokens_ = new_tokens;
    running_ = running != 0;
  }

  static bool IsBias(const TokenBias& bias, uint32_t vocab) {
    return bias.token >= 0 && static_cast<uint32_t>(bias.token) < vocab && bias.bias < INFINITY;
  }
  Span<const TokenBias> biases() const { return {biases_.data(), bias_count_}; }
  // At most kMaxBiases, of tokens of the model.
  void SetBiases(Span<const TokenBias> biases) {
    std::copy(biases.begin(), biases.end(), biases_.begin());
    bias_count_ = static_cast<uint32_t>(biases.size());
  }

  // See OutputStream; counts from the next Start on.
  void SetTextParameters(Span<const uint64_t> entries) { output_.SetTextParameters(entries); }

  // Begins anew after a prompt; text that nobody read is dropped.
  void Start(Span<const int32_t> prompt) {
    output_.Start(wanted);
    FeedPrompt(prompt);
    stop_ = Stop::kNone;
    new_tokens_ = 0;
    running_ = true;
  }

  // Tells the output in which state its tokens leave it, of which the first `prompt` are the
  // prompt's. What it holds already stays.
  void Replay(Span<const int32_t> tokens, uint64_t prompt) {
    output_.BeginReplay();
    if (!running_) return;
    const auto size = static_cast<size_t>(std::min<uint64_t>(prompt, tokens.size()));
    FeedPrompt(tokens.subspan(0, size));
    output_.Mute(true);
    for (const int32_t token : tokens.subspan(size, tokens.size() - size)) (void)Feed(token);
    output_.EndReplay();
  }
  void Finish(Stop stop) {
    stop_ = stop;
    running_ = false;
  }
  void Idle() { running_ = false; }

  // The next token, from `logits` [vocab], which are changed. Different generations may choose at
  // the same time.
  int32_t Choose(float* logits, const Sequence& sequence) const {
    for (const TokenBias& bias : biases()) logits[bias.token] += bias.bias;
    const Span<const int32_t> tokens = sequence.tokens();
    const size_t window = std::min<size_t>(sampling.penalty_window, tokens.size());
    return Sampler(candidates_)
        .Choose(sampling, logits, tokens.subspan(tokens.size() - window, window), tokens.size());
  }

  // Appends the token that was chosen to the sequence, and hands its text to `sink` (nullptr: it
  // waits in the stream).
  Status Advance(int32_t token, Sequence* sequence, ChunkSink* sink) {
    if (sink != nullptr) {  // what waited for a reader, who may have had enough
      const Status status = Deliver({}, sink);
      if (status.failed() || !running_) return status;
    }
    ++new_tokens_;
    Span<const int32_t> shown(&token, 1);
    if (tokenizer_->IsEnd(token)) {
      output_.Finish(true);
      Finish(output_.called() ? Stop::kToolCall : Stop::kEos);
      shown = {};
    } else {
      if (sequence->full()) {
        Finish(Stop::kContext);
      } else {
        sequence->Append(token);
      }
      const Status fed = Feed(token);
      if (fed.failed()) return fed;
      if (output_.stopped()) {
        Finish(Stop::kText);
      } else if (running_ && max_new_tokens != 0 && new_tokens_ >= max_new_tokens) {
        Finish(Stop::kLength);
      }
      if (!running_) output_.Finish(false);
    }
    return Deliver(shown, sink);
  }

 private:
  template <class Settings, class F>
  static void ForEachSetting(Settings& settings, const F& f) {
    f(&settings.seed);
    for (auto* value :
         {&settings.temperature, &settings.top_p, &settings.min_p, &settings.repeat_penalty,
          &settings.presence_penalty, &settings.frequency_penalty}) {
      f(value);
    }
    f(&settings.top_k);
    f(&settings.penalty_window);
  }

  void FeedPrompt(Span<const int32_t> prompt) {
    output_.Mute(true);
    if (output_.parses()) {
      for (const int32_t token : markup_->LastTurn(prompt)) (void)Feed(token);
    }
    output_.EndPrompt();
    output_.Mute(false);
  }

  // Control tokens that are no marks are structure, not text; who reads them finds them among the
  // tokens.
  Status Feed(int32_t token) {
    const int mark = output_.parses() ? markup_->MarkOf(token) : -1;
    if (mark >= 0) return output_.FeedMark(mark);
    if (tokenizer_->IsControl(token)) return Status();
    return output_.Feed(tokenizer_->Piece(token));
  }

  // The tokens go with the first piece.
  Status Deliver(Span<const int32_t> tokens, ChunkSink* sink) {
    if (sink == nullptr) return Status();
    for (OutputPiece piece = output_.Front(); !piece.text.empty() || !tokens.empty();
         piece = output_.Front()) {
      const Status status = sink->Take(piece, tokens);
      output_.Consume(piece.text.size());
      tokens = {};
      if (status.ok()) continue;
      Finish(Stop::kCallback);
      output_.Finish(false);
      return status.failed() ? status : Status();
    }
    return Status();
  }

  const Tokenizer* tokenizer_ = nullptr;
  Span<Candidate> candidates_;
  Span<TokenBias> biases_;
  uint32_t bias_count_ = 0;
  const OutputMarkup* markup_ = nullptr;
  OutputStream output_;
  Stop stop_ = Stop::kNone;
  uint32_t new_tokens_ = 0;
  bool running_ = false;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_GENERATION_H_
