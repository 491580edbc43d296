// One session, through the C ABI alone: what it says must never depend on how it was made to say
// it.
#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

const std::vector<uint8_t>& ChatBytes() {
  static const std::vector<uint8_t> bytes = TinyModel::Chat().Bytes();
  return bytes;
}

struct Chat {
  explicit Chat(const std::vector<uint8_t>& bytes = ChatBytes())
      : runtime(CreateRuntime(host.desc())), model(LoadBytes(runtime.get(), bytes)) {}

  // A session that has this prompt, and would say up to `count` tokens.
  SessionHandle Begin(const PromptHandle& prompt, uint32_t count, uint64_t seed = 7,
                      uint32_t context = 256, uint32_t chunk = 16) {
    SessionHandle session = CreateSession(model, SessionDesc(context, chunk));
    SetSampling(session, 1.0f, seed, count);
    Prefill(session, prompt);
    return session;
  }
  PromptHandle Question(std::string_view text = "How many bytes has a café?") {
    PromptHandle prompt = CreatePrompt(model);
    AddTurn(prompt, "user", text);
    return prompt;
  }

  Host host;
  RuntimeHandle runtime;
  ModelHandle model;
};

Answer StepThrough(const SessionHandle& session, uint64_t budget) {
  Error err;
  Answer answer;
  junto_status status = JUNTO_YIELDED;
  while (status == JUNTO_YIELDED) {
    status = junto_session_step(session.get(), budget, Answer::Take, &answer, &err);
  }
  INFO(err.text());
  REQUIRE(status == JUNTO_DONE);
  return answer;
}

TEST_CASE("every budget gives the same text") {
  Chat chat;
  const PromptHandle question = chat.Question();
  const Answer expected = Generate(chat.Begin(question, 60));
  CHECK(expected.tokens.size() == 60);
  CHECK(expected.text.size() > 60);
  for (const uint64_t budget : {0, 1, 2, 5, 17, 100, 5000}) {
    INFO("budget " << budget);
    const SessionHandle session = chat.Begin(question, 60);
    CHECK(StepThrough(session, budget) == expected);
    CHECK(UsageOf(session).new_tokens == 60);
    CHECK(UsageOf(session).stop == JUNTO_STOP_LENGTH);
  }
  CHECK(Generate(chat.Begin(question, 60, 8)).text != expected.text);
}

TEST_CASE("text may be read instead of streamed, in pieces of whole code points") {
  Chat chat;
  const PromptHandle question = chat.Question();
  const Answer expected = Generate(chat.Begin(question, 60));
  for (const size_t capacity : {1, 2, 3, 4, 7, 1000}) {
    const SessionHandle session = chat.Begin(question, 60);
    std::string text;
    junto_status status = JUNTO_YIELDED;
    while (status == JUNTO_YIELDED || status == JUNTO_OK) {
      Error err;
      if (status == JUNTO_YIELDED) {
        status = junto_session_step(session.get(), 40, nullptr, nullptr, &err);
      }
      REQUIRE(status >= 0);
      std::vector<char> piece(capacity);
      size_t size = 1;
      while (size != 0) {
        REQUIRE(junto_session_read(session.get(), piece.data(), capacity, &size) == JUNTO_OK);
        REQUIRE(size <= capacity);
        REQUIRE(IsUtf8({piece.data(), size}));
        text.append(piece.data(), size);
      }
      char whole[4];  // what is larger than the capacity
      REQUIRE(junto_session_read(session.get(), whole, sizeof(whole), &size) == JUNTO_OK);
      text.append(whole, size);
    }
    CHECK(status == JUNTO_DONE);
    size_t size = 1;
    char rest[4096];
    REQUIRE(junto_session_read(session.get(), rest, sizeof(rest), &size) == JUNTO_OK);
    text.append(rest, size);
    CHECK(text == expected.text);
    size = 1;
    CHECK(junto_session_read(session.get(), nullptr, 0, &size) == JUNTO_OK);
    CHECK(size == 0);
    CHECK(junto_session_read(session.get(), nullptr, 1, &size) == JUNTO_E_INVALID);
    CHECK(junto_session_read(session.get(), rest, 1, nullptr) == JUNTO_E_INVALID);
  }
}

