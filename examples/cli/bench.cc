// junto bench: how fast the model runs here, next to how fast it could.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <thread>

#include "format.h"
#include "open.h"
#include "wall.h"

namespace cli {
namespace {

struct Result {
  double load_s = 0;
  double prefill_tokens_per_s = 0;  // medians of the repetitions
  double decode_tokens_per_s = 0;
  double first_token_s = 0;
  double wall_bytes_per_s = 0;
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

// One prompt and one answer in a new session. An answer that the model ends too early is followed
// by others, each after one more token of prompt. The first token of an answer comes out of the
// prompt's pass, so only the passes after it count.
void Measure(const OpenModel& open, const BenchOptions& options, TokenSource* source,
             std::vector<double>* prefill, std::vector<double>* decode,
             std::vector<double>* first_token) {
  constexpr uint32_t kMaxAnswers = 64;
  junto_session_desc desc = SessionDesc(options.session);
  desc.context_tokens = options.prompt_tokens + options.new_tokens + 1 + kMaxAnswers;
  const Session session = NewSession(open, desc);
  const Prompt prompt = NewPrompt(open);
  AddTokens(prompt.get(), source->Next(options.prompt_tokens));

  junto_sampling sampling = Struct(junto_sampling_init);
  uint64_t passes = 0, ns = 0;
  for (uint32_t answer = 0; answer < kMaxAnswers && passes < options.new_tokens; ++answer) {
    if (answer != 0) AddTokens(prompt.get(), {source->Next()});
    sampling.max_new_tokens = options.new_tokens + 1 - static_cast<uint32_t>(passes);
    junto_error error = NewError();
    Check(junto_session_set_sampling(session.get(), &sampling, &error), error);
    const junto_usage usage = Generate(session.get(), prompt.get());
    if (answer == 0) {
      prefill->push_back(PerSecond(usage.prompt_tokens - usage.cached_tokens, usage.prefill_ns));
      first_token->push_back(static_cast<double>(usage.first_token_ns) * 1e-9);
    }
    if (usage.new_tokens > 1) {
      passes += usage.new_tokens - 1;
      ns += usage.decode_ns;
    }
  }
  decode->push_back(PerSecond(passes, ns));
}

void PrintJson(const BenchOptions& options, const OpenModel& open, const Result& result,
               double ceiling, unsigned threads) {
  std::printf(
      "{\"prompt_tokens\": %u, \"new_tokens\": %u, \"threads\": %u, \"repetitions\": %u, "
      "\"load_s\": %.6f, \"prefill_tokens_per_s\": %.3f, \"decode_tokens_per_s\": %.3f, "
      "\"first_token_s\": %.6f, \"wall_bytes_per_s\": %.0f, \"decode_bytes\": %" PRIu64
      ", \"ceiling_tokens_per_s\": %.3f, \"peak_bytes\": %" PRIu64 ", \"weight_bytes\": %" PRIu64
      "}\n",
      options.prompt_tokens, options.new_tokens, threads, options.repetitions, result.load_s,
      result.prefill_tokens_per_s, result.decode_tokens_per_s, result.first_token_s,
      result.wall_bytes_per_s, open.info.decode_bytes, ceiling, Memory(open.runtime.get()).peak,
      open.info.weight_bytes);
}

void PrintTable(const BenchOptions& options, const OpenModel& open, const Result& result,
                double ceiling, unsigned threads) {
  const junto_runtime* runtime = open.runtime.get();
  std::printf("machine   %u threads read memory at %.1f GB/s\n", threads,
              result.wall_bytes_per_s * 1e-9);
  std::printf("load      %.2f s\n", result.load_s);
  std::printf("prefill   %.1f tokens/s over %u tokens, the first new one after %.3f s\n",
              result.prefill_tokens_per_s, options.prompt_tokens, result.first_token_s);
  std::printf(
      "decode    %.1f tokens/s over %u tokens: %.0f %% of the ceiling of %.1f, which is "
      "%s read for each\n",
      result.decode_tokens_per_s, options.new_tokens, 100 * result.decode_tokens_per_s / ceiling,
      ceiling, Bytes(open.info.decode_bytes).c_str());
  std::printf("memory    %s at most: weights %s, keys and values %s, scratch %s\n",
              Bytes(Memory(runtime).peak).c_str(),
              Bytes(Memory(runtime, JUNTO_TAG_WEIGHTS).peak).c_str(),
              Bytes(Memory(runtime, JUNTO_TAG_KV).peak).c_str(),
              Bytes(Memory(runtime, JUNTO_TAG_SCRATCH).peak).c_str());
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

  // Before and after, as other programs may come and go meanwhile.
  std::vector<double> wall = ReadBandwidth(threads, 3);
  TokenSource source(open.info.vocab);
  std::vector<double> prefill, decode, first_token;
  for (uint32_t i = 0; i < options.repetitions; ++i) {
    Measure(open, options, &source, &prefill, &decode, &first_token);
  }
  result.prefill_tokens_per_s = Median(prefill);
  result.decode_tokens_per_s = Median(decode);
  result.first_token_s = Median(first_token);

  const std::vector<double> after = ReadBandwidth(threads, 3);
  wall.insert(wall.end(), after.begin(), after.end());
  result.wall_bytes_per_s = Median(wall);
  const double ceiling = result.wall_bytes_per_s / static_cast<double>(open.info.decode_bytes);
  (options.json ? PrintJson : PrintTable)(options, open, result, ceiling, threads);
  return 0;
}

}  // namespace cli
