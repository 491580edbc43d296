// Session: one conversation. Its tokens, keys and values, sampler and pending text; all of its
// memory is taken when it is created.
#ifndef JUNTO_RUNTIME_SESSION_H_
#define JUNTO_RUNTIME_SESSION_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "junto/base/clock.h"
#include "junto/runtime/generation.h"
#include "junto/runtime/prompt.h"

namespace junto {

struct SessionSpec {
  uint32_t context = 0;  // tokens; 0: kDefaultContext or the model's maximum
  uint32_t chunk = 0;    // rows per pass; 0: kDefaultChunk
  KvType kv_type = KvType::kF16;
  uint64_t checkpoint_bytes = 0;  // for states that a prompt may go back to; 0: kDefaultCheckpoints

  static constexpr uint32_t kDefaultContext = 4096;
  static constexpr uint32_t kDefaultChunk = 512;
  static constexpr uint64_t kDefaultCheckpoints = 512u << 20;
  static constexpr uint32_t kMaxChunk = 65536;  // counts of rows times experts stay in 32 bits

  // Fills in the defaults. E_INVALID beyond what the model was made for.
  Status Resolve(const ModelSpec& model) {
    if (context == 0) context = std::min(kDefaultContext, model.context_max);
    if (context > model.context_max) {
      return Status::Make(Code::kInvalid, "context of %u tokens: the model was made for %u",
                          context, model.context_max);
    }
    if (chunk == 0) chunk = kDefaultChunk;
    if (chunk > kMaxChunk) {
      return Status::Make(Code::kInvalid, "passes of %u tokens: at most %u expected", chunk,
                          kMaxChunk);
    }
    chunk = std::min(chunk, context);
    if (checkpoint_bytes == 0) checkpoint_bytes = kDefaultCheckpoints;
    return Status();
  }
};

// Bytes that a session takes at creation, exactly, besides the object itself.
struct SessionPlan {
  uint64_t kv = 0;
  uint64_t scratch = 0;
};

struct Usage {
  Stop stop = Stop::kNone;
  uint64_t position = 0;
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  uint64_t new_tokens = 0;
  uint64_t prefill_ns = 0;
  uint64_t decode_ns = 0;
  uint64_t first_token_ns = 0;
  uint64_t overshoot_max_ns = 0;
  uint64_t prefill_joins = 0;
  uint64_t decode_joins = 0;
  ExpertCounters experts;
};

constexpr uint64_t kNoBudget = ~uint64_t{0};

// A deadline on the host's clock, and somebody's wish to cancel.
class Deadline final : public Interrupt {
 public:
  // `cancel` may be nullptr.
  Deadline(Clock* clock, uint64_t budget_ns, const std::atomic<bool>* cancel)
      : clock_(clock), budget_(budget_ns), start_(clock->Nanoseconds()), cancel_(cancel) {}

  bool Cancelled() override {
    return cancel_ != nullptr && cancel_->load(std::memory_order_relaxed);
  }
  bool Expired() override { return Bounded() && Elapsed() >= budget_; }
  bool Bounded() override { return budget_ != kNoBudget; }
  uint64_t Elapsed() const override { return clock_->Nanoseconds() - start_; }
  uint64_t Overshoot() const {
    const uint64_t elapsed = Elapsed();
    return budget_ != kNoBudget && elapsed > budget_ ? elapsed - budget_ : 0;
  }

 private:
  Clock* clock_;
  uint64_t budget_;
  uint64_t start_;
  const std::atomic<bool>* cancel_;
};

// Receives logits; see junto_logits_fn.
class LogitsSink {
 public:
  virtual ~LogitsSink() = default;
  virtual Status Take(uint64_t position, const float* logits, size_t vocab) = 0;
};

class Session {
 public:
  static constexpr uint32_t kLogitRows = 8;  // that evaluate computes at a time

  // What creating a session of this shape takes.
  static Status Plan(const Model& model, SessionSpec spec, SessionPlan* plan) {
    JUNTO_TRY(spec.Resolve(model.spec()));
    Arena scratch;
    Arena pages;
    Session measured(model, nullptr);
    measured.LayOut(spec, &scratch, &pages);
    if (!scratch.ok() || !pages.ok()) {
      return Status::Make(Code::kInvalid, "a context of %u tokens exceeds 2^64 bytes",
                          spec.context);
    }
    plan->kv = pages.used();
    plan->scratch = scratch.used();
    return Status();
  }

