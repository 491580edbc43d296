// Many threads: [any] calls everywhere at once, [one] calls that collide, cancelling from outside.
// Written to be run under a thread sanitizer as well.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "c_api/junto_table.h"
#include "tests/support/handles.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

const std::vector<uint8_t>& ChatBytes() {
  static const std::vector<uint8_t> bytes = TinyModel::Chat().Bytes();
  return bytes;
}

struct Fixture {
  explicit Fixture(uint32_t threads = 2) {
    junto_runtime_desc desc;
    junto_runtime_desc_init(&desc, sizeof(desc));
    desc.max_threads = threads;
    runtime = CreateRuntime(&desc);
    model = LoadBytes(runtime.get(), ChatBytes());
    std::vector<junto_token> tokens;
    for (junto_token i = 0; i < 200; ++i) tokens.push_back(30 + i * 3 % 500);
    prompt = TokenPrompt(model, tokens);
  }
  SessionHandle Begin(uint32_t count) {
    SessionHandle session = CreateSession(model, SessionDesc(256, 50));
    SetSampling(session, 1.0f, 11, count);
    Prefill(session, prompt);
    return session;
  }
  RuntimeHandle runtime;
  ModelHandle model;
  PromptHandle prompt;
};

TEST_CASE("joins are counted, and depend on nothing but the passes") {
  junto_usage two = {};
  for (const uint32_t threads : {1u, 2u, 5u}) {
    CAPTURE(threads);
    Fixture fixture(threads);
    const SessionHandle session = fixture.Begin(10);
    const Answer answer = Generate(session);
    const junto_usage usage = UsageOf(session);
    REQUIRE(usage.new_tokens == 10);
    CHECK((usage.prefill_joins > 0) == (threads > 1));
    CHECK((usage.decode_joins > 0) == (threads > 1));
    CHECK(usage.decode_joins % 9 == 0);  // passes, all alike
    if (threads == 2) two = usage;
    if (threads > 2) {
      CHECK(usage.prefill_joins == two.prefill_joins);
      CHECK(usage.decode_joins == two.decode_joins);
    }
    Prefill(session, fixture.prompt);
    CHECK(UsageOf(session).decode_joins == 0);
  }
}

// Catch's macros are for one thread, so others count what went wrong.
struct Tally {
  std::atomic<int> wrong{0};
  void Expect(bool right) {
    if (!right) ++wrong;
  }
};

