#include "c_api/pool.h"

#include <algorithm>

#include "c_api/os/clock.h"

namespace junto {
namespace {

// How long a thread that waits spins before it sleeps: longer than the few microseconds between the
// stages of a pass, and about what it takes to wake a sleeper.
constexpr uint64_t kSpinNanoseconds = 30000;
constexpr int kLooksPerTime = 16;  // between two readings of the clock

// The state word: the number of the job, flags, and how many threads have joined it. A thread joins
// by counting itself in, which works only while the job is open; the owner closes the job when no
// task is left to take and then waits for the count to reach zero. So a thread that wakes too late
// finds the door shut instead of a job of the past, and nobody waits for it.
constexpr uint64_t kJoinedMask = (uint64_t{1} << 29) - 1;
constexpr uint64_t kStop = uint64_t{1} << 29;
constexpr uint64_t kOwnerSleeps = uint64_t{1} << 30;
constexpr uint64_t kOpen = uint64_t{1} << 31;
constexpr int kNumberShift = 32;

uint32_t NumberOf(uint64_t state) { return static_cast<uint32_t>(state >> kNumberShift); }

template <class Ready>
bool SpinUntil(const Ready& ready) {
  const uint64_t start = MonotonicNanoseconds();
  for (;;) {
    for (int i = 0; i < kLooksPerTime; ++i) {
      if (ready()) return true;
      CpuRelax();
    }
    if (MonotonicNanoseconds() - start >= kSpinNanoseconds) return false;
  }
}

}  // namespace

Status ThreadPool::Create(Memory* memory, uint32_t workers, Owned<Executor>* pool) {
  const uint32_t threads = (workers == 0 ? CoreCount() : workers) - 1;
  Owned<Executor> owner = New<ThreadPool, Executor>(memory, Tag::kThread, memory);
  auto* self = static_cast<ThreadPool*>(owner.get());
  self->helpers_ = std::min(threads, std::max(CoreCount(), 2u) - 1);
  self->workers_.reserve(threads);  // threads hold pointers into it
  for (uint32_t i = 1; i <= threads; ++i) {
    self->workers_.push_back({self, i, {}});
    Worker& worker = self->workers_.back();
    const Status started = worker.thread.Start(WorkerMain, &worker);
    if (!started.ok()) {
      self->workers_.pop_back();
      return started;
    }
  }
  *pool = std::move(owner);
  return Status();
}

ThreadPool::ThreadPool(Memory* memory)
    : workers_(ContainerAllocator<Worker>(memory, Tag::kThread)) {}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    state_.fetch_or(kStop);
  }
  work_.notify_all();
  for (Worker& worker : workers_) worker.thread.Join();
}

Status ThreadPool::ParallelFor(uint32_t count, TaskFn fn, void* task) {
  for (uint32_t i = 0; i < count; ++i) {
    const bool shareable = i + 1 < count;
    if (shareable && TryOwn()) {
      Publish(i, {count, fn, task});
      RunTasks(0);
      CloseAndWait();
      break;
    }
    fn(task, i, 0);
  }
  return Status();
}

void ThreadPool::WorkerMain(void* argument) {
  const auto* worker = static_cast<const Worker*>(argument);
  ThreadPool* pool = worker->pool;
  uint32_t seen = 0;  // number of the last job this thread joined
  while (pool->AwaitJob(&seen)) {
    pool->RunTasks(worker->index);
    pool->Leave();
  }
}

// Returns with a job joined, or false when the pool ends.
bool ThreadPool::AwaitJob(uint32_t* seen) {
  for (;;) {
    bool joined = false;
    SpinUntil([&] {
      joined = TryJoin(seen);
      return joined || (state_.load(std::memory_order_relaxed) & kStop) != 0;
    });
    if (joined) return true;

    // Either the owner sees this thread counted in sleeping_, or this thread sees the owner's job.
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_.fetch_add(1);
    work_.wait(lock, [&] {
      const uint64_t state = state_.load();
      return MayJoin(state, *seen) || (state & kStop) != 0;
    });
    sleeping_.fetch_sub(1);
    if ((state_.load() & kStop) != 0) return false;
  }
}

// Whether a job is open that the thread has not joined, and it wants more threads.
bool ThreadPool::MayJoin(uint64_t state, uint32_t seen) const {
  return (state & kOpen) != 0 && NumberOf(state) != seen && (state & kJoinedMask) < helpers_;
}

bool ThreadPool::TryJoin(uint32_t* seen) {
  uint64_t state = state_.load(std::memory_order_relaxed);
  while (MayJoin(state, *seen)) {
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
      *seen = NumberOf(state);
      return true;
    }
  }
  return false;
}

void ThreadPool::Leave() {
  const uint64_t before = state_.fetch_sub(1);
  const bool last = (before & kJoinedMask) == 1;
  if (last && (before & kOwnerSleeps) != 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    done_.notify_one();
  }
}

bool ThreadPool::TryOwn() {
  return !workers_.empty() && !owned_.load(std::memory_order_relaxed) &&
         !owned_.exchange(true, std::memory_order_acquire);
}

// Opens tasks [first, job.count) to the threads and wakes as many as can be of use.
void ThreadPool::Publish(uint32_t first, const Job& job) {
  job_ = job;
  next_.store(first, std::memory_order_relaxed);
  const uint64_t number = NumberOf(state_.load(std::memory_order_relaxed)) + uint64_t{1};
  state_.store(number << kNumberShift | kOpen);

  const auto threads = static_cast<uint32_t>(workers_.size());
  const uint32_t sleeping = sleeping_.load();
  const uint32_t awake = threads - sleeping;
  const uint32_t wanted = std::min(job.count - first - 1, helpers_);
  if (wanted <= awake) return;
  { std::lock_guard<std::mutex> lock(mutex_); }  // who is about to sleep has slept or has seen
  if (wanted == threads) return work_.notify_all();
  for (uint32_t i = awake; i < wanted; ++i) work_.notify_one();
}

void ThreadPool::RunTasks(uint32_t worker) {
  const Job job = job_;
  for (;;) {
    const uint64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= job.count) return;
    job.fn(job.task, static_cast<uint32_t>(index), worker);
  }
}

void ThreadPool::CloseAndWait() {
  state_.fetch_and(~kOpen);
  const auto all_left = [&] { return (state_.load() & kJoinedMask) == 0; };
  if (!SpinUntil(all_left)) {
    state_.fetch_or(kOwnerSleeps);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, all_left);
  }
  owned_.store(false, std::memory_order_release);
}

}  // namespace junto
