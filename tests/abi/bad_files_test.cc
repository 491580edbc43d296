// Model files that are damaged, absurd or merely unknown: the right status, one line that names
// what is wrong, nothing left behind, and a runtime that loads the next model as if nothing had
// been.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests
using Bytes = std::vector<uint8_t>;

struct Family {
  const char* name;
  TinyModel model;
};
const std::vector<Family>& Families() {
  static const std::vector<Family> families = {
      {"llama", TinyModel::Llama()},    {"mixtral", TinyModel::Mixtral()},
      {"gpt-oss", TinyModel::GptOss()}, {"gemma3", TinyModel::Gemma3()},
      {"gemma4", TinyModel::Gemma4()},  {"gemma4, shared", TinyModel::Gemma4Shared()},
      {"qwen35moe", TinyModel::Qwen()}, {"mimo2", TinyModel::Mimo()},
      {"chat", TinyModel::Chat()}};
  return families;
}

// One runtime for all files of a test; every one must leave it as it was.
class Loader {
 public:
  Loader() : runtime_(CreateRuntime(host_.desc())), before_(host_.total()) {
    good_ = TinyModel::Llama().Bytes();
  }
  ~Loader() {
    runtime_.reset();
    CHECK(host_.Faults() == "");
  }

  // Loads from memory, and from a file with reads; both must agree.
  junto_status Load(const Bytes& bytes, Error* err) {
    junto_model* const none = reinterpret_cast<junto_model*>(this);
    junto_model* model = none;
    const junto_status status =
        junto_model_load_memory(runtime_.get(), bytes.data(), bytes.size(), nullptr, &model, err);
    if (status < 0) {
      REQUIRE(model == none);
      REQUIRE(err->IsLine());
    } else {
      junto_model_release(model);
    }
    REQUIRE(host_.total() == before_);

    host_.AddFile("bad.gguf", bytes);
    junto_model_desc desc;
    junto_model_desc_init(&desc, sizeof(desc));
    desc.flags = JUNTO_MODEL_NO_MAP;
    Error again;
    model = none;
    REQUIRE(junto_model_load(runtime_.get(), "bad.gguf", 8, &desc, &model, &again) == status);
    REQUIRE(again.text() == err->text());
    if (status >= 0) junto_model_release(model);
    REQUIRE(host_.total() == before_);
    return status;
  }

  void CheckRefused(const Bytes& bytes, junto_status expected, const std::string& named) {
    Error err;
    const junto_status status = Load(bytes, &err);
    INFO("expected to read of " << named << ": " << junto_status_name(status) << ": "
                                << err.text());
    CHECK(status == expected);
    CHECK(err.text().find(named) != std::string::npos);
    CheckUsable();
  }
  void CheckUsable() {
    Error err;
    REQUIRE(Load(good_, &err) == JUNTO_OK);
  }

 private:
  Host host_;
  RuntimeHandle runtime_;
  uint64_t before_;
  Bytes good_;
};

TEST_CASE("a file may end anywhere") {
  Loader loader;
  for (const Family& family : Families()) {
    const Bytes whole = family.model.Bytes();
    for (size_t part = 0; part < 64; ++part) {
      Bytes bytes(whole.begin(), whole.begin() + whole.size() * part / 64);
      bytes.reserve(1);  // data() of nothing is still an address
      Error err;
      INFO(family.name << ", " << part << "/64: " << err.text());
      REQUIRE(loader.Load(bytes, &err) == JUNTO_E_FORMAT);
    }
    for (size_t size = 0; size < 400; ++size) {
      Bytes bytes(whole.begin(), whole.begin() + size);
      bytes.reserve(1);
      Error err;
      INFO(family.name << ", " << size << " bytes: " << err.text());
      REQUIRE(loader.Load(bytes, &err) == JUNTO_E_FORMAT);
    }
  }
  loader.CheckUsable();
}

void Patch(Bytes* bytes, size_t at, uint64_t value, size_t size) {
  REQUIRE(at + size <= bytes->size());
  std::memcpy(bytes->data() + at, &value, size);
}
size_t PlaceOf(const Bytes& bytes, const std::string& text) {
  const auto at = std::search(bytes.begin(), bytes.end(), text.begin(), text.end());
  REQUIRE(at != bytes.end());
  return static_cast<size_t>(at - bytes.begin());
}

