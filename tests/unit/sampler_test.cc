// The sampler against its definition: exact distributions, hand-made filters, a plain twin.
#include "junto/runtime/sampler.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace junto {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int32_t Choose(const SamplingSpec& spec, std::vector<float> logits, uint64_t position = 0,
               const std::vector<int32_t>& recent = {}) {
  std::vector<Candidate> scratch(logits.size());
  const Sampler sampler{Span<Candidate>(scratch)};
  return sampler.Choose(spec, logits.data(), recent, position);
}

SamplingSpec At(float temperature, uint64_t seed = 1) {
  SamplingSpec spec;
  spec.temperature = temperature;
  spec.seed = seed;
  return spec;
}

// Every token that is chosen at some of many positions.
std::set<int32_t> Reachable(const SamplingSpec& spec, const std::vector<float>& logits) {
  std::set<int32_t> tokens;
  for (uint64_t position = 0; position < 400; ++position) {
    tokens.insert(Choose(spec, logits, position));
  }
  return tokens;
}

// Philox 4x32-10 as the paper writes it.
struct Philox {
  uint32_t out[4];
  Philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1)
      : out{c0, c1, c2, c3} {
    for (int round = 0; round < 10; ++round) {
      const uint64_t a = uint64_t{0xD2511F53} * out[0];
      const uint64_t b = uint64_t{0xCD9E8D57} * out[2];
      const uint32_t r0 = static_cast<uint32_t>(b >> 32) ^ out[1] ^ k0;
      const uint32_t r2 = static_cast<uint32_t>(a >> 32) ^ out[3] ^ k1;
      out[0] = r0;
      out[1] = static_cast<uint32_t>(b);
      out[2] = r2;
      out[3] = static_cast<uint32_t>(a);
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
  }
  bool Is(uint32_t a, uint32_t b, uint32_t c, uint32_t d) const {
    return out[0] == a && out[1] == b && out[2] == c && out[3] == d;
  }
};

