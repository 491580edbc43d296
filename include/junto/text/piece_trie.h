// PieceTrie: finds all tokens that a text begins with, in one walk.
#ifndef JUNTO_TEXT_PIECE_TRIE_H_
#define JUNTO_TEXT_PIECE_TRIE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"

namespace junto {

// Nodes are numbered level by level, so the children of a node stand side by side, ascending by
// byte, and end where those of the next node begin. Immutable once filled, so any number of threads
// may use it.
class PieceTrie {
 public:
  explicit PieceTrie(Memory* memory)
      : bytes_({memory, Tag::kTokenizer}),
        children_({memory, Tag::kTokenizer}),
        ids_({memory, Tag::kTokenizer}) {}

  // Of these tokens, piece(id) being the bytes of one; of two with the same bytes the first is
  // found, and none without bytes. All bytes together are fewer than 2^32. Throws OutOfMemory.
  template <class Piece>
  void Fill(const Piece& piece, Vector<int32_t> tokens);

  // Calls found(size_t bytes, int32_t id) for each token that `text` begins with, the shortest one
  // first.
  template <class F>
  void ForEachPrefix(std::string_view text, F&& found) const {
    uint32_t node = 0;
    for (size_t depth = 0; depth < text.size();) {
      node = Child(node, static_cast<uint8_t>(text[depth++]));
      if (node == 0) return;
      if (ids_[node] >= 0) found(depth, ids_[node]);
    }
  }

 private:
  // The tokens that share the bytes which lead to a node.
  struct Range {
    uint32_t begin;
    uint32_t end;
    uint32_t depth;
  };

  // 0, the root, where there is none.
  uint32_t Child(uint32_t node, uint8_t byte) const {
    const uint32_t end = children_[node + 1];
    uint32_t begin = children_[node];
    for (uint32_t left = end - begin; left > 0;) {
      const uint32_t half = left / 2;
      if (bytes_[begin + half] < byte) {
        begin += half + 1;
        left -= half + 1;
      } else {
        left = half;
      }
    }
    return begin < end && bytes_[begin] == byte ? begin : 0;
  }

  Vector<uint8_t> bytes_;      // of each node, the one that leads to it
  Vector<uint32_t> children_;  // of each node the first, and where those of the last end
  Vector<int32_t> ids_;        // of each node, the token that ends there or -1
};

template <class Piece>
void PieceTrie::Fill(const Piece& piece, Vector<int32_t> tokens) {
  std::sort(tokens.begin(), tokens.end(), [&piece](int32_t a, int32_t b) {
    const int order = piece(a).compare(piece(b));
    return order != 0 ? order < 0 : a < b;
  });
  Vector<Range> ranges({bytes_.get_allocator().memory(), Tag::kLoadTemp});
  ranges.push_back({0, static_cast<uint32_t>(tokens.size()), 0});
  bytes_.push_back(0);
  for (size_t node = 0; node < ranges.size(); ++node) {
    Range range = ranges[node];
    const auto at = [&](uint32_t place) -> std::string_view { return piece(tokens[place]); };
    const bool ends = range.begin < range.end && at(range.begin).size() == range.depth;
    ids_.push_back(ends && node != 0 ? tokens[range.begin] : -1);
    children_.push_back(static_cast<uint32_t>(ranges.size()));
    while (range.begin < range.end && at(range.begin).size() == range.depth) ++range.begin;
    while (range.begin < range.end) {
      const char byte = at(range.begin)[range.depth];
      uint32_t end = range.begin + 1;
      while (end < range.end && at(end)[range.depth] == byte) ++end;
      ranges.push_back({range.begin, end, range.depth + 1});
      bytes_.push_back(static_cast<uint8_t>(byte));
      range.begin = end;
    }
  }
  children_.push_back(static_cast<uint32_t>(ranges.size()));
}

}  // namespace junto

#endif  // JUNTO_TEXT_PIECE_TRIE_H_
