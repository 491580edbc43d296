// Pass: the working set of one run through the model over some rows. A row is one token of one
// sequence; rows of many sequences share a pass.
#ifndef JUNTO_RUNTIME_PASS_H_
#define JUNTO_RUNTIME_PASS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "junto/base/arena.h"
#include "junto/base/executor.h"
#include "junto/runtime/float_gemm.h"
#include "junto/runtime/kv_cache.h"
#include "junto/runtime/state_cache.h"
#include "junto/runtime/weight_store.h"

namespace junto {

// The frequencies of one of the spec's ropes, computed once per model.
struct RopeTable {
  const double* frequencies = nullptr;  // [dims / 2]
  float magnitude = 1.0f;
};

// What a pass computes with; shared by all passes of a model.
struct Engine {
  const ModelSpec* spec = nullptr;
  const ModelWeights* weights = nullptr;
  const RopeTable* ropes = nullptr;  // one per spec->ropes
  const KernelTable* kernels = nullptr;
  Executor* executor = nullptr;
  FloatGemm* gemm = nullptr;  // nullptr: kernels alone, and the bits that docs/numerics.md promises
  ExpertCache* experts = nullptr;  // nullptr: all of them are in memory
};

struct PassRow {
  KvCache* kv = nullptr;
  const StateCache* states = nullptr;
  uint64_t position = 0;
  uint64_t end = 0;  // of the positions it may see: past its own, or past its image's, whose rows
                     // travel in one pass; layers that do not look ahead stop at its own
  int32_t token = 0;
};

// The rows of one sequence, which follow each other.
struct PassRun {
  uint32_t first = 0;
  uint32_t count = 0;
};

// Some of the rows that a tile works on, counted from its first: tiles of matrices are divided, so
// that even those of a long prompt take little time.
struct RowPart {
  static constexpr uint32_t kRows = 64;

  uint32_t first = 0;
  uint32_t count = ~0u;

  // Of rows [*begin, *end), those of the part.
  void Cut(uint32_t* begin, uint32_t* end) const {
    const uint32_t skipped = std::min(first, *end - *begin);
    *begin += skipped;
    *end = *begin + std::min(count, *end - *begin);
  }
};

// From one row of blocks to the next, in blocks, each of which is a cache line. It is odd, so that
// the rows that share a reading of the weights spread over the sets of the nearest cache: with the
// 160 of a width of 5120 they would meet in two of its 64.
constexpr uint32_t BlockStride(uint32_t columns) {
  return columns < kBlockColumns ? 0 : columns / kBlockColumns | 1;
}

// Rows of activations in the two forms that matrices take; each matrix reads one of them.
struct Activations {
  float* floats = nullptr;            // [rows][columns]
  ActivationBlock* blocks = nullptr;  // [rows][block_stride()]
  uint32_t columns = 0;

  uint32_t block_stride() const { return BlockStride(columns); }
  float* row(uint64_t i) const { return floats + i * columns; }
  ActivationBlock* block_row(uint64_t i) const { return blocks + i * block_stride(); }
};

// Which rows each expert works on: slot s is the work of one expert on one row. Slots are ordered
// by expert, then by row. A dense network is one expert that works on every row.
struct ExpertSlots {
  ExpertWave wave;             // of all experts with work
  uint32_t* begin = nullptr;   // [experts + 1] slots of expert e: [begin[e], begin[e + 1])
  uint32_t* row = nullptr;     // [slots] the row each slot works on
  uint32_t* slot = nullptr;    // [rows][experts_used] the slot of each row's choice, by rank
  uint32_t* expert = nullptr;  // [rows][experts_used] the router's choice, by rank
  float* weight = nullptr;     // [rows][experts_used]
  uint32_t most = 0;           // slots that any expert has
};

// What a layer's first rows will likely choose; see stages/experts.h.
struct Foresight {
  Activations normed;
  Activations logits;
  uint32_t* experts = nullptr;  // [rows][experts_used], of which `count` are known
  float* weights = nullptr;     // of no use
  uint32_t layer = 0;
  uint32_t count = 0;
};
constexpr uint32_t kForeseenRows = 16;  // a prompt's other rows choose much the same experts

// What a worker needs for one value head of a delta-net, in floats that begin at `start`; nullptr:
// only how many.
struct DeltaScratch {
  static constexpr uint32_t kTokens = 16;  // that are taken together

