// Threads that read ahead of a model's passes.
#ifndef JUNTO_C_API_BACKGROUND_H_
#define JUNTO_C_API_BACKGROUND_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "c_api/os/thread.h"
#include "junto/base/background.h"

namespace junto {

// Threads of the system, asleep while there is nothing to do.
class BackgroundThreads final : public Background {
 public:
  BackgroundThreads(Work* work, Memory* memory);  // without threads; use OsBackgroundService
  ~BackgroundThreads() override;
  Status Start(uint32_t threads);
  void Wake() override;

 private:
  static void Main(void* self);

  Work* work_;
  Vector<Thread> threads_;  // started; they must not move
  std::mutex mutex_;
  std::condition_variable called_;
  uint64_t calls_ = 0;  // that no thread has followed yet
  bool stop_ = false;
};

// Holds no state; any thread.
class OsBackgroundService final : public BackgroundService {
 public:
  Status Start(Work* work, uint32_t threads, Memory* memory, Owned<Background>* out) override;
};

}  // namespace junto

#endif  // JUNTO_C_API_BACKGROUND_H_
