// The runtime with everything a host would bring, for tests that use the C++ classes directly.
#ifndef JUNTO_TESTS_SUPPORT_RUNTIME_H_
#define JUNTO_TESTS_SUPPORT_RUNTIME_H_

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "c_api/dispatch.h"
#include "c_api/os/clock.h"
#include "c_api/os/files.h"
#include "c_api/os/memory.h"
#include "c_api/pool.h"
#include "junto/huggingface/directory.h"
#include "junto/runtime/batch.h"
#include "junto/runtime/session.h"

namespace junto {
namespace test {

class SteadyClock final : public Clock {
 public:
  uint64_t Nanoseconds() override { return MonotonicNanoseconds(); }
};

inline void RequireOk(const Status& status) {
  INFO(status.message());
  REQUIRE(status.ok());
}

// Owns the services that models and sessions borrow.
struct Host {
  explicit Host(uint32_t threads = 1, const KernelTable* table = nullptr) : memory(&allocator, 0) {
    RequireOk(ThreadPool::Create(&memory, threads, &executor));
    services.memory = &memory;
    services.executor = executor.get();
    services.kernels = table != nullptr ? table : SupportedKernels()[0];
  }

  Owned<Gguf> Open(const std::string& path) {
    Owned<Gguf> gguf;
    RequireOk(Gguf::Open(&files, path, &memory, &gguf));
    return gguf;
  }
  Owned<Model> Load(const std::string& path, const LoadOptions& options = {}) {
    ModelFile file;
    Owned<Model> model;
    RequireOk(OpenModel(&files, path, &memory, &file));
    RequireOk(Model::Load(std::move(file), services, options, &model));
    return model;
  }

  OsAllocator allocator;
  Memory memory;
  OsFileSystem files;
  SteadyClock clock;
  Owned<Executor> executor;
  Services services;
};

// All logits that evaluate hands out, row after row.
class LogitsCollector final : public LogitsSink {
 public:
  Status Take(uint64_t position, const float* logits, size_t vocab) override {
    positions.push_back(position);
    rows.insert(rows.end(), logits, logits + vocab);
    return Status();
  }
  std::vector<uint64_t> positions;
  std::vector<float> rows;
};

inline SessionSpec SpecOf(uint32_t context, uint32_t chunk, KvType type) {
  SessionSpec spec;
  spec.context = context;
  spec.chunk = chunk;
  spec.kv_type = type;
  return spec;
}

// The logits of every position of `tokens` in a fresh session.
inline std::vector<float> LogitsOf(Host* host, const Model& model,
                                   const std::vector<int32_t>& tokens, uint32_t chunk,
                                   KvType type = KvType::kF32) {
  Owned<Session> session;
  RequireOk(Session::Create(model, &host->clock,
                            SpecOf(static_cast<uint32_t>(tokens.size()), chunk, type), &session));
  Prompt prompt(&model);
  RequireOk(prompt.AddTokens({tokens.data(), tokens.size()}));
  RequireOk(session->Prefill(prompt));
  LogitsCollector collector;
  RequireOk(session->Evaluate(&collector));
  return collector.rows;
}

// A whole tensor of the file, as T.
template <class T>
std::vector<T> ReadTensor(Gguf* gguf, const char* name) {
  const TensorInfo* tensor = gguf->FindTensor(name);
  REQUIRE(tensor != nullptr);
  std::vector<T> values(tensor->bytes / sizeof(T));
  RequireOk(gguf->Read(*tensor, 0, values.data(), tensor->bytes));
  return values;
}

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_RUNTIME_H_
