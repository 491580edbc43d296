// Family llama: Llama, Mistral, SmolLM2 and others in that layout, and with experts Mixtral.
#ifndef JUNTO_MODEL_FAMILIES_LLAMA_H_
#define JUNTO_MODEL_FAMILIES_LLAMA_H_

#include <cmath>

#include "junto/model/families/common.h"

namespace junto {

// Files of this architecture order the rows of q and k so that RoPE turns adjacent elements.
inline Status ReadLlama(const Gguf& gguf, const ModelOptions&, ModelSpec* spec) {
  const FamilyKeys keys(&gguf.metadata(), spec->architecture);
  Binder binder(&gguf);
  JUNTO_TRY(ReadTrunk(keys, binder, spec));

  LayerSpec common;
  AttentionSpec& attention = common.attention;
  JUNTO_TRY(ReadHeads(keys, spec->width, &attention));
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.key_dim));
  RopeSpec rope;
  JUNTO_TRY(ReadRope(keys, attention.key_dim, RopePairing::kInterleaved, spec->context_max, &rope));
  spec->ropes.push_back(rope);
  JUNTO_TRY(
      binder.BindVector("rope_freqs.weight", rope.dims / 2, Need::kOptional, &spec->rope_factors));

  FeedForwardSpec& ffn = common.ffn;
  JUNTO_TRY(keys.Size("feed_forward_length", kMaxWidth, &ffn.width));
  JUNTO_TRY(ReadExperts(keys, RouterScoring::kSoftmaxRenormalise, &ffn.router));
  if (ffn.router.experts != 0) {
    JUNTO_TRY(keys.SizeOr("expert_feed_forward_length", ffn.width, kMaxWidth, &ffn.width));
  }

  for (size_t i = 0; i < spec->layers.size(); ++i) {
    binder.EnterLayer(static_cast<uint32_t>(i));
    LayerSpec* layer = &spec->layers[i];
    *layer = common;
    JUNTO_TRY(
        binder.BindVector("attn_norm.weight", spec->width, Need::kRequired, &layer->mixer_norm));
    JUNTO_TRY(binder.BindVector("ffn_norm.weight", spec->width, Need::kRequired, &layer->ffn_norm));
    JUNTO_TRY(BindAttention(binder, spec->width, Need::kOptional, &layer->attention));
    JUNTO_TRY(BindFeedForward(binder, spec->width, Need::kOptional, &layer->ffn));
  }
  return Status();
}

}  // namespace junto

#endif  // JUNTO_MODEL_FAMILIES_LLAMA_H_
