// Packed files: the same model to the bit however they are read, and nothing believed of a file
// that is damaged, foreign or stale.
#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "junto/base/hash.h"
#include "junto/quant/unpack.h"
#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests
using Bytes = std::vector<uint8_t>;

// The offsets that docs/formats.md gives.
constexpr size_t kByteOrder = 8;
constexpr size_t kVersion = 12;
constexpr size_t kPanels = 16;
constexpr size_t kParts = 20;
constexpr size_t kFileBytes = 24;
constexpr size_t kDirectory = 32;
constexpr size_t kDirectoryBytes = 40;
constexpr size_t kDirectoryHash = 48;
constexpr size_t kWeights = 56;
constexpr size_t kWeightsBytes = 64;
constexpr size_t kExperts = 88;
constexpr size_t kExpertsHash = 96;
constexpr size_t kReserved = 104;
constexpr size_t kLayoutHash = 72;
constexpr size_t kSource = 80;
constexpr size_t kHeaderHash = 120;
constexpr size_t kHeaderBytes = 128;

uint64_t Number(const Bytes& bytes, size_t at) {
  uint64_t number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof(number));
  return number;
}
void SetNumber(Bytes* bytes, size_t at, uint64_t number, size_t size = 8) {
  std::memcpy(bytes->data() + at, &number, size);
}
uint64_t HashOf(const uint8_t* data, size_t size) {
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 1099511628211u;
  return hash;
}
// As if the file had been written so.
void Sign(Bytes* bytes) {
  const uint64_t directory = Number(*bytes, kDirectory);
  const uint64_t size = Number(*bytes, kDirectoryBytes);
  if (directory <= bytes->size() && size <= bytes->size() - directory) {
    SetNumber(bytes, kDirectoryHash, HashOf(bytes->data() + directory, size));
  }
  SetNumber(bytes, kHeaderHash, HashOf(bytes->data(), kHeaderHash));
}

junto_status Pack(junto_runtime* runtime, const std::string& name, const std::string& packed,
                  Error* err, const junto_model_desc* desc = nullptr) {
  return junto_model_pack(runtime, name.data(), name.size(), packed.data(), packed.size(), desc,
                          err);
}

// The packed file of a model, made by a host of its own.
Bytes PackedBytes(const Bytes& gguf) {
  Host host;
  host.AddFile("model.gguf", gguf);
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  Error err;
  REQUIRE_OK(Pack(runtime.get(), "model.gguf", "model.junto", &err));
  return host.Bytes("model.junto");
}

junto_status JUNTO_CALL TakeLogits(void* user, uint64_t, const float* logits, size_t vocab) {
  auto* bytes = static_cast<Bytes*>(user);
  const auto* from = reinterpret_cast<const uint8_t*>(logits);
  bytes->insert(bytes->end(), from, from + vocab * sizeof(float));
  return JUNTO_OK;
}
// The bits of all logits of a few tokens.
Bytes LogitBits(const ModelHandle& model) {
  Error err;
  Bytes bits;
  const SessionHandle session = CreateSession(model, SessionDesc(32, 4));
  const PromptHandle prompt = TokenPrompt(model, {1, 7, 3, 3, 11, 2, 30});
  REQUIRE_OK(junto_session_prefill(session.get(), prompt.get(), &err));
  REQUIRE_OK(junto_session_evaluate(session.get(), TakeLogits, &bits, &err));
  return bits;
}

uint64_t Current(const RuntimeHandle& runtime, junto_tag tag) {
  uint64_t current = 0;
  uint64_t peak = 0;
  REQUIRE(junto_runtime_memory(runtime.get(), tag, &current, &peak) == JUNTO_OK);
  return current;
}
uint64_t Plan(const ModelHandle& model, junto_tag tag) {
  Error err;
  uint64_t bytes = 0;
  REQUIRE_OK(junto_session_plan(model.get(), nullptr, tag, &bytes, &err));
  return bytes;
}

