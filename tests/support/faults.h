// Hosts that misbehave on purpose: an allocator and a file system that fail at the n-th call.
//
//   for (uint64_t n = 0;; ++n) {
//     CountingAllocator allocator;
//     allocator.FailAt(n);
//     ... run; stop when it succeeds with allocator.calls() <= n, else expect E_MEMORY ...
//     CHECK(allocator.clean());
//   }
#ifndef JUNTO_TESTS_SUPPORT_FAULTS_H_
#define JUNTO_TESTS_SUPPORT_FAULTS_H_

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "junto/base/file.h"
#include "junto/base/memory.h"
#include "junto/base/status.h"

namespace junto {
namespace test {

constexpr uint64_t kNever = UINT64_MAX;

// Serves from the heap, remembers every block, and refuses the call whose number is the one given.
class CountingAllocator final : public Allocator {
 public:
  CountingAllocator() = default;
  ~CountingAllocator() override {
    for (auto& [p, block] : live_) std::free(p);
  }

  // Calls count from 0, from now on.
  void FailAt(uint64_t call) {
    const std::lock_guard<std::mutex> lock(mutex_);
    calls_ = 0;
    fail_at_ = call;
  }

  void* Allocate(size_t size, size_t alignment, Tag tag) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (calls_++ == fail_at_) return nullptr;
    if (size == 0 || (alignment & (alignment - 1)) != 0) ++mistakes_;
    if (alignment < sizeof(void*)) alignment = sizeof(void*);
    if (size > kLargest) return nullptr;
    void* p = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (p == nullptr) return nullptr;
    live_[p] = {size, tag};
    live_bytes_ += size;
    if (size > largest_) largest_ = size;
    return p;
  }

  void Deallocate(void* p, size_t size, size_t /*alignment*/, Tag tag) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = live_.find(p);
    if (at == live_.end() || at->second.size != size || at->second.tag != tag) {
      ++mistakes_;
      return;
    }
    live_bytes_ -= size;
    live_.erase(at);
    std::free(p);
  }

  uint64_t calls() const { return calls_; }
  uint64_t live_blocks() const { return live_.size(); }
  uint64_t live_bytes() const { return live_bytes_; }
  uint64_t largest() const { return largest_; }    // bytes of the largest block ever served
  uint64_t mistakes() const { return mistakes_; }  // frees that match no allocation, odd sizes
  bool clean() const { return live_.empty() && mistakes_ == 0; }

 private:
  struct Live {
    size_t size;
    Tag tag;
  };
  static constexpr size_t kLargest = size_t{1} << 32;

  std::mutex mutex_;
  std::unordered_map<void*, Live> live_;
  uint64_t calls_ = 0;
  uint64_t fail_at_ = kNever;
  uint64_t live_bytes_ = 0;
  uint64_t largest_ = 0;
  uint64_t mistakes_ = 0;
};

// Files in memory; the n-th open or the n-th read, over all files, fails with E_IO.
class FaultyFileSystem final : public FileSystem {
 public:
  void Add(std::string name, std::vector<uint8_t> bytes) {
    files_[std::move(name)] = std::move(bytes);
  }
  void Remove(const std::string& name) { files_.erase(name); }
  std::vector<uint8_t>& bytes(const std::string& name) { return files_.at(name); }

  // Calls count from 0, from now on.
  void FailReadAt(uint64_t call) {
    reads_ = 0;
    fail_read_ = call;
  }
  void FailOpenAt(uint64_t call) {
    opens_ = 0;
    fail_open_ = call;
  }
  void set_mappable(bool mappable) { mappable_ = mappable; }

  uint64_t reads() const { return reads_; }
  uint64_t opens() const { return opens_; }
  int64_t open_files() const { return open_files_; }
  int64_t mappings() const { return mappings_; }

  Status Open(std::string_view name, Memory* memory, Owned<File>* file) override {
    if (opens_++ == fail_open_) {
      return Status::Make(Code::kIo, "open fails on purpose").WithOsError(5);
    }
    const auto at = files_.find(std::string(name));
    if (at == files_.end()) {
      return Status::Make(Code::kIo, "no file '%.*s'", static_cast<int>(name.size()), name.data())
          .WithOsError(2);
    }
    *file = New<FaultyFile, File>(memory, Tag::kObject, this, &at->second);
    return Status();
  }

 private:
  class FaultyFile final : public File {
   public:
    FaultyFile(FaultyFileSystem* owner, const std::vector<uint8_t>* bytes)
        : owner_(owner), data_(bytes->data(), bytes->size()) {
      ++owner_->open_files_;
    }
    ~FaultyFile() override { --owner_->open_files_; }

    uint64_t size() const override { return data_.size(); }
    Status ReadAt(uint64_t offset, void* dst, size_t size) override {
      if (owner_->reads_++ == owner_->fail_read_) {
        return Status::Make(Code::kIo, "read of %llu bytes at %llu fails on purpose",
                            static_cast<unsigned long long>(size),
                            static_cast<unsigned long long>(offset))
            .WithOsError(5);
      }
      return data_.ReadAt(offset, dst, size);
    }
    const void* Map(uint64_t offset, size_t size) override {
      const void* p = owner_->mappable_ ? data_.Map(offset, size) : nullptr;
      if (p != nullptr) ++owner_->mappings_;
      return p;
    }
    void Unmap(const void* /*p*/, size_t /*size*/) override { --owner_->mappings_; }

   private:
    FaultyFileSystem* owner_;
    MemoryFile data_;
  };

  std::map<std::string, std::vector<uint8_t>> files_;
  std::atomic<uint64_t> reads_{0};
  std::atomic<uint64_t> opens_{0};
  std::atomic<int64_t> open_files_{0};
  std::atomic<int64_t> mappings_{0};
  uint64_t fail_read_ = kNever;
  uint64_t fail_open_ = kNever;
  bool mappable_ = false;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_FAULTS_H_
