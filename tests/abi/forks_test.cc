// Forks, ways back, and biases: what a session says depends on its context alone, not on whom it
// shares memory with or how it came there.
#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

constexpr uint32_t kContext = 256;

std::vector<std::vector<uint8_t>> Models() {
  return {TinyModel::Chat().Bytes(),         TinyModel::GptOss().Bytes(),
          TinyModel::Gemma4Shared().Bytes(), TinyModel::Qwen().Bytes(),
          TinyModel::QwenChat().Bytes(),     TinyModel::Mimo().Bytes()};
}

junto_session_desc FamilyDesc(uint32_t forks, uint32_t fork_tokens = 0) {
  junto_session_desc desc = SessionDesc(kContext, 16);
  desc.max_forks = forks;
  desc.fork_tokens = fork_tokens;
  return desc;
}

SessionHandle Fork(const SessionHandle& session) {
  Error err;
  junto_session* fork = nullptr;
  REQUIRE_OK(junto_session_fork(session.get(), &fork, &err));
  return SessionHandle(fork);
}

struct Scene {
  explicit Scene(const std::vector<uint8_t>& bytes)
      : runtime(CreateRuntime(host.desc())), model(LoadBytes(runtime.get(), bytes)) {}

  PromptHandle PromptOf(int count, int from = 0, int other = 11) {
    std::vector<junto_token> tokens;
    for (int i = 0; i < count; ++i) {
      tokens.push_back(static_cast<junto_token>((i < from ? i * 7 : i * other + 5) % 40));
    }
    return TokenPrompt(model, tokens);
  }
  SessionHandle Begin(const PromptHandle& prompt, uint64_t seed, uint32_t forks = 0) {
    SessionHandle session = CreateSession(model, FamilyDesc(forks));
    SetSampling(session, 1.0f, seed, 20);
    Prefill(session, prompt);
    return session;
  }

  Host host;
  RuntimeHandle runtime;
  ModelHandle model;
};

// Runs some steps, each cut short; what was heard is appended.
junto_status Some(const SessionHandle& session, int steps, uint64_t budget, Answer* answer) {
  Error err;
  junto_status status = JUNTO_YIELDED;
  for (int i = 0; i < steps && status == JUNTO_YIELDED; ++i) {
    status = junto_session_step(session.get(), budget, Answer::Take, answer, &err);
  }
  INFO(err.text());
  REQUIRE(status >= 0);
  return status;
}
Answer Rest(const SessionHandle& session, Answer answer) {
  Some(session, 1 << 20, UINT64_MAX, &answer);
  return answer;
}

TEST_CASE("a fork goes on as the session would have, wherever a pass stood") {
  for (const std::vector<uint8_t>& bytes : Models()) {
    Scene scene(bytes);
    const PromptHandle prompt = scene.PromptOf(150);
    const Answer expected = Generate(scene.Begin(prompt, 5));
    for (const int steps : {0, 1, 30, 120, 400, 700, 1 << 20}) {
      const SessionHandle session = scene.Begin(prompt, 5, 2);
      Answer said;
      Some(session, steps, 0, &said);
      const SessionHandle fork = Fork(session);
      const SessionHandle grandchild = Fork(fork);
      INFO("after " << steps << " steps");
      CHECK(UsageOf(fork).position == UsageOf(session).position);
      CHECK(UsageOf(fork).new_tokens == UsageOf(session).new_tokens);
      CHECK(Rest(fork, said) == expected);
      CHECK(Rest(session, said) == expected);
      CHECK(Rest(grandchild, said) == expected);
      CHECK(UsageOf(fork).stop == UsageOf(session).stop);
    }
  }
}

