// Attention and the key/value store against a slow twin in double.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/targets.h"

namespace junto {
namespace {

struct Shape {
  uint32_t key_dim;
  uint32_t value_dim;
  uint32_t group;
};

// One key/value head's cache over a ring of blocks, and what was put into it.
class Cache {
 public:
  // Everything that is not written is NaN.
  Cache(const Shape& shape, KvType type, uint32_t block_count)
      : shape_(shape), type_(type), key_bytes_(kKvBlock * shape.key_dim * KvTypeSize(type)) {
    const size_t bytes = kOffset + key_bytes_ + kKvBlock * shape.value_dim * KvTypeSize(type);
    storage_.assign(block_count, std::vector<uint8_t>(bytes, 0xFF));
    for (auto& block : storage_) blocks_.push_back(block.data());
  }

  void Store(const KernelTable& kernels, uint64_t position, const float* key, const float* value) {
    uint8_t* const block = storage_[position / kKvBlock % storage_.size()].data() + kOffset;
    kernels.store_kv({block, block + key_bytes_, type_, static_cast<uint32_t>(position % kKvBlock),
                      shape_.key_dim, shape_.value_dim, key, value});
  }

  void Fill(AttentionArgs* args) const {
    args->blocks = blocks_.data();
    args->block_count = static_cast<uint32_t>(blocks_.size());
    args->key_offset = kOffset;
    args->value_offset = kOffset + key_bytes_;
    args->type = type_;
    args->key_dim = shape_.key_dim;
    args->value_dim = shape_.value_dim;
  }

  const uint8_t* block(size_t i) const { return blocks_[i]; }

 private:
  static constexpr size_t kOffset = 12;
  Shape shape_;
  KvType type_;
  size_t key_bytes_;
  std::vector<std::vector<uint8_t>> storage_;
  std::vector<const uint8_t*> blocks_;
};

// What a cache of this type makes of a number of ordinary size.
float Rounded(float x, KvType type) {
  if (type == KvType::kF32) return x;
  int exponent = 0;
  std::frexp(x, &exponent);
  const int bits = type == KvType::kF16 ? 11 : 8;
  const double ulp = std::ldexp(1.0, std::max(exponent - bits, type == KvType::kF16 ? -24 : -133));
  return static_cast<float>(std::nearbyint(x / ulp) * ulp);
}

// A problem: `end` positions of random keys and values, one query row.
struct Problem {
  Problem(const Shape& shape, KvType type, uint64_t end, uint32_t seed)
      : shape(shape), type(type), end(end) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const auto draw = [&](uint64_t n) {
      std::vector<float> x(n);
      for (float& v : x) v = normal(random);
      return x;
    };
    keys = draw(end * shape.key_dim);
    values = draw(end * shape.value_dim);
    query = draw(uint64_t{shape.group} * query_stride());
    sink_logits = draw(shape.group);
  }

  size_t query_stride() const { return shape.key_dim + 3; }
  size_t out_stride() const { return shape.value_dim + 2; }

  // Only positions [stored_from, end) exist.
  std::vector<float> Run(const KernelTable& kernels, uint32_t block_count,
                         uint64_t stored_from) const {
    Cache cache(shape, type, block_count);
    for (uint64_t p = stored_from; p < end; ++p) {
      cache.Store(kernels, p, &keys[p * shape.key_dim], &values[p * shape.value_dim]);
    }
    std::vector<float> out(shape.group * out_stride(), -7.0f);
    AttentionArgs args{};
    cache.Fill(&args);
    args.first = first;
    args.end = end;
    args.query = query.data();
    args.query_stride = query_stride();
    args.group = shape.group;
    args.scale = scale;
    args.softcap = softcap;
    args.sinks = sinks ? sink_logits.data() : nullptr;
    args.out = out.data();
    args.out_stride = out_stride();
    kernels.attention(args);
    return out;
  }

  std::vector<float> Run(const KernelTable& kernels) const {
    return Run(kernels, static_cast<uint32_t>(end / kKvBlock + 1), 0);
  }

