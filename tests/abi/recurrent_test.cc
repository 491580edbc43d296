// Models with delta-nets through the C ABI: their state goes back to checkpoints only, and what a
// session says never shows how it got there.
#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

constexpr uint32_t kContext = 256;
constexpr uint32_t kNewTokens = 14;

struct Chat {
  explicit Chat(const std::vector<uint8_t>& bytes = TinyModel::QwenChat().Bytes())
      : runtime(CreateRuntime(host.desc())), model(LoadBytes(runtime.get(), bytes)) {}

  SessionHandle Begin(uint32_t chunk = 16, uint64_t checkpoint_bytes = 0) {
    junto_session_desc desc = SessionDesc(kContext, chunk);
    desc.checkpoint_bytes = checkpoint_bytes;
    SessionHandle session = CreateSession(model, desc);
    SetSampling(session, 1.0f, 3, kNewTokens);
    return session;
  }
  PromptHandle PromptOf(const std::vector<std::pair<std::string, std::string>>& turns) {
    PromptHandle prompt = CreatePrompt(model);
    for (const auto& turn : turns) AddTurn(prompt, turn.first, turn.second);
    return prompt;
  }
  // What a session that never saw anything else answers.
  Answer Fresh(const PromptHandle& prompt, uint32_t chunk = 7) {
    const SessionHandle session = Begin(chunk);
    Prefill(session, prompt);
    CHECK(UsageOf(session).cached_tokens == 0);
    return Generate(session);
  }
  // Of "<|im_start|>assistant\n".
  uint64_t HeaderTokens() {
    return Tokenize(model, "<|im_start|>assistant\n", JUNTO_TOKENIZE_PARSE_SPECIAL).size();
  }
  // Bytes of one state, from what the plan says that one more takes.
  uint64_t StateBytes() {
    uint64_t some = 0;
    uint64_t most = 0;
    Error err;
    junto_session_desc desc = SessionDesc(kContext, 16);
    desc.checkpoint_bytes = 1;
    REQUIRE_OK(junto_session_plan(model.get(), &desc, JUNTO_TAG_KV, &some, &err));
    desc.checkpoint_bytes = UINT64_MAX;
    REQUIRE_OK(junto_session_plan(model.get(), &desc, JUNTO_TAG_KV, &most, &err));
    REQUIRE((most - some) % 8 == 0);
    return (most - some) / 8;
  }

  Host host;
  RuntimeHandle runtime;
  ModelHandle model;
};

using Turns = std::vector<std::pair<std::string, std::string>>;

// Half of what was said was reasoning, and the next prompt does not repeat it.
std::string WithoutReasoning(const std::string& said) {
  size_t middle = said.size() / 2;
  while (middle < said.size() && (said[middle] & 0xC0) == 0x80) ++middle;
  return said.substr(middle);
}

TEST_CASE("a chat without its past reasoning computes only what is new") {
  Chat chat;
  const SessionHandle session = chat.Begin();
  Turns turns = {{"system", "Be brief."}};
  uint64_t past = 0;
  for (const char* question : {"Where is the zebra?", "And the café?", "Thank you \xE2\x98\x83"}) {
    turns.emplace_back("user", question);
    const PromptHandle prompt = chat.PromptOf(turns);
    Prefill(session, prompt);
    const junto_usage usage = UsageOf(session);
    INFO(question << ": " << usage.cached_tokens << " of " << past);
    CHECK(usage.cached_tokens == (past == 0 ? 0 : past - chat.HeaderTokens()));
    const Answer answer = Generate(session);
    CHECK(answer == chat.Fresh(prompt));
    past = usage.prompt_tokens;
    turns.emplace_back("assistant", WithoutReasoning(answer.text));
  }
}

TEST_CASE("a chat that repeats all that was said goes on where it is") {
  Chat chat;
  const SessionHandle session = chat.Begin();
  const PromptHandle prompt = chat.PromptOf({{"user", "Where is the zebra?"}});
  Prefill(session, prompt);
  const Answer answer = Generate(session);
  // The tokens themselves, as text may become others.
  PromptHandle longer = CreatePrompt(chat.model);
  Error err;
  std::vector<junto_token> tokens = Tokenize(
      chat.model, "<|im_start|>user\nWhere is the zebra?<|im_end|>\n<|im_start|>assistant\n",
      JUNTO_TOKENIZE_PARSE_SPECIAL);
  REQUIRE(tokens.size() == UsageOf(session).prompt_tokens);
  tokens.insert(tokens.end(), answer.tokens.begin(), answer.tokens.end());
  tokens.push_back(1);
  REQUIRE_OK(junto_prompt_add_tokens(longer.get(), tokens.data(), tokens.size(), &err));
  const uint64_t held = UsageOf(session).position;
  Prefill(session, longer);
  CHECK(UsageOf(session).cached_tokens == held);
  CHECK(Generate(session) == chat.Fresh(longer));
}

