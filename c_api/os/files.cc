// POSIX. Another system brings a files.cc of its own.
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64  // for off_t of 32-bit systems
#endif

#include "c_api/os/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

namespace junto {
namespace {

// What one read call may transfer on every system.
constexpr size_t kMaxTransfer = size_t{1} << 30;

// From here on a mapping asks for huge pages: fewer faults, and larger reads where it is not
// cached.
constexpr size_t kLargeMapping = size_t{64} << 20;

// A message holds the end of a long path: the part that tells files apart.
constexpr size_t kShownName = 120;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);  // once: after EINTR the descriptor may be somebody else's already
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

struct ShownName {
  explicit ShownName(const String& name) {
    const bool cut = name.size() > kShownName;
    const char* end = name.c_str() + name.size();
    const char* from = cut ? end - kShownName : name.c_str();
    while (cut && (*from & 0xC0) == 0x80) ++from;  // not into a code point
    char* to = std::copy_n("...", cut ? 3 : 0, text);
    *std::copy(from, end, to) = '\0';
  }
  char text[kShownName + 4];
};

// `error` in words. strerror_r returns its text or an int, as the C library likes.
struct ErrorText {
  explicit ErrorText(int error) { Take(strerror_r(error, buffer, sizeof(buffer))); }
  void Take(const char* result) { text = result; }
  void Take(int result) { text = result == 0 ? buffer : "unknown error"; }
  char buffer[80];
  const char* text;
};

unsigned long long Wide(uint64_t x) { return x; }

static_assert(sizeof(off_t) == sizeof(uint64_t), "files can be larger than 2 GiB");

class OsFile final : public File {
 public:
  OsFile(Descriptor fd, uint64_t size, String name)
      : fd_(std::move(fd)), size_(size), name_(std::move(name)) {}

  uint64_t size() const override { return size_; }

  Status ReadAt(uint64_t offset, void* dst, size_t size) override {
    auto* to = static_cast<uint8_t*>(dst);
    if (!RangeFits(offset, size, size_)) return Short(offset, size, size_);
    bool direct = direct_.get() >= 0;
    while (size != 0) {
      direct = direct && (offset | size | reinterpret_cast<uintptr_t>(to)) % kDirectAlignment == 0;
      const ssize_t got = pread(direct ? direct_.get() : fd_.get(), to,
                                std::min(size, kMaxTransfer), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EINVAL && direct) {  // a device with blocks of another size
        direct = false;
        continue;
      }
      if (got < 0) return Failed(offset, size, errno);
      if (got == 0) return Short(offset, size, offset);  // shortened since it was opened
      to += got;
      offset += static_cast<uint64_t>(got);
      size -= static_cast<size_t>(got);
    }
    return Status();
  }

  const void* Map(uint64_t offset, size_t size) override {
    if (size == 0 || !RangeFits(offset, size, size_)) return nullptr;
    const size_t before = offset % PageSize();
    if (size > std::numeric_limits<size_t>::max() - before) return nullptr;
    void* pages = mmap(nullptr, before + size, PROT_READ, MAP_PRIVATE, fd_.get(),
                       static_cast<off_t>(offset - before));
    if (pages == MAP_FAILED) return nullptr;
#if defined(MADV_HUGEPAGE)
    if (size >= kLargeMapping) madvise(pages, before + size, MADV_HUGEPAGE);
#endif
    return static_cast<const uint8_t*>(pages) + before;
  }

  void Unmap(const void* p, size_t size) override {
    const size_t before = reinterpret_cast<uintptr_t>(p) % PageSize();
    munmap(const_cast<uint8_t*>(static_cast<const uint8_t*>(p)) - before, before + size);
  }

  void Hint(uint64_t offset, uint64_t size, FileHint hint) override {
    if (hint == FileHint::kDirect) return OpenDirect();
#if defined(POSIX_FADV_WILLNEED)
    // The next to open a small file is glad to find it cached, and memory does not miss it.
    if (hint == FileHint::kDone && size_ < PhysicalMemory() / kSmallPart) return;
    posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(size),
                  hint == FileHint::kSoon ? POSIX_FADV_WILLNEED : POSIX_FADV_DONTNEED);
#endif
  }

 private:
  static constexpr uint64_t kSmallPart = 16;
  static constexpr size_t kDirectAlignment = 4096;

  // A second descriptor of the same file, past the system's cache, where the file's system has such
  // and reads from it.
  void OpenDirect() {
#if defined(O_DIRECT)
    Descriptor opened(open(name_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_DIRECT));
    struct stat ours, its;
    if (opened.get() < 0 || fstat(fd_.get(), &ours) != 0 || fstat(opened.get(), &its) != 0) return;
    if (ours.st_dev != its.st_dev || ours.st_ino != its.st_ino) return;
    alignas(kDirectAlignment) uint8_t probe[kDirectAlignment];
    if (pread(opened.get(), probe, sizeof(probe), 0) <= 0) return;
    std::swap(direct_, opened);
#endif
  }

  static size_t PageSize() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
  static uint64_t PhysicalMemory() {
    return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * PageSize();
  }

