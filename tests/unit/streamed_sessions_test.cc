// Sessions whose experts are read by who waits for them, so that nothing here depends on time: all
// of them get on with slices that end before every read; experts are found as often as a cache that
// forgets what was used least recently would find them; and whatever becomes of a pass, what it
// read is counted.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/faults.h"
#include "tests/support/runtime.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using test::Host;
using test::RequireOk;
using test::TinyModel;
using Tokens = std::vector<int32_t>;

class BytesInTheMaking final : public NewFile {
 public:
  Status WriteAt(uint64_t offset, const void* src, size_t size) override {
    if (bytes.size() < offset + size) bytes.resize(offset + size);
    std::memcpy(&bytes[offset], src, size);
    return Status();
  }
  Status Commit() override { return Status(); }
  std::vector<uint8_t> bytes;
};

// It advances with every look.
class TickingClock final : public Clock {
 public:
  uint64_t Nanoseconds() override { return ++now_; }

 private:
  uint64_t now_ = 0;
};

// A packed model and a machine without threads that read.
struct Machine {
  explicit Machine(const TinyModel& tiny, const KernelTable* kernels = nullptr) : host(1, kernels) {
    const std::vector<uint8_t> gguf = tiny.Bytes();
    ModelFile file;
    RequireOk(Gguf::OpenFile(
        New<MemoryFile, File>(&host.memory, Tag::kObject, gguf.data(), uint64_t{gguf.size()}),
        &host.memory, &file.gguf));
    LoadOptions options;
    options.metadata_only = true;
    Owned<Model> model;
    RequireOk(Model::Load(std::move(file), host.services, options, &model));
    BytesInTheMaking packed;
    RequireOk(model->Pack({}, &packed));
    experts = model->expert_bytes();
    files.Add("model.junto", packed.bytes);
  }

  Status Load(uint64_t budget, Owned<Model>* model) {
    ModelFile file;
    JUNTO_TRY(OpenModel(&files, "model.junto", &host.memory, &file));
    LoadOptions options;
    options.expert_budget = budget;
    return Model::Load(std::move(file), host.services, options, model);
  }
  Owned<Model> Load(uint64_t budget) {
    Owned<Model> model;
    RequireOk(Load(budget, &model));
    return model;
  }
  // The least budget there is, as its refusal names it.
  uint64_t Least() {
    Owned<Model> model;
    const std::string text = Load(1, &model).message();
    const size_t at = text.find("at least ");
    REQUIRE(at != std::string::npos);
    return std::stoull(text.substr(at + 9));
  }

  Owned<Session> Begin(const Model& model, uint32_t prompt, uint32_t new_tokens,
                       float temperature = 0.0f, uint64_t seed = 1) {
    Owned<Session> session;
    RequireOk(Session::Create(model, &clock, test::SpecOf(256, 16, KvType::kF32), &session));
    session->generation().sampling.temperature = temperature;
    session->generation().sampling.seed = seed;
    session->generation().max_new_tokens = new_tokens;
    Tokens tokens;
    for (uint32_t i = 0; i < prompt; ++i) {
      tokens.push_back(static_cast<int32_t>((i * 7 + prompt + seed) % 48));
    }
    Prompt made(&model);
    RequireOk(made.AddTokens({tokens.data(), tokens.size()}));
    RequireOk(session->Prefill(made));
    return session;
  }

  Host host;
  test::FaultyFileSystem files;
  TickingClock clock;
  uint64_t experts = 0;  // bytes of all
};

class Taken final : public ChunkSink {
 public:
  Status Take(const OutputPiece&, Span<const int32_t> more) override {
    tokens.insert(tokens.end(), more.begin(), more.end());
    return Status();
  }
  Tokens tokens;
};

Tokens RunToEnd(Session* session) {
  Taken taken;
  const Status status = session->Step(kNoBudget, &taken);
  INFO(status.message());
  REQUIRE(status.code() == Code::kDone);
  return taken.tokens;
}

std::vector<std::pair<std::string, TinyModel>> Models() {
  return {{"mixtral", TinyModel::Mixtral()},
          {"gpt-oss", TinyModel::GptOss()},
          {"gemma 4", TinyModel::Gemma4()},
          {"qwen", TinyModel::Qwen()},
          {"mimo", TinyModel::Mimo()}};
}

