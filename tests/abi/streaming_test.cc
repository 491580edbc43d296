// Experts that are read from a file as they are needed: the bits of a model that is in memory,
// whatever the budget, the order, the threads and the interruptions; nothing taken that was not
// planned; and reads that fail, which cost no more than the token.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/sanitized.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests
using Bytes = std::vector<uint8_t>;

struct Named {
  std::string name;
  Bytes packed;
};

Bytes PackedBytes(const Bytes& gguf) {
  Host host;
  host.AddFile("model.gguf", gguf);
  const RuntimeHandle runtime = CreateRuntime(host.desc());
  Error err;
  REQUIRE_OK(junto_model_pack(runtime.get(), "model.gguf", 10, "model.junto", 11, nullptr, &err));
  return host.Bytes("model.junto");
}

// One of each kind: experts alone, biased, beside a dense network, shared, behind a dense layer.
const std::vector<Named>& Models() {
  static const std::vector<Named> models = [] {
    std::vector<Named> all;
    for (const char* name :
         {"mixtral", "gpt_oss", "gpt_oss_mxfp4", "gemma4_q4_k", "gemma4", "qwen35moe",
          "qwen35moe_legacy", "qwen3next", "mimo2", "mimo2_q4_k", "mimo2_fused"}) {
      all.push_back({name, PackedBytes(ParityModel(name))});
    }
    return all;
  }();
  return models;
}
const Bytes& PackedOf(const std::string& name) {
  for (const Named& named : Models()) {
    if (named.name == name) return named.packed;
  }
  FAIL("no model " << name);
  return Models()[0].packed;
}

junto_status Load(junto_runtime* runtime, uint64_t budget, uint32_t flags, ModelHandle* model,
                  Error* err) {
  junto_model_desc desc;
  junto_model_desc_init(&desc, sizeof(desc));
  desc.flags = flags;
  desc.expert_budget = budget;
  junto_model* loaded = nullptr;
  const junto_status status = junto_model_load(runtime, "model.junto", 11, &desc, &loaded, err);
  model->reset(loaded);
  return status;
}
ModelHandle LoadWith(const RuntimeHandle& runtime, uint64_t budget, uint32_t flags = 0) {
  ModelHandle model;
  Error err;
  REQUIRE_OK(Load(runtime.get(), budget, flags, &model, &err));
  return model;
}

uint64_t ExpertBytes(const RuntimeHandle& runtime) {
  const ModelHandle model = LoadWith(runtime, 0, JUNTO_MODEL_METADATA_ONLY);
  junto_model_info info;
  junto_model_info_init(&info, sizeof(info));
  REQUIRE(junto_model_get_info(model.get(), &info) == JUNTO_OK);
  REQUIRE(info.expert_bytes != 0);
  return info.expert_bytes;
}
// The least budget that is not refused, as the refusal names it.
uint64_t LeastBudget(const RuntimeHandle& runtime) {
  ModelHandle model;
  Error err;
  CHECK_FAILS(Load(runtime.get(), 1, JUNTO_MODEL_METADATA_ONLY, &model, &err), JUNTO_E_INVALID);
  const std::string text = err.text();
  const size_t at = text.find("at least ");
  REQUIRE(at != std::string::npos);
  return std::stoull(text.substr(at + 9));
}
std::vector<uint64_t> Budgets(const RuntimeHandle& runtime) {
  const uint64_t all = ExpertBytes(runtime);
  const uint64_t least = LeastBudget(runtime);
  return {least, std::max(least, all / 4), std::max(least, all / 2), all};
}

std::vector<junto_token> SomeTokens(size_t count) {
  std::vector<junto_token> tokens;
  for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<junto_token>(i * 7 % 31 + 1));
  return tokens;
}

