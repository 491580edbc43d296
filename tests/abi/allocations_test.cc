// After a session was made, running it allocates nothing: neither from the host nor behind its
// back. The C library's allocation functions are replaced by ones that count while a trap is set.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/handles.h"
#include "tests/support/sanitized.h"
#include "tests/support/tiny_model.h"

namespace {

std::atomic<bool> trap_is_set{false};
std::atomic<uint64_t> trapped{0};

thread_local bool set_here = false;

void Count() {
#if JUNTO_TEST_SANITIZED
  if (!set_here) return;  // a sanitizer allocates for threads that begin
#endif
  if (trap_is_set.load(std::memory_order_relaxed)) ++trapped;
}

}  // namespace

#if JUNTO_TEST_SANITIZED
// A sanitizer owns these functions and tells of every call, operator new included.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, size_t),
                                                         void (*)(const volatile void*));
namespace {
const int hooks_installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { Count(); }, [](const volatile void*) { Count(); });
}  // namespace
#elif defined(__GLIBC__)
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t size) {
  Count();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  Count();
  return __libc_calloc(count, size);
}
void* realloc(void* p, size_t size) {
  Count();
  return __libc_realloc(p, size);
}
void* memalign(size_t alignment, size_t size) {
  Count();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  Count();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** p, size_t alignment, size_t size) {
  Count();
  *p = __libc_memalign(alignment, size);
  return *p == nullptr ? 12 : 0;
}
void free(void* p) {
  if (p != nullptr) Count();
  __libc_free(p);
}
void* mmap(void* at, size_t size, int protection, int flags, int file, off_t offset) {
  Count();
  return reinterpret_cast<void*>(syscall(SYS_mmap, at, size, protection, flags, file, offset));
}
int munmap(void* at, size_t size) {
  Count();
  return static_cast<int>(syscall(SYS_munmap, at, size));
}
}
#endif

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

// Sets the trap while f runs; how often it was sprung.
template <class F>
uint64_t Trapped(const F& f) {
  trapped = 0;
  set_here = true;
  trap_is_set = true;
  f();
  trap_is_set = false;
  return trapped;
}

TEST_CASE("the trap works") {
  static volatile size_t size = 100;
#if JUNTO_TEST_SANITIZED
  REQUIRE(hooks_installed != 0);
#elif !defined(__GLIBC__)
  return;
#endif
  static void* volatile p;  // or the compiler would see that nobody wants the block
  CHECK(Trapped([] {
          p = std::malloc(size);
          std::free(p);
        }) >= 2);
  CHECK(Trapped([] {
          p = ::operator new(size);
          ::operator delete(p);
        }) >= 2);
  CHECK(Trapped([] {
          p = std::calloc(size, 2);
          std::free(p);
        }) >= 2);
  CHECK(Trapped([] {
          void* block = nullptr;
          const int refused = posix_memalign(&block, 64, size);
          p = refused == 0 ? block : nullptr;
          std::free(p);
        }) >= 2);
}

// What callbacks write to; it must not allocate either.
struct Counts {
  uint64_t chunks = 0;
  uint64_t tokens = 0;
  uint64_t rows = 0;
  static junto_status JUNTO_CALL TakeChunk(void* user, const junto_chunk* chunk) {
    auto* self = static_cast<Counts*>(user);
    ++self->chunks;
    self->tokens += chunk->token_count;
    return JUNTO_OK;
  }
  static junto_status JUNTO_CALL TakeRow(void* user, uint64_t, const float*, size_t) {
    ++static_cast<Counts*>(user)->rows;
    return JUNTO_OK;
  }
};

// The library's threads are created before the trap is set; its memory comes from malloc, so that
// the trap sees what a host's allocator would.
struct Setup {
  Setup(const std::vector<uint8_t>& bytes, uint32_t threads, std::vector<junto_token> tokens,
        uint64_t expert_budget = 0) {
    junto_runtime_desc desc;
    junto_runtime_desc_init(&desc, sizeof(desc));
    desc.max_threads = threads;
    runtime = CreateRuntime(&desc);
    model = expert_budget == 0 ? LoadBytes(runtime.get(), bytes) : Stream(bytes, expert_budget);
    prompt = TokenPrompt(model, tokens);
    tokens.resize(tokens.size() - 3);
    other = TokenPrompt(model, tokens);
    for (SessionHandle& session : sessions) {
      session = CreateSession(model, SessionDesc(128, 16));
      junto_sampling sampling;
      junto_sampling_init(&sampling, sizeof(sampling));
      sampling.temperature = 0.8f;
      sampling.top_k = 30;
      sampling.top_p = 0.9f;
      sampling.min_p = 0.01f;
      sampling.repeat_penalty = 1.1f;
      sampling.frequency_penalty = 0.1f;
      sampling.max_new_tokens = 10;
      REQUIRE(junto_session_set_sampling(session.get(), &sampling, nullptr) == JUNTO_OK);
      REQUIRE(junto_session_add_stop(session.get(), "never", 5, nullptr) == JUNTO_OK);
    }
    junto_batch* created = nullptr;
    REQUIRE(junto_batch_create(model.get(), 2, 24, &created, nullptr) == JUNTO_OK);
    batch.reset(created);
  }