// ---- turns

// Steps sessions in turn, `budget_ns` at a time, until all are done. How many steps were taken.
uint64_t TakeTurns(const std::vector<Owned<Session>>& sessions, uint64_t budget_ns, uint64_t most,
                   std::vector<Taken>* taken) {
  uint64_t steps = 0;
  std::vector<bool> done(sessions.size());
  while (std::count(done.begin(), done.end(), true) != static_cast<ptrdiff_t>(sessions.size())) {
    for (size_t i = 0; i < sessions.size(); ++i) {
      if (done[i]) continue;
      const Status status = sessions[i]->Step(budget_ns, &(*taken)[i]);
      REQUIRE((status.code() == Code::kYielded || status.code() == Code::kDone));
      done[i] = status.code() == Code::kDone;
      REQUIRE(++steps < most);
      // Nobody runs away from the others.
      if (!done[i]) continue;
      for (const Taken& other : *taken) CHECK(other.tokens.size() >= 3);
    }
  }
  return steps;
}

TEST_CASE("sessions that take turns in short slices all get on with the least budget") {
  constexpr uint32_t kNew = 10;
  for (const auto& [name, tiny] : Models()) {
    Machine machine(tiny);
    const Owned<Model> resident = machine.Load(0);
    const Owned<Model> model = machine.Load(machine.Least());
    for (const size_t count : {2u, 3u, 7u}) {
      for (const uint64_t budget_ns : {0u, 1u, 5u, 20u, 100u}) {
        INFO(name << ", " << count << " sessions, slices of " << budget_ns);
        std::vector<Tokens> expected;
        std::vector<Owned<Session>> alone, sessions;
        for (uint32_t i = 0; i < count; ++i) {
          alone.push_back(machine.Begin(*resident, 3, kNew, 0.0f, i));
          sessions.push_back(machine.Begin(*model, 3, kNew, 0.0f, i));
        }
        std::vector<Taken> in_memory(count), streamed(count);
        const uint64_t steps = TakeTurns(alone, budget_ns, test::kNever, &in_memory);
        TakeTurns(sessions, budget_ns, 4 * count * steps, &streamed);
        for (size_t i = 0; i < count; ++i) CHECK(streamed[i].tokens == in_memory[i].tokens);
      }
    }
  }
}

TEST_CASE("a session that is left, ended or cancelled in the middle gives its turn to others") {
  Machine machine(TinyModel::GptOss());
  const Owned<Model> model = machine.Load(machine.Least());
  const Tokens expected = RunToEnd(machine.Begin(*model, 3, 10).get());
  for (int what = 0; what < 4; ++what) {
    for (int steps = 1; steps < 60; steps += 7) {
      INFO(what << " after " << steps);
      Owned<Session> other = machine.Begin(*model, 5, 10, 0.0f, 3);
      for (int i = 0; i < steps; ++i) CHECK(other->Step(0, nullptr).code() == Code::kYielded);
      if (what == 1) other.reset();
      if (what == 2) other->Cancel();
      if (what == 2) CHECK(other->Step(0, nullptr).code() == Code::kCancelled);
      if (what == 3) RequireOk(other->Rewind(0));
      std::vector<Owned<Session>> sessions;
      sessions.push_back(machine.Begin(*model, 3, 10));
      std::vector<Taken> taken(1);
      TakeTurns(sessions, 5, 3000, &taken);
      CHECK(taken[0].tokens == expected);
    }
  }
}

// ---- hits

// What the router chose, call by call, while a session ran alone and token by token.
std::vector<std::vector<uint32_t>>* recorded = nullptr;
const KernelTable* watched = nullptr;
void RecordedRoute(const RouterSpec& spec, float* logits, const float* bias, uint32_t* ids,
                   float* weights) {
  watched->route(spec, logits, bias, ids, weights);
  if (recorded != nullptr) recorded->push_back({ids, ids + spec.experts_used});
}

constexpr uint32_t kExperts = 32;
constexpr uint32_t kUsed = 4;
constexpr uint32_t kLayers = 2;

