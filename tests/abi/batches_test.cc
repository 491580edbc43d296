// Sessions that share passes: every text is what it would be alone, and nobody's end is another's.
#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

// What each session of a batch said; one of them may misbehave.
struct Audience {
  std::map<junto_session*, Answer> answers;
  junto_session* victim = nullptr;
  uint64_t at = 3;
  junto_status reply = JUNTO_OK;
  bool cancels = false;

  static junto_status JUNTO_CALL Take(void* user, const junto_chunk* chunk) {
    auto* self = static_cast<Audience*>(user);
    Answer* answer = &self->answers[chunk->session];
    Answer::Take(answer, chunk);
    if (chunk->session != self->victim || answer->chunks != self->at) return JUNTO_OK;
    if (self->cancels) junto_session_cancel(chunk->session);
    return self->reply;
  }
};

class Group {
 public:
  explicit Group(const std::vector<uint8_t>& bytes, uint32_t capacity = 5, uint32_t rows = 12)
      : runtime(CreateRuntime(host.desc())), model(LoadBytes(runtime.get(), bytes)) {
    Error err;
    junto_batch* created = nullptr;
    REQUIRE_OK(junto_batch_create(model.get(), capacity, rows, &created, &err));
    batch.reset(created);
  }

  // The i-th of a row of sessions that differ in everything.
  SessionHandle Begin(int i) {
    SessionHandle session = CreateSession(model, SessionDesc(120, 5 + i));
    SetSampling(session, i % 2 == 0 ? 1.0f : 0.0f, 100 + i, 4 + 5 * i);
    std::vector<junto_token> tokens;
    for (int t = 0; t < 3 + 11 * i; ++t) tokens.push_back((t * 7 + i) % 40);
    Prefill(session, TokenPrompt(model, tokens));
    return session;
  }
  Answer Alone(int i) { return Generate(Begin(i)); }

  void Add(const SessionHandle& session) {
    Error err;
    REQUIRE_OK(junto_batch_add(batch.get(), session.get(), &err));
  }
  void Remove(const SessionHandle& session) {
    Error err;
    REQUIRE_OK(junto_batch_remove(batch.get(), session.get(), &err));
  }
  junto_status Step(uint64_t budget, Audience* audience, Error* err) {
    return junto_batch_step(batch.get(), budget, Audience::Take, audience, err);
  }
  void Finish(uint64_t budget, Audience* audience) {
    Error err;
    junto_status status = JUNTO_YIELDED;
    while (status == JUNTO_YIELDED) status = Step(budget, audience, &err);
    INFO(err.text());
    REQUIRE(status == JUNTO_DONE);
  }

  Host host;
  RuntimeHandle runtime;
  ModelHandle model;
  BatchHandle batch;
};

const std::vector<uint8_t>& ChatBytes() {
  static const std::vector<uint8_t> bytes = TinyModel::Chat().Bytes();
  return bytes;
}

TEST_CASE("a batch says what its sessions would say alone") {
  for (const std::vector<uint8_t>& bytes :
       {ChatBytes(), TinyModel::GptOss().Bytes(), TinyModel::Mixtral().Bytes(),
        TinyModel::Gemma4().Bytes(), TinyModel::Gemma4Shared().Bytes(), TinyModel::Qwen().Bytes(),
        TinyModel::Mimo().Bytes()}) {
    for (const uint64_t budget : {uint64_t{0}, uint64_t{25}, UINT64_MAX}) {
      Group group(bytes);
      std::vector<SessionHandle> sessions;
      for (int i = 0; i < 4; ++i) sessions.push_back(group.Begin(i));
      for (const SessionHandle& session : sessions) group.Add(session);
      Audience audience;
      group.Finish(budget, &audience);
      for (int i = 0; i < 4; ++i) {
        INFO("session " << i << ", budget " << budget);
        CHECK(audience.answers[sessions[i].get()] == group.Alone(i));
        CHECK(UsageOf(sessions[i]).stop == JUNTO_STOP_LENGTH);
        CHECK(UsageOf(sessions[i]).new_tokens == 4u + 5u * i);
        CHECK(UsageOf(sessions[i]).prefill_ns > 0);
        CHECK(UsageOf(sessions[i]).decode_ns > 0);
      }
    }
  }
}

