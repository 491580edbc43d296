// PCRE2 as Junto uses it: the 8-bit library, by its suffixed names so that a program may use
// another width, and with every byte from a Memory.
#ifndef JUNTO_TEXT_PCRE2_H_
#define JUNTO_TEXT_PCRE2_H_

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include <cstddef>
#include <memory>

#include "junto/base/memory.h"

namespace junto {

template <class T, void (*Free)(T*)>
struct PcreDeleter {
  void operator()(T* p) const { Free(p); }
};
template <class T, void (*Free)(T*)>
using PcreHandle = std::unique_ptr<T, PcreDeleter<T, Free>>;

using PcreGeneral = PcreHandle<pcre2_general_context_8, pcre2_general_context_free_8>;
using PcreCompile = PcreHandle<pcre2_compile_context_8, pcre2_compile_context_free_8>;
using PcreMatch = PcreHandle<pcre2_match_context_8, pcre2_match_context_free_8>;
using PcreMatchData = PcreHandle<pcre2_match_data_8, pcre2_match_data_free_8>;
using PcreCode = PcreHandle<pcre2_code_8, pcre2_code_free_8>;

// PCRE2 frees without saying how much: the size stands before every block.
constexpr size_t kPcrePrefix = alignof(std::max_align_t);
static_assert(kPcrePrefix >= sizeof(size_t), "the prefix holds a size");

inline void* PcreAllocate(size_t size, void* memory) {
  if (size > SIZE_MAX - kPcrePrefix) return nullptr;
  size += kPcrePrefix;
  void* block = static_cast<Memory*>(memory)->Allocate(size, kPcrePrefix, Tag::kTokenizer);
  if (block == nullptr) return nullptr;
  *static_cast<size_t*>(block) = size;
  return static_cast<char*>(block) + kPcrePrefix;
}

inline void PcreFree(void* p, void* memory) {
  if (p == nullptr) return;
  void* block = static_cast<char*>(p) - kPcrePrefix;
  const size_t size = *static_cast<size_t*>(block);
  static_cast<Memory*>(memory)->Deallocate(block, size, kPcrePrefix, Tag::kTokenizer);
}

// Null when memory is short.
inline PcreGeneral MakePcreGeneral(Memory* memory) {
  return PcreGeneral(pcre2_general_context_create_8(PcreAllocate, PcreFree, memory));
}

}  // namespace junto

#endif  // JUNTO_TEXT_PCRE2_H_
