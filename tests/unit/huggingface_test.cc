// Directories of Hugging Face: configurations, tables of tensors and what is made of them, and
// everything that can be wrong with each.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "junto/huggingface/directory.h"
#include "junto/model/families.h"
#include "junto/quant/unpack.h"
#include "junto/text/tokenizer.h"
#include "tests/support/faults.h"
#include "tests/support/safetensors_writer.h"

namespace junto {
namespace {

using test::CountingAllocator;
using test::FaultyFileSystem;
using test::SafetensorsWriter;
using test::TinyDirectory;
using Files = std::map<std::string, std::vector<uint8_t>>;

// A directory "dir/" in memory, opened with everything counted.
struct Host {
  explicit Host(const Files& contents = {}) : memory(&allocator, 0) {
    for (const auto& [name, bytes] : contents) files.Add("dir/" + name, bytes);
  }
  Status Open(const char* name = "dir/config.json") {
    file = ModelFile();
    try {
      return OpenModel(&files, name, &memory, &file);
    } catch (const OutOfMemory& e) {
      return memory.Refusal(e.size, e.tag);
    }
  }
  // Opens it and reads its family and every byte of every tensor.
  Status ReadAll() {
    JUNTO_TRY(Open());
    try {
      ModelSpec spec(&memory);
      JUNTO_TRY(ReadModelSpec(*file.gguf, {}, &spec));
    } catch (const OutOfMemory& e) {
      return memory.Refusal(e.size, e.tag);
    }
    for (const TensorInfo& tensor : file.gguf->tensors()) {
      std::vector<uint8_t> bytes(tensor.bytes);
      JUNTO_TRY(file.gguf->Read(tensor, 0, bytes.data(), bytes.size()));
    }
    return Status();
  }
  std::vector<uint8_t> Bytes(const char* name) {
    const TensorInfo* tensor = file.gguf->FindTensor(name);
    REQUIRE(tensor != nullptr);
    std::vector<uint8_t> bytes(tensor->bytes);
    REQUIRE(file.gguf->Read(*tensor, 0, bytes.data(), bytes.size()).ok());
    return bytes;
  }

  CountingAllocator allocator;
  Memory memory;
  FaultyFileSystem files;
  ModelFile file;
};

void CheckRefused(const Files& contents, Code code, const std::string& named) {
  Host host(contents);
  const Status status = host.ReadAll();
  INFO("expected to read of " << named << ": " << status.message());
  CHECK(status.code() == code);
  CHECK(std::string(status.message()).find(named) != std::string::npos);
  host.file = ModelFile();
  CHECK(host.allocator.clean());
  CHECK(host.files.open_files() == 0);
}

TEST_CASE("JSON becomes flat pairs") {
  CountingAllocator allocator;
  Memory memory(&allocator, 0);
  {
    Metadata pairs(&memory);
    REQUIRE(hf::ConfigReader(
                R"({"a": 7, "b": {"c": -2.5e1, "d": {"e": "x\"y", "f": {"deep": {"no": 1}}}},
                    "none": null, "flags": [true, false], "ints": [1, -2], "mixed": [1, "a"],
                    "empty": [], "reals": [1, 0.5], "words": ["p", "", "qr"], "t": true,
                    "big": 123456789012345678901234567890, "eps": 9.999999747378752e-06,
                    "tiny": 1e-999, "objects": [{"a": 1}]})",
                &memory)
                .Read(&pairs)
                .ok());
    uint32_t u = 0;
    float f = 0;
    bool b = false;
    std::string_view s;
    Span<const std::string_view> words;
    CHECK((pairs.GetU32("a", &u).ok() && u == 7));
    CHECK((pairs.GetF32("b.c", &f).ok() && f == -25.0f));
    CHECK((pairs.GetString("b.d.e", &s).ok() && s == "x\"y"));
    CHECK(pairs.Find("b.d.f.deep") == nullptr);
    for (const char* absent : {"none", "mixed", "empty", "objects", "b", "b.d"}) {
      CHECK(pairs.Find(absent) == nullptr);
    }
    CHECK((pairs.GetBool("t", &b).ok() && b));
    uint32_t flags[2];
    CHECK((pairs.GetU32s("flags", {flags, 2}).ok() && flags[0] == 1 && flags[1] == 0));
    CHECK(pairs.GetU32s("ints", {flags, 2}).code() == Code::kFormat);
    CHECK(pairs.Find("reals")->type == MetadataType::kF64);
    REQUIRE(pairs.GetStrings("words", &words).ok());
    CHECK((words.size() == 3 && words[0] == "p" && words[1].empty() && words[2] == "qr"));
    CHECK((pairs.GetF32("big", &f).ok() && f == 1.23456789012345678e29f));
    CHECK((pairs.GetF32("eps", &f).ok() && f == 9.999999747378752e-06f));
    CHECK((pairs.GetF32("tiny", &f).ok() && f == 0.0f));
    for (const char* bad : {"", "[]", "{\"a\":}", "{\"a\":1", "{\"a\":1} 2", "{\"a\":NaN}",
                            "{\"a\":1,\"a\":2}", "{\"a.b\":1,\"a\":{\"b\":2}}"}) {
      Metadata none(&memory);
      CHECK(hf::ConfigReader(bad, &memory).Read(&none).code() == Code::kFormat);
    }
  }
  CHECK(allocator.clean());
}