junto_status JUNTO_CALL TakeLogits(void* user, uint64_t, const float* logits, size_t vocab) {
  auto* bytes = static_cast<Bytes*>(user);
  const auto* from = reinterpret_cast<const uint8_t*>(logits);
  bytes->insert(bytes->end(), from, from + vocab * sizeof(float));
  return JUNTO_OK;
}
Bytes LogitBits(const ModelHandle& model, uint32_t chunk) {
  Error err;
  Bytes bits;
  const SessionHandle session = CreateSession(model, SessionDesc(48, chunk));
  const PromptHandle prompt = TokenPrompt(model, SomeTokens(40));
  REQUIRE_OK(junto_session_prefill(session.get(), prompt.get(), &err));
  REQUIRE_OK(junto_session_evaluate(session.get(), TakeLogits, &bits, &err));
  return bits;
}

SessionHandle Begin(const ModelHandle& model, size_t prompt_tokens, uint32_t new_tokens = 12) {
  SessionHandle session = CreateSession(model, SessionDesc(64, 16));
  SetSampling(session, 0.0f, 0, new_tokens);
  Prefill(session, TokenPrompt(model, SomeTokens(prompt_tokens)));
  return session;
}

// A host with a packed model.
struct Fixture {
  explicit Fixture(const Bytes& packed, uint32_t workers = 1,
                   Host::Order order = Host::Order::kSerial) {
    host.AddFile("model.junto", packed);
    if (workers == kOwnThreads) {
      host.desc()->executor = nullptr;
      host.desc()->max_threads = 2;
    } else {
      host.SetWorkers(workers, order);
    }
    runtime = CreateRuntime(host.desc());
  }
  // With threads of the library's own.
  static constexpr uint32_t kOwnThreads = 0;
  Host host;
  RuntimeHandle runtime;
};

TEST_CASE("experts from a file give the bits of experts in memory") {
  for (const Named& named : Models()) {
    Bytes expected;
    for (const auto& [workers, order] :
         {std::pair{1u, Host::Order::kSerial}, std::pair{2u, Host::Order::kShuffled},
          std::pair{3u, Host::Order::kThreads}}) {
      Fixture fixture(named.packed, workers, order);
      if (expected.empty()) expected = LogitBits(LoadWith(fixture.runtime, 0), 16);
      for (const uint64_t budget : Budgets(fixture.runtime)) {
        const ModelHandle model = LoadWith(fixture.runtime, budget);
        for (const uint32_t chunk : {1u, 7u, 40u}) {
          if (chunk != 7 && workers != 1) continue;
          INFO(named.name << ", budget " << budget << ", " << workers << " workers, chunk "
                          << chunk);
          REQUIRE(LogitBits(model, chunk) == expected);
        }
      }
      fixture.runtime.reset();
      REQUIRE(fixture.host.Faults() == "");
    }
  }
}

TEST_CASE("experts from a file give the same text alone, sliced in time and in a batch") {
  for (const Named& named : Models()) {
    INFO(named.name);
    Fixture fixture(named.packed, Fixture::kOwnThreads);
    const size_t prompts[] = {5, 23, 1, 40};
    std::vector<Answer> expected;
    {
      const ModelHandle model = LoadWith(fixture.runtime, 0);
      for (const size_t prompt : prompts) expected.push_back(Generate(Begin(model, prompt)));
    }
    for (const uint64_t budget : Budgets(fixture.runtime)) {
      INFO("budget " << budget);
      const ModelHandle model = LoadWith(fixture.runtime, budget);
      Error err;
      for (size_t i = 0; i < 4; ++i) {
        REQUIRE(Generate(Begin(model, prompts[i])) == expected[i]);
        const SessionHandle sliced = Begin(model, prompts[i]);
        Answer answer;
        junto_status status = JUNTO_YIELDED;
        uint64_t budget_ns = 0;
        while (status == JUNTO_YIELDED) {
          budget_ns = (budget_ns + 7) % 40;
          status = junto_session_step(sliced.get(), budget_ns, Answer::Take, &answer, &err);
        }
        REQUIRE(status == JUNTO_DONE);
        REQUIRE(answer == expected[i]);
      }

      struct Answers {
        std::vector<SessionHandle> sessions;
        std::vector<Answer> answers;
        static junto_status JUNTO_CALL Take(void* user, const junto_chunk* chunk) {
          auto* self = static_cast<Answers*>(user);
          for (size_t i = 0; i < self->sessions.size(); ++i) {
            if (self->sessions[i].get() == chunk->session) Answer::Take(&self->answers[i], chunk);
          }
          return JUNTO_OK;
        }
      } together;
      junto_batch* created = nullptr;
      REQUIRE_OK(junto_batch_create(model.get(), 4, 20, &created, &err));
      const BatchHandle batch(created);
      for (const size_t prompt : prompts) {
        together.sessions.push_back(Begin(model, prompt));
        together.answers.emplace_back();
        REQUIRE_OK(junto_batch_add(batch.get(), together.sessions.back().get(), &err));
      }
      junto_status status = JUNTO_YIELDED;
      while (status == JUNTO_YIELDED) {
        status = junto_batch_step(batch.get(), 100, Answers::Take, &together, &err);
      }
      REQUIRE(status == JUNTO_DONE);
      for (size_t i = 0; i < 4; ++i) REQUIRE(together.answers[i] == expected[i]);
    }
    fixture.runtime.reset();
    REQUIRE(fixture.host.Faults() == "");
  }
}

