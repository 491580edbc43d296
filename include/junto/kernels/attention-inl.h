// Attention of one query row over the blocks of one key/value head.
//
// Keys are transposed, so a lane is a key and q.k is an fma along the head's dimension; values keep
// a lane per channel, an fma over the keys. Both are the same operation, a weighted sum of the rows
// of a matrix. Each block of 64 absolute positions yields (maximum, sum, weighted values), and
// these join the running ones in ascending order: results depend neither on how a prompt was cut
// into chunks nor on how many heads share a load.
#if defined(JUNTO_KERNELS_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_ATTENTION_INL_H_
#undef JUNTO_KERNELS_ATTENTION_INL_H_
#else
#define JUNTO_KERNELS_ATTENTION_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "junto/base/checked.h"
#include "junto/kernels/elementwise-inl.h"
#include "junto/kernels/kernels.h"
#include "junto/kernels/kv-inl.h"
#include "junto/kernels/lanes-inl.h"
#include "junto/kernels/math-inl.h"
#include "junto/kernels/targets.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kHeadSweep = kVirtualLanes;  // heads that share one pass over the blocks
constexpr size_t kRegisters = HWY_TARGET <= HWY_AVX3 ? 32 : 16;
constexpr size_t kTileHeads = HWY_TARGET <= HWY_AVX3 ? 8 : 6;  // that share the load of a vector

// Vectors that so many heads take at a time: a power of two, so that the sums, the vectors and a
// weight are all in registers.
constexpr size_t TileVectors(size_t heads) {
  size_t vectors = 1;
  while (2 * vectors * (heads + (heads > 1 ? 1 : 0)) < kRegisters - 1) vectors *= 2;
  return HWY_MIN(vectors, kKvBlock / kWideLanes);
}

// sum[h][v] = sum over rows, ascending, of weights[h][row] * matrix[row][v-th vector].
template <KvType kType, size_t kHeads, size_t kVectors, class D>
HWY_INLINE void SumRows(D d, const KvElement<kType>* matrix, size_t stride, size_t rows,
                        const float* weights, size_t weight_stride,
                        hn::Vec<D> (&sum)[kHeads][kVectors]) {
  HWY_UNROLL(8)
  for (size_t h = 0; h < kHeads; ++h) {
    HWY_UNROLL(8)
    for (size_t v = 0; v < kVectors; ++v) sum[h][v] = hn::Zero(d);
  }
  for (size_t row = 0; row < rows; ++row) {
    hn::Vec<D> x[kVectors];
    HWY_UNROLL(8)
    for (size_t v = 0; v < kVectors; ++v) {
      x[v] = LoadKv<kType>(d, matrix + row * stride + v * hn::MaxLanes(d));
    }
    HWY_UNROLL(8)
    for (size_t h = 0; h < kHeads; ++h) {
      const auto weight = hn::Set(d, weights[h * weight_stride + row]);
      HWY_UNROLL(8)
      for (size_t v = 0; v < kVectors; ++v) sum[h][v] = hn::MulAdd(weight, x[v], sum[h][v]);
    }
  }
}

// Merges such sums into out[h][begin, end): out = out * running[h] + sum * joining[h].
template <KvType kType, size_t kHeads>
struct RowMixer {
  const KvElement<kType>* matrix;
  size_t stride;
  size_t rows;
  const float* weights;
  size_t weight_stride;
  const float* running;
  const float* joining;
  float* out;
  size_t out_stride;