// A tiny model whose matrices of 256 columns are random blocks of `type`, and whose last panels are
// not full.
TinyModel ModelOf(const SourceFormat& source) {
  const BlockTypeInfo& type = *FindBlockType(static_cast<uint32_t>(source.type));
  TinyModel model = TinyModel::Llama(45, 256);
  std::mt19937 random(static_cast<uint32_t>(source.type));
  for (TinyModel::Tensor& tensor : model.tensors) {
    if (tensor.dims.size() != 2 || tensor.dims[0] != 256) continue;
    tensor.type = static_cast<uint32_t>(source.type);
    tensor.bytes.resize(256 / type.elements * type.bytes * tensor.dims[1]);
    for (uint8_t& byte : tensor.bytes) byte = static_cast<uint8_t>(random());
    for (size_t at = 0; at < tensor.bytes.size(); at += type.bytes) {
      // Every place where some format has an exponent, so that all are small.
      const auto shrink = [&](size_t place) { tensor.bytes[at + place] &= 0x13; };
      if (source.type == BlockType::kMXFP4) {
        tensor.bytes[at] = static_cast<uint8_t>(118 + random() % 6);
      } else if (source.unpack == nullptr) {
        tensor.bytes[at + type.bytes - 1] = static_cast<uint8_t>(0x38 | (random() & 0x83));
      } else {
        for (const size_t place : {1u, 3u}) shrink(place);
        if (type.elements == 256) {
          for (const size_t place : {81u, 83u}) shrink(place);
          if (type.bytes >= 110) shrink(109);
          if (type.bytes >= 210) shrink(209);
        }
      }
    }
  }
  return model;
}

// That a GGUF and its packed file are the same model, whichever way it is read.
void RequireSame(const Bytes& gguf) {
  Host host;
  host.AddFile("model.gguf", gguf);
  {
    const RuntimeHandle runtime = CreateRuntime(host.desc());
    Error err;
    REQUIRE_OK(Pack(runtime.get(), "model.gguf", "model.junto", &err));
    const Bytes expected = LogitBits(test::LoadFile(runtime, "model.gguf"));
    REQUIRE(LogitBits(test::LoadFile(runtime, "model.junto")) ==
            expected);  // at an odd address: copied
    REQUIRE(LogitBits(test::LoadFile(runtime, "model.junto", JUNTO_MODEL_NO_MAP)) == expected);
    REQUIRE(LogitBits(LoadBytes(runtime.get(), host.Bytes("model.junto"))) == expected);
    host.map_shift = 0;
    REQUIRE(LogitBits(test::LoadFile(runtime, "model.junto")) == expected);
    REQUIRE(Current(runtime, JUNTO_TAG_MAPPED) == 0);
  }
  REQUIRE(host.Faults() == "");
}

TEST_CASE("a packed model has the bits of its source, in every format") {
  for (const SourceFormat& source : kSourceFormats) {
    INFO(BlockTypeName(source.type));
    RequireSame(ModelOf(source).Bytes());
  }
  for (const TinyModel& model : {TinyModel::GptOss(), TinyModel::Mixtral(45), TinyModel::Chat(),
                                 TinyModel::Verbose(), TinyModel::Gemma3(), TinyModel::Gemma4(),
                                 TinyModel::Gemma4Shared(), TinyModel::Qwen(), TinyModel::Mimo()}) {
    RequireSame(model.Bytes());
  }
  for (const char* name :
       {"gpt_oss_mxfp4", "llama_legacy", "llama_mixed", "llama_tied", "mixtral", "gpt_oss",
        "gemma4_q4_k", "gemma4_shared_q4_k", "qwen35moe_legacy", "mimo2_q4_k", "mimo2_fused"}) {
    INFO(name);
    RequireSame(ParityModel(name));
  }
}

TEST_CASE("packing is the same every time, and the same from a split model's weights") {
  const TinyModel model = TinyModel::Chat();
  const Bytes first = PackedBytes(model.Bytes());
  CHECK(PackedBytes(model.Bytes()) == first);

  Host host;
  host.AddFile("whole.gguf", model.Bytes());
  for (const auto& [name, bytes] : model.Writer().Split("part", 3)) host.AddFile(name, bytes);
  host.SetWorkers(3, Host::Order::kThreads);
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  Error err;
  REQUIRE_OK(Pack(runtime.get(), "part-00001-of-00003.gguf", "split.junto", &err));
  const Bytes split = host.Bytes("split.junto");
  CHECK(Number(split, kParts) % 256 == 3);
  CHECK(Bytes(split.begin() + static_cast<ptrdiff_t>(Number(split, kWeights)), split.end()) ==
        Bytes(first.begin() + static_cast<ptrdiff_t>(Number(first, kWeights)), first.end()));
  CHECK(LogitBits(test::LoadFile(runtime, "split.junto")) ==
        LogitBits(test::LoadFile(runtime, "whole.gguf")));
  ModelHandle checked;
  REQUIRE_OK(
      test::Load(runtime.get(), "split.junto", 0, "part-00001-of-00003.gguf", &checked, &err));
}

