// Runs a check on the kernels of every instruction set that this CPU has.
#ifndef JUNTO_TESTS_SUPPORT_TARGETS_H_
#define JUNTO_TESTS_SUPPORT_TARGETS_H_

#include <catch2/catch.hpp>
#include <cstring>
#include <type_traits>
#include <vector>

#include "c_api/dispatch.h"
#include "tests/support/bits.h"

namespace junto {

template <class Check>
void OnEveryTarget(Check check) {
  for (const KernelTable* table : SupportedKernels()) {
    INFO("target " << table->target);
    check(*table);
  }
}

// `run` takes a table and returns a vector of plain values; all targets with fma must agree on it
// to the bit, and so must other machines.
template <class Run>
void RequireSameBits(Run run) {
  using Result = std::decay_t<decltype(run(*SupportedKernels()[0]))>;
  using T = typename Result::value_type;
  static_assert(std::is_trivially_copyable<T>::value, "compared as bytes");
  Result expected;
  const char* by = nullptr;
  for (const KernelTable* table : SupportedKernels()) {
    if (!table->has_fma) continue;
    const Result found = run(*table);
    if (by == nullptr) {
      expected = found;
      by = table->target;
      test::Bits::OfThisProgram().Add(found);
      continue;
    }
    INFO(table->target << " against " << by);
    REQUIRE(found.size() == expected.size());
    REQUIRE(std::memcmp(found.data(), expected.data(), found.size() * sizeof(T)) == 0);
  }
}

}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_TARGETS_H_
