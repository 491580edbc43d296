// How fast whole layers are, at the shapes of known models: one pass over some rows through
// everything that a pass does, on all threads, next to what the machine can do at best.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cli/handles.h"
#include "cli/peak.h"
#include "cli/wall.h"
#include "tests/support/gguf_writer.h"

namespace junto {
namespace {

using test::GgufWriter;

// Layers that are all alike, with room for each of the matrices that they have. One layer's weights
// might stay in a cache, so there are a few; and the head is a layer's share of the model's.
struct Shape {
  const char* name;
  uint32_t layers, width, heads, kv_heads, head_dim;
  uint32_t experts, experts_used;  // 0: a dense network
  uint32_t ffn_width;
  uint32_t vocab;
  BlockType attention, network, fine;  // fine: of attn_v and ffn_down in files of mixed types
  BlockType head;
};

constexpr Shape kShapes[] = {
    // gpt-oss-20b: 4 of 32 experts of 2880
    {"gpt_oss_MXFP4", 3, 2880, 64, 8, 64, 32, 4, 2880, 201088 / 24, BlockType::kQ8_0,
     BlockType::kMXFP4, BlockType::kMXFP4, BlockType::kQ8_0},
    // Gemma 4 26B-A4B, without its dense network: 8 of 128 experts of 704
    {"gemma4_Q4_0_Q6_K", 3, 2816, 16, 8, 256, 128, 8, 704, 262144 / 30, BlockType::kQ4_0,
     BlockType::kQ4_0, BlockType::kQ4_0, BlockType::kQ6_K},
    // Qwen3.5-27B: a dense network of 17408
    {"qwen35_Q4_K_Q6_K", 2, 5120, 24, 4, 256, 0, 0, 17408, 248320 / 64, BlockType::kQ4_K,
     BlockType::kQ4_K, BlockType::kQ6_K, BlockType::kQ6_K},
};

constexpr uint32_t kMaxRows = 512;

void StoreHalf(uint16_t half, uint8_t* p) { std::memcpy(p, &half, sizeof(half)); }

// Random blocks whose values are about 1 / sqrt(columns) large.
std::vector<uint8_t> RandomBlocks(BlockType type, uint64_t columns, uint64_t count) {
  const BlockTypeInfo& info = *FindBlockType(static_cast<uint32_t>(type));
  std::vector<uint8_t> bytes(columns / info.elements * count * info.bytes);
  std::mt19937 random(1);
  const size_t some = std::min<size_t>(bytes.size(), size_t{info.bytes} << 14);
  for (size_t i = 0; i < some; ++i) bytes[i] = static_cast<uint8_t>(random());
  for (size_t i = 0; i < some; i += info.bytes) {
    uint8_t* block = &bytes[i];
    switch (type) {
      case BlockType::kMXFP4:
        block[0] = 119;
        break;
      case BlockType::kQ4_K:
        StoreHalf(0x0700, block);      // 0.00011
        StoreHalf(0x1200, block + 2);  // 7.5 times that, so that values are about as often negative
        break;
      case BlockType::kQ6_K:
        StoreHalf(0x0080, block + 208);
        break;
      default:  // one scale, before everything else
        StoreHalf(type == BlockType::kQ8_0 ? 0x0C00 : 0x1C00, block);
    }
  }
  for (size_t at = some; at < bytes.size(); at += some) {
    std::memcpy(&bytes[at], bytes.data(), std::min(some, bytes.size() - at));
  }
  return bytes;
}

class ModelFile {
 public:
  explicit ModelFile(const Shape& shape) : shape_(shape) {
    AddKeys();
    const uint32_t query = shape.heads * shape.head_dim;
    const uint32_t kv = shape.kv_heads * shape.head_dim;
    const bool routed = shape.experts != 0;
    const std::string suffix = routed ? "_exps.weight" : ".weight";
    const uint32_t experts = std::max(shape.experts, 1u);
    AddFloats("token_embd.weight", {shape.width, shape.vocab}, 0.0f, 1.0f);
    AddFloats("output_norm.weight", {shape.width}, 1.0f, 0.0f);
    AddMatrix("output.weight", shape.head, shape.width, shape.vocab, 1);
    for (uint32_t i = 0; i < shape.layers; ++i) {
      const std::string layer = "blk." + std::to_string(i) + ".";
      AddFloats(layer + "attn_norm.weight", {shape.width}, 1.0f, 0.0f);
      AddFloats(layer + "ffn_norm.weight", {shape.width}, 1.0f, 0.0f);
      AddMatrix(layer + "attn_q.weight", shape.attention, shape.width, query, 1);
      AddMatrix(layer + "attn_k.weight", shape.attention, shape.width, kv, 1);
      AddMatrix(layer + "attn_v.weight", routed ? shape.attention : shape.fine, shape.width, kv, 1);
      AddMatrix(layer + "attn_output.weight", shape.attention, query, shape.width, 1);
      if (routed) AddFloats(layer + "ffn_gate_inp.weight", {shape.width, experts}, 0.0f, 1.0f);
      AddMatrix(layer + "ffn_gate" + suffix, shape.network, shape.width, shape.ffn_width, experts);
      AddMatrix(layer + "ffn_up" + suffix, shape.network, shape.width, shape.ffn_width, experts);
      AddMatrix(layer + "ffn_down" + suffix, shape.fine, shape.ffn_width, shape.width, experts);
    }
  }

