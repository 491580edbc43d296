// The stages that bring experts to their tiles, where they are read from a file. Where they are in
// memory, all of them are one wave.
#ifndef JUNTO_RUNTIME_STAGES_EXPERTS_H_
#define JUNTO_RUNTIME_STAGES_EXPERTS_H_

#include <algorithm>
#include <cstdint>

#include "junto/runtime/interrupt.h"
#include "junto/runtime/stages/residual.h"

namespace junto {
namespace stages {

// nullptr where the layer's experts, or its dense network, are in memory.
inline ExpertCache* CacheOf(const Pass& pass, uint32_t layer) {
  ExpertCache* const cache = pass.engine().experts;
  return cache != nullptr && cache->Streams(layer) ? cache : nullptr;
}

inline uint32_t NoTiles(const Pass&, uint32_t) { return 0; }

// ---- what the next layer will likely want: its router, applied to the residual stream as it is
// before this layer's experts add to it. Only hints come of it. Tile = row
inline uint32_t ForeseeTiles(const Pass& pass, uint32_t layer) {
  const bool last = layer + 1 == pass.engine().spec->layers.size();
  if (last || CacheOf(pass, layer + 1) == nullptr) return 0;
  return std::min(pass.row_count(), kForeseenRows);
}
inline void Foresee(Pass* pass, uint32_t layer, uint32_t row, uint32_t) {
  const Engine& engine = pass->engine();
  const KernelTable& kernels = *engine.kernels;
  const LayerWeights& next = engine.weights->layers[layer + 1];
  const FeedForwardSpec& spec = engine.spec->layers[layer + 1].ffn;
  const Foresight& foresight = pass->foresight;
  const Activations& x = foresight.normed;
  const bool own_norm = next.route_norm != nullptr;
  kernels.rms_norm(pass->residual.row(row), own_norm ? next.route_norm : next.ffn_norm, x.columns,
                   engine.spec->epsilon, x.row(row));
  if (IsQuantised(next.route)) kernels.quantise(x.row(row), x.columns, x.block_row(row));
  float* const logits = foresight.logits.row(row);
  for (uint32_t tile = 0; tile < next.route.tiles(); ++tile) {
    RunMatrixTile(*pass, next.route, tile, x, row, nullptr, 1, logits + TileRow(next.route, tile),
                  foresight.logits.columns);
  }
  const uint64_t first = uint64_t{row} * spec.router.experts_used;
  kernels.scale(spec.route_scale, spec.router.experts, logits);
  kernels.route(spec.router, logits, next.route_bias, foresight.experts + first,
                foresight.weights + first);
}

// ---- a pass asks for its experts as soon as it knows them
inline void AskForExperts(Pass* pass, uint32_t layer) {
  ExpertWave& wave = pass->slots.wave;
  ExpertCache* const cache = CacheOf(*pass, layer);
  wave.layer = layer;
  wave.done = wave.ready = wave.held = 0;
  if (cache == nullptr) return;
  const Foresight& foresight = pass->foresight;
  if (foresight.layer == layer) {
    const uint32_t* const begin = foresight.experts;
    const uint32_t* const end = begin + foresight.count;
    for (uint32_t i = 0; i < wave.count; ++i) {
      if (std::find(begin, end, wave.experts[i]) != end) ++pass->counters.foreseen;
    }
  }
  cache->Ask(&wave, &pass->counters);
}

// ---- those that are there become a wave
inline Status FetchExperts(Pass* pass, uint32_t layer, Interrupt* interrupt) {
  ExpertWave& wave = pass->slots.wave;
  ExpertCache* const cache = CacheOf(*pass, layer);
  if (cache == nullptr) {
    wave.ready = wave.held = wave.count;
    return Status();
  }
  const uint32_t foreseen = wave.done == 0 ? ForeseeTiles(*pass, layer) : 0;
  if (foreseen != 0) {
    Foresight& foresight = pass->foresight;
    foresight.layer = layer + 1;
    foresight.count = foreseen * pass->engine().spec->layers[layer + 1].ffn.router.experts_used;
    // This layer's own come first.
    if (wave.held == wave.count) {
      cache->Foresee(foresight.layer, foresight.experts, foresight.count);
    }
  }
  return cache->Gather(&wave, interrupt, &pass->counters);
}
inline Status HoldExperts(Pass* pass, uint32_t layer, Interrupt* interrupt) {
  ExpertCache* const cache = CacheOf(*pass, layer);
  if (cache == nullptr) return Status();
  return cache->HoldAgain(&pass->slots.wave, interrupt, &pass->counters);
}
// True: there are more.
inline bool LeaveWave(Pass* pass, uint32_t layer) {
  ExpertCache* const cache = CacheOf(*pass, layer);
  return cache != nullptr && cache->FinishWave(&pass->slots.wave);
}
// A pass that stops running, in whatever stage: for now, or for good.
inline void LetGo(Pass* pass) {
  ExpertWave& wave = pass->slots.wave;
  if (ExpertCache* const cache = CacheOf(*pass, wave.layer)) cache->LetGo(&wave);
}
inline void GiveUp(Pass* pass) {
  ExpertWave& wave = pass->slots.wave;
  if (ExpertCache* const cache = CacheOf(*pass, wave.layer)) cache->GiveUp(&wave);
}

}  // namespace stages
}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_EXPERTS_H_
