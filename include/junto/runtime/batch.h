// Batch: sessions of one model that share each pass.
#ifndef JUNTO_RUNTIME_BATCH_H_
#define JUNTO_RUNTIME_BATCH_H_

#include <algorithm>
#include <cstdint>

#include "junto/runtime/session.h"

namespace junto {

// Receives the chunks of all sessions of a batch.
class BatchSink {
 public:
  virtual ~BatchSink() = default;
  virtual ChunkSink* Of(Session* session) = 0;  // nullptr: text waits in the session
};

class Batch {
 public:
  // Bytes that a batch takes at creation, exactly.
  struct BatchPlan {
    uint64_t object = 0;
    uint64_t scratch = 0;
  };
  // Of a batch with room for `max_sessions` sessions and `rows` rows per pass, at least one per
  // session; 0: a default.
  static Status Plan(const Model& model, uint32_t max_sessions, uint32_t rows, BatchPlan* plan) {
    if (max_sessions == 0 || max_sessions > kMaxSessions) {
      return Status::Make(Code::kInvalid, "batch of %u sessions: 1 to %u expected", max_sessions,
                          kMaxSessions);
    }
    if (rows > SessionSpec::kMaxChunk) {
      return Status::Make(Code::kInvalid, "passes of %u tokens: at most %u expected", rows,
                          SessionSpec::kMaxChunk);
    }
    Arena measure;
    Pass().LayOut(model.engine(), RowsOf(max_sessions, rows), max_sessions, &measure);
    Pace().LayOut(model.program().end(), &measure);
    if (!measure.ok()) {
      return Status::Make(Code::kInvalid, "a pass of %u rows exceeds 2^64 bytes", rows);
    }
    plan->scratch = measure.used();
    plan->object = sizeof(Batch) + uint64_t{max_sessions} * sizeof(Member);
    return Status();
  }

  // `model` and `clock` outlive the batch. Throws OutOfMemory.
  static Status Create(const Model& model, Clock* clock, uint32_t max_sessions, uint32_t rows,
                       Owned<Batch>* out) {
    BatchPlan plan;
    JUNTO_TRY(Plan(model, max_sessions, rows, &plan));
    if (!model.loaded()) {
      return Status::Make(Code::kInvalid,
                          "the model was opened for metadata: 0 weights are loaded");
    }
    Memory* memory = model.services().memory;
    Owned<Batch> batch = New<Batch>(memory, Tag::kObject, model, clock, max_sessions);
    JUNTO_TRY(
        Block::Allocate(memory, plan.scratch, Arena::kAlignment, Tag::kScratch, &batch->scratch_));
    Arena arena(batch->scratch_.data(), plan.scratch);
    batch->pass_.LayOut(model.engine(), RowsOf(max_sessions, rows), max_sessions, &arena);
    batch->pace_.LayOut(model.program().end(), &arena);
    *out = std::move(batch);
    return Status();
  }