TEST_CASE("an answer may be asked for again, and past turns rewritten") {
  Chat chat;
  const SessionHandle session = chat.Begin();
  const Turns first = {{"user", "Where is the zebra?"}};
  Turns second = first;
  second.emplace_back("assistant", "Here.");
  second.emplace_back("user", "Where?");
  Turns third = second;
  third.emplace_back("assistant", "There!");
  third.emplace_back("user", "No, where?");
  std::vector<uint64_t> begins;  // of the last turns
  for (const Turns& turns : {first, second, third}) {
    Prefill(session, chat.PromptOf(turns));
    begins.push_back(UsageOf(session).prompt_tokens - chat.HeaderTokens());
    Generate(session);
  }
  const auto expect = [&](const Turns& turns, uint64_t cached) {
    const PromptHandle prompt = chat.PromptOf(turns);
    Prefill(session, prompt);
    CHECK(UsageOf(session).cached_tokens == cached);
    CHECK(Generate(session) == chat.Fresh(prompt));
  };
  expect(third, begins[2]);
  expect(third, begins[2]);
  Turns rewritten = second;
  rewritten[1].second = "It ran away.";
  expect(rewritten, begins[0]);
  expect(second, begins[0]);  // what followed was forgotten
  expect(first, begins[0]);
  expect({{"user", "Something else"}}, 0);
}

TEST_CASE("checkpoints take what they are given, the earliest giving way") {
  Chat chat;
  const uint64_t state = chat.StateBytes();
  REQUIRE(state > 0);
  const auto plan = [&](uint64_t checkpoint_bytes) {
    junto_session_desc desc = SessionDesc(kContext, 16);
    desc.checkpoint_bytes = checkpoint_bytes;
    Error err;
    uint64_t bytes = 0;
    REQUIRE_OK(junto_session_plan(chat.model.get(), &desc, JUNTO_TAG_KV, &bytes, &err));
    return bytes;
  };
  CHECK(plan(state - 1) == plan(1));
  CHECK(plan(state) == plan(1) + state);
  CHECK(plan(3 * state + 1) == plan(1) + 3 * state);
  CHECK(plan(0) == plan(UINT64_MAX));

  Turns turns = {{"user", "One"}};
  std::vector<Turns> prompts;
  for (int i = 0; i < 4; ++i) {
    prompts.push_back(turns);
    turns.emplace_back("assistant", "a");
    turns.emplace_back("user", "b");
  }
  for (const uint64_t room : {0u, 1u, 2u, 4u}) {
    INFO(room << " checkpoints");
    const SessionHandle session = chat.Begin(16, room == 0 ? 1 : room * state);
    std::vector<uint64_t> begins;
    for (const Turns& some : prompts) {
      Prefill(session, chat.PromptOf(some));
      begins.push_back(UsageOf(session).prompt_tokens - chat.HeaderTokens());
      Generate(session);
    }
    for (size_t i = 0; i < prompts.size(); ++i) {  // the last first: going back forgets
      const size_t at = prompts.size() - 1 - i;
      const PromptHandle prompt = chat.PromptOf(prompts[at]);
      Prefill(session, prompt);
      CHECK(UsageOf(session).cached_tokens == (i < room ? begins[at] : 0));
      CHECK(Generate(session) == chat.Fresh(prompt));
    }
  }
}

// Writes tools into the system's turn, as Qwen's own does.
constexpr const char* kToolTemplate =
    "{% set begins = messages[0].role == 'system' %}"
    "{% if tools or begins %}{{ '<|im_start|>system\n' }}"
    "{% if begins %}{{ messages[0].content }}{% endif %}"
    "{% for tool in tools or [] %}{{ '\n' }}{{ tool | tojson }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{% if not (loop.first and begins) %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
constexpr const char* kTools = R"([{"type": "function", "function": {"name": "find"}}])";

struct Conversations : Chat {
  Conversations()
      : Chat(TinyModel::QwenChat().Set("tokenizer.chat_template", kToolTemplate).Bytes()) {}

