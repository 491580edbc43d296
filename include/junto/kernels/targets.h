// Which instruction sets the kernels are compiled for; include before Highway, everywhere.
#ifndef JUNTO_KERNELS_TARGETS_H_
#define JUNTO_KERNELS_TARGETS_H_

#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL  // Ice Lake and later: VNNI
#endif
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3  // build time for machines that all have SSE4 too
#endif

#endif  // JUNTO_KERNELS_TARGETS_H_
