// What the commands can be told. main.cc fills these from the command line.
#ifndef JUNTO_EXAMPLES_CLI_OPTIONS_H_
#define JUNTO_EXAMPLES_CLI_OPTIONS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "handles.h"

namespace cli {

struct ModelOptions {
  std::string path;
  std::string source;          // GGUF that a packed file must be of; empty = any
  uint32_t threads = 0;        // 0 = one per core
  uint64_t memory_limit = 0;   // bytes; 0 = none
  uint64_t expert_budget = 0;  // bytes of experts in memory; 0 = all
  uint64_t isa_deny = 0;       // junto_runtime_desc.isa_deny
  bool no_map = false;
  bool keep_cache = false;
  bool fast = false;
  bool verbose = false;
  bool quiet = false;
};

struct SessionOptions {
  uint32_t context = 0;           // tokens; 0 = the library's choice
  uint32_t chunk = 0;             // tokens per pass; 0 = the library's choice
  uint64_t checkpoint_bytes = 0;  // of recurrent layers; 0 = the library's choice
  junto_dtype kv = JUNTO_F16;
};

struct RunOptions {
  ModelOptions model;
  SessionOptions session;
  junto_sampling sampling = Struct(junto_sampling_init);
  std::string prompt;
  bool has_prompt = false;
  bool chat = false;
  bool raw = false;
  std::string system;
  std::string tools;  // path of a JSON file; empty = none
  std::vector<std::pair<std::string, std::string>> variables;
};

struct LogitsOptions {
  ModelOptions model;
  SessionOptions session;
  std::vector<junto_token> tokens;
  std::string out;
};

struct BenchOptions {
  ModelOptions model;
  SessionOptions session;
  uint32_t prompt_tokens = 512;
  uint32_t new_tokens = 32;
  uint32_t repetitions = 3;
  bool json = false;
};

struct InspectOptions {
  ModelOptions model;
  SessionOptions session;
  std::vector<std::string> keys;
};

struct TokenizeOptions {
  ModelOptions model;
  std::string text;
  bool has_text = false;
  bool pieces = false;
  bool no_special = false;
  bool no_bos = false;
};

struct PackOptions {
  ModelOptions model;
  std::string out;
};

// Each returns the exit status, 0 or 1, and throws Failure.
int Run(const RunOptions& options);
int Logits(const LogitsOptions& options);
int Bench(const BenchOptions& options);
int Inspect(const InspectOptions& options);
int Tokenize(const TokenizeOptions& options);
int Pack(const PackOptions& options);

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_OPTIONS_H_
