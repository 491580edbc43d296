// Text and tokens, prompts, metadata and the log, through the C ABI.
#include <string>
#include <vector>

#include "c_api/dispatch.h"
#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

struct Fixture {
  explicit Fixture(const std::vector<uint8_t>& bytes)
      : runtime(CreateRuntime(host.desc())), model(LoadBytes(runtime.get(), bytes)) {}
  Host host;
  RuntimeHandle runtime;
  ModelHandle model;
};

std::string Detokenize(const ModelHandle& model, const std::vector<junto_token>& tokens,
                       uint32_t flags) {
  Error err;
  size_t size = 0;
  REQUIRE_OK(
      junto_detokenize(model.get(), tokens.data(), tokens.size(), flags, nullptr, 0, &size, &err));
  std::string text(size, '?');
  REQUIRE_OK(junto_detokenize(model.get(), tokens.data(), tokens.size(), flags, &text[0], size,
                              &size, &err));
  return text;
}

TEST_CASE("text survives its tokens, and sizes are exact") {
  Fixture fixture(TinyModel::Chat().Bytes());
  const std::string texts[] = {"",
                               "zebra",
                               " a  b\n\n\tc ",
                               "caf\xC3\xA9 \xE2\x98\x83 \xF0\x9F\xA6\x93",
                               "<|im_start|>user<|im_end|>",
                               std::string("nul\0inside", 10)};
  for (const std::string& text : texts) {
    for (const uint32_t flags : {0u, JUNTO_TOKENIZE_PARSE_SPECIAL}) {
      INFO("'" << text << "', flags " << flags);
      const std::vector<junto_token> tokens = Tokenize(fixture.model, text, flags);
      CHECK(Detokenize(fixture.model, tokens, JUNTO_DETOKENIZE_SPECIAL) == text);
      Error err;
      size_t size = 0;
      std::vector<junto_token> room(tokens.size() + 1, -7);
      if (!tokens.empty()) {
        CHECK_FAILS(junto_tokenize(fixture.model.get(), text.data(), text.size(), flags,
                                   room.data(), tokens.size() - 1, &size, &err),
                    JUNTO_E_SHORT_BUFFER);
        CHECK(size == tokens.size());
        CHECK(room[0] == -7);
        std::string bytes(text.size() + 1, '?');
        CHECK_FAILS(
            junto_detokenize(fixture.model.get(), tokens.data(), tokens.size(),
                             JUNTO_DETOKENIZE_SPECIAL, &bytes[0], text.size() - 1, &size, &err),
            JUNTO_E_SHORT_BUFFER);
        CHECK(size == text.size());
        CHECK(bytes[0] == '?');
      }
      REQUIRE_OK(junto_tokenize(fixture.model.get(), text.data(), text.size(), flags, room.data(),
                                room.size(), &size, &err));
      CHECK(room[tokens.size()] == -7);
    }
  }
  const std::string marked = "<|im_start|>";
  CHECK(Tokenize(fixture.model, marked, JUNTO_TOKENIZE_PARSE_SPECIAL).size() == 1);
  CHECK(Tokenize(fixture.model, marked).size() > 1);
  CHECK(Detokenize(fixture.model, {1, 2}, 0).empty());
  Error err;
  size_t size = 77;
  CHECK_FAILS(junto_tokenize(fixture.model.get(), "ab\xFF", 3, 0, nullptr, 0, &size, &err),
              JUNTO_E_INVALID);
  for (const junto_token token : {-1, 828, INT32_MAX, INT32_MIN}) {
    CHECK_FAILS(junto_detokenize(fixture.model.get(), &token, 1, 0, nullptr, 0, &size, &err),
                JUNTO_E_INVALID);
    CHECK_FAILS(junto_prompt_add_tokens(CreatePrompt(fixture.model).get(), &token, 1, &err),
                JUNTO_E_INVALID);
  }
  CHECK(size == 77);
}

