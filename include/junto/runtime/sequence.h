// Sequence: the tokens of one context and the keys and values already computed for them.
#ifndef JUNTO_RUNTIME_SEQUENCE_H_
#define JUNTO_RUNTIME_SEQUENCE_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "junto/base/span.h"
#include "junto/runtime/kv_cache.h"
#include "junto/runtime/pass.h"

namespace junto {

// Tokens [0, held) have keys and values; tokens [held, size) wait for a pass.
class Sequence {
 public:
  // Takes room for `context` tokens; see KvCache::LayOut.
  void LayOut(const ModelSpec& spec, uint32_t context, uint32_t chunk, KvType type, Arena* tables,
              Arena* pages) {
    capacity_ = context;
    chunk_ = chunk;
    tokens_ = tables->Take<int32_t>(context);
    kv_.LayOut(spec, context, chunk, type, tables, pages);
  }

  uint32_t size() const { return size_; }
  uint32_t held() const { return held_; }
  uint32_t capacity() const { return capacity_; }
  bool waiting() const { return held_ < size_; }
  bool full() const { return size_ == capacity_; }
  Span<const int32_t> tokens() const { return {tokens_, size_}; }

  // Replaces the context by the concatenation of `parts`, which fits the capacity and is not empty.
  // What it shares with the tokens held is kept, all but its last token, whose logits are wanted
  // anew. Returns how many tokens are kept.
  uint32_t Assign(Span<const Span<const int32_t>> parts) {
    uint32_t size = 0;
    uint32_t shared = 0;
    for (Span<const int32_t> part : parts) {
      for (int32_t token : part) {
        if (shared == size && shared < held_ && tokens_[shared] == token) ++shared;
        tokens_[size++] = token;
      }
    }
    held_ = std::min(shared, size - 1);
    if (!kv_.CanRewind(held_)) held_ = 0;
    if (held_ == 0) kv_.Clear();
    size_ = size;
    return held_;
  }

  // The next token of the context; the sequence is not full.
  void Append(int32_t token) { tokens_[size_++] = token; }

  // Puts the next waiting tokens into the pass, at most a chunk and what fits. Returns how many.
  uint32_t AddRows(Pass* pass) {
    const uint32_t free = pass->row_capacity() - pass->row_count();
    const uint32_t count = std::min({size_ - held_, chunk_, free});
    kv_.NoteWrites(uint64_t{held_} + count);
    for (uint32_t i = 0; i < count; ++i) pass->AddRow(&kv_, held_ + i, tokens_[held_ + i]);
    return count;
  }

  // Says that a pass over `count` rows of AddRows is complete.
  void Hold(uint32_t count) { held_ += count; }

 private:
  int32_t* tokens_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t chunk_ = 0;
  uint32_t size_ = 0;
  uint32_t held_ = 0;
  KvCache kv_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_SEQUENCE_H_
