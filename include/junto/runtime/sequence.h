// Sequence: the tokens of one context, the keys and values already computed for them, and what its
// delta-nets remember.
#ifndef JUNTO_RUNTIME_SEQUENCE_H_
#define JUNTO_RUNTIME_SEQUENCE_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "junto/base/span.h"
#include "junto/runtime/kv_cache.h"
#include "junto/runtime/pass.h"
#include "junto/runtime/session_spec.h"
#include "junto/runtime/state_cache.h"

namespace junto {

// Tokens [0, held) have keys and values; tokens [held, size) wait for a pass.
//
// A model with delta-nets goes back to checkpoints only. One is kept of every prompt, where its
// last turn begins: the next prompt of a chat may change what follows that turn's header, and often
// does, as reasoning is left out of past answers. Another is kept where a prompt's opening ends,
// which the next conversation may begin with, too. A prompt without turns keeps one before its last
// pass.
class Sequence {
 public:
  // Takes room for the tokens and tables of a sequence of the family that owns the pools, which
  // outlive it.
  void LayOut(const ModelSpec& model, const SessionSpec& spec, KvPool* pages, StatePool* states,
              Arena* tables) {
    capacity_ = spec.context;
    chunk_ = spec.chunk;
    tokens_ = tables->Take<int32_t>(spec.context);
    kv_.LayOut(model, spec, pages, tables);
    states_.Use(states);
  }

  uint32_t size() const { return size_; }
  uint32_t held() const { return held_; }
  uint32_t capacity() const { return capacity_; }
  bool waiting() const { return held_ < size_; }
  bool full() const { return size_ == capacity_; }
  Span<const int32_t> tokens() const { return {tokens_, size_}; }

  // Replaces the context by the concatenation of `parts`, which fits the capacity and is not empty.
  // What it shares with the tokens held is kept, all but its last token, whose logits are wanted
  // anew, and with delta-nets what follows a checkpoint. `turn` is the token that begins turns, or
  // -1; the opening is what comes before the turn after `opening` tokens, if one begins there.
  // Returns how many tokens are kept.
  uint32_t Assign(Span<const Span<const int32_t>> parts, int32_t turn, size_t opening) {
    uint32_t size = 0;
    uint32_t shared = 0;
    last_turn_ = 0;
    for (Span<const int32_t> part : parts) {
      for (int32_t token : part) {
        if (shared == size && shared < held_ && tokens_[shared] == token) ++shared;
        if (token == turn) last_turn_ = size;
        tokens_[size++] = token;
      }
    }
    size_ = prompt_size_ = size;
    const bool opens = opening < last_turn_ && tokens_[opening] == turn;
    opening_ = opens ? static_cast<uint32_t>(opening) : 0;
    Keep(std::min(shared, size - 1));
    return held_;
  }

  // Makes the first `size` tokens the context, 1 to size(), as Assign would; 0 empties it.
  uint32_t Rewind(uint32_t size, int32_t turn) {
    size_ = prompt_size_ = size;
    last_turn_ = 0;
    for (uint32_t i = 0; i < size; ++i) {
      if (tokens_[i] == turn) last_turn_ = i;
    }
    if (opening_ >= last_turn_) opening_ = 0;
    Keep(size == 0 ? 0 : std::min(held_, size - 1));
    return held_;
  }

  // Gives all pages and states back to the pools.
  void Release() {
    kv_.Cut(0);
    states_.Clear();
  }

  // Becomes a fork of `parent`, of the same family. This one is empty.
  void ShareFrom(const Sequence& parent) {
    std::copy(parent.tokens_, parent.tokens_ + parent.size_, tokens_);
    size_ = parent.size_;
    held_ = parent.held_;
    prompt_size_ = parent.prompt_size_;
    last_turn_ = parent.last_turn_;
    opening_ = parent.opening_;
    kv_.ShareFrom(parent.kv_, held_);
    states_.ShareFrom(parent.states_);
  }

  // The next token of the context; the sequence is not full.
  void Append(int32_t token) { tokens_[size_++] = token; }