TEST_CASE("sessions come and go while a batch runs") {
  for (const uint64_t budget : {0, 7, 60}) {
    Group group(ChatBytes());
    std::vector<SessionHandle> sessions;
    for (int i = 0; i < 4; ++i) sessions.push_back(group.Begin(i));
    Audience audience;
    Error err;
    const auto some = [&](int steps) {
      for (int i = 0; i < steps; ++i) REQUIRE(group.Step(budget, &audience, &err) >= 0);
    };
    group.Add(sessions[0]);
    some(9);
    group.Add(sessions[3]);
    some(40);
    group.Remove(sessions[3]);  // in the middle of a pass
    group.Add(sessions[1]);
    some(11);
    // It goes on by itself, then comes back.
    junto_status status = JUNTO_YIELDED;
    for (int i = 0; i < 30 && status == JUNTO_YIELDED; ++i) {
      status = junto_session_step(sessions[3].get(), budget, Audience::Take, &audience, &err);
    }
    REQUIRE(status >= 0);
    group.Add(sessions[3]);
    some(5);
    // Stepped alone while it is in the batch, too.
    REQUIRE(junto_session_step(sessions[3].get(), budget, Audience::Take, &audience, &err) >= 0);
    some(5);
    group.Add(sessions[2]);
    group.Finish(budget, &audience);
    for (int i = 0; i < 4; ++i) {
      INFO("session " << i << ", budget " << budget);
      CHECK(audience.answers[sessions[i].get()] == group.Alone(i));
    }
    // A new prompt for one of them, and only it speaks.
    Audience again;
    Prefill(sessions[1], TokenPrompt(group.model, {9, 8, 7}));
    group.Finish(budget, &again);
    CHECK(again.answers.size() == 1);
    CHECK(again.answers[sessions[1].get()].tokens.size() == 9);
  }
}

TEST_CASE("sixteen sessions admitted and retired at random say what they would alone") {
  for (const std::vector<uint8_t>& bytes :
       {ChatBytes(), TinyModel::GptOss().Bytes(), TinyModel::Qwen().Bytes()}) {
    Group group(bytes, 16, 40);
    std::mt19937 random(5);
    std::vector<Answer> alone;
    for (int i = 0; i < 16; ++i) alone.push_back(group.Alone(i % 8));
    std::vector<SessionHandle> sessions;
    for (int i = 0; i < 16; ++i) sessions.push_back(group.Begin(i % 8));
    std::vector<bool> inside(16, false);
    Audience audience;
    Error err;
    int finished = 0;
    while (finished < 16) {
      const size_t who = random() % 16;
      if (random() % 3 == 0) {
        inside[who] ? group.Remove(sessions[who]) : group.Add(sessions[who]);
        inside[who] = !inside[who];
      }
      const uint64_t budget = random() % 8 == 0 ? 4000 : random() % 100;
      const junto_status status = group.Step(budget, &audience, &err);
      INFO(err.text());
      REQUIRE(status >= 0);
      finished = 0;
      for (const SessionHandle& session : sessions) {
        finished += UsageOf(session).stop != JUNTO_STOP_NONE;
      }
    }
    for (int i = 0; i < 16; ++i) {
      INFO("session " << i);
      CHECK(audience.answers[sessions[static_cast<size_t>(i)].get()] ==
            alone[static_cast<size_t>(i)]);
    }
  }
}

TEST_CASE("one session's failure, stop or cancellation leaves the others alone") {
  for (int kind = 0; kind < 3; ++kind) {
    Group group(ChatBytes());
    std::vector<SessionHandle> sessions;
    for (int i = 0; i < 4; ++i) {
      sessions.push_back(group.Begin(i));
      group.Add(sessions.back());
    }
    Audience audience;
    audience.victim = sessions[2].get();
    audience.reply = kind == 0 ? JUNTO_E_IO : kind == 1 ? JUNTO_DONE : JUNTO_OK;
    audience.cancels = kind == 2;
    Error err;
    junto_status status = group.Step(UINT64_MAX, &audience, &err);
    if (kind == 0) {
      CHECK(status == JUNTO_E_CALLBACK);
      CHECK(err.IsLine());
      status = group.Step(UINT64_MAX, &audience, &err);
    }
    CHECK(status == JUNTO_DONE);
    CHECK(UsageOf(sessions[2]).stop == (kind == 2 ? JUNTO_STOP_CANCELLED : JUNTO_STOP_CALLBACK));
    for (int i = 0; i < 4; ++i) {
      INFO("kind " << kind << ", session " << i);
      const Answer alone = group.Alone(i);
      const Answer& heard = audience.answers[sessions[i].get()];
      if (i != 2) CHECK(heard == alone);
      if (i == 2) CHECK(heard.chunks == 3);
      if (i == 2) CHECK(alone.text.find(heard.text) == 0);
    }
  }
}

