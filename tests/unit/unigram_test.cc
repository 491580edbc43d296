// Unigram models of SentencePiece, and what rewrites text for them.
#include "junto/text/unigram.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "junto/text/base64.h"
#include "junto/text/charsmap.h"
#include "junto/text/tokenizer.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/text_vocabulary.h"

namespace junto {
namespace {

using Catch::Matchers::Contains;
using test::FromHex;
using test::TextData;
using Ids = std::vector<int32_t>;

std::string Load(const std::string& name) {
  std::ifstream in(JUNTO_TEST_DATA "/text/" + name, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

const nlohmann::json& Vectors() { return TextData("unigram.json"); }

struct Host {
  void ReadModel(const std::string& bytes) {
    Check(Tokenizer::FromSentencePiece(bytes, &memory, &tokenizer));
  }
  void Check(const Status& status) {
    INFO(status.message());
    REQUIRE(status.ok());
  }
  Ids Encode(std::string_view text, bool trusted = false) {
    Vector<int32_t> ids({&memory, Tag::kScratch});
    Check(tokenizer->Encode(text, false, trusted, &ids));
    return Ids(ids.begin(), ids.end());
  }
  void CheckCases(const char* name, bool trusted = false) {
    for (const auto& item : Vectors()["cases"]) {
      if (!item.contains(name)) continue;
      INFO(name << ": " << item["text"]);
      REQUIRE(Encode(item["text"].get<std::string>(), trusted) == item[name].get<Ids>());
    }
  }

  test::CountingAllocator allocator;
  Memory memory{&allocator, 0};
  Owned<Tokenizer> tokenizer;
};

TEST_CASE("tokenizer.model: ids equal the reference, however it rewrites text") {
  for (const auto& [name, fields] : Vectors()["variants"].items()) {
    Host host;
    const char* const file = name == "joined" ? "sentencepiece.model" : "unigram.model";
    host.ReadModel(Load(file) + FromHex(fields.get<std::string>()));
    host.CheckCases(name.c_str());
  }
}

TEST_CASE("tokenizer.json: ids equal the reference") {
  Host host;
  host.Check(
      Tokenizer::FromJson(Vectors()["file"].get<std::string>(), &host.memory, &host.tokenizer));
  host.CheckCases("file", true);
}

TEST_CASE("GGUF: ids equal the reference") {
  Host host;
  const std::string bytes = Load("unigram.model");
  SentencePieceModel model(&host.memory);
  TokenizerSource source;
  host.Check(model.Read(bytes, &source));
  const std::string_view charsmap = source.rules.charsmap;
  test::GgufWriter writer;
  writer.Add("tokenizer.ggml.model", "t5");
  writer.Add("tokenizer.ggml.tokens",
             std::vector<std::string>(source.tokens.begin(), source.tokens.end()));
  writer.Add("tokenizer.ggml.scores",
             std::vector<float>(source.scores.begin(), source.scores.end()));
  writer.Add("tokenizer.ggml.token_type",
             std::vector<int32_t>(source.types.begin(), source.types.end()));
  writer.Add("tokenizer.ggml.precompiled_charsmap",
             std::vector<uint8_t>(charsmap.begin(), charsmap.end()));
  writer.Add("tokenizer.ggml.remove_extra_whitespaces", true);
  writer.Add("tokenizer.ggml.unknown_token_id", uint32_t{0});
  const std::vector<uint8_t> file = writer.Bytes();
  Owned<Gguf> gguf;
  host.Check(Gguf::OpenFile(
      New<MemoryFile, File>(&host.memory, Tag::kObject, file.data(), uint64_t{file.size()}),
      &host.memory, &gguf));
  host.Check(Tokenizer::FromGguf(*gguf, &host.memory, &host.tokenizer));
  host.CheckCases("plain");
}

TEST_CASE("sums begin anew in a long text, as the reference's do") {
  Host host;
  host.ReadModel(Load("unigram.model"));
  const nlohmann::json& vector = Vectors()["long"];
  std::string text;
  for (int i = 0; i < vector["times"]; ++i) text += vector["text"].get<std::string>();
  const Ids ids = host.Encode(text);
  CHECK(ids.size() == vector["count"].get<size_t>());
  int64_t sum = 0;
  for (size_t i = 0; i < ids.size(); ++i) sum += ids[i] * static_cast<int64_t>(i + 1);
  CHECK(sum == vector["sum"].get<int64_t>());
}

TEST_CASE("no text spells a control token or markup, not even once it is rewritten") {
  Host host;
  host.ReadModel(Load("unigram.model"));
  const int32_t call = host.tokenizer->FindMarkup("<tool_call>");
  REQUIRE(call >= 0);
  CHECK(host.Encode("<tool_call>", true) == Ids{call});
  const std::string wide =  // U+FF1C …, which becomes "<tool_call><s>"
      "\xEF\xBC\x9Ctool_call\xEF\xBC\x9E\xEF\xBC\x9Cs\xEF\xBC\x9E";
  for (const int32_t id : host.Encode(wide, true)) {
    CHECK(id != call);
    CHECK_FALSE(host.tokenizer->IsControl(id));
  }
  for (const int32_t id : host.Encode("<tool_call><s>", false)) {
    CHECK(id != call);
    CHECK_FALSE(host.tokenizer->IsControl(id));
  }
}

TEST_CASE("bytes that are not UTF-8 are unknown characters") {
  Host host;
  host.ReadModel(Load("unigram.model"));
  const Ids good = host.Encode("good");
  Ids expected = good;
  expected.push_back(0);  // one for both
  CHECK(host.Encode("good\xFF\x80") == expected);
  CHECK(host.Encode("good\xE2\x96") == expected);
}

// Two words of a double array at a time: one rule that replaces "a".
std::string CharsmapOf(const std::vector<uint32_t>& units, const std::string& texts) {
  std::string file;
  const auto put = [&file](uint32_t word) {
    for (int i = 0; i < 4; ++i) file.push_back(static_cast<char>(word >> 8 * i));
  };
  put(static_cast<uint32_t>(4 * units.size()));
  for (const uint32_t unit : units) put(unit);
  return file + texts;
}

TEST_CASE("charsmaps that are damaged or lead in circles") {
  Host host;
  Charsmap map(&host.memory);
  CHECK(map.Longest("a").bytes == 0);
  // The root's children are at 0x100 ^ byte; "a" ends, and its value is at 0x161 ^ 1.
  std::vector<uint32_t> units(0x200);
  units[0] = 0x100u << 10;
  units[0x161] = 1u << 10 | 0x100 | 'a';
  units[0x160] = 0x80000000u | 2;
  REQUIRE(map.Read(CharsmapOf(units, std::string("x\0yz", 4))).ok());
  CHECK(map.Longest("ab").bytes == 1);
  CHECK(map.Longest("ab").text == "yz");
  CHECK(map.Longest("b").bytes == 0);
  CHECK(map.Longest("").bytes == 0);
  units[0x160] = 0x80000000u | 1000;  // a text behind the last one
  REQUIRE(map.Read(CharsmapOf(units, "x")).ok());
  CHECK(map.Longest("ab").bytes == 0);
  units[0x161] = 0xFFFFFE00u | 0x100 | 'a';  // children behind the last unit
  REQUIRE(map.Read(CharsmapOf(units, "x")).ok());
  CHECK(map.Longest("aa").bytes == 0);
  units[0x161] = 0x61u << 10 | 0x100 | 'a';  // its own parent: any number of them
  REQUIRE(map.Read(CharsmapOf(units, "x")).ok());
  CHECK(map.Longest(std::string(1000, 'a')).bytes <= Charsmap::kMaxKey);
  const auto refusal = [&](const std::string& file) {
    const Status status = map.Read(file);
    CHECK(status.code() == Code::kFormat);
    return std::string(status.message());
  };
  CHECK_THAT(refusal("abc"), Contains("0 bytes in 3"));
  CHECK_THAT(refusal(std::string("\x04\0\0\0", 4)), Contains("4 bytes in 4"));
  CHECK_THAT(refusal(std::string("\x03\0\0\0abcd", 8)), Contains("3 bytes"));
  CHECK_THAT(refusal(CharsmapOf(units, std::string(257, 'x'))), Contains("257 bytes"));
}

TEST_CASE("a text that grows too long is refused") {
  Host host;
  Rewriter rewriter(&host.memory);
  const Vocabulary none(&host.memory);
  RewriteRules rules;
  rules.adds_space = true;
  host.Check(rewriter.Fill(rules, none, {}));
  String out({&host.memory, Tag::kScratch});
  host.Check(rewriter.Rewrite("abcd", true, 6, &out));
  CHECK(std::string_view(out) == " abcd");
  CHECK(rewriter.Rewrite("abcdef", true, 6, &out).code() == Code::kInvalid);
}

TEST_CASE("damaged models are refused") {
  Host host;
  const std::string model = Load("unigram.model");
  const auto refusal = [&](const std::string& piece) {
    const Status status =
        Tokenizer::FromSentencePiece(model + piece, &host.memory, &host.tokenizer);
    CHECK(status.code() == Code::kFormat);
    return std::string(status.message());
  };
  CHECK_THAT(refusal(std::string("\x0A\x08\x0A\x01\x01\x15\0\0\xC0\x7F", 10)), Contains("is nan"));
  CHECK_THAT(refusal(std::string("\x0A\x08\x0A\x01\x01\x15\xF9\x02\x15\x50", 10)),
             Contains("is 1e+10"));
  const std::string text(513, 'q');
  CHECK_THAT(refusal(std::string("\x0A\x84\x04\x0A\x81\x04", 6) + text), Contains("513 bytes"));
  CHECK_THAT(refusal(std::string("\x1A\x05\x12\x03\x01\x01\x01", 7)), Contains("charsmap"));
}

TEST_CASE("base 64") {
  const auto decode = [](std::string text) {
    size_t bytes = 0;
    if (!DecodeBase64(text.data(), text.size(), &bytes)) return std::string("wrong");
    return text.substr(0, bytes);
  };
  CHECK(decode("").empty());
  CHECK(decode("Zm9vYmE=") == "fooba");
  CHECK(decode("Zm9vYg==") == "foob");
  CHECK(decode("Zm9v") == "foo");
  CHECK(decode("+/+/") == "\xFB\xFF\xBF");
  for (const char* wrong : {"Z", "Zg", "Zg=", "Z===", "====", "Zm9v!m9v", "Zg==Zg==", "Zm 9"}) {
    CHECK(decode(wrong) == "wrong");
  }
}

}  // namespace
}  // namespace junto
