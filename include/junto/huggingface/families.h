// The families of Hugging Face's models that are known, by "model_type".
#ifndef JUNTO_HUGGINGFACE_FAMILIES_H_
#define JUNTO_HUGGINGFACE_FAMILIES_H_

#include <string_view>

#include "junto/huggingface/families/gemma.h"
#include "junto/huggingface/families/gpt_oss.h"
#include "junto/huggingface/families/llama.h"
#include "junto/huggingface/families/mimo.h"
#include "junto/huggingface/families/qwen35.h"

namespace junto {
namespace hf {

struct Family {
  std::string_view model_type;
  const char* architecture;  // that of a GGUF file
  Status (*copy)(const Config& config, Plan* plan, GgufHeader* header);
  Span<const Rule> layer;  // rules of each layer
  Change norm;             // of the last norm
  Span<const Rule> globals = {};
};

template <size_t n>
constexpr Span<const Rule> All(const Rule (&rules)[n]) {
  return {rules, n};
}

// clang-format off
constexpr Family kFamilies[] = {
    {"gemma3_text", "gemma3", CopyGemma3, All(kGemma3Rules), Change::kAddOne},
    {"gemma4_text", "gemma4", CopyGemma4, All(kGemma4Rules), Change::kNone, All(kGemma4Globals)},
    {"gpt_oss", "gpt-oss", CopyGptOss, All(kGptOssRules), Change::kNone},
    {"llama", "llama", CopyLlama, All(kLlamaRules), Change::kNone},
    {"mimo_v2_flash", "mimo2", CopyMimo, All(kMimoRules), Change::kNone},
    {"mistral", "llama", CopyLlama, All(kLlamaRules), Change::kNone},
    {"mixtral", "llama", CopyLlama, All(kLlamaRules), Change::kNone},
    {"qwen3_5", "qwen35", CopyQwen35, All(kQwenRules), Change::kAddOne},
    {"qwen3_5_moe", "qwen35moe", CopyQwen35Moe, All(kQwenRules), Change::kAddOne},
    {"qwen3_5_moe_text", "qwen35moe", CopyQwen35Moe, All(kQwenRules), Change::kAddOne},
    {"qwen3_5_text", "qwen35", CopyQwen35, All(kQwenRules), Change::kAddOne},
    {"qwen3_next", "qwen3next", CopyQwen3Next, All(kQwenRules), Change::kAddOne},
};
// clang-format on

// By the configuration's "model_type", of its text where it has one. E_UNSUPPORTED.
inline Status FindFamily(const Config& config, const Family** out) {
  std::string_view type;
  JUNTO_TRY(config.String("model_type", &type));
  for (const Family& family : kFamilies) {
    if (family.model_type != type) continue;
    *out = &family;
    return Status();
  }
  type = Utf8Prefix(type, 64);
  return metadata::KeyError(
      Code::kUnsupported, config.Key("model_type"), "'%.*s' is none of the %zu that are known",
      static_cast<int>(type.size()), type.data(), sizeof(kFamilies) / sizeof(kFamilies[0]));
}

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_FAMILIES_H_