TEST_CASE("forks part, and stay what they would be alone") {
  for (const std::vector<uint8_t>& bytes : Models()) {
    Scene scene(bytes);
    std::mt19937 random(1);
    std::vector<SessionHandle> family;
    family.push_back(scene.Begin(scene.PromptOf(200), 5, 4));
    for (int round = 0; round < 40; ++round) {
      const size_t who = random() % family.size();
      if (family.size() < 5) {
        family.push_back(Fork(family[who]));
      } else if (random() % 3 == 0) {
        family.erase(family.begin() + static_cast<std::ptrdiff_t>(who));  // the first one, too
        continue;
      }
      const SessionHandle& session = family[random() % family.size()];
      const int count = 1 + static_cast<int>(random() % 230);
      const PromptHandle prompt = scene.PromptOf(count, static_cast<int>(random() % 230), 3);
      const uint64_t seed = random() % 5;
      SetSampling(session, 1.0f, seed, 20);
      Prefill(session, prompt);
      Answer answer;
      Some(session, static_cast<int>(random() % 60), 0, &answer);
      if (random() % 2 == 0) continue;
      INFO("round " << round);
      REQUIRE(Rest(session, answer) == Generate(scene.Begin(prompt, seed)));
    }
  }
}

TEST_CASE("forks run beside each other on threads of their own") {
  Scene scene(TinyModel::GptOss().Bytes());
  const SessionHandle session = scene.Begin(scene.PromptOf(180), 3, 3);
  Answer said;
  Some(session, 400, 0, &said);
  const auto seed = [](const SessionHandle& fork, size_t i) {
    SetSampling(fork, 1.0f, 70 + i, 60);
  };
  std::vector<Answer> expected(3, said);
  for (size_t i = 0; i < 3; ++i) {
    const SessionHandle fork = Fork(session);
    seed(fork, i);
    expected[i] = Rest(fork, said);
  }
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::vector<SessionHandle> forks;
    std::vector<Answer> heard(3, said);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 3; ++i) {
      forks.push_back(Fork(session));
      seed(forks[i], i);
    }
    for (size_t i = 0; i < 3; ++i) {
      threads.emplace_back(
          [&, i] { junto_session_generate(forks[i].get(), Answer::Take, &heard[i], nullptr); });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(heard == expected);
  }
}

TEST_CASE("a session goes back to any token and says again what follows") {
  for (const std::vector<uint8_t>& bytes : Models()) {
    Scene scene(bytes);
    const SessionHandle session = scene.Begin(scene.PromptOf(230), 8, 1);
    Generate(session);
    Error err;
    const uint64_t size = UsageOf(session).prompt_tokens + UsageOf(session).new_tokens;
    CHECK_FAILS(junto_session_rewind(session.get(), size + 1, &err), JUNTO_E_INVALID);
    for (const int position : {229, 228, 190, 128, 127, 64, 1}) {
      REQUIRE_OK(junto_session_rewind(session.get(), static_cast<uint64_t>(position), &err));
      const junto_usage usage = UsageOf(session);
      CHECK(usage.prompt_tokens == static_cast<uint64_t>(position));
      CHECK(usage.cached_tokens < usage.prompt_tokens);
      CHECK(usage.stop == JUNTO_STOP_NONE);
      SetSampling(session, 1.0f, 8, 20);
      INFO("back to " << position);
      CHECK(Generate(session) == Generate(scene.Begin(scene.PromptOf(position), 8)));
    }
    REQUIRE_OK(junto_session_rewind(session.get(), 0, &err));
    CHECK(UsageOf(session).position == 0);
    CHECK_FAILS(junto_session_generate(session.get(), nullptr, nullptr, &err), JUNTO_E_INVALID);
    Prefill(session, scene.PromptOf(40));
    CHECK(Generate(session) == Generate(scene.Begin(scene.PromptOf(40), 8)));
  }
}

TEST_CASE("a session without windows or states keeps all there is when it goes back") {
  Scene scene(TinyModel::Chat().Bytes());
  const SessionHandle session = scene.Begin(scene.PromptOf(200), 8);
  Generate(session);
  Error err;
  REQUIRE_OK(junto_session_rewind(session.get(), 150, &err));
  CHECK(UsageOf(session).cached_tokens == 149);
}

