// A host that fails once, at every place where it can: the whole life of a conversation is lived
// again for each call of each service. Whatever fails, the status is right, nothing is written,
// nothing leaks, and the same call made again works.
#include <map>
#include <string>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/sanitized.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

enum class Source { kFile, kUnmappedFile, kSplit, kMemory, kPacked, kUnmappedPacked };

// The life: what fails is repeated once, or the end of it.
class Life {
 public:
  Life(Host* host, Source source, bool repeats) : host_(host), source_(source), repeats_(repeats) {}

  void Run() {
    Tell();
    const auto release = [](auto* function, auto* handle) {
      if (handle != nullptr) function(handle);
    };
    release(junto_runtime_release, runtime_);
    release(junto_model_release, model_);
    release(junto_prompt_release, prompt_);
    for (junto_session* session : sessions_) release(junto_session_release, session);
    release(junto_session_release, fork_);
    release(junto_batch_release, batch_);
  }

  junto_status failure = JUNTO_OK;  // the first one
  std::string failed_call;
  Error err;              // of the first failure
  bool finished = false;  // it came to its end
  std::string text;       // what the sessions said
  std::map<uint64_t, std::vector<float>> logits;

 private:
  void Tell() {
    finished = CreateRuntime() && Load() && Inspect() && Tokens() && FillPrompt() && Converse() &&
               Branch() && Evaluate() && Together();
  }

  template <class F>
  bool Do(const char* call, F f) {
    for (int attempt = 0; attempt < 2; ++attempt) {
      Error now;
      if (f(&now) >= 0) return true;
      if (failure != JUNTO_OK) return false;
      failure = now.status;
      failed_call = call;
      err = now;
      if (!repeats_) return false;
    }
    return false;
  }
  // The same for a call with an out-parameter, which a failure must not touch.
  template <class T, class F>
  bool Make(const char* call, T* out, F f) {
    return Do(call, [&](Error* now) {
      T fresh;
      std::memset(&fresh, 0x5A, sizeof(fresh));
      const T untouched = fresh;
      const junto_status status = f(&fresh, now);
      if (status >= 0) {
        *out = fresh;
      } else if (std::memcmp(&fresh, &untouched, sizeof(T)) != 0) {
        FAIL_CHECK(call << " failed and wrote its result");
      }
      return status;
    });
  }

  bool CreateRuntime() {
    return Make("runtime_create", &runtime_, [&](junto_runtime** out, Error* now) {
      return junto_runtime_create(host_->desc(), out, now);
    });
  }

  static junto_status JUNTO_CALL Progress(void* user, uint64_t done, uint64_t total) {
    CHECK(done <= total);
    return static_cast<Host*>(user)->progress.Hit() ? JUNTO_E_INVALID : JUNTO_OK;
  }
  bool Load() {
    junto_model_desc desc;
    junto_model_desc_init(&desc, sizeof(desc));
    desc.progress = Progress;
    desc.progress_user = host_;
    if (source_ == Source::kUnmappedFile || source_ == Source::kUnmappedPacked) {
      desc.flags = JUNTO_MODEL_NO_MAP;
    }
    std::string name = source_ == Source::kSplit ? "part-00001-of-00003.gguf" : "whole.gguf";
    if (source_ == Source::kPacked || source_ == Source::kUnmappedPacked) {
      if (!Pack(desc)) return false;
      desc.source = "whole.gguf";
      desc.source_size = name.size();
      name = "whole.junto";
    }
    return Make("model_load", &model_, [&](junto_model** out, Error* now) {
      if (source_ == Source::kMemory) {
        return junto_model_load_memory(runtime_, Bytes().data(), Bytes().size(), &desc, out, now);
      }
      return junto_model_load(runtime_, name.data(), name.size(), &desc, out, now);
    });
  }

  bool Pack(const junto_model_desc& desc) {
    return Do("model_pack", [&](Error* now) {
      const junto_status status =
          junto_model_pack(runtime_, "whole.gguf", 10, "whole.junto", 11, &desc, now);
      if (host_->HasFile("whole.junto") != (status == JUNTO_OK)) FAIL_CHECK("half a file is left");
      return status;
    });
  }

  bool Inspect() {
    junto_model_info info;
    junto_model_info_init(&info, sizeof(info));
    uint64_t bytes = 0;
    return Do("get_info", [&](Error*) { return junto_model_get_info(model_, &info); }) &&
           Make("plan", &bytes, [&](uint64_t* out, Error* now) {
             return junto_session_plan(model_, nullptr, JUNTO_TAG_KV, out, now);
           });
  }

