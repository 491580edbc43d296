// Every byte is planned, counted, limited and given back.
#include <algorithm>
#include <array>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

constexpr junto_tag kTagOf[] = {JUNTO_TAG_OBJECT,  JUNTO_TAG_WEIGHTS,   JUNTO_TAG_KV,
                                JUNTO_TAG_SCRATCH, JUNTO_TAG_TOKENIZER, JUNTO_TAG_LOAD_TEMP,
                                JUNTO_TAG_THREAD,  JUNTO_TAG_EXTERNAL,  JUNTO_TAG_MAPPED};

struct Named {
  std::string name;
  std::vector<uint8_t> bytes;
};
const std::vector<Named>& Models() {
  static const std::vector<Named> models = {
      {"chat", TinyModel::Chat().Bytes()},         {"llama", ParityModel("llama")},
      {"llama_mixed", ParityModel("llama_mixed")}, {"mixtral", ParityModel("mixtral")},
      {"qwen35", ParityModel("qwen35")},           {"gpt_oss_mxfp4", ParityModel("gpt_oss_mxfp4")},
      {"gemma4_q4_k", ParityModel("gemma4_q4_k")}, {"gemma4_shared", ParityModel("gemma4_shared")},
      {"mimo2_q4_k", ParityModel("mimo2_q4_k")}};
  return models;
}

uint64_t Plan(const ModelHandle& model, const junto_session_desc* desc, junto_tag tag) {
  Error err;
  uint64_t bytes = 0;
  REQUIRE_OK(junto_session_plan(model.get(), desc, tag, &bytes, &err));
  return bytes;
}

// What the runtime reports, which must be what its allocator saw.
uint64_t Current(Host* host, const RuntimeHandle& runtime, junto_tag tag) {
  uint64_t current = 0;
  uint64_t peak = 0;
  REQUIRE(junto_runtime_memory(runtime.get(), tag, &current, &peak) == JUNTO_OK);
  REQUIRE(current == host->current(tag));
  REQUIRE(peak == host->peak(tag));
  return current;
}

TEST_CASE("a session takes what its plan says, to the byte") {
  const junto_session_desc descs[] = {SessionDesc(0, 0), SessionDesc(96, 7, JUNTO_F32),
                                      SessionDesc(1, 1, JUNTO_BF16),
                                      SessionDesc(200, 512, JUNTO_F16)};
  for (const Named& named : Models()) {
    for (const uint32_t workers : {1u, 5u}) {
      Host host;
      host.SetWorkers(workers, Host::Order::kSerial);
      const RuntimeHandle runtime = CreateRuntime(host.desc());
      const ModelHandle model = LoadBytes(runtime.get(), named.bytes);
      for (const junto_session_desc& desc : descs) {
        INFO(named.name << ", context " << desc.context_tokens << ", " << workers << " workers");
        std::array<uint64_t, 9> before = {};
        for (const junto_tag tag : kTagOf) before[tag] = Current(&host, runtime, tag);
        const SessionHandle session = CreateSession(model, desc);
        for (const junto_tag tag : {JUNTO_TAG_OBJECT, JUNTO_TAG_KV, JUNTO_TAG_SCRATCH}) {
          CHECK(Current(&host, runtime, tag) - before[tag] == Plan(model, &desc, tag));
        }
        for (const junto_tag tag : {JUNTO_TAG_WEIGHTS, JUNTO_TAG_TOKENIZER, JUNTO_TAG_LOAD_TEMP,
                                    JUNTO_TAG_THREAD, JUNTO_TAG_EXTERNAL, JUNTO_TAG_MAPPED}) {
          CHECK(Current(&host, runtime, tag) == before[tag]);
        }
      }
    }
  }
}

TEST_CASE("a batch takes what its plan says, to the byte") {
  for (const Named& named : Models()) {
    Host host;
    const RuntimeHandle runtime = CreateRuntime(host.desc());
    const ModelHandle model = LoadBytes(runtime.get(), named.bytes);
    for (const auto& [sessions, rows] :
         std::vector<std::pair<uint32_t, uint32_t>>{{1, 0}, {16, 3}, {5, 200}}) {
      INFO(named.name << ", " << sessions << " sessions, " << rows << " rows");
      Error err;
      std::array<uint64_t, 9> before = {};
      for (const junto_tag tag : kTagOf) before[tag] = host.current(tag);
      junto_batch* created = nullptr;
      REQUIRE_OK(junto_batch_create(model.get(), sessions, rows, &created, &err));
      const BatchHandle batch(created);
      for (const junto_tag tag : kTagOf) {
        uint64_t bytes = 0;
        REQUIRE_OK(junto_batch_plan(model.get(), sessions, rows, tag, &bytes, &err));
        CHECK(host.current(tag) - before[tag] == bytes);
      }
    }
    Error err;
    uint64_t bytes = 0;
    CHECK_FAILS(junto_batch_plan(model.get(), 0, 1, JUNTO_TAG_KV, &bytes, &err), JUNTO_E_INVALID);
    CHECK_FAILS(junto_batch_plan(model.get(), 1, 1, static_cast<junto_tag>(9), &bytes, &err),
                JUNTO_E_INVALID);
  }
}