TEST_CASE("a packed file lies as docs/formats.md says") {
  const Bytes gguf = TinyModel::GptOss().Bytes();
  const Bytes packed = PackedBytes(gguf);
  CHECK(std::memcmp(packed.data(), "JUNTOPAK\x04\x03\x02\x01\x02\0\0\0\x01\0\0\0\x01\0\0\0", 24) ==
        0);
  CHECK(Number(packed, kFileBytes) == packed.size());
  CHECK(Number(packed, kDirectory) == kHeaderBytes);
  const uint64_t directory_end = kHeaderBytes + Number(packed, kDirectoryBytes);
  CHECK(Number(packed, kDirectoryHash) ==
        HashOf(packed.data() + kHeaderBytes, Number(packed, kDirectoryBytes)));
  const uint64_t hashes = (directory_end + 7) / 8 * 8;
  const uint64_t hashes_end = hashes + 8 * Number(packed, kExperts);
  CHECK(Number(packed, kExperts) == 8);
  CHECK(Number(packed, kExpertsHash) == HashOf(packed.data() + hashes, hashes_end - hashes));
  CHECK(Number(packed, kWeights) == (hashes_end + 4095) / 4096 * 4096);
  CHECK(Number(packed, kWeights) + Number(packed, kWeightsBytes) == packed.size());
  CHECK(Number(packed, kHeaderHash) == HashOf(packed.data(), kHeaderHash));

  CHECK(Number(packed, kHeaderBytes) == gguf.size());
  const uint64_t header = Number(packed, kHeaderBytes + 8);
  CHECK(kHeaderBytes + 16 + header == directory_end);
  CHECK(std::equal(gguf.begin(), gguf.begin() + static_cast<ptrdiff_t>(header),
                   packed.begin() + kHeaderBytes + 16));
  CHECK(std::all_of(packed.begin() + static_cast<ptrdiff_t>(hashes_end),
                    packed.begin() + static_cast<ptrdiff_t>(Number(packed, kWeights)),
                    [](uint8_t byte) { return byte == 0; }));
}

TEST_CASE("weights that are mapped are in memory once, and the plan knows") {
  Host host;
  host.map_shift = 0;
  host.AddFile("model.junto", PackedBytes(TinyModel::GptOss().Bytes()));
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  const uint64_t weights = Number(host.Bytes("model.junto"), kWeightsBytes);
  for (const uint32_t flags : {0u, JUNTO_MODEL_NO_MAP}) {
    for (const uint32_t shift : {0u, 64u, 1u}) {
      INFO("flags " << flags << ", shift " << shift);
      host.map_shift = shift;
      const bool mapped = flags == 0 && shift != 1;
      const ModelHandle planned =
          test::LoadFile(runtime, "model.junto", flags | JUNTO_MODEL_METADATA_ONLY);
      CHECK(Current(runtime, JUNTO_TAG_MAPPED) == 0);
      const ModelHandle model = test::LoadFile(runtime, "model.junto", flags);
      CHECK(Current(runtime, JUNTO_TAG_MAPPED) == (mapped ? weights : 0));
      CHECK(Current(runtime, JUNTO_TAG_WEIGHTS) == (mapped ? 0 : weights));
      for (const junto_tag tag : {JUNTO_TAG_MAPPED, JUNTO_TAG_WEIGHTS, JUNTO_TAG_LOAD_TEMP}) {
        CHECK(Plan(planned, tag) == Plan(model, tag));
      }
      CHECK(Plan(model, JUNTO_TAG_MAPPED) == Current(runtime, JUNTO_TAG_MAPPED));
      CHECK(Plan(model, JUNTO_TAG_WEIGHTS) == Current(runtime, JUNTO_TAG_WEIGHTS));
      CHECK(host.total() == Current(runtime, JUNTO_TAG_INVALID));
      junto_model_info info;
      junto_model_info_init(&info, sizeof(info));
      REQUIRE(junto_model_get_info(model.get(), &info) == JUNTO_OK);
      CHECK(info.weight_bytes == weights);
    }
  }
  host.map_shift = 0;
}

// Loads damaged files; each must leave the runtime as it was.
class Refuser {
 public:
  Refuser() : runtime_(CreateRuntime(host_.desc())), before_(host_.total()) {}
  ~Refuser() {
    runtime_.reset();
    CHECK(host_.Faults() == "");
  }

