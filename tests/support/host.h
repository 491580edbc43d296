// A host as an embedder would write one against c_api/junto.h, which watches what the library does
// and fails on request: the n-th allocation, open, read, mapping, task or callback.
//
//   Host host;
//   host.reads.FailAt(3);
//   junto_runtime_create(host.desc(), &runtime, &err);
//   ... release everything ...
//   CHECK(host.Faults() == "");
#ifndef JUNTO_TESTS_SUPPORT_HOST_H_
#define JUNTO_TESTS_SUPPORT_HOST_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "c_api/junto.h"

namespace junto {
namespace test {

// Counts calls, from 0, and says which one is to fail.
class FaultPoint {
 public:
  void FailAt(uint64_t call) {
    calls_ = 0;
    fail_at_ = call;
  }
  void Never() { fail_at_ = UINT64_MAX; }
  bool Hit() { return calls_++ == fail_at_; }
  uint64_t calls() const { return calls_; }
  bool reached() const { return calls_ > fail_at_; }

 private:
  std::atomic<uint64_t> calls_{0};
  std::atomic<uint64_t> fail_at_{UINT64_MAX};
};

class Host {
 public:
  enum class Order { kSerial, kShuffled, kThreads };
  static constexpr int kTags = 9;

  Host() {
    allocator_.struct_size = sizeof(allocator_);
    allocator_.user = this;
    allocator_.allocate = Allocate;
    allocator_.deallocate = Deallocate;
    executor_.struct_size = sizeof(executor_);
    executor_.user = this;
    executor_.parallel_for = ParallelFor;
    io_.struct_size = sizeof(io_);
    io_.user = this;
    io_.open_file = OpenFile;
    io_.read_at = ReadAt;
    io_.map_range = MapRange;
    io_.unmap_range = UnmapRange;
    io_.close_file = CloseFile;
    io_.create_file = CreateFile;
    io_.write_at = WriteAt;
    io_.finish_file = FinishFile;
    junto_runtime_desc_init(&desc_, sizeof(desc_));
    desc_.allocator = &allocator_;
    desc_.executor = &executor_;
    desc_.io = &io_;
    desc_.clock = Clock;
    desc_.clock_user = this;
    SetWorkers(1, Order::kSerial);
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // What junto_runtime_create takes; may be changed first.
  junto_runtime_desc* desc() { return &desc_; }
  junto_io* io() { return &io_; }
  junto_executor* executor() { return &executor_; }
  junto_allocator* allocator() { return &allocator_; }

  void SetWorkers(uint32_t count, Order order) {
    executor_.worker_count = count;
    order_ = order;
  }
  void Listen(junto_log_level level) {
    desc_.log = Log;
    desc_.log_user = this;
    desc_.log_level = level;
  }
  void AddFile(std::string name, std::vector<uint8_t> bytes) {
    files_[std::move(name)] = std::make_shared<std::vector<uint8_t>>(std::move(bytes));
  }
  // Changes bytes of a file that may be open.
  void Damage(const std::string& name, size_t at, uint8_t flip) { (*files_.at(name))[at] ^= flip; }
  bool HasFile(const std::string& name) const { return files_.count(name) != 0; }
  const std::vector<uint8_t>& Bytes(const std::string& name) const { return *files_.at(name); }

  FaultPoint allocations;
  FaultPoint opens;
  FaultPoint reads;
  FaultPoint maps;
  FaultPoint creates;
  FaultPoint writes;
  FaultPoint finishes;  // that would keep the file
  FaultPoint tasks;     // calls of parallel_for
  FaultPoint progress;  // these three are for the callbacks of a test
  FaultPoint stream;
  FaultPoint logits;

  // How long a read takes.
  std::atomic<uint32_t> read_delay_us{0};

  // Where mappings lie past a multiple of 4096.
  uint32_t map_shift = 1;

  // The clock: it advances by `tick` with every look.
  std::atomic<uint64_t> now{1000};
  std::atomic<uint64_t> tick{1};
  std::atomic<uint64_t> looks{0};

  // Every byte of a fresh block; 0xFF is NaN in every float format.
  std::atomic<uint8_t> fill{0xFF};

  uint64_t current(int tag) const { return current_[tag]; }
  uint64_t peak(int tag) const { return peak_[tag]; }
  uint64_t total() const { return total_; }
  uint64_t total_peak() const { return total_peak_; }
  const std::vector<std::pair<junto_log_level, std::string>>& lines() const { return lines_; }

  // What the library did wrong or still holds; empty when all is well.
  std::string Faults() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::string text = mistakes_;
    if (!live_.empty()) text += std::to_string(live_.size()) + " blocks are not freed; ";
    if (handles_ != 0) text += std::to_string(handles_) + " files are open; ";
    if (mappings_ != 0) text += std::to_string(mappings_) + " mappings are left; ";
    if (new_files_ != 0) text += std::to_string(new_files_) + " new files are unfinished; ";
    return text;
  }

