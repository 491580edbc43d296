// Lanes: how work is spread over a vector without the vector's width showing in the result.
//
// What crosses lanes goes through 16 virtual lanes: lane l takes the elements 16 i + l in ascending
// order, then a fixed tree joins the lanes l and l + 8, l + 4, l + 2, l + 1. What does not cross
// lanes is done elementwise with the widest vectors of up to 16 lanes, and one lane at a time at
// the end.
#if defined(JUNTO_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_LANES_INL_H_
#undef JUNTO_KERNELS_LANES_INL_H_
#else
#define JUNTO_KERNELS_LANES_INL_H_
#endif

#include <cstddef>
#include <limits>

#include "junto/kernels/targets.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kVirtualLanes = 16;
using WideTag = hn::CappedTag<float, kVirtualLanes>;
using SingleTag = hn::CappedTag<float, 1>;
constexpr size_t kWideLanes = hn::MaxLanes(WideTag());
constexpr size_t kWideVectors = kVirtualLanes / kWideLanes;  // that make up the virtual lanes

// Calls body(tag, i) for elements [i, i + lanes of tag) until [0, n) is covered.
template <class Body>
HWY_INLINE void ForEach(size_t n, const Body& body) {
  const size_t whole = n / kWideLanes * kWideLanes;
  for (size_t i = 0; i < whole; i += kWideLanes) body(WideTag(), i);
  for (size_t i = whole; i < n; ++i) body(SingleTag(), i);
}

struct SumReduction {
  static constexpr float kIdentity = 0.0f;
  template <class V>
  static HWY_INLINE V Take(V lane, V x) {
    return hn::Add(lane, x);
  }
  template <class V>
  static HWY_INLINE V Join(V a, V b) {
    return hn::Add(a, b);
  }
};

struct SquaresReduction : SumReduction {
  template <class V>
  static HWY_INLINE V Take(V lane, V x) {
    return hn::MulAdd(x, x, lane);
  }
};

// Of two rows.
struct ProductsReduction : SumReduction {
  template <class V>
  static HWY_INLINE V Take(V lane, V x, V y) {
    return hn::MulAdd(x, y, lane);
  }
};

// NaNs may be lost here: whoever cares adds something that keeps them.
struct MaxReduction {
  static constexpr float kIdentity = -std::numeric_limits<float>::infinity();
  template <class V>
  static HWY_INLINE V Take(V lane, V x) {
    return hn::Max(lane, x);
  }
  template <class V>
  static HWY_INLINE V Join(V a, V b) {
    return hn::Max(a, b);
  }
};

// The part of the tree that lies within one vector.
template <class Reduction, class D>
HWY_INLINE float JoinVector(D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(d) == 1) {
    return hn::GetLane(v);
  } else {
    const hn::Half<D> half;
    // UpperHalf unqualified: the one-lane target has none.
    return JoinVector<Reduction>(half, Reduction::Join(hn::LowerHalf(half, v), UpperHalf(half, v)));
  }
}

// The last elements of a row, filled up to the virtual lanes.
template <class Reduction>
struct Tail {
  HWY_INLINE Tail(const float* x, size_t n) {
    for (size_t l = 0; l < kVirtualLanes; ++l) lanes[l] = l < n ? x[l] : Reduction::kIdentity;
  }
  float lanes[kVirtualLanes];
};

// Reduces the first n elements of one row, or of as many as the reduction takes at a time; an empty
// range gives the identity.
template <class Reduction, class... Rows>
HWY_INLINE float ReduceRows(size_t n, const Rows*... rows) {
  const WideTag d;
  hn::Vec<WideTag> lanes[kWideVectors];
  for (auto& lane : lanes) lane = hn::Set(d, Reduction::kIdentity);
  const auto take = [&](const auto*... x) HWY_ATTR {
    for (size_t v = 0; v < kWideVectors; ++v) {
      lanes[v] = Reduction::Take(lanes[v], hn::LoadU(d, x + v * kWideLanes)...);
    }
  };

  size_t i = 0;
  for (; i + kVirtualLanes <= n; i += kVirtualLanes) take((rows + i)...);
  if (i < n) take(Tail<Reduction>(rows + i, n - i).lanes...);

  for (size_t half = kWideVectors / 2; half != 0; half /= 2) {
    for (size_t v = 0; v < half; ++v) lanes[v] = Reduction::Join(lanes[v], lanes[v + half]);
  }
  return JoinVector<Reduction>(d, lanes[0]);
}

template <class Reduction>
HWY_INLINE float Reduce(const float* x, size_t n) {
  return ReduceRows<Reduction>(n, x);
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_LANES_INL_H_
