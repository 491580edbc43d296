// The elementary functions against the C library's in double, over the whole range of float.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/unit/math_test.cc"
#include "junto/kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "junto/kernels/lanes-inl.h"
#include "junto/kernels/math-inl.h"

#ifndef JUNTO_TESTS_UNIT_MATH_TEST_TABLE_
#define JUNTO_TESTS_UNIT_MATH_TEST_TABLE_
namespace junto {

// In place, n floats.
struct MathTable {
  int64_t target;
  const char* name;
  bool has_fma;
  void (*exp)(size_t n, float* x);
  void (*sigmoid)(size_t n, float* x);
  void (*tanh)(size_t n, float* x);
  void (*softplus)(size_t n, float* x);
  float (*sum)(const float* x, size_t n);
  float (*squares)(const float* x, size_t n);
  float (*max)(const float* x, size_t n);
};

}  // namespace junto
#endif

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace {

struct TestExp {
  float* x;
  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(Exp(d, hn::LoadU(d, x + i)), d, x + i);
  }
};
struct TestSigmoid {
  float* x;
  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(Sigmoid(d, hn::LoadU(d, x + i)), d, x + i);
  }
};
struct TestTanh {
  float* x;
  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(Tanh(d, hn::LoadU(d, x + i)), d, x + i);
  }
};
struct TestSoftplus {
  float* x;
  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    hn::StoreU(Softplus(d, hn::LoadU(d, x + i)), d, x + i);
  }
};

void RunExp(size_t n, float* x) { ForEach(n, TestExp{x}); }
void RunSigmoid(size_t n, float* x) { ForEach(n, TestSigmoid{x}); }
void RunTanh(size_t n, float* x) { ForEach(n, TestTanh{x}); }
void RunSoftplus(size_t n, float* x) { ForEach(n, TestSoftplus{x}); }
float RunSum(const float* x, size_t n) { return Reduce<SumReduction>(x, n); }
float RunSquares(const float* x, size_t n) { return Reduce<SquaresReduction>(x, n); }
float RunMax(const float* x, size_t n) { return Reduce<MaxReduction>(x, n); }

MathTable GetMath() {
  return {HWY_TARGET,          HWY_STR(HWY_NAMESPACE),
          HWY_NATIVE_FMA != 0, RunExp,
          RunSigmoid,          RunTanh,
          RunSoftplus,         RunSum,
          RunSquares,          RunMax};
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/bits.h"

namespace junto {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<MathTable> Targets() {
  MathTable (*const compiled[])() = {HWY_CHOOSE_TARGET_LIST(GetMath), HWY_CHOOSE_FALLBACK(GetMath)};
  std::vector<MathTable> tables;
  for (auto get : compiled) {
    if (get == nullptr) continue;
    const MathTable table = get();
    const bool repeated = !tables.empty() && tables.back().target == table.target;
    if ((table.target & hwy::SupportedTargets()) != 0 && !repeated) tables.push_back(table);
  }
  return tables;
}

float FromBits(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

// Finite floats of both signs, all exponents, some 4 million; odd in number.
std::vector<float> EveryKindOfFloat() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < 0x100000000u; bits += 1021) {
    const float f = FromBits(static_cast<uint32_t>(bits));
    if (std::isfinite(f)) x.push_back(f);
  }
  // More of where the functions live.
  for (float f = -105.0f; f < 90.0f; f += 0.000213f) x.push_back(f);
  if (x.size() % 2 == 0) x.pop_back();
  return x;
}

// Distance in units of the last place of the float nearest to `exact`.
double UlpError(float found, double exact) {
  const float nearest = static_cast<float>(exact);
  if (std::isinf(nearest) || std::isinf(found)) {
    // Within 1e-6 of the border either is right.
    const bool border = std::fabs(std::fabs(exact) / 3.4028235677973366e38 - 1.0) < 1e-6;
    return found == nearest || border ? 0.0 : 1e9;
  }
  int exponent = 0;
  std::frexp(exact, &exponent);
  const double ulp = std::ldexp(1.0, exponent - 24 < -149 ? -149 : exponent - 24);
  return std::fabs(static_cast<double>(found) - exact) / ulp;
}

// The largest error over x, and where.
void RequireAccurate(void (*function)(size_t, float*), double (*exact)(double),
                     const std::vector<float>& x, const std::vector<double>& expected) {
  std::vector<float> y = x;
  function(y.size(), y.data());
  double worst = 0.0;
  float at = 0.0f;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = UlpError(y[i], expected[i]);
    if (error > worst) {
      worst = error;
      at = x[i];
    }
  }
  INFO("worst " << worst << " ulp at " << at << ", exact " << exact(at));
  CHECK(worst < 2.0);
}

double TrueSigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double TrueExp(double x) { return std::exp(x); }
double TrueTanh(double x) { return std::tanh(x); }
double TrueSoftplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

std::vector<double> Map(double (*f)(double), const std::vector<float>& x) {
  std::vector<double> y;
  for (float v : x) y.push_back(f(v));
  return y;
}

