// A thread of the operating system that stays out of the host's way.
#ifndef JUNTO_C_API_OS_THREAD_H_
#define JUNTO_C_API_OS_THREAD_H_

#include <pthread.h>

#include <cstdint>

#include "junto/base/status.h"

namespace junto {

// Receives no signals, so that the host's handlers run on the host's threads only; takes no memory
// but its stack, which the system maps.
class Thread {
 public:
  using Body = void (*)(void* argument);

  // Runs body(argument) on a new thread. E_UNSUPPORTED-free: a refusal is E_MEMORY with the
  // system's error number. Call it once; the object must not move until Join.
  Status Start(Body body, void* argument);

  // Waits for the body to return. Only after a Start that worked.
  void Join();

 private:
  static void* Run(void* self);

  pthread_t handle_;
  Body body_ = nullptr;
  void* argument_ = nullptr;
};

// Cores this process may run on; at least 1.
uint32_t CoreCount();

// Tells the core that this thread spins.
void CpuRelax();

}  // namespace junto

#endif  // JUNTO_C_API_OS_THREAD_H_