TEST_CASE("a model takes what its plan says, and the plan needs no weights") {
  for (const Named& named : Models()) {
    INFO(named.name);
    Host host;
    RuntimeHandle runtime = CreateRuntime(host.desc());
    const ModelHandle model = LoadBytes(runtime.get(), named.bytes);
    for (const junto_tag tag : {JUNTO_TAG_WEIGHTS, JUNTO_TAG_TOKENIZER}) {
      CHECK(Current(&host, runtime, tag) == Plan(model, nullptr, tag));
    }
    CHECK(Current(&host, runtime, JUNTO_TAG_LOAD_TEMP) == 0);
    CHECK(host.peak(JUNTO_TAG_LOAD_TEMP) == Plan(model, nullptr, JUNTO_TAG_LOAD_TEMP));
    junto_model_info info;
    junto_model_info_init(&info, sizeof(info));
    REQUIRE(junto_model_get_info(model.get(), &info) == JUNTO_OK);
    CHECK(info.weight_bytes == Plan(model, nullptr, JUNTO_TAG_WEIGHTS));

    Host light;
    const RuntimeHandle planner = CreateRuntime(light.desc());
    const ModelHandle metadata = LoadBytes(planner.get(), named.bytes, JUNTO_MODEL_METADATA_ONLY);
    CHECK(Current(&light, planner, JUNTO_TAG_WEIGHTS) == 0);
    const junto_session_desc desc = SessionDesc(123, 17);
    for (const junto_tag tag : kTagOf) {
      INFO("tag " << tag);
      CHECK(Plan(metadata, &desc, tag) == Plan(model, &desc, tag));
    }
    Error err;
    junto_session* session = nullptr;
    junto_batch* batch = nullptr;
    CHECK_FAILS(junto_session_create(metadata.get(), &desc, &session, &err), JUNTO_E_INVALID);
    CHECK_FAILS(junto_batch_create(metadata.get(), 1, 0, &batch, &err), JUNTO_E_INVALID);
    CHECK(session == nullptr);
    CHECK(batch == nullptr);
  }
}

