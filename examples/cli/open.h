// From options to handles: the part that every command shares.
#ifndef JUNTO_EXAMPLES_CLI_OPEN_H_
#define JUNTO_EXAMPLES_CLI_OPEN_H_

#include "handles.h"
#include "options.h"
#include "terminal.h"

namespace cli {

struct OpenModel {
  Runtime runtime;
  Model model;
  junto_model_info info;
};

Runtime NewRuntime(const ModelOptions& options);

// What the options say of loading. flags: JUNTO_MODEL_*. Options and progress must outlive it.
junto_model_desc ModelDesc(const ModelOptions& options, uint32_t flags, Progress* progress);

// flags: JUNTO_MODEL_*. Shows progress on stderr where that is a terminal.
OpenModel Open(const ModelOptions& options, uint32_t flags = 0);

junto_session_desc SessionDesc(const SessionOptions& options);
Session NewSession(const OpenModel& open, const junto_session_desc& desc);
Prompt NewPrompt(const OpenModel& open);
junto_usage Usage(const junto_session* session);

// Bytes under a tag now and at most; JUNTO_TAG_INVALID is the sum.
struct MemoryUse {
  uint64_t current;
  uint64_t peak;
};
MemoryUse Memory(const junto_runtime* runtime, junto_tag tag = JUNTO_TAG_INVALID);

// A metadata value as text, or "" where the file has no such key.
std::string Meta(const junto_model* model, const std::string& key);

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_OPEN_H_