TEST_CASE("numbers of a configuration are the nearest floats") {
  for (const char* text :
       {"0", "-0.0", "1", "0.1", "1e-05", "1e-06", "0.334", "1.702", "150000", "10000000.0", "5e6",
        "3.4028234e38", "1E+2", "0.7070000171661377", "1.1754943508222875e-38", "123456.789e-3"}) {
    INFO(text);
    CHECK(static_cast<float>(hf::NumberOf(text)) == std::strtof(text, nullptr));
  }
}

TEST_CASE("E4M3 is what its definition says") {
  for (int code = 0; code < 256; ++code) {
    const int exponent = code >> 3 & 15;
    const int mantissa = code & 7;
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
    const float value = hf::FloatFromE4M3(static_cast<uint8_t>(code));
    INFO(code);
    if ((code & 0x7F) == 0x7F) {
      CHECK(std::isnan(value));
    } else {
      CHECK(value == static_cast<float>(code < 128 ? magnitude : -magnitude));
      CHECK(std::signbit(value) == (code >= 128));
    }
  }
}

TEST_CASE("a directory is named by its configuration or by itself, and may have shards") {
  const TinyDirectory tiny;
  Host whole(tiny.Files());
  REQUIRE(whole.Open().ok());
  const auto q = whole.Bytes("blk.1.attn_q.weight");
  // Of each head of 4 rows, rows 0 2 1 3 were 0 1 2 3.
  const auto& source = tiny.weights.tensors[11].bytes;
  REQUIRE(tiny.weights.tensors[11].name == "model.layers.1.self_attn.q_proj.weight");
  for (size_t row = 0; row < 16; ++row) {
    const size_t from = row / 4 * 4 + row % 2 * 2 + row % 4 / 2;
    CHECK(std::memcmp(&q[row * 64], &source[from * 64], 64) == 0);
  }
  for (const char* name : {"dir", "dir/", "dir/config.json"}) {
    for (const size_t shards : {0, 1, 2, 5}) {
      Host host(shards == 0 ? tiny.Files() : tiny.Shards(shards));
      INFO(name << ", " << shards);
      REQUIRE(host.Open(name).ok());
      REQUIRE(host.file.gguf->tensors().size() == 21);
      CHECK(host.Bytes("blk.1.attn_q.weight") == q);
    }
  }
  Host nothing;
  CHECK(nothing.Open("dir").code() == Code::kIo);
  CHECK(nothing.Open().code() == Code::kIo);
  CHECK(nothing.allocator.clean());
}