  PromptHandle Ask(const Turns& turns, bool tools) {
    PromptHandle prompt = CreatePrompt(model);
    Error err;
    if (tools) {
      REQUIRE_OK(junto_prompt_set_tools(prompt.get(), kTools, std::strlen(kTools), &err));
    }
    for (const auto& turn : turns) AddTurn(prompt, turn.first, turn.second);
    return prompt;
  }
  // Tokens before the first user's turn.
  uint64_t Opening(const PromptHandle& prompt) {
    Error err;
    std::string text(4096, 0);
    size_t size = 0;
    REQUIRE_OK(junto_prompt_render(prompt.get(), &text[0], text.size(), &size, &err));
    const size_t end = text.substr(0, size).find("<|im_start|>user");
    REQUIRE(end != std::string::npos);
    return Tokenize(model, text.substr(0, end), JUNTO_TOKENIZE_PARSE_SPECIAL).size();
  }
  // Answers as a fresh session would, after computing all but `cached` tokens. Returns where the
  // prompt's last turn begins.
  uint64_t Expect(const SessionHandle& session, const PromptHandle& prompt, uint64_t cached) {
    Prefill(session, prompt);
    const junto_usage usage = UsageOf(session);
    CHECK(usage.cached_tokens == cached);
    CHECK(Generate(session) == Fresh(prompt));
    return usage.prompt_tokens - HeaderTokens();
  }
};

TEST_CASE("another conversation computes only what follows the system's turn and tools") {
  Conversations chat;
  for (const bool tools : {false, true}) {
    for (const bool system : {false, true}) {
      INFO("system " << system << ", tools " << tools);
      Turns one;
      if (system) one.emplace_back("system", "Be brief, and kind.");
      Turns other = one;
      one.emplace_back("user", "Where is the zebra?");
      other.emplace_back("user", "Who are you?");
      const SessionHandle session = chat.Begin(5);
      const uint64_t opening = chat.Opening(chat.Ask(one, tools));
      CHECK((opening == 0) == (!system && !tools));
      uint64_t last = 0;
      const Turns first = one;
      for (int turn = 0; turn < 3; ++turn) {
        last = chat.Expect(session, chat.Ask(one, tools), last);
        one.emplace_back("assistant", "There!");
        one.emplace_back("user", "Where?");
      }
      last = chat.Expect(session, chat.Ask(other, tools), opening);
      other.emplace_back("assistant", "A model.");
      other.emplace_back("user", "Are you?");
      chat.Expect(session, chat.Ask(other, tools), last);
      last = chat.Expect(session, chat.Ask(first, tools), opening);
      chat.Expect(session, chat.Ask(one, tools), last);
      Turns unlike = {{"system", "Be brief, and rude."}};
      unlike.emplace_back("user", "Who are you?");
      chat.Expect(session, chat.Ask(unlike, tools), 0);
    }
  }
}

TEST_CASE("the system's checkpoint gives way last but one") {
  Conversations chat;
  const uint64_t state = chat.StateBytes();
  Turns turns = {{"system", "Be brief."}, {"user", "One"}};
  std::vector<Turns> prompts;
  for (int i = 0; i < 4; ++i) {
    prompts.push_back(turns);
    turns.emplace_back("assistant", "a");
    turns.emplace_back("user", "b");
  }
  const Turns other = {{"system", "Be brief."}, {"user", "Who are you?"}};
  const uint64_t opening = chat.Opening(chat.Ask(other, false));
  for (const uint64_t room : {0u, 1u, 2u, 3u}) {
    INFO(room << " checkpoints");
    const auto begin = [&](uint64_t some) { return chat.Begin(16, some == 0 ? 1 : some * state); };
    SessionHandle session = begin(room);
    uint64_t last = 0;
    uint64_t before = 0;
    for (const Turns& some : prompts) {
      before = last;
      last = chat.Expect(session, chat.Ask(some, false), room == 0 ? 0 : last);
    }
    // As a snapshot, with the same room and with less, and as it is.
    Error err;
    size_t size = 0;
    REQUIRE_OK(junto_session_snapshot(session.get(), nullptr, 0, &size, &err));
    std::vector<uint8_t> saved(size);
    REQUIRE_OK(junto_session_snapshot(session.get(), saved.data(), size, &size, &err));
    for (uint64_t less = 0; less <= room; ++less) {
      INFO("restored with " << less);
      const SessionHandle restored = begin(less);
      const auto restore = [&] {
        REQUIRE_OK(junto_session_restore(restored.get(), saved.data(), saved.size(), &err));
      };
      restore();
      chat.Expect(restored, chat.Ask(prompts[3], false), less >= 1 ? last : 0);
      restore();
      const uint64_t earlier = less >= 3 ? before : less >= 2 ? opening : 0;
      chat.Expect(restored, chat.Ask(prompts[2], false), earlier);
      restore();
      chat.Expect(restored, chat.Ask(other, false), less >= 2 ? opening : 0);
    }
    chat.Expect(session, chat.Ask(prompts[3], false), room >= 1 ? last : 0);
    chat.Expect(session, chat.Ask(other, false), room >= 2 ? opening : 0);
  }
}

