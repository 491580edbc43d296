// Routing against a slow twin in double, and its rules for ties, bias and bad numbers.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "tests/support/targets.h"

namespace junto {
namespace {

struct Choice {
  uint32_t id;
  float weight;
};

std::vector<Choice> Route(const KernelTable& kernels, const RouterSpec& spec,
                          std::vector<float> logits, const std::vector<float>& bias = {}) {
  std::vector<uint32_t> ids(spec.experts_used, 12345);
  std::vector<float> weights(spec.experts_used);
  kernels.route(spec, logits.data(), bias.empty() ? nullptr : bias.data(), ids.data(),
                weights.data());
  std::vector<Choice> choices;
  for (uint32_t i = 0; i < spec.experts_used; ++i) choices.push_back({ids[i], weights[i]});
  return choices;
}

std::vector<double> Slowly(const RouterSpec& spec, const std::vector<float>& logits,
                           const std::vector<float>& bias, std::vector<uint32_t>* ids) {
  std::vector<double> p(logits.begin(), logits.end());
  if (spec.scoring == RouterScoring::kSigmoid) {
    for (double& v : p) v = 1.0 / (1.0 + std::exp(-v));
  }
  std::vector<double> select = p;
  for (size_t i = 0; i < bias.size(); ++i) select[i] += bias[i];
  ids->resize(logits.size());
  std::iota(ids->begin(), ids->end(), 0u);
  std::stable_sort(ids->begin(), ids->end(),
                   [&](uint32_t a, uint32_t b) { return select[a] > select[b]; });
  ids->resize(spec.experts_used);

  std::vector<double> weights;
  double sum = 0.0;
  for (uint32_t id : *ids) {
    // A softmax over all, renormalised over some, is the softmax over those.
    const bool sigmoid = spec.scoring == RouterScoring::kSigmoid;
    weights.push_back(sigmoid ? p[id] : std::exp(p[id] - p[(*ids)[0]]));
    sum += weights.back();
  }
  const bool divide = spec.scoring != RouterScoring::kSigmoid || spec.renormalise;
  for (double& w : weights) w = w / (divide ? sum : 1.0) * spec.scale;
  return weights;
}

const RouterScoring kScorings[] = {RouterScoring::kSoftmaxTopK, RouterScoring::kSoftmaxRenormalise,
                                   RouterScoring::kSigmoid};

TEST_CASE("routing against double") {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0.0f, 2.0f);
  struct Shape {
    uint32_t experts;
    uint32_t used;
  };
  for (const Shape& shape : {Shape{1, 1}, Shape{2, 1}, Shape{8, 2}, Shape{32, 4}, Shape{5, 5},
                             Shape{127, 8}, Shape{256, 8}, Shape{513, 10}}) {
    for (RouterScoring scoring : kScorings) {
      for (bool renormalise : {false, true}) {
        const RouterSpec spec = {scoring, shape.experts, shape.used, renormalise, 2.5f};
        std::vector<float> logits(shape.experts);
        for (float& v : logits) v = normal(random);
        std::vector<float> bias;
        if (scoring == RouterScoring::kSigmoid && renormalise) {
          for (uint32_t i = 0; i < shape.experts; ++i) bias.push_back(normal(random));
        }
        std::vector<uint32_t> ids;
        const auto expected = Slowly(spec, logits, bias, &ids);
        OnEveryTarget([&](const KernelTable& kernels) {
          INFO("experts " << shape.experts << ", scoring " << static_cast<int>(scoring));
          const auto choices = Route(kernels, spec, logits, bias);
          for (uint32_t i = 0; i < shape.used; ++i) {
            REQUIRE(choices[i].id == ids[i]);
            REQUIRE(choices[i].weight == Approx(expected[i]).epsilon(2e-6));
          }
        });
        RequireSameBits(
            [&](const KernelTable& kernels) { return Route(kernels, spec, logits, bias); });
      }
    }
  }
}

TEST_CASE("ties go to the lower id") {
  const std::vector<float> logits = {0.5f, 2.0f, 1.0f, 2.0f, 1.0f, 2.0f, 0.0f, -0.0f};
  const uint32_t expected[] = {1, 3, 5, 2, 4, 0, 6, 7};
  for (RouterScoring scoring : kScorings) {
    for (uint32_t used = 1; used <= 8; ++used) {
      const RouterSpec spec = {scoring, 8, used, true, 1.0f};
      OnEveryTarget([&](const KernelTable& kernels) {
        const auto choices = Route(kernels, spec, logits);
        for (uint32_t i = 0; i < used; ++i) CHECK(choices[i].id == expected[i]);
      });
    }
  }
}

TEST_CASE("bias selects but does not weigh") {
  const RouterSpec spec = {RouterScoring::kSigmoid, 4, 2, false, 1.0f};
  OnEveryTarget([&](const KernelTable& kernels) {
    const auto choices = Route(kernels, spec, {0.0f, 3.0f, 2.0f, 1.0f}, {5.0f, 0.0f, 0.0f, 0.0f});
    CHECK(choices[0].id == 0);
    CHECK(choices[0].weight == 0.5f);
    CHECK(choices[1].id == 1);
  });
}

TEST_CASE("no logit can break the order or the weights") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (RouterScoring scoring : kScorings) {
    const RouterSpec spec = {scoring, 4, 3, true, 1.0f};
    OnEveryTarget([&](const KernelTable& kernels) {
      auto choices = Route(kernels, spec, {nan, 1.0f, nan, 0.0f});
      CHECK(choices[0].id == 1);
      CHECK(choices[1].id == 3);
      CHECK(choices[2].id == 0);
      CHECK(choices[2].weight == 0.0f);

      choices = Route(kernels, spec, {-infinity, 0.0f, infinity, -1.0f});
      CHECK(choices[0].id == 2);

      for (float all : {nan, infinity, -infinity}) {
        choices = Route(kernels, spec, {all, all, all, all});
        for (uint32_t i = 0; i < 3; ++i) {
          CHECK(choices[i].id == i);
          CHECK(std::isfinite(choices[i].weight));
        }
      }
    });
  }
  const RouterSpec spec = {RouterScoring::kSigmoid, 4, 2, true, 1.0f};
  OnEveryTarget([&](const KernelTable& kernels) {
    const auto choices = Route(kernels, spec, {1.0f, 2.0f, 3.0f, 4.0f}, {0.0f, 0.0f, nan, nan});
    CHECK(choices[0].id == 1);
    CHECK(choices[1].id == 0);
  });
}

}  // namespace
}  // namespace junto
