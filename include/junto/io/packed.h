// Packed files: a model's weights as they lie in memory, to be mapped and used in place, behind the
// headers of the GGUF that they came from. docs/formats.md says where everything is.
#ifndef JUNTO_IO_PACKED_H_
#define JUNTO_IO_PACKED_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>

#include "junto/base/checked.h"
#include "junto/base/file.h"
#include "junto/base/hash.h"
#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/io/gguf.h"
#include "junto/quant/panel.h"

namespace junto {
namespace packed {

constexpr char kMagic[8] = {'J', 'U', 'N', 'T', 'O', 'P', 'A', 'K'};
constexpr uint32_t kByteOrder = 0x01020304;
constexpr uint32_t kVersion = 2;  // of the header and the directory
constexpr uint64_t kAlignment = 4096;
constexpr uint32_t kMaxParts = 65535;

// The first bytes of a packed file. Each hash is that of base/hash.h.
struct Header {
  char magic[8];
  uint32_t byte_order;
  uint32_t version;
  uint32_t panel_version;  // kPanelVersion
  uint32_t parts;          // files of the source
  uint64_t file_bytes;     // of this file
  uint64_t directory;      // where it is
  uint64_t directory_bytes;
  uint64_t directory_hash;
  uint64_t weights;        // where they are, a multiple of kAlignment
  uint64_t weights_bytes;  // up to the end of the file
  uint64_t layout_hash;    // which tensor lies where in the weights
  uint64_t source;         // fingerprint of the source
  uint64_t experts;        // of all layers: a hash of each lies behind the directory
  uint64_t experts_hash;   // of those hashes
  uint64_t reserved[2];    // 0
  uint64_t header_hash;    // of all before it
};
static_assert(sizeof(Header) == 128, "it is written as it is");

inline uint64_t HashOf(const Header& header) {
  Hash hash;
  hash.Add(&header, offsetof(Header, header_hash));
  return hash.value();
}

// Where the hashes of experts are, and the weights: behind what comes before them.
inline uint64_t ExpertHashesOf(const Header& header) {
  return RoundUp<uint64_t>(header.directory + header.directory_bytes, sizeof(uint64_t));
}
inline uint64_t WeightsOf(const Header& header) {
  return RoundUp(ExpertHashesOf(header) + header.experts * sizeof(uint64_t), kAlignment);
}

// The directory: one of these for each file of the source, then the headers of those files, each
// `header_bytes` long, one after the other.
struct PartRecord {
  uint64_t file_bytes;    // of the source's file
  uint64_t header_bytes;  // metadata and tensor table
};

// Calls f(bytes, size) for consecutive pieces of [offset, offset + size) of a file.
template <class F>
Status ForEachPiece(File* file, uint64_t offset, uint64_t size, Memory* memory, F&& f) {
  constexpr uint64_t kPiece = uint64_t{64} << 10;
  Block piece;
  JUNTO_TRY(Block::Allocate(memory, std::min(size, kPiece), 1, Tag::kLoadTemp, &piece));
  while (size != 0) {
    const auto now = static_cast<size_t>(std::min<uint64_t>(size, piece.size()));
    JUNTO_TRY(file->ReadAt(offset, piece.data(), now));
    JUNTO_TRY(f(piece.data(), now));
    offset += now;
    size -= now;
  }
  return Status();
}

// Calls f(bytes, size) for the directory of a model, piece by piece: what a packed file holds of it
// and what its fingerprint begins with.
template <class F>
Status ForEachDirectoryPiece(const Gguf& gguf, Memory* memory, F&& f) {
  for (const Gguf::Part& part : gguf.parts()) {
    const PartRecord record = {part.file->size(), part.header_bytes};
    JUNTO_TRY(f(&record, sizeof(record)));
  }
  for (const Gguf::Part& part : gguf.parts()) {
    JUNTO_TRY(ForEachPiece(part.file.get(), 0, part.header_bytes, memory, f));
  }
  return Status();
}

// What tells one source from another: a hash of its directory and of the first 64 bytes of every
// tensor, in the order of the table.
inline Status Fingerprint(const Gguf& gguf, Memory* memory, uint64_t* fingerprint) {
  Hash hash;
  JUNTO_TRY(ForEachDirectoryPiece(gguf, memory, [&](const void* data, size_t size) {
    hash.Add(data, size);
    return Status();
  }));
  for (const TensorInfo& tensor : gguf.tensors()) {
    uint8_t first[64];
    const auto size = static_cast<size_t>(std::min<uint64_t>(tensor.bytes, sizeof(first)));
    JUNTO_TRY(gguf.Read(tensor, 0, first, size));
    hash.Add(first, size);
  }
  *fingerprint = hash.value();
  return Status();
}

// A file of the source as far as a packed file remembers it: its size and its header. The rest
// reads as zeros, at which nobody looks.
class PartFile final : public File {
 public:
  // The header's `record.header_bytes` lie at `offset` in `packed`, which must outlive this file.
  PartFile(File* packed, uint64_t offset, const PartRecord& record)
      : packed_(packed), offset_(offset), record_(record) {}