TEST_CASE("generation waits for a reader when much text is pending") {
  Chat chat(TinyModel::Verbose().Bytes());
  const PromptHandle start = TokenPrompt(chat.model, Tokenize(chat.model, "!"));
  const auto begin = [&] {
    SessionHandle session = CreateSession(chat.model, SessionDesc(64, 16));
    SetSampling(session, 0.0f, 0, 50);
    Prefill(session, start);
    return session;
  };
  const Answer expected = Generate(begin());
  REQUIRE(expected.text.size() > 3 * 4096);

  const SessionHandle session = begin();
  std::string text;
  Error err;
  junto_status status = JUNTO_YIELDED;
  int yields = -1;
  while (status == JUNTO_YIELDED) {
    status = junto_session_generate(session.get(), nullptr, nullptr, &err);
    ++yields;
    char piece[6000];
    size_t size = 0;
    if (yields == 0) {  // nothing is lost by asking again instead of reading
      CHECK(junto_session_generate(session.get(), nullptr, nullptr, &err) == JUNTO_YIELDED);
      CHECK(junto_session_step(session.get(), 0, nullptr, nullptr, &err) == JUNTO_YIELDED);
    }
    REQUIRE(junto_session_read(session.get(), piece, sizeof(piece), &size) == JUNTO_OK);
    text.append(piece, size);
  }
  CHECK(status == JUNTO_DONE);
  CHECK(yields >= 2);
  CHECK(text == expected.text);
}

// A model that says "caf\xC3\xA9 ready, zebra!" token by token after "x", whatever came before.
struct Script {
  Script() {
    const Chat plain;
    const std::string texts[] = {"x", "c", "a", "f", "\xC3", "\xA9", " ready", ",", "zebra", "!"};
    const TextVocabulary vocabulary;
    for (const std::string& text : texts) tokens.push_back(FindPiece(plain.model, text));
    tokens.push_back(vocabulary.Id("<|im_end|>"));
    std::map<int32_t, int32_t> next;
    for (size_t i = 1; i < tokens.size(); ++i) next[tokens[i - 1]] = tokens[i];
    bytes = TinyModel::Scripted(next).Bytes();
  }
  static junto_token FindPiece(const ModelHandle& model, const std::string& text) {
    for (junto_token id = 0; id < 828; ++id) {
      char piece[256];
      size_t size = 0;
      const junto_status status =
          junto_detokenize(model.get(), &id, 1, 0, piece, sizeof(piece), &size, nullptr);
      if (status == JUNTO_OK && std::string(piece, size) == text) return id;
    }
    FAIL("no token is '" << text << "'");
    return -1;
  }

  std::vector<junto_token> tokens;
  std::vector<uint8_t> bytes;
};
constexpr const char* kScript = "caf\xC3\xA9 ready,zebra!";

struct ScriptedChat : Chat {
  explicit ScriptedChat(const Script& script)
      : Chat(script.bytes), start(TokenPrompt(model, {script.tokens[0]})) {}
  SessionHandle Begin(uint32_t count = 0) {
    SessionHandle session = CreateSession(model, SessionDesc(64, 8));
    SetSampling(session, 0.0f, 0, count);
    Prefill(session, start);
    return session;
  }
  void AddStop(const SessionHandle& session, std::string_view text) {
    Error err;
    REQUIRE_OK(junto_session_add_stop(session.get(), text.data(), text.size(), &err));
  }
  PromptHandle start;
};

