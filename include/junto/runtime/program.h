// Program: runs a pass stage by stage. The cursor (stage, next piece) is all the state of a pass
// that was interrupted, so yielding, cancelling and resuming are one mechanism.
#ifndef JUNTO_RUNTIME_PROGRAM_H_
#define JUNTO_RUNTIME_PROGRAM_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "junto/base/arena.h"
#include "junto/base/span.h"
#include "junto/runtime/interrupt.h"
#include "junto/runtime/stages.h"

namespace junto {

// What a piece of each stage took lately, in nanoseconds for one worker, so that a budget is given
// out in ranges that end with it. It decides when a pass stops, never what it computes. Each stage
// of each layer goes by itself, as layers differ: in their windows, say.
class Pace {
 public:
  // For so many stages; must be called twice, measuring and placing.
  void LayOut(uint32_t stages, Arena* arena) { seen_ = {arena->Take<Seen>(stages), stages}; }

  // A pass of other rows has other pieces.
  void Begin(uint32_t rows) {
    if (rows == rows_) return;
    rows_ = rows;
    std::fill(seen_.begin(), seen_.end(), Seen());
  }
  // 0: unknown. Of the last times the second longest: in the longest a worker may have been held up
  // by whatever else runs on the machine.
  uint64_t operator[](uint32_t stage) const {
    uint64_t longest = 0;
    uint64_t second = 0;
    for (const uint64_t ns : seen_[stage].ns) {
      second = std::max(second, std::min(ns, longest));
      longest = std::max(ns, longest);
    }
    return second;
  }
  void Note(uint32_t stage, uint64_t ns) {
    Seen& seen = seen_[stage];
    if (seen.ns[0] == 0) std::fill(seen.ns, seen.ns + kTimes, ns);
    std::copy_backward(seen.ns, seen.ns + kTimes - 1, seen.ns + kTimes);
    seen.ns[0] = ns;
  }

 private:
  static constexpr uint32_t kTimes = 4;

  struct Seen {
    uint64_t ns[kTimes] = {};  // the last one first
  };
  Span<Seen> seen_;
  uint32_t rows_ = 0;
};

// Where a pass stands, and how often its workers have met on the way.
struct Cursor {
  uint32_t stage = 0;
  uint32_t piece = 0;  // of the stage: part by part of tile by tile
  uint64_t joins = 0;
};

class Program {
 public:
  explicit Program(uint32_t layers) : layers_(layers) {}

  // The first of the stages that turn the last layer's output into logits.
  uint32_t head_stage() const { return kEntryStageCount + layers_ * kStagesPerLayer; }
  uint32_t end() const { return head_stage() + kHeadStageCount; }

  // Runs from the cursor to stage `end` (exclusive). OK; YIELDED with the cursor where to resume;
  // CANCELLED: the pass must be begun again; or what the executor or a read of experts reports,
  // likewise. With a budget it stops before a piece that would not fit, but runs some piece where
  // `progress` says that none has been run within the budget yet. A pass that is not running holds
  // no experts. `pace` was laid out for all stages.
  Status Run(Pass* pass, uint32_t end, Interrupt* interrupt, Pace* pace, bool* progress,
             Cursor* cursor) const {
    pace->Begin(pass->row_count());
    Status status;
    while (status.ok() && cursor->stage < end) {
      const uint32_t layer = LayerAt(cursor->stage);
      const Stage& stage = StageAt(cursor->stage);
      if (stage.enter != nullptr) status = stage.enter(pass, layer, interrupt);
      if (status.ok()) status = Walk(pass, stage, layer, interrupt, pace, progress, cursor).Rest();
      if (!status.ok()) break;
      const bool again = stage.again != nullptr && stage.again(pass, layer);
      cursor->stage = again ? cursor->stage - kWaveStages + 1 : cursor->stage + 1;
      cursor->piece = 0;
    }
    if (status.failed() || status.code() == Code::kCancelled) {
      stages::GiveUp(pass);
    } else if (!status.ok()) {
      stages::LetGo(pass);
    }
    return status;
  }

 private:
  uint32_t LayerAt(uint32_t index) const {
    return index < kEntryStageCount ? 0 : (index - kEntryStageCount) / kStagesPerLayer;
  }
  const Stage& StageAt(uint32_t index) const {
    if (index < kEntryStageCount) return kEntryStages[index];
    if (index >= head_stage()) return kHeadStages[index - head_stage()];
    return kLayerStages[(index - kEntryStageCount) % kStagesPerLayer];
  }

