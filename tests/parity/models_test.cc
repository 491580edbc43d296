// Tiny random models against the logits that HF transformers computes for them (tests/oracle), and
// bit for bit against themselves however a context is cut, threaded, batched or dispatched.
#include <atomic>
#include <cmath>
#include <cstring>

#include "c_api/onednn.h"
#include "tests/support/bits.h"
#include "tests/support/compare.h"
#include "tests/support/runtime.h"

namespace junto {
namespace {

using test::Host;
using test::RequireOk;

struct Golden {
  const char* name;
  bool float_weights;  // else activations are int8 and only errors of rounding are compared
  bool yarn_truncate;
  bool images = false;  // with logits for rows that see ahead
};
constexpr Golden kGoldens[] = {
    {"llama", true, false},
    {"llama_tied", true, false},
    {"mixtral", true, false},
    {"gpt_oss", true, false},
    {"gpt_oss_truncated", true, true},
    {"gemma3", true, false, true},
    {"gemma4_dense", true, false, true},
    {"gemma4", true, false},
    {"gemma4_bf16", true, false},
    {"gemma4_shared", true, false},
    {"qwen35", true, false},
    {"qwen35moe", true, false},
    {"qwen3next", true, false},
    {"qwen35moe_legacy", false, false},
    {"mimo2", true, false},
    {"mimo2_fused", true, false},
    {"gpt_oss_mxfp4", false, false},
    {"llama_legacy", false, false},
    {"llama_mixed", false, false},
    {"gemma4_q4_0", false, false},
    {"gemma4_q4_k", false, false},
    {"gemma4_shared_q4_k", false, false},
    {"mimo2_q4_k", false, false},
};

std::string PathOf(const Golden& golden) {
  return std::string(JUNTO_TEST_DATA) + "/parity/" + golden.name + ".gguf";
}

LoadOptions OptionsOf(const Golden& golden, bool widen) {
  LoadOptions options;
  options.model.yarn_truncate = golden.yarn_truncate;
  options.widen = widen;
  return options;
}

struct Reference {
  std::vector<int32_t> tokens;
  std::vector<float> logits;
};
Reference ReadReference(Host* host, const Golden& golden) {
  Owned<Gguf> gguf = host->Open(PathOf(golden));
  return {test::ReadTensor<int32_t>(gguf.get(), "golden.tokens"),
          test::ReadTensor<float>(gguf.get(), "golden.logits")};
}

size_t ArgMax(const float* row, size_t n) {
  return static_cast<size_t>(std::max_element(row, row + n) - row);
}

TEST_CASE("logits equal HF transformers with float weights") {
  for (const Golden& golden : kGoldens) {
    Host host(2);
    const Reference reference = ReadReference(&host, golden);
    const auto model = host.Load(PathOf(golden), OptionsOf(golden, true));
    const size_t vocab = model->spec().vocab;
    const std::vector<float> logits = test::LogitsOf(&host, *model, reference.tokens, 64);
    test::Bits::OfThisProgram().Add(logits);
    const float worst = test::WorstError(logits, reference.logits);
    INFO(golden.name << ": worst " << worst);
    CHECK(worst <= 5e-5f);  // a wrong epsilon is 1e-4; the promise is 2e-4
    for (size_t row = 0; row < reference.tokens.size(); ++row) {
      INFO("row " << row);
      CHECK(ArgMax(&logits[row * vocab], vocab) == ArgMax(&reference.logits[row * vocab], vocab));
    }
  }
}

// The logits of one pass over all tokens, where the rows of an image see all of it.
std::vector<float> ImageLogits(Host* host, const Model& model, const Reference& reference,
                               Span<const int32_t> images) {
  const auto count = static_cast<uint32_t>(reference.tokens.size());
  std::vector<uint64_t> ends(count);
  for (uint32_t i = 0; i < count; ++i) ends[i] = i + 1;
  for (size_t i = 0; i < images.size(); i += 2) {
    std::fill(ends.begin() + images[i], ends.begin() + images[i + 1], images[i + 1]);
  }
  const SessionSpec spec = test::SpecOf(count, count, KvType::kF32);
  KvPool pages;
  KvCache kv;
  Pass pass;
  const auto lay_out = [&](Arena* arena) {
    pages.LayOut(model.spec(), spec, arena, arena);
    kv.LayOut(model.spec(), spec, &pages, arena);
    pass.LayOut(model.engine(), count, count, arena);
  };
  Arena measured;
  lay_out(&measured);
  Block block;
  RequireOk(
      Block::Allocate(&host->memory, measured.used(), Arena::kAlignment, Tag::kScratch, &block));
  Arena arena(block.data(), measured.used());
  lay_out(&arena);
  RequireOk(kv.Prepare(0, count));
  for (uint32_t i = 0; i < count; ++i) {
    REQUIRE(pass.AddRow(&kv, nullptr, i, ends[i], reference.tokens[i]));
    pass.AddHead(i);
  }
  Deadline deadline(&host->clock, kNoBudget, nullptr);
  Pace pace;
  Cursor cursor;
  RequireOk(model.program().Run(&pass, model.program().end(), &deadline, &pace, &deadline.progress,
                                &cursor));
  return {pass.logits(0), pass.logits(count)};
}

TEST_CASE("rows of an image see all of it in the layers that look ahead") {
  for (const Golden& golden : kGoldens) {
    if (!golden.images) continue;
    Host host(2);
    Reference reference = ReadReference(&host, golden);
    Owned<Gguf> gguf = host.Open(PathOf(golden));
    const auto images = test::ReadTensor<int32_t>(gguf.get(), "golden.images");
    const auto expected = test::ReadTensor<float>(gguf.get(), "golden.image_logits");
    const auto model = host.Load(PathOf(golden), OptionsOf(golden, true));
    const float worst = test::WorstError(
        ImageLogits(&host, *model, reference, {images.data(), images.size()}), expected);
    INFO(golden.name << ": worst " << worst);
    CHECK(worst <= 5e-5f);
    CHECK(test::WorstError(reference.logits, expected) > 0.1f);  // it makes a difference
  }
}

#ifdef JUNTO_ONEDNN
// Lets another FloatGemm work and counts.
class CountingGemm final : public FloatGemm {
 public:
  CountingGemm(Owned<FloatGemm> gemm, std::atomic<uint64_t>* rows)
      : gemm_(std::move(gemm)), rows_(rows) {}
  Status Prepare(uint32_t columns, uint32_t outputs) override {
    return gemm_->Prepare(columns, outputs);
  }
  Status Ready(uint32_t workers, const KernelTable* kernels) override {
    return gemm_->Ready(workers, kernels);
  }
  uint32_t Multiply(const MatmulArgs& args) override {
    const uint32_t rows = gemm_->Multiply(args);
    *rows_ += rows;
    return rows;
  }

