// How fast the kernels are, at the shapes of gpt-oss-20b and next to what the machine can do at
// best.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "c_api/dispatch.h"
#include "c_api/onednn.h"
#include "c_api/os/memory.h"
#include "cli/peak.h"
#include "cli/wall.h"
#include "junto/quant/pack.h"
#include "junto/runtime/weights.h"

namespace junto {
namespace {

constexpr uint32_t kWidth = 2880;             // of the residual stream, of an expert and its output
constexpr uint64_t kStreamBytes = 512 << 20;  // of different weights, more than any cache holds

struct NamedFormat {
  PanelFormat format;
  CodeTable table;
  const char* name;
};
constexpr NamedFormat kFormats[] = {
    {PanelFormat::kT4E8, CodeTable::kMxfp4, "T4E8_MXFP4"},
    {PanelFormat::kT4H, CodeTable::kQ40, "T4H_Q4_0"},
    {PanelFormat::kT4H, CodeTable::kIq4Nl, "T4H_IQ4_NL"},
    {PanelFormat::kT4K, CodeTable::kIq4Nl, "T4K_IQ4_XS"},
    {PanelFormat::kN4HM, CodeTable::kMxfp4, "N4HM_Q4_1"},
    {PanelFormat::kN4KM, CodeTable::kMxfp4, "N4KM_Q4_K"},
    {PanelFormat::kN4JM, CodeTable::kMxfp4, "N4JM_Q2_K"},
    {PanelFormat::kN5H, CodeTable::kMxfp4, "N5H_Q5_0"},
    {PanelFormat::kN5HM, CodeTable::kMxfp4, "N5HM_Q5_1"},
    {PanelFormat::kN5KM, CodeTable::kMxfp4, "N5KM_Q5_K"},
    {PanelFormat::kN6J, CodeTable::kMxfp4, "N6J_Q6_K"},
    {PanelFormat::kB8H, CodeTable::kMxfp4, "B8H_Q8_0"},
    {PanelFormat::kBF16, CodeTable::kMxfp4, "BF16"},
    {PanelFormat::kF16, CodeTable::kMxfp4, "F16"},
    {PanelFormat::kF32, CodeTable::kMxfp4, "F32"},
};

const KernelTable& Kernels() { return *SupportedKernels()[0]; }

OsAllocator* SystemAllocator() {
  static OsAllocator allocator;
  return &allocator;
}

// Room as the runtime's own weights get it.
struct Buffer {
  explicit Buffer(uint64_t bytes) : memory(SystemAllocator(), 0) {
    if (!Block::Allocate(&memory, bytes, 4096, Tag::kWeights, &block).ok()) throw std::bad_alloc();
  }
  Memory memory;
  Block block;
};

// One panel of random codes and moderate scales.
std::vector<uint8_t> RandomPanel(PanelFormat format, uint32_t columns) {
  std::mt19937 random(1);
  std::vector<uint8_t> panel(PanelBytes(format, columns));
  if (!IsQuantised(format)) {
    const uint64_t size = panel.size() / columns / kPanelRows;
    const uint16_t high_bits = format == PanelFormat::kF16 ? 0x3000 : 0x3E00;  // about 1/8
    for (uint64_t end = size; end <= panel.size(); end += size) {
      StoreU16(high_bits | random() % 256, &panel[end - 2]);
    }
    return panel;
  }
  for (uint32_t row = 0; row < kPanelRows; ++row) {
    for (uint32_t b = 0; b < columns / kBlockColumns; ++b) {
      WeightBlock block;
      for (uint8_t& code : block.codes) {
        code = static_cast<uint8_t>(random());
        if (format >= PanelFormat::kN5H) code &= format == PanelFormat::kN6J ? 63 : 31;
      }
      block.scale = format == PanelFormat::kT4E8 ? 120 : 0x2000;
      block.minimum = 0x2000;
      PackBlock(block, format, b, row, panel.data());
    }
  }
  return panel;
}

// Equal panels one after the other, in matrices of 2880 rows: their bytes are different memory, and
// that is all that time depends on.
struct Weights {
  Weights(const NamedFormat& named, uint64_t bytes) : matrix(Shape(named)), room(Bytes(bytes)) {
    const std::vector<uint8_t> panel = RandomPanel(named.format, matrix.columns);
    for (uint64_t at = 0; at < room.block.size(); at += panel.size()) {
      std::memcpy(room.block.data() + at, panel.data(), panel.size());
    }
    matrix.data = room.block.data();
  }

