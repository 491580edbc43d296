#include "junto/text/tokenizer.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/text_vocabulary.h"
#include "tests/support/tokenizer_fixture.h"

namespace junto {
namespace {

using Catch::Matchers::Contains;
using test::Ids;
using test::TextData;
using test::TextVocabulary;

constexpr const char* kRules[] = {"gpt-2", "smollm", "gpt-4o", "llama-bpe", "qwen2", "qwen35"};

struct Fixture : test::TokenizerFixture {
  explicit Fixture(std::string_view pre = "gpt-2") : TokenizerFixture("tokenizer.json") {
    Create(vocabulary.Source(pre));
  }

  Ids Encode(std::string_view text, bool parse_special = false, bool add_bos = false) {
    return TokenizerFixture::Encode(text, parse_special, add_bos);
  }
};

std::vector<size_t> Sizes(const Splitter& splitter, SplitScratch* scratch, std::string_view text) {
  std::vector<size_t> sizes;
  const auto piece = [&sizes](std::string_view bytes) {
    sizes.push_back(bytes.size());
    return Status();
  };
  REQUIRE(splitter.Split(text, scratch, piece).ok());
  return sizes;
}

TEST_CASE("splits equal the reference") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  for (const char* name : kRules) {
    const SplitRule& rule = *FindSplitRule(name);
    Splitter by_pattern;
    REQUIRE(Splitter::Create(rule.pattern, &memory, &by_pattern).ok());
    const Splitter by_shape = Splitter::Of(rule.shape);
    SplitScratch scratch(&memory);
    for (const auto& item : TextData("tokenizer.json")["cases"]) {
      const auto text = item["text"].get<std::string>();
      const auto sizes = item["rules"][name]["split"].get<std::vector<size_t>>();
      INFO(name << ": " << text);
      REQUIRE(Sizes(by_pattern, &scratch, text) == sizes);
      REQUIRE(Sizes(by_shape, &scratch, text) == sizes);
    }
  }
}

TEST_CASE("shapes mean what their patterns say") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  // Of each class some, and those that only one rule or one alternative tells apart.
  const char* const parts[] = {"a",
                               "b",
                               "s",
                               "S",
                               "t",
                               "re",
                               "VE",
                               "ll",
                               "Z",
                               "'",
                               "'s",
                               "'\xC5\xBF",
                               "\xC7\x85" /* Lt */,
                               "\xCA\xB0" /* Lm */,
                               "\xE6\xBC\xA2" /* Lo */,
                               "\xC3\xA9",
                               "\xC3\x89",
                               "\xCC\x81" /* Mn */,
                               "\xE0\xA4\xBE" /* Mc */,
                               "\xE2\x83\x9D" /* Me */,
                               "1",
                               "2",
                               "\xE2\x85\xA7" /* Nl */,
                               "\xC2\xBD" /* No */,
                               " ",
                               " ",
                               " ",
                               "\t",
                               "\n",
                               "\r",
                               "\v",
                               "\xC2\x85",
                               "\xC2\xA0",
                               "\xE1\xA0\x8E" /* U+180E */,
                               "\xE2\x80\x83",
                               "\xE2\x80\xA8",
                               "\xE3\x80\x80",
                               "\xE2\x80\x8B",
                               "!",
                               ".",
                               "/",
                               "_",
                               "\x1C",
                               "\x7F",
                               "\xF0\x9F\x98\x80",
                               "\xF4\x8F\xBF\xBF"};
  std::mt19937 random(11);
  for (const char* name : kRules) {
    const SplitRule& rule = *FindSplitRule(name);
    Splitter by_pattern;
    REQUIRE(Splitter::Create(rule.pattern, &memory, &by_pattern).ok());
    SplitScratch scratch(&memory);
    for (int round = 0; round < 4000; ++round) {
      std::string text;
      const size_t kinds = 2 + random() % 12;  // few in a text, so that runs come
      size_t chosen[14];
      for (size_t i = 0; i < kinds; ++i) chosen[i] = random() % (sizeof(parts) / sizeof(*parts));
      for (uint32_t i = random() % 16; i > 0; --i) text += parts[chosen[random() % kinds]];
      INFO(name << ": " << text);
      REQUIRE(Sizes(Splitter::Of(rule.shape), &scratch, text) == Sizes(by_pattern, &scratch, text));
    }
  }
}

