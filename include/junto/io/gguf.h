// Gguf: an opened GGUF model, one file or a split one: its metadata, its tensors, their bytes.
#ifndef JUNTO_IO_GGUF_H_
#define JUNTO_IO_GGUF_H_

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <utility>

#include "junto/base/checked.h"
#include "junto/base/file.h"
#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/io/byte_cursor.h"
#include "junto/io/gguf_metadata.h"
#include "junto/io/gguf_tensors.h"
#include "junto/io/metadata.h"

namespace junto {

// Immutable once opened; Read, Map and Unmap may run on many threads at once. What Open accepts is
// checked throughout: every tensor has a known type, whole blocks, and its own bytes in its file.
class Gguf {
 public:
  // Opens `name` and, when it is the first part of a split model (PREFIX-00001-of-00005.gguf), the
  // others beside it. E_IO, E_FORMAT, E_UNSUPPORTED (a version or layout we do not read), E_MEMORY;
  // throws OutOfMemory.
  static Status Open(FileSystem* files, std::string_view name, Memory* memory, Owned<Gguf>* out);

  // The same from one open file, which cannot be a part of a split model.
  static Status OpenFile(Owned<File> file, Memory* memory, Owned<Gguf>* out);

  // The same from all parts, in order, whose headers have the given sizes.
  struct Part;
  static Status OpenParts(Vector<Part> parts, Memory* memory, Owned<Gguf>* out);

  // Open, for when the first file is open already.
  static Status OpenFirst(Owned<File> first, FileSystem* files, std::string_view name,
                          Memory* memory, Owned<Gguf>* out);

  // Empty; for Open.
  explicit Gguf(Memory* memory)
      : memory_(memory),
        metadata_(memory),
        parts_({memory, Tag::kObject}),
        names_({memory, Tag::kObject}),
        tensors_({memory, Tag::kObject}),
        by_name_({memory, Tag::kObject}) {}

  const Metadata& metadata() const { return metadata_; }       // of the first part
  Span<const TensorInfo> tensors() const { return tensors_; }  // in the order of the tables
  const TensorInfo* FindTensor(std::string_view name) const;   // nullptr when absent

  // Bytes [offset, offset + size) of the tensor; past its end is E_INVALID.
  Status Read(const TensorInfo& tensor, uint64_t offset, void* dst, size_t size) const;

  // The same bytes in place, at any address, until Unmap; nullptr where they cannot be mapped.
  const void* Map(const TensorInfo& tensor, uint64_t offset, size_t size) const;
  void Unmap(const TensorInfo& tensor, const void* p, size_t size) const;

  // See File::Hint; what passes the tensor's end is ignored.
  void Hint(const TensorInfo& tensor, uint64_t offset, uint64_t size, FileHint hint) const;
  void HintAll(FileHint hint) const;  // about every byte of every file

  // Whether the file carries a tokenizer: keys tokenizer.ggml.*, or the tokenizer.json or
  // tokenizer.model of others.
  static constexpr const char* kTokenizerJson = "tokenizer.huggingface.json";
  static constexpr const char* kTokenizerModel = "tokenizer.sentencepiece.model";
  bool has_vocabulary() const;

  // The files, in order. The first `header_bytes` hold the metadata and the tensor table.
  struct Part {
    Owned<File> file;
    uint64_t header_bytes;
  };
  Span<const Part> parts() const { return parts_; }

 private:
  static constexpr size_t kPartSuffix = 32;  // "-65536-of-65536.gguf" and a NUL fit
  static void PartSuffix(uint32_t part, uint32_t count, char* suffix);
  static Status PartError(uint32_t part, uint32_t count, const Status& status);

  // A header larger than this is not a header.
  static constexpr uint64_t kMaxHeader = uint64_t{1} << 30;

  Status AddFile(Owned<File> file, Metadata* metadata, uint64_t max_header = kMaxHeader);
  Status AddParts(FileSystem* files, std::string_view name, uint32_t count);
  Status AddPart(Owned<File> file, uint32_t part, uint32_t count, uint64_t max_header = kMaxHeader);
  Status CheckTotal() const;
  Status IndexTensors();

