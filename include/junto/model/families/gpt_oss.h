// Family gpt-oss: 20b and 120b, which differ in layers and experts only.
//
// Attention with a learned sink per head, every other layer sliding; experts everywhere, with
// biases and a clamped SwiGLU; YaRN whose bounds are not rounded, other than some engines do it.
#ifndef JUNTO_MODEL_FAMILIES_GPT_OSS_H_
#define JUNTO_MODEL_FAMILIES_GPT_OSS_H_

#include <cmath>

#include "junto/model/families/common.h"

namespace junto {

inline Status ReadGptOss(const Gguf& gguf, const ModelOptions& options, ModelSpec* spec) {
  const FamilyKeys keys(&gguf.metadata(), spec->architecture);
  Binder binder(&gguf);
  JUNTO_TRY(ReadTrunk(keys, binder, spec));

  // Defaults that other families may rely on are wrong here, so these keys must be present.
  uint32_t window = 0;
  uint32_t present = 0;
  float base = 0.0f;
  for (const char* key :
       {"attention.head_count_kv", "attention.key_length", "attention.value_length"}) {
    JUNTO_TRY(keys.Size(key, kMaxWidth, &present));
  }
  JUNTO_TRY(keys.F32("rope.freq_base", &base));
  JUNTO_TRY(keys.Size("attention.sliding_window", kMaxContext, &window));

  LayerSpec common;
  AttentionSpec& attention = common.attention;
  JUNTO_TRY(ReadHeads(keys, spec->width, &attention));
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.key_dim));
  RopeSpec rope;
  JUNTO_TRY(ReadRope(keys, attention.key_dim, RopePairing::kHalves, spec->context_max, &rope));
  if (rope.scaling == RopeScaling::kYarn) {
    JUNTO_TRY(keys.Size("rope.scaling.original_context_length", kMaxContext, &present));
  }
  rope.truncate = options.yarn_truncate;
  spec->ropes.push_back(rope);

  FeedForwardSpec& ffn = common.ffn;
  ffn.activation.kind = Activation::kSwigluClamped;
  JUNTO_TRY(keys.Size("expert_feed_forward_length", kMaxWidth, &ffn.width));
  JUNTO_TRY(keys.Size("expert_count", kMaxExperts, &ffn.router.experts));
  JUNTO_TRY(ReadExperts(keys, RouterScoring::kSoftmaxTopK, &ffn.router));

  Vector<uint32_t> sliding(spec->layers.size(), 0, spec->layers.get_allocator());
  JUNTO_TRY(ReadSlidingPattern(keys, 2, sliding));
  for (size_t i = 0; i < spec->layers.size(); ++i) {
    binder.EnterLayer(static_cast<uint32_t>(i));
    LayerSpec* layer = &spec->layers[i];
    *layer = common;
    layer->attention.window = sliding[i] != 0 ? window : 0;
    JUNTO_TRY(
        binder.BindVector("attn_norm.weight", spec->width, Need::kRequired, &layer->mixer_norm));
    JUNTO_TRY(binder.BindVector("post_attention_norm.weight", spec->width, Need::kRequired,
                                &layer->ffn_norm));
    JUNTO_TRY(binder.BindVector("attn_sinks.weight", attention.heads, Need::kRequired,
                                &layer->attention.sinks));
    JUNTO_TRY(BindAttention(binder, spec->width, Need::kRequired, &layer->attention));
    JUNTO_TRY(BindFeedForward(binder, spec->width, Need::kRequired, &layer->ffn));
  }
  return Status();
}

}  // namespace junto

#endif  // JUNTO_MODEL_FAMILIES_GPT_OSS_H_
