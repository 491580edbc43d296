// How many multiply-adds the processor can do: the wall that prefill runs against, as each token of
// a prompt is multiplied with every active weight.
#ifndef JUNTO_EXAMPLES_CLI_PEAK_H_
#define JUNTO_EXAMPLES_CLI_PEAK_H_

#include <cstdint>
#include <vector>

namespace cli {

// An instruction or two that do multiply-adds, in a loop that touches no memory.
struct MultiplyAdd {
  const char* name;
  uint32_t count;               // multiply-adds in a step
  void (*run)(uint64_t steps);  // nullptr: this processor lacks them
};

// 8-bit integers in 256-bit vectors, or as wide as this processor has them. It is what quantised
// weights take where there are no dot-product instructions, so it compares machines.
const MultiplyAdd& Integers();
// 8-bit integers by the widest dot-product instruction there is; run may be nullptr.
const MultiplyAdd& DotProducts();
// 32-bit floats in vectors as wide as those of Integers.
const MultiplyAdd& Floats();

// Multiply-adds per second of `rounds` runs on `threads` threads, about 20 ms each.
std::vector<double> Rates(const MultiplyAdd& what, unsigned threads, unsigned rounds);

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_PEAK_H_
