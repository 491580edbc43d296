// Tiles of a product with a matrix, as stages share them.
#ifndef JUNTO_RUNTIME_STAGES_MATRIX_TILE_H_
#define JUNTO_RUNTIME_STAGES_MATRIX_TILE_H_

#include <algorithm>
#include <cstdint>

#include "junto/runtime/pass.h"

namespace junto {
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
    args.x_stride = x.block_stride();
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

// One output tile for rows of the pass.
inline void RunRowsTile(const Pass& pass, const Matrix& matrix, uint32_t tile, RowPart part,
                        const Activations& x, const Activations& y) {
  uint32_t begin = 0;
  uint32_t end = pass.row_count();
  part.Cut(&begin, &end);
  if (begin == end) return;
  RunMatrixTile(pass, matrix, tile, x, begin, nullptr, end - begin,
                y.row(begin) + TileRow(matrix, tile), y.columns);
}

}  // namespace stages
}  // namespace junto

#endif  // JUNTO_RUNTIME_STAGES_MATRIX_TILE_H_
