// A digest of results whose bits are promised to be the same on every machine. A test adds what it
// computed; the program prints one line at its end, which tests/aarch64.sh compares.
#ifndef JUNTO_TESTS_SUPPORT_BITS_H_
#define JUNTO_TESTS_SUPPORT_BITS_H_

#include <cstdint>
#include <type_traits>
#include <vector>

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
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    for (size_t i = 0; i < values.size() * sizeof(T); ++i) {  // FNV-1a
      digest_ = (digest_ ^ bytes[i]) * 1099511628211u;
    }
    ++results_;
  }

  uint64_t results() const { return results_; }
  uint64_t digest() const { return digest_; }

 private:
  uint64_t results_ = 0;
  uint64_t digest_ = 14695981039346656037u;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_BITS_H_