  DeltaScratch(const DeltaNetSpec& spec, float* start) {
    const uint64_t columns = RoundUp<uint64_t>(spec.value_dim, kDeltaPanel);
    const auto take = [&](uint64_t floats) {
      float* const taken = start == nullptr ? nullptr : start + size;
      size += floats;
      return taken;
    };
    value = take(kTokens * columns);
    out = take(kTokens * columns);
    query = take(uint64_t{kTokens} * spec.key_dim);
    key = take(uint64_t{kTokens} * spec.key_dim);
    window = take(uint64_t{spec.taps + kTokens} * std::max(spec.key_dim, spec.value_dim));
    overlap = take(kTokens);
    decay = take(kTokens);
    rate = take(kTokens);
  }

  uint64_t size = 0;
  float* value;    // [kTokens][columns of the state, whole panels]
  float* out;      // the same
  float* query;    // [kTokens][key_dim]
  float* key;      // the same
  float* window;   // [taps + kTokens][channels of a head]
  float* overlap;  // [kTokens], and so the others
  float* decay;
  float* rate;
};

constexpr uint32_t kSlotGroup = RowPart::kRows;  // slots that a gate/up tile takes at a time

class Pass {
 public:
  // Takes the buffers for up to `rows` rows and `logit_rows` rows of logits from `arena`; with a
  // measuring arena only says how much.
  void LayOut(const Engine& engine, uint32_t rows, uint32_t logit_rows, Arena* arena) {
    engine_ = engine;
    row_capacity_ = rows;
    logit_capacity_ = logit_rows;
    const Widths widths(engine, logit_rows);
    const uint32_t width = engine.spec->width;
    rows_ = arena->Take<PassRow>(rows);
    runs_ = arena->Take<PassRun>(rows);
    residual = TakeActivations(rows, width, widths.inputs != 0, arena);
    normed = TakeActivations(rows, width, true, arena);
    beside_normed = TakeActivations(rows, widths.beside_normed, true, arena);
    route_normed = TakeActivations(rows, widths.route_normed, true, arena);
    projected = TakeActivations(rows, width, false, arena);
    query = TakeActivations(rows, widths.query, false, arena);
    key = TakeActivations(rows, widths.key, false, arena);
    value = TakeActivations(rows, widths.value, false, arena);
    attended = TakeActivations(rows, widths.attended, true, arena);
    gated = TakeActivations(rows, widths.gated, false, arena);
    gated.blocks = arena->Take<ActivationBlock>(uint64_t{rows} * widths.gated_blocks);
    beside_gated = TakeActivations(rows, widths.beside, true, arena);
    expert_out = TakeActivations(uint64_t{rows} * widths.experts_used, width, false, arena);
    router_logits = TakeActivations(rows, widths.experts, false, arena);
    beside_weights = TakeActivations(rows, widths.beside_weights, false, arena);
    layer_inputs = TakeActivations(rows, widths.inputs, false, arena);
    input_gated = TakeActivations(rows, engine.spec->layer_inputs.width, true, arena);
    slots.wave.experts = arena->Take<uint32_t>(widths.experts);
    slots.begin = arena->Take<uint32_t>(widths.experts + 1);
    slots.row = arena->Take<uint32_t>(uint64_t{rows} * widths.experts_used);
    slots.slot = arena->Take<uint32_t>(uint64_t{rows} * widths.experts_used);
    slots.expert = arena->Take<uint32_t>(uint64_t{rows} * widths.experts_used);
    slots.weight = arena->Take<float>(uint64_t{rows} * widths.experts_used);
    const uint32_t foreseen = engine.experts == nullptr ? 0 : std::min(rows, kForeseenRows);
    foresight.normed = TakeActivations(foreseen, width, true, arena);
    foresight.logits = TakeActivations(foreseen, widths.experts, false, arena);
    foresight.experts = arena->Take<uint32_t>(uint64_t{foreseen} * widths.experts_used);
    foresight.weights = arena->Take<float>(uint64_t{foreseen} * widths.experts_used);
    angle_stride_ = widths.rope_pairs;
    cosine_ = arena->Take<float>(uint64_t{rows} * engine.spec->ropes.size() * angle_stride_);
    sine_ = arena->Take<float>(uint64_t{rows} * engine.spec->ropes.size() * angle_stride_);
    head_rows_ = arena->Take<uint32_t>(logit_rows);
    head_input.columns = width;
    head_input.blocks = arena->Take<ActivationBlock>(2 * uint64_t{logit_rows} * BlockStride(width));
    logits_ = arena->Take<float>(uint64_t{logit_rows} * engine.spec->vocab);
    scratch_stride_ = RoundUp<uint64_t>(widths.scratch, 16);
    scratch_ = arena->Take<float>(scratch_stride_ * engine.executor->worker_count());
  }