TEST_CASE("every field of the header may be wrong") {
  Loader loader;
  const Bytes whole = TinyModel::Llama().Bytes();
  struct Field {
    size_t at;
    size_t size;
    std::vector<uint64_t> values;
    junto_status status;
    std::string named;
  };
  // A pair is key size, key, type, value; a tensor is name size, name, rank, dims, type, offset.
  const size_t key = PlaceOf(whole, "llama.block_count");
  const size_t text = PlaceOf(whole, "general.architecture");
  const size_t tensor = PlaceOf(whole, "blk.1.attn_q.weight");
  const size_t after_key = key + 17;
  const size_t after_tensor = tensor + 19;
  const uint64_t huge = uint64_t{1} << 62;
  const uint64_t most = UINT64_MAX;
  const std::string name = "blk.1.attn_q.weight";
  const Field fields[] = {
      {0, 4, {0, 0x46554746, 0x47475546}, JUNTO_E_FORMAT, "header"},
      {4, 4, {0, 1, 4, 99, 0x03000000}, JUNTO_E_UNSUPPORTED, "header"},
      {8, 8, {1000, huge, most}, JUNTO_E_FORMAT, "tensor"},
      {16, 8, {10000, huge, most}, JUNTO_E_FORMAT, "keys"},
      {key - 8, 8, {0, 70000, huge, most}, JUNTO_E_FORMAT, "key 1"},
      {after_key, 4, {13, 99, UINT32_MAX}, JUNTO_E_FORMAT, "llama.block_count"},
      {after_key + 4, 4, {0, 1025, UINT32_MAX}, JUNTO_E_FORMAT, "llama.block_count"},
      {text + 20, 4, {4, 6, 13}, JUNTO_E_FORMAT, "key"},
      {text + 24, 8, {1 << 20, huge, most}, JUNTO_E_FORMAT, "general.architecture"},
      {tensor - 8, 8, {0, 128, huge, most}, JUNTO_E_FORMAT, "tensor"},
      {after_tensor, 4, {0, 5, UINT32_MAX}, JUNTO_E_FORMAT, name},
      {after_tensor + 4, 8, {0, 47, 1 << 20, huge, most}, JUNTO_E_FORMAT, name},
      {after_tensor + 12, 8, {0, 49, 1 << 20, huge, most}, JUNTO_E_FORMAT, name},
      {after_tensor + 20, 4, {999, UINT32_MAX}, JUNTO_E_UNSUPPORTED, name},
      {after_tensor + 24, 8, {1, 32, 1 << 20, huge, most - 31}, JUNTO_E_FORMAT, "tensor"},
  };
  for (const Field& field : fields) {
    for (const uint64_t value : field.values) {
      Bytes bytes = whole;
      Patch(&bytes, field.at, value, field.size);
      INFO("byte " << field.at << ": " << value);
      loader.CheckRefused(bytes, field.status, field.named);
    }
  }
}

TEST_CASE("any byte of the header may be wrong") {
  Loader loader;
  for (const Family& family : Families()) {
    const Bytes whole = family.model.Bytes();
    const size_t header = std::min<size_t>(whole.size(), 3000);
    const size_t stride = family.model.pairs.size() > 15 ? 29 : 5;
    for (size_t at = 0; at < header; at += stride) {
      Bytes bytes = whole;
      bytes[at] ^= static_cast<uint8_t>(at % 3 == 0 ? 0xFF : at % 3 == 1 ? 0x80 : 0x01);
      Error err;
      const junto_status status = loader.Load(bytes, &err);
      INFO(family.name << ", byte " << at << ": " << err.text());
      REQUIRE((status == JUNTO_OK || status == JUNTO_E_FORMAT || status == JUNTO_E_UNSUPPORTED ||
               status == JUNTO_E_MEMORY));
    }
  }
  loader.CheckUsable();
}

// Without these a model is another one: tied, without bias or scale, with keys as values.
bool IsOptional(const Family& family, const std::string& tensor) {
  if (std::string(family.name) == "mimo2") return false;
  static const std::set<std::string> names = {"output.weight", "output.bias", "ffn_down_exps.scale",
                                              "layer_output_scale.weight"};
  const bool in_layer = tensor.compare(0, 4, "blk.") == 0;
  if (names.count(in_layer ? tensor.substr(6) : tensor) != 0) return true;
  return std::string(family.name) == "gemma4, shared" && tensor == "blk.1.attn_v.weight";
}

