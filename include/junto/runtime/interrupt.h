// Interrupt: when a pass stops early.
#ifndef JUNTO_RUNTIME_INTERRUPT_H_
#define JUNTO_RUNTIME_INTERRUPT_H_

#include <cstdint>

namespace junto {

constexpr uint64_t kNoBudget = ~uint64_t{0};

// Looked at between pieces of tiles and while a pass waits, by the thread that runs it.
class Interrupt {
 public:
  virtual ~Interrupt() = default;
  // Whether somebody asked to cancel; any thread.
  virtual bool Cancelled() = 0;
  // The time budget, and what of it is used up; kNoBudget: there is none, and stages run undivided.
  virtual uint64_t Budget() = 0;
  virtual uint64_t Elapsed() = 0;

  bool Expired() { return Budget() != kNoBudget && Elapsed() >= Budget(); }
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_INTERRUPT_H_
