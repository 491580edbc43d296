// The key/value section of a GGUF file. It is walked twice by the same code: once to check and
// measure everything, then to lay it out in two blocks of exactly the measured size. So a count
// in the file never decides an allocation before the bytes it speaks of were seen.
#ifndef JUNTO_IO_GGUF_METADATA_H_
#define JUNTO_IO_GGUF_METADATA_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <utility>

#include "junto/base/checked.h"
#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/io/byte_cursor.h"
#include "junto/io/metadata.h"

namespace junto {
namespace gguf {

// Hands out pieces of a block one after another; without a block it only measures.
class Region {
 public:
  // The caller bounds `size` by what is left of the file, so the sum cannot overflow.
  bool Take(uint64_t size, uint64_t alignment, uint8_t** piece) {
    const uint64_t start = RoundUp(used_, alignment);
    used_ = start + size;
    if (measuring_) return true;
    if (used_ > block_.size()) return false;
    *piece = block_.data() + start;
    return true;
  }

  // Ends measuring: allocates what was taken so far and starts again.
  Status Allocate(Memory* memory, Tag tag) {
    JUNTO_TRY(Block::Allocate(memory, static_cast<size_t>(used_), alignof(std::max_align_t), tag,
                              &block_));
    measuring_ = false;
    used_ = 0;
    return Status();
  }

  bool measuring() const { return measuring_; }
  Block Release() { return std::move(block_); }

 private:
  Block block_;
  uint64_t used_ = 0;
  bool measuring_ = true;
};

// Reads `count` pairs. The arrays and texts of a tokenizer are counted apart from all else.
class PairReader {
 public:
  PairReader(ByteCursor* in, uint64_t count, Memory* memory)
      : in_(in), count_(count), memory_(memory), values_({memory, Tag::kObject}) {}

  Status ReadAll(Metadata* out) {
    constexpr uint64_t kLeastPair = 8 + 1 + 4 + 1;  // key size, key, type, value
    if (count_ > in_->left() / kLeastPair) {
      return in_->Error(Code::kFormat, "%llu keys claimed, %llu bytes are left",
                        static_cast<unsigned long long>(count_),
                        static_cast<unsigned long long>(in_->left()));
    }
    const uint64_t start = in_->position();
    JUNTO_TRY(Walk());
    JUNTO_TRY(objects_.Allocate(memory_, Tag::kObject));
    JUNTO_TRY(tokenizer_.Allocate(memory_, Tag::kTokenizer));
    values_.reserve(static_cast<size_t>(count_));
    in_->Rewind(start);
    JUNTO_TRY(Walk());
    return out->Adopt(std::move(values_), objects_.Release(), tokenizer_.Release());
  }

 private:
  Status Walk() {
    for (uint64_t i = 0; i < count_; ++i) {
      in_->SetSubject("key", i);
      MetadataValue value;
      JUNTO_TRY(in_->ReadName("key", ByteCursor::kMaxName, &value.key));
      JUNTO_TRY(ReadType(&value));
      JUNTO_TRY(ReadData(&value));
      JUNTO_TRY(KeepKey(&value));
      if (!objects_.measuring()) values_.push_back(value);
    }
    return Status();
  }

  Status ReadType(MetadataValue* value) {
    uint32_t id = 0;
    JUNTO_TRY(in_->Read(&id));
    if (id == static_cast<uint32_t>(MetadataType::kArray)) {
      value->is_array = true;
      JUNTO_TRY(in_->Read(&id));
      JUNTO_TRY(in_->Read(&value->count));
      if (id == static_cast<uint32_t>(MetadataType::kArray)) {
        return in_->Error(Code::kUnsupported, "array of arrays (%llu of them)",
                          static_cast<unsigned long long>(value->count));
      }
    }
    if (FindMetadataType(id) == nullptr) {
      return in_->Error(Code::kFormat, "value type %u is not known", id);
    }
    value->type = static_cast<MetadataType>(id);
    return Status();
  }

  Status ReadData(MetadataValue* value) {
    const MetadataTypeInfo& info = *FindMetadataType(static_cast<uint32_t>(value->type));
    const bool text = value->type == MetadataType::kString;
    const uint64_t least = text ? sizeof(uint64_t) : info.bytes;
    if (value->count > in_->left() / least) {
      return in_->Error(Code::kFormat, "%llu elements of type %s claimed, %llu bytes are left",
                        static_cast<unsigned long long>(value->count), info.name,
                        static_cast<unsigned long long>(in_->left()));
    }
    const bool large = (value->is_array || text) && value->key.substr(0, 10) == "tokenizer.";
    Region* region = large ? &tokenizer_ : &objects_;
    return text ? ReadStrings(region, value) : ReadNumbers(region, info.bytes, value);
  }

  Status ReadNumbers(Region* region, uint64_t element, MetadataValue* value) {
    const uint64_t size = value->count * element;
    uint8_t* data = nullptr;
    if (!region->Take(size, element, &data)) return Changed();
    if (region->measuring()) return in_->Skip(size);
    JUNTO_TRY(in_->Read(data, size));
    value->data = data;
    if (value->type != MetadataType::kBool) return Status();
    for (uint64_t i = 0; i < size; ++i) {
      if (data[i] > 1) return in_->Error(Code::kFormat, "bool of value %u", data[i]);
    }
    return Status();
  }

  Status ReadStrings(Region* region, MetadataValue* value) {
    uint8_t* views = nullptr;
    if (!region->Take(value->count * sizeof(std::string_view), alignof(std::string_view), &views)) {
      return Changed();
    }
    value->data = views;
    for (uint64_t i = 0; i < value->count; ++i) {
      uint64_t size = 0;
      JUNTO_TRY(in_->Read(&size));
      JUNTO_TRY(in_->Need(size));
      uint8_t* text = nullptr;
      if (!region->Take(size, 1, &text)) return Changed();
      if (region->measuring()) {
        JUNTO_TRY(in_->Skip(size));
        continue;
      }
      JUNTO_TRY(in_->Read(text, size));
      new (views + i * sizeof(std::string_view))
          std::string_view(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
    }
    return Status();
  }

  // The key still lies in the cursor; gives it a place of its own.
  Status KeepKey(MetadataValue* value) {
    uint8_t* text = nullptr;
    if (!objects_.Take(value->key.size(), 1, &text)) return Changed();
    if (objects_.measuring()) return Status();
    std::memcpy(text, value->key.data(), value->key.size());
    value->key = {reinterpret_cast<const char*>(text), value->key.size()};
    return Status();
  }

  Status Changed() const { return in_->Error(Code::kIo, "the file changed while it was read"); }

  ByteCursor* in_;
  uint64_t count_;
  Memory* memory_;
  Region objects_;
  Region tokenizer_;
  Vector<MetadataValue> values_;
};

}  // namespace gguf
}  // namespace junto

#endif  // JUNTO_IO_GGUF_METADATA_H_
