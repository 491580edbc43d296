// Keys: what families read from a GGUF file's metadata, of a configuration.
#ifndef JUNTO_HUGGINGFACE_KEYS_H_
#define JUNTO_HUGGINGFACE_KEYS_H_

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "junto/base/math.h"
#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/huggingface/config.h"
#include "junto/huggingface/gguf_header.h"
#include "junto/huggingface/rules.h"
#include "junto/model/binder.h"
#include "junto/model/families/common.h"

namespace junto {
namespace hf {

// What a family fills besides the keys.
struct Plan {
  explicit Plan(Memory* memory)
      : rope_factors({memory, Tag::kObject}), flags({memory, Tag::kLoadTemp}) {}

  Shapes shapes;
  Vector<float> rope_factors;  // divisors of frequencies; none: all 1
  Vector<uint32_t> flags;      // [layers], for whoever needs it
};

constexpr double kRequired = -1.0;  // in the place of a number of a configuration that says nothing
constexpr double kNothing = -2.0;   // no key then

struct SizeKey {
  const char* ours;
  const char* theirs;
  double otherwise;
};

// Writes keys that are the same numbers under other names.
inline Status CopySizes(const Config& config, Span<const SizeKey> keys, GgufHeader* header) {
  for (const SizeKey& key : keys) {
    uint32_t value = 0;
    if (key.otherwise == kNothing && !config.Has(key.theirs)) continue;
    JUNTO_TRY(key.otherwise < 0
                  ? config.U32(key.theirs, &value)
                  : config.U32Or(key.theirs, static_cast<uint32_t>(key.otherwise), &value));
    header->U32(key.ours, value);
  }
  return Status();
}
template <size_t n>
Status CopySizes(const Config& config, const SizeKey (&keys)[n], GgufHeader* header) {
  return CopySizes(config, {keys, n}, header);
}

// The same for floats, of which absent ones are left out.
inline Status CopyNumber(const Config& config, const char* ours, const char* theirs,
                         GgufHeader* header) {
  float value = 0.0f;
  if (!config.Has(theirs)) return Status();
  JUNTO_TRY(config.F32(theirs, &value));
  header->F32(ours, value);
  return Status();
}

// A number of heads or elements, within bounds beyond which no model lies.
inline Status ReadCount(const Config& config, const char* name, uint32_t limit, uint32_t* out) {
  uint32_t value = 0;
  JUNTO_TRY(config.U32(name, &value));
  if (value < 1 || value > limit) {
    return metadata::KeyError(Code::kFormat, config.Key(name), "1 to %u expected, %u found", limit,
                              value);
  }
  *out = value;
  return Status();
}

// Keys of every family. `epsilon` is the name of that of norms, `otherwise` where it is not there.
inline Status CopyTrunk(const Config& config, const char* epsilon, float otherwise, Plan* plan,
                        GgufHeader* header) {
  constexpr SizeKey kSizes[] = {{"embedding_length", "hidden_size", kRequired},
                                {"vocab_size", "vocab_size", kNothing}};
  JUNTO_TRY(ReadCount(config, "num_hidden_layers", kMaxLayers, &plan->shapes.layers));
  header->U32("block_count", plan->shapes.layers);
  plan->flags.assign(plan->shapes.layers, 0);
  JUNTO_TRY(CopySizes(config, kSizes, header));
  float value = otherwise;
  JUNTO_TRY(otherwise < 0 ? config.F32(epsilon, &value) : config.F32Or(epsilon, otherwise, &value));
  header->F32("attention.layer_norm_rms_epsilon", value);
  return Status();
}

// Where a configuration says how positions turn: an object of its own, one in it for each `kind` of
// layers, or keys of the model.
class RopeKeys {
 public:
  RopeKeys(const Config& config, const char* kind) : config_(&config) {
    std::snprintf(in_kind_, sizeof(in_kind_), "rope_parameters.%s.", kind == nullptr ? "" : kind);
  }

  bool Has(const char* name) const { return Find(name) != nullptr; }
  Status Number(const char* name, float* out) const { return config_->F32(Place(name), out); }
  Status NumberOr(const char* name, float fallback, float* out) const {
    return config_->F32Or(Place(name), fallback, out);
  }
  Status Size(const char* name, uint32_t* out) const { return config_->U32(Place(name), out); }
  const Config& config() const { return *config_; }

  // "default" where nothing is said.
  Status Type(std::string_view* type) const {
    const char* name = Has("rope_type") ? "rope_type" : "type";
    return config_->StringOr(Place(name), "default", type);
  }

