// Small models as data: keys and tensors that a test may change, drop or damage before the file is
// written.
#ifndef JUNTO_TESTS_SUPPORT_TINY_MODEL_H_
#define JUNTO_TESTS_SUPPORT_TINY_MODEL_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/gguf_writer.h"
#include "tests/support/text_vocabulary.h"

namespace junto {
namespace test {

class TinyModel {
 public:
  static constexpr const char* kChatMl =
      "{% for message in messages %}"
      "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
      "{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  struct Pair {
    std::string key;
    std::function<void(GgufWriter*)> add;
  };
  struct Tensor {
    std::string name;
    uint32_t type;
    std::vector<uint64_t> dims;  // fastest first
    std::vector<uint8_t> bytes;

    template <class T>
    T* as() {
      return reinterpret_cast<T*>(bytes.data());
    }
  };

  // Random weights, F32. `vocab` rows of embedding; no vocabulary of text.
  static TinyModel Llama(uint32_t vocab = 48, uint32_t width = 48) {
    return TinyModel("llama", vocab, 0, width);
  }
  static TinyModel Mixtral(uint32_t vocab = 48) { return TinyModel("llama", vocab, 4, 48); }
  static TinyModel GptOss(uint32_t vocab = 48, uint32_t experts = 4) {
    return TinyModel("gpt-oss", vocab, experts, 48);
  }
  // Gemma, each layer of its two kinds: dense, with experts, and with inputs to every layer and
  // keys that two layers have from two others.
  static TinyModel Gemma3(uint32_t layers = 2) {
    return TinyModel("gemma3", GemmaShape{layers, 0, 0, 0});
  }
  static TinyModel Gemma4() { return TinyModel("gemma4", GemmaShape{2, 4, 0, 0}); }
  static TinyModel Gemma4Shared() { return TinyModel("gemma4", GemmaShape{4, 0, 8, 2}); }
  // A delta-net, then attention, both with experts and a shared one.
  static TinyModel Qwen(uint32_t vocab = 48) { return TinyModel("qwen35moe", vocab, 4, 48); }
  // MiMo: a dense layer that sees everything, and one with a window and experts.
  static TinyModel Mimo() {
    TinyModel model(48);
    model.AddMimo();
    return model;
  }
  // Llama with the small vocabulary of the tokenizer's tests and ChatML's markers. It talks without
  // end.
  static TinyModel Chat() { return Talking(Llama(VocabularySize())); }
  static TinyModel QwenChat() { return Talking(Qwen(VocabularySize())); }
  static uint32_t VocabularySize() { return static_cast<uint32_t>(TextVocabulary().tokens.size()); }
  static TinyModel Talking(TinyModel model) {
    const TextVocabulary text;
    model.Set("tokenizer.ggml.model", "gpt2").Set("tokenizer.ggml.pre", "smollm");
    model.Set("tokenizer.ggml.tokens", text.tokens).Set("tokenizer.ggml.token_type", text.types);
    model.Set("tokenizer.ggml.merges", text.merges);
    model.Set("tokenizer.chat_template", kChatMl);  // there are Harmony's markers, too
    model.Set("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(text.Id("<|im_end|>")));
    Tensor bias = {"output.bias", static_cast<uint32_t>(BlockType::kF32), {text.tokens.size()}, {}};
    bias.bytes.resize(text.tokens.size() * sizeof(float));
    for (size_t i = 0; i < text.types.size(); ++i) {
      bias.as<float>()[i] = text.types[i] == 3 ? -100.0f : 0.0f;
    }
    model.tensors.push_back(bias);
    return model;
  }
  // Chat that, greedily and after "!", says three texts of 250 bytes in turn.
  static TinyModel Verbose() {
    TextVocabulary text;
    std::map<int32_t, int32_t> next;
    int32_t last = text.Id("!");
    for (const char* name : {"<tool>", "<tool>!", "ool>x", "<tool>"}) {
      next[last] = text.Id(name);
      last = text.Id(name);
    }
    for (int i = 0; i < 3; ++i) {
      std::string* spelled = &text.tokens[next[last]];
      last = next[last];
      spelled->clear();
      while (spelled->size() < 250) *spelled += "caf\xC3\xA9 " + std::to_string(i) + ", ";
    }
    TinyModel model = Scripted(next);
    return model.Set("tokenizer.ggml.tokens", text.tokens);
  }
  // Chat with nothing but an embedding: greedily, `next[t]` follows t.
  static TinyModel Scripted(const std::map<int32_t, int32_t>& next) {
    TinyModel model = Chat();
    for (Tensor& tensor : model.tensors) {
      const bool mixes = tensor.name.find("attn_output") != std::string::npos ||
                         tensor.name.find("ffn_down") != std::string::npos;
      if (mixes || tensor.name.find("output.") == 0) Fill(&tensor, 0.0f);
      if (tensor.name == "output_norm.weight") Fill(&tensor, 1.0f);
    }
    const float* embedding = model.Find("token_embd.weight")->as<float>();
    float* head = model.Find("output.weight")->as<float>();
    for (const auto& [token, follower] : next) {
      for (uint32_t i = 0; i < model.width_; ++i) {
        head[follower * model.width_ + i] += embedding[token * model.width_ + i];
      }
    }
    return model;
  }

  template <class T>
  TinyModel& Set(const std::string& key, T value) {
    std::function<void(GgufWriter*)> add = [key, value](GgufWriter* out) { out->Add(key, value); };
    for (Pair& pair : pairs) {
      if (pair.key == key) {
        pair.add = add;
        return *this;
      }
    }
    pairs.push_back({key, add});
    return *this;
  }
  Tensor* Find(const std::string& name) {
    for (Tensor& tensor : tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }

  GgufWriter Writer() const {
    GgufWriter writer;
    for (const Pair& pair : pairs) pair.add(&writer);
    for (const Tensor& tensor : tensors) {
      writer.Tensor(tensor.name, static_cast<BlockType>(tensor.type), tensor.dims, tensor.bytes);
    }
    return writer;
  }
  std::vector<uint8_t> Bytes() const { return Writer().Bytes(); }

  std::vector<Pair> pairs;
  std::vector<Tensor> tensors;

 private:
  static constexpr uint32_t kLayers = 2;
  static constexpr uint32_t kHeads = 4;
  static constexpr uint32_t kKvHeads = 2;
  static constexpr uint32_t kHeadDim = 12;
  static constexpr uint32_t kInner = 40;
  static constexpr uint32_t kKeyHeads = 2;  // of delta-nets
  static constexpr uint32_t kValueHeads = 4;
  static constexpr uint32_t kStateDim = 10;

  TinyModel(const std::string& architecture, uint32_t vocab, uint32_t experts, uint32_t width)
      : width_(width) {
    const bool gpt_oss = architecture == "gpt-oss";
    const std::string p = architecture + ".";
    Set("general.architecture", architecture);
    Set(p + "block_count", kLayers).Set(p + "context_length", uint32_t{256});
    Set(p + "embedding_length", width_);
    const bool qwen = architecture == "qwen35moe";
    Set(p + (gpt_oss || qwen ? "expert_feed_forward_length" : "feed_forward_length"), kInner);
    Set(p + "attention.head_count", kHeads);
    Set(p + "attention.head_count_kv", kKvHeads);
    Set(p + "attention.key_length", kHeadDim);
    Set(p + "attention.value_length", kHeadDim);
    Set(p + "attention.layer_norm_rms_epsilon", 1e-5f).Set(p + "rope.freq_base", 10000.0f);
    if (experts != 0) Set(p + "expert_count", experts).Set(p + "expert_used_count", uint32_t{2});
    if (qwen) SetQwen(p);
    if (gpt_oss) {
      Set(p + "attention.sliding_window", uint32_t{16});
      Set(p + "rope.scaling.type", "yarn").Set(p + "rope.scaling.factor", 4.0f);
      Set(p + "rope.scaling.original_context_length", uint32_t{64});
    }
    Set("tokenizer.ggml.model", "no_vocab");

    Add("token_embd.weight", {width_, vocab}, 1.0f);
    Add("output_norm.weight", {width_}, 0.25f, 1.0f);
    Add("output.weight", {width_, vocab}, 0.5f);
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      if (qwen) {
        AddQwenLayer(layer, experts);
      } else {
        AddLayer(layer, gpt_oss, experts);
      }
    }
  }

  void SetQwen(const std::string& p) {
    Set(p + "full_attention_interval", uint32_t{2});
    Set(p + "rope.dimension_count", uint32_t{6});
    Set(p + "rope.dimension_sections", std::vector<int32_t>{1, 1, 1, 0});
    Set(p + "ssm.group_count", kKeyHeads).Set(p + "ssm.time_step_rank", kValueHeads);
    Set(p + "ssm.state_size", kStateDim).Set(p + "ssm.inner_size", kValueHeads * kStateDim);
    Set(p + "ssm.conv_kernel", uint32_t{4});
    Set(p + "expert_shared_feed_forward_length", kInner);
  }

  void AddQwenLayer(uint32_t layer, uint32_t experts) {
    const std::string blk = "blk." + std::to_string(layer) + ".";
    Add(blk + "attn_norm.weight", {width_}, 0.25f, 1.0f);
    Add(blk + "post_attention_norm.weight", {width_}, 0.25f, 1.0f);
    if (layer % 2 == 0) {
      const uint32_t values = kValueHeads * kStateDim;
      const uint32_t channels = 2 * kKeyHeads * kStateDim + values;
      AddMatrix(blk + "attn_qkv", {width_, channels}, false);
      AddMatrix(blk + "attn_gate", {width_, values}, false);
      AddMatrix(blk + "ssm_alpha", {width_, kValueHeads}, false);
      AddMatrix(blk + "ssm_beta", {width_, kValueHeads}, false);
      AddMatrix(blk + "ssm_conv1d", {4, channels}, false);
      Add(blk + "ssm_a", {kValueHeads}, 0.3f, -0.7f);
      Add(blk + "ssm_dt.bias", {kValueHeads}, 0.5f, -2.0f);
      Add(blk + "ssm_norm.weight", {kStateDim}, 0.25f, 1.0f);
      AddMatrix(blk + "ssm_out", {values, width_}, false);
    } else {
      AddMatrix(blk + "attn_q", {width_, 2 * kHeads * kHeadDim}, false);
      AddMatrix(blk + "attn_k", {width_, kKvHeads * kHeadDim}, false);
      AddMatrix(blk + "attn_v", {width_, kKvHeads * kHeadDim}, false);
      Add(blk + "attn_q_norm.weight", {kHeadDim}, 0.25f, 1.5f);
      Add(blk + "attn_k_norm.weight", {kHeadDim}, 0.25f, 1.5f);
      AddMatrix(blk + "attn_output", {kHeads * kHeadDim, width_}, false);
    }
    AddMatrix(blk + "ffn_gate_inp", {width_, experts}, false);
    AddMatrix(blk + "ffn_gate_inp_shexp", {width_}, false);
    for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) {
      const bool down = std::string(name) == "ffn_down";
      const uint64_t columns = down ? kInner : width_;
      const uint64_t rows = down ? width_ : kInner;
      AddMatrix(std::string(blk + name) + "_exps", {columns, rows, experts}, false);
      AddMatrix(std::string(blk + name) + "_shexp", {columns, rows}, false);
    }
  }

