// Mixtures of experts with a known answer, made of a dense model: every expert computes exactly
// what the dense network computed, with bytes of its own, so whatever the router chooses the logits
// stay those of the dense model.
//
// An expert's fingerprint is a power of two on its up matrix, with the inverse on down, and an
// order of its hidden units. Both leave quantised blocks whole, so nothing is rounded; and parts of
// two experts put together compute nonsense.
#ifndef JUNTO_TESTS_SUPPORT_UPCYCLE_H_
#define JUNTO_TESTS_SUPPORT_UPCYCLE_H_

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "junto/io/gguf.h"
#include "junto/quant/transcode.h"
#include "tests/support/gguf_writer.h"

namespace junto {
namespace test {

// A tensor as a file has it, dimensions fastest first. Quantised ones are Q4_1 or MXFP4: a header,
// then 32 codes of which byte j holds j and, high, j + 16.
struct FileTensor {
  BlockType type = BlockType::kF32;
  std::vector<uint64_t> dims;
  std::vector<uint8_t> bytes;

  uint64_t columns() const { return dims[0]; }
  uint64_t rows() const { return dims.size() > 1 ? dims[1] : 1; }
  uint64_t row_bytes() const { return bytes.size() / rows(); }
  const BlockTypeInfo& info() const { return *FindBlockType(static_cast<uint32_t>(type)); }
};

inline FileTensor ReadFileTensor(const Gguf& gguf, const std::string& name) {
  const TensorInfo* from = gguf.FindTensor(name);
  INFO(name);
  REQUIRE(from != nullptr);
  FileTensor tensor = {from->type, {from->dims, from->dims + from->rank}, {}};
  tensor.bytes.resize(from->bytes);
  REQUIRE(gguf.Read(*from, 0, tensor.bytes.data(), tensor.bytes.size()).ok());
  return tensor;
}

inline FileTensor FromFloats(std::vector<uint64_t> dims, const std::vector<float>& values) {
  FileTensor tensor = {BlockType::kF32, std::move(dims), {}};
  tensor.bytes.resize(values.size() * sizeof(float));
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

inline FileTensor Constant(std::vector<uint64_t> dims, float value) {
  uint64_t count = 1;
  for (const uint64_t dim : dims) count *= dim;
  return FromFloats(std::move(dims), std::vector<float>(count, value));
}

// Values times `factor`, rounded once.
inline std::vector<float> ToFloats(const FileTensor& tensor, double factor) {
  std::vector<float> values(tensor.columns() * tensor.rows());
  const SourceFormat& source = *FindSourceFormat(tensor.type);
  for (uint64_t row = 0; row < tensor.rows(); ++row) {
    REQUIRE(Dequantise(source, &tensor.bytes[row * tensor.row_bytes()], tensor.columns(),
                       &values[row * tensor.columns()]) == kAllFinite);
  }
  for (float& value : values) value = static_cast<float>(value * factor);
  return values;
}

// 32 values with the power of two that suits them best of the two that come into question.
inline void QuantiseMxfp4(const float* values, uint8_t* block) {
  float largest = 0.0f;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::abs(values[i]));
  const int exponent = largest == 0.0f ? -100 : static_cast<int>(std::ceil(std::log2(largest / 6)));
  double least = std::numeric_limits<double>::infinity();
  for (int e = exponent; e > exponent - 2; --e) {
    uint8_t codes[16] = {};
    double error = 0.0;
    const double unit = std::ldexp(0.5, e);  // of the table's entries
    for (int i = 0; i < 32; ++i) {
      const auto distance = [&](int code) {
        return std::abs(values[i] - kCodeTables[0][code] * unit);
      };
      int best = 0;
      for (int code = 1; code < 16; ++code) {
        if (distance(code) < distance(best)) best = code;
      }
      codes[i % 16] = static_cast<uint8_t>(codes[i % 16] | best << (i / 16 * 4));
      error += distance(best) * distance(best);
    }
    if (error >= least) continue;
    least = error;
    block[0] = static_cast<uint8_t>(e + 127);
    std::memcpy(block + 1, codes, sizeof(codes));
  }
}

inline FileTensor ToMxfp4(const FileTensor& tensor, double factor) {
  const std::vector<float> values = ToFloats(tensor, factor);
  FileTensor out = {BlockType::kMXFP4, tensor.dims, {}};
  out.bytes.resize(values.size() / 32 * out.info().bytes);
  for (size_t b = 0; b < values.size() / 32; ++b) {
    QuantiseMxfp4(&values[b * 32], &out.bytes[b * out.info().bytes]);
  }
  return out;
}

// Row i is the old row order[i].
inline FileTensor WithRows(const FileTensor& tensor, const std::vector<uint32_t>& order) {
  FileTensor out = tensor;
  const uint64_t size = tensor.row_bytes();
  for (uint64_t row = 0; row < tensor.rows(); ++row) {
    std::memcpy(&out.bytes[row * size], &tensor.bytes[order[row] * size], size);
  }
  return out;
}

// Column i is the old column order[i]; each 32 columns of a quantised tensor were 32 before.
inline FileTensor WithColumns(const FileTensor& tensor, const std::vector<uint32_t>& order) {
  FileTensor out = tensor;
  const uint32_t size = tensor.info().bytes;
  const uint32_t header = size - 16;
  for (uint64_t b = 0; b < tensor.bytes.size() / size; ++b) {
    const uint32_t* columns = &order[b % (tensor.columns() / 32) * 32];
    const uint64_t row_begin = b * 32 / tensor.columns() * tensor.columns() / 32;
    const uint8_t* from = &tensor.bytes[(row_begin + columns[0] / 32) * size];
    uint8_t* to = &out.bytes[b * size];
    std::memcpy(to, from, header);
    std::memset(to + header, 0, 16);
    for (uint32_t i = 0; i < 32; ++i) {
      const uint32_t j = columns[i] % 32;
      const int code = from[header + j % 16] >> (j / 16 * 4) & 15;
      to[header + i % 16] = static_cast<uint8_t>(to[header + i % 16] | code << (i / 16 * 4));
    }
  }
  return out;
}

// Multiplies the half at p by 2^power; false where that is not a normal number.
inline bool ScaleHalf(int power, uint8_t* p) {
  const uint16_t half = LoadU16(p);
  if ((half & 0x7FFF) == 0) return true;
  const int exponent = half >> 10 & 31;
  if (exponent == 0 || exponent + power < 1 || exponent + power > 30) return false;
  StoreU16(static_cast<uint16_t>((half & 0x83FF) | (exponent + power) << 10), p);
  return true;
}

inline FileTensor TimesPowerOfTwo(FileTensor tensor, int power) {
  bool exact = true;
  const uint32_t size = tensor.info().bytes;
  for (size_t at = 0; at < tensor.bytes.size(); at += size) {
    uint8_t* block = &tensor.bytes[at];
    if (tensor.type == BlockType::kMXFP4) {
      block[0] = static_cast<uint8_t>(block[0] + power);
    } else {
      exact = ScaleHalf(power, block) && ScaleHalf(power, block + 2) && exact;
    }
  }
  REQUIRE(exact);
  return tensor;
}

struct ExpertTensors {
  FileTensor gate;
  FileTensor up;
  FileTensor down;
};

struct Fingerprint {
  int power = 0;
  std::vector<uint32_t> order;  // of hidden units; empty: as they are
};

// Shuffles blocks of 32, and the units in each.
inline Fingerprint MakeFingerprint(uint32_t expert, uint32_t units, bool shuffle) {
  Fingerprint print;
  print.power = static_cast<int>(expert % 3) - 1;
  if (!shuffle) return print;
  std::mt19937 random(expert);
  std::vector<uint32_t> blocks(units / 32);
  std::iota(blocks.begin(), blocks.end(), 0u);
  std::shuffle(blocks.begin(), blocks.end(), random);
  for (const uint32_t block : blocks) {
    std::vector<uint32_t> inside(32);
    std::iota(inside.begin(), inside.end(), block * 32);
    std::shuffle(inside.begin(), inside.end(), random);
    print.order.insert(print.order.end(), inside.begin(), inside.end());
  }
  return print;
}

inline ExpertTensors WithFingerprint(const ExpertTensors& expert, const Fingerprint& print) {
  ExpertTensors out = {expert.gate, TimesPowerOfTwo(expert.up, print.power),
                       TimesPowerOfTwo(expert.down, -print.power)};
  if (print.order.empty()) return out;
  return {WithRows(out.gate, print.order), WithRows(out.up, print.order),
          WithColumns(out.down, print.order)};
}

struct UpcycleOptions {
  uint32_t experts = 8;
  uint32_t experts_used = 2;
  uint32_t router_seed = 1;
  uint32_t rotation = 0;   // expert e of the file has the fingerprint of e + rotation
  bool shuffle = true;     // hidden units; else only powers of two tell experts apart
  bool mix_parts = false;  // every expert has the down matrix of the next one: wrong on purpose
};

// Makes models of the first `layers` layers of a llama file, as bytes of GGUF files.
class Upcycler {
 public:
  // `source` outlives the upcycler.
  Upcycler(const Gguf* source, uint32_t layers) : source_(source), layers_(layers) {}