  junto_status Load(const Bytes& bytes, Error* err) {
    host_.AddFile("bad.junto", bytes);
    host_.map_shift ^= 1;
    ModelHandle model;
    const junto_status status = test::Load(runtime_.get(), "bad.junto", 0, "", &model, err);
    CHECK((status == JUNTO_OK) == (model != nullptr));
    if (status != JUNTO_OK) CHECK(err->IsLine());
    model.reset();
    REQUIRE(host_.total() == before_);
    return status;
  }
  void CheckRefused(const Bytes& bytes, junto_status expected, const std::string& named) {
    Error err;
    CHECK_FAILS(Load(bytes, &err), expected);
    INFO(err.text());
    CHECK(err.text().find(named) != std::string::npos);
  }

 private:
  Host host_;
  RuntimeHandle runtime_;
  uint64_t before_;
};

TEST_CASE("a packed file may end anywhere") {
  Refuser refuser;
  for (const TinyModel& model : {TinyModel::GptOss(), TinyModel::Chat()}) {
    const Bytes whole = PackedBytes(model.Bytes());
    for (size_t part = 0; part < 64; ++part) {
      Bytes bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(whole.size() * part / 64));
      bytes.reserve(1);  // data() of nothing is still an address
      Error err;
      INFO(part << "/64: " << err.text());
      REQUIRE(refuser.Load(bytes, &err) == JUNTO_E_FORMAT);
    }
    for (size_t size = 0; size < 300; ++size) {
      Bytes bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      bytes.reserve(1);
      Error err;
      INFO(size << " bytes: " << err.text());
      REQUIRE(refuser.Load(bytes, &err) == JUNTO_E_FORMAT);
    }
    Bytes longer = whole;
    longer.push_back(0);
    refuser.CheckRefused(longer, JUNTO_E_FORMAT, std::to_string(longer.size()));
    Error err;
    REQUIRE(refuser.Load(whole, &err) == JUNTO_OK);
  }
}

TEST_CASE("every damaged byte of header and directory is noticed") {
  Refuser refuser;
  const Bytes whole = PackedBytes(TinyModel::Llama(8).Bytes());
  const size_t end = kHeaderBytes + Number(whole, kDirectoryBytes);
  for (size_t at = 0; at < end; ++at) {
    Bytes bytes = whole;
    bytes[at] ^= static_cast<uint8_t>(1u << at % 8);
    Error err;
    INFO("byte " << at);
    const junto_status status = refuser.Load(bytes, &err);
    REQUIRE((status == JUNTO_E_FORMAT || (status == JUNTO_E_UNSUPPORTED && at < kParts)));
  }
}

TEST_CASE("files of other versions, byte orders and layouts are named as such") {
  Refuser refuser;
  const Bytes whole = PackedBytes(TinyModel::GptOss().Bytes());
  const auto changed = [&](size_t at, uint64_t number, size_t size) {
    Bytes bytes = whole;
    SetNumber(&bytes, at, number, size);
    Sign(&bytes);
    return bytes;
  };
  refuser.CheckRefused(changed(kByteOrder, 0x04030201, 4), JUNTO_E_UNSUPPORTED, "byte order");
  refuser.CheckRefused(changed(kVersion, 1, 4), JUNTO_E_UNSUPPORTED, "version 1");
  refuser.CheckRefused(changed(kVersion, 0, 4), JUNTO_E_UNSUPPORTED, "version 0");
  refuser.CheckRefused(changed(kPanels, 7, 4), JUNTO_E_UNSUPPORTED, "panels of version 7");
  refuser.CheckRefused(changed(kLayoutHash, 1, 8), JUNTO_E_UNSUPPORTED, "another layout");
  refuser.CheckRefused(changed(kFileBytes, whole.size() + 1, 8), JUNTO_E_FORMAT,
                       std::to_string(whole.size() + 1));
  Error err;
  CHECK(refuser.Load(changed(kSource, 1, 8), &err) == JUNTO_OK);  // nobody asked for its source
}

