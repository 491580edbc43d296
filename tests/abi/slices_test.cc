// Time slices: however a session is cut, cancelled and taken up again, by whatever clock and on
// however many threads, it says the same.
#include <random>
#include <string>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/sanitized.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

using Bytes = std::vector<uint8_t>;

const std::vector<Bytes>& Models() {
  static const std::vector<Bytes> models = {
      TinyModel::Chat().Bytes(),         TinyModel::GptOss().Bytes(), TinyModel::Gemma4().Bytes(),
      TinyModel::Gemma4Shared().Bytes(), TinyModel::Qwen().Bytes(),   TinyModel::Mimo().Bytes()};
  return models;
}

struct Stage {
  explicit Stage(const Bytes& bytes, uint32_t workers = 1)
      : runtime((host.SetWorkers(workers, Host::Order::kShuffled), CreateRuntime(host.desc()))),
        model(LoadBytes(runtime.get(), bytes)) {}

  PromptHandle PromptOf(int count) {
    std::vector<junto_token> tokens;
    for (int i = 0; i < count; ++i) tokens.push_back((i * 11 + 5) % 40);
    return TokenPrompt(model, tokens);
  }
  SessionHandle Create(uint32_t chunk) {
    SessionHandle session = CreateSession(model, SessionDesc(256, chunk));
    SetSampling(session, 1.0f, 21, 12);
    return session;
  }

  Host host;
  RuntimeHandle runtime;
  ModelHandle model;
};

TEST_CASE("a thousand random slicings, cancels and resumes change nothing") {
  const int rounds = JUNTO_TEST_SANITIZED ? 30 : 170;
  for (const Bytes& bytes : Models()) {
    Stage stage(bytes, 3);
    std::mt19937 random(4);
    // Chunks of more rows than one part of a tile, and of fewer.
    const SessionHandle sessions[] = {stage.Create(150), stage.Create(16)};
    std::vector<Answer> expected(256);
    for (int round = 0; round < rounds; ++round) {
      const SessionHandle& session = sessions[random() % 2];
      const int count = 1 + static_cast<int>(random() % 4 * 60 + random() % 10);
      Answer& right = expected[static_cast<size_t>(count)];
      if (right.tokens.empty()) {
        const SessionHandle whole = stage.Create(200);
        Prefill(whole, stage.PromptOf(count));
        right = Generate(whole);
      }
      Prefill(session, stage.PromptOf(count));
      Answer answer;
      junto_status status = JUNTO_YIELDED;
      Error err;
      while (status == JUNTO_YIELDED) {
        stage.host.tick = random() % 3 == 0 ? random() % 1000 : 1 + random() % 5;
        const uint64_t budget = random() % 40 == 0 ? UINT64_MAX : random() % 3000;
        if (random() % 300 == 0) junto_session_cancel(session.get());
        status = junto_session_step(session.get(), budget, Answer::Take, &answer, &err);
      }
      INFO("round " << round << ", " << count << " tokens: " << err.text());
      if (status == JUNTO_CANCELLED) {
        REQUIRE(right.text.find(answer.text) == 0);
        Prefill(session, stage.PromptOf(count));
        answer = Generate(session);
      } else {
        REQUIRE(status == JUNTO_DONE);
      }
      REQUIRE(answer == right);
    }
  }
}

TEST_CASE("a budget of nothing always gets somewhere, one of everything gets all") {
  Stage stage(TinyModel::GptOss().Bytes(), 2);
  const SessionHandle session = stage.Create(100);
  for (const uint64_t tick : {0, 1, 1000, 1 << 30}) {
    stage.host.tick = tick;
    Prefill(session, stage.PromptOf(1));
    Prefill(session, stage.PromptOf(200));
    Error err;
    Answer answer;
    int steps = 0;
    junto_status status = JUNTO_YIELDED;
    for (; status == JUNTO_YIELDED; ++steps) {
      status = junto_session_step(session.get(), 0, Answer::Take, &answer, &err);
    }
    CHECK(status == JUNTO_DONE);
    CHECK(steps > 100);
    CHECK(steps < 100000);
  }
}

TEST_CASE("once it knows its pace a session stops before a budget ends, not behind it") {
  Stage stage(TinyModel::Chat().Bytes(), 1);
  const SessionHandle session = stage.Create(16);
  stage.host.tick = 100;
  Prefill(session, stage.PromptOf(200));
  Error err;
  Answer answer;
  junto_status status = JUNTO_YIELDED;
  while (status == JUNTO_YIELDED) {
    status = junto_session_step(session.get(), 20000, Answer::Take, &answer, &err);
  }
  CHECK(status == JUNTO_DONE);
  // Looks at the clock are all that takes time here, and some come after the last piece.
  CHECK(UsageOf(session).overshoot_max_ns < 1000);
}

