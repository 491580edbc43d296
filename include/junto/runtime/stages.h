// The stages of a forward pass. Each is a set of tiles that write disjoint outputs and may run in
// any order on any worker; what a tile is depends on tensors and rows alone.
#ifndef JUNTO_RUNTIME_STAGES_H_
#define JUNTO_RUNTIME_STAGES_H_

#include <algorithm>
#include <cstdint>

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

// normed = norm(residual), in the form that `quantise` asks for besides floats.
inline void NormRow(Pass* pass, uint32_t row, const float* weight, bool quantise) {
  const KernelTable& kernels = *pass->engine().kernels;
  const Activations& x = pass->residual;
  const Activations& y = pass->normed;
  kernels.rms_norm(x.row(row), weight, x.columns, pass->engine().spec->epsilon, y.row(row));
  if (quantise) kernels.quantise(y.row(row), y.columns, y.block_row(row));
}

// What follows the residual stream of layer `layer` - 1: the mixer's norm of the next layer, or the
// norm before the head.
inline void EnterLayer(Pass* pass, uint32_t layer, uint32_t row) {
  const ModelWeights& weights = *pass->engine().weights;
  if (layer == weights.layers.size()) {
    NormRow(pass, row, weights.output_norm, IsQuantised(weights.head));
    return;
  }
  const LayerWeights& next = weights.layers[layer];
  NormRow(pass, row, next.mixer_norm,
          IsQuantised(next.q) || IsQuantised(next.k) || IsQuantised(next.v));
}

// ---- embedding: tile = row
inline void Embed(Pass* pass, uint32_t, uint32_t row, uint32_t) {
  const Engine& engine = pass->engine();
  const PassRow& from = pass->row(row);
  UnpackRow(engine.weights->embedding.panels, static_cast<uint32_t>(from.token),
            pass->residual.row(row));
  for (uint32_t r = 0; r < engine.spec->ropes.size(); ++r) {
    RopeAngles(engine.spec->ropes[r], engine.ropes[r].frequencies, engine.ropes[r].magnitude,
               from.position, pass->cosine(row, r), pass->sine(row, r));
  }
  EnterLayer(pass, 0, row);
}

// ---- q, k and v: tile = tile of one of the three matrices
inline uint32_t QkvTiles(const Pass& pass, uint32_t layer) {
  const LayerWeights& weights = pass.engine().weights->layers[layer];
  return weights.q.tiles() + weights.k.tiles() + weights.v.tiles();
}
inline void Qkv(Pass* pass, uint32_t layer, uint32_t tile, uint32_t) {
  const LayerWeights& weights = pass->engine().weights->layers[layer];
  const Matrix* matrices[3] = {&weights.q, &weights.k, &weights.v};
  const Activations* outputs[3] = {&pass->query, &pass->key, &pass->value};
  uint32_t i = 0;
  while (tile >= matrices[i]->tiles()) tile -= matrices[i++]->tiles();
  RunRowsTile(*pass, *matrices[i], tile, pass->normed, *outputs[i]);
}

// ---- rotate q and k, store k and v: tile = row
inline void RopeStore(Pass* pass, uint32_t layer, uint32_t row, uint32_t) {
  const Engine& engine = pass->engine();
  const AttentionSpec& spec = engine.spec->layers[layer].attention;
  const RopeSpec& rope = engine.spec->ropes[spec.rope];
  const PassRow& to = pass->row(row);
  const float* cosine = pass->cosine(row, spec.rope);
  const float* sine = pass->sine(row, spec.rope);
  engine.kernels->rope(pass->query.row(row), spec.heads, spec.key_dim, rope.dims, rope.pairing,
                       cosine, sine);
  engine.kernels->rope(pass->key.row(row), spec.kv_heads, spec.key_dim, rope.dims, rope.pairing,
                       cosine, sine);

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
    args.key = pass->key.row(row) + head * spec.key_dim;
    args.value = pass->value.row(row) + head * spec.value_dim;
    engine.kernels->store_kv(args);
  }
}