  void AddLayer(uint32_t layer, bool gpt_oss, uint32_t experts) {
    const std::string blk = "blk." + std::to_string(layer) + ".";
    Add(blk + "attn_norm.weight", {width_}, 0.25f, 1.0f);
    Add(blk + (gpt_oss ? "post_attention_norm.weight" : "ffn_norm.weight"), {width_}, 0.25f, 1.0f);
    if (gpt_oss) Add(blk + "attn_sinks.weight", {kHeads}, 1.0f);
    AddMatrix(blk + "attn_q", {width_, kHeads * kHeadDim}, gpt_oss);
    AddMatrix(blk + "attn_k", {width_, kKvHeads * kHeadDim}, gpt_oss);
    AddMatrix(blk + "attn_v", {width_, kKvHeads * kHeadDim}, gpt_oss);
    AddMatrix(blk + "attn_output", {kHeads * kHeadDim, width_}, gpt_oss);
    if (experts != 0) AddMatrix(blk + "ffn_gate_inp", {width_, experts}, gpt_oss);
    for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) {
      const bool down = std::string(name) == "ffn_down";
      std::vector<uint64_t> dims = {down ? kInner : width_, down ? width_ : kInner};
      if (experts != 0) dims.push_back(experts);
      AddMatrix(blk + name + (experts != 0 ? "_exps" : ""), dims, gpt_oss);
    }
  }