TEST_CASE("a generation ends where it should and says why") {
  const Script script;
  ScriptedChat chat(script);
  SECTION("at the end of the turn") {
    const SessionHandle session = chat.Begin();
    CHECK(UsageOf(session).stop == JUNTO_STOP_NONE);
    const Answer answer = Generate(session);
    CHECK(answer.text == kScript);
    CHECK(answer.tokens.size() == script.tokens.size() - 2);
    CHECK(UsageOf(session).stop == JUNTO_STOP_EOS);
    // Ended means ended, until the next prompt.
    Error err;
    Answer more;
    CHECK(junto_session_generate(session.get(), Answer::Take, &more, &err) == JUNTO_DONE);
    CHECK(more.chunks == 0);
    Prefill(session, chat.start);
    CHECK(UsageOf(session).stop == JUNTO_STOP_NONE);
    CHECK(Generate(session).text == kScript);
  }
  SECTION("at stop texts, also across tokens and through code points") {
    const std::pair<const char*, const char*> stops[] = {{"c", ""},
                                                         {"af", "c"},
                                                         {"f\xC3\xA9 r", "ca"},
                                                         {"\xC3\xA9", "caf"},
                                                         {"y,z", "caf\xC3\xA9 read"},
                                                         {"!", "caf\xC3\xA9 ready,zebra"}};
    for (const auto& [stop, expected] : stops) {
      const SessionHandle session = chat.Begin();
      chat.AddStop(session, "never said");
      chat.AddStop(session, "ready!");  // held back, then released
      chat.AddStop(session, stop);
      const Answer answer = Generate(session);
      CHECK(answer.text == expected);
      CHECK(UsageOf(session).stop == JUNTO_STOP_TEXT);
      Prefill(session, chat.start);  // stop texts stay
      CHECK(Generate(session).text == expected);
    }
  }
  SECTION("what a stop text held back comes out at the end") {
    const SessionHandle session = chat.Begin();
    chat.AddStop(session, "zebra!?");
    CHECK(Generate(session).text == kScript);
  }
  SECTION("after so many tokens, an incomplete code point as U+FFFD") {
    for (uint32_t count = 1; count < 8; ++count) {
      const SessionHandle session = chat.Begin(count);
      const Answer answer = Generate(session);
      CHECK(answer.tokens.size() == count);
      CHECK(UsageOf(session).new_tokens == count);
      CHECK(UsageOf(session).stop == JUNTO_STOP_LENGTH);
      if (count == 3) CHECK(answer.text == "caf");
      if (count == 4) CHECK(answer.text == "caf\xEF\xBF\xBD");
      if (count == 5) CHECK(answer.text == "caf\xC3\xA9");
    }
  }
  SECTION("stop texts out of bounds are refused") {
    const SessionHandle session = chat.Begin();
    Error err;
    const std::string long_stop(129, 'x');
    CHECK_FAILS(junto_session_add_stop(session.get(), "", 0, &err), JUNTO_E_INVALID);
    CHECK_FAILS(junto_session_add_stop(session.get(), nullptr, 1, &err), JUNTO_E_INVALID);
    CHECK_FAILS(junto_session_add_stop(session.get(), "\xC3", 1, &err), JUNTO_E_INVALID);
    CHECK_FAILS(junto_session_add_stop(session.get(), long_stop.data(), 129, &err),
                JUNTO_E_INVALID);
    for (int i = 0; i < 16; ++i) chat.AddStop(session, {long_stop.data(), 128});
    CHECK_FAILS(junto_session_add_stop(session.get(), "x", 1, &err), JUNTO_E_INVALID);
    CHECK(Generate(session).text == kScript);
  }
}