// ---- attention: tile = one row, kv heads that together give whole activation blocks
inline uint32_t KvHeadsPerTile(const AttentionSpec& spec) {
  const uint32_t channels = spec.heads / spec.kv_heads * spec.value_dim;
  for (uint32_t heads = 1; heads < spec.kv_heads; ++heads) {
    if (spec.kv_heads % heads == 0 && heads * channels % kBlockColumns == 0) return heads;
  }
  return spec.kv_heads;
}
inline uint32_t AttendTiles(const Pass& pass, uint32_t layer) {
  const AttentionSpec& spec = pass.engine().spec->layers[layer].attention;
  return pass.row_count() * (spec.kv_heads / KvHeadsPerTile(spec));
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
  args.end = from.position + 1;
  args.first = spec.window != 0 && args.end > spec.window ? args.end - spec.window : 0;
  args.query_stride = spec.key_dim;
  args.group = group;
  args.scale = spec.scale;
  args.softcap = spec.softcap;
  args.out_stride = spec.value_dim;
  const float* sinks = engine.weights->layers[layer].sinks;
  for (uint32_t head = first_head; head < first_head + heads; ++head) {
    args.key_offset = head * cache.head_bytes;
    args.value_offset = args.key_offset + cache.value_offset;
    args.query = pass->query.row(row) + head * group * spec.key_dim;
    args.sinks = sinks == nullptr ? nullptr : sinks + head * group;
    args.out = pass->attended.row(row) + head * group * spec.value_dim;
    engine.kernels->attention(args);
  }
  if (!IsQuantised(engine.weights->layers[layer].out)) return;
  const uint32_t channels = group * spec.value_dim;
  engine.kernels->quantise(pass->attended.row(row) + first_head * channels, heads * channels,
                           pass->attended.block_row(row) + first_head * channels / kBlockColumns);
}

// ---- output projection: tile = tile of the matrix
inline uint32_t ProjectTiles(const Pass& pass, uint32_t layer) {
  return pass.engine().weights->layers[layer].out.tiles();
}
inline void Project(Pass* pass, uint32_t layer, uint32_t tile, uint32_t) {
  RunRowsTile(*pass, pass->engine().weights->layers[layer].out, tile, pass->attended,
              pass->projected);
}

// ---- residual, norm, route: tile = row
inline void EnterFeedForward(Pass* pass, uint32_t layer, uint32_t row, uint32_t) {
  const Engine& engine = pass->engine();
  const LayerWeights& weights = engine.weights->layers[layer];
  engine.kernels->add(pass->projected.row(row), pass->residual.columns, pass->residual.row(row));
  const RouterSpec& router = engine.spec->layers[layer].ffn.router;
  const bool routed = router.experts != 0;
  NormRow(pass, row, weights.ffn_norm,
          IsQuantised(weights.ffn.gate) || IsQuantised(weights.ffn.up) ||
              (routed && IsQuantised(weights.route)));
  if (!routed) return;

  float* logits = pass->router_logits.row(row);
  for (uint32_t tile = 0; tile < weights.route.tiles(); ++tile) {
    RunMatrixTile(*pass, weights.route, tile, pass->normed, row, nullptr, 1,
                  logits + TileRow(weights.route, tile), pass->router_logits.columns);
  }
  const uint64_t choice = uint64_t{row} * router.experts_used;
  engine.kernels->route(router, logits, nullptr, pass->slots.expert + choice,
                        pass->slots.weight + choice);
}

// ---- which expert works on which rows: one tile
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

