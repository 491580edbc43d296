// Packer: writes a model's weights, laid out as in memory, to a packed file through bounded
// temporaries.
#ifndef JUNTO_RUNTIME_PACKER_H_
#define JUNTO_RUNTIME_PACKER_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "junto/io/packed.h"
#include "junto/runtime/loader.h"

namespace junto {

// A hash of which tensor lies where: packed files of a build that lays out otherwise are told apart
// by it.
class LayoutHash {
 public:
  void Add(const Placement& placement) {
    const PanelMatrix& panels = placement.panels;
    hash_.Add(placement.tensor->name.data(), placement.tensor->name.size());
    for (const uint64_t number :
         {placement.first_row, placement.rows, placement.offset, uint64_t{placement.is_matrix},
          uint64_t{placement.transposed}, panels.stride, uint64_t{panels.columns},
          static_cast<uint64_t>(panels.format), static_cast<uint64_t>(panels.table)}) {
      hash_.Add(number);
    }
  }
  uint64_t value() const { return hash_.value(); }

 private:
  Hash hash_;
};

// Learns of the weights piece by piece, and gives the hash of every expert among them.
class ExpertHasher {
 public:
  ExpertHasher(const ModelSpec& spec, const ModelWeights& places, Memory* memory)
      : layers_({memory, Tag::kLoadTemp}), hashes_({memory, Tag::kLoadTemp}) {
    for (size_t i = 0; i < spec.layers.size(); ++i) {
      const uint32_t experts = spec.layers[i].ffn.router.experts;
      const LayerWeights& layer = places.layers[i];
      layers_.push_back({layer.expert_offset, layer.expert_stride, experts, hashes_.size()});
      hashes_.resize(hashes_.size() + experts);
    }
  }

  // Runs that lie one after the other at `from`.
  void Add(const WeightRuns& runs, const uint8_t* from) {
    for (const Layer& layer : layers_) {
      if (!RangeFits(runs.offset - layer.offset, 1, layer.experts * layer.stride)) continue;
      const uint64_t expert = (runs.offset - layer.offset) / layer.stride;
      const uint64_t within = (runs.offset - layer.offset) % layer.stride;
      for (uint64_t i = 0; i < runs.count; ++i) {
        hashes_[layer.first + expert].Add(within + i * runs.stride, from + i * runs.bytes,
                                          runs.bytes);
      }
    }
  }

  size_t count() const { return hashes_.size(); }
  uint64_t value(size_t i) const { return hashes_[i].value(); }

 private:
  struct Layer {
    uint64_t offset;
    uint64_t stride;
    uint64_t experts;
    size_t first;
  };
  Vector<Layer> layers_;
  Vector<PlacedHash> hashes_;
};

// Weights in a new file, from `start` on. What lies between placements is written as zeros.
class FileSink final : public WeightSink {
 public:
  FileSink(NewFile* file, uint64_t start, ExpertHasher* hasher)
      : file_(file), start_(start), hasher_(hasher) {}

  // Takes room for `bytes`. E_MEMORY.
  Status Prepare(uint64_t bytes, Memory* memory) {
    return Block::Allocate(memory, bytes, Arena::kAlignment, Tag::kLoadTemp, &room_);
  }

  uint8_t* Room(const WeightRuns& runs, uint64_t* stride) override {
    *stride = runs.bytes;
    return room_.data();
  }

  Status Put(const WeightRuns& runs) override {
    hasher_->Add(runs, room_.data());
    JUNTO_TRY(FillTo(runs.offset));
    const uint64_t joined = runs.stride == runs.bytes ? runs.count : 1;
    for (uint64_t i = 0; i < runs.count; i += joined) {
      JUNTO_TRY(file_->WriteAt(start_ + runs.offset + i * runs.stride,
                               room_.data() + i * runs.bytes, joined * runs.bytes));
    }
    end_ = std::max(end_, runs.offset + (runs.count - 1) * runs.stride + runs.bytes);
    return Status();
  }

  // Zeros from what was written last to `offset`, if that is further.
  Status FillTo(uint64_t offset) {
    static constexpr uint8_t kZeros[4096] = {};
    while (end_ < offset) {
      const uint64_t size = std::min<uint64_t>(offset - end_, sizeof(kZeros));
      JUNTO_TRY(file_->WriteAt(start_ + end_, kZeros, size));
      end_ += size;
    }
    return Status();
  }