TEST_CASE("the text of a larger model is found, and what is not text is left out") {
  const TinyDirectory tiny;
  Host plain(tiny.Files());
  REQUIRE(plain.ReadAll().ok());
  for (const std::string prefix : {"model.language_model.", "language_model.model."}) {
    TinyDirectory larger;
    for (SafetensorsWriter::Tensor& tensor : larger.weights.tensors) {
      if (tensor.name.substr(0, 6) == "model.") tensor.name = prefix + tensor.name.substr(6);
    }
    larger.Add("model.visual.patch_embed.proj.weight", {2, 3, 2, 4, 4});
    larger.Add("model.language_model.rotary_emb.inv_freq", {2});
    Files files = larger.Files();
    files["config.json"] = test::BytesOf(R"({"model_type": "larger", "hidden_size": 99,
        "tie_word_embeddings": false, "text_config": )" +
                                         tiny.Config() + "}");
    Host host(files);
    INFO(prefix);
    const Status status = host.ReadAll();
    INFO(status.message());
    REQUIRE(status.ok());
    REQUIRE(host.file.gguf->tensors().size() == plain.file.gguf->tensors().size());
    for (const TensorInfo& tensor : plain.file.gguf->tensors()) {
      CHECK(host.Bytes(std::string(tensor.name).c_str()) ==
            plain.Bytes(std::string(tensor.name).c_str()));
    }
  }
}

TEST_CASE("a head that is tied is the embedding, whether the file has it or not") {
  TinyDirectory tiny;
  tiny.config["tie_word_embeddings"] = "true";
  Host both(tiny.Files());
  REQUIRE(both.ReadAll().ok());
  CHECK(both.file.gguf->FindTensor("output.weight") == nullptr);
  tiny.weights.tensors.pop_back();
  Host one(tiny.Files());
  CHECK(one.ReadAll().ok());
  tiny.config.erase("tie_word_embeddings");
  Host silent(tiny.Files());
  CHECK(silent.ReadAll().ok());
}

TEST_CASE("biases of queries are put in the order of their rows") {
  TinyDirectory tiny;
  tiny.Add("model.layers.0.self_attn.q_proj.bias", {16});
  Host host(tiny.Files());
  REQUIRE(host.ReadAll().ok());
  const auto& source = tiny.weights.tensors.back().bytes;
  const auto bias = host.Bytes("blk.0.attn_q.bias");
  for (size_t row = 0; row < 16; ++row) {
    const size_t from = row / 4 * 4 + row % 2 * 2 + row % 4 / 2;
    CHECK(std::memcmp(&bias[row * 4], &source[from * 4], 4) == 0);
  }
}