 private:
  static constexpr size_t kFront = 64;  // canary bytes, or the alignment where that is more
  static constexpr size_t kBack = 32;
  static constexpr uint8_t kCanary = 0xC5;
  static constexpr size_t kLargest = size_t{1} << 30;  // a host with limits of its own

  struct Live {
    size_t size;
    size_t alignment;
    junto_tag tag;
  };
  struct File {
    std::shared_ptr<const std::vector<uint8_t>> bytes;
  };
  struct NewFile {
    std::string name;
    std::vector<uint8_t> bytes;
  };

  static Host* Of(void* user) { return static_cast<Host*>(user); }

  void Mistake(const std::string& text) { mistakes_ += text + "; "; }

  static void* JUNTO_CALL Allocate(void* user, size_t size, size_t alignment, junto_tag tag) {
    return Of(user)->AllocateBlock(size, alignment, tag);
  }
  void* AllocateBlock(size_t size, size_t alignment, junto_tag tag) {
    if (allocations.Hit() || size > kLargest) return nullptr;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (size == 0) Mistake("0 bytes asked for");
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) Mistake("odd alignment");
    if (tag < 0 || tag >= kTags) {
      Mistake("unknown tag");
      return nullptr;
    }
    const size_t front = std::max(kFront, alignment);
    const size_t whole = (front + size + kBack + front - 1) / front * front;
    auto* block = static_cast<uint8_t*>(std::aligned_alloc(front, whole));
    if (block == nullptr) return nullptr;
    std::memset(block, kCanary, whole);
    std::memset(block + front, fill, size);
    live_[block + front] = {size, alignment, tag};
    current_[tag] += size;
    peak_[tag] = std::max(peak_[tag], current_[tag]);
    total_ += size;
    total_peak_ = std::max(total_peak_, total_);
    return block + front;
  }

  static void JUNTO_CALL Deallocate(void* user, void* p, size_t size, size_t alignment,
                                    junto_tag tag) {
    Of(user)->FreeBlock(static_cast<uint8_t*>(p), size, alignment, tag);
  }
  void FreeBlock(uint8_t* p, size_t size, size_t alignment, junto_tag tag) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = live_.find(p);
    if (at == live_.end()) return Mistake("a stranger's block freed");
    const Live& live = at->second;
    if (live.size != size || live.alignment != alignment || live.tag != tag) {
      return Mistake("a block of " + std::to_string(live.size) + " freed as " +
                     std::to_string(size) + " or with another alignment or tag");
    }
    const size_t front = std::max(kFront, alignment);
    const auto is_canary = [](uint8_t byte) { return byte == kCanary; };
    if (!std::all_of(p - front, p, is_canary)) Mistake("written before a block");
    if (!std::all_of(p + size, p + size + kBack, is_canary)) Mistake("written behind a block");
    std::memset(p, 0xDD, size);
    current_[tag] -= size;
    total_ -= size;
    live_.erase(at);
    std::free(p - front);
  }

  static junto_status JUNTO_CALL ParallelFor(void* user, uint32_t count, junto_task_fn fn,
                                             void* task) {
    Host* host = Of(user);
    if (host->tasks.Hit()) {
      for (uint32_t i = 1; i < count; i += 2) fn(task, i, 0);  // half of the work was done
      return JUNTO_E_INTERNAL;
    }
    switch (host->order_) {
      case Order::kSerial:
        for (uint32_t i = 0; i < count; ++i) fn(task, i, 0);
        break;
      case Order::kShuffled:
        host->RunShuffled(count, fn, task);
        break;
      case Order::kThreads:
        host->RunThreads(count, fn, task);
        break;
    }
    return JUNTO_OK;
  }
  void RunShuffled(uint32_t count, junto_task_fn fn, void* task) {
    std::vector<uint32_t> order(count);
    for (uint32_t i = 0; i < count; ++i) order[i] = i;
    std::mt19937 random(count);
    std::shuffle(order.begin(), order.end(), random);
    for (const uint32_t i : order) fn(task, i, random() % executor_.worker_count);
  }
  void RunThreads(uint32_t count, junto_task_fn fn, void* task) const {
    std::atomic<uint32_t> next{0};
    const auto run = [&](uint32_t worker) {
      for (uint32_t i = next++; i < count; i = next++) fn(task, i, worker);
    };
    std::vector<std::thread> threads;
    for (uint32_t worker = 1; worker < executor_.worker_count; ++worker) {
      threads.emplace_back(run, worker);
    }
    run(0);
    for (std::thread& thread : threads) thread.join();
  }

