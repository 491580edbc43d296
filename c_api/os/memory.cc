#include "c_api/os/memory.h"

#include <cstdlib>

namespace junto {

void* OsAllocator::Allocate(size_t size, size_t alignment, Tag) {
  if (alignment <= alignof(std::max_align_t)) return std::malloc(size);
  void* p = nullptr;
  return posix_memalign(&p, alignment, size) == 0 ? p : nullptr;
}

void OsAllocator::Deallocate(void* p, size_t, size_t, Tag) { std::free(p); }

}  // namespace junto