TEST_CASE("a full context ends a prompt politely and a generation in order") {
  Chat chat;
  std::vector<junto_token> tokens(40);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<junto_token>(100 + i);
  const PromptHandle fits = TokenPrompt(chat.model, {tokens.begin(), tokens.begin() + 32});
  const PromptHandle too_long = TokenPrompt(chat.model, {tokens.begin(), tokens.begin() + 33});
  SessionHandle session = chat.Begin(fits, 0, 7, 48, 8);
  const Answer expected = Generate(session);
  CHECK(expected.tokens.size() == 17);  // the last one is said, but needs no room
  CHECK(UsageOf(session).stop == JUNTO_STOP_CONTEXT);
  CHECK(UsageOf(session).position == 48);

  session = chat.Begin(fits, 0, 7, 32, 8);
  const junto_usage before = UsageOf(session);
  Error err;
  CHECK_FAILS(junto_session_prefill(session.get(), too_long.get(), &err), JUNTO_E_CONTEXT_FULL);
  CHECK(err.text().find("33") != std::string::npos);
  CHECK(err.text().find("32") != std::string::npos);
  const junto_usage after = UsageOf(session);
  CHECK(std::memcmp(&before, &after, sizeof(before)) == 0);
  const Answer one = Generate(session);
  CHECK(one.tokens ==
        std::vector<junto_token>(expected.tokens.begin(), expected.tokens.begin() + 1));
  CHECK(UsageOf(session).stop == JUNTO_STOP_CONTEXT);
}

// Answers `answer` when it has seen `at` chunks.
struct Interrupter {
  junto_session* session = nullptr;
  uint64_t at = 3;
  junto_status answer = JUNTO_OK;
  bool cancel = false;
  Answer seen;

  static junto_status JUNTO_CALL Take(void* user, const junto_chunk* chunk) {
    auto* self = static_cast<Interrupter*>(user);
    Answer::Take(&self->seen, chunk);
    if (self->seen.chunks != self->at) return JUNTO_OK;
    if (self->cancel) junto_session_cancel(self->session);
    return self->answer;
  }
};

TEST_CASE("a callback may stop, fail or cancel") {
  Chat chat;
  const PromptHandle question = chat.Question();
  const Answer expected = Generate(chat.Begin(question, 20));
  const SessionHandle session = chat.Begin(question, 20);
  Error err;
  Interrupter interrupter;
  interrupter.session = session.get();
  const auto generate = [&] {
    return junto_session_generate(session.get(), Interrupter::Take, &interrupter, &err);
  };
  SECTION("stop") {
    interrupter.answer = static_cast<junto_status>(1);
    CHECK(generate() == JUNTO_DONE);
    CHECK(UsageOf(session).stop == JUNTO_STOP_CALLBACK);
    CHECK(interrupter.seen.chunks == 3);
    CHECK(generate() == JUNTO_DONE);
    CHECK(interrupter.seen.chunks == 3);
  }
  SECTION("fail, which ends the generation as in a batch") {
    interrupter.answer = JUNTO_E_INTERNAL;
    CHECK_FAILS(generate(), JUNTO_E_CALLBACK);
    CHECK(err.text().find("-11") != std::string::npos);
    CHECK(UsageOf(session).stop == JUNTO_STOP_CALLBACK);
    CHECK(interrupter.seen.chunks == 3);
    CHECK(generate() == JUNTO_DONE);
    CHECK(interrupter.seen.chunks == 3);
  }
  SECTION("cancel") {
    interrupter.cancel = true;
    CHECK(generate() == JUNTO_CANCELLED);
    CHECK(UsageOf(session).stop == JUNTO_STOP_CANCELLED);
    CHECK(interrupter.seen.chunks == 3);
    CHECK(generate() == JUNTO_DONE);
  }
  Prefill(session, question);
  CHECK(UsageOf(session).cached_tokens + 1 == UsageOf(session).prompt_tokens);
  CHECK(Generate(session) == expected);
}