TEST_CASE("sessions on threads of their own share what is read") {
  for (const char* name : {"mixtral", "gemma4_q4_k", "mimo2_q4_k"}) {
    INFO(name);
    Fixture fixture(PackedOf(name), Fixture::kOwnThreads);
    const ModelHandle resident = LoadWith(fixture.runtime, 0);
    const Answer expected = Generate(Begin(resident, 30));
    for (const uint64_t budget : Budgets(fixture.runtime)) {
      INFO("budget " << budget);
      const ModelHandle model = LoadWith(fixture.runtime, budget);
      std::vector<SessionHandle> sessions;
      std::vector<Answer> answers(4);
      for (size_t t = 0; t < 4; ++t) sessions.push_back(Begin(model, 30));
      std::vector<std::thread> threads;
      for (size_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
          const uint64_t slice = t == 0 ? 0 : t == 1 ? 60 : UINT64_MAX;
          junto_status status = JUNTO_YIELDED;
          while (status == JUNTO_YIELDED) {
            status =
                junto_session_step(sessions[t].get(), slice, Answer::Take, &answers[t], nullptr);
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      for (const Answer& answer : answers) REQUIRE(answer == expected);
    }
  }
}

TEST_CASE("an expert budget is planned to the byte, and is a limit") {
  for (const Named& named : Models()) {
    INFO(named.name);
    Fixture fixture(named.packed);
    const uint64_t least = LeastBudget(fixture.runtime);
    const uint64_t all = ExpertBytes(fixture.runtime);
    ModelHandle refused;
    Error err;
    CHECK_FAILS(Load(fixture.runtime.get(), least - 1, 0, &refused, &err), JUNTO_E_INVALID);
    uint64_t before = 0;
    for (const uint64_t budget : {least, least + 5000, all, all * 2}) {
      const auto plan = [&](const ModelHandle& model, junto_tag tag) {
        uint64_t bytes = 0;
        REQUIRE_OK(junto_session_plan(model.get(), nullptr, tag, &bytes, &err));
        return bytes;
      };
      const ModelHandle planned = LoadWith(fixture.runtime, budget, JUNTO_MODEL_METADATA_ONLY);
      CHECK(fixture.host.current(JUNTO_TAG_WEIGHTS) == 0);
      const ModelHandle model = LoadWith(fixture.runtime, budget);
      const uint64_t weights = fixture.host.current(JUNTO_TAG_WEIGHTS);
      CHECK(weights == plan(model, JUNTO_TAG_WEIGHTS));
      CHECK(weights == plan(planned, JUNTO_TAG_WEIGHTS));
      CHECK(plan(model, JUNTO_TAG_MAPPED) == 0);
      CHECK(plan(planned, JUNTO_TAG_SCRATCH) == plan(model, JUNTO_TAG_SCRATCH));
      CHECK(weights >= before);
      before = weights;
      const uint64_t total = fixture.host.total();
      {
        const SessionHandle session = Begin(model, 30);
        const uint64_t created = fixture.host.total();
        CHECK(created > total);
        Generate(session);
        CHECK(fixture.host.total() <= created);
        CHECK(fixture.host.peak(JUNTO_TAG_WEIGHTS) == weights);
      }
    }
    // Without a budget there is only what the file has, and a budget of all takes no more than that
    // and what evens out the experts' sizes.
    const ModelHandle resident = LoadWith(fixture.runtime, 0);
    CHECK(fixture.host.current(JUNTO_TAG_WEIGHTS) <= before + all);
  }
}

TEST_CASE("only a packed file that stays open can stream") {
  Fixture fixture(PackedOf("mixtral"));
  fixture.host.AddFile("model.gguf", ParityModel("mixtral"));
  junto_model_desc desc;
  junto_model_desc_init(&desc, sizeof(desc));
  desc.expert_budget = 1 << 30;
  junto_model* model = nullptr;
  Error err;
  CHECK_FAILS(junto_model_load(fixture.runtime.get(), "model.gguf", 10, &desc, &model, &err),
              JUNTO_E_INVALID);
  const Bytes& packed = PackedOf("mixtral");
  CHECK_FAILS(junto_model_load_memory(fixture.runtime.get(), packed.data(), packed.size(), &desc,
                                      &model, &err),
              JUNTO_E_INVALID);
  CHECK_FAILS(
      junto_model_pack(fixture.runtime.get(), "model.gguf", 10, "new.junto", 9, &desc, &err),
      JUNTO_E_UNSUPPORTED);
  fixture.host.AddFile("model.gguf", ParityModel("llama"));  // which has no experts
  REQUIRE_OK(junto_model_load(fixture.runtime.get(), "model.gguf", 10, &desc, &model, &err));
  junto_model_release(model);
}

TEST_CASE("what is read is counted") {
  Fixture fixture(PackedOf("mimo2_q4_k"));
  const uint64_t all = ExpertBytes(fixture.runtime);
  const ModelHandle resident = LoadWith(fixture.runtime, 0);
  SessionHandle session = Begin(resident, 20);
  Generate(session);
  CHECK(UsageOf(session).expert_hits + UsageOf(session).expert_misses == 0);

  const ModelHandle model = LoadWith(fixture.runtime, all);
  session = Begin(model, 20);
  Generate(session);
  const junto_usage first = UsageOf(session);
  CHECK(first.expert_misses > 0);
  CHECK(first.expert_hits > 0);
  CHECK(first.expert_read_bytes > 0);
  CHECK(first.expert_read_bytes <= all);  // nothing twice
  CHECK(first.expert_foreseen > 0);
  CHECK(first.expert_foreseen <= first.expert_hits + first.expert_misses);
  session = Begin(model, 20);  // by now everything that it wants is there
  Generate(session);
  const junto_usage second = UsageOf(session);
  CHECK(second.expert_misses == 0);
  CHECK(second.expert_stall_ns == 0);
  CHECK(second.expert_hits + second.expert_misses == first.expert_hits + first.expert_misses);
}

TEST_CASE("a read that fails costs the pass, not the session") {
  for (const char* name : {"mixtral", "gemma4_q4_k", "mimo2"}) {
    Fixture fixture(PackedOf(name));
    const Answer expected = Generate(Begin(LoadWith(fixture.runtime, 0), 20));
    const uint64_t least = LeastBudget(fixture.runtime);
    uint64_t failures = 0;
    const uint64_t stride = JUNTO_TEST_SANITIZED ? 7 : 1;
    bool reached = true;
    for (uint64_t n = 0; reached; n += stride) {
      INFO(name << ", read " << n);
      const ModelHandle model = LoadWith(fixture.runtime, least);
      const SessionHandle session = Begin(model, 20);
      fixture.host.reads.FailAt(n);
      Answer answer;
      Error err;
      junto_status status = junto_session_generate(session.get(), Answer::Take, &answer, &err);
      reached = fixture.host.reads.reached();
      if (status != JUNTO_DONE) {
        REQUIRE(status == JUNTO_E_IO);
        REQUIRE(err.IsLine());
        REQUIRE(UsageOf(session).position + 1 >= answer.tokens.size());
        ++failures;
        status = junto_session_generate(session.get(), Answer::Take, &answer, &err);
      }
      REQUIRE(status == JUNTO_DONE);
      REQUIRE(answer == expected);  // a read ahead that failed went unnoticed, and was repeated
      fixture.host.reads.Never();
    }
    CHECK(failures > 3);
    fixture.runtime.reset();
    REQUIRE(fixture.host.Faults() == "");
  }
}

TEST_CASE("a batch outlives a read that fails") {
  Fixture fixture(PackedOf("gpt_oss"));
  const Answer expected = Generate(Begin(LoadWith(fixture.runtime, 0), 20));
  const ModelHandle model = LoadWith(fixture.runtime, LeastBudget(fixture.runtime));
  const SessionHandle session = Begin(model, 20);
  Error err;
  junto_batch* created = nullptr;
  REQUIRE_OK(junto_batch_create(model.get(), 2, 30, &created, &err));
  const BatchHandle batch(created);
  REQUIRE_OK(junto_batch_add(batch.get(), session.get(), &err));
  Answer answer;
  uint64_t failures = 0;
  fixture.host.reads.FailAt(5);
  junto_status status = JUNTO_YIELDED;
  while (status != JUNTO_DONE) {
    status = junto_batch_step(batch.get(), UINT64_MAX, Answer::Take, &answer, &err);
    if (status >= 0) continue;
    REQUIRE(status == JUNTO_E_IO);
    REQUIRE(++failures <= 1);
  }
  CHECK(answer == expected);
}

TEST_CASE("waiting for slow reads ends with the budget, and goes on meanwhile") {
  Fixture fixture(PackedOf("mixtral"));
  const Answer expected = Generate(Begin(LoadWith(fixture.runtime, 0), 3, 3));
  const ModelHandle model = LoadWith(fixture.runtime, LeastBudget(fixture.runtime));
  fixture.host.read_delay_us = 3000;
  const SessionHandle session = Begin(model, 3, 3);
  Answer answer;
  Error err;
  uint64_t yields = 0;
  junto_status status = JUNTO_YIELDED;
  while (status == JUNTO_YIELDED) {
    status = junto_session_step(session.get(), 0, Answer::Take, &answer, &err);
    ++yields;
  }
  REQUIRE(status == JUNTO_DONE);
  CHECK(answer == expected);
  const SessionHandle patient = Begin(model, 3, 3);
  CHECK(Generate(patient) == expected);
  CHECK(UsageOf(patient).expert_stall_ns > 0);
}

TEST_CASE("a pass that waits can be cancelled") {
  Fixture fixture(PackedOf("mixtral"));
  const ModelHandle model = LoadWith(fixture.runtime, LeastBudget(fixture.runtime));
  const Answer expected = Generate(Begin(model, 20));
  fixture.host.read_delay_us = 20000;
  const SessionHandle session = Begin(model, 20);
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    junto_session_cancel(session.get());
  });
  Answer answer;
  Error err;
  const junto_status status = junto_session_generate(session.get(), Answer::Take, &answer, &err);
  canceller.join();
  CHECK(status == JUNTO_CANCELLED);
  fixture.host.read_delay_us = 0;
  Prefill(session, TokenPrompt(model, SomeTokens(20)));
  CHECK(Generate(session) == expected);
}

