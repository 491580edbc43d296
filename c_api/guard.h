// What every exported function does around its work: structs checked, exceptions stopped, the error
// written.
#ifndef JUNTO_C_API_GUARD_H_
#define JUNTO_C_API_GUARD_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>

#include "c_api/junto.h"
#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/base/utf8.h"

namespace junto {

inline junto_status ToStatus(Code code) { return static_cast<junto_status>(code); }

// Fills the caller's error, of which only struct_size bytes exist.
inline void WriteError(const Status& status, junto_error* err) {
  constexpr size_t kFixed = offsetof(junto_error, message);
  if (err == nullptr || err->struct_size <= kFixed) return;
  const size_t room = std::min<size_t>(err->struct_size, sizeof(junto_error)) - kFixed;
  const std::string_view message = Utf8Prefix(status.message(), room - 1);
  err->status = ToStatus(status.code());
  err->os_error = status.os_error();
  err->message_size = static_cast<uint32_t>(message.size());
  message.copy(err->message, message.size());
  err->message[message.size()] = '\0';
}

// Runs f, which returns a Status. Nothing it throws passes.
template <class F>
junto_status Guard(junto_error* err, F&& f) noexcept {
  Status status;
  try {
    status = f();
  } catch (const OutOfMemory& lack) {
    status = Status::Make(Code::kMemory, "out of memory: %llu bytes for %s were refused",
                          static_cast<unsigned long long>(lack.size), TagName(lack.tag));
  } catch (const std::bad_alloc&) {
    status = Status::Make(Code::kMemory, "out of memory in a library, after 0 bytes");
  } catch (...) {
    status = Status::Make(Code::kInternal, "internal error %d: an unexpected exception", 1);
  }
  WriteError(status, err);
  return ToStatus(status.code());
}

// The status of a failure that needs no more than its code.
inline Status NullArgument(const char* name) {
  return Status::Make(Code::kInvalid, "argument '%s' is NULL (0)", name);
}

constexpr size_t kMaxStructSize = 4096;  // beyond any release: garbage

// Copies a struct of an older or newer caller: fields it lacks are zero; what we do not know of
// must be zero. A NULL `in` is all zeros.
template <class T>
Status TakeStruct(const T* in, size_t first_release_size, T* out) {
  *out = T{};
  if (in == nullptr) return Status();
  if (in->struct_size < first_release_size) {
    return Status::Make(Code::kInvalid, "struct_size %u: at least %zu expected",
                        static_cast<unsigned>(in->struct_size), first_release_size);
  }
  if (in->struct_size > kMaxStructSize) {
    return Status::Make(Code::kInvalid, "struct_size %u: at most %zu expected",
                        static_cast<unsigned>(in->struct_size), kMaxStructSize);
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(in);
  for (size_t i = sizeof(T); i < in->struct_size; ++i) {
    if (bytes[i] == 0) continue;
    return Status::Make(Code::kUnsupported, "byte %zu of a struct is set: this build knows %zu", i,
                        sizeof(T));
  }
  std::memcpy(out, in, std::min<size_t>(in->struct_size, sizeof(T)));
  return Status();
}

// Gives a struct to an older or newer caller: what fits is written, the rest of its room is zero,
// and struct_size says what is valid.
template <class T>
Status GiveStruct(const T& value, T* out) {
  const size_t capacity = out->struct_size;
  if (capacity < sizeof(uint32_t)) {
    return Status::Make(Code::kInvalid, "struct_size %zu: call the struct's init first", capacity);
  }
  const size_t size = std::min(capacity, sizeof(T));
  std::memcpy(out, &value, size);
  std::memset(reinterpret_cast<unsigned char*>(out) + size, 0, capacity - size);
  out->struct_size = static_cast<uint32_t>(size);
  return Status();
}

// Body of every *_init: zeros and the size, then the defaults that are not zero.
template <class T>
void InitStruct(T* out, size_t size, const T& defaults = T{}) {
  if (out == nullptr || size < sizeof(uint32_t)) return;
  T value = defaults;
  value.struct_size = static_cast<uint32_t>(size);
  std::memset(out, 0, size);
  std::memcpy(out, &value, std::min(size, sizeof(T)));
}

// Holds a handle's only seat while a [one] call runs.
class Seat {
 public:
  explicit Seat(std::atomic<bool>* taken) : taken_(taken->exchange(true) ? nullptr : taken) {}
  ~Seat() {
    if (taken_ != nullptr) taken_->store(false);
  }
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;

  Status status() const {
    if (taken_ != nullptr) return Status();
    return Status::Make(Code::kBusy, "busy: 1 other call on this handle is running");
  }

 private:
  std::atomic<bool>* taken_;
};

}  // namespace junto

#endif  // JUNTO_C_API_GUARD_H_
