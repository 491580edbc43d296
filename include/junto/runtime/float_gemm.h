// FloatGemm: another library's product of float matrices, for models that were asked to be fast
// rather than to give the same bits always.
#ifndef JUNTO_RUNTIME_FLOAT_GEMM_H_
#define JUNTO_RUNTIME_FLOAT_GEMM_H_

#include <cstdint>

#include "junto/base/status.h"
#include "junto/kernels/kernels.h"

namespace junto {

class FloatGemm {
 public:
  // Rows that are multiplied together; fewer are left to our own kernels.
  static constexpr uint32_t kRows = 64;

  virtual ~FloatGemm() = default;

  // While loading: takes note of tiles of `outputs` x `columns` weights.
  virtual Status Prepare(uint32_t columns, uint32_t outputs) = 0;

  // After the last Prepare: takes what `workers` threads need, with what widens weights.
  virtual Status Ready(uint32_t workers, const KernelTable* kernels) = 0;

  // Multiplies the first rows of `args`, whose weights are floats, and returns how many: a multiple
  // of kRows, or 0 for a tile of another shape or when all it has is in use. Any thread; allocates
  // nothing of ours.
  virtual uint32_t Multiply(const MatmulArgs& args) = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_FLOAT_GEMM_H_
