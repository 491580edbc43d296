// The stages after the last layer: logits.
#ifndef JUNTO_RUNTIME_STAGES_HEAD_H_
#define JUNTO_RUNTIME_STAGES_HEAD_H_

#include <algorithm>
#include <cstdint>

#include "junto/runtime/stages/matrix_tile.h"

namespace junto {
namespace stages {

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
}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_HEAD_H_