TEST_CASE("a stranger's pattern is refused, or stops") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  Splitter splitter;
  CHECK(Splitter::Create("a\xF0", &memory, &splitter).code() == Code::kUnsupported);
  // Matches that begin behind their end, and before where the search began.
  for (const char* pattern :
       {"(?=(?&k))(?(DEFINE)(?<k>ab\\K))", "(?<=(?&k))(?(DEFINE)(?<k>\\Ka))"}) {
    INFO(pattern);
    if (Splitter::Create(pattern, &memory, &splitter).failed()) continue;
    SplitScratch scratch(&memory);
    size_t bytes = 0;
    const Status status = splitter.Split("abab", &scratch, [&](std::string_view piece) {
      bytes += piece.size();
      return bytes <= 4 ? Status() : Status(Code::kInternal);
    });
    CHECK((status.ok() || status.code() == Code::kUnsupported));
  }
}

TEST_CASE("normal forms equal the reference") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  NfcNormaliser nfc(&memory);
  for (const auto& item : TextData("tokenizer.json")["cases"]) {
    const auto text = item["text"].get<std::string>();
    INFO(text);
    REQUIRE(nfc.Normalise(text) == item["nfc"].get<std::string>());
  }
}

TEST_CASE("ids equal the reference") {
  for (const char* rule : kRules) {
    Fixture fixture(rule);
    for (const auto& item : TextData("tokenizer.json")["cases"]) {
      const auto text = item["text"].get<std::string>();
      INFO(rule << ": " << text);
      REQUIRE(fixture.Encode(text, true) == item["rules"][rule]["special"].get<Ids>());
      REQUIRE(fixture.Encode(text, false) == item["rules"][rule]["plain"].get<Ids>());
    }
  }
}

TEST_CASE("pieces give the text back, whatever its bytes") {
  Fixture fixture;
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (uint32_t i = 0; i < random() % 60; ++i) {
      const char byte = static_cast<char>(random() % 3 == 0 ? random() : 'a' + random() % 4);
      if (fixture.Encode({&byte, 1}).size() == 1) text.push_back(byte);  // the vocabulary has it
    }
    REQUIRE(fixture.Decode(fixture.Encode(text)) == text);
  }
}

TEST_CASE("special tokens") {
  Fixture fixture;
  const auto id = [&](const char* token) { return fixture.vocabulary.Id(token); };
  CHECK(fixture.Encode("<|im_start|>x", true) == Ids{id("<|im_start|>x")});  // the longest
  CHECK(fixture.Encode("<|im_start|><|im_end|>", true) ==
        Ids{id("<|im_start|>"), id("<|im_end|>")});
  CHECK(fixture.Encode("<tool>!", false) == Ids{id("<tool>!")});  // user-defined: always
  CHECK(fixture.Encode("<tool>ool>x", false) == Ids{id("<tool>"), id("ool>x")});
  for (const int32_t token : fixture.Encode("<|im_end|><|start|>", false)) {
    CHECK_FALSE(fixture.tokenizer->IsControl(token));
  }
  CHECK(fixture.tokenizer->IsControl(id("<|im_end|>")));
  CHECK(fixture.tokenizer->Piece(id("<|im_end|>")) == "<|im_end|>");
  CHECK(fixture.tokenizer->FindMarkup("<|im_end|>") == id("<|im_end|>"));
  CHECK(fixture.tokenizer->FindMarkup("<tool>") == -1);
  CHECK_FALSE(fixture.tokenizer->IsDefined(id("[PAD1]")));
  CHECK(fixture.tokenizer->IsDefined(id("zebra")));
  for (const int32_t outside : {-1, static_cast<int32_t>(fixture.vocabulary.tokens.size())}) {
    CHECK(fixture.tokenizer->Piece(outside).empty());
    CHECK_FALSE(fixture.tokenizer->IsControl(outside));
    CHECK_FALSE(fixture.tokenizer->IsDefined(outside));
    CHECK_FALSE(fixture.tokenizer->IsEnd(outside));
  }
}

