// The kernels of the gated delta-net against twins in double, on every instruction set.
#include <Eigen/Dense>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/targets.h"

namespace junto {
namespace {

std::vector<float> Normal(size_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

std::vector<float> Uniform(size_t n, uint32_t seed, float low, float high) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> x(n);
  for (float& v : x) v = uniform(random);
  return x;
}

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double Softplus(double x) { return x > 30.0 ? x : std::log1p(std::exp(x)); }

// ---- convolution

struct Convolution {
  uint32_t taps;
  uint32_t channels;
  uint32_t count;
};
const Convolution kConvolutions[] = {{4, 128, 16}, {4, 17, 5}, {1, 3, 2},
                                     {2, 16, 1},   {5, 33, 7}, {4, 1, 1}};

std::vector<float> Convolved(const KernelTable& kernels, const Convolution& shape) {
  const auto x = Normal((shape.taps - 1 + shape.count) * shape.channels + 1, 1, 2.0f);
  const size_t stride = shape.channels + 5;
  const auto weight = Normal(shape.taps * stride, 2);
  const size_t y_stride = shape.channels + 3;
  std::vector<float> y(shape.count * y_stride, -7.0f);
  ConvolveArgs args = {};
  args.x = x.data() + 1;
  args.weight = weight.data() + 3;
  args.weight_stride = stride;
  args.taps = shape.taps;
  args.channels = shape.channels;
  args.count = shape.count;
  args.y = y.data();
  args.y_stride = y_stride;
  kernels.convolve(args);
  for (uint32_t t = 0; t < shape.count; ++t) {
    for (uint32_t c = 0; c < shape.channels; ++c) {
      double sum = 0.0;
      double size = 0.0;
      for (uint32_t i = 0; i < shape.taps; ++i) {
        const double term =
            double{args.weight[i * stride + c]} * args.x[(t + i) * shape.channels + c];
        sum += term;
        size += std::fabs(term);
      }
      const double exact = sum * Sigmoid(sum);
      REQUIRE(std::fabs(y[t * y_stride + c] - exact) <= 1e-6 * (size + 0.1));
    }
    for (size_t c = shape.channels; c < y_stride; ++c) REQUIRE(y[t * y_stride + c] == -7.0f);
  }
  return y;
}

TEST_CASE("convolutions against double, and to the bit") {
  for (const Convolution& shape : kConvolutions) {
    INFO(shape.taps << " taps, " << shape.channels << " channels, " << shape.count << " tokens");
    OnEveryTarget([&](const KernelTable& kernels) { Convolved(kernels, shape); });
    RequireSameBits([&](const KernelTable& kernels) { return Convolved(kernels, shape); });
  }
}

// ---- norms, products and gates

TEST_CASE("l2_norm and dot against double, and to the bit") {
  for (const size_t n : {1, 2, 15, 16, 17, 33, 128, 200}) {
    INFO("n " << n);
    const auto x = Normal(n, 3, 4.0f);
    const auto y = Normal(n, 4);
    double squares = 0.0;
    double product = 0.0;
    double size = 0.0;
    for (size_t i = 0; i < n; ++i) {
      squares += double{x[i]} * x[i];
      product += double{x[i]} * y[i];
      size += std::fabs(double{x[i]} * y[i]);
    }
    OnEveryTarget([&](const KernelTable& kernels) {
      std::vector<float> z = x;
      z.push_back(-7.0f);
      kernels.l2_norm(1e-3f, 0.25f, n, z.data());
      for (size_t i = 0; i < n; ++i) {
        const double exact = 0.25 * x[i] / std::sqrt(squares + 1e-3);
        REQUIRE(std::fabs(z[i] - exact) <= 1e-6 * std::fabs(exact));
      }
      REQUIRE(z[n] == -7.0f);
      REQUIRE(std::fabs(kernels.dot(x.data(), y.data(), n) - product) <= 1e-6 * size);
    });
    RequireSameBits([&](const KernelTable& kernels) {
      std::vector<float> z = x;
      kernels.l2_norm(1e-6f, 1.0f, n, z.data());
      z.push_back(kernels.dot(x.data(), y.data(), n));
      return z;
    });
  }
}

TEST_CASE("the epsilon of l2_norm is added inside the root, and zeros stay zeros") {
  OnEveryTarget([](const KernelTable& kernels) {
    float small = 1e-3f;  // squared as large as epsilon
    kernels.l2_norm(1e-6f, 1.0f, 1, &small);
    CHECK(std::fabs(small - std::sqrt(0.5)) < 1e-6);
    std::vector<float> zeros(20, 0.0f);
    kernels.l2_norm(1e-6f, 1.0f, zeros.size(), zeros.data());
    for (const float v : zeros) CHECK(v == 0.0f);
    CHECK(kernels.dot(zeros.data(), zeros.data(), 0) == 0.0f);
  });
}

TEST_CASE("delta_gates and sigmoid_gate against double, and to the bit") {
  for (const size_t n : {1, 3, 16, 17, 50}) {
    const auto step = Uniform(n, 5, -25.0f, 25.0f);
    const auto rate = Uniform(n, 6, -25.0f, 25.0f);
    const auto run = [&](const KernelTable& kernels) {
      std::vector<float> gates = step;
      gates.insert(gates.end(), rate.begin(), rate.end());
      kernels.delta_gates(-0.3f, 0.7f, n, gates.data(), gates.data() + n);
      gates.insert(gates.end(), step.begin(), step.end());
      kernels.sigmoid_gate(rate.data(), n, gates.data() + 2 * n);
      return gates;
    };
    OnEveryTarget([&](const KernelTable& kernels) {
      const std::vector<float> gates = run(kernels);
      for (size_t i = 0; i < n; ++i) {
        const double decay = std::exp(double{-0.3f} * Softplus(double{step[i]} + 0.7f));
        REQUIRE(std::fabs(gates[i] - decay) <= 2e-6 * decay);
        REQUIRE(std::fabs(gates[n + i] - Sigmoid(rate[i])) <= 1e-6 * Sigmoid(rate[i]));
        const double gated = step[i] * Sigmoid(rate[i]);
        REQUIRE(std::fabs(gates[2 * n + i] - gated) <= 1e-6 * std::fabs(gated));
      }
    });
    RequireSameBits(run);
  }
}

TEST_CASE("gates of any size are numbers: nothing is forgotten, or all of it") {
  constexpr float kMost = std::numeric_limits<float>::max();
  constexpr float kBeyond = std::numeric_limits<float>::infinity();
  for (const float size : {30.0f, 1e4f, kMost, kBeyond}) {
    OnEveryTarget([&](const KernelTable& kernels) {
      INFO(size);
      float decay[] = {size, -size};
      float rate[] = {size, -size};
      kernels.delta_gates(-4.0f, 0.5f, 2, decay, rate);
      CHECK(decay[0] <= 1e-30f);
      CHECK(decay[0] >= 0.0f);
      CHECK(std::fabs(decay[1] - 1.0f) < 1e-6f);
      CHECK(std::fabs(rate[0] - 1.0f) < 1e-6f);
      CHECK(rate[1] >= 0.0f);
      CHECK(rate[1] < 1e-12f);
    });
  }
}

// ---- the delta rule

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// The tokens of one head, and the state they meet.
struct Head {
  Head(uint32_t keys, uint32_t values, uint32_t tokens, uint32_t seed)
      : key_dim(keys), panels(values / kDeltaPanel), count(tokens) {
    query = Normal(size_t{count} * key_dim, seed);
    key = Normal(size_t{count} * key_dim, seed + 1);
    const KernelTable& kernels = *SupportedKernels()[0];
    for (uint32_t t = 0; t < count; ++t) {
      const float scale = 1.0f / std::sqrt(static_cast<float>(key_dim));
      kernels.l2_norm(1e-6f, scale, key_dim, &query[size_t{t} * key_dim]);
      kernels.l2_norm(1e-6f, 1.0f, key_dim, &key[size_t{t} * key_dim]);
      overlap.push_back(
          kernels.dot(&query[size_t{t} * key_dim], &key[size_t{t} * key_dim], key_dim));
    }
    value = Normal(size_t{count} * values, seed + 2);
    decay = Uniform(count, seed + 3, 0.0f, 1.0f);
    rate = Uniform(count, seed + 4, 0.0f, 1.0f);
    state = Normal(size_t{key_dim} * values, seed + 5);
  }

