// Status: the outcome of an operation, a code and at most one line of text.
#ifndef JUNTO_BASE_STATUS_H_
#define JUNTO_BASE_STATUS_H_

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "junto/base/utf8.h"

namespace junto {

// Values equal junto_status in c_api/junto.h: < 0 failed, 0 worked, > 0 stopped early on purpose.
enum class Code : int32_t {
  kOk = 0,
  kYielded = 1,
  kDone = 2,
  kCancelled = 3,
  kInvalid = -1,
  kMemory = -2,
  kIo = -3,
  kFormat = -4,
  kUnsupported = -5,
  kShortBuffer = -6,
  kContextFull = -7,
  kBusy = -8,
  kMismatch = -9,
  kCallback = -10,
  kInternal = -11,
};

// Carries its text by value, so that reporting a failure never allocates. The text is one line that
// states a fact and a number; text that does not fit is cut on a code point boundary.
class [[nodiscard]] Status {
 public:
  static constexpr size_t kMessageCapacity = 240;  // including the terminating NUL

  Status() = default;
  Status(Code code) : code_(code) {}  // NOLINT: a bare code is a status without text

#if defined(__GNUC__)
  __attribute__((format(printf, 2, 3)))
#endif
  static Status
  Make(Code code, const char* format, ...) {
    Status status(code);
    va_list arguments;
    va_start(arguments, format);
    const int written = std::vsnprintf(status.message_, kMessageCapacity, format, arguments);
    va_end(arguments);
    if (written >= static_cast<int>(kMessageCapacity)) status.TrimPartialCodePoint();
    status.MakeOneLine();
    return status;
  }

  Status& WithOsError(int os_error) {
    os_error_ = os_error;
    return *this;
  }

  bool ok() const { return code_ == Code::kOk; }
  bool failed() const { return static_cast<int32_t>(code_) < 0; }
  Code code() const { return code_; }
  int os_error() const { return os_error_; }
  const char* message() const { return message_; }

 private:
  // Names that come from outside may hold anything; the text is one line of UTF-8 all the same.
  void MakeOneLine() {
    const size_t size = std::strlen(message_);
    for (size_t at = 0; at < size;) {
      const size_t length = CodePointLength({message_ + at, size - at});
      const auto byte = static_cast<unsigned char>(message_[at]);
      if (length == 0) message_[at] = '?';
      if (byte < 0x20 || byte == 0x7F) message_[at] = ' ';
      at += length == 0 ? 1 : length;
    }
  }

  void TrimPartialCodePoint() {
    size_t end = std::strlen(message_);
    size_t start = end;
    while (start > 0 && (message_[start - 1] & 0xC0) == 0x80) --start;
    if (start == 0) return;
    const auto lead = static_cast<unsigned char>(message_[start - 1]);
    const size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (end - (start - 1) < wanted) message_[start - 1] = '\0';
  }

  Code code_ = Code::kOk;
  int os_error_ = 0;
  char message_[kMessageCapacity] = {0};
};

}  // namespace junto

// Returns from the enclosing function when `expression`, a Status, is not OK.
#define JUNTO_TRY(expression)                            \
  do {                                                   \
    ::junto::Status junto_try_status = (expression);     \
    if (!junto_try_status.ok()) return junto_try_status; \
  } while (false)

#endif  // JUNTO_BASE_STATUS_H_
