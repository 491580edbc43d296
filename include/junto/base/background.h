// Background: threads that do somebody's work while he goes on, such as reads of what he will need.
#ifndef JUNTO_BASE_BACKGROUND_H_
#define JUNTO_BASE_BACKGROUND_H_

#include <cstdint>

#include "junto/base/memory.h"
#include "junto/base/status.h"

namespace junto {

class Work {
 public:
  virtual ~Work() = default;
  // Does one piece of what there is to do, and may block for as long as that takes; false when
  // there is nothing. Many threads at once. Does not throw.
  virtual bool DoSome() = 0;
};

// Threads that do some Work as long as there is any, and sleep while there is none.
class Background {
 public:
  virtual ~Background() = default;  // waits for the pieces that are being done, no others
  // Says that there is work for one more thread. Any thread; takes no memory.
  virtual void Wake() = 0;
};

class BackgroundService {
 public:
  virtual ~BackgroundService() = default;
  // `work` outlives what this gives. E_MEMORY when the system refuses a thread; throws OutOfMemory.
  virtual Status Start(Work* work, uint32_t threads, Memory* memory, Owned<Background>* out) = 0;
};

}  // namespace junto

#endif  // JUNTO_BASE_BACKGROUND_H_
