// The stages before the first layer: the embedding, and what tokens bring to the layers.
#ifndef JUNTO_RUNTIME_STAGES_EMBED_H_
#define JUNTO_RUNTIME_STAGES_EMBED_H_

#include <cstdint>

#include "junto/runtime/stages/residual.h"

namespace junto {
namespace stages {

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
inline void ProjectInputs(Pass* pass, uint32_t, uint32_t tile, RowPart part, uint32_t) {
  RunRowsTile(*pass, pass->engine().weights->input_projection, tile, part, pass->residual,
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

}  // namespace stages
}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_EMBED_H_