TEST_CASE("the room of a family is planned, taken at once, and given back by the last of it") {
  for (const std::vector<uint8_t>& bytes : Models()) {
    Host host;
    const RuntimeHandle runtime = CreateRuntime(host.desc());
    const ModelHandle model = LoadBytes(runtime.get(), bytes);
    Error err;
    const junto_session_desc desc = FamilyDesc(3, 100);
    std::array<uint64_t, 4> before = {};
    for (const junto_tag tag : {JUNTO_TAG_OBJECT, JUNTO_TAG_KV, JUNTO_TAG_SCRATCH}) {
      before[tag] = host.current(tag);
    }
    std::vector<SessionHandle> family;
    family.push_back(CreateSession(model, desc));
    const uint64_t pages = host.current(JUNTO_TAG_KV);
    const uint64_t scratch = host.current(JUNTO_TAG_SCRATCH);
    for (int i = 0; i < 3; ++i) family.push_back(Fork(family[static_cast<size_t>(i)]));
    CHECK(host.current(JUNTO_TAG_KV) == pages);
    CHECK(host.current(JUNTO_TAG_SCRATCH) == scratch);
    for (const junto_tag tag : {JUNTO_TAG_OBJECT, JUNTO_TAG_KV, JUNTO_TAG_SCRATCH}) {
      uint64_t planned = 0;
      REQUIRE_OK(junto_session_plan(model.get(), &desc, tag, &planned, &err));
      CHECK(host.current(tag) - before[tag] == planned);
    }
    junto_session* more = nullptr;
    CHECK_FAILS(junto_session_fork(family[2].get(), &more, &err), JUNTO_E_MEMORY);
    CHECK(more == nullptr);
    family.erase(family.begin() + 1);
    family.push_back(Fork(family[2]));
    family.erase(family.begin());
    while (!family.empty()) family.pop_back();
    for (const junto_tag tag : {JUNTO_TAG_OBJECT, JUNTO_TAG_KV, JUNTO_TAG_SCRATCH}) {
      CHECK(host.current(tag) == before[tag]);
    }
  }
}

TEST_CASE("forks with few tokens of their own take few pages, and say so when they are used up") {
  Scene scene(TinyModel::Llama().Bytes());
  Error err;
  uint64_t sizes[3] = {};
  const uint32_t own[3] = {1, 64, 0};
  for (int i = 0; i < 3; ++i) {
    const junto_session_desc desc = FamilyDesc(4, own[i]);
    REQUIRE_OK(junto_session_plan(scene.model.get(), &desc, JUNTO_TAG_KV, &sizes[i], &err));
  }
  CHECK(sizes[0] == sizes[1]);  // a page to part in, and one more
  CHECK(sizes[1] * (4 * 5) == sizes[2] * (4 + 4 * 2));

  const SessionHandle session = CreateSession(scene.model, FamilyDesc(1, 64));
  SetSampling(session, 1.0f, 4, 20);
  Prefill(session, scene.PromptOf(230));
  const Answer expected = Generate(scene.Begin(scene.PromptOf(230), 4));
  CHECK(Generate(session) == expected);
  SessionHandle fork = Fork(session);
  Prefill(fork, scene.PromptOf(220, 10, 3));  // hardly anything is shared any more
  Answer heard;
  CHECK_FAILS(junto_session_generate(fork.get(), Answer::Take, &heard, &err), JUNTO_E_MEMORY);
  CHECK_FAILS(junto_session_generate(fork.get(), Answer::Take, &heard, &err), JUNTO_E_MEMORY);
  CHECK(heard.tokens.empty());

  SECTION("in a batch it waits, and the others go on") {
    junto_batch* created = nullptr;
    REQUIRE_OK(junto_batch_create(scene.model.get(), 2, 16, &created, &err));
    const BatchHandle batch(created);
    Prefill(session, scene.PromptOf(230));
    REQUIRE_OK(junto_batch_add(batch.get(), fork.get(), &err));
    REQUIRE_OK(junto_batch_add(batch.get(), session.get(), &err));
    junto_status status = JUNTO_YIELDED;
    while (status == JUNTO_YIELDED) {
      status = junto_batch_step(batch.get(), UINT64_MAX, Answer::Take, &heard, &err);
    }
    CHECK(status == JUNTO_E_MEMORY);
    CHECK(heard == expected);
  }
  SECTION("a release makes room") { CHECK(UsageOf(session).new_tokens == 20); }
  Error none;
  REQUIRE(junto_session_rewind(session.get(), 0, &none) == JUNTO_OK);
  SetSampling(fork, 1.0f, 4, 20);
  CHECK(Generate(fork) == Generate(scene.Begin(scene.PromptOf(220, 10, 3), 4)));
}

