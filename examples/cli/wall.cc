#include "wall.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <new>
#include <string>

#include "threads.h"

namespace cli {
namespace {

constexpr size_t kLine = 8;  // words in a cache line
constexpr size_t kHugePage = 2 << 20;
constexpr size_t kStreams = 8;
constexpr size_t kStretch = (16 << 10) / sizeof(uint64_t);  // words; all of them divide a huge page

struct Free {
  void operator()(uint64_t* p) const { std::free(p); }
};

// Bytes that programs may still take: what is free, and what files occupy only as long as nobody
// else wants it.
uint64_t AvailableBytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string name; file >> name;) {
    uint64_t kibibytes = 0;
    if (name == "MemAvailable:" && file >> kibibytes) return kibibytes << 10;
    file.ignore(256, '\n');
  }
  return static_cast<uint64_t>(sysconf(_SC_AVPHYS_PAGES)) *
         static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Words that each thread reads: its share of 1 GiB or of a quarter of what is available, at least
// 16 MiB, in whole huge pages.
size_t PartWords(unsigned threads) {
  const uint64_t share = std::min<uint64_t>(AvailableBytes() / 4, 1u << 30) / threads;
  const uint64_t bytes = std::max<uint64_t>(share, 16u << 20) / kHugePage * kHugePage;
  return static_cast<size_t>(bytes / sizeof(uint64_t));
}

// Reads stretches side by side, two lines of each in turn, as kernels read rows of weights: memory
// gives more to several streams than to one. One sum per word of a cache line, so enough
// independent additions, and prefetching ahead: memory is what limits. `words` is aligned to a
// line, `count` a multiple of kStreams stretches.
uint64_t Sum(const uint64_t* words, size_t count) {
  constexpr size_t kStep = 2 * kLine;
  constexpr size_t kAhead = 4 * kStep;
  uint64_t sums[kLine] = {};
  for (const uint64_t* group = words; group != words + count; group += kStreams * kStretch) {
    for (size_t at = 0; at < kStretch; at += kStep) {
      for (size_t stream = 0; stream < kStreams; ++stream) {
        const uint64_t* const from = group + stream * kStretch + at;
        __builtin_prefetch(from + kAhead);
        __builtin_prefetch(from + kAhead + kLine);
        for (size_t k = 0; k < kStep; ++k) sums[k % kLine] += from[k];
      }
    }
  }
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  return sum;
}

}  // namespace

std::vector<double> ReadBandwidth(unsigned threads, unsigned rounds) {
  const size_t part = PartWords(threads);
  const std::unique_ptr<uint64_t[], Free> buffer(
      static_cast<uint64_t*>(std::aligned_alloc(kHugePage, part * threads * sizeof(uint64_t))));
  uint64_t* const words = buffer.get();
  if (words == nullptr) throw std::bad_alloc();
  // The thread that reads a page also touches it first, so that it is near on NUMA machines.
  OnThreads(threads, [&](unsigned t) { std::fill_n(&words[t * part], part, t); });

  std::atomic<uint64_t> sum{0};
  std::vector<double> rates;
  for (unsigned round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    OnThreads(threads, [&](unsigned t) { sum += Sum(&words[t * part], part); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    rates.push_back(static_cast<double>(part * threads * sizeof(uint64_t)) / seconds.count());
  }
  return rates;
}

}  // namespace cli
