// The tensor types a GGUF file may name, and the size of their blocks.
#ifndef JUNTO_QUANT_BLOCK_TYPES_H_
#define JUNTO_QUANT_BLOCK_TYPES_H_

#include <cstddef>
#include <cstdint>

namespace junto {

// Values are the ids of the GGUF specification.
enum class BlockType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kQ4_0_4_4 = 31,
  kQ4_0_4_8 = 32,
  kQ4_0_8_8 = 33,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kIQ4_NL_4_4 = 36,
  kIQ4_NL_4_8 = 37,
  kIQ4_NL_8_8 = 38,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
};

// A row of a tensor is a whole number of blocks.
struct BlockTypeInfo {
  BlockType type;
  const char* name;
  uint32_t elements;  // of one block
  uint32_t bytes;     // of one block
};

namespace internal {

// Ordered by id. Ids 4 and 5 were withdrawn before GGUF existed. Being listed says what a tensor
// occupies in its file, not that anything can compute with it.
inline constexpr BlockTypeInfo kBlockTypes[] = {
    {BlockType::kF32, "F32", 1, 4},
    {BlockType::kF16, "F16", 1, 2},
    {BlockType::kQ4_0, "Q4_0", 32, 18},
    {BlockType::kQ4_1, "Q4_1", 32, 20},
    {BlockType::kQ5_0, "Q5_0", 32, 22},
    {BlockType::kQ5_1, "Q5_1", 32, 24},
    {BlockType::kQ8_0, "Q8_0", 32, 34},
    {BlockType::kQ8_1, "Q8_1", 32, 36},
    {BlockType::kQ2_K, "Q2_K", 256, 84},
    {BlockType::kQ3_K, "Q3_K", 256, 110},
    {BlockType::kQ4_K, "Q4_K", 256, 144},
    {BlockType::kQ5_K, "Q5_K", 256, 176},
    {BlockType::kQ6_K, "Q6_K", 256, 210},
    {BlockType::kQ8_K, "Q8_K", 256, 292},
    {BlockType::kIQ2_XXS, "IQ2_XXS", 256, 66},
    {BlockType::kIQ2_XS, "IQ2_XS", 256, 74},
    {BlockType::kIQ3_XXS, "IQ3_XXS", 256, 98},
    {BlockType::kIQ1_S, "IQ1_S", 256, 50},
    {BlockType::kIQ4_NL, "IQ4_NL", 32, 18},
    {BlockType::kIQ3_S, "IQ3_S", 256, 110},
    {BlockType::kIQ2_S, "IQ2_S", 256, 82},
    {BlockType::kIQ4_XS, "IQ4_XS", 256, 136},
    {BlockType::kI8, "I8", 1, 1},
    {BlockType::kI16, "I16", 1, 2},
    {BlockType::kI32, "I32", 1, 4},
    {BlockType::kI64, "I64", 1, 8},
    {BlockType::kF64, "F64", 1, 8},
    {BlockType::kIQ1_M, "IQ1_M", 256, 56},
    {BlockType::kBF16, "BF16", 1, 2},
    {BlockType::kQ4_0_4_4, "Q4_0_4_4", 32, 18},
    {BlockType::kQ4_0_4_8, "Q4_0_4_8", 32, 18},
    {BlockType::kQ4_0_8_8, "Q4_0_8_8", 32, 18},
    {BlockType::kTQ1_0, "TQ1_0", 256, 54},
    {BlockType::kTQ2_0, "TQ2_0", 256, 66},
    {BlockType::kIQ4_NL_4_4, "IQ4_NL_4_4", 32, 18},
    {BlockType::kIQ4_NL_4_8, "IQ4_NL_4_8", 32, 18},
    {BlockType::kIQ4_NL_8_8, "IQ4_NL_8_8", 32, 18},
    {BlockType::kMXFP4, "MXFP4", 32, 17},
    {BlockType::kNVFP4, "NVFP4", 64, 36},
    {BlockType::kQ1_0, "Q1_0", 128, 18},
};

}  // namespace internal

// nullptr when no such type is known.
inline const BlockTypeInfo* FindBlockType(uint32_t id) {
  for (const BlockTypeInfo& info : internal::kBlockTypes) {
    if (static_cast<uint32_t>(info.type) == id) return &info;
  }
  return nullptr;
}

// For errors: the name of a type, also of one that is not known.
inline const char* BlockTypeName(BlockType type) {
  const BlockTypeInfo* info = FindBlockType(static_cast<uint32_t>(type));
  return info == nullptr ? "unknown" : info->name;
}

}  // namespace junto

#endif  // JUNTO_QUANT_BLOCK_TYPES_H_