  bool Tokens() {
    const std::string said = "zebra caf\xC3\xA9 1";
    size_t count = 0;
    size_t size = 0;
    const bool counted = Make("tokenize", &count, [&](size_t* out, Error* now) {
      return junto_tokenize(model_, said.data(), said.size(), 0, nullptr, 0, out, now);
    });
    if (!counted) return false;
    tokens_.resize(count);
    return Make("tokenize", &count,
                [&](size_t* out, Error* now) {
                  return junto_tokenize(model_, said.data(), said.size(), 0, tokens_.data(), count,
                                        out, now);
                }) &&
           Make("detokenize", &size, [&](size_t* out, Error* now) {
             return junto_detokenize(model_, tokens_.data(), tokens_.size(), 0, nullptr, 0, out,
                                     now);
           });
  }

  bool AddTurn(const std::string& role, const std::string& said) {
    return Do("begin_turn",
              [&](Error* now) {
                return junto_prompt_begin_turn(prompt_, role.data(), role.size(), now);
              }) &&
           Do("add_text",
              [&](Error* now) {
                return junto_prompt_add_text(prompt_, said.data(), said.size(), now);
              }) &&
           Do("end_turn", [&](Error* now) { return junto_prompt_end_turn(prompt_, now); });
  }
  bool SetUpTools() {
    const std::string tools = R"([{"name": "look", "parameters": {"type": "object"}}])";
    return Do("set_template",
              [&](Error* now) {
                const std::string source = TinyModel::kChatMl;
                return junto_prompt_set_template(prompt_, source.data(), source.size(), now);
              }) &&
           Do("set_tools", [&](Error* now) {
             return junto_prompt_set_tools(prompt_, tools.data(), tools.size(), now);
           });
  }
  bool CallTool() {
    const std::string thought = "It must be looked up, and that may take a while.";
    const std::string arguments = R"({"what": "zebra"})";
    return Do("begin_turn",
              [&](Error* now) { return junto_prompt_begin_turn(prompt_, "assistant", 9, now); }) &&
           Do("add_reasoning",
              [&](Error* now) {
                return junto_prompt_add_reasoning(prompt_, thought.data(), thought.size(), now);
              }) &&
           Do("add_tool_call",
              [&](Error* now) {
                return junto_prompt_add_tool_call(prompt_, "look", 4, arguments.data(),
                                                  arguments.size(), now);
              }) &&
           Do("end_turn", [&](Error* now) { return junto_prompt_end_turn(prompt_, now); }) &&
           Do("begin_tool_turn",
              [&](Error* now) { return junto_prompt_begin_tool_turn(prompt_, "look", 4, now); }) &&
           Do("end_turn", [&](Error* now) { return junto_prompt_end_turn(prompt_, now); });
  }
  bool FillPrompt() {
    size_t size = 0;
    return Make("prompt_create", &prompt_,
                [&](junto_prompt** out, Error* now) {
                  return junto_prompt_create(model_, out, now);
                }) &&
           SetUpTools() && AddTurn("system", "Be brief.") && AddTurn("user", "Where?") &&
           CallTool() &&
           Do("add_tokens",
              [&](Error* now) {
                return junto_prompt_add_tokens(prompt_, tokens_.data(), tokens_.size(), now);
              }) &&
           Do("add_text",
              [&](Error* now) { return junto_prompt_add_text(prompt_, " and then", 9, now); }) &&
           AddTurn("user", "Who?") && Make("render", &size, [&](size_t* out, Error* now) {
             return junto_prompt_render(prompt_, nullptr, 0, out, now);
           });
  }

  bool CreateSession(junto_session** session) {
    junto_session_desc desc = SessionDesc(200, 24);
    desc.max_forks = 1;
    desc.fork_tokens = 64;
    junto_sampling sampling;
    junto_sampling_init(&sampling, sizeof(sampling));
    sampling.temperature = 1.0f;
    sampling.max_new_tokens = 6;
    return Make("session_create", session,
                [&](junto_session** out, Error* now) {
                  return junto_session_create(model_, &desc, out, now);
                }) &&
           Do("set_sampling",
              [&](Error* now) { return junto_session_set_sampling(*session, &sampling, now); });
  }
  static junto_status JUNTO_CALL Stream(void* user, const junto_chunk* chunk) {
    auto* self = static_cast<Life*>(user);
    self->text.append(chunk->text, chunk->text_size);
    return self->host_->stream.Hit() ? JUNTO_E_INVALID : JUNTO_OK;
  }
  bool Prefill(junto_session* session) {
    return Do("prefill", [&](Error* now) { return junto_session_prefill(session, prompt_, now); });
  }
  bool Converse() {
    if (!CreateSession(&sessions_[0]) || !Prefill(sessions_[0])) return false;
    for (int i = 0; i < 3; ++i) {
      const bool stepped = Do("step", [&](Error* now) {
        return junto_session_step(sessions_[0], 30, Stream, this, now);
      });
      if (!stepped) return false;
    }
    junto_usage usage;
    junto_usage_init(&usage, sizeof(usage));
    return Do("generate",
              [&](Error* now) {
                return junto_session_generate(sessions_[0], Stream, this, now);
              }) &&
           Do("get_usage", [&](Error*) { return junto_session_get_usage(sessions_[0], &usage); });
  }

