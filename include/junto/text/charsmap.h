// Charsmap: the rules by which a SentencePiece model rewrites characters, as its file has them.
#ifndef JUNTO_TEXT_CHARSMAP_H_
#define JUNTO_TEXT_CHARSMAP_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/status.h"

namespace junto {

// A precompiled_charsmap: the size of a trie in 4 bytes, the trie, and texts that end in NUL. The
// trie is a double array: the unit of a node has its byte, whether something ends there, and what
// to add, by exclusive or, to reach its children, each at its byte, and its value, at 0. Immutable
// once read, so any number of threads may use it.
class Charsmap {
 public:
  static constexpr size_t kMaxKey = 64;    // bytes that one rule replaces
  static constexpr size_t kMaxText = 256;  // bytes that it puts in their place; both bound the work

  explicit Charsmap(Memory* memory)
      : units_({memory, Tag::kTokenizer}), texts_({memory, Tag::kTokenizer}) {}

  // No bytes are no rules. E_FORMAT names what is wrong; throws OutOfMemory.
  Status Read(std::string_view file);

  // What the longest rule for the front of a text replaces, and by what; no bytes without a rule.
  struct Rule {
    size_t bytes = 0;
    std::string_view text;
  };
  Rule Longest(std::string_view text) const;

 private:
  static uint32_t Children(uint32_t unit) { return unit >> 10 << ((unit & 0x200) >> 6); }
  static bool Ends(uint32_t unit) { return (unit & 0x100) != 0; }
  static uint32_t Byte(uint32_t unit) { return unit & 0x800000FF; }  // values match none
  static uint32_t Value(uint32_t unit) { return unit & 0x7FFFFFFF; }

  Vector<uint32_t> units_;
  String texts_;
};

inline Status Charsmap::Read(std::string_view file) {
  units_.clear();
  texts_.clear();
  if (file.empty()) return Status();
  const auto word = [file](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(file[at + i])} << 8 * i;
    return value;
  };
  const size_t size = file.size() < 4 ? 0 : word(0);
  if (size == 0 || size % 4 != 0 || size > file.size() - 4) {
    return Status::Make(Code::kFormat, "precompiled_charsmap: a trie of %zu bytes in %zu", size,
                        file.size());
  }
  units_.reserve(size / 4);
  for (size_t at = 4; at < 4 + size; at += 4) units_.push_back(word(at));
  texts_.append(file.substr(4 + size));
  texts_.push_back('\0');
  for (size_t begin = 0; begin < texts_.size();) {
    const size_t end = texts_.find('\0', begin);
    if (end - begin > kMaxText) {
      return Status::Make(Code::kFormat, "precompiled_charsmap: a text of %zu bytes, at most %zu",
                          end - begin, kMaxText);
    }
    begin = end + 1;
  }
  return Status();
}

inline Charsmap::Rule Charsmap::Longest(std::string_view text) const {
  Rule longest;
  if (units_.empty()) return longest;
  uint32_t node = Children(units_[0]);
  for (size_t i = 0; i < std::min(text.size(), kMaxKey); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (node >= units_.size() || Byte(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= Children(unit);
    if (!Ends(unit) || node >= units_.size()) continue;
    const uint32_t begin = Value(units_[node]);
    if (begin < texts_.size()) longest = {i + 1, texts_.data() + begin};
  }
  return longest;
}

}  // namespace junto

#endif  // JUNTO_TEXT_CHARSMAP_H_
