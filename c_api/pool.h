// ThreadPool: the executor of runtimes whose host brings none.
#ifndef JUNTO_C_API_POOL_H_
#define JUNTO_C_API_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "c_api/os/thread.h"
#include "junto/base/executor.h"
#include "junto/base/memory.h"

namespace junto {

// Worker 0 is whoever calls ParallelFor; workers 1, 2, ... are threads of the pool. Between jobs
// the threads look out for the next one for 30 microseconds and then sleep: an idle pool takes no
// processor time.
//
// No more threads than there are cores work on a job, even if the pool has more: they would take
// turns, and every job would end with the one whose turn is last. Two workers can always meet.
//
// ParallelFor may be called from any number of threads at once. One call has the threads; each
// other runs its tasks alone, as its own worker 0, until the threads are free to help it with the
// rest. So a worker index is unique among the tasks of one call, not among calls: scratch that
// tasks find by worker index must belong to the call. Nothing waits for another call, so calls
// cannot deadlock.
class ThreadPool final : public Executor {
 public:
  // `workers` counts the caller; 0 means one per core. All memory, under Tag::kThread, and all
  // threads are taken here: throws OutOfMemory, and gives E_MEMORY when the system refuses a
  // thread.
  static Status Create(Memory* memory, uint32_t workers, Owned<Executor>* pool);

  explicit ThreadPool(Memory* memory);  // without threads; use Create
  ~ThreadPool() override;               // joins the threads; no call may be running

  uint32_t worker_count() const override { return static_cast<uint32_t>(workers_.size()) + 1; }
  Status ParallelFor(uint32_t count, TaskFn fn, void* task) override;

 private:
  struct Worker {
    ThreadPool* pool;
    uint32_t index;
    Thread thread;
  };
  struct Job {
    uint32_t count;
    TaskFn fn;
    void* task;
  };

  // An atomic that shares its cache lines with nothing that follows; starts at zero.
  template <class T>
  struct Apart : std::atomic<T> {
    Apart() : std::atomic<T>(T{}) {}
    char gap[128 - sizeof(T)];
  };

  static void WorkerMain(void* worker);
  bool AwaitJob(uint32_t* seen);
  bool TryJoin(uint32_t* seen);
  void Leave();
  bool TryOwn();
  void Publish(uint32_t first, const Job& job);
  void RunTasks(uint32_t worker);
  void CloseAndWait();

  bool MayJoin(uint64_t state, uint32_t seen) const;

  Vector<Worker> workers_;    // started, in order of index
  uint32_t helpers_ = 0;      // threads that may work on a job, besides its caller
  Job job_ = {};              // written by the owner while no thread has joined
  Apart<bool> owned_;         // whether a call has the threads
  Apart<uint64_t> state_;     // see pool.cc
  Apart<uint64_t> next_;      // index of the next task; wider, as every thread overshoots once
  Apart<uint32_t> sleeping_;  // threads in work_, or about to look and be
  std::mutex mutex_;
  std::condition_variable work_, done_;
};

}  // namespace junto

#endif  // JUNTO_C_API_POOL_H_