TEST_CASE("forks begin other conversations behind the system's turn") {
  Conversations chat;
  const Turns one = {{"system", "Be brief."}, {"user", "Where is the zebra?"}};
  const Turns other = {{"system", "Be brief."}, {"user", "Who are you?"}};
  junto_session_desc desc = SessionDesc(kContext, 16);
  desc.max_forks = 2;
  const SessionHandle session = CreateSession(chat.model, desc);
  SetSampling(session, 1.0f, 3, kNewTokens);
  const uint64_t last = chat.Expect(session, chat.Ask(one, true), 0);
  const uint64_t opening = chat.Opening(chat.Ask(one, true));
  Error err;
  junto_session* forked = nullptr;
  REQUIRE_OK(junto_session_fork(session.get(), &forked, &err));
  const SessionHandle fork(forked);
  chat.Expect(fork, chat.Ask(other, true), opening);
  chat.Expect(session, chat.Ask(one, true), last);
  chat.Expect(fork, chat.Ask(one, true), opening);

  // Back to where the system's turn was not whole yet, and on from there.
  REQUIRE_OK(junto_session_rewind(session.get(), opening - 1, &err));
  CHECK(UsageOf(session).cached_tokens == 0);
  Generate(session);
  chat.Expect(session, chat.Ask(other, true), (opening - 2) / 16 * 16);  // before its last pass
  chat.Expect(session, chat.Ask(one, true), opening);
}

TEST_CASE("a pass that is given up leaves the state as it was") {
  Chat chat;
  const PromptHandle prompt = chat.PromptOf({{"user", "Where is the zebra, and where the café?"}});
  const Answer expected = chat.Fresh(prompt);
  const SessionHandle session = chat.Begin(5);
  for (int steps = 1; steps < 1000; steps += 37) {
    INFO("after " << steps << " steps");
    Error err;
    Answer answer;
    Prefill(session, prompt);
    junto_status status = JUNTO_YIELDED;
    for (int i = 0; i < steps && status == JUNTO_YIELDED; ++i) {
      status = junto_session_step(session.get(), 0, Answer::Take, &answer, &err);
    }
    if (status == JUNTO_DONE) CHECK(answer == expected);
    junto_session_cancel(session.get());
    Prefill(session, prompt);
    REQUIRE(junto_session_generate(session.get(), nullptr, nullptr, &err) == JUNTO_CANCELLED);
    Prefill(session, prompt);
    REQUIRE(Generate(session) == expected);
    if (status == JUNTO_DONE) break;
  }
}

// What evaluate hands out, by position; may fail once.
struct Logits {
  static junto_status JUNTO_CALL Take(void* user, uint64_t position, const float* logits,
                                      size_t vocab) {
    auto* self = static_cast<Logits*>(user);
    if (position == self->fail_at) {
      self->fail_at = UINT64_MAX;
      return JUNTO_E_IO;
    }
    self->rows[position].assign(logits, logits + vocab);
    return JUNTO_OK;
  }
  std::map<uint64_t, std::vector<float>> rows;
  uint64_t fail_at = UINT64_MAX;
};

TEST_CASE("an evaluation that fails goes on with the same bits") {
  Chat chat;
  const PromptHandle prompt = chat.PromptOf({{"user", "Where is the zebra, and where the café?"}});
  Error err;
  Logits expected;
  const SessionHandle whole = chat.Begin(64);
  Prefill(whole, prompt);
  REQUIRE_OK(junto_session_evaluate(whole.get(), Logits::Take, &expected, &err));
  REQUIRE(expected.rows.size() == UsageOf(whole).prompt_tokens);
  for (const uint64_t fail_at : {0u, 4u, 5u, 12u, 17u}) {
    INFO("at " << fail_at);
    Logits found;
    found.fail_at = fail_at;
    const SessionHandle session = chat.Begin(5);
    Prefill(session, prompt);
    REQUIRE(junto_session_evaluate(session.get(), Logits::Take, &found, &err) < 0);
    REQUIRE_OK(junto_session_evaluate(session.get(), Logits::Take, &found, &err));
    CHECK(found.rows == expected.rows);
    Prefill(session, prompt);
    CHECK(Generate(session) == chat.Fresh(prompt));
  }
}

