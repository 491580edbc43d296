// Program: runs a pass stage by stage. The cursor (stage, next tile) is all the state of a pass
// that was interrupted, so yielding, cancelling and resuming are one mechanism.
#ifndef JUNTO_RUNTIME_PROGRAM_H_
#define JUNTO_RUNTIME_PROGRAM_H_

#include <atomic>
#include <cstdint>

#include "junto/runtime/interrupt.h"
#include "junto/runtime/stages.h"

namespace junto {

// Where a pass stands, and how often its workers have met on the way.
struct Cursor {
  uint32_t stage = 0;
  uint32_t tile = 0;
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
  // likewise. A pass that is not running holds no experts.
  Status Run(Pass* pass, uint32_t end, Interrupt* interrupt, Cursor* cursor) const {
    Status status;
    while (status.ok() && cursor->stage < end) status = RunStage(pass, interrupt, cursor);
    if (!status.ok()) stages::LetGo(pass);
    return status;
  }

 private:
  const Stage& StageAt(uint32_t index) const {
    if (index < kEntryStageCount) return kEntryStages[index];
    if (index >= head_stage()) return kHeadStages[index - head_stage()];
    return kLayerStages[(index - kEntryStageCount) % kStagesPerLayer];
  }

  // The rest of a stage, and on to the next.
  Status RunStage(Pass* pass, Interrupt* interrupt, Cursor* cursor) const {
    const uint32_t layer =
        cursor->stage < kEntryStageCount ? 0 : (cursor->stage - kEntryStageCount) / kStagesPerLayer;
    const Stage& stage = StageAt(cursor->stage);
    const bool done = cursor->tile != 0 && cursor->tile >= stage.tiles(*pass, layer);
    if (stage.enter != nullptr && !done) JUNTO_TRY(stage.enter(pass, layer, interrupt));
    JUNTO_TRY(RunTiles(pass, stage, layer, interrupt, cursor));
    const bool again = stage.again != nullptr && stage.again(pass, layer);
    cursor->stage = again ? cursor->stage - kWaveStages + 1 : cursor->stage + 1;
    cursor->tile = 0;
    return Status();
  }

  Status RunTiles(Pass* pass, const Stage& stage, uint32_t layer, Interrupt* interrupt,
                  Cursor* cursor) const {
    const uint32_t tiles = stage.tiles(*pass, layer);
    Executor* executor = pass->engine().executor;
    while (cursor->tile < tiles) {
      if (interrupt->Cancelled()) return Code::kCancelled;
      uint32_t count = tiles - cursor->tile;
      if (interrupt->Bounded()) count = std::min(count, executor->worker_count());
      const uint32_t first = cursor->tile;
      JUNTO_TRY(ParallelFor(executor, count, [=](uint32_t index, uint32_t worker) {
        if (!interrupt->Cancelled()) stage.run(pass, layer, first + index, worker);
      }));
      if (interrupt->Cancelled()) return Code::kCancelled;
      cursor->tile += count;
      if (count > 1 && executor->worker_count() > 1) ++cursor->joins;
      if (interrupt->Expired()) return Code::kYielded;
    }
    return Status();
  }

  uint32_t layers_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_PROGRAM_H_
