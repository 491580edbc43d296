// Rotary embedding: frequencies against published tables, angles against the C library, and the
// rotation itself.
#include "junto/kernels/rope.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/targets.h"

namespace junto {
namespace {

std::vector<double> Frequencies(const RopeSpec& spec, float* magnitude = nullptr) {
  REQUIRE(CheckRope(spec).ok());
  std::vector<double> frequencies(spec.dims / 2);
  float factor = 0.0f;
  RopeFrequencies(spec, frequencies.data(), &factor);
  if (magnitude != nullptr) *magnitude = factor;
  return frequencies;
}

RopeSpec GptOss(bool truncate) {
  RopeSpec spec;
  spec.base = 150000.0;
  spec.dims = 64;
  spec.scaling = RopeScaling::kYarn;
  spec.factor = 32.0;
  spec.original_context = 4096;
  spec.truncate = truncate;
  return spec;
}

TEST_CASE("gpt-oss: yarn with and without truncation") {
  struct Row {
    int pair;
    double exact;
    double truncated;
  };
  const Row rows[] = {{0, 1.0, 1.0},
                      {8, 0.0508132748, 0.0508132748},
                      {9, 0.0317056962, 0.0316207523},
                      {12, 0.00679495949, 0.00701571391},
                      {15, 0.0010526021, 0.00120613097},
                      {17, 0.000129318701, 0.000227947796},
                      {18, 3.83088124e-05, 3.83088124e-05},
                      {31, 3.02351143e-07, 3.02351143e-07}};
  float magnitude = 0.0f;
  const auto exact = Frequencies(GptOss(false), &magnitude);
  const auto truncated = Frequencies(GptOss(true));
  for (const Row& row : rows) {
    INFO("pair " << row.pair);
    CHECK(exact[row.pair] == Approx(row.exact).epsilon(2e-9));
    CHECK(truncated[row.pair] == Approx(row.truncated).epsilon(2e-9));
  }
  CHECK(magnitude == static_cast<float>(1.3465735902799727));
}

TEST_CASE("plain frequencies are powers of the base") {
  for (double base : {100.0, 1e4, 1.5e5, 1e6, 5e6, 1e7}) {
    for (uint32_t dims : {2u, 36u, 64u, 90u, 128u, 512u}) {
      RopeSpec spec;
      spec.base = base;
      spec.dims = dims;
      float magnitude = 0.0f;
      const auto frequencies = Frequencies(spec, &magnitude);
      CHECK(magnitude == 1.0f);
      for (uint32_t i = 0; i < dims / 2; ++i) {
        CHECK(frequencies[i] == Approx(std::pow(base, -2.0 * i / dims)).epsilon(1e-14));
      }
    }
  }
}

TEST_CASE("scalings: linear, llama 3, divisors, explicit attention factor") {
  RopeSpec spec;
  spec.base = 500000.0;
  spec.dims = 128;
  const auto plain = Frequencies(spec);

  RopeSpec linear = spec;
  linear.scaling = RopeScaling::kLinear;
  linear.factor = 8.0;
  linear.attention_factor = 1.25;
  float magnitude = 0.0f;
  const auto divided = Frequencies(linear, &magnitude);
  CHECK(magnitude == 1.25f);

  RopeSpec llama = spec;
  llama.scaling = RopeScaling::kLlama3;
  llama.factor = 8.0;
  llama.original_context = 8192;
  const auto stretched = Frequencies(llama);

  // As Gemma 4's global layers: the first pairs turn, the others practically never.
  std::vector<float> factors(64, 1e30f);
  for (int i = 0; i < 16; ++i) factors[i] = 1.0f;
  RopeSpec proportional = spec;
  proportional.factors = factors.data();
  const auto partial = Frequencies(proportional);

  for (int i = 0; i < 64; ++i) {
    CHECK(divided[i] == Approx(plain[i] / 8.0).epsilon(1e-14));
    CHECK(partial[i] == Approx(i < 16 ? plain[i] : 0.0).margin(1e-29));
    const double wavelength = 2.0 * std::acos(-1.0) / plain[i];
    double expected = plain[i];
    if (wavelength > 8192.0) {
      expected = plain[i] / 8.0;
    } else if (wavelength > 8192.0 / 4.0) {
      const double smooth = (8192.0 / wavelength - 1.0) / (4.0 - 1.0);
      expected = (1.0 - smooth) * plain[i] / 8.0 + smooth * plain[i];
    }
    CHECK(stretched[i] == Approx(expected).epsilon(1e-13));
  }

  float cosine[64];
  float sine[64];
  RopeAngles(proportional, partial.data(), 1.0f, 262143, cosine, sine);
  CHECK(cosine[16] == 1.0f);
  CHECK(std::fabs(sine[63]) < 1e-20f);
}

TEST_CASE("sine, cosine, logarithm and exponential are right to the last bits") {
  std::mt19937_64 random(1);
  double worst = 0.0;
  for (double limit : {1.0, 100.0, 1e5, 1e7, 2147483647.0}) {
    std::uniform_real_distribution<double> angles(0.0, limit);
    for (int i = 0; i < 100000; ++i) {
      const double x = angles(random);
      const auto found = rope_internal::SinCos(x);
      worst = std::fmax(worst, std::fabs(found.sine - std::sin(x)));
      worst = std::fmax(worst, std::fabs(found.cosine - std::cos(x)));
    }
  }
  // Whole multiples of the quarter turn lose most of their digits.
  for (int n = 0; n < 10000; ++n) {
    const double x = n * std::acos(0.0);
    worst = std::fmax(worst, std::fabs(rope_internal::SinCos(x).sine - std::sin(x)));
  }
  CHECK(worst < 4e-16);

  std::uniform_real_distribution<double> exponents(-30.0, 30.0);
  for (int i = 0; i < 10000; ++i) {
    const double x = exponents(random);
    const double y = std::exp(x);
    REQUIRE(ExactExp(x) == Approx(y).epsilon(2e-15 * (1.0 + std::fabs(x))));
    REQUIRE(std::fabs(ExactLog(y) - std::log(y)) <= 1e-15 * (1.0 + std::fabs(x)));
  }
}

TEST_CASE("interleaved sections follow the rule of Qwen3.5") {
  RopeSpec spec;
  spec.base = 1e7;
  spec.dims = 64;
  const auto frequencies = Frequencies(spec);
  RopeSpec axes = spec;
  axes.sections[0] = 11;
  axes.sections[1] = 11;
  axes.sections[2] = 10;
  float cosine[32];
  float sine[32];

  axes.interleaved_sections = true;
  REQUIRE(CheckRope(axes).ok());
  RopeAngles(axes, frequencies.data(), 1.0f, RopePosition(6, 9, 11), cosine, sine);
  for (int j = 0; j < 32; ++j) {
    const double p = j % 3 == 1 && j < 33 ? 9.0 : j % 3 == 2 && j < 30 ? 11.0 : 6.0;
    CHECK(cosine[j] == static_cast<float>(std::cos(p * frequencies[j])));
    CHECK(sine[j] == static_cast<float>(std::sin(p * frequencies[j])));
  }

  axes.interleaved_sections = false;
  RopeAngles(axes, frequencies.data(), 1.0f, RopePosition(6, 9, 11), cosine, sine);
  for (int j = 0; j < 32; ++j) {
    const double p = j < 11 ? 6.0 : j < 22 ? 9.0 : 11.0;
    CHECK(cosine[j] == static_cast<float>(std::cos(p * frequencies[j])));
  }

  // Text turns as if there were no sections.
  float plain_cosine[32];
  float plain_sine[32];
  RopeAngles(spec, frequencies.data(), 1.5f, 1234, plain_cosine, plain_sine);
  RopeAngles(axes, frequencies.data(), 1.5f, 1234, cosine, sine);
  for (int j = 0; j < 32; ++j) {
    CHECK(plain_cosine[j] == cosine[j]);
    CHECK(plain_sine[j] == sine[j]);
  }
}

TEST_CASE("angles are as good at the end of a long context as at its beginning") {
  RopeSpec spec;
  spec.base = 1e7;
  spec.dims = 64;
  const auto frequencies = Frequencies(spec);
  float cosine[32];
  float sine[32];
  for (const uint64_t position : {1u, 4095u, 32768u, 262143u}) {
    RopeAngles(spec, frequencies.data(), 1.0f, position, cosine, sine);
    for (int j = 0; j < 32; ++j) {
      INFO("pair " << j << " at " << position);
      const double angle = static_cast<double>(position) * std::pow(1e7, -j / 32.0);
      CHECK(std::fabs(cosine[j] - std::cos(angle)) < 1e-7);
      CHECK(std::fabs(sine[j] - std::sin(angle)) < 1e-7);
    }
  }
}

TEST_CASE("bad rope numbers are refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const float factors[] = {1.0f, 0.0f};
  const auto refused = [](RopeSpec spec, void (*change)(RopeSpec*)) {
    change(&spec);
    const Status status = CheckRope(spec);
    CHECK(status.code() == Code::kFormat);
    CHECK(status.message()[0] != '\0');
  };
  const RopeSpec good = GptOss(false);
  REQUIRE(CheckRope(good).ok());
  refused(good, [](RopeSpec* s) { s->dims = 0; });
  refused(good, [](RopeSpec* s) { s->dims = 63; });
  refused(good, [](RopeSpec* s) { s->base = 1.0; });
  refused(good, [](RopeSpec* s) { s->base = -1e4; });
  refused(good, [](RopeSpec* s) { s->factor = 0.0; });
  refused(good, [](RopeSpec* s) { s->original_context = 0; });
  refused(good, [](RopeSpec* s) { s->beta_slow = 0.0; });
  refused(good, [](RopeSpec* s) { s->beta_fast = 0.5; });
  refused(good, [](RopeSpec* s) { s->attention_factor = -1.0; });
  refused(good, [](RopeSpec* s) { s->sections[1] = 31; });
  refused(good, [](RopeSpec* s) {
    s->scaling = RopeScaling::kLlama3;
    s->high_freq_factor = s->low_freq_factor;
  });
  RopeSpec spec = good;
  spec.base = nan;
  CHECK_FALSE(CheckRope(spec).ok());
  spec = good;
  spec.dims = 4;
  spec.factors = factors;
  CHECK(CheckRope(spec).code() == Code::kFormat);
}

TEST_CASE("rope rotates the right pairs and nothing else") {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  struct Shape {
    size_t heads;
    size_t stride;
    uint32_t dims;
  };
  for (const Shape& shape : {Shape{1, 2, 2}, Shape{3, 64, 64}, Shape{2, 192, 64}, Shape{5, 45, 42},
                             Shape{1, 512, 512}, Shape{4, 37, 34}}) {
    const uint32_t pairs = shape.dims / 2;
    std::vector<float> x(shape.heads * shape.stride + 1);
    for (float& v : x) v = normal(random);
    std::vector<float> cosine(pairs);
    std::vector<float> sine(pairs);
    for (uint32_t i = 0; i < pairs; ++i) {
      cosine[i] = std::cos(static_cast<float>(i) + 0.5f);
      sine[i] = std::sin(static_cast<float>(i) + 0.5f);
    }
    for (RopePairing pairing : {RopePairing::kHalves, RopePairing::kInterleaved}) {
      const auto run = [&](const KernelTable& kernels) {
        auto y = x;
        kernels.rope(y.data(), shape.heads, shape.stride, shape.dims, pairing, cosine.data(),
                     sine.data());
        return y;
      };
      OnEveryTarget([&](const KernelTable& kernels) {
        INFO("dims " << shape.dims << ", pairing " << static_cast<int>(pairing));
        const auto y = run(kernels);
        auto expected = std::vector<double>(x.begin(), x.end());
        for (size_t h = 0; h < shape.heads; ++h) {
          for (uint32_t i = 0; i < pairs; ++i) {
            const bool halves = pairing == RopePairing::kHalves;
            const size_t a = h * shape.stride + (halves ? i : 2 * i);
            const size_t b = h * shape.stride + (halves ? i + pairs : 2 * i + 1);
            expected[a] = double{x[a]} * cosine[i] - double{x[b]} * sine[i];
            expected[b] = double{x[b]} * cosine[i] + double{x[a]} * sine[i];
          }
        }
        for (size_t i = 0; i < x.size(); ++i) REQUIRE(std::fabs(y[i] - expected[i]) < 1e-6);
      });
      RequireSameBits(run);
    }
  }
}

}  // namespace
}  // namespace junto
