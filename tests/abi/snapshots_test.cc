// Snapshots: a session goes on, bit for bit, in another place and time, and nothing that is not
// exactly a snapshot of it is taken for one.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "junto/runtime/snapshot.h"
#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

using Bytes = std::vector<uint8_t>;

const std::vector<Bytes>& Models() {
  static const std::vector<Bytes> models = {
      TinyModel::Chat().Bytes(),     TinyModel::GptOss().Bytes(), TinyModel::Gemma4Shared().Bytes(),
      TinyModel::QwenChat().Bytes(), TinyModel::Mimo().Bytes(),   ParityModel("gpt_oss_mxfp4")};
  return models;
}

// A process of its own, as far as the library can tell.
struct Process {
  explicit Process(const Bytes& bytes, uint32_t workers = 1, uint32_t flags = 0) {
    host.SetWorkers(workers, workers == 1 ? Host::Order::kSerial : Host::Order::kShuffled);
    host.fill = static_cast<uint8_t>(0x11 * workers);
    runtime = CreateRuntime(host.desc());
    model = LoadBytes(runtime.get(), bytes, flags);
  }
  PromptHandle PromptOf(int count) {
    std::vector<junto_token> tokens;
    for (int i = 0; i < count; ++i) tokens.push_back((i * 11 + 5) % 40);
    return TokenPrompt(model, tokens);
  }
  SessionHandle Create(uint32_t chunk = 16, uint32_t context = 256, junto_dtype type = JUNTO_F16) {
    return CreateSession(model, SessionDesc(context, chunk, type));
  }
  SessionHandle Begin(int tokens, uint32_t chunk = 16) {
    SessionHandle session = Create(chunk);
    SetSampling(session, 1.0f, 9, 20);
    Prefill(session, PromptOf(tokens));
    return session;
  }

  Host host;
  RuntimeHandle runtime;
  ModelHandle model;
};

Bytes Snapshot(const SessionHandle& session) {
  Error err;
  size_t size = 0;
  REQUIRE_OK(junto_session_snapshot(session.get(), nullptr, 0, &size, &err));
  Bytes bytes(size + 1, 0xA5);
  size_t again = 0;
  CHECK_FAILS(junto_session_snapshot(session.get(), bytes.data(), size - 1, &again, &err),
              JUNTO_E_SHORT_BUFFER);
  CHECK(again == size);
  CHECK(bytes == Bytes(size + 1, 0xA5));
  REQUIRE_OK(junto_session_snapshot(session.get(), bytes.data(), size, &again, &err));
  CHECK(again == size);
  CHECK(bytes.back() == 0xA5);
  bytes.pop_back();
  return bytes;
}

void Restore(const SessionHandle& session, const Bytes& bytes) {
  Error err;
  REQUIRE_OK(junto_session_restore(session.get(), bytes.data(), bytes.size(), &err));
}

void Some(const SessionHandle& session, int steps, Answer* answer) {
  Error err;
  junto_status status = JUNTO_YIELDED;
  for (int i = 0; i < steps && status == JUNTO_YIELDED; ++i) {
    status = junto_session_step(session.get(), 0, Answer::Take, answer, &err);
  }
  INFO(err.text());
  REQUIRE(status >= 0);
}
Answer Rest(const SessionHandle& session, Answer answer) {
  Some(session, 1 << 20, &answer);
  return answer;
}

TEST_CASE("a session goes on elsewhere, bit for bit, wherever a pass stood") {
  for (const Bytes& bytes : Models()) {
    Process here(bytes);
    Process there(bytes, 3);
    const Answer expected = Generate(here.Begin(170));
    for (const int steps : {0, 3, 100, 500, 900, 1200, 1 << 20}) {
      INFO("after " << steps << " steps");
      const SessionHandle session = here.Begin(170);
      Answer said;
      Some(session, steps, &said);
      const Bytes saved = Snapshot(session);
      CHECK(Snapshot(session) == saved);
      for (const uint32_t chunk : {16u, 5u, 64u}) {
        const SessionHandle other = there.Create(chunk);
        Prefill(other, there.PromptOf(30));  // which is forgotten
        Answer some;
        Some(other, 50, &some);
        Restore(other, saved);
        CHECK(Snapshot(other) == saved);
        CHECK(UsageOf(other).position == UsageOf(session).position);
        CHECK(UsageOf(other).prompt_tokens == 170);
        CHECK(UsageOf(other).stop == UsageOf(session).stop);
        CHECK(Rest(other, said) == expected);
        // And on, as the one that was saved would.
        Prefill(other, there.PromptOf(190));
        CHECK(Generate(other) == Generate(here.Begin(190)));
        Prefill(other, there.PromptOf(10));
        CHECK(Generate(other) == Generate(here.Begin(10)));
      }
      CHECK(Rest(session, said) == expected);
    }
  }
}

