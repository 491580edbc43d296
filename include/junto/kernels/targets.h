// Which instruction sets the kernels are compiled for; include before Highway, everywhere.
#ifndef JUNTO_KERNELS_TARGETS_H_
#define JUNTO_KERNELS_TARGETS_H_

#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL  // Ice Lake and later: VNNI
#endif

// SSSE3: build time for machines that all have SSE4 too. The others have vectors without a size,
// which kernels could not keep in arrays.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#endif

#endif  // JUNTO_KERNELS_TARGETS_H_
