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

class Loader {
 public:
  // Bytes of a file held at a time, unless 8 rows of a tensor are more.
  static constexpr uint64_t kPieceBytes = 8u << 20;

  struct Options {
    bool map = true;          // let the file hand out its bytes in place where it can
    bool keep_cache = false;  // do not tell the file that it may forget what was read
    LoadProgress* progress = nullptr;
  };

  // All pointers must outlive the Loader.
  Loader(Gguf* gguf, Executor* executor, const Options& options)
      : gguf_(gguf), executor_(executor), options_(options) {}

  // What the temporary of a load takes, in bytes.
  static uint64_t TemporaryBytes(const ModelSpec& spec) {
    uint64_t bytes = 0;
    ForEachTensor(spec, [&](const TensorInfo& tensor) {
      bytes = std::max(bytes, PieceRows(tensor) * RowBytes(tensor));
    });
    return bytes;
  }

  // Fills what LayOutWeights placed. E_IO, E_FORMAT (a weight that is no number), E_MEMORY, or what
  // the executor or `progress` reports.
  Status Load(const ModelSpec& spec, Memory* memory, ModelWeights* weights) {
    JUNTO_TRY(Block::Allocate(memory, TemporaryBytes(spec), Arena::kAlignment, Tag::kLoadTemp,
                              &temporary_));
    ForEachTensor(spec, [&](const TensorInfo& tensor) { total_ += tensor.bytes; });
    JUNTO_TRY(LoadMatrix(spec.embedding, weights->embedding));
    for (size_t i = 0; i < spec.layers.size(); ++i) {
      JUNTO_TRY(LoadLayer(spec.layers[i], weights->layers[i]));
    }
    JUNTO_TRY(LoadVector(spec.output_norm, weights->output_norm));
    JUNTO_TRY(LoadVector(spec.rope_factors, weights->rope_factors));
    if (spec.head.weight != spec.embedding.weight) JUNTO_TRY(LoadMatrix(spec.head, weights->head));
    if (!options_.keep_cache) gguf_->HintAll(FileHint::kDone);
    return Status();
  }

 private:
  // Calls f(const TensorInfo&) for every tensor that Load reads.
  template <class F>
  static void ForEachTensor(const ModelSpec& spec, F&& f) {
    const auto vector = [&](VectorRef ref) {
      if (ref != nullptr) f(*ref);
    };
    const auto matrix = [&](const MatrixRef& ref) {
      vector(ref.weight);
      vector(ref.bias);
    };
    matrix(spec.embedding);
    for (const LayerSpec& layer : spec.layers) {
      vector(layer.mixer_norm);
      vector(layer.attention.sinks);
      for (const MatrixRef* ref :
           {&layer.attention.q, &layer.attention.k, &layer.attention.v, &layer.attention.out,
            &layer.ffn.route, &layer.ffn.gate, &layer.ffn.up, &layer.ffn.down}) {
        matrix(*ref);
      }
      vector(layer.ffn_norm);
    }
    vector(spec.output_norm);
    vector(spec.rope_factors);
    if (spec.head.weight != spec.embedding.weight) matrix(spec.head);
  }