TEST_CASE("a session that is left in the middle keeps no other waiting") {
  Fixture fixture(PackedOf("gpt_oss"));
  const Answer expected = Generate(Begin(LoadWith(fixture.runtime, 0), 20));
  const ModelHandle model = LoadWith(fixture.runtime, LeastBudget(fixture.runtime));
  std::vector<SessionHandle> left;
  for (int i = 0; i < 60; ++i) {
    left.push_back(Begin(model, 20));
    for (int k = 0; k < i; ++k) {
      const junto_status status =
          junto_session_step(left.back().get(), 0, nullptr, nullptr, nullptr);
      REQUIRE(status == JUNTO_YIELDED);
    }
    if (i % 10 == 0) REQUIRE(Generate(Begin(model, 20)) == expected);
  }
}

TEST_CASE("a model with threads that read may be released in any order, at any time") {
  for (const int order : {0, 1, 2, 3}) {
    Fixture fixture(PackedOf("mixtral"), order % 2 == 0 ? Fixture::kOwnThreads : 1);
    ModelHandle model = LoadWith(fixture.runtime, LeastBudget(fixture.runtime));
    fixture.host.read_delay_us = 2000;
    SessionHandle session = Begin(model, 20);
    for (int i = 0; i < 4 * order; ++i) {
      junto_session_step(session.get(), 0, nullptr, nullptr, nullptr);
    }
    if (order < 2) session.reset();
    model.reset();  // while reads go on
    if (order == 3) fixture.runtime.reset();
    session.reset();
    fixture.runtime.reset();
    CHECK(fixture.host.Faults() == "");
  }
}