TEST_CASE("exp, sigmoid, tanh and softplus stay within 2 ulp") {
  const std::vector<float> x = EveryKindOfFloat();
  const auto exps = Map(TrueExp, x);
  const auto sigmoids = Map(TrueSigmoid, x);
  const auto tanhs = Map(TrueTanh, x);
  const auto softpluses = Map(TrueSoftplus, x);
  for (const MathTable& table : Targets()) {
    INFO(table.name);
    RequireAccurate(table.exp, TrueExp, x, exps);
    RequireAccurate(table.sigmoid, TrueSigmoid, x, sigmoids);
    RequireAccurate(table.tanh, TrueTanh, x, tanhs);
    RequireAccurate(table.softplus, TrueSoftplus, x, softpluses);
  }
}

TEST_CASE("exp, sigmoid, tanh and softplus agree to the bit on targets with fma") {
  std::vector<std::vector<float>> results;
  for (const MathTable& table : Targets()) {
    if (!table.has_fma) continue;
    std::vector<float> y;
    for (auto function : {table.exp, table.sigmoid, table.tanh, table.softplus}) {
      std::vector<float> part = EveryKindOfFloat();
      function(part.size(), part.data());
      y.insert(y.end(), part.begin(), part.end());
    }
    results.push_back(y);
  }
  if (!results.empty()) test::Bits::OfThisProgram().Add(results[0]);
  for (size_t i = 1; i < results.size(); ++i) {
    REQUIRE(std::memcmp(results[i].data(), results[0].data(), results[0].size() * 4) == 0);
  }
}

TEST_CASE("elementary functions at their special values") {
  for (const MathTable& table : Targets()) {
    INFO(table.name);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> e = {0.0f, -0.0f, -kInfinity, kInfinity, nan, 88.8f, -104.5f, -103.0f};
    table.exp(e.size(), e.data());
    CHECK(e[0] == 1.0f);
    CHECK(e[1] == 1.0f);
    CHECK(e[2] == 0.0f);
    CHECK(e[3] == kInfinity);
    CHECK(std::isnan(e[4]));
    CHECK(e[5] == kInfinity);
    CHECK(e[6] == 0.0f);
    CHECK(e[7] == FromBits(1));  // gradual underflow

    std::vector<float> s = {0.0f, -kInfinity, kInfinity, nan, 100.0f};
    table.sigmoid(s.size(), s.data());
    CHECK(s[0] == 0.5f);
    CHECK(s[1] == 0.0f);
    CHECK(s[2] == 1.0f);
    CHECK(std::isnan(s[3]));
    CHECK(s[4] == 1.0f);

    std::vector<float> t = {-0.0f, -kInfinity, kInfinity, nan, FromBits(1)};
    table.tanh(t.size(), t.data());
    CHECK(t[0] == 0.0f);
    CHECK(std::signbit(t[0]));
    CHECK(t[1] == -1.0f);
    CHECK(t[2] == 1.0f);
    CHECK(std::isnan(t[3]));
    CHECK(t[4] == FromBits(1));

    std::vector<float> p = {-kInfinity, kInfinity, nan, 100.0f, -104.5f};
    table.softplus(p.size(), p.data());
    CHECK(p[0] == 0.0f);
    CHECK(p[1] == kInfinity);
    CHECK(std::isnan(p[2]));
    CHECK(p[3] == 100.0f);
    CHECK(p[4] == 0.0f);
  }
}

// The contract's order, written out.
template <class Take, class Join>
float Tree(const std::vector<float>& x, float identity, Take take, Join join) {
  float lanes[16];
  for (float& lane : lanes) lane = identity;
  for (size_t i = 0; i < x.size(); ++i) lanes[i % 16] = take(lanes[i % 16], x[i]);
  for (int half = 8; half >= 1; half /= 2) {
    for (int l = 0; l < half; ++l) lanes[l] = join(lanes[l], lanes[l + half]);
  }
  return lanes[0];
}

TEST_CASE("reductions follow the tree of 16 virtual lanes") {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  const auto add = [](float a, float b) { return a + b; };
  const auto larger = [](float a, float b) { return a > b ? a : b; };
  for (size_t n : {0, 1, 3, 15, 16, 17, 31, 64, 100, 576, 2881}) {
    std::vector<float> x(n);
    for (float& v : x) v = normal(random);
    for (const MathTable& table : Targets()) {
      INFO(table.name << ", n " << n);
      CHECK(table.sum(x.data(), n) == Tree(x, 0.0f, add, add));
      CHECK(table.max(x.data(), n) == Tree(x, -kInfinity, larger, larger));
      const bool fma = table.has_fma;
      const auto square = [fma](float a, float b) { return fma ? std::fma(b, b, a) : b * b + a; };
      CHECK(table.squares(x.data(), n) == Tree(x, 0.0f, square, add));
    }
  }
}

}  // namespace
}  // namespace junto
#endif  // HWY_ONCE
