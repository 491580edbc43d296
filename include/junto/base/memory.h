// Memory: every byte Junto holds comes from the host's allocator, is counted under a tag, and
// counts against one limit.
#ifndef JUNTO_BASE_MEMORY_H_
#define JUNTO_BASE_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "junto/base/status.h"

namespace junto {

// What an allocation is for. Values equal junto_tag in c_api/junto.h.
enum class Tag : int32_t {
  kObject = 0,
  kWeights = 1,
  kKv = 2,
  kScratch = 3,
  kTokenizer = 4,
  kLoadTemp = 5,
  kThread = 6,
  kExternal = 7,  // reported, not routed: what a library took behind our back
  kMapped = 8,    // reported, not routed: files that are mapped and used in place
};
constexpr int kTagCount = 9;
const char* TagName(Tag tag);

// The host's allocator. Both calls may come from any thread; `alignment` is a power of two and
// `size` is never 0. Allocate returns nullptr when it cannot serve.
class Allocator {
 public:
  virtual ~Allocator() = default;
  virtual void* Allocate(size_t size, size_t alignment, Tag tag) = 0;
  virtual void Deallocate(void* p, size_t size, size_t alignment, Tag tag) = 0;
};

// Counts what passes through an Allocator and refuses what would exceed the limit. Thread-safe.
class Memory {
 public:
  // `limit` is in bytes over all tags; 0 means none. `allocator` must outlive this object.
  Memory(Allocator* allocator, uint64_t limit) : allocator_(allocator), limit_(limit) {}
  // A part of `parent`, which does the work and owns the limit; counts on its own besides.
  explicit Memory(Memory* parent) : parent_(parent) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Returns nullptr when the limit or the host says no; nothing is counted then.
  void* Allocate(size_t size, size_t alignment, Tag tag) {
    const uint64_t total = Reserve(size);
    if (total == 0) return nullptr;
    void* p = parent_ != nullptr ? parent_->Allocate(size, alignment, tag)
                                 : allocator_->Allocate(size, alignment, tag);
    if (p == nullptr) {
      total_.fetch_sub(size, std::memory_order_relaxed);
      return nullptr;
    }
    Raise(&total_peak_, total);
    Raise(&peak_[Index(tag)], current_[Index(tag)].fetch_add(size) + size);
    return p;
  }

  void Deallocate(void* p, size_t size, size_t alignment, Tag tag) {
    if (parent_ != nullptr) {
      parent_->Deallocate(p, size, alignment, tag);
    } else {
      allocator_->Deallocate(p, size, alignment, tag);
    }
    current_[Index(tag)].fetch_sub(size);
    total_.fetch_sub(size);
  }

  // Counts a block that holds this very object and so could not come through it.
  void Adopt(size_t size, Tag tag) {
    Raise(&total_peak_, total_.fetch_add(size) + size);
    Raise(&peak_[Index(tag)], current_[Index(tag)].fetch_add(size) + size);
  }

  // Counts bytes of a mapped file under kMapped, on all levels. They are the system's to keep or to
  // drop, so neither the total nor the limit knows of them.
  void AddMapped(uint64_t size) {
    if (parent_ != nullptr) parent_->AddMapped(size);
    Raise(&peak_[Index(Tag::kMapped)], current_[Index(Tag::kMapped)].fetch_add(size) + size);
  }
  void RemoveMapped(uint64_t size) {
    if (parent_ != nullptr) parent_->RemoveMapped(size);
    current_[Index(Tag::kMapped)].fetch_sub(size);
  }

  uint64_t current(Tag tag) const { return current_[Index(tag)].load(); }
  uint64_t peak(Tag tag) const { return peak_[Index(tag)].load(); }
  uint64_t total() const { return total_.load(); }
  uint64_t total_peak() const { return total_peak_.load(); }
  uint64_t limit() const { return limit_; }

  // The one-line failure for `size` bytes that could not be had.
  Status Refusal(uint64_t size, Tag tag) const {
    if (parent_ != nullptr) return parent_->Refusal(size, tag);
    if (limit_ != 0) {
      return Status::Make(
          Code::kMemory, "out of memory: %llu bytes for %s do not fit beside %llu of %llu allowed",
          static_cast<unsigned long long>(size), TagName(tag),
          static_cast<unsigned long long>(total()), static_cast<unsigned long long>(limit_));
    }
    return Status::Make(Code::kMemory,
                        "out of memory: the allocator refused %llu bytes for %s with %llu in use",
                        static_cast<unsigned long long>(size), TagName(tag),
                        static_cast<unsigned long long>(total()));
  }

 private:
  static int Index(Tag tag) { return static_cast<int>(tag); }

  // The total with `size` in it, or 0 when the limit says no.
  uint64_t Reserve(uint64_t size) {
    uint64_t before = total_.load(std::memory_order_relaxed);
    do {
      if (limit_ != 0 && (size > limit_ || before > limit_ - size)) return 0;
    } while (!total_.compare_exchange_weak(before, before + size));
    return before + size;
  }

  static void Raise(std::atomic<uint64_t>* peak, uint64_t value) {
    uint64_t seen = peak->load(std::memory_order_relaxed);
    while (seen < value && !peak->compare_exchange_weak(seen, value)) {
    }
  }