  // A fork says what a snapshot of its parent would.
  bool Branch() {
    size_t size = 0;
    const auto snapshot = [&](void* dst, size_t* out, Error* now) {
      return junto_session_snapshot(sessions_[0], dst, saved_.size(), out, now);
    };
    const bool forked = Make("fork", &fork_,
                             [&](junto_session** out, Error* now) {
                               return junto_session_fork(sessions_[0], out, now);
                             }) &&
                        Make("snapshot", &size,
                             [&](size_t* out, Error* now) { return snapshot(nullptr, out, now); });
    if (!forked) return false;
    saved_.resize(size);
    return Make("snapshot", &size,
                [&](size_t* out, Error* now) { return snapshot(saved_.data(), out, now); }) &&
           Do("restore",
              [&](Error* now) { return junto_session_restore(fork_, saved_.data(), size, now); }) &&
           Do("rewind", [&](Error* now) { return junto_session_rewind(fork_, 9, now); }) &&
           Do("generate",
              [&](Error* now) { return junto_session_generate(fork_, Stream, this, now); });
  }

  static junto_status JUNTO_CALL Logits(void* user, uint64_t position, const float* row,
                                        size_t vocab) {
    auto* self = static_cast<Life*>(user);
    self->logits[position].assign(row, row + vocab);
    return self->host_->logits.Hit() ? JUNTO_E_INVALID : JUNTO_OK;
  }
  bool Evaluate() {
    return CreateSession(&sessions_[1]) && Prefill(sessions_[1]) && Do("evaluate", [&](Error* now) {
             return junto_session_evaluate(sessions_[1], Logits, this, now);
           });
  }

  bool Together() {
    const bool begun = Make("batch_create", &batch_, [&](junto_batch** out, Error* now) {
      return junto_batch_create(model_, 2, 32, out, now);
    });
    if (!begun) return false;
    for (junto_session* session : sessions_) {
      const bool added = Prefill(session) && Do("batch_add", [&](Error* now) {
                           return junto_batch_add(batch_, session, now);
                         });
      if (!added) return false;
    }
    junto_status status = JUNTO_YIELDED;
    while (status != JUNTO_DONE) {
      const bool stepped = Do("batch_step", [&](Error* now) {
        status = junto_batch_step(batch_, 100, Stream, this, now);
        return status;
      });
      if (!stepped) return false;
    }
    return Do("batch_remove",
              [&](Error* now) { return junto_batch_remove(batch_, sessions_[0], now); });
  }

 public:
  static const TinyModel& Model() {
    static const TinyModel model = TinyModel::Chat();
    return model;
  }
  static const std::vector<uint8_t>& Bytes() {
    static const std::vector<uint8_t> bytes = Model().Bytes();
    return bytes;
  }

 private:
  Host* host_;
  Source source_;
  bool repeats_;
  junto_runtime* runtime_ = nullptr;
  junto_model* model_ = nullptr;
  junto_prompt* prompt_ = nullptr;
  junto_session* sessions_[2] = {nullptr, nullptr};
  junto_session* fork_ = nullptr;
  std::vector<uint8_t> saved_;
  junto_batch* batch_ = nullptr;
  std::vector<junto_token> tokens_;
};

void AddFiles(Host* host) {
  host->AddFile("whole.gguf", Life::Bytes());
  for (const auto& [name, bytes] : Life::Model().Writer().Split("part", 3)) {
    host->AddFile(name, bytes);
  }
}

