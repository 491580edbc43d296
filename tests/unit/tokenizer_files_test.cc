// Tokenizers from tokenizer.json and tokenizer.model.
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "junto/text/byte_alphabet.h"
#include "junto/text/json_reader.h"
#include "junto/text/tokenizer.h"
#include "tests/support/faults.h"
#include "tests/support/text_vocabulary.h"

namespace junto {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;
using test::TextData;
using test::TextVocabulary;
using Ids = std::vector<int32_t>;

struct Host {
  test::CountingAllocator allocator;
  Memory memory{&allocator, 0};
};

Ids Encode(const Tokenizer& tokenizer, Memory* memory, std::string_view text) {
  Vector<int32_t> ids({memory, Tag::kScratch});
  REQUIRE(tokenizer.Encode(text, false, true, &ids).ok());
  return Ids(ids.begin(), ids.end());
}

// What HF tokenizers write for a vocabulary and a rule.
json TokenizerFile(const TextVocabulary& vocabulary, bool pairs) {
  json file = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  file["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", ""},
                   {"end_of_word_suffix", ""},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", false}};
  file["added_tokens"] = json::array();
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const int32_t type = vocabulary.types[i];
    if (type == 1 || type == 2 || type == 6) file["model"]["vocab"][vocabulary.tokens[i]] = i;
    if (type != 3 && type != 4) continue;
    file["added_tokens"].push_back({{"id", i},
                                    {"content", vocabulary.tokens[i]},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", type == 3}});
  }
  for (const std::string& merge : vocabulary.merges) {
    const size_t space = merge.find(' ');
    json pair = {merge.substr(0, space), merge.substr(space + 1)};
    file["model"]["merges"].push_back(pairs ? pair : json(merge));
  }
  return file;
}

json ByteLevel(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", false},
          {"use_regex", use_regex}};
}

json SplitBy(const std::string& pattern) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"},
             {"pattern", {{"Regex", pattern}}},
             {"behavior", "Isolated"},
             {"invert", false}},
            ByteLevel(false)}}};
}

void CheckEqualsReference(const json& file, const char* rule) {
  Host host;
  Owned<Tokenizer> tokenizer;
  const Status status = Tokenizer::FromJson(file.dump(), &host.memory, &tokenizer);
  INFO(rule << ": " << status.message());
  REQUIRE(status.ok());
  for (const auto& item : TextData("tokenizer.json")["cases"]) {
    const auto text = item["text"].get<std::string>();
    INFO(text);
    REQUIRE(Encode(*tokenizer, &host.memory, text) == item["rules"][rule]["special"].get<Ids>());
  }
}

TEST_CASE("tokenizer.json, byte-level") {
  const TextVocabulary vocabulary;
  for (const char* rule : {"gpt-4o", "llama-bpe", "qwen2", "qwen35"}) {
    const SplitRule& known = *FindSplitRule(rule);
    for (const bool other_pattern : {false, true}) {  // PCRE2 reads those
      json file = TokenizerFile(vocabulary, other_pattern);
      if (known.nfc) file["normalizer"] = {{"type", "NFC"}};
      file["model"]["ignore_merges"] = known.whole_pieces;
      file["pre_tokenizer"] = SplitBy(std::string(known.pattern) + (other_pattern ? "|\\s" : ""));
      CheckEqualsReference(file, rule);
    }
  }
  json file = TokenizerFile(vocabulary, false);
  file["pre_tokenizer"] = ByteLevel(true);
  CheckEqualsReference(file, "gpt-2");
  file["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, ByteLevel(true)}}};
  CheckEqualsReference(file, "smollm");
}

TEST_CASE("tokenizer.json, characters with byte fallback") {
  TextVocabulary vocabulary("sentencepiece.json");
  for (int32_t& type : vocabulary.types) type = type == 4 ? 1 : type;
  for (const char* tag : {"<b>", "</b>"}) {
    vocabulary.types[static_cast<size_t>(vocabulary.Id(tag))] = 4;
  }
  json file = TokenizerFile(vocabulary, true);
  file["model"]["byte_fallback"] = true;
  file["model"]["unk_token"] = "<unk>";
  file["normalizer"] = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\xE2\x96\x81"}};
  file["pre_tokenizer"] = {{"type", "Split"},
                           {"pattern", {{"String", " "}}},
                           {"behavior", "MergedWithPrevious"},
                           {"invert", false}};
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single",
                             {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                              {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}};
  Host host;
  Owned<Tokenizer> tokenizer;
  REQUIRE(Tokenizer::FromJson(file.dump(), &host.memory, &tokenizer).ok());
  for (const auto& item : TextData("sentencepiece.json")["cases"]) {
    if (!item.contains("ranked")) continue;
    const auto text = item["text"].get<std::string>();
    INFO(text);
    REQUIRE(Encode(*tokenizer, &host.memory, text) == item["ranked"].get<Ids>());
  }
  CHECK(tokenizer->adds_bos());
  CHECK(tokenizer->bos() == vocabulary.Id("<s>"));

  file["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers", {{{"type", "Prepend"}, {"prepend", "\xE2\x96\x81"}}, file["normalizer"]}}};
  const Ids without = Encode(*tokenizer, &host.memory, " the");
  REQUIRE(Tokenizer::FromJson(file.dump(), &host.memory, &tokenizer).ok());
  CHECK(Encode(*tokenizer, &host.memory, "the") == without);
}