  uint32_t columns() const { return panels * kDeltaPanel; }

  // Tokens [first, first + tokens) from `from` to `to`, appending to `out`.
  void Run(const KernelTable& kernels, uint32_t first, uint32_t tokens, const float* from,
           float* to, std::vector<float>* out) const {
    DeltaRuleArgs args = {};
    args.from = from;
    args.to = to;
    args.key_dim = key_dim;
    args.panels = panels;
    args.count = tokens;
    args.query = &query[size_t{first} * key_dim];
    args.key = &key[size_t{first} * key_dim];
    args.overlap = &overlap[first];
    args.value = &value[size_t{first} * columns()];
    args.decay = &decay[first];
    args.rate = &rate[first];
    const size_t at = out->size();
    out->resize(at + size_t{tokens} * columns() + 1, -7.0f);
    args.out = out->data() + at;
    kernels.delta_rule(args);
    REQUIRE(out->back() == -7.0f);
    out->pop_back();
  }

  // Outputs and then the state after all of them.
  std::vector<float> All(const KernelTable& kernels) const {
    std::vector<float> to(state.size() + 1, -7.0f);
    std::vector<float> all;
    Run(kernels, 0, count, state.data(), to.data(), &all);
    REQUIRE(to.back() == -7.0f);
    all.insert(all.end(), to.begin(), to.end() - 1);
    return all;
  }