TEST_CASE("fields that contradict each other are refused, however well they are signed") {
  Refuser refuser;
  const Bytes whole = PackedBytes(TinyModel::Mixtral().Bytes());
  const uint64_t weights = Number(whole, kWeights);
  struct Field {
    size_t at;
    size_t size;
  };
  const Field fields[] = {{kParts, 4},           {kDirectory, 8},    {kDirectoryBytes, 8},
                          {kWeights, 8},         {kWeightsBytes, 8}, {kHeaderBytes, 8},
                          {kHeaderBytes + 8, 8}, {kReserved, 8}};
  for (const Field& field : fields) {
    const uint64_t was = Number(whole, field.at) & (field.size == 4 ? UINT32_MAX : UINT64_MAX);
    for (const uint64_t number :
         {uint64_t{0}, was + 1, was - 1, was + 4096, was - 4096, weights, uint64_t{2},
          uint64_t{65536}, uint64_t{1} << 32, uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 4095}) {
      Bytes bytes = whole;
      SetNumber(&bytes, field.at, number, field.size);
      if (Number(bytes, field.at) == Number(whole, field.at)) continue;
      Sign(&bytes);
      Error err;
      INFO("field at " << field.at << ": " << number);
      const junto_status status = refuser.Load(bytes, &err);
      // A source's size may be any in which its tensors fit.
      if (field.at == kHeaderBytes && number > was && status == JUNTO_OK) continue;
      REQUIRE(status == JUNTO_E_FORMAT);
    }
  }
}

TEST_CASE("a GGUF header inside may be as bad as any") {
  Refuser refuser;
  const Bytes whole = PackedBytes(TinyModel::Mixtral(8).Bytes());
  const size_t end = kHeaderBytes + Number(whole, kDirectoryBytes);
  std::mt19937 random(5);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    Bytes bytes = whole;
    for (int change = 0; change < 1 + i % 3; ++change) {
      bytes[kHeaderBytes + random() % (end - kHeaderBytes)] = static_cast<uint8_t>(random());
    }
    Sign(&bytes);
    Error err;
    refused += refuser.Load(bytes, &err) != JUNTO_OK;
  }
  CHECK(refused > 1000);
}

TEST_CASE("damaged weights give wrong text and nothing worse") {
  for (const char* name : {"gpt_oss_mxfp4", "llama_legacy", "llama_mixed", "mixtral"}) {
    const Bytes whole = PackedBytes(ParityModel(name));
    std::mt19937 random(3);
    for (const int kind : {0x00, 0xFF, 0x7F, 0x80, -1, -2, -3}) {
      INFO(name << ", " << kind);
      Bytes bytes = whole;
      for (size_t at = Number(whole, kWeights); at < bytes.size(); ++at) {
        if (kind < -1 && random() % 500 != 0) continue;
        bytes[at] = kind < 0 ? static_cast<uint8_t>(random()) : static_cast<uint8_t>(kind);
      }
      Host host;
      host.map_shift = 0;
      host.AddFile("model.junto", bytes);
      {
        const RuntimeHandle runtime = CreateRuntime(host.desc());
        ModelHandle model;
        Error err;
        const junto_status status = test::Load(runtime.get(), "model.junto", 0, "", &model, &err);
        if (status != JUNTO_OK) {  // rope factors, which are checked
          CHECK(err.text().find("rope") != std::string::npos);
          continue;
        }
        LogitBits(model);
        for (const float temperature : {0.0f, 1.0f}) {
          const SessionHandle session = CreateSession(model, SessionDesc(64, 8));
          Prefill(session, TokenPrompt(model, {1, 2, 3, 4, 5}));
          SetSampling(session, temperature, 1, 20);
          for (const junto_token token : Generate(session).tokens) CHECK(token >= 0);
        }
      }
      CHECK(host.Faults() == "");
    }
  }
}

TEST_CASE("a packed file whose source has changed is stale") {
  TinyModel model = TinyModel::Chat();
  Host host;
  host.AddFile("model.gguf", model.Bytes());
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  Error err;
  ModelHandle loaded;
  REQUIRE_OK(Pack(runtime.get(), "model.gguf", "model.junto", &err));
  for (const uint32_t flags : {0u, JUNTO_MODEL_METADATA_ONLY}) {
    REQUIRE_OK(test::Load(runtime.get(), "model.junto", flags, "model.gguf", &loaded, &err));
  }

  model.Find("blk.1.attn_q.weight")->as<float>()[3] += 1.0f;
  host.AddFile("weights.gguf", model.Bytes());
  CHECK_FAILS(test::Load(runtime.get(), "model.junto", 0, "weights.gguf", &loaded, &err),
              JUNTO_E_MISMATCH);
  CHECK(err.text().find("stale") != std::string::npos);
  model = TinyModel::Chat().Set("general.name", std::string("other"));
  host.AddFile("key.gguf", model.Bytes());
  CHECK_FAILS(test::Load(runtime.get(), "model.junto", 0, "key.gguf", &loaded, &err),
              JUNTO_E_MISMATCH);
  CHECK_FAILS(test::Load(runtime.get(), "model.junto", 0, "absent.gguf", &loaded, &err),
              JUNTO_E_IO);
  CHECK_FAILS(test::Load(runtime.get(), "model.gguf", 0, "model.gguf", &loaded, &err),
              JUNTO_E_INVALID);
  CHECK(loaded == nullptr);

  junto_model_desc desc;
  junto_model_desc_init(&desc, sizeof(desc));
  desc.source_size = 3;
  junto_model* none = nullptr;
  CHECK_FAILS(junto_model_load(runtime.get(), "model.junto", 11, &desc, &none, &err),
              JUNTO_E_INVALID);
}

