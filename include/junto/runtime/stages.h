// The stages of a forward pass. Each is a set of tiles that write disjoint outputs and may run in
// any order on any worker; what a tile is depends on tensors and rows alone.
#ifndef JUNTO_RUNTIME_STAGES_H_
#define JUNTO_RUNTIME_STAGES_H_

#include <cstdint>

#include "junto/runtime/interrupt.h"
#include "junto/runtime/stages/embed.h"
#include "junto/runtime/stages/experts.h"
#include "junto/runtime/stages/feed_forward.h"
#include "junto/runtime/stages/head.h"
#include "junto/runtime/stages/layer_input.h"
#include "junto/runtime/stages/mixer.h"

namespace junto {

struct Stage {
  uint32_t (*tiles)(const Pass& pass, uint32_t layer);  // 0: the stage is skipped
  void (*run)(Pass* pass, uint32_t layer, uint32_t tile, uint32_t worker);
  // Tiles that may run at once, each such group after the one before; nullptr: all of them.
  uint32_t (*together)(const Pass& pass, uint32_t layer);
  // Instead of `run`, for tiles that can be divided by rows; and the most rows that a tile has.
  void (*run_part)(Pass* pass, uint32_t layer, uint32_t tile, RowPart part, uint32_t worker);
  uint32_t (*rows)(const Pass& pass, uint32_t layer);
  // What the thread that runs the pass does before the tiles, and again when it comes back to them;
  // may wait and be interrupted; nullptr: nothing.
  Status (*enter)(Pass* pass, uint32_t layer, Interrupt* interrupt);
  // What it does behind them; true: the last kWaveStages stages run again.
  bool (*again)(Pass* pass, uint32_t layer);
};

constexpr Stage Whole(decltype(Stage::tiles) tiles, decltype(Stage::run) run,
                      decltype(Stage::together) together = nullptr) {
  return {tiles, run, together, nullptr, nullptr, nullptr, nullptr};
}
constexpr Stage Divided(decltype(Stage::tiles) tiles, decltype(Stage::run_part) run,
                        decltype(Stage::rows) rows = stages::RowTiles) {
  return {tiles, nullptr, nullptr, run, rows, nullptr, nullptr};
}
constexpr Stage Entered(Stage stage, decltype(Stage::enter) enter,
                        decltype(Stage::again) again = nullptr) {
  stage.enter = enter;
  stage.again = again;
  return stage;
}

constexpr Stage kEntryStages[] = {
    Whole(stages::RowTiles, stages::Embed),
    Divided(stages::ProjectInputsTiles, stages::ProjectInputs),
    Whole(stages::MixInputsTiles, stages::MixInputs),
};
constexpr uint32_t kEntryStageCount = sizeof(kEntryStages) / sizeof(kEntryStages[0]);
constexpr Stage kLayerStages[] = {
    Divided(stages::EnterMixerTiles, stages::EnterMixer),
    Whole(stages::RememberTiles, stages::Remember, stages::RememberTogether),
    Whole(stages::AttentionRowTiles, stages::RopeStore),
    Whole(stages::AttendTiles, stages::Attend),
    Divided(stages::ProjectTiles, stages::Project),
    Whole(stages::RowTiles, stages::EnterFeedForward),
    Divided(stages::RouteTiles, stages::Route),
    Whole(stages::OneTile, stages::Group),
    Whole(stages::ForeseeTiles, stages::Foresee),
    Entered(Whole(stages::NoTiles, nullptr), stages::FetchExperts),
    Entered(Divided(stages::GateUpTiles, stages::GateUp, stages::GateUpRows), stages::HoldExperts),
    Entered(Divided(stages::DownTiles, stages::Down, stages::DownRows), stages::HoldExperts,
            stages::LeaveWave),
    Whole(stages::RowTiles, stages::LeaveFeedForward),
    Divided(stages::GateInputTiles, stages::GateInput),
    Divided(stages::ProjectInputTiles, stages::ProjectInput),
    Whole(stages::AddInputTiles, stages::AddInput),
};
constexpr uint32_t kWaveStages = 3;  // that run for each wave of experts, the last ones `again`
constexpr uint32_t kStagesPerLayer = sizeof(kLayerStages) / sizeof(kLayerStages[0]);
constexpr Stage kHeadStages[] = {
    Whole(stages::EnterHeadTiles, stages::EnterHead),
    Whole(stages::HeadTiles, stages::Head),
};
constexpr uint32_t kHeadStageCount = sizeof(kHeadStages) / sizeof(kHeadStages[0]);
// Stages that differ in more than the layer.
constexpr uint32_t kStageKinds = kEntryStageCount + kStagesPerLayer + kHeadStageCount;

}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_H_