TEST_CASE("any part of a tensor can be read") {
  // The blocks and scales of two experts, of which gate and up take turns, and other dtypes.
  std::vector<uint8_t> blocks(2 * 6 * 3 * 16);
  std::vector<uint8_t> scales(2 * 6 * 3);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<uint8_t>(i * 37 + i / 256);
  for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<uint8_t>(100 + i);
  std::vector<uint8_t> halves(2 * 10 * 6 * 2);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint8_t>(i * 11 + i / 256);
  SafetensorsWriter writer;
  writer.Add("x_blocks", "U8", {2, 6, 3, 16}, blocks).Add("x_scales", "U8", {2, 6, 3}, scales);
  writer.Add("t", "BF16", {2, 10, 6}, halves);
  const std::vector<uint8_t> bytes = writer.Bytes();
  CountingAllocator allocator;
  Memory memory(&allocator, 0);
  {
    hf::Shards shards(&memory);
    REQUIRE(
        shards
            .Add(New<MemoryFile, File>(&memory, Tag::kObject, bytes.data(), uint64_t{bytes.size()}))
            .ok());
    REQUIRE(shards.Finish().ok());
    hf::RuleBook book(&shards, {}, &memory);
    REQUIRE(book.Apply({"gate", "x_blocks", hf::View::kEvenRows}, "", "").ok());
    REQUIRE(book.Apply({"up", "x_blocks", hf::View::kOddRows}, "", "").ok());
    REQUIRE(book.Apply({"even", "t", hf::View::kEvenColumns}, "", "").ok());
    REQUIRE(book.Apply({"odd", "t", hf::View::kOddColumns}, "", "").ok());
    REQUIRE(book.Apply({"turned", "t", hf::View::kTranspose}, "", "").ok());
    const hf::Maker maker(&shards, *book.pieces());
    std::vector<std::vector<uint8_t>> expected(5);
    for (size_t e = 0; e < 2; ++e) {
      for (size_t row = 0; row < 6; ++row) {
        for (size_t b = 0; b < 3; ++b) {
          const size_t at = (e * 6 + row) * 3 + b;
          std::vector<uint8_t>& to = expected[row % 2];
          to.push_back(scales[at]);
          const auto code = [&](size_t k) { return blocks[at * 16 + k / 2] >> (k % 2 * 4) & 15; };
          for (size_t j = 0; j < 16; ++j) {
            to.push_back(static_cast<uint8_t>(code(j) | code(j + 16) << 4));
          }
        }
      }
      for (size_t column = 0; column < 6; ++column) {
        for (size_t row = 0; row < 10; ++row) {
          const uint8_t* from = &halves[((e * 10 + row) * 6 + column) * 2];
          expected[2 + column % 2].insert(expected[2 + column % 2].end(), from, from + 2);
          expected[4].insert(expected[4].end(), from, from + 2);
        }
      }
    }
    REQUIRE(book.tensors()->size() == 5);
    for (size_t i = 0; i < 5; ++i) {
      const hf::MadeTensor& tensor = (*book.tensors())[i];
      INFO(tensor.name);
      REQUIRE(tensor.bytes == expected[i].size());
      for (uint64_t begin = 0; begin <= tensor.bytes; begin += 1 + begin % 3) {
        for (const uint64_t size : {uint64_t{1}, uint64_t{19}, uint64_t{64}, tensor.bytes}) {
          std::vector<uint8_t> part(std::min(size, tensor.bytes - begin) + 1, 0xEE);
          REQUIRE(maker.Read(tensor, begin, part.data(), part.size() - 1).ok());
          REQUIRE(std::memcmp(part.data(), expected[i].data() + begin, part.size() - 1) == 0);
          REQUIRE(part.back() == 0xEE);
        }
      }
    }
  }
  CHECK(allocator.clean());
}