  explicit TinyModel(uint32_t width) : width_(width) {}

  void AddMimo() {
    constexpr uint32_t kKeyDim = 20;
    constexpr uint32_t kExperts = 4;
    const std::string p = "mimo2.";
    Set("general.architecture", "mimo2");
    Set(p + "block_count", kLayers).Set(p + "context_length", uint32_t{256});
    Set(p + "embedding_length", width_).Set(p + "feed_forward_length", kInner);
    Set(p + "expert_feed_forward_length", uint32_t{24});
    Set(p + "expert_count", kExperts).Set(p + "expert_used_count", uint32_t{2});
    Set(p + "attention.head_count", kHeads);
    Set(p + "attention.head_count_kv", std::vector<int32_t>{1, 2});
    Set(p + "attention.sliding_window_pattern", std::vector<int32_t>{0, 1});
    Set(p + "attention.sliding_window", uint32_t{16});
    Set(p + "attention.key_length", kKeyDim).Set(p + "attention.value_length", kHeadDim);
    Set(p + "attention.value_scale", 0.6f).Set(p + "attention.layer_norm_rms_epsilon", 1e-5f);
    Set(p + "rope.dimension_count", uint32_t{6}).Set(p + "rope.freq_base", 5000.0f);
    Set("tokenizer.ggml.model", "no_vocab");

    Add("token_embd.weight", {width_, 48}, 1.0f);
    Add("output_norm.weight", {width_}, 0.25f, 1.0f);
    Add("output.weight", {width_, 48}, 0.5f);
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      const std::string blk = "blk." + std::to_string(layer) + ".";
      const uint32_t kv_heads = layer + 1;
      Add(blk + "attn_norm.weight", {width_}, 0.25f, 1.0f);
      Add(blk + "ffn_norm.weight", {width_}, 0.25f, 1.0f);
      AddMatrix(blk + "attn_q", {width_, kHeads * kKeyDim}, false);
      AddMatrix(blk + "attn_k", {width_, kv_heads * kKeyDim}, false);
      AddMatrix(blk + "attn_v", {width_, kv_heads * kHeadDim}, false);
      AddMatrix(blk + "attn_output", {kHeads * kHeadDim, width_}, false);
    }
    Add("blk.1.attn_sinks.weight", {kHeads}, 1.0f);
    AddMatrix("blk.0.ffn_gate", {width_, kInner}, false);
    AddMatrix("blk.0.ffn_up", {width_, kInner}, false);
    AddMatrix("blk.0.ffn_down", {kInner, width_}, false);
    AddMatrix("blk.1.ffn_gate_inp", {width_, kExperts}, false);
    Add("blk.1.exp_probs_b.bias", {kExperts}, 0.2f);
    AddMatrix("blk.1.ffn_gate_exps", {width_, 24, kExperts}, false);
    AddMatrix("blk.1.ffn_up_exps", {width_, 24, kExperts}, false);
    AddMatrix("blk.1.ffn_down_exps", {24, width_, kExperts}, false);
  }

  struct GemmaShape {
    uint32_t layers;
    uint32_t experts;
    uint32_t inputs;  // to each layer
    uint32_t shared;  // layers without keys
  };
  static constexpr uint32_t kFullDim = 20;  // of heads in layers that see everything

  TinyModel(const std::string& architecture, const GemmaShape& shape) : width_(48) {
    const bool four = architecture == "gemma4";
    const std::string p = architecture + ".";
    std::vector<bool> sliding;
    std::vector<int32_t> kv_heads;
    for (uint32_t i = 0; i < shape.layers; ++i) {
      sliding.push_back(i % 2 == 0);
      kv_heads.push_back(shape.experts != 0 && i % 2 != 0 ? 1 : 2);
    }
    Set("general.architecture", architecture);
    Set(p + "block_count", shape.layers).Set(p + "context_length", uint32_t{256});
    Set(p + "embedding_length", width_).Set(p + "feed_forward_length", kInner);
    Set(p + "vocab_size", uint32_t{48});
    Set(p + "attention.head_count", kHeads).Set(p + "attention.head_count_kv", kv_heads);
    Set(p + "attention.key_length", kFullDim).Set(p + "attention.value_length", kFullDim);
    Set(p + "attention.sliding_window", uint32_t{16});
    Set(p + "attention.layer_norm_rms_epsilon", 1e-5f).Set(p + "rope.freq_base", 10000.0f);
    if (four) {
      Set(p + "attention.sliding_window_pattern", sliding);
      Set(p + "attention.key_length_swa", kHeadDim).Set(p + "attention.value_length_swa", kHeadDim);
    }
    if (shape.experts != 0) {
      Set(p + "expert_count", shape.experts).Set(p + "expert_used_count", uint32_t{2});
      Set(p + "expert_feed_forward_length", uint32_t{24});
    }
    if (shape.inputs != 0) Set(p + "embedding_length_per_layer_input", shape.inputs);
    if (shape.shared != 0) Set(p + "attention.shared_kv_layers", shape.shared);
    Set("tokenizer.ggml.model", "no_vocab");

    Add("token_embd.weight", {width_, 48}, 0.3f);
    Add("output_norm.weight", {width_}, 0.25f, 1.0f);
    if (four) Add("rope_freqs.weight", {kFullDim / 2}, 0.25f, 1.0f);
    if (shape.inputs != 0) {
      const uint64_t all = shape.layers * shape.inputs;
      Add("per_layer_token_embd.weight", {all, 48}, 0.3f);
      AddMatrix("per_layer_model_proj", {width_, all}, false);
      Add("per_layer_proj_norm.weight", {shape.inputs}, 0.25f, 1.0f);
    }
    for (uint32_t i = 0; i < shape.layers; ++i) {
      const uint64_t dim = four && sliding[i] ? kHeadDim : kFullDim;
      AddGemmaLayer(i, shape, four, !four || sliding[i] || shape.inputs != 0, dim,
                    static_cast<uint64_t>(kv_heads[i]));
    }
  }

  void AddGemmaLayer(uint32_t layer, const GemmaShape& shape, bool four, bool values, uint64_t dim,
                     uint64_t kv_heads) {
    const std::string blk = "blk." + std::to_string(layer) + ".";
    const auto norm = [&](const char* name, uint64_t size) {
      Add(blk + name + ".weight", {size}, 0.25f, 1.0f);
    };
    for (const char* name : {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"}) {
      norm(name, width_);
    }
    AddMatrix(blk + "attn_q", {width_, kHeads * dim}, false);
    norm("attn_q_norm", dim);
    if (layer < shape.layers - shape.shared) {
      AddMatrix(blk + "attn_k", {width_, kv_heads * dim}, false);
      norm("attn_k_norm", dim);
      if (values) AddMatrix(blk + "attn_v", {width_, kv_heads * dim}, false);
    }
    AddMatrix(blk + "attn_output", {kHeads * dim, width_}, false);
    AddMatrix(blk + "ffn_gate", {width_, kInner}, false);
    AddMatrix(blk + "ffn_up", {width_, kInner}, false);
    AddMatrix(blk + "ffn_down", {kInner, width_}, false);
    if (shape.experts != 0) {
      for (const char* name : {"post_ffw_norm_1", "pre_ffw_norm_2", "post_ffw_norm_2"}) {
        norm(name, width_);
      }
      AddMatrix(blk + "ffn_gate_inp", {width_, shape.experts}, false);
      Add(blk + "ffn_gate_inp.scale", {width_}, 0.25f, 1.0f);
      AddMatrix(blk + "ffn_gate_up_exps", {width_, 48, shape.experts}, false);
      AddMatrix(blk + "ffn_down_exps", {24, width_, shape.experts}, false);
      Add(blk + "ffn_down_exps.scale", {shape.experts}, 0.25f, 1.0f);
    }
    if (shape.inputs != 0) {
      AddMatrix(blk + "inp_gate", {width_, shape.inputs}, false);
      AddMatrix(blk + "proj", {shape.inputs, width_}, false);
      norm("post_norm", width_);
    }
    if (four) Add(blk + "layer_output_scale.weight", {1}, 0.1f, 1.0f);
  }

  void AddMatrix(const std::string& name, const std::vector<uint64_t>& dims, bool bias) {
    Add(name + ".weight", dims, 1.2f / std::sqrt(static_cast<float>(dims[0])));
    if (bias) Add(name + ".bias", {dims.begin() + 1, dims.end()}, 0.3f);
  }

  // Uniform around `mean`; the same for the same name whatever else there is.
  void Add(const std::string& name, const std::vector<uint64_t>& dims, float deviation,
           float mean = 0.0f) {
    Tensor tensor = {name, static_cast<uint32_t>(BlockType::kF32), dims, {}};
    uint64_t count = 1;
    for (const uint64_t dim : dims) count *= dim;
    tensor.bytes.resize(count * sizeof(float));
    uint64_t state = 0;
    for (const char c : name) state = state * 31 + static_cast<uint8_t>(c);
    for (uint64_t i = 0; i < count; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const float unit = static_cast<float>(state >> 40) * 0x1p-23f - 1.0f;
      tensor.as<float>()[i] = mean + deviation * 1.732f * unit;
    }
    tensors.push_back(std::move(tensor));
  }

  static void Fill(Tensor* tensor, float value) {
    std::fill_n(tensor->as<float>(), tensor->bytes.size() / sizeof(float), value);
  }

  uint32_t width_;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_TINY_MODEL_H_
