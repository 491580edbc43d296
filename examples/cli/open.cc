#include "open.h"

#include <cstdio>

#include "terminal.h"

namespace cli {
namespace {

void JUNTO_CALL Log(void*, junto_log_level, const char* text, size_t size) {
  std::fprintf(stderr, "junto: %.*s\n", static_cast<int>(size), text);
}

}  // namespace

Runtime NewRuntime(const ModelOptions& options) {
  junto_error error = NewError();
  junto_runtime_desc services = Struct(junto_runtime_desc_init);
  services.max_threads = options.threads;
  services.memory_limit = options.memory_limit;
  services.isa_deny = options.isa_deny;
  if (options.verbose) {
    services.log = Log;
    services.log_level = JUNTO_LOG_DEBUG;
  }
  junto_runtime* runtime = nullptr;
  Check(junto_runtime_create(&services, &runtime, &error), error);
  return Runtime(runtime);
}

junto_model_desc ModelDesc(const ModelOptions& options, uint32_t flags, Progress* progress) {
  junto_model_desc desc = Struct(junto_model_desc_init);
  desc.flags = flags | (options.no_map ? JUNTO_MODEL_NO_MAP : 0) |
               (options.keep_cache ? JUNTO_MODEL_KEEP_CACHE : 0) |
               (options.fast ? JUNTO_MODEL_FAST : 0);
  desc.expert_budget = options.expert_budget;
  desc.progress = Progress::OnProgress;
  desc.progress_user = progress;
  if (!options.source.empty()) {
    desc.source = options.source.data();
    desc.source_size = options.source.size();
  }
  return desc;
}

OpenModel Open(const ModelOptions& options, uint32_t flags) {
  junto_error error = NewError();
  OpenModel open{NewRuntime(options), nullptr, Struct(junto_model_info_init)};
  Progress progress(!options.quiet && ErrorIsTerminal());
  const junto_model_desc desc = ModelDesc(options, flags, &progress);
  junto_model* model = nullptr;
  junto_status status = junto_model_load(open.runtime.get(), options.path.data(),
                                         options.path.size(), &desc, &model, &error);
  open.model.reset(model);
  Check(status, error);
  Check(junto_model_get_info(model, &open.info));
  return open;
}

junto_session_desc SessionDesc(const SessionOptions& options) {
  junto_session_desc desc = Struct(junto_session_desc_init);
  desc.context_tokens = options.context;
  desc.prefill_chunk = options.chunk;
  desc.kv_dtype = options.kv;
  desc.checkpoint_bytes = options.checkpoint_bytes;
  return desc;
}

Session NewSession(const OpenModel& open, const junto_session_desc& desc) {
  junto_error error = NewError();
  junto_session* session = nullptr;
  Check(junto_session_create(open.model.get(), &desc, &session, &error), error);
  return Session(session);
}

Prompt NewPrompt(const OpenModel& open) {
  junto_error error = NewError();
  junto_prompt* prompt = nullptr;
  Check(junto_prompt_create(open.model.get(), &prompt, &error), error);
  return Prompt(prompt);
}

junto_usage Usage(const junto_session* session) {
  junto_usage usage = Struct(junto_usage_init);
  Check(junto_session_get_usage(session, &usage));
  return usage;
}

MemoryUse Memory(const junto_runtime* runtime, junto_tag tag) {
  MemoryUse use{};
  Check(junto_runtime_memory(runtime, tag, &use.current, &use.peak));
  return use;
}

std::string Meta(const junto_model* model, const std::string& key) {
  size_t size = 0;
  if (junto_model_get_meta(model, key.data(), key.size(), nullptr, 0, &size) != JUNTO_OK) return "";
  std::string value(size + 1, '\0');
  Check(junto_model_get_meta(model, key.data(), key.size(), value.data(), value.size(), &size));
  value.resize(size);
  return value;
}

}  // namespace cli
