// The host's services, as the C ABI brings them, behind the interfaces of base/.
#ifndef JUNTO_C_API_HOST_H_
#define JUNTO_C_API_HOST_H_

#include <utility>

#include "c_api/guard.h"
#include "c_api/os/clock.h"
#include "junto/base/clock.h"
#include "junto/base/executor.h"
#include "junto/base/file.h"

namespace junto {

// What a callback of the host answered: anything below 0 is a failure, and only that.
inline Status FromCallback(junto_status answer, const char* what) {
  if (answer >= 0) return Status();
  return Status::Make(Code::kCallback, "%s returned %d", what, static_cast<int>(answer));
}

class HostAllocator final : public Allocator {
 public:
  explicit HostAllocator(const junto_allocator& host) : host_(host) {}
  void* Allocate(size_t size, size_t alignment, Tag tag) override {
    return host_.allocate(host_.user, size, alignment, static_cast<junto_tag>(tag));
  }
  void Deallocate(void* p, size_t size, size_t alignment, Tag tag) override {
    host_.deallocate(host_.user, p, size, alignment, static_cast<junto_tag>(tag));
  }

 private:
  junto_allocator host_;
};

class HostExecutor final : public Executor {
 public:
  explicit HostExecutor(const junto_executor& host) : host_(host) {}
  uint32_t worker_count() const override { return host_.worker_count; }
  Status ParallelFor(uint32_t count, TaskFn fn, void* task) override {
    return FromCallback(host_.parallel_for(host_.user, count, fn, task), "parallel_for");
  }

 private:
  junto_executor host_;
};

class HostFile final : public File {
 public:
  HostFile(const junto_io& host, void* file, uint64_t size)
      : host_(host), file_(file), size_(size) {}
  ~HostFile() override { host_.close_file(host_.user, file_); }

  uint64_t size() const override { return size_; }
  Status ReadAt(uint64_t offset, void* dst, size_t size) override {
    const junto_status answer = host_.read_at(host_.user, file_, offset, dst, size);
    if (answer >= 0) return Status();
    return Status::Make(Code::kIo, "read_at of %llu bytes at %llu returned %d",
                        static_cast<unsigned long long>(size),
                        static_cast<unsigned long long>(offset), static_cast<int>(answer));
  }
  const void* Map(uint64_t offset, size_t size) override {
    const void* p = nullptr;
    if (host_.map_range == nullptr || host_.unmap_range == nullptr) return nullptr;
    return host_.map_range(host_.user, file_, offset, size, &p) < 0 ? nullptr : p;
  }
  void Unmap(const void* p, size_t size) override { host_.unmap_range(host_.user, file_, p, size); }

 private:
  junto_io host_;
  void* file_;
  uint64_t size_;
};

class HostNewFile final : public NewFile {
 public:
  HostNewFile(const junto_io& host, void* file) : host_(host), file_(file) {}
  ~HostNewFile() override {
    if (file_ != nullptr) host_.finish_file(host_.user, file_, 0);
  }

  Status WriteAt(uint64_t offset, const void* src, size_t size) override {
    const junto_status answer = host_.write_at(host_.user, file_, offset, src, size);
    if (answer >= 0) return Status();
    return Status::Make(Code::kIo, "write_at of %llu bytes at %llu returned %d",
                        static_cast<unsigned long long>(size),
                        static_cast<unsigned long long>(offset), static_cast<int>(answer));
  }
  Status Commit() override {
    const junto_status answer = host_.finish_file(host_.user, std::exchange(file_, nullptr), 1);
    if (answer >= 0) return Status();
    return Status::Make(Code::kIo, "finish_file returned %d", static_cast<int>(answer));
  }

 private:
  junto_io host_;
  void* file_;
};

class HostFileSystem final : public FileSystem {
 public:
  explicit HostFileSystem(const junto_io& host) : host_(host) {}
  Status Open(std::string_view name, Memory* memory, Owned<File>* file) override {
    void* opened = nullptr;
    uint64_t size = 0;
    const junto_status answer =
        host_.open_file(host_.user, name.data(), name.size(), &opened, &size);
    if (answer < 0) {
      return Status::Make(Code::kIo, "open_file of '%.*s' returned %d",
                          static_cast<int>(std::min<size_t>(name.size(), 128)), name.data(),
                          static_cast<int>(answer));
    }
    try {
      *file = New<HostFile, File>(memory, Tag::kObject, host_, opened, size);
    } catch (...) {
      host_.close_file(host_.user, opened);
      throw;
    }
    return Status();
  }

  Status Create(std::string_view name, Memory* memory, Owned<NewFile>* file) override {
    if (host_.create_file == nullptr) {
      return Status::Make(Code::kUnsupported, "io.create_file is NULL: 0 files can be written");
    }
    void* created = nullptr;
    const junto_status answer = host_.create_file(host_.user, name.data(), name.size(), &created);
    if (answer < 0) {
      return Status::Make(Code::kIo, "create_file of '%.*s' returned %d",
                          static_cast<int>(std::min<size_t>(name.size(), 128)), name.data(),
                          static_cast<int>(answer));
    }
    try {
      *file = New<HostNewFile, NewFile>(memory, Tag::kObject, host_, created);
    } catch (...) {
      host_.finish_file(host_.user, created, 0);
      throw;
    }
    return Status();
  }

 private:
  junto_io host_;
};

// The host's clock, or the system's.
class HostClock final : public Clock {
 public:
  HostClock(junto_clock_fn host, void* user) : host_(host), user_(user) {}
  uint64_t Nanoseconds() override {
    return host_ != nullptr ? host_(user_) : MonotonicNanoseconds();
  }

 private:
  junto_clock_fn host_;
  void* user_;
};

}  // namespace junto

#endif  // JUNTO_C_API_HOST_H_