TEST_CASE("a header of safetensors that is wrong is refused") {
  const TinyDirectory tiny;
  const std::string header = tiny.weights.Header();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = header;
    REQUIRE(changed.find(from) != std::string::npos);
    changed.replace(changed.find(from), from.size(), to);
    Files files = tiny.Files();
    files["model.safetensors"] = tiny.weights.Bytes(changed);
    return files;
  };
  const std::string embed = R"("model.embed_tokens.weight":{"dtype":"F32","shape":[40,16])";
  const auto shape = [&](const std::string& to) { return with("\"shape\":[40,16]", to); };
  CheckRefused(with("[0,2560]", "[0,2556]"), Code::kFormat, "2556 bytes found");
  CheckRefused(with("[0,2560]", "[2560,0]"), Code::kFormat, "bytes 2560 to 0");
  CheckRefused(with("[0,2560]", "[0,99999999]"), Code::kFormat, "bytes 0 to 99999999");
  CheckRefused(with("[0,2560]", "[0]"), Code::kFormat, "1 offsets");
  CheckRefused(with("[0,2560]", "[0,2560,1]"), Code::kFormat, "more than 2 offsets");
  CheckRefused(with("[0,2560]", "[-1,2560]"), Code::kFormat, "integer");
  CheckRefused(with("[2560,2624]", "[2556,2620]"), Code::kFormat, "starts at");
  CheckRefused(shape("\"shape\":[40,17]"), Code::kFormat, "embed_tokens.weight");
  CheckRefused(shape("\"shape\":[16,40]"), Code::kFormat, "token_embd.weight");
  CheckRefused(shape("\"shape\":[4294967296,4294967296]"), Code::kFormat, "2560 bytes");
  CheckRefused(shape("\"shape\":[9223372036854775807]"), Code::kFormat, "integer");
  CheckRefused(shape("\"shape\":[1,1,1,1,1,1,1,40,16]"), Code::kUnsupported, "8 dimensions");
  CheckRefused(shape("\"shape\":40"), Code::kFormat, "an array");
  CheckRefused(shape("\"shapes\":[40,16]"), Code::kFormat, "2 of dtype");
  CheckRefused(with("F32", "F33"), Code::kUnsupported, "'F33'");
  CheckRefused(with("F32", "I32"), Code::kUnsupported, "dtype I32");
  CheckRefused(with("F32", "U8"), Code::kFormat, "2560 bytes");
  CheckRefused(with("model.layers.0.input_layernorm", "model.norm"), Code::kFormat, "comes twice");
  CheckRefused(with("model.layers.0.input_layernorm", "model.layers.0.other"), Code::kUnsupported,
               "model.layers.0.other.weight");
  CheckRefused(with("model.embed_tokens", "model.tokens"), Code::kFormat, "embed_tokens");
  CheckRefused(with("model.layers.1.mlp.up_proj", "vision.up_proj"), Code::kFormat,
               "blk.1.ffn_up.weight");
  CheckRefused(with("lm_head", "head"), Code::kFormat, "lm_head.weight");
  CheckRefused(with("{\"__meta", "[\"__meta"), Code::kFormat, "model.safetensors: JSON: byte 0");
  CheckRefused(with("]}}", "]}"), Code::kFormat, "model.safetensors: JSON");

  // Sizes of the header that cannot be, and files that end early.
  Files files = tiny.Files();
  const std::vector<uint8_t> good = files["model.safetensors"];
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{good.size()}, UINT64_MAX,
                              uint64_t{1} << 40, UINT64_MAX - 7}) {
    std::memcpy(files["model.safetensors"].data(), &size, sizeof(size));
    CheckRefused(files, Code::kFormat, "model.safetensors: header of");
  }
  for (size_t size = 0; size < good.size(); size += size < 10 ? 1 : 997) {
    files["model.safetensors"] = {good.begin(), good.begin() + static_cast<ptrdiff_t>(size)};
    CheckRefused(files, Code::kFormat, "model.safetensors: ");
  }
}

TEST_CASE("an index that does not tell the truth is refused") {
  const TinyDirectory tiny;
  const auto with = [&](const std::string& from, const std::string& to) {
    Files files = tiny.Shards(3);
    std::vector<uint8_t>& bytes = files["model.safetensors.index.json"];
    std::string text(bytes.begin(), bytes.end());
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
    bytes = test::BytesOf(text);
    return files;
  };
  const std::string first = "\"model.embed_tokens.weight\":\"part0.safetensors\"";
  CheckRefused(with(first, "\"model.embed_tokens.weight\":\"part1.safetensors\""), Code::kFormat,
               "not where it should be");
  CheckRefused(with(first, "\"model.strange.weight\":\"part1.safetensors\""), Code::kFormat,
               "model.strange.weight");
  CheckRefused(with(first, "\"model.embed_tokens.weight\":\"../part0.safetensors\""), Code::kFormat,
               "without a directory");
  CheckRefused(with(first, "\"model.embed_tokens.weight\":\"\""), Code::kFormat, "0 bytes");
  CheckRefused(with(first, "\"model.embed_tokens.weight\":7"), Code::kFormat, "a string");
  CheckRefused(with("weight_map", "weights_map"), Code::kFormat, "found 0 times");
  CheckRefused(with("metadata\":{\"total_size\":1}", "weight_map\":{}"), Code::kFormat,
               "found 2 times");
  CheckRefused(with("part2", "part9"), Code::kIo, "part9.safetensors");
  // Files are numbered by name, in whatever order the index comes to them.
  const std::string norm = "\"model.layers.0.input_layernorm.weight\":\"part1.safetensors\"";
  Files turned = with(first + "," + norm, norm + "," + first);
  CheckRefused(turned, Code::kOk, "");
  turned = with(first + "," + norm, norm + ",\"model.embed_tokens.weight\":\"part1.safetensors\"");
  CheckRefused(turned, Code::kFormat, "'model.embed_tokens.weight' is in file 0 of 3");
  Files twice = tiny.Shards(2);
  twice["part1.safetensors"] = twice["part0.safetensors"];
  CheckRefused(twice, Code::kFormat, "comes twice");
}