  static uint64_t RowBytes(const TensorInfo& tensor) {
    const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(tensor.type));
    return tensor.dims[0] / type.elements * type.bytes;
  }

  static uint64_t Rows(const TensorInfo& tensor) {
    return tensor.dims[1] * tensor.dims[2] * tensor.dims[3];
  }

  // Rows per piece: whole panels.
  static uint64_t PieceRows(const TensorInfo& tensor) {
    const uint64_t fitting = kPieceBytes / RowBytes(tensor) / kPanelRows * kPanelRows;
    return std::min(std::max<uint64_t>(fitting, kPanelRows), Rows(tensor));
  }

  Status LoadLayer(const LayerSpec& spec, const LayerWeights& to) {
    JUNTO_TRY(LoadVector(spec.mixer_norm, to.mixer_norm));
    JUNTO_TRY(LoadVector(spec.attention.sinks, to.sinks));
    JUNTO_TRY(LoadMatrix(spec.attention.q, to.q));
    JUNTO_TRY(LoadMatrix(spec.attention.k, to.k));
    JUNTO_TRY(LoadMatrix(spec.attention.v, to.v));
    JUNTO_TRY(LoadMatrix(spec.attention.out, to.out));
    JUNTO_TRY(LoadVector(spec.ffn_norm, to.ffn_norm));
    if (spec.ffn.router.experts != 0) JUNTO_TRY(LoadMatrix(spec.ffn.route, to.route));
    JUNTO_TRY(LoadMatrix(spec.ffn.gate, to.ffn.gate, to.expert_stride));
    JUNTO_TRY(LoadMatrix(spec.ffn.up, to.ffn.up, to.expert_stride));
    return LoadMatrix(spec.ffn.down, to.ffn.down, to.expert_stride);
  }

  // Where weights are written while they load; afterwards everybody reads them through const.
  static uint8_t* Writable(const uint8_t* p) { return const_cast<uint8_t*>(p); }

  Status LoadVector(VectorRef ref, const float* to) {
    if (ref == nullptr) return Status();
    const SourceFormat& source = *FindSourceFormat(ref->type);
    float* values = const_cast<float*>(to);
    return ForEachPieceOf(
        *ref, 0, Rows(*ref), [&](const uint8_t* src, uint64_t row, uint64_t rows) {
          for (uint64_t i = 0; i < rows; ++i) {
            const uint64_t bad = Dequantise(source, src + i * RowBytes(*ref), ref->dims[0],
                                            values + (row + i) * ref->dims[0]);
            if (bad != kAllFinite) return NotFinite(*ref, row + i, bad);
          }
          return Status();
        });
  }

  // `stride` is the distance of experts in bytes; plain matrices are one expert.
  Status LoadMatrix(const MatrixRef& ref, const Matrix& to, uint64_t stride = 0) {
    for (uint32_t expert = 0; expert < ref.count; ++expert) {
      PanelMatrix panels = to.panels;
      panels.data += expert * stride;
      JUNTO_TRY(LoadPanels(*ref.weight, uint64_t{expert} * ref.rows, panels));
    }
    return LoadVector(ref.bias, to.bias);
  }

  Status LoadPanels(const TensorInfo& tensor, uint64_t first_row, const PanelMatrix& to) {
    const SourceFormat& source = *FindSourceFormat(tensor.type);
    const bool widen = to.format != source.panel;
    const PanelPacker packer = widen ? nullptr : FindPanelPacker(source.type);
    const uint64_t row_bytes = RowBytes(tensor);
    const uint64_t panel_bytes = PanelBytes(to.format, to.columns);
    return ForEachPieceOf(
        tensor, first_row, to.rows, [&](const uint8_t* src, uint64_t row, uint64_t rows) {
          std::atomic<uint64_t> bad_row{kAllFinite};
          const auto pack_panel = [&](uint32_t index, uint32_t) {
            const uint64_t begin = uint64_t{index} * kPanelRows;
            const uint64_t end = std::min<uint64_t>(begin + kPanelRows, rows);
            uint8_t* panel = Writable(to.data) + (row / kPanelRows + index) * to.stride;
            // Rows one by one know which weight is no number.
            if (packer != nullptr && end - begin == kPanelRows &&
                packer(src + begin * row_bytes, row_bytes, to.columns, panel)) {
              return;
            }
            if (end - begin < kPanelRows) std::memset(panel, 0, panel_bytes);
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
          JUNTO_TRY(ParallelFor(executor_, PanelCount(static_cast<uint32_t>(rows)), pack_panel));
          if (bad_row == kAllFinite) return Status();
          return NotFinite(tensor, first_row + row + bad_row,
                           FirstBad(source, src + bad_row * row_bytes, to.columns));
        });
  }

  static uint64_t FirstBad(const SourceFormat& source, const uint8_t* src, uint64_t columns) {
    return ForEachPiece(source, src, columns, [](const float*, uint64_t, uint32_t) {});
  }

  static Status NotFinite(const TensorInfo& tensor, uint64_t row, uint64_t column) {
    return Status::Make(Code::kFormat, "tensor '%.*s': row %llu is not finite at column %llu",
                        static_cast<int>(tensor.name.size()), tensor.name.data(),
                        static_cast<unsigned long long>(row),
                        static_cast<unsigned long long>(column));
  }

  // Calls f(bytes, row, rows), row counted from first_row, for pieces of [first_row, +row_count).
  template <class F>
  Status ForEachPieceOf(const TensorInfo& tensor, uint64_t first_row, uint64_t row_count, F&& f) {
    const uint64_t row_bytes = RowBytes(tensor);
    const uint64_t piece_rows = PieceRows(tensor);
    for (uint64_t row = 0; row < row_count; row += piece_rows) {
      const uint64_t rows = std::min(piece_rows, row_count - row);
      const uint64_t offset = (first_row + row) * row_bytes;
      const size_t size = rows * row_bytes;
      gguf_->Hint(tensor, offset + size, size, FileHint::kSoon);
      const void* mapped = options_.map ? gguf_->Map(tensor, offset, size) : nullptr;
      if (mapped == nullptr) JUNTO_TRY(gguf_->Read(tensor, offset, temporary_.data(), size));
      const auto* src = mapped != nullptr ? static_cast<const uint8_t*>(mapped) : temporary_.data();
      Status status = f(src, row, rows);
      if (mapped != nullptr) gguf_->Unmap(tensor, mapped, size);
      if (!options_.keep_cache) gguf_->Hint(tensor, 0, offset + size, FileHint::kDone);
      JUNTO_TRY(status);
      done_ += size;
      if (options_.progress != nullptr) JUNTO_TRY(options_.progress->Update(done_, total_));
    }
    return Status();
  }

  Gguf* gguf_;
  Executor* executor_;
  Options options_;
  Block temporary_;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_LOADER_H_
