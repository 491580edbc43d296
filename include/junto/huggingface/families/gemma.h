// Gemma 3 and the text of Gemma 4.
#ifndef JUNTO_HUGGINGFACE_FAMILIES_GEMMA_H_
#define JUNTO_HUGGINGFACE_FAMILIES_GEMMA_H_

#include <algorithm>
#include <cstdio>

#include "junto/huggingface/keys.h"

namespace junto {
namespace hf {

// Norms of Gemma 3 are stored as what is added to 1.
constexpr Rule kGemma3Rules[] = {
    {"attn_norm.weight", "input_layernorm.weight", View::kPlain, Change::kAddOne},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight", View::kPlain, Change::kAddOne},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight", View::kPlain, Change::kAddOne},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight", View::kPlain,
     Change::kAddOne},
    {"ffn_norm.weight", "pre_feedforward_layernorm.weight", View::kPlain, Change::kAddOne},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight", View::kPlain, Change::kAddOne},
};

constexpr Rule kGemma4Rules[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_norm.weight", "pre_feedforward_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight"},
    {"post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight"},
    {"pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight"},
    {"post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight"},
    {"ffn_gate_inp.weight", "router.proj.weight"},
    {"ffn_gate_inp.scale", "router.scale"},
    {"ffn_gate_up_exps.weight", "experts.gate_up_proj"},
    {"ffn_down_exps.weight", "experts.down_proj"},
    {"ffn_down_exps.scale", "router.per_expert_scale"},
    {"inp_gate.weight", "per_layer_input_gate.weight"},
    {"proj.weight", "per_layer_projection.weight"},
    {"post_norm.weight", "post_per_layer_input_norm.weight"},
    {"layer_output_scale.weight", "layer_scalar"},
};

// Tensors of Gemma 4 outside of layers.
constexpr Rule kGemma4Globals[] = {
    {"per_layer_token_embd.weight", "embed_tokens_per_layer.weight"},
    {"per_layer_model_proj.weight", "per_layer_model_projection.weight"},
    {"per_layer_proj_norm.weight", "per_layer_projection_norm.weight"},
};

// Which layers have a window: their types, or every so many that have none.
inline Status CopyGemmaPattern(const Config& config, Plan* plan, GgufHeader* header) {
  if (config.Has("layer_types")) {
    JUNTO_TRY(ReadLayerTypes(config, "sliding_attention", plan));
  } else {
    uint32_t period = 0;
    JUNTO_TRY(config.U32Or("sliding_window_pattern", 6, &period));
    for (size_t i = 0; i < plan->flags.size(); ++i) {
      plan->flags[i] = period != 0 && (i + 1) % period != 0 ? 1 : 0;
    }
  }
  header->U32s("attention.sliding_window_pattern", plan->flags);
  return config.Expect("hidden_activation", "gelu_pytorch_tanh");
}

// Configurations of Gemma 3 leave out what is as in the first of its models.
inline Status CopyGemma3(const Config& config, Plan* plan, GgufHeader* header) {
  constexpr SizeKey kSizes[] = {
      {"context_length", "max_position_embeddings", 131072},
      {"attention.head_count", "num_attention_heads", 8},
      {"attention.head_count_kv", "num_key_value_heads", 4},
      {"attention.key_length", "head_dim", 256},
      {"attention.value_length", "head_dim", 256},
      {"attention.sliding_window", "sliding_window", 4096},
      {"feed_forward_length", "intermediate_size", kRequired},
  };
  JUNTO_TRY(CopyTrunk(config, "rms_norm_eps", 1e-6f, plan, header));
  JUNTO_TRY(CopySizes(config, kSizes, header));
  JUNTO_TRY(CopyNumber(config, "final_logit_softcapping", "final_logit_softcapping", header));
  JUNTO_TRY(config.Expect("attn_logit_softcapping", 0.0));
  JUNTO_TRY(CopyGemmaPattern(config, plan, header));

  // The family scales scores by the width of a head; in the largest model by a share of the width.
  uint32_t scaled_by = 0;
  uint32_t width = 0;
  uint32_t heads = 0;
  JUNTO_TRY(config.U32Or("head_dim", 256, &scaled_by));
  JUNTO_TRY(config.U32("hidden_size", &width));
  JUNTO_TRY(config.U32Or("num_attention_heads", 8, &heads));
  if (plan->shapes.layers == 62) scaled_by = width / std::max(heads, 1u);
  JUNTO_TRY(config.Expect("query_pre_attn_scalar", static_cast<double>(scaled_by)));

  float near = 0.0f;
  const RopeKeys sliding(config, "sliding_attention");
  const bool each = config.Has("rope_parameters.sliding_attention.rope_theta");
  JUNTO_TRY(each ? sliding.Number("rope_theta", &near)
                 : config.F32Or("rope_local_base_freq", 10000.0f, &near));
  header->F32("rope.freq_base_swa", near);
  return CopyRope(RopeKeys(config, "full_attention"), 0, 1e6f, plan, header);
}