  Memory* memory_;
  Metadata metadata_;
  Vector<Part> parts_;
  Vector<Block> names_;  // of tensors, a block per file
  Vector<TensorInfo> tensors_;
  Vector<const TensorInfo*> by_name_;
};

namespace gguf {

constexpr uint32_t kMaxAlignment = uint32_t{1} << 20;

// The fixed part of the header: what follows, and how much of it.
struct Counts {
  uint64_t tensors = 0;
  uint64_t pairs = 0;
};

inline Status ReadCounts(ByteCursor* in, Counts* counts) {
  constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
  uint32_t magic = 0;
  JUNTO_TRY(in->Read(&magic));
  if (magic != kMagic) {
    return in->Error(Code::kFormat, "not a GGUF file: it starts with 0x%08x", magic);
  }
  uint32_t version = 0;
  JUNTO_TRY(in->Read(&version));
  if (version != 0 && (version & 0xFFFF) == 0) {
    return in->Error(Code::kUnsupported, "big-endian file (version word 0x%08x)", version);
  }
  if (version != 2 && version != 3) {
    return in->Error(Code::kUnsupported, "GGUF version %u, 2 and 3 are supported", version);
  }
  JUNTO_TRY(in->Read(&counts->tensors));
  return in->Read(&counts->pairs);
}

inline Status ReadAlignment(const Metadata& metadata, uint32_t* alignment) {
  JUNTO_TRY(metadata.GetU32Or("general.alignment", 32, alignment));
  if (IsPowerOfTwo(*alignment) && *alignment <= kMaxAlignment) return Status();
  return Status::Make(Code::kFormat,
                      "key 'general.alignment': %u found, a power of two up to %u expected",
                      *alignment, kMaxAlignment);
}

// How a file describes its place in a split model; a whole model is part 0 of 1. A count of 0 is
// what merging tools leave behind.
struct Split {
  uint32_t part = 0;
  uint32_t count = 1;
};

inline Status ReadSplit(const Metadata& metadata, Split* split) {
  JUNTO_TRY(metadata.GetU32Or("split.count", 1, &split->count));
  if (split->count <= 1) {
    *split = Split();
    return Status();
  }
  JUNTO_TRY(metadata.GetU32("split.no", &split->part));
  if (split->count <= 65535 && split->part < split->count) return Status();
  return Status::Make(Code::kFormat, "key 'split.no': part %u of %u", split->part, split->count);
}

}  // namespace gguf

inline Status Gguf::OpenFile(Owned<File> file, Memory* memory, Owned<Gguf>* out) {
  Owned<Gguf> model = New<Gguf>(memory, Tag::kObject, memory);
  JUNTO_TRY(model->AddFile(std::move(file), &model->metadata_));
  gguf::Split split;
  JUNTO_TRY(gguf::ReadSplit(model->metadata_, &split));
  if (split.count > 1) {
    return Status::Make(Code::kUnsupported,
                        "part %u of %u of a split model cannot be loaded by itself", split.part + 1,
                        split.count);
  }
  JUNTO_TRY(model->IndexTensors());
  *out = std::move(model);
  return Status();
}

inline Status Gguf::Open(FileSystem* files, std::string_view name, Memory* memory,
                         Owned<Gguf>* out) {
  Owned<File> file;
  JUNTO_TRY(files->Open(name, memory, &file));
  return OpenFirst(std::move(file), files, name, memory, out);
}

inline Status Gguf::OpenFirst(Owned<File> first, FileSystem* files, std::string_view name,
                              Memory* memory, Owned<Gguf>* out) {
  Owned<Gguf> model = New<Gguf>(memory, Tag::kObject, memory);
  JUNTO_TRY(model->AddFile(std::move(first), &model->metadata_));
  gguf::Split split;
  JUNTO_TRY(gguf::ReadSplit(model->metadata_, &split));
  if (split.part != 0) {
    char suffix[kPartSuffix];
    PartSuffix(0, split.count, suffix);
    return Status::Make(Code::kInvalid,
                        "part %u of %u of a split model: open its first part, '...%s'",
                        split.part + 1, split.count, suffix);
  }
  if (split.count > 1) JUNTO_TRY(model->AddParts(files, name, split.count));
  JUNTO_TRY(model->IndexTensors());
  *out = std::move(model);
  return Status();
}

inline Status Gguf::OpenParts(Vector<Part> parts, Memory* memory, Owned<Gguf>* out) {
  Owned<Gguf> model = New<Gguf>(memory, Tag::kObject, memory);
  JUNTO_TRY(model->AddFile(std::move(parts[0].file), &model->metadata_, parts[0].header_bytes));
  gguf::Split split;
  JUNTO_TRY(gguf::ReadSplit(model->metadata_, &split));
  const auto count = static_cast<uint32_t>(parts.size());
  if (split.part != 0 || split.count != count) {
    return Status::Make(Code::kFormat, "part %u of %u comes first among %u files", split.part + 1,
                        split.count, count);
  }
  for (uint32_t part = 1; part < count; ++part) {
    JUNTO_TRY(model->AddPart(std::move(parts[part].file), part, count, parts[part].header_bytes));
  }
  for (uint32_t part = 0; part < count; ++part) {
    if (model->parts_[part].header_bytes == parts[part].header_bytes) continue;
    return Status::Make(Code::kFormat, "part %u has a header of %llu bytes, %llu expected", part,
                        static_cast<unsigned long long>(model->parts_[part].header_bytes),
                        static_cast<unsigned long long>(parts[part].header_bytes));
  }
  JUNTO_TRY(model->IndexTensors());
  *out = std::move(model);
  return Status();
}

inline void Gguf::PartSuffix(uint32_t part, uint32_t count, char* suffix) {
  std::snprintf(suffix, kPartSuffix, "-%05u-of-%05u.gguf", part + 1, count);
}

inline Status Gguf::PartError(uint32_t part, uint32_t count, const Status& status) {
  char suffix[kPartSuffix];
  PartSuffix(part, count, suffix);
  return Status::Make(status.code(), "part '...%s': %s", suffix, status.message())
      .WithOsError(status.os_error());
}

// Reads one file's header into this model, and its pairs into `metadata`.
inline Status Gguf::AddFile(Owned<File> file, Metadata* metadata, uint64_t max_header) {
  const uint64_t size = file->size();
  ByteCursor in;
  JUNTO_TRY(ByteCursor::Create(file.get(), std::min({size, max_header, kMaxHeader}), memory_, &in));
  gguf::Counts counts;
  JUNTO_TRY(gguf::ReadCounts(&in, &counts));
  JUNTO_TRY(gguf::PairReader(&in, counts.pairs, memory_).ReadAll(metadata));
  uint32_t alignment = 0;
  JUNTO_TRY(gguf::ReadAlignment(*metadata, &alignment));

  const size_t first = tensors_.size();
  names_.emplace_back();
  JUNTO_TRY(gguf::ReadTensors(&in, counts.tensors, static_cast<uint32_t>(parts_.size()), memory_,
                              &names_.back(), &tensors_));
  const Span<TensorInfo> added(tensors_.data() + first, tensors_.size() - first);
  const uint64_t data = RoundUp<uint64_t>(in.position(), alignment);
  JUNTO_TRY(gguf::PlaceTensors(data, alignment, size, added));
  JUNTO_TRY(gguf::CheckOverlaps({added.data(), added.size()}, memory_));
  parts_.push_back({std::move(file), in.position()});
  return Status();
}

// Opens parts 1 to count - 1 beside the first one, which is called `name`.
inline Status Gguf::AddParts(FileSystem* files, std::string_view name, uint32_t count) {
  char suffix[kPartSuffix];
  PartSuffix(0, count, suffix);
  const std::string_view wanted = suffix;
  if (name.size() < wanted.size() || name.substr(name.size() - wanted.size()) != wanted) {
    return Status::Make(Code::kInvalid,
                        "first part of %u of a split model: a name that ends in '%s' expected",
                        count, suffix);
  }
  String path(name, {memory_, Tag::kLoadTemp});
  for (uint32_t part = 1; part < count; ++part) {
    PartSuffix(part, count, suffix);
    path.replace(path.size() - wanted.size(), wanted.size(), suffix);
    Owned<File> file;
    const Status status = files->Open(path, memory_, &file);
    if (!status.ok()) return PartError(part, count, status);
    JUNTO_TRY(AddPart(std::move(file), part, count));
  }
  return Status();
}

// Reads the header of a part other than the first.
inline Status Gguf::AddPart(Owned<File> file, uint32_t part, uint32_t count, uint64_t max_header) {
  Metadata metadata(memory_);
  Status status = AddFile(std::move(file), &metadata, max_header);
  gguf::Split split;
  if (status.ok()) status = gguf::ReadSplit(metadata, &split);
  if (status.ok() && (split.part != part || split.count != count)) {
    status = Status::Make(Code::kFormat, "it says that it is part %u of %u", split.part + 1,
                          split.count);
  }
  return status.ok() ? status : PartError(part, count, status);
}

inline Status Gguf::CheckTotal() const {
  uint32_t total = 0;
  const auto found = static_cast<uint32_t>(tensors_.size());
  JUNTO_TRY(metadata_.GetU32Or("split.tensors.count", found, &total));
  if (total == tensors_.size()) return Status();
  return Status::Make(Code::kFormat, "key 'split.tensors.count': %u tensors found, %u expected",
                      found, total);
}

inline Status Gguf::IndexTensors() {
  if (parts_.size() > 1) JUNTO_TRY(CheckTotal());
  by_name_.reserve(tensors_.size());
  for (const TensorInfo& tensor : tensors_) by_name_.push_back(&tensor);
  std::sort(by_name_.begin(), by_name_.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->name < b->name; });
  for (size_t i = 1; i < by_name_.size(); ++i) {
    const std::string_view name = by_name_[i]->name;
    if (name != by_name_[i - 1]->name) continue;
    return Status::Make(Code::kFormat, "tensor '%.*s': comes twice", static_cast<int>(name.size()),
                        name.data());
  }
  return Status();
}

