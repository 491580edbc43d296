// A tokenizer made of a TextVocabulary, and what tests ask of it.
#ifndef JUNTO_TESTS_SUPPORT_TOKENIZER_FIXTURE_H_
#define JUNTO_TESTS_SUPPORT_TOKENIZER_FIXTURE_H_

#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/faults.h"
#include "tests/support/text_vocabulary.h"

namespace junto {
namespace test {

using Ids = std::vector<int32_t>;

struct TokenizerFixture {
  explicit TokenizerFixture(const char* file) : vocabulary(file) {}

  void Create(const TokenizerSource& source) {
    const Status status = Tokenizer::Create(source, &memory, &tokenizer);
    INFO(status.message());
    REQUIRE(status.ok());
  }
  Ids Encode(std::string_view text, bool parse_special, bool add_bos) {
    Vector<int32_t> ids({&memory, Tag::kScratch});
    const Status status = tokenizer->Encode(text, add_bos, parse_special, &ids);
    INFO(status.message());
    REQUIRE(status.ok());
    return Ids(ids.begin(), ids.end());
  }
  std::string Decode(const Ids& ids) {
    std::string text;
    for (const int32_t id : ids) text += tokenizer->Piece(id);
    return text;
  }

  CountingAllocator allocator;
  Memory memory{&allocator, 0};
  TextVocabulary vocabulary;
  Owned<Tokenizer> tokenizer;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_TOKENIZER_FIXTURE_H_
