// What every family reads the same way: sizes, the embedding, the head, RoPE's scaling keys.
#ifndef JUNTO_MODEL_FAMILIES_COMMON_H_
#define JUNTO_MODEL_FAMILIES_COMMON_H_

#include <cstdio>

#include "junto/model/binder.h"
#include "junto/model/spec.h"

namespace junto {

// Keys under a family's prefix: Key("block_count") is "llama.block_count".
class FamilyKeys {
 public:
  FamilyKeys(const Metadata* metadata, std::string_view architecture)
      : metadata_(metadata), architecture_(architecture) {}

  Status U32(const char* name, uint32_t* out) const { return metadata_->GetU32(Key(name), out); }
  Status U32Or(const char* name, uint32_t fallback, uint32_t* out) const {
    return metadata_->GetU32Or(Key(name), fallback, out);
  }
  Status F32(const char* name, float* out) const { return metadata_->GetF32(Key(name), out); }
  Status F32Or(const char* name, float fallback, float* out) const {
    return metadata_->GetF32Or(Key(name), fallback, out);
  }
  Status StringOr(const char* name, std::string_view fallback, std::string_view* out) const {
    return metadata_->GetStringOr(Key(name), fallback, out);
  }
  Status U32sOr(const char* name, uint32_t fallback, Span<uint32_t> out) const {
    return metadata_->GetU32sOr(Key(name), fallback, out);
  }

  // A required size that must lie in [1, limit].
  Status Size(const char* name, uint32_t limit, uint32_t* out) const {
    uint32_t value = 0;
    JUNTO_TRY(U32(name, &value));
    JUNTO_TRY(Range(name, value, limit));
    *out = value;
    return Status();
  }
  Status SizeOr(const char* name, uint32_t fallback, uint32_t limit, uint32_t* out) const {
    uint32_t value = 0;
    JUNTO_TRY(U32Or(name, fallback, &value));
    JUNTO_TRY(Range(name, value, limit));
    *out = value;
    return Status();
  }
  Status Range(const char* name, uint32_t value, uint32_t limit) const {
    if (value >= 1 && value <= limit) return Status();
    return Status::Make(Code::kFormat, "key '%s': 1 to %u expected, %u found", Key(name).data(),
                        limit, value);
  }

  // The same for each layer, from an array or one number for all.
  Status Sizes(const char* name, uint32_t limit, Span<uint32_t> out) const {
    const MetadataValue* value = metadata_->Find(Key(name));
    if (value != nullptr && value->type == MetadataType::kBool) {
      return metadata::WrongType(*value, "a size");
    }
    JUNTO_TRY(metadata_->GetU32s(Key(name), out));
    for (uint32_t value : out) JUNTO_TRY(Range(name, value, limit));
    return Status();
  }

  bool Has(const char* name) const { return metadata_->Find(Key(name)) != nullptr; }

  // Valid until the next call.
  std::string_view Key(const char* name) const {
    const int size =
        std::snprintf(key_, sizeof(key_), "%.*s.%s", static_cast<int>(architecture_.size()),
                      architecture_.data(), name);
    return {key_, static_cast<size_t>(size)};
  }

  const Metadata& metadata() const { return *metadata_; }