TEST_CASE("a model without a vocabulary runs on tokens and says so about text") {
  Fixture fixture(TinyModel::Llama().Bytes());
  Error err;
  size_t size = 77;
  const junto_token token = 3;
  const PromptHandle prompt = TokenPrompt(fixture.model, {token});
  junto_prompt* p = prompt.get();
  CHECK_FAILS(junto_tokenize(fixture.model.get(), "a", 1, 0, nullptr, 0, &size, &err),
              JUNTO_E_UNSUPPORTED);
  CHECK_FAILS(junto_detokenize(fixture.model.get(), &token, 1, 0, nullptr, 0, &size, &err),
              JUNTO_E_UNSUPPORTED);
  CHECK_FAILS(junto_prompt_begin_turn(p, "user", 4, &err), JUNTO_E_UNSUPPORTED);
  CHECK_FAILS(junto_prompt_set_variable(p, "a", 1, "b", 1, &err), JUNTO_E_UNSUPPORTED);
  CHECK_FAILS(junto_prompt_add_text(p, "a", 1, &err), JUNTO_E_UNSUPPORTED);
  CHECK(size == 77);
  const SessionHandle session = CreateSession(fixture.model, SessionDesc(16, 4));
  SetSampling(session, 0.0f, 0, 6);
  Prefill(session, prompt);
  const Answer answer = Generate(session);
  CHECK(answer.tokens.size() == 6);
  CHECK(answer.text.empty());
  junto_model_info info;
  junto_model_info_init(&info, sizeof(info));
  REQUIRE(junto_model_get_info(fixture.model.get(), &info) == JUNTO_OK);
  CHECK((info.bos == -1 && info.eos == -1 && info.vocab == 48 && info.layers == 2));
  CHECK((info.width == 48 && info.context_max == 256 && info.experts == 0));
  CHECK(std::string(info.architecture) == "llama");
}

TEST_CASE("a model has the experts of its layers, also where the first has none") {
  const Fixture fixture(TinyModel::Mimo().Bytes());
  junto_model_info info;
  junto_model_info_init(&info, sizeof(info));
  REQUIRE(junto_model_get_info(fixture.model.get(), &info) == JUNTO_OK);
  CHECK((info.experts == 4 && info.experts_used == 2));
  CHECK(std::string(info.architecture) == "mimo2");
}

