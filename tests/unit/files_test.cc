// Operating system files: whole reads or a failure that names the place, maps at any offset, and
// nothing but regular files.
#include "c_api/os/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "c_api/os/memory.h"

namespace junto {
namespace {

class Folder {
 public:
  Folder() { REQUIRE(mkdtemp(path_) != nullptr); }
  ~Folder() { CHECK(std::system(("rm -rf '" + std::string(path_) + "'").c_str()) == 0); }

  std::string Path(const std::string& name) const { return std::string(path_) + "/" + name; }
  std::string Write(const std::string& name, const std::vector<uint8_t>& bytes) const {
    std::FILE* file = std::fopen(Path(name).c_str(), "wb");
    REQUIRE(file != nullptr);
    REQUIRE(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
    REQUIRE(std::fclose(file) == 0);
    return Path(name);
  }

 private:
  char path_[32] = "/tmp/junto_files_XXXXXX";
};

struct Fixture {
  Folder folder;
  OsAllocator allocator;
  Memory memory{&allocator, 0};
  OsFileSystem files;

  Owned<File> Open(const std::string& path) {
    Owned<File> file;
    const Status status = files.Open(path, &memory, &file);
    INFO(status.message());
    REQUIRE(status.ok());
    return file;
  }
};

std::vector<uint8_t> Pattern(size_t size) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + i / 251);
  return bytes;
}

bool Contains(const char* text, const char* part) { return std::strstr(text, part) != nullptr; }

TEST_CASE_METHOD(Fixture, "reads give the file's bytes at any offset") {
  const auto bytes = Pattern(100003);
  auto file = Open(folder.Write("data", bytes));
  REQUIRE(file->size() == bytes.size());
  for (size_t offset : {0u, 1u, 4095u, 4096u, 4097u, 99999u, 100003u}) {
    for (size_t size : {0u, 1u, 3u, 4096u, 50001u, 100003u}) {
      if (offset + size > bytes.size()) continue;
      std::vector<uint8_t> got(size + 1, 0xEE);
      REQUIRE(file->ReadAt(offset, got.data(), size).ok());
      CHECK(std::equal(bytes.begin() + offset, bytes.begin() + offset + size, got.begin()));
      CHECK(got[size] == 0xEE);
    }
  }
}

TEST_CASE_METHOD(Fixture, "a new file takes its name when it is whole, and leaves nothing before") {
  const std::string path = folder.Path("made");
  const auto bytes = Pattern(10000);
  const auto entries = [&] {
    size_t count = 0;
    DIR* dir = opendir(folder.Path("").c_str());
    REQUIRE(dir != nullptr);
    while (readdir(dir) != nullptr) ++count;
    closedir(dir);
    return count - 2;
  };
  for (const bool replaces : {false, true}) {
    const std::vector<uint8_t> old = {1, 2, 3};
    if (replaces) folder.Write("made", old);
    Owned<NewFile> file;
    REQUIRE(files.Create(path, &memory, &file).ok());
    REQUIRE(file->WriteAt(6000, bytes.data() + 6000, 4000).ok());
    REQUIRE(file->WriteAt(0, bytes.data(), 6000).ok());
    REQUIRE(file->WriteAt(5999, bytes.data() + 5999, 2).ok());
    REQUIRE(file->WriteAt(77, bytes.data(), 0).ok());
    CHECK(entries() == (replaces ? 2 : 1));
    if (replaces) CHECK(Open(path)->size() == old.size());
    REQUIRE(file->Commit().ok());
    file.reset();
    CHECK(entries() == 1);
    std::vector<uint8_t> got(bytes.size());
    auto made = Open(path);
    REQUIRE(made->size() == bytes.size());
    REQUIRE(made->ReadAt(0, got.data(), got.size()).ok());
    CHECK(got == bytes);
  }
  {
    Owned<NewFile> first, second;  // two at a time do not mix
    REQUIRE(files.Create(path, &memory, &first).ok());
    REQUIRE(files.Create(path, &memory, &second).ok());
    REQUIRE(first->WriteAt(0, "1", 1).ok());
    REQUIRE(second->WriteAt(0, "22", 2).ok());
    CHECK(entries() == 3);
    REQUIRE(second->Commit().ok());
  }
  CHECK(entries() == 1);
  CHECK(Open(path)->size() == 2);
  CHECK(memory.total() == 0);
}

TEST_CASE_METHOD(Fixture, "new files that cannot be") {
  Owned<NewFile> file;
  const Status nowhere = files.Create(folder.Path("no/such/folder"), &memory, &file);
  CHECK(nowhere.code() == Code::kIo);
  CHECK(nowhere.os_error() == ENOENT);
  CHECK(files.Create(std::string_view("a\0b", 3), &memory, &file).code() == Code::kInvalid);
  CHECK(file == nullptr);

  REQUIRE(mkdir(folder.Path("taken").c_str(), 0700) == 0);
  REQUIRE(files.Create(folder.Path("taken"), &memory, &file).ok());
  REQUIRE(file->WriteAt(0, "1", 1).ok());
  const Status taken = file->Commit();  // a folder has the name
  CHECK(taken.code() == Code::kIo);
  CHECK(taken.os_error() == EISDIR);
  file.reset();
  CHECK(rmdir(folder.Path("taken").c_str()) == 0);
  CHECK(access(folder.Path("taken.0.part").c_str(), F_OK) != 0);

  Owned<NewFile> full;
  struct rlimit before;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  struct rlimit small = before;
  small.rlim_cur = 100000;
  signal(SIGXFSZ, SIG_IGN);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  REQUIRE(files.Create(folder.Path("large"), &memory, &full).ok());
  const auto bytes = Pattern(200000);
  const Status status = full->WriteAt(0, bytes.data(), bytes.size());
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  signal(SIGXFSZ, SIG_DFL);
  CHECK(status.code() == Code::kIo);
  CHECK(status.os_error() == EFBIG);
}

TEST_CASE_METHOD(Fixture, "maps give the same bytes at any offset, until unmapped") {
  const auto bytes = Pattern(100003);
  auto file = Open(folder.Write("data", bytes));
  for (size_t offset : {0u, 1u, 4095u, 4096u, 4097u, 99999u}) {
    for (size_t size : {1u, 3u, 4096u, 50001u, 100003u}) {
      const void* p = file->Map(offset, size);
      CHECK((p != nullptr) == (offset + size <= bytes.size()));
      if (p == nullptr) continue;
      CHECK(std::memcmp(p, bytes.data() + offset, size) == 0);
      file->Unmap(p, size);
    }
  }
  for (const FileHint hint : {FileHint::kSoon, FileHint::kDone}) {  // which change no byte
    for (const uint64_t offset : {0, 1, 5000, 100003, 1 << 30}) file->Hint(offset, 70000, hint);
    std::vector<uint8_t> again(bytes.size());
    REQUIRE(file->ReadAt(0, again.data(), again.size()).ok());
    CHECK(again == bytes);
  }
  CHECK(file->Map(0, 0) == nullptr);
  CHECK(file->Map(100003, 1) == nullptr);
  CHECK(file->Map(UINT64_MAX, 1) == nullptr);
  CHECK(file->Map(1, SIZE_MAX) == nullptr);
}

TEST_CASE_METHOD(Fixture, "a read past the end fails and names offset, size and file") {
  auto file = Open(folder.Write("small.gguf", Pattern(100)));
  uint8_t buffer[200];
  struct {
    uint64_t offset;
    size_t size;
  } bad[] = {{0, 101}, {100, 1}, {101, 0}, {UINT64_MAX, 1}, {UINT64_MAX - 1, 200}, {99, 2}};
  for (const auto& read : bad) {
    const Status status = file->ReadAt(read.offset, buffer, read.size);
    CAPTURE(read.offset, read.size, status.message());
    CHECK(status.code() == Code::kIo);
    CHECK(Contains(status.message(), std::to_string(read.offset).c_str()));
    CHECK(Contains(status.message(), std::to_string(read.size).c_str()));
    CHECK(Contains(status.message(), "end at 100"));
    CHECK(Contains(status.message(), "small.gguf'"));
  }
}

TEST_CASE_METHOD(Fixture, "a file that shrinks while open gives a failure, not rubbish") {
  const std::string path = folder.Write("shrinks", Pattern(10000));
  auto file = Open(path);
  REQUIRE(truncate(path.c_str(), 6000) == 0);
  std::vector<uint8_t> buffer(10000);
  CHECK(file->ReadAt(0, buffer.data(), 6000).ok());
  const Status status = file->ReadAt(5000, buffer.data(), 3000);
  CHECK(status.code() == Code::kIo);
  CHECK(Contains(status.message(), "end at 6000"));
}

TEST_CASE_METHOD(Fixture, "an open file outlives its name") {
  const auto bytes = Pattern(5000);
  const std::string path = folder.Write("gone", bytes);
  auto file = Open(path);
  REQUIRE(unlink(path.c_str()) == 0);
  std::vector<uint8_t> got(bytes.size());
  CHECK(file->ReadAt(0, got.data(), got.size()).ok());
  CHECK(got == bytes);
}

TEST_CASE_METHOD(Fixture, "an empty file opens") {
  auto file = Open(folder.Write("empty", {}));
  CHECK(file->size() == 0);
  CHECK(file->ReadAt(0, nullptr, 0).ok());
  CHECK(file->Map(0, 0) == nullptr);
}

TEST_CASE_METHOD(Fixture, "what is not a regular file does not open, and nothing waits") {
  REQUIRE(mkfifo(folder.Path("pipe").c_str(), 0600) == 0);  // a plain open would wait for a writer
  for (const std::string& name :
       {folder.Path(""), folder.Path("pipe"), std::string("/dev/null"), std::string("/")}) {
    Owned<File> file;
    const Status status = files.Open(name, &memory, &file);
    CAPTURE(name, status.message());
    CHECK(status.code() == Code::kIo);
    CHECK(Contains(status.message(), "not a regular file"));
    CHECK(file == nullptr);
  }
}

TEST_CASE_METHOD(Fixture, "names that cannot open say why") {
  Owned<File> file;
  Status status = files.Open(folder.Path("none.gguf"), &memory, &file);
  CHECK(status.code() == Code::kIo);
  CHECK(status.os_error() == ENOENT);
  CHECK(Contains(status.message(), "none.gguf'"));

  status = files.Open("", &memory, &file);
  CHECK(status.code() == Code::kIo);
  CHECK(status.os_error() == ENOENT);

  const std::string path = folder.Write("a", Pattern(10));
  status = files.Open(path + std::string("\0b", 2), &memory, &file);
  CHECK(status.code() == Code::kInvalid);
  CHECK(Contains(status.message(), ("byte " + std::to_string(path.size())).c_str()));

  CHECK(file == nullptr);
  CHECK(memory.total() == 0);
}

// The end of a long path tells files apart, and cutting must not split a code point.
TEST_CASE_METHOD(Fixture, "messages show the end of a long name") {
  for (size_t extra = 0; extra < 4; ++extra) {
    std::string name(extra, 'x');
    for (int i = 0; i < 200; ++i) name += "\xE2\x82\xAC";  // three bytes
    name += "/model-00003.gguf";
    Owned<File> file;
    const Status status = files.Open(name, &memory, &file);
    CAPTURE(status.message());
    CHECK(status.code() == Code::kIo);
    CHECK(Contains(status.message(), "'...\xE2\x82\xAC"));
    CHECK(Contains(status.message(), "/model-00003.gguf'"));
  }
}

TEST_CASE_METHOD(Fixture, "a name need not end in NUL") {
  const std::string path = folder.Write("data", Pattern(7));
  const std::string longer = path + ".and more";
  Owned<File> file;
  REQUIRE(files.Open(std::string_view(longer.data(), path.size()), &memory, &file).ok());
  CHECK(file->size() == 7);
}

TEST_CASE_METHOD(Fixture, "one file serves many threads") {
  const auto bytes = Pattern(1 << 16);
  auto file = Open(folder.Write("data", bytes));
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      uint8_t got[97];
      for (size_t i = 0; i < 500; ++i) {
        const size_t offset = (i * 7919 + static_cast<size_t>(t) * 131) % (bytes.size() - 97);
        const bool right =
            file->ReadAt(offset, got, 97).ok() && std::memcmp(got, bytes.data() + offset, 97) == 0;
        if (!right) wrong[static_cast<size_t>(t)] += 1;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
}

TEST_CASE_METHOD(Fixture, "every refusal of memory is clean, and no descriptor leaks") {
  const std::string path = folder.Write("data", Pattern(10));
  const int before = dup(0);
  REQUIRE(before >= 0);
  close(before);
  for (uint64_t limit = 1; limit < 1000; limit += 7) {
    Memory small(&allocator, limit);
    Owned<File> file;
    try {
      if (files.Open(path, &small, &file).ok()) CHECK(file->size() == 10);
    } catch (const OutOfMemory&) {
      CHECK(small.total() == 0);
    }
  }
  const int after = dup(0);
  close(after);
  CHECK(after == before);
}

}  // namespace
}  // namespace junto