  static PanelMatrix Shape(const NamedFormat& named) {
    PanelMatrix matrix;
    matrix.format = named.format;
    matrix.table = named.table;
    matrix.rows = kWidth;
    // Formats of 256 columns in a block do not fit 2880; theirs is the next smaller multiple.
    matrix.columns = LayoutOf(named.format).header_bytes == 0 ? kWidth : kWidth / 256 * 256;
    matrix.stride = PanelBytes(named.format, matrix.columns);
    return matrix;
  }

  uint64_t matrix_bytes() const { return PanelCount(matrix.rows) * matrix.stride; }
  uint64_t Bytes(uint64_t wanted) const {
    return std::max<uint64_t>(wanted / matrix_bytes(), 1) * matrix_bytes();
  }
  uint64_t count() const { return room.block.size() / matrix_bytes(); }
  PanelMatrix operator[](uint64_t i) const {
    PanelMatrix one = matrix;
    one.data += i * matrix_bytes();
    return one;
  }

  PanelMatrix matrix;
  Buffer room;
};

std::vector<float> Normal(size_t count) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (float& value : x) value = normal(random);
  return x;
}

// `rows` rows of activations in the form that a matrix takes, and room for the product.
struct Operands {
  Operands(const PanelMatrix& matrix, uint32_t rows)
      : floats(Normal(size_t{rows} * matrix.columns)), y(size_t{rows} * matrix.rows) {
    args.weights = matrix;
    args.panel_count = PanelCount(matrix.rows);
    args.count = rows;
    args.y = y.data();
    args.y_stride = matrix.rows;
    args.x = floats.data();
    args.x_stride = matrix.columns;
    if (!IsQuantised(matrix.format)) return;
    blocks.resize(floats.size() / kBlockColumns);
    Kernels().quantise(floats.data(), floats.size(), blocks.data());
    args.x = blocks.data();
    args.x_stride = matrix.columns / kBlockColumns;
  }