  // A walk over the pieces of one stage.
  class Walk {
   public:
    Walk(Pass* pass, const Stage& stage, uint32_t layer, Interrupt* interrupt, Pace* pace,
         bool* progress, Cursor* cursor)
        : pass_(pass),
          stage_(stage),
          layer_(layer),
          interrupt_(interrupt),
          pace_(pace),
          progress_(progress),
          cursor_(cursor),
          workers_(pass->engine().executor->worker_count()) {
      const uint32_t tiles = stage.tiles(*pass, layer);
      // A FloatGemm wants all rows at once.
      if (stage.rows != nullptr && pass->engine().gemm == nullptr) {
        parts_ = std::max(CeilDiv(stage.rows(*pass, layer), RowPart::kRows), 1u);
      }
      count_ = tiles * parts_;
      together_ = stage.together == nullptr || tiles == 0 ? count_ : stage.together(*pass, layer);
    }

    // From the cursor on.
    Status Rest() {
      const bool bounded = interrupt_->Budget() != kNoBudget;
      while (cursor_->piece < count_) {
        JUNTO_TRY(bounded ? RunSome() : Run(WholeTiles()));
        *progress_ = true;
      }
      return Status();
    }

   private:
    // What is handed out at once: tasks of so many pieces.
    struct Range {
      uint32_t tasks;
      uint32_t each;
    };

    // Pieces that may run at once, from the cursor on.
    uint32_t AtOnce() const { return together_ - cursor_->piece % together_; }

    // All tiles; first the rest of one, where a budget that is no more had divided it.
    Range WholeTiles() const {
      const uint32_t into = cursor_->piece % parts_;
      if (into != 0) return {parts_ - into, 1};
      return {AtOnce() / parts_, parts_};
    }

    // As many pieces as surely fit into what is left of the budget.
    Status RunSome() {
      const uint64_t start = interrupt_->Elapsed();
      const uint64_t rest = interrupt_->Budget() - std::min(interrupt_->Budget(), start);
      const uint64_t ns = (*pace_)[cursor_->stage];
      if (*progress_ && rest < std::max<uint64_t>(ns, 1)) return Code::kYielded;
      const uint32_t tasks = std::min(AtOnce(), Affordable(rest, ns));
      JUNTO_TRY(Run({tasks, 1}));
      pace_->Note(cursor_->stage,
                  (interrupt_->Elapsed() - start) * std::min(workers_, tasks) / tasks);
      return Status();
    }

    // Such as would take half of it, since not all take as long as the last ones did.
    uint32_t Affordable(uint64_t rest, uint64_t ns) const {
      if (ns == 0) return workers_;
      const uint64_t rounds = std::min<uint64_t>(rest / 2 / ns, ~0u / workers_);
      return std::max(static_cast<uint32_t>(rounds), 1u) * workers_;
    }

    Status Run(const Range& range) {
      if (interrupt_->Cancelled()) return Code::kCancelled;
      const uint32_t first = cursor_->piece;
      JUNTO_TRY(ParallelFor(pass_->engine().executor, range.tasks,
                            [this, first, range](uint32_t index, uint32_t worker) {
                              const uint32_t begin = first + index * range.each;
                              for (uint32_t i = begin; i < begin + range.each; ++i) {
                                if (interrupt_->Cancelled()) return;
                                RunPiece(i, worker);
                              }
                            }));
      if (interrupt_->Cancelled()) return Code::kCancelled;
      cursor_->piece += range.tasks * range.each;
      if (range.tasks > 1 && workers_ > 1) ++cursor_->joins;
      return Status();
    }

    void RunPiece(uint32_t piece, uint32_t worker) const {
      if (stage_.run != nullptr) return stage_.run(pass_, layer_, piece, worker);
      RowPart part;
      if (parts_ > 1) part = {piece % parts_ * RowPart::kRows, RowPart::kRows};
      stage_.run_part(pass_, layer_, piece / parts_, part, worker);
    }

    Pass* pass_;
    const Stage& stage_;
    uint32_t layer_;
    Interrupt* interrupt_;
    Pace* pace_;
    bool* progress_;
    Cursor* cursor_;
    uint32_t workers_;
    uint32_t parts_ = 1;  // of a tile
    uint32_t count_;      // of pieces: part by part of tile by tile
    uint32_t together_;   // run at once, then the next so many
  };

  uint32_t layers_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_PROGRAM_H_
