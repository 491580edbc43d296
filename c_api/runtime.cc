// Runtimes, statuses and what belongs to no handle.
#include <algorithm>

#include "c_api/dispatch.h"
#include "c_api/handles.h"
#include "c_api/os/memory.h"
#include "c_api/pool.h"

#define JUNTO_TEXT_(x) #x
#define JUNTO_TEXT(x) JUNTO_TEXT_(x)
#define JUNTO_VERSION_TEXT        \
  JUNTO_TEXT(JUNTO_VERSION_MAJOR) \
  "." JUNTO_TEXT(JUNTO_VERSION_MINOR) "." JUNTO_TEXT(JUNTO_VERSION_PATCH)

namespace junto {
namespace {

void* JUNTO_CALL OsAllocate(void*, size_t size, size_t alignment, junto_tag tag) {
  return OsAllocator().Allocate(size, alignment, static_cast<Tag>(tag));
}
void JUNTO_CALL OsDeallocate(void*, void* p, size_t size, size_t alignment, junto_tag tag) {
  OsAllocator().Deallocate(p, size, alignment, static_cast<Tag>(tag));
}

constexpr uint32_t kMaxThreads = 1024;

Status CheckServices(const junto_runtime_desc& desc, junto_allocator* allocator,
                     junto_executor* executor, junto_io* io) {
  JUNTO_TRY(TakeStruct(desc.allocator, sizeof(junto_allocator), allocator));
  JUNTO_TRY(TakeStruct(desc.executor, sizeof(junto_executor), executor));
  JUNTO_TRY(TakeStruct(desc.io, offsetof(junto_io, create_file), io));
  const uint32_t unknown =
      (desc.flags & ~JUNTO_RUNTIME_STRICT_MEMORY) | allocator->flags | executor->flags | io->flags;
  if (unknown != 0) {
    return Status::Make(Code::kUnsupported,
                        "runtime flags 0x%x, of a service or unknown: 0 expected",
                        static_cast<unsigned>(unknown));
  }
  if ((desc.flags & JUNTO_RUNTIME_STRICT_MEMORY) != 0 && desc.executor == nullptr &&
      desc.max_threads != 1) {
    return Status::Make(Code::kUnsupported,
                        "strict memory with max_threads %u: stacks of threads are the system's, so "
                        "an executor or 1 thread is expected",
                        static_cast<unsigned>(desc.max_threads));
  }
  if (executor->reserved != 0) {
    return Status::Make(Code::kUnsupported, "executor.reserved %u: 0 expected",
                        static_cast<unsigned>(executor->reserved));
  }
  if (desc.log_level < JUNTO_LOG_OFF || desc.log_level > JUNTO_LOG_DEBUG) {
    return Status::Make(Code::kInvalid, "log_level %d: %d to %d expected",
                        static_cast<int>(desc.log_level), JUNTO_LOG_OFF, JUNTO_LOG_DEBUG);
  }
  if (desc.max_threads > kMaxThreads) {
    return Status::Make(Code::kInvalid, "max_threads %u: at most %u expected",
                        static_cast<unsigned>(desc.max_threads),
                        static_cast<unsigned>(kMaxThreads));
  }
  if (desc.allocator != nullptr &&
      (allocator->allocate == nullptr || allocator->deallocate == nullptr)) {
    return NullArgument("allocator.allocate or .deallocate");
  }
  if (desc.executor != nullptr &&
      (executor->parallel_for == nullptr || executor->worker_count == 0)) {
    return Status::Make(Code::kInvalid, "executor: parallel_for and workers expected, %u found",
                        static_cast<unsigned>(executor->worker_count));
  }
  if (desc.io != nullptr &&
      (io->open_file == nullptr || io->read_at == nullptr || io->close_file == nullptr)) {
    return NullArgument("io.open_file, .read_at or .close_file");
  }
  const int writers =
      (io->create_file != nullptr) + (io->write_at != nullptr) + (io->finish_file != nullptr);
  if (writers != 0 && writers != 3) {
    return Status::Make(Code::kInvalid,
                        "io.create_file, .write_at and .finish_file: %d given, all 3 or 0 expected",
                        writers);
  }
  return Status();
}

Status Equip(const junto_runtime_desc& desc, const junto_executor& executor, const junto_io& io,
             junto_runtime* runtime) {
  Memory* memory = &runtime->memory;
  runtime->kernels = ChooseKernels(desc.isa_deny);
  if (runtime->kernels == nullptr) {
    return Status::Make(Code::kUnsupported, "isa_deny 0x%llx leaves no instruction set",
                        static_cast<unsigned long long>(desc.isa_deny));
  }
  if (desc.io != nullptr) {
    runtime->files = New<HostFileSystem, FileSystem>(memory, Tag::kObject, io);
  } else {
    runtime->files = New<OsFileSystem, FileSystem>(memory, Tag::kObject);
  }
  if (desc.executor != nullptr) {
    runtime->executor = New<HostExecutor, Executor>(memory, Tag::kObject, executor);
    return Status();
  }
  return ThreadPool::Create(memory, desc.max_threads, &runtime->executor);
}

Status CreateRuntime(const junto_runtime_desc* given, junto_runtime** out) {
  junto_runtime_desc desc;
  junto_allocator allocator;
  junto_executor executor;
  junto_io io;
  JUNTO_TRY(TakeStruct(given, sizeof(junto_runtime_desc), &desc));
  JUNTO_TRY(CheckServices(desc, &allocator, &executor, &io));
  if (desc.allocator == nullptr) {
    allocator.allocate = OsAllocate;
    allocator.deallocate = OsDeallocate;
  }
  HostAllocator host(allocator);
  const bool fits = desc.memory_limit == 0 || desc.memory_limit >= sizeof(junto_runtime);
  void* block =
      !fits ? nullptr : host.Allocate(sizeof(junto_runtime), alignof(junto_runtime), Tag::kObject);
  if (block == nullptr) throw OutOfMemory(sizeof(junto_runtime), Tag::kObject);
  auto* runtime = new (block) junto_runtime(host, desc);
  Status status;
  try {
    status = Equip(desc, executor, io, runtime);
  } catch (...) {
    Release(runtime);
    throw;
  }
  if (!status.ok()) {
    Release(runtime);
    return status;
  }
  runtime->Log(JUNTO_LOG_INFO, "junto " JUNTO_VERSION_TEXT ": %s kernels, %u workers",
               runtime->kernels->target, runtime->executor->worker_count());
  *out = runtime;
  return Status();
}

}  // namespace

void Release(junto_runtime* runtime) {
  if (!runtime->references.Release()) return;
  HostAllocator host = runtime->allocator;
  runtime->~junto_runtime();
  host.Deallocate(runtime, sizeof(junto_runtime), alignof(junto_runtime), Tag::kObject);
}

}  // namespace junto