 private:
  const Metadata* metadata_;
  std::string_view architecture_;
  mutable char key_[96] = "";
};

// Bounds of plausible models; what passes them cannot overflow the sizes computed from it.
constexpr uint32_t kMaxLayers = 1024;
constexpr uint32_t kMaxWidth = 1u << 17;
constexpr uint32_t kMaxHeads = 1024;
constexpr uint32_t kMaxExperts = 4096;
constexpr uint32_t kMaxContext = 1u << 30;
constexpr uint32_t kMaxVocab = 1u << 24;

// Layers, width, context, epsilon, embedding, output norm and head (tied when output.weight is
// absent).
inline Status ReadTrunk(const FamilyKeys& keys, const Binder& binder, ModelSpec* spec) {
  uint32_t layers = 0;
  JUNTO_TRY(keys.Size("block_count", kMaxLayers, &layers));
  JUNTO_TRY(keys.Size("embedding_length", kMaxWidth, &spec->width));
  JUNTO_TRY(keys.Size("context_length", kMaxContext, &spec->context_max));
  JUNTO_TRY(keys.F32("attention.layer_norm_rms_epsilon", &spec->epsilon));
  if (!(spec->epsilon >= 0.0f && spec->epsilon < 1.0f)) {
    return Status::Make(Code::kFormat, "key '%s': a number in [0, 1) expected, %g found",
                        keys.Key("attention.layer_norm_rms_epsilon").data(),
                        static_cast<double>(spec->epsilon));
  }

  const TensorInfo* embedding = binder.gguf().FindTensor("token_embd.weight");
  const uint64_t rows = embedding == nullptr ? 1 : embedding->dims[1];
  if (rows == 0 || rows > kMaxVocab) {
    return Status::Make(Code::kFormat, "tensor 'token_embd.weight': %llu rows, at most %u expected",
                        static_cast<unsigned long long>(rows), kMaxVocab);
  }
  JUNTO_TRY(keys.U32Or("vocab_size", static_cast<uint32_t>(rows), &spec->vocab));
  JUNTO_TRY(
      binder.BindMatrix("token_embd", spec->vocab, spec->width, Need::kOptional, &spec->embedding));
  JUNTO_TRY(
      binder.BindVector("output_norm.weight", spec->width, Need::kRequired, &spec->output_norm));
  spec->head = spec->embedding;
  if (binder.gguf().FindTensor("output.weight") != nullptr) {
    JUNTO_TRY(binder.BindMatrix("output", spec->vocab, spec->width, Need::kOptional, &spec->head));
  }
  spec->layers.resize(layers);
  return Status();
}

// Leaves out the blocks behind the last layer, which predict several tokens at once. One before
// that is an error: it would be run as a layer.
inline Status LeaveOutPredictors(const FamilyKeys& keys, Binder binder, ModelSpec* spec) {
  constexpr const char* kName = "nextn_predict_layers";
  const size_t blocks = spec->layers.size();
  uint32_t predictors = 0;
  JUNTO_TRY(keys.U32Or(kName, 0, &predictors));
  if (predictors >= blocks) {
    return Status::Make(Code::kFormat, "key '%s': fewer than %zu expected, %u found",
                        keys.Key(kName).data(), blocks, predictors);
  }
  spec->layers.resize(blocks - predictors);
  for (uint32_t i = 0; i < spec->layers.size(); ++i) {
    binder.EnterLayer(i);
    if (!binder.Has("nextn.eh_proj.weight")) continue;
    return Status::Make(Code::kFormat, "key '%s': %u found, but block %u of %zu predicts",
                        keys.Key(kName).data(), predictors, i, blocks);
  }
  return Status();
}

inline Status CheckKvHeads(const FamilyKeys& keys, uint32_t heads, uint32_t kv_heads) {
  if (kv_heads != 0 && heads % kv_heads == 0) return Status();
  return Status::Make(Code::kFormat, "key '%s': a divisor of %u expected, %u found",
                      keys.Key("attention.head_count_kv").data(), heads, kv_heads);
}

// heads, kv heads and widths of one head, all layers alike.
inline Status ReadHeads(const FamilyKeys& keys, uint32_t width, AttentionSpec* attention) {
  JUNTO_TRY(keys.Size("attention.head_count", kMaxHeads, &attention->heads));
  JUNTO_TRY(keys.SizeOr("attention.head_count_kv", attention->heads, attention->heads,
                        &attention->kv_heads));
  JUNTO_TRY(CheckKvHeads(keys, attention->heads, attention->kv_heads));
  const uint32_t even = width / attention->heads;
  JUNTO_TRY(keys.SizeOr("attention.key_length", even, kMaxWidth, &attention->key_dim));
  return keys.SizeOr("attention.value_length", even, kMaxWidth, &attention->value_dim);
}

// Whether each layer has a window: one flag per layer, or a period (2: layers 0, 2, 4, ... have).
// `period` is that of a file that says nothing; 0: it must.
inline Status ReadSlidingPattern(const FamilyKeys& keys, uint32_t period, Span<uint32_t> sliding) {
  constexpr const char* kName = "attention.sliding_window_pattern";
  const MetadataValue* value = keys.metadata().Find(keys.Key(kName));
  if (value != nullptr && value->is_array) return keys.U32sOr(kName, 0, sliding);
  JUNTO_TRY(period == 0 ? keys.U32(kName, &period) : keys.U32Or(kName, period, &period));
  for (size_t i = 0; i < sliding.size(); ++i) {
    sliding[i] = period != 0 && i % period < period - 1 ? 1 : 0;
  }
  return Status();
}

// rope.* keys. Absent scaling means none.
inline Status ReadRope(const FamilyKeys& keys, uint32_t key_dim, RopePairing pairing,
                       uint32_t context, RopeSpec* rope) {
  rope->pairing = pairing;
  JUNTO_TRY(keys.SizeOr("rope.dimension_count", key_dim, key_dim, &rope->dims));
  float base = 0.0f;
  float factor = 0.0f;
  JUNTO_TRY(keys.F32Or("rope.freq_base", 10000.0f, &base));
  JUNTO_TRY(keys.F32Or("rope.scaling.factor", 1.0f, &factor));
  rope->base = base;
  rope->factor = factor;
  std::string_view scaling;
  JUNTO_TRY(keys.StringOr("rope.scaling.type", "none", &scaling));
  if (scaling == "none") return CheckRope(*rope);
  if (scaling == "linear") {
    rope->scaling = RopeScaling::kLinear;
    return CheckRope(*rope);
  }
  if (scaling != "yarn") {
    return Status::Make(
        Code::kUnsupported, "key '%s': none, linear or yarn expected, %zu bytes of '%.*s' found",
        keys.Key("rope.scaling.type").data(), scaling.size(),
        static_cast<int>(scaling.size() < 32 ? scaling.size() : 32), scaling.data());
  }
  rope->scaling = RopeScaling::kYarn;
  float fast = 0.0f;
  float slow = 0.0f;
  float attention = 0.0f;
  JUNTO_TRY(keys.U32Or("rope.scaling.original_context_length", context, &rope->original_context));
  JUNTO_TRY(keys.F32Or("rope.scaling.yarn_beta_fast", 32.0f, &fast));
  JUNTO_TRY(keys.F32Or("rope.scaling.yarn_beta_slow", 1.0f, &slow));
  JUNTO_TRY(keys.F32Or("rope.scaling.yarn_attn_factor", 0.0f, &attention));
  rope->beta_fast = fast;
  rope->beta_slow = slow;
  rope->attention_factor = attention;
  return CheckRope(*rope);
}

// expert_count and expert_used_count; a count of 0 means none.
inline Status ReadExperts(const FamilyKeys& keys, RouterScoring scoring, RouterSpec* router) {
  JUNTO_TRY(keys.U32Or("expert_count", 0, &router->experts));
  if (router->experts == 0) return Status();
  JUNTO_TRY(keys.Range("expert_count", router->experts, kMaxExperts));
  JUNTO_TRY(keys.Size("expert_used_count", router->experts, &router->experts_used));
  router->scoring = scoring;
  return Status();
}

// attn_q, attn_k and attn_v of the current layer, or the rows of all three, in this order, in
// attn_qkv; `query_rows` are those of q.
inline Status BindQkv(const Binder& binder, uint32_t width, uint32_t query_rows, Need bias,
                      AttentionSpec* attention) {
  struct Part {
    const char* name;
    uint32_t rows;
    MatrixRef* matrix;
  };
  const uint32_t kv = attention->kv_heads;
  const Part parts[] = {{"attn_q", query_rows, &attention->q},
                        {"attn_k", kv * attention->key_dim, &attention->k},
                        {"attn_v", kv * attention->value_dim, &attention->v}};
  if (!binder.Has("attn_qkv.weight")) {
    for (const Part& part : parts) {
      JUNTO_TRY(binder.BindMatrix(part.name, part.rows, width, bias, part.matrix));
    }
    return Status();
  }
  uint32_t rows = 0;
  for (const Part& part : parts) rows += part.rows;
  MatrixRef all;
  JUNTO_TRY(binder.BindMatrix("attn_qkv", rows, width, bias, &all));
  if (all.bias != nullptr) {
    return Status::Make(Code::kUnsupported, "tensor '%.*s': biases of %u matrices in one",
                        static_cast<int>(all.bias->name.size()), all.bias->name.data(), 3u);
  }
  for (const Part& part : parts) {
    *part.matrix = all;
    part.matrix->rows = part.rows;
    all.first_row += part.rows;
  }
  return Status();
}

// The same, and attn_output.
inline Status BindAttention(const Binder& binder, uint32_t width, Need bias,
                            AttentionSpec* attention) {
  JUNTO_TRY(BindQkv(binder, width, attention->heads * attention->key_dim, bias, attention));
  return binder.BindMatrix("attn_output", width, attention->heads * attention->value_dim, bias,
                           &attention->out);
}

// ffn_gate_inp and ffn_{gate,up,down}_exps, gate above up in ffn_gate_up_exps where the file has
// that, or ffn_{gate,up,down} where there are no experts.
inline Status BindFeedForward(const Binder& binder, uint32_t width, Need bias,
                              FeedForwardSpec* ffn) {
  const uint32_t experts = ffn->router.experts;
  if (experts != 0) {
    JUNTO_TRY(binder.BindMatrix("ffn_gate_inp", experts, width, bias, &ffn->route));
  }
  const bool many = experts != 0;
  if (many && binder.Has("ffn_gate_up_exps.weight")) {
    JUNTO_TRY(
        binder.BindPairs("ffn_gate_up_exps", experts, ffn->width, width, &ffn->gate, &ffn->up));
  } else {
    JUNTO_TRY(binder.BindMatrices(many ? "ffn_gate_exps" : "ffn_gate", experts, ffn->width, width,
                                  bias, &ffn->gate));
    JUNTO_TRY(binder.BindMatrices(many ? "ffn_up_exps" : "ffn_up", experts, ffn->width, width, bias,
                                  &ffn->up));
  }
  return binder.BindMatrices(many ? "ffn_down_exps" : "ffn_down", experts, width, ffn->width, bias,
                             &ffn->down);
}

}  // namespace junto

#endif  // JUNTO_MODEL_FAMILIES_COMMON_H_