TEST_CASE("no tensor may be missing") {
  Loader loader;
  for (const Family& family : Families()) {
    for (size_t i = 0; i < family.model.tensors.size(); ++i) {
      TinyModel model = family.model;
      const std::string name = model.tensors[i].name;
      model.tensors.erase(model.tensors.begin() + static_cast<std::ptrdiff_t>(i));
      if (IsOptional(family, name)) {
        Error err;
        CHECK(loader.Load(model.Bytes(), &err) == JUNTO_OK);
        continue;
      }
      const bool both = name.find("ffn_gate_up_exps") != std::string::npos;  // or one by one
      loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT,
                          both ? name.substr(0, 6) + "ffn_gate_exps.weight'" : "'" + name + "'");
    }
  }
}

TEST_CASE("no tensor may have another shape") {
  Loader loader;
  for (const Family& family : Families()) {
    for (size_t i = 0; i < family.model.tensors.size(); ++i) {
      const std::string name = family.model.tensors[i].name;
      const auto expect_refusal = [&](auto change) {
        TinyModel model = family.model;
        change(&model.tensors[i]);
        uint64_t count = 1;
        for (const uint64_t dim : model.tensors[i].dims) count *= dim;
        model.tensors[i].bytes.resize(count * sizeof(float));
        // Rows of the embedding are the vocabulary, which the head or the tokenizer contradicts.
        const bool rows = name == "token_embd.weight";
        loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT, rows ? "" : "'" + name + "'");
      };
      for (size_t d = 0; d < family.model.tensors[i].dims.size(); ++d) {
        expect_refusal([d](TinyModel::Tensor* tensor) { tensor->dims[d] += 1; });
        if (family.model.tensors[i].dims[d] == 1) continue;
        expect_refusal([d](TinyModel::Tensor* tensor) { tensor->dims[d] -= 1; });
      }
      expect_refusal([](TinyModel::Tensor* tensor) {
        tensor->dims.resize(4, 1);
        tensor->dims[3] = 2;
      });
    }
  }
}

TEST_CASE("a tensor that is no number is named, and where") {
  Loader loader;
  const float bad[] = {NAN, INFINITY, -INFINITY};
  for (const Family& family : Families()) {
    for (size_t i = 0; i < family.model.tensors.size(); ++i) {
      TinyModel model = family.model;
      TinyModel::Tensor* tensor = &model.tensors[i];
      const uint64_t count = tensor->bytes.size() / sizeof(float);
      const uint64_t at = (i * 7919 + 1) % count;
      tensor->as<float>()[at] = bad[i % 3];
      loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT,
                          "'" + tensor->name + "': row " + std::to_string(at / tensor->dims[0]));
    }
  }
}

TEST_CASE("a scale that is no number is found in every block format") {
  Loader loader;
  struct Format {
    BlockType type;
    uint32_t elements;
    uint32_t bytes;
    std::vector<uint32_t> scales;  // offsets of half floats
  };
  const Format formats[] = {
      {BlockType::kF16, 1, 2, {0}},          {BlockType::kQ4_0, 32, 18, {0}},
      {BlockType::kQ4_1, 32, 20, {0, 2}},    {BlockType::kQ5_0, 32, 22, {0}},
      {BlockType::kQ5_1, 32, 24, {0, 2}},    {BlockType::kQ8_0, 32, 34, {0}},
      {BlockType::kQ2_K, 256, 84, {80, 82}}, {BlockType::kQ3_K, 256, 110, {108}},
      {BlockType::kQ4_K, 256, 144, {0, 2}},  {BlockType::kQ5_K, 256, 176, {0, 2}},
      {BlockType::kQ6_K, 256, 210, {208}},   {BlockType::kIQ4_NL, 32, 18, {0}},
      {BlockType::kIQ4_XS, 256, 136, {0}}};
  for (const Format& format : formats) {
    const uint32_t width = format.elements == 256 ? 256 : 64;
    TinyModel model = TinyModel::Llama(48, width);
    TinyModel::Tensor* head = model.Find("output.weight");
    head->type = static_cast<uint32_t>(format.type);
    const uint64_t row_bytes = uint64_t{width} / format.elements * format.bytes;
    head->bytes.assign(row_bytes * head->dims[1], 0x11);
    Error err;
    const auto put = [&](uint64_t row, uint32_t scale, uint16_t half) {
      std::memcpy(head->bytes.data() + row * row_bytes + scale, &half, sizeof(half));
    };
    for (uint64_t row = 0; row < head->dims[1]; ++row) {
      for (uint64_t block = 0; block < row_bytes; block += format.bytes) {
        for (const uint32_t scale : format.scales) {
          put(row, static_cast<uint32_t>(block) + scale, 0x2000);
        }
      }
    }
    INFO("type " << head->type << ": " << err.text());
    REQUIRE(loader.Load(model.Bytes(), &err) == JUNTO_OK);
    for (const uint32_t scale : format.scales) {
      for (const uint16_t half : {0x7C00, 0xFC00, 0x7E01, 0xFFFF}) {
        put(11, scale, half);
        loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT, "'output.weight': row 11");
        put(11, scale, 0x2000);
      }
    }
  }
}