TEST_CASE("cancelling sticks until it is observed, wherever a pass stands") {
  Chat chat;
  const PromptHandle question = chat.Question();
  const Answer expected = Generate(chat.Begin(question, 12));
  for (int steps = 0; steps < 400; steps += 13) {
    const SessionHandle session = chat.Begin(question, 12);
    Error err;
    Answer answer;
    junto_status status = JUNTO_YIELDED;
    for (int i = 0; i < steps && status == JUNTO_YIELDED; ++i) {
      status = junto_session_step(session.get(), 0, Answer::Take, &answer, &err);
    }
    if (status == JUNTO_DONE) break;
    junto_session_cancel(session.get());
    INFO("after " << steps << " steps");
    REQUIRE(junto_session_step(session.get(), 0, Answer::Take, &answer, &err) == JUNTO_CANCELLED);
    REQUIRE(UsageOf(session).stop == JUNTO_STOP_CANCELLED);
    REQUIRE(junto_session_step(session.get(), 0, Answer::Take, &answer, &err) == JUNTO_DONE);
    Prefill(session, question);
    REQUIRE(Generate(session) == expected);
  }
  SECTION("what was cancelled before it began") {
    const SessionHandle session = chat.Begin(question, 12);
    junto_session_cancel(session.get());
    Prefill(session, question);
    Error err;
    CHECK(junto_session_generate(session.get(), nullptr, nullptr, &err) == JUNTO_CANCELLED);
    Prefill(session, question);
    CHECK(Generate(session) == expected);
  }
}

TEST_CASE("a conversation keeps what it has and answers as a fresh session would") {
  for (const TinyModel& source : {TinyModel::Chat()}) {
    Chat chat(source.Bytes());
    const SessionHandle session = CreateSession(chat.model, SessionDesc(256, 16));
    SetSampling(session, 1.0f, 3, 12);
    const PromptHandle prompt = CreatePrompt(chat.model);
    AddTurn(prompt, "system", "Be brief.");
    uint64_t held = 0;
    for (const char* question :
         {"Where is the zebra?", "And the café?", "Thank you \xE2\x98\x83"}) {
      AddTurn(prompt, "user", question);
      Prefill(session, prompt);
      const Answer answer = Generate(session);
      const junto_usage usage = UsageOf(session);
      CHECK(usage.cached_tokens >= (held == 0 ? 0 : held - 1));
      CHECK(usage.cached_tokens < usage.prompt_tokens);
      CHECK(usage.position >= usage.prompt_tokens);
      held = usage.prompt_tokens;

      const SessionHandle fresh = CreateSession(chat.model, SessionDesc(256, 7));
      SetSampling(fresh, 1.0f, 3, 12);
      Prefill(fresh, prompt);
      CHECK(UsageOf(fresh).cached_tokens == 0);
      CHECK(Generate(fresh) == answer);
      AddTurn(prompt, "assistant", answer.text);
    }
    CHECK(UsageOf(session).cached_tokens != 0);
  }
}

TEST_CASE("another prompt may take over at any time") {
  // Windows make the cache a ring, which must notice when what a prompt shares is gone.
  Chat chat(TinyModel::GptOss().Bytes());
  const auto tokens = [](int count, int from) {
    std::vector<junto_token> list;
    for (int i = 0; i < count; ++i) {
      list.push_back(static_cast<junto_token>((i < from ? i * 7 : i * 11 + 5) % 48));
    }
    return list;
  };
  const SessionHandle session = CreateSession(chat.model, SessionDesc(256, 16));
  SetSampling(session, 1.0f, 9, 6);
  for (const auto& [count, from] : std::vector<std::pair<int, int>>{
           {200, 200}, {200, 190}, {200, 60}, {40, 30}, {240, 39}, {240, 5}, {1, 1}, {250, 250}}) {
    const PromptHandle prompt = TokenPrompt(chat.model, tokens(count, from));
    Prefill(session, prompt);
    Error err;
    Answer some;
    (void)junto_session_step(session.get(), 40, Answer::Take, &some, &err);  // and be interrupted
    Prefill(session, prompt);
    const Answer answer = Generate(session);
    INFO(count << " tokens, new from " << from);
    CHECK(answer == Generate(chat.Begin(prompt, 6, 9)));
  }
}

