// Hashes of 64 bits. They tell bytes apart that differ by accident; they keep out nobody.
#ifndef JUNTO_BASE_HASH_H_
#define JUNTO_BASE_HASH_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace junto {

// FNV-1a.
class Hash {
 public:
  void Add(const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    for (size_t i = 0; i < size; ++i) value_ = (value_ ^ bytes[i]) * 0x00000100000001B3u;
  }
  void Add(uint64_t number) { Add(&number, sizeof(number)); }  // 8 bytes, little-endian

  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xCBF29CE484222325u;
};

// Eight bytes at a time, and in any order: a sum over words, each mixed with its place.
class PlacedHash {
 public:
  // The bytes at `offset` of what is hashed; offset and size are multiples of 8.
  void Add(uint64_t offset, const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    uint64_t place = (offset / 8 + 1) * kStep;
    for (size_t i = 0; i < size; i += 8, place += kStep) {
      uint64_t word;
      std::memcpy(&word, bytes + i, sizeof(word));
      word ^= place;
      word = (word ^ word >> 32) * kMix;
      value_ += word ^ word >> 29;
    }
  }

  uint64_t value() const { return value_; }

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15u;
  static constexpr uint64_t kMix = 0xD6E8FEB86659FD93u;

  uint64_t value_ = 0;
};

}  // namespace junto

#endif  // JUNTO_BASE_HASH_H_
