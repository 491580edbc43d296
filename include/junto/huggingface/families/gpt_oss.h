// gpt-oss, with experts in MXFP4 as it was published, or in floats as others save it.
#ifndef JUNTO_HUGGINGFACE_FAMILIES_GPT_OSS_H_
#define JUNTO_HUGGINGFACE_FAMILIES_GPT_OSS_H_

#include "junto/huggingface/keys.h"

namespace junto {
namespace hf {

// Gate and up take turns: of blocks row by row; floats are transposed, and there it is columns.
constexpr Rule kGptOssRules[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_output.bias", "self_attn.o_proj.bias"},
    {"attn_sinks.weight", "self_attn.sinks"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate_inp.weight", "mlp.router.weight"},
    {"ffn_gate_inp.bias", "mlp.router.bias"},
    {"ffn_gate_exps.weight", "mlp.experts.gate_up_proj_blocks", View::kEvenRows},
    {"ffn_up_exps.weight", "mlp.experts.gate_up_proj_blocks", View::kOddRows},
    {"ffn_down_exps.weight", "mlp.experts.down_proj_blocks"},
    {"ffn_gate_exps.weight", "mlp.experts.gate_up_proj", View::kEvenColumns},
    {"ffn_up_exps.weight", "mlp.experts.gate_up_proj", View::kOddColumns},
    {"ffn_down_exps.weight", "mlp.experts.down_proj", View::kTranspose},
    {"ffn_gate_exps.bias", "mlp.experts.gate_up_proj_bias", View::kEvenColumns},
    {"ffn_up_exps.bias", "mlp.experts.gate_up_proj_bias", View::kOddColumns},
    {"ffn_down_exps.bias", "mlp.experts.down_proj_bias"},
};

inline Status CopyGptOss(const Config& config, Plan* plan, GgufHeader* header) {
  constexpr SizeKey kSizes[] = {
      {"context_length", "max_position_embeddings", kRequired},
      {"attention.head_count", "num_attention_heads", kRequired},
      {"attention.head_count_kv", "num_key_value_heads", kRequired},
      {"attention.key_length", "head_dim", kRequired},
      {"attention.value_length", "head_dim", kRequired},
      {"attention.sliding_window", "sliding_window", kRequired},
      {"expert_feed_forward_length", "intermediate_size", kRequired},
      {"expert_count", "num_local_experts", kRequired},
  };
  JUNTO_TRY(CopyTrunk(config, "rms_norm_eps", -1.0f, plan, header));
  JUNTO_TRY(CopySizes(config, kSizes, header));
  const char* used = "num_experts_per_tok";
  if (!config.Has(used)) used = "experts_per_token";
  const SizeKey experts[] = {{"expert_used_count", used, kRequired}};
  JUNTO_TRY(CopySizes(config, experts, header));
  JUNTO_TRY(config.Expect("swiglu_limit", 7.0));
  JUNTO_TRY(config.Expect("swiglu_alpha", 1.702));
  JUNTO_TRY(ReadLayerTypes(config, "sliding_attention", plan));
  header->U32s("attention.sliding_window_pattern", plan->flags);

  const RopeKeys rope(config, nullptr);
  JUNTO_TRY(config.Expect(rope.Place("truncate"), false));
  return CopyRope(rope, 0, -1.0f, plan, header);
}

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_FAMILIES_GPT_OSS_H_
