// Families gemma3 and gemma4: Gemma 3 (text), and Gemma 4 in all its sizes, with experts or dense,
// with shared keys and values and inputs to every layer, or without.
//
// Layers of two kinds, most of them with a window, each kind with heads and a rope of its own;
// norms on both sides of everything. Other than in Hugging Face's files of Gemma 3, norms multiply
// by their weight as it is. Gemma 4 scales no scores, takes values from keys where there is no
// attn_v, and beside the experts has a dense network with norms of its own.
#ifndef JUNTO_MODEL_FAMILIES_GEMMA_H_
#define JUNTO_MODEL_FAMILIES_GEMMA_H_

#include <algorithm>
#include <cmath>

#include "junto/model/families/common.h"

namespace junto {

// What the file says of each layer.
struct GemmaLayers {
  explicit GemmaLayers(const Vector<LayerSpec>& layers)
      : sliding(layers.size(), 0, layers.get_allocator()),
        kv_heads(layers.size(), 0, layers.get_allocator()),
        widths(layers.size(), 0, layers.get_allocator()) {}

  Vector<uint32_t> sliding;  // whether it has a window
  Vector<uint32_t> kv_heads;
  Vector<uint32_t> widths;  // of the dense network
  AttentionSpec kinds[2];   // by `sliding`
};

// Reads `layers` but for its pattern, and both ropes: ropes[0] is that of layers that see
// everything.
inline Status ReadGemmaLayers(const FamilyKeys& keys, ModelSpec* spec, GemmaLayers* layers) {
  AttentionSpec& full = layers->kinds[0];
  AttentionSpec& sliding = layers->kinds[1];
  JUNTO_TRY(keys.Size("attention.head_count", kMaxHeads, &full.heads));
  JUNTO_TRY(keys.Size("attention.key_length", kMaxWidth, &full.key_dim));
  JUNTO_TRY(keys.Size("attention.value_length", kMaxWidth, &full.value_dim));
  sliding = full;
  JUNTO_TRY(keys.SizeOr("attention.key_length_swa", full.key_dim, kMaxWidth, &sliding.key_dim));
  JUNTO_TRY(
      keys.SizeOr("attention.value_length_swa", full.value_dim, kMaxWidth, &sliding.value_dim));
  JUNTO_TRY(keys.Size("attention.sliding_window", kMaxContext, &sliding.window));
  JUNTO_TRY(keys.Sizes("feed_forward_length", kMaxWidth, layers->widths));
  std::fill(layers->kv_heads.begin(), layers->kv_heads.end(), full.heads);
  if (keys.Has("attention.head_count_kv")) {
    JUNTO_TRY(keys.Sizes("attention.head_count_kv", full.heads, layers->kv_heads));
  }
  for (uint32_t kv_heads : layers->kv_heads) {
    JUNTO_TRY(CheckKvHeads(keys, full.heads, kv_heads));
  }

  RopeSpec rope;
  float base = 0.0f;
  JUNTO_TRY(keys.F32("rope.freq_base", &base));
  JUNTO_TRY(ReadRope(keys, full.key_dim, RopePairing::kHalves, spec->context_max, &rope));
  spec->ropes.push_back(rope);
  RopeSpec near;
  near.pairing = RopePairing::kHalves;
  JUNTO_TRY(keys.SizeOr("rope.dimension_count_swa", sliding.key_dim, sliding.key_dim, &near.dims));
  JUNTO_TRY(keys.F32Or("rope.freq_base_swa", 10000.0f, &base));
  near.base = base;
  JUNTO_TRY(CheckRope(near));
  spec->ropes.push_back(near);
  sliding.rope = 1;
  return Status();
}

inline Status ReadSoftcap(const FamilyKeys& keys, float fallback, ModelSpec* spec) {
  JUNTO_TRY(keys.F32Or("final_logit_softcapping", fallback, &spec->logit_softcap));
  if (spec->logit_softcap >= 0.0f) return Status();
  return Status::Make(Code::kFormat, "key '%s': a number of at least 0 expected, %g found",
                      keys.Key("final_logit_softcapping").data(),
                      static_cast<double>(spec->logit_softcap));
}

// The last `shared` layers read the keys and values of the last layer of their kind before these.
inline Status ShareKeys(const FamilyKeys& keys, uint32_t shared, const GemmaLayers& layers,
                        ModelSpec* spec) {
  const auto count = static_cast<uint32_t>(spec->layers.size());
  for (uint32_t i = count - shared; i < count; ++i) {
    uint32_t from = count - shared;
    while (from > 0 && layers.sliding[from - 1] != layers.sliding[i]) --from;
    if (from == 0) {
      return Status::Make(Code::kFormat, "key '%s': %u leave no layer of the kind of layer %u",
                          keys.Key("attention.shared_kv_layers").data(), shared, i);
    }
    from -= 1;
    if (layers.kv_heads[from] != layers.kv_heads[i]) {
      return Status::Make(Code::kFormat, "key '%s': layer %u has %u, but reads layer %u with %u",
                          keys.Key("attention.head_count_kv").data(), i, layers.kv_heads[i], from,
                          layers.kv_heads[from]);
    }
    spec->layers[i].attention.kv_back = i - from;
  }
  return Status();
}

// Attention of the current layer, with the norms around it. Where `values` need not be in the file,
// they are the keys.
inline Status BindGemmaAttention(const Binder& binder, const ModelSpec& spec, Need values,
                                 LayerSpec* layer) {
  AttentionSpec* attention = &layer->attention;
  const uint32_t kv_heads = attention->kv_heads;
  const uint32_t key_dim = attention->key_dim;
  const uint32_t value_dim = attention->value_dim;
  JUNTO_TRY(binder.BindVector("attn_norm.weight", spec.width, Need::kRequired, &layer->mixer_norm));
  JUNTO_TRY(binder.BindVector("post_attention_norm.weight", spec.width, Need::kRequired,
                              &layer->mixer_post_norm));
  JUNTO_TRY(binder.BindMatrix("attn_q", attention->heads * key_dim, spec.width, Need::kOptional,
                              &attention->q));
  JUNTO_TRY(binder.BindVector("attn_q_norm.weight", key_dim, Need::kRequired, &attention->q_norm));
  JUNTO_TRY(binder.BindMatrix("attn_output", spec.width, attention->heads * value_dim,
                              Need::kOptional, &attention->out));
  if (attention->kv_back != 0) return Status();
  JUNTO_TRY(
      binder.BindMatrix("attn_k", kv_heads * key_dim, spec.width, Need::kOptional, &attention->k));
  JUNTO_TRY(binder.BindVector("attn_k_norm.weight", key_dim, Need::kRequired, &attention->k_norm));
  if (values == Need::kOptional && !binder.Has("attn_v.weight") && value_dim == key_dim) {
    return Status();
  }
  return binder.BindMatrix("attn_v", kv_heads * value_dim, spec.width, Need::kOptional,
                           &attention->v);
}

// A dense network with the norm before it and the one behind everything.
inline Status BindGemmaDense(const Binder& binder, const ModelSpec& spec, FeedForwardSpec* dense,
                             VectorRef* norm, LayerSpec* layer) {
  JUNTO_TRY(binder.BindVector("ffn_norm.weight", spec.width, Need::kRequired, norm));
  JUNTO_TRY(BindFeedForward(binder, spec.width, Need::kOptional, dense));
  return binder.BindVector("post_ffw_norm.weight", spec.width, Need::kRequired, &layer->post_norm);
}

// Experts beside the dense network, and the router with the norm that only it reads.
inline Status BindGemmaExperts(const Binder& binder, const ModelSpec& spec, LayerSpec* layer) {
  FeedForwardSpec* ffn = &layer->ffn;
  const uint32_t experts = ffn->router.experts;
  const auto vector = [&](const char* name, VectorRef* out) {
    return binder.BindVector(name, spec.width, Need::kRequired, out);
  };
  JUNTO_TRY(vector("post_ffw_norm_1.weight", &layer->beside_post_norm));
  JUNTO_TRY(vector("pre_ffw_norm_2.weight", &layer->ffn_norm));
  JUNTO_TRY(vector("post_ffw_norm_2.weight", &layer->ffn_post_norm));
  JUNTO_TRY(vector("ffn_gate_inp.scale", &ffn->route_norm));
  ffn->route_scale = 1.0f / std::sqrt(static_cast<float>(spec.width));
  JUNTO_TRY(binder.BindVector("ffn_down_exps.scale", experts, Need::kOptional, &ffn->expert_scale));
  return BindFeedForward(binder, spec.width, Need::kOptional, ffn);
}

inline Status ReadGemma3(const Gguf& gguf, const ModelOptions&, ModelSpec* spec) {
  const FamilyKeys keys(&gguf.metadata(), spec->architecture);
  Binder binder(&gguf);
  JUNTO_TRY(ReadTrunk(keys, binder, spec));
  JUNTO_TRY(ReadSoftcap(keys, 0.0f, spec));
  spec->embedding_scale = std::sqrt(static_cast<float>(spec->width));
  GemmaLayers layers(spec->layers);
  JUNTO_TRY(ReadGemmaLayers(keys, spec, &layers));
  JUNTO_TRY(ReadSlidingPattern(keys, 6, layers.sliding));

  for (size_t i = 0; i < spec->layers.size(); ++i) {
    binder.EnterLayer(static_cast<uint32_t>(i));
    LayerSpec* layer = &spec->layers[i];
    AttentionSpec* attention = &layer->attention;
    *attention = layers.kinds[layers.sliding[i] != 0];
    attention->kv_heads = layers.kv_heads[i];
    attention->sees_ahead = true;
    // The file of the 27B, alone with so many layers, does not say that it scales otherwise.
    const bool largest = spec->layers.size() == 62;
    const uint32_t scaled_by =
        largest ? std::max(spec->width / attention->heads, 1u) : attention->key_dim;
    attention->scale = 1.0f / std::sqrt(static_cast<float>(scaled_by));
    layer->ffn.width = layers.widths[i];
    layer->ffn.activation.kind = Activation::kGelu;
    JUNTO_TRY(BindGemmaAttention(binder, *spec, Need::kRequired, layer));
    JUNTO_TRY(BindGemmaDense(binder, *spec, &layer->ffn, &layer->ffn_norm, layer));
  }
  return Status();
}

inline Status ReadLayerInputs(const FamilyKeys& keys, const Binder& binder, ModelSpec* spec) {
  LayerInputsSpec* inputs = &spec->layer_inputs;
  JUNTO_TRY(keys.U32Or("embedding_length_per_layer_input", 0, &inputs->width));
  if (inputs->width == 0) return Status();
  JUNTO_TRY(keys.Range("embedding_length_per_layer_input", inputs->width, kMaxWidth));
  const uint32_t all = inputs->width * static_cast<uint32_t>(spec->layers.size());
  JUNTO_TRY(binder.BindMatrix("per_layer_token_embd", spec->vocab, all, Need::kOptional,
                              &inputs->embedding));
  JUNTO_TRY(binder.BindMatrix("per_layer_model_proj", all, spec->width, Need::kOptional,
                              &inputs->projection));
  JUNTO_TRY(binder.BindVector("per_layer_proj_norm.weight", inputs->width, Need::kRequired,
                              &inputs->norm));
  inputs->projection_scale = 1.0f / std::sqrt(static_cast<float>(spec->width));
  inputs->embedding_scale = std::sqrt(static_cast<float>(inputs->width));
  inputs->scale = std::sqrt(0.5f);
  return Status();
}

inline Status BindLayerInput(const Binder& binder, const ModelSpec& spec, LayerSpec* layer) {
  const uint32_t width = spec.layer_inputs.width;
  if (width == 0) return Status();
  JUNTO_TRY(binder.BindMatrix("inp_gate", width, spec.width, Need::kOptional, &layer->input_gate));
  JUNTO_TRY(binder.BindMatrix("proj", spec.width, width, Need::kOptional, &layer->input_out));
  return binder.BindVector("post_norm.weight", spec.width, Need::kRequired,
                           &layer->input_post_norm);
}

// The current layer of a Gemma 4, of which the dense network is `dense_width` wide; experts, where
// there are any, `ffn` has.
inline Status BindGemma4Layer(const Binder& binder, const ModelSpec& spec, uint32_t dense_width,
                              LayerSpec* layer) {
  const bool beside = layer->ffn.router.experts != 0;
  FeedForwardSpec* dense = beside ? &layer->beside : &layer->ffn;
  layer->ffn.activation.kind = layer->beside.activation.kind = Activation::kGelu;
  dense->width = dense_width;
  const Need values = layer->attention.window == 0 ? Need::kOptional : Need::kRequired;
  JUNTO_TRY(BindGemmaAttention(binder, spec, values, layer));
  JUNTO_TRY(
      BindGemmaDense(binder, spec, dense, beside ? &layer->beside_norm : &layer->ffn_norm, layer));
  if (beside) JUNTO_TRY(BindGemmaExperts(binder, spec, layer));
  JUNTO_TRY(BindLayerInput(binder, spec, layer));
  return binder.BindVector("layer_output_scale.weight", 1, Need::kOptional, &layer->scale);
}

inline Status ReadGemma4(const Gguf& gguf, const ModelOptions&, ModelSpec* spec) {
  const FamilyKeys keys(&gguf.metadata(), spec->architecture);
  Binder binder(&gguf);
  JUNTO_TRY(ReadTrunk(keys, binder, spec));
  JUNTO_TRY(ReadSoftcap(keys, 30.0f, spec));
  spec->embedding_scale = std::sqrt(static_cast<float>(spec->width));
  const auto count = static_cast<uint32_t>(spec->layers.size());
  GemmaLayers layers(spec->layers);
  JUNTO_TRY(ReadGemmaLayers(keys, spec, &layers));
  JUNTO_TRY(ReadSlidingPattern(keys, 0, layers.sliding));
  JUNTO_TRY(binder.BindVector("rope_freqs.weight", spec->ropes[0].dims / 2, Need::kRequired,
                              &spec->rope_factors));
  JUNTO_TRY(ReadLayerInputs(keys, binder, spec));

  uint32_t shared = 0;
  JUNTO_TRY(keys.U32Or("attention.shared_kv_layers", 0, &shared));
  if (shared != 0) JUNTO_TRY(keys.Range("attention.shared_kv_layers", shared, count));
  RouterSpec router;
  JUNTO_TRY(ReadExperts(keys, RouterScoring::kSoftmaxTopK, &router));
  Vector<uint32_t> expert_widths(count, 0, spec->layers.get_allocator());
  if (router.experts != 0) {
    JUNTO_TRY(keys.Sizes("expert_feed_forward_length", kMaxWidth, expert_widths));
  }

  for (uint32_t i = 0; i < count; ++i) {
    AttentionSpec* attention = &spec->layers[i].attention;
    *attention = layers.kinds[layers.sliding[i] != 0];
    attention->kv_heads = layers.kv_heads[i];
    attention->scale = 1.0f;
    attention->v_norm = true;
    attention->sees_ahead = attention->window != 0 && spec->layer_inputs.width == 0;
  }
  JUNTO_TRY(ShareKeys(keys, shared, layers, spec));

  for (uint32_t i = 0; i < count; ++i) {
    binder.EnterLayer(i);
    spec->layers[i].ffn.router = router;
    spec->layers[i].ffn.width = expert_widths[i];
    JUNTO_TRY(BindGemma4Layer(binder, *spec, layers.widths[i], &spec->layers[i]));
  }
  return Status();
}

}  // namespace junto

#endif  // JUNTO_MODEL_FAMILIES_GEMMA_H_
