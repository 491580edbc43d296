// Executor: how work is spread over threads. The host may bring its own.
#ifndef JUNTO_BASE_EXECUTOR_H_
#define JUNTO_BASE_EXECUTOR_H_

#include <cstdint>

#include "junto/base/status.h"

namespace junto {

using TaskFn = void (*)(void* task, uint32_t index, uint32_t worker);

class Executor {
 public:
  virtual ~Executor() = default;

  // Upper bound (exclusive) of the worker index that tasks see; at least 1.
  virtual uint32_t worker_count() const = 0;

  // Calls fn(task, index, worker) once for every index in [0, count) and returns after the last.
  // Within one call a worker index is used by one thread at a time; several calls may run at once,
  // so scratch found by worker index belongs to the call. Tasks never block, allocate or nest. A
  // failure says that some calls may not have happened.
  virtual Status ParallelFor(uint32_t count, TaskFn fn, void* task) = 0;
};

// Runs everything on the calling thread.
class SerialExecutor final : public Executor {
 public:
  uint32_t worker_count() const override { return 1; }
  Status ParallelFor(uint32_t count, TaskFn fn, void* task) override {
    for (uint32_t i = 0; i < count; ++i) fn(task, i, 0);
    return Status();
  }
};

// ParallelFor over a callable f(index, worker), called on many threads at once.
template <class F>
Status ParallelFor(Executor* executor, uint32_t count, const F& f) {
  auto call = [](void* task, uint32_t index, uint32_t worker) {
    (*static_cast<const F*>(task))(index, worker);
  };
  return executor->ParallelFor(count, call, const_cast<F*>(&f));
}

}  // namespace junto

#endif  // JUNTO_BASE_EXECUTOR_H_