  // ---- what to run, set between passes
  void Clear() {
    row_count_ = run_count_ = head_count_ = 0;
    foresight.layer = 0;
    counters = ExpertCounters();
  }
  // A row that sees all before it and itself. False when the pass is full.
  bool AddRow(KvCache* kv, const StateCache* states, uint64_t position, int32_t token) {
    return AddRow(kv, states, position, position + 1, token);
  }
  // A row that may see positions up to `end`; see PassRow.
  bool AddRow(KvCache* kv, const StateCache* states, uint64_t position, uint64_t end,
              int32_t token) {
    if (row_count_ == row_capacity_) return false;
    if (row_count_ == 0 || rows_[row_count_ - 1].kv != kv) runs_[run_count_++] = {row_count_, 0};
    runs_[run_count_ - 1].count += 1;
    rows_[row_count_++] = {kv, states, position, end, token};
    return true;
  }
  // Asks for the logits of `row`; returns which row of logits they will be.
  uint32_t AddHead(uint32_t row) {
    head_rows_[head_count_] = row;
    return head_count_++;
  }
  void ClearHeads() { head_count_ = 0; }

  const Engine& engine() const { return engine_; }
  uint32_t row_capacity() const { return row_capacity_; }
  uint32_t logit_capacity() const { return logit_capacity_; }
  uint32_t row_count() const { return row_count_; }
  uint32_t run_count() const { return run_count_; }
  uint32_t head_count() const { return head_count_; }
  const PassRow& row(uint32_t i) const { return rows_[i]; }
  const PassRun& run(uint32_t i) const { return runs_[i]; }
  const uint32_t* head_rows() const { return head_rows_; }
  float* logits(uint32_t i) const { return logits_ + uint64_t{i} * engine_.spec->vocab; }

  // cos and sin of row i's angles under rope r.
  float* cosine(uint32_t i, uint32_t r) const { return cosine_ + AngleOffset(i, r); }
  float* sine(uint32_t i, uint32_t r) const { return sine_ + AngleOffset(i, r); }
  float* scratch(uint32_t worker) const { return scratch_ + worker * scratch_stride_; }

  // ---- what stages hand to each other
  Activations residual;
  Activations normed;
  Activations beside_normed;
  Activations route_normed;
  Activations projected;  // of attention, of the network beside, of a layer's input
  Activations query;      // or the channels of a delta-net,
  Activations key;        // its decays and rates,
  Activations value;      // its gates
  Activations attended;   // by either mixer
  Activations gated;      // by slot, in rows of the layer's width: f(gate x, up x)
  Activations beside_gated;
  Activations expert_out;  // by slot
  Activations router_logits;
  Activations beside_weights;  // before the sigmoid
  Activations layer_inputs;    // of all layers, one after the other
  Activations input_gated;
  Activations head_input;  // by row of logits, two rows of blocks: rounded, and what rounding left
  ExpertSlots slots;
  Foresight foresight;
  ExpertCounters counters;  // since Clear

