// Hash: FNV-1a of 64 bits. It tells bytes apart that differ by accident; it keeps out nobody.
#ifndef JUNTO_BASE_HASH_H_
#define JUNTO_BASE_HASH_H_

#include <cstddef>
#include <cstdint>

namespace junto {

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

}  // namespace junto

#endif  // JUNTO_BASE_HASH_H_