  // The name under which the configuration has it, valid until the next call.
  const char* Place(const char* name) const {
    for (const char* object : {in_kind_, "rope_parameters.", "rope_scaling.", ""}) {
      std::snprintf(place_, sizeof(place_), "%s%s", object, name);
      if (config_->Has(place_)) break;
    }
    return place_;
  }

 private:
  const MetadataValue* Find(const char* name) const { return config_->Find(Place(name)); }

  const Config* config_;
  char in_kind_[64];
  mutable char place_[128] = "";
};

// How many of a head's `dims` elements turn, by a share that is `otherwise` where nothing is said.
inline Status ReadTurning(const RopeKeys& keys, float otherwise, uint32_t dims, uint32_t* turning) {
  constexpr const char* kName = "partial_rotary_factor";
  float share = otherwise;
  JUNTO_TRY(otherwise < 0 ? keys.Number(kName, &share) : keys.NumberOr(kName, otherwise, &share));
  if (!(share > 0.0f && share <= 1.0f)) {
    return metadata::KeyError(Code::kFormat, keys.Place(kName), "%g is not in (0, 1]",
                              static_cast<double>(share));
  }
  *turning = static_cast<uint32_t>(share * static_cast<float>(dims));
  return Status();
}

// Divisors of "llama3": long waves are divided by the factor, short ones kept, with a ramp between.
inline Status Llama3Factors(const RopeKeys& keys, uint32_t dims, double base,
                            Vector<float>* factors) {
  float factor = 0.0f;
  float low = 0.0f;
  float high = 0.0f;
  float context = 0.0f;
  JUNTO_TRY(keys.Number("factor", &factor));
  JUNTO_TRY(keys.Number("low_freq_factor", &low));
  JUNTO_TRY(keys.Number("high_freq_factor", &high));
  JUNTO_TRY(keys.Number("original_max_position_embeddings", &context));
  if (!(factor >= 1.0f && high > low && low >= 0.0f && context > 0.0f && base > 1.0)) {
    return metadata::KeyError(Code::kFormat, keys.Place("factor"),
                              "%g, with %g to %g turns of %g positions", factor, low, high,
                              context);
  }
  for (uint32_t i = 0; i < dims / 2; ++i) {
    const double turns = context / 6.2831853071795865 * ExactExp(-2.0 * i / dims * ExactLog(base));
    const double kept = std::min(std::max((turns - low) / (double{high} - low), 0.0), 1.0);
    factors->push_back(static_cast<float>(1.0 / ((1.0 - kept) / factor + kept)));
  }
  return Status();
}

// Writes the base and the scaling of layers of one kind; `dims` turn.
inline Status CopyRope(const RopeKeys& keys, uint32_t dims, float base_otherwise, Plan* plan,
                       GgufHeader* header) {
  float base = base_otherwise;
  std::string_view type;
  JUNTO_TRY(base < 0 ? keys.Number("rope_theta", &base)
                     : keys.NumberOr("rope_theta", base_otherwise, &base));
  header->F32("rope.freq_base", base);
  JUNTO_TRY(keys.Type(&type));
  if (type == "default" || type == "proportional" || type == "mrope") return Status();
  if (type == "llama3") return Llama3Factors(keys, dims, base, &plan->rope_factors);
  float factor = 0.0f;
  JUNTO_TRY(keys.Number("factor", &factor));
  header->F32("rope.scaling.factor", factor);
  header->Text("rope.scaling.type", type);  // one that is not known the family refuses
  if (type != "yarn") return Status();
  uint32_t context = 0;
  JUNTO_TRY(keys.Size("original_max_position_embeddings", &context));
  header->U32("rope.scaling.original_context_length", context);
  struct Number {
    const char* ours;
    const char* theirs;
  };
  for (const Number& number : {Number{"rope.scaling.yarn_beta_fast", "beta_fast"},
                               Number{"rope.scaling.yarn_beta_slow", "beta_slow"},
                               Number{"rope.scaling.yarn_attn_factor", "attention_factor"}}) {
    if (keys.Has(number.theirs)) {
      JUNTO_TRY(CopyNumber(keys.config(), number.ours, keys.Place(number.theirs), header));
    }
  }
  if (keys.Has("mscale") || keys.Has("mscale_all_dim")) {
    return metadata::KeyError(Code::kUnsupported, keys.Place("mscale"),
                              "%u scales of YaRN where 1 is known", 2u);
  }
  return Status();
}

// The kind of each layer into plan->flags: 1 for `kind`, of "layer_types".
inline Status ReadLayerTypes(const Config& config, const char* kind, Plan* plan) {
  return config.Kinds("layer_types", kind, plan->flags);
}

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_KEYS_H_
