#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/support/output.h"
#include "tests/support/text_vocabulary.h"

namespace junto {
namespace {

struct Fixture : test::OutputFixture {
  explicit Fixture(size_t piece_bytes = 256) : OutputFixture(OutputKind::kPlain, piece_bytes, 0) {}
  std::string Take() {
    const std::string text(stream.Front().text);
    stream.Consume(text.size());
    return text;
  }
};

TEST_CASE("reading broken UTF-8") {
  const auto is = [](std::string_view text, Utf8Kind kind, size_t size) {
    const Utf8Head head = ReadUtf8(text);
    return head.kind == kind && head.size == size;
  };
  CHECK(is("a\xFF", Utf8Kind::kWhole, 1));
  CHECK(is("\xF0\x9F\x91\x8B!", Utf8Kind::kWhole, 4));
  CHECK(is("\xF0\x9F\x91", Utf8Kind::kCutOff, 3));
  CHECK(is("\xF0\x9F\x91!", Utf8Kind::kBroken, 3));
  CHECK(is("\xF0\x8F\x91\x91", Utf8Kind::kBroken, 1));  // overlong
  CHECK(is("\xED\xA0\x80", Utf8Kind::kBroken, 1));      // surrogate
  CHECK(is("\xF4\x90\x80\x80", Utf8Kind::kBroken, 1));  // beyond U+10FFFF
  CHECK(is("\x80", Utf8Kind::kBroken, 1));
  CHECK(is("\xC1\x80", Utf8Kind::kBroken, 1));
  CHECK(WholePrefix("h\xC3\xA9\xE6\xBC") == 3);
}

TEST_CASE("every code point survives decoding and encoding") {
  for (uint32_t c = 0; c < 0x110000; c += c < 0x900 ? 1 : 37) {
    if (c >= 0xD800 && c < 0xE000) continue;
    char bytes[4];
    const size_t size = EncodeUtf8(c, bytes);
    REQUIRE(CodePointLength({bytes, size}) == size);
    REQUIRE(DecodeUtf8(bytes, size) == c);
  }
}

TEST_CASE("broken bytes become U+FFFD however they are cut") {
  std::mt19937 random(3);
  for (const auto& pair : test::TextData("tokenizer.json")["broken"]) {
    const std::string bytes = test::FromHex(pair[0]);
    for (int round = 0; round < 8; ++round) {
      Fixture fixture;
      std::string text;
      for (size_t at = 0; at < bytes.size();) {
        const size_t size = round == 0 ? 1 : 1 + random() % 5;
        REQUIRE(fixture.stream.Feed(std::string_view(bytes).substr(at, size)).ok());
        REQUIRE(IsUtf8(fixture.stream.Front().text));
        text += fixture.Take();
        at += size;
      }
      fixture.stream.Finish(true);
      text += fixture.Take();
      REQUIRE(text == pair[1].get<std::string>());
    }
  }
}

TEST_CASE("an incomplete code point is held back") {
  Fixture fixture;
  CHECK(fixture.stream.Feed("a\xF0\x9F\x91").ok());
  CHECK(fixture.stream.Front().text == "a");
  CHECK(fixture.stream.Feed("\x8B").ok());
  CHECK(fixture.Take() == "a\xF0\x9F\x91\x8B");
}

TEST_CASE("stop texts, simple") {
  Fixture fixture;
  REQUIRE(fixture.stream.AddStop("END").ok());
  REQUIRE(fixture.stream.AddStop("\n\n").ok());
  CHECK(fixture.stream.Feed("one\n").ok());
  CHECK(fixture.Take() == "one");
  CHECK(fixture.stream.Feed("EN").ok());
  CHECK(fixture.Take() == "\n");
  CHECK(fixture.stream.Feed("EN").ok());
  CHECK(fixture.Take() == "EN");
  CHECK(fixture.stream.Feed("D and more").code() == Code::kDone);
  CHECK(fixture.stream.stopped());
  CHECK(fixture.Take().empty());
  CHECK(fixture.stream.Feed("x").code() == Code::kDone);
  fixture.stream.Finish(true);
  CHECK(fixture.Take().empty());

  fixture.stream.Start(0);
  CHECK_FALSE(fixture.stream.stopped());
  CHECK(fixture.stream.Feed("E").ok());
  fixture.stream.Finish(true);
  CHECK(fixture.Take() == "E");
}

// Where the first stop text to be completed begins; the longest of those completed together.
size_t FindStop(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (end >= stop.size() && text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest != 0) return end - longest;
  }
  return std::string::npos;
}

// Bytes at the end of `text` that may become a stop text.
size_t Held(const std::string& text, const std::vector<std::string>& stops) {
  size_t held = 0;
  for (const std::string& stop : stops) {
    for (size_t size = 1; size < stop.size() && size <= text.size(); ++size) {
      if (text.compare(text.size() - size, size, stop, 0, size) == 0) held = std::max(held, size);
    }
  }
  return held;
}

TEST_CASE("stop texts equal a search, however the text is cut") {
  std::mt19937 random(11);
  const std::vector<std::string> alphabet = {"a", "b", "ab", "\xC3\xA9"};
  const auto make = [&](size_t parts) {
    std::string text;
    for (size_t i = 0; i < parts; ++i) text += alphabet[random() % alphabet.size()];
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    Fixture fixture;
    std::vector<std::string> stops;
    for (size_t i = 0; i < 1 + random() % 4; ++i) {
      stops.push_back(make(1 + random() % 9));
      REQUIRE(fixture.stream.AddStop(stops.back()).ok());
    }
    const std::string text = make(random() % 40);
    const size_t stop = FindStop(text, stops);
    std::string shown;
    bool stopped = false;
    for (size_t at = 0; at < text.size() && !stopped; ++at) {
      const Status status = fixture.stream.Feed(std::string_view(text).substr(at, 1));
      stopped = status.code() == Code::kDone;
      REQUIRE((stopped || status.ok()));
      shown += fixture.Take();
      const std::string fed = text.substr(0, WholePrefix(std::string_view(text).substr(0, at + 1)));
      if (!stopped) REQUIRE(shown.size() == fed.size() - Held(fed, stops));
    }
    fixture.stream.Finish(true);
    shown += fixture.Take();
    REQUIRE(stopped == (stop != std::string::npos));
    REQUIRE(shown == text.substr(0, stop));
  }
}

TEST_CASE("stop texts are checked") {
  Fixture fixture;
  CHECK(fixture.stream.AddStop("").code() == Code::kInvalid);
  CHECK(fixture.stream.AddStop(std::string(129, 'x')).code() == Code::kInvalid);
  CHECK(fixture.stream.AddStop("a\xFF").code() == Code::kInvalid);
  CHECK(std::string(fixture.stream.AddStop("a\xFF").message()).find("byte 1") != std::string::npos);
  for (int i = 0; i < 16; ++i) CHECK(fixture.stream.AddStop(std::string(128, 'x')).ok());
  CHECK(fixture.stream.AddStop("y").code() == Code::kInvalid);
  CHECK(fixture.stream.Feed(std::string(127, 'x')).ok());
  CHECK(fixture.stream.Front().text.empty());
  CHECK(fixture.stream.Feed("x").code() == Code::kDone);
}

TEST_CASE("a full buffer refuses a piece and takes it later") {
  constexpr size_t kPiece = 20;
  Fixture fixture(kPiece);
  REQUIRE(fixture.stream.AddStop(std::string(128, 'x')).ok());
  const std::string worst(kPiece, '\xFF');
  size_t refused = 0;
  std::string text;
  for (int i = 0; i < 400; ++i) {
    const std::string piece = i % 7 == 3 ? std::string(kPiece - 3, 'x') + "\xF0\x9F\x91" : worst;
    const Status status = fixture.stream.Feed(piece);
    if (status.code() == Code::kShortBuffer) {
      CHECK(fixture.stream.blocked());
      ++refused;
      text += fixture.Take();
      REQUIRE(fixture.stream.Feed(piece).ok());
    } else {
      REQUIRE(status.ok());
    }
  }
  fixture.stream.Finish(true);
  text += fixture.Take();
  CHECK(refused > 2);
  CHECK(std::count(text.begin(), text.end(), 'x') == 57 * 17);
  CHECK(std::count(text.begin(), text.end(), '\xEF') == 343 * 20 + 57);
}

}  // namespace
}  // namespace junto
