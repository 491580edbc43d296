// The allocator of runtimes whose host brings none.
#ifndef JUNTO_C_API_OS_MEMORY_H_
#define JUNTO_C_API_OS_MEMORY_H_

#include <cstddef>

#include "junto/base/memory.h"

namespace junto {

// The C library's heap, at any alignment; large blocks ask for huge pages, which are faster to take
// and to read. Holds no state; any thread.
class OsAllocator final : public Allocator {
 public:
  void* Allocate(size_t size, size_t alignment, Tag tag) override;
  void Deallocate(void* p, size_t size, size_t alignment, Tag tag) override;
};

}  // namespace junto

#endif  // JUNTO_C_API_OS_MEMORY_H_
