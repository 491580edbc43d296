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
// experts the same for each of `count`.
struct MatrixRef {
  const TensorInfo* weight = nullptr;
  const TensorInfo* bias = nullptr;
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint32_t count = 1;
};

struct AttentionSpec {
  uint32_t heads = 0;
  uint32_t kv_heads = 0;      // divides heads; consecutive query heads share one
  uint32_t key_dim = 0;       // per head
  uint32_t value_dim = 0;     // per head
  uint32_t window = 0;        // positions a token sees, itself included; 0: all before it
  uint32_t rope = 0;          // index into ModelSpec::ropes
  float scale = 0.0f;         // multiplies q.k
  float softcap = 0.0f;       // of the scaled scores; 0: none
  VectorRef sinks = nullptr;  // [heads]
  MatrixRef q;
  MatrixRef k;
  MatrixRef v;
  MatrixRef out;
};

// Experts when router.experts > 0, otherwise one dense network; both are down(f(gate x, up x)).
struct FeedForwardSpec {
  uint32_t width = 0;
  ActivationSpec activation;
  RouterSpec router;
  MatrixRef route;  // [experts][model width]
  MatrixRef gate;
  MatrixRef up;
  MatrixRef down;
};

// x += attention(norm(x)); x += feed_forward(norm(x))
struct LayerSpec {
  VectorRef mixer_norm = nullptr;
  AttentionSpec attention;
  VectorRef ffn_norm = nullptr;
  FeedForwardSpec ffn;
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
  VectorRef output_norm = nullptr;
  MatrixRef head;                    // head.weight == embedding.weight when tied
  VectorRef rope_factors = nullptr;  // divisors of the frequencies of every rope
  Vector<RopeSpec> ropes;
  Vector<LayerSpec> layers;
};

// What the caller may ask of a family beyond what the file says.
struct ModelOptions {
  bool yarn_truncate = false;  // gpt-oss: round YaRN's bounds to integers, as llama.cpp does
};

}  // namespace junto

#endif  // JUNTO_MODEL_SPEC_H_