  // `model` and `clock` outlive the session. Throws OutOfMemory.
  static Status Create(const Model& model, Clock* clock, SessionSpec spec, Owned<Session>* out) {
    if (!model.loaded()) {
      return Status::Make(Code::kInvalid,
                          "the model was opened for metadata: 0 weights are loaded");
    }
    SessionPlan plan;
    JUNTO_TRY(Plan(model, spec, &plan));
    JUNTO_TRY(spec.Resolve(model.spec()));
    Memory* memory = model.services().memory;
    Owned<Session> session = New<Session>(memory, Tag::kObject, model, clock);
    JUNTO_TRY(Block::Allocate(memory, plan.kv, Arena::kAlignment, Tag::kKv, &session->pages_));
    JUNTO_TRY(Block::Allocate(memory, plan.scratch, Arena::kAlignment, Tag::kScratch,
                              &session->scratch_));
    Arena scratch(session->scratch_.data(), plan.scratch);
    Arena pages(session->pages_.data(), plan.kv);
    session->LayOut(spec, &scratch, &pages);
    *out = std::move(session);
    return Status();
  }

  Session(const Model& model, Clock* clock) : model_(&model), clock_(clock) {}

  const Model& model() const { return *model_; }
  Generation& generation() { return generation_; }
  void Cancel() { cancel_.store(true, std::memory_order_relaxed); }

  // Makes `prompt` the context. E_CONTEXT_FULL and E_INVALID leave everything as it was.
  Status Prefill(const Prompt& prompt) {
    Prompt::Parts parts;
    JUNTO_TRY(prompt.Tokens(&parts));
    uint64_t size = 0;
    for (Span<const int32_t> part : parts.part) size += part.size();
    if (size == 0) return Status::Make(Code::kInvalid, "the prompt has 0 tokens");
    if (size > sequence_.capacity()) {
      return Status::Make(Code::kContextFull, "the prompt has %llu tokens, the context holds %u",
                          static_cast<unsigned long long>(size), sequence_.capacity());
    }
    GiveUpPass();
    usage_ = Usage();
    usage_.prompt_tokens = size;
    usage_.cached_tokens = sequence_.Assign({parts.part, 3}, model_->markup().turn_token());
    generation_.Start();
    return Status();
  }

  // One or more passes; see junto_session_step. `sink` nullptr: text waits in the stream.
  Status Step(uint64_t budget_ns, ChunkSink* sink) {
    if (!HasWork()) return Ended();
    Deadline deadline(clock_, budget_ns, &cancel_);
    Status status;
    do {
      if (TakeCancel()) return Code::kCancelled;
      if (sink == nullptr && generation_.blocked()) return Code::kYielded;
      status = RunPass(&deadline, sink);
    } while (status.ok() && HasWork() && !deadline.Expired());
    usage_.overshoot_max_ns = std::max(usage_.overshoot_max_ns, deadline.Overshoot());
    if (status.code() == Code::kCancelled) CancelNow();
    if (!status.ok()) return status;
    return HasWork() ? Code::kYielded : Code::kDone;
  }

  // Computes the prompt and hands out every position's logits; see junto_session_evaluate. After a
  // failure it may be repeated: it goes on with the chunk that failed.
  Status Evaluate(LogitsSink* sink) {
    if (!HasWork()) return Ended();
    GiveUpPass();
    Deadline deadline(clock_, kNoBudget, &cancel_);
    Status status;
    while (status.ok() && sequence_.waiting()) status = EvaluateChunk(&deadline, sink);
    usage_.prefill_ns += deadline.Elapsed();
    if (status.code() == Code::kCancelled) {
      CancelNow();
    } else if (!status.failed()) {
      generation_.Idle();
    }
    return status;
  }

  Usage usage() const {
    Usage usage = usage_;
    usage.stop = generation_.stop();
    usage.position = sequence_.held();
    usage.new_tokens = generation_.new_tokens();
    return usage;
  }

  // ---- for whoever runs a pass over several sessions

  // Whether a pass would do something for this session.
  bool HasWork() const { return generation_.running(); }

  // Observes a wish to cancel: the generation ends.
  bool TakeCancel() {
    if (!cancel_.load(std::memory_order_relaxed)) return false;
    CancelNow();
    return true;
  }

  // Changes whenever rows that AddRows prepared for somebody are no longer what comes next.
  uint64_t epoch() const { return epoch_; }

