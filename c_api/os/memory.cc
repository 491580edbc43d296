#include "c_api/os/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

namespace junto {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLarge = 4 * kHugePage;

}  // namespace

void* OsAllocator::Allocate(size_t size, size_t alignment, Tag) {
  if (alignment <= alignof(std::max_align_t)) return std::malloc(size);
  void* p = nullptr;
  if (size >= kLarge) alignment = std::max(alignment, kHugePage);
  if (posix_memalign(&p, alignment, size) != 0) return nullptr;
#if defined(MADV_HUGEPAGE)
  if (size >= kLarge) madvise(p, size / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return p;
}

void OsAllocator::Deallocate(void* p, size_t, size_t, Tag) { std::free(p); }

}  // namespace junto
