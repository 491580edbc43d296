#include "junto/text/bpe.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "junto/text/byte_alphabet.h"
#include "tests/support/faults.h"

namespace junto {
namespace {

using Pairs = std::map<std::pair<int32_t, int32_t>, Merge>;

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
    if (pairs.emplace(std::make_pair(any(), any()), Merge{ranks[i], id}).second && id == tokens) {
      ++tokens;
    }
  }
  return pairs;
}

// The definition: again and again the best pair, the leftmost of equals.
std::vector<int32_t> JoinSlowly(const Pairs& pairs, std::vector<int32_t> ids) {
  for (;;) {
    size_t best = ids.size();
    Merge merge;
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

auto Finder(const MergeTable* table) {
  return [table](const BpeMerger::Pair& pair) { return table->Find(pair.left, pair.right); };
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
    for (const auto& [pair, merge] : pairs) {
      REQUIRE(table.Insert(pair.first, pair.second, merge) == MergeTable::Outcome::kNew);
    }
    const size_t count = round % 3 == 0 ? random() % 34 : random() % 300;
    std::vector<int32_t> ids;
    for (size_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(random() % 4));

    Vector<int32_t> joined({&memory, Tag::kScratch});
    joined.assign({-5, 0, 1});  // what stands before `first` is not touched
    joined.insert(joined.end(), ids.begin(), ids.end());
    merger.Join(Finder(&table), 3, &joined);
    std::vector<int32_t> expected = {-5, 0, 1};
    for (const int32_t id : JoinSlowly(pairs, ids)) expected.push_back(id);
    REQUIRE(std::vector<int32_t>(joined.begin(), joined.end()) == expected);
  }
}

TEST_CASE("a pair says what it is made of") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  BpeMerger merger(&memory);
  std::mt19937 random(3);
  for (const size_t count : {2, 7, 32, 33, 200}) {
    std::string text;
    for (size_t i = 0; i < count; ++i) text += static_cast<char>('a' + random() % 3);
    // Tokens are numbers of base 4 without a 0; what has more than five digits is no token.
    const auto id = [](std::string_view digits) {
      int32_t number = 0;
      for (const char c : digits) number = number * 4 + c - 'a' + 1;
      return number;
    };
    const auto find = [&](const BpeMerger::Pair& pair) {
      const std::string_view both =
          std::string_view(text).substr(pair.begin, pair.end - pair.begin);
      int32_t right = 4;
      while (right <= pair.right) right *= 4;
      REQUIRE(id(both) == pair.left * right + pair.right);
      return both.size() > 5 ? Merge() : Merge{static_cast<uint32_t>(id(both)) % 97, id(both)};
    };
    Vector<int32_t> ids({&memory, Tag::kScratch});
    for (const char c : text) ids.push_back(id({&c, 1}));
    merger.Join(find, 0, &ids);
    CHECK(ids.size() < count);
  }
}

TEST_CASE("joining again takes no memory again") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  MergeTable table(&memory);
  table.Reserve(1);
  REQUIRE(table.Insert(0, 0, {0, 1}) == MergeTable::Outcome::kNew);
  BpeMerger merger(&memory);
  Vector<int32_t> ids({&memory, Tag::kScratch});
  ids.assign(1000, 0);
  merger.Join(Finder(&table), 0, &ids);
  REQUIRE(ids.size() == 500);
  const uint64_t calls = allocator.calls();
  ids.assign(1000, 0);
  merger.Join(Finder(&table), 0, &ids);
  CHECK(allocator.calls() == calls);
}

TEST_CASE("merge table keeps the first of equal pairs") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  MergeTable table(&memory);
  CHECK(table.Find(1, 2).rank == Merge::kNone);  // nothing reserved
  table.Reserve(3);
  CHECK(table.Insert(1, 2, {5, 9}) == MergeTable::Outcome::kNew);
  CHECK(table.Insert(2, 1, {6, 8}) == MergeTable::Outcome::kNew);
  CHECK(table.Insert(1, 2, {1, 1}) == MergeTable::Outcome::kRepeated);
  CHECK(table.Find(1, 2).id == 9);
  CHECK(table.Find(2, 1).rank == 6);
  CHECK(table.Find(2, 2).id == -1);
}

TEST_CASE("a table that was made to be slow is refused") {
  struct Slot {
    int value = -1;
    bool used() const { return value >= 0; }
  };
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  ProbeTable<Slot> table(&memory);
  const auto never = [](const Slot&) { return false; };
  CHECK(table.Find(0, never) == nullptr);  // nothing reserved
  table.Reserve(1000);
  size_t count = 0;
  while (Slot* slot = table.Place(7, never)) slot->value = static_cast<int>(count++);
  CHECK(count == ProbeTable<Slot>::kReach);
  CHECK(table.Find(7, [](const Slot& slot) { return slot.value == 255; }) != nullptr);
  CHECK(table.Find(7, never) == nullptr);
  CHECK(table.Place(7 + 256, never) != nullptr);
}

TEST_CASE("keys of bytes") {
  std::set<std::pair<uint64_t, uint32_t>> keys;
  std::set<uint64_t> hashes;
  const auto add = [&](std::string_view text) {
    const BytesKey key(text);
    CHECK(key.Hash() == BytesKey(std::string(text)).Hash());
    keys.insert({key.word, key.size});
    hashes.insert(key.Hash());
  };
  std::string text;
  for (int i = 0; i < 40; ++i) {  // each bit of each byte counts, and so does the size
    for (size_t byte = 0; byte < text.size(); ++byte) {
      for (int bit = 0; bit < 8; ++bit) {
        text[byte] = static_cast<char>(text[byte] ^ 1 << bit);
        add(text);
        text[byte] = static_cast<char>(text[byte] ^ 1 << bit);
      }
    }
    add(text);
    text.push_back('\0');
  }
  CHECK(keys.size() == 40 + 8 * 39 * 40 / 2);
  CHECK(hashes.size() == keys.size());
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
