// How well time slices keep their budget, how soon a cancel is seen, what a fork takes.
//
//   slices MODEL [BUDGET_US [PROMPT_TOKENS [CHUNK]]]
//
// Steps through a prompt and an answer with a budget, forks and saves what is there then, and
// cancels generations from another thread at random times. Prints microseconds: median, 99th
// percentile, most; of slices also those during which the system took no thread of this process off
// its processor, which tell of Junto and not of the machine's other work.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "c_api/junto.h"

namespace {

double Microseconds() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double, std::micro>(Clock::now().time_since_epoch()).count();
}

// How often any thread of this process was taken off its processor.
long Preemptions() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

void Check(junto_status status, const junto_error& err) {
  if (status >= 0) return;
  std::fprintf(stderr, "%s\n", err.message);
  std::exit(1);
}

void Print(const char* what, std::vector<double> values) {
  if (values.empty()) return;
  std::sort(values.begin(), values.end());
  std::printf("%-22s %6zu  median %8.0f  99%% %8.0f  most %8.0f us\n", what, values.size(),
              values[values.size() / 2], values[values.size() * 99 / 100], values.back());
}

class Slices {
 public:
  void Add(double us, bool disturbed) {
    all_.push_back(us);
    if (!disturbed) undisturbed_.push_back(us);
  }
  void Report(const char* what) const {
    Print(what, all_);
    Print("    undisturbed", undisturbed_);
  }

 private:
  std::vector<double> all_, undisturbed_;
};

class Bench {
 public:
  Bench(const char* path, uint64_t budget_us, uint32_t prompt_tokens, uint32_t chunk)
      : budget_(budget_us * 1000) {
    junto_error_init(&err_, sizeof(err_));
    Check(junto_runtime_create(nullptr, &runtime_, &err_), err_);
    Check(junto_model_load(runtime_, path, std::strlen(path), nullptr, &model_, &err_), err_);
    junto_session_desc desc;
    junto_session_desc_init(&desc, sizeof(desc));
    desc.context_tokens = prompt_tokens + 256;
    desc.prefill_chunk = chunk;
    desc.max_forks = 1;
    desc.fork_tokens = 64;
    Check(junto_session_create(model_, &desc, &session_, &err_), err_);
    junto_model_info info;
    junto_model_info_init(&info, sizeof(info));
    Check(junto_model_get_info(model_, &info), err_);
    for (uint32_t i = 0; i < prompt_tokens; ++i) {
      tokens_.push_back(static_cast<junto_token>(random_() % info.vocab));
    }
  }
  ~Bench() {
    junto_session_release(session_);
    junto_model_release(model_);
    junto_runtime_release(runtime_);
  }

  void Slice(float temperature) {
    Begin(temperature, 100);
    Slices prompt, answer;
    junto_status status = JUNTO_YIELDED;
    while (status == JUNTO_YIELDED) {
      const long before = Preemptions();
      const double start = Microseconds();
      status = junto_session_step(session_, budget_, Take, this, &err_);
      const double taken = Microseconds() - start;
      (heard_ ? answer : prompt).Add(taken, Preemptions() != before);
      Check(status, err_);
    }
    std::printf("temperature %.1f\n", static_cast<double>(temperature));
    prompt.Report("  slices of the prompt");
    answer.Report("  slices of the answer");
  }

  // Of what the session holds by now.
  void Fork(int times) {
    std::vector<double> forks, saves;
    std::vector<char> bytes;
    for (int i = 0; i < times; ++i) {
      junto_session* fork = nullptr;
      double start = Microseconds();
      Check(junto_session_fork(session_, &fork, &err_), err_);
      forks.push_back(Microseconds() - start);
      junto_session_release(fork);
      size_t size = 0;
      Check(junto_session_snapshot(session_, nullptr, 0, &size, &err_), err_);
      bytes.resize(size);
      start = Microseconds();
      Check(junto_session_snapshot(session_, bytes.data(), size, &size, &err_), err_);
      saves.push_back(Microseconds() - start);
    }
    Print("fork", forks);
    Print("snapshot", saves);
    std::printf("                        of %zu bytes\n", bytes.size());
  }

  void Cancel(int times) {
    std::vector<double> delays;
    for (int i = 0; i < times; ++i) {
      Begin(1.0f, 20);
      std::atomic<double> wished{0};
      std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::microseconds(1000 + random_() % 300000));
        wished = Microseconds();
        junto_session_cancel(session_);
      });
      const junto_status status = junto_session_generate(session_, Take, this, &err_);
      const double end = Microseconds();
      canceller.join();
      if (status == JUNTO_CANCELLED) delays.push_back(end - wished);
      (void)junto_session_step(session_, 0, Take, this, &err_);  // one that came too late
    }
    Print("cancel to return", delays);
  }

 private:
  static junto_status JUNTO_CALL Take(void* user, const junto_chunk*) {
    static_cast<Bench*>(user)->heard_ = true;
    return JUNTO_OK;
  }

  void Begin(float temperature, uint32_t count) {
    heard_ = false;
    Check(junto_session_rewind(session_, 0, &err_), err_);
    junto_sampling sampling;
    junto_sampling_init(&sampling, sizeof(sampling));
    sampling.temperature = temperature;
    sampling.top_p = temperature > 0 ? 0.95f : 0;
    sampling.max_new_tokens = count;
    Check(junto_session_set_sampling(session_, &sampling, &err_), err_);
    junto_prompt* prompt = nullptr;
    Check(junto_prompt_create(model_, &prompt, &err_), err_);
    Check(junto_prompt_add_tokens(prompt, tokens_.data(), tokens_.size(), &err_), err_);
    Check(junto_session_prefill(session_, prompt, &err_), err_);
    junto_prompt_release(prompt);
  }

  uint64_t budget_;
  std::mt19937 random_{1};
  std::vector<junto_token> tokens_;
  junto_error err_;
  junto_runtime* runtime_ = nullptr;
  junto_model* model_ = nullptr;
  junto_session* session_ = nullptr;
  bool heard_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 1;
  const auto number = [&](int i, int otherwise) {
    return static_cast<uint32_t>(argc > i ? std::atoi(argv[i]) : otherwise);
  };
  Bench bench(argv[1], number(2, 2000), number(3, 1000), number(4, 512));
  bench.Slice(0.0f);
  bench.Slice(1.0f);
  bench.Fork(20);
  bench.Cancel(30);
}
