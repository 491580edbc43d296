// Family mimo2: MiMo-V2-Flash, and others in that layout.
//
// Layers of two kinds, of which those with a window have more heads of keys and values, a rope of
// their own and a sink for each head of queries. Keys are wider than values, a part of each head
// turns, and what attention gives is scaled. The first layer is dense; the others have experts,
// chosen by sigmoid scores with a bias and weighed by them without.
#ifndef JUNTO_MODEL_FAMILIES_MIMO_H_
#define JUNTO_MODEL_FAMILIES_MIMO_H_

#include <cmath>

#include "junto/model/families/common.h"

namespace junto {

// What the file says of each layer.
struct MimoLayers {
  explicit MimoLayers(const Vector<LayerSpec>& layers)
      : sliding(layers.get_allocator()),
        heads(layers.get_allocator()),
        kv_heads(layers.get_allocator()),
        expert_widths(layers.get_allocator()) {}

  Vector<uint32_t> sliding;  // whether it has a window
  Vector<uint32_t> heads;
  Vector<uint32_t> kv_heads;
  Vector<uint32_t> expert_widths;  // of a dense layer it may be anything
};

// A number for each layer, and maybe for blocks behind the last. One number stands for all where
// `alike` allows it; where it does not, such a file is of another model.
inline Status ReadEach(const FamilyKeys& keys, const char* name, bool alike, size_t layers,
                       Vector<uint32_t>* out) {
  const MetadataValue* value = keys.metadata().Find(keys.Key(name));
  if (value == nullptr) return metadata::Missing(keys.Key(name));
  if (!value->is_array && (!alike || value->type == MetadataType::kBool)) {
    return metadata::WrongType(*value, alike ? "a size" : "an array");
  }
  const uint64_t count = value->is_array ? value->count : layers;
  if (count < layers || count > kMaxLayers) {
    return metadata::KeyError(Code::kFormat, value->key, "%zu to %u elements expected, %llu found",
                              layers, kMaxLayers, static_cast<unsigned long long>(count));
  }
  out->resize(count);
  return keys.metadata().GetU32s(keys.Key(name), *out);
}

inline Status ReadMimoLayers(const FamilyKeys& keys, size_t count, MimoLayers* layers) {
  constexpr const char* kPattern = "attention.sliding_window_pattern";
  JUNTO_TRY(ReadEach(keys, kPattern, false, count, &layers->sliding));
  JUNTO_TRY(ReadEach(keys, "attention.head_count", true, count, &layers->heads));
  JUNTO_TRY(ReadEach(keys, "attention.head_count_kv", false, count, &layers->kv_heads));
  JUNTO_TRY(ReadEach(keys, "expert_feed_forward_length", true, count, &layers->expert_widths));
  for (size_t i = 0; i < count; ++i) {
    JUNTO_TRY(keys.Range("attention.head_count", layers->heads[i], kMaxHeads));
    JUNTO_TRY(CheckKvHeads(keys, layers->heads[i], layers->kv_heads[i]));
    if (layers->sliding[i] <= 1) continue;
    return Status::Make(Code::kFormat, "key '%s': 0 or 1 expected, %u found",
                        keys.Key(kPattern).data(), layers->sliding[i]);
  }
  return Status();
}

// The model always had this scale, about sqrt(width / (heads * value_dim)), but its first files do
// not say so. Where the proportions are others the key must be there.
inline Status ReadValueScale(const FamilyKeys& keys, uint32_t width, uint32_t heads,
                             AttentionSpec* attention) {
  constexpr const char* kName = "attention.value_scale";
  float* const scale = &attention->value_scale;
  JUNTO_TRY(heads * attention->value_dim == 2 * width ? keys.F32Or(kName, 0.707f, scale)
                                                      : keys.F32(kName, scale));
  if (*scale > 0.0f) return Status();
  return Status::Make(Code::kFormat, "key '%s': a positive number expected, %g found",
                      keys.Key(kName).data(), static_cast<double>(*scale));
}

// What the two kinds of layers have in common, and both ropes: ropes[0] is that of layers that see
// everything, and the only one that may be scaled. What is usual elsewhere is wrong here, so keys
// must be there.
inline Status ReadMimoAttention(const FamilyKeys& keys, uint32_t heads, ModelSpec* spec,
                                AttentionSpec* attention) {
  JUNTO_TRY(keys.Size("attention.key_length", kMaxWidth, &attention->key_dim));
  JUNTO_TRY(keys.Size("attention.value_length", kMaxWidth, &attention->value_dim));
  attention->scale = 1.0f / std::sqrt(static_cast<float>(attention->key_dim));
  JUNTO_TRY(ReadValueScale(keys, spec->width, heads, attention));

  RopeSpec rope;
  float base = 0.0f;
  JUNTO_TRY(keys.F32("rope.freq_base", &base));
  JUNTO_TRY(keys.Size("rope.dimension_count", attention->key_dim, &rope.dims));
  JUNTO_TRY(ReadRope(keys, attention->key_dim, RopePairing::kHalves, spec->context_max, &rope));
  spec->ropes.push_back(rope);
  RopeSpec near;
  near.pairing = RopePairing::kHalves;
  near.dims = rope.dims;
  JUNTO_TRY(keys.F32Or("rope.freq_base_swa", 10000.0f, &base));
  near.base = base;
  JUNTO_TRY(CheckRope(near));
  spec->ropes.push_back(near);
  return Status();
}

inline Status ReadMimoRouter(const FamilyKeys& keys, RouterSpec* router) {
  // These keys need not be there, but what they say must be this. No group is one group.
  struct Fixed {
    const char* key;
    uint32_t least;
    uint32_t most;
  };
  constexpr Fixed kFixed[] = {{"expert_gating_func", 2, 2},
                              {"expert_group_count", 0, 1},
                              {"expert_group_used_count", 0, 1},
                              {"expert_shared_count", 0, 0}};
  for (const Fixed& fixed : kFixed) {
    uint32_t value = 0;
    JUNTO_TRY(keys.U32Or(fixed.key, fixed.most, &value));
    if (value >= fixed.least && value <= fixed.most) continue;
    return Status::Make(Code::kUnsupported, "key '%s': %u expected, %u found",
                        keys.Key(fixed.key).data(), fixed.most, value);
  }
  JUNTO_TRY(keys.Size("expert_count", kMaxExperts, &router->experts));
  JUNTO_TRY(ReadExperts(keys, RouterScoring::kSigmoid, router));
  router->renormalise = true;
  float scale = 0.0f;
  JUNTO_TRY(keys.F32Or("expert_weights_scale", 1.0f, &scale));
  if (scale != 0.0f) router->scale = scale;
  return Status();
}

// The current layer, whose attention and experts are as the metadata has them. One without any
// tensor of a router is dense.
inline Status BindMimoLayer(const FamilyKeys& keys, const Binder& binder, uint32_t width,
                            LayerSpec* layer) {
  AttentionSpec* attention = &layer->attention;
  FeedForwardSpec* ffn = &layer->ffn;
  JUNTO_TRY(binder.BindVector("attn_norm.weight", width, Need::kRequired, &layer->mixer_norm));
  JUNTO_TRY(binder.BindVector("ffn_norm.weight", width, Need::kRequired, &layer->ffn_norm));
  JUNTO_TRY(binder.BindVector("attn_sinks.weight", attention->heads,
                              attention->window != 0 ? Need::kRequired : Need::kOptional,
                              &attention->sinks));
  JUNTO_TRY(BindAttention(binder, width, Need::kOptional, attention));
  if (binder.Has("ffn_gate_inp.weight") || binder.Has("exp_probs_b.bias")) {
    JUNTO_TRY(keys.Range("expert_feed_forward_length", ffn->width, kMaxWidth));
    JUNTO_TRY(binder.BindVector("exp_probs_b.bias", ffn->router.experts, Need::kRequired,
                                &ffn->route_bias));
  } else {
    ffn->router = RouterSpec();
    JUNTO_TRY(keys.Size("feed_forward_length", kMaxWidth, &ffn->width));
  }
  return BindFeedForward(binder, width, Need::kOptional, ffn);
}

inline Status ReadMimo2(const Gguf& gguf, const ModelOptions&, ModelSpec* spec) {
  const FamilyKeys keys(&gguf.metadata(), spec->architecture);
  Binder binder(&gguf);
  JUNTO_TRY(ReadTrunk(keys, binder, spec));
  JUNTO_TRY(binder.BindMatrix("output", spec->vocab, spec->width, Need::kOptional, &spec->head));
  JUNTO_TRY(LeaveOutPredictors(keys, binder, spec));
  const auto count = static_cast<uint32_t>(spec->layers.size());
  MimoLayers layers(spec->layers);
  JUNTO_TRY(ReadMimoLayers(keys, count, &layers));
  LayerSpec common;
  JUNTO_TRY(ReadMimoAttention(keys, layers.heads[0], spec, &common.attention));
  JUNTO_TRY(ReadMimoRouter(keys, &common.ffn.router));
  uint32_t window = 0;
  JUNTO_TRY(keys.Size("attention.sliding_window", kMaxContext, &window));

  for (uint32_t i = 0; i < count; ++i) {
    binder.EnterLayer(i);
    LayerSpec* layer = &spec->layers[i];
    *layer = common;
    layer->attention.heads = layers.heads[i];
    layer->attention.kv_heads = layers.kv_heads[i];
    layer->attention.window = layers.sliding[i] != 0 ? window : 0;
    layer->attention.rope = layers.sliding[i];
    layer->ffn.width = layers.expert_widths[i];
    JUNTO_TRY(BindMimoLayer(keys, binder, spec->width, layer));
  }
  return Status();
}

}  // namespace junto

#endif  // JUNTO_MODEL_FAMILIES_MIMO_H_
