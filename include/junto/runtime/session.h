// Session: one conversation. Its tokens, keys and values, sampler and pending text; all of its
// memory, and that of its forks, is taken when it is created.
#ifndef JUNTO_RUNTIME_SESSION_H_
#define JUNTO_RUNTIME_SESSION_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "junto/base/clock.h"
#include "junto/runtime/generation.h"
#include "junto/runtime/prompt.h"
#include "junto/runtime/session_memory.h"

namespace junto {

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

  // Calls f with a pointer to each number that is kept here and not elsewhere.
  template <class F>
  void ForEach(const F& f) {
    for (uint64_t* number : {&prompt_tokens, &cached_tokens, &prefill_ns, &decode_ns,
                             &first_token_ns, &overshoot_max_ns, &prefill_joins, &decode_joins}) {
      f(number);
    }
  }
};

// A deadline on the host's clock, and somebody's wish to cancel.
class Deadline : public Interrupt {
 public:
  // `cancel` may be nullptr.
  Deadline(Clock* clock, uint64_t budget_ns, const std::atomic<bool>* cancel)
      : clock_(clock), budget_(budget_ns), start_(clock->Nanoseconds()), cancel_(cancel) {}

  bool Cancelled() override {
    return cancel_ != nullptr && cancel_->load(std::memory_order_relaxed);
  }
  uint64_t Budget() final { return budget_; }
  uint64_t Elapsed() final { return clock_->Nanoseconds() - start_; }

  // Whether so much more would fit. Something always does as long as nothing was done.
  bool Fits(uint64_t ns) {
    if (!progress || budget_ == kNoBudget) return true;
    const uint64_t elapsed = Elapsed();
    return elapsed < budget_ && ns <= budget_ - elapsed;
  }
  uint64_t Overshoot() {
    if (budget_ == kNoBudget) return 0;
    const uint64_t elapsed = Elapsed();
    return elapsed > budget_ ? elapsed - budget_ : 0;
  }

  bool progress = false;  // something was done already

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

  // What creating a session of this shape takes, objects and all, and then its forks.
  static Status Plan(const Model& model, SessionSpec spec, SessionPlan* plan) {
    JUNTO_TRY(spec.Resolve(model.spec()));
    uint64_t seat_bytes = 0;
    JUNTO_TRY(MeasureSeat(model, spec, &seat_bytes));
    JUNTO_TRY(SessionMemory::Plan(model.spec(), spec, seat_bytes, plan));
    plan->object += spec.family() * sizeof(Session);
    return Status();
  }

  // `model` and `clock` outlive the session. Throws OutOfMemory.
  static Status Create(const Model& model, Clock* clock, SessionSpec spec, Owned<Session>* out) {
    if (!model.loaded()) {
      return Status::Make(Code::kInvalid,
                          "the model was opened for metadata: 0 weights are loaded");
    }
    JUNTO_TRY(spec.Resolve(model.spec()));
    uint64_t seat_bytes = 0;
    JUNTO_TRY(MeasureSeat(model, spec, &seat_bytes));
    Memory* memory = model.services().memory;
    Owned<Session> session = New<Session>(memory, Tag::kObject, model, clock, spec);
    Owned<SessionMemory> own;
    JUNTO_TRY(SessionMemory::Create(model.spec(), spec, seat_bytes, memory, &own));
    session->Enter(own.release());
    *out = std::move(session);
    return Status();
  }

  // Another session that goes on from here by itself; see junto_session_fork. Throws OutOfMemory.
  Status Fork(Owned<Session>* out) {
    Owned<Session> fork =
        New<Session>(model_->services().memory, Tag::kObject, *model_, clock_, spec_);
    if (!fork->Enter(memory_)) {
      return Status::Make(Code::kMemory, "all %u forks that max_forks allows are in use",
                          spec_.max_forks);
    }
    GiveUpPass();  // it would go on writing to what is shared now
    fork->sequence_.ShareFrom(sequence_);
    fork->generation_.CopyFrom(generation_);
    fork->usage_ = usage_;
    fork->generation_.Replay(sequence_.tokens(), usage_.prompt_tokens);
    *out = std::move(fork);
    return Status();
  }

  Session(const Model& model, Clock* clock, const SessionSpec& spec)
      : model_(&model), clock_(clock), spec_(spec) {}
  ~Session() {
    if (memory_ == nullptr) return;
    GiveUpPass();
    sequence_.Release();
    if (memory_->Leave(seat_)) Destroy(memory_);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

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
    usage_.cached_tokens = sequence_.Assign({parts.part, 3}, prompt.turn_token(), prompt.opening());
    generation_.SetTextParameters(prompt.text_parameters());
    generation_.Start(sequence_.tokens());
    return Status();
  }