TEST_CASE("a configuration that is wrong is refused") {
  struct Case {
    const char* key;
    const char* value;
    Code code;
    const char* named;
  };
  const Case cases[] = {
      {"model_type", "\"gpt9\"", Code::kUnsupported, "'gpt9'"},
      {"model_type", "7", Code::kFormat, "model_type"},
      {"hidden_size", "17", Code::kFormat, "token_embd.weight"},
      {"hidden_size", "\"16\"", Code::kFormat, "hidden_size"},
      {"hidden_size", "-16", Code::kFormat, "hidden_size"},
      {"hidden_size", "null", Code::kFormat, "hidden_size"},
      {"num_hidden_layers", "3", Code::kFormat, "blk.2."},
      {"num_hidden_layers", "1", Code::kUnsupported, "model.layers.1."},
      {"num_hidden_layers", "0", Code::kFormat, "num_hidden_layers"},
      {"num_hidden_layers", "99999999", Code::kFormat, "num_hidden_layers"},
      {"num_attention_heads", "0", Code::kFormat, "num_attention_heads"},
      {"num_attention_heads", "3", Code::kFormat, "q_proj.weight"},
      {"num_attention_heads", "1000", Code::kFormat, "q_proj.weight"},
      {"num_key_value_heads", "3", Code::kFormat, "k_proj.weight"},
      {"num_key_value_heads", "0", Code::kFormat, "k_proj.weight"},
      {"num_key_value_heads", "4294967296", Code::kFormat, "num_key_value_heads"},
      {"vocab_size", "41", Code::kFormat, "token_embd.weight"},
      {"intermediate_size", "23", Code::kFormat, "ffn_gate.weight"},
      {"head_dim", "8", Code::kFormat, "attn_q.weight"},
      {"head_dim", "4294967295", Code::kFormat, "head_dim"},
      {"hidden_act", "\"gelu\"", Code::kUnsupported, "hidden_act"},
      {"rope_theta", "true", Code::kFormat, "rope_theta"},
      {"rope_theta", "0", Code::kFormat, "0"},
      {"rope_scaling", R"({"rope_type": "longrope", "factor": 2.0})", Code::kUnsupported,
       "rope.scaling.type"},
      {"rope_scaling", R"({"rope_type": "llama3", "factor": 8.0})", Code::kFormat,
       "low_freq_factor"},
      {"rope_scaling",
       R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 8})",
       Code::kFormat, "factor"},
      {"quantization_config", R"({"quant_method": "gptq"})", Code::kUnsupported, "quant_method"},
      {"tie_word_embeddings", "1", Code::kFormat, "tie_word_embeddings"},
      {"num_local_experts", "4", Code::kFormat, "expert_used_count"},
  };
  for (const Case& one : cases) {
    INFO(one.key << " " << one.value);
    TinyDirectory tiny;
    tiny.config[one.key] = one.value;
    CheckRefused(tiny.Files(), one.code, one.named);
  }
  Files files = TinyDirectory().Files();
  files["config.json"] = test::BytesOf("{\"model_type\":");
  CheckRefused(files, Code::kFormat, "config.json: JSON: byte");
  files["config.json"] = {};
  CheckRefused(files, Code::kFormat, "config.json: JSON: byte 0");
  files["config.json"].assign(2 << 20, ' ');
  CheckRefused(files, Code::kFormat, "config.json: 2097152 bytes");
  files = TinyDirectory().Files();
  files["generation_config.json"] = test::BytesOf("{\"eos_token_id\": [1, -2]}");
  CheckRefused(files, Code::kFormat, "eos_token_id");
  files["generation_config.json"] = test::BytesOf("{");
  CheckRefused(files, Code::kFormat, "generation_config.json: JSON");
  files.erase("generation_config.json");
  files["tokenizer_config.json"] = test::BytesOf("[]");
  CheckRefused(files, Code::kFormat, "tokenizer_config.json: JSON");
}

