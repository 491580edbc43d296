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

// Bytes as a hash table compares them: up to eight are in the word, so that equal keys mean equal
// bytes; of more the word is a hash.
struct BytesKey {
  static constexpr size_t kShort = 8;

  explicit BytesKey(std::string_view bytes) : size(static_cast<uint32_t>(bytes.size())) {
    const char* p = bytes.data();
    const auto load = [](const char* from, auto value) {
      std::memcpy(&value, from, sizeof(value));
      return uint64_t{value};
    };
    if (size > kShort) {  // eight at a time; the last ones may be read twice
      for (size_t i = 0; i + 8 < size; i += 8) word = MixBits(word ^ load(p + i, uint64_t{}));
      word = MixBits(word ^ load(p + size - 8, uint64_t{}));
    } else if (size >= 4) {
      word = load(p, uint32_t{}) << 32 | load(p + size - 4, uint32_t{});
    } else if (size != 0) {
      word = load(p, uint8_t{}) << 16 | load(p + size / 2, uint8_t{}) << 8 |
             load(p + size - 1, uint8_t{});
    }
  }

  uint64_t Hash() const { return MixBits(word + size * 0xD6E8FEB86659FD93u); }

  uint64_t word = 0;
  uint32_t size;
};

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

  // Says that the slots of a hash will be wanted soon: tables are larger than caches.
  void Prefetch(uint64_t hash) const {
#if defined(__GNUC__)
    __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
#else
    (void)hash;
#endif
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