 private:
  // The largest sizes that any layer asks for.
  struct Widths {
    Widths(const Engine& engine, uint32_t logit_rows) {
      const uint32_t width = engine.spec->width;
      for (size_t i = 0; i < engine.spec->layers.size(); ++i) {
        const LayerSpec& layer = engine.spec->layers[i];
        const LayerWeights& weights = engine.weights->layers[i];
        const AttentionSpec& attention = layer.attention;
        const FeedForwardSpec& network = layer.ffn;
        const uint32_t tile =
            std::max(weights.ffn.gate.tile_panels, weights.beside.gate.tile_panels) * kPanelRows;
        const DeltaNetSpec& delta = layer.delta;
        query = std::max(query, attention.heads * attention.query_stride());
        key = std::max(key, attention.kv_heads * attention.key_dim);
        value = std::max(value, attention.kv_heads * attention.value_dim);
        attended = std::max(attended, attention.heads * attention.value_dim);
        if (delta.present()) {
          query = std::max(query, delta.channel_count());
          key = std::max(key, 2 * delta.value_heads);
          value = std::max(value, delta.value_channels());
          attended = std::max(attended, delta.value_channels());
          scratch = std::max(scratch, DeltaScratch(delta, nullptr).size);
        }
        experts = std::max(experts, network.router.experts);
        experts_used = std::max(experts_used, network.router.experts_used);
        const uint32_t slots = std::max(network.router.experts_used, 1u);  // of a row
        gated = std::max(gated, slots * network.width);
        gated_blocks = std::max(gated_blocks, slots * BlockStride(network.width));
        beside = std::max(beside, layer.beside.width);
        if (layer.beside_norm != nullptr) beside_normed = width;
        if (layer.beside_gate.weight != nullptr) beside_weights = 1;
        if (network.route_norm != nullptr) route_normed = width;
        scratch = std::max<uint64_t>(scratch, 2 * kSlotGroup * uint64_t{tile});
      }
      const Matrix& head = engine.weights->head;
      scratch =
          std::max<uint64_t>(scratch, 2 * uint64_t{logit_rows} * head.tile_panels * kPanelRows);
      inputs = engine.spec->layer_inputs.projection.rows;
      scratch = std::max<uint64_t>(scratch, inputs);
      for (const RopeSpec& rope : engine.spec->ropes) {
        rope_pairs = std::max(rope_pairs, rope.dims / 2);
      }
    }
    uint32_t query = 0, key = 0, value = 0, attended = 0, gated = 0, gated_blocks = 0;
    uint32_t beside = 0, beside_normed = 0, beside_weights = 0, route_normed = 0, inputs = 0;
    uint32_t experts = 1, experts_used = 1, rope_pairs = 0;
    uint64_t scratch = 0;  // floats per worker
  };

  static Activations TakeActivations(uint64_t rows, uint32_t columns, bool blocks, Arena* arena) {
    Activations taken;
    taken.columns = columns;
    taken.floats = arena->Take<float>(rows * columns);
    if (blocks) taken.blocks = arena->Take<ActivationBlock>(rows * taken.block_stride());
    return taken;
  }

  uint64_t AngleOffset(uint32_t row, uint32_t rope) const {
    return (uint64_t{row} * engine_.spec->ropes.size() + rope) * angle_stride_;
  }

  Engine engine_;
  uint32_t row_capacity_ = 0;
  uint32_t logit_capacity_ = 0;
  uint32_t row_count_ = 0;
  uint32_t run_count_ = 0;
  uint32_t head_count_ = 0;
  uint32_t angle_stride_ = 0;
  uint64_t scratch_stride_ = 0;
  PassRow* rows_ = nullptr;
  PassRun* runs_ = nullptr;
  float* cosine_ = nullptr;
  float* sine_ = nullptr;
  uint32_t* head_rows_ = nullptr;
  float* logits_ = nullptr;
  float* scratch_ = nullptr;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_PASS_H_
