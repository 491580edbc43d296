// Arithmetic on sizes that come from outside: every function says whether the exact result fits.
#ifndef JUNTO_BASE_CHECKED_H_
#define JUNTO_BASE_CHECKED_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace junto {

template <class T>
[[nodiscard]] bool CheckedAdd(T a, T b, T* sum) {
  static_assert(std::is_unsigned<T>::value, "sizes are unsigned");
  if (a > std::numeric_limits<T>::max() - b) return false;
  *sum = a + b;
  return true;
}

template <class T>
[[nodiscard]] bool CheckedMul(T a, T b, T* product) {
  static_assert(std::is_unsigned<T>::value, "sizes are unsigned");
  if (b != 0 && a > std::numeric_limits<T>::max() / b) return false;
  *product = a * b;
  return true;
}

// Whether [offset, offset + size) lies inside [0, end).
[[nodiscard]] inline bool RangeFits(uint64_t offset, uint64_t size, uint64_t end) {
  return offset <= end && size <= end - offset;
}

template <class T>
constexpr T CeilDiv(T a, T b) {
  return a / b + (a % b != 0 ? 1 : 0);
}

// `alignment` is any positive number; the caller knows that the result fits.
template <class T>
constexpr T RoundUp(T a, T alignment) {
  return CeilDiv(a, alignment) * alignment;
}

constexpr bool IsPowerOfTwo(uint64_t x) { return x != 0 && (x & (x - 1)) == 0; }

}  // namespace junto

#endif  // JUNTO_BASE_CHECKED_H_
