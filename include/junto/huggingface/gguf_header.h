// GgufHeader: writes what a GGUF file has before its tensors' data.
#ifndef JUNTO_HUGGINGFACE_GGUF_HEADER_H_
#define JUNTO_HUGGINGFACE_GGUF_HEADER_H_

#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/io/metadata.h"
#include "junto/quant/block_types.h"

namespace junto {
namespace hf {

// Pairs first, then tensors. Throws OutOfMemory.
class GgufHeader {
 public:
  GgufHeader(std::string_view architecture, Memory* memory)
      : bytes_({memory, Tag::kObject}), architecture_(architecture) {
    bytes_.insert(bytes_.end(), {'G', 'G', 'U', 'F'});
    Put(uint32_t{3});
    Put(uint64_t{0});  // tensors
    Put(uint64_t{0});  // pairs
    String("general.architecture", architecture);
  }

  // Pairs under the architecture's prefix.
  void U32(std::string_view name, uint32_t value) {
    FamilyKey(name, MetadataType::kU32);
    Put(value);
  }
  void F32(std::string_view name, float value) {
    FamilyKey(name, MetadataType::kF32);
    Put(value);
  }
  void Text(std::string_view name, std::string_view value) {
    FamilyKey(name, MetadataType::kString);
    PutString(value);
  }
  void U32s(std::string_view name, Span<const uint32_t> values) {
    FamilyKey(name, MetadataType::kArray);
    Put(static_cast<uint32_t>(MetadataType::kU32));
    Put(uint64_t{values.size()});
    for (const uint32_t value : values) Put(value);
  }

  // Pairs under any name.
  void String(std::string_view key, std::string_view value) {
    BeginString(key, value.size());
    PutText(value);
  }
  void Id(std::string_view key, uint32_t value) {
    Key(key, MetadataType::kU32);
    Put(value);
  }
  // A string of `size` bytes that the caller puts where bytes() end now.
  void BeginString(std::string_view key, uint64_t size) {
    Key(key, MetadataType::kString);
    Put(size);
  }

  // `offset` from the beginning of the data.
  void Tensor(std::string_view name, Span<const uint64_t> dims, BlockType type, uint64_t offset) {
    Count(8);
    PutString(name);
    Put(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) Put(dim);
    Put(static_cast<uint32_t>(type));
    Put(offset);
  }

  std::string_view architecture() const { return architecture_; }
  const Vector<uint8_t>& bytes() const { return bytes_; }
  Vector<uint8_t> Release() { return std::move(bytes_); }

 private:
  template <class T>
  void Put(T value) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof(value));
  }
  void PutText(std::string_view text) { bytes_.insert(bytes_.end(), text.begin(), text.end()); }
  void PutString(std::string_view text) {
    Put(uint64_t{text.size()});
    PutText(text);
  }

  // One more of what is counted at `place`.
  void Count(size_t place) {
    uint64_t count = 0;
    std::memcpy(&count, bytes_.data() + place, sizeof(count));
    ++count;
    std::memcpy(bytes_.data() + place, &count, sizeof(count));
  }
  void Key(std::string_view key, MetadataType type) {
    Count(16);
    PutString(key);
    Put(static_cast<uint32_t>(type));
  }
  void FamilyKey(std::string_view name, MetadataType type) {
    Count(16);
    Put(uint64_t{architecture_.size() + 1 + name.size()});
    PutText(architecture_);
    PutText(".");
    PutText(name);
    Put(static_cast<uint32_t>(type));
  }

  Vector<uint8_t> bytes_;
  std::string_view architecture_;
};

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_GGUF_HEADER_H_
