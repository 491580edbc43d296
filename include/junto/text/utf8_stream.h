// Utf8Stream: bytes that come in pieces become whole code points.
#ifndef JUNTO_TEXT_UTF8_STREAM_H_
#define JUNTO_TEXT_UTF8_STREAM_H_

#include <cstddef>
#include <cstring>
#include <string_view>

#include "junto/text/utf8.h"

namespace junto {

// Bytes that are not UTF-8 become U+FFFD, one for each maximal subpart.
class Utf8Stream {
 public:
  static constexpr size_t kMaxHeld = 3;  // bytes of an incomplete code point
  // What `bytes` may become: U+FFFD is three bytes long, and Flush may add one.
  static constexpr size_t Growth(size_t bytes) { return 3 * (bytes + 1); }

  size_t held() const { return size_; }

  // Calls take(std::string_view) for every code point that is known.
  template <class F>
  void Feed(std::string_view piece, const F& take) {
    for (const char c : piece) {
      bytes_[size_++] = c;
      Decode(take);
    }
  }
  // Nothing follows.
  template <class F>
  void Flush(const F& take) {
    if (size_ != 0) take(kReplacementCharacter);
    size_ = 0;
  }

 private:
  template <class F>
  void Decode(const F& take) {
    while (size_ != 0) {
      const Utf8Head head = ReadUtf8({bytes_, size_});
      if (head.kind == Utf8Kind::kCutOff) return;
      const bool whole = head.kind == Utf8Kind::kWhole;
      take(whole ? std::string_view(bytes_, head.size) : kReplacementCharacter);
      size_ -= head.size;
      std::memmove(bytes_, bytes_ + head.size, size_);
    }
  }

  char bytes_[4] = {};
  size_t size_ = 0;
};

}  // namespace junto

#endif  // JUNTO_TEXT_UTF8_STREAM_H_