  std::vector<double> Exact(uint32_t head) const {
    std::vector<double> scores;
    double maximum = sinks ? sink_logits[head] : -1e300;
    for (uint64_t p = first; p < end; ++p) {
      double dot = 0.0;
      for (uint32_t d = 0; d < shape.key_dim; ++d) {
        dot +=
            double{query[head * query_stride() + d]} * Rounded(keys[p * shape.key_dim + d], type);
      }
      dot *= scale;
      if (softcap > 0.0f) dot = softcap * std::tanh(dot / softcap);
      scores.push_back(dot);
      maximum = std::max(maximum, dot);
    }
    double sum = sinks ? std::exp(sink_logits[head] - maximum) : 0.0;
    std::vector<double> out(shape.value_dim, 0.0);
    for (uint64_t p = first; p < end; ++p) {
      const double weight = std::exp(scores[p - first] - maximum);
      sum += weight;
      for (uint32_t c = 0; c < shape.value_dim; ++c) {
        out[c] += weight * Rounded(values[p * shape.value_dim + c], type);
      }
    }
    for (double& v : out) v /= sum;
    return out;
  }

  void Check() const {
    std::vector<std::vector<double>> exact;
    for (uint32_t h = 0; h < shape.group; ++h) exact.push_back(Exact(h));
    OnEveryTarget([&](const KernelTable& kernels) {
      INFO("dims " << shape.key_dim << "/" << shape.value_dim << ", group " << shape.group
                   << ", type " << static_cast<int>(type) << ", [" << first << ", " << end << ")");
      const auto out = Run(kernels);
      for (uint32_t h = 0; h < shape.group; ++h) {
        for (uint32_t c = 0; c < shape.value_dim; ++c) {
          REQUIRE(std::fabs(out[h * out_stride() + c] - exact[h][c]) < 3e-6);
        }
        REQUIRE(out[h * out_stride() + shape.value_dim] == -7.0f);
        REQUIRE(out[h * out_stride() + shape.value_dim + 1] == -7.0f);
      }
    });
    RequireSameBits([&](const KernelTable& kernels) { return Run(kernels); });
  }

  Shape shape;
  KvType type;
  uint64_t end;
  uint64_t first = 0;
  float scale = 0.125f;
  float softcap = 0.0f;
  bool sinks = false;
  std::vector<float> keys;
  std::vector<float> values;
  std::vector<float> query;
  std::vector<float> sink_logits;
};

const KvType kTypes[] = {KvType::kF32, KvType::kF16, KvType::kBF16};

TEST_CASE("attention against double: shapes, types, ends of blocks") {
  for (const Shape& shape : {Shape{64, 64, 8}, Shape{192, 128, 3}, Shape{45, 45, 2}, Shape{1, 1, 1},
                             Shape{128, 72, 5}, Shape{16, 512, 6}}) {
    for (KvType type : kTypes) {
      for (uint64_t end : {1, 17, 64, 65, 200}) Problem(shape, type, end, 21).Check();
    }
  }
}

TEST_CASE("attention for every group size") {
  for (uint32_t group : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 16u, 17u, 20u}) {
    Problem problem({32, 24, group}, KvType::kF16, 150, 22);
    problem.sinks = group % 2 == 0;
    problem.Check();

    // A head's result does not depend on its company.
    OnEveryTarget([&](const KernelTable& kernels) {
      const auto together = problem.Run(kernels);
      for (uint32_t h = 0; h < group; ++h) {
        Problem alone = problem;
        alone.shape.group = 1;
        alone.query.erase(alone.query.begin(),
                          alone.query.begin() + static_cast<long>(h * problem.query_stride()));
        alone.sink_logits = {problem.sink_logits[h]};
        const auto out = alone.Run(kernels);
        REQUIRE(std::memcmp(out.data(), &together[h * problem.out_stride()],
                            out.size() * sizeof(float)) == 0);
      }
    });
  }
}

TEST_CASE("attention with windows, softcap and sinks") {
  for (KvType type : kTypes) {
    for (uint64_t first : {1, 15, 63, 64, 100, 128, 190, 199}) {
      Problem problem({64, 64, 4}, type, 200, 23);
      problem.first = first;
      problem.Check();
      problem.softcap = 2.0f;
      problem.scale = 0.5f;
      problem.Check();
      problem.sinks = true;
      problem.Check();
    }
  }
}

