// The kernels as the runtime sees them: plain argument structs and one table of functions per
// instruction set. The bodies are the *-inl.h files of this folder; numerics are fixed by
// docs/numerics.md, so every table whose target has fma returns the same bits.
//
// All pointers may have any alignment unless said otherwise; kernels read and write only inside the
// described ranges, never allocate, never fail, and hold no state.
#ifndef JUNTO_KERNELS_KERNELS_H_
#define JUNTO_KERNELS_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "junto/quant/panel.h"

namespace junto {

// Feed-forward gates: y = f(gate, up) elementwise.
enum class Activation : uint8_t {
  kSilu,           // gate * sigmoid(gate) * up
  kGelu,           // 0.5 * gate * (1 + tanh(sqrt(2/pi) * (gate + 0.044715 * gate^3))) * up
  kSwigluClamped,  // g * sigmoid(alpha * g) * (u + 1), g = min(gate, limit), |u| <= limit
};

struct ActivationSpec {
  Activation kind = Activation::kSilu;
  float alpha = 1.702f;  // kSwigluClamped only
  float limit = 7.0f;    // kSwigluClamped only
};

// Which elements of a head form the pairs that RoPE rotates.
enum class RopePairing : uint8_t {
  kHalves,       // (i, i + dims/2): "NeoX"
  kInterleaved,  // (2i, 2i + 1): "GPT-J", GGUF files of architecture llama
};

// How expert scores become weights. In each, the k largest selection scores win, ties going to the
// lower expert id, and results are ordered by selection score, descending.
enum class RouterScoring : uint8_t {
  kSoftmaxTopK,         // select by logit; weights = softmax over the k selected logits
  kSoftmaxRenormalise,  // p = softmax over all; select by p; weights = p / sum of selected p
  kSigmoid,             // p = sigmoid(logit); select by p + bias; weights = p
};

struct RouterSpec {
  RouterScoring scoring = RouterScoring::kSoftmaxTopK;
  uint32_t experts = 0;       // > 0
  uint32_t experts_used = 0;  // in [1, experts]
  bool renormalise = false;   // kSigmoid: divide by (sum of selected p + 1e-20)
  float scale = 1.0f;         // multiplies every weight at the end
};

enum class KvType : uint8_t { kF32, kF16, kBF16 };
constexpr uint32_t kKvBlock = 64;  // positions per key/value block
constexpr size_t KvTypeSize(KvType type) { return type == KvType::kF32 ? 4 : 2; }

// One query row against one key/value head.
//
// Keys and values live in blocks of 64 absolute positions. Block b covers positions
// [64 b, 64 b + 64) and starts at blocks[b % block_count]; in it the keys of this head start
// key_offset bytes in, as [key_dim][64] (position is the fastest index), the values value_offset
// bytes in, as [64][value_dim].
struct AttentionArgs {
  const uint8_t* const* blocks;
  uint32_t block_count;
  size_t key_offset;
  size_t value_offset;
  KvType type;
  uint32_t key_dim;
  uint32_t value_dim;
  uint64_t first;      // first visible position
  uint64_t end;        // one past the last visible position; > first
  const float* query;  // [group][query_stride], the query heads that share this kv head
  size_t query_stride;
  uint32_t group;
  float scale;         // multiplies q.k
  float softcap;       // s = cap * tanh(s / cap) when > 0
  const float* sinks;  // [group], or nullptr: one logit each that joins the softmax, value 0
  float* out;          // [group][out_stride], the first value_dim of each are written
  size_t out_stride;
};

// Writes one position's key and value of one kv head into a block laid out as above.
struct KvStoreArgs {
  uint8_t* keys;    // [key_dim][64]
  uint8_t* values;  // [64][value_dim]
  KvType type;
  uint32_t slot;  // position % 64
  uint32_t key_dim;
  uint32_t value_dim;
  const float* key;    // [key_dim]
  const float* value;  // [value_dim]
};

// A causal convolution of each channel for itself, and SiLU: y[t][c] = silu(sum over i of
// weight[i][c] * x[t + i][c]). So x begins taps - 1 rows before the first token.
struct ConvolveArgs {
  const float* x;  // [taps - 1 + count][channels]
  const float* weight;
  size_t weight_stride;  // distance of taps
  uint32_t taps;         // > 0
  uint32_t channels;
  uint32_t count;
  float* y;  // [count][y_stride]
  size_t y_stride;
};

// The gated delta rule of one value head. For each token in turn, with its decay a and rate b:
//   d = b (value - a S^T key),   S = a S + key d^T,   out = S^T query.
// The state S [key_dim][value_dim] lies in panels of 16 columns, [CeilDiv(value_dim, 16)][key_dim]
// [16], and values and outputs are rows of as many columns; those past value_dim are computed like
// the others and mean nothing.
struct DeltaRuleArgs {
  const float* from;  // the state before
  float* to;          // and after; may be `from`
  uint32_t key_dim;   // > 0
  uint32_t panels;
  uint32_t count;        // tokens, > 0
  const float* query;    // [count][key_dim]
  const float* key;      // [count][key_dim]
  const float* overlap;  // [count] query.key
  const float* value;    // [count][16 * panels]
  const float* decay;    // [count]
  const float* rate;     // [count]
  float* out;            // [count][16 * panels]
};
constexpr uint32_t kDeltaPanel = 16;

// y[i][r] = sum over k of w[r][k] * x[i][k] + bias[r], for the rows r of some panels of w and
// `count` rows i of x.
struct MatmulArgs {
  PanelMatrix weights;
  uint32_t first_panel;  // panels [first_panel, first_panel + panel_count)
  uint32_t panel_count;
  const void* x;           // ActivationBlock or float rows, as IsQuantised(weights.format) says
  size_t x_stride;         // distance of rows in elements of x
  const uint32_t* x_rows;  // [count] indices of the rows of x, or nullptr for 0, 1, 2, ...
  uint32_t count;
  const float* bias;  // [rows of the whole matrix], or nullptr
  float* y;           // y[i * y_stride + (r - 8 * first_panel)], rows past the matrix's
  size_t y_stride;    // end are not written
};

struct KernelTable {
  const char* target;  // Highway's name of the instruction set
  bool has_fma;        // whether docs/numerics.md's bit-equality covers it