// One of the [any] calls; each thread makes all of them, in an order of its own.
void CallAny(int which, const Fixture& fixture, junto_session* session, Tally* tally) {
  junto_runtime* runtime = fixture.runtime.get();
  junto_model* model = fixture.model.get();
  switch (which) {
    case 0: {
      junto_model_info info;
      junto_model_info_init(&info, sizeof(info));
      tally->Expect(junto_model_get_info(model, &info) == JUNTO_OK && info.vocab == 828);
      break;
    }
    case 1: {
      junto_token tokens[64];
      size_t count = 0;
      tally->Expect(junto_tokenize(model, "zebra <|im_end|>", 16, 2, tokens, 64, &count, nullptr) ==
                    JUNTO_OK);
      char text[64];
      size_t size = 0;
      tally->Expect(junto_detokenize(model, tokens, count, 1, text, 64, &size, nullptr) ==
                    JUNTO_OK);
      tally->Expect(std::string(text, size) == "zebra <|im_end|>");
      break;
    }
    case 2: {
      uint64_t bytes = 0;
      uint64_t peak = 0;
      tally->Expect(junto_session_plan(model, nullptr, JUNTO_TAG_KV, &bytes, nullptr) == JUNTO_OK);
      tally->Expect(junto_runtime_memory(runtime, JUNTO_TAG_INVALID, &bytes, &peak) == JUNTO_OK);
      tally->Expect(bytes <= peak);
      break;
    }
    case 3: {
      junto_session* created = nullptr;
      tally->Expect(junto_session_create(model, nullptr, &created, nullptr) == JUNTO_OK);
      junto_session_cancel(created);
      junto_session_release(created);
      break;
    }
    case 4: {
      junto_prompt* prompt = nullptr;
      tally->Expect(junto_prompt_create(model, &prompt, nullptr) == JUNTO_OK);
      tally->Expect(junto_prompt_add_text(prompt, "caf\xC3\xA9", 5, nullptr) == JUNTO_OK);
      junto_prompt_release(prompt);
      break;
    }
    case 5: {
      junto_model* loaded = nullptr;
      tally->Expect(junto_model_load_memory(runtime, ChatBytes().data(), ChatBytes().size(),
                                            nullptr, &loaded, nullptr) == JUNTO_OK);
      junto_model_release(loaded);
      break;
    }
    case 6: {
      junto_model_retain(model);
      char text[32];
      size_t size = 0;
      tally->Expect(junto_model_get_meta(model, "general.architecture", 20, text, 32, &size) ==
                    JUNTO_OK);
      junto_model_release(model);
      break;
    }
    case 7: {
      junto_runtime_desc desc;
      junto_runtime_desc_init(&desc, sizeof(desc));
      desc.max_threads = 2;
      junto_runtime* created = nullptr;
      tally->Expect(junto_runtime_create(&desc, &created, nullptr) == JUNTO_OK);
      junto_runtime_release(created);
      break;
    }
    case 8: {
      junto_batch* batch = nullptr;
      uint64_t bytes = 0;
      tally->Expect(junto_batch_plan(model, 2, 16, JUNTO_TAG_SCRATCH, &bytes, nullptr) == JUNTO_OK);
      tally->Expect(junto_batch_create(model, 2, 16, &batch, nullptr) == JUNTO_OK);
      junto_batch_release(batch);
      const junto_table* table = junto_get_table(JUNTO_VERSION_MAJOR);
      tally->Expect(table != nullptr && table->version() == junto_version());
      break;
    }
    case 9: {  // a conversation of this thread alone
      Answer answer;
      tally->Expect(junto_session_prefill(session, fixture.prompt.get(), nullptr) !=
                    JUNTO_E_MEMORY);
      tally->Expect(junto_session_generate(session, Answer::Take, &answer, nullptr) >= 0);
      junto_session* fork = nullptr;  // of a family whose others run elsewhere
      tally->Expect(junto_session_fork(session, &fork, nullptr) == JUNTO_OK);
      tally->Expect(junto_session_generate(fork, Answer::Take, &answer, nullptr) >= 0);
      junto_session_release(fork);
      break;
    }
    default:
      tally->Expect(false);
  }
}

