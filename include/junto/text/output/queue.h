// OutputQueue: output that waits to be taken, in order, each stretch of one channel.
#ifndef JUNTO_TEXT_OUTPUT_QUEUE_H_
#define JUNTO_TEXT_OUTPUT_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "junto/base/span.h"
#include "junto/base/utf8.h"
#include "junto/text/output/channel.h"

namespace junto {

// What can be taken at once: text of one channel and one call.
struct OutputPiece {
  Channel channel = Channel::kContent;
  uint32_t call = 0;
  std::string_view text;
};

// Never allocates; one thread at a time.
class OutputQueue {
 public:
  struct Run {
    Channel channel;
    uint32_t call;
    size_t bytes;
  };

  OutputQueue() = default;
  OutputQueue(Span<char> bytes, Span<Run> runs) : bytes_(bytes), runs_(runs) {}

  size_t bytes() const { return size_; }
  size_t room() const { return bytes_.size() - size_; }
  size_t runs() const { return run_count_; }

  // False, adding nothing, when there is no room.
  bool Add(Channel channel, uint32_t call, std::string_view text) {
    if (text.empty()) return true;
    Run* last = run_count_ == 0 ? nullptr : &runs_[run_count_ - 1];
    const bool fresh = last == nullptr || last->channel != channel || last->call != call;
    if (text.size() > room() || (fresh && run_count_ == runs_.size())) return false;
    if (fresh) {
      last = &runs_[run_count_++];
      *last = {channel, call, 0};
    }
    std::memcpy(bytes_.data() + size_, text.data(), text.size());
    size_ += text.size();
    last->bytes += text.size();
    return true;
  }

  // Takes back what was added last, all of one run.
  void Cut(size_t bytes) {
    if (bytes == 0) return;
    size_ -= bytes;
    runs_[run_count_ - 1].bytes -= bytes;
    if (runs_[run_count_ - 1].bytes == 0) --run_count_;
  }

  // What comes first, without the last `held` bytes of all; empty when that is nothing.
  OutputPiece Front(size_t held) const {
    if (run_count_ == 0) return {};
    const Run& run = runs_[0];
    return {run.channel, run.call, {bytes_.data(), std::min(run.bytes, size_ - held)}};
  }

  // Takes that many bytes of it away.
  void Consume(size_t bytes) {
    if (bytes == 0) return;
    size_ -= bytes;
    std::memmove(bytes_.data(), bytes_.data() + bytes, size_);
    runs_[0].bytes -= bytes;
    if (runs_[0].bytes != 0) return;
    --run_count_;
    std::memmove(runs_.data(), runs_.data() + 1, run_count_ * sizeof(Run));
  }

  void Clear() { size_ = run_count_ = 0; }

  // The same content as `other`, whose room is as large.
  void CopyFrom(const OutputQueue& other) {
    size_ = other.size_;
    run_count_ = other.run_count_;
    std::memcpy(bytes_.data(), other.bytes_.data(), size_);
    std::copy(other.runs_.begin(), other.runs_.begin() + run_count_, runs_.begin());
  }

  // Writes the content with to->Put and to->Bytes.
  template <class Writer>
  void Save(Writer* to) const {
    to->Put(static_cast<uint32_t>(run_count_));
    for (size_t i = 0; i < run_count_; ++i) {
      to->Put(static_cast<int32_t>(runs_[i].channel));
      to->Put(runs_[i].call);
      to->Put(static_cast<uint32_t>(runs_[i].bytes));
    }
    to->Bytes(bytes_.data(), size_);
  }
  // Reads that back with from->Get, Bytes and Require. Without `apply` what this refers to is not
  // written, and only MayHold may be asked; from->ok() says whether anything may.
  template <class Reader>
  void Load(bool apply, Reader* from) {
    run_count_ = from->template Get<uint32_t>();
    from->Require(run_count_ <= runs_.size());
    const uint8_t* runs = from->Bytes(run_count_ * kSavedRun);
    size_ = 0;
    for (size_t i = 0; i < run_count_ && from->ok(); ++i) {
      last_ = SavedRun(runs, i);
      const auto channel = static_cast<int32_t>(last_.channel);
      from->Require(channel >= 0 && channel <= 3 && last_.bytes != 0 &&
                    last_.bytes <= bytes_.size() - size_);
      size_ += last_.bytes;
    }
    const auto* text = reinterpret_cast<const char*>(from->Bytes(size_));
    size_t at = 0;
    for (size_t i = 0; i < run_count_ && from->ok(); ++i) {
      const Run run = SavedRun(runs, i);
      from->Require(IsUtf8({text + at, run.bytes}));
      at += run.bytes;
      if (apply) runs_[i] = run;
    }
    if (apply && from->ok()) std::memcpy(bytes_.data(), text, size_);
  }
  // Whether the last `held` bytes may become a stop text.
  bool MayHold(size_t held) const {
    return held == 0 || (last_.channel == Channel::kContent && held <= last_.bytes);
  }

 private:
  static constexpr size_t kSavedRun = 12;  // bytes
  static Run SavedRun(const uint8_t* runs, size_t i) {
    uint32_t words[3];
    std::memcpy(words, runs + i * kSavedRun, sizeof(words));
    return {static_cast<Channel>(words[0]), words[1], words[2]};
  }

  Span<char> bytes_;
  Span<Run> runs_;
  size_t size_ = 0;
  size_t run_count_ = 0;
  Run last_ = {Channel::kContent, 0, 0};  // that Load read
};

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_QUEUE_H_
