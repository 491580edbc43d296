// Snapshots: how a session is written as bytes, and what stands before them. docs/formats.md tells
// the rest.
#ifndef JUNTO_RUNTIME_SNAPSHOT_H_
#define JUNTO_RUNTIME_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "junto/base/hash.h"
#include "junto/base/status.h"

namespace junto {
namespace snapshot {

constexpr char kMagic[8] = {'J', 'U', 'N', 'T', 'O', 'S', 'N', 'P'};
constexpr uint32_t kByteOrder = 0x01020304;
constexpr uint32_t kVersion = 2;

struct Header {
  char magic[8];
  uint32_t byte_order;
  uint32_t version;
  uint64_t bytes;     // of all of it
  uint64_t model;     // the model's fingerprint
  uint32_t context;   // of the session, in tokens
  uint32_t kv_type;   // a KvType
  uint64_t reserved;  // 0
  uint64_t checksum;  // of the bytes behind the header, then of the header before this
};
static_assert(sizeof(Header) == 56, "it is written as it is");

inline uint64_t ChecksumOf(const Header& header, const uint8_t* body, size_t size) {
  const size_t whole = size & ~size_t{7};
  PlacedHash words;
  words.Add(0, body, whole);
  Hash hash;
  hash.Add(words.value());
  hash.Add(body + whole, size - whole);
  hash.Add(&header, offsetof(Header, checksum));
  return hash.value();
}

}  // namespace snapshot

// Writes values one after the other, or only measures them.
class SnapshotWriter {
 public:
  SnapshotWriter() = default;  // measures
  explicit SnapshotWriter(uint8_t* data) : data_(data) {}

  void Bytes(const void* bytes, size_t size) {
    if (uint8_t* room = Room(size); room != nullptr && size != 0) std::memcpy(room, bytes, size);
  }
  template <class T>
  void Put(const T& value) {
    static_assert(std::is_arithmetic<T>::value, "structs may have gaps");
    Bytes(&value, sizeof(value));
  }
  // The next `size` bytes, for the caller to fill; nullptr while measuring.
  uint8_t* Room(size_t size) {
    uint8_t* const room = data_ == nullptr ? nullptr : data_ + used_;
    used_ += size;
    return room;
  }
  uint64_t used() const { return used_; }

 private:
  uint8_t* data_ = nullptr;
  uint64_t used_ = 0;
};

// Reads them back. Past the end everything is zero and ok() false, from then on.
class SnapshotReader {
 public:
  SnapshotReader(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  // The next `size` bytes; nullptr past the end.
  const uint8_t* Bytes(uint64_t size) {
    ok_ = ok_ && size <= size_ - at_;
    if (!ok_) return nullptr;
    at_ += static_cast<size_t>(size);
    return data_ + at_ - size;
  }
  template <class T>
  T Get() {
    static_assert(std::is_arithmetic<T>::value, "structs may have gaps");
    T value = {};
    if (const uint8_t* bytes = Bytes(sizeof(T)); bytes != nullptr) {
      std::memcpy(&value, bytes, sizeof(T));
    }
    return value;
  }
  template <class T>
  void Get(T* value) {
    *value = Get<T>();
  }

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && at_ == size_; }
  // Unless `fact`, nothing that was read is worth anything.
  void Require(bool fact) { ok_ = ok_ && fact; }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_SNAPSHOT_H_
