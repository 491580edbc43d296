// ByteCursor: reads a file's header from front to back through a window, never past its end, and
// knows what it is reading, so that every failure can say so.
#ifndef JUNTO_IO_BYTE_CURSOR_H_
#define JUNTO_IO_BYTE_CURSOR_H_

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "junto/base/checked.h"
#include "junto/base/file.h"
#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/base/utf8.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Junto reads model files in place and needs a little-endian machine"
#endif

namespace junto {

class ByteCursor {
 public:
  static constexpr size_t kWindow = size_t{64} << 10;
  static constexpr size_t kMaxName = 65535;  // bytes

  // Reads `file` up to `end`, which is at most its size. The window comes from `memory`.
  static Status Create(File* file, uint64_t end, Memory* memory, ByteCursor* out) {
    JUNTO_TRY(Block::Allocate(memory, kWindow + kMaxName, 1, Tag::kLoadTemp, &out->buffer_));
    out->file_ = file;
    out->end_ = end;
    return Status();
  }

  uint64_t position() const { return position_; }
  uint64_t left() const { return end_ - position_; }
  void Rewind(uint64_t position) { position_ = position; }

  // What the next failures are about: "header", "key 7", "key 'general.name'".
  void SetSubject(const char* kind) { std::snprintf(subject_, sizeof(subject_), "%s", kind); }
  void SetSubject(const char* kind, uint64_t index) {
    std::snprintf(subject_, sizeof(subject_), "%s %llu", kind,
                  static_cast<unsigned long long>(index));
  }
  void SetSubject(const char* kind, std::string_view name) {
    name = Utf8Prefix(name, kShownName);
    std::snprintf(subject_, sizeof(subject_), "%s '%.*s'", kind, static_cast<int>(name.size()),
                  name.data());
  }

#if defined(__GNUC__)
  __attribute__((format(printf, 3, 4)))
#endif
  Status
  Error(Code code, const char* format, ...) const {
    char text[Status::kMessageCapacity];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return Status::Make(code, "%s: %s", subject_, text);
  }

  Status Need(uint64_t size) const {
    if (size <= left()) return Status();
    return Error(Code::kFormat, "%llu bytes wanted at offset %llu, %llu are left",
                 static_cast<unsigned long long>(size), static_cast<unsigned long long>(position_),
                 static_cast<unsigned long long>(left()));
  }

  Status Skip(uint64_t size) {
    JUNTO_TRY(Need(size));
    position_ += size;
    return Status();
  }

  Status Read(void* dst, uint64_t size) {
    JUNTO_TRY(Need(size));
    auto* to = static_cast<uint8_t*>(dst);
    while (size != 0) {
      if (position_ < window_start_ || position_ >= window_end_) {
        if (size >= kWindow) return ReadPastWindow(to, size);
        JUNTO_TRY(FillWindow());
      }
      const uint64_t chunk = std::min(size, window_end_ - position_);
      std::memcpy(to, buffer_.data() + (position_ - window_start_), chunk);
      position_ += chunk;
      to += chunk;
      size -= chunk;
    }
    return Status();
  }

  // A little-endian number.
  template <class T>
  Status Read(T* value) {
    static_assert(std::is_arithmetic<T>::value, "numbers only");
    return Read(value, sizeof(T));
  }

  // A 64-bit length and the name itself, which lives in this cursor until the next call. Names are
  // 1 to `limit` bytes (at most kMaxName) of UTF-8 without control characters. From here on
  // the failures are about this name.
  Status ReadName(const char* kind, uint64_t limit, std::string_view* name) {
    uint64_t size = 0;
    JUNTO_TRY(Read(&size));
    if (size == 0 || size > limit) {
      return Error(Code::kFormat, "name of %llu bytes found, 1 to %llu allowed",
                   static_cast<unsigned long long>(size), static_cast<unsigned long long>(limit));
    }
    char* text = reinterpret_cast<char*>(buffer_.data()) + kWindow;
    JUNTO_TRY(Read(text, size));
    const std::string_view view(text, static_cast<size_t>(size));
    for (size_t at = 0; at < view.size();) {
      const size_t length = CodePointLength(view.substr(at));
      if (length == 0 || static_cast<uint8_t>(view[at]) < 0x20 || view[at] == 0x7F) {
        return Error(Code::kFormat, "name is not UTF-8 text: byte %u is 0x%02x",
                     static_cast<unsigned>(at), static_cast<uint8_t>(view[at]));
      }
      at += length;
    }
    SetSubject(kind, view);
    *name = view;
    return Status();
  }

 private:
  static constexpr size_t kShownName = 96;  // bytes of a name in a message

  Status FillWindow() {
    const uint64_t size = std::min<uint64_t>(kWindow, left());
    window_start_ = window_end_ = position_;
    JUNTO_TRY(file_->ReadAt(position_, buffer_.data(), static_cast<size_t>(size)));
    window_end_ += size;
    return Status();
  }

  Status ReadPastWindow(void* dst, uint64_t size) {
    JUNTO_TRY(file_->ReadAt(position_, dst, static_cast<size_t>(size)));
    position_ += size;
    return Status();
  }

  File* file_ = nullptr;
  uint64_t end_ = 0;
  uint64_t position_ = 0;
  uint64_t window_start_ = 0;  // the window holds [window_start_, window_end_)
  uint64_t window_end_ = 0;
  Block buffer_;  // the window, then the latest name
  char subject_[kShownName + 32] = "header";
};

}  // namespace junto

#endif  // JUNTO_IO_BYTE_CURSOR_H_
