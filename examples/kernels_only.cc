// A lesson: one token through a mixture of 32 experts, with headers alone. No library is linked.
//
//   g++ -std=c++17 -O3 -march=native -ffp-contract=off -I include examples/kernels_only.cc
//
// docs/kernels.md tells more about each step.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>
#include <vector>

#include "junto/kernels/activation-inl.h"
#include "junto/kernels/elementwise-inl.h"
#include "junto/kernels/matmul-inl.h"
#include "junto/kernels/quantise-inl.h"
#include "junto/kernels/router-inl.h"
#include "junto/quant/pack.h"

using junto::ActivationBlock, junto::PanelFormat;
namespace simd = junto::HWY_NAMESPACE;  // the kernels, for the CPU that the compiler was told of

constexpr uint32_t kWidth = 320, kHidden = 192, kExperts = 32, kUsed = 4;
std::mt19937 random_bits(2026);

// A random matrix twice: in panels for the kernels, as rows of floats for the reference.
struct Matrix {
  Matrix(PanelFormat format, uint32_t rows, uint32_t columns)
      : storage(junto::MatrixBytes(format, rows, columns)), floats(size_t{rows} * columns) {
    panels.data = storage.data();
    panels.stride = junto::PanelBytes(format, columns);
    panels.format = format;
    panels.rows = rows;
    panels.columns = columns;
    for (uint32_t r = 0; r < rows; ++r) {
      uint8_t* panel = storage.data() + r / 8 * panels.stride;  // 8 rows to a panel
      for (uint32_t b = 0; b < columns / 32; ++b) {
        junto::WeightBlock block;  // 32 weights: their codes and a scale, here always the same
        for (uint8_t& code : block.codes) code = static_cast<uint8_t>(random_bits());
        block.scale = format == PanelFormat::kT4E8 ? 121 : 0x1800;  // 2^-7, and a half: 2^-9
        junto::PackBlock(block, format, b, r % 8, panel);
        junto::EvaluateBlock(block, format, panels.table, &floats[r * columns + b * 32]);
      }
    }
  }
  std::vector<uint8_t> storage;
  std::vector<float> floats;
  junto::PanelMatrix panels;
};

struct Expert {
  Matrix gate{PanelFormat::kT4E8, kHidden, kWidth};  // as MXFP4
  Matrix up{PanelFormat::kT4E8, kHidden, kWidth};
  Matrix down{PanelFormat::kB8H, kWidth, kHidden};  // as Q8_0
};

// Quantised weights meet activations of 8 bits, which share a scale 32 at a time.
std::vector<ActivationBlock> Quantise(const std::vector<float>& x) {
  std::vector<ActivationBlock> blocks(x.size() / 32);
  simd::QuantiseRow(x.data(), x.size(), blocks.data());
  return blocks;
}

std::vector<float> Multiply(const Matrix& matrix, const std::vector<ActivationBlock>& x) {
  std::vector<float> y(matrix.panels.rows);
  junto::MatmulArgs args = {};
  args.weights = matrix.panels;
  args.panel_count = junto::PanelCount(matrix.panels.rows);  // threads would share them
  args.x = x.data();
  args.count = 1;  // rows of x
  args.y = y.data();
  simd::Matmul(args);
  return y;
}

// The reference's product: nothing is rounded on the way.
std::vector<double> Plain(const Matrix& matrix, const std::vector<double>& x) {
  std::vector<double> y(matrix.panels.rows);
  for (size_t i = 0; i < matrix.floats.size(); ++i) {
    y[i / x.size()] += matrix.floats[i] * x[i % x.size()];
  }
  return y;
}

int main() {
  const std::vector<Expert> experts(kExperts);
  std::normal_distribution<float> normal;
  std::vector<float> x(kWidth), scores(kExperts);
  for (float& value : x) value = normal(random_bits);
  for (float& score : scores) score = normal(random_bits);  // a model has one more matrix for them

  // Which experts, and how much of each: here the softmax over the best four.
  junto::RouterSpec router;
  router.experts = kExperts;
  router.experts_used = kUsed;
  std::vector<uint32_t> ids(kUsed);
  std::vector<float> weights(kUsed), logits = scores;  // the kernel works in its logits
  simd::Route(router, logits.data(), nullptr, ids.data(), weights.data());

  // y += weight * down(silu(gate x) * up x), in the order in which the router ranked the experts.
  std::vector<float> y(kWidth);
  const std::vector<ActivationBlock> x8 = Quantise(x);  // once, for all who read x
  for (uint32_t rank = 0; rank < kUsed; ++rank) {
    const Expert& expert = experts[ids[rank]];
    std::vector<float> hidden = Multiply(expert.gate, x8);
    const std::vector<float> up = Multiply(expert.up, x8);
    simd::Activate({}, hidden.data(), up.data(), kHidden, hidden.data());
    const std::vector<float> out = Multiply(expert.down, Quantise(hidden));
    simd::ScaleAdd(weights[rank], out.data(), kWidth, y.data());
    std::printf("expert %2u, weight %.4f\n", ids[rank], static_cast<double>(weights[rank]));
  }

  // The same with loops.
  std::vector<uint32_t> order(kExperts);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
  std::vector<double> exact(kWidth), x64(x.begin(), x.end());
  double total = 0, error = 0, power = 0;
  for (uint32_t rank = 0; rank < kUsed; ++rank) total += std::exp(double{scores[order[rank]]});
  for (uint32_t rank = 0; rank < kUsed; ++rank) {
    const Expert& expert = experts[order[rank]];
    std::vector<double> hidden = Plain(expert.gate, x64), up = Plain(expert.up, x64);
    for (uint32_t i = 0; i < kHidden; ++i) hidden[i] *= up[i] / (1 + std::exp(-hidden[i]));
    const std::vector<double> out = Plain(expert.down, hidden);
    const double weight = std::exp(double{scores[order[rank]]}) / total;
    for (uint32_t i = 0; i < kWidth; ++i) exact[i] += weight * out[i];
  }

  for (uint32_t i = 0; i < kWidth; ++i) {
    if (i < 4) std::printf("y[%u] %9.4f, exactly %9.4f\n", i, double{y[i]}, exact[i]);
    error += (y[i] - exact[i]) * (y[i] - exact[i]);
    power += exact[i] * exact[i];
  }
  const double apart = std::sqrt(error / power);
  std::printf("%.2f %% apart: activations were rounded to 8 bits\n", 100 * apart);
  return apart < 0.02 ? 0 : 1;
}
