// Clock: monotonic time, from the host or the system.
#ifndef JUNTO_BASE_CLOCK_H_
#define JUNTO_BASE_CLOCK_H_

#include <cstdint>

namespace junto {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t Nanoseconds() = 0;  // any thread
};

}  // namespace junto

#endif  // JUNTO_BASE_CLOCK_H_
