// The pool runs every task exactly once, on worker indices that are unique within a call, whatever
// calls it, however often, and with more threads than cores.
#include "c_api/pool.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <thread>
#include <vector>

#include "c_api/os/memory.h"

namespace junto {
namespace {

struct Fixture {
  OsAllocator allocator;
  Memory memory{&allocator, 0};

  Owned<Executor> MakePool(uint32_t workers) {
    Owned<Executor> pool;
    REQUIRE(ThreadPool::Create(&memory, workers, &pool).ok());
    return pool;
  }
};

// Counts runs per index and notices two tasks of one call on the same worker at the same time.
class Census {
 public:
  Census(uint32_t count, uint32_t workers) : runs_(count), busy_(workers) {}

  void Run(uint32_t index, uint32_t worker) {
    if (worker >= busy_.size() || busy_[worker].exchange(true)) {
      clashes_.fetch_add(1);
      return;
    }
    runs_[index] += 1;  // plain: a second run at the same time is a race that TSan sees
    busy_[worker].store(false);
  }

  bool EachOnce() const {
    for (int runs : runs_) {
      if (runs != 1) return false;
    }
    return clashes_.load() == 0;
  }

 private:
  std::vector<int> runs_;
  std::vector<std::atomic<bool>> busy_;
  std::atomic<int> clashes_{0};
};

bool RunsEachOnce(Executor* pool, uint32_t count) {
  Census census(count, pool->worker_count());
  const Status status =
      ParallelFor(pool, count, [&](uint32_t i, uint32_t worker) { census.Run(i, worker); });
  return status.ok() && census.EachOnce();
}

TEST_CASE_METHOD(Fixture, "every task runs once, for all counts and pool sizes") {
  for (uint32_t workers : {1u, 2u, 3u, 8u}) {
    auto pool = MakePool(workers);
    CHECK(pool->worker_count() == workers);
    for (uint32_t count : {0u, 1u, 2u, 3u, 7u, 8u, 9u, 64u, 1000u}) {
      CAPTURE(workers, count);
      CHECK(RunsEachOnce(pool.get(), count));
    }
  }
}

TEST_CASE_METHOD(Fixture, "0 workers means one per core") {
  CHECK(MakePool(0)->worker_count() == CoreCount());
}

TEST_CASE_METHOD(Fixture, "a single task runs on the caller") {
  auto pool = MakePool(4);
  std::thread::id ran;
  uint32_t seen_worker = 99;
  REQUIRE(ParallelFor(pool.get(), 1, [&](uint32_t, uint32_t worker) {
            ran = std::this_thread::get_id();
            seen_worker = worker;
          }).ok());
  CHECK(ran == std::this_thread::get_id());
  CHECK(seen_worker == 0);
}

// Two tasks that wait for each other end only if two threads run them.
TEST_CASE_METHOD(Fixture, "tasks run at the same time, after sleep too") {
  auto pool = MakePool(2);
  for (int pause_ms : {0, 0, 5, 0, 5}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    std::atomic<int> arrived{0};
    REQUIRE(ParallelFor(pool.get(), 2, [&](uint32_t, uint32_t) {
              arrived.fetch_add(1);
              while (arrived.load() != 2) std::this_thread::yield();
            }).ok());
    CHECK(arrived.load() == 2);
  }
}

TEST_CASE_METHOD(Fixture, "no more threads than cores are at work, however many there are") {
  const uint32_t most = std::max(CoreCount(), 2u);
  auto pool = MakePool(most * 4);
  std::atomic<uint32_t> working{0};
  std::atomic<uint32_t> excess{0};
  for (int round = 0; round < 200; ++round) {
    REQUIRE(ParallelFor(pool.get(), most * 8, [&](uint32_t, uint32_t) {
              if (working.fetch_add(1) >= most) excess.fetch_add(1);
              std::this_thread::yield();
              working.fetch_sub(1);
            }).ok());
  }
  CHECK(excess.load() == 0);
}

TEST_CASE_METHOD(Fixture, "what tasks wrote is visible after the call") {
  auto pool = MakePool(3);
  std::vector<uint32_t> values(257);
  for (uint32_t round = 0; round < 2000; ++round) {
    REQUIRE(ParallelFor(pool.get(), 257, [&](uint32_t i, uint32_t) { values[i] += i; }).ok());
  }
  bool right = true;
  for (uint32_t i = 0; i < 257; ++i) right = right && values[i] == 2000 * i;
  CHECK(right);
}

TEST_CASE_METHOD(Fixture, "calls from several threads at once") {
  for (uint32_t workers : {1u, 2u, 5u}) {
    auto pool = MakePool(workers);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&, caller] {
        for (uint32_t round = 0; round < 300; ++round) {
          const uint32_t count = (round * 7 + static_cast<uint32_t>(caller)) % 40;
          if (!RunsEachOnce(pool.get(), count)) wrong.fetch_add(1);
          if (round % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
      });
    }
    for (auto& caller : callers) caller.join();
    CHECK(wrong.load() == 0);
  }
}

// A call that found the threads taken gets them once they are free.
TEST_CASE_METHOD(Fixture, "a call that started alone is helped later") {
  auto pool = MakePool(2);
  std::atomic<bool> holding{false}, release{false};
  std::thread holder([&] {
    const Status status = ParallelFor(pool.get(), 2, [&](uint32_t, uint32_t) {
      holding.store(true);
      while (!release.load()) std::this_thread::yield();
    });
    if (!status.ok()) holding.store(false);
  });
  while (!holding.load()) std::this_thread::yield();
  std::atomic<int> arrived{0};
  const Status status = ParallelFor(pool.get(), 3, [&](uint32_t i, uint32_t) {
    if (i == 0) {  // alone
      release.store(true);
      holder.join();
      return;
    }
    arrived.fetch_add(1);
    while (arrived.load() != 2) std::this_thread::yield();
  });
  CHECK(status.ok());
  CHECK(arrived.load() == 2);
}

TEST_CASE_METHOD(Fixture, "pools come and go, used or not") {
  for (uint32_t i = 0; i < 50; ++i) {
    auto pool = MakePool(1 + i % 5);
    if (i % 2 == 0) CHECK(RunsEachOnce(pool.get(), i));
  }
  CHECK(memory.total() == 0);
}

TEST_CASE_METHOD(Fixture, "memory is counted as threads', and running takes none") {
  auto pool = MakePool(3);
  const uint64_t taken = memory.current(Tag::kThread);
  CHECK(taken > 0);
  CHECK(memory.total() == taken);
  CHECK(RunsEachOnce(pool.get(), 100));
  CHECK(memory.total_peak() == taken);
}

TEST_CASE("a memory limit refuses the pool") {
  OsAllocator allocator;
  for (uint64_t limit : {1u, 64u, 2048u}) {
    Memory memory(&allocator, limit);
    Owned<Executor> pool;
    CHECK_THROWS_AS((void)ThreadPool::Create(&memory, 4096, &pool), OutOfMemory);
    CHECK(pool == nullptr);
    CHECK(memory.total() == 0);
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
// Sanitizers reserve more address space than any limit, and stop the program at the refusal.
TEST_CASE_METHOD(Fixture, "a thread that the system refuses is E_MEMORY, and those before it end") {
  rlimit before;
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  const rlimit low = {rlim_t{512} << 20, before.rlim_max};  // stacks take some 8 MiB each
  REQUIRE(setrlimit(RLIMIT_AS, &low) == 0);
  Owned<Executor> pool;
  const Status status = ThreadPool::Create(&memory, 1000, &pool);
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(status.code() == Code::kMemory);
  CHECK(status.os_error() == EAGAIN);
  CHECK(pool == nullptr);
  CHECK(memory.total() == 0);
  CHECK(RunsEachOnce(MakePool(2).get(), 10));
}
#endif

TEST_CASE_METHOD(Fixture, "an idle pool takes no processor time") {
  auto pool = MakePool(4);
  CHECK(RunsEachOnce(pool.get(), 100));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t before = std::clock();  // of the whole process
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const double used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  CHECK(used < 0.1);  // three spinning threads would take 0.4 s and more
}

std::atomic<int> signals_on_strange_threads{0};
std::thread::id signalled_thread;
void OnSignal(int) {
  if (std::this_thread::get_id() != signalled_thread) signals_on_strange_threads.fetch_add(1);
}

TEST_CASE_METHOD(Fixture, "the host's signals stay on the host's threads") {
  signalled_thread = std::this_thread::get_id();
  auto* before = std::signal(SIGUSR1, OnSignal);
  auto pool = MakePool(4);
  for (int i = 0; i < 20; ++i) kill(getpid(), SIGUSR1);
  CHECK(RunsEachOnce(pool.get(), 100));
  CHECK(signals_on_strange_threads.load() == 0);
  std::signal(SIGUSR1, before);
}

}  // namespace
}  // namespace junto
