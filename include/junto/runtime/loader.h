// Loader: reads tensors piece by piece and transcodes each piece into its place on all workers.
#ifndef JUNTO_RUNTIME_LOADER_H_
#define JUNTO_RUNTIME_LOADER_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "junto/base/executor.h"
#include "junto/quant/pack_panel.h"
#include "junto/runtime/weights.h"

namespace junto {

// Progress of a load, on the thread that loads; done and total are bytes of the file's tensors. A
// failed status abandons the load.
class LoadProgress {
 public:
  virtual ~LoadProgress() = default;
  virtual Status Update(uint64_t done, uint64_t total) = 0;
};

// Bytes of the weights: `count` runs of `bytes`, the first at `offset`, `stride` from one to the
// next.
struct WeightRuns {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t stride = 0;
  uint64_t count = 1;
};

// Where weights go as they load.
class WeightSink {
 public:
  virtual ~WeightSink() = default;

  // Room for these runs, to be filled by any threads; `*stride` is the distance of runs in it.
  virtual uint8_t* Room(const WeightRuns& runs, uint64_t* stride) = 0;

  // The room that was given last is full.
  virtual Status Put(const WeightRuns& runs) = 0;
};

// Weights in memory.
class MemorySink final : public WeightSink {
 public:
  explicit MemorySink(uint8_t* weights) : weights_(weights) {}
  uint8_t* Room(const WeightRuns& runs, uint64_t* stride) override {
    *stride = runs.stride;
    return weights_ + runs.offset;
  }
  Status Put(const WeightRuns&) override { return Status(); }

 private:
  uint8_t* weights_;
};

// What a load takes and does, in bytes.
struct LoadSize {
  uint64_t temporary = 0;  // of the file, held at a time
  uint64_t room = 0;       // the largest runs, all together without what lies between them
  uint64_t total = 0;      // of the file's tensors
};

class Loader {
 public:
  // Bytes of a file held at a time, unless 8 rows of a tensor are more.
  static constexpr uint64_t kPieceBytes = 8u << 20;

  struct Options {
    bool map = true;          // let the file hand out its bytes in place where it can
    bool keep_cache = false;  // do not tell the file that it may forget what was read
    LoadProgress* progress = nullptr;
  };

  // Adds what loading `placement` takes.
  static void Measure(const Placement& placement, LoadSize* size) {
    const uint64_t rows = PieceRows(placement);
    const uint64_t row_bytes = RowBytes(*placement.tensor);
    size->temporary = std::max(size->temporary, rows * row_bytes);
    const WeightRuns runs = RunsOf(placement, 0, rows);
    size->room = std::max(size->room, runs.count * runs.bytes);
    size->total += placement.rows * row_bytes;
  }

  // All pointers must outlive the Loader; `total` is that of Measure.
  Loader(const Gguf* gguf, Executor* executor, WeightSink* sink, uint64_t total,
         const Options& options)
      : gguf_(gguf), executor_(executor), sink_(sink), total_(total), options_(options) {}

  // Takes the temporary of `bytes`. E_MEMORY.
  Status Prepare(uint64_t bytes, Memory* memory) {
    return Block::Allocate(memory, bytes, Arena::kAlignment, Tag::kLoadTemp, &temporary_);
  }

  // E_IO, E_FORMAT (a weight that is no number), or what the executor, the sink or `progress`
  // reports.
  Status Load(const Placement& placement) {
    const TensorInfo& tensor = *placement.tensor;
    const uint64_t row_bytes = RowBytes(tensor);
    const uint64_t piece_rows = PieceRows(placement);
    for (uint64_t row = 0; row < placement.rows; row += piece_rows) {
      const uint64_t rows = std::min(piece_rows, placement.rows - row);
      const uint64_t offset = (placement.first_row + row) * row_bytes;
      const size_t size = rows * row_bytes;
      gguf_->Hint(tensor, offset + size, size, FileHint::kSoon);
      const void* mapped = options_.map ? gguf_->Map(tensor, offset, size) : nullptr;
      if (mapped == nullptr) JUNTO_TRY(gguf_->Read(tensor, offset, temporary_.data(), size));
      const auto* src = mapped != nullptr ? static_cast<const uint8_t*>(mapped) : temporary_.data();
      const Status status = placement.is_matrix ? LoadPanels(placement, row, rows, src)
                                                : LoadVector(placement, row, rows, src);
      if (mapped != nullptr) gguf_->Unmap(tensor, mapped, size);
      JUNTO_TRY(status);
      if (!options_.keep_cache) gguf_->Hint(tensor, offset, size, FileHint::kDone);
      done_ += size;
      if (options_.progress != nullptr) JUNTO_TRY(options_.progress->Update(done_, total_));
    }
    return Status();
  }

  // After the last placement.
  void Finish() const {
    if (!options_.keep_cache) gguf_->HintAll(FileHint::kDone);
  }

 private:
  static uint64_t RowBytes(const TensorInfo& tensor) {
    const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(tensor.type));
    return tensor.dims[0] / type.elements * type.bytes;
  }

