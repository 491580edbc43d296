// How reasoning and the calls of tools arrive, through junto.h alone: models that say what a script
// says, token by token.
#include <string>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/script.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

struct Model {
  explicit Model(const Script& script)
      : runtime(CreateRuntime(host.desc())),
        model(LoadBytes(runtime.get(), script.bytes)),
        start(TokenPrompt(model, {script.tokens[0]})) {}

  SessionHandle Begin(uint32_t wanted, uint32_t count = 0) {
    junto_session_desc desc = SessionDesc(64, 8);
    desc.max_forks = 1;
    SessionHandle session = CreateSession(model, desc);
    Error err;
    REQUIRE_OK(junto_session_set_output(session.get(), wanted, &err));
    SetSampling(session, 0.0f, 0, count);
    Prefill(session, start);
    return session;
  }

  Host host;
  RuntimeHandle runtime;
  ModelHandle model;
  PromptHandle start;
};

// What arrived: the channels in order, each with its text, as in unit/output_test.cc.
struct Parts {
  void Add(const junto_chunk& chunk) {
    if (chunk.text_size == 0) return;
    std::string head = "[";
    head += "crna"[chunk.channel];
    if (chunk.channel >= JUNTO_CHANNEL_TOOL_NAME) head += std::to_string(chunk.call);
    head += "]";
    if (head != last) text += head;
    last = head;
    text.append(chunk.text, chunk.text_size);
  }
  static junto_status JUNTO_CALL Take(void* user, const junto_chunk* chunk) {
    static_cast<Parts*>(user)->Add(*chunk);
    static_cast<Parts*>(user)->tokens += chunk->token_count;
    return JUNTO_OK;
  }
  std::string text;
  std::string last;
  size_t tokens = 0;
};

std::string Stream(const SessionHandle& session) {
  Error err;
  Parts parts;
  CHECK(junto_session_generate(session.get(), Parts::Take, &parts, &err) == JUNTO_DONE);
  const junto_usage usage = UsageOf(session);
  CHECK(parts.tokens + (usage.stop == JUNTO_STOP_LENGTH ? 0 : 1) == usage.new_tokens);
  return parts.text;
}

// The same without a callback, `capacity` bytes at a time.
std::string Read(const SessionHandle& session, size_t capacity) {
  Error err;
  Parts parts;
  junto_status status = JUNTO_YIELDED;
  while (status == JUNTO_YIELDED) {
    status = junto_session_step(session.get(), 0, nullptr, nullptr, &err);
    REQUIRE(status >= 0);
    std::vector<char> text(capacity);
    junto_chunk chunk;
    junto_chunk_init(&chunk, sizeof(chunk));
    while (junto_session_read_chunk(session.get(), text.data(), capacity, &chunk) == JUNTO_OK) {
      CHECK(chunk.session == session.get());
      CHECK(IsUtf8({chunk.text, chunk.text_size}));
      CHECK(chunk.token_count == 0);
      parts.Add(chunk);
    }
  }
  return parts.text;
}

constexpr uint32_t kAll = JUNTO_OUTPUT_REASONING | JUNTO_OUTPUT_TOOL_CALLS;

