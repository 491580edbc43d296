// Directories of Hugging Face through junto.h: loaded, planned, packed, talked to, and interrupted.
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests
using Files = std::map<std::string, std::vector<uint8_t>>;

Files WithText() {
  Files files = TinyDirectory().Shards(2);
  files["tokenizer.json"] = BytesOf(TinyDirectory::TokenizerJson());
  files["generation_config.json"] =
      BytesOf(R"({"bos_token_id": 37, "eos_token_id": [38, 39], "top_p": 0.9})");
  files["tokenizer_config.json"] =
      BytesOf(R"({"chat_template": [{"name": "tools", "template": "no"},
                                    {"name": "default", "template": "{{ yes }}"}]})");
  return files;
}

void AddDirectory(Host* host, const std::string& name, const Files& files) {
  for (const auto& [file, bytes] : files) host->AddFile(name + "/" + file, bytes);
}

// The files of a directory of tests/data/parity.
Files ParityFiles(const std::string& name, const std::vector<std::string>& names) {
  Files files;
  for (const std::string& file : names) {
    std::ifstream in(std::string(JUNTO_TEST_DATA) + "/parity/" + name + "/" + file,
                     std::ios::binary);
    files[file].assign(std::istreambuf_iterator<char>(in), {});
    REQUIRE(!files[file].empty());
  }
  return files;
}

junto_status JUNTO_CALL TakeRow(void* user, uint64_t, const float* row, size_t vocab) {
  auto* rows = static_cast<std::vector<float>*>(user);
  rows->insert(rows->end(), row, row + vocab);
  return JUNTO_OK;
}
std::vector<float> Logits(const ModelHandle& model) {
  Error err;
  std::vector<float> rows;
  const SessionHandle session = CreateSession(model, SessionDesc(32, 4));
  const PromptHandle prompt = TokenPrompt(model, {1, 5, 9, 30, 2, 7, 3, 8});
  REQUIRE_OK(junto_session_prefill(session.get(), prompt.get(), &err));
  REQUIRE_OK(junto_session_evaluate(session.get(), TakeRow, &rows, &err));
  return rows;
}

std::string Meta(const ModelHandle& model, const std::string& key) {
  char text[4096];
  size_t size = 0;
  REQUIRE(junto_model_get_meta(model.get(), key.data(), key.size(), text, sizeof(text), &size) ==
          JUNTO_OK);
  return {text, size};
}

TEST_CASE("a directory says what a GGUF file would, text included") {
  Host host;
  AddDirectory(&host, "models/tiny", WithText());
  {
    const RuntimeHandle runtime = CreateRuntime(host.desc());
    const ModelHandle model = test::LoadFile(runtime, "models/tiny");
    junto_model_info info;
    junto_model_info_init(&info, sizeof(info));
    REQUIRE(junto_model_get_info(model.get(), &info) == JUNTO_OK);
    CHECK(std::string(info.architecture) == "llama");
    CHECK(info.layers == 2);
    CHECK(info.vocab == 40);
    CHECK(info.bos == 37);
    CHECK(info.eos == 38);
    CHECK(info.params_total == 2 * (2 * 16 + 2 * 256 + 2 * 128 + 3 * 384) + 16 + 2 * 640);
    CHECK(Meta(model, "llama.block_count") == "2");
    CHECK(Meta(model, "tokenizer.chat_template") == "{{ yes }}");
    CHECK(Meta(model, "tokenizer.huggingface.json") == TinyDirectory::TokenizerJson());

    Error err;
    junto_token tokens[8];
    size_t count = 0;
    REQUIRE_OK(junto_tokenize(model.get(), "CAB</s>", 7, JUNTO_TOKENIZE_PARSE_SPECIAL, tokens, 8,
                              &count, &err));
    REQUIRE(count == 3);
    CHECK((tokens[0] == 2 && tokens[1] == 36 && tokens[2] == 38));
    CHECK(Logits(model) == Logits(test::LoadFile(runtime, "models/tiny/config.json")));
    CHECK(Logits(model) == Logits(test::LoadFile(runtime, "models/tiny/", JUNTO_MODEL_NO_MAP)));
  }
  CHECK(host.Faults() == "");
}

TEST_CASE("without a tokenizer's file there is no vocabulary") {
  Host host;
  AddDirectory(&host, "tiny", TinyDirectory().Files());
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  const ModelHandle model = test::LoadFile(runtime, "tiny");
  Error err;
  size_t count = 0;
  CHECK_FAILS(junto_tokenize(model.get(), "1", 1, 0, nullptr, 0, &count, &err),
              JUNTO_E_UNSUPPORTED);
  ModelHandle none;
  CHECK_FAILS(test::Load(runtime.get(), "tin9", 0, "", &none, &err), JUNTO_E_IO);
  CHECK(err.text().find("'tin9'") != std::string::npos);
}

