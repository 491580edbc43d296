// The parts of a gated delta-net that no other mixer has: its convolution, the norm of its keys,
// its gates and the delta rule.
//
// A lane is a column of the state, so nothing crosses lanes, and every token goes through the same
// recurrence, be it one of a prompt or one that is generated.
#if defined(JUNTO_KERNELS_DELTANET_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_DELTANET_INL_H_
#undef JUNTO_KERNELS_DELTANET_INL_H_
#else
#define JUNTO_KERNELS_DELTANET_INL_H_
#endif

#include <cstddef>
#include <cstdint>

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

struct ConvolveBody {
  const ConvolveArgs& args;
  const float* x;  // the row of the first tap
  float* y;

  template <class D>
  HWY_INLINE void operator()(D d, size_t c) const {
    auto sum = hn::Zero(d);
    for (size_t tap = 0; tap < args.taps; ++tap) {
      const auto weight = hn::LoadU(d, args.weight + tap * args.weight_stride + c);
      sum = hn::MulAdd(weight, hn::LoadU(d, x + tap * args.channels + c), sum);
    }
    hn::StoreU(hn::Mul(sum, Sigmoid(d, sum)), d, y + c);
  }
};

// See ConvolveArgs. Taps are summed in ascending order.
inline void Convolve(const ConvolveArgs& args) {
  for (size_t t = 0; t < args.count; ++t) {
    ForEach(args.channels,
            ConvolveBody{args, args.x + t * args.channels, args.y + t * args.y_stride});
  }
}

// See KernelTable::l2_norm. Squares are summed over the virtual lanes.
inline void L2Norm(float epsilon, float scale, size_t n, float* x) {
  const SingleTag d;
  const float squares = Reduce<SquaresReduction>(x, n);
  const float root = hn::GetLane(hn::Sqrt(hn::Set(d, squares + epsilon)));
  Scale(scale / root, n, x);
}

// See KernelTable::dot; over the virtual lanes.
inline float Dot(const float* x, const float* y, size_t n) {
  return ReduceRows<ProductsReduction>(n, x, y);
}

struct DeltaGatesBody {
  float slope;
  float bias;
  float* decay;
  float* rate;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    const auto step = Softplus(d, hn::Add(hn::LoadU(d, decay + i), hn::Set(d, bias)));
    hn::StoreU(Exp(d, hn::Mul(hn::Set(d, slope), step)), d, decay + i);
    hn::StoreU(Sigmoid(d, hn::LoadU(d, rate + i)), d, rate + i);
  }
};

// See KernelTable::delta_gates.
inline void DeltaGates(float slope, float bias, size_t n, float* decay, float* rate) {
  ForEach(n, DeltaGatesBody{slope, bias, decay, rate});
}

// Some panels of the state, as many as share the loads of a token's keys.
template <size_t kPanels>
struct StatePanels {
  static constexpr size_t kVectors = kPanels * kWideVectors;
  using Vectors = hn::Vec<WideTag>[kVectors];

  // Where vector v of row 0 lies; rows are kDeltaPanel apart.
  static HWY_INLINE size_t Offset(size_t key_dim, size_t v) {
    return v / kWideVectors * key_dim * kDeltaPanel + v % kWideVectors * kWideLanes;
  }

  // One token's update of the state: row = decay * row + key[row] * change.
  struct Update {
    const float* from;
    float* to;
    const float* key;
    float decay;
    const Vectors* change;
  };
  // The next token's products with it: state^T key and state^T query, rows in ascending order.
  struct Products {
    const float* state;  // where there is no update
    const float* key;
    const float* query;
    Vectors* keys;
    Vectors* queries;
  };

