// MadeGguf: a GGUF file that exists only as far as somebody reads it.
#ifndef JUNTO_HUGGINGFACE_MADE_GGUF_H_
#define JUNTO_HUGGINGFACE_MADE_GGUF_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "junto/base/checked.h"
#include "junto/base/file.h"
#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/huggingface/gguf_header.h"
#include "junto/huggingface/made_tensor.h"
#include "junto/huggingface/shards.h"

namespace junto {
namespace hf {

// The header is written beforehand, but for one long string that stays in a file of its own; the
// tensors are made as they are read.
class MadeGguf final : public File {
 public:
  static constexpr uint64_t kAlignment = 32;

  MadeGguf(Owned<Shards> shards, Memory* memory)
      : header_({memory, Tag::kObject}),
        numbers_({memory, Tag::kObject}),
        shards_(std::move(shards)),
        tensors_({memory, Tag::kObject}),
        pieces_({memory, Tag::kObject}) {}

  Shards* shards() { return shards_.get(); }

  // Room for numbers that tensors may stand for; one call, as it moves.
  Vector<float>* numbers() { return &numbers_; }

  // The string whose place is where the header's bytes end now.
  void PutString(const GgufHeader& header, Owned<File> text) {
    before_text_ = header.bytes().size();
    text_ = std::move(text);
  }

  // Adds the tensors to the header, in their order, and takes all of it. E_FORMAT.
  Status Finish(Vector<MadeTensor> tensors, Vector<Piece> pieces, GgufHeader* header) {
    uint64_t offset = 0;
    for (MadeTensor& tensor : tensors) {
      uint64_t end = 0;
      tensor.offset = offset;
      if (!CheckedAdd(offset, tensor.bytes, &end) || end > kMostBytes) {
        return Status::Make(Code::kFormat, "tensor '%s': %llu bytes at %llu are too many",
                            tensor.name, static_cast<unsigned long long>(tensor.bytes),
                            static_cast<unsigned long long>(offset));
      }
      offset = RoundUp(end, kAlignment);
      header->Tensor(tensor.name, {tensor.dims, tensor.rank}, tensor.type, tensor.offset);
    }
    header_ = header->Release();
    tensors_ = std::move(tensors);
    pieces_ = std::move(pieces);
    data_ = RoundUp(header_bytes(), kAlignment);
    size_ = data_ + offset;
    return Status();
  }

  uint64_t header_bytes() const { return header_.size() + text_size(); }
  uint64_t size() const override { return size_; }

  Status ReadAt(uint64_t offset, void* dst, size_t size) override {
    JUNTO_TRY(CheckRange(offset, size, size_));
    auto* to = static_cast<uint8_t*>(dst);
    for (uint64_t left = size; left != 0;) {
      uint64_t now = left;
      JUNTO_TRY(offset < data_ ? ReadHeader(offset, to, &now) : ReadTensor(offset, to, &now));
      offset += now;
      to += now;
      left -= now;
    }
    return Status();
  }

  void Hint(uint64_t offset, uint64_t size, FileHint hint) override {
    if (offset == 0 && size == size_) {
      for (const Owned<File>& file : shards_->files()) file->Hint(0, file->size(), hint);
      return;
    }
    uint64_t at = 0;
    const SourceTensor* source = FindSource(offset, size, &at);
    if (source != nullptr) shards_->file(*source)->Hint(source->offset + at, size, hint);
  }

 private:
  static constexpr uint64_t kMostBytes = uint64_t{1} << 62;

  uint64_t text_size() const { return text_ == nullptr ? 0 : text_->size(); }

  // Up to `*size` bytes of the header or the zeros behind it; `*size` becomes how many.
  Status ReadHeader(uint64_t offset, uint8_t* dst, uint64_t* size) const {
    const uint64_t text_end = before_text_ + text_size();
    if (offset >= before_text_ && offset < text_end) {
      *size = std::min(*size, text_end - offset);
      return text_->ReadAt(offset - before_text_, dst, static_cast<size_t>(*size));
    }
    const uint64_t written = offset < before_text_ ? offset : offset - text_size();
    const uint64_t end = offset < before_text_ ? before_text_ : header_.size();
    if (written < end) {
      *size = std::min(*size, end - written);
      std::memcpy(dst, header_.data() + written, static_cast<size_t>(*size));
    } else {
      *size = std::min(*size, data_ - offset);
      std::memset(dst, 0, static_cast<size_t>(*size));
    }
    return Status();
  }

  // The same of a tensor or the zeros behind it.
  Status ReadTensor(uint64_t offset, uint8_t* dst, uint64_t* size) const {
    const MadeTensor& tensor = *TensorAt(offset - data_);
    const uint64_t at = offset - data_ - tensor.offset;
    if (at < tensor.bytes) {
      *size = std::min(*size, tensor.bytes - at);
      return Maker(shards_.get(), pieces_).Read(tensor, at, dst, *size);
    }
    *size = std::min(*size, RoundUp(tensor.bytes, kAlignment) - at);
    std::memset(dst, 0, static_cast<size_t>(*size));
    return Status();
  }

  // The tensor that holds a byte of the data, or the zeros behind it.
  const MadeTensor* TensorAt(uint64_t offset) const {
    return std::prev(std::upper_bound(
        tensors_.data(), tensors_.data() + tensors_.size(), offset,
        [](uint64_t wanted, const MadeTensor& tensor) { return wanted < tensor.offset; }));
  }

  const SourceTensor* FindSource(uint64_t offset, uint64_t size, uint64_t* at) const {
    if (offset < data_ || !RangeFits(offset, size, size_) || tensors_.empty()) return nullptr;
    const MadeTensor& tensor = *TensorAt(offset - data_);
    const uint64_t within = offset - data_ - tensor.offset;
    if (!RangeFits(within, size, tensor.bytes)) return nullptr;
    return Maker(shards_.get(), pieces_).Find(tensor, within, size, at);
  }

  Vector<uint8_t> header_;    // but for the text
  uint64_t before_text_ = 0;  // bytes of it
  Owned<File> text_;
  Vector<float> numbers_;
  Owned<Shards> shards_;
  Vector<MadeTensor> tensors_;
  Vector<Piece> pieces_;
  uint64_t data_ = 0;  // where the first tensor begins
  uint64_t size_ = 0;
};

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_MADE_GGUF_H_