  Batch(const Model& model, Clock* clock, uint32_t max_sessions)
      : model_(&model),
        clock_(clock),
        max_sessions_(max_sessions),
        sessions_({model.services().memory, Tag::kObject}) {
    sessions_.reserve(max_sessions);
  }
  ~Batch() {
    if (pass_open_) stages::GiveUp(&pass_);  // its sessions may be gone
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // E_MISMATCH: another model's; E_INVALID: already here, or the batch is full.
  Status Add(Session* session) {
    if (&session->model() != model_) {
      return Status::Make(Code::kMismatch, "session %zu of the batch is of another model",
                          sessions_.size());
    }
    if (Contains(session))
      return Status::Make(Code::kInvalid, "the session is one of the batch's %zu",
                          sessions_.size());
    if (sessions_.size() == max_sessions_) {
      return Status::Make(Code::kInvalid, "the batch holds its %u sessions already", max_sessions_);
    }
    ClosePass();
    sessions_.push_back({session, false, false, 0});
    return Status();
  }

  Status Remove(Session* session) {
    for (size_t i = 0; i < sessions_.size(); ++i) {
      if (sessions_[i].session != session) continue;
      ClosePass();
      sessions_.erase(sessions_.begin() + static_cast<std::ptrdiff_t>(i));
      return Status();
    }
    return Status::Make(Code::kInvalid, "the session is none of the batch's %zu", sessions_.size());
  }

  // See junto_batch_step. A failure of one session's sink ends that session; the first such failure
  // is returned after the pass has been finished for the others.
  Status Step(uint64_t budget_ns, BatchSink* sink) {
    PassDeadline deadline(this, clock_, budget_ns);
    TakeCancels();
    Status status;
    do {
      status = RunPass(&deadline, sink);
    } while (status.ok() && deadline.Fits(0));
    return status.ok() ? Code::kYielded : status;
  }

 private:
  static constexpr uint32_t kMaxSessions = 4096;

  static uint32_t RowsOf(uint32_t max_sessions, uint32_t rows) {
    return std::max(rows == 0 ? SessionSpec::kDefaultChunk : rows, max_sessions);
  }

  struct Member {
    Session* session;
    bool in_pass;
    bool dropped;    // cancelled since: its rows are computed in vain
    uint64_t epoch;  // the session's, when its rows went into the pass or were dropped
  };

  // Ends a pass early only when all of its sessions are cancelled: others' work is not lost.
  class PassDeadline final : public Deadline {
   public:
    PassDeadline(const Batch* batch, Clock* clock, uint64_t budget_ns)
        : Deadline(clock, budget_ns, nullptr), batch_(batch) {}
    bool Cancelled() override {
      const auto& members = batch_->sessions_;
      return std::all_of(members.begin(), members.end(), [](const Member& member) {
        return !member.in_pass || member.dropped || member.session->wants_cancel();
      });
    }

   private:
    const Batch* batch_;
  };

  // Cancelled sessions end now, in the middle of a pass too.
  void TakeCancels() {
    for (Member& member : sessions_) {
      Session* session = member.session;
      const bool current = member.epoch == session->epoch();
      if (!session->HasWork() || !session->TakeCancel() || !member.in_pass || !current) continue;
      member.dropped = true;
      member.epoch = session->epoch();
    }
  }

  bool Contains(const Session* session) const {
    return std::any_of(sessions_.begin(), sessions_.end(),
                       [=](const Member& member) { return member.session == session; });
  }

  // Whether no session of the open pass was given another prompt, stepped alone or cancelled.
  bool StillCurrent() const {
    return std::all_of(sessions_.begin(), sessions_.end(), [](const Member& member) {
      return !member.in_pass || member.epoch == member.session->epoch();
    });
  }

  // Passes are cheap to begin again: nothing is held until they are complete.
  void ClosePass() {
    if (!pass_open_) return;
    stages::GiveUp(&pass_);
    EndPass();
  }

  // A pass without a result: each session that had a part in it and has begun no other counts what
  // was read.
  void EndPass() {
    for (Member& member : sessions_) {
      const bool current = member.in_pass && member.epoch == member.session->epoch();
      if (current) member.session->AddExperts(pass_);
    }
    pass_open_ = false;
  }

  // Rows of every session that has work. Decoding sessions come first, so that a long prompt never
  // keeps them waiting. DONE when nobody has work, YIELDED when all who have wait to be read,
  // E_MEMORY when they wait for pages that forks hold.
  Status OpenPass(BatchSink* sink) {
    pass_.Clear();
    bool waiting = false;
    Status lack;
    TakeCancels();
    for (Member& member : sessions_) member.in_pass = member.dropped = false;
    for (const bool decoding : {true, false}) {
      for (Member& member : sessions_) {
        Session* session = member.session;
        if (!session->HasWork() || decoding != (session->generation().new_tokens() != 0)) continue;
        if (sink->Of(session) == nullptr && session->generation().blocked()) {
          waiting = true;
          continue;
        }
        const uint32_t before = pass_.row_count();
        const Status added = session->AddRows(&pass_);
        if (!added.ok()) lack = added;
        member.in_pass = pass_.row_count() > before;
        member.epoch = session->epoch();
      }
    }
    if (pass_.row_count() == 0) return Idle(lack, waiting);
    cursor_ = Cursor();
    pass_ns_ = 0;
    pass_open_ = true;
    return Status();
  }

  // The answer when no session has rows for a pass.
  static Status Idle(const Status& lack, bool waiting) {
    if (lack.failed()) return lack;
    return waiting ? Code::kYielded : Code::kDone;
  }

  Status RunPass(PassDeadline* deadline, BatchSink* sink) {
    if (!StillCurrent()) ClosePass();
    if (!pass_open_) JUNTO_TRY(OpenPass(sink));
    const Program program = model_->program();
    const uint64_t before = deadline->Elapsed();
    Status status =
        program.Run(&pass_, program.end(), deadline, &pace_, &deadline->progress, &cursor_);
    const uint64_t after = deadline->Elapsed();
    pass_ns_ += after - before;
    if (status.code() == Code::kYielded || (status.ok() && !deadline->Fits(finish_ns_))) {
      return Code::kYielded;
    }
    if (status.ok()) status = ChooseTokens();
    if (!status.ok()) EndPass();
    if (status.code() == Code::kCancelled) return Status();
    JUNTO_TRY(status);
    pass_open_ = false;
    const Status first = FinishPass(sink);
    finish_ns_ = std::max(deadline->Elapsed() - after, finish_ns_ - finish_ns_ / 8);
    deadline->progress = true;
    return first;
  }

  // Every session its own, on all threads.
  Status ChooseTokens() {
    return ParallelFor(pass_.engine().executor, static_cast<uint32_t>(sessions_.size()),
                       [this](uint32_t i, uint32_t) {
                         const Member& member = sessions_[i];
                         if (member.in_pass && !member.dropped) member.session->Choose(&pass_);
                       });
  }

  // Hands every session what it chose; the first failure of a sink.
  Status FinishPass(BatchSink* sink) {
    Status first;
    for (Member& member : sessions_) {
      if (!member.in_pass) continue;
      Session* session = member.session;
      if (member.dropped) {
        session->AddExperts(pass_);
        continue;
      }
      const Status finished =
          session->FinishRows(&pass_, pass_ns_, cursor_.joins, sink->Of(session));
      if (finished.failed() && first.ok()) first = finished;
    }
    return first;
  }

  const Model* model_;
  Clock* clock_;
  uint32_t max_sessions_;
  Vector<Member> sessions_;
  Block scratch_;
  Pass pass_;
  Cursor cursor_;
  Pace pace_;
  uint64_t finish_ns_ = 0;  // what sessions took lately with their logits, at most
  bool pass_open_ = false;
  uint64_t pass_ns_ = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_BATCH_H_