  std::vector<float> floats;
  std::vector<ActivationBlock> blocks;
  std::vector<float> y;
  MatmulArgs args = {};
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Bytes per second, per number of threads.
double ReadCeiling(int threads) {
  static std::map<int, double> measured;  // filled before benchmarks start
  const auto at = measured.find(threads);
  if (at != measured.end()) return at->second;
  return measured[threads] = Median(cli::ReadBandwidth(static_cast<unsigned>(threads), 5));
}

// Multiply-adds per second of one thread, of the numbers that weights of a format are multiplied
// as.
double ComputeCeiling(PanelFormat format) {
  static const double integers = Median(cli::Rates(cli::Integers(), 1, 15));
  static const double floats = Median(cli::Rates(cli::Floats(), 1, 15));
  return IsQuantised(format) ? integers : floats;
}

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// One row against weights that come from memory; every thread has its own.
void Matvec(benchmark::State& state, const NamedFormat& format) {
  const Weights weights(format, kStreamBytes / static_cast<uint64_t>(state.threads()));
  Operands operands(weights.matrix, 1);
  const double ceiling = ReadCeiling(state.threads());
  uint64_t next = 0;
  Stopwatch watch;
  for (auto _ : state) {
    if (next == 0) watch = Stopwatch();  // threads have just met
    operands.args.weights = weights[next++ % weights.count()];
    Kernels().matmul(operands.args);
    benchmark::ClobberMemory();
  }
  const double bytes = static_cast<double>(state.iterations()) * weights.matrix_bytes();
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
  state.counters["of_read"] = bytes / watch.Seconds() / ceiling;  // threads add up
}

// Rows against one matrix; the items are multiplications.
void Matmul(benchmark::State& state, const NamedFormat& format, uint32_t rows) {
  const Weights weights(format, 0);
  Operands operands(weights.matrix, rows);
  const double ceiling = ComputeCeiling(format.format);
  for (auto _ : state) {
    Kernels().matmul(operands.args);
    benchmark::ClobberMemory();
  }
  const int64_t items = state.iterations() * rows * weights.matrix.rows * weights.matrix.columns;
  state.counters["of_peak"] =
      benchmark::Counter(static_cast<double>(items) / ceiling, benchmark::Counter::kIsRate);
  state.SetItemsProcessed(items);
}

// The same through oneDNN, with the tiles of a model that was loaded to be fast.
void OneDnnMatmul(benchmark::State& state, const NamedFormat& format, uint32_t rows) {
  const Weights weights(format, 0);
  Operands operands(weights.matrix, rows);
  const uint32_t panels = operands.args.panel_count;
  const uint32_t tile = LargeTilePanels(weights.matrix.stride, panels);
  Memory memory(SystemAllocator(), 0);
  Owned<FloatGemm> gemm;
  Status status = CreateOneDnnGemm(&memory, &gemm);
  if (status.ok()) status = gemm->Prepare(weights.matrix.columns, tile * kPanelRows);
  if (status.ok()) status = gemm->Ready(1, &Kernels());
  if (!status.ok()) return state.SkipWithError(status.message());
  for (auto _ : state) {
    for (uint32_t first = 0; first < panels; first += tile) {
      MatmulArgs args = operands.args;
      args.first_panel = first;
      args.panel_count = std::min(tile, panels - first);
      args.y += first * kPanelRows;
      benchmark::DoNotOptimize(gemm->Multiply(args));  // the last tile may be too small for it
    }
  }
  const int64_t items = state.iterations() * rows * weights.matrix.rows * weights.matrix.columns;
  state.counters["of_peak"] = benchmark::Counter(
      static_cast<double>(items) / ComputeCeiling(format.format), benchmark::Counter::kIsRate);
  state.SetItemsProcessed(items);
}

// One row of a layer with 64 query heads and 8 key/value heads of 64, all of whose keys are
// visible.
void Attention(benchmark::State& state, KvType type, uint32_t keys) {
  const uint32_t kHeads = 64;
  const uint32_t kKvHeads = 8;
  const uint32_t kDim = 64;
  const uint64_t half = uint64_t{kKvBlock} * kDim * KvTypeSize(type);
  const uint32_t block_count = keys / kKvBlock;
  Buffer room(block_count * kKvHeads * 2 * half);
  std::vector<const uint8_t*> blocks;
  const std::vector<float> x = Normal(kHeads * kDim);
  for (uint32_t p = 0; p < keys; ++p) {
    uint8_t* block = room.block.data() + p / kKvBlock * kKvHeads * 2 * half;
    if (p % kKvBlock == 0) blocks.push_back(block);
    for (uint32_t head = 0; head < kKvHeads; ++head) {
      uint8_t* at = block + head * 2 * half;
      const float* vector = &x[(p + head) % kHeads * kDim];
      Kernels().store_kv({at, at + half, type, p % kKvBlock, kDim, kDim, vector, vector});
    }
  }
  std::vector<float> out(kHeads * kDim);
  AttentionArgs args = {};
  args.blocks = blocks.data();
  args.block_count = block_count;
  args.type = type;
  args.key_dim = args.value_dim = kDim;
  args.end = keys;
  args.query_stride = args.out_stride = kDim;
  args.group = kHeads / kKvHeads;
  args.scale = 0.125f;
  for (auto _ : state) {
    for (uint32_t head = 0; head < kKvHeads; ++head) {
      args.key_offset = head * 2 * half;
      args.value_offset = args.key_offset + half;
      args.query = &x[head * args.group * kDim];
      args.out = &out[head * args.group * kDim];
      Kernels().attention(args);
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(room.block.size()));
  state.SetItemsProcessed(state.iterations() * kHeads * keys * 2 * kDim);
}

// Some tokens of one value head of Qwen3.5, whose state is in the nearest caches.
void DeltaRule(benchmark::State& state, uint32_t tokens) {
  const uint32_t kDim = 128;
  const std::vector<float> x = Normal(tokens * kDim);
  const std::vector<float> gates(tokens, 0.5f);
  std::vector<float> memory(kDim * kDim);
  std::vector<float> out(tokens * kDim);
  DeltaRuleArgs args = {};
  args.from = args.to = memory.data();
  args.key_dim = kDim;
  args.panels = kDim / kDeltaPanel;
  args.count = tokens;
  args.query = args.key = args.value = x.data();
  args.overlap = args.decay = args.rate = gates.data();
  args.out = out.data();
  for (auto _ : state) {
    std::fill(memory.begin(), memory.end(), 0.0f);  // keys are not of unit length
    Kernels().delta_rule(args);
    benchmark::ClobberMemory();
  }
  const int64_t items = state.iterations() * tokens * kDim * kDim * 4;
  state.counters["of_peak"] = benchmark::Counter(
      static_cast<double>(items) / ComputeCeiling(PanelFormat::kF32), benchmark::Counter::kIsRate);
  state.SetItemsProcessed(items);
}

void Register() {
  const int cores = static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
  for (const NamedFormat& format : kFormats) {
    const std::string name = std::string("matvec/") + format.name;
    auto* matvec = benchmark::RegisterBenchmark(name.c_str(), Matvec, format)->UseRealTime();
    matvec->Threads(1);
    if (cores > 1) matvec->Threads(cores);
  }
  for (const uint32_t rows : {64, 512}) {
    for (const NamedFormat& format : kFormats) {
      const std::string name = "matmul" + std::to_string(rows) + "/" + format.name;
      benchmark::RegisterBenchmark(name.c_str(), Matmul, format, rows);
    }
  }
  for (const NamedFormat& format : kFormats) {
    if (IsQuantised(format.format)) continue;
    const std::string name = std::string("onednn512/") + format.name;
    benchmark::RegisterBenchmark(name.c_str(), OneDnnMatmul, format, 512u);
  }
  benchmark::RegisterBenchmark("attention4096/F32", Attention, KvType::kF32, 4096u);
  benchmark::RegisterBenchmark("attention4096/F16", Attention, KvType::kF16, 4096u);
  benchmark::RegisterBenchmark("attention4096/BF16", Attention, KvType::kBF16, 4096u);

  benchmark::RegisterBenchmark("delta_rule/1", DeltaRule, 1u);
  benchmark::RegisterBenchmark("delta_rule/16", DeltaRule, 16u);

  benchmark::AddCustomContext("kernels", Kernels().target);
  for (const int threads : {1, cores}) {
    benchmark::AddCustomContext("read ceiling, " + std::to_string(threads) + " threads",
                                std::to_string(ReadCeiling(threads) * 1e-9) + " GB/s");
  }
  for (const PanelFormat format : {PanelFormat::kB8H, PanelFormat::kF32}) {
    const cli::MultiplyAdd& what = IsQuantised(format) ? cli::Integers() : cli::Floats();
    benchmark::AddCustomContext(std::string("peak, 1 thread, ") + what.name,
                                std::to_string(ComputeCeiling(format) * 1e-9) + " GMAC/s");
  }
}

}  // namespace
}  // namespace junto

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  junto::Register();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
