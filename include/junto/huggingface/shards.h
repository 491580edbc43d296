// Shards: the tensors of safetensors files, where each lies, and their bytes.
#ifndef JUNTO_HUGGINGFACE_SHARDS_H_
#define JUNTO_HUGGINGFACE_SHARDS_H_

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "junto/base/checked.h"
#include "junto/base/file.h"
#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/base/utf8.h"
#include "junto/text/json_reader.h"

namespace junto {
namespace hf {

enum class Dtype : uint8_t { kF32, kF16, kBF16, kF8E4M3, kU8, kOther };

struct DtypeInfo {
  std::string_view name;
  Dtype dtype;
  uint32_t bits;  // of one element
};

// Being listed says what a tensor occupies, not that anything can compute with it.
inline const DtypeInfo* FindDtype(std::string_view name) {
  static constexpr DtypeInfo kDtypes[] = {
      {"F32", Dtype::kF32, 32},       {"F16", Dtype::kF16, 16},      {"BF16", Dtype::kBF16, 16},
      {"F8_E4M3", Dtype::kF8E4M3, 8}, {"U8", Dtype::kU8, 8},         {"F64", Dtype::kOther, 64},
      {"F8_E5M2", Dtype::kOther, 8},  {"F8_E8M0", Dtype::kOther, 8}, {"F4", Dtype::kOther, 4},
      {"F6_E2M3", Dtype::kOther, 6},  {"F6_E3M2", Dtype::kOther, 6}, {"BOOL", Dtype::kOther, 8},
      {"I8", Dtype::kOther, 8},       {"I16", Dtype::kOther, 16},    {"U16", Dtype::kOther, 16},
      {"I32", Dtype::kOther, 32},     {"U32", Dtype::kOther, 32},    {"I64", Dtype::kOther, 64},
      {"U64", Dtype::kOther, 64},     {"C64", Dtype::kOther, 64}};
  for (const DtypeInfo& info : kDtypes) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

struct SourceTensor {
  static constexpr uint32_t kMaxRank = 8;

  std::string_view name;
  const DtypeInfo* dtype = nullptr;
  uint32_t rank = 0;
  uint64_t dims[kMaxRank] = {};  // the fastest-varying last
  uint64_t elements = 0;
  uint32_t shard = 0;
  uint64_t offset = 0;  // of the first byte, in that file
  uint64_t bytes = 0;
  bool used = false;  // by some tensor of the model
};

// "a failure": the same, beginning with the name of the file.
inline Status InFile(std::string_view file, const Status& status) {
  if (status.ok()) return status;
  file = Utf8Prefix(file, 96);
  return Status::Make(status.code(), "%.*s: %s", static_cast<int>(file.size()), file.data(),
                      status.message())
      .WithOsError(status.os_error());
}

// Reads may run on many threads at once after Finish.
class Shards {
 public:
  static constexpr uint64_t kMaxHeader = uint64_t{100} << 20;  // that of the reference reader

  explicit Shards(Memory* memory)
      : memory_(memory),
        files_({memory, Tag::kObject}),
        names_({memory, Tag::kObject}),
        tensors_({memory, Tag::kObject}) {}

  // Reads a file's header. What it says is checked throughout: every tensor has a known type and
  // its own bytes in the file, as many as its shape needs. E_IO, E_FORMAT, E_UNSUPPORTED (a type of
  // unknown size), E_MEMORY; throws OutOfMemory.
  Status Add(Owned<File> file) {
    uint64_t length = 0;
    if (file->size() < sizeof(length)) {
      return Status::Make(Code::kFormat, "file of %llu bytes ends inside its first 8",
                          Wide(file->size()));
    }
    JUNTO_TRY(file->ReadAt(0, &length, sizeof(length)));
    const uint64_t behind = file->size() - sizeof(length);
    if (length < 2 || length > kMaxHeader || length > behind) {
      return Status::Make(Code::kFormat,
                          "header of %llu bytes found, 2 to %llu expected in a file of %llu",
                          Wide(length), Wide(std::min(kMaxHeader, behind)), Wide(file->size()));
    }
    Block text;
    JUNTO_TRY(Block::Allocate(memory_, length, 1, Tag::kLoadTemp, &text));
    JUNTO_TRY(file->ReadAt(sizeof(length), text.data(), text.size()));
    names_.emplace_back();
    JUNTO_TRY(Block::Allocate(memory_, length, 1, Tag::kObject, &names_.back()));
    const size_t first = tensors_.size();
    JUNTO_TRY(ReadTable({reinterpret_cast<const char*>(text.data()), text.size()},
                        sizeof(length) + length, behind - length));
    files_.push_back(std::move(file));
    return CheckOverlaps(first);
  }

  // After the last Add. No name comes twice.
  Status Finish() {
    std::sort(tensors_.begin(), tensors_.end(),
              [](const SourceTensor& a, const SourceTensor& b) { return a.name < b.name; });
    for (size_t i = 1; i < tensors_.size(); ++i) {
      if (tensors_[i].name == tensors_[i - 1].name) {
        return Error(Code::kFormat, tensors_[i], "comes twice, in files %u and %u",
                     tensors_[i - 1].shard, tensors_[i].shard);
      }
    }
    return Status();
  }

  Span<SourceTensor> tensors() { return tensors_; }  // by name after Finish
  SourceTensor* Find(std::string_view name) {        // nullptr when absent
    const auto at = std::lower_bound(
        tensors_.begin(), tensors_.end(), name,
        [](const SourceTensor& tensor, std::string_view key) { return tensor.name < key; });
    return at != tensors_.end() && at->name == name ? &*at : nullptr;
  }

  File* file(const SourceTensor& tensor) const { return files_[tensor.shard].get(); }
  Span<const Owned<File>> files() const { return files_; }

  // Bytes [offset, offset + size) of the tensor, which the caller knows to be there.
  Status Read(const SourceTensor& tensor, uint64_t offset, void* dst, uint64_t size) const {
    return file(tensor)->ReadAt(tensor.offset + offset, dst, size);
  }

#if defined(__GNUC__)
  __attribute__((format(printf, 3, 4)))
#endif
  static Status
  Error(Code code, const SourceTensor& tensor, const char* format, ...) {
    char text[Status::kMessageCapacity];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const std::string_view name = Utf8Prefix(tensor.name, 128);
    return Status::Make(code, "tensor '%.*s': %s", static_cast<int>(name.size()), name.data(),
                        text);
  }

 private:
  static unsigned long long Wide(uint64_t x) { return x; }

  // Appends the table's tensors; their data begins at `data` in the file and has `size` bytes.
  Status ReadTable(std::string_view text, uint64_t data, uint64_t size) {
    JsonReader reader(text, memory_);
    size_t used = 0;
    JUNTO_TRY(reader.Object([&](std::string_view name) -> Status {
      if (name == "__metadata__") return reader.Skip();
      SourceTensor tensor;
      char* const kept = reinterpret_cast<char*>(names_.back().data()) + used;
      used += name.copy(kept, name.size());  // no name is longer than it was written
      tensor.name = {kept, name.size()};
      tensor.shard = static_cast<uint32_t>(files_.size());
      JUNTO_TRY(ReadTensor(&reader, size, &tensor));
      tensor.offset += data;
      tensors_.push_back(tensor);
      return Status();
    }));
    return reader.End();
  }

  // {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}
  Status ReadTensor(JsonReader* reader, uint64_t size, SourceTensor* tensor) const {
    String dtype({memory_, Tag::kLoadTemp});
    int64_t offsets[2] = {0, 0};
    uint32_t fields = 0;
    uint32_t bounds = 0;
    JUNTO_TRY(reader->Object([&](std::string_view key) -> Status {
      if (key == "dtype") {
        ++fields;
        return reader->ReadString(&dtype);
      }
      if (key == "shape") {
        ++fields;
        return ReadShape(reader, tensor);
      }
      if (key != "data_offsets") return reader->Skip();
      ++fields;
      return reader->Array([&]() -> Status {
        if (bounds == 2) return Error(Code::kFormat, *tensor, "more than %u offsets", bounds);
        return reader->ReadInteger(0, INT64_MAX, &offsets[bounds++]);
      });
    }));
    if (fields != 3 || bounds != 2) {
      return Error(Code::kFormat, *tensor, "%u of dtype, shape and data_offsets found, %u offsets",
                   fields, bounds);
    }
    tensor->dtype = FindDtype(dtype);
    if (tensor->dtype == nullptr) {
      const std::string_view shown = Utf8Prefix(dtype, 32);
      return Error(Code::kUnsupported, *tensor, "dtype '%.*s' of %zu bytes is not known",
                   static_cast<int>(shown.size()), shown.data(), dtype.size());
    }
    return CheckPlace(static_cast<uint64_t>(offsets[0]), static_cast<uint64_t>(offsets[1]), size,
                      tensor);
  }

  static Status ReadShape(JsonReader* reader, SourceTensor* tensor) {
    tensor->rank = 0;
    return reader->Array([&]() -> Status {
      if (tensor->rank == SourceTensor::kMaxRank) {
        return Error(Code::kUnsupported, *tensor, "more than %u dimensions", tensor->rank);
      }
      int64_t dim = 0;
      JUNTO_TRY(reader->ReadInteger(0, INT64_MAX, &dim));
      tensor->dims[tensor->rank++] = static_cast<uint64_t>(dim);
      return Status();
    });
  }

  static Status CheckPlace(uint64_t begin, uint64_t end, uint64_t size, SourceTensor* tensor) {
    if (begin > end || end > size) {
      return Error(Code::kFormat, *tensor, "bytes %llu to %llu of %llu", Wide(begin), Wide(end),
                   Wide(size));
    }
    uint64_t elements = 1;
    uint64_t bits = 0;
    bool fits = true;
    for (uint32_t i = 0; i < tensor->rank; ++i) {
      fits = fits && CheckedMul(elements, tensor->dims[i], &elements);
    }
    fits = fits && CheckedMul<uint64_t>(elements, tensor->dtype->bits, &bits);
    if (!fits || bits % 8 != 0 || bits / 8 != end - begin) {
      return Error(Code::kFormat, *tensor, "%llu bytes found for %u dimensions of %u bits",
                   Wide(end - begin), tensor->rank, tensor->dtype->bits);
    }
    tensor->elements = elements;
    tensor->offset = begin;
    tensor->bytes = end - begin;
    return Status();
  }

  // No two tensors of the last file, those from `first` on, share a byte.
  Status CheckOverlaps(size_t first) const {
    Vector<const SourceTensor*> order({memory_, Tag::kLoadTemp});
    order.reserve(tensors_.size() - first);
    for (size_t i = first; i < tensors_.size(); ++i) order.push_back(&tensors_[i]);
    std::sort(order.begin(), order.end(), [](const SourceTensor* a, const SourceTensor* b) {
      return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
    });
    for (size_t i = 1; i < order.size(); ++i) {
      const uint64_t end = order[i - 1]->offset + order[i - 1]->bytes;
      if (end <= order[i]->offset) continue;
      return Error(Code::kFormat, *order[i], "starts at %llu inside another, which ends at %llu",
                   Wide(order[i]->offset), Wide(end));
    }
    return Status();
  }

  Memory* memory_;
  Vector<Owned<File>> files_;
  Vector<Block> names_;  // of tensors, a block per file
  Vector<SourceTensor> tensors_;
};

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_SHARDS_H_
