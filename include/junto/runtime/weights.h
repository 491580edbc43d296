// Weights: a model's parameters in memory, in the layout kernels read.
//
// One function lays everything out; run over a measuring Arena it is the plan, run over a block it
// says where each tensor goes. Loading and packing follow it and put file rows in their places.
#ifndef JUNTO_RUNTIME_WEIGHTS_H_
#define JUNTO_RUNTIME_WEIGHTS_H_

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "junto/base/arena.h"
#include "junto/model/spec.h"
#include "junto/quant/transcode.h"

namespace junto {

// A matrix as stages run it: tiles of `tile_panels` panels are the unit of parallel work, and
// depend on the tensor alone. One that is absent has no rows, and no tiles.
struct Matrix {
  PanelMatrix panels;
  const float* bias = nullptr;  // [rows]
  uint32_t tile_panels = 1;

  uint32_t tiles() const { return CeilDiv(PanelCount(panels.rows), tile_panels); }
  bool present() const { return panels.rows != 0; }
};

// One expert, or the dense network of a layer. The panels of gate and up alternate in memory, so
// that a tile reads one stream.
struct FeedForwardWeights {
  Matrix gate;
  Matrix up;
  Matrix down;
};

// [gate 0][up 0][gate 1][up 1] ... [down] begin at `record`.
inline void PointInto(const uint8_t* record, FeedForwardWeights* ffn) {
  const PanelMatrix& gate = ffn->gate.panels;
  ffn->up.panels.data = record + PanelBytes(gate.format, gate.columns);
  ffn->down.panels.data = record + PanelCount(gate.rows) * gate.stride;
  ffn->gate.panels.data = record;
}

struct DeltaNetWeights {
  const float* convolution = nullptr;  // [taps][channels]
  const float* slope = nullptr;
  const float* bias = nullptr;
  const float* norm = nullptr;
  Matrix channels;
  Matrix gate;
  Matrix decays;
  Matrix rates;
};

// What LayerSpec says, in memory.
struct LayerWeights {
  const float* mixer_norm = nullptr;
  const float* sinks = nullptr;
  const float* q_norm = nullptr;
  const float* k_norm = nullptr;
  Matrix q;
  Matrix k;
  Matrix v;
  DeltaNetWeights delta;
  Matrix out;  // of either mixer
  const float* mixer_post_norm = nullptr;
  const float* ffn_norm = nullptr;
  Matrix route;
  const float* route_norm = nullptr;
  const float* route_bias = nullptr;
  const float* expert_scale = nullptr;
  FeedForwardWeights ffn;            // the dense network, or expert 0
  const uint8_t* experts = nullptr;  // the first; nullptr: they are not in memory
  uint64_t expert_offset = 0;        // of the first among the weights of a file
  uint64_t expert_bytes = 0;         // of one
  uint64_t expert_stride = 0;        // from one to the next
  const float* ffn_post_norm = nullptr;
  const float* beside_norm = nullptr;
  FeedForwardWeights beside;
  Matrix beside_gate;
  const float* beside_post_norm = nullptr;
  const float* post_norm = nullptr;
  Matrix input_gate;
  Matrix input_out;
  const float* input_post_norm = nullptr;
  const float* scale = nullptr;
};

struct ModelWeights {
  explicit ModelWeights(Memory* memory) : layers({memory, Tag::kObject}) {}

  Matrix embedding;
  Matrix input_embedding;
  Matrix input_projection;
  const float* input_norm = nullptr;
  Matrix head;
  const float* output_norm = nullptr;
  const float* rope_factors = nullptr;
  Vector<LayerWeights> layers;
};

constexpr uint64_t kExpertAlignment = 4096;  // so that an expert is one aligned read

// Panels per tile: about 256 KiB of weights, in groups of 4 so that a tile of gate rows is a whole
// number of activation blocks, and at least 16 tiles where the matrix is large enough. The rows of
// a long prompt are read once for each tile, from far away.
inline uint32_t TilePanels(uint64_t panel_bytes, uint32_t panels, uint64_t bytes = 256 << 10,
                           uint32_t tiles = 16) {
  const uint64_t by_size = bytes / std::max<uint64_t>(panel_bytes, 1);
  const uint64_t wanted = std::min<uint64_t>(by_size, panels / tiles);
  return static_cast<uint32_t>(std::max<uint64_t>(wanted / 4 * 4, 4));
}

// The same for a FloatGemm, which has more to set up for each.
inline uint32_t LargeTilePanels(uint64_t panel_bytes, uint32_t panels) {
  return TilePanels(panel_bytes, panels, 512 << 10, 4);
}

// A tensor, or one expert's rows of it, and where among the weights it lies.
struct Placement {
  const TensorInfo* tensor = nullptr;
  uint64_t first_row = 0;  // of the tensor
  uint64_t rows = 0;
  uint64_t offset = 0;  // of the first byte, from the beginning of the weights
  bool is_matrix = false;
  bool transposed = false;  // a vector's columns follow each other, not its rows
  PanelMatrix panels;       // of a matrix, without data; a vector is plain floats, row after row
};

inline uint64_t RowsOf(const TensorInfo& tensor) {
  return tensor.dims[1] * tensor.dims[2] * tensor.dims[3];
}

// Places tensors in an Arena and calls `visit` with a Placement for each, in ascending order of
// offset, but that the panels of up begin among those of gate. With `widen`, every matrix becomes
// F32. With `apart`, experts are left out of the arena: offsets remain what they are with them.
template <class Visit>
class WeightLayout {
 public:
  WeightLayout(Arena* arena, bool widen, bool apart, Visit* visit)
      : arena_(arena), widen_(widen), apart_(apart), visit_(visit) {}

