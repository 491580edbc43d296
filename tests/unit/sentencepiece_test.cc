// Vocabularies of the SentencePiece family: characters, byte fallback, and both ways to rank.
#include "junto/text/sentencepiece.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "junto/text/byte_pairs.h"
#include "tests/support/faults.h"
#include "tests/support/text_vocabulary.h"
#include "tests/support/tokenizer_fixture.h"

namespace junto {
namespace {

using Catch::Matchers::Contains;
using test::Ids;
using test::TextData;
using test::TextVocabulary;

const char* const kFile = "sentencepiece.json";

struct Fixture : test::TokenizerFixture {
  // `model` as tokenizer.ggml.model has it.
  explicit Fixture(std::string_view model, bool space = false) : TokenizerFixture(kFile) {
    TokenizerSource source = vocabulary.Source("default");
    source.model = model;
    source.adds_space = space ? 1 : 0;
    source.unknown = vocabulary.Id("<unk>");
    Create(source);
  }
  Ids Encode(std::string_view text, bool parse_special = true, bool add_bos = false) {
    return TokenizerFixture::Encode(text, parse_special, add_bos);
  }
};

void AppendWithMarks(std::string_view text, std::string* marks) {
  for (const char c : text) c == ' ' ? marks->append(kSpaceMark) : marks->append(1, c);
}

TEST_CASE("ids equal the references") {
  Fixture scored("llama");
  Fixture spaced("llama", true);
  Fixture ranked("gemma4");
  for (const auto& item : TextData(kFile)["cases"]) {
    const auto text = item["text"].get<std::string>();
    INFO(text);
    REQUIRE(scored.Encode(text) == item["scored"].get<Ids>());
    if (!item.contains("spaced")) continue;
    REQUIRE(spaced.Encode(text) == item["spaced"].get<Ids>());
    REQUIRE(ranked.Encode(text) == item["ranked"].get<Ids>());
  }
}

TEST_CASE("a vocabulary may spell spaces as such") {
  Fixture marks("llama");
  Fixture spaces("llama");
  for (std::string& token : spaces.vocabulary.tokens) {
    for (size_t at = 0; (at = token.find(kSpaceMark)) != std::string::npos;) {
      token.replace(at, kSpaceMark.size(), " ");
    }
  }
  TokenizerSource source = spaces.vocabulary.Source("default");
  source.model = "llama";
  source.adds_space = 0;
  spaces.Create(source);
  for (const auto& item : TextData(kFile)["cases"]) {
    const auto text = item["text"].get<std::string>();
    REQUIRE(spaces.Encode(text) == marks.Encode(text));
  }
}

TEST_CASE("a space mark in a text is a space, in each segment") {
  Fixture fixture("llama");
  const std::string spaces = "a     b <tool_call>   c";
  std::string marks;
  AppendWithMarks(spaces, &marks);
  CHECK(fixture.Encode(marks) == fixture.Encode(spaces));
  for (size_t cut = 0; cut <= spaces.size(); ++cut) {
    std::string before;
    AppendWithMarks(spaces.substr(0, cut), &before);
    const Segment of_spaces[] = {{cut, true}, {spaces.size(), false}};
    const Segment of_marks[] = {{before.size(), true}, {marks.size(), false}};
    EncodeScratch scratch(&fixture.memory);
    Vector<int32_t> ids({&fixture.memory, Tag::kScratch});
    Vector<int32_t> expected({&fixture.memory, Tag::kScratch});
    REQUIRE(fixture.tokenizer->Encode(spaces, {of_spaces, 2}, false, &scratch, &expected).ok());
    REQUIRE(fixture.tokenizer->Encode(marks, {of_marks, 2}, false, &scratch, &ids).ok());
    CHECK(ids == expected);
  }
}

TEST_CASE("pieces of any bytes give them back") {
  std::mt19937 random(2);
  for (const char* model : {"llama", "gemma4"}) {
    Fixture fixture(model);
    for (int round = 0; round < 500; ++round) {
      std::string text;
      for (uint32_t i = random() % 60; i > 0; --i) {
        text.push_back(static_cast<char>(random() % 3 == 0 ? random() : 'a' + random() % 4));
      }
      if (text.find(kSpaceMark) != std::string::npos) continue;  // is a space
      REQUIRE(fixture.Decode(fixture.Encode(text, false)) == text);
    }
  }
}

TEST_CASE("a space before each text between special tokens") {
  Fixture fixture("llama", true);
  const int32_t bold = fixture.vocabulary.Id("<b>");
  Ids expected = fixture.Encode("the");
  const Ids again = expected;
  expected.push_back(bold);
  expected.insert(expected.end(), again.begin(), again.end());
  CHECK(fixture.Encode("the<b>the") == expected);
  CHECK(fixture.Encode("<b>") == Ids{bold});
  CHECK(fixture.Encode("").empty());
  CHECK(fixture.Decode(again) == " the");
}

TEST_CASE("without byte tokens what is not known is unknown, once for each run") {
  Fixture fixture("llama");
  for (int32_t& type : fixture.vocabulary.types) {
    if (type == 6) type = 5;
  }
  TokenizerSource source = fixture.vocabulary.Source("default");
  source.model = "llama";
  source.adds_space = 0;
  source.unknown = fixture.vocabulary.Id("<unk>");
  fixture.Create(source);
  const Ids a = fixture.Encode("a");
  CHECK(fixture.Encode("a\xE2\x98\x83\xE2\x98\x83"
                       "a\xFF") == Ids{a[0], source.unknown, a[0], source.unknown});
  source.unknown = -1;
  fixture.Create(source);
  CHECK(fixture.Encode("a\xE2\x98\x83"
                       "a") == Ids{a[0], a[0]});
}

TEST_CASE("Gemma 4's tokens are what their text says") {
  Fixture fixture("gemma4");
  const auto id = [&](const char* token) { return fixture.vocabulary.Id(token); };
  const char* const names[] = {"<eos>", "<turn|>", "<|tool_response>", "<|channel>"};
  const auto first = static_cast<size_t>(id("<0x00>"));
  for (size_t i = 0; i < 4; ++i) {  // in the place of others, and typed as normal
    const size_t at = first + i;
    fixture.vocabulary.tokens[at] = names[i];
    fixture.vocabulary.types[at] = 1;
  }
  TokenizerSource source = fixture.vocabulary.Source("");
  source.model = "gemma4";
  source.bos = id("<s>");
  source.eos = id("<turn|>");
  source.adds_bos = 0;  // a file that is wrong
  fixture.Create(source);
  CHECK(fixture.tokenizer->adds_bos());
  CHECK(fixture.Encode("", true, true) == Ids{id("<s>")});
  for (const char* name : {"<eos>", "<turn|>", "<|tool_response>"}) {
    CHECK(fixture.tokenizer->IsEnd(id(name)));
  }
  CHECK_FALSE(fixture.tokenizer->IsEnd(id("<|channel>")));
  CHECK(fixture.tokenizer->IsControl(id("<turn|>")));
  CHECK_FALSE(fixture.tokenizer->IsControl(id("<|channel>")));
  for (const char* name : names) {
    CHECK(fixture.Encode(name, true) == Ids{id(name)});
    CHECK(fixture.Encode(name, false).size() > 1);
  }
}

TEST_CASE("markup of reasoning and tools needs trust as control tokens do") {
  Fixture fixture("llama");
  const auto id = [&](const char* token) { return fixture.vocabulary.Id(token); };
  CHECK(fixture.Encode("<tool_call>", true) == Ids{id("<tool_call>")});
  CHECK(fixture.Encode("<tool_call>", false).size() > 1);
  CHECK(fixture.Encode("<b>", false) == Ids{id("<b>")});
  CHECK(fixture.tokenizer->FindMarkup("<tool_call>") == id("<tool_call>"));
  CHECK(fixture.tokenizer->FindMarkup("<b>") == -1);
}

TEST_CASE("damaged vocabularies are refused") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  TextVocabulary vocabulary(kFile);
  Owned<Tokenizer> tokenizer;
  const auto refusal = [&](std::string_view model, auto&& damage) {
    TextVocabulary damaged = vocabulary;
    damage(&damaged);
    TokenizerSource source = damaged.Source("");
    source.model = model;
    const Status status = Tokenizer::Create(source, &memory, &tokenizer);
    CHECK(status.code() == Code::kFormat);
    return std::string(status.message());
  };
  CHECK_THAT(refusal("llama", [](auto* v) { v->scores.pop_back(); }), Contains("scores expected"));
  CHECK_THAT(refusal("llama", [](auto* v) { v->scores[9] = std::stof("nan"); }),
             Contains("token 9 is nan"));
  CHECK_THAT(refusal("llama", [](auto* v) { v->tokens[v->Id("<0x41>")] = "<0x4g>"; }),
             Contains("byte token"));
  CHECK_THAT(refusal("gemma4", [](auto* v) { v->merges[3] = "QQQ QQQ"; }), Contains("merge 3"));
  CHECK_THAT(refusal("gemma4", [](auto* v) { v->types.pop_back(); }), Contains("token_type"));
}

TEST_CASE("cuts where no token has two bytes side by side") {
  BytePairs pairs;
  pairs.Add(" word");
  pairs.Add("\xE6\xBC\xA2");
  CHECK(pairs.Prefix(" word word") == 5);
  CHECK(pairs.Prefix("w") == 1);
  CHECK(pairs.Prefix("ww") == 1);
  CHECK(pairs.Prefix("ordx") == 3);
  CHECK(pairs.Prefix("\xE6\xBC\xA2\xE6\xBC\xA2") == 3);
  CHECK(pairs.Prefix("\xE6\xBC\xA3") == 3);  // never inside a character
  CHECK(pairs.Prefix("\xE6\xBC\xE6") == 2);
  CHECK(pairs.Prefix("\x80\x80\x80w") == 3);
}

TEST_CASE("byte tokens") {
  CHECK(SpelledByte("<0x00>") == 0);
  CHECK(SpelledByte("<0xFA>") == 0xFA);
  for (const char* wrong : {"", "<0x0>", "<0xfa>", "<0xG0>", "<1x00>", "<0x000>", "<0x00]"}) {
    CHECK(SpelledByte(wrong) == -1);
  }
}

}  // namespace
}  // namespace junto
