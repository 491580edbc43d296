// Interrupt: when a pass stops early.
#ifndef JUNTO_RUNTIME_INTERRUPT_H_
#define JUNTO_RUNTIME_INTERRUPT_H_

#include <cstdint>

namespace junto {

// Looked at between ranges of tiles and while a pass waits, by the thread that runs it.
class Interrupt {
 public:
  virtual ~Interrupt() = default;
  // Whether somebody asked to cancel; any thread.
  virtual bool Cancelled() = 0;
  // Whether the time budget is used up.
  virtual bool Expired() = 0;
  // Whether there is a budget at all: without one, stages run undivided.
  virtual bool Bounded() = 0;
  // Nanoseconds since some moment before the pass.
  virtual uint64_t Elapsed() const = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_INTERRUPT_H_