TEST_CASE("control tokens need all of their spelling trusted") {
  Fixture fixture;
  const int32_t end = fixture.vocabulary.Id("<|im_end|>");
  const std::string text = "a<|im_end|>b";
  const std::string_view marker = "<|im_end|>";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    for (const bool first : {false, true}) {
      const std::vector<Segment> segments = {{cut, first}, {text.size(), !first}};
      EncodeScratch scratch(&fixture.memory);
      Vector<int32_t> ids({&fixture.memory, Tag::kScratch});
      REQUIRE(fixture.tokenizer->Encode(text, segments, false, &scratch, &ids).ok());
      const bool trusted = first ? cut >= 1 + marker.size() : cut <= 1;
      INFO("cut at " << cut << ", first part " << (first ? "trusted" : "not trusted"));
      CHECK((std::count(ids.begin(), ids.end(), end) == 1) == trusted);
      CHECK(Ids(ids.begin(), ids.end()) == fixture.Encode(text, trusted));
    }
  }
}

TEST_CASE("ends of an answer") {
  Fixture fixture;
  const auto id = [&](const char* token) { return fixture.vocabulary.Id(token); };
  TokenizerSource source = fixture.vocabulary.Source("gpt-4o");
  source.eos = id("<|return|>");
  source.more_ends[0] = id("<|end|>");  // a file that is wrong about Harmony
  fixture.Create(source);
  for (const char* name : {"<|return|>", "<|call|>", "<|endoftext|>"}) {
    CHECK(fixture.tokenizer->IsEnd(id(name)));
  }
  CHECK_FALSE(fixture.tokenizer->IsEnd(id("<|end|>")));
  CHECK_FALSE(fixture.tokenizer->IsEnd(id("zebra")));
  CHECK(fixture.tokenizer->eos() == id("<|return|>"));

  // Without Harmony's other tokens <|end|> is what a file says it is.
  for (std::string& token : fixture.vocabulary.tokens) {
    if (token == "<|call|>") token = "<|other|>";
  }
  source = fixture.vocabulary.Source("gpt-2");
  source.eos = id("<|im_end|>");
  source.more_ends[1] = id("<|end|>");
  fixture.Create(source);
  CHECK(fixture.tokenizer->IsEnd(id("<|end|>")));
  CHECK(fixture.tokenizer->IsEnd(id("<|im_end|>")));
}

TEST_CASE("BOS where the model wants one, and never two") {
  Fixture fixture;
  const int32_t bos = fixture.vocabulary.Id("<|startoftext|>");
  TokenizerSource source = fixture.vocabulary.Source("gpt-2");
  source.bos = bos;
  fixture.Create(source);
  CHECK(fixture.Encode("a", true, true) == fixture.Encode("a"));
  source.adds_bos = 1;
  fixture.Create(source);
  CHECK(fixture.tokenizer->adds_bos());
  CHECK(fixture.Encode("", true, true) == Ids{bos});
  CHECK(fixture.Encode("a", true, true).front() == bos);
  CHECK(fixture.Encode("<|startoftext|>a", true, true) == fixture.Encode("a", true, true));
  CHECK(fixture.Encode("a", true, false) == fixture.Encode("a"));
  CHECK(fixture.Encode("a<|startoftext|>", true, true).size() == 3);
}

TEST_CASE("a file without a vocabulary") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  TokenizerSource source;
  source.model = "no_vocab";
  Owned<Tokenizer> tokenizer;
  REQUIRE(Tokenizer::Create(source, &memory, &tokenizer).ok());
  CHECK_FALSE(tokenizer->has_vocabulary());
  Vector<int32_t> ids({&memory, Tag::kScratch});
  CHECK(tokenizer->Encode("a", true, true, &ids).code() == Code::kUnsupported);
  CHECK(tokenizer->Piece(0).empty());
  CHECK_FALSE(tokenizer->IsEnd(0));
}