  // Makes the first `position` tokens the context, as if they had been the prompt; see
  // junto_session_rewind. E_INVALID leaves everything as it was.
  Status Rewind(uint64_t position) {
    if (position > sequence_.size()) {
      return Status::Make(Code::kInvalid, "back to token %llu: the context has %u",
                          static_cast<unsigned long long>(position), sequence_.size());
    }
    GiveUpPass();
    usage_ = Usage();
    usage_.prompt_tokens = position;
    usage_.cached_tokens =
        sequence_.Rewind(static_cast<uint32_t>(position), model_->markup().turn_token());
    generation_.Start(sequence_.tokens());
    if (position == 0) generation_.Idle();
    return Status();
  }

  // Bytes of a snapshot, and the snapshot itself, for which `dst` has room.
  uint64_t SnapshotBytes() const {
    SnapshotWriter measured;
    Save(&measured);
    return sizeof(snapshot::Header) + measured.used();
  }
  void Snapshot(uint8_t* dst) const {
    uint8_t* const body = dst + sizeof(snapshot::Header);
    SnapshotWriter writer(body);
    Save(&writer);
    snapshot::Header header = ExpectedHeader();
    header.bytes = sizeof(header) + writer.used();
    header.checksum = snapshot::ChecksumOf(header, body, static_cast<size_t>(writer.used()));
    std::memcpy(dst, &header, sizeof(header));
  }

  // Goes on where the session of a snapshot stood; see junto_session_restore. A failure leaves
  // everything as it was.
  Status Restore(Span<const uint8_t> data) {
    JUNTO_TRY(CheckSnapshot(data));
    const Span<const uint8_t> body =
        data.subspan(sizeof(snapshot::Header), data.size() - sizeof(snapshot::Header));
    SnapshotReader checker(body.data(), body.size());
    JUNTO_TRY(Load(false, &checker));
    if (!checker.at_end()) {
      return Status::Make(Code::kFormat, "snapshot of %zu bytes: its content contradicts itself",
                          data.size());
    }
    SnapshotReader reader(body.data(), body.size());
    return Load(true, &reader);
  }

