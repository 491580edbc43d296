// File: positional, re-entrant reads, wherever the bytes are: a disk, a package, memory.
#ifndef JUNTO_BASE_FILE_H_
#define JUNTO_BASE_FILE_H_

#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "junto/base/checked.h"
#include "junto/base/memory.h"
#include "junto/base/status.h"

namespace junto {

// What a reader tells a file about some of its bytes.
enum class FileHint : uint8_t {
  kSoon,    // they will be read next: fetching them may begin
  kDone,    // they were read and copied: nothing need be kept of them in memory
  kDirect,  // reads whose offset, size and address are multiples of 4096 are of what the reader
            // will keep: nothing else need; to be said before other threads read
};

class File {
 public:
  virtual ~File() = default;
  virtual uint64_t size() const = 0;

  // Reads exactly `size` bytes at `offset`; anything less is E_IO. May run on many threads at once.
  virtual Status ReadAt(uint64_t offset, void* dst, size_t size) = 0;

  // The bytes in place, or nullptr where the file cannot be mapped (the caller then reads). A
  // mapping may start at any address and lives until Unmap.
  virtual const void* Map(uint64_t /*offset*/, size_t /*size*/) { return nullptr; }
  virtual void Unmap(const void* /*p*/, size_t /*size*/) {}

  // May be ignored, and by most files is; never fails. No part of the range may be mapped for
  // kDone.
  virtual void Hint(uint64_t /*offset*/, uint64_t /*size*/, FileHint /*hint*/) {}
};

// A part of a file in place, counted as mapped, until it is destroyed.
class Mapping {
 public:
  Mapping() = default;
  // Empty where the file cannot be mapped. File and memory must outlive it.
  Mapping(File* file, uint64_t offset, size_t size, Memory* memory)
      : file_(file), memory_(memory), data_(file->Map(offset, size)), size_(size) {
    if (data_ != nullptr) memory_->AddMapped(size_);
  }
  Mapping(Mapping&& other) noexcept { Swap(&other); }
  Mapping& operator=(Mapping&& other) noexcept {
    Swap(&other);
    return *this;
  }
  ~Mapping() {
    if (data_ == nullptr) return;
    memory_->RemoveMapped(size_);
    file_->Unmap(data_, size_);
  }

  const void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void Swap(Mapping* other) {
    std::swap(file_, other->file_);
    std::swap(memory_, other->memory_);
    std::swap(data_, other->data_);
    std::swap(size_, other->size_);
  }

  File* file_ = nullptr;
  Memory* memory_ = nullptr;
  const void* data_ = nullptr;
  size_t size_ = 0;
};

// A file in the making. It takes its name when Commit works, in one step and in place of what had
// that name; destroyed before, it leaves nothing behind. One thread at a time.
class NewFile {
 public:
  virtual ~NewFile() = default;

  // Writes all of `size` bytes at `offset`; E_IO. In any order, any number of times.
  virtual Status WriteAt(uint64_t offset, const void* src, size_t size) = 0;

  // Once, after the last write. What was never written within the file is undefined.
  virtual Status Commit() = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // `name` is UTF-8 and only the file system interprets it. Throws OutOfMemory.
  virtual Status Open(std::string_view name, Memory* memory, Owned<File>* file) = 0;

  // Begins a new file. E_UNSUPPORTED where none can be written. Throws OutOfMemory.
  virtual Status Create(std::string_view name, Memory* /*memory*/, Owned<NewFile>* /*file*/) {
    return Status::Make(Code::kUnsupported, "a name of %llu bytes: these files cannot be written",
                        static_cast<unsigned long long>(name.size()));
  }
};

// E_IO where `size` bytes at `offset` are not all before `end`.
inline Status CheckRange(uint64_t offset, uint64_t size, uint64_t end) {
  if (RangeFits(offset, size, end)) return Status();
  return Status::Make(Code::kIo, "read of %llu bytes at %llu passes the end at %llu",
                      static_cast<unsigned long long>(size),
                      static_cast<unsigned long long>(offset),
                      static_cast<unsigned long long>(end));
}

// Bytes that the caller keeps alive.
class MemoryFile final : public File {
 public:
  MemoryFile(const void* data, uint64_t size)
      : data_(static_cast<const uint8_t*>(data)), size_(size) {}

  uint64_t size() const override { return size_; }
  Status ReadAt(uint64_t offset, void* dst, size_t size) override {
    JUNTO_TRY(CheckRange(offset, size, size_));
    if (size != 0) std::memcpy(dst, data_ + offset, size);
    return Status();
  }
  const void* Map(uint64_t offset, size_t size) override {
    return RangeFits(offset, size, size_) ? data_ + offset : nullptr;
  }

 private:
  const uint8_t* data_;
  uint64_t size_;
};

}  // namespace junto

#endif  // JUNTO_BASE_FILE_H_
