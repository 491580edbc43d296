// The objects behind the C ABI's opaque types. Each is born with one reference and holds one on its
// parent, so every order of release is legal.
#ifndef JUNTO_C_API_HANDLES_H_
#define JUNTO_C_API_HANDLES_H_

#include <atomic>
#include <cstdarg>

#include "c_api/background.h"
#include "c_api/guard.h"
#include "c_api/host.h"
#include "c_api/os/files.h"
#include "junto/runtime/batch.h"
#include "junto/runtime/model.h"
#include "junto/runtime/prompt.h"
#include "junto/runtime/session.h"

namespace junto {

class References {
 public:
  void Retain() { count_.fetch_add(1, std::memory_order_relaxed); }
  // True for the last one.
  bool Release() { return count_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

 private:
  std::atomic<uint32_t> count_{1};
};

}  // namespace junto

struct junto_runtime {
  junto_runtime(const junto::HostAllocator& host, const junto_runtime_desc& desc)
      : allocator(host),
        memory(&allocator, desc.memory_limit),
        clock(desc.clock, desc.clock_user),
        log(desc.log),
        log_user(desc.log_user),
        log_level(desc.log_level),
        strict_memory((desc.flags & JUNTO_RUNTIME_STRICT_MEMORY) != 0),
        may_map(!strict_memory || desc.io != nullptr) {
    memory.Adopt(sizeof(junto_runtime), junto::Tag::kObject);
  }

  // Silent unless the host listens at this level; nothing is formatted otherwise.
#if defined(__GNUC__)
  __attribute__((format(printf, 3, 4)))
#endif
  void
  Log(junto_log_level level, const char* format, ...) {
    if (log == nullptr || level > log_level) return;
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    const int size = std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    log(log_user, level, text, std::min<size_t>(size < 0 ? 0 : size, sizeof(text) - 1));
  }

  junto::References references;
  junto::HostAllocator allocator;
  junto::Memory memory;
  junto::Owned<junto::FileSystem> files;
  junto::Owned<junto::Executor> executor;
  junto::HostClock clock;
  junto::OsBackgroundService background;
  const junto::KernelTable* kernels = nullptr;
  junto_log_fn log;
  void* log_user;
  junto_log_level log_level;
  bool strict_memory;
  bool may_map;  // files: those of the host always, the system's not in strict memory
};

struct junto_model {
  explicit junto_model(junto_runtime* runtime) : runtime(runtime), memory(&runtime->memory) {}

  junto::References references;
  junto_runtime* runtime;
  junto::Memory memory;  // what this model and its prompts alone take
  uint64_t tokenizer_bytes = 0;
  junto::Owned<junto::Model> model;
};

struct junto_prompt {
  explicit junto_prompt(junto_model* model) : model(model), prompt(model->model.get()) {}

  junto_model* model;
  std::atomic<bool> busy{false};
  junto::Prompt prompt;
};

struct junto_session {
  explicit junto_session(junto_model* model) : model(model) {}

  junto::References references;  // the caller's, a batch's, and one while a call runs
  junto_model* model;
  std::atomic<bool> busy{false};
  junto::Owned<junto::Session> session;
};

struct junto_batch {
  junto_batch(junto_model* model, uint32_t max_sessions)
      : model(model), sessions({&model->runtime->memory, junto::Tag::kObject}) {
    sessions.reserve(max_sessions);
  }

  junto::References references;  // the caller's, and one while it steps
  junto_model* model;
  std::atomic<bool> busy{false};
  junto::Owned<junto::Batch> batch;
  junto::Vector<junto_session*> sessions;
};

namespace junto {

// Gives up one reference; the last one destroys the handle and lets go of its parent.
void Release(junto_runtime* runtime);
void Release(junto_model* model);
void Release(junto_session* session);
void Release(junto_batch* batch);

// Constructs a handle in a runtime's memory and takes it apart again. Throws OutOfMemory.
template <class T, class... Arguments>
T* Create(junto_runtime* runtime, Arguments&&... arguments) {
  return New<T>(&runtime->memory, Tag::kObject, std::forward<Arguments>(arguments)...).release();
}
template <class T>
void Destroy(junto_runtime* runtime, T* handle) {
  MemoryDeleter<T>{&runtime->memory, sizeof(T), Tag::kObject}(handle);
}

}  // namespace junto

#endif  // JUNTO_C_API_HANDLES_H_
