// DeltaHead: one value head of a delta-net over the rows that a pass has of one sequence.
#ifndef JUNTO_RUNTIME_DELTA_HEAD_H_
#define JUNTO_RUNTIME_DELTA_HEAD_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "junto/runtime/pass.h"

namespace junto {

// From what a pass's matrices gave, channels in `query`, gates in `value`, decays and rates in
// `key`, to the head's part of `attended`. Heads share nothing but what they read: what their key
// head needs each computes for itself, which is little beside the rule.
class DeltaHead {
 public:
  DeltaHead(const Pass& pass, uint32_t layer, const PassRun& run, uint32_t head, float* scratch)
      : pass_(pass),
        kernels_(*pass.engine().kernels),
        spec_(pass.engine().spec->layers[layer].delta),
        weights_(pass.engine().weights->layers[layer].delta),
        shape_(spec_),
        run_(run),
        head_(head),
        before_(pass.row(run.first).states->before(layer)),
        after_(pass.row(run.first).states->after(layer)),
        scratch_(spec_, scratch) {}

  // Rows [begin, end) of the run, all before them being done; `begin` is a multiple of kTokens.
  void Run(uint32_t begin, uint32_t end) const {
    const uint32_t key_head = spec_.key_head(head_);
    const uint32_t query_channel = key_head * spec_.key_dim;
    const uint32_t key_channel = spec_.key_channels() + query_channel;
    const uint32_t value_channel = 2 * spec_.key_channels() + head_ * spec_.value_dim;

    float* const to = after_ + shape_.history + head_ * shape_.head;
    const float* from = to;
    if (begin == 0 && before_ == nullptr) {
      std::fill(to, to + shape_.head, 0.0f);
    } else if (begin == 0) {
      from = before_ + shape_.history + head_ * shape_.head;
    }
    const uint32_t columns = shape_.panels * kDeltaPanel;
    std::fill(scratch_.value, scratch_.value + kTokens * columns, 0.0f);
    for (uint32_t first = begin; first < end; first += kTokens) {
      const uint32_t count = std::min(kTokens, end - first);
      Convolve(first, count, query_channel, spec_.key_dim, scratch_.query, spec_.key_dim);
      Convolve(first, count, key_channel, spec_.key_dim, scratch_.key, spec_.key_dim);
      Convolve(first, count, value_channel, spec_.value_dim, scratch_.value, columns);
      NormKeys(count);
      OpenGates(first, count);
      Remember(count, from, to);
      from = to;
      for (uint32_t t = 0; t < count; ++t) Emit(first + t, scratch_.out + t * columns);
    }
    if (end != run_.count) return;
    KeepHistory(value_channel, spec_.value_dim);
    if (!spec_.first_of_key_head(head_)) return;
    KeepHistory(query_channel, spec_.key_dim);
    KeepHistory(key_channel, spec_.key_dim);
  }

 private:
  static constexpr uint32_t kTokens = DeltaScratch::kTokens;
  static constexpr float kEpsilon = 1e-6f;  // of the keys' norm, whatever that of other norms

  // Channels of row `token` of the run, which may lie up to taps - 1 before it; nullptr: zeros,
  // before the sequence.
  const float* Channels(int64_t token, uint32_t channel) const {
    if (token >= 0) return pass_.query.row(run_.first + static_cast<uint64_t>(token)) + channel;
    if (before_ == nullptr) return nullptr;
    const auto row = static_cast<uint64_t>(token + spec_.taps - 1);
    return before_ + row * shape_.channels + channel;
  }
  void CopyChannels(int64_t token, uint32_t channel, uint32_t count, float* to) const {
    const float* const from = Channels(token, channel);
    if (from == nullptr) {
      std::fill(to, to + count, 0.0f);
    } else {
      std::copy(from, from + count, to);
    }
  }

  void Convolve(uint32_t first, uint32_t count, uint32_t channel, uint32_t channels, float* y,
                uint32_t y_stride) const {
    const uint32_t behind = spec_.taps - 1;
    for (uint32_t i = 0; i < behind + count; ++i) {
      CopyChannels(int64_t{first} + i - behind, channel, channels, scratch_.window + i * channels);
    }
    ConvolveArgs args = {};
    args.x = scratch_.window;
    args.weight = weights_.convolution + channel;
    args.weight_stride = shape_.channels;
    args.taps = spec_.taps;
    args.channels = channels;
    args.count = count;
    args.y = y;
    args.y_stride = y_stride;
    kernels_.convolve(args);
  }

  // Queries and keys to unit length, queries then scaled like those of attention.
  void NormKeys(uint32_t count) const {
    const uint32_t dim = spec_.key_dim;
    const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
    for (uint32_t t = 0; t < count; ++t) {
      float* const query = scratch_.query + t * dim;
      float* const key = scratch_.key + t * dim;
      kernels_.l2_norm(kEpsilon, scale, dim, query);
      kernels_.l2_norm(kEpsilon, 1.0f, dim, key);
      scratch_.overlap[t] = kernels_.dot(query, key, dim);
    }
  }

  void OpenGates(uint32_t first, uint32_t count) const {
    const bool apart = weights_.rates.present();
    const uint32_t share = spec_.share();
    const uint32_t joint_rate = head_ / share * 2 * share + head_ % share;
    const uint32_t decay = apart ? head_ : joint_rate + share;
    const uint32_t rate = apart ? spec_.value_heads + head_ : joint_rate;
    for (uint32_t t = 0; t < count; ++t) {
      const float* const row = pass_.key.row(run_.first + first + t);
      scratch_.decay[t] = row[decay];
      scratch_.rate[t] = row[rate];
    }
    kernels_.delta_gates(weights_.slope[head_], weights_.bias[head_], count, scratch_.decay,
                         scratch_.rate);
  }

  void Remember(uint32_t count, const float* from, float* to) const {
    DeltaRuleArgs args = {};
    args.from = from;
    args.to = to;
    args.key_dim = spec_.key_dim;
    args.panels = shape_.panels;
    args.count = count;
    args.query = scratch_.query;
    args.key = scratch_.key;
    args.overlap = scratch_.overlap;
    args.value = scratch_.value;
    args.decay = scratch_.decay;
    args.rate = scratch_.rate;
    args.out = scratch_.out;
    kernels_.delta_rule(args);
  }

  // The head's output of one row: normed, then gated.
  void Emit(uint32_t token, const float* out) const {
    const uint32_t dim = spec_.value_dim;
    const uint64_t row = run_.first + token;
    float* const y = pass_.attended.row(row) + head_ * dim;
    kernels_.rms_norm(out, weights_.norm, dim, pass_.engine().spec->epsilon, y);
    kernels_.activate(ActivationSpec(), pass_.value.row(row) + head_ * dim, y, dim, y);
  }

  // What the next pass's convolution will look back at.
  void KeepHistory(uint32_t channel, uint32_t channels) const {
    const uint32_t behind = spec_.taps - 1;
    for (uint32_t i = 0; i < behind; ++i) {
      CopyChannels(int64_t{run_.count} + i - behind, channel, channels,
                   after_ + uint64_t{i} * shape_.channels + channel);
    }
  }

  const Pass& pass_;
  const KernelTable& kernels_;
  const DeltaNetSpec& spec_;
  const DeltaNetWeights& weights_;
  StateShape shape_;
  PassRun run_;
  uint32_t head_;
  const float* before_;
  float* after_;
  DeltaScratch scratch_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_DELTA_HEAD_H_