TEST_CASE("tensors of types without kernels are named") {
  Loader loader;
  for (const BlockType type : {BlockType::kI32, BlockType::kF64, BlockType::kI8}) {
    TinyModel model = TinyModel::Llama();
    TinyModel::Tensor* tensor = model.Find("blk.0.ffn_up.weight");
    tensor->type = static_cast<uint32_t>(type);
    tensor->bytes.resize(tensor->dims[0] * tensor->dims[1] * 8);
    loader.CheckRefused(model.Bytes(), JUNTO_E_UNSUPPORTED, "'blk.0.ffn_up.weight'");
  }
  TinyModel model = TinyModel::Llama();
  TinyModel::Tensor* tensor = model.Find("output_norm.weight");
  tensor->type = 4;  // withdrawn long ago
  loader.CheckRefused(model.Bytes(), JUNTO_E_UNSUPPORTED, "output_norm.weight");
}

TEST_CASE("a tensor that nobody asks for may be anything that is whole") {
  Loader loader;
  TinyModel model = TinyModel::Llama();
  model.tensors.push_back({"extra", static_cast<uint32_t>(BlockType::kI32), {3}, Bytes(12, 0xFF)});
  Error err;
  CHECK(loader.Load(model.Bytes(), &err) == JUNTO_OK);
  model.tensors.push_back(model.tensors[3]);
  loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT, "'" + model.tensors[3].name + "'");
}

// Keys that have a default; without any other the file is refused.
const std::set<std::string>& OptionalKeys() {
  static const std::set<std::string> keys = {"llama.attention.head_count_kv",
                                             "llama.attention.key_length",
                                             "llama.attention.value_length",
                                             "gemma3.vocab_size",
                                             "gemma4.vocab_size",
                                             "gemma3.attention.head_count_kv",
                                             "gemma4.attention.head_count_kv",
                                             "gemma4.expert_count",
                                             "gemma4.attention.key_length_swa",
                                             "gemma4.attention.value_length_swa",
                                             "gemma4.attention.shared_kv_layers",
                                             "gemma4.embedding_length_per_layer_input",
                                             "llama.rope.freq_base",
                                             "llama.expert_count",
                                             "gpt-oss.rope.scaling.type",
                                             "gpt-oss.rope.scaling.factor",
                                             "tokenizer.ggml.token_type",
                                             "tokenizer.ggml.eos_token_id",
                                             "tokenizer.chat_template",
                                             "tokenizer.ggml.pre",
                                             "qwen35moe.rope.freq_base",
                                             "qwen35moe.rope.dimension_count",
                                             "qwen35moe.rope.dimension_sections",
                                             "qwen35moe.ssm.conv_kernel",
                                             "qwen35moe.full_attention_interval"};
  return keys;
}

TEST_CASE("no key may be missing that has no default") {
  Loader loader;
  for (const Family& family : Families()) {
    for (size_t i = 0; i < family.model.pairs.size(); ++i) {
      TinyModel model = family.model;
      const std::string key = model.pairs[i].key;
      model.pairs.erase(model.pairs.begin() + static_cast<std::ptrdiff_t>(i));
      INFO(family.name << " without " << key);
      Error err;
      if (OptionalKeys().count(key) == 0) {
        loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT, "'" + key + "'");
      } else {
        const junto_status status = loader.Load(model.Bytes(), &err);
        INFO(err.text());
        CHECK((status == JUNTO_OK || status == JUNTO_E_FORMAT));  // some defaults do not fit
      }
    }
  }
}

