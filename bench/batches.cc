// What sessions gain from sharing passes: tokens per second of one session alone and of many in a
// batch, beside what the processor's 8-bit multiply-adds allow.
//
//   batches MODEL [SESSIONS [NEW_TOKENS [TEMPERATURE]]]
//
// Every session reads a prompt of its own, of 32 to 63 random tokens, and continues it. One and
// many take turns; the walls are measured before, between and after. Medians, and the share of the
// wall that is of the same moment.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "c_api/junto.h"
#include "cli/peak.h"

namespace {

constexpr int kRounds = 5;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double Seconds() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

class Bench {
 public:
  Bench(const char* path, uint32_t sessions, uint32_t new_tokens, float temperature)
      : new_tokens_(new_tokens), temperature_(temperature), sessions_(sessions) {
    junto_error_init(&err_, sizeof(err_));
    Check(junto_runtime_create(nullptr, &runtime_, &err_));
    Check(junto_model_load(runtime_, path, std::strlen(path), nullptr, &model_, &err_));
    junto_model_info_init(&info_, sizeof(info_));
    Check(junto_model_get_info(model_, &info_));
    junto_session_desc desc;
    junto_session_desc_init(&desc, sizeof(desc));
    desc.context_tokens = 64 + new_tokens;
    desc.prefill_chunk = 64;
    for (junto_session*& session : sessions_) {
      Check(junto_session_create(model_, &desc, &session, &err_));
    }
  }
  ~Bench() {
    for (junto_session* session : sessions_) junto_session_release(session);
    junto_model_release(model_);
    junto_runtime_release(runtime_);
  }

  // Multiply-adds of weights for one new token, the head's among them.
  double macs() const { return static_cast<double>(info_.params_active); }

  // New tokens per second of the first `count` sessions in a batch, from when all have their first.
  double Run(uint32_t count) {
    junto_batch* batch = nullptr;
    Check(junto_batch_create(model_, count, 0, &batch, &err_));
    for (uint32_t i = 0; i < count; ++i) {
      Begin(sessions_[i], i);
      Check(junto_batch_add(batch, sessions_[i], &err_));
    }
    while (NewTokens(count) < count) Check(junto_batch_step(batch, 0, Ignore, nullptr, &err_));
    const uint64_t before = NewTokens(count);
    const double start = Seconds();
    Check(junto_batch_step(batch, UINT64_MAX, Ignore, nullptr, &err_));
    const double rate = static_cast<double>(NewTokens(count) - before) / (Seconds() - start);
    junto_batch_release(batch);
    return rate;
  }

 private:
  static junto_status JUNTO_CALL Ignore(void*, const junto_chunk*) { return JUNTO_OK; }

  void Check(junto_status status) const {
    if (status >= 0) return;
    std::fprintf(stderr, "%s\n", err_.message);
    std::exit(1);
  }

  uint64_t NewTokens(uint32_t count) const {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; ++i) {
      junto_usage usage;
      junto_usage_init(&usage, sizeof(usage));
      Check(junto_session_get_usage(sessions_[i], &usage));
      sum += usage.new_tokens;
    }
    return sum;
  }

  // An answer that does not end before it is as long as wanted.
  void Begin(junto_session* session, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<junto_token> tokens(32 + random() % 32);
    for (junto_token& token : tokens) token = static_cast<junto_token>(random() % info_.vocab);
    junto_sampling sampling;
    junto_sampling_init(&sampling, sizeof(sampling));
    sampling.temperature = temperature_;
    sampling.top_p = temperature_ > 0 ? 0.95f : 0;
    sampling.seed = seed;
    sampling.max_new_tokens = new_tokens_;
    const float never = -INFINITY;
    junto_prompt* prompt = nullptr;
    Check(junto_session_rewind(session, 0, &err_));
    Check(junto_session_set_sampling(session, &sampling, &err_));
    if (info_.eos >= 0) Check(junto_session_set_bias(session, &info_.eos, &never, 1, &err_));
    Check(junto_prompt_create(model_, &prompt, &err_));
    Check(junto_prompt_add_tokens(prompt, tokens.data(), tokens.size(), &err_));
    Check(junto_session_prefill(session, prompt, &err_));
    junto_prompt_release(prompt);
  }

  uint32_t new_tokens_;
  float temperature_;
  std::vector<junto_session*> sessions_;
  junto_error err_;
  junto_runtime* runtime_ = nullptr;
  junto_model* model_ = nullptr;
  junto_model_info info_;
};

double Wall() {
  return Median(cli::Rates(cli::Integers(), std::max(1u, std::thread::hardware_concurrency()), 3));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 1;
  const uint32_t many = argc > 2 ? static_cast<uint32_t>(std::atoi(argv[2])) : 16;
  Bench bench(argv[1], many, argc > 3 ? static_cast<uint32_t>(std::atoi(argv[3])) : 48,
              argc > 4 ? std::strtof(argv[4], nullptr) : 0.0f);
  bench.Run(many);  // warms up
  std::vector<double> alone, together, walls, shares, ratios;
  for (int round = 0; round < kRounds; ++round) {
    alone.push_back(bench.Run(1));
    const double before = Wall();
    together.push_back(bench.Run(many));
    const double wall = (before + Wall()) / 2;
    walls.push_back(wall);
    shares.push_back(together.back() * bench.macs() / wall);
    ratios.push_back(together.back() / alone.back());
  }
  std::printf("wall        %8.1f GMAC/s (%s), %.1f tokens/s\n", Median(walls) * 1e-9,
              cli::Integers().name, Median(walls) / bench.macs());
  std::printf("1 session   %8.1f tokens/s\n", Median(alone));
  std::printf("%-2u sessions %8.1f tokens/s: %.2f times one, %.0f %% of the wall\n", many,
              Median(together), Median(ratios), 100 * Median(shares));
}