TEST_CASE("[any] calls may meet each other, and conversations in between") {
  Fixture fixture;
  Tally tally;
  constexpr int kCalls = 10;
  junto_session_desc desc = SessionDesc(256, 50);
  desc.max_forks = 7;  // three, and one for each while it runs
  desc.fork_tokens = 0;
  std::vector<SessionHandle> sessions;
  sessions.push_back(CreateSession(fixture.model, desc));
  SetSampling(sessions[0], 1.0f, 11, 3);
  Prefill(sessions[0], fixture.prompt);
  for (int t = 1; t < 4; ++t) {
    Error err;
    junto_session* fork = nullptr;
    REQUIRE_OK(junto_session_fork(sessions[0].get(), &fork, &err));
    sessions.emplace_back(fork);
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 3 * kCalls; ++i) {
        const int which = (i * (2 * t + 1 == 5 ? 9 : 2 * t + 1) + t) % kCalls;
        CallAny(which, fixture, sessions[t].get(), &tally);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(tally.wrong == 0);
}

TEST_CASE("sessions on threads of their own say what they say alone") {
  Fixture fixture;
  const Answer expected = Generate(fixture.Begin(12));
  std::vector<SessionHandle> sessions;
  std::vector<Answer> answers(4);
  for (int t = 0; t < 4; ++t) sessions.push_back(fixture.Begin(12));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      junto_status status = JUNTO_YIELDED;
      while (status == JUNTO_YIELDED) {
        status = junto_session_step(sessions[t].get(), t == 0 ? 0 : 100000, Answer::Take,
                                    &answers[t], nullptr);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Answer& answer : answers) CHECK(answer == expected);
}

// Holds its generation in a callback until somebody has had his turn.
struct Gate {
  std::atomic<bool> entered{false};
  std::atomic<bool> open{false};
  Answer answer;
  static junto_status JUNTO_CALL Take(void* user, const junto_chunk* chunk) {
    auto* self = static_cast<Gate*>(user);
    Answer::Take(&self->answer, chunk);
    self->entered = true;
    while (!self->open) std::this_thread::yield();
    return JUNTO_OK;
  }
};

TEST_CASE("a second thread finds a handle busy") {
  Fixture fixture;
  const Answer expected = Generate(fixture.Begin(5));
  const SessionHandle session = fixture.Begin(5);
  Gate gate;
  std::thread first(
      [&] { (void)junto_session_generate(session.get(), Gate::Take, &gate, nullptr); });
  while (!gate.entered) std::this_thread::yield();
  Error err;
  char text[8];
  size_t size = 77;
  CHECK_FAILS(junto_session_step(session.get(), 0, nullptr, nullptr, &err), JUNTO_E_BUSY);
  CHECK_FAILS(junto_session_prefill(session.get(), fixture.prompt.get(), &err), JUNTO_E_BUSY);
  CHECK(junto_session_read(session.get(), text, sizeof(text), &size) == JUNTO_E_BUSY);
  CHECK(size == 77);
  junto_batch* created = nullptr;
  REQUIRE_OK(junto_batch_create(fixture.model.get(), 1, 8, &created, &err));
  const BatchHandle batch(created);
  CHECK_FAILS(junto_batch_add(batch.get(), session.get(), &err), JUNTO_E_BUSY);
  gate.open = true;
  first.join();
  CHECK(gate.answer == expected);
  REQUIRE_OK(junto_batch_add(batch.get(), session.get(), &err));
}

TEST_CASE("a batch does not touch a session that another thread runs") {
  Fixture fixture;
  const Answer expected = Generate(fixture.Begin(5));
  const SessionHandle session = fixture.Begin(5);
  Error err;
  junto_batch* created = nullptr;
  REQUIRE_OK(junto_batch_create(fixture.model.get(), 2, 60, &created, &err));
  const BatchHandle batch(created);
  const SessionHandle other = fixture.Begin(5);
  REQUIRE_OK(junto_batch_add(batch.get(), other.get(), &err));
  REQUIRE_OK(junto_batch_add(batch.get(), session.get(), &err));
  Gate gate;
  std::thread first(
      [&] { (void)junto_session_generate(session.get(), Gate::Take, &gate, nullptr); });
  while (!gate.entered) std::this_thread::yield();
  Answer heard;
  CHECK_FAILS(junto_batch_step(batch.get(), UINT64_MAX, Answer::Take, &heard, &err), JUNTO_E_BUSY);
  CHECK(UsageOf(other).position == 0);  // and the other one is free again
  gate.open = true;
  first.join();
  CHECK(gate.answer == expected);
  CHECK(junto_batch_step(batch.get(), UINT64_MAX, Answer::Take, &heard, &err) == JUNTO_DONE);
  CHECK(heard == expected);
}

TEST_CASE("any thread may cancel, at any time") {
  Fixture fixture;
  const Answer expected = Generate(fixture.Begin(20));
  int cancelled = 0;
  for (int delay = 0; delay < 40; ++delay) {
    const SessionHandle session = fixture.Begin(20);
    std::atomic<bool> started{false};
    std::atomic<bool> wished{false};
    std::thread canceller([&] {
      while (!started) std::this_thread::yield();
      for (int i = 0; i < delay * 20; ++i) std::this_thread::yield();
      junto_session_cancel(session.get());
      wished = true;
    });
    Answer answer;
    Error err;
    started = true;
    while (delay == 0 && !wished) std::this_thread::yield();  // one that surely is in time
    const junto_status status = junto_session_generate(session.get(), Answer::Take, &answer, &err);
    canceller.join();
    REQUIRE((status == JUNTO_CANCELLED || status == JUNTO_DONE));
    cancelled += status == JUNTO_CANCELLED ? 1 : 0;
    REQUIRE(expected.text.find(answer.text) == 0);
    Prefill(session, fixture.prompt);
    if (status == JUNTO_DONE) {  // it came too late, and sticks
      REQUIRE(junto_session_generate(session.get(), Answer::Take, &answer, &err) ==
              JUNTO_CANCELLED);
      Prefill(session, fixture.prompt);
    }
    REQUIRE(Generate(session) == expected);
  }
  CHECK(cancelled > 0);
}

}  // namespace
}  // namespace junto