TEST_CASE("scales must fit to what they scale") {
  const auto with = [](const std::string& dtype, std::vector<uint64_t> shape, size_t bytes,
                       const std::string& scales, std::vector<uint64_t> grid, size_t grid_bytes) {
    TinyDirectory tiny;
    for (SafetensorsWriter::Tensor& tensor : tiny.weights.tensors) {
      if (tensor.name != "model.layers.0.mlp.up_proj.weight") continue;
      tensor.dtype = dtype;
      tensor.shape = std::move(shape);
      tensor.bytes.assign(bytes, 0x38);
    }
    tiny.weights.Add("model.layers.0.mlp.up_proj.weight" + scales, "F32", std::move(grid),
                     std::vector<uint8_t>(grid_bytes, 0));
    return tiny.Files();
  };
  Host host(with("F8_E4M3", {24, 16}, 384, "_scale_inv", {1, 1}, 4));
  CHECK(host.ReadAll().ok());
  CheckRefused(with("F8_E4M3", {24, 16}, 384, "_scale", {1, 1}, 4), Code::kFormat, "_scale_inv");
  CheckRefused(with("F8_E4M3", {24, 16}, 384, "_scale_inv", {1}, 4), Code::kUnsupported,
               "1 scales");
  CheckRefused(with("F8_E4M3", {24, 16}, 384, "_scale_inv", {1, 2}, 8), Code::kUnsupported,
               "2 scales");
  CheckRefused(with("F8_E5M2", {24, 16}, 384, "_scale_inv", {1, 1}, 4), Code::kUnsupported,
               "F8_E5M2");
  CheckRefused(with("U8", {24, 16}, 384, "_scale_inv", {1, 1}, 4), Code::kUnsupported, "dtype U8");
  CheckRefused(with("F32", {0, 16}, 0, "_scale_inv", {1, 1}, 4), Code::kUnsupported, "0 elements");
}

