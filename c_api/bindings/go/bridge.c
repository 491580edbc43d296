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

static junto_status JUNTO_CALL open_file(void* user, const char* name, size_t name_size,
                                         void** file, uint64_t* size) {
  uintptr_t handle = 0;
  const junto_status status = junto_go_open((uintptr_t)user, (char*)name, name_size, &handle, size);
  *file = (void*)handle;
  return status;
}

static junto_status JUNTO_CALL read_at(void* user, void* file, uint64_t offset, void* dst,
                                       size_t size) {
  (void)user;
  return junto_go_read_at((uintptr_t)file, offset, dst, size);
}

static void JUNTO_CALL close_file(void* user, void* file) {
  (void)user;
  junto_go_close((uintptr_t)file);
}

static void JUNTO_CALL hear(void* user, junto_log_level level, const char* text, size_t size) {
  junto_go_log((uintptr_t)user, level, (char*)text, size);
}

junto_status junto_go_runtime_create(const junto_runtime_desc* desc, uintptr_t services,
                                     uint32_t own, uint32_t workers, junto_runtime** out,
                                     junto_error* err) {
  const junto_allocator allocator = {sizeof allocator, 0, (void*)services, allocate, deallocate};
  const junto_executor executor = {sizeof executor, 0, workers, 0, (void*)services, parallel_for};
  const junto_io io = {.struct_size = sizeof io,
                       .user = (void*)services,
                       .open_file = open_file,
                       .read_at = read_at,
                       .close_file = close_file};
  junto_runtime_desc with = *desc;
  if (own & JUNTO_GO_ALLOCATOR) with.allocator = &allocator;
  if (own & JUNTO_GO_FILES) with.io = &io;
  if (own & JUNTO_GO_LOG) {
    with.log = hear;
    with.log_user = (void*)services;
  }
  if (workers != 0) with.executor = &executor;
  return junto_runtime_create(&with, out, err);
}

static junto_status JUNTO_CALL on_chunk(void* user, const junto_chunk* chunk) {
  return junto_go_chunk((uintptr_t)user, (junto_chunk*)chunk);
}

junto_status junto_go_generate(junto_session* session, uintptr_t listener, junto_error* err) {
  return junto_session_generate(session, on_chunk, (void*)listener, err);
}