TEST_CASE("no key may have another type or come twice") {
  Loader loader;
  for (const Family& family : Families()) {
    for (const TinyModel::Pair& pair : family.model.pairs) {
      TinyModel model = family.model;
      INFO(family.name << ": " << pair.key);
      const bool pattern = pair.key == "tokenizer.ggml.token_type";
      model.Set(pair.key, std::vector<double>{1.0, 2.0});
      loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT, "'" + pair.key + "'");
      model.Set(pair.key, true);
      loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT, "'" + pair.key + "'");
      if (pattern) continue;
      model = family.model;
      model.pairs.push_back(pair);
      loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT, "'" + pair.key + "'");
    }
  }
}

TEST_CASE("numbers out of range are named") {
  Loader loader;
  const float inf = std::numeric_limits<float>::infinity();
  const auto check = [&](TinyModel model, const std::string& key, auto value,
                         const std::string& named, junto_status status = JUNTO_E_FORMAT) {
    model.Set(key, value);
    INFO(key << " = " << value);
    loader.CheckRefused(model.Bytes(), status, named);
  };
  const auto sizes = [&](const TinyModel& model, const std::string& key) {
    check(model, key, uint32_t{0}, key);
    check(model, key, UINT32_MAX, key);
    check(model, key, int32_t{-1}, key);
    check(model, key, UINT64_MAX, key);
  };
  const TinyModel llama = TinyModel::Llama();
  for (const char* key :
       {"block_count", "embedding_length", "context_length", "feed_forward_length",
        "attention.head_count", "attention.head_count_kv", "attention.key_length",
        "attention.value_length", "rope.dimension_count"}) {
    sizes(llama, std::string("llama.") + key);
  }
  const TinyModel mixtral = TinyModel::Mixtral();
  sizes(mixtral, "llama.expert_used_count");
  check(mixtral, "llama.expert_used_count", uint32_t{5}, "llama.expert_used_count");
  check(mixtral, "llama.expert_count", uint32_t{5000}, "llama.expert_count");
  check(mixtral, "llama.expert_count", uint32_t{3}, "blk.0.ffn_gate_inp.weight");
  check(mixtral, "llama.expert_feed_forward_length", uint32_t{0}, "expert_feed_forward_length");
  const TinyModel gpt_oss = TinyModel::GptOss();
  for (const char* key : {"attention.sliding_window", "attention.head_count_kv",
                          "expert_feed_forward_length", "expert_count", "expert_used_count"}) {
    sizes(gpt_oss, std::string("gpt-oss.") + key);
  }
  check(gpt_oss, "gpt-oss.rope.scaling.type", std::string("spiral"), "rope.scaling.type",
        JUNTO_E_UNSUPPORTED);
  check(gpt_oss, "gpt-oss.rope.scaling.original_context_length", uint32_t{0}, "original");
  check(gpt_oss, "gpt-oss.rope.scaling.original_context_length", UINT32_MAX, "original");
  check(gpt_oss, "gpt-oss.rope.scaling.factor", 0.0f, "rope");
  check(gpt_oss, "gpt-oss.rope.scaling.factor", -2.0f, "rope");
  check(gpt_oss, "gpt-oss.rope.scaling.factor", inf, "gpt-oss.rope.scaling.factor");
  check(gpt_oss, "gpt-oss.rope.scaling.yarn_beta_fast", NAN, "yarn_beta_fast");
  check(gpt_oss, "gpt-oss.rope.scaling.yarn_beta_slow", -1.0f, "rope");

  const TinyModel gemma4 = TinyModel::Gemma4();
  for (const char* key :
       {"attention.head_count", "attention.head_count_kv", "attention.key_length",
        "attention.value_length", "attention.key_length_swa", "attention.value_length_swa",
        "attention.sliding_window", "feed_forward_length", "expert_feed_forward_length",
        "rope.dimension_count", "rope.dimension_count_swa"}) {
    sizes(gemma4, std::string("gemma4.") + key);
  }
  check(gemma4, "gemma4.attention.key_length", uint32_t{24}, "rope_freqs.weight");
  check(gemma4, "gemma4.attention.key_length_swa", uint32_t{16}, "blk.0.attn_q.weight");
  check(gemma4, "gemma4.attention.value_length", uint32_t{16}, "blk.1.attn_output.weight");
  check(gemma4, "gemma4.attention.head_count_kv", uint32_t{3}, "head_count_kv");
  check(gemma4, "gemma4.attention.head_count_kv", uint32_t{2}, "blk.1.attn_k.weight");
  check(gemma4, "gemma4.attention.sliding_window_pattern", uint32_t{0}, "blk.0.attn_q.weight");
  check(gemma4, "gemma4.rope.freq_base_swa", 0.5f, "rope base");
  check(gemma4, "gemma4.final_logit_softcapping", -1.0f, "final_logit_softcapping");
  const TinyModel shared = TinyModel::Gemma4Shared();
  check(shared, "gemma4.attention.shared_kv_layers", uint32_t{5}, "shared_kv_layers");
  check(shared, "gemma4.attention.shared_kv_layers", uint32_t{4}, "shared_kv_layers");
  check(shared, "gemma4.attention.shared_kv_layers", uint32_t{3}, "shared_kv_layers");
  check(shared, "gemma4.embedding_length_per_layer_input", UINT32_MAX, "per_layer_input");
  check(shared, "gemma4.embedding_length_per_layer_input", uint32_t{16}, "per_layer_token_embd");
  TinyModel odd = shared;
  odd.Set("gemma4.attention.head_count_kv", std::vector<int32_t>{2, 2, 2, 1});
  loader.CheckRefused(odd.Bytes(), JUNTO_E_FORMAT, "head_count_kv");
  odd = gemma4;
  odd.Set("gemma4.attention.sliding_window_pattern", std::vector<bool>{true, false, true});
  loader.CheckRefused(odd.Bytes(), JUNTO_E_FORMAT, "sliding_window_pattern");

  check(llama, "llama.attention.head_count_kv", uint32_t{3}, "head_count_kv");
  check(llama, "llama.block_count", uint32_t{3}, "blk.2.");
  check(llama, "llama.rope.dimension_count", uint32_t{11}, "11");
  check(llama, "llama.vocab_size", uint32_t{47}, "token_embd.weight");
  check(llama, "llama.vocab_size", uint32_t{0}, "token_embd.weight");
  check(llama, "llama.vocab_size", UINT32_MAX, "token_embd.weight");
  for (const float base : {0.0f, -1.0f, 1.0f}) {
    check(llama, "llama.rope.freq_base", base, "rope base");
  }
  for (const float number : {inf, -inf, static_cast<float>(NAN)}) {
    check(llama, "llama.rope.freq_base", number, "llama.rope.freq_base");
    check(llama, "llama.attention.layer_norm_rms_epsilon", number, "layer_norm_rms_epsilon");
  }
  check(llama, "llama.attention.layer_norm_rms_epsilon", -1.0f, "layer_norm_rms_epsilon");
  check(llama, "llama.attention.layer_norm_rms_epsilon", 1.0f, "layer_norm_rms_epsilon");
  for (const uint32_t alignment : {0u, 3u, 48u, 1u << 30}) {
    check(llama, "general.alignment", alignment, "general.alignment");
  }
  check(llama, "general.architecture", std::string("mamba"), "'mamba'", JUNTO_E_UNSUPPORTED);
  check(llama, "general.architecture", std::string(), "''", JUNTO_E_UNSUPPORTED);
  check(llama, "general.architecture", std::string("\xFF\n\x01 odd"), "none of",
        JUNTO_E_UNSUPPORTED);
  check(llama, "general.architecture", std::string(100000, 'x'), "xxx", JUNTO_E_UNSUPPORTED);
  check(llama, "tokenizer.ggml.model", std::string("unigram?"), "tokenizer.ggml.model",
        JUNTO_E_UNSUPPORTED);
}

