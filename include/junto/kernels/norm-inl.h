// RMS norm.
#if defined(JUNTO_KERNELS_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_NORM_INL_H_
#undef JUNTO_KERNELS_NORM_INL_H_
#else
#define JUNTO_KERNELS_NORM_INL_H_
#endif

#include <cstddef>

#include "junto/kernels/lanes-inl.h"
#include "junto/kernels/targets.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct NormBody {
  const float* x;
  const float* weight;
  float scale;
  float* y;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    const auto scaled = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, scale));
    hn::StoreU(weight == nullptr ? scaled : hn::Mul(scaled, hn::LoadU(d, weight + i)), d, y + i);
  }
};

// See KernelTable::rms_norm. Squares are summed over the virtual lanes; square root and division
// are IEEE's, and y = (x * scale) * weight.
inline void RmsNorm(const float* x, const float* weight, size_t n, float epsilon, float* y) {
  if (n == 0) return;
  const SingleTag d;
  const float mean = Reduce<SquaresReduction>(x, n) / static_cast<float>(n);
  const float root = hn::GetLane(hn::Sqrt(hn::Set(d, mean + epsilon)));
  ForEach(n, NormBody{x, weight, 1.0f / root, y});
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_NORM_INL_H_