TEST_CASE("a directory takes what its plan says") {
  const Files experts = ParityFiles("gpt_oss_mxfp4", {"config.json", "model.safetensors"});
  for (const Files& files : {WithText(), TinyDirectory().Files(), experts}) {
    Host host;
    AddDirectory(&host, "dir", files);
    const RuntimeHandle runtime = CreateRuntime(host.desc());
    const auto plan = [](const ModelHandle& model, junto_tag tag) {
      Error err;
      uint64_t bytes = 0;
      REQUIRE_OK(junto_session_plan(model.get(), nullptr, tag, &bytes, &err));
      return bytes;
    };
    const ModelHandle model = test::LoadFile(runtime, "dir");
    CHECK(host.current(JUNTO_TAG_WEIGHTS) == plan(model, JUNTO_TAG_WEIGHTS));
    CHECK(host.current(JUNTO_TAG_TOKENIZER) == plan(model, JUNTO_TAG_TOKENIZER));
    CHECK(host.current(JUNTO_TAG_LOAD_TEMP) == 0);
    CHECK(host.peak(JUNTO_TAG_LOAD_TEMP) == plan(model, JUNTO_TAG_LOAD_TEMP));

    Host light;
    AddDirectory(&light, "dir", files);
    const RuntimeHandle planner = CreateRuntime(light.desc());
    const ModelHandle metadata = test::LoadFile(planner, "dir", JUNTO_MODEL_METADATA_ONLY);
    for (const junto_tag tag : {JUNTO_TAG_WEIGHTS, JUNTO_TAG_TOKENIZER, JUNTO_TAG_LOAD_TEMP,
                                JUNTO_TAG_KV, JUNTO_TAG_SCRATCH, JUNTO_TAG_MAPPED}) {
      CHECK(plan(metadata, tag) == plan(model, tag));
    }
    CHECK(light.current(JUNTO_TAG_WEIGHTS) == 0);
  }
}

TEST_CASE("a directory is packed like any model") {
  const Files experts = ParityFiles("gpt_oss_mxfp4", {"config.json", "model.safetensors"});
  const Files scaled = ParityFiles("mimo2_fp8", {"config.json", "model.safetensors"});
  const Files deltas = ParityFiles("qwen35", {"config.json", "model.safetensors"});
  for (const Files& files : {WithText(), experts, scaled, deltas}) {
    Host host;
    AddDirectory(&host, "dir", files);
    {
      const RuntimeHandle runtime = CreateRuntime(host.desc());
      Error err;
      const std::vector<float> expected = Logits(test::LoadFile(runtime, "dir"));
      REQUIRE_OK(junto_model_pack(runtime.get(), "dir", 3, "packed", 6, nullptr, &err));
      ModelHandle packed;
      REQUIRE_OK(test::Load(runtime.get(), "packed", 0, "dir", &packed, &err));
      CHECK(Logits(packed) == expected);
      const ModelHandle whole = test::LoadFile(runtime, "dir", JUNTO_MODEL_METADATA_ONLY);
      CHECK(Meta(packed, "general.architecture") == Meta(whole, "general.architecture"));

      // Another weight among the first of a tensor, or another configuration.
      Files changed = files;
      for (auto& [name, bytes] : changed) {
        if (name.find(".safetensors") != std::string::npos && name.size() < 20) bytes.back() ^= 1;
      }
      AddDirectory(&host, "dir", changed);
      ModelHandle stale;
      junto_status status = test::Load(runtime.get(), "packed", 0, "dir", &stale, &err);
      CHECK((status == JUNTO_OK || status == JUNTO_E_MISMATCH));
      changed["config.json"] =
          BytesOf(std::string(changed["config.json"].begin(), changed["config.json"].end()));
      std::string config(changed["config.json"].begin(), changed["config.json"].end());
      const size_t at = config.find("max_position_embeddings");
      config.replace(config.find_first_of("0123456789", at), 2, "48");
      changed["config.json"] = BytesOf(config);
      AddDirectory(&host, "dir", changed);
      CHECK_FAILS(test::Load(runtime.get(), "packed", 0, "dir", &stale, &err), JUNTO_E_MISMATCH);
      CHECK_FAILS(test::Load(runtime.get(), "packed", 0, "packed", &stale, &err), JUNTO_E_INVALID);
      CHECK_FAILS(junto_model_pack(runtime.get(), "dir", 3, "dir/config.json", 15, nullptr, &err),
                  JUNTO_E_INVALID);
    }
    CHECK(host.Faults() == "");
  }
}

TEST_CASE("a call that fails anywhere while a directory loads or is packed") {
  const Files files = WithText();
  struct Fault {
    FaultPoint Host::*point;
    junto_status status;
    uint64_t optional;  // calls that may fail without harm: a file that is not there, or seems so
  };
  for (const Fault& fault :
       {Fault{&Host::allocations, JUNTO_E_MEMORY, 0}, Fault{&Host::reads, JUNTO_E_IO, 0},
        Fault{&Host::opens, JUNTO_E_IO, 12}, Fault{&Host::writes, JUNTO_E_IO, 0}}) {
    uint64_t harmless = 0;
    bool reached = true;
    for (uint64_t n = 0; reached; ++n) {
      Host host;
      AddDirectory(&host, "dir", files);
      (host.*fault.point).FailAt(n);
      junto_status status = JUNTO_OK;
      {
        Error err;
        junto_runtime* runtime = nullptr;
        junto_model* model = nullptr;
        status = junto_runtime_create(host.desc(), &runtime, &err);
        if (status >= 0) {
          status = junto_model_load(runtime, "dir/config.json", 15, nullptr, &model, &err);
        }
        if (status >= 0) status = junto_model_pack(runtime, "dir", 3, "packed", 6, nullptr, &err);
        INFO("call " << n << ": " << err.text());
        if (status < 0) CHECK(err.IsLine());
        junto_model_release(model);
        junto_runtime_release(runtime);
      }
      reached = (host.*fault.point).reached();
      INFO("call " << n);
      REQUIRE(host.Faults() == "");
      REQUIRE((status == fault.status || status == JUNTO_OK));
      harmless += reached && status == JUNTO_OK ? 1 : 0;
    }
    CHECK(harmless <= fault.optional);
  }
}

}  // namespace
}  // namespace junto