  std::vector<uint8_t> Bytes() const { return writer_.Bytes(); }

 private:
  void AddKeys() {
    writer_.Add("general.architecture", "llama");
    writer_.Add("llama.block_count", shape_.layers).Add("llama.context_length", 2 * kMaxRows);
    writer_.Add("llama.embedding_length", shape_.width);
    writer_.Add("llama.feed_forward_length", shape_.ffn_width);
    writer_.Add("llama.attention.head_count", shape_.heads);
    writer_.Add("llama.attention.head_count_kv", shape_.kv_heads);
    writer_.Add("llama.attention.key_length", shape_.head_dim);
    writer_.Add("llama.attention.value_length", shape_.head_dim);
    writer_.Add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    writer_.Add("llama.expert_count", shape_.experts);
    writer_.Add("llama.expert_used_count", shape_.experts_used);
    writer_.Add("tokenizer.ggml.model", "no_vocab");
  }

  void AddMatrix(const std::string& name, BlockType type, uint64_t columns, uint64_t rows,
                 uint64_t experts) {
    std::vector<uint64_t> dims = {columns, rows};
    if (name.find("_exps") != std::string::npos) dims.push_back(experts);
    writer_.Tensor(name, type, dims, RandomBlocks(type, columns, rows * experts));
  }

  void AddFloats(const std::string& name, const std::vector<uint64_t>& dims, float mean,
                 float deviation) {
    size_t count = 1;
    for (const uint64_t dim : dims) count *= dim;
    std::vector<float> values(count);
    std::normal_distribution<float> normal(0.0f, 1.0f);
    for (float& value : values) value = mean + deviation * normal(random_);
    std::vector<uint8_t> bytes(count * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    writer_.Tensor(name, BlockType::kF32, dims, bytes);
  }

  Shape shape_;
  GgufWriter writer_;
  std::mt19937 random_{2};
};

// A model of one shape and a session of it.
struct Loaded {
  explicit Loaded(const Shape& wanted) : shape(&wanted) {
    junto_error error = cli::NewError();
    junto_runtime* new_runtime = nullptr;
    cli::Check(junto_runtime_create(nullptr, &new_runtime, &error), error);
    runtime.reset(new_runtime);
    junto_model* new_model = nullptr;
    {
      const std::vector<uint8_t> file = ModelFile(wanted).Bytes();
      cli::Check(junto_model_load_memory(new_runtime, file.data(), file.size(), nullptr, &new_model,
                                         &error),
                 error);
    }
    model.reset(new_model);
    cli::Check(junto_model_get_info(new_model, &info));
    junto_session_desc desc = cli::Struct(junto_session_desc_init);
    desc.context_tokens = kMaxRows + 2;
    desc.prefill_chunk = kMaxRows;
    junto_session* new_session = nullptr;
    cli::Check(junto_session_create(new_model, &desc, &new_session, &error), error);
    session.reset(new_session);
    junto_sampling sampling = cli::Struct(junto_sampling_init);
    sampling.max_new_tokens = 1;
    cli::Check(junto_session_set_sampling(new_session, &sampling, &error), error);
  }

