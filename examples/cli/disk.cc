#include "disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

namespace cli {
namespace {

constexpr uint64_t kAlignment = 4096;
constexpr unsigned kThreads = 4;
constexpr double kSeconds = 1.5;

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

// Reads until the time is up; how many bytes.
uint64_t ReadAround(int file, uint64_t file_bytes, uint64_t size, Clock::time_point start,
                    std::atomic<uint64_t>* next) {
  const std::unique_ptr<void, void (*)(void*)> room(std::aligned_alloc(kAlignment, size),
                                                    std::free);
  const uint64_t places = (file_bytes - size) / kAlignment + 1;
  uint64_t bytes = 0;
  while (room != nullptr && Seconds(start) < kSeconds) {
    const uint64_t place = (*next)++ * 0x9E3779B97F4A7C15u >> 20;
    const ssize_t got =
        pread(file, room.get(), size, static_cast<off_t>(place % places * kAlignment));
    if (got <= 0) return 0;
    bytes += static_cast<uint64_t>(got);
  }
  return bytes;
}

}  // namespace

double DiskBandwidth(const std::string& path, uint64_t size) {
  size = std::max<uint64_t>(size / kAlignment, 1) * kAlignment;
  int file = -1;
#if defined(O_DIRECT)
  file = open(path.c_str(), O_RDONLY | O_DIRECT);
#endif
  if (file < 0) file = open(path.c_str(), O_RDONLY);
  struct stat info;
  double rate = 0;
  if (file >= 0 && fstat(file, &info) == 0 && static_cast<uint64_t>(info.st_size) >= size) {
    const auto start = Clock::now();
    std::atomic<uint64_t> next{1};
    std::atomic<uint64_t> bytes{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        bytes += ReadAround(file, static_cast<uint64_t>(info.st_size), size, start, &next);
      });
    }
    for (std::thread& thread : threads) thread.join();
    rate = static_cast<double>(bytes) / Seconds(start);
  }
  if (file >= 0) close(file);
  return rate;
}

}  // namespace cli
