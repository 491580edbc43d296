// ModelSpec: a model as data. A family fills it from a file's metadata; the runtime interprets it.
// Adding a family means filling these fields, and rarely a new field that any family could use.
#ifndef JUNTO_MODEL_SPEC_H_
#define JUNTO_MODEL_SPEC_H_

#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/io/gguf.h"
#include "junto/kernels/kernels.h"
#include "junto/kernels/rope.h"

namespace junto {

// A vector of floats in the file; nullptr: absent.
using VectorRef = const TensorInfo*;

// A matrix in the file, `rows` outputs by `columns` inputs, with an optional bias per row. For
// experts the same for each of `count`. Without a weight there is no matrix.
struct MatrixRef {
  const TensorInfo* weight = nullptr;
  const TensorInfo* bias = nullptr;
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint32_t count = 1;
  uint32_t first_row = 0;    // where a tensor holds several matrices: its first row,
  uint32_t tensor_rows = 0;  // and rows of the tensor for each expert
};

struct AttentionSpec {
  uint32_t heads = 0;
  uint32_t kv_heads = 0;       // divides heads; consecutive query heads share one
  uint32_t key_dim = 0;        // per head
  uint32_t value_dim = 0;      // per head
  uint32_t window = 0;         // positions a token sees, itself included; 0: all before it
  bool sees_ahead = false;     // rows of one image see the rest of it; else what is before
  uint32_t kv_back = 0;        // layers back to the one whose keys and values are read; 0: its own
  uint32_t rope = 0;           // index into ModelSpec::ropes
  float scale = 0.0f;          // multiplies q.k
  float softcap = 0.0f;        // of the scaled scores; 0: none
  float value_scale = 1.0f;    // multiplies what the heads give
  VectorRef sinks = nullptr;   // [heads]
  VectorRef q_norm = nullptr;  // [key_dim], of each head before rope
  VectorRef k_norm = nullptr;  // the same
  bool v_norm = false;         // of each head, without weights
  bool gated = false;          // out *= sigmoid(gate): rows of q are a head's query, then its gate
  MatrixRef q;
  MatrixRef k;  // absent: keys and values are another layer's
  MatrixRef v;  // absent: values are the keys before norm and rope
  MatrixRef out;

  // From one head of what q gives to the next.
  uint32_t query_stride() const { return gated ? key_dim + value_dim : key_dim; }
};

// A gated delta-net: a mixer that remembers a matrix for each value head instead of all positions.
// Queries, keys and values pass a causal convolution and SiLU, queries and keys are normed to unit
// length; see DeltaRuleArgs for the rest, and DeltaHead for all of it.
struct DeltaNetSpec {
  uint32_t key_heads = 0;           // 0: the layer has none
  uint32_t value_heads = 0;         // a multiple of key_heads
  uint32_t key_dim = 0;             // per head
  uint32_t value_dim = 0;           // per head
  uint32_t taps = 0;                // of the convolution; the last is a token's own
  bool tiled = false;               // value heads take key heads in turn; else neighbours share one
  VectorRef convolution = nullptr;  // [channels][taps]
  VectorRef slope = nullptr;        // [value_heads], decay = exp(slope * softplus(... + bias))
  VectorRef bias = nullptr;         // [value_heads]
  VectorRef norm = nullptr;         // [value_dim], of each head's output before its gate, SiLU
  MatrixRef channels;               // rows of all queries, all keys, all values
  MatrixRef gate;                   // [value_heads * value_dim][model width]
  MatrixRef decays;                 // [value_heads][model width]
  MatrixRef rates;                  // the same; absent: of each key head, its value heads' rates
                                    // and then their decays are rows of `decays`
  MatrixRef out;

