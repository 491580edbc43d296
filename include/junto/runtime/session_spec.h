// SessionSpec: what a session is to be like.
#ifndef JUNTO_RUNTIME_SESSION_SPEC_H_
#define JUNTO_RUNTIME_SESSION_SPEC_H_

#include <algorithm>
#include <cstdint>

#include "junto/base/status.h"
#include "junto/kernels/kernels.h"
#include "junto/model/spec.h"

namespace junto {

struct SessionSpec {
  uint32_t context = 0;  // tokens; 0: kDefaultContext or the model's maximum
  uint32_t chunk = 0;    // rows per pass; 0: kDefaultChunk
  KvType kv_type = KvType::kF16;
  uint64_t checkpoint_bytes = 0;  // for states that a prompt may go back to; 0: kDefaultCheckpoints
  uint32_t max_forks = 0;         // that live beside the session at the same time
  uint32_t fork_tokens = 0;       // that each may hold of its own; 0: all of a context

  static constexpr uint32_t kDefaultContext = 4096;
  static constexpr uint32_t kDefaultChunk = 512;
  static constexpr uint64_t kDefaultCheckpoints = 512u << 20;
  static constexpr uint32_t kMaxChunk = 65536;  // counts of rows times experts stay in 32 bits
  static constexpr uint32_t kMaxForks = 4096;

  // Sessions that share the memory, this one included.
  uint32_t family() const { return max_forks + 1; }

  // Fills in the defaults. E_INVALID beyond what the model was made for.
  Status Resolve(const ModelSpec& model) {
    if (context == 0) context = std::min(kDefaultContext, model.context_max);
    if (context > model.context_max) {
      return Status::Make(Code::kInvalid, "context of %u tokens: the model was made for %u",
                          context, model.context_max);
    }
    if (chunk == 0) chunk = kDefaultChunk;
    if (chunk > kMaxChunk) {
      return Status::Make(Code::kInvalid, "passes of %u tokens: at most %u expected", chunk,
                          kMaxChunk);
    }
    if (max_forks > kMaxForks) {
      return Status::Make(Code::kInvalid, "max_forks %u: at most %u expected", max_forks,
                          kMaxForks);
    }
    chunk = std::min(chunk, context);
    if (fork_tokens == 0 || fork_tokens > context) fork_tokens = context;
    if (checkpoint_bytes == 0) checkpoint_bytes = kDefaultCheckpoints;
    return Status();
  }
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_SESSION_SPEC_H_