  const float* PlaceVector(const TensorInfo* tensor, bool transposed = false) {
    if (tensor == nullptr) return nullptr;
    const uint64_t count = tensor->dims[0] * RowsOf(*tensor);
    const float* data = arena_->Take<float>(count);
    if (arena_->ok()) {
      Placement placement;
      placement.tensor = tensor;
      placement.rows = RowsOf(*tensor);
      placement.offset = End() - count * sizeof(float);
      placement.transposed = transposed;
      (*visit_)(placement);
    }
    return data;
  }

  Matrix Describe(const MatrixRef& ref) const {
    const SourceFormat& source = *FindSourceFormat(ref.weight->type);
    Matrix matrix;
    matrix.panels.format = widen_ ? PanelFormat::kF32 : source.panel;
    matrix.panels.table = source.table;
    matrix.panels.rows = ref.rows;
    matrix.panels.columns = ref.columns;
    matrix.panels.stride = PanelBytes(matrix.panels.format, ref.columns);
    matrix.tile_panels = TilePanels(matrix.panels.stride, PanelCount(ref.rows));
    return matrix;
  }

  Matrix PlaceMatrix(const MatrixRef& ref) {
    if (ref.weight == nullptr) return Matrix();
    Matrix matrix = Describe(ref);
    const uint64_t bytes = PanelCount(ref.rows) * matrix.panels.stride;
    const uint8_t* data = arena_->Take<uint8_t>(bytes);
    Report(ref, 0, matrix, End() - bytes);
    matrix.panels.data = data;
    matrix.bias = PlaceVector(ref.bias);
    return matrix;
  }

  // All experts of a layer, each [gate 0][up 0][gate 1][up 1] ... [down], then the biases.
  void PlaceExperts(const FeedForwardSpec& spec, LayerWeights* to) {
    FeedForwardWeights* const ffn = &to->ffn;
    ffn->gate = Describe(spec.gate);
    ffn->up = Describe(spec.up);
    ffn->down = Describe(spec.down);
    const uint64_t up = ffn->gate.panels.stride;
    const uint64_t pair = ffn->gate.panels.stride + ffn->up.panels.stride;
    const uint64_t pairs = PanelCount(spec.gate.rows) * pair;
    ffn->gate.panels.stride = ffn->up.panels.stride = pair;
    to->expert_bytes = pairs + PanelCount(spec.down.rows) * ffn->down.panels.stride;
    to->expert_stride = RoundUp(to->expert_bytes, kExpertAlignment);
    const uint64_t bytes = to->expert_stride * spec.gate.count;
    if (apart_ && spec.router.experts != 0) {
      arena_->Take<uint8_t>(0, kExpertAlignment);
      left_out_ += bytes;
      to->experts = nullptr;
    } else {
      to->experts = arena_->Take<uint8_t>(bytes, kExpertAlignment);
    }
    to->expert_offset = End() - bytes;
    for (uint32_t expert = 0; expert < spec.gate.count; ++expert) {
      const uint64_t offset = to->expert_offset + expert * to->expert_stride;
      Report(spec.gate, expert, ffn->gate, offset);
      Report(spec.up, expert, ffn->up, offset + up);
      Report(spec.down, expert, ffn->down, offset + pairs);
    }
    if (to->experts != nullptr) PointInto(to->experts, ffn);
    ffn->gate.tile_panels = ffn->up.tile_panels = TilePanels(pair, PanelCount(spec.gate.rows));
    ffn->gate.bias = PlaceVector(spec.gate.bias);
    ffn->up.bias = PlaceVector(spec.up.bias);
    ffn->down.bias = PlaceVector(spec.down.bias);
  }