// The router of each layer likes expert e the less the greater e is; the layers disagree in order.
TinyModel Skewed(float skew) {
  TinyModel tiny = TinyModel::GptOss(48, kExperts);
  tiny.Set("gpt-oss.expert_used_count", kUsed);
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    float* const bias =
        tiny.Find("blk." + std::to_string(layer) + ".ffn_gate_inp.bias")->as<float>();
    for (uint32_t e = 0; e < kExperts; ++e) {
      bias[layer == 0 ? e : kExperts - 1 - e] = -skew * std::log(static_cast<float>(e) + 1.0f);
    }
  }
  return tiny;
}

// The share of hits of a cache of `slots` experts, of which each call asks for all of its own at
// once.
double Simulate(const std::vector<std::vector<uint32_t>>& calls, size_t slots) {
  std::list<uint32_t> recent;  // the least recent first
  uint64_t hits = 0;
  uint64_t requests = 0;
  for (size_t call = 0; call < calls.size(); ++call) {
    std::vector<uint32_t> known, others;
    for (const uint32_t e : std::set<uint32_t>(calls[call].begin(), calls[call].end())) {
      const auto key = static_cast<uint32_t>(call % kLayers * kExperts + e);
      const bool here = std::find(recent.begin(), recent.end(), key) != recent.end();
      (here ? known : others).push_back(key);
    }
    hits += known.size();
    requests += known.size() + others.size();
    for (const uint32_t key : known) recent.remove(key);
    for (const uint32_t key : known) recent.push_back(key);
    for (const uint32_t key : others) {
      if (recent.size() == slots) recent.pop_front();
      recent.push_back(key);
    }
  }
  return static_cast<double>(hits) / static_cast<double>(requests);
}

// What theory expects of it (Che's approximation), from how often each expert was asked for alone:
// an expert is there if a token asked for it within the last t, and `slots` are expected there.
double Expected(const std::vector<std::vector<uint32_t>>& calls, double slots) {
  std::map<uint32_t, double> shares;  // of tokens
  const double tokens = static_cast<double>(calls.size()) / kLayers;
  for (size_t call = 0; call < calls.size(); ++call) {
    for (const uint32_t e : calls[call]) {
      shares[static_cast<uint32_t>(call % kLayers * kExperts + e)] += 1.0 / tokens;
    }
  }
  if (static_cast<double>(shares.size()) <= slots) return 1.0;
  double low = 0.0;
  double high = 1e6;
  for (int i = 0; i < 200; ++i) {
    const double t = (low + high) / 2;
    double held = 0.0;
    for (const auto& [key, share] : shares) held += 1.0 - std::pow(1.0 - std::min(share, 1.0), t);
    (held < slots ? low : high) = t;
  }
  double hits = 0.0;
  double sum = 0.0;
  for (const auto& [key, share] : shares) {
    hits += share * (1.0 - std::pow(1.0 - std::min(share, 1.0), low));
    sum += share;
  }
  return hits / sum;
}

TEST_CASE("whatever experts a router favours, they hit as an LRU cache's would and theory says") {
  watched = SupportedKernels()[0];
  KernelTable table = *watched;
  table.route = RecordedRoute;
  for (const float skew : {0.0f, 0.5f, 1.5f}) {
    Machine machine(Skewed(skew), &table);
    std::vector<std::vector<uint32_t>> calls;
    std::vector<Tokens> expected;
    constexpr int kSessions = 4;
    const auto run = [&](const Model& model, int i) {
      return machine.Begin(model, 1, 240, 4.0f, static_cast<uint64_t>(i));
    };
    {
      const Owned<Model> resident = machine.Load(0);
      recorded = &calls;
      for (int i = 0; i < kSessions; ++i) expected.push_back(RunToEnd(run(*resident, i).get()));
      recorded = nullptr;
    }
    REQUIRE(calls.size() == kSessions * 240u * kLayers);
    const uint64_t one = machine.Least() / kUsed;
    for (const uint64_t slots : {4u, 8u, 16u, 32u, 64u}) {
      const Owned<Model> model = machine.Load(slots * one);
      ExpertCounters counters;
      for (int i = 0; i < kSessions; ++i) {
        const Owned<Session> session = run(*model, i);
        CHECK(RunToEnd(session.get()) == expected[static_cast<size_t>(i)]);
        counters.Add(session->usage().experts);
      }
      CHECK(counters.hits + counters.misses == calls.size() * kUsed);
      CHECK(counters.bytes == counters.misses * one);
      const double share =
          static_cast<double>(counters.hits) / static_cast<double>(counters.hits + counters.misses);
      const double simulated = Simulate(calls, slots);
      const double theory = Expected(calls, static_cast<double>(slots));
      INFO("skew " << skew << ", " << slots << " of " << kLayers * kExperts << " experts: " << share
                   << " hit, simulated " << simulated << ", in theory " << theory);
      CHECK(std::abs(share - simulated) <= 0.002);
      // Theory does not know that a token resembles the one before, nor that a layer which needs
      // most of the room pushes out the other's.
      if (slots >= 16) CHECK(std::abs(share - theory) <= 0.05);
    }
  }
}