  // Rows per piece: whole panels.
  static uint64_t PieceRows(const Placement& placement) {
    const uint64_t fitting = kPieceBytes / RowBytes(*placement.tensor) / kPanelRows * kPanelRows;
    return std::min(std::max<uint64_t>(fitting, kPanelRows), placement.rows);
  }

  static WeightRuns RunsOf(const Placement& placement, uint64_t row, uint64_t rows) {
    WeightRuns runs;
    if (placement.is_matrix) {
      runs.bytes = PanelBytes(placement.panels.format, placement.panels.columns);
      runs.stride = placement.panels.stride;
      runs.count = CeilDiv<uint64_t>(rows, kPanelRows);
      runs.offset = placement.offset + row / kPanelRows * runs.stride;
    } else if (placement.transposed) {
      runs.bytes = rows * sizeof(float);
      runs.stride = placement.rows * sizeof(float);
      runs.count = placement.tensor->dims[0];
      runs.offset = placement.offset + row * sizeof(float);
    } else {
      runs.bytes = rows * placement.tensor->dims[0] * sizeof(float);
      runs.stride = runs.bytes;
      runs.offset = placement.offset + row * placement.tensor->dims[0] * sizeof(float);
    }
    return runs;
  }

  // `src` are rows [row, row + rows) of the placement, as in the file.
  Status LoadVector(const Placement& placement, uint64_t row, uint64_t rows, const uint8_t* src) {
    const TensorInfo& tensor = *placement.tensor;
    const SourceFormat& source = *FindSourceFormat(tensor.type);
    const WeightRuns runs = RunsOf(placement, row, rows);
    uint64_t stride = 0;
    uint8_t* const room = sink_->Room(runs, &stride);
    const uint64_t row_step = (placement.transposed ? 1 : tensor.dims[0]) * sizeof(float);
    const uint64_t column_step = placement.transposed ? stride : sizeof(float);
    for (uint64_t i = 0; i < rows; ++i) {
      const auto store = [&](const float* piece, uint64_t column, uint32_t count) {
        for (uint32_t k = 0; k < count; ++k) {
          std::memcpy(room + i * row_step + (column + k) * column_step, piece + k, sizeof(float));
        }
      };
      const uint64_t bad = ForEachPiece(source, src + i * RowBytes(tensor), tensor.dims[0], store);
      if (bad != kAllFinite) return NotFinite(placement, row + i, bad);
    }
    return sink_->Put(runs);
  }

  Status LoadPanels(const Placement& placement, uint64_t row, uint64_t rows, const uint8_t* src) {
    const SourceFormat& source = *FindSourceFormat(placement.tensor->type);
    const PanelMatrix& to = placement.panels;
    const uint64_t row_bytes = RowBytes(*placement.tensor);
    const bool widen = to.format != source.panel;
    const PanelPacker packer = widen ? nullptr : FindPanelPacker(source.type);
    const WeightRuns runs = RunsOf(placement, row, rows);
    uint64_t stride = 0;
    uint8_t* const room = sink_->Room(runs, &stride);
    std::atomic<uint64_t> bad_row{kAllFinite};
    const auto pack_panel = [&](uint32_t index, uint32_t) {
      const uint64_t begin = uint64_t{index} * kPanelRows;
      const uint64_t end = std::min<uint64_t>(begin + kPanelRows, rows);
      uint8_t* panel = room + index * stride;
      // Rows one by one know which weight is no number.
      if (packer != nullptr && end - begin == kPanelRows &&
          packer(src + begin * row_bytes, row_bytes, to.columns, panel)) {
        return;
      }
      if (end - begin < kPanelRows) std::memset(panel, 0, runs.bytes);
      for (uint64_t r = begin; r < end; ++r) {
        if (PackRow(source, src + r * row_bytes, to.columns, widen,
                    static_cast<uint32_t>(r - begin), panel) == kAllFinite) {
          continue;
        }
        uint64_t seen = bad_row.load();
        while (r < seen && !bad_row.compare_exchange_weak(seen, r)) {
        }
      }
    };
    JUNTO_TRY(ParallelFor(executor_, static_cast<uint32_t>(runs.count), pack_panel));
    if (bad_row == kAllFinite) return sink_->Put(runs);
    return NotFinite(placement, row + bad_row,
                     FirstBad(source, src + bad_row * row_bytes, to.columns));
  }

  static uint64_t FirstBad(const SourceFormat& source, const uint8_t* src, uint64_t columns) {
    return ForEachPiece(source, src, columns, [](const float*, uint64_t, uint32_t) {});
  }

  static Status NotFinite(const Placement& placement, uint64_t row, uint64_t column) {
    const std::string_view name = placement.tensor->name;
    return Status::Make(Code::kFormat, "tensor '%.*s': row %llu is not finite at column %llu",
                        static_cast<int>(name.size()), name.data(),
                        static_cast<unsigned long long>(placement.first_row + row),
                        static_cast<unsigned long long>(column));
  }

  const Gguf* gguf_;
  Executor* executor_;
  WeightSink* sink_;
  uint64_t total_;
  Options options_;
  Block temporary_;
  uint64_t done_ = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_LOADER_H_
