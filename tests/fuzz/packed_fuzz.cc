// Any bytes as a packed file: loaded as they are, and again with the hashes set right, so that what
// lies behind them is reached, with all experts in memory and with few; what loads must run.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../support/host.h"
#include "../support/tiny_model.h"
#include "junto/io/packed.h"
#include "seeds.h"

namespace junto {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

void Sign(std::vector<uint8_t>* bytes) {
  packed::Header header;
  if (bytes->size() < sizeof(header)) return;
  std::memcpy(&header, bytes->data(), sizeof(header));
  if (RangeFits(header.directory, header.directory_bytes, bytes->size())) {
    Hash hash;
    hash.Add(bytes->data() + header.directory, static_cast<size_t>(header.directory_bytes));
    header.directory_hash = hash.value();
  }
  const uint64_t experts = packed::ExpertHashesOf(header);
  if (header.experts < bytes->size() && RangeFits(experts, header.experts * 8, bytes->size())) {
    Hash hash;
    hash.Add(bytes->data() + experts, static_cast<size_t>(header.experts * 8));
    header.experts_hash = hash.value();
  }
  header.header_hash = packed::HashOf(header);
  std::memcpy(bytes->data(), &header, sizeof(header));
}

void Converse(junto_model* model) {
  const junto_token tokens[] = {1, 2, 3};
  junto_session_desc desc;
  junto_session_desc_init(&desc, sizeof(desc));
  desc.context_tokens = 8;
  junto_sampling sampling;
  junto_sampling_init(&sampling, sizeof(sampling));
  sampling.max_new_tokens = 2;
  junto_session* session = nullptr;
  junto_prompt* prompt = nullptr;
  if (junto_session_create(model, &desc, &session, nullptr) == JUNTO_OK &&
      junto_prompt_create(model, &prompt, nullptr) == JUNTO_OK &&
      junto_prompt_add_tokens(prompt, tokens, 3, nullptr) == JUNTO_OK) {
    junto_session_set_sampling(session, &sampling, nullptr);
    if (junto_session_prefill(session, prompt, nullptr) == JUNTO_OK) {
      junto_session_generate(session, nullptr, nullptr, nullptr);
    }
  }
  junto_prompt_release(prompt);
  junto_session_release(session);
}

void LoadAndRun(const std::vector<uint8_t>& bytes, uint32_t flags, uint64_t expert_budget) {
  test::Host host;
  host.map_shift = 0;
  host.AddFile("model", bytes);
  host.desc()->memory_limit = 64 << 20;
  junto_runtime* runtime = nullptr;
  Require(junto_runtime_create(host.desc(), &runtime, nullptr) == JUNTO_OK);
  junto_model_desc desc;
  junto_model_desc_init(&desc, sizeof(desc));
  desc.flags = flags;
  desc.expert_budget = expert_budget;
  junto_error err;
  junto_error_init(&err, sizeof(err));
  junto_model* model = nullptr;
  const junto_status status = junto_model_load(runtime, "model", 5, &desc, &model, &err);
  Require((status == JUNTO_OK) == (model != nullptr));
  Require(status == JUNTO_OK || err.message_size != 0);
  if (model != nullptr) Converse(model);
  junto_model_release(model);
  junto_runtime_release(runtime);
  Require(host.Faults().empty());
}

}  // namespace

namespace test {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  std::vector<std::vector<uint8_t>> seeds;
  for (const TinyModel& model : {TinyModel::GptOss(8), TinyModel::Llama(8), TinyModel::Chat()}) {
    Host host;
    host.AddFile("model.gguf", model.Bytes());
    junto_runtime* runtime = nullptr;
    Require(junto_runtime_create(host.desc(), &runtime, nullptr) == JUNTO_OK);
    Require(junto_model_pack(runtime, "model.gguf", 10, "packed", 6, nullptr, nullptr) == JUNTO_OK);
    junto_runtime_release(runtime);
    seeds.push_back(host.Bytes("packed"));
  }
  return seeds;
}

}  // namespace test
}  // namespace junto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  bytes.reserve(1);  // data() of nothing is still an address
  junto::LoadAndRun(bytes, 0, 0);
  junto::Sign(&bytes);
  junto::LoadAndRun(bytes, JUNTO_MODEL_NO_MAP, 0);
  junto::LoadAndRun(bytes, 0, 128 << 10);
  return 0;
}