  Matrix StateAt(const float* panels_of) const {
    Matrix wide(key_dim, columns());
    for (uint32_t i = 0; i < key_dim; ++i) {
      for (uint32_t j = 0; j < columns(); ++j) {
        wide(i, j) =
            panels_of[(size_t{j / kDeltaPanel} * key_dim + i) * kDeltaPanel + j % kDeltaPanel];
      }
    }
    return wide;
  }

  Matrix Rows(const std::vector<float>& x, uint32_t width) const {
    using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    return Eigen::Map<const Floats>(x.data(), count, width).cast<double>();
  }

  uint32_t key_dim;
  uint32_t panels;
  uint32_t count;
  std::vector<float> query, key, overlap, value, decay, rate, state;
};

// The rule as it is written down, token by token.
void RunSlowly(const Head& head, Matrix* out, Matrix* state) {
  const Matrix query = head.Rows(head.query, head.key_dim);
  const Matrix key = head.Rows(head.key, head.key_dim);
  const Matrix value = head.Rows(head.value, head.columns());
  *out = Matrix(head.count, head.columns());
  *state = head.StateAt(head.state.data());
  for (uint32_t t = 0; t < head.count; ++t) {
    *state *= double{head.decay[t]};
    const Eigen::RowVectorXd change = double{head.rate[t]} * (value.row(t) - key.row(t) * *state);
    *state += key.row(t).transpose() * change;
    out->row(t) = query.row(t) * *state;
  }
}

// The same all at once, by solving a triangular system for the changes of all tokens.
void RunAtOnce(const Head& head, Matrix* out, Matrix* state) {
  const Eigen::Index n = head.count;
  const Matrix query = head.Rows(head.query, head.key_dim);
  const Matrix key = head.Rows(head.key, head.key_dim);
  const Matrix before = head.StateAt(head.state.data());
  Eigen::VectorXd log_decay(n);  // up to and with each token
  Eigen::VectorXd rate(n);
  double sum = 0.0;
  for (Eigen::Index t = 0; t < n; ++t) {
    sum += std::log(double{head.decay[static_cast<size_t>(t)]});
    log_decay(t) = sum;
    rate(t) = head.rate[static_cast<size_t>(t)];
  }
  const Matrix overlaps = key * key.transpose();
  const Matrix matches = query * key.transpose();
  Matrix system = Matrix::Identity(n, n);
  Matrix weights = Matrix::Zero(n, n);
  for (Eigen::Index i = 0; i < n; ++i) {
    for (Eigen::Index j = 0; j <= i; ++j) {
      const double between = std::exp(log_decay(i) - log_decay(j));
      if (j < i) system(i, j) = rate(i) * overlaps(i, j) * between;
      weights(i, j) = matches(i, j) * between;
    }
  }
  const Eigen::VectorXd decay = log_decay.array().exp();
  const Matrix kept = decay.asDiagonal() * (key * before);
  const Matrix wanted = rate.asDiagonal() * (head.Rows(head.value, head.columns()) - kept);
  const Matrix changes = system.triangularView<Eigen::UnitLower>().solve(wanted);
  *out = decay.asDiagonal() * (query * before) + weights * changes;
  const Eigen::VectorXd left = (sum - log_decay.array()).exp();
  *state = std::exp(sum) * before + key.transpose() * (left.asDiagonal() * changes);
}

double WorstDifference(const Head& head, const std::vector<float>& found, const Matrix& out,
                       const Matrix& state) {
  const size_t outputs = size_t{head.count} * head.columns();
  const std::vector<float> rows(found.begin(), found.begin() + static_cast<long>(outputs));
  const double of_outputs = (head.Rows(rows, head.columns()) - out).cwiseAbs().maxCoeff();
  const double of_state = (head.StateAt(&found[outputs]) - state).cwiseAbs().maxCoeff();
  return std::max(of_outputs, of_state);
}

struct HeadShape {
  uint32_t key_dim;
  uint32_t value_dim;
  uint32_t count;
};
const HeadShape kHeads[] = {{128, 128, 65}, {128, 16, 1}, {1, 16, 3},  {3, 80, 2},
                            {33, 48, 200},  {64, 96, 63}, {17, 64, 64}};

TEST_CASE("the delta rule against double, token by token and all at once") {
  for (const HeadShape& shape : kHeads) {
    const Head head(shape.key_dim, shape.value_dim, shape.count, 10);
    Matrix out;
    Matrix state;
    RunSlowly(head, &out, &state);
    Matrix out_at_once;
    Matrix state_at_once;
    RunAtOnce(head, &out_at_once, &state_at_once);
    REQUIRE((out - out_at_once).cwiseAbs().maxCoeff() < 1e-9);
    REQUIRE((state - state_at_once).cwiseAbs().maxCoeff() < 1e-9);
    OnEveryTarget([&](const KernelTable& kernels) {
      INFO(shape.key_dim << " by " << shape.value_dim << ", " << shape.count << " tokens");
      CHECK(WorstDifference(head, head.All(kernels), out, state) < 5e-6);
    });
    RequireSameBits([&](const KernelTable& kernels) { return head.All(kernels); });
  }
}

TEST_CASE("cutting the tokens and working in place never change a bit of the delta rule") {
  const Head head(40, 112, 65, 20);
  OnEveryTarget([&](const KernelTable& kernels) {
    const std::vector<float> whole = head.All(kernels);
    for (const uint32_t piece : {1u, 2u, 16u, 64u}) {
      INFO("pieces of " << piece);
      std::vector<float> found;
      std::vector<float> state = head.state;
      for (uint32_t t = 0; t < head.count; t += piece) {
        head.Run(kernels, t, std::min(piece, head.count - t), state.data(), state.data(), &found);
      }
      found.insert(found.end(), state.begin(), state.end());
      REQUIRE(found == whole);
    }
  });
}

// Two dimensions, three tokens, worked out by hand: the raw projections to the outputs.
TEST_CASE("a small example, from projections to outputs") {
  const double expected_out[3][2] = {
      {0.3499999, 0.6999998}, {1.8694433, -0.6208337}, {-0.0393053, -0.0153937}};
  const double expected_state[2][2] = {{1.0243526, -0.3401829}, {-0.0555861, -0.0217700}};
  OnEveryTarget([&](const KernelTable& kernels) {
    Head head(2, 16, 3, 1);
    head.query = {3, 4, 1, 0, 0, 2};
    head.key = {1, 1, 2, 0, 0, -1};
    head.value.assign(3 * 16, 0.0f);
    const float values[3][2] = {{1, 2}, {3, -1}, {0.5f, 0.25f}};
    for (size_t t = 0; t < 3; ++t) {
      kernels.l2_norm(1e-6f, 1.0f / std::sqrt(2.0f), 2, &head.query[2 * t]);
      kernels.l2_norm(1e-6f, 1.0f, 2, &head.key[2 * t]);
      head.overlap[t] = kernels.dot(&head.query[2 * t], &head.key[2 * t], 2);
      for (size_t j = 0; j < 2; ++j) head.value[16 * t + j] = values[t][j];
    }
    head.decay = {0, 1, -1};
    head.rate = {0, 2, -2};
    kernels.delta_gates(-2.0f, 0.5f, 3, head.decay.data(), head.rate.data());
    head.state.assign(32, 0.0f);
    const std::vector<float> found = head.All(kernels);
    for (size_t t = 0; t < 3; ++t) {
      for (size_t j = 0; j < 2; ++j)
        CHECK(std::fabs(found[16 * t + j] - expected_out[t][j]) < 1e-6);
    }
    for (size_t i = 0; i < 2; ++i) {
      for (size_t j = 0; j < 2; ++j) {
        CHECK(std::fabs(found[48 + 16 * i + j] - expected_state[i][j]) < 1e-6);
      }
    }
  });
}

}  // namespace
}  // namespace junto
