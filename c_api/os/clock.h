// The clock of runtimes whose host brings none.
#ifndef JUNTO_C_API_OS_CLOCK_H_
#define JUNTO_C_API_OS_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace junto {

// Nanoseconds since some fixed moment; never goes back. Any thread.
inline uint64_t MonotonicNanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

}  // namespace junto

#endif  // JUNTO_C_API_OS_CLOCK_H_
