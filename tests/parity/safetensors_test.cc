// Directories of Hugging Face, saved by transformers (tests/oracle/safetensors_twins.py), against
// the GGUF files of the same models: tensor by tensor, and what they compute.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "junto/quant/transcode.h"
#include "tests/support/compare.h"
#include "tests/support/runtime.h"

namespace junto {
namespace {

using test::Host;
using test::RequireOk;

constexpr const char* kTwins[] = {"llama",         "llama_tied", "mixtral",      "gpt_oss",
                                  "gpt_oss_mxfp4", "gemma3",     "gemma4_dense", "gemma4_shared",
                                  "gemma4_bf16",   "qwen35",     "qwen35moe",    "qwen3next",
                                  "mimo2_fused"};

std::string DirectoryOf(const std::string& name) {
  return std::string(JUNTO_TEST_DATA) + "/parity/" + name;
}

Owned<Gguf> OpenDirectory(Host* host, const std::string& path) {
  ModelFile file;
  RequireOk(OpenModel(&host->files, path, &host->memory, &file));
  return std::move(file.gguf);
}

std::vector<float> ValuesOf(const Gguf& gguf, const TensorInfo& tensor) {
  const SourceFormat* format = FindSourceFormat(tensor.type);
  REQUIRE(format != nullptr);
  const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(tensor.type));
  const uint64_t columns = tensor.dims[0];
  const uint64_t rows = tensor.bytes / (columns / type.elements * type.bytes);
  std::vector<uint8_t> bytes(tensor.bytes);
  RequireOk(gguf.Read(tensor, 0, bytes.data(), bytes.size()));
  std::vector<float> values(rows * columns);
  for (uint64_t row = 0; row < rows; ++row) {
    REQUIRE(Dequantise(*format, bytes.data() + row * (bytes.size() / rows), columns,
                       &values[row * columns]) == kAllFinite);
  }
  return values;
}

struct Difference {
  size_t tensors = 0;  // that both have
  size_t unequal = 0;  // numbers
  float worst = 0.0f;  // relative
};
Difference Compare(const Gguf& twin, const Gguf& golden) {
  Difference difference;
  for (const TensorInfo& expected : golden.tensors()) {
    const TensorInfo* found = twin.FindTensor(expected.name);
    if (found == nullptr) continue;
    ++difference.tensors;
    INFO(std::string(expected.name));
    CHECK(std::memcmp(found->dims, expected.dims, sizeof(expected.dims)) == 0);
    const std::vector<float> a = ValuesOf(twin, *found);
    const std::vector<float> b = ValuesOf(golden, expected);
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i] == b[i]) continue;
      ++difference.unequal;
      difference.worst = std::max(difference.worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
    }
  }
  return difference;
}

TEST_CASE("a directory has the tensors of its GGUF file") {
  for (const std::string name : kTwins) {
    INFO(name);
    Host host;
    const Owned<Gguf> twin = OpenDirectory(&host, DirectoryOf(name));
    const Owned<Gguf> golden = host.Open(DirectoryOf(name) + ".gguf");
    const Difference difference = Compare(*twin, *golden);
    // Where 1 is taken away and added again, and e to a power's logarithm, last bits differ.
    const bool changed = name.substr(0, 6) == "gemma3" || name.substr(0, 4) == "qwen";
    CHECK(difference.unequal <= (changed ? 100 : 0));
    CHECK(difference.worst < 1e-6f);
    // Those of GGUF files besides: golden.*, and blocks or fused tensors that transformers has not.
    CHECK(twin->tensors().size() - difference.tensors <= (name == "mimo2_fused" ? 15 : 0));
  }
}

TEST_CASE("logits of a directory equal HF transformers, and the bits of its GGUF file") {
  for (const std::string name : kTwins) {
    INFO(name);
    Host host(2);
    const Owned<Gguf> golden = host.Open(DirectoryOf(name) + ".gguf");
    const auto tokens = test::ReadTensor<int32_t>(golden.get(), "golden.tokens");
    const auto expected = test::ReadTensor<float>(golden.get(), "golden.logits");
    LoadOptions options;
    options.widen = name == "gpt_oss_mxfp4";  // else of other rounded activations
    const auto twin = host.Load(DirectoryOf(name), options);
    const std::vector<float> logits = test::LogitsOf(&host, *twin, tokens, 64);
    const float worst = test::WorstError(logits, expected);
    INFO("worst " << worst);
    CHECK(worst <= 5e-5f);
    if (Compare(*OpenDirectory(&host, DirectoryOf(name)), *golden).unequal != 0) continue;
    const auto model = host.Load(DirectoryOf(name) + ".gguf", options);
    CHECK(test::SameBits(logits, test::LogitsOf(&host, *model, tokens, 64)));
  }
}

// Published files say "swish" of it, but mean the delta-nets: attention's gate is a sigmoid.
TEST_CASE("the type of the output gate changes nothing") {
  namespace fs = std::filesystem;
  Host host(2);
  const fs::path copy = fs::temp_directory_path() / "junto_output_gate_type";
  fs::create_directories(copy);
  fs::copy(DirectoryOf("qwen35"), copy,
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  std::ifstream in(copy / "config.json");
  std::string config{std::istreambuf_iterator<char>(in), {}};
  config.insert(config.find('{') + 1, "\"output_gate_type\": \"swish\",");
  std::ofstream(copy / "config.json") << config;
  const auto model = host.Load(DirectoryOf("qwen35"), {});
  const auto changed = host.Load(copy.string(), {});
  const std::vector<int32_t> tokens = {1, 5, 9, 2, 7, 30, 31, 32, 33, 34};
  CHECK(test::SameBits(test::LogitsOf(&host, *model, tokens, 64),
                       test::LogitsOf(&host, *changed, tokens, 64)));
  fs::remove_all(copy);
}

TEST_CASE("FP8 with scales gives what HF computes with the dequantised weights") {
  Host host(2);
  const std::string path = DirectoryOf("mimo2_fp8");
  hf::Shards shards(&host.memory);
  Owned<File> file;
  RequireOk(host.files.Open(path + "/model.safetensors", &host.memory, &file));
  RequireOk(shards.Add(std::move(file)));
  RequireOk(shards.Finish());
  const hf::SourceTensor* tokens = shards.Find("golden.tokens");
  const hf::SourceTensor* logits = shards.Find("golden.logits");
  REQUIRE(tokens != nullptr);
  REQUIRE(logits != nullptr);
  std::vector<int32_t> ids(tokens->elements);
  std::vector<float> expected(logits->elements);
  RequireOk(shards.Read(*tokens, 0, ids.data(), tokens->bytes));
  RequireOk(shards.Read(*logits, 0, expected.data(), logits->bytes));
  const auto model = host.Load(path);
  const float worst = test::WorstError(test::LogitsOf(&host, *model, ids, 64), expected);
  INFO("worst " << worst);
  CHECK(worst <= 5e-5f);
}

}  // namespace
}  // namespace junto
