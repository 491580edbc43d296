// TextStream: the bytes of generated tokens become whole code points, and end before a stop text.
#ifndef JUNTO_TEXT_STREAM_H_
#define JUNTO_TEXT_STREAM_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/text/utf8.h"

namespace junto {

// Holds back an incomplete code point and whatever may become a stop text. Bytes that are not UTF-8
// become U+FFFD, one for each maximal subpart. Never allocates; one thread at a time.
class TextStream {
 public:
  static constexpr size_t kMaxStops = 16;
  static constexpr size_t kMaxStopBytes = 128;

  // Buffer bytes that always take one more piece of at most `piece_bytes` while no text waits.
  static constexpr size_t MinBuffer(size_t piece_bytes) {
    return kMaxStopBytes + Growth(kMaxHeld + piece_bytes);
  }

  // Text waits in `buffer`, which outlives this object.
  explicit TextStream(Span<char> buffer) : buffer_(buffer) {}

  // E_INVALID for more than kMaxStops, for no or too many bytes, and for what is not UTF-8.
  Status AddStop(std::string_view text);

  // Takes the bytes of one token. OK; DONE when a stop text is reached, from then on nothing more
  // is taken; E_SHORT_BUFFER, taking nothing, when waiting text leaves too little room.
  Status Feed(std::string_view piece);

  // Ends the text: what was held back is released, an incomplete code point as U+FFFD.
  void Flush();

  // Whole code points, ready to be shown. Valid until the next call of another function.
  std::string_view text() const { return {buffer_.data(), size_ - held_}; }
  // Takes the first `bytes` of text() away.
  void Consume(size_t bytes) {
    size_ -= bytes;
    std::memmove(buffer_.data(), buffer_.data() + bytes, size_);
  }

  bool stopped() const { return stopped_; }  // a stop text was reached

  // The same state as `other`, whose buffer is as large.
  void CopyFrom(const TextStream& other) {
    const Span<char> buffer = buffer_;
    *this = other;
    buffer_ = buffer;
    std::memcpy(buffer_.data(), other.buffer_.data(), size_);
  }

  // Writes all of it with to->Put and to->Bytes.
  template <class Writer>
  void Save(Writer* to) const;
  // Reads that back with from->Get, Bytes and Require, in place of what is here; without `apply`
  // only checks it.
  template <class Reader>
  void Load(bool apply, Reader* from);

  // Back to an empty stream; the stop texts stay.
  void Reset();

 private:
  static constexpr size_t kMaxHeld = 3;  // bytes of an incomplete code point
  // What `bytes` may become: U+FFFD is three bytes long, and Flush may add one.
  static constexpr size_t Growth(size_t bytes) { return 3 * (bytes + 1); }

  // One stop text, matched by Knuth, Morris and Pratt: `matched` is how much of it the stream ends
  // with, and border[i] the longest proper prefix that also ends its first i + 1 bytes.
  struct Stop {
    char bytes[kMaxStopBytes];
    uint8_t border[kMaxStopBytes];
    uint8_t size = 0;
    uint8_t matched = 0;

    void Advance(char c) {
      while (matched > 0 && bytes[matched] != c) matched = border[matched - 1];
      if (bytes[matched] == c) ++matched;
    }
  };

  void Decode();
  void Emit(std::string_view whole);