TEST_CASE("pending text, stops and biases are copied, and then each has its own") {
  Scene scene(TinyModel::Verbose().Bytes());
  Error err;
  const SessionHandle session = CreateSession(scene.model, FamilyDesc(2));
  SetSampling(session, 0.0f, 0, 40);
  Prefill(session, TokenPrompt(scene.model, Tokenize(scene.model, "!")));
  CHECK(junto_session_generate(session.get(), nullptr, nullptr, &err) == JUNTO_YIELDED);
  const auto read = [](const SessionHandle& from) {
    std::string text(8192, '\0');
    size_t size = 0;
    REQUIRE(junto_session_read(from.get(), text.data(), text.size(), &size) == JUNTO_OK);
    return text.substr(0, size);
  };
  const SessionHandle fork = Fork(session);
  const std::string waiting = read(fork);
  CHECK(waiting.size() > 4096);
  CHECK(read(fork).empty());
  CHECK(read(session) == waiting);
}

TEST_CASE("a bias moves a token's logit, bans it, and is taken back") {
  Scene scene(TinyModel::Chat().Bytes());
  const PromptHandle prompt = scene.PromptOf(30);
  Error err;
  const SessionHandle session = CreateSession(scene.model, FamilyDesc(1));
  SetSampling(session, 0.0f, 0, 12);
  Prefill(session, prompt);
  const Answer plain = Generate(session);
  const auto set = [&](const std::vector<junto_token>& tokens, const std::vector<float>& biases) {
    REQUIRE_OK(
        junto_session_set_bias(session.get(), tokens.data(), biases.data(), tokens.size(), &err));
    Prefill(session, prompt);
  };
  set({100}, {1e6f});
  const SessionHandle fork = Fork(session);
  const Answer forced = Generate(session);
  CHECK(forced.tokens == std::vector<junto_token>(12, 100));
  CHECK(Generate(fork) == forced);
  set({plain.tokens[0]}, {-INFINITY});
  const Answer without = Generate(session);
  CHECK(std::count(without.tokens.begin(), without.tokens.end(), plain.tokens[0]) == 0);
  set({}, {});
  CHECK(Generate(session) == plain);

  junto_token token = 828;
  float bias = 1.0f;
  const auto refused = [&](size_t count) {
    return junto_session_set_bias(session.get(), &token, &bias, count, &err);
  };
  CHECK_FAILS(refused(1), JUNTO_E_INVALID);
  token = -1;
  CHECK_FAILS(refused(1), JUNTO_E_INVALID);
  token = 0;
  for (const float bad : {INFINITY, NAN}) {
    bias = bad;
    CHECK_FAILS(refused(1), JUNTO_E_INVALID);
  }
  CHECK_FAILS(refused(1025), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_set_bias(session.get(), nullptr, &bias, 1, &err), JUNTO_E_INVALID);
  Prefill(session, prompt);
  CHECK(Generate(session) == plain);
}

}  // namespace
}  // namespace junto
