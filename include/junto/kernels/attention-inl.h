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

constexpr size_t kHeadSweep = 16;  // heads that share one pass over the blocks
constexpr size_t kTileSums = 8;    // accumulators in flight, enough to hide the latency of fma

// sum[h][v] = sum over rows, ascending, of weights[h][row] * matrix[row][v-th vector].
template <KvType kType, size_t kHeads, size_t kVectors, class D>
HWY_INLINE void SumRows(D d, const KvElement<kType>* matrix, size_t stride, size_t rows,
                        const float* weights, size_t weight_stride,
                        hn::Vec<D> (&sum)[kHeads][kVectors]) {
  HWY_UNROLL(4)
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
    HWY_UNROLL(4)
    for (size_t h = 0; h < kHeads; ++h) {
      const auto weight = hn::Set(d, weights[h * weight_stride + row]);
      HWY_UNROLL(8)
      for (size_t v = 0; v < kVectors; ++v) sum[h][v] = hn::MulAdd(weight, x[v], sum[h][v]);
    }
  }
}

// What becomes of an output when a new sum joins it: out = out * running + sum * block.
struct Merge {
  float running;
  float block;
};

// Merges such sums into out[h][begin, end).
template <KvType kType, size_t kHeads>
struct RowMixer {
  const KvElement<kType>* matrix;
  size_t stride;
  size_t rows;
  const float* weights;
  size_t weight_stride;
  const Merge* merges;  // [heads]
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
        const auto running = hn::Set(d, merges[h].running);
        const auto block = hn::Set(d, merges[h].block);
        for (size_t v = 0; v < kVectors; ++v) {
          float* const y = out + h * out_stride + begin + v * kLanes;
          hn::StoreU(hn::MulAdd(hn::LoadU(d, y), running, hn::Mul(sum[h][v], block)), d, y);
        }
      }
    }
    return begin;
  }

  void Mix(size_t begin, size_t end) const {
    constexpr size_t kVectors = HWY_MIN(kTileSums / kHeads, kKvBlock / kWideLanes);
    begin = Steps<kVectors>(WideTag(), begin, end);
    begin = Steps<1>(WideTag(), begin, end);
    Steps<1>(SingleTag(), begin, end);
  }
};

// What a head has gathered from the blocks so far, its weighted values apart. A sink is a head that
// has met one logit with value 0 already.
struct HeadState {
  float maximum;
  float sum;
};

// Turns the scores of a block, of which [begin, end) are visible, into unnormalised probabilities
// and accounts for them; returns the factors that bring the running values and the block's to their
// common maximum.
inline Merge MergeBlock(float softcap, size_t begin, size_t end, float* scores, HeadState* state) {
  if (softcap > 0.0f) ForEach(kKvBlock, SoftcapBody{softcap, scores});
  for (size_t key = 0; key < begin; ++key) scores[key] = MaxReduction::kIdentity;
  for (size_t key = end; key < kKvBlock; ++key) scores[key] = MaxReduction::kIdentity;

  const float maximum = Reduce<MaxReduction>(scores, kKvBlock);
  ForEach(kKvBlock, ExpBody{maximum, scores});
  const float sum = Reduce<SumReduction>(scores, kKvBlock);

  const SingleTag d;
  const float rise = maximum - state->maximum;
  const float shrink = hn::GetLane(Exp(d, hn::Neg(hn::Abs(hn::Set(d, rise)))));
  const Merge merge = rise > 0.0f ? Merge{shrink, 1.0f} : Merge{1.0f, shrink};
  if (rise > 0.0f) state->maximum = maximum;
  state->sum = state->sum * merge.running + sum * merge.block;
  return merge;
}

// One block for kHeads heads from `head` on; of its positions [begin, end) are visible.
template <KvType kType, size_t kHeads>
inline void AttendBlock(const AttentionArgs& args, const uint8_t* block, size_t begin, size_t end,
                        size_t head, HeadState* states) {
  using T = KvElement<kType>;
  const T* const keys = reinterpret_cast<const T*>(block + args.key_offset);
  const T* const values = reinterpret_cast<const T*>(block + args.value_offset);
  float scores[kHeads * kKvBlock] = {};
  Merge merges[kHeads];

  // Whole vectors: lanes of hidden positions may hold anything and are overwritten.
  const float* const query = args.query + head * args.query_stride;
  for (Merge& merge : merges) merge = {0.0f, args.scale};
  RowMixer<kType, kHeads>{keys,   kKvBlock, args.key_dim, query, args.query_stride,
                          merges, scores,   kKvBlock}
      .Mix(begin / kWideLanes * kWideLanes, RoundUp(end, kWideLanes));

  for (size_t h = 0; h < kHeads; ++h) {
    merges[h] = MergeBlock(args.softcap, begin, end, scores + h * kKvBlock, states + h);
  }
  float* const out = args.out + head * args.out_stride;
  RowMixer<kType, kHeads>{values + begin * args.value_dim,
                          args.value_dim,
                          end - begin,
                          scores + begin,
                          kKvBlock,
                          merges,
                          out,
                          args.out_stride}
      .Mix(0, args.value_dim);
}

template <KvType kType>
inline void AttendSweep(const AttentionArgs& args, size_t head, size_t heads) {
  HeadState states[kHeadSweep];
  for (size_t h = 0; h < heads; ++h) {
    states[h] = {MaxReduction::kIdentity, 0.0f};
    if (args.sinks != nullptr) states[h] = {args.sinks[head + h], 1.0f};
    float* const out = args.out + (head + h) * args.out_stride;
    for (size_t c = 0; c < args.value_dim; ++c) out[c] = 0.0f;
  }

  for (uint64_t b = args.first / kKvBlock; b <= (args.end - 1) / kKvBlock; ++b) {
    const uint8_t* const block = args.blocks[b % args.block_count];
    const uint64_t start = b * kKvBlock;
    const size_t begin = static_cast<size_t>(HWY_MAX(args.first, start) - start);
    const size_t end = static_cast<size_t>(HWY_MIN(args.end - start, uint64_t{kKvBlock}));
    size_t h = 0;  // up to four heads share the load of a vector
    for (; h + 4 <= heads; h += 4) {
      AttendBlock<kType, 4>(args, block, begin, end, head + h, states + h);
    }
    for (; h + 2 <= heads; h += 2) {
      AttendBlock<kType, 2>(args, block, begin, end, head + h, states + h);
    }
    if (h < heads) AttendBlock<kType, 1>(args, block, begin, end, head + h, states + h);
  }

  for (size_t h = 0; h < heads; ++h) {
    ForEach(args.value_dim, DivideBody{states[h].sum, args.out + (head + h) * args.out_stride});
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
