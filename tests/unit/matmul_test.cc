// Matmul against a float64 twin and bit for bit across instruction sets, row counts and panel
// ranges.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "c_api/dispatch.h"
#include "junto/kernels/kernels.h"
#include "junto/quant/transcode.h"
#include "tests/support/bits.h"

namespace junto {
namespace {

// A matrix with random codes and scales of every sign and size that a file may hold.
struct RandomMatrix {
  RandomMatrix(const SourceFormat& source, uint32_t rows, uint32_t columns, uint32_t seed)
      : values(size_t{rows} * columns) {
    std::mt19937 random(seed);
    const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(source.type));
    const size_t row_bytes = columns / type.elements * type.bytes;
    panels.format = source.panel;
    panels.table = source.table;
    panels.rows = rows;
    panels.columns = columns;
    panels.stride = PanelBytes(source.panel, columns);
    storage.resize(PanelCount(rows) * panels.stride);
    panels.data = storage.data();
    std::vector<uint8_t> row(row_bytes);
    for (uint32_t r = 0; r < rows; ++r) {
      do {
        for (uint8_t& byte : row) byte = static_cast<uint8_t>(random());
        Tame(source, &row, &random);
      } while (Dequantise(source, row.data(), columns, &values[size_t{r} * columns]) != kAllFinite);
      REQUIRE(PackRow(source, row.data(), columns, false, r % kPanelRows,
                      storage.data() + r / kPanelRows * panels.stride) == kAllFinite);
    }
  }

  // Random bytes make huge scales; keep them within what sums in f32 can be compared by.
  static void Tame(const SourceFormat& source, std::vector<uint8_t>* row, std::mt19937* random) {
    const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(source.type));
    const auto half = [&](uint8_t* p) {
      StoreU16(static_cast<uint16_t>(((*random)() & 0x83FF) | (10 + (*random)() % 6) << 10), p);
    };
    for (uint8_t* p = row->data(); p < row->data() + row->size(); p += type.bytes) {
      switch (source.type) {
        case BlockType::kF32: {
          const float value = std::uniform_real_distribution<float>(-1, 1)(*random);
          std::memcpy(p, &value, 4);
          break;
        }
        case BlockType::kF16:
          half(p);
          break;
        case BlockType::kBF16:
          StoreU16(static_cast<uint16_t>(((*random)() & 0x807F) | (120 + (*random)() % 8) << 7), p);
          break;
        case BlockType::kMXFP4:
          *p = static_cast<uint8_t>(118 + (*random)() % 10);
          break;
        case BlockType::kQ2_K:
          half(p + 80);
          half(p + 82);
          break;
        case BlockType::kQ3_K:
          half(p + 108);
          break;
        case BlockType::kQ6_K:
          half(p + 208);
          break;
        case BlockType::kQ4_1:
        case BlockType::kQ5_1:
        case BlockType::kQ4_K:
        case BlockType::kQ5_K:
          half(p + 2);
          [[fallthrough]];
        default:
          half(p);
      }
    }
  }

  PanelMatrix panels;
  std::vector<uint8_t> storage;
  std::vector<float> values;  // dequantised, row-major
};

struct Input {
  Input(const KernelTable& kernels, uint32_t rows, uint32_t columns, uint32_t seed)
      : floats(size_t{rows} * columns),
        rounded(size_t{rows} * columns),
        blocks(size_t{rows} * (columns / 32)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& x : floats) x = normal(random);
    if (columns % 32 != 0) return;
    for (uint32_t i = 0; i < rows; ++i) {
      const size_t at = size_t{i} * columns;
      kernels.quantise(&floats[at], columns, &blocks[at / 32]);
      kernels.dequantise(&blocks[at / 32], columns, &rounded[at]);
    }
  }
  std::vector<float> floats;
  std::vector<float> rounded;  // what the blocks stand for
  std::vector<ActivationBlock> blocks;
};

MatmulArgs Arguments(const RandomMatrix& w, const Input& x, uint32_t rows, std::vector<float>* y) {
  MatmulArgs args = {};
  args.weights = w.panels;
  args.panel_count = PanelCount(w.panels.rows);
  const bool quantised = IsQuantised(w.panels.format);
  args.x = quantised ? static_cast<const void*>(x.blocks.data()) : x.floats.data();
  args.x_stride = quantised ? w.panels.columns / 32 : w.panels.columns;
  args.count = rows;
  y->assign(size_t{rows} * w.panels.rows, NAN);
  args.y = y->data();
  args.y_stride = w.panels.rows;
  return args;
}

// What the kernel computes, in double: quantised formats see the rounded activations.
double Twin(const RandomMatrix& w, const Input& x, uint32_t r, uint32_t i, double* magnitude) {
  const uint32_t columns = w.panels.columns;
  double sum = 0;
  *magnitude = 0;
  for (uint32_t k = 0; k < columns; ++k) {
    double input = x.floats[size_t{i} * columns + k];
    if (IsQuantised(w.panels.format)) {
      input = x.rounded[size_t{i} * columns + k];
    }
    const double product = input * w.values[size_t{r} * columns + k];
    sum += product;
    *magnitude += std::abs(product);
  }
  return sum;
}

