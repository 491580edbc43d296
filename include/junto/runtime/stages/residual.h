// Into a layer and out of it: the residual stream, its norms, and the forms in which matrices read
// them.
#ifndef JUNTO_RUNTIME_STAGES_RESIDUAL_H_
#define JUNTO_RUNTIME_STAGES_RESIDUAL_H_

#include <array>
#include <cstdint>

#include "junto/runtime/stages/matrix_tile.h"

namespace junto {
namespace stages {

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

// What ends a layer: its scale, and the next one's norm.
inline void LeaveLayer(Pass* pass, uint32_t layer, uint32_t row) {
  const float* const scale = pass->engine().weights->layers[layer].scale;
  if (scale != nullptr) {
    pass->engine().kernels->scale(*scale, pass->residual.columns, pass->residual.row(row));
  }
  EnterLayer(pass, layer + 1, row);
}

}  // namespace stages
}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_RESIDUAL_H_
