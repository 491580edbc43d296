// Functions of the C library whose last bit differs between machines, computed the same everywhere:
// plain double arithmetic and explicit fma, no tables.
#ifndef JUNTO_BASE_MATH_H_
#define JUNTO_BASE_MATH_H_

#include <cmath>
#include <cstdint>

namespace junto {

// 1/n!, the coefficients of the series below.
constexpr double InverseFactorial(int n) {
  double product = 1.0;
  for (int i = 2; i <= n; ++i) product *= i;
  return 1.0 / product;
}

// ln x for finite x > 0, within 1e-15 (1 + |ln x|): 2 artanh((m - 1) / (m + 1)) + e ln 2.
inline double ExactLog(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752) {
    m *= 2.0;
    --exponent;
  }
  const double s = (m - 1.0) / (m + 1.0);  // |s| < 0.172
  const double square = s * s;
  double sum = 0.0;
  for (int n = 23; n >= 1; n -= 2) sum = std::fma(sum, square, 1.0 / n);
  return std::fma(exponent, 0.69314718055994531, 2.0 * s * sum);
}

// e^x for |x| < 700, within 1e-15 (1 + |x|), relative.
inline double ExactExp(double x) {
  const double n = std::floor(x * 1.4426950408889634 + 0.5);
  const double r = std::fma(-n, 0.69314718055994531, x);  // |r| < 0.35
  double sum = 0.0;
  for (int i = 14; i >= 0; --i) sum = std::fma(sum, r, InverseFactorial(i));
  return std::ldexp(sum, static_cast<int>(n));
}

}  // namespace junto

#endif  // JUNTO_BASE_MATH_H_