  Status Short(uint64_t offset, size_t size, uint64_t end) const {
    return Status::Make(Code::kIo, "read of %llu bytes at offset %llu passes the end at %llu: '%s'",
                        Wide(size), Wide(offset), Wide(end), ShownName(name_).text);
  }
  Status Failed(uint64_t offset, size_t size, int error) const {
    return Status::Make(Code::kIo, "read of %llu bytes at offset %llu failed (%s): '%s'",
                        Wide(size), Wide(offset), ErrorText(error).text, ShownName(name_).text)
        .WithOsError(error);
  }

  Descriptor fd_;
  uint64_t size_;
  String name_;
  Descriptor direct_{-1};
};

class OsNewFile final : public NewFile {
 public:
  OsNewFile(Descriptor fd, String temporary, String name)
      : fd_(std::move(fd)), temporary_(std::move(temporary)), name_(std::move(name)) {}
  ~OsNewFile() override {
    if (!committed_) unlink(temporary_.c_str());
  }

  Status WriteAt(uint64_t offset, const void* src, size_t size) override {
    const auto* from = static_cast<const uint8_t*>(src);
    while (size != 0) {
      const ssize_t put =
          pwrite(fd_.get(), from, std::min(size, kMaxTransfer), static_cast<off_t>(offset));
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) {
        const int error = put < 0 ? errno : ENOSPC;
        return Status::Make(Code::kIo, "write of %llu bytes at offset %llu failed (%s): '%s'",
                            Wide(size), Wide(offset), ErrorText(error).text, ShownName(name_).text)
            .WithOsError(error);
      }
      from += put;
      offset += static_cast<uint64_t>(put);
      size -= static_cast<size_t>(put);
    }
    return Status();
  }

  Status Commit() override {
    // Whole on the disk first: a name must never stand for half a file, whatever the power does.
    if (fsync(fd_.get()) != 0 || rename(temporary_.c_str(), name_.c_str()) != 0) {
      const int error = errno;
      return Status::Make(Code::kIo, "cannot be finished (%s): '%s'", ErrorText(error).text,
                          ShownName(name_).text)
          .WithOsError(error);
    }
    committed_ = true;
    return Status();
  }

 private:
  Descriptor fd_;
  String temporary_;
  String name_;
  bool committed_ = false;
};

Status CheckNoNul(std::string_view name, const String& path) {
  if (name.find('\0') == name.npos) return Status();
  return Status::Make(Code::kInvalid, "file name has a NUL at byte %llu: '%s'",
                      Wide(name.find('\0')), ShownName(path).text);
}

Status CannotCreate(const String& name, int error) {
  return Status::Make(Code::kIo, "cannot be written (%s): '%s'", ErrorText(error).text,
                      ShownName(name).text)
      .WithOsError(error);
}

Status CannotOpen(const String& name, int error) {
  return Status::Make(Code::kIo, "cannot open (%s): '%s'", ErrorText(error).text,
                      ShownName(name).text)
      .WithOsError(error);
}

}  // namespace

Status OsFileSystem::Open(std::string_view name, Memory* memory, Owned<File>* file) {
  String path(name.begin(), name.end(), ContainerAllocator<char>(memory, Tag::kObject));
  JUNTO_TRY(CheckNoNul(name, path));
  int opened = -1;
  do {  // O_NONBLOCK: a pipe of that name must not make us wait for its writer
    opened = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  } while (opened < 0 && errno == EINTR);
  if (opened < 0) return CannotOpen(path, errno);
  Descriptor fd(opened);

  struct stat info;
  if (fstat(fd.get(), &info) != 0) return CannotOpen(path, errno);
  if (!S_ISREG(info.st_mode)) {
    return Status::Make(Code::kIo, "not a regular file (mode 0%o): '%s'",
                        static_cast<unsigned>(info.st_mode), ShownName(path).text);
  }
  *file = New<OsFile, File>(memory, Tag::kObject, std::move(fd),
                            static_cast<uint64_t>(info.st_size), std::move(path));
  return Status();
}

Status OsFileSystem::Create(std::string_view name, Memory* memory, Owned<NewFile>* file) {
  constexpr int kAttempts = 100;
  constexpr size_t kSuffix = 16;
  String path(name.begin(), name.end(), ContainerAllocator<char>(memory, Tag::kObject));
  JUNTO_TRY(CheckNoNul(name, path));
  String temporary(path);
  temporary.reserve(path.size() + kSuffix);
  int opened = -1;
  for (int i = 0; opened < 0 && i < kAttempts; ++i) {
    char suffix[kSuffix];
    std::snprintf(suffix, sizeof(suffix), ".%d.part", i);
    temporary.resize(path.size());
    temporary += suffix;
    do {
      opened = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666);
    } while (opened < 0 && errno == EINTR);
    if (opened < 0 && errno != EEXIST) return CannotCreate(path, errno);
  }
  if (opened < 0) return CannotCreate(path, EEXIST);
  Descriptor fd(opened);
  try {
    *file = New<OsNewFile, NewFile>(memory, Tag::kObject, std::move(fd), std::move(temporary),
                                    std::move(path));
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
  return Status();
}

}  // namespace junto