 private:
  Owned<FloatGemm> gemm_;
  std::atomic<uint64_t>* rows_;
};

TEST_CASE("logits equal HF transformers where oneDNN multiplies floats") {
  for (const Golden& golden : kGoldens) {
    Host host(3);
    Owned<FloatGemm> gemm;
    RequireOk(CreateOneDnnGemm(&host.memory, &gemm));
    std::atomic<uint64_t> rows{0};
    gemm = New<CountingGemm, FloatGemm>(&host.memory, Tag::kObject, std::move(gemm), &rows);
    const Reference reference = ReadReference(&host, golden);
    LoadOptions options = OptionsOf(golden, true);
    options.gemm = &gemm;
    const auto model = host.Load(PathOf(golden), options);
    const float worst =
        test::WorstError(test::LogitsOf(&host, *model, reference.tokens, 64), reference.logits);
    INFO(golden.name << ": worst " << worst << ", rows " << rows);
    CHECK(worst <= 5e-5f);
    CHECK(rows > 0);
  }
}

#else
TEST_CASE("a build without oneDNN says so") {
  Host host(1);
  Owned<FloatGemm> gemm;
  CHECK(CreateOneDnnGemm(&host.memory, &gemm).code() == Code::kUnsupported);
}
#endif

TEST_CASE("int8 activations stay close to HF transformers on the dequantised weights") {
  for (const Golden& golden : kGoldens) {
    if (golden.float_weights) continue;
    Host host(2);
    const Reference reference = ReadReference(&host, golden);
    const auto model = host.Load(PathOf(golden), OptionsOf(golden, false));
    const std::vector<float> logits =
        test::LogitsOf(&host, *model, reference.tokens, 64, KvType::kF16);
    test::Bits::OfThisProgram().Add(logits);
    double error = 0.0;
    double power = 0.0;
    for (size_t i = 0; i < logits.size(); ++i) {
      error += std::pow(double{logits[i]} - reference.logits[i], 2);
      power += std::pow(double{reference.logits[i]}, 2);
    }
    INFO(golden.name << ": NMSE " << error / power);
    CHECK(error / power <= 2e-3);
  }
}

TEST_CASE("chunks, threads and instruction sets never change a bit") {
  for (const Golden& golden : kGoldens) {
    for (const bool widen : {true, false}) {
      if (!widen && golden.float_weights) continue;
      std::vector<float> first;
      for (const KernelTable* kernels : SupportedKernels()) {
        if (!kernels->has_fma) continue;
        for (const uint32_t threads : {1u, 2u, 3u}) {
          Host host(threads, kernels);
          const Reference reference = ReadReference(&host, golden);
          const auto model = host.Load(PathOf(golden), OptionsOf(golden, widen));
          for (const uint32_t chunk : {1u, 7u, 64u, 512u}) {
            if (threads != 2 && chunk != 64) continue;
            INFO(golden.name << " on " << kernels->target << ", " << threads << " threads, chunk "
                             << chunk);
            const std::vector<float> logits =
                test::LogitsOf(&host, *model, reference.tokens, chunk, KvType::kF16);
            if (first.empty()) first = logits;
            REQUIRE(test::SameBits(logits, first));
          }
        }
      }
    }
  }
}

// Greedy tokens of one session.
class Tokens final : public ChunkSink {
 public:
  Status Take(const OutputPiece&, Span<const int32_t> tokens) override {
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    return Status();
  }
  std::vector<int32_t> ids;
};

std::vector<int32_t> Generate(Host* host, const Model& model, Span<const int32_t> prompt_tokens,
                              uint64_t budget_ns, float temperature) {
  Owned<Session> session;
  RequireOk(Session::Create(model, &host->clock, test::SpecOf(160, 16, KvType::kF16), &session));
  Prompt prompt(&model);
  RequireOk(prompt.AddTokens(prompt_tokens));
  RequireOk(session->Prefill(prompt));
  session->generation().sampling.temperature = temperature;
  session->generation().sampling.seed = 7;
  session->generation().max_new_tokens = 24;
  Tokens tokens;
  Status status = Code::kYielded;
  while (status.code() == Code::kYielded) status = session->Step(budget_ns, &tokens);
  REQUIRE(status.code() == Code::kDone);
  REQUIRE(session->usage().stop == Stop::kLength);
  return tokens.ids;
}

// Chunks of a batch, told apart by session.
class Chunks final : public BatchSink {
 public:
  explicit Chunks(const std::vector<Session*>& sessions)
      : sessions_(sessions), tokens(sessions.size()) {}
  ChunkSink* Of(Session* session) override {
    return &tokens[static_cast<size_t>(std::find(sessions_.begin(), sessions_.end(), session) -
                                       sessions_.begin())];
  }