TEST_CASE("damaged vocabularies are refused by key and number") {
  using Damage = std::function<void(TextVocabulary*, TokenizerSource*)>;
  const struct {
    Damage vocabulary;
    Damage source;
    Code code;
    const char* message;
  } cases[] = {
      {nullptr, [](auto*, auto* s) { s->model = "wordpiece"; }, Code::kUnsupported,
       "tokenizer.ggml.model: 'wordpiece'"},
      {nullptr, [](auto*, auto* s) { s->pre = "unheard-of"; }, Code::kUnsupported,
       "tokenizer.ggml.pre: 'unheard-of'"},
      {nullptr, [](auto*, auto* s) { s->tokens = {}; }, Code::kFormat, "0 found"},
      {[](auto* v, auto*) { v->types.pop_back(); }, nullptr, Code::kFormat,
       "tokenizer.ggml.token_type: "},
      {[](auto* v, auto*) { v->types[7] = 9; }, nullptr, Code::kFormat, "token 7, 9 found"},
      {[](auto* v, auto*) { v->tokens[40] = v->tokens[30]; }, nullptr, Code::kFormat,
       "token 40 repeats token 30"},
      {[](auto* v, auto*) { v->tokens[2] = v->tokens[1]; }, nullptr, Code::kFormat,
       "token 2 repeats token 1"},
      {[](auto* v, auto*) { v->tokens[3] = std::string(513, 'x'); }, nullptr, Code::kFormat,
       "special token 3 has 513 bytes"},
      {[](auto* v, auto*) { v->merges[5] = "nospace"; }, nullptr, Code::kFormat,
       "tokenizer.ggml.merges: merge 5 'nospace'"},
      {[](auto* v, auto*) { v->merges[6] = "QQ QQ"; }, nullptr, Code::kFormat,
       "merge 6 'QQ QQ' names a piece that is no token"},
      {[](auto* v, auto*) { v->merges[8] = v->merges[7]; }, nullptr, Code::kFormat, "merge 8"},
      {[](auto* v, auto*) { v->merges[9] = "a \xE6\xBC\xA2"; }, nullptr, Code::kFormat, "merge 9"},
      {[](auto* v, auto*) { v->merges[9] = "a"; }, nullptr, Code::kFormat, "merge 9"},
      {[](auto* v, auto*) { v->merges[9] = " "; }, nullptr, Code::kFormat, "merge 9"},
      {nullptr, [](auto*, auto* s) { s->eos = 123456; }, Code::kFormat,
       "tokenizer.ggml.eos_token_id: token 123456 of"},
      {nullptr, [](auto*, auto* s) { s->bos = -2; }, Code::kFormat, "bos_token_id: token -2"},
  };
  for (const auto& item : cases) {
    test::CountingAllocator allocator;
    {
      Memory memory(&allocator, 0);
      TextVocabulary vocabulary;
      if (item.vocabulary) item.vocabulary(&vocabulary, nullptr);
      TokenizerSource source = vocabulary.Source("gpt-2");
      if (item.source) item.source(nullptr, &source);
      Owned<Tokenizer> tokenizer;
      const Status status = Tokenizer::Create(source, &memory, &tokenizer);
      CHECK(status.code() == item.code);
      CHECK_THAT(status.message(), Contains(item.message));
      CHECK(tokenizer == nullptr);
    }
    CHECK(allocator.clean());
  }
}

TEST_CASE("hostile texts take no more than they should") {
  const std::string marks = "\xCC\x81\xCC\x96";
  for (const char* rule : kRules) {
    Fixture fixture(rule);
    for (const std::string& unit :
         {std::string("x"), std::string("X"), std::string("_"), std::string(" "),
          std::string("\n "), std::string("\xE6\xBC\xA2"), marks, std::string("<|"),
          std::string("\xFF"), std::string("a\xC3"), std::string("'"), std::string("0")}) {
      std::string text;
      while (text.size() < (1 << 16)) text += unit;
      const Ids ids = fixture.Encode(text, true);
      INFO(rule << ": " << unit);
      CHECK(ids.size() <= text.size());
      CHECK(fixture.Encode(text, true) == ids);
    }
  }
}