TEST_CASE("a session that was cancelled when it had ended keeps why it ended") {
  Group group(ChatBytes());
  const SessionHandle session = group.Begin(0);
  group.Add(session);
  Audience audience;
  group.Finish(UINT64_MAX, &audience);
  junto_session_cancel(session.get());
  group.Finish(UINT64_MAX, &audience);
  CHECK(UsageOf(session).stop == JUNTO_STOP_LENGTH);
}

TEST_CASE("text of a batch may be read instead") {
  Group group(TinyModel::Verbose().Bytes());
  const PromptHandle prompt = TokenPrompt(group.model, Tokenize(group.model, "!"));
  SessionHandle sessions[2];
  for (int i = 0; i < 2; ++i) {
    sessions[i] = CreateSession(group.model, SessionDesc(64, 8));
    SetSampling(sessions[i], 0.0f, 0, i == 0 ? 50 : 5);
    Prefill(sessions[i], prompt);
    group.Add(sessions[i]);
  }
  std::string texts[2];
  Error err;
  int waits = 0;
  junto_status status = JUNTO_YIELDED;
  while (status == JUNTO_YIELDED) {
    status = junto_batch_step(group.batch.get(), UINT64_MAX, nullptr, nullptr, &err);
    ++waits;
    for (int i = 0; i < 2; ++i) {
      char piece[8192];
      size_t size = 0;
      REQUIRE(junto_session_read(sessions[i].get(), piece, sizeof(piece), &size) == JUNTO_OK);
      texts[i].append(piece, size);
    }
  }
  CHECK(status == JUNTO_DONE);
  CHECK(waits > 2);
  for (int i = 0; i < 2; ++i) {
    group.Remove(sessions[i]);
    Prefill(sessions[i], prompt);
    CHECK(texts[i] == Generate(sessions[i]).text);
  }
  CHECK(texts[0].size() > 2 * 4096);
}