TEST_CASE("a window in a ring of blocks reads nothing outside itself") {
  // Positions before the window were never stored, so their memory is NaN; with fewer blocks than
  // the context has, later blocks take the place of earlier ones.
  for (KvType type : kTypes) {
    for (uint64_t end : {130, 200, 321}) {
      Problem problem({40, 40, 3}, type, end, 24);
      problem.first = end - 100;
      problem.sinks = true;
      OnEveryTarget([&](const KernelTable& kernels) {
        const auto everything = problem.Run(kernels);
        for (uint32_t blocks : {3u, 4u, 7u}) {
          const auto ring = problem.Run(kernels, blocks, problem.first);
          REQUIRE(std::memcmp(ring.data(), everything.data(), ring.size() * sizeof(float)) == 0);
        }
      });
    }
  }
}

TEST_CASE("sinks: published value, none, overwhelming") {
  // Scores 1 and 2 beside a sink of 0.5.
  Problem problem({1, 2, 1}, KvType::kF32, 2, 25);
  problem.scale = 1.0f;
  problem.sinks = true;
  problem.query[0] = 1.0f;
  problem.keys = {1.0f, 2.0f};
  problem.values = {1.0f, 0.0f, 0.0f, 1.0f};
  problem.sink_logits = {0.5f};
  OnEveryTarget([&](const KernelTable& kernels) {
    auto out = problem.Run(kernels);
    CHECK(out[0] == Approx(0.231224).epsilon(2e-6));
    CHECK(out[1] == Approx(0.628532).epsilon(2e-6));

    Problem other = problem;
    other.sink_logits = {-std::numeric_limits<float>::infinity()};
    out = other.Run(kernels);
    other.sinks = false;
    CHECK(out == other.Run(kernels));
    other.sinks = true;
    other.sink_logits = {1000.0f};
    CHECK(other.Run(kernels)[0] == 0.0f);
  });
}

TEST_CASE("large scores do not overflow, NaN stays NaN") {
  OnEveryTarget([](const KernelTable& kernels) {
    Problem problem({8, 8, 2}, KvType::kF32, 140, 26);
    problem.scale = 1e6f;
    for (uint32_t h = 0; h < 2; ++h) {
      for (uint32_t c = 0; c < 8; ++c) REQUIRE(std::isfinite(problem.Run(kernels)[h * 10 + c]));
    }
    problem.scale = 1.0f;
    problem.keys[70 * 8] = std::numeric_limits<float>::quiet_NaN();
    const auto out = problem.Run(kernels);
    CHECK(std::isnan(out[0]));
    CHECK(std::isnan(out[17]));
  });
}

// Nearest of the finite halves (bfloats) and infinity, ties to even, by trial.
uint16_t Narrow(float x, KvType type) {
  const int fraction = type == KvType::kF16 ? 10 : 7;
  const int bias = type == KvType::kF16 ? 15 : 127;
  const uint16_t infinity = type == KvType::kF16 ? 0x7C00 : 0x7F80;
  const double a = std::fabs(static_cast<double>(x));
  const auto value = [&](uint16_t bits) {
    const int exponent = bits >> fraction;
    const int mantissa = bits & ((1 << fraction) - 1);
    return exponent == 0 ? std::ldexp(mantissa, 1 - bias - fraction)
                         : std::ldexp(mantissa + (1 << fraction), exponent - bias - fraction);
  };
  uint16_t low = 0;
  uint16_t high = infinity;
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (value(middle) <= a ? low : high) = middle;
  }
  const double below = a - value(low);
  const double above = value(high) - a;
  const bool up = above < below || (above == below && low % 2 == 1);
  const auto bits = std::isinf(x) ? infinity : up ? high : low;
  return static_cast<uint16_t>(bits | (std::signbit(x) ? 0x8000 : 0));
}