TEST_CASE("shapes that cannot be are refused") {
  Host host;
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  const ModelHandle model = LoadBytes(runtime.get(), TinyModel::Chat().Bytes());
  Error err;
  junto_session* session = nullptr;
  junto_batch* batch = nullptr;
  uint64_t bytes = 77;
  for (const uint32_t context : {257u, 1u << 30, UINT32_MAX}) {
    const junto_session_desc desc = SessionDesc(context, 1);
    CHECK_FAILS(junto_session_create(model.get(), &desc, &session, &err), JUNTO_E_INVALID);
    CHECK(err.text().find(std::to_string(context)) != std::string::npos);
    CHECK_FAILS(junto_session_plan(model.get(), &desc, JUNTO_TAG_KV, &bytes, &err),
                JUNTO_E_INVALID);
  }
  for (const int tag : {-1, 9, 100, INT32_MAX}) {
    CHECK_FAILS(junto_session_plan(model.get(), nullptr, static_cast<junto_tag>(tag), &bytes, &err),
                JUNTO_E_INVALID);
  }
  CHECK(bytes == 77);
  CHECK_FAILS(junto_batch_create(model.get(), 0, 0, &batch, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_create(model.get(), 1u << 31, 0, &batch, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_create(model.get(), 1, UINT32_MAX, &batch, &err), JUNTO_E_INVALID);
  CHECK(session == nullptr);
  CHECK(batch == nullptr);
  CHECK(junto_runtime_memory(runtime.get(), JUNTO_TAG_INVALID, &bytes, &bytes) == JUNTO_OK);
  CHECK(bytes == host.total_peak());
  for (const int tag : {-2, 9, INT32_MAX}) {
    CHECK(junto_runtime_memory(runtime.get(), static_cast<junto_tag>(tag), &bytes, &bytes) ==
          JUNTO_E_INVALID);
  }
}

// Runtime, model, prompt, session and answer under a limit; the most bytes in use, or 0.
struct Flow {
  uint64_t peak = 0;
  uint64_t before_session = 0;
  junto_status failure = JUNTO_OK;
  Error err;
};
Flow RunUnder(const std::vector<uint8_t>& model_bytes, uint64_t limit) {
  Flow flow;
  Host host;
  host.desc()->memory_limit = limit;
  junto_runtime* runtime = nullptr;
  junto_model* model = nullptr;
  junto_prompt* prompt = nullptr;
  junto_session* session = nullptr;
  junto_batch* batch = nullptr;
  const junto_session_desc desc = SessionDesc(64, 16);
  const junto_token tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  Error* err = &flow.err;
  const auto run = [&]() -> junto_status {
    junto_status status = junto_runtime_create(host.desc(), &runtime, err);
    if (status < 0) return status;
    status = junto_model_load_memory(runtime, model_bytes.data(), model_bytes.size(), nullptr,
                                     &model, err);
    if (status < 0) return status;
    status = junto_prompt_create(model, &prompt, err);
    if (status < 0) return status;
    status = junto_prompt_add_tokens(prompt, tokens, 9, err);
    if (status < 0) return status;
    flow.before_session = host.total();
    status = junto_session_create(model, &desc, &session, err);
    if (status < 0) return status;
    status = junto_session_prefill(session, prompt, err);
    if (status < 0) return status;
    Answer answer;
    status = junto_session_generate(session, Answer::Take, &answer, err);
    if (status < 0) return status;
    return junto_batch_create(model, 2, 24, &batch, err);
  };
  flow.failure = run();
  flow.peak = host.total_peak();
  junto_batch_release(batch);
  junto_session_release(session);
  junto_prompt_release(prompt);
  junto_model_release(model);
  junto_runtime_release(runtime);
  CHECK(host.Faults() == "");
  CHECK(host.total() == 0);
  CHECK((limit == 0 || host.total_peak() <= limit));
  return flow;
}

TEST_CASE("a memory limit is kept to the byte") {
  for (const Named& named : Models()) {
    INFO(named.name);
    const Flow free = RunUnder(named.bytes, 0);
    REQUIRE(free.failure == JUNTO_OK);
    CHECK(RunUnder(named.bytes, free.peak).failure == JUNTO_OK);
    // One byte too few, and many more: whatever it hits, the message says how much was wanted.
    std::vector<uint64_t> limits = {free.peak - 1, 1, 64, 500};
    for (uint64_t i = 1; i < 40; ++i) limits.push_back(free.peak * i / 40);
    for (const uint64_t limit : limits) {
      INFO(limit << " bytes");
      const Flow flow = RunUnder(named.bytes, limit);
      CHECK(flow.failure == JUNTO_E_MEMORY);
      CHECK(flow.err.IsLine());
      CHECK(flow.err.HasNumber());
      CHECK(flow.peak < free.peak);
    }
  }
}

TEST_CASE("a session fits exactly where its plan says it does") {
  const std::vector<uint8_t> bytes = ParityModel("mixtral");
  Host measuring;
  const RuntimeHandle free = CreateRuntime(measuring.desc());
  const ModelHandle planned = LoadBytes(free.get(), bytes);
  const junto_session_desc desc = SessionDesc(300, 30);
  uint64_t plan = 0;
  for (const junto_tag tag : {JUNTO_TAG_OBJECT, JUNTO_TAG_KV, JUNTO_TAG_SCRATCH}) {
    plan += Plan(planned, &desc, tag);
  }
  const uint64_t need = std::max(measuring.total_peak(), measuring.total() + plan);
  REQUIRE(need > measuring.total_peak());
  for (const uint64_t limit : {need, need - 1}) {
    Host host;
    host.desc()->memory_limit = limit;
    const RuntimeHandle runtime = CreateRuntime(host.desc());
    const ModelHandle model = LoadBytes(runtime.get(), bytes);
    Error err;
    junto_session* session = nullptr;
    const junto_status status = junto_session_create(model.get(), &desc, &session, &err);
    INFO(err.text());
    CHECK(status == (limit == need ? JUNTO_OK : JUNTO_E_MEMORY));
    if (limit != need) CHECK(err.HasNumber());
    junto_session_release(session);
    const SessionHandle smaller = CreateSession(model, SessionDesc(200, 20));  // and goes on
    Prefill(smaller, TokenPrompt(model, {1}));
    SetSampling(smaller, 0.0f, 0, 2);
    CHECK(Generate(smaller).tokens.size() == 2);
  }
}

TEST_CASE("handles may be released in any order") {
  const std::vector<uint8_t> bytes = TinyModel::Chat().Bytes();
  std::array<int, 7> order = {0, 1, 2, 3, 4, 5, 6};
  std::mt19937 random(1);
  for (int i = 0; i < 600; ++i) {
    std::shuffle(order.begin(), order.end(), random);
    Host host;
    Error err;
    RuntimeHandle runtime = CreateRuntime(host.desc());
    ModelHandle model = LoadBytes(runtime.get(), bytes, JUNTO_MODEL_NO_MAP);
    PromptHandle prompt = TokenPrompt(model, {1, 2, 3});
    junto_session_desc desc = SessionDesc(32, 8);
    desc.max_forks = 1;
    SessionHandle session = CreateSession(model, desc);
    Prefill(session, prompt);
    junto_batch* created = nullptr;
    REQUIRE_OK(junto_batch_create(model.get(), 2, 8, &created, &err));
    BatchHandle batch(created);
    REQUIRE_OK(junto_batch_add(batch.get(), session.get(), &err));
    CHECK(junto_batch_step(batch.get(), 0, nullptr, nullptr, &err) == JUNTO_YIELDED);
    junto_session* forked = nullptr;
    REQUIRE_OK(junto_session_fork(session.get(), &forked, &err));
    SessionHandle fork(forked);
    junto_model_retain(model.get());
    junto_model* second = model.get();
    for (const int handle : order) {
      REQUIRE(host.total() != 0);
      if (handle == 0) runtime.reset();
      if (handle == 1) model.reset();
      if (handle == 2) prompt.reset();
      if (handle == 3) session.reset();
      if (handle == 4) batch.reset();
      if (handle == 5) junto_model_release(second);
      if (handle == 6) fork.reset();
    }
    REQUIRE(host.total() == 0);
    REQUIRE(host.Faults() == "");
  }
}

#if defined(__linux__)
size_t Entries(const char* folder) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    (void)entry;
    ++count;
  }
  return count;
}