// ---- gate, up and activation: tile = (active expert, tile of its gate)
inline uint32_t GateUpTiles(const Pass& pass, uint32_t layer) {
  return pass.slots.active_count * pass.engine().weights->layers[layer].ffn.gate.tiles();
}
inline void GateUp(Pass* pass, uint32_t layer, uint32_t index, uint32_t worker) {
  const Engine& engine = pass->engine();
  const uint32_t tiles = engine.weights->layers[layer].ffn.gate.tiles();
  const uint32_t expert = pass->slots.active[index / tiles];
  const uint32_t tile = index % tiles;
  const FeedForwardWeights ffn = WeightStore(engine.weights).Acquire(layer, expert);
  const FeedForwardSpec& spec = engine.spec->layers[layer].ffn;

  const uint32_t tile_units = ffn.gate.tile_panels * kPanelRows;
  const uint32_t first_unit = tile * tile_units;
  const uint32_t units = std::min(tile_units, spec.width - first_unit);
  float* gate = pass->scratch(worker);
  float* up = gate + kSlotGroup * tile_units;
  const auto run = [&](const Matrix& matrix, uint32_t slot, uint32_t count, float* out) {
    RunMatrixTile(*pass, matrix, tile, pass->normed, 0, pass->slots.row + slot, count, out,
                  tile_units);
  };
  const uint32_t end = pass->slots.begin[expert + 1];
  for (uint32_t slot = pass->slots.begin[expert]; slot < end; slot += kSlotGroup) {
    const uint32_t count = std::min(kSlotGroup, end - slot);
    run(ffn.gate, slot, count, gate);
    run(ffn.up, slot, count, up);
    for (uint32_t i = 0; i < count; ++i) {
      float* out = pass->gated.floats + uint64_t{slot + i} * spec.width + first_unit;
      engine.kernels->activate(spec.activation, gate + i * tile_units, up + i * tile_units, units,
                               out);
      if (!IsQuantised(ffn.down)) continue;
      ActivationBlock* blocks =
          pass->gated.blocks + uint64_t{slot + i} * (spec.width / kBlockColumns);
      engine.kernels->quantise(out, units, blocks + first_unit / kBlockColumns);
    }
  }
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

// ---- sum of the experts in rank order, residual, next norm: tile = row
inline void LeaveLayer(Pass* pass, uint32_t layer, uint32_t row, uint32_t) {
  const Engine& engine = pass->engine();
  const uint32_t width = pass->residual.columns;
  const RouterSpec& router = engine.spec->layers[layer].ffn.router;
  const float* sum = pass->expert_out.row(row);
  if (router.experts != 0) {
    float* weighted = pass->projected.row(row);
    std::fill(weighted, weighted + width, 0.0f);
    for (uint32_t rank = 0; rank < router.experts_used; ++rank) {
      const uint64_t choice = uint64_t{row} * router.experts_used + rank;
      engine.kernels->scale_add(pass->slots.weight[choice],
                                pass->expert_out.row(pass->slots.slot[choice]), width, weighted);
    }
    sum = weighted;
  }
  engine.kernels->add(sum, width, pass->residual.row(row));
  EnterLayer(pass, layer + 1, row);
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
inline void Head(Pass* pass, uint32_t, uint32_t tile, uint32_t worker) {
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

}  // namespace stages

constexpr Stage kEmbedStage = {stages::RowTiles, stages::Embed};
constexpr Stage kLayerStages[] = {
    {stages::QkvTiles, stages::Qkv},
    {stages::RowTiles, stages::RopeStore},
    {stages::AttendTiles, stages::Attend},
    {stages::ProjectTiles, stages::Project},
    {stages::RowTiles, stages::EnterFeedForward},
    {stages::OneTile, stages::Group},
    {stages::GateUpTiles, stages::GateUp},
    {stages::DownTiles, stages::Down},
    {stages::RowTiles, stages::LeaveLayer},
};
constexpr uint32_t kStagesPerLayer = sizeof(kLayerStages) / sizeof(kLayerStages[0]);
constexpr Stage kHeadStages[] = {
    {stages::EnterHeadTiles, stages::EnterHead},
    {stages::HeadTiles, stages::Head},
};
constexpr uint32_t kHeadStageCount = sizeof(kHeadStages) / sizeof(kHeadStages[0]);

}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_H_