TEST_CASE("matmul equals its float64 twin in every format and instruction set") {
  const uint32_t kRows = 7;
  const uint32_t kOutputs = 21;  // the last panel is partial
  for (const SourceFormat& source : kSourceFormats) {
    const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(source.type));
    const uint32_t columns = type.elements == 1 ? 45 : type.elements == 32 ? 160 : 512;
    const RandomMatrix w(source, kOutputs, columns, 1);
    std::vector<float> reference;
    for (const KernelTable* kernels : SupportedKernels()) {
      INFO(type.name << " on " << kernels->target);
      const Input x(*kernels, kRows, columns, 2);
      std::vector<float> y;
      kernels->matmul(Arguments(w, x, kRows, &y));
      for (uint32_t i = 0; i < kRows; ++i) {
        for (uint32_t r = 0; r < kOutputs; ++r) {
          double magnitude;
          const double twin = Twin(w, x, r, i, &magnitude);
          INFO("row " << i << " output " << r);
          REQUIRE(y[i * kOutputs + r] == Approx(twin).margin(2e-6 * magnitude).epsilon(0));
        }
      }
      if (!kernels->has_fma) continue;
      if (reference.empty()) {
        reference = y;
        test::Bits::OfThisProgram().Add(y);
      }
      REQUIRE(std::memcmp(y.data(), reference.data(), y.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("matmul gives the same bits for any number of rows, any gather and any panel range") {
  for (const SourceFormat& source : kSourceFormats) {
    const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(source.type));
    const uint32_t columns = type.elements == 1 ? 33 : type.elements * 2;
    const RandomMatrix w(source, 40, columns, 3);
    std::vector<float> bias(40);
    for (size_t r = 0; r < bias.size(); ++r) bias[r] = 0.25f * static_cast<float>(r);
    for (const KernelTable* kernels : SupportedKernels()) {
      INFO(type.name << " on " << kernels->target);
      const Input x(*kernels, 9, columns, 4);
      std::vector<float> all;
      MatmulArgs args = Arguments(w, x, 9, &all);
      args.bias = bias.data();
      kernels->matmul(args);
      for (uint32_t i = 0; i < 9; ++i) {
        const uint32_t index[1] = {i};
        std::vector<float> one;
        MatmulArgs single = Arguments(w, x, 1, &one);
        single.bias = bias.data();
        single.x_rows = index;
        single.first_panel = i % 5;
        single.panel_count = 1;
        kernels->matmul(single);
        REQUIRE(std::memcmp(one.data(), &all[i * 40 + i % 5 * 8], 8 * sizeof(float)) == 0);
        REQUIRE(std::isnan(one[8]));
      }
    }
  }
}

TEST_CASE("a panel holds exactly what the file held") {
  for (const SourceFormat& source : kSourceFormats) {
    const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(source.type));
    const uint32_t columns = type.elements == 1 ? 19 : type.elements * 3;
    const RandomMatrix w(source, 13, columns, 5);
    std::vector<float> row(columns);
    for (uint32_t r = 0; r < 13; ++r) {
      INFO(type.name << " row " << r);
      UnpackRow(w.panels, r, row.data());
      REQUIRE(std::memcmp(row.data(), &w.values[size_t{r} * columns], columns * 4) == 0);
    }
  }
}

TEST_CASE("extreme codes stay exact: nothing saturates at the 16-bit bounds") {
  // All weights at the largest magnitude, all activations at +-127.
  for (const SourceFormat& source : kSourceFormats) {
    if (source.unpack == nullptr) continue;
    const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(source.type));
    for (const uint8_t fill : {0x00, 0xFF, 0x77, 0x80, 0x7F, 0x0F}) {
      std::vector<uint8_t> row(type.bytes, fill);
      std::mt19937 random(6);
      RandomMatrix::Tame(source, &row, &random);
      RandomMatrix w(source, 8, type.elements, 7);
      for (uint32_t r = 0; r < 8; ++r) {
        REQUIRE(Dequantise(source, row.data(), type.elements, &w.values[r * type.elements]) ==
                kAllFinite);
        REQUIRE(PackRow(source, row.data(), type.elements, false, r, w.storage.data()) ==
                kAllFinite);
      }
      for (const int sign : {1, -1}) {
        std::vector<float> x(type.elements);
        for (size_t k = 0; k < x.size(); ++k) x[k] = static_cast<float>(sign);
        for (const KernelTable* kernels : SupportedKernels()) {
          Input input(*kernels, 1, type.elements, 8);
          input.floats = x;
          kernels->quantise(x.data(), x.size(), input.blocks.data());
          kernels->dequantise(input.blocks.data(), x.size(), input.rounded.data());
          std::vector<float> y;
          kernels->matmul(Arguments(w, input, 1, &y));
          double magnitude;
          const double twin = Twin(w, input, 0, 0, &magnitude);
          INFO(type.name << " fill " << int{fill} << " on " << kernels->target);
          REQUIRE(y[0] == Approx(twin).margin(1e-6 * magnitude).epsilon(0));
        }
      }
    }
  }
}

TEST_CASE("rounding activations costs a product less than 1e-4 of its power") {
  const uint32_t kRows = 16;
  const uint32_t kOutputs = 24;
  const KernelTable& kernels = *SupportedKernels()[0];
  for (const SourceFormat& source : kSourceFormats) {
    if (!IsQuantised(source.panel)) continue;
    const RandomMatrix w(source, kOutputs, 512, 7);
    const Input x(kernels, kRows, 512, 8);
    std::vector<float> y;
    kernels.matmul(Arguments(w, x, kRows, &y));
    double error = 0.0;
    double power = 0.0;
    for (uint32_t i = 0; i < kRows; ++i) {
      for (uint32_t r = 0; r < kOutputs; ++r) {
        double exact = 0.0;
        for (uint32_t k = 0; k < 512; ++k) {
          exact += double{x.floats[i * 512 + k]} * w.values[r * 512 + k];
        }
        error += std::pow(y[i * kOutputs + r] - exact, 2);
        power += exact * exact;
      }
    }
    INFO(FindBlockType(static_cast<uint32_t>(source.type))->name << ": NMSE " << error / power);
    CHECK(error / power <= 1e-4);
  }
}

}  // namespace
}  // namespace junto
