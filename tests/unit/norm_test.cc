// Norms, quantisation and the small elementwise kernels.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/targets.h"

namespace junto {
namespace {

const size_t kSizes[] = {1, 2, 7, 15, 16, 17, 33, 100, 576, 2880, 2881};

std::vector<float> Normal(size_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

TEST_CASE("rms_norm against double") {
  for (size_t n : kSizes) {
    const auto x = Normal(n + 1, 1, 30.0f);
    const auto weight = Normal(n + 1, 2);
    double squares = 0.0;
    for (size_t i = 0; i < n; ++i) squares += double{x[i + 1]} * x[i + 1];
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    OnEveryTarget([&](const KernelTable& kernels) {
      INFO("n " << n);
      std::vector<float> y(n + 2, -7.0f);
      kernels.rms_norm(x.data() + 1, weight.data() + 1, n, 1e-5f, y.data() + 1);
      for (size_t i = 0; i < n; ++i) {
        const double exact = x[i + 1] * scale * weight[i + 1];
        REQUIRE(std::fabs(y[i + 1] - exact) <= 1e-6 * std::fabs(exact));
      }
      REQUIRE(y[0] == -7.0f);
      REQUIRE(y[n + 1] == -7.0f);

      std::vector<float> ones(n, 1.0f);
      std::vector<float> weighted(n);
      kernels.rms_norm(x.data(), ones.data(), n, 1e-6f, weighted.data());
      std::vector<float> in_place(x.begin(), x.begin() + static_cast<long>(n));
      kernels.rms_norm(in_place.data(), nullptr, n, 1e-6f, in_place.data());
      REQUIRE(in_place == weighted);
    });
  }
}

TEST_CASE("rms_norm agrees to the bit and survives zeros") {
  RequireSameBits([](const KernelTable& kernels) {
    std::vector<float> all;
    for (size_t n : kSizes) {
      const auto x = Normal(n, 3);
      std::vector<float> y(n);
      kernels.rms_norm(x.data(), Normal(n, 4).data(), n, 1e-5f, y.data());
      all.insert(all.end(), y.begin(), y.end());
    }
    return all;
  });
  OnEveryTarget([](const KernelTable& kernels) {
    std::vector<float> x(20, 0.0f);
    kernels.rms_norm(x.data(), nullptr, x.size(), 1e-6f, x.data());
    for (float v : x) CHECK(v == 0.0f);
    kernels.rms_norm(x.data(), nullptr, 0, 1e-6f, x.data());
  });
}

// The contract of ActivationBlock, written out.
struct SlowBlock {
  float scale = 0.0f;
  int sum[3] = {};
  float step[32] = {};   // scale * sub_scale of each column
  float value[32] = {};  // step * q
};
SlowBlock QuantiseSlowly(const float* x) {
  SlowBlock y;
  float maximum = 0.0f;
  for (int i = 0; i < 32; ++i) maximum = std::fmax(maximum, std::fabs(x[i]));
  if (maximum < 0x1p-112f) return y;
  y.scale = maximum / 8001.0f;
  for (int group = 0; group < 4; ++group) {
    // Columns 0 1 4 5 8 9 12 13 of a half, or 2 3 6 7 10 11 14 15.
    int columns[8];
    for (int i = 0; i < 8; ++i) columns[i] = group / 2 * 16 + i / 2 * 4 + group % 2 * 2 + i % 2;
    float largest = 0.0f;
    for (int i : columns) largest = std::fmax(largest, std::fabs(x[i]));
    const float sub_scale = std::fmin(63.0f, std::ceil(largest * (63.0f / maximum)));
    if (sub_scale == 0.0f) continue;
    for (int i : columns) {
      const float q = std::nearbyint(x[i] * (8001.0f / maximum / sub_scale));
      y.step[i] = y.scale * sub_scale;
      y.value[i] = y.step[i] * q;
      y.sum[i / 16] += static_cast<int>(sub_scale * q);
    }
  }
  y.sum[2] = y.sum[0] + y.sum[1];
  return y;
}

TEST_CASE("a quantised value is off by at most half a step of its group") {
  const std::vector<float> x = Normal(32 * 500, 9, 2.0f);
  OnEveryTarget([&](const KernelTable& kernels) {
    std::vector<ActivationBlock> y(x.size() / 32);
    std::vector<float> rounded(x.size());
    kernels.quantise(x.data(), x.size(), y.data());
    kernels.dequantise(y.data(), x.size(), rounded.data());
    for (size_t b = 0; b < y.size(); ++b) {
      const SlowBlock expected = QuantiseSlowly(&x[32 * b]);
      for (size_t i = 0; i < 32; ++i) {
        REQUIRE(std::fabs(rounded[32 * b + i] - x[32 * b + i]) <= expected.step[i] * 0.50001f);
      }
    }
  });
}

TEST_CASE("quantise follows its contract to the bit") {
  std::vector<float> x = Normal(32 * 200, 5, 3.0f);
  for (size_t i = 0; i < 32; ++i) x[i] = 0.0f;
  for (size_t i = 32; i < 64; ++i) x[i] = static_cast<float>(i) - 47.5f;      // ties
  for (size_t i = 64; i < 96; ++i) x[i] = i % 2 == 0 ? 3.0e38f : -3.0e38f;    // near the end
  for (size_t i = 96; i < 128; ++i) x[i] = static_cast<float>(i) * 1.0e-33f;  // near the other
  for (size_t i = 128; i < 160; ++i) x[i] = i == 150 ? 127.0f : 0.5f + static_cast<float>(i % 3);
  OnEveryTarget([&](const KernelTable& kernels) {
    std::vector<ActivationBlock> y(x.size() / 32);
    for (ActivationBlock& block : y) std::memset(&block, 0xA5, sizeof(block));
    kernels.quantise(x.data(), x.size(), y.data());
    for (size_t b = 0; b < y.size(); ++b) {
      INFO("block " << b);
      const SlowBlock expected = QuantiseSlowly(&x[32 * b]);
      float values[32];
      kernels.dequantise(&y[b], 32, values);
      REQUIRE(std::memcmp(&y[b].scale, &expected.scale, sizeof(float)) == 0);
      REQUIRE(std::memcmp(y[b].sum, expected.sum, sizeof(expected.sum)) == 0);
      for (int i = 0; i < 32; ++i) REQUIRE(values[i] == expected.value[i]);
    }
  });
}

TEST_CASE("quantise makes a block that is not finite NaN, and one of dust 0") {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  OnEveryTarget([&](const KernelTable& kernels) {
    for (float bad : {infinity, -infinity, nan, -nan}) {
      for (size_t place : {0, 9, 31}) {
        auto x = Normal(64, 6);
        x[place] = bad;
        ActivationBlock y[2];
        kernels.quantise(x.data(), 64, y);
        CHECK(std::isnan(y[0].scale));
        for (int32_t sum : y[0].sum) CHECK(sum == 0);
        for (int8_t q : y[0].q) CHECK(q == 0);
        CHECK(std::isfinite(y[1].scale));
      }
    }
    std::vector<float> dust(32, 1e-40f);
    ActivationBlock y;
    kernels.quantise(dust.data(), 32, &y);
    CHECK(y.scale == 0.0f);
    for (int32_t sum : y.sum) CHECK(sum == 0);
    for (int8_t q : y.q) CHECK(q == 0);
  });
}

TEST_CASE("add, scale_add, scale and softcap against double") {
  for (size_t n : kSizes) {
    const auto x = Normal(n, 7, 20.0f);
    const auto y = Normal(n, 8, 20.0f);
    OnEveryTarget([&](const KernelTable& kernels) {
      INFO("n " << n);
      auto sum = y;
      auto scaled_sum = y;
      auto scaled = x;
      auto capped = x;
      kernels.add(x.data(), n, sum.data());
      kernels.scale_add(0.3f, x.data(), n, scaled_sum.data());
      kernels.scale(-1.7f, n, scaled.data());
      kernels.softcap(30.0f, n, capped.data());
      for (size_t i = 0; i < n; ++i) {
        REQUIRE(sum[i] == x[i] + y[i]);
        if (kernels.has_fma) REQUIRE(scaled_sum[i] == std::fma(0.3f, x[i], y[i]));
        REQUIRE(std::fabs(scaled_sum[i] - (double{0.3f} * x[i] + y[i])) < 1e-5);
        REQUIRE(scaled[i] == x[i] * -1.7f);
        const double exact = 30.0 * std::tanh(x[i] / 30.0);
        REQUIRE(std::fabs(capped[i] - exact) <= 4e-7 * std::fabs(exact));
      }
    });
    RequireSameBits([&](const KernelTable& kernels) {
      auto z = y;
      kernels.scale_add(0.3f, x.data(), n, z.data());
      kernels.softcap(5.0f, n, z.data());
      return z;
    });
  }
}

}  // namespace
}  // namespace junto
