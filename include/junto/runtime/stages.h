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
  uint32_t (*tiles)(const Pass& pass, uint32_t layer);
  void (*run)(Pass* pass, uint32_t layer, uint32_t tile, uint32_t worker);
  // What the thread that runs the pass does before the tiles, and again when it comes back to them;
  // may wait and be interrupted.
  Status (*enter)(Pass* pass, uint32_t layer, Interrupt* interrupt) = nullptr;
  // What it does behind them; true: the last kWaveStages stages run again.
  bool (*again)(Pass* pass, uint32_t layer) = nullptr;
};

// Those without tiles are skipped.
constexpr Stage kEntryStages[] = {
    {stages::RowTiles, stages::Embed},
    {stages::ProjectInputsTiles, stages::ProjectInputs},
    {stages::MixInputsTiles, stages::MixInputs},
};
constexpr uint32_t kEntryStageCount = sizeof(kEntryStages) / sizeof(kEntryStages[0]);
constexpr Stage kLayerStages[] = {
    {stages::EnterMixerTiles, stages::EnterMixer},
    {stages::RememberTiles, stages::Remember},
    {stages::AttentionRowTiles, stages::RopeStore},
    {stages::AttendTiles, stages::Attend},
    {stages::ProjectTiles, stages::Project},
    {stages::RowTiles, stages::EnterFeedForward},
    {stages::RouteTiles, stages::Route},
    {stages::OneTile, stages::Group},
    {stages::ForeseeTiles, stages::Foresee},
    {stages::NoTiles, nullptr, stages::FetchExperts},
    {stages::GateUpTiles, stages::GateUp, stages::HoldExperts},
    {stages::DownTiles, stages::Down, stages::HoldExperts, stages::LeaveWave},
    {stages::RowTiles, stages::LeaveFeedForward},
    {stages::GateInputTiles, stages::GateInput},
    {stages::ProjectInputTiles, stages::ProjectInput},
    {stages::AddInputTiles, stages::AddInput},
};
constexpr uint32_t kWaveStages = 3;  // that run for each wave of experts, the last ones `again`
constexpr uint32_t kStagesPerLayer = sizeof(kLayerStages) / sizeof(kLayerStages[0]);
constexpr Stage kHeadStages[] = {
    {stages::EnterHeadTiles, stages::EnterHead},
    {stages::HeadTiles, stages::Head},
};
constexpr uint32_t kHeadStageCount = sizeof(kHeadStages) / sizeof(kHeadStages[0]);

}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_H_
