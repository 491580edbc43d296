// The stages of what a token brings to a layer, where models have it.
#ifndef JUNTO_RUNTIME_STAGES_LAYER_INPUT_H_
#define JUNTO_RUNTIME_STAGES_LAYER_INPUT_H_

#include <algorithm>
#include <cstdint>

#include "junto/runtime/stages/residual.h"

namespace junto {
namespace stages {

// ---- the token's input to the layer, gated: tile = tile of the gate
inline uint32_t GateInputTiles(const Pass& pass, uint32_t layer) {
  return pass.engine().weights->layers[layer].input_gate.tiles();
}
inline void GateInput(Pass* pass, uint32_t layer, uint32_t tile, RowPart part, uint32_t) {
  const Engine& engine = pass->engine();
  const LayerWeights& weights = engine.weights->layers[layer];
  const Activations& gated = pass->input_gated;
  const uint32_t first = TileRow(weights.input_gate, tile);
  const uint32_t units =
      std::min(weights.input_gate.tile_panels * kPanelRows, gated.columns - first);
  RunRowsTile(*pass, weights.input_gate, tile, part, pass->residual, gated);
  uint32_t begin = 0;
  uint32_t end = pass->row_count();
  part.Cut(&begin, &end);
  for (uint32_t row = begin; row < end; ++row) {
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
inline void ProjectInput(Pass* pass, uint32_t layer, uint32_t tile, RowPart part, uint32_t) {
  RunRowsTile(*pass, pass->engine().weights->layers[layer].input_out, tile, part, pass->input_gated,
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

}  // namespace stages
}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_LAYER_INPUT_H_
