// The kernels of one instruction set, gathered into the table that the runtime calls through.
#if defined(JUNTO_KERNELS_TABLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_TABLE_INL_H_
#undef JUNTO_KERNELS_TABLE_INL_H_
#else
#define JUNTO_KERNELS_TABLE_INL_H_
#endif

#include "junto/kernels/targets.h"
//
#include <hwy/highway.h>

#include "junto/kernels/activation-inl.h"
#include "junto/kernels/attention-inl.h"
#include "junto/kernels/deltanet-inl.h"
#include "junto/kernels/elementwise-inl.h"
#include "junto/kernels/kernels.h"
#include "junto/kernels/kv-inl.h"
#include "junto/kernels/matmul-inl.h"
#include "junto/kernels/norm-inl.h"
#include "junto/kernels/quantise-inl.h"
#include "junto/kernels/rope-inl.h"
#include "junto/kernels/router-inl.h"

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {

// A constant; any thread.
inline const KernelTable* Table() {
  static constexpr KernelTable kTable = {
      &HWY_STR(HWY_NAMESPACE)[2],  // "N_AVX2" says AVX2
      HWY_NATIVE_FMA != 0,
      RmsNorm,
      QuantiseRow,
      DequantiseRow,
      Activate,
      ApplyRope,
      Add,
      ScaleAdd,
      Scale,
      Softcap,
      SigmoidGate,
      L2Norm,
      Dot,
      DeltaGates,
      Convolve,
      DeltaRule,
      Route,
      StoreKv,
      Attention,
      Matmul,
      WidenPanels,
  };
  return &kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_TABLE_INL_H_
