// MiMo-V2-Flash, as it was published and as Hugging Face saves it again.
#ifndef JUNTO_HUGGINGFACE_FAMILIES_MIMO_H_
#define JUNTO_HUGGINGFACE_FAMILIES_MIMO_H_

#include "junto/huggingface/keys.h"

namespace junto {
namespace hf {

constexpr Rule kMimoRules[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_sinks.weight", "self_attn.attention_sink_bias"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
    {"ffn_gate_exps.weight", "mlp.experts.#.gate_proj.weight", View::kExperts},
    {"ffn_up_exps.weight", "mlp.experts.#.up_proj.weight", View::kExperts},
    {"ffn_down_exps.weight", "mlp.experts.#.down_proj.weight", View::kExperts},
};

// Which layers have a window, and their heads of keys: where nothing is said, twice as many.
inline Status CopyMimoLayers(const Config& config, Plan* plan, GgufHeader* header) {
  constexpr const char* kPattern = "hybrid_layer_pattern";
  uint32_t full = 0;
  uint32_t near = 0;
  JUNTO_TRY(config.Has(kPattern) ? config.U32s(kPattern, plan->flags)
                                 : ReadLayerTypes(config, "sliding_attention", plan));
  header->U32s("attention.sliding_window_pattern", plan->flags);
  JUNTO_TRY(ReadCount(config, "num_key_value_heads", kMaxHeads, &full));
  JUNTO_TRY(config.U32Or("swa_num_key_value_heads", 2 * full, &near));
  for (uint32_t& flag : plan->flags) flag = flag != 0 ? near : full;
  header->U32s("attention.head_count_kv", plan->flags);
  return Status();
}

// What the family computes in one way only.
inline Status ExpectMimo(const Config& config) {
  JUNTO_TRY(config.Expect("hidden_act", "silu"));
  JUNTO_TRY(config.Expect("scoring_func", "sigmoid"));
  JUNTO_TRY(config.Expect("norm_topk_prob", true));
  JUNTO_TRY(config.Expect("n_group", 1.0));
  JUNTO_TRY(config.Expect("topk_group", 1.0));
  JUNTO_TRY(config.Expect("n_shared_experts", 0.0));
  struct Pair {
    const char* full;
    const char* near;
  };
  for (const Pair& pair :
       {Pair{"num_attention_heads", "swa_num_attention_heads"}, Pair{"head_dim", "swa_head_dim"},
        Pair{"v_head_dim", "swa_v_head_dim"}}) {
    uint32_t value = 0;
    JUNTO_TRY(config.U32(pair.full, &value));
    JUNTO_TRY(config.Expect(pair.near, static_cast<double>(value)));
  }
  return Status();
}

inline Status CopyMimo(const Config& config, Plan* plan, GgufHeader* header) {
  constexpr SizeKey kSizes[] = {
      {"context_length", "max_position_embeddings", kRequired},
      {"attention.head_count", "num_attention_heads", kRequired},
      {"attention.value_length", "v_head_dim", kRequired},
      {"attention.sliding_window", "sliding_window", kRequired},
      {"feed_forward_length", "intermediate_size", kRequired},
      {"expert_used_count", "num_experts_per_tok", kRequired},
      {"expert_feed_forward_length", "moe_intermediate_size", kRequired},
  };
  const char* const epsilon = config.Has("rms_norm_eps") ? "rms_norm_eps" : "layernorm_epsilon";
  JUNTO_TRY(CopyTrunk(config, epsilon, -1.0f, plan, header));
  JUNTO_TRY(CopySizes(config, kSizes, header));
  JUNTO_TRY(ExpectMimo(config));
  JUNTO_TRY(CopyMimoLayers(config, plan, header));
  JUNTO_TRY(ReadCount(config, "n_routed_experts", kMaxExperts, &plan->shapes.experts));
  header->U32("expert_count", plan->shapes.experts);
  header->U32("expert_gating_func", 2);
  JUNTO_TRY(CopyNumber(config, "expert_weights_scale", "routed_scaling_factor", header));
  JUNTO_TRY(CopyNumber(config, "attention.value_scale", "attention_value_scale", header));

  const RopeKeys full(config, "full_attention");
  uint32_t head = 0;
  uint32_t turning = 0;
  float near = 0.0f;
  JUNTO_TRY(ReadCount(config, "head_dim", kMaxWidth, &head));
  header->U32("attention.key_length", head);
  JUNTO_TRY(ReadTurning(full, -1.0f, head, &turning));
  header->U32("rope.dimension_count", turning);
  constexpr const char* kNear = "swa_rope_theta";
  JUNTO_TRY(config.Has(kNear) ? config.F32(kNear, &near)
                              : RopeKeys(config, "sliding_attention").Number("rope_theta", &near));
  header->F32("rope.freq_base_swa", near);
  return CopyRope(full, head, -1.0f, plan, header);
}

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_FAMILIES_MIMO_H_