TEST_CASE("random numbers are Philox 4x32-10") {
  // The known answers of the Random123 distribution.
  CHECK(Philox(0, 0, 0, 0, 0, 0).Is(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  CHECK(Philox(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff)
            .Is(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  CHECK(Philox(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0)
            .Is(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));

  CHECK(UniformAt(0, 0) == std::ldexp(uint64_t{0x6627e8d5} << 21 | 0xe169c58du >> 11, -53));
  std::mt19937_64 random(2);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t seed = random() >> random() % 64;
    const uint64_t counter = random() >> random() % 64;
    const Philox philox(static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0,
                        static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    const double high = std::ldexp(philox.out[0], -32);
    const double low = std::ldexp(philox.out[1] >> 11, -53);
    REQUIRE(UniformAt(seed, counter) == high + low);
    REQUIRE(UniformAt(seed, counter) < 1.0);
  }
}

TEST_CASE("greedy takes the largest, ties go to the lower id, NaN never wins") {
  const SamplingSpec greedy;
  CHECK(Choose(greedy, {1, 3, 2}) == 1);
  CHECK(Choose(greedy, {1, 3, 3, 3}) == 1);
  CHECK(Choose(greedy, {kNan, -5, kNan}) == 1);
  CHECK(Choose(greedy, {kNan, -kInfinity}) == 1);
  CHECK(Choose(greedy, {-kInfinity, -kInfinity}) == 0);
  CHECK(Choose(greedy, {kNan, kNan}) == 0);
  CHECK(Choose(greedy, {0, kInfinity, kInfinity}) == 1);
  CHECK(Choose(greedy, {-0.0f, 0.0f}) == 0);
  CHECK(Choose(greedy, {7}) == 0);
}

TEST_CASE("sampling survives logits that are no numbers") {
  for (const float temperature : {1e-30f, 0.5f, 100.0f}) {
    SamplingSpec spec = At(temperature);
    for (const bool filtered : {false, true}) {
      if (filtered) {
        spec.top_k = 2;
        spec.top_p = 0.9f;
        spec.min_p = 0.01f;
      }
      CHECK(Reachable(spec, {kNan, 1, kNan}) == std::set<int32_t>{1});
      CHECK(Reachable(spec, {0, kInfinity, kNan, kInfinity}) == std::set<int32_t>{1});
      CHECK(Reachable(spec, {-kInfinity, -kInfinity}) == std::set<int32_t>{0});
      CHECK(Reachable(spec, {kNan, kNan}) == std::set<int32_t>{0});
      CHECK(Reachable(spec, {-kInfinity, 2, kNan, 2}) == std::set<int32_t>{1, 3});
    }
  }
  CHECK(Reachable(At(1e-30f), {1, 1.0000001f, 0}) == std::set<int32_t>{1});
  CHECK(Reachable(At(1), {3e38f, -3e38f}) == std::set<int32_t>{0});
}

TEST_CASE("frequencies follow the softmax at a temperature") {
  const std::vector<float> logits = {0.3f, -1.2f, 2.1f, 0.3f, -0.4f, 1.4f, -2.0f, 0.9f};
  const int kDraws = 20000;
  for (const float temperature : {0.5f, 1.0f, 2.5f}) {
    for (const uint64_t seed : {0u, 12345u}) {
      std::vector<double> expected;
      double sum = 0;
      for (float logit : logits) expected.push_back(std::exp(double{logit} / temperature));
      for (double e : expected) sum += e;
      std::vector<int> counts(logits.size());
      for (int position = 0; position < kDraws; ++position) {
        ++counts[static_cast<size_t>(
            Choose(At(temperature, seed), logits, static_cast<uint64_t>(position)))];
      }
      double chi_square = 0;
      for (size_t i = 0; i < logits.size(); ++i) {
        const double mean = expected[i] / sum * kDraws;
        chi_square += (counts[i] - mean) * (counts[i] - mean) / mean;
      }
      INFO("temperature " << temperature << ", seed " << seed);
      CHECK(chi_square < 24.3);  // 7 degrees of freedom: one sampler in a thousand is above
    }
  }
}

TEST_CASE("filters keep what they say") {
  // Shares 0.4, 0.1, 0.3, 0.2.
  const std::vector<float> logits = {std::log(0.4f), std::log(0.1f), std::log(0.3f),
                                     std::log(0.2f)};
  using Set = std::set<int32_t>;
  const auto kept = [&](uint32_t top_k, float top_p, float min_p) {
    SamplingSpec spec = At(1);
    spec.top_k = top_k;
    spec.top_p = top_p;
    spec.min_p = min_p;
    return Reachable(spec, logits);
  };
  CHECK(kept(0, 1, 0) == Set{0, 1, 2, 3});
  CHECK(kept(1, 1, 0) == Set{0});
  CHECK(kept(2, 1, 0) == Set{0, 2});
  CHECK(kept(3, 1, 0) == Set{0, 2, 3});
  CHECK(kept(4, 1, 0) == Set{0, 1, 2, 3});
  CHECK(kept(4000, 1, 0) == Set{0, 1, 2, 3});
  // The fewest of the best whose sum reaches p.
  CHECK(kept(0, 0, 0) == Set{0});
  CHECK(kept(0, 0.39f, 0) == Set{0});
  CHECK(kept(0, 0.41f, 0) == Set{0, 2});
  CHECK(kept(0, 0.69f, 0) == Set{0, 2});
  CHECK(kept(0, 0.71f, 0) == Set{0, 2, 3});
  CHECK(kept(0, 0.91f, 0) == Set{0, 1, 2, 3});
  // A share of the best one's.
  CHECK(kept(0, 1, 0.24f) == Set{0, 1, 2, 3});
  CHECK(kept(0, 1, 0.26f) == Set{0, 2, 3});
  CHECK(kept(0, 1, 0.51f) == Set{0, 2});
  CHECK(kept(0, 1, 1) == Set{0});
  CHECK(kept(2, 1, -0.0f) == Set{0, 2});
  CHECK(kept(2, 0, -0.0f) == Set{0});
  // In order: p counts only what k left, and both may cut.
  CHECK(kept(2, 0.56f, 0) == Set{0});
  CHECK(kept(2, 0.58f, 0) == Set{0, 2});
  CHECK(kept(3, 0.80f, 0.6f) == Set{0, 2});
  // Filters follow temperature: cooled, shares are 0.53, 0.03, 0.30, 0.13.
  SamplingSpec cool = At(0.5f);
  cool.top_p = 0.52f;
  CHECK(Reachable(cool, logits) == Set{0});
}

TEST_CASE("equal logits are cut at the higher ids") {
  const std::vector<float> logits(6, -3.0f);
  SamplingSpec spec = At(0.7f);
  spec.top_k = 4;
  CHECK(Reachable(spec, logits) == std::set<int32_t>{0, 1, 2, 3});
  spec.top_p = 0.5f;  // exactly two of four
  CHECK(Reachable(spec, logits) == std::set<int32_t>{0, 1});
  spec.top_k = 0;
  CHECK(Reachable(spec, logits) == std::set<int32_t>{0, 1, 2});
  spec.top_p = 1.0f;
  spec.min_p = 1.0f;
  CHECK(Reachable(spec, logits) == std::set<int32_t>{0, 1, 2, 3, 4, 5});
}

// The definition without its short cuts: sort everything, cut, walk.
int32_t Twin(const SamplingSpec& spec, const std::vector<float>& logits, uint64_t position) {
  std::vector<Candidate> all;
  const float best = *std::max_element(logits.begin(), logits.end());
  for (size_t i = 0; i < logits.size(); ++i) {
    const double share = std::exp((double{logits[i]} - best) / spec.temperature);
    all.push_back({static_cast<float>(share), static_cast<int32_t>(i)});
  }
  const bool filtered = spec.top_k != 0 || spec.top_p < 1.0f || spec.min_p > 0.0f;
  if (filtered) {
    std::stable_sort(all.begin(), all.end(),
                     [](const Candidate& a, const Candidate& b) { return a.share > b.share; });
    if (spec.top_k != 0 && spec.top_k < all.size()) all.resize(spec.top_k);
    double total = 0;
    for (const Candidate& c : all) total += c.share;
    size_t count = 0;
    double sum = 0;
    while (count < all.size() && (count == 0 || spec.top_p == 1.0f || sum < spec.top_p * total) &&
           (count == 0 || all[count].share >= spec.min_p)) {
      sum += all[count++].share;
    }
    all.resize(count);
  }
  double total = 0;
  for (const Candidate& c : all) total += c.share;
  const double target = UniformAt(spec.seed, position) * total;
  double sum = 0;
  for (const Candidate& c : all) {
    sum += c.share;
    if (sum > target) return c.token;
  }
  return all.back().token;
}

TEST_CASE("any mixture of filters draws what the plain definition draws") {
  std::mt19937 random(9);
  std::normal_distribution<float> normal(0.0f, 2.0f);
  std::uniform_real_distribution<float> uniform;
  for (uint64_t trial = 0; trial < 3000; ++trial) {
    std::vector<float> logits(1 + random() % 200);
    for (float& logit : logits) logit = std::round(normal(random) * 8) / 8;  // with ties
    SamplingSpec spec = At(0.2f + 2 * uniform(random), random());
    if (random() % 2) spec.top_k = 1 + random() % 50;
    if (random() % 2) spec.top_p = uniform(random);
    if (random() % 2) spec.min_p = uniform(random) * 0.5f;
    INFO("trial " << trial << ": " << logits.size() << " logits, temperature " << spec.temperature
                  << ", k " << spec.top_k << ", p " << spec.top_p << ", min " << spec.min_p);
    REQUIRE(Choose(spec, logits, trial) == Twin(spec, logits, trial));
  }
}

TEST_CASE("a draw depends on seed and position alone") {
  std::vector<float> logits(300);
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  for (float& logit : logits) logit = normal(random);
  SamplingSpec spec = At(1.0f, 77);
  spec.top_p = 0.9f;
  std::vector<int32_t> forward(50);
  std::vector<int32_t> backward(50);
  for (size_t i = 0; i < 50; ++i) forward[i] = Choose(spec, logits, i);
  for (size_t i = 50; i-- > 0;) backward[i] = Choose(spec, logits, i);
  CHECK(forward == backward);
  spec.seed = 78;
  for (size_t i = 0; i < 50; ++i) backward[i] = Choose(spec, logits, i);
  CHECK(forward != backward);
  CHECK(std::set<int32_t>(forward.begin(), forward.end()).size() > 20);
}

std::vector<float> Penalised(const SamplingSpec& spec, std::vector<float> logits,
                             const std::vector<int32_t>& recent) {
  std::vector<Candidate> scratch(logits.size());
  const Sampler sampler{Span<Candidate>(scratch)};
  (void)sampler.Choose(spec, logits.data(), recent, 0);
  return logits;
}

TEST_CASE("penalties apply once for each token seen, frequency by how often") {
  SamplingSpec spec;
  const std::vector<float> logits = {4, -4, 3, 0, 1};
  const std::vector<int32_t> recent = {0, 1, 0, 3, 0};
  CHECK(Penalised(spec, logits, recent) == logits);
  spec.repeat_penalty = 2.0f;
  CHECK(Penalised(spec, logits, recent) == std::vector<float>{2, -8, 3, 0, 1});
  CHECK(Penalised(spec, logits, {4}) == std::vector<float>{4, -4, 3, 0, 0.5f});
  spec.presence_penalty = 0.5f;
  CHECK(Penalised(spec, logits, recent) == std::vector<float>{1.5f, -8.5f, 3, -0.5f, 1});
  spec.frequency_penalty = 0.25f;
  CHECK(Penalised(spec, logits, recent) == std::vector<float>{0.75f, -8.75f, 3, -0.75f, 1});
  spec = SamplingSpec();
  spec.presence_penalty = -1.0f;  // rewards
  CHECK(Penalised(spec, logits, recent) == std::vector<float>{5, -3, 3, 1, 1});
  CHECK(Penalised(spec, logits, {}) == logits);

  spec = SamplingSpec();
  spec.repeat_penalty = 2.0f;
  CHECK(Choose(spec, logits, 0, recent) == 2);  // penalties come before the choice
}

void RequireRefused(const SamplingSpec& spec, const std::string& message) {
  const Status status = CheckSampling(spec);
  CHECK(status.code() == Code::kInvalid);
  CHECK(status.message() == message);
}

TEST_CASE("numbers out of bounds are named with their bounds") {
  struct Field {
    const char* name;
    float SamplingSpec::*value;
    float low;
    float high;
  };
  const Field fields[] = {
      {"temperature", &SamplingSpec::temperature, 0, 100},
      {"top_p", &SamplingSpec::top_p, 0, 1},
      {"min_p", &SamplingSpec::min_p, 0, 1},
      {"repeat_penalty", &SamplingSpec::repeat_penalty, 0.01f, 100},
      {"presence_penalty", &SamplingSpec::presence_penalty, -100, 100},
      {"frequency_penalty", &SamplingSpec::frequency_penalty, -100, 100},
  };
  CHECK(CheckSampling(SamplingSpec()).ok());
  for (const Field& field : fields) {
    SamplingSpec spec;
    for (const float good : {field.low, field.high}) {
      spec.*field.value = good;
      INFO(field.name << " " << good);
      CHECK(CheckSampling(spec).ok());
    }
    for (const float bad : {std::nextafter(field.low, -kInfinity),
                            std::nextafter(field.high, kInfinity), kInfinity, -kInfinity, kNan}) {
      spec.*field.value = bad;
      INFO(field.name << " " << bad);
      const Status status = CheckSampling(spec);
      CHECK(status.code() == Code::kInvalid);
      CHECK(std::string(status.message()).find(std::string(field.name) + " ") == 0);
    }
  }
  SamplingSpec spec;
  spec.temperature = 101;
  RequireRefused(spec, "temperature 101: 0 to 100 expected");
  spec = SamplingSpec();
  spec.penalty_window = kMaxPenaltyWindow;
  CHECK(CheckSampling(spec).ok());
  spec.penalty_window = 4097;
  RequireRefused(spec, "penalty_window 4097: at most 4096 expected");
}

}  // namespace
}  // namespace junto
