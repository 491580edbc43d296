#include "bridge.h"

#include <stdatomic.h>

#include "_cgo_export.h"

struct junto_go_tasks {
  junto_task_fn fn;
  void* task;
  uint32_t count;
  atomic_uint next;
};

void junto_go_work(junto_go_tasks* tasks, uint32_t worker) {
  uint32_t turn;
  while ((turn = atomic_fetch_add(&tasks->next, 1)) < tasks->count) {
    tasks->fn(tasks->task, turn, worker);
  }
}

static void* JUNTO_CALL allocate(void* user, size_t size, size_t alignment, junto_tag tag) {
  return junto_go_allocate((uintptr_t)user, size, alignment, tag);
}

static void JUNTO_CALL deallocate(void* user, void* p, size_t size, size_t alignment,
                                  junto_tag tag) {
  junto_go_deallocate((uintptr_t)user, p, size, alignment, tag);
}

static junto_status JUNTO_CALL parallel_for(void* user, uint32_t count, junto_task_fn fn,
                                            void* task) {
  junto_go_tasks tasks;
  tasks.fn = fn;
  tasks.task = task;
  tasks.count = count;
  atomic_init(&tasks.next, 0);
  return junto_go_parallel_for((uintptr_t)user, &tasks);
}

junto_status junto_go_runtime_create(const junto_runtime_desc* desc, uintptr_t services,
                                     int own_allocator, uint32_t workers, junto_runtime** out,
                                     junto_error* err) {
  const junto_allocator allocator = {sizeof allocator, 0, (void*)services, allocate, deallocate};
  const junto_executor executor = {sizeof executor, 0, workers, 0, (void*)services, parallel_for};
  junto_runtime_desc with = *desc;
  if (own_allocator) with.allocator = &allocator;
  if (workers != 0) with.executor = &executor;
  return junto_runtime_create(&with, out, err);
}

static junto_status JUNTO_CALL on_chunk(void* user, const junto_chunk* chunk) {
  return junto_go_chunk((uintptr_t)user, (junto_chunk*)chunk);
}

junto_status junto_go_generate(junto_session* session, uintptr_t listener, junto_error* err) {
  return junto_session_generate(session, on_chunk, (void*)listener, err);
}