  Allocator* allocator_ = nullptr;
  Memory* parent_ = nullptr;
  uint64_t limit_ = 0;
  std::atomic<uint64_t> total_{0};
  std::atomic<uint64_t> total_peak_{0};
  std::atomic<uint64_t> current_[kTagCount] = {};
  std::atomic<uint64_t> peak_[kTagCount] = {};
};

inline const char* TagName(Tag tag) {
  static constexpr const char* kNames[kTagCount] = {"objects", "weights",       "KV",
                                                    "scratch", "the tokenizer", "loading",
                                                    "threads", "libraries",     "mapped files"};
  return kNames[static_cast<int>(tag)];
}

// The one exception inside Junto: containers throw it, the C ABI turns it into E_MEMORY.
struct OutOfMemory : std::bad_alloc {
  OutOfMemory(uint64_t size, Tag tag) : size(size), tag(tag) {}
  const char* what() const noexcept override { return "out of memory"; }
  uint64_t size;
  Tag tag;
};

// Lets standard containers allocate from a Memory. Throws OutOfMemory.
template <class T>
class ContainerAllocator {
 public:
  using value_type = T;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  ContainerAllocator(Memory* memory, Tag tag) : memory_(memory), tag_(tag) {}
  template <class U>
  ContainerAllocator(const ContainerAllocator<U>& other)  // NOLINT: allocators convert
      : memory_(other.memory()), tag_(other.tag()) {}

  T* allocate(size_t n) {
    if (n > std::numeric_limits<size_t>::max() / sizeof(T)) throw OutOfMemory(n, tag_);
    void* p = memory_->Allocate(n * sizeof(T), alignof(T), tag_);
    if (p == nullptr) throw OutOfMemory(n * sizeof(T), tag_);
    return static_cast<T*>(p);
  }
  void deallocate(T* p, size_t n) { memory_->Deallocate(p, n * sizeof(T), alignof(T), tag_); }

  Memory* memory() const { return memory_; }
  Tag tag() const { return tag_; }
  template <class U>
  bool operator==(const ContainerAllocator<U>& other) const {
    return memory_ == other.memory() && tag_ == other.tag();
  }
  template <class U>
  bool operator!=(const ContainerAllocator<U>& other) const {
    return !(*this == other);
  }

 private:
  Memory* memory_;
  Tag tag_;
};

template <class T>
using Vector = std::vector<T, ContainerAllocator<T>>;
using String = std::basic_string<char, std::char_traits<char>, ContainerAllocator<char>>;

template <class T>
struct MemoryDeleter {
  Memory* memory = nullptr;
  size_t size = sizeof(T);  // of the most derived object
  Tag tag = Tag::kObject;
  void operator()(T* p) const {
    void* block = p;
    p->~T();
    memory->Deallocate(block, size, alignof(std::max_align_t), tag);
  }
};

// An object that lives in a Memory. For a base-class pointer, the base is the first base class.
template <class T>
using Owned = std::unique_ptr<T, MemoryDeleter<T>>;

// Constructs a T (seen through Base) in `memory`. Throws OutOfMemory.
template <class T, class Base = T, class... Arguments>
Owned<Base> New(Memory* memory, Tag tag, Arguments&&... arguments) {
  static_assert(alignof(T) <= alignof(std::max_align_t), "over-aligned object");
  void* block = memory->Allocate(sizeof(T), alignof(std::max_align_t), tag);
  if (block == nullptr) throw OutOfMemory(sizeof(T), tag);
  MemoryDeleter<Base> deleter{memory, sizeof(T), tag};
  try {
    return Owned<Base>(new (block) T(std::forward<Arguments>(arguments)...), deleter);
  } catch (...) {
    memory->Deallocate(block, sizeof(T), alignof(std::max_align_t), tag);
    throw;
  }
}

// A block of bytes, uninitialised, aligned to `alignment`; freed on destruction.
class Block {
 public:
  Block() = default;
  Block(Block&& other) noexcept { Swap(&other); }
  Block& operator=(Block&& other) noexcept {
    Swap(&other);
    return *this;
  }
  ~Block() {
    if (data_ != nullptr) memory_->Deallocate(data_, size_, alignment_, tag_);
  }

  // E_MEMORY leaves `*block` as it was. A size of 0 gives an empty block.
  static Status Allocate(Memory* memory, size_t size, size_t alignment, Tag tag, Block* block) {
    Block fresh;
    if (size != 0) {
      fresh.data_ = memory->Allocate(size, alignment, tag);
      if (fresh.data_ == nullptr) return memory->Refusal(size, tag);
      fresh.memory_ = memory;
      fresh.size_ = size;
      fresh.alignment_ = alignment;
      fresh.tag_ = tag;
    }
    *block = std::move(fresh);
    return Status();
  }

  uint8_t* data() const { return static_cast<uint8_t*>(data_); }
  size_t size() const { return size_; }

 private:
  void Swap(Block* other) {
    std::swap(memory_, other->memory_);
    std::swap(data_, other->data_);
    std::swap(size_, other->size_);
    std::swap(alignment_, other->alignment_);
    std::swap(tag_, other->tag_);
  }

  Memory* memory_ = nullptr;
  void* data_ = nullptr;
  size_t size_ = 0;
  size_t alignment_ = 1;
  Tag tag_ = Tag::kObject;
};

}  // namespace junto

#endif  // JUNTO_BASE_MEMORY_H_
