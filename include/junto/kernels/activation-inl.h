// The gates of feed-forward layers.
#if defined(JUNTO_KERNELS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_ACTIVATION_INL_H_
#undef JUNTO_KERNELS_ACTIVATION_INL_H_
#else
#define JUNTO_KERNELS_ACTIVATION_INL_H_
#endif

#include <cstddef>

#include "junto/kernels/kernels.h"
#include "junto/kernels/lanes-inl.h"
#include "junto/kernels/math-inl.h"
#include "junto/kernels/targets.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct Silu {
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V operator()(D d, V gate, V up) const {
    return hn::Mul(hn::Mul(gate, Sigmoid(d, gate)), up);
  }
};

// (1 + tanh z) / 2 is sigmoid(2 z), which loses nothing to cancellation where z is negative.
struct Gelu {
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V operator()(D d, V gate, V up) const {
    constexpr float kLinear = 1.595769122f;  // 2 sqrt(2 / pi)
    const V slope =
        hn::MulAdd(hn::Mul(gate, gate), hn::Set(d, kLinear * 0.044715f), hn::Set(d, kLinear));
    return hn::Mul(hn::Mul(gate, Sigmoid(d, hn::Mul(gate, slope))), up);
  }
};

struct SwigluClamped {
  float alpha;
  float limit;

  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V operator()(D d, V gate, V up) const {
    const V high = hn::Set(d, limit);
    const V low = hn::Set(d, -limit);
    gate = hn::IfThenElse(hn::Gt(gate, high), high, gate);  // comparisons keep NaN
    up = hn::IfThenElse(hn::Gt(up, high), high, hn::IfThenElse(hn::Lt(up, low), low, up));
    const V gated = hn::Mul(gate, Sigmoid(d, hn::Mul(hn::Set(d, alpha), gate)));
    return hn::Mul(gated, hn::Add(up, hn::Set(d, 1.0f)));
  }
};

template <class Gate>
struct GateBody {
  Gate function;
  const float* gate;
  const float* up;
  float* y;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(function(d, hn::LoadU(d, gate + i), hn::LoadU(d, up + i)), d, y + i);
  }
};

// See KernelTable::activate.
inline void Activate(const ActivationSpec& spec, const float* gate, const float* up, size_t n,
                     float* y) {
  switch (spec.kind) {
    case Activation::kSilu:
      return ForEach(n, GateBody<Silu>{{}, gate, up, y});
    case Activation::kGelu:
      return ForEach(n, GateBody<Gelu>{{}, gate, up, y});
    case Activation::kSwigluClamped:
      return ForEach(n, GateBody<SwigluClamped>{{spec.alpha, spec.limit}, gate, up, y});
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_ACTIVATION_INL_H_
