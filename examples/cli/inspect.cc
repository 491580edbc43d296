// junto inspect: what a model file holds and what running it would take. Reads no weights.
#include <algorithm>
#include <cstdio>

#include "format.h"
#include "open.h"

namespace cli {
namespace {

void Line(const char* name, const std::string& value) {
  std::printf("  %-14s %s\n", name, value.c_str());
}

std::string TokenName(const char* name, junto_token token) {
  return token < 0 ? Format("no %s", name) : Format("%s %d", name, token);
}

void PrintModel(const OpenModel& open, const std::string& path) {
  const junto_model_info& info = open.info;
  std::printf("%s\n", path.c_str());
  const std::string name = Meta(open.model.get(), "general.name");
  if (!name.empty()) Line("name", name);
  Line("architecture",
       Format("%s, %u layers of width %u", info.architecture, info.layers, info.width));
  Line("experts", info.experts == 0 ? "none: a dense model"
                                    : Format("%u in a layer, %u of them for each token",
                                             info.experts, info.experts_used));
  const std::string left_out =
      Meta(open.model.get(), std::string(info.architecture) + ".nextn_predict_layers");
  if (!left_out.empty() && left_out != "0") {
    Line("left out", left_out + " of the file's blocks: for several tokens at once");
  }
  Line("parameters",
       Count(info.params_total) + ", " + Count(info.params_active) + " of them for each token");
  Line("vocabulary", Format("%u tokens, %s, %s", info.vocab, TokenName("bos", info.bos).c_str(),
                            TokenName("eos", info.eos).c_str()));
  Line("context", Format("%u tokens at most", info.context_max));
  Line("weights", Bytes(info.weight_bytes) + ", " + Bytes(info.decode_bytes) +
                      " of them read for each new token");
  if (info.expert_bytes != 0) {
    Line("experts take", Bytes(info.expert_bytes) + ", or what --expert-budget gives them");
  }
}

uint64_t Plan(const OpenModel& open, const junto_session_desc& desc, junto_tag tag) {
  junto_error error = NewError();
  uint64_t bytes = 0;
  Check(junto_session_plan(open.model.get(), &desc, tag, &bytes, &error), error);
  return bytes;
}

const char* KvName(junto_dtype type) {
  return type == JUNTO_F32 ? "f32" : type == JUNTO_BF16 ? "bf16" : "f16";
}

void PrintPlan(const OpenModel& open, const junto_session_desc& desc) {
  static constexpr struct {
    const char* name;
    junto_tag tag;
  } kParts[] = {{"weights", JUNTO_TAG_WEIGHTS},
                {"tokenizer", JUNTO_TAG_TOKENIZER},
                {"keys, values", JUNTO_TAG_KV},  // and the states of recurrent layers
                {"scratch", JUNTO_TAG_SCRATCH},
                {"objects", JUNTO_TAG_OBJECT}};

  std::printf("Memory with one session of %u tokens, %u in a pass, keys and values in %s\n",
              desc.context_tokens, desc.prefill_chunk, KvName(desc.kv_dtype));
  // The system keeps what is mapped, or drops it and reads it again.
  const uint64_t mapped = Plan(open, desc, JUNTO_TAG_MAPPED);
  uint64_t total = 0;
  for (const auto& part : kParts) {
    const uint64_t bytes = Plan(open, desc, part.tag);
    total += bytes;
    const bool in_place = part.tag == JUNTO_TAG_WEIGHTS && mapped != 0;
    Line(part.name, in_place ? Bytes(mapped) + " mapped, not counted" : Bytes(bytes));
  }
  Line("together", Bytes(total));
  Line("while loading", Bytes(Plan(open, desc, JUNTO_TAG_LOAD_TEMP)) + " more, given back");
}

int PrintKeys(const OpenModel& open, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    size_t size = 0;
    if (junto_model_get_meta(open.model.get(), key.data(), key.size(), nullptr, 0, &size) < 0) {
      throw Failure("the file has no metadata key '" + key + "'");
    }
    std::printf("%s\n", Meta(open.model.get(), key).c_str());
  }
  return 0;
}

}  // namespace

int Inspect(const InspectOptions& options) {
  const OpenModel open = Open(options.model, JUNTO_MODEL_METADATA_ONLY);
  if (!options.keys.empty()) return PrintKeys(open, options.keys);

  junto_session_desc desc = SessionDesc(options.session);
  if (desc.context_tokens == 0) desc.context_tokens = std::min(4096u, open.info.context_max);
  if (desc.prefill_chunk == 0) desc.prefill_chunk = std::min(512u, desc.context_tokens);
  PrintModel(open, options.model.path);
  std::printf("\n");
  PrintPlan(open, desc);
  return 0;
}

}  // namespace cli
