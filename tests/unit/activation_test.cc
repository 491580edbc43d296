// Feed-forward gates against double.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/targets.h"

namespace junto {
namespace {

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double Exact(const ActivationSpec& spec, double gate, double up) {
  switch (spec.kind) {
    case Activation::kSilu:
      return gate * Sigmoid(gate) * up;
    case Activation::kGelu: {
      const double inner =
          std::sqrt(2.0 / std::acos(-1.0)) * (gate + 0.044715 * gate * gate * gate);
      return 0.5 * gate * (1.0 + std::tanh(inner)) * up;
    }
    case Activation::kSwigluClamped: {
      const double g = std::fmin(gate, spec.limit);
      const double u = std::fmin(std::fmax(up, -spec.limit), spec.limit);
      return g * Sigmoid(spec.alpha * g) * (u + 1.0);
    }
  }
  return 0.0;
}

const ActivationSpec kSpecs[] = {{Activation::kSilu, 0.0f, 0.0f},
                                 {Activation::kGelu, 0.0f, 0.0f},
                                 {Activation::kSwigluClamped, 1.702f, 7.0f}};

std::vector<float> Uniform(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-12.0f, 12.0f);
  std::vector<float> x(n);
  for (float& v : x) v = uniform(random);
  return x;
}

TEST_CASE("activations against double, at odd sizes and in place") {
  for (const ActivationSpec& spec : kSpecs) {
    for (size_t n : {1, 2, 15, 16, 17, 31, 1000, 2881}) {
      const auto gate = Uniform(n, 1);
      const auto up = Uniform(n, 2);
      OnEveryTarget([&](const KernelTable& kernels) {
        INFO("kind " << static_cast<int>(spec.kind) << ", n " << n);
        std::vector<float> y(n + 1, -7.0f);
        kernels.activate(spec, gate.data(), up.data(), n, y.data());
        REQUIRE(y[n] == -7.0f);
        y.pop_back();
        for (size_t i = 0; i < n; ++i) {
          const double exact = Exact(spec, gate[i], up[i]);
          // The exponent's rounding grows with it; gelu's tail is absolutely tiny.
          REQUIRE(std::fabs(y[i] - exact) <= 2e-6 * std::fabs(exact) + 1e-7);
        }
        auto over_gate = gate;
        kernels.activate(spec, over_gate.data(), up.data(), n, over_gate.data());
        REQUIRE(over_gate == y);
        auto over_up = up;
        kernels.activate(spec, gate.data(), over_up.data(), n, over_up.data());
        REQUIRE(over_up == y);
      });
      RequireSameBits([&](const KernelTable& kernels) {
        std::vector<float> y(n);
        kernels.activate(spec, gate.data(), up.data(), n, y.data());
        return y;
      });
    }
  }
}

TEST_CASE("clamped swiglu meets the published values of gpt-oss") {
  const float gate[] = {1.0f, 10.0f, -3.0f, -1.0f, 0.0f, -1e30f};
  const float up[] = {0.5f, -9.0f, 2.0f, -1.0f, 4.0f, 1.0f};
  const double expected[] = {1.2686936, -41.999719, -0.0542139, 0.0, 0.0, 0.0};
  OnEveryTarget([&](const KernelTable& kernels) {
    float y[6];
    kernels.activate(kSpecs[2], gate, up, 6, y);
    for (int i = 0; i < 6; ++i) CHECK(y[i] == Approx(expected[i]).epsilon(1e-6).margin(1e-12));
  });
}

TEST_CASE("activations pass NaN on and stay finite at the ends") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float largest = std::numeric_limits<float>::max();
  for (const ActivationSpec& spec : kSpecs) {
    OnEveryTarget([&](const KernelTable& kernels) {
      const float gate[] = {nan, 1.0f, largest, -largest};
      const float up[] = {1.0f, nan, 1.0f, 1.0f};
      float y[4];
      kernels.activate(spec, gate, up, 4, y);
      CHECK(std::isnan(y[0]));
      CHECK(std::isnan(y[1]));
      CHECK(y[2] > 1.0f);
      CHECK(y[3] == 0.0f);
    });
  }
}

}  // namespace
}  // namespace junto