// Logits by position; stops or fails when told.
struct Rows {
  std::map<uint64_t, std::vector<float>> rows;
  std::vector<uint64_t> order;
  uint64_t stop_at = UINT64_MAX;
  junto_status answer = JUNTO_OK;

  static junto_status JUNTO_CALL Take(void* user, uint64_t position, const float* logits,
                                      size_t vocab) {
    auto* self = static_cast<Rows*>(user);
    self->order.push_back(position);
    self->rows[position].assign(logits, logits + vocab);
    return position == self->stop_at ? self->answer : JUNTO_OK;
  }
};

TEST_CASE("evaluation hands out every position in order, and can be repeated after a failure") {
  Chat chat;
  const PromptHandle question = chat.Question();
  const auto evaluate = [](const SessionHandle& session, Rows* rows, Error* err) {
    return junto_session_evaluate(session.get(), Rows::Take, rows, err);
  };
  Error err;
  Rows expected;
  REQUIRE_OK(evaluate(chat.Begin(question, 0, 7, 256, 1), &expected, &err));
  const size_t count = expected.order.size();
  REQUIRE(count > 20);
  for (size_t i = 0; i < count; ++i) REQUIRE(expected.order[i] == i);

  SECTION("in chunks") {
    for (const uint32_t chunk : {2u, 7u, 16u, 512u}) {
      Rows rows;
      const SessionHandle session = chat.Begin(question, 0, 7, 256, chunk);
      REQUIRE_OK(evaluate(session, &rows, &err));
      CHECK(rows.order == expected.order);
      CHECK(rows.rows == expected.rows);
      CHECK(evaluate(session, &rows, &err) == JUNTO_DONE);
      CHECK(UsageOf(session).position == count);
    }
  }
  SECTION("without what is held") {
    const SessionHandle session = chat.Begin(question, 4);
    Generate(session);
    Prefill(session, question);
    Rows rows;
    REQUIRE_OK(evaluate(session, &rows, &err));
    CHECK(rows.order == std::vector<uint64_t>{count - 1});
    CHECK(rows.rows[count - 1] == expected.rows[count - 1]);
  }
  SECTION("failing") {
    Rows rows;
    rows.stop_at = 18;
    rows.answer = JUNTO_E_IO;
    const SessionHandle session = chat.Begin(question, 4);
    CHECK_FAILS(evaluate(session, &rows, &err), JUNTO_E_CALLBACK);
    CHECK(rows.order.back() == 18);
    rows.stop_at = UINT64_MAX;
    REQUIRE_OK(evaluate(session, &rows, &err));
    CHECK(rows.rows == expected.rows);
  }
  SECTION("stopping") {
    Rows rows;
    rows.stop_at = 3;
    rows.answer = JUNTO_DONE;
    const SessionHandle session = chat.Begin(question, 4);
    CHECK(evaluate(session, &rows, &err) == JUNTO_DONE);
    CHECK(rows.order.back() == 3);
    CHECK(evaluate(session, &rows, &err) == JUNTO_DONE);
    CHECK(rows.order.back() == 3);
  }
  SECTION("cancelled") {
    Rows rows;
    const SessionHandle session = chat.Begin(question, 4);
    junto_session_cancel(session.get());
    CHECK(evaluate(session, &rows, &err) == JUNTO_CANCELLED);
    CHECK(rows.order.empty());
    Prefill(session, question);
    REQUIRE_OK(evaluate(session, &rows, &err));
    CHECK(rows.rows == expected.rows);
  }
  SECTION("after a prompt only") {
    const SessionHandle session = CreateSession(chat.model, SessionDesc(64, 8));
    Rows rows;
    CHECK_FAILS(evaluate(session, &rows, &err), JUNTO_E_INVALID);
    CHECK_FAILS(junto_session_generate(session.get(), nullptr, nullptr, &err), JUNTO_E_INVALID);
    CHECK_FAILS(junto_session_evaluate(session.get(), nullptr, nullptr, &err), JUNTO_E_INVALID);
    CHECK_FAILS(junto_session_prefill(session.get(), CreatePrompt(chat.model).get(), &err),
                JUNTO_E_INVALID);
  }
}

