// The tensor table of a GGUF file: what each tensor is and where its bytes lie.
#ifndef JUNTO_IO_GGUF_TENSORS_H_
#define JUNTO_IO_GGUF_TENSORS_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "junto/base/checked.h"
#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/io/byte_cursor.h"
#include "junto/quant/block_types.h"

namespace junto {

struct TensorInfo {
  std::string_view name;             // 1 to 127 bytes of UTF-8
  BlockType type = BlockType::kF32;  // always one that FindBlockType knows
  uint32_t rank = 0;                 // 1 to 4
  uint64_t dims[4] = {1, 1, 1, 1};   // elements, the fastest-varying first; missing ones are 1
  uint32_t file = 0;                 // which file of a split model
  uint64_t offset = 0;               // of the first byte, in that file
  uint64_t bytes = 0;
};

namespace gguf {

constexpr uint64_t kMaxTensorName = 127;

// Bytes of a tensor of whole blocks, and the reason when there is no such number.
inline Status SizeTensor(const ByteCursor& in, TensorInfo* tensor) {
  const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(tensor->type));
  if (tensor->dims[0] % type.elements != 0) {
    return in.Error(Code::kFormat, "row of %llu elements, %s needs a multiple of %u",
                    static_cast<unsigned long long>(tensor->dims[0]), type.name, type.elements);
  }
  const uint64_t blocks[4] = {tensor->dims[0] / type.elements, tensor->dims[1], tensor->dims[2],
                              tensor->dims[3]};
  uint64_t bytes = type.bytes;
  for (uint64_t factor : blocks) {
    if (!CheckedMul(bytes, factor, &bytes)) {
      return in.Error(Code::kFormat, "%llu x %llu x %llu x %llu elements pass 64 bits",
                      static_cast<unsigned long long>(tensor->dims[0]),
                      static_cast<unsigned long long>(tensor->dims[1]),
                      static_cast<unsigned long long>(tensor->dims[2]),
                      static_cast<unsigned long long>(tensor->dims[3]));
    }
  }
  tensor->bytes = bytes;
  return Status();
}

// One row of the table. The name lies in the cursor, the offset counts from the data section.
inline Status ReadTensor(ByteCursor* in, TensorInfo* tensor) {
  JUNTO_TRY(in->ReadName("tensor", kMaxTensorName, &tensor->name));
  JUNTO_TRY(in->Read(&tensor->rank));
  if (tensor->rank < 1 || tensor->rank > 4) {
    return in->Error(Code::kFormat, "%u dimensions found, 1 to 4 allowed", tensor->rank);
  }
  for (uint32_t i = 0; i < tensor->rank; ++i) {
    JUNTO_TRY(in->Read(&tensor->dims[i]));
    if (tensor->dims[i] == 0) return in->Error(Code::kFormat, "dimension %u is 0", i);
  }
  uint32_t type = 0;
  JUNTO_TRY(in->Read(&type));
  JUNTO_TRY(in->Read(&tensor->offset));
  if (FindBlockType(type) == nullptr) {
    return in->Error(Code::kUnsupported, "type %u is not known", type);
  }
  tensor->type = static_cast<BlockType>(type);
  return SizeTensor(*in, tensor);
}

// Appends `count` rows to `tensors` with names in `names`. Like the pairs, the table is walked once
// to check and measure before anything is allocated for it.
inline Status ReadTensors(ByteCursor* in, uint64_t count, uint32_t file, Memory* memory,
                          Block* names, Vector<TensorInfo>* tensors) {
  constexpr uint64_t kLeastRow = 8 + 1 + 4 + 8 + 4 + 8;  // name size, name, rank, dim, type, offset
  in->SetSubject("header");
  if (count > in->left() / kLeastRow) {
    return in->Error(Code::kFormat, "%llu tensors claimed, %llu bytes are left",
                     static_cast<unsigned long long>(count),
                     static_cast<unsigned long long>(in->left()));
  }
  const uint64_t start = in->position();
  size_t name_bytes = 0;
  for (uint64_t i = 0; i < count; ++i) {
    TensorInfo tensor;
    in->SetSubject("tensor", i);
    JUNTO_TRY(ReadTensor(in, &tensor));
    name_bytes += tensor.name.size();
  }
  JUNTO_TRY(Block::Allocate(memory, name_bytes, 1, Tag::kObject, names));
  tensors->reserve(tensors->size() + static_cast<size_t>(count));
  in->Rewind(start);
  size_t used = 0;
  for (uint64_t i = 0; i < count; ++i) {
    TensorInfo tensor;
    in->SetSubject("tensor", i);
    JUNTO_TRY(ReadTensor(in, &tensor));
    if (tensor.name.size() > name_bytes - used) {
      return in->Error(Code::kIo, "the file changed while it was read");
    }
    char* name = reinterpret_cast<char*>(names->data()) + used;
    std::memcpy(name, tensor.name.data(), tensor.name.size());
    used += tensor.name.size();
    tensor.name = {name, tensor.name.size()};
    tensor.file = file;
    tensors->push_back(tensor);
  }
  return Status();
}

// Turns offsets of the data section, which starts at `data`, into offsets of the file of
// `file_size` bytes.
inline Status PlaceTensors(uint64_t data, uint64_t alignment, uint64_t file_size,
                           Span<TensorInfo> tensors) {
  for (TensorInfo& tensor : tensors) {
    const auto name_size = static_cast<int>(tensor.name.size());
    const auto offset = static_cast<unsigned long long>(tensor.offset);
    if (tensor.offset % alignment != 0) {
      return Status::Make(Code::kFormat, "tensor '%.*s': offset %llu, a multiple of %llu expected",
                          name_size, tensor.name.data(), offset,
                          static_cast<unsigned long long>(alignment));
    }
    uint64_t start = 0;
    if (!CheckedAdd(data, tensor.offset, &start) || !RangeFits(start, tensor.bytes, file_size)) {
      return Status::Make(
          Code::kFormat,
          "tensor '%.*s': %llu bytes at %llu + %llu pass the end of the file at %llu", name_size,
          tensor.name.data(), static_cast<unsigned long long>(tensor.bytes),
          static_cast<unsigned long long>(data), offset,
          static_cast<unsigned long long>(file_size));
    }
    tensor.offset = start;
  }
  return Status();
}

// No two of these tensors of one file share a byte.
inline Status CheckOverlaps(Span<const TensorInfo> tensors, Memory* memory) {
  Vector<const TensorInfo*> order({memory, Tag::kLoadTemp});
  order.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const TensorInfo& before = *order[i - 1];
    const TensorInfo& after = *order[i];
    const uint64_t end = before.offset + before.bytes;
    if (end <= after.offset) continue;
    return Status::Make(
        Code::kFormat, "tensor '%.*s': starts at %llu inside tensor '%.*s', which ends at %llu",
        static_cast<int>(after.name.size()), after.name.data(),
        static_cast<unsigned long long>(after.offset), static_cast<int>(before.name.size()),
        before.name.data(), static_cast<unsigned long long>(end));
  }
  return Status();
}

}  // namespace gguf
}  // namespace junto

#endif  // JUNTO_IO_GGUF_TENSORS_H_