TEST_CASE("a MiMo file that contradicts itself or is of another model is refused") {
  Loader loader;
  const auto check = [&](const std::string& key, auto value, const std::string& named,
                         junto_status status = JUNTO_E_FORMAT) {
    TinyModel model = TinyModel::Mimo();
    model.Set("mimo2." + key, value);
    INFO(key);
    loader.CheckRefused(model.Bytes(), status, named);
  };
  using Each = std::vector<int32_t>;
  for (const char* key :
       {"block_count", "embedding_length", "context_length", "feed_forward_length",
        "expert_feed_forward_length", "attention.head_count", "attention.key_length",
        "attention.value_length", "attention.sliding_window", "rope.dimension_count",
        "expert_count", "expert_used_count"}) {
    check(key, uint32_t{0}, key);
    check(key, UINT32_MAX, key);
    check(key, int32_t{-1}, key);
    check(key, UINT64_MAX, key);
  }
  // One number for all layers, which other engines would take.
  check("attention.head_count_kv", uint32_t{2}, "attention.head_count_kv");
  check("attention.sliding_window_pattern", uint32_t{6}, "attention.sliding_window_pattern");
  for (const char* key : {"attention.head_count_kv", "attention.sliding_window_pattern"}) {
    check(key, Each{1}, key);
    check(key, Each{}, key);
    check(key, Each(2000, 1), key);
    check(key, Each{1, -1}, key);
    check(key, Each{0, 3}, key);
  }
  check("attention.head_count_kv", Each{2, 2}, "blk.0.attn_k.weight");
  check("attention.sliding_window_pattern", Each{1, 0}, "blk.0.attn_sinks.weight");
  check("attention.head_count", Each{4, 0}, "attention.head_count");
  check("attention.head_count", Each{4, 2}, "blk.1.attn_sinks.weight");
  check("attention.head_count", Each{4}, "attention.head_count");
  check("attention.key_length", uint32_t{12}, "blk.0.attn_q.weight");
  check("attention.value_length", uint32_t{20}, "blk.0.attn_v.weight");
  check("expert_feed_forward_length", Each{24, 0}, "expert_feed_forward_length");
  check("expert_feed_forward_length", Each{0, 32}, "blk.1.ffn_gate_exps.weight");
  check("rope.dimension_count", uint32_t{5}, "rope dims 5");
  check("rope.dimension_count", uint32_t{22}, "rope.dimension_count");
  check("rope.freq_base", 0.5f, "rope base");
  check("rope.freq_base_swa", 0.5f, "rope base");
  for (const float scale : {0.0f, -0.707f, static_cast<float>(NAN)}) {
    check("attention.value_scale", scale, "attention.value_scale");
  }
  check("expert_gating_func", uint32_t{1}, "expert_gating_func", JUNTO_E_UNSUPPORTED);
  check("expert_group_count", uint32_t{8}, "expert_group_count", JUNTO_E_UNSUPPORTED);
  check("expert_group_used_count", uint32_t{4}, "group_used_count", JUNTO_E_UNSUPPORTED);
  check("expert_shared_count", uint32_t{1}, "expert_shared_count", JUNTO_E_UNSUPPORTED);
  check("nextn_predict_layers", uint32_t{2}, "nextn_predict_layers");
  check("nextn_predict_layers", UINT32_MAX, "nextn_predict_layers");

  // A block that predicts is no layer; with its number said, it may even be missing.
  TinyModel ahead = TinyModel::Mimo();
  ahead.Set("mimo2.block_count", uint32_t{3});
  ahead.Set("mimo2.attention.head_count_kv", Each{1, 2, 2});
  ahead.Set("mimo2.attention.sliding_window_pattern", std::vector<bool>{false, true, true});
  loader.CheckRefused(ahead.Bytes(), JUNTO_E_FORMAT, "blk.2.");
  TinyModel::Tensor predictor = *ahead.Find("output_norm.weight");
  predictor.name = "blk.2.nextn.eh_proj.weight";
  ahead.tensors.push_back(predictor);
  loader.CheckRefused(ahead.Bytes(), JUNTO_E_FORMAT, "mimo2.nextn_predict_layers");
  ahead.Set("mimo2.nextn_predict_layers", uint32_t{1});
  Error err;
  CHECK(loader.Load(ahead.Bytes(), &err) == JUNTO_OK);
  ahead.tensors.pop_back();
  CHECK(loader.Load(ahead.Bytes(), &err) == JUNTO_OK);

  // Where one tensor has the rows of three, there is no place for their biases.
  TinyModel fused = TinyModel::Mimo();
  TinyModel::Tensor* q = fused.Find("blk.0.attn_q.weight");
  q->name = "blk.0.attn_qkv.weight";
  loader.CheckRefused(fused.Bytes(), JUNTO_E_FORMAT, "blk.0.attn_qkv.weight");
  q->dims[1] = 4 * 20 + 20 + 12;
  q->bytes.resize(q->dims[0] * q->dims[1] * sizeof(float));
  CHECK(loader.Load(fused.Bytes(), &err) == JUNTO_OK);
  TinyModel::Tensor bias = *q;
  bias.name = "blk.0.attn_qkv.bias";
  bias.dims = {112};
  bias.bytes.resize(112 * sizeof(float));
  fused.tensors.push_back(bias);
  loader.CheckRefused(fused.Bytes(), JUNTO_E_UNSUPPORTED, "blk.0.attn_qkv.bias");
}