  // One or more passes; see junto_session_step. `sink` nullptr: text waits in the stream.
  Status Step(uint64_t budget_ns, ChunkSink* sink) {
    if (!HasWork()) return cancel_.exchange(false) ? Status(Code::kCancelled) : Ended();
    Deadline deadline(clock_, budget_ns, &cancel_);
    Status status;
    do {
      if (TakeCancel()) return Code::kCancelled;
      if (sink == nullptr && generation_.blocked()) return Code::kYielded;
      status = RunPass(&deadline, sink);
    } while (status.ok() && HasWork() && deadline.Fits(0));
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
    while (status.ok() && sequence_.waiting()) {
      status = EvaluateChunk(&deadline, sink);
      AddExperts(pass_);
    }
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
  bool HasWork() const { return generation_.running() && sequence_.waiting(); }

  bool wants_cancel() const { return cancel_.load(std::memory_order_relaxed); }
  // Observes a wish to cancel: the generation ends.
  bool TakeCancel() {
    if (!wants_cancel()) return false;
    CancelNow();
    return true;
  }

  // Changes whenever rows that AddRows prepared for somebody are no longer what comes next.
  uint64_t epoch() const { return epoch_; }

  // Adds the next rows to the pass and, where they reach the end, asks for logits. A pass that had
  // been interrupted is given up: nothing is held until a pass is complete. E_MEMORY adds nothing.
  Status AddRows(Pass* pass) {
    GiveUpPass();
    const uint32_t first = pass->row_count();
    pass_rows_ = 0;
    JUNTO_TRY(sequence_.AddRows(pass, &pass_rows_));
    const bool reaches_end = sequence_.held() + pass_rows_ == sequence_.size();
    wants_logits_ = pass_rows_ != 0 && reaches_end;
    if (wants_logits_) logits_row_ = pass->AddHead(first + pass_rows_ - 1);
    return Status();
  }

  // What a pass that ends had of experts, also where it failed: what was read was read.
  void AddExperts(const Pass& pass) { usage_.experts.Add(pass.counters); }

  // Chooses the next token from the result of the pass that AddRows prepared, before FinishRows
  // takes it. Sessions of one pass may do so at the same time.
  void Choose(Pass* pass) {
    if (wants_logits_) next_token_ = generation_.Choose(pass->logits(logits_row_), sequence_);
  }
  // Takes the result; `elapsed_ns` and `joins` are its share of usage.
  Status FinishRows(Pass* pass, uint64_t elapsed_ns, uint64_t joins, ChunkSink* sink) {
    const bool decoding = generation_.new_tokens() != 0;
    (decoding ? usage_.decode_ns : usage_.prefill_ns) += elapsed_ns;
    (decoding ? usage_.decode_joins : usage_.prefill_joins) += joins;
    AddExperts(*pass);
    sequence_.Hold(pass_rows_);
    pass_rows_ = 0;
    if (!wants_logits_) return Status();
    if (!decoding) usage_.first_token_ns = usage_.prefill_ns;
    return generation_.Advance(next_token_, &sequence_, sink);
  }

 private:
  // Bytes of scratch that one member of a family lays out. `spec` is resolved.
  static Status MeasureSeat(const Model& model, const SessionSpec& spec, uint64_t* bytes) {
    Session measured(model, nullptr, spec);
    Arena arena;
    measured.LayOut(nullptr, nullptr, &arena);
    *bytes = arena.used();
    if (arena.ok()) return Status();
    return Status::Make(Code::kInvalid, "a context of %u tokens exceeds 2^64 bytes", spec.context);
  }

  void LayOut(KvPool* keys, StatePool* states, Arena* arena) {
    sequence_.LayOut(model_->spec(), spec_, keys, states, arena);
    generation_.LayOut(*model_, arena);
    pass_.LayOut(model_->engine(), spec_.chunk, std::min(kLogitRows, spec_.chunk), arena);
    pace_.LayOut(model_->program().end(), arena);
  }

  // Becomes a member of the family; false when it is complete.
  bool Enter(SessionMemory* family) {
    if (!family->Enter(&seat_)) return false;
    memory_ = family;
    Arena arena(seat_, family->seat_bytes());
    LayOut(family->keys(), family->states(), &arena);
    return true;
  }

  void Destroy(SessionMemory* family) const {
    MemoryDeleter<SessionMemory>{model_->services().memory, sizeof(SessionMemory),
                                 Tag::kObject}(family);
  }

  snapshot::Header ExpectedHeader() const {
    snapshot::Header header = {};
    std::memcpy(header.magic, snapshot::kMagic, sizeof(header.magic));
    header.byte_order = snapshot::kByteOrder;
    header.version = snapshot::kVersion;
    header.model = model_->fingerprint();
    header.context = spec_.context;
    header.kv_type = static_cast<uint32_t>(spec_.kv_type);
    return header;
  }

  Status CheckSnapshot(Span<const uint8_t> data) const {
    const snapshot::Header expected = ExpectedHeader();
    snapshot::Header header = {};
    std::memcpy(&header, data.data(), std::min(data.size(), sizeof(header)));
    if (std::memcmp(header.magic, expected.magic, sizeof(header.magic)) != 0) {
      return Status::Make(Code::kFormat, "%zu bytes that are no snapshot", data.size());
    }
    if (header.byte_order != expected.byte_order || header.version != expected.version) {
      return Status::Make(Code::kMismatch, "snapshot version %u: %u expected",
                          static_cast<unsigned>(header.version),
                          static_cast<unsigned>(expected.version));
    }
    const size_t body = data.size() - std::min(data.size(), sizeof(header));
    if (header.bytes != data.size() || data.size() < sizeof(header) ||
        header.checksum != snapshot::ChecksumOf(header, data.data() + sizeof(header), body)) {
      return Status::Make(Code::kFormat, "snapshot of %llu bytes is damaged: %zu bytes given",
                          static_cast<unsigned long long>(header.bytes), data.size());
    }
    if (header.model != expected.model) {
      return Status::Make(Code::kMismatch, "snapshot of another model: %016llx, this is %016llx",
                          static_cast<unsigned long long>(header.model),
                          static_cast<unsigned long long>(expected.model));
    }
    if (header.context != expected.context || header.kv_type != expected.kv_type) {
      return Status::Make(
          Code::kMismatch,
          "snapshot of %u tokens of context with type %u: this session has %u "
          "and %u",
          static_cast<unsigned>(header.context), static_cast<unsigned>(header.kv_type),
          static_cast<unsigned>(expected.context), static_cast<unsigned>(expected.kv_type));
    }
    return Status();
  }

  void Save(SnapshotWriter* to) const {
    sequence_.Save(to);
    generation_.Save(to);
    Usage usage = usage_;
    usage.ForEach([to](const uint64_t* number) { to->Put(*number); });
  }

  // Reads what Save wrote; without `apply` only checks it.
  Status Load(bool apply, SnapshotReader* from) {
    const uint32_t vocab = model_->spec().vocab;
    JUNTO_TRY(sequence_.Load(vocab, apply, from));
    if (apply) GiveUpPass();
    generation_.Load(vocab, apply, from);
    Usage read;
    read.ForEach([from](uint64_t* number) { from->Get(number); });
    if (!apply) return Status();
    usage_ = read;
    generation_.Replay(sequence_.tokens(), usage_.prompt_tokens);
    return Status();
  }

  Status Ended() const {
    if (usage_.prompt_tokens != 0) return Code::kDone;
    return Status::Make(Code::kInvalid, "the session has 0 prompt tokens: prefill one first");
  }

  void GiveUpPass() {
    if (pass_open_) {
      AddExperts(pass_);
      stages::GiveUp(&pass_);
    }
    pass_open_ = false;
    ++epoch_;
  }

  void CancelNow() {
    cancel_.store(false, std::memory_order_relaxed);
    GiveUpPass();
    generation_.Finish(Stop::kCancelled);
    generation_.output().Finish(false);
  }

  Status RunPass(Deadline* deadline, ChunkSink* sink) {
    const Program program = model_->program();
    if (!pass_open_) {
      pass_.Clear();
      JUNTO_TRY(AddRows(&pass_));
      cursor_ = Cursor();
      pass_ns_ = 0;
      pass_open_ = true;
    }
    const uint64_t before = deadline->Elapsed();
    Status status =
        program.Run(&pass_, program.end(), deadline, &pace_, &deadline->progress, &cursor_);
    const uint64_t after = deadline->Elapsed();
    pass_ns_ += after - before;
    if (status.ok() && !deadline->Fits(wants_logits_ ? finish_ns_ : 0)) status = Code::kYielded;
    if (status.code() == Code::kYielded) return status;
    if (!status.ok()) {
      GiveUpPass();
      return status;
    }
    pass_open_ = false;
    Choose(&pass_);
    status = FinishRows(&pass_, pass_ns_, cursor_.joins, sink);
    finish_ns_ = std::max(deadline->Elapsed() - after, finish_ns_ - finish_ns_ / 8);
    deadline->progress = true;
    return status;
  }

  Status EvaluateChunk(Deadline* deadline, LogitsSink* sink) {
    const Program program = model_->program();
    pass_.Clear();
    uint32_t rows = 0;
    JUNTO_TRY(sequence_.AddRows(&pass_, &rows));
    Cursor cursor;
    JUNTO_TRY(
        program.Run(&pass_, program.head_stage(), deadline, &pace_, &deadline->progress, &cursor));
    for (uint32_t first = 0; first < rows; first += pass_.logit_capacity()) {
      const uint32_t count = std::min(pass_.logit_capacity(), rows - first);
      pass_.ClearHeads();
      for (uint32_t i = 0; i < count; ++i) pass_.AddHead(first + i);
      cursor = {program.head_stage(), 0, cursor.joins};
      JUNTO_TRY(program.Run(&pass_, program.end(), deadline, &pace_, &deadline->progress, &cursor));
      for (uint32_t i = 0; i < count; ++i) {
        JUNTO_TRY(sink->Take(pass_.row(first + i).position, pass_.logits(i), model_->spec().vocab));
      }
    }
    sequence_.Hold(rows);
    usage_.prefill_joins += cursor.joins;
    return Status();
  }

  const Model* model_;
  Clock* clock_;
  SessionSpec spec_;
  SessionMemory* memory_ = nullptr;  // the family's
  uint8_t* seat_ = nullptr;          // where this member's scratch begins
  Sequence sequence_;
  Generation generation_;
  Pass pass_;
  Cursor cursor_;
  Pace pace_;
  uint64_t finish_ns_ = 0;  // what tokens took lately between logits and callback, at most
  bool pass_open_ = false;
  uint64_t epoch_ = 0;
  bool wants_logits_ = false;
  uint32_t pass_rows_ = 0;
  uint32_t logits_row_ = 0;
  int32_t next_token_ = 0;
  uint64_t pass_ns_ = 0;
  Usage usage_;
  std::atomic<bool> cancel_{false};
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_SESSION_H_
