// PagePool: equal pieces of memory that several owners may hold at once, counted.
#ifndef JUNTO_RUNTIME_PAGE_POOL_H_
#define JUNTO_RUNTIME_PAGE_POOL_H_

#include <cstdint>

#include "junto/base/arena.h"

namespace junto {

// Whoever holds a page alone may write to it; whoever finds it shared takes another one first. One
// thread at a time.
class PagePool {
 public:
  // Room for `count` pages, bookkeeping from one arena and pages from the other; with measuring
  // arenas it only says how much.
  void LayOut(uint64_t count, uint64_t page_bytes, Arena* tables, Arena* pages) {
    page_bytes_ = page_bytes;
    free_count_ = 0;
    free_ = tables->Take<uint8_t*>(count);
    holders_ = tables->Take<uint32_t>(count);
    uint64_t bytes = 0;
    if (!CheckedMul(count, page_bytes, &bytes)) bytes = ~uint64_t{0};
    data_ = pages->Take<uint8_t>(bytes);
    if (free_ == nullptr || holders_ == nullptr || data_ == nullptr) return;
    // The first page lies on top, so that the pages of a lone sequence follow each other.
    for (uint64_t i = count; i-- > 0;) {
      free_[free_count_++] = data_ + i * page_bytes;
      holders_[i] = 0;
    }
  }

  uint64_t page_bytes() const { return page_bytes_; }
  uint64_t free_count() const { return free_count_; }

  // A page for one holder, its bytes those of whoever had it last. There is a free one.
  uint8_t* Take() {
    uint8_t* const page = free_[--free_count_];
    holders_[IndexOf(page)] = 1;
    return page;
  }
  uint8_t* Share(uint8_t* page) {
    ++holders_[IndexOf(page)];
    return page;
  }
  void Drop(uint8_t* page) {
    if (--holders_[IndexOf(page)] == 0) free_[free_count_++] = page;
  }
  bool shared(const uint8_t* page) const { return holders_[IndexOf(page)] > 1; }

 private:
  uint64_t IndexOf(const uint8_t* page) const {
    return static_cast<uint64_t>(page - data_) / page_bytes_;
  }

  uint64_t page_bytes_ = 0;
  uint64_t free_count_ = 0;
  uint8_t** free_ = nullptr;     // [free_count_], a stack
  uint32_t* holders_ = nullptr;  // of each page
  uint8_t* data_ = nullptr;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_PAGE_POOL_H_