  // Both in one walk over the rows; either may be left out.
  template <bool kUpdate, bool kProducts>
  static HWY_INLINE void Walk(size_t key_dim, const Update& update, const Products& products) {
    const WideTag d;
    Vectors keys;
    Vectors queries;
    Vectors change;
    HWY_UNROLL(16)
    for (size_t v = 0; v < kVectors; ++v) {
      keys[v] = queries[v] = hn::Zero(d);
      if (kUpdate) change[v] = (*update.change)[v];
    }
    const float* const from = kUpdate ? update.from : products.state;
    const auto decay = hn::Set(d, update.decay);
    for (size_t row = 0; row < key_dim; ++row) {
      const auto old_key = hn::Set(d, kUpdate ? update.key[row] : 0.0f);
      const auto key = hn::Set(d, kProducts ? products.key[row] : 0.0f);
      const auto query = hn::Set(d, kProducts ? products.query[row] : 0.0f);
      HWY_UNROLL(16)
      for (size_t v = 0; v < kVectors; ++v) {
        const size_t at = Offset(key_dim, v) + row * kDeltaPanel;
        auto state = hn::LoadU(d, from + at);
        if (kUpdate) {
          state = hn::MulAdd(old_key, change[v], hn::Mul(decay, state));
          hn::StoreU(state, d, update.to + at);
        }
        if (!kProducts) continue;
        keys[v] = hn::MulAdd(key, state, keys[v]);
        queries[v] = hn::MulAdd(query, state, queries[v]);
      }
    }
    if (!kProducts) return;
    HWY_UNROLL(16)
    for (size_t v = 0; v < kVectors; ++v) {
      (*products.keys)[v] = keys[v];
      (*products.queries)[v] = queries[v];
    }
  }

  // A token's change of the state and its output, from its products with the state before:
  //   change = rate (value - decay keys),   out = decay queries + overlap change.
  static HWY_INLINE void Settle(const DeltaRuleArgs& args, size_t t, size_t column,
                                const Vectors& keys, const Vectors& queries, Vectors* change) {
    const WideTag d;
    const auto decay = hn::Set(d, args.decay[t]);
    const auto rate = hn::Set(d, args.rate[t]);
    const auto overlap = hn::Set(d, args.overlap[t]);
    const size_t at = t * args.panels * kDeltaPanel + column;
    HWY_UNROLL(16)
    for (size_t v = 0; v < kVectors; ++v) {
      const auto value = hn::LoadU(d, args.value + at + v * kWideLanes);
      (*change)[v] = hn::Mul(rate, hn::NegMulAdd(decay, keys[v], value));
      const auto out = hn::MulAdd((*change)[v], overlap, hn::Mul(decay, queries[v]));
      hn::StoreU(out, d, args.out + at + v * kWideLanes);
    }
  }

  static void Run(const DeltaRuleArgs& args, size_t first_panel) {
    const size_t key_dim = args.key_dim;
    const size_t column = first_panel * kDeltaPanel;
    const float* from = args.from + column * key_dim;
    float* const to = args.to + column * key_dim;
    Vectors keys;
    Vectors queries;
    Vectors change;
    Walk<false, true>(key_dim, {}, {from, args.key, args.query, &keys, &queries});
    for (size_t t = 0; t < args.count; ++t) {
      Settle(args, t, column, keys, queries, &change);
      const Update update = {from, to, args.key + t * key_dim, args.decay[t], &change};
      from = to;
      if (t + 1 == args.count) {
        Walk<true, false>(key_dim, update, {});
        break;
      }
      const size_t next = (t + 1) * key_dim;
      Walk<true, true>(key_dim, update,
                       {nullptr, args.key + next, args.query + next, &keys, &queries});
    }
  }
};

// Panels that are walked together: enough sums in flight to hide the latency of fma.
constexpr size_t kPanelsPerWalk = HWY_TARGET <= HWY_AVX3 ? 4 : 1;

// See DeltaRuleArgs.
inline void DeltaRule(const DeltaRuleArgs& args) {
  size_t panel = 0;
  for (; panel + kPanelsPerWalk <= args.panels; panel += kPanelsPerWalk) {
    StatePanels<kPanelsPerWalk>::Run(args, panel);
  }
  for (; panel < args.panels; ++panel) StatePanels<1>::Run(args, panel);
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_DELTANET_INL_H_
