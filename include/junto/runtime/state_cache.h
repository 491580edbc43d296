// StateCache: what the delta-nets of one sequence remember, and checkpoints of it.
//
// A state cannot be cut back, only kept. A pass reads the state after the tokens that are held and
// writes the one after its own to another slot: given up halfway, it leaves nothing behind. So a
// checkpoint is a slot that is not reused, and keeping one costs no copy.
#ifndef JUNTO_RUNTIME_STATE_CACHE_H_
#define JUNTO_RUNTIME_STATE_CACHE_H_

#include <algorithm>
#include <cstdint>

#include "junto/base/arena.h"
#include "junto/model/spec.h"

namespace junto {

// Floats of one layer's state: first the last taps - 1 rows of channels before the convolution, the
// latest last, then for each value head its matrix as DeltaRuleArgs has it.
struct StateShape {
  explicit StateShape(const DeltaNetSpec& spec)
      : panels(CeilDiv(spec.value_dim, kDeltaPanel)),
        channels(spec.present() ? spec.channel_count() : 0),
        history(uint64_t{std::max(spec.taps, 1u) - 1} * channels),
        head(uint64_t{spec.key_dim} * panels * kDeltaPanel),
        total(history + spec.value_heads * head) {}

  uint32_t panels;  // of a head
  uint32_t channels;
  uint64_t history;
  uint64_t head;
  uint64_t total;
};

class StateCache {
 public:
  static constexpr uint32_t kMaxCheckpoints = 8;

  // Takes its room from the arenas, tables from one and states from the other, with as many
  // checkpoints as fit `checkpoint_bytes`; with measuring arenas it only says how much.
  void LayOut(const ModelSpec& spec, uint64_t checkpoint_bytes, Arena* tables, Arena* states) {
    const size_t layers = spec.layers.size();
    offsets_ = tables->Take<uint64_t>(layers);
    uint64_t floats = 0;
    for (size_t i = 0; i < layers; ++i) {
      if (offsets_ != nullptr) offsets_[i] = floats;
      floats += RoundUp<uint64_t>(StateShape(spec.layers[i].delta).total, kDeltaPanel);
    }
    slot_count_ = 0;
    if (floats != 0) {
      const uint64_t fitting = checkpoint_bytes / (floats * sizeof(float));
      slot_count_ = 2 + static_cast<uint32_t>(std::min<uint64_t>(fitting, kMaxCheckpoints));
    }
    for (uint32_t i = 0; i < slot_count_; ++i) slots_[i] = {states->Take<float>(floats), 0, false};
    Clear();
  }

  // Whether the model has delta-nets at all.
  bool present() const { return slot_count_ != 0; }

  // A layer's state before the rows of a pass, nullptr at the beginning of the sequence, where all
  // of it is 0; and where the state after them goes.
  const float* before(uint32_t layer) const {
    return current_ == kNone ? nullptr : slots_[current_].data + offsets_[layer];
  }
  float* after(uint32_t layer) const { return slots_[next_].data + offsets_[layer]; }

  // Says that a pass is complete and that its state is that after `position` tokens. With `keep`,
  // the one before becomes a checkpoint; without room for it the earliest gives way.
  void Advance(uint64_t position, bool keep) {
    if (!present()) return;
    if (current_ != kNone) slots_[current_].kept = slots_[current_].kept || keep;
    current_ = next_;
    slots_[current_].position = position;
    TakeNext();
  }

  // Goes back to the latest state that there is after at most `limit` tokens and forgets all later
  // ones. Returns how many tokens it is after.
  uint64_t Rewind(uint64_t limit) {
    if (!present()) return limit;
    uint32_t best = kNone;
    for (uint32_t i = 0; i < slot_count_; ++i) {
      const bool usable = (i == current_ || slots_[i].kept) && slots_[i].position <= limit;
      if (usable && (best == kNone || slots_[i].position > slots_[best].position)) best = i;
    }
    const uint64_t position = best == kNone ? 0 : slots_[best].position;
    for (uint32_t i = 0; i < slot_count_; ++i) {
      slots_[i].kept = slots_[i].kept && slots_[i].position <= position;
    }
    current_ = best;
    return position;
  }

  // Back to the beginning of the sequence.
  void Clear() {
    for (Slot& slot : slots_) slot.kept = false;
    current_ = kNone;
    next_ = 0;
  }

 private:
  static constexpr uint32_t kNone = ~0u;

  struct Slot {
    float* data = nullptr;
    uint64_t position = 0;  // tokens before it
    bool kept = false;      // as a checkpoint
  };

  // A slot to write to: one that is free, or that of the earliest checkpoint.
  void TakeNext() {
    uint32_t earliest = kNone;
    for (uint32_t i = 0; i < slot_count_; ++i) {
      if (i == current_) continue;
      if (!slots_[i].kept) {
        next_ = i;
        return;
      }
      if (earliest == kNone || slots_[i].position < slots_[earliest].position) earliest = i;
    }
    next_ = earliest;
    slots_[next_].kept = false;
  }

  uint64_t* offsets_ = nullptr;  // [layers] of each layer's state in a slot
  Slot slots_[2 + kMaxCheckpoints];
  uint32_t slot_count_ = 0;
  uint32_t current_ = kNone;
  uint32_t next_ = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_STATE_CACHE_H_