// Lets call n of `point` fail, for every n that a life makes; under a sanitizer, which is twenty
// times slower, for every `stride`-th. `failure` OK: nobody notices.
void FailEverywhere(FaultPoint Host::*point, Source source, junto_status failure,
                    uint64_t stride = 1, uint64_t harmless = UINT64_MAX) {
  Host calm;
  calm.map_shift = source == Source::kPacked ? 0 : 1;
  AddFiles(&calm);
  Life expected(&calm, source, false);
  expected.Run();
  INFO(expected.failed_call << ": " << expected.err.text());
  REQUIRE(expected.finished);
  REQUIRE(calm.Faults() == "");
  REQUIRE((calm.*point).calls() > 0);

  for (const bool repeats : {false, true}) {
    uint64_t n = 0;
    for (bool reached = true; reached; n += JUNTO_TEST_SANITIZED ? stride : 1) {
      Host host;
      host.map_shift = source == Source::kPacked ? 0 : 1;
      AddFiles(&host);
      (host.*point).FailAt(n);
      Life life(&host, source, repeats);
      life.Run();
      reached = (host.*point).reached();
      INFO("call " << n << ": " << life.failed_call << ": " << life.err.text());
      REQUIRE(host.Faults() == "");
      REQUIRE(life.failure == (reached && n != harmless ? failure : JUNTO_OK));
      if (life.failure != JUNTO_OK) REQUIRE(life.err.IsLine());
      REQUIRE(life.finished == (repeats || life.failure == JUNTO_OK));
      if (!life.finished) continue;
      REQUIRE(life.logits == expected.logits);
      // A session whose stream callback fails is ended by that.
      if (point != &Host::stream) REQUIRE(life.text == expected.text);
    }
    CHECK(n > 1);
  }
}

TEST_CASE("every allocation may fail") {
  FailEverywhere(&Host::allocations, Source::kFile, JUNTO_E_MEMORY, 2);
}
TEST_CASE("every allocation of a split model may fail") {
  FailEverywhere(&Host::allocations, Source::kSplit, JUNTO_E_MEMORY, 7);
}
TEST_CASE("every allocation of a model in memory may fail") {
  FailEverywhere(&Host::allocations, Source::kMemory, JUNTO_E_MEMORY, 7);
}
TEST_CASE("every allocation of a model that is packed may fail") {
  FailEverywhere(&Host::allocations, Source::kPacked, JUNTO_E_MEMORY, 7);
  FailEverywhere(&Host::allocations, Source::kUnmappedPacked, JUNTO_E_MEMORY, 7);
}
TEST_CASE("every write may fail, and leaves no file") {
  FailEverywhere(&Host::creates, Source::kPacked, JUNTO_E_IO);
  FailEverywhere(&Host::writes, Source::kPacked, JUNTO_E_IO, 7);
  FailEverywhere(&Host::finishes, Source::kPacked, JUNTO_E_IO);
}
TEST_CASE("every file may refuse to open") {
  // The first asks whether a model has the new file's name; no file has it if it does not open.
  FailEverywhere(&Host::opens, Source::kPacked, JUNTO_E_IO, 1, 0);
  FailEverywhere(&Host::opens, Source::kFile, JUNTO_E_IO);
  FailEverywhere(&Host::opens, Source::kSplit, JUNTO_E_IO);
}
TEST_CASE("every read may fail") {
  FailEverywhere(&Host::reads, Source::kUnmappedFile, JUNTO_E_IO, 3);
  FailEverywhere(&Host::reads, Source::kSplit, JUNTO_E_IO);
  FailEverywhere(&Host::reads, Source::kPacked, JUNTO_E_IO, 3);
  FailEverywhere(&Host::reads, Source::kUnmappedPacked, JUNTO_E_IO, 3);
}
TEST_CASE("every mapping may fail, and is read instead") {
  FailEverywhere(&Host::maps, Source::kFile, JUNTO_OK, 3);
  FailEverywhere(&Host::maps, Source::kPacked, JUNTO_OK, 3);
}
TEST_CASE("every parallel_for may fail") {
  FailEverywhere(&Host::tasks, Source::kFile, JUNTO_E_CALLBACK, 29);
  FailEverywhere(&Host::tasks, Source::kPacked, JUNTO_E_CALLBACK, 29);
}
TEST_CASE("every callback may fail") {
  FailEverywhere(&Host::progress, Source::kMemory, JUNTO_E_CALLBACK);
  FailEverywhere(&Host::progress, Source::kPacked, JUNTO_E_CALLBACK);
  FailEverywhere(&Host::stream, Source::kMemory, JUNTO_E_CALLBACK, 3);
  FailEverywhere(&Host::logits, Source::kMemory, JUNTO_E_CALLBACK, 11);
}

}  // namespace
}  // namespace junto