TEST_CASE("the host's clock measures and limits") {
  Chat chat;
  const PromptHandle question = chat.Question();
  const SessionHandle session = chat.Begin(question, 10);
  chat.host.tick = 1000;
  const uint64_t looks = chat.host.looks;
  const uint64_t start = chat.host.now;
  Error err;
  Answer answer;
  uint64_t steps = 0;
  junto_status status = JUNTO_YIELDED;
  while (status == JUNTO_YIELDED) {
    const uint64_t before = chat.host.now;
    status = junto_session_step(session.get(), 20000, Answer::Take, &answer, &err);
    CHECK(chat.host.now - before < 20000 + 10000);
    ++steps;
  }
  CHECK(status == JUNTO_DONE);
  CHECK(steps > 5);
  CHECK(chat.host.looks > looks);
  const junto_usage usage = UsageOf(session);
  CHECK(usage.prefill_ns > 0);
  CHECK(usage.decode_ns > 0);
  CHECK(usage.prefill_ns + usage.decode_ns <= chat.host.now - start);
  CHECK(usage.first_token_ns >= usage.prefill_ns);
  CHECK(usage.first_token_ns <= usage.prefill_ns + usage.decode_ns);
  CHECK(usage.overshoot_max_ns < 10000);
  CHECK(usage.new_tokens == 10);

  chat.host.tick = 0;  // a clock that stands still never ends a budget
  Prefill(session, question);
  CHECK(junto_session_step(session.get(), 1000000, Answer::Take, &answer, &err) == JUNTO_DONE);
  CHECK(UsageOf(session).overshoot_max_ns == 0);
}

TEST_CASE("threads, order of tasks, instruction sets and garbage in memory change nothing") {
  const std::pair<const char*, std::vector<uint8_t>> models[] = {
      {"chat", ChatBytes()},
      {"gpt_oss_mxfp4", ParityModel("gpt_oss_mxfp4")},
      {"llama_mixed", ParityModel("llama_mixed")}};
  const auto run = [](Host* host, const std::vector<uint8_t>& bytes) {
    const RuntimeHandle runtime = CreateRuntime(host->desc());
    const ModelHandle model = LoadBytes(runtime.get(), bytes);
    std::vector<junto_token> tokens;
    for (junto_token i = 0; i < 30; ++i) tokens.push_back((i * 5 + 1) % 40);
    const PromptHandle prompt = TokenPrompt(model, tokens);
    const SessionHandle session = CreateSession(model, SessionDesc(64, 9));
    Prefill(session, prompt);
    Rows rows;
    Error err;
    REQUIRE_OK(junto_session_evaluate(session.get(), Rows::Take, &rows, &err));
    return rows.rows;
  };
  for (const auto& [name, bytes] : models) {
    INFO(name);
    Host plain;
    const auto expected = run(&plain, bytes);
    SECTION(std::string(name) + ": five workers of the host") {
      for (const Host::Order order : {Host::Order::kShuffled, Host::Order::kThreads}) {
        Host host;
        host.SetWorkers(5, order);
        CHECK(run(&host, bytes) == expected);
      }
    }
    SECTION(std::string(name) + ": Junto's threads and clock, the system's memory") {
      Host host;
      host.desc()->executor = nullptr;
      host.desc()->allocator = nullptr;
      host.desc()->clock = nullptr;
      host.desc()->max_threads = 3;
      CHECK(run(&host, bytes) == expected);
    }
    SECTION(std::string(name) + ": fresh memory of another colour") {
      for (const uint8_t fill : {0x00, 0x3C, 0x7F}) {
        Host host;
        host.fill = fill;
        CHECK(run(&host, bytes) == expected);
      }
    }
  }
}

}  // namespace
}  // namespace junto
