// Any bytes as a snapshot: restored as they are, and again with the checksum set right, so that
// what lies behind it is reached; what is restored must run, and can be saved and forked.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../support/host.h"
#include "../support/tiny_model.h"
#include "junto/runtime/snapshot.h"
#include "seeds.h"

namespace junto {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

// One model of each kind of cache, for all inputs.
class Stage {
 public:
  static constexpr int kModels = 3;

  Stage() {
    const test::TinyModel sources[kModels] = {test::TinyModel::Llama(8), test::TinyModel::GptOss(8),
                                              test::TinyModel::Qwen(8)};
    host_.desc()->memory_limit = 256 << 20;
    Require(junto_runtime_create(host_.desc(), &runtime_, nullptr) == JUNTO_OK);
    for (int i = 0; i < kModels; ++i) {
      const std::vector<uint8_t> bytes = sources[i].Bytes();
      Require(junto_model_load_memory(runtime_, bytes.data(), bytes.size(), nullptr, &models_[i],
                                      nullptr) == JUNTO_OK);
    }
  }
  ~Stage() {
    for (junto_model* model : models_) junto_model_release(model);
    junto_runtime_release(runtime_);
    Require(host_.Faults().empty());
  }

  junto_session* Begin(int model) {
    junto_session_desc desc;
    junto_session_desc_init(&desc, sizeof(desc));
    desc.context_tokens = 192;
    desc.prefill_chunk = 16;
    desc.max_forks = 1;
    desc.fork_tokens = 64;
    junto_sampling sampling;
    junto_sampling_init(&sampling, sizeof(sampling));
    sampling.max_new_tokens = 4;
    sampling.temperature = 1.0f;
    junto_session* session = nullptr;
    Require(junto_session_create(models_[model], &desc, &session, nullptr) == JUNTO_OK);
    Require(junto_session_set_sampling(session, &sampling, nullptr) == JUNTO_OK);
    Require(junto_session_add_stop(session, "ab", 2, nullptr) == JUNTO_OK);
    return session;
  }

  void Feed(int model, junto_session* session, int count) {
    std::vector<junto_token> tokens;
    for (int i = 0; i < count; ++i) tokens.push_back(i * 5 % 8);
    junto_prompt* prompt = nullptr;
    Require(junto_prompt_create(models_[model], &prompt, nullptr) == JUNTO_OK);
    Require(junto_prompt_add_tokens(prompt, tokens.data(), tokens.size(), nullptr) == JUNTO_OK);
    Require(junto_session_prefill(session, prompt, nullptr) == JUNTO_OK);
    junto_prompt_release(prompt);
  }

  // A snapshot in the middle of an answer to `count` tokens.
  std::vector<uint8_t> Seed(int model, int count) {
    junto_session* session = Begin(model);
    const junto_token token = 3;
    const float bias = 0.5f;
    Require(junto_session_set_bias(session, &token, &bias, 1, nullptr) == JUNTO_OK);
    Feed(model, session, count);
    for (int i = 0; i < 40 * count; ++i) {
      (void)junto_session_step(session, 0, nullptr, nullptr, nullptr);
    }
    std::vector<uint8_t> bytes = Save(session);
    junto_session_release(session);
    return bytes;
  }

  static std::vector<uint8_t> Save(junto_session* session) {
    size_t size = 0;
    Require(junto_session_snapshot(session, nullptr, 0, &size, nullptr) == JUNTO_OK);
    std::vector<uint8_t> bytes(size);
    Require(junto_session_snapshot(session, bytes.data(), size, &size, nullptr) == JUNTO_OK);
    return bytes;
  }

  void Try(const std::vector<uint8_t>& bytes) {
    for (int model = 0; model < kModels; ++model) {
      junto_session* session = Begin(model);
      junto_error err;
      junto_error_init(&err, sizeof(err));
      const std::vector<uint8_t> before = Save(session);
      const junto_status status = junto_session_restore(session, bytes.data(), bytes.size(), &err);
      if (status == JUNTO_OK) {
        Run(model, session);
      } else {
        Require(status < 0 && err.message_size != 0);
        Require(Save(session) == before);
      }
      junto_session_release(session);
    }
  }

 private:
  void Run(int model, junto_session* session) {
    const std::vector<uint8_t> saved = Save(session);
    Require(junto_session_restore(session, saved.data(), saved.size(), nullptr) == JUNTO_OK);
    Require(Save(session) == saved);
    junto_session* fork = nullptr;
    Require(junto_session_fork(session, &fork, nullptr) == JUNTO_OK);
    for (junto_session* each : {fork, session}) {
      char text[64];
      size_t size = 0;
      for (int i = 0; i < 300; ++i) {
        (void)junto_session_step(each, 0, nullptr, nullptr, nullptr);
        (void)junto_session_read(each, text, sizeof(text), &size);
      }
      Feed(model, each, 150);
      (void)junto_session_generate(each, nullptr, nullptr, nullptr);
      (void)junto_session_rewind(each, 70, nullptr);
      (void)junto_session_generate(each, nullptr, nullptr, nullptr);
    }
    junto_session_release(fork);
  }

  test::Host host_;
  junto_runtime* runtime_ = nullptr;
  junto_model* models_[kModels] = {};
};

Stage& TheStage() {
  static Stage stage;
  return stage;
}

// The checksum and length set right.
void Sign(std::vector<uint8_t>* bytes) {
  snapshot::Header header;
  if (bytes->size() < sizeof(header)) return;
  std::memcpy(&header, bytes->data(), sizeof(header));
  header.bytes = bytes->size();
  header.checksum =
      snapshot::ChecksumOf(header, bytes->data() + sizeof(header), bytes->size() - sizeof(header));
  std::memcpy(bytes->data(), &header, sizeof(header));
}

}  // namespace

namespace test {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  std::vector<std::vector<uint8_t>> seeds;
  for (int model = 0; model < Stage::kModels; ++model) {
    for (const int count : {1, 20, 70}) seeds.push_back(TheStage().Seed(model, count));
  }
  return seeds;
}

}  // namespace test
}  // namespace junto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  bytes.reserve(1);  // data() of nothing is still an address
  junto::TheStage().Try(bytes);
  junto::Sign(&bytes);
  junto::TheStage().Try(bytes);
  return 0;
}