TEST_CASE("a batch knows its sessions") {
  Group group(ChatBytes(), 2);
  const ModelHandle other = LoadBytes(group.runtime.get(), ChatBytes());
  const SessionHandle first = group.Begin(0);
  const SessionHandle second = group.Begin(1);
  const SessionHandle third = group.Begin(2);
  const SessionHandle stranger = CreateSession(other, SessionDesc(32, 8));
  Error err;
  junto_batch* batch = group.batch.get();
  CHECK(junto_batch_step(batch, 0, nullptr, nullptr, &err) == JUNTO_DONE);
  CHECK_FAILS(junto_batch_add(batch, stranger.get(), &err), JUNTO_E_MISMATCH);
  CHECK_FAILS(junto_session_prefill(first.get(), CreatePrompt(other).get(), &err),
              JUNTO_E_MISMATCH);
  group.Add(first);
  CHECK_FAILS(junto_batch_add(batch, first.get(), &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_remove(batch, second.get(), &err), JUNTO_E_INVALID);
  group.Add(second);
  CHECK_FAILS(junto_batch_add(batch, third.get(), &err), JUNTO_E_INVALID);
  group.Remove(first);
  CHECK_FAILS(junto_batch_remove(batch, first.get(), &err), JUNTO_E_INVALID);
  group.Add(third);
  Audience audience;
  group.Finish(UINT64_MAX, &audience);
  CHECK(audience.answers.size() == 2);
}

// Calls everything that is [one] from inside a callback of the same handles.
struct Intruder {
  junto_session* session = nullptr;
  junto_session* neighbour = nullptr;
  junto_batch* batch = nullptr;
  junto_model* model = nullptr;
  junto_prompt* prompt = nullptr;
  std::map<std::string, junto_status> replies;

  static junto_status JUNTO_CALL Take(void* user, const junto_chunk*) {
    auto* self = static_cast<Intruder*>(user);
    junto_sampling sampling;
    junto_sampling_init(&sampling, sizeof(sampling));
    junto_usage usage;
    junto_usage_init(&usage, sizeof(usage));
    char text[8];
    size_t size = 0;
    for (junto_session* s : {self->session, self->neighbour}) {
      if (s == nullptr) continue;
      const std::string who = s == self->session ? "session " : "neighbour ";
      self->Note(who + "step", junto_session_step(s, 0, nullptr, nullptr, nullptr));
      self->Note(who + "generate", junto_session_generate(s, nullptr, nullptr, nullptr));
      self->Note(who + "prefill", junto_session_prefill(s, self->prompt, nullptr));
      self->Note(who + "evaluate", junto_session_evaluate(s, TakeRow, nullptr, nullptr));
      self->Note(who + "read", junto_session_read(s, text, sizeof(text), &size));
      self->Note(who + "get_usage", junto_session_get_usage(s, &usage));
      self->Note(who + "set_sampling", junto_session_set_sampling(s, &sampling, nullptr));
      self->Note(who + "add_stop", junto_session_add_stop(s, "x", 1, nullptr));
      if (self->batch != nullptr) {
        self->Note(who + "batch_add", junto_batch_add(self->batch, s, nullptr));
        self->Note(who + "batch_remove", junto_batch_remove(self->batch, s, nullptr));
      }
    }
    if (self->batch != nullptr) {
      self->Note("batch_step", junto_batch_step(self->batch, 0, nullptr, nullptr, nullptr));
    }
    size_t count = 0;  // [any] calls are welcome
    self->Note("any", junto_tokenize(self->model, "zebra", 5, 0, nullptr, 0, &count, nullptr));
    uint64_t bytes = 0;
    self->Note("any", junto_session_plan(self->model, nullptr, JUNTO_TAG_KV, &bytes, nullptr));
    junto_session* created = nullptr;
    self->Note("any", junto_session_create(self->model, nullptr, &created, nullptr));
    junto_session_release(created);
    return JUNTO_OK;
  }
  static junto_status JUNTO_CALL TakeRow(void*, uint64_t, const float*, size_t) { return JUNTO_OK; }
  static junto_status JUNTO_CALL TakeLogits(void* user, uint64_t, const float*, size_t) {
    return Take(user, nullptr);
  }
  void Note(const std::string& call, junto_status status) {
    const auto at = replies.emplace(call, status).first;
    if (at->second != status) at->second = JUNTO_E_INTERNAL;
  }
  void CheckBusy() {
    CHECK(replies.size() >= 9);
    for (const auto& [call, status] : replies) {
      INFO(call);
      CHECK(status == (call == "any" ? JUNTO_OK : JUNTO_E_BUSY));
    }
  }
};

TEST_CASE("a handle that is in use is busy, and unharmed") {
  Group group(ChatBytes());
  const PromptHandle prompt = TokenPrompt(group.model, {1, 2, 3});
  const SessionHandle session = group.Begin(1);
  Intruder intruder;
  intruder.session = session.get();
  intruder.model = group.model.get();
  intruder.prompt = prompt.get();
  Error err;
  SECTION("while it generates") {
    CHECK(junto_session_generate(session.get(), Intruder::Take, &intruder, &err) == JUNTO_DONE);
  }
  SECTION("while it evaluates") {
    REQUIRE_OK(junto_session_evaluate(session.get(), Intruder::TakeLogits, &intruder, &err));
  }
  SECTION("while its batch runs, and its neighbours, too") {
    const SessionHandle neighbour = group.Begin(2);
    group.Add(session);
    group.Add(neighbour);
    intruder.neighbour = neighbour.get();
    intruder.batch = group.batch.get();
    CHECK(junto_batch_step(group.batch.get(), UINT64_MAX, Intruder::Take, &intruder, &err) ==
          JUNTO_DONE);
    CHECK(UsageOf(neighbour).new_tokens == 14);
  }
  intruder.CheckBusy();
  Audience audience;
  Prefill(session, prompt);
  CHECK(Generate(session).tokens.size() == 9);
}

}  // namespace
}  // namespace junto
