// Any bytes as the files of a directory: its configuration, its tensors without their data, which
// is zeros, and more, each behind its length in 4 bytes. What opens is read.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "../support/faults.h"
#include "../support/safetensors_writer.h"
#include "junto/huggingface/directory.h"
#include "junto/model/families.h"
#include "junto/text/tokenizer.h"
#include "seeds.h"

namespace junto {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr const char* kNames[] = {"config.json",           "model.safetensors",
                                  "tokenizer.json",        "generation_config.json",
                                  "tokenizer_config.json", "model.safetensors.index.json"};
constexpr size_t kData = size_t{2} << 20;  // bytes behind the header

void Require(bool fact) {
  if (!fact) std::abort();
}

Bytes Join(const std::vector<Bytes>& files) {
  Bytes bytes;
  for (const Bytes& file : files) {
    const auto size = static_cast<uint32_t>(file.size());
    const auto* length = reinterpret_cast<const uint8_t*>(&size);
    bytes.insert(bytes.end(), length, length + sizeof(size));
    bytes.insert(bytes.end(), file.begin(), file.end());
  }
  return bytes;
}

void Split(const uint8_t* data, size_t size, test::FaultyFileSystem* files) {
  for (const char* name : kNames) {
    uint32_t length = 0;
    if (size < sizeof(length)) return;
    std::memcpy(&length, data, sizeof(length));
    data += sizeof(length);
    size -= sizeof(length);
    length = static_cast<uint32_t>(std::min<size_t>(length, size));
    Bytes bytes(data, data + length);
    if (std::strcmp(name, "model.safetensors") == 0) bytes.resize(length + kData);
    files->Add(name, std::move(bytes));
    data += length;
    size -= length;
  }
}

Status OpenAndRead(test::FaultyFileSystem* files, Memory* memory) {
  ModelFile file;
  JUNTO_TRY(OpenModel(files, "config.json", memory, &file));
  for (const TensorInfo& tensor : file.gguf->tensors()) {
    // From an odd place on, and only as much as tells.
    const uint64_t begin = std::min<uint64_t>(tensor.bytes, 13);
    Bytes bytes(std::min<uint64_t>(tensor.bytes - begin, 1 << 14) + 1);
    JUNTO_TRY(file.gguf->Read(tensor, begin, bytes.data(), bytes.size() - 1));
    JUNTO_TRY(
        file.gguf->Read(tensor, tensor.bytes - bytes.size() + 1, bytes.data(), bytes.size() - 1));
  }
  ModelSpec spec(memory);
  const Status status = ReadModelSpec(*file.gguf, {}, &spec);
  Owned<Tokenizer> tokenizer;
  JUNTO_TRY(Tokenizer::FromGguf(*file.gguf, memory, &tokenizer));
  return status;
}

// A file of tests/data/parity, up to `most` bytes of it.
Bytes Load(const std::string& name, size_t most) {
  std::ifstream in(std::string(JUNTO_TEST_DATA) + "/parity/" + name, std::ios::binary);
  Bytes bytes(std::istreambuf_iterator<char>(in), {});
  bytes.resize(std::min(bytes.size(), most));
  return bytes;
}

// The length of a header and the header.
Bytes Header(const Bytes& file) {
  uint64_t size = 0;
  Require(file.size() > sizeof(size));
  std::memcpy(&size, file.data(), sizeof(size));
  Require(size <= file.size() - sizeof(size));
  return {file.begin(), file.begin() + static_cast<ptrdiff_t>(sizeof(size) + size)};
}

}  // namespace

namespace test {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  const TinyDirectory tiny;
  TinyDirectory scaled;
  for (SafetensorsWriter::Tensor& tensor : scaled.weights.tensors) {
    if (tensor.name != "model.layers.0.mlp.up_proj.weight") continue;
    tensor.dtype = "F8_E4M3";
    tensor.bytes.resize(tensor.bytes.size() / 4);
  }
  scaled.Add("model.layers.0.mlp.up_proj.weight_scale_inv", {1, 1});
  std::string map;
  for (const SafetensorsWriter::Tensor& tensor : tiny.weights.tensors) {
    map += (map.empty() ? "\"" : ",\"") + tensor.name + "\":\"model.safetensors\"";
  }
  std::vector<Bytes> seeds = {
      Join({BytesOf(tiny.Config()), Header(tiny.weights.Bytes()),
            BytesOf(TinyDirectory::TokenizerJson()), BytesOf("{\"eos_token_id\": [38, 39]}"),
            BytesOf("{\"chat_template\": \"x\"}"), BytesOf("{\"weight_map\":{" + map + "}}")}),
      Join({BytesOf(scaled.Config()), Header(scaled.weights.Bytes())})};
  for (const std::string name :
       {"gpt_oss_mxfp4", "qwen35", "gemma4_shared", "mimo2_fp8", "qwen3next"}) {
    seeds.push_back(Join({Load(name + "/config.json", 1 << 20),
                          Header(Load(name + "/model.safetensors", 1 << 20))}));
  }
  return seeds;
}

}  // namespace test
}  // namespace junto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace junto;  // NOLINT: the code under test
  test::CountingAllocator allocator;
  test::FaultyFileSystem files;
  Split(data, size, &files);
  {
    Memory memory(&allocator, 256 << 20);
    Status status;
    try {
      status = OpenAndRead(&files, &memory);
    } catch (const OutOfMemory& e) {
      status = memory.Refusal(e.size, e.tag);
    }
    Require(status.ok() || status.message()[0] != '\0');
  }
  Require(allocator.clean());
  Require(files.open_files() == 0);
  return 0;
}
