// Rotates the pairs of heads by tabled angles; rope.h makes the tables.
#if defined(JUNTO_KERNELS_ROPE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_ROPE_INL_H_
#undef JUNTO_KERNELS_ROPE_INL_H_
#else
#define JUNTO_KERNELS_ROPE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "junto/kernels/kernels.h"
#include "junto/kernels/lanes-inl.h"
#include "junto/kernels/targets.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// (a, b) becomes (a cos - b sin, b cos + a sin), the product with the cosine rounded first.
template <class V>
HWY_INLINE void Rotate(V cosine, V sine, V* a, V* b) {
  const V turned = hn::NegMulAdd(*b, sine, hn::Mul(*a, cosine));
  *b = hn::MulAdd(*a, sine, hn::Mul(*b, cosine));
  *a = turned;
}

struct RotateHalves {
  float* low;   // first elements of the pairs
  float* high;  // second elements
  const float* cosine;
  const float* sine;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    auto a = hn::LoadU(d, low + i);
    auto b = hn::LoadU(d, high + i);
    Rotate(hn::LoadU(d, cosine + i), hn::LoadU(d, sine + i), &a, &b);
    hn::StoreU(a, d, low + i);
    hn::StoreU(b, d, high + i);
  }
};

struct RotateInterleaved {
  float* x;
  const float* cosine;
  const float* sine;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::Vec<D> a;
    hn::Vec<D> b;
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
    Rotate(hn::LoadU(d, cosine + i), hn::LoadU(d, sine + i), &a, &b);
    hn::StoreInterleaved2(a, b, d, x + 2 * i);
  }
};

// See KernelTable::rope.
inline void ApplyRope(float* x, size_t heads, size_t head_stride, uint32_t dims,
                      RopePairing pairing, const float* cosine, const float* sine) {
  const size_t pairs = dims / 2;
  for (size_t head = 0; head < heads; ++head) {
    float* const start = x + head * head_stride;
    if (pairing == RopePairing::kHalves) {
      ForEach(pairs, RotateHalves{start, start + pairs, cosine, sine});
    } else {
      ForEach(pairs, RotateInterleaved{start, cosine, sine});
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_ROPE_INL_H_
