// Small elementwise operations on rows.
#if defined(JUNTO_KERNELS_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_ELEMENTWISE_INL_H_
#undef JUNTO_KERNELS_ELEMENTWISE_INL_H_
#else
#define JUNTO_KERNELS_ELEMENTWISE_INL_H_
#endif

#include <cstddef>

#include "junto/kernels/lanes-inl.h"
#include "junto/kernels/math-inl.h"
#include "junto/kernels/targets.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct AddBody {
  const float* x;
  float* y;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(hn::Add(hn::LoadU(d, y + i), hn::LoadU(d, x + i)), d, y + i);
  }
};

struct ScaleAddBody {
  float a;
  const float* x;
  float* y;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(hn::MulAdd(hn::Set(d, a), hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
  }
};

struct ScaleBody {
  float a;
  float* x;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, a)), d, x + i);
  }
};

struct SoftcapBody {
  float cap;
  float* x;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    const auto c = hn::Set(d, cap);
    hn::StoreU(hn::Mul(c, Tanh(d, hn::Div(hn::LoadU(d, x + i), c))), d, x + i);
  }
};

// x = e^(x - shift).
struct ExpBody {
  float shift;
  float* x;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(Exp(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, shift))), d, x + i);
  }
};

// x = x / divisor.
struct DivideBody {
  float divisor;
  float* x;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(hn::Div(hn::LoadU(d, x + i), hn::Set(d, divisor)), d, x + i);
  }
};

// y = y * sigmoid(x).
struct SigmoidGateBody {
  const float* x;
  float* y;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    const auto gate = Sigmoid(d, hn::LoadU(d, x + i));
    hn::StoreU(hn::Mul(hn::LoadU(d, y + i), gate), d, y + i);
  }
};

// See KernelTable for all five.
inline void Add(const float* x, size_t n, float* y) { ForEach(n, AddBody{x, y}); }
inline void ScaleAdd(float a, const float* x, size_t n, float* y) {
  ForEach(n, ScaleAddBody{a, x, y});
}
inline void Scale(float a, size_t n, float* x) { ForEach(n, ScaleBody{a, x}); }
inline void Softcap(float cap, size_t n, float* x) { ForEach(n, SoftcapBody{cap, x}); }
inline void SigmoidGate(const float* x, size_t n, float* y) { ForEach(n, SigmoidGateBody{x, y}); }

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_ELEMENTWISE_INL_H_
