// ProbeTable: a hash table for what strangers' files say.
#ifndef JUNTO_TEXT_PROBE_TABLE_H_
#define JUNTO_TEXT_PROBE_TABLE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "junto/base/memory.h"

namespace junto {

// Spreads every bit of `x` over all of the result.
inline uint64_t MixBits(uint64_t x) {
  x = (x ^ x >> 32) * 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9u;
  return x ^ x >> 32;
}

// Eight bytes at a time; the last ones may be read twice.
inline uint64_t HashBytes(std::string_view bytes) {
  const char* p = bytes.data();
  const size_t size = bytes.size();
  const auto word = [](const char* from) {
    uint64_t value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  };
  const auto half = [](const char* from) {
    uint32_t value;
    std::memcpy(&value, from, sizeof(value));
    return uint64_t{value};
  };
  const auto byte = [p](size_t i) { return uint64_t{static_cast<uint8_t>(p[i])}; };
  uint64_t hash = size * 0xD6E8FEB86659FD93u;
  if (size >= 8) {
    for (size_t i = 0; i + 8 < size; i += 8) hash = MixBits(hash ^ word(p + i));
    return MixBits(hash ^ word(p + size - 8));
  }
  if (size >= 4) return MixBits(hash ^ (half(p) << 32 | half(p + size - 4)));
  if (size == 0) return MixBits(hash);
  return MixBits(hash ^ (byte(0) << 16 | byte(size / 2) << 8 | byte(size - 1)));
}

// Open addressing, at most half full. No entry lies further than kReach slots from where its hash
// puts it: chance never does that, so a table that cannot be filled was made to be slow.
// Slot has `bool used() const`.
template <class Slot>
class ProbeTable {
 public:
  static constexpr size_t kReach = 256;

  explicit ProbeTable(Memory* memory) : slots_({memory, Tag::kTokenizer}) {}

  // Room for `count` entries; call once, before the first Place. Throws OutOfMemory.
  void Reserve(size_t count) {
    size_t capacity = 2;
    while (capacity < count * 2) capacity *= 2;
    slots_.assign(capacity, Slot());
  }

  // The slot that holds the entry for which same(slot), else the empty one for it, else null.
  template <class Same>
  Slot* Place(uint64_t hash, const Same& same) {
    for (size_t distance = 0; distance < std::min(kReach, slots_.size()); ++distance) {
      Slot* slot = &slots_[(hash + distance) & (slots_.size() - 1)];
      if (slot->used() && !same(*slot)) continue;
      longest_ = std::max(longest_, distance + 1);
      return slot;
    }
    return nullptr;
  }

  // Null when there is no such entry.
  template <class Same>
  const Slot* Find(uint64_t hash, const Same& same) const {
    for (size_t distance = 0; distance < longest_; ++distance) {
      const Slot& slot = slots_[(hash + distance) & (slots_.size() - 1)];
      if (!slot.used()) return nullptr;
      if (same(slot)) return &slot;
    }
    return nullptr;
  }

 private:
  Vector<Slot> slots_;
  size_t longest_ = 0;  // probes that found every entry when it came
};

}  // namespace junto

#endif  // JUNTO_TEXT_PROBE_TABLE_H_