TEST_CASE("no thread and no file is left when the last handle goes") {
  const std::string path = std::string(JUNTO_TEST_DATA) + "/parity/llama.gguf";
  const size_t threads = Entries("/proc/self/task");
  const size_t files = Entries("/proc/self/fd");
  std::array<int, 3> order = {0, 1, 2};
  do {
    junto_runtime_desc desc;
    junto_runtime_desc_init(&desc, sizeof(desc));
    desc.max_threads = 3;
    RuntimeHandle runtime = CreateRuntime(&desc);
    Error err;
    junto_model* loaded = nullptr;
    REQUIRE_OK(junto_model_load(runtime.get(), path.data(), path.size(), nullptr, &loaded, &err));
    ModelHandle model(loaded);
    SessionHandle session = CreateSession(model, SessionDesc(32, 8));
    Prefill(session, TokenPrompt(model, {1, 2, 3}));
    SetSampling(session, 0.0f, 0, 3);
    CHECK(Generate(session).tokens.size() == 3);
    CHECK(Entries("/proc/self/task") == threads + 2);
    for (const int handle : order) {
      if (handle == 0) runtime.reset();
      if (handle == 1) model.reset();
      if (handle == 2) session.reset();
    }
    CHECK(Entries("/proc/self/task") == threads);
    CHECK(Entries("/proc/self/fd") == files);
  } while (std::next_permutation(order.begin(), order.end()));
}
#endif

TEST_CASE("a batch goes on when its session was released") {
  Host host;
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  const ModelHandle model = LoadBytes(runtime.get(), TinyModel::Chat().Bytes());
  Error err;
  junto_batch* created = nullptr;
  REQUIRE_OK(junto_batch_create(model.get(), 2, 8, &created, &err));
  const BatchHandle batch(created);
  Answer answer;
  {
    const SessionHandle session = CreateSession(model, SessionDesc(32, 8));
    Prefill(session, TokenPrompt(model, {1, 2, 3}));
    SetSampling(session, 1.0f, 1, 5);
    REQUIRE_OK(junto_batch_add(batch.get(), session.get(), &err));
  }
  CHECK(junto_batch_step(batch.get(), UINT64_MAX, Answer::Take, &answer, &err) == JUNTO_DONE);
  CHECK(answer.tokens.size() == 5);
}

TEST_CASE("releasing nothing is legal") {
  junto_runtime_release(nullptr);
  junto_model_release(nullptr);
  junto_prompt_release(nullptr);
  junto_session_release(nullptr);
  junto_batch_release(nullptr);
  junto_session_cancel(nullptr);
}

TEST_CASE("Junto's own threads are counted and joined") {
  Host host;
  host.desc()->executor = nullptr;
  host.desc()->max_threads = 3;
  {
    const RuntimeHandle runtime = CreateRuntime(host.desc());
    CHECK(Current(&host, runtime, JUNTO_TAG_THREAD) > 0);
    const ModelHandle model = LoadBytes(runtime.get(), TinyModel::Chat().Bytes());
    const SessionHandle session = CreateSession(model, SessionDesc(32, 8));
    Prefill(session, TokenPrompt(model, {1, 2, 3}));
    SetSampling(session, 0.0f, 0, 3);
    CHECK(Generate(session).tokens.size() == 3);
  }
  CHECK(host.Faults() == "");
}

}  // namespace
}  // namespace junto