TEST_CASE("tokenizer.json: what is not supported or damaged") {
  const TextVocabulary vocabulary;
  const json good = [&] {
    json file = TokenizerFile(vocabulary, true);
    file["pre_tokenizer"] = ByteLevel(true);
    return file;
  }();
  const auto refusal = [&](auto&& damage) {
    Host host;
    json file = good;
    damage(file);
    Owned<Tokenizer> tokenizer;
    const Status status = Tokenizer::FromJson(file.dump(), &host.memory, &tokenizer);
    CHECK(status.failed());
    return std::string(status.message());
  };
  CHECK_THAT(refusal([](json& f) { f["model"]["type"] = "WordPiece"; }), Contains("'WordPiece'"));
  CHECK_THAT(refusal([](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }),
             Contains("'</w>'"));
  CHECK_THAT(refusal([](json& f) { f["normalizer"] = {{"type", "NFKC"}}; }), Contains("'NFKC'"));
  CHECK_THAT(refusal([](json& f) {
               f["pre_tokenizer"] = {{"type", "Whitespace"}};
             }),
             Contains("'Whitespace'"));
  CHECK_THAT(refusal([](json& f) { f["pre_tokenizer"] = SplitBy("("); }), Contains("PCRE2"));
  // Steps that the model has no place for.
  CHECK_THAT(refusal([](json& f) { f["model"]["type"] = "Unigram"; }), Contains("'ByteLevel'"));
  CHECK_THAT(refusal([](json& f) {
               f["normalizer"] = {{"type", "NFC"}};
               f["pre_tokenizer"] = nullptr;
             }),
             Contains("'NFC'"));
  CHECK_THAT(refusal([](json& f) {
               f["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", nullptr}};
             }),
             Contains("'ByteLevel'"));
  CHECK_THAT(refusal([](json& f) {
               f["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "?"}};
             }),
             Contains("base 64"));
  CHECK_THAT(refusal([](json& f) {
               f["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}};
             }),
             Contains("'_'"));
  CHECK_THAT(refusal([](json& f) {
               f["model"]["vocab"] = {{"a", -1.0, 2}};
             }),
             Contains("a token and its score"));
  CHECK_THAT(refusal([](json& f) { f["model"]["vocab"]["x"] = 1 << 21; }), Contains("in range"));
  CHECK_THAT(refusal([](json& f) { f["model"]["vocab"]["x"] = -1; }), Contains("in range"));
  CHECK_THAT(refusal([](json& f) { f["model"]["merges"][0] = {"a"}; }), Contains("merge 0"));
  CHECK_THAT(refusal([](json& f) { f["model"]["merges"][0] = 5; }), Contains("an array"));
  CHECK_THAT(refusal([](json& f) {
               f["model"]["merges"][0] = {"a", "b", "c"};
             }),
             Contains("merge 0 has 3 pieces"));
  CHECK_THAT(refusal([](json& f) {
               f["model"]["merges"][0] = {"a b", "c"};
             }),
             Contains("2 pieces and 1 spaces"));

  const std::string text = good.dump();
  Host host;
  Owned<Tokenizer> tokenizer;
  for (size_t size = 0; size < text.size(); size += 1 + size / 50) {
    CHECK(Tokenizer::FromJson(text.substr(0, size), &host.memory, &tokenizer).failed());
  }
}

TEST_CASE("tokenizer.model") {
  std::ifstream in(JUNTO_TEST_DATA "/text/sentencepiece.model", std::ios::binary);
  const std::string model((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  REQUIRE_FALSE(model.empty());
  Host host;
  Owned<Tokenizer> tokenizer;
  const Status status = Tokenizer::FromSentencePiece(model, &host.memory, &tokenizer);
  INFO(status.message());
  REQUIRE(status.ok());
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->eos() == 2);
  for (const auto& item : TextData("sentencepiece.json")["cases"]) {
    const auto text = item["text"].get<std::string>();
    INFO(text);
    REQUIRE(Encode(*tokenizer, &host.memory, text) == item["scored"].get<Ids>());
  }
  for (size_t size = 0; size < model.size(); size += 1 + size / 50) {  // never a crash
    (void)Tokenizer::FromSentencePiece(model.substr(0, size), &host.memory, &tokenizer);
  }
  const Status bare = Tokenizer::FromSentencePiece("", &host.memory, &tokenizer);
  CHECK_THAT(std::string(bare.message()), Contains("field 2 is missing"));
  const auto refusal = [&](const std::string& bytes) {
    const Status refused = Tokenizer::FromSentencePiece(model + bytes, &host.memory, &tokenizer);
    CHECK(refused.failed());
    return std::string(refused.message());
  };
  CHECK_THAT(refusal(std::string("\x12\x02\x18\x03", 4)), Contains("kind 3"));
  CHECK_THAT(refusal(std::string("\x0A\x02\x18\x09", 4)), Contains("type 1 to 6"));
  CHECK_THAT(refusal("\x0A\x05"), Contains("inside the message"));
  CHECK_THAT(refusal("\x0B"), Contains("a type that is known"));
}

TEST_CASE("JSON equals what another reader reads") {
  Host host;
  const std::string text =
      "{\"a\" : [1, -2.5e+3,0 ,true,false,null, \"\\u00e9\\ud83d\\ude00\\n\\\"\\/\"], \"\\u0041\":"
      "{\"deep\":[[[]]]}, \"\xC3\xA9\" : 9007199254740991 }\n";
  JsonReader reader(text, &host.memory);
  std::vector<std::string> keys;
  std::vector<std::string> numbers;
  std::string found;
  int64_t integer = 0;
  REQUIRE(reader
              .Object([&](std::string_view key) -> Status {
                keys.emplace_back(key);
                if (keys.size() == 3) return reader.ReadInteger(0, INT64_MAX, &integer);
                if (key != "a") return reader.Skip();
                return reader.Array([&]() -> Status {
                  JsonKind kind = JsonKind::kNull;
                  JUNTO_TRY(reader.Peek(&kind));
                  if (kind == JsonKind::kNumber) {
                    std::string_view number;
                    JUNTO_TRY(reader.ReadNumber(&number));
                    numbers.emplace_back(number);
                    return Status();
                  }
                  if (kind != JsonKind::kString) return reader.Skip();
                  String string({&host.memory, Tag::kObject});
                  JUNTO_TRY(reader.ReadString(&string));
                  found = std::string(string);
                  return Status();
                });
              })
              .ok());
  REQUIRE(reader.End().ok());
  CHECK(keys == std::vector<std::string>{"a", "A", "\xC3\xA9"});
  CHECK(numbers == std::vector<std::string>{"1", "-2.5e+3", "0"});
  CHECK(found == json::parse(text)["a"][6].get<std::string>());
  CHECK(integer == 9007199254740991);
  for (const char* wrong : {"",       "[",       "[1,]",      "{\"a\"}",     "{\"a\":1,}",
                            "01",     "1.",      "1e",        "-",           "+1",
                            ".5",     "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
                            "\"\n\"", "\"a",     "tru",       "nul",         "[1 2]",
                            "1 2",    "'a'",     "{a:1}"}) {
    JsonReader bad(wrong, &host.memory);
    Status status = bad.Skip();
    if (status.ok()) status = bad.End();
    INFO(wrong);
    CHECK(status.code() == Code::kFormat);
    CHECK_FALSE(json::accept(wrong));
  }
  const std::string brackets(1000, '[');
  JsonReader deep(brackets, &host.memory);
  CHECK_THAT(deep.Skip().message(), Contains("byte 65"));
}

}  // namespace
}  // namespace junto