  bool present() const { return key_heads != 0; }
  uint32_t key_channels() const { return key_heads * key_dim; }
  uint32_t value_channels() const { return value_heads * value_dim; }
  uint32_t channel_count() const { return 2 * key_channels() + value_channels(); }
  uint32_t share() const { return value_heads / key_heads; }  // value heads of a key head
  uint32_t key_head(uint32_t head) const { return tiled ? head % key_heads : head / share(); }
  bool first_of_key_head(uint32_t head) const {
    return tiled ? head < key_heads : head % share() == 0;
  }
};

// Experts when router.experts > 0, otherwise one dense network; both are down(f(gate x, up x)).
struct FeedForwardSpec {
  uint32_t width = 0;
  ActivationSpec activation;
  RouterSpec router;
  MatrixRef route;                   // [experts][model width]
  VectorRef route_norm = nullptr;    // what the router reads; nullptr: what the experts read
  float route_scale = 1.0f;          // multiplies the router's logits
  VectorRef route_bias = nullptr;    // [experts], added to scores to choose by, not to weights
  VectorRef expert_scale = nullptr;  // [experts], multiplies the weights of the chosen
  MatrixRef gate;
  MatrixRef up;
  MatrixRef down;
};

// x += mixer_post_norm(mixer(mixer_norm(x))), the mixer being attention or a delta-net
// x += post_norm(ffn_post_norm(ffn(ffn_norm(x))) + beside_post_norm(beside(beside_norm(x))))
// x += input_post_norm(input_out(f(input_gate x, the token's input to this layer)))
// x *= scale
// A norm that is nullptr changes nothing, but beside_norm then stands for ffn_norm. Where there is
// a beside_gate, beside is multiplied by the sigmoid of its product with what beside reads.
struct LayerSpec {
  VectorRef mixer_norm = nullptr;
  AttentionSpec attention;  // without heads where there is a delta-net
  DeltaNetSpec delta;
  VectorRef mixer_post_norm = nullptr;
  VectorRef ffn_norm = nullptr;
  FeedForwardSpec ffn;
  VectorRef ffn_post_norm = nullptr;
  VectorRef beside_norm = nullptr;
  FeedForwardSpec beside;  // a dense network beside experts; width 0: none
  MatrixRef beside_gate;   // [1][model width]
  VectorRef beside_post_norm = nullptr;
  VectorRef post_norm = nullptr;
  MatrixRef input_gate;  // [LayerInputsSpec::width][model width], f being ffn.activation
  MatrixRef input_out;   // [model width][LayerInputsSpec::width]
  VectorRef input_post_norm = nullptr;
  VectorRef scale = nullptr;  // [1]
};

// What a token brings to every layer besides the residual stream x that it begins with:
// (norm(projection x * projection_scale) + embedding[token] * embedding_scale) * scale, the norm
// being of each layer's part.
struct LayerInputsSpec {
  uint32_t width = 0;    // for each layer; 0: nothing
  MatrixRef embedding;   // [vocab][layers * width]
  MatrixRef projection;  // [layers * width][model width]
  VectorRef norm = nullptr;
  float projection_scale = 1.0f;
  float embedding_scale = 1.0f;
  float scale = 1.0f;
};

struct ModelSpec {
  explicit ModelSpec(Memory* memory)
      : ropes({memory, Tag::kObject}), layers({memory, Tag::kObject}) {}

  std::string_view architecture;
  uint32_t width = 0;        // of the residual stream
  uint32_t vocab = 0;        // rows of the embedding and the head
  uint32_t context_max = 0;  // positions the model was made for
  float epsilon = 0.0f;      // of every norm
  MatrixRef embedding;
  float embedding_scale = 1.0f;
  LayerInputsSpec layer_inputs;
  VectorRef output_norm = nullptr;
  MatrixRef head;                    // head.weight == embedding.weight when tied
  float logit_softcap = 0.0f;        // logit = cap * tanh(logit / cap); 0: none
  VectorRef rope_factors = nullptr;  // divisors of the frequencies of ropes[0]
  Vector<RopeSpec> ropes;
  Vector<LayerSpec> layers;
};

// What the caller may ask of a family beyond what the file says.
struct ModelOptions {
  bool yarn_truncate = false;  // gpt-oss: round YaRN's bounds to integers, as llama.cpp does
};

}  // namespace junto

#endif  // JUNTO_MODEL_SPEC_H_