  uint64_t size() const override { return record_.file_bytes; }
  Status ReadAt(uint64_t offset, void* dst, size_t size) override {
    const uint64_t left = record_.header_bytes - std::min(offset, record_.header_bytes);
    const auto known = static_cast<size_t>(std::min<uint64_t>(size, left));
    std::memset(static_cast<uint8_t*>(dst) + known, 0, size - known);
    return known == 0 ? Status() : packed_->ReadAt(offset_ + offset, dst, known);
  }

 private:
  File* packed_;
  uint64_t offset_;
  PartRecord record_;
};

}  // namespace packed

// An opened packed file. Everything but the weights themselves is checked: those are taken as they
// are, and damage to them gives wrong text but nothing worse.
class Packed {
 public:
  // Whether a file says that it is one.
  static Status Recognise(File* file, bool* is_packed) {
    char magic[sizeof(packed::kMagic)] = {};
    *is_packed = false;
    if (file->size() < sizeof(magic)) return Status();
    JUNTO_TRY(file->ReadAt(0, magic, sizeof(magic)));
    *is_packed = std::memcmp(magic, packed::kMagic, sizeof(magic)) == 0;
    return Status();
  }

  // `gguf` receives the source's metadata and tensor table; its tensors cannot be read. The new
  // Packed must outlive it. E_IO, E_FORMAT, E_UNSUPPORTED (another version), E_MEMORY; throws
  // OutOfMemory.
  static Status Open(Owned<File> file, Memory* memory, Owned<Packed>* out, Owned<Gguf>* gguf) {
    Owned<Packed> opened = New<Packed>(memory, Tag::kObject, std::move(file));
    JUNTO_TRY(opened->ReadHeader());
    JUNTO_TRY(opened->CheckPlaces());
    JUNTO_TRY(opened->CheckDirectory(memory));
    JUNTO_TRY(opened->OpenSource(memory, gguf));
    *out = std::move(opened);
    return Status();
  }

  explicit Packed(Owned<File> file) : file_(std::move(file)) {}

  File* file() const { return file_.get(); }
  uint64_t weights() const { return header_.weights; }
  uint64_t weights_bytes() const { return header_.weights_bytes; }
  uint64_t layout_hash() const { return header_.layout_hash; }
  uint64_t source() const { return header_.source; }
  uint64_t experts() const { return header_.experts; }

  // The PlacedHash of every expert, layer after layer. E_IO, E_FORMAT; throws OutOfMemory.
  Status ReadExpertHashes(Vector<uint64_t>* hashes) const {
    hashes->resize(header_.experts);
    const size_t size = hashes->size() * sizeof(uint64_t);
    if (size == 0) return Status();
    JUNTO_TRY(file_->ReadAt(packed::ExpertHashesOf(header_), hashes->data(), size));
    Hash hash;
    hash.Add(hashes->data(), size);
    if (hash.value() == header_.experts_hash) return Status();
    return Status::Make(Code::kFormat, "packed file: the hashes of %llu experts are damaged",
                        Wide(header_.experts));
  }

 private:
  static unsigned long long Wide(uint64_t x) { return x; }

  Status ReadHeader() {
    if (file_->size() < sizeof(header_)) {
      return Status::Make(Code::kFormat, "packed file of %llu bytes ends inside its header of %zu",
                          Wide(file_->size()), sizeof(header_));
    }
    JUNTO_TRY(file_->ReadAt(0, &header_, sizeof(header_)));
    if (header_.byte_order != packed::kByteOrder) {
      return Status::Make(Code::kUnsupported,
                          "packed file of another byte order (0x%08x): pack the model again here",
                          static_cast<unsigned>(header_.byte_order));
    }
    if (header_.version != packed::kVersion || header_.panel_version != kPanelVersion) {
      return Status::Make(
          Code::kUnsupported,
          "packed file of version %u with panels of version %u, %u and %u are "
          "supported: pack the model again",
          static_cast<unsigned>(header_.version), static_cast<unsigned>(header_.panel_version),
          static_cast<unsigned>(packed::kVersion), static_cast<unsigned>(kPanelVersion));
    }
    if (header_.header_hash == packed::HashOf(header_)) return Status();
    return Status::Make(Code::kFormat, "packed file: the header is damaged: its hash is %016llx",
                        Wide(packed::HashOf(header_)));
  }