  // Puts the next waiting tokens into the pass, at most a chunk and what fits; `count` says how
  // many. E_MEMORY, with nothing changed, when forks hold the pages for them.
  Status AddRows(Pass* pass, uint32_t* count) {
    const uint32_t free = pass->row_capacity() - pass->row_count();
    const uint32_t rows = std::min({NextStop() - held_, chunk_, free});
    JUNTO_TRY(kv_.Prepare(held_, uint64_t{held_} + rows));
    states_.Prepare();
    for (uint32_t i = 0; i < rows; ++i) {
      pass->AddRow(&kv_, &states_, held_ + i, tokens_[held_ + i]);
    }
    *count = rows;
    return Status();
  }

  // Says that a pass over `count` rows of AddRows is complete.
  void Hold(uint32_t count) {
    if (count == 0) return;
    const bool keep = last_turn_ != 0 ? held_ == last_turn_ || held_ == opening_
                                      : held_ < prompt_size_ && held_ + count >= prompt_size_;
    held_ += count;
    states_.Advance(held_, keep);
  }

  // Writes tokens, keys, values and states.
  void Save(SnapshotWriter* to) const {
    for (const uint32_t number : {size_, held_, prompt_size_, last_turn_, opening_}) {
      to->Put(number);
    }
    to->Bytes(tokens_, size_ * sizeof(int32_t));
    kv_.Save(held_, to);
    states_.Save(to);
  }

  // Reads them back in place of what is here; without `apply` only checks them. E_MEMORY, with
  // nothing changed, when forks hold the pages for it.
  Status Load(uint32_t vocab, bool apply, SnapshotReader* from) {
    Sequence read;
    for (uint32_t* number :
         {&read.size_, &read.held_, &read.prompt_size_, &read.last_turn_, &read.opening_}) {
      from->Get(number);
    }
    from->Require(read.size_ <= capacity_ && read.held_ <= read.size_ &&
                  read.prompt_size_ <= read.size_ && read.last_turn_ <= read.size_ &&
                  read.opening_ <= read.last_turn_);
    const uint8_t* const tokens = from->Bytes(uint64_t{read.size_} * sizeof(int32_t));
    for (uint32_t i = 0; i < read.size_ && from->ok(); ++i) {
      int32_t token;
      std::memcpy(&token, tokens + i * sizeof(token), sizeof(token));
      from->Require(token >= 0 && static_cast<uint32_t>(token) < vocab);
    }
    if (!from->ok()) return Status();
    JUNTO_TRY(kv_.Load(read.held_, apply, from));
    states_.Load(read.held_, read.opening_, apply, from);
    if (!apply) return Status();
    if (read.size_ != 0) std::memcpy(tokens_, tokens, read.size_ * sizeof(int32_t));
    size_ = read.size_;
    held_ = read.held_;
    prompt_size_ = read.prompt_size_;
    last_turn_ = read.last_turn_;
    opening_ = read.opening_;
    return Status();
  }

 private:
  // Where the next pass ends at the latest: a state is kept only between passes.
  uint32_t NextStop() const {
    if (!states_.keeps()) return size_;
    if (held_ < opening_) return opening_;
    return held_ < last_turn_ ? last_turn_ : size_;
  }

  // Keeps at most the first `position` tokens' keys, values and states: what is still there.
  void Keep(uint32_t position) {
    held_ = static_cast<uint32_t>(states_.Rewind(position));
    states_.Pin(opening_);
    if (!kv_.CanRewind(held_)) held_ = 0;
    if (held_ == 0) states_.Clear();
    kv_.Cut(held_);
  }

  int32_t* tokens_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t chunk_ = 0;
  uint32_t size_ = 0;
  uint32_t held_ = 0;
  uint32_t prompt_size_ = 0;
  uint32_t last_turn_ = 0;  // where the prompt's last turn begins; 0: it has no turns
  uint32_t opening_ = 0;    // where its first user's turn does; 0: nothing comes before that
  KvCache kv_;
  StateCache states_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_SEQUENCE_H_