TEST_CASE("a prompt keeps its rules, and a mistake changes nothing") {
  Fixture fixture(TinyModel::Chat().Bytes());
  Error err;
  const PromptHandle prompt = CreatePrompt(fixture.model);
  junto_prompt* p = prompt.get();
  const auto rendered = [&] {
    size_t size = 0;
    REQUIRE_OK(junto_prompt_render(p, nullptr, 0, &size, &err));
    std::string text(size, '?');
    REQUIRE_OK(junto_prompt_render(p, &text[0], size, &size, &err));
    if (size != 0) {
      size_t needed = 0;
      CHECK_FAILS(junto_prompt_render(p, &text[0], size - 1, &needed, &err), JUNTO_E_SHORT_BUFFER);
      CHECK(needed == size);
    }
    return text;
  };
  CHECK(rendered().empty());
  CHECK(junto_prompt_begin_turn(p, "wizard", 6, &err) == JUNTO_E_INVALID);
  CHECK(err.text().find("wizard") != std::string::npos);
  CHECK(junto_prompt_set_variable(p, "mood", 4, "good", 4, &err) == JUNTO_E_INVALID);
  CHECK(err.text().find("mood") != std::string::npos);
  CHECK_FAILS(junto_prompt_end_turn(p, &err), JUNTO_E_INVALID);
  REQUIRE_OK(junto_prompt_begin_turn(p, "user", 4, &err));
  CHECK_FAILS(junto_prompt_begin_turn(p, "user", 4, &err), JUNTO_E_INVALID);
  const junto_token token = 50;
  CHECK_FAILS(junto_prompt_add_tokens(p, &token, 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_text(p, "\xC3", 1, &err), JUNTO_E_INVALID);
  size_t size = 77;
  CHECK_FAILS(junto_prompt_render(p, nullptr, 0, &size, &err), JUNTO_E_INVALID);
  const SessionHandle session = CreateSession(fixture.model, SessionDesc(128, 16));
  CHECK_FAILS(junto_session_prefill(session.get(), p, &err), JUNTO_E_INVALID);
  REQUIRE_OK(junto_prompt_add_text(p, "Say <|im_end|> twice", 20, &err));
  REQUIRE_OK(junto_prompt_end_turn(p, &err));
  const std::string turn = "<|im_start|>user\nSay <|im_end|> twice<|im_end|>\n";
  CHECK(rendered() == turn + "<|im_start|>assistant\n");
  // What users write never becomes a control token.
  Prefill(session, prompt);
  const uint64_t tokens = UsageOf(session).prompt_tokens;
  CHECK(tokens > Tokenize(fixture.model, rendered(), JUNTO_TOKENIZE_PARSE_SPECIAL).size());
  AddTurn(prompt, "assistant", "twice");
  CHECK(rendered() == turn + "<|im_start|>assistant\ntwice<|im_end|>\n");
  CHECK_FAILS(junto_prompt_set_variable(p, "mood", 4, "good", 4, &err), JUNTO_E_INVALID);
}

TEST_CASE("Harmony has variables") {
  TinyModel model = TinyModel::Chat();
  model.Set("tokenizer.chat_template", "<|start|>");
  Fixture fixture(model.Bytes());
  Error err;
  const PromptHandle prompt = CreatePrompt(fixture.model);
  junto_prompt* p = prompt.get();
  REQUIRE_OK(junto_prompt_set_variable(p, "reasoning_effort", 16, "low", 3, &err));
  REQUIRE_OK(junto_prompt_set_variable(p, "current_date", 12, "2026-01-31", 10, &err));
  CHECK_FAILS(junto_prompt_set_variable(p, "current_date", 12, "31.1.", 5, &err), JUNTO_E_INVALID);
  CHECK(junto_prompt_set_variable(p, "reasoning_effort", 16, "none", 4, &err) == JUNTO_E_INVALID);
  AddTurn(prompt, "user", "Hi");
  size_t size = 0;
  char text[1000];
  REQUIRE_OK(junto_prompt_render(p, text, sizeof(text), &size, &err));
  const std::string rendered(text, size);
  CHECK(rendered.find("Reasoning: low\n") != std::string::npos);
  CHECK(rendered.find("Current date: 2026-01-31\n") != std::string::npos);
  CHECK_FAILS(junto_prompt_set_variable(p, "reasoning_effort", 16, "low", 3, &err),
              JUNTO_E_INVALID);
}

TEST_CASE("a template may be given, with tools, calls and results") {
  Fixture fixture(TinyModel::Chat().Bytes());
  Error err;
  const PromptHandle prompt = CreatePrompt(fixture.model);
  junto_prompt* p = prompt.get();
  const std::string source =
      "{{ tools | tojson }}{% for m in messages %}|{{ m.role }}:{{ m.content }}"
      "{% if m.role == 'user' and loop.last and not m.content %}{{ raise_exception('no text') }}"
      "{% endif %}{{ '(' ~ m.reasoning_content ~ ')' if m.reasoning_content }}"
      "{{ m.tool_calls[0].function | tojson if m.tool_calls }}{{ m.name }}{% endfor %}"
      "{% if mood %}{{ mood + 1 }}{% endif %}";
  const auto set_tools = [&](const std::string& json) {
    return junto_prompt_set_tools(p, json.data(), json.size(), &err);
  };
  CHECK_FAILS(junto_prompt_set_template(p, "{% if %}", 8, &err), JUNTO_E_INVALID);
  CHECK(err.text().find("line 1") != std::string::npos);
  REQUIRE_OK(junto_prompt_set_template(p, source.data(), source.size(), &err));
  REQUIRE_OK(junto_prompt_set_variable(p, "mood", 4, "41", 2, &err));
  CHECK_FAILS(junto_prompt_set_template(p, "{{ other }}", 11, &err), JUNTO_E_INVALID);
  CHECK(err.text().find("mood") != std::string::npos);
  for (const char* bad : {"{}", "[", "[1]", "[{\"name\": 1}]", "[] []", "[\"\xFF\"]", "tools"}) {
    CHECK_FAILS(set_tools(bad), JUNTO_E_INVALID);
  }
  REQUIRE_OK(set_tools(R"([{"name": "f", "x": 1.0}])"));

  CHECK_FAILS(junto_prompt_add_reasoning(p, "a", 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_tool_call(p, "f", 1, "{}", 2, &err), JUNTO_E_INVALID);
  AddTurn(prompt, "user", "go");
  CHECK_FAILS(set_tools("[]"), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_set_template(p, "a", 1, &err), JUNTO_E_INVALID);
  REQUIRE_OK(junto_prompt_begin_turn(p, "assistant", 9, &err));
  REQUIRE_OK(junto_prompt_add_reasoning(p, "hm", 2, &err));
  for (const char* bad : {"", "[]", "{", "3", "{} x"}) {
    CHECK_FAILS(junto_prompt_add_tool_call(p, "f", 1, bad, std::strlen(bad), &err),
                JUNTO_E_INVALID);
  }
  CHECK_FAILS(junto_prompt_add_tool_call(p, "", 0, "{}", 2, &err), JUNTO_E_INVALID);
  REQUIRE_OK(junto_prompt_add_tool_call(p, "f", 1, "{\"k\": 1e2}", 10, &err));
  REQUIRE_OK(junto_prompt_end_turn(p, &err));
  REQUIRE_OK(junto_prompt_begin_tool_turn(p, "f", 1, &err));
  REQUIRE_OK(junto_prompt_add_text(p, "done", 4, &err));
  REQUIRE_OK(junto_prompt_end_turn(p, &err));
  size_t size = 0;
  char text[1000];
  REQUIRE_OK(junto_prompt_render(p, text, sizeof(text), &size, &err));
  CHECK(std::string(text, size) ==
        R"([{"type": "function", "function": {"name": "f", "x": 1.0}}]|user:go|assistant:(hm))"
        R"({"name": "f", "arguments": {"k": 1e2}}|tool:donef42)");

  REQUIRE_OK(junto_prompt_begin_turn(p, "user", 4, &err));
  CHECK_FAILS(junto_prompt_end_turn(p, &err), JUNTO_E_INVALID);
  CHECK(err.text() == "chat template line 1: no text");
  REQUIRE_OK(junto_prompt_add_text(p, "more", 4, &err));
  REQUIRE_OK(junto_prompt_end_turn(p, &err));
}

TEST_CASE("a variable that nobody set is left to the template") {
  Fixture fixture(TinyModel::Chat().Bytes());
  const std::string source =
      "{{ messages[0].content }}"
      "{{ ' default' if enable_thinking is not defined else ' on' if enable_thinking else ' off' "
      "}}";
  const auto render = [&](const char* value) {
    Error err;
    const PromptHandle prompt = CreatePrompt(fixture.model);
    REQUIRE_OK(junto_prompt_set_template(prompt.get(), source.data(), source.size(), &err));
    if (value != nullptr) {
      REQUIRE_OK(junto_prompt_set_variable(prompt.get(), "enable_thinking", 15, value,
                                           std::strlen(value), &err));
    }
    AddTurn(prompt, "user", "go");
    char text[100];
    size_t size = 0;
    REQUIRE_OK(junto_prompt_render(prompt.get(), text, sizeof(text), &size, &err));
    return std::string(text, size);
  };
  CHECK(render(nullptr) == "go default");
  CHECK(render("true") == "go on");
  CHECK(render("false") == "go off");
}

TEST_CASE("a turn that waits for another is told of when tokens are asked for") {
  Fixture fixture(TinyModel::Chat().Bytes());
  Error err;
  const PromptHandle prompt = CreatePrompt(fixture.model);
  junto_prompt* p = prompt.get();
  const std::string source =
      "{% if messages[-1].role != 'user' %}{{ raise_exception('no question') }}{% endif %}"
      "{{ messages | length }}";
  REQUIRE_OK(junto_prompt_set_template(p, source.data(), source.size(), &err));
  AddTurn(prompt, "system", "Be brief.");
  size_t size = 77;
  CHECK_FAILS(junto_prompt_render(p, nullptr, 0, &size, &err), JUNTO_E_INVALID);
  CHECK(err.text() == "chat template line 1: no question");
  const SessionHandle session = CreateSession(fixture.model, SessionDesc(128, 16));
  CHECK_FAILS(junto_session_prefill(session.get(), p, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_text(p, "x", 1, &err), JUNTO_E_INVALID);
  AddTurn(prompt, "user", "Who?");
  char text[8];
  REQUIRE_OK(junto_prompt_render(p, text, sizeof(text), &size, &err));
  CHECK(std::string(text, size) == "2");
  Prefill(session, prompt);
}

TEST_CASE("metadata is text") {
  Fixture fixture(TinyModel::Chat().Bytes());
  const auto meta = [&](const std::string& key) {
    char text[64] = "?";
    size_t size = 0;
    const junto_status status = junto_model_get_meta(fixture.model.get(), key.data(), key.size(),
                                                     text, sizeof(text), &size);
    REQUIRE(status == JUNTO_OK);
    REQUIRE(std::strlen(text) == size);
    return std::string(text);
  };
  CHECK(meta("general.architecture") == "llama");
  CHECK(meta("llama.block_count") == "2");
  CHECK(meta("llama.rope.freq_base") == "10000");
  CHECK(meta("tokenizer.ggml.tokens") == "828");
  size_t size = 77;
  char text[6] = "?";
  CHECK(junto_model_get_meta(fixture.model.get(), "x", 1, text, 6, &size) == JUNTO_E_INVALID);
  CHECK(size == 77);
  const char* key = "general.architecture";
  CHECK(junto_model_get_meta(fixture.model.get(), key, 20, nullptr, 0, &size) == JUNTO_OK);
  CHECK(size == 5);
  CHECK(junto_model_get_meta(fixture.model.get(), key, 20, text, 5, &size) == JUNTO_E_SHORT_BUFFER);
  CHECK(text[0] == '?');
  CHECK(junto_model_get_meta(fixture.model.get(), key, 20, text, 6, &size) == JUNTO_OK);
}

TEST_CASE("the log speaks at its level, and not at all when off") {
  for (int level = JUNTO_LOG_OFF; level <= JUNTO_LOG_DEBUG; ++level) {
    Host host;
    host.Listen(static_cast<junto_log_level>(level));
    const RuntimeHandle runtime = CreateRuntime(host.desc());
    const ModelHandle model = LoadBytes(runtime.get(), TinyModel::Chat().Bytes());
    CHECK(host.lines().empty() == (level < JUNTO_LOG_INFO));
    for (const auto& [said, line] : host.lines()) {
      CHECK(said <= level);
      CHECK(said > JUNTO_LOG_OFF);
      CHECK(!line.empty());
      CHECK(line.find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("instruction sets can be denied, and those with fma agree to the bit") {
  std::map<std::string, std::vector<float>> logits;
  for (int bits = 0; bits <= 64; ++bits) {
    Host host;
    host.Listen(JUNTO_LOG_INFO);
    host.desc()->isa_deny = bits == 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;
    junto_runtime* created = nullptr;
    Error err;
    if (junto_runtime_create(host.desc(), &created, &err) == JUNTO_E_UNSUPPORTED) {
      CHECK(err.IsLine());
      continue;
    }
    const RuntimeHandle runtime(created);
    std::string target;
    for (const KernelTable* table : SupportedKernels()) {
      const std::string name = std::string(" ") + table->target + " kernels";
      if (host.lines()[0].second.find(name) != std::string::npos && table->has_fma) {
        target = table->target;
      }
    }
    if (target.empty() || logits.count(target) != 0) continue;
    for (const char* name : {"llama_mixed", "gpt_oss_mxfp4"}) {
      const ModelHandle model = LoadBytes(runtime.get(), ParityModel(name));
      const SessionHandle session = CreateSession(model, SessionDesc(32, 8));
      Prefill(session, TokenPrompt(model, {1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 2, 6}));
      const junto_logits_fn take = [](void* user, uint64_t, const float* row, size_t vocab) {
        auto* rows = static_cast<std::vector<float>*>(user);
        rows->insert(rows->end(), row, row + vocab);
        return JUNTO_OK;
      };
      REQUIRE_OK(junto_session_evaluate(session.get(), take, &logits[target], &err));
    }
  }
  size_t with_fma = 0;
  for (const KernelTable* table : SupportedKernels()) with_fma += table->has_fma ? 1 : 0;
  CHECK(logits.size() == with_fma);
  for (const auto& [target, rows] : logits) {
    INFO(target);
    CHECK(rows == logits.begin()->second);
  }
}

}  // namespace
}  // namespace junto
