// The stages of a feed-forward network: dense, of experts, or both.
#ifndef JUNTO_RUNTIME_STAGES_FEED_FORWARD_H_
#define JUNTO_RUNTIME_STAGES_FEED_FORWARD_H_

#include <algorithm>
#include <cstdint>

#include "junto/runtime/stages/experts.h"

namespace junto {
namespace stages {

// ---- residual, and the norms of what reads it: tile = row
inline const Activations& RouteInput(const Pass& pass, const LayerWeights& weights) {
  return weights.route_norm != nullptr ? pass.route_normed : pass.normed;
}
inline const Activations& BesideInput(const Pass& pass, const LayerWeights& weights) {
  return weights.beside_norm != nullptr ? pass.beside_normed : pass.normed;
}
inline void EnterFeedForward(Pass* pass, uint32_t layer, uint32_t row, uint32_t) {
  const LayerWeights& weights = pass->engine().weights->layers[layer];
  float* const mixed = pass->projected.row(row);
  PostNorm(*pass, weights.mixer_post_norm, mixed);
  pass->engine().kernels->add(mixed, pass->residual.columns, pass->residual.row(row));

  const bool route = IsQuantised(weights.route);
  const bool beside = IsQuantised(weights.beside.gate) || IsQuantised(weights.beside.up) ||
                      IsQuantised(weights.beside_gate);
  const bool own_route = weights.route_norm != nullptr;
  const bool own_beside = weights.beside_norm != nullptr;
  NormRow(*pass, row, weights.ffn_norm,
          IsQuantised(weights.ffn.gate) || IsQuantised(weights.ffn.up) || (route && !own_route) ||
              (beside && !own_beside),
          pass->normed);
  if (own_route) NormRow(*pass, row, weights.route_norm, route, pass->route_normed);
  if (own_beside) NormRow(*pass, row, weights.beside_norm, beside, pass->beside_normed);
}

// ---- gate, up and activation of one tile of units, for rows [first, end) of `gated`, the rows of
// x being x_rows[first], ... or, where that is nullptr, the same
inline void RunGateUpTile(const Pass& pass, const FeedForwardSpec& spec,
                          const FeedForwardWeights& ffn, uint32_t tile, const Activations& x,
                          const uint32_t* x_rows, uint32_t first, uint32_t end, Activations gated,
                          uint32_t worker) {
  const KernelTable& kernels = *pass.engine().kernels;
  gated.columns = spec.width;
  const uint32_t tile_units = ffn.gate.tile_panels * kPanelRows;
  const uint32_t first_unit = tile * tile_units;
  const uint32_t units = std::min(tile_units, spec.width - first_unit);
  float* const gate = pass.scratch(worker);
  float* const up = gate + kSlotGroup * tile_units;
  const auto run = [&](const Matrix& matrix, uint32_t row, uint32_t count, float* out) {
    RunMatrixTile(pass, matrix, tile, x, x_rows == nullptr ? row : 0,
                  x_rows == nullptr ? nullptr : x_rows + row, count, out, tile_units);
  };
  for (uint32_t row = first; row < end; row += kSlotGroup) {
    const uint32_t count = std::min(kSlotGroup, end - row);
    run(ffn.gate, row, count, gate);
    run(ffn.up, row, count, up);
    for (uint32_t i = 0; i < count; ++i) {
      float* out = gated.row(row + i) + first_unit;
      kernels.activate(spec.activation, gate + i * tile_units, up + i * tile_units, units, out);
      if (!IsQuantised(ffn.down)) continue;
      kernels.quantise(out, units, gated.block_row(row + i) + first_unit / kBlockColumns);
    }
  }
}

// ---- gate and up of the network beside: tile = tile of gate; its weight: one tile; then the
// router's logits: tile = some rows, tile of its matrix
inline uint32_t RouteTiles(const Pass& pass, uint32_t layer) {
  const LayerWeights& weights = pass.engine().weights->layers[layer];
  return weights.beside.gate.tiles() + weights.beside_gate.tiles() +
         weights.route.tiles() * CeilDiv(pass.row_count(), kSlotGroup);
}
inline void Route(Pass* pass, uint32_t layer, uint32_t tile, RowPart part, uint32_t worker) {
  const LayerWeights& weights = pass->engine().weights->layers[layer];
  uint32_t begin = 0;
  uint32_t end = pass->row_count();
  part.Cut(&begin, &end);
  if (tile < weights.beside.gate.tiles()) {
    return RunGateUpTile(*pass, pass->engine().spec->layers[layer].beside, weights.beside, tile,
                         BesideInput(*pass, weights), nullptr, begin, end, pass->beside_gated,
                         worker);
  }
  tile -= weights.beside.gate.tiles();
  if (tile < weights.beside_gate.tiles()) {
    return RunRowsTile(*pass, weights.beside_gate, tile, part, BesideInput(*pass, weights),
                       pass->beside_weights);
  }
  if (part.first != 0) return;
  const Matrix& route = weights.route;
  tile -= weights.beside_gate.tiles();
  const uint32_t row = tile / route.tiles() * kSlotGroup;
  const Activations& logits = pass->router_logits;
  RunMatrixTile(*pass, route, tile % route.tiles(), RouteInput(*pass, weights), row, nullptr,
                std::min(kSlotGroup, pass->row_count() - row),
                logits.row(row) + TileRow(route, tile % route.tiles()), logits.columns);
}

// ---- which expert works on which rows: one tile
inline void ChooseExperts(Pass* pass, uint32_t layer) {
  const Engine& engine = pass->engine();
  const FeedForwardSpec& spec = engine.spec->layers[layer].ffn;
  const float* const scale = engine.weights->layers[layer].expert_scale;
  const float* const bias = engine.weights->layers[layer].route_bias;
  for (uint32_t row = 0; row < pass->row_count(); ++row) {
    float* const logits = pass->router_logits.row(row);
    const uint64_t first = uint64_t{row} * spec.router.experts_used;
    const uint32_t* const chosen = pass->slots.expert + first;
    float* const weights = pass->slots.weight + first;
    engine.kernels->scale(spec.route_scale, spec.router.experts, logits);
    engine.kernels->route(spec.router, logits, bias, pass->slots.expert + first, weights);
    if (scale == nullptr) continue;
    for (uint32_t rank = 0; rank < spec.router.experts_used; ++rank) {
      weights[rank] *= scale[chosen[rank]];
    }
  }
}
inline uint32_t OneTile(const Pass&, uint32_t) { return 1; }
inline void Group(Pass* pass, uint32_t layer, uint32_t, uint32_t) {
  const RouterSpec& router = pass->engine().spec->layers[layer].ffn.router;
  ExpertSlots& slots = pass->slots;
  if (router.experts == 0) {
    slots.wave.experts[0] = 0;
    slots.wave.count = 1;
    slots.begin[0] = 0;
    slots.begin[1] = slots.most = pass->row_count();
    for (uint32_t row = 0; row < pass->row_count(); ++row) slots.row[row] = row;
    return AskForExperts(pass, layer);
  }
  ChooseExperts(pass, layer);
  const uint32_t choices = pass->row_count() * router.experts_used;
  std::fill(slots.begin, slots.begin + router.experts + 1, 0u);
  for (uint32_t c = 0; c < choices; ++c) ++slots.begin[slots.expert[c] + 1];
  slots.wave.count = slots.most = 0;
  for (uint32_t e = 0; e < router.experts; ++e) {
    slots.most = std::max(slots.most, slots.begin[e + 1]);
    if (slots.begin[e + 1] != 0) slots.wave.experts[slots.wave.count++] = e;
    slots.begin[e + 1] += slots.begin[e];
  }
  // begin[e] walks through the slots of e and ends where e + 1 begins; then everything moves back.
  for (uint32_t c = 0; c < choices; ++c) {
    const uint32_t slot = slots.begin[slots.expert[c]]++;
    slots.row[slot] = c / router.experts_used;
    slots.slot[c] = slot;
  }
  for (uint32_t e = router.experts; e > 0; --e) slots.begin[e] = slots.begin[e - 1];
  slots.begin[0] = 0;
  AskForExperts(pass, layer);
}

// The expert whose tile this is, of those in the wave.
inline uint32_t ExpertOfTile(const Pass& pass, uint32_t tile, uint32_t tiles_per_expert) {
  return pass.slots.wave.experts[pass.slots.wave.done + tile / tiles_per_expert];
}
inline uint32_t ExpertTiles(const Pass& pass, const Matrix& matrix) {
  return (pass.slots.wave.ready - pass.slots.wave.done) * matrix.tiles();
}

// ---- gate, up and activation: tile = (expert of the wave, tile of its gate); with the first wave,
// also a tile of what the network beside has as down
inline uint32_t GateUpTiles(const Pass& pass, uint32_t layer) {
  const LayerWeights& weights = pass.engine().weights->layers[layer];
  const uint32_t beside = pass.slots.wave.done == 0 ? weights.beside.down.tiles() : 0;
  return ExpertTiles(pass, weights.ffn.gate) + beside;
}
inline uint32_t GateUpRows(const Pass& pass, uint32_t layer) {
  const bool beside = pass.engine().weights->layers[layer].beside.down.present();
  return beside ? pass.row_count() : pass.slots.most;
}
inline void GateUp(Pass* pass, uint32_t layer, uint32_t index, RowPart part, uint32_t worker) {
  const Engine& engine = pass->engine();
  const LayerWeights& weights = engine.weights->layers[layer];
  const LayerSpec& spec = engine.spec->layers[layer];
  if (const uint32_t experts = ExpertTiles(*pass, weights.ffn.gate); index >= experts) {
    Activations x = pass->beside_gated;
    x.columns = spec.beside.width;
    return RunRowsTile(*pass, weights.beside.down, index - experts, part, x, pass->projected);
  }
  const uint32_t tiles = weights.ffn.gate.tiles();
  const uint32_t expert = ExpertOfTile(*pass, index, tiles);
  const WeightStore store(engine.weights, engine.experts);
  uint32_t begin = pass->slots.begin[expert];
  uint32_t end = pass->slots.begin[expert + 1];
  part.Cut(&begin, &end);
  RunGateUpTile(*pass, spec.ffn, store.Acquire(layer, expert), index % tiles, pass->normed,
                pass->slots.row, begin, end, pass->gated, worker);
}

// ---- down: tile = (expert of the wave, tile of its down)
inline uint32_t DownTiles(const Pass& pass, uint32_t layer) {
  return ExpertTiles(pass, pass.engine().weights->layers[layer].ffn.down);
}
inline uint32_t DownRows(const Pass& pass, uint32_t) { return pass.slots.most; }
inline void Down(Pass* pass, uint32_t layer, uint32_t index, RowPart part, uint32_t) {
  const Engine& engine = pass->engine();
  const uint32_t tiles = engine.weights->layers[layer].ffn.down.tiles();
  const uint32_t expert = ExpertOfTile(*pass, index, tiles);
  const FeedForwardWeights ffn = WeightStore(engine.weights, engine.experts).Acquire(layer, expert);
  Activations x = pass->gated;
  x.columns = engine.spec->layers[layer].ffn.width;
  uint32_t begin = pass->slots.begin[expert];
  uint32_t end = pass->slots.begin[expert + 1];
  part.Cut(&begin, &end);
  if (begin == end) return;
  RunMatrixTile(*pass, ffn.down, index % tiles, x, begin, nullptr, end - begin,
                pass->expert_out.row(begin) + TileRow(ffn.down, index % tiles),
                pass->expert_out.columns);
}

// ---- what networks gave, residual, and where the layer ends here its next norm: tile = row
// The sum of the experts in rank order, or what the dense network gave.
inline float* SumExperts(Pass* pass, uint32_t layer, uint32_t row) {
  const Engine& engine = pass->engine();
  const uint32_t width = pass->residual.columns;
  const RouterSpec& router = engine.spec->layers[layer].ffn.router;
  if (router.experts == 0) return pass->expert_out.row(row);
  float* const sum = pass->normed.row(row);  // which nobody needs any more
  std::fill(sum, sum + width, 0.0f);
  for (uint32_t rank = 0; rank < router.experts_used; ++rank) {
    const uint64_t choice = uint64_t{row} * router.experts_used + rank;
    engine.kernels->scale_add(pass->slots.weight[choice],
                              pass->expert_out.row(pass->slots.slot[choice]), width, sum);
  }
  return sum;
}
inline void LeaveFeedForward(Pass* pass, uint32_t layer, uint32_t row, uint32_t) {
  const KernelTable& kernels = *pass->engine().kernels;
  const LayerWeights& weights = pass->engine().weights->layers[layer];
  const uint32_t width = pass->residual.columns;
  float* const sum = SumExperts(pass, layer, row);
  PostNorm(*pass, weights.ffn_post_norm, sum);
  if (weights.beside.down.present()) {
    float* const beside = pass->projected.row(row);
    PostNorm(*pass, weights.beside_post_norm, beside);
    float weight = 1.0f;
    if (weights.beside_gate.present()) {
      kernels.sigmoid_gate(pass->beside_weights.row(row), 1, &weight);
    }
    kernels.scale_add(weight, beside, width, sum);
  }
  PostNorm(*pass, weights.post_norm, sum);
  kernels.add(sum, width, pass->residual.row(row));
  if (!weights.input_gate.present()) return LeaveLayer(pass, layer, row);
  OfferResidual(*pass, row, weights.input_gate);
}

}  // namespace stages
}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_FEED_FORWARD_H_