TEST_CASE("many threads encode at once") {
  Fixture fixture("gpt-4o");
  const auto& cases = TextData("tokenizer.json")["cases"];
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      EncodeScratch scratch(&fixture.memory);
      for (const auto& item : cases) {
        const auto text = item["text"].get<std::string>();
        const Segment whole = {text.size(), true};
        Vector<int32_t> ids({&fixture.memory, Tag::kScratch});
        const Status status = fixture.tokenizer->Encode(text, {&whole, 1}, false, &scratch, &ids);
        if (!status.ok() ||
            Ids(ids.begin(), ids.end()) != item["rules"]["gpt-4o"]["special"].get<Ids>()) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("every refused allocation is a clean failure") {
  test::CountingAllocator allocator;
  {
    Memory memory(&allocator, 0);
    TextVocabulary vocabulary;
    const TokenizerSource source = vocabulary.Source("qwen35");
    const std::string text = "e\xCC\x81 " + std::string(100, 'x');
    Vector<int32_t> out({&memory, Tag::kScratch});
    bool done = false;
    for (uint64_t n = 0; !done; ++n) {
      REQUIRE(n < 2000);
      out = Vector<int32_t>(1, 77, {&memory, Tag::kScratch});
      Owned<Tokenizer> tokenizer;
      allocator.FailAt(n);
      try {
        Status status = Tokenizer::Create(source, &memory, &tokenizer);
        if (status.ok()) status = tokenizer->Encode(text, false, false, &out);
        done = status.ok();
        if (!done) CHECK(status.code() == Code::kMemory);
      } catch (const OutOfMemory&) {
      }
      allocator.FailAt(test::kNever);
      if (!done) REQUIRE(Ids(out.begin(), out.end()) == Ids{77});
    }
  }
  CHECK(allocator.clean());
}

TEST_CASE("from the metadata of a file") {
  const TextVocabulary vocabulary;
  test::GgufWriter writer;
  writer.Add("tokenizer.ggml.model", "gpt2").Add("tokenizer.ggml.pre", "smollm");
  writer.Add("tokenizer.ggml.tokens", vocabulary.tokens);
  writer.Add("tokenizer.ggml.token_type", vocabulary.types);
  writer.Add("tokenizer.ggml.merges", vocabulary.merges);
  writer.Add("tokenizer.ggml.bos_token_id", uint32_t{1});
  writer.Add("tokenizer.ggml.eos_token_id", uint32_t{2});
  writer.Add("tokenizer.ggml.add_bos_token", true);
  const auto load = [](const test::GgufWriter& file, Memory* memory, Owned<Tokenizer>* tokenizer) {
    const std::vector<uint8_t> bytes = file.Bytes();
    Owned<Gguf> gguf;
    const Status status = Gguf::OpenFile(
        New<MemoryFile, File>(memory, Tag::kObject, bytes.data(), bytes.size()), memory, &gguf);
    INFO(status.message());
    REQUIRE(status.ok());
    return Tokenizer::FromGguf(*gguf, memory, tokenizer);
  };
  Fixture fixture("smollm");
  Owned<Tokenizer> tokenizer;
  REQUIRE(load(writer, &fixture.memory, &tokenizer).ok());
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->eos() == 2);
  CHECK(tokenizer->adds_bos());
  CHECK(tokenizer->IsEnd(2));
  const Ids ids = fixture.Encode("Good morning, 123!");
  fixture.tokenizer = std::move(tokenizer);
  CHECK(fixture.Encode("Good morning, 123!") == ids);

  test::GgufWriter empty;
  CHECK_THAT(load(empty, &fixture.memory, &tokenizer).message(), Contains("tokenizer.ggml.model"));
  empty.Add("tokenizer.ggml.model", "no_vocab");
  CHECK(load(empty, &fixture.memory, &tokenizer).ok());
  CHECK_FALSE(tokenizer->has_vocabulary());
  writer.Add("tokenizer.ggml.eot_token_id", uint32_t{0x80000005});
  CHECK_THAT(load(writer, &fixture.memory, &tokenizer).message(), Contains("eot_token_id"));
}

}  // namespace
}  // namespace junto
