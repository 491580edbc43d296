// Writes GGUF files for tests: right ones, and wrong ones on request.
//
//   GgufWriter writer;
//   writer.Add("general.architecture", "llama").Add("llama.block_count", uint32_t{2});
//   writer.Tensor("output_norm.weight", BlockType::kF32, {64}, bytes);
//   std::vector<uint8_t> file = writer.Bytes();
#ifndef JUNTO_TESTS_SUPPORT_GGUF_WRITER_H_
#define JUNTO_TESTS_SUPPORT_GGUF_WRITER_H_

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "junto/io/metadata.h"
#include "junto/quant/block_types.h"

namespace junto {
namespace test {

class ByteWriter {
 public:
  template <class T>
  void Put(T value) {
    static_assert(std::is_arithmetic<T>::value, "numbers only");
    const auto* p = reinterpret_cast<const uint8_t*>(&value);
    bytes_.insert(bytes_.end(), p, p + sizeof(T));
  }
  void PutString(const std::string& text) {
    Put<uint64_t>(text.size());
    bytes_.insert(bytes_.end(), text.begin(), text.end());
  }
  void PutBytes(const std::vector<uint8_t>& bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void PadTo(uint64_t alignment) {
    while (bytes_.size() % alignment != 0) bytes_.push_back(0);
  }
  uint64_t size() const { return bytes_.size(); }
  std::vector<uint8_t> Take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

template <class T>
constexpr MetadataType MetadataTypeOf() {
  if (std::is_same<T, bool>::value) return MetadataType::kBool;
  if (std::is_floating_point<T>::value) {
    return sizeof(T) == 4 ? MetadataType::kF32 : MetadataType::kF64;
  }
  if (!std::is_integral<T>::value) return MetadataType::kString;
  constexpr bool kSigned = std::is_signed<T>::value;
  return sizeof(T) == 1   ? (kSigned ? MetadataType::kI8 : MetadataType::kU8)
         : sizeof(T) == 2 ? (kSigned ? MetadataType::kI16 : MetadataType::kU16)
         : sizeof(T) == 4 ? (kSigned ? MetadataType::kI32 : MetadataType::kU32)
                          : (kSigned ? MetadataType::kI64 : MetadataType::kU64);
}

class GgufWriter {
 public:
  // Pairs keep their order. T is bool, a sized integer, float, double or std::string.
  template <class T>
  GgufWriter& Add(const std::string& key, const T& value) {
    ByteWriter out;
    PutElement(&out, value);
    return RawPair(key, static_cast<uint32_t>(MetadataTypeOf<T>()), out.Take());
  }
  GgufWriter& Add(const std::string& key, const char* value) {
    return Add(key, std::string(value));
  }
  template <class T>
  GgufWriter& Add(const std::string& key, const std::vector<T>& values) {
    ByteWriter out;
    out.Put(static_cast<uint32_t>(MetadataTypeOf<T>()));
    out.Put<uint64_t>(values.size());
    for (const T& value : values) PutElement<T>(&out, value);
    return RawPair(key, static_cast<uint32_t>(MetadataType::kArray), out.Take());
  }
  // Any bytes after any type id.
  GgufWriter& RawPair(const std::string& key, uint32_t type, std::vector<uint8_t> value) {
    pairs_.push_back({key, type, std::move(value)});
    return *this;
  }

  // Also writes the key. Call before Tensor.
  GgufWriter& Alignment(uint32_t alignment) {
    alignment_ = alignment;
    return Add("general.alignment", alignment);
  }
  GgufWriter& Version(uint32_t version) {
    version_ = version;
    return *this;
  }

  // Dimensions as the file has them, fastest-varying first. Data follows the previous tensor's.
  GgufWriter& Tensor(const std::string& name, BlockType type, const std::vector<uint64_t>& dims,
                     const std::vector<uint8_t>& data) {
    return RawTensor(name, static_cast<uint32_t>(type), dims, NextOffset(), data);
  }
  // Any type, any claimed offset.
  GgufWriter& RawTensor(const std::string& name, uint32_t type, const std::vector<uint64_t>& dims,
                        uint64_t offset, const std::vector<uint8_t>& data) {
    tensors_.push_back({name, type, dims, offset, data});
    return *this;
  }

  std::vector<uint8_t> Bytes() const {
    ByteWriter out;
    out.PutBytes({'G', 'G', 'U', 'F'});
    out.Put(version_);
    out.Put<uint64_t>(tensors_.size());
    out.Put<uint64_t>(pairs_.size());
    for (const Pair& pair : pairs_) {
      out.PutString(pair.key);
      out.Put(pair.type);
      out.PutBytes(pair.value);
    }
    for (const Row& row : tensors_) {
      out.PutString(row.name);
      out.Put(static_cast<uint32_t>(row.dims.size()));
      for (const uint64_t dim : row.dims) out.Put(dim);
      out.Put(row.type);
      out.Put(row.offset);
    }
    if (!tensors_.empty()) out.PadTo(alignment_);
    std::vector<uint8_t> bytes = out.Take();
    const size_t data = bytes.size();
    for (const Row& row : tensors_) {
      if (row.data.empty()) continue;
      if (bytes.size() < data + row.offset + row.data.size()) {
        bytes.resize(data + row.offset + row.data.size());
      }
      std::memcpy(bytes.data() + data + row.offset, row.data.data(), row.data.size());
    }
    return bytes;
  }

  bool WriteFile(const std::string& path) const {
    const std::vector<uint8_t> bytes = Bytes();
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr) return false;
    const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    return (std::fclose(file) == 0) && written;
  }

  // The same model in `count` parts: names and bytes. The first part has all pairs, the tensors are
  // dealt out evenly in order.
  std::vector<std::pair<std::string, std::vector<uint8_t>>> Split(const std::string& prefix,
                                                                  uint16_t count) const {
    std::vector<std::pair<std::string, std::vector<uint8_t>>> parts;
    for (uint16_t part = 0; part < count; ++part) {
      GgufWriter writer;
      writer.alignment_ = alignment_;
      if (part == 0) {
        writer.pairs_ = pairs_;
      } else if (alignment_ != 32) {
        writer.Alignment(alignment_);
      }
      writer.Add("split.no", part).Add("split.count", count);
      writer.Add("split.tensors.count", static_cast<int32_t>(tensors_.size()));
      for (size_t i = tensors_.size() * part / count; i < tensors_.size() * (part + 1u) / count;
           ++i) {
        const Row& row = tensors_[i];
        writer.RawTensor(row.name, row.type, row.dims, writer.NextOffset(), row.data);
      }
      char suffix[32];
      std::snprintf(suffix, sizeof(suffix), "-%05u-of-%05u.gguf", part + 1u, unsigned{count});
      parts.emplace_back(prefix + suffix, writer.Bytes());
    }
    return parts;
  }

 private:
  struct Pair {
    std::string key;
    uint32_t type;
    std::vector<uint8_t> value;
  };
  struct Row {
    std::string name;
    uint32_t type;
    std::vector<uint64_t> dims;
    uint64_t offset;
    std::vector<uint8_t> data;
  };

  template <class T>
  static void PutElement(ByteWriter* out, const T& value) {
    if constexpr (std::is_same<T, std::string>::value) {
      out->PutString(value);
    } else {
      out->Put<T>(value);
    }
  }

  uint64_t NextOffset() const {
    if (tensors_.empty()) return 0;
    const uint64_t end = tensors_.back().offset + tensors_.back().data.size();
    return (end + alignment_ - 1) / alignment_ * alignment_;
  }

  uint32_t version_ = 3;
  uint32_t alignment_ = 32;
  std::vector<Pair> pairs_;
  std::vector<Row> tensors_;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_GGUF_WRITER_H_
