// What every fuzz target gives beside LLVMFuzzerTestOneInput: good inputs to start from.
#ifndef JUNTO_TESTS_FUZZ_SEEDS_H_
#define JUNTO_TESTS_FUZZ_SEEDS_H_

#include <cstdint>
#include <vector>

namespace junto {
namespace test {

std::vector<std::vector<uint8_t>> FuzzSeeds();  // not empty, nor is any of them

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_FUZZ_SEEDS_H_