  static junto_status JUNTO_CALL OpenFile(void* user, const char* name, size_t name_size,
                                          void** file, uint64_t* size) {
    Host* host = Of(user);
    if (host->opens.Hit()) return JUNTO_E_IO;
    const auto at = host->files_.find(std::string(name, name_size));
    if (at == host->files_.end()) return JUNTO_E_IO;
    *file = new File{at->second};
    *size = at->second->size();
    ++host->handles_;
    return JUNTO_OK;
  }
  static void JUNTO_CALL CloseFile(void* user, void* file) {
    --Of(user)->handles_;
    delete static_cast<File*>(file);
  }
  static junto_status JUNTO_CALL ReadAt(void* user, void* file, uint64_t offset, void* dst,
                                        size_t size) {
    Host* host = Of(user);
    const std::vector<uint8_t>& bytes = *static_cast<File*>(file)->bytes;
    const bool fits = offset <= bytes.size() && size <= bytes.size() - offset;
    if (!fits) host->Mistake("a read past the end of a file");
    if (host->read_delay_us != 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(host->read_delay_us));
    }
    if (host->reads.Hit() || !fits) {
      if (fits) std::memcpy(dst, bytes.data() + offset, size / 2);  // a short read
      return JUNTO_E_IO;
    }
    std::memcpy(dst, bytes.data() + offset, size);
    return JUNTO_OK;
  }
  static junto_status JUNTO_CALL CreateFile(void* user, const char* name, size_t name_size,
                                            void** file) {
    Host* host = Of(user);
    if (host->creates.Hit()) return JUNTO_E_IO;
    *file = new NewFile{std::string(name, name_size), {}};
    ++host->new_files_;
    return JUNTO_OK;
  }
  static junto_status JUNTO_CALL WriteAt(void* user, void* file, uint64_t offset, const void* src,
                                         size_t size) {
    Host* host = Of(user);
    std::vector<uint8_t>* bytes = &static_cast<NewFile*>(file)->bytes;
    if (host->writes.Hit()) return JUNTO_E_IO;
    if (bytes->size() < offset + size) bytes->resize(offset + size, kCanary);
    std::memcpy(bytes->data() + offset, src, size);
    return JUNTO_OK;
  }
  static junto_status JUNTO_CALL FinishFile(void* user, void* file, uint32_t keep) {
    Host* host = Of(user);
    const std::unique_ptr<NewFile> made(static_cast<NewFile*>(file));
    --host->new_files_;
    if (keep == 0) return JUNTO_OK;
    if (host->finishes.Hit()) return JUNTO_E_IO;
    host->AddFile(made->name, std::move(made->bytes));
    return JUNTO_OK;
  }

  // A copy, usually at an odd address, so that a byte too far or an aligned access shows.
  static junto_status JUNTO_CALL MapRange(void* user, void* file, uint64_t offset, size_t size,
                                          const void** p) {
    Host* host = Of(user);
    const std::vector<uint8_t>& bytes = *static_cast<File*>(file)->bytes;
    if (host->maps.Hit()) return JUNTO_E_IO;
    const size_t whole = (size + host->map_shift + 4095) / 4096 * 4096;
    auto* copy = static_cast<uint8_t*>(std::aligned_alloc(4096, whole));
    std::memcpy(copy + host->map_shift, bytes.data() + offset, size);
    ++host->mappings_;
    *p = copy + host->map_shift;
    return JUNTO_OK;
  }
  static void JUNTO_CALL UnmapRange(void* user, void*, const void* p, size_t) {
    --Of(user)->mappings_;
    std::free(static_cast<uint8_t*>(const_cast<void*>(p)) - Of(user)->map_shift);
  }

  static uint64_t JUNTO_CALL Clock(void* user) {
    ++Of(user)->looks;
    return Of(user)->now += Of(user)->tick;
  }
  static void JUNTO_CALL Log(void* user, junto_log_level level, const char* text, size_t size) {
    const std::lock_guard<std::mutex> lock(Of(user)->mutex_);
    Of(user)->lines_.emplace_back(level, std::string(text, size));
  }

  junto_allocator allocator_ = {};
  junto_executor executor_ = {};
  junto_io io_ = {};
  junto_runtime_desc desc_ = {};
  Order order_ = Order::kSerial;

  std::mutex mutex_;
  std::unordered_map<uint8_t*, Live> live_;
  uint64_t current_[kTags] = {};
  uint64_t peak_[kTags] = {};
  uint64_t total_ = 0;
  uint64_t total_peak_ = 0;
  std::map<std::string, std::shared_ptr<std::vector<uint8_t>>> files_;
  std::atomic<int64_t> handles_{0};
  std::atomic<int64_t> mappings_{0};
  std::atomic<int64_t> new_files_{0};
  std::string mistakes_;
  std::vector<std::pair<junto_log_level, std::string>> lines_;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_HOST_H_
