// Splits by a pattern: equal to those by its shape however long pieces are, and bounded.
#include "junto/text/splitter.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/support/faults.h"

namespace junto {
namespace {

using Catch::Matchers::Contains;

struct Host {
  test::CountingAllocator allocator;
  Memory memory{&allocator, 0};

  Splitter ByPattern(std::string_view pattern) {
    Splitter splitter;
    const Status status = Splitter::Create(pattern, &memory, &splitter);
    INFO(status.message());
    REQUIRE(status.ok());
    return splitter;
  }
  Status Pieces(const Splitter& splitter, std::string_view text, std::vector<size_t>* ends) {
    SplitScratch scratch(&memory);
    ends->clear();
    return splitter.Split(text, &scratch, [&](std::string_view piece) {
      ends->push_back(static_cast<size_t>(piece.data() - text.data()) + piece.size());
      return Status();
    });
  }
};

// Runs of up to 2000 characters of a kind, so that pieces and what they look ahead at end within
// windows, at their ends and behind them.
std::string Runs(std::mt19937* random) {
  static const char* const kCharacters[] = {
      "a", "B",  "\xC3\xA9", "\xE6\xBC\xA2",    "\xCC\x81", "7", " ", "\n", "\t", "!", "/",
      "'", "'s", "_",        "\xF0\x9F\x91\x8B"};
  std::string text;
  for (int runs = 0; runs < 12; ++runs) {
    const char* const character = kCharacters[(*random)() % 15];
    const uint32_t most = (*random)() % 3 == 0 ? 2000 : 300;
    const uint32_t count = (*random)() % 4 == 0 ? 240 + (*random)() % 32 : 1 + (*random)() % most;
    for (uint32_t i = 0; i < count; ++i) text += character;
  }
  return text;
}

TEST_CASE("a pattern splits as its shape does, however long pieces are") {
  Host host;
  std::mt19937 random(7);
  for (const SplitRule& rule : kSplitRules) {
    const Splitter by_shape = Splitter::Of(rule.shape);
    const Splitter by_pattern = host.ByPattern(rule.pattern);
    for (int round = 0; round < 20; ++round) {
      const std::string text = Runs(&random);
      std::vector<size_t> expected;
      std::vector<size_t> found;
      REQUIRE(host.Pieces(by_shape, text, &expected).ok());
      const Status status = host.Pieces(by_pattern, text, &found);
      INFO(rule.name << ": " << status.message());
      REQUIRE(status.ok());
      REQUIRE(found == expected);
    }
  }
}

TEST_CASE("what is far apart is found") {
  Host host;
  const std::string text = std::string(5000, 'a') + "7" + std::string(5000, 'b');
  std::vector<size_t> ends;
  REQUIRE(host.Pieces(host.ByPattern("\\p{N}"), text, &ends).ok());
  CHECK(ends == std::vector<size_t>{5000, 5001, 10001});
  REQUIRE(host.Pieces(host.ByPattern("a+(?=7)|b+$"), text, &ends).ok());
  CHECK(ends == std::vector<size_t>{5000, 5001, 10001});
}

TEST_CASE("patterns that take more and more work are given up") {
  Host host;
  const std::string text(40000, 'a');
  std::vector<size_t> ends;
  for (const char* hostile :
       {"a(?=[^q]*)",                            // one step, but all of the text
        "a(?!.*q)",                              // the same
        "(?:a|a){0,24}b|a",                      // many steps, each time
        "(?:a*)*b|a", "(?:a(?=[^z]*))*+b|."}) {  // many, each of all of the text
    const Status status = host.Pieces(host.ByPattern(hostile), text, &ends);
    INFO(hostile);
    CHECK(status.code() == Code::kUnsupported);
    CHECK_THAT(status.message(), Contains("split pattern: PCRE2 error"));
  }
  CHECK(host.Pieces(host.ByPattern("(?:a|a){0,5}b|a"), text, &ends).ok());
  CHECK(ends.size() == text.size());
}

}  // namespace
}  // namespace junto
