// FloatGemm by oneDNN, where the build has it.
#ifndef JUNTO_C_API_ONEDNN_H_
#define JUNTO_C_API_ONEDNN_H_

#include "junto/base/memory.h"
#include "junto/runtime/float_gemm.h"

namespace junto {

// E_UNSUPPORTED where the build is without oneDNN. Throws OutOfMemory.
Status CreateOneDnnGemm(Memory* memory, Owned<FloatGemm>* gemm);

}  // namespace junto

#endif  // JUNTO_C_API_ONEDNN_H_
