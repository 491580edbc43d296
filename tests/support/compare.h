// How far results are from what they should be.
#ifndef JUNTO_TESTS_SUPPORT_COMPARE_H_
#define JUNTO_TESTS_SUPPORT_COMPARE_H_

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

namespace junto {
namespace test {

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// The largest |error| / (1 + |expected|).
inline float WorstError(const std::vector<float>& found, const std::vector<float>& expected) {
  REQUIRE(found.size() == expected.size());
  float worst = 0.0f;
  for (size_t i = 0; i < found.size(); ++i) {
    worst = std::max(worst, std::abs(found[i] - expected[i]) / (1.0f + std::abs(expected[i])));
  }
  return worst;
}

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_COMPARE_H_