// gpt-oss thinks, answers and calls. A token may come once in a script, so each has its own model.
TEST_CASE("Harmony's channels arrive as such") {
  const Script thinking("<|start|>", {"<|channel|>", "analysis", "<|message|>", "Caf\xC3\xA9 ",
                                      "time", "<|end|>", "no header", "<|return|>"});
  Model thinks(thinking);
  CHECK(Stream(thinks.Begin(kAll)) == "[r]Caf\xC3\xA9 time[c]no header");
  CHECK(Stream(thinks.Begin(0)) == "[c]no header");
  CHECK(Stream(thinks.Begin(JUNTO_OUTPUT_RAW)) == "[c]analysisCaf\xC3\xA9 timeno header");
  for (const size_t capacity : {2, 3, 100}) {
    CHECK(Read(thinks.Begin(kAll), capacity) == "[r]Caf\xC3\xA9 time[c]no header");
  }

  const Script calling("<|start|>", {"<|channel|>", "commentary", " to=functions.", "find", " json",
                                     "<|message|>", "{\"a\"", ": \"<|call|>", "\"}", "<|call|>"});
  Model calls(calling);
  const SessionHandle session = calls.Begin(kAll);
  CHECK(Stream(session) == "[n0]find[a0]{\"a\": \"<|call|>\"}");
  CHECK(UsageOf(session).stop == JUNTO_STOP_TOOL_CALL);
  const SessionHandle deaf = calls.Begin(JUNTO_OUTPUT_REASONING);
  CHECK(Stream(deaf).empty());
  CHECK(UsageOf(deaf).stop == JUNTO_STOP_EOS);
  const SessionHandle cut = calls.Begin(kAll, 6);
  CHECK(Stream(cut) == "[n0]find[a0]{\"a\"");
  CHECK(UsageOf(cut).stop == JUNTO_STOP_LENGTH);
}

TEST_CASE("the session's flags count from the next prompt on") {
  const Script script("<|start|>", {"<|channel|>", "analysis", "<|message|>", "Hm", "<|return|>"});
  Model model(script);
  const SessionHandle session = model.Begin(0);
  Error err;
  REQUIRE_OK(junto_session_set_output(session.get(), kAll, &err));
  CHECK(Stream(session).empty());
  Prefill(session, model.start);
  CHECK(Stream(session) == "[r]Hm");
}

TEST_CASE("tags that are tokens, and tags that are text") {
  const std::vector<std::string> said = {"x",
                                         "<think>",
                                         "\nHm",
                                         "\n",
                                         "</think>",
                                         "\n\n",
                                         "Hi ",
                                         "<tool_call>",
                                         "{\"name\": \"f\", ",
                                         "\"arguments\": {}}",
                                         "</tool_call>",
                                         "<|im_end|>"};
  Model tokens(Script("<|im_start|> <think> <tool_call>", said));
  const SessionHandle session = tokens.Begin(kAll);
  CHECK(Stream(session) == "[r]Hm[c]Hi[n0]f[a0]{}");
  CHECK(UsageOf(session).stop == JUNTO_STOP_TOOL_CALL);
  CHECK(
      Stream(tokens.Begin(JUNTO_OUTPUT_RAW)) ==
      "[c]<think>\nHm\n</think>\n\nHi <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>");

  // A vocabulary without them, whose template mentions them; cut where tokens like to be cut.
  const std::vector<std::string> spelled = {"x",
                                            "<th",
                                            "ink>\n",
                                            "Hm",
                                            "</",
                                            "think>Hi",
                                            " <b> <",
                                            "tool",
                                            "_call>{\"name\": ",
                                            "\"f\"}</tool_call>",
                                            "<|im_end|>"};
  const std::string mentions = "<|im_start|> <think></think> <tool_call></tool_call>";
  Model text(Script(mentions, spelled));
  CHECK(Stream(text.Begin(kAll)) == "[r]Hm[c]Hi <b>[n0]f[a0]{}");
  // Where the template does not, they are text.
  Model plain(Script("<|im_start|>", spelled));
  CHECK(Stream(plain.Begin(kAll)) ==
        "[c]<think>\nHm</think>Hi <b> <tool_call>{\"name\": \"f\"}</tool_call>");
}

TEST_CASE("Gemma's channels and calls") {
  const Script script("<|turn>",
                      {"<|turn>", "<|channel>", "thought\n", "Hm\n", "<channel|>", "<|tool_call>",
                       "call:f{a:", "<|\"|>", "x", "<tool_call|>", "<turn|>"});
  Model model(script);
  const SessionHandle session = model.Begin(kAll);
  CHECK(Stream(session) == "[r]Hm[n0]f[a0]{\"a\":\"x\"}");
  CHECK(UsageOf(session).stop == JUNTO_STOP_TOOL_CALL);
}

