// Chooses experts and weighs them.
#if defined(JUNTO_KERNELS_ROUTER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_ROUTER_INL_H_
#undef JUNTO_KERNELS_ROUTER_INL_H_
#else
#define JUNTO_KERNELS_ROUTER_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>

#include "junto/kernels/elementwise-inl.h"
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

// Scores are kept finite, so that every order below is total and no softmax divides by 0.
constexpr float kHighestScore = std::numeric_limits<float>::max();
constexpr float kLowestScore = -kHighestScore;

// NaN and -infinity become the lowest score, infinity the highest.
struct FiniteBody {
  float* x;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    const auto v = hn::LoadU(d, x + i);
    const auto high = hn::Set(d, kHighestScore);
    const auto low = hn::Set(d, kLowestScore);
    const auto capped = hn::IfThenElse(hn::Gt(v, high), high, v);
    hn::StoreU(hn::IfThenElse(hn::Ge(capped, low), capped, low), d, x + i);
  }
};

struct SigmoidBody {
  float* x;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(Sigmoid(d, hn::LoadU(d, x + i)), d, x + i);
  }
};

// x = softmax(x), the sum over the virtual lanes.
HWY_INLINE void SoftmaxRow(float* x, size_t n) {
  ForEach(n, ExpBody{Reduce<MaxReduction>(x, n), x});
  ForEach(n, DivideBody{Reduce<SumReduction>(x, n), x});
}

// The `count` largest of scores + bias in descending order, equal ones by id. `best` [count] ends
// as their values. An insertion into a sorted list: the scan is long, the list short and rarely
// touched.
inline void SelectLargest(const float* scores, const float* bias, uint32_t n, uint32_t count,
                          uint32_t* ids, float* best) {
  uint32_t held = 0;
  for (uint32_t id = 0; id < n; ++id) {
    float score = bias == nullptr ? scores[id] : scores[id] + bias[id];
    if (!(score >= kLowestScore)) score = kLowestScore;  // a bias may be NaN
    if (held == count && !(score > best[held - 1])) continue;
    uint32_t place = held == count ? held - 1 : held++;
    for (; place > 0 && score > best[place - 1]; --place) {
      best[place] = best[place - 1];
      ids[place] = ids[place - 1];
    }
    best[place] = score;
    ids[place] = id;
  }
}

// See KernelTable::route. Sums over the selected experts go by rank, ascending.
inline void Route(const RouterSpec& spec, float* logits, const float* bias, uint32_t* ids,
                  float* weights) {
  const bool sigmoid = spec.scoring == RouterScoring::kSigmoid;
  ForEach(spec.experts, FiniteBody{logits});
  if (spec.scoring == RouterScoring::kSoftmaxRenormalise) SoftmaxRow(logits, spec.experts);
  if (sigmoid) ForEach(spec.experts, SigmoidBody{logits});

  const uint32_t used = spec.experts_used;
  SelectLargest(logits, sigmoid ? bias : nullptr, spec.experts, used, ids, weights);
  for (uint32_t rank = 0; rank < used; ++rank) weights[rank] = logits[ids[rank]];

  if (spec.scoring == RouterScoring::kSoftmaxTopK) ForEach(used, ExpBody{weights[0], weights});
  if (!sigmoid || spec.renormalise) {
    float sum = 0.0f;
    for (uint32_t rank = 0; rank < used; ++rank) sum += weights[rank];
    ForEach(used, DivideBody{sigmoid ? sum + 1e-20f : sum, weights});
  }
  Scale(spec.scale, used, weights);
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_ROUTER_INL_H_
