// StateCache: what the delta-nets of one sequence remember, and checkpoints of it.
//
// A state cannot be cut back, only kept. A pass reads the state after the tokens that are held and
// writes the one after its own elsewhere: given up halfway, it leaves nothing behind. So a
// checkpoint is a state that is not written over, keeping one costs no copy, and forks share them.
#ifndef JUNTO_RUNTIME_STATE_CACHE_H_
#define JUNTO_RUNTIME_STATE_CACHE_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "junto/base/arena.h"
#include "junto/model/spec.h"
#include "junto/runtime/page_pool.h"
#include "junto/runtime/session_spec.h"
#include "junto/runtime/snapshot.h"

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

// The states of a family: for each of its sequences two, which a pass reads and writes, and its
// checkpoints, as many as fit.
class StatePool {
 public:
  static constexpr uint32_t kMaxCheckpoints = 8;

  void LayOut(const ModelSpec& model, const SessionSpec& spec, Arena* tables, Arena* states) {
    const size_t layers = model.layers.size();
    layers_ = static_cast<uint32_t>(layers);
    offsets_ = tables->Take<uint64_t>(layers);
    sizes_ = tables->Take<uint64_t>(layers);
    uint64_t floats = 0;
    for (size_t i = 0; i < layers; ++i) {
      const uint64_t size = StateShape(model.layers[i].delta).total;
      if (offsets_ != nullptr && sizes_ != nullptr) {
        offsets_[i] = floats;
        sizes_[i] = size;
      }
      floats += RoundUp<uint64_t>(size, kDeltaPanel);
    }
    slots_ = 0;
    if (floats == 0) return;
    const uint64_t fitting = spec.checkpoint_bytes / (floats * sizeof(float));
    slots_ = 2 + static_cast<uint32_t>(std::min<uint64_t>(fitting, kMaxCheckpoints));
    pages_.LayOut(uint64_t{slots_} * spec.family(), floats * sizeof(float), tables, states);
  }

  // Of one sequence; 0: the model has no delta-nets.
  uint32_t slots() const { return slots_; }
  uint32_t layers() const { return layers_; }
  // In floats, of a layer's state.
  uint64_t offset(uint32_t layer) const { return offsets_[layer]; }
  uint64_t size(uint32_t layer) const { return sizes_[layer]; }

  // Each sequence holds `slots` states at most, so there always is one.
  float* Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return reinterpret_cast<float*>(pages_.Take());
  }
  float* Share(float* state) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pages_.Share(reinterpret_cast<uint8_t*>(state));
    return state;
  }
  void Drop(float* state) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pages_.Drop(reinterpret_cast<uint8_t*>(state));
  }

 private:
  std::mutex mutex_;
  PagePool pages_;
  uint64_t* offsets_ = nullptr;  // [layers] of each layer's state
  uint64_t* sizes_ = nullptr;
  uint32_t layers_ = 0;
  uint32_t slots_ = 0;
};

class StateCache {
 public:
  // The pool outlives the cache. Takes nothing yet.
  void Use(StatePool* pool) { pool_ = pool; }

  // Whether the model has delta-nets at all, and whether there is room for checkpoints.
  bool present() const { return pool_ != nullptr && pool_->slots() != 0; }
  bool keeps() const { return present() && pool_->slots() > 2; }

  // The checkpoint after so many tokens, more than 0, gives way after all others but the latest.
  void Pin(uint64_t position) { pinned_ = position; }

  // A layer's state before the rows of a pass, nullptr at the beginning of the sequence, where all
  // of it is 0; and where the state after them goes, once Prepare was called.
  const float* before(uint32_t layer) const {
    return current_ == kNone ? nullptr : slots_[current_].data + pool_->offset(layer);
  }
  float* after(uint32_t layer) const { return next_ + pool_->offset(layer); }

  // Makes sure that there is a state to write to.
  void Prepare() {
    if (!present() || next_ != nullptr) return;
    MakeRoom();
    next_ = pool_->Take();
  }

  // Says that a pass is complete and that its state is that after `position` tokens. With `keep`,
  // the one before becomes a checkpoint.
  void Advance(uint64_t position, bool keep) {
    if (!present()) return;
    if (current_ != kNone) {
      slots_[current_].kept = slots_[current_].kept || keep;
      if (!slots_[current_].kept) Forget(current_);
    }
    current_ = FreeSlot();
    slots_[current_] = {next_, position, false};
    next_ = nullptr;
    Prepare();
  }

  // Goes back to the latest state that there is after at most `limit` tokens and forgets all later
  // ones. Returns how many tokens it is after.
  uint64_t Rewind(uint64_t limit) {
    if (!present()) return limit;
    uint32_t best = kNone;
    for (uint32_t i = 0; i < pool_->slots(); ++i) {
      if (slots_[i].data == nullptr || slots_[i].position > limit) continue;
      if (best == kNone || slots_[i].position > slots_[best].position) best = i;
    }
    const uint64_t position = best == kNone ? 0 : slots_[best].position;
    for (uint32_t i = 0; i < pool_->slots(); ++i) {
      if (slots_[i].data != nullptr && slots_[i].position > position) Forget(i);
    }
    current_ = best;
    return position;
  }