// Steps until so many tokens were said; what they said is left to be read.
void StepTo(const SessionHandle& session, uint64_t count) {
  Error err;
  junto_status status = JUNTO_YIELDED;
  while (status == JUNTO_YIELDED && UsageOf(session).new_tokens < count) {
    status = junto_session_step(session.get(), 0, nullptr, nullptr, &err);
  }
  REQUIRE(status >= 0);
}

TEST_CASE("forks and snapshots go on within thoughts and calls") {
  const Script scripts[] = {
      {"<|start|>",
       {"<|channel|>", "comm", "entary to=functions.", "find", "<|message|>", "{\"a\"", ": 1}",
        "<|end|>", "more ", "text", "<|return|>"}},
      {"<|turn>",
       {"<|turn>", "<|channel>", "tho", "ught\nH", "m \n", "<channel|>", "<|tool_call>",
        "call:", "f{a", ":[1,", "<|\"|>", "x", "<tool_call|>", "<turn|>"}},
      {"<|im_start|> <think></think> <tool_call></tool_call>",
       {"x", "<th", "ink>\n", "Hm\n", "</think", ">Hi  ", "<tool_call>\n<func",
        "tion=f><parameter=a>", "\nx", "\n</para", "meter>", "</function></tool_call>", "bye",
        "<|im_end|>"}}};
  for (const Script& script : scripts) {
    Model model(script);
    const std::string expected = Stream(model.Begin(kAll));
    for (uint64_t count = 0; count <= script.tokens.size(); ++count) {
      INFO("after " << count << " tokens of '" << expected << "'");
      const SessionHandle session = model.Begin(kAll);
      StepTo(session, count);
      Error err;
      size_t size = 0;
      REQUIRE_OK(junto_session_snapshot(session.get(), nullptr, 0, &size, &err));
      std::vector<char> bytes(size);
      REQUIRE_OK(junto_session_snapshot(session.get(), bytes.data(), size, &size, &err));
      const SessionHandle restored = model.Begin(0);
      StepTo(restored, 3);  // what it was about to say is forgotten
      REQUIRE_OK(junto_session_restore(restored.get(), bytes.data(), size, &err));
      CHECK(Read(restored, 7) == expected);
      junto_session* forked = nullptr;
      REQUIRE_OK(junto_session_fork(session.get(), &forked, &err));
      CHECK(Read(SessionHandle(forked), 7) == expected);
      CHECK(Read(session, 7) == expected);
    }
  }
}

TEST_CASE("a reader with too small a buffer is told") {
  Model model(Script("<|im_start|>", {"x", "\xC3\xA9", "<|im_end|>"}));
  const SessionHandle session = model.Begin(0);
  Error err;
  CHECK(junto_session_generate(session.get(), nullptr, nullptr, &err) == JUNTO_DONE);
  char text[4];
  junto_chunk chunk;
  junto_chunk_init(&chunk, sizeof(chunk));
  CHECK(junto_session_read_chunk(session.get(), text, 1, &chunk) == JUNTO_E_SHORT_BUFFER);
  chunk.struct_size = 0;
  CHECK(junto_session_read_chunk(session.get(), text, 4, &chunk) == JUNTO_E_INVALID);
  junto_chunk_init(&chunk, offsetof(junto_chunk, channel));  // an older caller
  CHECK(junto_session_read_chunk(session.get(), text, 4, &chunk) == JUNTO_OK);
  CHECK(std::string(chunk.text, chunk.text_size) == "\xC3\xA9");
  CHECK(junto_session_read_chunk(session.get(), text, 4, &chunk) == JUNTO_DONE);
}

