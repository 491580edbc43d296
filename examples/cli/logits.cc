// junto logits: what the model thinks comes next, at every position of a row of tokens.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "format.h"
#include "open.h"

namespace cli {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

Failure CannotWrite(const std::string& path) {
  return Failure(Format("'%s' cannot be written: %s", path.c_str(), std::strerror(errno)));
}

// float32 in the machine's byte order, which is little-endian on all that Junto supports.
junto_status JUNTO_CALL WriteRow(void* file, uint64_t, const float* logits, size_t vocab) {
  const size_t written = std::fwrite(logits, sizeof *logits, vocab, static_cast<std::FILE*>(file));
  return written == vocab ? JUNTO_OK : JUNTO_E_IO;
}

}  // namespace

int Logits(const LogitsOptions& options) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(options.out.c_str(), "wb"));
  if (!file) throw CannotWrite(options.out);

  const OpenModel open = Open(options.model);
  junto_session_desc desc = SessionDesc(options.session);
  if (desc.context_tokens == 0) desc.context_tokens = static_cast<uint32_t>(options.tokens.size());
  const Session session = NewSession(open, desc);
  const Prompt prompt = NewPrompt(open);
  junto_error error = NewError();
  Check(junto_prompt_add_tokens(prompt.get(), options.tokens.data(), options.tokens.size(), &error),
        error);
  Check(junto_session_prefill(session.get(), prompt.get(), &error), error);
  const junto_status status = junto_session_evaluate(session.get(), WriteRow, file.get(), &error);
  if (status == JUNTO_E_CALLBACK || std::fflush(file.get()) != 0) throw CannotWrite(options.out);
  Check(status, error);
  if (!options.model.quiet) {
    std::fprintf(stderr, "%s: %zu rows of %u float32\n", options.out.c_str(), options.tokens.size(),
                 open.info.vocab);
  }
  return 0;
}

}  // namespace cli
