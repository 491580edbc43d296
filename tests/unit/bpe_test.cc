#include "junto/text/bpe.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "junto/text/byte_alphabet.h"
#include "tests/support/faults.h"

namespace junto {
namespace {

using Pairs = std::map<std::pair<int32_t, int32_t>, MergeTable::Merge>;

// Tokens 0 to 3, and `count` random pairs of tokens that become new or known ones.
Pairs RandomPairs(std::mt19937* random, int count) {
  Pairs pairs;
  int32_t tokens = 4;
  std::vector<uint32_t> ranks;
  for (int i = 0; i < count; ++i) ranks.push_back(static_cast<uint32_t>(i));
  if ((*random)() % 2 == 0) std::shuffle(ranks.begin(), ranks.end(), *random);
  for (int i = 0; i < count; ++i) {
    const auto any = [&] { return static_cast<int32_t>((*random)() % tokens); };
    const int32_t id = (*random)() % 8 == 0 ? any() : tokens;
    if (pairs.emplace(std::make_pair(any(), any()), MergeTable::Merge{ranks[i], id}).second &&
        id == tokens) {
      ++tokens;
    }
  }
  return pairs;
}

// The definition: again and again the best pair, the leftmost of equals.
std::vector<int32_t> JoinSlowly(const Pairs& pairs, std::vector<int32_t> ids) {
  for (;;) {
    size_t best = ids.size();
    MergeTable::Merge merge;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = pairs.find({ids[i], ids[i + 1]});
      if (found == pairs.end() || found->second.rank >= merge.rank) continue;
      best = i;
      merge = found->second;
    }
    if (best == ids.size()) return ids;
    ids[best] = merge.id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST_CASE("joining equals its definition at every length") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  std::mt19937 random(7);
  BpeMerger merger(&memory);
  for (int round = 0; round < 300; ++round) {
    const Pairs pairs = RandomPairs(&random, 1 + round % 60);
    MergeTable table(&memory);
    table.Reserve(pairs.size());
    for (const auto& [pair, merge] : pairs) REQUIRE(table.Insert(pair.first, pair.second, merge));
    const size_t count = round % 3 == 0 ? random() % 34 : random() % 300;
    std::vector<int32_t> ids;
    for (size_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(random() % 4));

    Vector<int32_t> joined({&memory, Tag::kScratch});
    joined.assign({-5, 0, 1});  // what stands before `first` is not touched
    joined.insert(joined.end(), ids.begin(), ids.end());
    merger.Join(table, 3, &joined);
    std::vector<int32_t> expected = {-5, 0, 1};
    for (const int32_t id : JoinSlowly(pairs, ids)) expected.push_back(id);
    REQUIRE(std::vector<int32_t>(joined.begin(), joined.end()) == expected);
  }
}

TEST_CASE("joining again takes no memory again") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  MergeTable table(&memory);
  table.Reserve(1);
  REQUIRE(table.Insert(0, 0, {0, 1}));
  BpeMerger merger(&memory);
  Vector<int32_t> ids({&memory, Tag::kScratch});
  ids.assign(1000, 0);
  merger.Join(table, 0, &ids);
  REQUIRE(ids.size() == 500);
  const uint64_t calls = allocator.calls();
  ids.assign(1000, 0);
  merger.Join(table, 0, &ids);
  CHECK(allocator.calls() == calls);
}

TEST_CASE("merge table keeps the first of equal pairs") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  MergeTable table(&memory);
  CHECK(table.Find(1, 2).rank == MergeTable::kNoRank);  // nothing reserved
  table.Reserve(3);
  CHECK(table.Insert(1, 2, {5, 9}));
  CHECK(table.Insert(2, 1, {6, 8}));
  CHECK_FALSE(table.Insert(1, 2, {1, 1}));
  CHECK(table.Find(1, 2).id == 9);
  CHECK(table.Find(2, 1).rank == 6);
  CHECK(table.Find(2, 2).id == -1);
}

TEST_CASE("byte alphabet") {
  std::set<uint32_t> characters;
  for (int byte = 0; byte < 256; ++byte) {
    const uint32_t character = kByteAlphabet.Character(static_cast<uint8_t>(byte));
    characters.insert(character);
    CHECK(kByteAlphabet.Byte(character) == byte);
  }
  CHECK(characters.size() == 256);
  // What every vocabulary of the family shows.
  CHECK(kByteAlphabet.Character(' ') == 0x120);
  CHECK(kByteAlphabet.Character('\n') == 0x10A);
  CHECK(kByteAlphabet.Character('~') == '~');
  CHECK(kByteAlphabet.Character(0x7F) == 0x121);
  CHECK(kByteAlphabet.Character(0xAD) == 0x143);
  CHECK(kByteAlphabet.Byte(' ') == -1);
  CHECK(kByteAlphabet.Byte(0x144) == -1);
  CHECK(kByteAlphabet.Byte(0x10FFFF) == -1);

  std::string bytes = "x";
  CHECK(kByteAlphabet.Decode("\xC4\xA0hi\xC3\xA9", &bytes));  // U+0120 h i U+00E9
  CHECK(bytes == "x hi\xE9");
  CHECK_FALSE(kByteAlphabet.Decode("ab c", &bytes));
  CHECK_FALSE(kByteAlphabet.Decode("ab\xE6\xBC\xA2", &bytes));
  CHECK_FALSE(kByteAlphabet.Decode("ab\xC4", &bytes));
  CHECK(bytes == "x hi\xE9");
}

}  // namespace
}  // namespace junto