TEST_CASE("the values of calls in XML are what the tools' schemas say") {
  const Script script(
      "<|im_start|> <think></think> <tool_call></tool_call>",
      {"x", "<tool_call>\n<function=f>\n<parameter=a>\n5\n</par", "ameter>\n<parameter=b>\n",
       "5\n</parameter>\n", "</function>\n", "</tool_call>", "<|im_end|>"});
  Model model(script);
  CHECK(Stream(model.Begin(kAll)) == "[n0]f[a0]{\"a\":5,\"b\":5}");
  const std::string tools =
      R"([{"name": "f", "parameters": {"properties": {"b": {"type": "string"}}}}])";
  Error err;
  REQUIRE_OK(junto_prompt_set_tools(model.start.get(), tools.data(), tools.size(), &err));
  const std::string expected = "[n0]f[a0]{\"a\":5,\"b\":\"5\"}";
  CHECK(Stream(model.Begin(kAll)) == expected);

  // They are part of a session, not of the prompt it came from.
  const SessionHandle session = model.Begin(kAll);
  StepTo(session, 2);
  size_t size = 0;
  REQUIRE_OK(junto_session_snapshot(session.get(), nullptr, 0, &size, &err));
  std::vector<char> bytes(size);
  REQUIRE_OK(junto_session_snapshot(session.get(), bytes.data(), size, &size, &err));
  REQUIRE_OK(junto_prompt_set_tools(model.start.get(), "[]", 2, &err));
  const SessionHandle restored = model.Begin(0);
  REQUIRE_OK(junto_session_restore(restored.get(), bytes.data(), size, &err));
  CHECK(Read(restored, 7) == expected);
  junto_session* forked = nullptr;
  REQUIRE_OK(junto_session_fork(session.get(), &forked, &err));
  CHECK(Read(SessionHandle(forked), 7) == expected);
}

TEST_CASE("text that waits comes before what a callback is for") {
  std::vector<std::string> pieces = {"x"};
  std::string expected = "[c]";
  for (int i = 0; i < 40; ++i) {
    pieces.push_back(std::to_string(i) + std::string(200, static_cast<char>('A' + i % 26)));
    expected += pieces.back();
  }
  pieces.push_back("<|im_end|>");
  Model model(Script("<|im_start|>", pieces));
  const SessionHandle session = model.Begin(0);
  Error err;
  uint64_t before = 0;
  do {  // until no more fits
    before = UsageOf(session).new_tokens;
    CHECK(junto_session_step(session.get(), UINT64_MAX, nullptr, nullptr, &err) == JUNTO_YIELDED);
  } while (UsageOf(session).new_tokens != before);
  CHECK(before > 20);
  CHECK(before < 40);
  Parts parts;
  CHECK(junto_session_generate(session.get(), Parts::Take, &parts, &err) == JUNTO_DONE);
  CHECK(parts.text == expected);
}

// Stops or fails at its second chunk.
struct Interrupter {
  junto_status answer;
  Parts parts;
  int chunks = 0;
  static junto_status JUNTO_CALL Take(void* user, const junto_chunk* chunk) {
    auto* self = static_cast<Interrupter*>(user);
    self->parts.Add(*chunk);
    return ++self->chunks == 2 ? self->answer : JUNTO_OK;
  }
};

TEST_CASE("several chunks of one token may be interrupted") {
  // The last token ends a thought, and begins and ends a call.
  const Script script(
      "<|im_start|> <think></think> <tool_call></tool_call>",
      {"x", "<think>Hm", "</think>A<tool_call>{\"name\": \"f\"}</tool_call>B", "<|im_end|>"});
  const std::string all = "[r]Hm[c]A[n0]f[a0]{}[c]\nB";
  for (const junto_status answer : {JUNTO_E_IO, JUNTO_DONE}) {
    Model model(script);
    const SessionHandle session = model.Begin(kAll);
    Interrupter interrupter = {answer, {}, 0};
    Error err;
    const junto_status status =
        junto_session_generate(session.get(), Interrupter::Take, &interrupter, &err);
    CHECK(status == (answer < 0 ? JUNTO_E_CALLBACK : JUNTO_DONE));
    CHECK(interrupter.parts.text == "[r]Hm[c]A");
    CHECK(UsageOf(session).stop == JUNTO_STOP_CALLBACK);
    interrupter.parts.text += Read(session, 100);
    CHECK(interrupter.parts.text == all);
  }
}

}  // namespace
}  // namespace junto
