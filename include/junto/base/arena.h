// Arena: hands out pieces of one block. Without a block it only measures, so the code that plans a
// working set and the code that lays it out are the same code.
#ifndef JUNTO_BASE_ARENA_H_
#define JUNTO_BASE_ARENA_H_

#include <cstddef>
#include <cstdint>

#include "junto/base/checked.h"

namespace junto {

class Arena {
 public:
  static constexpr size_t kAlignment = 64;

  Arena() = default;  // measures
  Arena(void* base, size_t capacity) : base_(static_cast<uint8_t*>(base)), capacity_(capacity) {}

  // Room for `count` objects of T, uninitialised; nullptr while measuring, or when the block is too
  // small (then ok() is false from here on). The block itself must be aligned to `alignment`, which
  // is a power of two and at least 64.
  template <class T>
  T* Take(uint64_t count, uint64_t alignment = kAlignment) {
    static_assert(alignof(T) <= kAlignment, "over-aligned");
    uint64_t start = 0;
    uint64_t bytes = 0;
    uint64_t end = 0;
    if (!CheckedAdd<uint64_t>(used_, alignment - 1, &start) ||
        !CheckedMul<uint64_t>(count, sizeof(T), &bytes) ||
        !CheckedAdd<uint64_t>(start / alignment * alignment, bytes, &end)) {
      ok_ = false;
      return nullptr;
    }
    used_ = end;
    if (base_ == nullptr) return nullptr;
    if (used_ > capacity_) ok_ = false;
    return ok_ ? reinterpret_cast<T*>(base_ + (end - bytes)) : nullptr;
  }

  uint64_t used() const { return used_; }
  bool ok() const { return ok_; }

 private:
  uint8_t* base_ = nullptr;
  uint64_t capacity_ = 0;
  uint64_t used_ = 0;
  bool ok_ = true;
};

}  // namespace junto

#endif  // JUNTO_BASE_ARENA_H_