  // That directory and weights follow each other to the end of the file.
  Status CheckPlaces() const {
    if (header_.file_bytes != file_->size()) {
      return Status::Make(Code::kFormat, "packed file of %llu bytes, its header says %llu",
                          Wide(file_->size()), Wide(header_.file_bytes));
    }
    const uint64_t end = header_.file_bytes;
    const uint64_t records = uint64_t{header_.parts} * sizeof(packed::PartRecord);
    const bool zeros = std::all_of(std::begin(header_.reserved), std::end(header_.reserved),
                                   [](uint64_t word) { return word == 0; });
    const bool sound = zeros && header_.parts != 0 && header_.parts <= packed::kMaxParts &&
                       header_.directory == sizeof(header_) && records <= header_.directory_bytes &&
                       RangeFits(header_.directory, header_.directory_bytes, end) &&
                       header_.experts < end / sizeof(uint64_t) &&
                       header_.weights == packed::WeightsOf(header_) && header_.weights < end &&
                       header_.weights_bytes == end - header_.weights;
    if (sound) return Status();
    return Status::Make(
        Code::kFormat,
        "packed file: %u parts, %llu bytes of directory at %llu and %llu of weights "
        "at %llu do not fit together",
        static_cast<unsigned>(header_.parts), Wide(header_.directory_bytes),
        Wide(header_.directory), Wide(header_.weights_bytes), Wide(header_.weights));
  }

  Status CheckDirectory(Memory* memory) const {
    Hash hash;
    JUNTO_TRY(packed::ForEachPiece(file_.get(), header_.directory, header_.directory_bytes, memory,
                                   [&](const void* data, size_t size) {
                                     hash.Add(data, size);
                                     return Status();
                                   }));
    if (hash.value() == header_.directory_hash) return Status();
    return Status::Make(Code::kFormat, "packed file: the directory is damaged: its hash is %016llx",
                        Wide(hash.value()));
  }

  Status OpenSource(Memory* memory, Owned<Gguf>* gguf) const {
    const uint64_t end = header_.directory + header_.directory_bytes;
    uint64_t record_at = header_.directory;
    uint64_t header_at = record_at + uint64_t{header_.parts} * sizeof(packed::PartRecord);
    Vector<Gguf::Part> parts({memory, Tag::kLoadTemp});
    parts.reserve(header_.parts);
    for (uint32_t part = 0; part < header_.parts; ++part) {
      packed::PartRecord record;
      JUNTO_TRY(file_->ReadAt(record_at, &record, sizeof(record)));
      const uint64_t left = end - header_at;
      const bool last = part + 1 == header_.parts;
      if (record.header_bytes > record.file_bytes || record.header_bytes > left ||
          (last && record.header_bytes != left)) {
        return Status::Make(Code::kFormat,
                            "packed file: part %u has a header of %llu bytes, %llu are left", part,
                            Wide(record.header_bytes), Wide(left));
      }
      parts.push_back(
          {New<packed::PartFile, File>(memory, Tag::kObject, file_.get(), header_at, record),
           record.header_bytes});
      record_at += sizeof(record);
      header_at += record.header_bytes;
    }
    return Gguf::OpenParts(std::move(parts), memory, gguf);
  }

  Owned<File> file_;
  packed::Header header_ = {};
};

// A model's file of either kind.
struct ModelFile {
  ModelFile() = default;
  ModelFile(Owned<Gguf> gguf) : gguf(std::move(gguf)) {}  // NOLINT: a GGUF is a model's file

  Owned<Packed> packed;  // nullptr for GGUF; outlives gguf
  Owned<Gguf> gguf;
};

// Takes the open file `name`, whichever kind it is.
inline Status OpenModelFile(Owned<File> file, FileSystem* files, std::string_view name,
                            Memory* memory, ModelFile* out) {
  bool is_packed = false;
  JUNTO_TRY(Packed::Recognise(file.get(), &is_packed));
  if (!is_packed) return Gguf::OpenFirst(std::move(file), files, name, memory, &out->gguf);
  return Packed::Open(std::move(file), memory, &out->packed, &out->gguf);
}

// The same for a file without others beside it.
inline Status OpenModelFile(Owned<File> file, Memory* memory, ModelFile* out) {
  bool is_packed = false;
  JUNTO_TRY(Packed::Recognise(file.get(), &is_packed));
  if (!is_packed) return Gguf::OpenFile(std::move(file), memory, &out->gguf);
  return Packed::Open(std::move(file), memory, &out->packed, &out->gguf);
}

}  // namespace junto

#endif  // JUNTO_IO_PACKED_H_