  // From a packed file on the disk.
  ModelHandle Stream(const std::vector<uint8_t>& bytes, uint64_t expert_budget) const {
    const std::string name = "allocations_test." + std::to_string(getpid());
    const std::string packed = name + ".junto";
    std::ofstream(name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    Error err;
    junto_model* loaded = nullptr;
    REQUIRE_OK(junto_model_pack(runtime.get(), name.data(), name.size(), packed.data(),
                                packed.size(), nullptr, &err));
    junto_model_desc desc;
    junto_model_desc_init(&desc, sizeof(desc));
    desc.expert_budget = expert_budget;
    REQUIRE_OK(junto_model_load(runtime.get(), packed.data(), packed.size(), &desc, &loaded, &err));
    std::remove(name.c_str());
    std::remove(packed.c_str());
    return ModelHandle(loaded);
  }

  RuntimeHandle runtime;
  ModelHandle model;
  PromptHandle prompt;
  PromptHandle other;
  SessionHandle sessions[2];
  BatchHandle batch;
};

TEST_CASE("running allocates nothing") {
  const struct {
    const char* name;
    std::vector<uint8_t> bytes;
    uint64_t expert_budget = 0;
  } models[] = {{"chat", TinyModel::Chat().Bytes()},
                {"gpt_oss_mxfp4", ParityModel("gpt_oss_mxfp4")},
                {"llama_mixed", ParityModel("llama_mixed")},
                {"gemma4_q4_k", ParityModel("gemma4_q4_k")},
                {"gemma4_shared_q4_k", ParityModel("gemma4_shared_q4_k")},
                {"mimo2_q4_k", ParityModel("mimo2_q4_k")},
                {"mimo2_q4_k, streaming", ParityModel("mimo2_q4_k"), 300 << 10},
                {"mixtral, streaming", ParityModel("mixtral"), 300 << 10}};
  for (const auto& [name, bytes, expert_budget] : models) {
    for (const uint32_t threads : {1u, 2u}) {
      std::vector<junto_token> tokens;
      for (junto_token i = 0; i < 40; ++i) tokens.push_back(i);
      Setup setup(bytes, threads, tokens, expert_budget);
      junto_session* first = setup.sessions[0].get();
      junto_session* second = setup.sessions[1].get();
      Counts counts;
      junto_error err;
      junto_error_init(&err, sizeof(err));
      junto_usage usage;
      junto_usage_init(&usage, sizeof(usage));
      bool ok = true;
      const auto expect = [&ok](junto_status status, junto_status wanted) {
        ok = ok && status == wanted;
      };
      const uint64_t found = Trapped([&] {
        expect(junto_session_prefill(first, setup.prompt.get(), &err), JUNTO_OK);
        junto_status status = JUNTO_YIELDED;
        for (int i = 0; i < 50 && status == JUNTO_YIELDED; ++i) {
          status = junto_session_step(first, 1000, Counts::TakeChunk, &counts, &err);
        }
        if (status == JUNTO_YIELDED) {
          status = junto_session_generate(first, Counts::TakeChunk, &counts, &err);
        }
        expect(status, JUNTO_DONE);
        expect(junto_session_get_usage(first, &usage), JUNTO_OK);

        expect(junto_session_prefill(second, setup.other.get(), &err), JUNTO_OK);
        expect(junto_session_evaluate(second, Counts::TakeRow, &counts, &err), JUNTO_OK);
        expect(junto_session_prefill(second, setup.prompt.get(), &err), JUNTO_OK);
        expect(junto_session_generate(second, nullptr, nullptr, &err), JUNTO_DONE);
        char text[64];
        size_t size = 0;
        expect(junto_session_read(second, text, sizeof(text), &size), JUNTO_OK);

        for (junto_session* session : {first, second}) {
          expect(junto_session_prefill(session, setup.other.get(), &err), JUNTO_OK);
          expect(junto_batch_add(setup.batch.get(), session, &err), JUNTO_OK);
        }
        expect(junto_batch_step(setup.batch.get(), 0, Counts::TakeChunk, &counts, &err),
               JUNTO_YIELDED);
        junto_session_cancel(second);
        expect(junto_batch_step(setup.batch.get(), UINT64_MAX, Counts::TakeChunk, &counts, &err),
               JUNTO_DONE);
        expect(junto_batch_remove(setup.batch.get(), second, &err), JUNTO_OK);

        // Failing allocates nothing, either.
        expect(junto_batch_remove(setup.batch.get(), second, &err), JUNTO_E_INVALID);
        expect(junto_session_evaluate(first, nullptr, nullptr, &err), JUNTO_E_INVALID);
        expect(junto_session_prefill(first, nullptr, &err), JUNTO_E_INVALID);
      });
      INFO(name << ", " << threads << " threads: " << err.message);
      CHECK(ok);
      CHECK(found == 0);
      CHECK(counts.tokens >= 20);
      CHECK(counts.rows == 37);
      CHECK(usage.new_tokens == 10);
    }
  }
}

// A host that brings everything and takes nothing from the C library meanwhile: memory out of one
// piece, given back in any order but not used again, a file in memory, tasks in order.
class Closed {
 public:
  explicit Closed(std::vector<uint8_t> file) : file_(std::move(file)), room_(96 << 20) {
    allocator_.struct_size = sizeof(allocator_);
    allocator_.user = this;
    allocator_.allocate = [](void* user, size_t size, size_t alignment, junto_tag tag) {
      return static_cast<Closed*>(user)->Take(size, alignment, tag);
    };
    allocator_.deallocate = [](void* user, void*, size_t size, size_t, junto_tag tag) {
      static_cast<Closed*>(user)->current_[tag] -= size;
    };
    executor_.struct_size = sizeof(executor_);
    executor_.worker_count = 3;
    executor_.parallel_for = [](void*, uint32_t count, junto_task_fn fn, void* task) {
      for (uint32_t i = 0; i < count; ++i) fn(task, i, i % 3);
      return JUNTO_OK;
    };
    io_.struct_size = sizeof(io_);
    io_.user = this;
    io_.open_file = [](void* user, const char*, size_t, void** file, uint64_t* size) {
      *file = user;
      *size = static_cast<Closed*>(user)->file_.size();
      return JUNTO_OK;
    };
    io_.read_at = [](void* user, void*, uint64_t offset, void* dst, size_t size) {
      std::memcpy(dst, static_cast<Closed*>(user)->file_.data() + offset, size);
      return JUNTO_OK;
    };
    io_.close_file = [](void*, void*) {};
  }
  junto_runtime_desc Desc() {
    junto_runtime_desc desc;
    junto_runtime_desc_init(&desc, sizeof(desc));
    desc.flags = JUNTO_RUNTIME_STRICT_MEMORY;
    desc.allocator = &allocator_;
    desc.executor = &executor_;
    desc.io = &io_;
    return desc;
  }
  uint64_t current(int tag) const { return current_[tag]; }
  uint64_t peak(int tag) const { return peak_[tag]; }

