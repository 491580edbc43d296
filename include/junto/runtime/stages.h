// The stages of a forward pass. Each is a set of tiles that write disjoint outputs and may run in
// any order on any worker; what a tile is depends on tensors and rows alone.
#ifndef JUNTO_RUNTIME_STAGES_H_
#define JUNTO_RUNTIME_STAGES_H_

#include <algorithm>
#include <array>
#include <cstdint>

#include "junto/runtime/delta_head.h"
#include "junto/runtime/pass.h"

namespace junto {

struct Stage {
  uint32_t (*tiles)(const Pass& pass, uint32_t layer);
  void (*run)(Pass* pass, uint32_t layer, uint32_t tile, uint32_t worker);
};

namespace stages {

inline uint32_t RowTiles(const Pass& pass, uint32_t) { return pass.row_count(); }

inline bool IsQuantised(const Matrix& matrix) { return junto::IsQuantised(matrix.panels.format); }

// The first output row of a tile.
inline uint32_t TileRow(const Matrix& matrix, uint32_t tile) {
  return tile * matrix.tile_panels * kPanelRows;
}

// Leaves out the first rows, of floats, which are done.
inline void SkipRows(MatmulArgs* args, uint32_t rows) {
  args->count -= rows;
  args->y += rows * args->y_stride;
  if (args->x_rows != nullptr) {
    args->x_rows += rows;
  } else {
    args->x = static_cast<const float*>(args->x) + rows * args->x_stride;
  }
}

// y rows = matrix x rows + bias, for the output rows of one tile; y begins at the tile's first.
inline void RunMatrixTile(const Pass& pass, const Matrix& matrix, uint32_t tile,
                          const Activations& x, uint64_t first_row, const uint32_t* x_rows,
                          uint32_t count, float* y, uint64_t y_stride) {
  MatmulArgs args = {};
  args.weights = matrix.panels;
  args.first_panel = tile * matrix.tile_panels;
  args.panel_count =
      std::min(matrix.tile_panels, PanelCount(matrix.panels.rows) - args.first_panel);
  args.bias = matrix.bias;
  if (IsQuantised(matrix)) {
    args.x = x.block_row(first_row);
    args.x_stride = x.columns / kBlockColumns;
  } else {
    args.x = x.row(first_row);
    args.x_stride = x.columns;
  }
  args.x_rows = x_rows;
  args.count = count;
  args.y = y;
  args.y_stride = y_stride;
  if (pass.engine().gemm != nullptr && !IsQuantised(matrix))
    SkipRows(&args, pass.engine().gemm->Multiply(args));
  pass.engine().kernels->matmul(args);
}

// One output tile for every row of the pass.
inline void RunRowsTile(const Pass& pass, const Matrix& matrix, uint32_t tile, const Activations& x,
                        const Activations& y) {
  RunMatrixTile(pass, matrix, tile, x, 0, nullptr, pass.row_count(),
                y.floats + TileRow(matrix, tile), y.columns);
}

// y = norm(residual), in the form that `quantise` asks for besides floats.
inline void NormRow(const Pass& pass, uint32_t row, const float* weight, bool quantise,
                    const Activations& y) {
  const KernelTable& kernels = *pass.engine().kernels;
  const Activations& x = pass.residual;
  kernels.rms_norm(x.row(row), weight, x.columns, pass.engine().spec->epsilon, y.row(row));
  if (quantise) kernels.quantise(y.row(row), y.columns, y.block_row(row));
}

// x = norm(x), where there is such a norm.
inline void PostNorm(const Pass& pass, const float* weight, float* x) {
  if (weight == nullptr) return;
  pass.engine().kernels->rms_norm(x, weight, pass.residual.columns, pass.engine().spec->epsilon, x);
}

// Brings the residual stream of a row into the form in which a matrix reads it as it is.
inline void OfferResidual(const Pass& pass, uint32_t row, const Matrix& reader) {
  const Activations& x = pass.residual;
  if (!IsQuantised(reader)) return;
  pass.engine().kernels->quantise(x.row(row), x.columns, x.block_row(row));
}

// What reads a mixer's input. Those that are absent have no tiles.
constexpr uint32_t kMixerMatrices = 7;
inline std::array<const Matrix*, kMixerMatrices> MixerMatrices(const LayerWeights& layer) {
  return {&layer.q,          &layer.k,
          &layer.v,          &layer.delta.channels,
          &layer.delta.gate, &layer.delta.decays,
          &layer.delta.rates};
}

// What follows the residual stream of layer `layer` - 1: the mixer's norm of the next layer, or the
// norm before the head.
inline void EnterLayer(Pass* pass, uint32_t layer, uint32_t row) {
  const ModelWeights& weights = *pass->engine().weights;
  if (layer == weights.layers.size()) {
    NormRow(*pass, row, weights.output_norm, IsQuantised(weights.head), pass->normed);
    return;
  }
  const LayerWeights& next = weights.layers[layer];
  bool quantise = false;
  for (const Matrix* matrix : MixerMatrices(next)) quantise = quantise || IsQuantised(*matrix);
  NormRow(*pass, row, next.mixer_norm, quantise, pass->normed);
}

// ---- embedding: tile = row
inline void Embed(Pass* pass, uint32_t, uint32_t row, uint32_t) {
  const Engine& engine = pass->engine();
  const PassRow& from = pass->row(row);
  UnpackRow(engine.weights->embedding.panels, static_cast<uint32_t>(from.token),
            pass->residual.row(row));
  engine.kernels->scale(engine.spec->embedding_scale, pass->residual.columns,
                        pass->residual.row(row));
  for (uint32_t r = 0; r < engine.spec->ropes.size(); ++r) {
    RopeAngles(engine.spec->ropes[r], engine.ropes[r].frequencies, engine.ropes[r].magnitude,
               from.position, pass->cosine(row, r), pass->sine(row, r));
  }
  const Matrix& projection = engine.weights->input_projection;
  if (!projection.present()) return EnterLayer(pass, 0, row);
  OfferResidual(*pass, row, projection);
}

// ---- the tokens' inputs to the layers: tile = tile of their projection
inline uint32_t ProjectInputsTiles(const Pass& pass, uint32_t) {
  return pass.engine().weights->input_projection.tiles();
}
inline void ProjectInputs(Pass* pass, uint32_t, uint32_t tile, uint32_t) {
  RunRowsTile(*pass, pass->engine().weights->input_projection, tile, pass->residual,
              pass->layer_inputs);
}

// ---- and what each token adds to them: tile = row
inline uint32_t MixInputsTiles(const Pass& pass, uint32_t) {
  return pass.engine().weights->input_projection.present() ? pass.row_count() : 0;
}
inline void MixInputs(Pass* pass, uint32_t, uint32_t row, uint32_t worker) {
  const Engine& engine = pass->engine();
  const KernelTable& kernels = *engine.kernels;
  const LayerInputsSpec& spec = engine.spec->layer_inputs;
  const uint32_t columns = pass->layer_inputs.columns;
  float* const inputs = pass->layer_inputs.row(row);
  kernels.scale(spec.projection_scale, columns, inputs);
  for (uint32_t first = 0; first < columns; first += spec.width) {
    kernels.rms_norm(inputs + first, engine.weights->input_norm, spec.width, engine.spec->epsilon,
                     inputs + first);
  }
  float* const brought = pass->scratch(worker);
  UnpackRow(engine.weights->input_embedding.panels, static_cast<uint32_t>(pass->row(row).token),
            brought);
  kernels.scale_add(spec.embedding_scale, brought, columns, inputs);
  kernels.scale(spec.scale, columns, inputs);
  EnterLayer(pass, 0, row);
}

// ---- q, k and v, or what a delta-net begins with: tile = tile of one of the matrices
inline uint32_t EnterMixerTiles(const Pass& pass, uint32_t layer) {
  uint32_t tiles = 0;
  for (const Matrix* matrix : MixerMatrices(pass.engine().weights->layers[layer])) {
    tiles += matrix->tiles();
  }
  return tiles;
}
inline void EnterMixer(Pass* pass, uint32_t layer, uint32_t tile, uint32_t) {
  const auto matrices = MixerMatrices(pass->engine().weights->layers[layer]);
  Activations rates = pass->key;
  rates.floats += pass->engine().spec->layers[layer].delta.value_heads;
  const Activations* const outputs[kMixerMatrices] = {
      &pass->query, &pass->key, &pass->value, &pass->query, &pass->value, &pass->key, &rates};
  uint32_t i = 0;
  while (tile >= matrices[i]->tiles()) tile -= matrices[i++]->tiles();
  RunRowsTile(*pass, *matrices[i], tile, pass->normed, *outputs[i]);
}

// ---- a delta-net: tile = rows of one sequence, value heads that together give whole activation
// blocks
inline uint32_t HeadsPerTile(uint32_t heads, uint32_t channels) {
  for (uint32_t some = 1; some < heads; ++some) {
    if (heads % some == 0 && some * channels % kBlockColumns == 0) return some;
  }
  return heads;
}
inline uint32_t RememberTiles(const Pass& pass, uint32_t layer) {
  const DeltaNetSpec& spec = pass.engine().spec->layers[layer].delta;
  if (!spec.present()) return 0;
  return pass.run_count() * (spec.value_heads / HeadsPerTile(spec.value_heads, spec.value_dim));
}
inline void Remember(Pass* pass, uint32_t layer, uint32_t tile, uint32_t worker) {
  const Engine& engine = pass->engine();
  const DeltaNetSpec& spec = engine.spec->layers[layer].delta;
  const uint32_t heads = HeadsPerTile(spec.value_heads, spec.value_dim);
  const uint32_t tiles_per_run = spec.value_heads / heads;
  const PassRun& run = pass->run(tile / tiles_per_run);
  const uint32_t first = tile % tiles_per_run * heads;
  for (uint32_t head = first; head < first + heads; ++head) {
    DeltaHead(*pass, layer, run, head, pass->scratch(worker)).Run();
  }
  if (!IsQuantised(engine.weights->layers[layer].out)) return;
  const uint32_t column = first * spec.value_dim;
  for (uint32_t row = run.first; row < run.first + run.count; ++row) {
    engine.kernels->quantise(pass->attended.row(row) + column, heads * spec.value_dim,
                             pass->attended.block_row(row) + column / kBlockColumns);
  }
}

// ---- norm and rotate q and k, store k and v: tile = row
inline void NormHeads(const Engine& engine, const float* weight, uint32_t heads, uint32_t stride,
                      uint32_t dim, float* x) {
  for (uint32_t head = 0; head < heads; ++head, x += stride) {
    engine.kernels->rms_norm(x, weight, dim, engine.spec->epsilon, x);
  }
}
// Heads of queries or keys.
inline void NormRotate(const Pass& pass, const AttentionSpec& spec, uint32_t row,
                       const float* weight, uint32_t heads, uint32_t stride, float* x) {
  const Engine& engine = pass.engine();
  const RopeSpec& rope = engine.spec->ropes[spec.rope];
  if (weight != nullptr) NormHeads(engine, weight, heads, stride, spec.key_dim, x);
  engine.kernels->rope(x, heads, stride, rope.dims, rope.pairing, pass.cosine(row, spec.rope),
                       pass.sine(row, spec.rope));
}
inline uint32_t AttentionRowTiles(const Pass& pass, uint32_t layer) {
  return pass.engine().weights->layers[layer].q.present() ? pass.row_count() : 0;
}
inline void RopeStore(Pass* pass, uint32_t layer, uint32_t row, uint32_t) {
  const Engine& engine = pass->engine();
  const AttentionSpec& spec = engine.spec->layers[layer].attention;
  const LayerWeights& weights = engine.weights->layers[layer];
  float* const key = pass->key.row(row);
  float* const value = pass->value.row(row);
  NormRotate(*pass, spec, row, weights.q_norm, spec.heads, spec.query_stride(),
             pass->query.row(row));
  if (!weights.k.present()) return;
  if (!weights.v.present()) std::copy(key, key + spec.kv_heads * spec.key_dim, value);
  if (spec.v_norm) {
    NormHeads(engine, nullptr, spec.kv_heads, spec.value_dim, spec.value_dim, value);
  }
  NormRotate(*pass, spec, row, weights.k_norm, spec.kv_heads, spec.key_dim, key);

  const PassRow& to = pass->row(row);
  const KvLayer& cache = to.kv->layer(layer);
  uint8_t* block = cache.blocks[to.position / kKvBlock % cache.block_count];
  for (uint32_t head = 0; head < spec.kv_heads; ++head) {
    KvStoreArgs args = {};
    args.keys = block + head * cache.head_bytes;
    args.values = args.keys + cache.value_offset;
    args.type = to.kv->type();
    args.slot = static_cast<uint32_t>(to.position % kKvBlock);
    args.key_dim = spec.key_dim;
    args.value_dim = spec.value_dim;
    args.key = key + head * spec.key_dim;
    args.value = value + head * spec.value_dim;
    engine.kernels->store_kv(args);
  }
}

// ---- attention: tile = one row, kv heads that together give whole activation blocks
inline uint32_t KvHeadsPerTile(const AttentionSpec& spec) {
  return HeadsPerTile(spec.kv_heads, spec.heads / spec.kv_heads * spec.value_dim);
}
inline uint32_t AttendTiles(const Pass& pass, uint32_t layer) {
  const AttentionSpec& spec = pass.engine().spec->layers[layer].attention;
  const uint32_t rows = AttentionRowTiles(pass, layer);
  return rows == 0 ? 0 : rows * (spec.kv_heads / KvHeadsPerTile(spec));
}
// out *= sigmoid(gate), of `heads` query heads whose gates lie behind their queries.
inline void GateHeads(const KernelTable& kernels, const AttentionSpec& spec, uint32_t heads,
                      const float* query, float* out) {
  for (uint32_t head = 0; head < heads; ++head) {
    kernels.sigmoid_gate(query + head * spec.query_stride() + spec.key_dim, spec.value_dim,
                         out + head * spec.value_dim);
  }
}
inline void Attend(Pass* pass, uint32_t layer, uint32_t tile, uint32_t) {
  const Engine& engine = pass->engine();
  const AttentionSpec& spec = engine.spec->layers[layer].attention;
  const uint32_t heads = KvHeadsPerTile(spec);
  const uint32_t tiles_per_row = spec.kv_heads / heads;
  const uint32_t row = tile / tiles_per_row;
  const uint32_t first_head = tile % tiles_per_row * heads;
  const PassRow& from = pass->row(row);
  const KvLayer& cache = from.kv->layer(layer);
  const uint32_t group = spec.heads / spec.kv_heads;

  AttentionArgs args = {};
  args.blocks = cache.blocks;
  args.block_count = cache.block_count;
  args.type = from.kv->type();
  args.key_dim = spec.key_dim;
  args.value_dim = spec.value_dim;
  const uint64_t next = from.position + 1;
  args.first = spec.window != 0 && next > spec.window ? next - spec.window : 0;
  args.end = spec.sees_ahead ? from.end : next;
  args.query_stride = spec.query_stride();
  args.group = group;
  args.scale = spec.scale;
  args.softcap = spec.softcap;
  args.out_stride = spec.value_dim;
  const float* sinks = engine.weights->layers[layer].sinks;
  for (uint32_t head = first_head; head < first_head + heads; ++head) {
    args.key_offset = head * cache.head_bytes;
    args.value_offset = args.key_offset + cache.value_offset;
    args.query = pass->query.row(row) + head * group * spec.query_stride();
    args.sinks = sinks == nullptr ? nullptr : sinks + head * group;
    args.out = pass->attended.row(row) + head * group * spec.value_dim;
    engine.kernels->attention(args);
    if (spec.gated) GateHeads(*engine.kernels, spec, group, args.query, args.out);
  }
  const uint32_t channels = heads * group * spec.value_dim;
  const uint32_t first = first_head * group * spec.value_dim;
  if (spec.value_scale != 1.0f) {
    engine.kernels->scale(spec.value_scale, channels, pass->attended.row(row) + first);
  }
  if (!IsQuantised(engine.weights->layers[layer].out)) return;
  engine.kernels->quantise(pass->attended.row(row) + first, channels,
                           pass->attended.block_row(row) + first / kBlockColumns);
}

// ---- output projection: tile = tile of the matrix
inline uint32_t ProjectTiles(const Pass& pass, uint32_t layer) {
  return pass.engine().weights->layers[layer].out.tiles();
}
inline void Project(Pass* pass, uint32_t layer, uint32_t tile, uint32_t) {
  RunRowsTile(*pass, pass->engine().weights->layers[layer].out, tile, pass->attended,
              pass->projected);
}

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
inline void Route(Pass* pass, uint32_t layer, uint32_t tile, uint32_t worker) {
  const LayerWeights& weights = pass->engine().weights->layers[layer];
  if (tile < weights.beside.gate.tiles()) {
    return RunGateUpTile(*pass, pass->engine().spec->layers[layer].beside, weights.beside, tile,
                         BesideInput(*pass, weights), nullptr, 0, pass->row_count(),
                         pass->beside_gated, worker);
  }
  tile -= weights.beside.gate.tiles();
  if (tile < weights.beside_gate.tiles()) {
    return RunRowsTile(*pass, weights.beside_gate, tile, BesideInput(*pass, weights),
                       pass->beside_weights);
  }
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
    slots.active[0] = 0;
    slots.active_count = 1;
    slots.begin[0] = 0;
    slots.begin[1] = pass->row_count();
    for (uint32_t row = 0; row < pass->row_count(); ++row) slots.row[row] = row;
    return;
  }
  ChooseExperts(pass, layer);
  const uint32_t choices = pass->row_count() * router.experts_used;
  std::fill(slots.begin, slots.begin + router.experts + 1, 0u);
  for (uint32_t c = 0; c < choices; ++c) ++slots.begin[slots.expert[c] + 1];
  slots.active_count = 0;
  for (uint32_t e = 0; e < router.experts; ++e) {
    if (slots.begin[e + 1] != 0) slots.active[slots.active_count++] = e;
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
}

// ---- gate, up and activation: tile = (active expert, tile of its gate), then a tile of what the
// network beside has as down
inline uint32_t ExpertGateTiles(const Pass& pass, uint32_t layer) {
  return pass.slots.active_count * pass.engine().weights->layers[layer].ffn.gate.tiles();
}
inline uint32_t GateUpTiles(const Pass& pass, uint32_t layer) {
  return ExpertGateTiles(pass, layer) + pass.engine().weights->layers[layer].beside.down.tiles();
}
inline void GateUp(Pass* pass, uint32_t layer, uint32_t index, uint32_t worker) {
  const Engine& engine = pass->engine();
  const LayerWeights& weights = engine.weights->layers[layer];
  const LayerSpec& spec = engine.spec->layers[layer];
  if (const uint32_t experts = ExpertGateTiles(*pass, layer); index >= experts) {
    Activations x = pass->beside_gated;
    x.columns = spec.beside.width;
    return RunRowsTile(*pass, weights.beside.down, index - experts, x, pass->projected);
  }
  const uint32_t tiles = weights.ffn.gate.tiles();
  const uint32_t expert = pass->slots.active[index / tiles];
  RunGateUpTile(*pass, spec.ffn, WeightStore(engine.weights).Acquire(layer, expert), index % tiles,
                pass->normed, pass->slots.row, pass->slots.begin[expert],
                pass->slots.begin[expert + 1], pass->gated, worker);
}

// ---- down: tile = (active expert, tile of its down)
inline uint32_t DownTiles(const Pass& pass, uint32_t layer) {
  return pass.slots.active_count * pass.engine().weights->layers[layer].ffn.down.tiles();
}
inline void Down(Pass* pass, uint32_t layer, uint32_t index, uint32_t) {
  const Engine& engine = pass->engine();
  const uint32_t tiles = engine.weights->layers[layer].ffn.down.tiles();
  const uint32_t expert = pass->slots.active[index / tiles];
  const FeedForwardWeights ffn = WeightStore(engine.weights).Acquire(layer, expert);
  Activations x = pass->gated;
  x.columns = engine.spec->layers[layer].ffn.width;
  const uint32_t begin = pass->slots.begin[expert];
  RunMatrixTile(
      *pass, ffn.down, index % tiles, x, begin, nullptr, pass->slots.begin[expert + 1] - begin,
      pass->expert_out.row(begin) + TileRow(ffn.down, index % tiles), pass->expert_out.columns);
}

// ---- what networks gave, residual, and where the layer ends here its next norm: tile = row
inline void LeaveLayer(Pass* pass, uint32_t layer, uint32_t row) {
  const float* const scale = pass->engine().weights->layers[layer].scale;
  if (scale != nullptr) {
    pass->engine().kernels->scale(*scale, pass->residual.columns, pass->residual.row(row));
  }
  EnterLayer(pass, layer + 1, row);
}
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

// ---- the token's input to the layer, gated: tile = tile of the gate
inline uint32_t GateInputTiles(const Pass& pass, uint32_t layer) {
  return pass.engine().weights->layers[layer].input_gate.tiles();
}
inline void GateInput(Pass* pass, uint32_t layer, uint32_t tile, uint32_t) {
  const Engine& engine = pass->engine();
  const LayerWeights& weights = engine.weights->layers[layer];
  const Activations& gated = pass->input_gated;
  const uint32_t first = TileRow(weights.input_gate, tile);
  const uint32_t units =
      std::min(weights.input_gate.tile_panels * kPanelRows, gated.columns - first);
  RunRowsTile(*pass, weights.input_gate, tile, pass->residual, gated);
  for (uint32_t row = 0; row < pass->row_count(); ++row) {
    float* const x = gated.row(row) + first;
    const float* const input = pass->layer_inputs.row(row) + layer * gated.columns + first;
    engine.kernels->activate(engine.spec->layers[layer].ffn.activation, x, input, units, x);
    if (!IsQuantised(weights.input_out)) continue;
    engine.kernels->quantise(x, units, gated.block_row(row) + first / kBlockColumns);
  }
}

// ---- and back to the width of the residual stream: tile = tile of the matrix
inline uint32_t ProjectInputTiles(const Pass& pass, uint32_t layer) {
  return pass.engine().weights->layers[layer].input_out.tiles();
}
inline void ProjectInput(Pass* pass, uint32_t layer, uint32_t tile, uint32_t) {
  RunRowsTile(*pass, pass->engine().weights->layers[layer].input_out, tile, pass->input_gated,
              pass->projected);
}

// ---- residual and next norm of such a layer: tile = row
inline uint32_t AddInputTiles(const Pass& pass, uint32_t layer) {
  return pass.engine().weights->layers[layer].input_out.present() ? pass.row_count() : 0;
}
inline void AddInput(Pass* pass, uint32_t layer, uint32_t row, uint32_t) {
  float* const projected = pass->projected.row(row);
  PostNorm(*pass, pass->engine().weights->layers[layer].input_post_norm, projected);
  pass->engine().kernels->add(projected, pass->residual.columns, pass->residual.row(row));
  LeaveLayer(pass, layer, row);
}

// ---- the head's input: tile = row of logits
//
// Logits feel every rounding of the last product, and the head is read for few rows only. So its
// input is quantised twice, the second time what the first left: as good as 16 bits.
inline uint32_t EnterHeadTiles(const Pass& pass, uint32_t) {
  return IsQuantised(pass.engine().weights->head) ? pass.head_count() : 0;
}
inline void EnterHead(Pass* pass, uint32_t, uint32_t i, uint32_t) {
  const uint32_t row = pass->head_rows()[i];
  const uint32_t columns = pass->head_input.columns;
  const float* x = pass->normed.row(row);
  const ActivationBlock* first = pass->normed.block_row(row);
  std::copy(first, first + columns / kBlockColumns, pass->head_input.block_row(2 * i));
  float* left = pass->projected.row(row);  // which nobody needs any more
  const KernelTable& kernels = *pass->engine().kernels;
  kernels.dequantise(first, columns, left);
  for (uint32_t k = 0; k < columns; ++k) left[k] = x[k] - left[k];
  kernels.quantise(left, columns, pass->head_input.block_row(2 * i + 1));
}

// ---- head, for the rows whose logits are wanted: tile = tile of the matrix
inline uint32_t HeadTiles(const Pass& pass, uint32_t) {
  return pass.head_count() == 0 ? 0 : pass.engine().weights->head.tiles();
}
inline void RunHeadTile(Pass* pass, uint32_t tile, uint32_t worker) {
  const Matrix& head = pass->engine().weights->head;
  const uint32_t vocab = pass->engine().spec->vocab;
  const uint32_t first = TileRow(head, tile);
  if (!IsQuantised(head)) {
    RunMatrixTile(*pass, head, tile, pass->normed, 0, pass->head_rows(), pass->head_count(),
                  pass->logits(0) + first, vocab);
    return;
  }
  const uint32_t tile_rows = head.tile_panels * kPanelRows;
  const uint32_t count = std::min(tile_rows, vocab - first);
  Matrix unbiased = head;
  unbiased.bias = nullptr;
  float* parts = pass->scratch(worker);  // of each row of logits: the product and its remainder
  RunMatrixTile(*pass, unbiased, tile, pass->head_input, 0, nullptr, 2 * pass->head_count(), parts,
                tile_rows);
  for (uint32_t i = 0; i < pass->head_count(); ++i) {
    const float* product = parts + uint64_t{2 * i} * tile_rows;
    float* logits = pass->logits(i) + first;
    std::copy(product, product + count, logits);
    pass->engine().kernels->add(product + tile_rows, count, logits);
    if (head.bias != nullptr) pass->engine().kernels->add(head.bias + first, count, logits);
  }
}
inline void Head(Pass* pass, uint32_t, uint32_t tile, uint32_t worker) {
  const ModelSpec& spec = *pass->engine().spec;
  const Matrix& head = pass->engine().weights->head;
  RunHeadTile(pass, tile, worker);
  if (spec.logit_softcap == 0.0f) return;
  const uint32_t first = TileRow(head, tile);
  const uint32_t count = std::min(head.tile_panels * kPanelRows, spec.vocab - first);
  for (uint32_t i = 0; i < pass->head_count(); ++i) {
    pass->engine().kernels->softcap(spec.logit_softcap, count, pass->logits(i) + first);
  }
}

}  // namespace stages

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
    {stages::GateUpTiles, stages::GateUp},
    {stages::DownTiles, stages::Down},
    {stages::RowTiles, stages::LeaveFeedForward},
    {stages::GateInputTiles, stages::GateInput},
    {stages::ProjectInputTiles, stages::ProjectInput},
    {stages::AddInputTiles, stages::AddInput},
};
constexpr uint32_t kStagesPerLayer = sizeof(kLayerStages) / sizeof(kLayerStages[0]);
constexpr Stage kHeadStages[] = {
    {stages::EnterHeadTiles, stages::EnterHead},
    {stages::HeadTiles, stages::Head},
};
constexpr uint32_t kHeadStageCount = sizeof(kHeadStages) / sizeof(kHeadStages[0]);

}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_H_