TEST_CASE("what a prompt shares is kept across a snapshot") {
  for (const Bytes& bytes : Models()) {
    Process here(bytes);
    const SessionHandle session = here.Begin(170);
    Generate(session);
    const SessionHandle other = here.Create();
    Restore(other, Snapshot(session));
    for (const int count : {189, 180, 100, 171}) {
      const SessionHandle fork = here.Create();
      Restore(fork, Snapshot(session));
      Prefill(fork, here.PromptOf(count));
      Prefill(session, here.PromptOf(count));
      CHECK(UsageOf(fork).cached_tokens == UsageOf(session).cached_tokens);
      CHECK(Generate(fork) == Generate(session));
    }
  }
}

TEST_CASE("sampling, stops, biases and pending text are part of a snapshot") {
  Process here(TinyModel::Chat().Bytes());
  Error err;
  const SessionHandle session = here.Create();
  junto_sampling sampling;
  junto_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 1.3f;
  sampling.seed = 77;
  sampling.top_k = 300;
  sampling.top_p = 0.99f;
  sampling.min_p = 0.0001f;
  sampling.repeat_penalty = 1.2f;
  sampling.presence_penalty = 0.3f;
  sampling.frequency_penalty = 0.1f;
  sampling.penalty_window = 33;
  sampling.max_new_tokens = 40;
  REQUIRE_OK(junto_session_set_sampling(session.get(), &sampling, &err));
  const junto_token tokens[] = {5, 100};
  const float biases[] = {-INFINITY, 2.5f};
  REQUIRE_OK(junto_session_set_bias(session.get(), tokens, biases, 2, &err));
  for (const char* stop : {"never at all", "e", "\xC3\xA9"}) {
    REQUIRE_OK(junto_session_add_stop(session.get(), stop, std::strlen(stop), &err));
  }
  const auto drain = [](const SessionHandle& from) {
    char text[4096];
    size_t size = 0;
    REQUIRE(junto_session_read(from.get(), text, sizeof(text), &size) == JUNTO_OK);
    return std::string(text, size);
  };
  const auto finish = [&](const SessionHandle& from) {
    while (junto_session_step(from.get(), 0, nullptr, nullptr, nullptr) == JUNTO_YIELDED) {
    }
    return drain(from);
  };
  size_t longest = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    sampling.seed = seed;
    REQUIRE_OK(junto_session_set_sampling(session.get(), &sampling, &err));
    Prefill(session, here.PromptOf(20));
    for (int i = 0; i < 200; ++i) {
      (void)junto_session_step(session.get(), 0, nullptr, nullptr, &err);
    }
    const SessionHandle other = here.Create();
    Restore(other, Snapshot(session));
    const std::string text = finish(session);
    CHECK(finish(other) == text);
    CHECK(UsageOf(other).stop == UsageOf(session).stop);
    longest = std::max(longest, text.size());
    Prefill(session, here.PromptOf(25));
    Prefill(other, here.PromptOf(25));
    CHECK(finish(other) == finish(session));
  }
  CHECK(longest > 10);
}