TEST_CASE("store_kv rounds to nearest even and writes only its slot") {
  std::vector<float> x = {0.0f,      -0.0f,    1.0f,     65504.0f, 65519.9f,   65520.0f,
                          -65536.0f, 0x1p-14f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 0x1p-26f,
                          3.4e38f,   -3.4e38f, 1e-40f,   1e-45f,   0x1p-133f,  0x1.fffp-15f};
  x.push_back(std::numeric_limits<float>::infinity());
  std::mt19937 random(27);
  while (x.size() < 2003) {
    const auto bits = static_cast<uint32_t>(random());
    float f;
    std::memcpy(&f, &bits, 4);
    if (!std::isfinite(f)) continue;
    x.push_back(f);
    x.push_back(std::ldexp(f, -std::ilogb(f) - static_cast<int>(random() % 30)));
  }
  const Shape shape{static_cast<uint32_t>(x.size()), static_cast<uint32_t>(x.size()), 1};
  for (KvType type : {KvType::kF16, KvType::kBF16}) {
    std::vector<uint16_t> expected;
    for (float f : x) expected.push_back(Narrow(f, type));
    OnEveryTarget([&](const KernelTable& kernels) {
      Cache cache(shape, type, 1);
      cache.Store(kernels, 37, x.data(), x.data());
      const size_t n = x.size();
      std::vector<uint16_t> block(2 * n * kKvBlock);
      std::memcpy(block.data(), cache.block(0) + 12, block.size() * 2);
      for (size_t i = 0; i < n; ++i) {
        INFO("value " << x[i]);
        REQUIRE(block[i * kKvBlock + 37] == expected[i]);
        REQUIRE(block[i * kKvBlock + 36] == 0xFFFF);
        REQUIRE(block[i * kKvBlock + 38] == 0xFFFF);
        REQUIRE(block[(n + 37) * kKvBlock - 37 * kKvBlock + 37 * n + i] == expected[i]);
        REQUIRE(block[n * kKvBlock + 36 * n + i] == 0xFFFF);
        REQUIRE(block[n * kKvBlock + 38 * n + i] == 0xFFFF);
      }

      const std::vector<float> nan(n, std::numeric_limits<float>::quiet_NaN());
      cache.Store(kernels, 37, nan.data(), nan.data());
      uint16_t bits;
      std::memcpy(&bits, cache.block(0) + 12 + 37 * 2, 2);
      CHECK((bits & 0x7FFF) > (type == KvType::kF16 ? 0x7C00 : 0x7F80));
    });
  }
}

TEST_CASE("every half and every bfloat reads back exactly") {
  // One key of one element; a query of 1 and a single position make the value the output.
  OnEveryTarget([](const KernelTable& kernels) {
    for (KvType type : {KvType::kF16, KvType::kBF16}) {
      for (uint32_t start = 0; start < 0x10000; start += 4096) {
        std::vector<uint16_t> block(64 + 64 * 4096);
        for (uint32_t i = 0; i < 4096; ++i) block[64 + i] = static_cast<uint16_t>(start + i);
        const auto* bytes = reinterpret_cast<const uint8_t*>(block.data());
        const float query = 1.0f;
        std::vector<float> out(4096);
        AttentionArgs args{};
        args.blocks = &bytes;
        args.block_count = 1;
        args.value_offset = 128;
        args.type = type;
        args.key_dim = 1;
        args.value_dim = 4096;
        args.end = 1;
        args.query = &query;
        args.group = 1;
        args.scale = 1.0f;
        args.out = out.data();
        kernels.attention(args);
        for (uint32_t i = 0; i < 4096; ++i) {
          const uint32_t bits = start + i;
          const int exponent = type == KvType::kF16 ? bits >> 10 & 31 : bits >> 7 & 255;
          const int mantissa = type == KvType::kF16 ? bits & 1023 : bits & 127;
          const int top = type == KvType::kF16 ? 31 : 255;
          const int shift = type == KvType::kF16 ? 25 : 134;
          if (exponent == top) {
            REQUIRE((mantissa == 0 ? std::isinf(out[i]) : std::isnan(out[i])));
            continue;
          }
          const int whole =
              exponent == 0 ? mantissa : mantissa + (type == KvType::kF16 ? 1024 : 128);
          const double exact = std::ldexp(whole, std::max(exponent, 1) - shift);
          REQUIRE(out[i] == static_cast<float>(bits >> 15 ? -exact : exact));
        }
      }
    }
  });
}

}  // namespace
}  // namespace junto