inline const TensorInfo* Gguf::FindTensor(std::string_view name) const {
  const auto at = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [](const TensorInfo* tensor, std::string_view key) { return tensor->name < key; });
  return at != by_name_.end() && (*at)->name == name ? *at : nullptr;
}

inline Status Gguf::Read(const TensorInfo& tensor, uint64_t offset, void* dst, size_t size) const {
  if (!RangeFits(offset, size, tensor.bytes)) {
    return Status::Make(Code::kInvalid, "tensor '%.*s': %llu bytes wanted at %llu of %llu",
                        static_cast<int>(tensor.name.size()), tensor.name.data(),
                        static_cast<unsigned long long>(size),
                        static_cast<unsigned long long>(offset),
                        static_cast<unsigned long long>(tensor.bytes));
  }
  return parts_[tensor.file].file->ReadAt(tensor.offset + offset, dst, size);
}

inline const void* Gguf::Map(const TensorInfo& tensor, uint64_t offset, size_t size) const {
  if (!RangeFits(offset, size, tensor.bytes)) return nullptr;
  return parts_[tensor.file].file->Map(tensor.offset + offset, size);
}

inline void Gguf::Unmap(const TensorInfo& tensor, const void* p, size_t size) const {
  parts_[tensor.file].file->Unmap(p, size);
}

inline void Gguf::Hint(const TensorInfo& tensor, uint64_t offset, uint64_t size,
                       FileHint hint) const {
  if (offset >= tensor.bytes) return;
  parts_[tensor.file].file->Hint(tensor.offset + offset, std::min(size, tensor.bytes - offset),
                                 hint);
}

inline void Gguf::HintAll(FileHint hint) const {
  for (const Part& part : parts_) part.file->Hint(0, part.file->size(), hint);
}

inline bool Gguf::has_vocabulary() const {
  std::string_view model;
  const Status status = metadata_.GetString("tokenizer.ggml.model", &model);
  if (status.ok()) return model != "no_vocab";
  return metadata_.Find(kTokenizerJson) != nullptr || metadata_.Find(kTokenizerModel) != nullptr;
}

}  // namespace junto

#endif  // JUNTO_IO_GGUF_H_
