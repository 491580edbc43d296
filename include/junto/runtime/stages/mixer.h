// The stages of a mixer, attention or a delta-net: from the normed residual stream to what is added
// to it.
#ifndef JUNTO_RUNTIME_STAGES_MIXER_H_
#define JUNTO_RUNTIME_STAGES_MIXER_H_

#include <algorithm>
#include <cstdint>

#include "junto/runtime/delta_head.h"
#include "junto/runtime/stages/residual.h"

namespace junto {
namespace stages {

// ---- q, k and v, or what a delta-net begins with: tile = tile of one of the matrices
inline uint32_t EnterMixerTiles(const Pass& pass, uint32_t layer) {
  uint32_t tiles = 0;
  for (const Matrix* matrix : MixerMatrices(pass.engine().weights->layers[layer])) {
    tiles += matrix->tiles();
  }
  return tiles;
}
inline void EnterMixer(Pass* pass, uint32_t layer, uint32_t tile, RowPart part, uint32_t) {
  const auto matrices = MixerMatrices(pass->engine().weights->layers[layer]);
  Activations rates = pass->key;
  rates.floats += pass->engine().spec->layers[layer].delta.value_heads;
  const Activations* const outputs[kMixerMatrices] = {
      &pass->query, &pass->key, &pass->value, &pass->query, &pass->value, &pass->key, &rates};
  uint32_t i = 0;
  while (tile >= matrices[i]->tiles()) tile -= matrices[i++]->tiles();
  RunRowsTile(*pass, *matrices[i], tile, part, pass->normed, *outputs[i]);
}

// ---- a delta-net: tile = some rows of one sequence, value heads that together give whole
// activation blocks. All tiles of the first rows come before those of the next.
inline uint32_t HeadsPerTile(uint32_t heads, uint32_t channels) {
  for (uint32_t some = 1; some < heads; ++some) {
    if (heads % some == 0 && some * channels % kBlockColumns == 0) return some;
  }
  return heads;
}
inline uint32_t RememberTogether(const Pass& pass, uint32_t layer) {
  const DeltaNetSpec& spec = pass.engine().spec->layers[layer].delta;
  return pass.run_count() * (spec.value_heads / HeadsPerTile(spec.value_heads, spec.value_dim));
}
inline uint32_t RememberTiles(const Pass& pass, uint32_t layer) {
  if (!pass.engine().spec->layers[layer].delta.present()) return 0;
  uint32_t rows = 0;
  for (uint32_t i = 0; i < pass.run_count(); ++i) rows = std::max(rows, pass.run(i).count);
  return CeilDiv(rows, RowPart::kRows) * RememberTogether(pass, layer);
}
inline void Remember(Pass* pass, uint32_t layer, uint32_t tile, uint32_t worker) {
  const Engine& engine = pass->engine();
  const DeltaNetSpec& spec = engine.spec->layers[layer].delta;
  const uint32_t heads = HeadsPerTile(spec.value_heads, spec.value_dim);
  const uint32_t tiles_per_run = spec.value_heads / heads;
  const uint32_t together = RememberTogether(*pass, layer);
  const PassRun& run = pass->run(tile % together / tiles_per_run);
  uint32_t begin = 0;
  uint32_t end = run.count;
  RowPart{tile / together * RowPart::kRows, RowPart::kRows}.Cut(&begin, &end);
  if (begin == end) return;
  const uint32_t first = tile % tiles_per_run * heads;
  for (uint32_t head = first; head < first + heads; ++head) {
    DeltaHead(*pass, layer, run, head, pass->scratch(worker)).Run(begin, end);
  }
  if (!IsQuantised(engine.weights->layers[layer].out)) return;
  const uint32_t column = first * spec.value_dim;
  for (uint32_t row = run.first + begin; row < run.first + end; ++row) {
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
inline void Project(Pass* pass, uint32_t layer, uint32_t tile, RowPart part, uint32_t) {
  RunRowsTile(*pass, pass->engine().weights->layers[layer].out, tile, part, pass->attended,
              pass->projected);
}

}  // namespace stages
}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_MIXER_H_
