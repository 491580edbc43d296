// Byte pair encoding: joins neighbouring tokens, the best-ranked pair first and the leftmost of
// equals, until no pair is left to join.
#ifndef JUNTO_TEXT_BPE_H_
#define JUNTO_TEXT_BPE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "junto/base/memory.h"
#include "junto/text/probe_table.h"

namespace junto {

// What a pair of tokens becomes.
struct Merge {
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t rank = kNone;  // lower is joined earlier; kNone: not at all
  int32_t id = -1;        // of the joined token
};

// (left id, right id) -> Merge.
class MergeTable {
 public:
  enum class Outcome { kNew, kRepeated, kCrowded };

  explicit MergeTable(Memory* memory) : table_(memory) {}

  // Room for `count` merges; call once, before the first Insert. Throws OutOfMemory.
  void Reserve(size_t count) { table_.Reserve(count); }

  // Only kNew changes anything. kCrowded: see ProbeTable.
  Outcome Insert(int32_t left, int32_t right, Merge merge) {
    const uint64_t key = Key(left, right);
    Slot* slot = table_.Place(MixBits(key), [key](const Slot& s) { return s.key == key; });
    if (slot == nullptr) return Outcome::kCrowded;
    if (slot->used()) return Outcome::kRepeated;
    *slot = {key, merge};
    return Outcome::kNew;
  }

  // Insert of this pair comes soon, and Reserve was before.
  void Prefetch(int32_t left, int32_t right) const { table_.Prefetch(MixBits(Key(left, right))); }

  Merge Find(int32_t left, int32_t right) const {
    const uint64_t key = Key(left, right);
    const Slot* slot = table_.Find(MixBits(key), [key](const Slot& s) { return s.key == key; });
    return slot == nullptr ? Merge() : slot->merge;
  }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
    bool used() const { return key != kEmpty; }
  };

  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }

  ProbeTable<Slot> table_;
};

// Joins tokens. Keeps its working memory from call to call; one thread at a time.
class BpeMerger {
 public:
  // A pair that stands side by side: the ids, and the initial tokens [begin, end) it is made of.
  struct Pair {
    int32_t left;
    int32_t right;
    uint32_t begin;
    uint32_t end;
  };

  explicit BpeMerger(Memory* memory)
      : symbols_({memory, Tag::kTokenizer}), heap_({memory, Tag::kTokenizer}) {}

  // Joins ids[first…] in place, find(Pair) being the Merge of a pair: O(n log n) for n tokens,
  // n < 2^32 - 1. Throws OutOfMemory.
  template <class Find>
  void Join(const Find& find, size_t first, Vector<int32_t>* ids) {
    const size_t count = ids->size() - first;
    if (count < 2) return;
    const size_t left = count <= kShort ? JoinShort(find, ids->data() + first, count)
                                        : JoinLong(find, ids->data() + first, count);
    ids->resize(first + left);
  }

 private:
  static constexpr size_t kShort = 32;  // up to here a scan beats the heap

  struct Symbol {
    int32_t id;
    uint32_t previous;
    uint32_t next;  // position of the right neighbour, `count` at the end, kDead once absorbed
  };
  static constexpr uint32_t kDead = UINT32_MAX;

  // A pair that may be joined. It is out of date when either side has changed since, which shows in
  // where the pair begins and ends, for tokens only grow.
  struct Candidate {
    uint64_t order;  // rank, then position of the left token
    uint32_t end;    // position after the right token
    int32_t id;
  };

  template <class Find>
  static size_t JoinShort(const Find& find, int32_t* ids, size_t count) {
    Merge pairs[kShort];         // of ids[i] and ids[i + 1]
    uint32_t begin[kShort + 1];  // of ids[i]
    for (size_t i = 0; i <= count; ++i) begin[i] = static_cast<uint32_t>(i);
    const auto find_at = [&](size_t i) {
      return find(Pair{ids[i], ids[i + 1], begin[i], begin[i + 2]});
    };
    for (size_t i = 0; i + 1 < count; ++i) pairs[i] = find_at(i);
    for (;;) {
      size_t best = 0;
      for (size_t i = 1; i + 1 < count; ++i) {
        if (pairs[i].rank < pairs[best].rank) best = i;
      }
      if (count < 2 || pairs[best].rank == Merge::kNone) return count;
      ids[best] = pairs[best].id;
      std::copy(ids + best + 2, ids + count, ids + best + 1);
      std::copy(begin + best + 2, begin + count + 1, begin + best + 1);
      std::copy(pairs + best + 1, pairs + count - 1, pairs + best);
      --count;
      if (best > 0) pairs[best - 1] = find_at(best - 1);
      if (best + 1 < count) pairs[best] = find_at(best);
    }
  }

  template <class Find>
  size_t JoinLong(const Find& find, int32_t* ids, size_t count) {
    const uint32_t end = static_cast<uint32_t>(count);
    symbols_.resize(count);
    heap_.clear();
    for (uint32_t i = 0; i < end; ++i) symbols_[i] = {ids[i], i - 1, i + 1};
    for (uint32_t i = 0; i + 1 < end; ++i) Push(find, i);
    while (!heap_.empty()) {
      const Candidate best = Pop();
      const auto left = static_cast<uint32_t>(best.order);
      Symbol* symbol = &symbols_[left];
      if (symbol->next >= end) continue;  // absorbed, or the last one now
      const uint32_t right = symbol->next;
      if (symbols_[right].next != best.end) continue;
      symbol->id = best.id;
      symbol->next = best.end;
      symbols_[right].next = kDead;
      if (best.end < end) {
        symbols_[best.end].previous = left;
        Push(find, left);
      }
      if (left > 0) Push(find, symbol->previous);
    }
    size_t kept = 0;
    for (uint32_t i = 0; i < end; i = symbols_[i].next) ids[kept++] = symbols_[i].id;
    return kept;
  }

  // Queues the pair whose left token is at `left`, if it joins; it has a right neighbour.
  template <class Find>
  void Push(const Find& find, uint32_t left) {
    const Symbol& right = symbols_[symbols_[left].next];
    const Merge merge = find(Pair{symbols_[left].id, right.id, left, right.next});
    if (merge.rank == Merge::kNone) return;
    size_t hole = heap_.size();
    heap_.push_back({static_cast<uint64_t>(merge.rank) << 32 | left, right.next, merge.id});
    const Candidate fresh = heap_[hole];
    while (hole > 0) {
      const size_t parent = (hole - 1) / kArity;
      if (heap_[parent].order <= fresh.order) break;
      heap_[hole] = heap_[parent];
      hole = parent;
    }
    heap_[hole] = fresh;
  }

  Candidate Pop() {
    const Candidate top = heap_[0];
    const Candidate last = heap_.back();
    heap_.pop_back();
    const size_t size = heap_.size();
    if (size == 0) return top;
    size_t hole = 0;
    for (;;) {
      const size_t begin = hole * kArity + 1;
      if (begin >= size) break;
      size_t least = begin;
      for (size_t i = begin + 1; i < std::min(begin + kArity, size); ++i) {
        if (heap_[i].order < heap_[least].order) least = i;
      }
      if (last.order <= heap_[least].order) break;
      heap_[hole] = heap_[least];
      hole = least;
    }
    heap_[hole] = last;
    return top;
  }

  static constexpr size_t kArity = 4;
  Vector<Symbol> symbols_;
  Vector<Candidate> heap_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_BPE_H_