// Every task takes 10 us on the host's clock, and one of 97 takes 4 ms, as when another program is
// given the processor meanwhile.
struct Interrupted {
  static junto_status JUNTO_CALL ParallelFor(void* user, uint32_t count, junto_task_fn fn,
                                             void* task) {
    auto* self = static_cast<Interrupted*>(user);
    for (uint32_t i = 0; i < count; ++i) {
      fn(task, i, 0);
      ++self->tasks;
      self->host.now += self->tasks % 97 == 0 ? 4000000 : 10000;
    }
    return JUNTO_OK;
  }
  Host host;
  uint64_t tasks = 0;
};

TEST_CASE("what holds a slice up does not cut the slices after it short") {
  Interrupted busy;
  busy.host.executor()->parallel_for = Interrupted::ParallelFor;
  busy.host.executor()->user = &busy;
  busy.host.tick = 0;
  const RuntimeHandle runtime = CreateRuntime(busy.host.desc());
  const ModelHandle model = LoadBytes(runtime.get(), TinyModel::Chat().Bytes());
  const SessionHandle session = CreateSession(model, SessionDesc(256, 150));
  Prefill(session, TokenPrompt(model, std::vector<junto_token>(200, 3)));
  Error err;
  Answer answer;
  uint64_t slices = 0;
  junto_status status = JUNTO_YIELDED;
  for (; status == JUNTO_YIELDED; ++slices) {
    status = junto_session_step(session.get(), 500000, Answer::Take, &answer, &err);
  }
  CHECK(status == JUNTO_DONE);
  const uint64_t held_up = busy.tasks / 97;
  const uint64_t full = busy.tasks * 10000 / 500000;
  INFO(slices << " slices of " << busy.tasks << " tasks");
  CHECK(full > 20);
  CHECK(slices < 2 * (full + held_up));
}

TEST_CASE("real clocks and threads give the same text") {
  for (const Bytes& bytes : {TinyModel::Chat().Bytes(), TinyModel::Qwen().Bytes()}) {
    junto_runtime_desc desc;
    junto_runtime_desc_init(&desc, sizeof(desc));
    desc.max_threads = 2;
    const RuntimeHandle runtime = CreateRuntime(&desc);
    const ModelHandle model = LoadBytes(runtime.get(), bytes);
    std::vector<junto_token> tokens(200, 3);
    const PromptHandle prompt = TokenPrompt(model, tokens);
    const SessionHandle session = CreateSession(model, SessionDesc(256, 100));
    SetSampling(session, 1.0f, 2, 30);
    Prefill(session, prompt);
    const Answer expected = Generate(session);
    for (const uint64_t budget : {1000, 20000, 300000}) {
      const SessionHandle sliced = CreateSession(model, SessionDesc(256, 100));
      SetSampling(sliced, 1.0f, 2, 30);
      Prefill(sliced, prompt);
      Error err;
      Answer answer;
      junto_status status = JUNTO_YIELDED;
      while (status == JUNTO_YIELDED) {
        status = junto_session_step(sliced.get(), budget, Answer::Take, &answer, &err);
      }
      CHECK(status == JUNTO_DONE);
      CHECK(answer == expected);
    }
  }
}

// Cancels a session when the host is asked to run its n-th job, on the thread that steps.
struct Canceller {
  static junto_status JUNTO_CALL ParallelFor(void* user, uint32_t count, junto_task_fn fn,
                                             void* task) {
    auto* self = static_cast<Canceller*>(user);
    if (self->left-- == 0) junto_session_cancel(self->session);
    for (uint32_t i = 0; i < count; ++i) {
      ++self->tasks_after;
      if (self->left >= 0) self->tasks_after = 0;
      fn(task, i, 0);
    }
    return JUNTO_OK;
  }
  junto_session* session = nullptr;
  int64_t left = INT64_MAX;
  uint64_t tasks_after = 0;
};

