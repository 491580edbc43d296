#include "c_api/background.h"

#include <utility>

namespace junto {

BackgroundThreads::BackgroundThreads(Work* work, Memory* memory)
    : work_(work), threads_(ContainerAllocator<Thread>(memory, Tag::kObject)) {}

BackgroundThreads::~BackgroundThreads() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  called_.notify_all();
  for (Thread& thread : threads_) thread.Join();
}

Status BackgroundThreads::Start(uint32_t threads) {
  threads_.reserve(threads);
  for (uint32_t i = 0; i < threads; ++i) {
    threads_.emplace_back();
    const Status started = threads_.back().Start(Main, this);
    if (started.ok()) continue;
    threads_.pop_back();
    return started;
  }
  return Status();
}

void BackgroundThreads::Wake() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++calls_;
  }
  called_.notify_one();
}

void BackgroundThreads::Main(void* argument) {
  auto* self = static_cast<BackgroundThreads*>(argument);
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(self->mutex_);
      self->called_.wait(lock, [&] { return self->stop_ || self->calls_ != 0; });
      if (self->stop_) return;
      --self->calls_;
    }
    self->work_->DoSome();
  }
}

Status OsBackgroundService::Start(Work* work, uint32_t threads, Memory* memory,
                                  Owned<Background>* out) {
  Owned<Background> owner = New<BackgroundThreads, Background>(memory, Tag::kObject, work, memory);
  JUNTO_TRY(static_cast<BackgroundThreads*>(owner.get())->Start(threads));
  *out = std::move(owner);
  return Status();
}

}  // namespace junto