  Span<char> buffer_;
  size_t size_ = 0;  // bytes in the buffer
  size_t held_ = 0;  // of those, the last ones that may become a stop text
  char partial_[4] = {};
  size_t partial_size_ = 0;
  bool stopped_ = false;
  Stop stops_[kMaxStops];
  size_t stop_count_ = 0;
};

inline Status TextStream::AddStop(std::string_view text) {
  if (stop_count_ == kMaxStops) {
    return Status::Make(Code::kInvalid, "stop text: at most %zu are kept", kMaxStops);
  }
  if (text.empty() || text.size() > kMaxStopBytes) {
    return Status::Make(Code::kInvalid, "stop text: 1 to %zu bytes expected, %zu given",
                        kMaxStopBytes, text.size());
  }
  if (!IsUtf8(text)) {
    return Status::Make(Code::kInvalid, "stop text: byte %zu is not UTF-8", WholePrefix(text));
  }
  Stop* stop = &stops_[stop_count_++];
  *stop = Stop();
  std::memcpy(stop->bytes, text.data(), text.size());
  stop->border[0] = 0;
  for (size_t i = 1; i < text.size(); ++i) {
    stop->Advance(text[i]);
    stop->border[i] = stop->matched;
  }
  stop->size = static_cast<uint8_t>(text.size());
  stop->matched = 0;
  return Status();
}

inline Status TextStream::Feed(std::string_view piece) {
  if (stopped_) return Code::kDone;
  if (Growth(partial_size_ + piece.size()) > buffer_.size() - size_) return Code::kShortBuffer;
  for (const char c : piece) {
    partial_[partial_size_++] = c;
    Decode();
    if (stopped_) return Code::kDone;
  }
  return Status();
}

// Emits what partial_ holds, up to a code point that further bytes may complete.
inline void TextStream::Decode() {
  while (partial_size_ != 0 && !stopped_) {
    const Utf8Head head = ReadUtf8({partial_, partial_size_});
    if (head.kind == Utf8Kind::kCutOff) return;
    const bool whole = head.kind == Utf8Kind::kWhole;
    Emit(whole ? std::string_view(partial_, head.size) : kReplacementCharacter);
    partial_size_ -= head.size;
    std::memmove(partial_, partial_ + head.size, partial_size_);
  }
}

inline void TextStream::Emit(std::string_view whole) {
  std::memcpy(buffer_.data() + size_, whole.data(), whole.size());
  size_ += whole.size();
  size_t reached = 0;  // the longest stop text that ends here
  held_ = 0;
  for (size_t i = 0; i < stop_count_; ++i) {
    Stop* stop = &stops_[i];
    for (const char c : whole) stop->Advance(c);
    if (stop->matched == stop->size) reached = std::max<size_t>(reached, stop->size);
    held_ = std::max<size_t>(held_, stop->matched);
  }
  if (reached == 0) return;
  stopped_ = true;
  size_ -= reached;
  held_ = 0;
}

inline void TextStream::Flush() {
  if (!stopped_ && partial_size_ != 0) Emit(kReplacementCharacter);
  partial_size_ = 0;
  held_ = 0;
}

template <class Writer>
void TextStream::Save(Writer* to) const {
  to->Put(static_cast<uint32_t>(size_));
  to->Bytes(buffer_.data(), size_);
  to->Put(static_cast<uint8_t>(partial_size_));
  to->Bytes(partial_, partial_size_);
  to->Put(static_cast<uint8_t>(stopped_));
  to->Put(static_cast<uint8_t>(stop_count_));
  for (size_t i = 0; i < stop_count_; ++i) {
    to->Put(stops_[i].size);
    to->Bytes(stops_[i].bytes, stops_[i].size);
    to->Put(stops_[i].matched);
  }
}

template <class Reader>
void TextStream::Load(bool apply, Reader* from) {
  TextStream read(buffer_);
  const auto view = [from](size_t size) {
    const auto* bytes = reinterpret_cast<const char*>(from->Bytes(size));
    return bytes == nullptr ? std::string_view() : std::string_view(bytes, size);
  };
  read.size_ = from->template Get<uint32_t>();
  from->Require(read.size_ <= buffer_.size());
  const std::string_view text = view(read.size_);
  const std::string_view partial = view(from->template Get<uint8_t>());
  from->Require(IsUtf8(text) && partial.size() <= kMaxHeld &&
                (partial.empty() || ReadUtf8(partial).kind == Utf8Kind::kCutOff));
  const auto stopped = from->template Get<uint8_t>();
  const auto stops = from->template Get<uint8_t>();
  from->Require(stopped <= 1 && stops <= kMaxStops);
  for (uint32_t i = 0; i < stops && from->ok(); ++i) {
    from->Require(read.AddStop(view(from->template Get<uint8_t>())).ok());
    const auto matched = from->template Get<uint8_t>();
    from->Require(matched < read.stops_[i].size + stopped);
    if (!from->ok()) return;
    read.stops_[i].matched = matched;
    if (stopped == 0) read.held_ = std::max<size_t>(read.held_, matched);
  }
  from->Require(read.held_ <= text.size() && IsUtf8(text.substr(0, text.size() - read.held_)));
  if (!apply || !from->ok()) return;
  read.stopped_ = stopped != 0;
  read.partial_size_ = partial.copy(read.partial_, kMaxHeld);
  *this = read;
  text.copy(buffer_.data(), text.size());
}

inline void TextStream::Reset() {
  size_ = held_ = partial_size_ = 0;
  stopped_ = false;
  for (size_t i = 0; i < stop_count_; ++i) stops_[i].matched = 0;
}

}  // namespace junto

#endif  // JUNTO_TEXT_STREAM_H_