TEST_CASE("a cancel is observed before another job begins, and the session is as it was") {
  Host host;
  Canceller canceller;
  host.executor()->parallel_for = Canceller::ParallelFor;
  host.executor()->user = &canceller;
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  const ModelHandle model = LoadBytes(runtime.get(), TinyModel::Qwen().Bytes());
  const SessionHandle session = CreateSession(model, SessionDesc(256, 150));
  SetSampling(session, 1.0f, 2, 6);
  std::vector<junto_token> tokens(200, 3);
  for (int i = 0; i < 200; ++i) tokens[static_cast<size_t>(i)] = i % 37;
  const PromptHandle prompt = TokenPrompt(model, tokens);
  Prefill(session, prompt);
  const Answer expected = Generate(session);
  canceller.session = session.get();
  int cancelled = 0;
  for (int at = 0; at < 400; at += 7) {
    Error err;
    REQUIRE_OK(junto_session_rewind(session.get(), 0, &err));
    Prefill(session, prompt);
    canceller.left = at;
    Answer answer;
    const junto_status status = junto_session_generate(session.get(), Answer::Take, &answer, &err);
    const bool reached = canceller.left < 0;
    CHECK(status == (reached ? JUNTO_CANCELLED : JUNTO_DONE));
    CHECK((!reached || canceller.left == -1));  // no job after the one in which it happened
    cancelled += reached;
    canceller.left = INT64_MAX;
    Prefill(session, prompt);
    REQUIRE(Generate(session) == expected);
  }
  CHECK(cancelled > 20);
}

TEST_CASE("a cancel that comes late waits for the next step, whether or not that has work") {
  Stage stage(TinyModel::Chat().Bytes());
  const SessionHandle session = stage.Create(16);
  Prefill(session, stage.PromptOf(20));
  const Answer expected = Generate(session);
  Error err;
  junto_session_cancel(session.get());
  SECTION("of nothing, which leaves the reason of the end as it was") {
    CHECK(junto_session_step(session.get(), 0, nullptr, nullptr, &err) == JUNTO_CANCELLED);
    CHECK(UsageOf(session).stop == JUNTO_STOP_LENGTH);
    CHECK(junto_session_step(session.get(), 0, nullptr, nullptr, &err) == JUNTO_DONE);
  }
  SECTION("of the next prompt") {
    Prefill(session, stage.PromptOf(20));
    CHECK(junto_session_step(session.get(), 0, nullptr, nullptr, &err) == JUNTO_CANCELLED);
    CHECK(UsageOf(session).stop == JUNTO_STOP_CANCELLED);
  }
  Prefill(session, stage.PromptOf(20));
  CHECK(Generate(session) == expected);
}

TEST_CASE("in a batch a cancelled session ends between two slices of a pass") {
  for (const Bytes& bytes : Models()) {
    Stage stage(bytes, 2);
    Error err;
    junto_batch* created = nullptr;
    REQUIRE_OK(junto_batch_create(stage.model.get(), 2, 64, &created, &err));
    const BatchHandle batch(created);
    const SessionHandle victim = stage.Create(64);
    const SessionHandle other = stage.Create(64);
    Prefill(other, stage.PromptOf(100));
    const Answer expected = Generate(other);
    for (int steps = 0; steps < 300; steps += 23) {
      REQUIRE_OK(junto_session_rewind(victim.get(), 0, &err));
      REQUIRE_OK(junto_session_rewind(other.get(), 0, &err));
      Prefill(victim, stage.PromptOf(150));
      Prefill(other, stage.PromptOf(100));
      REQUIRE_OK(junto_batch_add(batch.get(), victim.get(), &err));
      REQUIRE_OK(junto_batch_add(batch.get(), other.get(), &err));
      struct Heard {
        junto_session* other;
        Answer answer;
        static junto_status JUNTO_CALL Take(void* user, const junto_chunk* chunk) {
          auto* self = static_cast<Heard*>(user);
          return chunk->session == self->other ? Answer::Take(&self->answer, chunk) : JUNTO_OK;
        }
      } heard = {other.get(), {}};
      const auto step = [&](uint64_t budget) {
        return junto_batch_step(batch.get(), budget, Heard::Take, &heard, &err);
      };
      junto_status status = JUNTO_YIELDED;
      for (int i = 0; i < steps && status == JUNTO_YIELDED; ++i) status = step(0);
      REQUIRE(status == JUNTO_YIELDED);
      junto_session_cancel(victim.get());
      status = step(0);
      REQUIRE(UsageOf(victim).stop == JUNTO_STOP_CANCELLED);
      // It may be used again at once, though its rows were in the pass.
      if (steps % 2 == 0) Prefill(victim, stage.PromptOf(7));
      while (status == JUNTO_YIELDED) status = step(steps % 3 == 0 ? UINT64_MAX : 500);
      REQUIRE(status == JUNTO_DONE);
      REQUIRE(heard.answer == expected);
      REQUIRE_OK(junto_batch_remove(batch.get(), victim.get(), &err));
      REQUIRE_OK(junto_batch_remove(batch.get(), other.get(), &err));
    }
  }
}

}  // namespace
}  // namespace junto