TEST_CASE("a file that changes underneath is noticed") {
  for (const char* name : {"mixtral", "mimo2_q4_k"}) {
    Fixture fixture(PackedOf(name));
    const Answer expected = Generate(Begin(LoadWith(fixture.runtime, 0), 20));
    const ModelHandle model = LoadWith(fixture.runtime, LeastBudget(fixture.runtime));
    const size_t size = fixture.host.Bytes("model.junto").size();
    uint64_t noticed = 0;
    for (size_t at = size / 20; at < size; at += size / 20) {  // the experts are most of it
      fixture.host.Damage("model.junto", at, 4);
      Error err;
      Answer answer;
      const SessionHandle session = Begin(model, 20);
      const junto_status status =
          junto_session_generate(session.get(), Answer::Take, &answer, &err);
      INFO(name << ", byte " << at << ": " << err.text());
      fixture.host.Damage("model.junto", at, 4);
      if (status == JUNTO_DONE) {
        REQUIRE(answer == expected);  // not of an expert that was wanted
        continue;
      }
      REQUIRE(status == JUNTO_E_FORMAT);
      REQUIRE(err.text().find("is not what was packed") != std::string::npos);
      ++noticed;
      REQUIRE(junto_session_generate(session.get(), Answer::Take, &answer, &err) == JUNTO_DONE);
      REQUIRE(answer == expected);
    }
    CHECK(noticed > 5);
  }
}

