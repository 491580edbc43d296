// Llama and Mistral, and Mixtral.
#ifndef JUNTO_HUGGINGFACE_FAMILIES_LLAMA_H_
#define JUNTO_HUGGINGFACE_FAMILIES_LLAMA_H_

#include <algorithm>

#include "junto/huggingface/keys.h"

namespace junto {
namespace hf {

// In a GGUF file of this family elements that turn together are neighbours.
constexpr Rule kLlamaRules[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight", View::kQueryPairs},
    {"attn_q.bias", "self_attn.q_proj.bias", View::kQueryPairs},
    {"attn_k.weight", "self_attn.k_proj.weight", View::kKeyPairs},
    {"attn_k.bias", "self_attn.k_proj.bias", View::kKeyPairs},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_output.bias", "self_attn.o_proj.bias"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_gate.bias", "mlp.gate_proj.bias"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_up.bias", "mlp.up_proj.bias"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_down.bias", "mlp.down_proj.bias"},
    {"ffn_gate_inp.weight", "block_sparse_moe.gate.weight"},
    {"ffn_gate_exps.weight", "block_sparse_moe.experts.#.w1.weight", View::kExperts},
    {"ffn_down_exps.weight", "block_sparse_moe.experts.#.w2.weight", View::kExperts},
    {"ffn_up_exps.weight", "block_sparse_moe.experts.#.w3.weight", View::kExperts},
};

inline Status CopyLlama(const Config& config, Plan* plan, GgufHeader* header) {
  constexpr SizeKey kSizes[] = {
      {"attention.head_count_kv", "num_key_value_heads", kNothing},
      {"attention.key_length", "head_dim", kNothing},
      {"attention.value_length", "head_dim", kNothing},
      {"feed_forward_length", "intermediate_size", kRequired},
      {"expert_count", "num_local_experts", kNothing},
      {"expert_used_count", "num_experts_per_tok", kNothing},
  };
  Shapes* shapes = &plan->shapes;
  JUNTO_TRY(CopyTrunk(config, "rms_norm_eps", 1e-6f, plan, header));
  JUNTO_TRY(CopySizes(config, kSizes, header));
  JUNTO_TRY(config.Expect("hidden_act", "silu"));
  JUNTO_TRY(ReadCount(config, "num_attention_heads", kMaxHeads, &shapes->heads));
  header->U32("attention.head_count", shapes->heads);
  JUNTO_TRY(config.U32Or("num_key_value_heads", shapes->heads, &shapes->kv_heads));
  JUNTO_TRY(config.U32Or("num_local_experts", 0, &shapes->experts));

  // No layer has a window here, but within one there is none.
  uint32_t context = 0;
  uint32_t window = 0;
  JUNTO_TRY(config.U32("max_position_embeddings", &context));
  JUNTO_TRY(config.U32Or("sliding_window", context, &window));
  header->U32("context_length", std::min(context, window));

  uint32_t width = 0;
  uint32_t dims = 0;
  JUNTO_TRY(config.U32("hidden_size", &width));
  JUNTO_TRY(config.U32Or("head_dim", width / shapes->heads, &dims));
  if (dims > kMaxWidth) {
    return metadata::KeyError(Code::kFormat, config.Key("head_dim"),
                              "at most %u expected, %u found", kMaxWidth, dims);
  }
  return CopyRope(RopeKeys(config, nullptr), dims, 10000.0f, plan, header);
}

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_FAMILIES_LLAMA_H_