// ---- counters

class NoChunks final : public BatchSink {
 public:
  ChunkSink* Of(Session*) override { return &taken_; }

 private:
  Taken taken_;
};

class NoLogits final : public LogitsSink {
 public:
  Status Take(uint64_t, const float*, size_t) override { return Status(); }
};

// Each of three ways to run a prompt until `reads` records were read, and then to stop it.
TEST_CASE("a pass that fails or is cancelled has counted what it read") {
  Machine machine(TinyModel::GptOss());
  const uint64_t least = machine.Least();
  const uint64_t one = least / 2;
  const Owned<Model> model = machine.Load(least);
  for (const bool fails : {true, false}) {
    for (const std::string how : {"session", "evaluation", "batch"}) {
      for (const uint64_t reads : {0u, 1u, 4u}) {
        if (how == "evaluation" && !fails) continue;  // nobody else may cancel it here
        INFO(how << (fails ? " fails" : " is cancelled") << " after " << reads << " reads");
        const Owned<Session> session = machine.Begin(*model, 9, 3);
        const Owned<Session> beside = machine.Begin(*model, 7, 3);
        Owned<Batch> batch;
        RequireOk(Batch::Create(*model, &machine.clock, 2, 32, &batch));
        machine.files.FailReadAt(fails ? reads : test::kNever);
        Status status = Code::kYielded;
        const auto step = [&](uint64_t budget) -> Status {
          NoChunks no_chunks;
          Taken taken;
          NoLogits no_logits;
          if (how == "batch") return batch->Step(budget, &no_chunks);
          return how == "session" ? session->Step(budget, &taken) : session->Evaluate(&no_logits);
        };
        if (how == "batch") {
          RequireOk(batch->Add(session.get()));
          RequireOk(batch->Add(beside.get()));
        }
        if (fails) {
          status = step(kNoBudget);
          REQUIRE(status.code() == Code::kIo);
        } else {
          while (machine.files.reads() <= reads) REQUIRE(step(0).code() == Code::kYielded);
          session->Cancel();
          beside->Cancel();
          status = step(0);
          REQUIRE(status.code() == (how == "batch" ? Code::kDone : Code::kCancelled));
        }
        machine.files.FailReadAt(test::kNever);
        const ExpertCounters counted = session->usage().experts;
        CHECK(counted.bytes == (reads + 1) * one);
        CHECK(counted.hits + counted.misses > 0);
        if (how != "batch") continue;
        CHECK(beside->usage().experts.bytes == counted.bytes);
        CHECK(beside->usage().experts.misses == counted.misses);
      }
    }
  }
}

TEST_CASE("a pass that is given up has counted what it read") {
  Machine machine(TinyModel::GptOss());
  const Owned<Model> model = machine.Load(machine.Least());
  const Owned<Session> session = machine.Begin(*model, 9, 3);
  const Owned<Session> beside = machine.Begin(*model, 7, 3);
  Owned<Batch> batch;
  NoChunks none;
  RequireOk(Batch::Create(*model, &machine.clock, 2, 32, &batch));
  RequireOk(batch->Add(session.get()));
  const uint64_t before = machine.files.reads();
  while (machine.files.reads() - before < 3) {
    REQUIRE(batch->Step(0, &none).code() == Code::kYielded);
  }
  CHECK(session->usage().experts.bytes == 0);
  RequireOk(batch->Add(beside.get()));  // which the pass has no rows of
  CHECK(session->usage().experts.bytes == 3 * machine.Least() / 2);
  CHECK(beside->usage().experts.bytes == 0);
  RequireOk(batch->Remove(session.get()));
  CHECK(session->usage().experts.bytes == 3 * machine.Least() / 2);
}

}  // namespace
}  // namespace junto