  // Nanoseconds of one pass over `rows` random tokens, none of which the session holds.
  uint64_t Pass(uint32_t rows) {
    std::vector<junto_token> tokens(rows);
    for (junto_token& token : tokens) {
      token = static_cast<junto_token>(random() % shape->vocab);
    }
    tokens[0] = first = (first + 1) % static_cast<junto_token>(shape->vocab);
    junto_error error = cli::NewError();
    junto_prompt* new_prompt = nullptr;
    cli::Check(junto_prompt_create(model.get(), &new_prompt, &error), error);
    const cli::Prompt prompt(new_prompt);
    cli::Check(junto_prompt_add_tokens(new_prompt, tokens.data(), rows, &error), error);
    cli::Check(junto_session_prefill(session.get(), new_prompt, &error), error);
    const auto ignore = [](void*, const junto_chunk*) { return JUNTO_OK; };
    cli::Check(junto_session_generate(session.get(), ignore, nullptr, &error), error);
    junto_usage usage = cli::Struct(junto_usage_init);
    cli::Check(junto_session_get_usage(session.get(), &usage));
    if (usage.cached_tokens != 0) throw cli::Failure("a pass left out tokens");
    return usage.prefill_ns;
  }

  const Shape* shape;
  cli::Runtime runtime;
  cli::Model model;
  cli::Session session;
  junto_model_info info = cli::Struct(junto_model_info_init);
  std::mt19937 random{3};
  junto_token first = 0;
};

// One at a time is in memory: benchmarks run in the order of shapes.
Loaded& Get(const Shape& shape) {
  static std::unique_ptr<Loaded> loaded;
  if (loaded == nullptr || loaded->shape != &shape) {
    loaded.reset();
    loaded = std::make_unique<Loaded>(shape);
  }
  return *loaded;
}

struct Walls {
  double bytes = 0;     // per second
  double integers = 0;  // multiply-adds per second
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

const Walls& MeasuredWalls() {
  static const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  static const Walls walls = {Median(cli::ReadBandwidth(threads, 5)),
                              Median(cli::Rates(cli::Integers(), threads, 9))};
  return walls;
}

void Pass(benchmark::State& state, const Shape& shape, uint32_t rows) {
  Loaded& loaded = Get(shape);
  loaded.Pass(rows);
  double seconds = 0;
  for (auto _ : state) {
    const double one = static_cast<double>(loaded.Pass(rows)) * 1e-9;
    state.SetIterationTime(one);
    seconds += one;
  }
  const auto passes = static_cast<double>(state.iterations());
  const uint64_t head = uint64_t{shape.vocab} * shape.width;
  const double macs = static_cast<double>((loaded.info.params_active - head) * rows + head);
  state.counters["us_per_row"] = seconds / passes / rows * 1e6;
  state.counters["GMAC/s"] = passes * macs / seconds * 1e-9;
  state.counters["of_int8"] = passes * macs / seconds / MeasuredWalls().integers;
  if (rows == 1) {
    const auto bytes = static_cast<double>(loaded.info.decode_bytes);
    state.counters["of_read"] = passes * bytes / seconds / MeasuredWalls().bytes;
  }
}

void Register() {
  for (const Shape& shape : kShapes) {
    for (const uint32_t rows : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 512}) {
      const std::string name = std::string(shape.name) + "/rows:" + std::to_string(rows);
      benchmark::RegisterBenchmark(name.c_str(), Pass, shape, rows)->UseManualTime();
    }
  }
  benchmark::AddCustomContext("read ceiling",
                              std::to_string(MeasuredWalls().bytes * 1e-9) + " GB/s");
  benchmark::AddCustomContext(
      "8-bit multiply-adds",
      std::to_string(MeasuredWalls().integers * 1e-9) + " GMAC/s, " + cli::Integers().name);
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