 private:
  void* Take(size_t size, size_t alignment, junto_tag tag) {
    used_ = (used_ + alignment - 1) / alignment * alignment;
    if (used_ + size > room_.size()) return nullptr;
    current_[tag] += size;
    peak_[tag] = std::max(peak_[tag], current_[tag]);
    used_ += size;
    return room_.data() + used_ - size;
  }

  junto_allocator allocator_ = {};
  junto_executor executor_ = {};
  junto_io io_ = {};
  std::vector<uint8_t> file_;
  std::vector<uint8_t> room_;
  size_t used_ = 0;
  uint64_t current_[9] = {};
  uint64_t peak_[9] = {};
};

// A life from load to release; whether everything worked. Asks for nothing itself.
bool LiveStrictly(Closed* host, bool reads, std::vector<uint8_t>* saved, uint64_t* planned) {
  junto_runtime_desc services = host->Desc();
  junto_runtime* runtime = nullptr;
  junto_model* model = nullptr;
  junto_session* session = nullptr;
  junto_session* fork = nullptr;
  junto_prompt* prompt = nullptr;
  junto_batch* batch = nullptr;
  junto_session_desc desc;
  junto_session_desc_init(&desc, sizeof(desc));
  desc.context_tokens = 128;
  desc.max_forks = 1;
  junto_sampling sampling;
  junto_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 1.0f;
  sampling.top_p = 0.9f;
  sampling.max_new_tokens = 10;
  Counts counts;
  size_t size = 0;
  const junto_token tokens[] = {3, 1, 4, 1, 5};
  const float bias = 1.0f;
  bool ok =
      junto_runtime_create(&services, &runtime, nullptr) == JUNTO_OK &&
      junto_model_load(runtime, "model", 5, nullptr, &model, nullptr) == JUNTO_OK &&
      junto_session_create(model, &desc, &session, nullptr) == JUNTO_OK &&
      junto_session_set_sampling(session, &sampling, nullptr) == JUNTO_OK &&
      junto_session_add_stop(session, "never", 5, nullptr) == JUNTO_OK &&
      junto_session_set_bias(session, tokens, &bias, 1, nullptr) == JUNTO_OK &&
      junto_prompt_create(model, &prompt, nullptr) == JUNTO_OK &&
      (!reads || junto_prompt_add_text(prompt, "zebra and so on", 15, nullptr) == JUNTO_OK) &&
      junto_prompt_add_tokens(prompt, tokens, 5, nullptr) == JUNTO_OK &&
      junto_session_prefill(session, prompt, nullptr) == JUNTO_OK &&
      junto_session_step(session, 0, nullptr, nullptr, nullptr) == JUNTO_YIELDED &&
      junto_session_fork(session, &fork, nullptr) == JUNTO_OK &&
      junto_session_snapshot(session, saved->data(), saved->size(), &size, nullptr) == JUNTO_OK &&
      junto_session_restore(fork, saved->data(), size, nullptr) == JUNTO_OK &&
      junto_session_generate(session, Counts::TakeChunk, &counts, nullptr) == JUNTO_DONE &&
      junto_batch_create(model, 1, 16, &batch, nullptr) == JUNTO_OK &&
      junto_batch_add(batch, fork, nullptr) == JUNTO_OK &&
      junto_batch_step(batch, UINT64_MAX, Counts::TakeChunk, &counts, nullptr) == JUNTO_DONE &&
      junto_session_rewind(fork, 3, nullptr) == JUNTO_OK;
  for (int tag = 0; tag < 9 && ok; ++tag) {
    ok = junto_session_plan(model, &desc, static_cast<junto_tag>(tag), &planned[tag], nullptr) ==
         JUNTO_OK;
    uint64_t current = 0;
    uint64_t peak = 0;
    ok = ok &&
         junto_runtime_memory(runtime, static_cast<junto_tag>(tag), &current, &peak) == JUNTO_OK;
    ok = ok && current == host->current(tag) && peak == host->peak(tag);
  }
  junto_runtime_release(runtime);
  junto_model_release(model);
  junto_prompt_release(prompt);
  junto_session_release(session);
  junto_batch_release(batch);
  junto_session_release(fork);
  return ok && counts.tokens >= 18;
}

TEST_CASE("in strict memory nothing is taken but from the host, from load to release") {
  struct Case {
    const char* name;
    std::vector<uint8_t> bytes;
    bool reads;  // it has a vocabulary
  };
  const Case cases[] = {{"chat", TinyModel::Chat().Bytes(), true},
                        {"qwen", TinyModel::QwenChat().Bytes(), true},
                        {"gpt_oss_mxfp4", ParityModel("gpt_oss_mxfp4"), false},
                        {"gemma4_q4_k", ParityModel("gemma4_q4_k"), false}};
  for (const auto& [name, bytes, reads] : cases) {
    INFO(name);
    Closed host(bytes);
    std::vector<uint8_t> saved(4 << 20);
    uint64_t planned[9] = {};
    bool ok = false;
    const bool has_text = reads;
    const uint64_t found = Trapped([&] { ok = LiveStrictly(&host, has_text, &saved, planned); });
    CHECK(ok);
    CHECK(found == 0);
    for (const junto_tag tag : {JUNTO_TAG_WEIGHTS, JUNTO_TAG_KV, JUNTO_TAG_LOAD_TEMP,
                                JUNTO_TAG_EXTERNAL, JUNTO_TAG_MAPPED, JUNTO_TAG_THREAD}) {
      CHECK(host.peak(tag) == planned[tag]);
    }
    CHECK(host.peak(JUNTO_TAG_EXTERNAL) == 0);
    for (int tag = 0; tag < 9; ++tag) CHECK(host.current(tag) == 0);
  }
}

TEST_CASE("strict memory refuses what would take memory elsewhere") {
  Closed host(TinyModel::Chat().Bytes());
  junto_runtime_desc desc = host.Desc();
  Error err;
  junto_runtime* runtime = nullptr;
  desc.executor = nullptr;
  for (const uint32_t threads : {0u, 2u}) {
    desc.max_threads = threads;
    CHECK_FAILS(junto_runtime_create(&desc, &runtime, &err), JUNTO_E_UNSUPPORTED);
  }
  desc.max_threads = 1;
  const RuntimeHandle alone = CreateRuntime(&desc);
  const auto check_refused = [&](uint32_t flags, uint64_t expert_budget) {
    junto_model_desc refused;
    junto_model_desc_init(&refused, sizeof(refused));
    refused.flags = flags;
    refused.expert_budget = expert_budget;
    junto_model* model = nullptr;
    CHECK_FAILS(junto_model_load(alone.get(), "model", 5, &refused, &model, &err),
                JUNTO_E_UNSUPPORTED);
    CHECK(std::string(err.text()).find("strict memory") != std::string::npos);
  };
#ifdef JUNTO_ONEDNN
  check_refused(JUNTO_MODEL_FAST, 0);
#endif
  check_refused(0, 1 << 30);
}

}  // namespace
}  // namespace junto