TEST_CASE("a session may leave a batch in the middle of a pass") {
  Chat chat;
  const PromptHandle prompts[] = {chat.PromptOf({{"user", "Where is the zebra?"}}),
                                  chat.PromptOf({{"user", "And the café, where is that?"}})};
  const Answer expected[] = {chat.Fresh(prompts[0]), chat.Fresh(prompts[1])};
  for (int steps = 0; steps < 60; steps += 7) {
    INFO("after " << steps << " steps");
    Error err;
    junto_batch* created = nullptr;
    REQUIRE_OK(junto_batch_create(chat.model.get(), 2, 11, &created, &err));
    const BatchHandle batch(created);
    const SessionHandle sessions[] = {chat.Begin(), chat.Begin(3)};
    for (int i = 0; i < 2; ++i) {
      Prefill(sessions[i], prompts[i]);
      REQUIRE_OK(junto_batch_add(batch.get(), sessions[i].get(), &err));
    }
    std::vector<Answer> said(2);
    const auto take = [](void* user, const junto_chunk* chunk) -> junto_status {
      auto* both = static_cast<std::pair<const SessionHandle*, std::vector<Answer>*>*>(user);
      const size_t i = chunk->session == both->first[0].get() ? 0 : 1;
      return Answer::Take(&(*both->second)[i], chunk);
    };
    std::pair<const SessionHandle*, std::vector<Answer>*> both(sessions, &said);
    for (int i = 0; i < steps; ++i) {
      REQUIRE(junto_batch_step(batch.get(), 0, take, &both, &err) >= 0);
    }
    // One goes on alone from wherever it is; the other stays.
    REQUIRE_OK(junto_batch_remove(batch.get(), sessions[0].get(), &err));
    const Answer rest = Generate(sessions[0]);
    said[0].text += rest.text;
    said[0].tokens.insert(said[0].tokens.end(), rest.tokens.begin(), rest.tokens.end());
    junto_status status = JUNTO_YIELDED;
    while (status == JUNTO_YIELDED) {
      status = junto_batch_step(batch.get(), 0, take, &both, &err);
    }
    REQUIRE(status == JUNTO_DONE);
    CHECK(said[0] == expected[0]);
    CHECK(said[1] == expected[1]);
  }
}

// ---- what files may look like

Answer AnswerOf(const TinyModel& model) {
  Chat chat(model.Bytes());
  return chat.Fresh(chat.PromptOf({{"user", "Where is the zebra?"}}));
}

