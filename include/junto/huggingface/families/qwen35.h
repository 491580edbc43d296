// Qwen3.5 in all its sizes, and Qwen3-Next.
#ifndef JUNTO_HUGGINGFACE_FAMILIES_QWEN35_H_
#define JUNTO_HUGGINGFACE_FAMILIES_QWEN35_H_

#include <cstdint>

#include "junto/huggingface/keys.h"

namespace junto {
namespace hf {

// Norms, but for the gated one, are stored as what is added to 1, and decays as logarithms. Experts
// come one by one, or all in a tensor with gate above up.
constexpr Rule kQwenRules[] = {
    {"attn_norm.weight", "input_layernorm.weight", View::kPlain, Change::kAddOne},
    {"post_attention_norm.weight", "post_attention_layernorm.weight", View::kPlain,
     Change::kAddOne},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight", View::kPlain, Change::kAddOne},
    {"attn_k_norm.weight", "self_attn.k_norm.weight", View::kPlain, Change::kAddOne},
    {"attn_qkv.weight", "linear_attn.in_proj_qkv.weight", View::kChannels},
    {"attn_gate.weight", "linear_attn.in_proj_z.weight", View::kValueHeads},
    {"attn_qkv.weight", "linear_attn.in_proj_qkvz.weight", View::kChannelsOfKeyHeads},
    {"attn_gate.weight", "linear_attn.in_proj_qkvz.weight", View::kGatesOfKeyHeads},
    {"ssm_alpha.weight", "linear_attn.in_proj_a.weight", View::kValueUnits},
    {"ssm_beta.weight", "linear_attn.in_proj_b.weight", View::kValueUnits},
    {"ssm_ba.weight", "linear_attn.in_proj_ba.weight"},
    {"ssm_conv1d.weight", "linear_attn.conv1d.weight", View::kChannels},
    {"ssm_a", "linear_attn.A_log", View::kValueUnits, Change::kSlope},
    {"ssm_dt.bias", "linear_attn.dt_bias", View::kValueUnits},
    {"ssm_norm.weight", "linear_attn.norm.weight"},
    {"ssm_out.weight", "linear_attn.out_proj.weight", View::kValueColumns},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"ffn_gate_exps.weight", "mlp.experts.#.gate_proj.weight", View::kExperts},
    {"ffn_up_exps.weight", "mlp.experts.#.up_proj.weight", View::kExperts},
    {"ffn_down_exps.weight", "mlp.experts.#.down_proj.weight", View::kExperts},
    {"ffn_gate_up_exps.weight", "mlp.experts.gate_up_proj"},
    {"ffn_down_exps.weight", "mlp.experts.down_proj"},
    {"ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight"},
    {"ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight"},
    {"ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight"},
    {"ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight"},
};

// Which part of a head turns, and among which axes of images its pairs take turns.
inline Status CopyQwenRope(const Config& config, uint32_t head, Plan* plan, GgufHeader* header) {
  const RopeKeys rope(config, nullptr);
  uint32_t turning = 0;
  JUNTO_TRY(ReadTurning(rope, 0.25f, head, &turning));
  header->U32("rope.dimension_count", turning);
  if (rope.Has("mrope_section")) {
    uint32_t sections[4] = {};
    JUNTO_TRY(config.U32s(rope.Place("mrope_section"), {sections, 3}));
    header->U32s("rope.dimension_sections", {sections, 4});
  }
  return CopyRope(rope, head, 1e7f, plan, header);
}

inline Status CopyDeltaNet(const Config& config, Shapes* shapes, GgufHeader* header) {
  JUNTO_TRY(ReadCount(config, "linear_num_key_heads", kMaxHeads, &shapes->key_heads));
  JUNTO_TRY(ReadCount(config, "linear_num_value_heads", kMaxHeads, &shapes->value_heads));
  JUNTO_TRY(ReadCount(config, "linear_key_head_dim", kMaxWidth, &shapes->key_dim));
  JUNTO_TRY(ReadCount(config, "linear_value_head_dim", kMaxWidth, &shapes->value_dim));
  constexpr SizeKey kSizes[] = {{"ssm.conv_kernel", "linear_conv_kernel_dim", 4}};
  header->U32("ssm.group_count", shapes->key_heads);
  header->U32("ssm.time_step_rank", shapes->value_heads);
  header->U32("ssm.state_size", shapes->key_dim);
  header->U32("ssm.inner_size", shapes->value_heads * shapes->value_dim);
  return CopySizes(config, kSizes, header);
}

inline Status CopyQwenFeedForward(const Config& config, bool many, Shapes* shapes,
                                  GgufHeader* header) {
  constexpr SizeKey kDense[] = {{"feed_forward_length", "intermediate_size", kRequired}};
  constexpr SizeKey kMany[] = {
      {"expert_used_count", "num_experts_per_tok", kRequired},
      {"expert_feed_forward_length", "moe_intermediate_size", kRequired},
      {"expert_shared_feed_forward_length", "shared_expert_intermediate_size", kRequired},
  };
  if (!many) return CopySizes(config, kDense, header);
  JUNTO_TRY(ReadCount(config, "num_experts", kMaxExperts, &shapes->experts));
  header->U32("expert_count", shapes->experts);
  JUNTO_TRY(config.Expect("norm_topk_prob", true));
  JUNTO_TRY(config.Expect("decoder_sparse_step", 1.0));
  return CopySizes(config, kMany, header);
}

inline Status CopyQwen(const Config& config, bool many, bool tiled, Plan* plan,
                       GgufHeader* header) {
  constexpr SizeKey kSizes[] = {
      {"context_length", "max_position_embeddings", kRequired},
      {"attention.head_count", "num_attention_heads", kRequired},
      {"attention.head_count_kv", "num_key_value_heads", kRequired},
      {"attention.value_length", "head_dim", kRequired},
  };
  uint32_t head = 0;
  plan->shapes.tiled = tiled;
  JUNTO_TRY(CopyTrunk(config, "rms_norm_eps", 1e-6f, plan, header));
  JUNTO_TRY(CopySizes(config, kSizes, header));
  JUNTO_TRY(ReadCount(config, "head_dim", kMaxWidth, &head));
  header->U32("attention.key_length", head);
  JUNTO_TRY(config.Expect("hidden_act", "silu"));
  JUNTO_TRY(config.Expect("attn_output_gate", true));
  JUNTO_TRY(CopyQwenRope(config, head, plan, header));
  JUNTO_TRY(CopyDeltaNet(config, &plan->shapes, header));
  JUNTO_TRY(CopyQwenFeedForward(config, many, &plan->shapes, header));
  if (config.Has("layer_types")) {
    JUNTO_TRY(ReadLayerTypes(config, "linear_attention", plan));
    header->U32s("attention.recurrent_layers", plan->flags);
    return Status();
  }
  constexpr SizeKey kInterval[] = {{"full_attention_interval", "full_attention_interval", 4}};
  return CopySizes(config, kInterval, header);
}

inline Status CopyQwen35(const Config& config, Plan* plan, GgufHeader* header) {
  return CopyQwen(config, false, true, plan, header);
}
inline Status CopyQwen35Moe(const Config& config, Plan* plan, GgufHeader* header) {
  return CopyQwen(config, true, true, plan, header);
}
inline Status CopyQwen3Next(const Config& config, Plan* plan, GgufHeader* header) {
  return CopyQwen(config, true, false, plan, header);
}

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_FAMILIES_QWEN35_H_
