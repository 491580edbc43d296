// Prompts: that encoding as they grow equals encoding at once, and that what fails changes nothing.
#include "junto/runtime/prompt.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "c_api/dispatch.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/text_vocabulary.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using Catch::Matchers::Contains;
using test::GgufWriter;

const char* const kHarmonyTemplate = "{{ '<|start|>' }}";
const char* const kChatMlTemplate = test::TinyModel::kChatMl;

using Ids = std::vector<int32_t>;

Status AddTokens(Prompt* prompt, const Ids& ids) { return prompt->AddTokens(ids); }

// A llama of no layers to speak of, with the tests' vocabulary.
std::vector<uint8_t> ModelFile(const std::string& chat_template, bool adds_bos,
                               const std::vector<std::string>& without) {
  test::TextVocabulary vocabulary;
  for (const std::string& name : without) {
    vocabulary.types[static_cast<size_t>(vocabulary.Id(name))] = 5;
  }
  const uint32_t width = 4;
  GgufWriter writer;
  writer.Add("general.architecture", "llama").Add("llama.block_count", uint32_t{1});
  writer.Add("llama.embedding_length", width).Add("llama.context_length", uint32_t{64});
  writer.Add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.Add("llama.attention.head_count", uint32_t{1}).Add("llama.feed_forward_length", width);
  writer.Add("tokenizer.ggml.model", "gpt2").Add("tokenizer.ggml.pre", "gpt-4o");
  writer.Add("tokenizer.ggml.tokens", vocabulary.tokens);
  writer.Add("tokenizer.ggml.token_type", vocabulary.types);
  writer.Add("tokenizer.ggml.merges", vocabulary.merges);
  writer.Add("tokenizer.ggml.bos_token_id",
             static_cast<uint32_t>(vocabulary.Id("<|startoftext|>")));
  writer.Add("tokenizer.ggml.add_bos_token", adds_bos);
  writer.Add("tokenizer.chat_template", chat_template);
  const auto tensor = [&](const std::string& name, const std::vector<uint64_t>& dims) {
    uint64_t bytes = 4;
    for (uint64_t dim : dims) bytes *= dim;
    writer.Tensor(name, BlockType::kF32, dims, std::vector<uint8_t>(bytes));
  };
  tensor("token_embd.weight", {width, vocabulary.tokens.size()});
  for (const char* name : {"output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"}) {
    tensor(std::string(name) + ".weight", {width});
  }
  for (const char* name :
       {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
    tensor(std::string("blk.0.") + name + ".weight", {width, width});
  }
  return writer.Bytes();
}

struct Fixture {
  explicit Fixture(const std::string& chat_template = kHarmonyTemplate, bool adds_bos = true,
                   const std::vector<std::string>& without = {})
      : file(ModelFile(chat_template, adds_bos, without)) {
    services.memory = &memory;
    services.executor = &executor;
    services.kernels = SupportedKernels()[0];
    Owned<Gguf> gguf;
    REQUIRE(Gguf::OpenFile(New<MemoryFile, File>(&memory, Tag::kObject, file.data(), file.size()),
                           &memory, &gguf)
                .ok());
    LoadOptions options;
    options.metadata_only = true;
    const Status status = Model::Load(std::move(gguf), services, options, &model);
    INFO(status.message());
    REQUIRE(status.ok());
  }

  Ids Encode(const SegmentList& list, bool first) const {
    EncodeScratch scratch(services.memory);
    Vector<int32_t> ids({services.memory, Tag::kObject});
    REQUIRE(model->tokenizer().Encode(list.text(), list.segments(), first, &scratch, &ids).ok());
    return {ids.begin(), ids.end()};
  }

  std::vector<uint8_t> file;
  test::CountingAllocator allocator;
  Memory memory{&allocator, 0};
  SerialExecutor executor;
  Services services;
  Owned<Model> model;
};

Ids TokensOf(const Prompt& prompt) {
  Prompt::Parts parts;
  REQUIRE(prompt.Tokens(&parts).ok());
  Ids tokens;
  for (const Span<const int32_t>& part : parts.part) {
    tokens.insert(tokens.end(), part.begin(), part.end());
  }
  return tokens;
}

std::string TextOf(const Fixture& fixture, const Prompt& prompt) {
  String text({fixture.services.memory, Tag::kObject});
  REQUIRE(prompt.Render(&text).ok());
  return std::string(text);
}

void AddTurn(Prompt* prompt, const std::string& role, const std::string& text) {
  REQUIRE(prompt->BeginTurn(role).ok());
  REQUIRE(prompt->AddText(text).ok());
  REQUIRE(prompt->EndTurn().ok());
}

// Texts that tempt a tokenizer to merge across their ends.
std::string RandomText(std::mt19937* random) {
  static const char* const kPieces[] = {"the",    " the", "th",   "e", " ",       "\n", "  ~",
                                        "<|end",  "|>",   "é",    "1", "23",      "'s", "hello",
                                        " world", "\n\n", "日本", "x", "<|end|>", "."};
  std::string text;
  for (uint32_t count = (*random)() % 6; count > 0; --count) {
    text += kPieces[(*random)() % (sizeof(kPieces) / sizeof(kPieces[0]))];
  }
  return text;
}

TEST_CASE("turns encoded one by one equal the conversation encoded at once") {
  for (const char* chat_template : {kHarmonyTemplate, kChatMlTemplate}) {
    const Fixture fixture(chat_template, chat_template == kHarmonyTemplate);
    std::mt19937 random(1);
    for (int trial = 0; trial < 200; ++trial) {
      std::vector<std::pair<std::string, std::string>> said;
      Prompt prompt(fixture.model.get());
      for (uint32_t turn = 0; turn <= random() % 5; ++turn) {
        const char* const roles[] = {"system", "user", "assistant"};
        const std::string role = roles[random() % 3];
        said.emplace_back(role, RandomText(&random));
        AddTurn(&prompt, said.back().first, said.back().second);

        Conversation whole_said(fixture.services.memory);
        for (const auto& [role, text] : said) {
          ChatRole parsed = ChatRole::kUser;
          REQUIRE(ParseRole(role, &parsed).ok());
          whole_said.messages.emplace_back(fixture.services.memory, parsed);
          whole_said.messages.back().content.assign(text);
        }
        SegmentList whole(fixture.services.memory);
        const bool answer = said.back().first != "assistant";
        REQUIRE(fixture.model->markup().Render(whole_said, answer, &whole).ok());
        REQUIRE(TextOf(fixture, prompt) == std::string(whole.text()));
        REQUIRE(TokensOf(prompt) == fixture.Encode(whole, true));
      }
    }
  }
}

TEST_CASE("plain text in pieces equals the text at once") {
  const Fixture fixture;
  std::mt19937 random(2);
  for (int trial = 0; trial < 300; ++trial) {
    Prompt prompt(fixture.model.get());
    SegmentList whole(fixture.services.memory);
    for (int piece = 0; piece < 5; ++piece) {
      const std::string text = RandomText(&random);
      REQUIRE(prompt.AddText(text).ok());
      whole.Add(text, false);
      REQUIRE(TextOf(fixture, prompt) == std::string(whole.text()));
      REQUIRE(TokensOf(prompt) == fixture.Encode(whole, true));
    }
  }
}

TEST_CASE("an opening is what comes before the first user's turn") {
  for (const char* chat_template : {kHarmonyTemplate, kChatMlTemplate}) {
    INFO(chat_template);
    const bool harmony = chat_template == kHarmonyTemplate;
    const Fixture fixture(chat_template, false);
    const int32_t turn = fixture.model->markup().turn_token();
    Prompt prompt(fixture.model.get());
    AddTurn(&prompt, "system", "Be brief.");
    AddTurn(&prompt, "developer", "Be kind.");
    CHECK(prompt.opening() == 0);  // nobody knows yet where it ends
    AddTurn(&prompt, "user", "a <|start|> of a turn");
    const Ids first = TokensOf(prompt);
    // Harmony has a turn of its own before what system and developer say.
    size_t turns = harmony ? 4 : 3;
    size_t expected = 0;
    while (first[expected] != turn || --turns != 0) ++expected;
    CHECK(prompt.opening() == expected);
    AddTurn(&prompt, "assistant", "b");
    AddTurn(&prompt, "user", "c");
    CHECK(prompt.opening() == expected);
    REQUIRE(prompt.AddText("plain").ok());
    CHECK(prompt.opening() == expected);

    Prompt plain(fixture.model.get());
    REQUIRE(AddTokens(&plain, Ids{5, 6}).ok());
    REQUIRE(plain.AddText("~").ok());
    const size_t before = TokensOf(plain).size();
    AddTurn(&plain, "user", "a");
    if (!harmony) CHECK(plain.opening() == before);

    Prompt answered(fixture.model.get());
    AddTurn(&answered, "assistant", "b");
    AddTurn(&answered, "user", "a");
    CHECK(answered.opening() == 0);
  }
}

TEST_CASE("BOS comes first and once") {
  const Fixture fixture;
  const int32_t bos = fixture.model->tokenizer().bos();
  REQUIRE(bos >= 0);
  Prompt text(fixture.model.get());
  REQUIRE(text.AddText("a").ok());
  REQUIRE(text.AddText("b").ok());
  AddTurn(&text, "user", "c");
  const Ids tokens = TokensOf(text);
  CHECK(tokens.front() == bos);
  CHECK(std::count(tokens.begin(), tokens.end(), bos) == 1);

  Prompt given(fixture.model.get());
  REQUIRE(AddTokens(&given, Ids{5, 6}).ok());
  REQUIRE(given.AddText("a").ok());
  CHECK(TokensOf(given)[0] == 5);
  CHECK(TokensOf(given)[1] == 6);
  const Ids rest = TokensOf(given);
  CHECK(std::count(rest.begin(), rest.end(), bos) == 0);
}

TEST_CASE("tokens stand where they were put, and text does not merge with them") {
  const Fixture fixture(kHarmonyTemplate, false);
  const Ids tokens = {3, 1, 4};
  Prompt prompt(fixture.model.get());
  REQUIRE(prompt.AddText("hello wor").ok());
  const Ids before = TokensOf(prompt);
  REQUIRE(prompt.AddTokens(tokens).ok());
  REQUIRE(prompt.AddText("ld").ok());
  Ids expected = before;
  expected.insert(expected.end(), tokens.begin(), tokens.end());
  SegmentList tail(fixture.services.memory);
  tail.Add("ld", false);
  for (int32_t id : fixture.Encode(tail, false)) expected.push_back(id);
  CHECK(TokensOf(prompt) == expected);
  std::string text = "hello wor";
  for (int32_t id : tokens) text += fixture.model->tokenizer().Piece(id);
  CHECK(TextOf(fixture, prompt) == text + "ld");
  REQUIRE(prompt.AddTokens({}).ok());
  CHECK(TokensOf(prompt) == expected);
}

TEST_CASE("the assistant is asked only after somebody else's turn") {
  const Fixture fixture(kChatMlTemplate, false);
  const std::string open = "<|im_start|>assistant\n";
  const auto asks = [&](const Prompt& prompt) {
    const std::string text = TextOf(fixture, prompt);
    return text.size() >= open.size() && text.substr(text.size() - open.size()) == open;
  };
  Prompt prompt(fixture.model.get());
  CHECK_FALSE(asks(prompt));
  AddTurn(&prompt, "user", "hi");
  CHECK(asks(prompt));
  AddTurn(&prompt, "assistant", "hello");
  CHECK_FALSE(asks(prompt));
  AddTurn(&prompt, "user", "bye");
  CHECK(asks(prompt));
  REQUIRE(prompt.AddText("x").ok());
  CHECK_FALSE(asks(prompt));
}

TEST_CASE("variables show in the preamble, the last value of each") {
  const Fixture fixture(kHarmonyTemplate, false);
  Prompt prompt(fixture.model.get());
  REQUIRE(prompt.SetVariable("reasoning_effort", "high").ok());
  REQUIRE(prompt.SetVariable("reasoning_effort", "low").ok());
  REQUIRE(prompt.SetVariable("current_date", "2026-01-31").ok());
  AddTurn(&prompt, "user", "hi");
  const std::string text = TextOf(fixture, prompt);
  CHECK_THAT(text, Contains("Reasoning: low") && Contains("Current date: 2026-01-31"));
  CHECK_THAT(text, !Contains("high"));
}

// Everything a reader of the prompt can see.
struct Seen {
  Ids tokens;
  std::string text;
  bool operator==(const Seen& other) const { return tokens == other.tokens && text == other.text; }
};
Seen Look(const Fixture& fixture, const Prompt& prompt) {
  return {TokensOf(prompt), TextOf(fixture, prompt)};
}

void RequireRefused(const Status& status, const char* text) {
  INFO(status.message());
  CHECK(status.code() == Code::kInvalid);
  CHECK_THAT(status.message(), Contains(text));
}

TEST_CASE("what is refused is named and changes nothing") {
  const Fixture fixture;
  Prompt prompt(fixture.model.get());
  RequireRefused(prompt.EndTurn(), "no turn has begun after 0 turns");
  RequireRefused(prompt.SetVariable("colour", "red"), "'colour'");
  RequireRefused(prompt.SetVariable("current_date", "today"), "YYYY-MM-DD");
  AddTurn(&prompt, "user", "one");
  const Seen before = Look(fixture, prompt);

  RequireRefused(prompt.SetVariable("reasoning_effort", "low"), "of which there are 1");
  RequireRefused(prompt.BeginTurn("wizard"), "role 'wizard'");
  RequireRefused(prompt.AddText("ab\xFF"), "byte 2 is not UTF-8");
  RequireRefused(AddTokens(&prompt, Ids{0, -1}), "token 1 is -1");
  const auto vocab = static_cast<int32_t>(fixture.model->spec().vocab);
  RequireRefused(AddTokens(&prompt, Ids{vocab}), "outside of a vocabulary");
  CHECK(AddTokens(&prompt, Ids{vocab - 1}).ok());
  Prompt again(fixture.model.get());
  AddTurn(&again, "user", "one");
  CHECK(Look(fixture, again) == before);

  REQUIRE(again.BeginTurn("user").ok());
  RequireRefused(again.BeginTurn("user"), "turn 1 ('user') has not ended");
  RequireRefused(AddTokens(&again, Ids{1}), "turn 'user' is open");
  RequireRefused(again.AddText("\xC3"), "byte 0");
  Prompt::Parts parts;
  RequireRefused(again.Tokens(&parts), "has not ended");
  String text({fixture.services.memory, Tag::kObject});
  RequireRefused(again.Render(&text), "has not ended");
  REQUIRE(again.EndTurn().ok());
  AddTurn(&prompt, "user", "");
}

TEST_CASE("a model without markup takes text and tokens, no turns") {
  const Fixture fixture("", true, {"<|start|>", "<|im_start|>"});
  Prompt prompt(fixture.model.get());
  CHECK(prompt.BeginTurn("user").code() == Code::kUnsupported);
  REQUIRE(prompt.AddText("hello").ok());
  CHECK(TextOf(fixture, prompt) == "hello");
}

// Runs one step; OutOfMemory counts as a status, as the C ABI has it.
template <class F>
Status Guarded(F&& f) {
  try {
    return f();
  } catch (const OutOfMemory&) {
    return Code::kMemory;
  }
}

TEST_CASE("memory that is refused anywhere leaves the prompt as it was") {
  Fixture fixture;
  const Ids ids = {7, 8, 9};
  const std::string text = "hello world, this is text that is long enough to need the heap";
  const auto script = [&](Prompt* prompt, int step) -> Status {
    switch (step) {
      case 0:
        return prompt->SetVariable("current_date", "2026-01-31");
      case 1:
        return prompt->BeginTurn("system");
      case 2:
      case 5:
        return prompt->AddText(text);
      case 3:
      case 6:
        return prompt->EndTurn();
      case 4:
        return prompt->BeginTurn("user");
      case 7:
      case 9:
        return prompt->AddText(text);
      default:
        return prompt->AddTokens(ids);
    }
  };
  const int kSteps = 11;
  const auto open_after = [](int step) { return step == 1 || step == 2 || step == 4 || step == 5; };

  Prompt clean(fixture.model.get());
  std::vector<Seen> expected;
  for (int step = 0; step < kSteps; ++step) {
    REQUIRE(script(&clean, step).ok());
    expected.push_back(open_after(step) ? Seen() : Look(fixture, clean));
  }

  uint64_t refused = 0;
  for (int failing = 0; failing < kSteps; ++failing) {
    for (uint64_t n = 0;; ++n) {
      Prompt prompt(fixture.model.get());
      for (int step = 0; step < failing; ++step) REQUIRE(script(&prompt, step).ok());
      fixture.allocator.FailAt(n);
      const Status status = Guarded([&] { return script(&prompt, failing); });
      const bool done = fixture.allocator.calls() <= n;
      fixture.allocator.FailAt(test::kNever);
      INFO("step " << failing << ", allocation " << n);
      REQUIRE(status.code() == (done ? Code::kOk : Code::kMemory));
      if (done) break;
      ++refused;
      if (failing > 0 && !open_after(failing - 1)) {
        REQUIRE(Look(fixture, prompt) == expected[static_cast<size_t>(failing) - 1]);
      }
      for (int step = failing; step < kSteps; ++step) {
        REQUIRE(script(&prompt, step).ok());
        if (!open_after(step)) {
          REQUIRE(Look(fixture, prompt) == expected[static_cast<size_t>(step)]);
        }
      }
    }
  }
  CHECK(refused > 50);
  CHECK(fixture.allocator.mistakes() == 0);
}

}  // namespace
}  // namespace junto