TEST_CASE("damaged hashes of experts are noticed when loading") {
  Bytes packed = PackedOf("mixtral");
  uint64_t directory_bytes = 0;
  std::memcpy(&directory_bytes, &packed[40], 8);
  packed[(128 + directory_bytes + 7) / 8 * 8 + 9] ^= 1;
  Fixture fixture(packed);
  ModelHandle model;
  Error err;
  CHECK_FAILS(Load(fixture.runtime.get(), 1 << 30, 0, &model, &err), JUNTO_E_FORMAT);
}

TEST_CASE("every allocation of a model that streams may fail") {
  const Bytes& packed = PackedOf("mixtral");
  uint64_t least = 0;
  {
    Fixture fixture(packed);
    least = LeastBudget(fixture.runtime);
  }
  bool reached = true;
  for (uint64_t n = 0; reached; n += JUNTO_TEST_SANITIZED ? 7 : 1) {
    Fixture fixture(packed);
    fixture.host.allocations.FailAt(n);
    ModelHandle model;
    Error err;
    junto_status status = Load(fixture.runtime.get(), least, 0, &model, &err);
    reached = fixture.host.allocations.reached();
    INFO("allocation " << n << ": " << err.text());
    REQUIRE(status == (reached ? JUNTO_E_MEMORY : JUNTO_OK));
    fixture.host.allocations.Never();
    if (reached) REQUIRE_OK(Load(fixture.runtime.get(), least, 0, &model, &err));
    model.reset();
    fixture.runtime.reset();
    REQUIRE(fixture.host.Faults() == "");
  }
}

}  // namespace
}  // namespace junto