  // Adds the next rows to the pass and, where they reach the end, asks for logits. A pass that had
  // been interrupted is given up: nothing is held until a pass is complete.
  void AddRows(Pass* pass) {
    GiveUpPass();
    const uint32_t first = pass->row_count();
    pass_rows_ = sequence_.AddRows(pass);
    const bool reaches_end = sequence_.held() + pass_rows_ == sequence_.size();
    wants_logits_ = pass_rows_ != 0 && reaches_end;
    if (wants_logits_) logits_row_ = pass->AddHead(first + pass_rows_ - 1);
  }

  // Takes the result of the pass that AddRows prepared; `elapsed_ns` and `joins` are its share of
  // usage.
  Status FinishRows(Pass* pass, uint64_t elapsed_ns, uint64_t joins, ChunkSink* sink) {
    const bool decoding = generation_.new_tokens() != 0;
    (decoding ? usage_.decode_ns : usage_.prefill_ns) += elapsed_ns;
    (decoding ? usage_.decode_joins : usage_.prefill_joins) += joins;
    usage_.experts.Add(pass->counters);
    sequence_.Hold(pass_rows_);
    pass_rows_ = 0;
    if (!wants_logits_) return Status();
    if (!decoding) usage_.first_token_ns = usage_.prefill_ns;
    return generation_.Advance(pass->logits(logits_row_), &sequence_, sink);
  }

 private:
  void LayOut(const SessionSpec& spec, Arena* scratch, Arena* pages) {
    sequence_.LayOut(model_->spec(), spec.context, spec.chunk, spec.kv_type, spec.checkpoint_bytes,
                     scratch, pages);
    generation_.LayOut(*model_, scratch);
    pass_.LayOut(model_->engine(), spec.chunk, std::min(kLogitRows, spec.chunk), scratch);
  }

  Status Ended() const {
    if (usage_.prompt_tokens != 0) return Code::kDone;
    return Status::Make(Code::kInvalid, "the session has 0 prompt tokens: prefill one first");
  }

  void GiveUpPass() {
    pass_open_ = false;
    ++epoch_;
  }

  void CancelNow() {
    cancel_.store(false, std::memory_order_relaxed);
    GiveUpPass();
    generation_.Finish(Stop::kCancelled);
    generation_.stream().Flush();
  }

  Status RunPass(Deadline* deadline, ChunkSink* sink) {
    const Program program = model_->program();
    if (!pass_open_) {
      pass_.Clear();
      AddRows(&pass_);
      cursor_ = Cursor();
      pass_ns_ = 0;
      pass_open_ = true;
    }
    const uint64_t before = deadline->Elapsed();
    const Status status = program.Run(&pass_, program.end(), deadline, &cursor_);
    pass_ns_ += deadline->Elapsed() - before;
    if (status.code() == Code::kYielded) return status;
    pass_open_ = false;
    JUNTO_TRY(status);
    return FinishRows(&pass_, pass_ns_, cursor_.joins, sink);
  }

  Status EvaluateChunk(Deadline* deadline, LogitsSink* sink) {
    const Program program = model_->program();
    pass_.Clear();
    const uint32_t rows = sequence_.AddRows(&pass_);
    Cursor cursor;
    JUNTO_TRY(program.Run(&pass_, program.head_stage(), deadline, &cursor));
    for (uint32_t first = 0; first < rows; first += pass_.logit_capacity()) {
      const uint32_t count = std::min(pass_.logit_capacity(), rows - first);
      pass_.ClearHeads();
      for (uint32_t i = 0; i < count; ++i) pass_.AddHead(first + i);
      cursor = {program.head_stage(), 0, cursor.joins};
      JUNTO_TRY(program.Run(&pass_, program.end(), deadline, &cursor));
      for (uint32_t i = 0; i < count; ++i) {
        JUNTO_TRY(sink->Take(pass_.row(first + i).position, pass_.logits(i), model_->spec().vocab));
      }
    }
    sequence_.Hold(rows);
    usage_.prefill_joins += cursor.joins;
    usage_.experts.Add(pass_.counters);
    return Status();
  }

  const Model* model_;
  Clock* clock_;
  Block pages_;
  Block scratch_;
  Sequence sequence_;
  Generation generation_;
  Pass pass_;
  Cursor cursor_;
  bool pass_open_ = false;
  uint64_t epoch_ = 0;
  bool wants_logits_ = false;
  uint32_t pass_rows_ = 0;
  uint32_t logits_row_ = 0;
  uint64_t pass_ns_ = 0;
  Usage usage_;
  std::atomic<bool> cancel_{false};
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_SESSION_H_
