// A digest of results whose bits are promised to be the same on every machine. A test adds what it
// computed; the program prints one line at its end, which tests/aarch64.sh compares.
#ifndef JUNTO_TESTS_SUPPORT_BITS_H_
#define JUNTO_TESTS_SUPPORT_BITS_H_

#include <cstdint>
#include <type_traits>
#include <vector>

#include "junto/base/hash.h"

namespace junto {
namespace test {

class Bits {
 public:
  static Bits& OfThisProgram() {
    static Bits bits;
    return bits;
  }

  template <class T>
  void Add(const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable<T>::value, "added as bytes");
    hash_.Add(values.data(), values.size() * sizeof(T));
    ++results_;
  }

  uint64_t results() const { return results_; }
  uint64_t digest() const { return hash_.value(); }

 private:
  uint64_t results_ = 0;
  Hash hash_;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_BITS_H_