TEST_CASE("a vocabulary that contradicts itself or the weights is refused") {
  Loader loader;
  const TinyModel chat = TinyModel::Chat();
  const TextVocabulary text;
  const auto check = [&](const std::string& key, auto value, const std::string& named) {
    TinyModel model = chat;
    model.Set(key, value);
    loader.CheckRefused(model.Bytes(), JUNTO_E_FORMAT, named);
  };
  std::vector<std::string> tokens = text.tokens;
  tokens.push_back("one too many");
  std::vector<int32_t> types = text.types;
  types.push_back(1);
  TinyModel larger = chat;
  larger.Set("tokenizer.ggml.tokens", tokens).Set("tokenizer.ggml.token_type", types);
  loader.CheckRefused(larger.Bytes(), JUNTO_E_FORMAT, "tokenizer.ggml.tokens");
  check("tokenizer.ggml.tokens", tokens, "tokenizer.ggml.token_type");
  check("tokenizer.ggml.tokens", std::vector<std::string>(), "tokenizer.ggml.tokens");
  check("tokenizer.ggml.eos_token_id", uint32_t{828}, "eos_token_id");
  check("tokenizer.ggml.bos_token_id", uint32_t{1} << 31, "bos_token_id");
  check("tokenizer.ggml.add_bos_token", uint32_t{1}, "add_bos_token");
  check("tokenizer.ggml.merges", std::vector<std::string>{"no-space"}, "tokenizer.ggml.merges");
  check("tokenizer.ggml.merges", std::vector<std::string>{"zz zz"}, "tokenizer.ggml.merges");
  types.pop_back();
  types[5] = 7;
  check("tokenizer.ggml.token_type", types, "tokenizer.ggml.token_type");
}

