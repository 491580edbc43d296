// Program: runs a pass stage by stage. The cursor (stage, next piece) is all the state of a pass
// that was interrupted, so yielding, cancelling and resuming are one mechanism.
#ifndef JUNTO_RUNTIME_PROGRAM_H_
#define JUNTO_RUNTIME_PROGRAM_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "junto/runtime/interrupt.h"
#include "junto/runtime/stages.h"

namespace junto {

// What a piece of each kind of stage took lately, in nanoseconds for one worker, so that a budget
// is given out in ranges that end with it. It decides when a pass stops, never what it computes.
class Pace {
 public:
  // A pass of other rows has other pieces.
  void Begin(uint32_t rows) {
    if (rows == rows_) return;
    rows_ = rows;
    std::fill(ns_, ns_ + kStageKinds, 0);
  }
  // 0: unknown.
  uint64_t operator[](uint32_t kind) const { return ns_[kind]; }
  // Slow ones are remembered for a while: layers of one kind may differ, as their windows do.
  void Note(uint32_t kind, uint64_t ns) {
    ns_[kind] = std::max<uint64_t>(ns, ns_[kind] - ns_[kind] / 8);
  }

 private:
  uint64_t ns_[kStageKinds] = {};
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
  // no experts.
  Status Run(Pass* pass, uint32_t end, Interrupt* interrupt, Pace* pace, bool* progress,
             Cursor* cursor) const {
    pace->Begin(pass->row_count());
    Status status;
    while (status.ok() && cursor->stage < end) {
      status = RunStage(pass, interrupt, pace, progress, cursor);
    }
    if (status.failed() || status.code() == Code::kCancelled) {
      stages::GiveUp(pass);
    } else if (!status.ok()) {
      stages::LetGo(pass);
    }
    return status;
  }

 private:
  // The pieces of a stage.
  struct Pieces {
    Pieces(const Stage& stage, const Pass& pass, uint32_t layer) {
      const uint32_t tiles = stage.tiles(pass, layer);
      // A FloatGemm wants all rows at once.
      if (stage.rows != nullptr && pass.engine().gemm == nullptr) {
        parts = std::max(CeilDiv(stage.rows(pass, layer), RowPart::kRows), 1u);
      }
      count = tiles * parts;
      together = stage.together == nullptr || tiles == 0 ? count : stage.together(pass, layer);
    }
    uint32_t parts = 1;  // of a tile
    uint32_t count;
    uint32_t together;  // run at once, then the next so many
  };

  uint32_t KindAt(uint32_t index) const {
    if (index < kEntryStageCount) return index;
    if (index >= head_stage()) return kEntryStageCount + kStagesPerLayer + index - head_stage();
    return kEntryStageCount + (index - kEntryStageCount) % kStagesPerLayer;
  }
  static const Stage& StageOf(uint32_t kind) {
    if (kind < kEntryStageCount) return kEntryStages[kind];
    kind -= kEntryStageCount;
    return kind < kStagesPerLayer ? kLayerStages[kind] : kHeadStages[kind - kStagesPerLayer];
  }

  static void RunPiece(Pass* pass, const Stage& stage, uint32_t layer, uint32_t parts,
                       uint32_t piece, uint32_t worker) {
    if (stage.run != nullptr) return stage.run(pass, layer, piece, worker);
    RowPart part;
    if (parts > 1) part = {piece % parts * RowPart::kRows, RowPart::kRows};
    stage.run_part(pass, layer, piece / parts, part, worker);
  }

  // The rest of a stage, and on to the next.
  Status RunStage(Pass* pass, Interrupt* interrupt, Pace* pace, bool* progress,
                  Cursor* cursor) const {
    const uint32_t layer =
        cursor->stage < kEntryStageCount ? 0 : (cursor->stage - kEntryStageCount) / kStagesPerLayer;
    const uint32_t kind = KindAt(cursor->stage);
    const Stage& stage = StageOf(kind);
    if (stage.enter != nullptr) JUNTO_TRY(stage.enter(pass, layer, interrupt));
    JUNTO_TRY(RunPieces(pass, kind, layer, interrupt, pace, progress, cursor));
    const bool again = stage.again != nullptr && stage.again(pass, layer);
    cursor->stage = again ? cursor->stage - kWaveStages + 1 : cursor->stage + 1;
    cursor->piece = 0;
    return Status();
  }

  static Status RunPieces(Pass* pass, uint32_t kind, uint32_t layer, Interrupt* interrupt,
                          Pace* pace, bool* progress, Cursor* cursor) {
    const Stage& stage = StageOf(kind);
    const Pieces pieces(stage, *pass, layer);
    Executor* executor = pass->engine().executor;
    const uint32_t workers = executor->worker_count();
    const bool bounded = interrupt->Budget() != kNoBudget;
    while (cursor->piece < pieces.count) {
      if (interrupt->Cancelled()) return Code::kCancelled;
      const uint32_t first = cursor->piece;
      const uint32_t left = pieces.together - first % pieces.together;
      uint32_t each = 1;  // pieces of a task: without a budget, those of a tile
      uint32_t tasks = left;
      uint64_t start = 0;
      if (bounded) {
        start = interrupt->Elapsed();
        const uint64_t rest = interrupt->Budget() - std::min(interrupt->Budget(), start);
        if (*progress && rest < std::max<uint64_t>((*pace)[kind], 1)) return Code::kYielded;
        tasks = std::min(left, Affordable(rest, (*pace)[kind], workers));
      } else if (first % pieces.parts != 0) {
        tasks = pieces.parts - first % pieces.parts;  // the rest of a tile
      } else {
        each = pieces.parts;
        tasks = left / each;
      }
      const uint32_t parts = pieces.parts;
      JUNTO_TRY(ParallelFor(executor, tasks, [=, &stage](uint32_t index, uint32_t worker) {
        const uint32_t begin = first + index * each;
        for (uint32_t piece = begin; piece < begin + each; ++piece) {
          if (interrupt->Cancelled()) return;
          RunPiece(pass, stage, layer, parts, piece, worker);
        }
      }));
      if (interrupt->Cancelled()) return Code::kCancelled;
      cursor->piece += tasks * each;
      if (tasks > 1 && workers > 1) ++cursor->joins;
      if (bounded) {
        pace->Note(kind, (interrupt->Elapsed() - start) * std::min(workers, tasks) / tasks);
      }
      *progress = true;
    }
    return Status();
  }

  // How many pieces surely fit what is left of a budget: as many as would take half of it, since
  // not all take as long as the last ones did.
  static uint32_t Affordable(uint64_t rest, uint64_t ns, uint32_t workers) {
    if (ns == 0) return workers;
    const uint64_t rounds = std::min<uint64_t>(rest / 2 / ns, ~0u / workers);
    return std::max(static_cast<uint32_t>(rounds), 1u) * workers;
  }

  uint32_t layers_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_PROGRAM_H_
