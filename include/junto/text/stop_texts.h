// StopTexts: texts that end a generation, looked for as it comes.
#ifndef JUNTO_TEXT_STOP_TEXTS_H_
#define JUNTO_TEXT_STOP_TEXTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "junto/base/status.h"
#include "junto/text/utf8.h"

namespace junto {

// Never allocates; one thread at a time.
class StopTexts {
 public:
  static constexpr size_t kMaxCount = 16;
  static constexpr size_t kMaxBytes = 128;

  // E_INVALID for more than kMaxCount, for no or too many bytes, and for what is not UTF-8.
  Status Add(std::string_view text);

  // The longest stop text that ends with this character, 0 where none does.
  size_t Take(char c) {
    size_t reached = 0;
    held_ = 0;
    for (size_t i = 0; i < count_; ++i) {
      Stop* stop = &stops_[i];
      stop->Advance(c);
      if (stop->matched == stop->size) reached = std::max<size_t>(reached, stop->size);
      held_ = std::max<size_t>(held_, stop->matched);
    }
    return reached;
  }
  // Of the last bytes, how many may become a stop text.
  size_t held() const { return held_; }

  // Writes all of it with to->Put and to->Bytes.
  template <class Writer>
  void Save(Writer* to) const {
    to->Put(static_cast<uint8_t>(count_));
    for (size_t i = 0; i < count_; ++i) {
      to->Put(stops_[i].size);
      to->Bytes(stops_[i].bytes, stops_[i].size);
      to->Put(stops_[i].matched);
    }
  }
  // Reads that back with from->Get, Bytes and Require, into an empty object. reached: one of them
  // was, so that nothing is held.
  template <class Reader>
  void Load(bool reached, Reader* from) {
    const auto count = from->template Get<uint8_t>();
    from->Require(count <= kMaxCount);
    for (uint32_t i = 0; i < count && from->ok(); ++i) {
      const auto size = from->template Get<uint8_t>();
      const auto* bytes = reinterpret_cast<const char*>(from->Bytes(size));
      from->Require(bytes != nullptr && Add({bytes, size}).ok());
      const auto matched = from->template Get<uint8_t>();
      from->Require(matched < size);
      if (!from->ok()) return;
      stops_[i].matched = matched;
      if (!reached) held_ = std::max<size_t>(held_, matched);
    }
  }

  // Forgets what was taken; the texts stay.
  void Reset() {
    held_ = 0;
    for (size_t i = 0; i < count_; ++i) stops_[i].matched = 0;
  }

 private:
  // Matched by Knuth, Morris and Pratt: `matched` is how much of it the text ends with, and
  // border[i] the longest proper prefix that also ends its first i + 1 bytes.
  struct Stop {
    char bytes[kMaxBytes];
    uint8_t border[kMaxBytes];
    uint8_t size = 0;
    uint8_t matched = 0;

    void Advance(char c) {
      while (matched > 0 && (matched == size || bytes[matched] != c)) matched = border[matched - 1];
      if (bytes[matched] == c) ++matched;
    }
  };

  Stop stops_[kMaxCount];
  size_t count_ = 0;
  size_t held_ = 0;
};

inline Status StopTexts::Add(std::string_view text) {
  if (count_ == kMaxCount) {
    return Status::Make(Code::kInvalid, "stop text: at most %zu are kept", kMaxCount);
  }
  if (text.empty() || text.size() > kMaxBytes) {
    return Status::Make(Code::kInvalid, "stop text: 1 to %zu bytes expected, %zu given", kMaxBytes,
                        text.size());
  }
  if (!IsUtf8(text)) {
    return Status::Make(Code::kInvalid, "stop text: byte %zu is not UTF-8", WholePrefix(text));
  }
  Stop* stop = &stops_[count_++];
  *stop = Stop();
  std::memcpy(stop->bytes, text.data(), text.size());
  stop->size = static_cast<uint8_t>(text.size());
  stop->border[0] = 0;
  for (size_t i = 1; i < text.size(); ++i) {
    stop->Advance(text[i]);
    stop->border[i] = stop->matched;
  }
  stop->matched = 0;
  return Status();
}

}  // namespace junto

#endif  // JUNTO_TEXT_STOP_TEXTS_H_
