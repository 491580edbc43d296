// Which kernels this machine can run. A runtime chooses once and keeps its table; two runtimes of
// one process may hold different ones.
#ifndef JUNTO_C_API_DISPATCH_H_
#define JUNTO_C_API_DISPATCH_H_

#include <cstdint>

#include "junto/base/span.h"
#include "junto/kernels/kernels.h"

namespace junto {

// The tables of every instruction set that was compiled in and that this CPU has, best first; never
// empty. Any thread.
Span<const KernelTable* const> SupportedKernels();

// The best of them whose Highway target bit is not in `deny`; nullptr when none is left. Any
// thread.
const KernelTable* ChooseKernels(uint64_t deny);

}  // namespace junto

#endif  // JUNTO_C_API_DISPATCH_H_