using namespace junto;  // NOLINT: this file is the C ABI of that namespace

extern "C" {

uint32_t junto_version(void) {
  return JUNTO_VERSION_MAJOR << 16 | JUNTO_VERSION_MINOR << 8 | JUNTO_VERSION_PATCH;
}

const char* junto_build_info(void) {
  return "junto " JUNTO_VERSION_TEXT
#if defined(__clang__)
         ", clang " __clang_version__
#elif defined(__GNUC__)
         ", gcc " __VERSION__
#endif
#if defined(NDEBUG)
         ", release";
#else
         ", debug";
#endif
}

const char* junto_status_name(junto_status s) {
  switch (s) {
    case JUNTO_OK:
      return "OK";
    case JUNTO_YIELDED:
      return "YIELDED";
    case JUNTO_DONE:
      return "DONE";
    case JUNTO_CANCELLED:
      return "CANCELLED";
    case JUNTO_E_INVALID:
      return "E_INVALID";
    case JUNTO_E_MEMORY:
      return "E_MEMORY";
    case JUNTO_E_IO:
      return "E_IO";
    case JUNTO_E_FORMAT:
      return "E_FORMAT";
    case JUNTO_E_UNSUPPORTED:
      return "E_UNSUPPORTED";
    case JUNTO_E_SHORT_BUFFER:
      return "E_SHORT_BUFFER";
    case JUNTO_E_CONTEXT_FULL:
      return "E_CONTEXT_FULL";
    case JUNTO_E_BUSY:
      return "E_BUSY";
    case JUNTO_E_MISMATCH:
      return "E_MISMATCH";
    case JUNTO_E_CALLBACK:
      return "E_CALLBACK";
    case JUNTO_E_INTERNAL:
      return "E_INTERNAL";
    default:
      return "unknown";
  }
}

void junto_error_init(junto_error* e, size_t size) { InitStruct(e, size); }

void junto_runtime_desc_init(junto_runtime_desc* d, size_t size) { InitStruct(d, size); }

junto_status junto_runtime_create(const junto_runtime_desc* desc, junto_runtime** out,
                                  junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (out == nullptr) return NullArgument("out");
    return CreateRuntime(desc, out);
  });
}

void junto_runtime_release(junto_runtime* r) {
  if (r != nullptr) Release(r);
}

junto_status junto_runtime_memory(const junto_runtime* r, junto_tag tag, uint64_t* current,
                                  uint64_t* peak) {
  return Guard(nullptr, [&]() -> Status {
    if (r == nullptr || current == nullptr || peak == nullptr) return NullArgument("r or result");
    if (tag < JUNTO_TAG_INVALID || tag >= kTagCount) return Code::kInvalid;
    const bool sum = tag == JUNTO_TAG_INVALID;
    *current = sum ? r->memory.total() : r->memory.current(static_cast<Tag>(tag));
    // What another thread takes counts before it raises the peak.
    *peak =
        std::max(*current, sum ? r->memory.total_peak() : r->memory.peak(static_cast<Tag>(tag)));
    return Status();
  });
}

}  // extern "C"
