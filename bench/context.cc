// What a token costs behind a long context, next to one behind a short context.
//
//   context MODEL [TOKENS [ROUNDS [SNAPSHOT]]]     32768 5 if not given
//
// The context is random tokens. SNAPSHOT is restored where there is such a file, else written: a
// context may take minutes to compute, and the answers only seconds to measure. Each round answers
// behind the short context and behind the long one, so both feel the same machine. Prints
// milliseconds for a token: the median of the rounds, the least, the most.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "cli/handles.h"

namespace {

constexpr uint32_t kShort = 16;   // tokens of the short context
constexpr uint32_t kAnswer = 17;  // tokens of an answer, the first of which belongs to its prompt

struct Model {
  explicit Model(const std::string& path) {
    junto_error error = cli::NewError();
    junto_runtime* new_runtime = nullptr;
    cli::Check(junto_runtime_create(nullptr, &new_runtime, &error), error);
    runtime.reset(new_runtime);
    junto_model* new_model = nullptr;
    cli::Check(junto_model_load(new_runtime, path.data(), path.size(), nullptr, &new_model, &error),
               error);
    model.reset(new_model);
    cli::Check(junto_model_get_info(new_model, &info));
  }

  cli::Runtime runtime;
  cli::Model model;
  junto_model_info info = cli::Struct(junto_model_info_init);
};

class Context {
 public:
  Context(const Model& model, uint32_t tokens, uint32_t rounds)
      : model_(model.model.get()), vocab_(model.info.vocab), tokens_(tokens) {
    junto_error error = cli::NewError();
    junto_session_desc desc = cli::Struct(junto_session_desc_init);
    desc.context_tokens = tokens + (rounds + 1) * (kAnswer + 1);
    junto_session* session = nullptr;
    cli::Check(junto_session_create(model_, &desc, &session, &error), error);
    session_.reset(session);
  }

  // Computes the context, or takes it from the file and says so.
  bool Fill(const std::string& snapshot) {
    junto_error error = cli::NewError();
    std::ifstream file(snapshot, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    if (!bytes.empty()) {
      cli::Check(junto_session_restore(session_.get(), bytes.data(), bytes.size(), &error), error);
      return true;
    }
    std::mt19937 random(1);
    std::vector<junto_token> tokens(tokens_);
    for (junto_token& token : tokens) token = static_cast<junto_token>(random() % vocab_);
    junto_prompt* new_prompt = nullptr;
    cli::Check(junto_prompt_create(model_, &new_prompt, &error), error);
    const cli::Prompt prompt(new_prompt);
    cli::Check(junto_prompt_add_tokens(new_prompt, tokens.data(), tokens.size(), &error), error);
    cli::Check(junto_session_prefill(session_.get(), new_prompt, &error), error);
    Generate(1);
    if (!snapshot.empty()) Save(snapshot);
    return false;
  }

  // Milliseconds for each token of an answer, which goes on from the last one.
  double Answer() {
    junto_error error = cli::NewError();
    cli::Check(junto_session_rewind(session_.get(), Usage().position + 1, &error), error);
    Generate(kAnswer);
    const junto_usage usage = Usage();
    if (usage.prompt_tokens != usage.cached_tokens + 1 || usage.new_tokens != kAnswer) {
      throw cli::Failure("an answer that did not go on where the last one ended");
    }
    return static_cast<double>(usage.decode_ns) * 1e-6 / (kAnswer - 1);
  }

 private:
  junto_usage Usage() const {
    junto_usage usage = cli::Struct(junto_usage_init);
    cli::Check(junto_session_get_usage(session_.get(), &usage));
    return usage;
  }

  void Generate(uint32_t tokens) {
    junto_error error = cli::NewError();
    junto_sampling sampling = cli::Struct(junto_sampling_init);
    sampling.max_new_tokens = tokens;
    cli::Check(junto_session_set_sampling(session_.get(), &sampling, &error), error);
    const auto ignore = [](void*, const junto_chunk*) { return JUNTO_OK; };
    cli::Check(junto_session_generate(session_.get(), ignore, nullptr, &error), error);
  }

  void Save(const std::string& path) {
    junto_error error = cli::NewError();
    size_t size = 0;
    cli::Check(junto_session_snapshot(session_.get(), nullptr, 0, &size, &error), error);
    std::vector<char> bytes(size);
    cli::Check(junto_session_snapshot(session_.get(), bytes.data(), size, &size, &error), error);
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(size));
  }

  junto_model* model_;
  uint32_t vocab_;
  uint32_t tokens_;
  cli::Session session_;
};

double Print(uint32_t tokens, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const double median = values[values.size() / 2];
  std::printf("behind %6u tokens: median %8.2f  least %8.2f  most %8.2f ms\n", tokens, median,
              values.front(), values.back());
  return median;
}

void Run(const std::string& path, uint32_t tokens, uint32_t rounds, const std::string& snapshot) {
  const Model model(path);
  Context brief(model, kShort, rounds);
  Context wide(model, tokens, rounds);
  brief.Fill("");
  if (!wide.Fill(snapshot) && !snapshot.empty()) {
    std::printf("%s is written\n", snapshot.c_str());
    return;
  }
  brief.Answer();
  wide.Answer();
  std::vector<double> few, many;
  for (uint32_t i = 0; i < rounds; ++i) {
    few.push_back(brief.Answer());
    many.push_back(wide.Answer());
  }
  const double base = Print(kShort, few);
  const double cost = Print(tokens, many);
  std::printf("%.3f times\n", cost / base);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 1;
  const auto number = [&](int i, int otherwise) {
    return static_cast<uint32_t>(argc > i ? std::atoi(argv[i]) : otherwise);
  };
  try {
    Run(argv[1], number(2, 32768), std::max(number(3, 5), 1u), argc > 4 ? argv[4] : "");
  } catch (const cli::Failure& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
}