 private:
  NewFile* file_;
  uint64_t start_;
  ExpertHasher* hasher_;
  uint64_t end_ = 0;
  Block room_;
};

class Packer {
 public:
  // All pointers must outlive the Packer. Throws OutOfMemory.
  Packer(const Gguf* gguf, const ModelSpec* spec, Executor* executor, Memory* memory)
      : gguf_(gguf), spec_(spec), executor_(executor), memory_(memory), places_(memory) {
    places_.layers.resize(spec->layers.size());
  }

  // Writes all of `file` but does not commit it. E_IO, E_FORMAT, E_MEMORY, or what the executor or
  // `options.progress` reports.
  Status Write(const Loader::Options& options, NewFile* file) {
    packed::Header header = {};
    JUNTO_TRY(Measure(&header));
    ExpertHasher hasher(*spec_, places_, memory_);
    FileSink sink(file, header.weights, &hasher);
    Loader loader(gguf_, executor_, &sink, size_.total, options);
    JUNTO_TRY(sink.Prepare(size_.room, memory_));
    JUNTO_TRY(loader.Prepare(size_.temporary, memory_));
    JUNTO_TRY(WriteDirectory(header, file));
    Status status;
    Arena arena;
    LayOutWeights(*spec_, false, false, &arena, &places_, [&](const Placement& placement) {
      if (status.ok()) status = loader.Load(placement);
    });
    JUNTO_TRY(status);
    loader.Finish();
    JUNTO_TRY(sink.FillTo(header.weights_bytes));
    return WriteHeader(hasher, &header, file);
  }

 private:
  Status Measure(packed::Header* header) {
    LayoutHash layout;
    Arena arena;
    LayOutWeights(*spec_, false, false, &arena, &places_, [&](const Placement& placement) {
      layout.Add(placement);
      Loader::Measure(placement, &size_);
    });
    Hash directory;
    JUNTO_TRY(packed::ForEachDirectoryPiece(*gguf_, memory_, [&](const void* data, size_t size) {
      directory.Add(data, size);
      header->directory_bytes += size;
      return Status();
    }));
    JUNTO_TRY(packed::Fingerprint(*gguf_, memory_, &header->source));
    std::memcpy(header->magic, packed::kMagic, sizeof(header->magic));
    header->byte_order = packed::kByteOrder;
    header->version = packed::kVersion;
    header->panel_version = kPanelVersion;
    header->parts = static_cast<uint32_t>(gguf_->parts().size());
    header->directory = sizeof(packed::Header);
    header->directory_hash = directory.value();
    for (const LayerSpec& layer : spec_->layers) header->experts += layer.ffn.router.experts;
    header->weights = packed::WeightsOf(*header);
    header->weights_bytes = arena.used();
    header->file_bytes = header->weights + header->weights_bytes;
    header->layout_hash = layout.value();
    return Status();
  }

  // The directory, and zeros up to the weights.
  Status WriteDirectory(const packed::Header& header, NewFile* file) const {
    uint64_t at = header.directory;
    JUNTO_TRY(packed::ForEachDirectoryPiece(*gguf_, memory_, [&](const void* data, size_t size) {
      at += size;
      return file->WriteAt(at - size, data, size);
    }));
    static constexpr uint8_t kZeros[packed::kAlignment] = {};
    while (at < header.weights) {
      const uint64_t size = std::min<uint64_t>(header.weights - at, sizeof(kZeros));
      JUNTO_TRY(file->WriteAt(at, kZeros, size));
      at += size;
    }
    return Status();
  }

  // What is known last: the hashes of experts, and the header with theirs.
  static Status WriteHeader(const ExpertHasher& hasher, packed::Header* header, NewFile* file) {
    Hash all;
    for (size_t i = 0; i < hasher.count(); ++i) {
      const uint64_t hash = hasher.value(i);
      all.Add(hash);
      const uint64_t at = packed::ExpertHashesOf(*header) + i * sizeof(hash);
      JUNTO_TRY(file->WriteAt(at, &hash, sizeof(hash)));
    }
    header->experts_hash = all.value();
    header->header_hash = packed::HashOf(*header);
    return file->WriteAt(0, header, sizeof(*header));
  }

  const Gguf* gguf_;
  const ModelSpec* spec_;
  Executor* executor_;
  Memory* memory_;
  ModelWeights places_;
  LoadSize size_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_PACKER_H_
