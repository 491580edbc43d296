// The junto program: what junto.h offers, on the command line. This file says what can be typed.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "options.h"
#include "terminal.h"

namespace cli {
namespace {

struct Help {
  const char* summary;
  const char* details;  // shown after the options
};

constexpr Help kAbout = {"Run mixture-of-experts language models on the CPU.",
                         R"(Begin with
  junto run model.gguf -p "Why is the sky blue?"    one answer
  junto run model.gguf                              a conversation
  junto inspect model.gguf                          what it is and what memory it takes

MODEL is a GGUF file, of a split model its first file, a directory of Hugging Face with safetensors,
or what `junto pack` has made of one of these. `junto COMMAND --help` says more.)"};

constexpr Help kRun = {"Answer a prompt, or hold a conversation.",
                       R"(Examples
  junto run model.gguf -p "Name three rivers."        one question, in the model's own markup
  junto run model.gguf --chat --system "Be brief."    a conversation
  echo "Translate: house" | junto run model.gguf      the prompt from standard input
  junto run model.gguf -p "Once upon" --raw -n 50     go on from a text, 50 tokens
  junto run model.gguf -p Hello --temp 0.8 --seed 7   a sample that can be repeated
  junto run gpt-oss-20b.gguf -p Hello --set reasoning_effort=low

The answer goes to standard output as it comes, and so does each call of a tool, on a line
"call NAME ARGUMENTS"; Ctrl-C stops it. What the model thinks before is dimmed on a terminal and
left out elsewhere. Without --temp the most likely token is taken each time, so the same
question gets the same answer.)"};

constexpr Help kLogits = {"Write the model's logits for a row of tokens.",
                          R"(Examples
  junto logits model.gguf --tokens 1,2,3 --out logits.f32
  junto logits model.gguf --tokens $(junto tokenize model.gguf "A text") --out logits.f32

FILE gets one row of float32, little-endian, for each token: what is likely to follow it.)"};

constexpr Help kBench = {"Measure loading, prefill and decode against what the machine can do.",
                         R"(Examples
  junto bench model.gguf                       512 tokens of prompt, 32 new ones
  junto bench model.gguf -p 2048 -n 128 -t 8
  junto bench model.gguf --json                one JSON object for scripts

Each new token reads the active weights once. The ceiling is how often per second this machine
can read that many bytes, measured in the same run with the same number of threads. Each token of
a prompt is multiplied with the active weights: that is held against the multiply-adds of 8-bit
integers that the processor can do.)"};

constexpr Help kInspect = {
    "Say what a model is and what memory it takes, without reading its weights.",
    R"(Examples
  junto inspect model.gguf
  junto inspect model.gguf -c 32768 --kv f32    the memory of a longer session
  junto inspect model.gguf --key general.name   one metadata value)"};

constexpr Help kTokenize = {"Show text as the model reads it.",
                            R"(Examples
  junto tokenize model.gguf "Hello, world"            token ids, with commas between them
  junto tokenize model.gguf --pieces "Hello, world"   one token and its text on each line
  junto tokenize model.gguf < text.txt)"};

constexpr Help kPack = {"Make a file of a model that loads at once.",
                        R"(Examples
  junto pack gpt-oss-20b.gguf gpt-oss-20b.junto
  junto run gpt-oss-20b.junto -p Hello
  junto run gpt-oss-20b.junto -p Hello --source gpt-oss-20b.gguf    fail if it is of another

FILE holds the weights as Junto lays them out in memory: it is mapped and used in place, shared by
all processes that do. It takes as much disk as MODEL, is for this build of Junto or those that lay
out weights likewise, and needs MODEL no more. An existing FILE is replaced when all is written.)"};

[[noreturn]] void Reject(const std::string& option, const std::string& why) {
  throw CLI::ValidationError(option, why);
}

// A check of numbers that says what it found.
CLI::Validator AtLeast(int least) {
  return CLI::Validator(
      [least](const std::string& text) {
        double value;
        if (CLI::detail::lexical_cast(text, value) && value >= least) return std::string();
        return "a number of at least " + std::to_string(least) + " expected, '" + text + "' found";
      },
      "N");
}

CLI::App* AddCommand(CLI::App* app, const char* name, const Help& help) {
  CLI::App* command = app->add_subcommand(name, help.summary);
  command->footer(help.details);
  return command;
}

void AddModelFile(CLI::App* command, ModelOptions* options) {
  command->add_option("MODEL", options->path, "the model's file")->required()->option_text(" ");
  command->add_flag("--no-map", options->no_map, "read the file instead of mapping it");
  command->add_flag("--keep-cache", options->keep_cache,
                    "leave a large file in the system's cache after loading it");
  command->add_flag("--fast", options->fast,
                    "oneDNN for the prompts of F32, F16 and BF16 models; bits may differ");
  command->add_flag("-q,--quiet", options->quiet, "nothing but the result");
  command->add_flag("-v,--verbose", options->verbose, "what the library logs, on standard error");
}

void AddModel(CLI::App* command, ModelOptions* options) {
  AddModelFile(command, options);
  command
      ->add_option("--source", options->source,
                   "fail if the packed MODEL was not made of this GGUF file")
      ->option_text("FILE");
}

void AddCompute(CLI::App* command, ModelOptions* options) {
  command->add_option("-t,--threads", options->threads, "threads; one per core if not given")
      ->check(AtLeast(1))
      ->option_text("N");
  command
      ->add_option("--memory-limit", options->memory_limit, "fail rather than take more, as 8GiB")
      ->transform(CLI::AsSizeValue(false))
      ->option_text("BYTES");
  // Highway's bits of x86-64 instruction sets: the better one has the lower.
  static const std::map<std::string, uint64_t> kIsas = {
      {"sse4", 1u << 11}, {"avx2", 1u << 9}, {"avx512", 1u << 8}, {"avx512vnni", 1u << 7}};
  command
      ->add_option_function<std::string>(
          "--isa",
          [options](const std::string& name) {
            const auto best = kIsas.find(name);
            if (best == kIsas.end())
              Reject("--isa", "sse4, avx2, avx512 or avx512vnni expected, '" + name + "' found");
            options->isa_deny = best->second - 1;
          },
          "no instructions beyond sse4, avx2, avx512 or avx512vnni")
      ->option_text("NAME");
}

void AddExpertBudget(CLI::App* command, ModelOptions* options) {
  command
      ->add_option("--expert-budget", options->expert_budget,
                   "of a packed model's experts keep so many bytes in memory, as 4GiB, and read "
                   "the others as they are needed")
      ->transform(CLI::AsSizeValue(false))
      ->option_text("BYTES");
}

void AddKv(CLI::App* command, SessionOptions* options) {
  static const std::map<std::string, junto_dtype> kTypes = {
      {"f16", JUNTO_F16}, {"bf16", JUNTO_BF16}, {"f32", JUNTO_F32}};
  command
      ->add_option_function<std::string>(
          "--kv",
          [options](const std::string& name) {
            const auto type = kTypes.find(name);
            if (type == kTypes.end())
              Reject("--kv", "f16, bf16 or f32 expected, '" + name + "' found");
            options->kv = type->second;
          },
          "type of keys and values: f16 (default), bf16, f32")
      ->option_text("TYPE");
}

void AddContext(CLI::App* command, SessionOptions* options) {
  command
      ->add_option("-c,--context", options->context,
                   "tokens of prompt and answer together; 4096 if not given")
      ->check(AtLeast(1))
      ->option_text("N");
}

void AddChunk(CLI::App* command, SessionOptions* options) {
  command->add_option("--chunk", options->chunk, "tokens of prompt in one pass; 512 if not given")
      ->check(AtLeast(1))
      ->option_text("N");
}

void AddCheckpoints(CLI::App* command, SessionOptions* options) {
  command
      ->add_option("--checkpoint-bytes", options->checkpoint_bytes,
                   "for states of recurrent layers to return to, as 1GiB; 512MiB if not given, 1 "
                   "for none")
      ->transform(CLI::AsSizeValue(false))
      ->check(AtLeast(1))
      ->option_text("BYTES");
}

void AddSampling(CLI::App* command, junto_sampling* sampling) {
  const auto add = [command](const char* name, auto* value, const char* text) {
    command->add_option(name, *value, text)->group("Sampling")->check(AtLeast(0))->option_text("X");
  };
  add("--temp", &sampling->temperature, "temperature; 0 (default) takes the likeliest token");
  add("--top-k", &sampling->top_k, "choose among the K likeliest; 0 (default) is off");
  add("--top-p", &sampling->top_p, "choose among the likeliest that make up P; 0 is off");
  add("--min-p", &sampling->min_p, "leave out what is less likely than P times the best; 0 is off");
  add("--repeat-penalty", &sampling->repeat_penalty, "above 1 makes repetition less likely");
  add("--presence-penalty", &sampling->presence_penalty, "lowers tokens that have occurred");
  add("--frequency-penalty", &sampling->frequency_penalty, "lowers tokens each time they occur");
  add("--seed", &sampling->seed, "another number, another sample; 0 if not given");
}

// "NAME=VALUE" of every --set.
void AddVariables(CLI::App* command, RunOptions* options) {
  command
      ->add_option_function<std::vector<std::string>>(
          "--set",
          [options](const std::vector<std::string>& settings) {
            for (const std::string& setting : settings) {
              const size_t split = setting.find('=');
              if (split == std::string::npos) {
                Reject("--set", "NAME=VALUE expected, '" + setting + "' found");
              }
              options->variables.emplace_back(setting.substr(0, split), setting.substr(split + 1));
            }
          },
          "a variable of the model's chat markup; may be repeated")
      ->option_text("NAME=VALUE")
      ->expected(1)
      ->take_all();
}

void AddRun(CLI::App* app, RunOptions* options, int* status) {
  CLI::App* command = AddCommand(app, "run", kRun);
  AddModel(command, &options->model);
  CLI::Option* prompt =
      command->add_option("-p,--prompt", options->prompt, "what to answer")->option_text("TEXT");
  command->add_flag("--chat", options->chat, "hold a conversation; -p is its first turn");
  command->add_flag("--raw", options->raw, "go on from the text as it is, without chat markup");
  command->add_option("--system", options->system, "how the model should behave")
      ->option_text("TEXT");
  command
      ->add_option("--tools", options->tools,
                   "functions that the model may call, as a JSON array; --chat asks for results")
      ->check(CLI::ExistingFile)
      ->option_text("FILE");
  AddVariables(command, options);
  command
      ->add_option("-n", options->sampling.max_new_tokens,
                   "most tokens of an answer; no limit but the context if not given")
      ->option_text("N");
  AddContext(command, &options->session);
  AddChunk(command, &options->session);
  AddKv(command, &options->session);
  AddCheckpoints(command, &options->session);
  AddCompute(command, &options->model);
  AddExpertBudget(command, &options->model);
  AddSampling(command, &options->sampling);
  command->callback([=] {
    options->has_prompt = prompt->count() != 0;
    *status = Run(*options);
  });
}

void AddLogits(CLI::App* app, LogitsOptions* options, int* status) {
  CLI::App* command = AddCommand(app, "logits", kLogits);
  AddModel(command, &options->model);
  command->add_option("--tokens", options->tokens, "token ids with commas between them")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->option_text("IDS")
      ->required();
  command->add_option("--out", options->out, "the file to write")->required()->option_text("FILE");
  AddContext(command, &options->session);
  AddChunk(command, &options->session);
  AddKv(command, &options->session);
  AddCompute(command, &options->model);
  AddExpertBudget(command, &options->model);
  command->callback([=] { *status = Logits(*options); });
}

void AddBench(CLI::App* app, BenchOptions* options, int* status) {
  CLI::App* command = AddCommand(app, "bench", kBench);
  AddModel(command, &options->model);
  command
      ->add_option("-p,--prompt", options->prompt_tokens, "tokens of prompt; 512 if not given")

      ->check(AtLeast(1))
      ->option_text("N");
  command
      ->add_option("-n", options->new_tokens, "new tokens; 32 if not given")

      ->check(AtLeast(1))
      ->option_text("N");
  command
      ->add_option("-r,--repetitions", options->repetitions,
                   "how often; the medians count; 3 if not given")

      ->check(AtLeast(1))
      ->option_text("N");
  command->add_flag("--json", options->json, "one JSON object instead of a table");
  AddChunk(command, &options->session);
  AddKv(command, &options->session);
  AddCheckpoints(command, &options->session);
  AddCompute(command, &options->model);
  AddExpertBudget(command, &options->model);
  command->callback([=] { *status = Bench(*options); });
}

void AddInspect(CLI::App* app, InspectOptions* options, int* status) {
  CLI::App* command = AddCommand(app, "inspect", kInspect);
  AddModel(command, &options->model);
  command->add_option("--key", options->keys, "print only this metadata value; may be repeated")
      ->option_text("NAME")
      ->expected(1)
      ->take_all();
  AddExpertBudget(command, &options->model);
  AddContext(command, &options->session);
  AddChunk(command, &options->session);
  AddKv(command, &options->session);
  AddCheckpoints(command, &options->session);
  command->callback([=] { *status = Inspect(*options); });
}

void AddTokenize(CLI::App* app, TokenizeOptions* options, int* status) {
  CLI::App* command = AddCommand(app, "tokenize", kTokenize);
  AddModel(command, &options->model);
  CLI::Option* text =
      command->add_option("TEXT", options->text, "standard input if not given")->option_text(" ");
  command->add_flag("--pieces", options->pieces, "one token and its text on each line");
  command->add_flag("--no-special", options->no_special, "read \"<|im_end|>\" and such as text");
  command->add_flag("--no-bos", options->no_bos, "leave out the token that begins a text");
  command->callback([=] {
    options->has_text = text->count() != 0;
    *status = Tokenize(*options);
  });
}

void AddPack(CLI::App* app, PackOptions* options, int* status) {
  CLI::App* command = AddCommand(app, "pack", kPack);
  AddModelFile(command, &options->model);
  command->add_option("FILE", options->out, "the file to write")->required()->option_text(" ");
  AddCompute(command, &options->model);
  command->callback([=] { *status = Pack(*options); });
}

std::string Version() {
  const uint32_t v = junto_version();
  return "junto " + std::to_string(v >> 16) + "." + std::to_string(v >> 8 & 0xFF) + "." +
         std::to_string(v & 0xFF) + "\n" + junto_build_info();
}

int UsageError(const CLI::App& app, const CLI::ParseError& error) {
  const auto commands = app.get_subcommands();
  const auto unknown = app.remaining();
  std::string message = error.what();
  if (commands.empty() && !unknown.empty()) message = "'" + unknown.front() + "' is not a command";
  const std::string command = commands.empty() ? "" : commands.front()->get_name() + " ";
  std::fprintf(stderr, "junto: %s\n       `junto %s--help` says more\n", message.c_str(),
               command.c_str());
  return 2;
}

int Main(int argc, char** argv) {
  CLI::App app(kAbout.summary, "junto");
  app.footer(kAbout.details);
  app.require_subcommand(1);
  app.set_version_flag("--version", Version);
  app.get_formatter()->column_width(34);

  int status = 0;
  RunOptions run;
  LogitsOptions logits;
  BenchOptions bench;
  InspectOptions inspect;
  TokenizeOptions tokenize;
  PackOptions pack;
  AddRun(&app, &run, &status);
  AddLogits(&app, &logits, &status);
  AddBench(&app, &bench, &status);
  AddInspect(&app, &inspect, &status);
  AddTokenize(&app, &tokenize, &status);
  AddPack(&app, &pack, &status);
  try {
    app.parse(argc, argv);
    return status;
  } catch (const CLI::ParseError& error) {
    return error.get_exit_code() == 0 ? app.exit(error) : UsageError(app, error);
  } catch (const Failure& failure) {
    Explain(failure);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "junto: out of memory\n");
  }
  return 1;
}

}  // namespace
}  // namespace cli

int main(int argc, char** argv) { return cli::Main(argc, argv); }
