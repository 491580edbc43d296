// POSIX. Another system brings a thread.cc of its own.
#include "c_api/os/thread.h"

#include <signal.h>

#include <thread>
#if defined(__linux__)
#include <sched.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace junto {

Status Thread::Start(Body body, void* argument) {
  body_ = body;
  argument_ = argument;
  // The new thread inherits the mask, so that not even its first instruction takes a signal.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(&handle_, nullptr, Run, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) return Status();
  return Status::Make(Code::kMemory, "the system refused a thread: error %d", error)
      .WithOsError(error);
}

void Thread::Join() { pthread_join(handle_, nullptr); }

void* Thread::Run(void* self) {
  const auto* thread = static_cast<const Thread*>(self);
  thread->body_(thread->argument_);
  return nullptr;
}

uint32_t CoreCount() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    return static_cast<uint32_t>(CPU_COUNT(&allowed));
  }
#endif
  const unsigned cores = std::thread::hardware_concurrency();
  return cores == 0 ? 1 : cores;
}

void CpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ __volatile__("yield");
#endif
}

}  // namespace junto