TEST_CASE("files of other exporters say the same") {
  const Answer expected = AnswerOf(TinyModel::QwenChat());
  const std::string p = "qwen35moe.";
  SECTION("three sections") {
    CHECK(AnswerOf(TinyModel::QwenChat().Set(p + "rope.dimension_sections",
                                             std::vector<int32_t>{1, 1, 1})) == expected);
  }
  SECTION("heads of keys for each layer, none where there is a delta-net") {
    CHECK(AnswerOf(TinyModel::QwenChat().Set(p + "attention.head_count_kv",
                                             std::vector<uint32_t>{0, 2})) == expected);
  }
  SECTION("a map of the layers, which counts more than the interval") {
    TinyModel model = TinyModel::QwenChat().Set(p + "full_attention_interval", uint32_t{1});
    CHECK(AnswerOf(model.Set(p + "attention.recurrent_layers", std::vector<bool>{true, false})) ==
          expected);
  }
  SECTION("queries, keys and values in one tensor") {
    TinyModel model = TinyModel::QwenChat();
    TinyModel::Tensor all = *model.Find("blk.1.attn_q.weight");
    all.name = "blk.1.attn_qkv.weight";
    for (const char* name : {"blk.1.attn_k.weight", "blk.1.attn_v.weight"}) {
      TinyModel::Tensor* const part = model.Find(name);
      all.dims[1] += part->dims[1];
      all.bytes.insert(all.bytes.end(), part->bytes.begin(), part->bytes.end());
      part->name += ".unused";
    }
    *model.Find("blk.1.attn_q.weight") = all;
    CHECK(AnswerOf(model) == expected);
  }
  SECTION("a bias without suffix, and tensors of other parts of the model") {
    TinyModel model = TinyModel::QwenChat();
    model.Find("blk.0.ssm_dt.bias")->name = "blk.0.ssm_dt";
    TinyModel::Tensor stranger = *model.Find("output_norm.weight");
    for (const char* name : {"v.post_ln.weight", "mm.0.bias", "mtp.norm.weight"}) {
      stranger.name = name;
      model.tensors.push_back(stranger);
    }
    CHECK(AnswerOf(model) == expected);
  }
  SECTION("a block for several tokens at once, which is left out") {
    TinyModel model = TinyModel::QwenChat();
    model.Set(p + "block_count", uint32_t{3}).Set(p + "nextn_predict_layers", uint32_t{1});
    for (const char* name : {"attn_norm.weight", "nextn.enorm.weight"}) {
      TinyModel::Tensor tensor = *model.Find("output_norm.weight");
      tensor.name = std::string("blk.2.") + name;
      model.tensors.push_back(tensor);
    }
    CHECK(AnswerOf(model) == expected);
    Chat chat(model.Bytes());
    junto_model_info info;
    junto_model_info_init(&info, sizeof(info));
    REQUIRE(junto_model_get_info(chat.model.get(), &info) == JUNTO_OK);
    CHECK(info.layers == 2);
  }
  SECTION("keys that have values of their own where they are absent") {
    TinyModel model = TinyModel::QwenChat();
    model.pairs.erase(std::remove_if(model.pairs.begin(), model.pairs.end(),
                                     [&](const TinyModel::Pair& pair) {
                                       return pair.key == p + "ssm.conv_kernel";
                                     }),
                      model.pairs.end());
    CHECK(AnswerOf(model) == expected);
    // The rope's base is not that of other families, and a scale of 0 is none.
    TinyModel spelled = TinyModel::QwenChat().Set(p + "rope.freq_base", 1e7f);
    TinyModel silent = spelled;
    spelled.Set(p + "expert_weights_scale", 0.0f);
    silent.pairs.erase(std::find_if(
        silent.pairs.begin(), silent.pairs.end(),
        [&](const TinyModel::Pair& pair) { return pair.key == p + "rope.freq_base"; }));
    CHECK(AnswerOf(silent) == AnswerOf(spelled));
    CHECK_FALSE(AnswerOf(silent) == expected);
  }
}

TEST_CASE("delta-nets that cannot be are refused with a fact and a number") {
  Host host;
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  const std::string p = "qwen35moe.";
  const auto refuse = [&](const TinyModel& model) {
    const std::vector<uint8_t> bytes = model.Bytes();
    Error err;
    junto_model* loaded = nullptr;
    CHECK(junto_model_load_memory(runtime.get(), bytes.data(), bytes.size(), nullptr, &loaded,
                                  &err) == JUNTO_E_FORMAT);
    CHECK(err.IsLine());
    CHECK(err.HasNumber());
    CHECK(loaded == nullptr);
  };
  for (const uint32_t bad : {0u, 3u, 5000u, UINT32_MAX}) {
    for (const char* key : {"ssm.group_count", "ssm.time_step_rank", "ssm.state_size",
                            "ssm.inner_size", "ssm.conv_kernel"}) {
      INFO(key << " " << bad);
      refuse(TinyModel::Qwen().Set(p + key, bad));
    }
  }
  refuse(TinyModel::Qwen().Set(p + "nextn_predict_layers", uint32_t{2}));
  refuse(TinyModel::Qwen().Set(p + "nextn_predict_layers", UINT32_MAX));
  refuse(TinyModel::Qwen().Set(p + "attention.head_count_kv", std::vector<uint32_t>{2, 0}));
  refuse(TinyModel::Qwen().Set(p + "attention.recurrent_layers", std::vector<bool>{true}));
  refuse(TinyModel::Qwen().Set(p + "rope.dimension_sections", std::vector<int32_t>{1, 1, 1, 0, 0}));
  refuse(TinyModel::Qwen().Set(p + "rope.dimension_sections", std::vector<int32_t>{-1, 1, 1, 0}));
  for (const char* name : {"attn_qkv.weight", "ssm_conv1d.weight", "ssm_a", "ssm_norm.weight",
                           "ssm_out.weight", "ffn_gate_inp_shexp.weight"}) {
    INFO(name);
    TinyModel model = TinyModel::Qwen();
    model.Find(std::string("blk.0.") + name)->name = "gone";
    refuse(model);
  }
}

}  // namespace
}  // namespace junto