  // Back to the beginning of the sequence: all states are given back.
  void Clear() {
    if (!present()) return;
    for (uint32_t i = 0; i < pool_->slots(); ++i) {
      if (slots_[i].data != nullptr) Forget(i);
    }
    current_ = kNone;
    if (next_ != nullptr) pool_->Drop(next_);
    next_ = nullptr;
  }

  // Becomes that of a fork: shares all that `parent`, of the same family, keeps. This one is empty.
  void ShareFrom(const StateCache& parent) {
    if (!present()) return;
    for (uint32_t i = 0; i < pool_->slots(); ++i) {
      slots_[i] = parent.slots_[i];
      if (slots_[i].data != nullptr) pool_->Share(slots_[i].data);
    }
    current_ = parent.current_;
    pinned_ = parent.pinned_;
  }

  // Writes the state after all tokens and the checkpoints, the latest first.
  void Save(SnapshotWriter* to) const {
    if (!present()) return;
    uint64_t limit = ~uint64_t{0};
    uint32_t count = 0;
    for (const Slot& slot : slots_) count += slot.data != nullptr;
    to->Put(count);
    for (; count > 0; --count) {
      const Slot& slot = slots_[LatestBefore(limit)];
      limit = slot.position;
      to->Put(slot.position);
      for (uint32_t layer = 0; layer < pool_->layers(); ++layer) {
        to->Bytes(slot.data + pool_->offset(layer), pool_->size(layer) * sizeof(float));
      }
    }
  }

  // Reads that back, after `held` tokens and with the checkpoint after `pinned` pinned, in place of
  // what is here, as far as there is room; without `apply` only checks it.
  void Load(uint64_t held, uint64_t pinned, bool apply, SnapshotReader* from) {
    if (!present()) return;
    if (apply) {
      Clear();
      Pin(pinned);
    }
    const auto count = from->Get<uint32_t>();
    from->Require(count <= 1 + StatePool::kMaxCheckpoints + 1 && (count == 0) == (held == 0));
    uint64_t limit = held + 1;
    for (uint32_t i = 0; i < count && from->ok(); ++i) {
      const auto position = from->Get<uint64_t>();
      from->Require(position < limit && position != 0 && (i != 0 || position == held));
      limit = position;
      float* const state = apply ? pool_->Take() : nullptr;
      for (uint32_t layer = 0; layer < pool_->layers(); ++layer) {
        const size_t size = pool_->size(layer) * sizeof(float);
        const uint8_t* const floats = from->Bytes(size);
        if (apply) std::memcpy(state + pool_->offset(layer), floats, size);
      }
      if (!apply) continue;
      const uint32_t slot = FreeSlot();
      slots_[slot] = {state, position, i != 0};
      if (i == 0) current_ = slot;
      MakeRoom();
    }
  }

 private:
  static constexpr uint32_t kNone = ~0u;

  uint32_t LatestBefore(uint64_t limit) const {
    uint32_t latest = kNone;
    for (uint32_t i = 0; i < pool_->slots(); ++i) {
      if (slots_[i].data == nullptr || slots_[i].position >= limit) continue;
      if (latest == kNone || slots_[i].position > slots_[latest].position) latest = i;
    }
    return latest;
  }

  struct Slot {
    float* data = nullptr;  // nullptr: free
    uint64_t position = 0;  // tokens before it
    bool kept = false;      // as a checkpoint
  };

  // There is one.
  uint32_t FreeSlot() const {
    uint32_t i = 0;
    while (slots_[i].data != nullptr) ++i;
    return i;
  }

  // Leaves a slot free. The earliest checkpoint gives way; where only the latest is beside it, also
  // the pinned one.
  void MakeRoom() {
    uint32_t held = 0;
    uint32_t pinned = kNone;
    uint32_t earliest = kNone;
    uint32_t others = 0;  // checkpoints that are not pinned
    for (uint32_t i = 0; i < pool_->slots(); ++i) {
      if (slots_[i].data == nullptr) continue;
      ++held;
      if (i == current_) continue;
      if (slots_[i].position == pinned_) {
        pinned = i;
        continue;
      }
      ++others;
      if (earliest == kNone || slots_[i].position < slots_[earliest].position) earliest = i;
    }
    if (held < pool_->slots()) return;
    Forget(pinned != kNone && others < 2 ? pinned : earliest);
  }

  void Forget(uint32_t i) {
    pool_->Drop(slots_[i].data);
    slots_[i] = Slot();
  }

  StatePool* pool_ = nullptr;
  Slot slots_[2 + StatePool::kMaxCheckpoints];
  uint32_t current_ = kNone;
  uint64_t pinned_ = 0;
  float* next_ = nullptr;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_STATE_CACHE_H_
