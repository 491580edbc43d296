// junto bench: how fast the model runs here, next to how fast it could.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <thread>

#include "disk.h"
#include "format.h"
#include "open.h"
#include "peak.h"
#include "wall.h"

namespace cli {
namespace {

// What this machine can do, whatever the program. Medians.
struct Walls {
  double bytes_per_s = 0;     // of memory read
  double integers_per_s = 0;  // multiply-adds, see peak.h
  double dots_per_s = 0;      // 0 where there are no dot-product instructions
  double floats_per_s = 0;
  double disk_bytes_per_s = 0;  // with an expert budget
};

// What a decoded token had of an expert budget.
struct Streaming {
  double hits = 0;
  double misses = 0;
  double foreseen = 0;
  double bytes = 0;
  double stall_s = 0;
};

struct Result {
  double load_s = 0;
  double prefill_tokens_per_s = 0;  // medians of the repetitions
  double prefill_macs_per_s = 0;
  double decode_tokens_per_s = 0;
  double ceiling_tokens_per_s = 0;  // of decode
  double first_token_s = 0;
  double joins_per_layer = 0;  // of a decoded token; the head's count, too
  Streaming streaming;
  Walls walls;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void AddTokens(junto_prompt* prompt, const std::vector<junto_token>& tokens) {
  junto_error error = NewError();
  Check(junto_prompt_add_tokens(prompt, tokens.data(), tokens.size(), &error), error);
}

// Arbitrary tokens, the same on every machine.
class TokenSource {
 public:
  explicit TokenSource(uint32_t vocab) : vocab_(vocab) {}
  junto_token Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<junto_token>((state_ >> 33) % vocab_);
  }
  std::vector<junto_token> Next(uint32_t count) {
    std::vector<junto_token> tokens(count);
    for (junto_token& token : tokens) token = Next();
    return tokens;
  }

 private:
  uint32_t vocab_;
  uint64_t state_ = 1;
};

junto_status JUNTO_CALL Ignore(void*, const junto_chunk*) { return JUNTO_OK; }

junto_usage Generate(junto_session* session, const junto_prompt* prompt) {
  junto_error error = NewError();
  Check(junto_session_prefill(session, prompt, &error), error);
  Check(junto_session_generate(session, Ignore, nullptr, &error), error);
  return Usage(session);
}

// Measured before the model and after it, as other programs may come and go meanwhile.
class WallMeter {
 public:
  explicit WallMeter(unsigned threads) : threads_(threads) {}

  void Measure() {
    Add(ReadBandwidth(threads_, kRounds), &bytes_);
    Add(Rates(Integers(), threads_, kRounds), &integers_);
    Add(Rates(Floats(), threads_, kRounds), &floats_);
    if (DotProducts().run != nullptr) Add(Rates(DotProducts(), threads_, kRounds), &dots_);
  }

  Walls Medians() const {
    return {Median(bytes_), Median(integers_), dots_.empty() ? 0 : Median(dots_), Median(floats_)};
  }

 private:
  static constexpr unsigned kRounds = 3;

  static void Add(const std::vector<double>& rates, std::vector<double>* all) {
    all->insert(all->end(), rates.begin(), rates.end());
  }

