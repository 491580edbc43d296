// Workspace: what a template may use while it is read or rendered, and how it failed.
#ifndef JUNTO_TEXT_JINJA_WORKSPACE_H_
#define JUNTO_TEXT_JINJA_WORKSPACE_H_

#include <algorithm>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"

namespace junto {
namespace jinja {

// A template comes from a stranger: it ends at these bounds however it was meant.
struct Limits {
  uint64_t steps = 200000;              // nodes evaluated, and bytes and elements looked at besides
  uint64_t bytes = uint64_t{16} << 20;  // produced altogether, as text or values
  uint32_t depth = 400;                 // of evaluation, which recurses

  // What rendering so many bytes of conversation may take.
  static Limits For(size_t given) {
    Limits limits;
    limits.steps += 40 * uint64_t{given};
    limits.bytes += 64 * uint64_t{given};
    return limits;
  }
};

constexpr size_t kMaxTemplateBytes = size_t{128} << 10;
constexpr uint32_t kMaxNesting = 200;  // of expressions and blocks in the source

// Memory that is freed at once, a budget of steps and bytes, and the first failure. After a failure
// everything may go on with values that mean nothing; whoever loops asks failed(). One thread.
class Workspace {
 public:
  Workspace(Memory* memory, const Limits& limits)
      : memory_(memory), limits_(limits), blocks_({memory, Tag::kObject}) {}
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() {
    for (const Range& block : blocks_) {
      memory_->Deallocate(block.begin, block.size, kAlignment, Tag::kObject);
    }
  }

  // An object that nothing destroys. Throws OutOfMemory.
  template <class T, class... Arguments>
  T* New(Arguments&&... arguments) {
    static_assert(std::is_trivially_destructible<T>::value, "nothing destroys it");
    static_assert(alignof(T) <= kAlignment, "over-aligned object");
    Charge(sizeof(T));
    return new (Take(sizeof(T))) T{std::forward<Arguments>(arguments)...};
  }
  // Room for n elements, uninitialised; nullptr, after Fail, when that is more than is left.
  template <class T>
  T* Array(size_t n) {
    static_assert(std::is_trivially_copyable<T>::value, "nothing constructs or destroys them");
    if (n > limits_.bytes / sizeof(T)) {
      Exhausted();
      return nullptr;
    }
    if (!Charge(n * sizeof(T))) return nullptr;
    return static_cast<T*>(Take(n * sizeof(T)));
  }

  // Counts bytes that are produced. False when there are too many, which is a failure.
  bool Charge(uint64_t bytes) {
    bytes_ += bytes;
    if (bytes_ > limits_.bytes) Exhausted();
    return !failed();
  }
  // Counts work. False when it was too much, or something failed before.
  bool Step(uint64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) {
      Fail("more than %llu steps", static_cast<unsigned long long>(limits_.steps));
    }
    return !failed();
  }
  // The work of looking at so many bytes.
  bool Scan(size_t bytes) { return Step(bytes / 32); }

  // Only the first failure counts. It is of the current line.
#if defined(__GNUC__)
  __attribute__((format(printf, 2, 3)))
#endif
  void
  Fail(const char* format, ...) {
    if (failed()) return;
    char text[Status::kMessageCapacity];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    status_ = Status::Make(Code::kInvalid, "chat template line %u: %s", line, text);
  }
  bool failed() const { return status_.failed(); }
  const Status& status() const { return status_; }

  Memory* memory() const { return memory_; }
  const Limits& limits() const { return limits_; }

  uint32_t line = 1;   // of the template
  uint32_t depth = 0;  // of evaluation or parsing

 private:
  struct Range {
    void* begin;
    size_t size;
  };
  static constexpr size_t kAlignment = alignof(std::max_align_t);
  static constexpr size_t kBlock = 16 << 10;

  void Exhausted() {
    Fail("more than %llu bytes of values and text", static_cast<unsigned long long>(limits_.bytes));
  }

  void* Take(size_t size) {
    size = (size + kAlignment - 1) / kAlignment * kAlignment;
    if (size > left_) Grow(size);
    char* taken = next_;
    next_ += size;
    left_ -= size;
    return taken;
  }
  void Grow(size_t size) {
    size = std::max(size, kBlock);
    blocks_.push_back({nullptr, 0});
    void* block = memory_->Allocate(size, kAlignment, Tag::kObject);
    if (block == nullptr) {
      blocks_.pop_back();
      throw OutOfMemory(size, Tag::kObject);
    }
    blocks_.back() = {block, size};
    next_ = static_cast<char*>(block);
    left_ = size;
  }

  Memory* memory_;
  Limits limits_;
  Vector<Range> blocks_;
  char* next_ = nullptr;
  size_t left_ = 0;
  uint64_t steps_ = 0;
  uint64_t bytes_ = 0;
  Status status_;
};

// Counts a level of recursion while it lives.
class Level {
 public:
  Level(Workspace* work, uint32_t most) : work_(work) {
    if (++work_->depth > most) work_->Fail("nested deeper than %u", most);
  }
  ~Level() { --work_->depth; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  Workspace* work_;
};

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_WORKSPACE_H_