  // As many steps of kVectors vectors as fit; returns where they end.
  template <size_t kVectors, class D>
  HWY_INLINE size_t Steps(D d, size_t begin, size_t end) const {
    constexpr size_t kLanes = hn::MaxLanes(D());
    for (; begin + kVectors * kLanes <= end; begin += kVectors * kLanes) {
      hn::Vec<D> sum[kHeads][kVectors];
      SumRows<kType>(d, matrix + begin, stride, rows, weights, weight_stride, sum);
      for (size_t h = 0; h < kHeads; ++h) {
        const auto keep = hn::Set(d, running[h]);
        const auto join = hn::Set(d, joining[h]);
        for (size_t v = 0; v < kVectors; ++v) {
          float* const y = out + h * out_stride + begin + v * kLanes;
          hn::StoreU(hn::MulAdd(hn::LoadU(d, y), keep, hn::Mul(sum[h][v], join)), d, y);
        }
      }
    }
    return begin;
  }

  void Mix(size_t begin, size_t end) const {
    constexpr size_t kVectors = TileVectors(kHeads);
    begin = Steps<kVectors>(WideTag(), begin, end);
    begin = Steps<1>(WideTag(), begin, end);
    Steps<1>(SingleTag(), begin, end);
  }
};

// One block, and which of its positions are visible.
struct VisibleBlock {
  const uint8_t* data;
  size_t begin;
  size_t end;
};

// What the heads of a sweep have gathered from the blocks so far, their weighted values apart, and
// what they find in the next one. A sink is a head that has met one logit with value 0 already.
struct SweepState {
  float maximum[kHeadSweep];
  float sum[kHeadSweep];
  float block_maximum[kHeadSweep];
  float block_sum[kHeadSweep];
  float running[kHeadSweep];  // factors that bring the running values and the block's to their
  float joining[kHeadSweep];  // common maximum
  float scores[kHeadSweep * kKvBlock];
};

struct MergeBody {
  SweepState* state;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    const auto load = [&](const float* x) HWY_ATTR { return hn::LoadU(d, x + i); };
    const auto maximum = load(state->maximum);
    const auto block_maximum = load(state->block_maximum);
    const auto one = hn::Set(d, 1.0f);
    const auto rise = hn::Sub(block_maximum, maximum);
    const auto shrink = Exp(d, hn::Neg(hn::Abs(rise)));
    const auto rises = hn::Gt(rise, hn::Zero(d));
    const auto running = hn::IfThenElse(rises, shrink, one);
    const auto joining = hn::IfThenElse(rises, one, shrink);
    const auto joined = hn::Mul(load(state->block_sum), joining);
    hn::StoreU(hn::IfThenElse(rises, block_maximum, maximum), d, state->maximum + i);
    hn::StoreU(hn::Add(hn::Mul(load(state->sum), running), joined), d, state->sum + i);
    hn::StoreU(running, d, state->running + i);
    hn::StoreU(joining, d, state->joining + i);
  }
};

// Turns a head's scores into unnormalised probabilities.
HWY_INLINE void WeighKeys(float softcap, const VisibleBlock& block, float* scores, float* maximum,
                          float* sum) {
  if (softcap > 0.0f) ForEach(kKvBlock, SoftcapBody{softcap, scores});
  for (size_t key = 0; key < block.begin; ++key) scores[key] = MaxReduction::kIdentity;
  for (size_t key = block.end; key < kKvBlock; ++key) scores[key] = MaxReduction::kIdentity;
  *maximum = Reduce<MaxReduction>(scores, kKvBlock);
  ForEach(kKvBlock, ExpBody{*maximum, scores});
  *sum = Reduce<SumReduction>(scores, kKvBlock);
}

// Calls f(constant, h) so that steps of constant() heads from h on cover [0, heads).
template <size_t kHeads, class F>
HWY_INLINE void ForHeads(size_t heads, const F& f, size_t h = 0) {
  for (; h + kHeads <= heads; h += kHeads) f(std::integral_constant<size_t, kHeads>(), h);
  if constexpr (kHeads > 1) ForHeads<(kHeads > 4 ? kHeads - 2 : kHeads - 1)>(heads, f, h);
}