TEST_CASE("a part of a split model that is missing or of another is named") {
  Host host;
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  const auto parts = TinyModel::Llama().Writer().Split("m", 3);
  const auto load = [&](const std::string& name, Error* err) {
    junto_model* model = nullptr;
    const junto_status status =
        junto_model_load(runtime.get(), name.data(), name.size(), nullptr, &model, err);
    junto_model_release(model);
    return status;
  };
  Error err;
  host.AddFile(parts[0].first, parts[0].second);
  CHECK_FAILS(load(parts[0].first, &err), JUNTO_E_IO);
  CHECK(err.text().find("00002-of-00003") != std::string::npos);
  host.AddFile(parts[1].first, parts[1].second);
  host.AddFile(parts[2].first, parts[1].second);
  CHECK_FAILS(load(parts[0].first, &err), JUNTO_E_FORMAT);
  CHECK(err.text().find("00003-of-00003") != std::string::npos);
  host.AddFile(parts[2].first, parts[2].second);
  CHECK_FAILS(load(parts[1].first, &err), JUNTO_E_INVALID);
  CHECK_FAILS(load("absent.gguf", &err), JUNTO_E_IO);
  CHECK_FAILS(load("", &err), JUNTO_E_IO);
  CHECK_FAILS(load("\xFF.gguf", &err), JUNTO_E_INVALID);
  CHECK(load(parts[0].first, &err) == JUNTO_OK);
  junto_model* model = nullptr;
  CHECK_FAILS(junto_model_load_memory(runtime.get(), parts[0].second.data(), parts[0].second.size(),
                                      nullptr, &model, &err),
              JUNTO_E_UNSUPPORTED);
}

TEST_CASE("the system's files give the system's error") {
  const RuntimeHandle runtime = CreateRuntime(nullptr);
  junto_model* model = nullptr;
  Error err;
  CHECK_FAILS(junto_model_load(runtime.get(), "/nonexistent/0", 14, nullptr, &model, &err),
              JUNTO_E_IO);
  CHECK(err.os_error == 2);
  CHECK_FAILS(junto_model_load(runtime.get(), "/", 1, nullptr, &model, &err), JUNTO_E_IO);
  const std::string path = std::string(JUNTO_TEST_DATA) + "/parity/llama.gguf";
  REQUIRE_OK(junto_model_load(runtime.get(), path.data(), path.size(), nullptr, &model, &err));
  CHECK(err.os_error == 0);
  junto_model_release(model);
}

}  // namespace
}  // namespace junto
