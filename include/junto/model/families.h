// The families Junto knows, and the one entry from a file to a ModelSpec.
#ifndef JUNTO_MODEL_FAMILIES_H_
#define JUNTO_MODEL_FAMILIES_H_

#include "junto/model/families/gemma.h"
#include "junto/model/families/gpt_oss.h"
#include "junto/model/families/llama.h"
#include "junto/model/families/mimo.h"
#include "junto/model/families/qwen35.h"

namespace junto {

struct Family {
  std::string_view architecture;  // general.architecture
  Status (*read)(const Gguf& gguf, const ModelOptions& options, ModelSpec* spec);
};

constexpr Family kFamilies[] = {
    {"gemma3", ReadGemma3},       {"gemma4", ReadGemma4},       {"gpt-oss", ReadGptOss},
    {"llama", ReadLlama},         {"mimo2", ReadMimo2},         {"qwen35", ReadQwen35},
    {"qwen35moe", ReadQwen35Moe}, {"qwen3next", ReadQwen3Next},
};

// Fills `spec` from the file, which must outlive it. E_UNSUPPORTED names an architecture that is
// not known; E_FORMAT names the key or tensor that is wrong. Throws OutOfMemory.
inline Status ReadModelSpec(const Gguf& gguf, const ModelOptions& options, ModelSpec* spec) {
  std::string_view architecture;
  JUNTO_TRY(gguf.metadata().GetString("general.architecture", &architecture));
  for (const Family& family : kFamilies) {
    if (family.architecture != architecture) continue;
    spec->architecture = architecture;
    return family.read(gguf, options, spec);
  }
  return Status::Make(Code::kUnsupported,
                      "architecture '%.*s' is none of the %zu that are known: gemma3, gemma4, "
                      "gpt-oss, llama, mimo2, qwen35, qwen35moe, qwen3next",
                      static_cast<int>(architecture.size() < 64 ? architecture.size() : 64),
                      architecture.data(), sizeof(kFamilies) / sizeof(kFamilies[0]));
}

}  // namespace junto

#endif  // JUNTO_MODEL_FAMILIES_H_