  unsigned threads_;
  std::vector<double> bytes_, integers_, dots_, floats_;
};

// Multiply-adds of weights for one token of a prompt: all but the head's, which runs once.
uint64_t PrefillMacs(const junto_model_info& info) {
  return info.params_active - uint64_t{info.vocab} * info.width;
}

// The first token of an answer to one more token of prompt costs what the others do.
Streaming PerPass(const junto_usage& usage) {
  const double passes = static_cast<double>(usage.new_tokens);
  return {static_cast<double>(usage.expert_hits) / passes,
          static_cast<double>(usage.expert_misses) / passes,
          static_cast<double>(usage.expert_foreseen) / passes,
          static_cast<double>(usage.expert_read_bytes) / passes,
          static_cast<double>(usage.expert_stall_ns) * 1e-9 / passes};
}

Streaming Mean(const std::vector<Streaming>& all) {
  Streaming sum;
  const double n = static_cast<double>(std::max<size_t>(all.size(), 1));
  for (const Streaming& one : all) {
    sum.hits += one.hits / n;
    sum.misses += one.misses / n;
    sum.foreseen += one.foreseen / n;
    sum.bytes += one.bytes / n;
    sum.stall_s += one.stall_s / n;
  }
  return sum;
}

// What each repetition adds.
struct Samples {
  std::vector<double> prefill;      // tokens per second
  std::vector<double> decode;       // tokens per second
  std::vector<double> first_token;  // seconds
  std::vector<double> joins;        // per decoded token
  std::vector<Streaming> streaming;
};

// One prompt and one answer in a new session. An answer that the model ends too early is followed
// by others, each after one more token of prompt. The first token of an answer comes out of the
// prompt's pass, so only the passes after it count.
void Measure(const OpenModel& open, const BenchOptions& options, TokenSource* source,
             Samples* samples) {
  constexpr uint32_t kMaxAnswers = 64;
  junto_session_desc desc = SessionDesc(options.session);
  desc.context_tokens = options.prompt_tokens + options.new_tokens + 1 + kMaxAnswers;
  const Session session = NewSession(open, desc);
  const Prompt prompt = NewPrompt(open);
  AddTokens(prompt.get(), source->Next(options.prompt_tokens));

  junto_sampling sampling = Struct(junto_sampling_init);
  uint64_t passes = 0, ns = 0, joins = 0;
  for (uint32_t answer = 0; answer < kMaxAnswers && passes < options.new_tokens; ++answer) {
    if (answer != 0) AddTokens(prompt.get(), {source->Next()});
    // What is read for the prompt is told from what is read for new tokens by two answers.
    const bool prompt_alone = options.model.expert_budget != 0 && answer == 0;
    sampling.max_new_tokens =
        prompt_alone ? 1 : options.new_tokens + 1 - static_cast<uint32_t>(passes);
    junto_error error = NewError();
    Check(junto_session_set_sampling(session.get(), &sampling, &error), error);
    const junto_usage usage = Generate(session.get(), prompt.get());
    if (answer == 0) {
      samples->prefill.push_back(
          PerSecond(usage.prompt_tokens - usage.cached_tokens, usage.prefill_ns));
      samples->first_token.push_back(static_cast<double>(usage.first_token_ns) * 1e-9);
    }
    if (usage.new_tokens > 1) {
      passes += usage.new_tokens - 1;
      ns += usage.decode_ns;
      joins += usage.decode_joins;
    }
    if (answer != 0 && options.model.expert_budget != 0) {
      samples->streaming.push_back(PerPass(usage));
    }
  }
  samples->decode.push_back(PerSecond(passes, ns));
  samples->joins.push_back(static_cast<double>(joins) /
                           static_cast<double>(std::max<uint64_t>(passes, 1)));
}

void PrintJson(const BenchOptions& options, const OpenModel& open, const Result& result,
               unsigned threads) {
  const Walls& walls = result.walls;
  std::printf("{\"prompt_tokens\": %u, \"new_tokens\": %u, \"threads\": %u, \"repetitions\": %u, ",
              options.prompt_tokens, options.new_tokens, threads, options.repetitions);
  std::printf("\"load_s\": %.6f, \"prefill_tokens_per_s\": %.3f, \"prefill_macs_per_s\": %.0f, ",
              result.load_s, result.prefill_tokens_per_s, result.prefill_macs_per_s);
  std::printf("\"decode_tokens_per_s\": %.3f, \"ceiling_tokens_per_s\": %.3f, ",
              result.decode_tokens_per_s, result.ceiling_tokens_per_s);
  std::printf("\"first_token_s\": %.6f, \"decode_bytes\": %" PRIu64 ", \"prefill_macs\": %" PRIu64
              ", ",
              result.first_token_s, open.info.decode_bytes, PrefillMacs(open.info));
  std::printf("\"wall_bytes_per_s\": %.0f, \"wall_macs_per_s\": %.0f, \"wall_macs_by\": \"%s\", ",
              walls.bytes_per_s, walls.integers_per_s, Integers().name);
  std::printf("\"wall_dots_per_s\": %.0f, \"wall_dots_by\": \"%s\", ", walls.dots_per_s,
              DotProducts().name);
  std::printf("\"wall_floats_per_s\": %.0f, \"wall_floats_by\": \"%s\", ", walls.floats_per_s,
              Floats().name);
  std::printf("\"peak_bytes\": %" PRIu64 ", \"weight_bytes\": %" PRIu64
              ", \"vocab\": %u, "
              "\"joins_per_layer\": %.3f",
              Memory(open.runtime.get()).peak, open.info.weight_bytes, open.info.vocab,
              result.joins_per_layer);
  if (options.model.expert_budget != 0) {
    const Streaming& streaming = result.streaming;
    std::printf(", \"expert_hits\": %.2f, \"expert_misses\": %.2f, \"expert_foreseen\": %.2f, ",
                streaming.hits, streaming.misses, streaming.foreseen);
    std::printf("\"expert_read_bytes\": %.0f, \"expert_stall_s\": %.6f, \"disk_bytes_per_s\": %.0f",
                streaming.bytes, streaming.stall_s, walls.disk_bytes_per_s);
  }
  std::printf("}\n");
}

void PrintTable(const BenchOptions& options, const OpenModel& open, const Result& result,
                unsigned threads) {
  const junto_runtime* runtime = open.runtime.get();
  const Walls& walls = result.walls;
  std::printf("machine   %u threads read memory at %.1f GB/s\n", threads, walls.bytes_per_s * 1e-9);
  std::printf("          and multiply-add 8-bit integers at %.0f GMAC/s (%s),\n",
              walls.integers_per_s * 1e-9, Integers().name);
  if (walls.dots_per_s != 0) {
    std::printf("          at %.0f GMAC/s with dot products (%s),\n", walls.dots_per_s * 1e-9,
                DotProducts().name);
  }
  std::printf("          and floats at %.0f GMAC/s (%s)\n", walls.floats_per_s * 1e-9,
              Floats().name);
  std::printf("load      %.2f s\n", result.load_s);
  std::printf("prefill   %.1f tokens/s over %u tokens, the first new one after %.3f s\n",
              result.prefill_tokens_per_s, options.prompt_tokens, result.first_token_s);
  std::printf("          %.1f GMAC/s: %.0f %% of the machine's 8-bit multiply-adds\n",
              result.prefill_macs_per_s * 1e-9,
              100 * result.prefill_macs_per_s / walls.integers_per_s);
  std::printf(
      "decode    %.1f tokens/s over %u tokens: %.0f %% of the ceiling of %.1f, which is "
      "%s read for each\n",
      result.decode_tokens_per_s, options.new_tokens,
      100 * result.decode_tokens_per_s / result.ceiling_tokens_per_s, result.ceiling_tokens_per_s,
      Bytes(open.info.decode_bytes).c_str());
  std::printf("          %.1f joins of the threads for each layer\n", result.joins_per_layer);
  if (options.model.expert_budget != 0) {
    const Streaming& streaming = result.streaming;
    std::printf(
        "experts   for each token %.1f in memory, %.1f not, %.1f of them foreseen; %s read\n",
        streaming.hits, streaming.misses, streaming.foreseen,
        Bytes(static_cast<uint64_t>(streaming.bytes)).c_str());
    std::printf(
        "          %.0f %% of the %.2f tokens/s that the disk's %.2f GB/s allow; %.0f %% of the "
        "time is waiting\n",
        100 * result.decode_tokens_per_s * streaming.bytes / walls.disk_bytes_per_s,
        walls.disk_bytes_per_s / streaming.bytes, walls.disk_bytes_per_s * 1e-9,
        100 * streaming.stall_s * result.decode_tokens_per_s);
  }
  const uint64_t mapped = Memory(runtime, JUNTO_TAG_MAPPED).peak;
  const std::string weights = mapped != 0 ? Bytes(mapped) + " mapped and not counted"
                                          : Bytes(Memory(runtime, JUNTO_TAG_WEIGHTS).peak);
  std::printf("memory    %s at most: weights %s, keys and values %s, scratch %s\n",
              Bytes(Memory(runtime).peak).c_str(), weights.c_str(),
              Bytes(Memory(runtime, JUNTO_TAG_KV).peak).c_str(),
              Bytes(Memory(runtime, JUNTO_TAG_SCRATCH).peak).c_str());
}

constexpr uint64_t kExpertRead = 8 << 20;  // about what large models' experts take

// Medians of the repetitions, after one that warms up.
void MeasureModel(const BenchOptions& options, const OpenModel& open, Result* result) {
  TokenSource source(open.info.vocab);
  Samples samples;
  Measure(open, options, &source, &samples);
  samples = Samples();
  for (uint32_t i = 0; i < options.repetitions; ++i) Measure(open, options, &source, &samples);
  result->prefill_tokens_per_s = Median(samples.prefill);
  result->decode_tokens_per_s = Median(samples.decode);
  result->first_token_s = Median(samples.first_token);
  result->streaming = Mean(samples.streaming);
  result->joins_per_layer = Median(samples.joins) / open.info.layers;
}

}  // namespace

int Bench(const BenchOptions& options) {
  const unsigned threads = options.model.threads != 0
                               ? options.model.threads
                               : std::max(1u, std::thread::hardware_concurrency());
  Result result;
  const auto start = std::chrono::steady_clock::now();
  const OpenModel open = Open(options.model);
  const std::chrono::duration<double> load = std::chrono::steady_clock::now() - start;
  result.load_s = load.count();

  WallMeter meter(threads);
  meter.Measure();
  MeasureModel(options, open, &result);
  meter.Measure();
  result.walls = meter.Medians();
  if (options.model.expert_budget != 0) {
    result.walls.disk_bytes_per_s = DiskBandwidth(options.model.path, kExpertRead);
  }
  result.prefill_macs_per_s =
      result.prefill_tokens_per_s * static_cast<double>(PrefillMacs(open.info));
  result.ceiling_tokens_per_s =
      result.walls.bytes_per_s / static_cast<double>(open.info.decode_bytes);
  (options.json ? PrintJson : PrintTable)(options, open, result, threads);
  return 0;
}

}  // namespace cli
