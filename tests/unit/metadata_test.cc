// Look-ups in metadata: what each accepts, what it refuses, and what the refusal says.
#include "junto/io/metadata.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "../support/faults.h"
#include "../support/gguf_writer.h"
#include "junto/io/gguf.h"

namespace junto {
namespace {

using test::CountingAllocator;
using test::GgufWriter;

// Keeps the file alive beside the opened model.
struct Fixture {
  explicit Fixture(const GgufWriter& writer) : bytes(writer.Bytes()) {
    Owned<File> file =
        New<MemoryFile, File>(&memory, Tag::kObject, bytes.data(), uint64_t{bytes.size()});
    const Status status = Gguf::OpenFile(std::move(file), &memory, &model);
    INFO(status.message());
    REQUIRE(status.ok());
  }
  const Metadata& pairs() const { return model->metadata(); }

  std::vector<uint8_t> bytes;
  CountingAllocator allocator;
  Memory memory{&allocator, 0};
  Owned<Gguf> model;
};

GgufWriter EveryType() {
  GgufWriter writer;
  writer.Add("u8", uint8_t{200}).Add("i8", int8_t{-100});
  writer.Add("u16", uint16_t{60000}).Add("i16", int16_t{-30000});
  writer.Add("u32", uint32_t{4000000000}).Add("i32", int32_t{-7}).Add("i32+", int32_t{7});
  writer.Add("u64", uint64_t{1} << 32).Add("u64-", uint64_t{99}).Add("i64", -(int64_t{1} << 62));
  writer.Add("f32", 0.1f).Add("f64", 0.1).Add("huge", 1e39);
  writer.Add("nan", std::numeric_limits<float>::quiet_NaN());
  writer.Add("inf", std::numeric_limits<double>::infinity());
  writer.Add("yes", true).Add("no", false).Add("text", "four").Add("empty", "");
  writer.Add("a.u8", std::vector<uint8_t>{1, 2, 3});
  writer.Add("a.i16", std::vector<int16_t>{5, -6});
  writer.Add("a.u32", std::vector<uint32_t>{1, 0x80000000u});
  writer.Add("a.u32+", std::vector<uint32_t>{8, 9});
  writer.Add("a.i32", std::vector<int32_t>{-3, 4, 5});
  writer.Add("a.u64", std::vector<uint64_t>{7, uint64_t{1} << 40});
  writer.Add("a.f32", std::vector<float>{0.5f, -1.5f});
  writer.Add("a.f64", std::vector<double>{0.5});
  writer.Add("a.bool", std::vector<bool>{true, false, true});
  writer.Add("a.text", std::vector<std::string>{"one", "", "three"});
  writer.Add("a.none", std::vector<int32_t>{});
  return writer;
}

std::string Message(const Status& status) {
  CHECK(status.code() == Code::kFormat);
  return status.message();
}

TEST_CASE("integers of any type are taken when they fit 32 bits") {
  const Fixture fixture(EveryType());
  const Metadata& pairs = fixture.pairs();
  uint32_t x = 0;
  CHECK((pairs.GetU32("u8", &x).ok() && x == 200));
  CHECK((pairs.GetU32("u16", &x).ok() && x == 60000));
  CHECK((pairs.GetU32("u32", &x).ok() && x == 4000000000u));
  CHECK((pairs.GetU32("i32+", &x).ok() && x == 7));
  CHECK((pairs.GetU32("u64-", &x).ok() && x == 99));
  CHECK((pairs.GetU32Or("u64-", 5, &x).ok() && x == 99));
  CHECK((pairs.GetU32Or("absent", 5, &x).ok() && x == 5));

  CHECK(Message(pairs.GetU32("absent", &x)) == "key 'absent': missing");
  CHECK(Message(pairs.GetU32("i8", &x)) == "key 'i8': -100 is outside 0 to 4294967295");
  CHECK(Message(pairs.GetU32("i16", &x)) == "key 'i16': -30000 is outside 0 to 4294967295");
  CHECK(Message(pairs.GetU32("i64", &x)) ==
        "key 'i64': -4611686018427387904 is outside 0 to 4294967295");
  CHECK(Message(pairs.GetU32Or("u64", 5, &x)) ==
        "key 'u64': 4294967296 is outside 0 to 4294967295");
  CHECK(Message(pairs.GetU32("text", &x)) ==
        "key 'text': string found where an integer is expected");
  CHECK(Message(pairs.GetU32("f32", &x)) == "key 'f32': f32 found where an integer is expected");
  CHECK(Message(pairs.GetU32Or("yes", 5, &x)) ==
        "key 'yes': bool found where an integer is expected");
  CHECK(Message(pairs.GetU32("a.u8", &x)) ==
        "key 'a.u8': array of u8 found where an integer is expected");
  CHECK(x == 5);  // failures leave it alone
}

TEST_CASE("floats come from floats, doubles and integers, and are finite") {
  const Fixture fixture(EveryType());
  const Metadata& pairs = fixture.pairs();
  float x = 0;
  CHECK((pairs.GetF32("f32", &x).ok() && x == 0.1f));
  CHECK((pairs.GetF32("f64", &x).ok() && x == 0.1f));
  CHECK((pairs.GetF32("i8", &x).ok() && x == -100));
  CHECK((pairs.GetF32("u64", &x).ok() && x == 4294967296.0f));
  CHECK((pairs.GetF32("i64", &x).ok() && x == -4611686018427387904.0f));
  CHECK((pairs.GetF32Or("absent", 2.5f, &x).ok() && x == 2.5f));
  CHECK(Message(pairs.GetF32("absent", &x)) == "key 'absent': missing");
  CHECK(Message(pairs.GetF32("huge", &x)) == "key 'huge': 1e+39 is not a finite 32-bit number");
  CHECK(Message(pairs.GetF32("inf", &x)) == "key 'inf': inf is not a finite 32-bit number");
  CHECK(!pairs.GetF32("nan", &x).ok());
  CHECK(Message(pairs.GetF32Or("yes", 1, &x)) ==
        "key 'yes': bool found where a number is expected");
  CHECK(Message(pairs.GetF32("text", &x)) == "key 'text': string found where a number is expected");
  CHECK(x == 2.5f);
}

TEST_CASE("bools and strings are taken as they are") {
  const Fixture fixture(EveryType());
  const Metadata& pairs = fixture.pairs();
  bool b = false;
  CHECK((pairs.GetBool("yes", &b).ok() && b));
  CHECK((pairs.GetBoolOr("no", true, &b).ok() && !b));
  CHECK((pairs.GetBoolOr("absent", true, &b).ok() && b));
  CHECK(Message(pairs.GetBoolOr("u8", true, &b)) == "key 'u8': u8 found where a bool is expected");
  CHECK(Message(pairs.GetBool("a.bool", &b)) ==
        "key 'a.bool': array of bool found where a bool is expected");
  CHECK(Message(pairs.GetBool("absent", &b)) == "key 'absent': missing");

  std::string_view text;
  CHECK((pairs.GetString("text", &text).ok() && text == "four"));
  CHECK((pairs.GetString("empty", &text).ok() && text.empty()));
  CHECK((pairs.GetStringOr("absent", "other", &text).ok() && text == "other"));
  CHECK(Message(pairs.GetStringOr("u8", "", &text)) ==
        "key 'u8': u8 found where a string is expected");
}

TEST_CASE("per-layer numbers are an array of the right length or one for all") {
  const Fixture fixture(EveryType());
  const Metadata& pairs = fixture.pairs();
  std::vector<uint32_t> x(3);
  REQUIRE(pairs.GetU32s("a.u8", x).ok());
  CHECK(x == std::vector<uint32_t>{1, 2, 3});
  REQUIRE(pairs.GetU32s("a.bool", x).ok());
  CHECK(x == std::vector<uint32_t>{1, 0, 1});
  REQUIRE(pairs.GetU32s("u16", x).ok());
  CHECK(x == std::vector<uint32_t>{60000, 60000, 60000});
  REQUIRE(pairs.GetU32s("yes", x).ok());
  CHECK(x == std::vector<uint32_t>{1, 1, 1});
  REQUIRE(pairs.GetU32sOr("absent", 9, x).ok());
  CHECK(x == std::vector<uint32_t>{9, 9, 9});
  REQUIRE(pairs.GetU32sOr("a.u8", 9, x).ok());
  CHECK(x == std::vector<uint32_t>{1, 2, 3});
  CHECK(pairs.GetU32s("a.none", Span<uint32_t>()).ok());

  CHECK(Message(pairs.GetU32s("a.i16", x)) == "key 'a.i16': 2 elements found, 3 expected");
  CHECK(Message(pairs.GetU32s("a.none", x)) == "key 'a.none': 0 elements found, 3 expected");
  CHECK(Message(pairs.GetU32s("absent", x)) == "key 'absent': missing");
  CHECK(Message(pairs.GetU32sOr("a.i32", 9, x)) == "key 'a.i32': -3 is outside 0 to 4294967295");
  CHECK(Message(pairs.GetU32s("a.text", x)) ==
        "key 'a.text': array of string found where an integer is expected");
  std::vector<uint32_t> two(2);
  CHECK(Message(pairs.GetU32s("a.u64", two)) ==
        "key 'a.u64': 1099511627776 is outside 0 to 4294967295");
  CHECK(Message(pairs.GetU32s("f32", two)) == "key 'f32': f32 found where an integer is expected");
}

TEST_CASE("arrays are seen in place and aligned") {
  const Fixture fixture(EveryType());
  const Metadata& pairs = fixture.pairs();
  Span<const std::string_view> texts;
  REQUIRE(pairs.GetStrings("a.text", &texts).ok());
  REQUIRE(texts.size() == 3);
  CHECK((texts[0] == "one" && texts[1].empty() && texts[2] == "three"));
  Span<const int32_t> words;
  REQUIRE(pairs.GetI32s("a.i32", &words).ok());
  CHECK(std::vector<int32_t>(words.begin(), words.end()) == std::vector<int32_t>{-3, 4, 5});
  REQUIRE(pairs.GetI32s("a.u32+", &words).ok());
  CHECK(words[1] == 9);
  REQUIRE(pairs.GetI32s("a.none", &words).ok());
  CHECK(words.empty());
  Span<const float> floats;
  REQUIRE(pairs.GetF32s("a.f32", &floats).ok());
  CHECK((floats.size() == 2 && floats[1] == -1.5f));

  for (const MetadataValue& value : pairs.values()) {
    const size_t size = value.type == MetadataType::kString
                            ? alignof(std::string_view)
                            : FindMetadataType(static_cast<uint32_t>(value.type))->bytes;
    CHECK(reinterpret_cast<uintptr_t>(value.data) % size == 0);
  }

  CHECK(Message(pairs.GetI32s("a.u32", &words)) ==
        "key 'a.u32': 2147483648 is outside 0 to 2147483647");
  CHECK(Message(pairs.GetI32s("a.u8", &words)) ==
        "key 'a.u8': array of u8 found where an array of i32 is expected");
  CHECK(Message(pairs.GetI32s("i32", &words)) ==
        "key 'i32': i32 found where an array of i32 is expected");
  CHECK(Message(pairs.GetF32s("a.f64", &floats)) ==
        "key 'a.f64': array of f64 found where an array of f32 is expected");
  CHECK(Message(pairs.GetStrings("text", &texts)) ==
        "key 'text': string found where an array of strings is expected");
  CHECK(Message(pairs.GetStrings("absent", &texts)) == "key 'absent': missing");
}

TEST_CASE("values become text") {
  const Fixture fixture(EveryType());
  const Metadata& pairs = fixture.pairs();
  const auto text = [&pairs](std::string_view key) {
    size_t size = 0;
    REQUIRE(pairs.Format(key, nullptr, 0, &size).ok());
    std::string out(size + 1, '#');
    CHECK(pairs.Format(key, &out[0], size, &size).code() == Code::kShortBuffer);
    CHECK(out == std::string(size + 1, '#'));
    REQUIRE(pairs.Format(key, &out[0], size + 1, &size).ok());
    CHECK(out.back() == '\0');
    out.pop_back();
    return out;
  };
  CHECK(text("u8") == "200");
  CHECK(text("i8") == "-100");
  CHECK(text("i64") == "-4611686018427387904");
  CHECK(text("u64") == "4294967296");
  CHECK(text("f32") == "0.1");
  CHECK(text("f64") == "0.1");
  CHECK(text("huge") == "1e+39");
  CHECK(text("nan") == "nan");
  CHECK(text("inf") == "inf");
  CHECK(text("yes") == "true");
  CHECK(text("no") == "false");
  CHECK(text("text") == "four");
  CHECK(text("empty") == "");
  CHECK(text("a.text") == "3");
  CHECK(text("a.none") == "0");
  size_t size = 77;
  CHECK(pairs.Format("absent", nullptr, 0, &size).code() == Code::kInvalid);
  CHECK(size == 77);
}

TEST_CASE("values are listed once each, by key") {
  const Fixture fixture(EveryType());
  const Span<const MetadataValue> values = fixture.pairs().values();
  REQUIRE(values.size() == 30);
  for (size_t i = 1; i < values.size(); ++i) CHECK(values[i - 1].key < values[i].key);
  for (const MetadataValue& value : values) CHECK(fixture.pairs().Find(value.key) == &value);
  CHECK(fixture.pairs().Find("") == nullptr);
  CHECK(fixture.pairs().Find("zzz") == nullptr);
}

TEST_CASE("what describes the tokenizer is counted as the tokenizer's") {
  GgufWriter writer;
  writer.Add("tokenizer.ggml.model", "gpt2").Add("other", std::vector<uint64_t>(1000));
  const Fixture small(writer);
  writer.Add("tokenizer.ggml.tokens", std::vector<std::string>(1000, "abcde"));
  const Fixture large(writer);
  const uint64_t model = sizeof(std::string_view) + 4;
  CHECK(small.memory.current(Tag::kTokenizer) == model);
  CHECK(large.memory.current(Tag::kTokenizer) ==
        RoundUp<uint64_t>(model, alignof(std::string_view)) +
            1000 * (sizeof(std::string_view) + 5));
  CHECK(large.memory.current(Tag::kObject) - small.memory.current(Tag::kObject) < 200);
  CHECK(large.memory.current(Tag::kLoadTemp) == 0);
}

TEST_CASE("long keys do not push the number out of the message") {
  const std::string key(60000, 'k');
  GgufWriter writer;
  writer.Add(key, "text");
  const Fixture fixture(writer);
  uint32_t x = 0;
  CHECK(Message(fixture.pairs().GetU32(key, &x)) ==
        "key '" + key.substr(0, 96) + "': string found where an integer is expected");
}

}  // namespace
}  // namespace junto