 private:
  std::vector<Session*> sessions_;

 public:
  std::vector<Tokens> tokens;
};

TEST_CASE("a session's tokens are the same alone, sliced in time, and in a batch") {
  for (const Golden& golden : kGoldens) {
    for (const float temperature : {0.0f, 0.8f}) {
      INFO(golden.name << " at temperature " << temperature);
      Host host(2);
      const Reference reference = ReadReference(&host, golden);
      const auto model = host.Load(PathOf(golden), OptionsOf(golden, false));
      const Span<const int32_t> tokens(reference.tokens.data(), reference.tokens.size());
      const Span<const int32_t> prompts[] = {tokens.subspan(0, 5), tokens.subspan(40, 61),
                                             tokens.subspan(3, 1), tokens.subspan(20, 30),
                                             tokens.subspan(0, 130)};
      std::vector<std::vector<int32_t>> alone;
      for (Span<const int32_t> prompt : prompts) {
        alone.push_back(Generate(&host, *model, prompt, kNoBudget, temperature));
        REQUIRE(alone.back().size() == 24);
      }
      REQUIRE(Generate(&host, *model, prompts[1], 0, temperature) == alone[1]);

      Owned<Batch> batch;
      RequireOk(Batch::Create(*model, &host.clock, 5, 24, &batch));
      std::vector<Owned<Session>> sessions(5);
      std::vector<Session*> pointers;
      for (size_t i = 0; i < sessions.size(); ++i) {
        RequireOk(Session::Create(*model, &host.clock, test::SpecOf(160, 16, KvType::kF16),
                                  &sessions[i]));
        Prompt prompt(model.get());
        RequireOk(prompt.AddTokens(prompts[i]));
        RequireOk(sessions[i]->Prefill(prompt));
        sessions[i]->generation().sampling.temperature = temperature;
        sessions[i]->generation().sampling.seed = 7;
        sessions[i]->generation().max_new_tokens = 24;
        pointers.push_back(sessions[i].get());
        RequireOk(batch->Add(sessions[i].get()));
      }
      Chunks chunks(pointers);
      Status status = Code::kYielded;
      while (status.code() == Code::kYielded) status = batch->Step(200000, &chunks);
      REQUIRE(status.code() == Code::kDone);
      for (size_t i = 0; i < sessions.size(); ++i) REQUIRE(chunks.tokens[i].ids == alone[i]);
    }
  }
}

// Rows that the matrix of `counted_rows` rows was multiplied with, by the kernels of `counting`.
const KernelTable* counted_kernels = nullptr;
uint32_t counted_rows = 0;
std::atomic<uint64_t> counted_products{0};

TEST_CASE("a prompt computes logits of its last token alone") {
  KernelTable counting = *SupportedKernels()[0];
  counted_kernels = SupportedKernels()[0];
  counting.matmul = [](const MatmulArgs& args) {
    if (args.weights.rows == counted_rows) {
      counted_products += uint64_t{args.count} * args.panel_count;
    }
    counted_kernels->matmul(args);
  };
  for (const char* name : {"llama", "qwen35", "qwen35moe"}) {
    INFO(name);
    Host host(2, &counting);
    const Golden golden = {name, true, false};
    const Reference reference = ReadReference(&host, golden);
    const auto model = host.Load(PathOf(golden), OptionsOf(golden, true));
    counted_rows = model->spec().vocab;
    for (const size_t tokens : {1, 40, 130}) {
      Owned<Session> session;
      RequireOk(
          Session::Create(*model, &host.clock, test::SpecOf(160, 16, KvType::kF16), &session));
      Prompt prompt(model.get());
      RequireOk(prompt.AddTokens({reference.tokens.data(), tokens}));
      RequireOk(session->Prefill(prompt));
      session->generation().max_new_tokens = 3;
      counted_products = 0;
      Tokens said;
      REQUIRE(session->Step(kNoBudget, &said).code() == Code::kDone);
      CHECK(counted_products == 3 * PanelCount(counted_rows));  // the rows of three tokens
    }
  }
}

TEST_CASE("a context that changes its end keeps what it shares and gives the same bits") {
  for (const Golden& golden : kGoldens) {
    INFO(golden.name);
    Host host(2);
    const Reference reference = ReadReference(&host, golden);
    const auto model = host.Load(PathOf(golden), OptionsOf(golden, false));
    Owned<Session> session;
    RequireOk(Session::Create(*model, &host.clock, test::SpecOf(200, 16, KvType::kF32), &session));
    const size_t vocab = model->spec().vocab;
    for (const size_t kept : {130, 129, 100, 3, 77, 0, 128}) {
      std::vector<int32_t> tokens(reference.tokens.begin(), reference.tokens.begin() + kept);
      for (size_t i = kept; i < 130; ++i)
        tokens.push_back(static_cast<int32_t>((i * 7 + kept) % vocab));
      Prompt prompt(model.get());
      RequireOk(prompt.AddTokens({tokens.data(), tokens.size()}));
      RequireOk(session->Prefill(prompt));
      test::LogitsCollector collector;
      RequireOk(session->Evaluate(&collector));
      const std::vector<float> fresh = test::LogitsOf(&host, *model, tokens, 512);
      const uint64_t first = collector.positions.front();
      REQUIRE(first == session->usage().cached_tokens);
      REQUIRE(std::memcmp(collector.rows.data(), &fresh[first * vocab],
                          collector.rows.size() * sizeof(float)) == 0);
    }
  }
}

}  // namespace
}  // namespace junto
