// SessionMemory: all that a session and its forks work with, taken at once.
#ifndef JUNTO_RUNTIME_SESSION_MEMORY_H_
#define JUNTO_RUNTIME_SESSION_MEMORY_H_

#include <cstdint>
#include <mutex>
#include <utility>

#include "junto/base/memory.h"
#include "junto/runtime/kv_cache.h"
#include "junto/runtime/session_spec.h"
#include "junto/runtime/state_cache.h"

namespace junto {

// Bytes that a session takes at creation, exactly, for itself and all its forks.
struct SessionPlan {
  uint64_t kv = 0;
  uint64_t scratch = 0;
  uint64_t object = 0;
};

// Pools that the family shares, and a seat with scratch for each member. It ends with the last
// member, in whatever order they go.
class SessionMemory {
 public:
  // `seat_bytes` is what one member lays out. Throws OutOfMemory; E_INVALID for what no address
  // reaches.
  static Status Create(const ModelSpec& model, const SessionSpec& spec, uint64_t seat_bytes,
                       Memory* memory, Owned<SessionMemory>* out) {
    SessionPlan plan;
    JUNTO_TRY(Plan(model, spec, seat_bytes, &plan));
    Owned<SessionMemory> made = New<SessionMemory>(memory, Tag::kObject);
    JUNTO_TRY(Block::Allocate(memory, plan.kv, Arena::kAlignment, Tag::kKv, &made->pages_));
    JUNTO_TRY(
        Block::Allocate(memory, plan.scratch, Arena::kAlignment, Tag::kScratch, &made->scratch_));
    Arena scratch(made->scratch_.data(), plan.scratch);
    Arena pages(made->pages_.data(), plan.kv);
    made->pools_.LayOut(model, spec, seat_bytes, &scratch, &pages);
    *out = std::move(made);
    return Status();
  }

  static Status Plan(const ModelSpec& model, const SessionSpec& spec, uint64_t seat_bytes,
                     SessionPlan* plan) {
    Arena scratch;
    Arena pages;
    Pools measured;
    measured.LayOut(model, spec, seat_bytes, &scratch, &pages);
    if (!scratch.ok() || !pages.ok()) {
      return Status::Make(Code::kInvalid, "a context of %u tokens exceeds 2^64 bytes",
                          spec.context);
    }
    plan->kv = pages.used();
    plan->scratch = scratch.used();
    plan->object = sizeof(SessionMemory);
    return Status();
  }

  KvPool* keys() { return &pools_.keys; }
  StatePool* states() { return &pools_.states; }

  uint64_t seat_bytes() const { return pools_.seats.page_bytes(); }

  // A seat for another member; its scratch begins at *seat. False when all are taken.
  bool Enter(uint8_t** seat) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (pools_.seats.free_count() == 0) return false;
    *seat = pools_.seats.Take();
    ++members_;
    return true;
  }
  // Gives a seat back; true for the last one, after which this object is the caller's to end.
  bool Leave(uint8_t* seat) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pools_.seats.Drop(seat);
    return --members_ == 0;
  }

 private:
  struct Pools {
    void LayOut(const ModelSpec& model, const SessionSpec& spec, uint64_t seat_bytes,
                Arena* scratch, Arena* pages) {
      keys.LayOut(model, spec, scratch, pages);
      states.LayOut(model, spec, scratch, pages);
      seats.LayOut(spec.family(), RoundUp<uint64_t>(seat_bytes, Arena::kAlignment), scratch,
                   scratch);
    }
    KvPool keys;
    StatePool states;
    PagePool seats;
  };

  std::mutex mutex_;
  Block pages_;
  Block scratch_;
  Pools pools_;
  uint32_t members_ = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_SESSION_MEMORY_H_