TEST_CASE(
    "blocks of which a view would take every second column, or columns as rows, are refused") {
  SafetensorsWriter writer;
  writer.Add("e", "F8_E4M3", {128, 256}, std::vector<uint8_t>(128 * 256, 0x38));
  writer.Add("e_scale_inv", "F32", {1, 2}, std::vector<uint8_t>(8, 0));
  writer.Add("x_blocks", "U8", {2, 6, 4, 16}, std::vector<uint8_t>(2 * 6 * 4 * 16, 1));
  writer.Add("x_scales", "U8", {2, 6, 4}, std::vector<uint8_t>(2 * 6 * 4, 127));
  const std::vector<uint8_t> bytes = writer.Bytes();
  CountingAllocator allocator;
  Memory memory(&allocator, 0);
  {
    hf::Shards shards(&memory);
    REQUIRE(
        shards
            .Add(New<MemoryFile, File>(&memory, Tag::kObject, bytes.data(), uint64_t{bytes.size()}))
            .ok());
    REQUIRE(shards.Finish().ok());
    hf::RuleBook book(&shards, {}, &memory);
    for (const char* source : {"e", "x_blocks"}) {
      for (const hf::View view :
           {hf::View::kEvenColumns, hf::View::kOddColumns, hf::View::kTranspose}) {
        if (view == hf::View::kTranspose && source[0] == 'e') continue;  // it leaves a matrix alone
        const Status status = book.Apply({"t", source, view}, "", "");
        INFO(source << ": " << status.message());
        CHECK(status.code() == Code::kUnsupported);
        CHECK(std::string(status.message()).find("apart") != std::string::npos);
      }
      CHECK(book.Apply({"t", source, hf::View::kPlain}, "", "").ok());
    }
    CHECK(book.tensors()->size() == 2);
  }
  CHECK(allocator.clean());
}

TEST_CASE("tokenizer.model serves where there is no tokenizer.json") {
  std::ifstream stream(JUNTO_TEST_DATA "/text/sentencepiece.model", std::ios::binary);
  const std::string model{std::istreambuf_iterator<char>(stream), {}};
  Files contents = TinyDirectory().Files();
  contents["tokenizer.model"] = test::BytesOf(model);
  Host host(contents);
  REQUIRE(host.Open().ok());
  REQUIRE(host.file.gguf->has_vocabulary());
  Owned<Tokenizer> tokenizers[2];
  REQUIRE(Tokenizer::FromGguf(*host.file.gguf, &host.memory, &tokenizers[0]).ok());
  REQUIRE(Tokenizer::FromSentencePiece(model, &host.memory, &tokenizers[1]).ok());
  std::vector<int32_t> ids[2];
  for (int i = 0; i < 2; ++i) {
    Vector<int32_t> encoded({&host.memory, Tag::kObject});
    REQUIRE(tokenizers[i]->Encode("the same words \xE6\xBC\xA2", false, false, &encoded).ok());
    ids[i].assign(encoded.begin(), encoded.end());
  }
  CHECK(!ids[0].empty());
  CHECK(ids[0] == ids[1]);
}

TEST_CASE("what fails once while a directory opens leaves nothing behind") {
  const TinyDirectory tiny;
  Files contents = tiny.Shards(2);
  contents["tokenizer.json"] = test::BytesOf(TinyDirectory::TokenizerJson());
  contents["generation_config.json"] = test::BytesOf("{\"eos_token_id\": [38, 39]}");
  contents["tokenizer_config.json"] = test::BytesOf("{\"chat_template\": \"x\"}");
  struct Fault {
    Code code;
    std::function<void(Host*, uint64_t)> set;
    std::function<uint64_t(Host*)> calls;
  };
  const Fault faults[] = {{Code::kIo, [](Host* host, uint64_t n) { host->files.FailReadAt(n); },
                           [](Host* host) { return host->files.reads(); }},
                          {Code::kIo, [](Host* host, uint64_t n) { host->files.FailOpenAt(n); },
                           [](Host* host) { return host->files.opens(); }},
                          {Code::kMemory, [](Host* host, uint64_t n) { host->allocator.FailAt(n); },
                           [](Host* host) { return host->allocator.calls(); }}};
  for (const Fault& fault : faults) {
    uint64_t n = 0;
    for (;; ++n) {
      Host host(contents);
      fault.set(&host, n);
      const Status status = host.ReadAll();
      if (fault.calls(&host) <= n) {
        CHECK(status.ok());
        break;
      }
      INFO(n << ": " << status.message());
      REQUIRE(status.code() == fault.code);
      host.file = ModelFile();
      REQUIRE(host.allocator.clean());
      REQUIRE(host.files.open_files() == 0);
    }
    CHECK(n >= 7);
  }
}

}  // namespace
}  // namespace junto