  // y[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i]; weight may be nullptr (ones); y may be x.
  void (*rms_norm)(const float* x, const float* weight, size_t n, float epsilon, float* y);

  // To int8 as ActivationBlock says, round to nearest even. n is a multiple of 32. Blocks are for
  // this table's own kernels: other instruction sets may arrange theirs otherwise.
  void (*quantise)(const float* x, size_t n, ActivationBlock* y);
  // What the blocks stand for: y[i] = (scale * sub_scale) * q.
  void (*dequantise)(const ActivationBlock* x, size_t n, float* y);

  // y[i] = f(gate[i], up[i]); y may be gate or up.
  void (*activate)(const ActivationSpec& spec, const float* gate, const float* up, size_t n,
                   float* y);

  // Rotates the first `dims` elements of each of `heads` heads in place; cosine and sine hold
  // dims/2 entries, already multiplied by the attention factor.
  void (*rope)(float* x, size_t heads, size_t head_stride, uint32_t dims, RopePairing pairing,
               const float* cosine, const float* sine);

  void (*add)(const float* x, size_t n, float* y);                 // y += x
  void (*scale_add)(float a, const float* x, size_t n, float* y);  // y = fma(a, x, y)
  void (*scale)(float a, size_t n, float* x);                      // x *= a
  void (*softcap)(float cap, size_t n, float* x);                  // x = cap * tanh(x / cap)

  void (*sigmoid_gate)(const float* x, size_t n, float* y);  // y *= sigmoid(x)

  // x = (x / sqrt(sum of squares + epsilon)) * scale.
  void (*l2_norm)(float epsilon, float scale, size_t n, float* x);
  float (*dot)(const float* x, const float* y, size_t n);

  // Of n tokens: decay = exp(slope * softplus(decay + bias)), rate = sigmoid(rate), in place.
  void (*delta_gates)(float slope, float bias, size_t n, float* decay, float* rate);
  void (*convolve)(const ConvolveArgs& args);
  void (*delta_rule)(const DeltaRuleArgs& args);

  // logits [experts] are overwritten; bias [experts] is for kSigmoid (nullptr: zeros); ids and
  // weights [experts_used]. NaN logits count as lowest.
  void (*route)(const RouterSpec& spec, float* logits, const float* bias, uint32_t* ids,
                float* weights);

  void (*store_kv)(const KvStoreArgs& args);
  void (*attention)(const AttentionArgs& args);
  void (*matmul)(const MatmulArgs& args);

  // Some panels of a float matrix as plain f32: y [columns][8 * panel_count].
  void (*widen_panels)(const PanelMatrix& w, uint32_t first_panel, uint32_t panel_count, float* y);
};

}  // namespace junto

#endif  // JUNTO_KERNELS_KERNELS_H_