TEST_CASE("a snapshot of something else is a mismatch") {
  Process here(TinyModel::GptOss().Bytes());
  const SessionHandle session = here.Begin(40);
  const Answer expected = Generate(here.Begin(40));
  const auto refuse = [&](const Bytes& bytes, junto_status status) {
    Error err;
    CHECK_FAILS(junto_session_restore(session.get(), bytes.data(), bytes.size(), &err), status);
  };
  const auto saved = [](Process* process, const SessionHandle& other) {
    SetSampling(other, 1.0f, 9, 20);
    Prefill(other, process->PromptOf(40));
    Generate(other);
    return Snapshot(other);
  };
  Process mixtral(TinyModel::Mixtral().Bytes());
  Process truncated(TinyModel::GptOss().Bytes(), 1, JUNTO_MODEL_YARN_TRUNCATE);
  refuse(saved(&mixtral, mixtral.Create()), JUNTO_E_MISMATCH);
  refuse(saved(&truncated, truncated.Create()), JUNTO_E_MISMATCH);
  refuse(saved(&here, here.Create(16, 255)), JUNTO_E_MISMATCH);
  refuse(saved(&here, here.Create(16, 256, JUNTO_F32)), JUNTO_E_MISMATCH);
  refuse(saved(&here, here.Create(16, 256, JUNTO_BF16)), JUNTO_E_MISMATCH);
  Bytes later = saved(&here, here.Create());
  later[offsetof(snapshot::Header, version)] += 1;
  refuse(later, JUNTO_E_MISMATCH);
  CHECK(Generate(session) == expected);
}

TEST_CASE("a packed model takes the snapshots of the file it was made of") {
  const Bytes bytes = TinyModel::Qwen().Bytes();
  Process here(bytes);
  Host host;
  host.map_shift = 0;
  host.AddFile("model.gguf", bytes);
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  Error err;
  REQUIRE_OK(junto_model_pack(runtime.get(), "model.gguf", 10, "packed", 6, nullptr, &err));
  junto_model* loaded = nullptr;
  REQUIRE_OK(junto_model_load(runtime.get(), "packed", 6, nullptr, &loaded, &err));
  const ModelHandle packed(loaded);
  const SessionHandle session = here.Begin(60);
  Answer said;
  Some(session, 300, &said);
  const SessionHandle other = CreateSession(packed, SessionDesc(256, 16));
  Restore(other, Snapshot(session));
  CHECK(Rest(other, said) == Rest(session, said));
}

TEST_CASE("any damage is noticed and changes nothing") {
  for (const Bytes& bytes : {TinyModel::Chat().Bytes(), TinyModel::QwenChat().Bytes()}) {
    Process here(bytes);
    const SessionHandle session = here.Begin(40);
    Answer said;
    Some(session, 200, &said);
    const Bytes saved = Snapshot(session);
    const SessionHandle other = here.Begin(30);
    const Answer expected = Generate(here.Begin(30));
    Error err;
    const auto fails = [&](const Bytes& damaged) {
      return junto_session_restore(other.get(), damaged.data(), damaged.size(), &err) < 0;
    };
    std::mt19937 random(3);
    for (int i = 0; i < 3000; ++i) {
      Bytes damaged = saved;
      damaged[i < 200 ? static_cast<size_t>(i) : random() % saved.size()] ^=
          static_cast<uint8_t>(1u << random() % 8);
      REQUIRE(fails(damaged));
    }
    for (int i = 0; i < 200; ++i) {
      REQUIRE(fails(Bytes(saved.begin(), saved.begin() + random() % saved.size())));
    }
    Bytes longer = saved;
    longer.push_back(0);
    REQUIRE(fails(longer));
    REQUIRE(fails(Bytes(1)));
    CHECK_FAILS(junto_session_restore(other.get(), nullptr, 0, &err), JUNTO_E_INVALID);
    CHECK(Generate(other) == expected);
    Restore(other, saved);
    CHECK(Rest(other, said) == Rest(session, said));
  }
}

TEST_CASE("pages that forks hold are missed before anything changes") {
  Process here(TinyModel::Llama().Bytes());
  junto_session_desc desc = SessionDesc(256, 16);
  desc.max_forks = 1;
  desc.fork_tokens = 1;
  const SessionHandle session = CreateSession(here.model, desc);
  SetSampling(session, 1.0f, 9, 20);
  Prefill(session, here.PromptOf(230));
  Generate(session);
  const Bytes saved = Snapshot(session);
  Error err;
  junto_session* created = nullptr;
  REQUIRE_OK(junto_session_fork(session.get(), &created, &err));
  const SessionHandle fork(created);
  CHECK_FAILS(junto_session_restore(fork.get(), saved.data(), saved.size(), &err), JUNTO_E_MEMORY);
  CHECK(Snapshot(fork) == saved);
  REQUIRE_OK(junto_session_rewind(session.get(), 0, &err));
  Restore(fork, saved);
  CHECK(Snapshot(fork) == saved);
}

}  // namespace
}  // namespace junto