// A number of layers that see everything: of their own key, or of the object of one of them.
inline Status ReadGlobal(const Config& config, const char* own, const char* common,
                         const Plan& plan, uint32_t* out) {
  char name[64];
  for (size_t i = 0; i < plan.flags.size(); ++i) {
    if (plan.flags[i] != 0) continue;
    std::snprintf(name, sizeof(name), "per_layer_config.%zu.%s", i, common);
    if (config.Has(name)) return ReadCount(config, name, kMaxWidth, out);
  }
  return ReadCount(config, config.Has(own) ? own : common, kMaxWidth, out);
}

// Of each layer heads of keys, and the width of its dense network.
inline Status CopyGemma4Layers(const Config& config, uint32_t shared, const Plan& plan,
                               GgufHeader* header) {
  uint32_t near = 0;
  uint32_t global = 0;
  uint32_t width = 0;
  bool wide = false;
  JUNTO_TRY(ReadCount(config, "num_key_value_heads", kMaxHeads, &near));
  JUNTO_TRY(ReadGlobal(config, "num_global_key_value_heads", "num_key_value_heads", plan, &global));
  JUNTO_TRY(ReadCount(config, "intermediate_size", kMaxWidth, &width));
  JUNTO_TRY(config.BoolOr("use_double_wide_mlp", false, &wide));
  Vector<uint32_t> numbers(plan.flags);
  for (uint32_t& number : numbers) number = number != 0 ? near : global;
  header->U32s("attention.head_count_kv", numbers);
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = wide && i + shared >= numbers.size() ? 2 * width : width;
  }
  header->U32s("feed_forward_length", numbers);
  return Status();
}

// Pairs that do not turn are divided by what makes their angles vanish.
inline Status Gemma4Factors(const RopeKeys& rope, uint32_t dims, Vector<float>* factors) {
  uint32_t turning = 0;
  JUNTO_TRY(ReadTurning(rope, 1.0f, dims, &turning));
  for (uint32_t i = 0; i < dims / 2; ++i) factors->push_back(i < turning / 2 ? 1.0f : 1e30f);
  return Status();
}

inline Status CopyGemma4(const Config& config, Plan* plan, GgufHeader* header) {
  constexpr SizeKey kSizes[] = {
      {"context_length", "max_position_embeddings", kRequired},
      {"attention.head_count", "num_attention_heads", kRequired},
      {"attention.key_length_swa", "head_dim", kRequired},
      {"attention.value_length_swa", "head_dim", kRequired},
      {"rope.dimension_count_swa", "head_dim", kRequired},
      {"attention.sliding_window", "sliding_window", kRequired},
      {"embedding_length_per_layer_input", "hidden_size_per_layer_input", 0},
  };
  constexpr SizeKey kExperts[] = {
      {"expert_count", "num_experts", kRequired},
      {"expert_used_count", "top_k_experts", kRequired},
      {"expert_feed_forward_length", "moe_intermediate_size", kRequired},
  };
  JUNTO_TRY(CopyTrunk(config, "rms_norm_eps", 1e-6f, plan, header));
  JUNTO_TRY(CopySizes(config, kSizes, header));
  JUNTO_TRY(CopyGemmaPattern(config, plan, header));
  bool experts = false;
  JUNTO_TRY(config.BoolOr("enable_moe_block", false, &experts));
  if (experts) JUNTO_TRY(CopySizes(config, kExperts, header));
  float cap = 0.0f;  // none where the key is null
  JUNTO_TRY(config.F32Or("final_logit_softcapping", 0.0f, &cap));
  header->F32("final_logit_softcapping", cap);

  uint32_t shared = 0;
  uint32_t dims = 0;
  JUNTO_TRY(config.U32Or("num_kv_shared_layers", 0, &shared));
  header->U32("attention.shared_kv_layers", shared);
  JUNTO_TRY(CopyGemma4Layers(config, std::min(shared, plan->shapes.layers), *plan, header));
  JUNTO_TRY(ReadGlobal(config, "global_head_dim", "head_dim", *plan, &dims));
  for (const char* key :
       {"attention.key_length", "attention.value_length", "rope.dimension_count"}) {
    header->U32(key, dims);
  }
  float near = 0.0f;
  JUNTO_TRY(RopeKeys(config, "sliding_attention").NumberOr("rope_theta", 10000.0f, &near));
  header->F32("rope.freq_base_swa", near);
  const RopeKeys full(config, "full_attention");
  JUNTO_TRY(Gemma4Factors(full, dims, &plan->rope_factors));
  return CopyRope(full, dims, -1.0f, plan, header);
}

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_FAMILIES_GEMMA_H_