template <KvType kType>
HWY_INLINE void AttendBlock(const AttentionArgs& args, const VisibleBlock& block, size_t head,
                            size_t heads, SweepState* state) {
  using T = KvElement<kType>;
  const T* const keys = reinterpret_cast<const T*>(block.data + args.key_offset);
  const T* const values = reinterpret_cast<const T*>(block.data + args.value_offset);
  float* const scores = state->scores;

  // Whole vectors: lanes of hidden positions may hold anything and are overwritten.
  for (size_t h = 0; h < heads; ++h) state->running[h] = 0.0f;
  for (size_t h = 0; h < heads; ++h) state->joining[h] = args.scale;
  for (size_t i = 0; i < heads * kKvBlock; ++i) scores[i] = 0.0f;
  ForHeads<kTileHeads>(heads, [&](auto count, size_t h) {
    RowMixer<kType, count()>{keys,
                             kKvBlock,
                             args.key_dim,
                             args.query + (head + h) * args.query_stride,
                             args.query_stride,
                             state->running + h,
                             state->joining + h,
                             scores + h * kKvBlock,
                             kKvBlock}
        .Mix(block.begin / kWideLanes * kWideLanes, RoundUp(block.end, kWideLanes));
  });
  for (size_t h = 0; h < heads; ++h) {
    WeighKeys(args.softcap, block, scores + h * kKvBlock, state->block_maximum + h,
              state->block_sum + h);
  }
  ForEach(kHeadSweep, MergeBody{state});
  ForHeads<kTileHeads>(heads, [&](auto count, size_t h) {
    RowMixer<kType, count()>{values + block.begin * args.value_dim,
                             args.value_dim,
                             block.end - block.begin,
                             scores + h * kKvBlock + block.begin,
                             kKvBlock,
                             state->running + h,
                             state->joining + h,
                             args.out + (head + h) * args.out_stride,
                             args.out_stride}
        .Mix(0, args.value_dim);
  });
}

template <KvType kType>
inline void AttendSweep(const AttentionArgs& args, size_t head, size_t heads) {
  SweepState state;
  for (size_t h = 0; h < kHeadSweep; ++h) {
    const bool sink = args.sinks != nullptr && h < heads;
    state.maximum[h] = sink ? args.sinks[head + h] : MaxReduction::kIdentity;
    state.sum[h] = sink ? 1.0f : 0.0f;
    state.block_maximum[h] = state.block_sum[h] = 0.0f;  // heads that are not there
  }
  for (size_t h = 0; h < heads; ++h) {
    float* const out = args.out + (head + h) * args.out_stride;
    for (size_t c = 0; c < args.value_dim; ++c) out[c] = 0.0f;
  }

  for (uint64_t b = args.first / kKvBlock; b <= (args.end - 1) / kKvBlock; ++b) {
    const uint64_t start = b * kKvBlock;
    VisibleBlock block;
    block.data = args.blocks[b % args.block_count];
    block.begin = static_cast<size_t>(HWY_MAX(args.first, start) - start);
    block.end = static_cast<size_t>(HWY_MIN(args.end - start, uint64_t{kKvBlock}));
    AttendBlock<kType>(args, block, head, heads, &state);
  }

  for (size_t h = 0; h < heads; ++h) {
    ForEach(args.value_dim, DivideBody{state.sum[h], args.out + (head + h) * args.out_stride});
  }
}

template <KvType kType>
inline void AttendGroup(const AttentionArgs& args) {
  for (size_t head = 0; head < args.group; head += kHeadSweep) {
    AttendSweep<kType>(args, head, HWY_MIN(kHeadSweep, args.group - head));
  }
}

// See AttentionArgs. Keys and values are aligned to their type. A NaN among a head's visible scores
// makes its whole output NaN.
inline void Attention(const AttentionArgs& args) {
  switch (args.type) {
    case KvType::kF32:
      return AttendGroup<KvType::kF32>(args);
    case KvType::kF16:
      return AttendGroup<KvType::kF16>(args);
    case KvType::kBF16:
      return AttendGroup<KvType::kBF16>(args);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_ATTENTION_INL_H_
