// Families qwen35, qwen35moe and qwen3next: Qwen3.5 in all its sizes, dense or with experts, its
// successors in that layout, and Qwen3-Next.
//
// Three layers of four are gated delta-nets, the fourth is attention with an output gate; experts
// have a shared one beside them. Norms and decays are stored as they are used: 1 was added to the
// weights of norms, and decays are negative. Blocks for predicting several tokens at once, the last
// in the file, are left out.
#ifndef JUNTO_MODEL_FAMILIES_QWEN35_H_
#define JUNTO_MODEL_FAMILIES_QWEN35_H_

#include <cmath>

#include "junto/model/families/common.h"

namespace junto {

constexpr uint32_t kMaxTaps = 16;

// Which layers are attention: flags of the layers that are not, or every so many.
inline Status ReadAttentionLayers(const FamilyKeys& keys, Span<uint32_t> attention) {
  constexpr const char* kFlags = "attention.recurrent_layers";
  if (keys.metadata().Find(keys.Key(kFlags)) != nullptr) {
    JUNTO_TRY(keys.U32sOr(kFlags, 0, attention));
    for (uint32_t& flag : attention) flag = flag == 0 ? 1 : 0;
    return Status();
  }
  uint32_t interval = 0;
  JUNTO_TRY(keys.SizeOr("full_attention_interval", 4, kMaxLayers, &interval));
  for (size_t i = 0; i < attention.size(); ++i) attention[i] = (i + 1) % interval == 0 ? 1 : 0;
  return Status();
}

// A number for all layers, or one for each, of which those of delta-nets mean nothing.
inline Status ReadKvHeads(const FamilyKeys& keys, Span<const uint32_t> attention, uint32_t heads,
                          Span<uint32_t> kv_heads) {
  constexpr const char* kName = "attention.head_count_kv";
  const MetadataValue* value = keys.metadata().Find(keys.Key(kName));
  if (value != nullptr && value->is_array) {
    JUNTO_TRY(keys.metadata().GetU32s(keys.Key(kName), kv_heads));
  } else {
    uint32_t all = 0;
    JUNTO_TRY(keys.Size(kName, heads, &all));
    for (uint32_t& one : kv_heads) one = all;
  }
  for (size_t i = 0; i < kv_heads.size(); ++i) {
    if (attention[i] != 0) JUNTO_TRY(CheckKvHeads(keys, heads, kv_heads[i]));
  }
  return Status();
}

// A quarter of each head turns. Pairs take turns among the axes of images, of which there may be a
// fourth; text has the same position on all.
inline Status ReadQwenRope(const FamilyKeys& keys, uint32_t key_dim, uint32_t context,
                           bool sections, RopeSpec* rope) {
  JUNTO_TRY(ReadRope(keys, key_dim, RopePairing::kHalves, context, rope));
  JUNTO_TRY(keys.SizeOr("rope.dimension_count", key_dim / 4, key_dim, &rope->dims));
  float base = 0.0f;
  JUNTO_TRY(keys.F32Or("rope.freq_base", 1e7f, &base));
  rope->base = base;
  if (sections) {
    constexpr const char* kSections = "rope.dimension_sections";
    Span<const int32_t> given;
    if (keys.metadata().Find(keys.Key(kSections)) != nullptr) {
      JUNTO_TRY(keys.metadata().GetI32s(keys.Key(kSections), &given));
    }
    constexpr int32_t kUsual[4] = {11, 11, 10, 0};
    if (given.size() == 0 && rope->dims == 64) given = Span<const int32_t>(kUsual, 4);
    if (given.size() > 4) {
      return Status::Make(Code::kFormat, "key '%s': at most 4 numbers expected, %zu found",
                          keys.Key(kSections).data(), given.size());
    }
    for (size_t i = 0; i < given.size(); ++i) {
      rope->sections[i] = static_cast<uint32_t>(given[i]);
    }
    rope->interleaved_sections = true;
  }
  return CheckRope(*rope);
}

inline Status ReadDeltaNet(const FamilyKeys& keys, DeltaNetSpec* delta) {
  uint32_t inner = 0;
  JUNTO_TRY(keys.Size("ssm.group_count", kMaxHeads, &delta->key_heads));
  JUNTO_TRY(keys.Size("ssm.time_step_rank", kMaxHeads, &delta->value_heads));
  JUNTO_TRY(keys.Size("ssm.state_size", kMaxWidth, &delta->key_dim));
  JUNTO_TRY(keys.Size("ssm.inner_size", kMaxWidth, &inner));
  JUNTO_TRY(keys.SizeOr("ssm.conv_kernel", 4, kMaxTaps, &delta->taps));
  if (delta->value_heads % delta->key_heads != 0) {
    return Status::Make(Code::kFormat, "key '%s': a multiple of %u expected, %u found",
                        keys.Key("ssm.time_step_rank").data(), delta->key_heads,
                        delta->value_heads);
  }
  if (inner % delta->value_heads != 0) {
    return Status::Make(Code::kFormat, "key '%s': a multiple of %u expected, %u found",
                        keys.Key("ssm.inner_size").data(), delta->value_heads, inner);
  }
  delta->value_dim = inner / delta->value_heads;
  // A product of two sizes in their bounds may be more than any matrix has.
  if (uint64_t{delta->key_heads} * delta->key_dim > kMaxWidth) {
    return Status::Make(Code::kFormat, "key '%s': at most %u for %u heads expected, %u found",
                        keys.Key("ssm.state_size").data(), kMaxWidth / delta->key_heads,
                        delta->key_heads, delta->key_dim);
  }
  return Status();
}

inline Status BindDeltaNet(const Binder& binder, uint32_t width, DeltaNetSpec* delta) {
  const uint32_t heads = delta->value_heads;
  const auto matrix = [&](const char* name, uint32_t rows, uint32_t columns, MatrixRef* out) {
    return binder.BindMatrix(name, rows, columns, Need::kOptional, out);
  };
  const auto vector = [&](const char* name, uint32_t size, VectorRef* out) {
    return binder.BindVector(name, size, Need::kRequired, out);
  };
  JUNTO_TRY(matrix("attn_qkv", delta->channel_count(), width, &delta->channels));
  JUNTO_TRY(matrix("attn_gate", delta->value_channels(), width, &delta->gate));
  if (delta->tiled) {
    JUNTO_TRY(matrix("ssm_alpha", heads, width, &delta->decays));
    JUNTO_TRY(matrix("ssm_beta", heads, width, &delta->rates));
  } else {
    JUNTO_TRY(matrix("ssm_ba", 2 * heads, width, &delta->decays));
  }
  JUNTO_TRY(binder.Bind("ssm_conv1d.weight", {delta->taps, delta->channel_count()}, Need::kRequired,
                        &delta->convolution));
  JUNTO_TRY(vector("ssm_a", heads, &delta->slope));
  JUNTO_TRY(vector(binder.Has("ssm_dt") ? "ssm_dt" : "ssm_dt.bias", heads, &delta->bias));
  JUNTO_TRY(vector("ssm_norm.weight", delta->value_dim, &delta->norm));
  return matrix("ssm_out", width, delta->value_channels(), &delta->out);
}

inline Status BindGatedAttention(const Binder& binder, uint32_t width, AttentionSpec* attention) {
  const uint32_t query_rows = attention->heads * attention->query_stride();
  JUNTO_TRY(BindQkv(binder, width, query_rows, Need::kOptional, attention));
  JUNTO_TRY(binder.BindVector("attn_q_norm.weight", attention->key_dim, Need::kRequired,
                              &attention->q_norm));
  JUNTO_TRY(binder.BindVector("attn_k_norm.weight", attention->key_dim, Need::kRequired,
                              &attention->k_norm));
  return binder.BindMatrix("attn_output", width, attention->heads * attention->value_dim,
                           Need::kOptional, &attention->out);
}

// The shared expert and its weight.
inline Status BindSharedExpert(const Binder& binder, uint32_t width, LayerSpec* layer) {
  const auto matrix = [&](const char* name, uint32_t rows, uint32_t columns, MatrixRef* out) {
    return binder.BindMatrix(name, rows, columns, Need::kOptional, out);
  };
  FeedForwardSpec* shared = &layer->beside;
  JUNTO_TRY(matrix("ffn_gate_inp_shexp", 1, width, &layer->beside_gate));
  JUNTO_TRY(matrix("ffn_gate_shexp", shared->width, width, &shared->gate));
  JUNTO_TRY(matrix("ffn_up_shexp", shared->width, width, &shared->up));
  return matrix("ffn_down_shexp", width, shared->width, &shared->down);
}

// Widths and the router, the same in all layers.
inline Status ReadQwenFeedForward(const FamilyKeys& keys, bool many, LayerSpec* common) {
  FeedForwardSpec& ffn = common->ffn;
  if (!many) return keys.Size("feed_forward_length", kMaxWidth, &ffn.width);
  JUNTO_TRY(keys.Size("expert_count", kMaxExperts, &ffn.router.experts));
  JUNTO_TRY(ReadExperts(keys, RouterScoring::kSoftmaxRenormalise, &ffn.router));
  JUNTO_TRY(keys.Size("expert_feed_forward_length", kMaxWidth, &ffn.width));
  JUNTO_TRY(keys.Size("expert_shared_feed_forward_length", kMaxWidth, &common->beside.width));
  float scale = 0.0f;
  JUNTO_TRY(keys.F32Or("expert_weights_scale", 1.0f, &scale));
  if (scale != 0.0f) ffn.router.scale = scale;
  return Status();
}

// What the families have in common: `tiled` value heads, `sections` of the rope, `many` experts.
inline Status ReadQwen(const Gguf& gguf, bool tiled, bool sections, bool many, ModelSpec* spec) {
  const FamilyKeys keys(&gguf.metadata(), spec->architecture);
  Binder binder(&gguf);
  JUNTO_TRY(ReadTrunk(keys, binder, spec));
  const size_t blocks = spec->layers.size();
  JUNTO_TRY(LeaveOutPredictors(keys, binder, spec));
  Vector<uint32_t> attends(blocks, 0, spec->layers.get_allocator());
  Vector<uint32_t> kv_heads(blocks, 0, spec->layers.get_allocator());

  LayerSpec attending;
  AttentionSpec& attention = attending.attention;
  JUNTO_TRY(keys.Size("attention.head_count", kMaxHeads, &attention.heads));
  JUNTO_TRY(keys.Size("attention.key_length", kMaxWidth, &attention.key_dim));
  JUNTO_TRY(keys.Size("attention.value_length", kMaxWidth, &attention.value_dim));
  JUNTO_TRY(ReadAttentionLayers(keys, attends));
  JUNTO_TRY(ReadKvHeads(keys, attends, attention.heads, kv_heads));
  JUNTO_TRY(keys.F32Or("attention.scale", 1.0f / std::sqrt(static_cast<float>(attention.key_dim)),
                       &attention.scale));
  attention.gated = true;
  RopeSpec rope;
  JUNTO_TRY(ReadQwenRope(keys, attention.key_dim, spec->context_max, sections, &rope));
  spec->ropes.push_back(rope);
  JUNTO_TRY(ReadQwenFeedForward(keys, many, &attending));

  LayerSpec remembering = attending;
  remembering.attention = AttentionSpec();
  JUNTO_TRY(ReadDeltaNet(keys, &remembering.delta));
  remembering.delta.tiled = tiled;

  for (size_t i = 0; i < spec->layers.size(); ++i) {
    binder.EnterLayer(static_cast<uint32_t>(i));
    LayerSpec* layer = &spec->layers[i];
    *layer = attends[i] != 0 ? attending : remembering;
    JUNTO_TRY(
        binder.BindVector("attn_norm.weight", spec->width, Need::kRequired, &layer->mixer_norm));
    JUNTO_TRY(binder.BindVector("post_attention_norm.weight", spec->width, Need::kRequired,
                                &layer->ffn_norm));
    if (attends[i] != 0) {
      layer->attention.kv_heads = kv_heads[i];
      JUNTO_TRY(BindGatedAttention(binder, spec->width, &layer->attention));
    } else {
      JUNTO_TRY(BindDeltaNet(binder, spec->width, &layer->delta));
    }
    JUNTO_TRY(BindFeedForward(binder, spec->width, Need::kOptional, &layer->ffn));
    if (many) JUNTO_TRY(BindSharedExpert(binder, spec->width, layer));
  }
  return Status();
}

inline Status ReadQwen35(const Gguf& gguf, const ModelOptions&, ModelSpec* spec) {
  return ReadQwen(gguf, true, true, false, spec);
}
inline Status ReadQwen35Moe(const Gguf& gguf, const ModelOptions&, ModelSpec* spec) {
  return ReadQwen(gguf, true, true, true, spec);
}
// Files of Qwen3-Next keep the value heads of a key head together.
inline Status ReadQwen3Next(const Gguf& gguf, const ModelOptions&, ModelSpec* spec) {
  return ReadQwen(gguf, false, false, true, spec);
}

}  // namespace junto

#endif  // JUNTO_MODEL_FAMILIES_QWEN35_H_
