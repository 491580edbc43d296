// Directories of Hugging Face for tests: a writer of safetensors files, and a tiny model in one.
#ifndef JUNTO_TESTS_SUPPORT_SAFETENSORS_WRITER_H_
#define JUNTO_TESTS_SUPPORT_SAFETENSORS_WRITER_H_

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace junto {
namespace test {

// Tensors in the order in which they are added.
class SafetensorsWriter {
 public:
  struct Tensor {
    std::string name;
    std::string dtype;
    std::vector<uint64_t> shape;
    std::vector<uint8_t> bytes;
  };
  std::vector<Tensor> tensors;

  SafetensorsWriter& Add(std::string name, std::string dtype, std::vector<uint64_t> shape,
                         std::vector<uint8_t> bytes) {
    tensors.push_back({std::move(name), std::move(dtype), std::move(shape), std::move(bytes)});
    return *this;
  }

  // The header's JSON, in which tests may change what they like.
  std::string Header() const {
    std::string json = "{\"__metadata__\":{\"format\":\"pt\"}";
    uint64_t offset = 0;
    for (const Tensor& tensor : tensors) {
      json += ",\"" + tensor.name + "\":{\"dtype\":\"" + tensor.dtype + "\",\"shape\":[";
      for (size_t i = 0; i < tensor.shape.size(); ++i) {
        json += (i == 0 ? "" : ",") + std::to_string(tensor.shape[i]);
      }
      json += "],\"data_offsets\":[" + std::to_string(offset) + ",";
      offset += tensor.bytes.size();
      json += std::to_string(offset) + "]}";
    }
    return json + "}";
  }

  std::vector<uint8_t> Bytes() const { return Bytes(Header()); }
  std::vector<uint8_t> Bytes(const std::string& header) const {
    const uint64_t size = header.size();
    std::vector<uint8_t> bytes(sizeof(size) + header.size());
    std::memcpy(bytes.data(), &size, sizeof(size));
    std::memcpy(bytes.data() + sizeof(size), header.data(), header.size());
    for (const Tensor& tensor : tensors) {
      bytes.insert(bytes.end(), tensor.bytes.begin(), tensor.bytes.end());
    }
    return bytes;
  }
};

inline std::vector<uint8_t> BytesOf(const std::string& text) { return {text.begin(), text.end()}; }

// A llama of 2 layers, 16 wide, with 4 heads of 4, 2 of them of keys.
struct TinyDirectory {
  std::map<std::string, std::string> config = {{"model_type", "\"llama\""},
                                               {"hidden_size", "16"},
                                               {"intermediate_size", "24"},
                                               {"num_hidden_layers", "2"},
                                               {"num_attention_heads", "4"},
                                               {"num_key_value_heads", "2"},
                                               {"max_position_embeddings", "64"},
                                               {"rms_norm_eps", "1e-05"},
                                               {"vocab_size", "40"},
                                               {"rope_theta", "10000.0"},
                                               {"tie_word_embeddings", "false"},
                                               {"rope_scaling", "null"}};
  SafetensorsWriter weights;

  TinyDirectory() {
    Add("model.embed_tokens.weight", {40, 16});
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      Add(layer + "input_layernorm.weight", {16});
      Add(layer + "self_attn.q_proj.weight", {16, 16});
      Add(layer + "self_attn.k_proj.weight", {8, 16});
      Add(layer + "self_attn.v_proj.weight", {8, 16});
      Add(layer + "self_attn.o_proj.weight", {16, 16});
      Add(layer + "post_attention_layernorm.weight", {16});
      Add(layer + "mlp.gate_proj.weight", {24, 16});
      Add(layer + "mlp.up_proj.weight", {24, 16});
      Add(layer + "mlp.down_proj.weight", {16, 24});
    }
    Add("model.norm.weight", {16});
    Add("lm_head.weight", {40, 16});
  }

  // F32 numbers around 0, norms around 1.
  void Add(const std::string& name, std::vector<uint64_t> shape) {
    uint64_t count = 1;
    for (const uint64_t dim : shape) count *= dim;
    std::vector<float> values(count);
    for (float& value : values) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      value = static_cast<float>(static_cast<int32_t>(state_ >> 32)) * 0x1p-32f;
      if (shape.size() == 1) value += 1.0f;
    }
    std::vector<uint8_t> bytes(count * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    weights.Add(name, "F32", std::move(shape), std::move(bytes));
  }

  std::string Config() const {
    std::string json = "{";
    for (const auto& [key, value] : config) {
      json += (json.size() == 1 ? "\"" : ",\"") + key + "\": " + value;
    }
    return json + "}";
  }

  // All files by name.
  std::map<std::string, std::vector<uint8_t>> Files() const {
    return {{"config.json", BytesOf(Config())}, {"model.safetensors", weights.Bytes()}};
  }

  // The same with the tensors dealt out to `count` shards.
  std::map<std::string, std::vector<uint8_t>> Shards(size_t count) const {
    std::vector<SafetensorsWriter> shards(count);
    std::string map;
    for (size_t i = 0; i < weights.tensors.size(); ++i) {
      const SafetensorsWriter::Tensor& tensor = weights.tensors[i];
      shards[i % count].tensors.push_back(tensor);
      map += (map.empty() ? "\"" : ",\"") + tensor.name + "\":\"" + Shard(i % count) + "\"";
    }
    std::map<std::string, std::vector<uint8_t>> files = {
        {"config.json", BytesOf(Config())},
        {"model.safetensors.index.json",
         BytesOf("{\"metadata\":{\"total_size\":1},\"weight_map\":{" + map + "}}")}};
    for (size_t i = 0; i < count; ++i) files[Shard(i)] = shards[i].Bytes();
    return files;
  }
  static std::string Shard(size_t i) { return "part" + std::to_string(i) + ".safetensors"; }

  // A byte-level vocabulary of 40 tokens; 37 to 39 are special.
  static std::string TokenizerJson() {
    std::string vocab;
    for (int i = 0; i < 36; ++i) {
      vocab += (i == 0 ? "\"" : ",\"") +
               std::string(1, static_cast<char>('A' + i % 26 + i / 26 * 32)) +
               "\":" + std::to_string(i);
    }
    return "{\"added_tokens\":[{\"id\":37,\"content\":\"<s>\",\"special\":true},{\"id\":38,"
           "\"content\":\"</s>\",\"special\":true},{\"id\":39,\"content\":\"<end>\",\"special\":"
           "true}],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
           "\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"vocab\":{" +
           vocab + ",\"AB\":36},\"merges\":[\"A B\"]}}";
  }

 private:
  uint64_t state_ = 1;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_SAFETENSORS_WRITER_H_