  // The dense model itself.
  std::vector<uint8_t> Dense() const {
    GgufWriter writer = Begin("llama");
    AddTrunk(&writer);
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      AddAttention(layer, "ffn_norm", &writer);
      const ExpertTensors network = Network(layer);
      AddNetwork(Name(layer, ""), network, &writer);
    }
    return writer.Bytes();
  }

  // Architecture llama with experts, in the blocks of the source: equal to Dense.
  std::vector<uint8_t> Mixtral(const UpcycleOptions& options) const {
    GgufWriter writer = Begin("llama");
    AddExpertKeys("llama", options, &writer);
    AddTrunk(&writer);
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      AddAttention(layer, "ffn_norm", &writer);
      AddRouter(layer, options, &writer);
      AddExperts(layer, Network(layer), options, &writer);
    }
    return writer.Bytes();
  }

  // Architecture gpt-oss, experts in MXFP4, equal to GptOssDense. Its unit computes
  //   (up + 1) * gate * sigmoid(1.702 gate),   gate at most 7, up within -7 and 7,
  // so gate / 1.702, up / 64 with a bias of -1, and down * 1.702 * 64 make it silu(gate) * up as
  // long as gate <= 11.9 and -6 <= up / 64 <= 8, each expert's power of two included.
  std::vector<uint8_t> GptOss(const UpcycleOptions& options) const {
    GgufWriter writer = Begin("gpt-oss");
    AddExpertKeys("gpt-oss", options, &writer);
    const uint32_t width = U32("llama.embedding_length");
    const uint32_t heads = U32("llama.attention.head_count");
    const uint32_t head_dim = width / heads;
    writer.Add("gpt-oss.attention.key_length", head_dim);
    writer.Add("gpt-oss.attention.value_length", head_dim);
    writer.Add("gpt-oss.attention.sliding_window", U32("llama.context_length"));
    AddTrunk(&writer);
    Add("output.weight", ReadFileTensor(*source_, "token_embd.weight"), &writer);
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      AddAttention(layer, "post_attention_norm", &writer);
      for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
        const uint64_t rows = ReadFileTensor(*source_, Name(layer, name) + ".weight").rows();
        Add(Name(layer, name) + ".bias", Constant({rows}, 0.0f), &writer);
      }
      Add(Name(layer, "attn_sinks.weight"), Constant({heads}, -1e4f), &writer);
      AddRouter(layer, options, &writer);
      Add(Name(layer, "ffn_gate_inp.bias"), Constant({options.experts}, 0.0f), &writer);
      const ExpertTensors network = GptOssNetwork(layer);
      AddExperts(layer, network, options, &writer);
      const uint64_t units = network.gate.rows();
      const uint64_t experts = options.experts;
      Add(Name(layer, "ffn_gate_exps.bias"), Constant({units, experts}, 0.0f), &writer);
      Add(Name(layer, "ffn_up_exps.bias"), Constant({units, experts}, -1.0f), &writer);
      Add(Name(layer, "ffn_down_exps.bias"), Constant({width, experts}, 0.0f), &writer);
    }
    return writer.Bytes();
  }

  // What GptOss computes, as a dense llama model in F32.
  std::vector<uint8_t> GptOssDense() const {
    GgufWriter writer = Begin("llama");
    AddTrunk(&writer);
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      AddAttention(layer, "ffn_norm", &writer);
      const ExpertTensors network = GptOssNetwork(layer);
      AddNetwork(
          Name(layer, ""),
          {FromFloats(network.gate.dims, ToFloats(network.gate, kAlpha)),
           FromFloats(network.up.dims, ToFloats(network.up, kUpDivisor)),
           FromFloats(network.down.dims, ToFloats(network.down, 1.0 / (kAlpha * kUpDivisor)))},
          &writer);
    }
    return writer.Bytes();
  }

  static constexpr double kAlpha = 1.702;
  static constexpr double kUpDivisor = 64.0;
  // What dense activations must keep to for GptOss to be exact, whatever the fingerprint.
  static constexpr double kLargestGate = 7.0 * kAlpha;
  static constexpr double kLargestUp = 6.0 * kUpDivisor / 2.0;

 private:
  static std::string Name(uint32_t layer, const std::string& name) {
    return "blk." + std::to_string(layer) + "." + name;
  }

  static void Add(const std::string& name, const FileTensor& tensor, GgufWriter* writer) {
    writer->Tensor(name, tensor.type, tensor.dims, tensor.bytes);
  }

  uint32_t U32(const char* key) const {
    uint32_t value = 0;
    REQUIRE(source_->metadata().GetU32(key, &value).ok());
    return value;
  }

  // The pairs of the source under another architecture's prefix.
  GgufWriter Begin(const std::string& architecture) const {
    GgufWriter writer;
    writer.Add("general.architecture", architecture);
    for (const MetadataValue& pair : source_->metadata().values()) {
      std::string key(pair.key);
      if (key.compare(0, 8, "general.") == 0) continue;
      if (key.compare(0, 6, "llama.") == 0) key = architecture + key.substr(5);
      if (key == architecture + ".block_count") {
        writer.Add(key, layers_);
      } else {
        CopyPair(key, pair, &writer);
      }
    }
    return writer;
  }

  static void CopyPair(const std::string& key, const MetadataValue& pair, GgufWriter* writer) {
    ByteWriter out;
    const auto type = static_cast<uint32_t>(pair.type);
    if (pair.is_array) {
      out.Put(type);
      out.Put(pair.count);
    }
    const auto* bytes = static_cast<const uint8_t*>(pair.data);
    if (pair.type == MetadataType::kString) {
      const auto* strings = static_cast<const std::string_view*>(pair.data);
      for (uint64_t i = 0; i < pair.count; ++i) out.PutString(std::string(strings[i]));
    } else {
      out.PutBytes({bytes, bytes + pair.count * FindMetadataType(type)->bytes});
    }
    writer->RawPair(key, pair.is_array ? static_cast<uint32_t>(MetadataType::kArray) : type,
                    out.Take());
  }

  void AddExpertKeys(const std::string& architecture, const UpcycleOptions& options,
                     GgufWriter* writer) const {
    writer->Add(architecture + ".expert_count", options.experts);
    writer->Add(architecture + ".expert_used_count", options.experts_used);
    writer->Add(architecture + ".expert_feed_forward_length", U32("llama.feed_forward_length"));
  }

  void AddTrunk(GgufWriter* writer) const {
    for (const char* name : {"token_embd.weight", "output_norm.weight"}) {
      Add(name, ReadFileTensor(*source_, name), writer);
    }
  }

  // Files of gpt-oss have the rows of q and k in the model's own order, those of llama interleave
  // the two halves of each head.
  void AddAttention(uint32_t layer, const char* ffn_norm, GgufWriter* writer) const {
    const bool halves = std::string(ffn_norm) != "ffn_norm";
    const auto read = [&](const char* name) {
      return ReadFileTensor(*source_, Name(layer, name) + ".weight");
    };
    const auto rotated = [&](const char* name) {
      const FileTensor tensor = read(name);
      return halves ? WithRows(tensor, HalvesOrder(tensor.rows())) : tensor;
    };
    Add(Name(layer, "attn_norm.weight"), read("attn_norm"), writer);
    Add(Name(layer, "attn_q.weight"), rotated("attn_q"), writer);
    Add(Name(layer, "attn_k.weight"), rotated("attn_k"), writer);
    Add(Name(layer, "attn_v.weight"), read("attn_v"), writer);
    Add(Name(layer, "attn_output.weight"), read("attn_output"), writer);
    Add(Name(layer, ffn_norm) + ".weight", read("ffn_norm"), writer);
  }

  std::vector<uint32_t> HalvesOrder(uint64_t rows) const {
    const uint32_t dim = U32("llama.embedding_length") / U32("llama.attention.head_count");
    std::vector<uint32_t> order(rows);
    for (uint32_t row = 0; row < rows; ++row) {
      const uint32_t i = row % dim;
      order[row] = row - i + 2 * (i % (dim / 2)) + i / (dim / 2);
    }
    return order;
  }

  ExpertTensors Network(uint32_t layer) const {
    return {ReadFileTensor(*source_, Name(layer, "ffn_gate.weight")),
            ReadFileTensor(*source_, Name(layer, "ffn_up.weight")),
            ReadFileTensor(*source_, Name(layer, "ffn_down.weight"))};
  }

  ExpertTensors GptOssNetwork(uint32_t layer) const {
    const ExpertTensors dense = Network(layer);
    return {ToMxfp4(dense.gate, 1.0 / kAlpha), ToMxfp4(dense.up, 1.0 / kUpDivisor),
            ToMxfp4(dense.down, kAlpha * kUpDivisor)};
  }

  static void AddNetwork(const std::string& prefix, const ExpertTensors& network,
                         GgufWriter* writer) {
    Add(prefix + "ffn_gate.weight", network.gate, writer);
    Add(prefix + "ffn_up.weight", network.up, writer);
    Add(prefix + "ffn_down.weight", network.down, writer);
  }

  void AddRouter(uint32_t layer, const UpcycleOptions& options, GgufWriter* writer) const {
    const uint64_t width = U32("llama.embedding_length");
    std::mt19937 random(options.router_seed * 1000 + layer);
    std::normal_distribution<float> normal;
    std::vector<float> rows(width * options.experts);
    for (float& value : rows) value = normal(random);
    Add(Name(layer, "ffn_gate_inp.weight"), FromFloats({width, options.experts}, rows), writer);
  }

  static void AddExperts(uint32_t layer, const ExpertTensors& network,
                         const UpcycleOptions& options, GgufWriter* writer) {
    FileTensor ExpertTensors::*const parts[] = {&ExpertTensors::gate, &ExpertTensors::up,
                                                &ExpertTensors::down};
    const char* const names[] = {"ffn_gate_exps.weight", "ffn_up_exps.weight",
                                 "ffn_down_exps.weight"};
    FileTensor stacks[3];
    for (uint32_t e = 0; e < options.experts; ++e) {
      const ExpertTensors own = Expert(network, options, e);
      const ExpertTensors next = options.mix_parts ? Expert(network, options, e + 1) : own;
      for (int i = 0; i < 3; ++i) {
        const FileTensor& part = i < 2 ? own.*parts[i] : next.*parts[i];
        stacks[i].type = part.type;
        stacks[i].dims = {part.dims[0], part.dims[1], options.experts};
        stacks[i].bytes.insert(stacks[i].bytes.end(), part.bytes.begin(), part.bytes.end());
      }
    }
    for (int i = 0; i < 3; ++i) Add(Name(layer, names[i]), stacks[i], writer);
  }

  static ExpertTensors Expert(const ExpertTensors& network, const UpcycleOptions& options,
                              uint32_t expert) {
    const auto units = static_cast<uint32_t>(network.gate.rows());
    const uint32_t who = (expert + options.rotation) % options.experts;
    return WithFingerprint(network, MakeFingerprint(who, units, options.shuffle));
  }

  const Gguf* source_;
  uint32_t layers_;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_UPCYCLE_H_