  void PlaceBeside(const FeedForwardSpec& spec, FeedForwardWeights* to) {
    if (spec.width == 0) return;
    LayerWeights alone;
    PlaceExperts(spec, &alone);
    *to = alone.ffn;
  }

  void PlaceDeltaNet(const DeltaNetSpec& from, DeltaNetWeights* to) {
    to->convolution = PlaceVector(from.convolution, true);
    to->slope = PlaceVector(from.slope);
    to->bias = PlaceVector(from.bias);
    to->norm = PlaceVector(from.norm);
    to->channels = PlaceMatrix(from.channels);
    to->gate = PlaceMatrix(from.gate);
    to->decays = PlaceMatrix(from.decays);
    to->rates = PlaceMatrix(from.rates);
  }

  void PlaceLayer(const LayerSpec& from, LayerWeights* to) {
    to->mixer_norm = PlaceVector(from.mixer_norm);
    to->sinks = PlaceVector(from.attention.sinks);
    to->q_norm = PlaceVector(from.attention.q_norm);
    to->k_norm = PlaceVector(from.attention.k_norm);
    to->q = PlaceMatrix(from.attention.q);
    to->k = PlaceMatrix(from.attention.k);
    to->v = PlaceMatrix(from.attention.v);
    PlaceDeltaNet(from.delta, &to->delta);
    to->out = PlaceMatrix(from.delta.present() ? from.delta.out : from.attention.out);
    to->mixer_post_norm = PlaceVector(from.mixer_post_norm);
    to->ffn_norm = PlaceVector(from.ffn_norm);
    to->route = PlaceMatrix(from.ffn.route);
    to->route_norm = PlaceVector(from.ffn.route_norm);
    to->route_bias = PlaceVector(from.ffn.route_bias);
    to->expert_scale = PlaceVector(from.ffn.expert_scale);
    PlaceExperts(from.ffn, to);
    to->ffn_post_norm = PlaceVector(from.ffn_post_norm);
    to->beside_norm = PlaceVector(from.beside_norm);
    PlaceBeside(from.beside, &to->beside);
    to->beside_gate = PlaceMatrix(from.beside_gate);
    to->beside_post_norm = PlaceVector(from.beside_post_norm);
    to->post_norm = PlaceVector(from.post_norm);
    to->input_gate = PlaceMatrix(from.input_gate);
    to->input_out = PlaceMatrix(from.input_out);
    to->input_post_norm = PlaceVector(from.input_post_norm);
    to->scale = PlaceVector(from.scale);
  }

 private:
  // Of what is placed, experts that are left out included.
  uint64_t End() const { return arena_->used() + left_out_; }

  void Report(const MatrixRef& ref, uint32_t expert, const Matrix& matrix, uint64_t offset) {
    if (!arena_->ok()) return;
    Placement placement;
    placement.tensor = ref.weight;
    placement.first_row = uint64_t{expert} * ref.tensor_rows + ref.first_row;
    placement.rows = ref.rows;
    placement.offset = offset;
    placement.is_matrix = true;
    placement.panels = matrix.panels;
    (*visit_)(placement);
  }

  Arena* arena_;
  bool widen_;
  bool apart_;
  Visit* visit_;
  uint64_t left_out_ = 0;  // a multiple of kExpertAlignment, so that nothing moves within it
};

// Lays out the whole model, see WeightLayout; `weights->layers` already has its size. Nothing is
// placed beyond an arena that is too small.
template <class Visit>
void LayOutWeights(const ModelSpec& spec, bool widen, bool apart, Arena* arena,
                   ModelWeights* weights, Visit&& visit) {
  WeightLayout<std::remove_reference_t<Visit>> layout(arena, widen, apart, &visit);
  weights->embedding = layout.PlaceMatrix(spec.embedding);
  weights->input_embedding = layout.PlaceMatrix(spec.layer_inputs.embedding);
  weights->input_projection = layout.PlaceMatrix(spec.layer_inputs.projection);
  weights->input_norm = layout.PlaceVector(spec.layer_inputs.norm);
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    layout.PlaceLayer(spec.layers[i], &weights->layers[i]);
  }
  weights->output_norm = layout.PlaceVector(spec.output_norm);
  weights->rope_factors = layout.PlaceVector(spec.rope_factors);
  weights->head = spec.head.weight == spec.embedding.weight ? weights->embedding
                                                            : layout.PlaceMatrix(spec.head);
}

}  // namespace junto

#endif  // JUNTO_RUNTIME_WEIGHTS_H_