TEST_CASE("packing refuses what it cannot do, and leaves no file") {
  Host host;
  TinyModel model = TinyModel::Llama();
  host.AddFile("model.gguf", model.Bytes());
  model.Find("blk.1.ffn_up.weight")->as<float>()[77] = NAN;
  host.AddFile("nan.gguf", model.Bytes());
  host.AddFile("bad.gguf", Bytes(100, 7));
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  Error err;
  CHECK_FAILS(Pack(runtime.get(), "absent.gguf", "out", &err), JUNTO_E_IO);
  CHECK_FAILS(Pack(runtime.get(), "bad.gguf", "out", &err), JUNTO_E_FORMAT);
  CHECK_FAILS(Pack(runtime.get(), "nan.gguf", "out", &err), JUNTO_E_FORMAT);
  CHECK(err.text() == "tensor 'blk.1.ffn_up.weight': row 1 is not finite at column 29");
  CHECK_FAILS(Pack(runtime.get(), "model.gguf", "model.gguf", &err), JUNTO_E_INVALID);
  CHECK_FAILS(Pack(runtime.get(), "model.gguf", "nan.gguf", &err), JUNTO_E_INVALID);  // a model
  CHECK_FAILS(Pack(runtime.get(), "model.gguf", "\xFF", &err), JUNTO_E_INVALID);
  CHECK_FAILS(Pack(runtime.get(), "\xFF", "out", &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_model_pack(nullptr, "a", 1, "b", 1, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_model_pack(runtime.get(), nullptr, 1, "b", 1, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_model_pack(runtime.get(), "a", 1, nullptr, 1, nullptr, &err), JUNTO_E_INVALID);
  junto_model_desc desc;
  junto_model_desc_init(&desc, sizeof(desc));
  for (const uint32_t flag : {JUNTO_MODEL_METADATA_ONLY, JUNTO_MODEL_YARN_TRUNCATE, 0x80000000u}) {
    desc.flags = flag;
    CHECK_FAILS(Pack(runtime.get(), "model.gguf", "out", &err, &desc), JUNTO_E_UNSUPPORTED);
  }
  desc.flags = 0;
  desc.source = "model.gguf";
  CHECK_FAILS(Pack(runtime.get(), "model.gguf", "out", &err, &desc), JUNTO_E_UNSUPPORTED);
  CHECK_FALSE(host.HasFile("out"));

  REQUIRE_OK(Pack(runtime.get(), "model.gguf", "model.junto", &err));
  CHECK_FAILS(Pack(runtime.get(), "model.junto", "out", &err), JUNTO_E_INVALID);
  CHECK_FALSE(host.HasFile("out"));
}

TEST_CASE("hosts that cannot write say so") {
  Host host;
  host.AddFile("model.gguf", TinyModel::Llama().Bytes());
  host.io()->struct_size = offsetof(junto_io, create_file);  // a caller of the first release
  Error err;
  CHECK_FAILS(Pack(CreateRuntime(host.desc()).get(), "model.gguf", "out", &err),
              JUNTO_E_UNSUPPORTED);
  host.io()->struct_size = sizeof(junto_io);
  host.io()->write_at = nullptr;
  junto_runtime* runtime = nullptr;
  CHECK_FAILS(junto_runtime_create(host.desc(), &runtime, &err), JUNTO_E_INVALID);
  CHECK(host.Faults() == "");
}

TEST_CASE("packing takes memory for a piece at a time") {
  Host host;
  host.AddFile("model.gguf", TinyModel::Llama(25000, 256).Bytes());
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  Error err;
  REQUIRE_OK(Pack(runtime.get(), "model.gguf", "out", &err));
  CHECK(host.Bytes("out").size() > (40u << 20));
  CHECK(host.total_peak() < (20u << 20));
}

}  // namespace
}  // namespace junto
