// Structs of older and newer callers, NULL where it is allowed and where it is not, and values that
// no enum has.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "c_api/junto_table.h"
#include "tests/support/handles.h"
#include "tests/support/host.h"
#include "tests/support/tiny_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

// A struct with room behind it, as a newer caller's would have.
template <class T>
struct Wider {
  T base;
  unsigned char tail[8];
};

// init must write exactly min(size, what it knows) bytes and leave zeros up to size.
template <class T>
void CheckInit(void(JUNTO_CALL* init)(T*, size_t)) {
  for (size_t size = 0; size <= sizeof(Wider<T>); ++size) {
    Wider<T> wider;
    std::memset(&wider, 0xEE, sizeof(wider));
    init(&wider.base, size);
    const auto* bytes = reinterpret_cast<const unsigned char*>(&wider);
    for (size_t i = size < 4 ? 0 : size; i < sizeof(wider); ++i) REQUIRE(bytes[i] == 0xEE);
    if (size < 4) continue;
    REQUIRE(wider.base.struct_size == size);
    for (size_t i = 4; i < size; ++i) REQUIRE(bytes[i] == 0);  // no default differs from zero
  }
  init(nullptr, sizeof(T));
}

TEST_CASE("init writes as much as the caller has") {
  CheckInit(junto_error_init);
  CheckInit(junto_runtime_desc_init);
  CheckInit(junto_model_desc_init);
  CheckInit(junto_model_info_init);
  CheckInit(junto_session_desc_init);
  CheckInit(junto_sampling_init);
  CheckInit(junto_usage_init);
  CheckInit(junto_chunk_init);
}

struct Fixture {
  Fixture() : runtime(CreateRuntime(host.desc())), model(LoadBytes(runtime.get(), Bytes())) {}
  static const std::vector<uint8_t>& Bytes() {
    static const std::vector<uint8_t> bytes = TinyModel::Chat().Bytes();
    return bytes;
  }
  Host host;
  RuntimeHandle runtime;
  ModelHandle model;
};

// `call` takes a struct and returns a status, releasing what it made. The struct had `first` bytes
// in its first release.
template <class T, class F>
void CheckTaken(T good, const F& call, size_t first = sizeof(T)) {
  Error err;
  good.struct_size = sizeof(T);
  REQUIRE_OK(call(&good, &err));

  Wider<T> wider;
  std::memset(&wider, 0, sizeof(wider));
  wider.base = good;
  wider.base.struct_size = sizeof(wider);
  REQUIRE_OK(call(&wider.base, &err));  // a newer caller that uses nothing new
  for (const size_t at : {0, 7}) {
    wider.tail[at] = 1;
    CHECK_FAILS(call(&wider.base, &err), JUNTO_E_UNSUPPORTED);
    wider.tail[at] = 0;
  }
  T smaller = good;
  for (const uint32_t size : {0u, 1u, 4u, static_cast<uint32_t>(first - 1)}) {
    smaller.struct_size = size;
    CHECK_FAILS(call(&smaller, &err), JUNTO_E_INVALID);
  }
  smaller.struct_size = static_cast<uint32_t>(first);
  REQUIRE_OK(call(&smaller, &err));  // an older caller
  T flagged = good;
  flagged.flags = 0x80000000u;
  CHECK_FAILS(call(&flagged, &err), JUNTO_E_UNSUPPORTED);
}

TEST_CASE("structs that go in may be of another release") {
  Fixture fixture;
  const SessionHandle session = CreateSession(fixture.model, SessionDesc(32, 8));
  const auto create_runtime = [&](const junto_runtime_desc* desc, Error* err) {
    junto_runtime* runtime = nullptr;
    const junto_status status = junto_runtime_create(desc, &runtime, err);
    junto_runtime_release(runtime);
    return status;
  };
  CheckTaken(*fixture.host.desc(), create_runtime);
  CheckTaken(*fixture.host.allocator(), [&](const junto_allocator* allocator, Error* err) {
    junto_runtime_desc desc = *fixture.host.desc();
    desc.allocator = allocator;
    return create_runtime(&desc, err);
  });
  CheckTaken(*fixture.host.executor(), [&](const junto_executor* executor, Error* err) {
    junto_runtime_desc desc = *fixture.host.desc();
    desc.executor = executor;
    return create_runtime(&desc, err);
  });
  CheckTaken(
      *fixture.host.io(),
      [&](const junto_io* io, Error* err) {
        junto_runtime_desc desc = *fixture.host.desc();
        desc.io = io;
        return create_runtime(&desc, err);
      },
      offsetof(junto_io, create_file));
  CheckTaken(
      junto_model_desc(),
      [&](const junto_model_desc* desc, Error* err) {
        junto_model* model = nullptr;
        const junto_status status =
            junto_model_load_memory(fixture.runtime.get(), Fixture::Bytes().data(),
                                    Fixture::Bytes().size(), desc, &model, err);
        junto_model_release(model);
        return status;
      },
      offsetof(junto_model_desc, source));
  constexpr size_t kFirstDesc = offsetof(junto_session_desc, checkpoint_bytes);
  const auto create_session = [&](const junto_session_desc* desc, Error* err) {
    junto_session* created = nullptr;
    const junto_status status = junto_session_create(fixture.model.get(), desc, &created, err);
    junto_session_release(created);
    return status;
  };
  CheckTaken(SessionDesc(32, 8), create_session, kFirstDesc);
  const auto plan_session = [&](const junto_session_desc* desc, Error* err) {
    uint64_t bytes = 0;
    return junto_session_plan(fixture.model.get(), desc, JUNTO_TAG_KV, &bytes, err);
  };
  CheckTaken(SessionDesc(32, 8), plan_session, kFirstDesc);
  CheckTaken(junto_sampling(), [&](const junto_sampling* sampling, Error* err) {
    return junto_session_set_sampling(session.get(), sampling, err);
  });
}

// `call` fills a struct.
template <class T, class F>
void CheckGiven(const F& call) {
  T whole = {};
  whole.struct_size = sizeof(T);
  REQUIRE(call(&whole) == JUNTO_OK);
  for (size_t size = 0; size <= sizeof(Wider<T>); ++size) {
    Wider<T> wider;
    std::memset(&wider, 0xEE, sizeof(wider));
    wider.base.struct_size = static_cast<uint32_t>(size);
    const junto_status status = call(&wider.base);
    const auto* bytes = reinterpret_cast<const unsigned char*>(&wider);
    const auto* expected = reinterpret_cast<const unsigned char*>(&whole);
    if (size < 4) {
      REQUIRE(status == JUNTO_E_INVALID);
      for (size_t i = 4; i < sizeof(wider); ++i) REQUIRE(bytes[i] == 0xEE);
      continue;
    }
    REQUIRE(status == JUNTO_OK);
    REQUIRE(wider.base.struct_size == std::min(size, sizeof(T)));
    for (size_t i = 4; i < sizeof(wider); ++i) {
      REQUIRE(bytes[i] == (i >= size ? 0xEE : i >= sizeof(T) ? 0 : expected[i]));
    }
  }
}

TEST_CASE("structs that come out are written as far as they reach") {
  Fixture fixture;
  const SessionHandle session = CreateSession(fixture.model, SessionDesc(32, 8));
  Prefill(session, TokenPrompt(fixture.model, {1, 2, 3}));
  CheckGiven<junto_model_info>(
      [&](junto_model_info* info) { return junto_model_get_info(fixture.model.get(), info); });
  CheckGiven<junto_usage>(
      [&](junto_usage* usage) { return junto_session_get_usage(session.get(), usage); });
  CheckGiven<junto_chunk>([&](junto_chunk* chunk) {
    char text[8];
    const junto_status status = junto_session_read_chunk(session.get(), text, sizeof(text), chunk);
    return status == JUNTO_DONE ? JUNTO_OK : status;  // nothing is pending
  });
}

TEST_CASE("an error may be of another release, and keeps its text whole") {
  const auto fail = [](junto_error* err) {
    junto_runtime_desc desc;
    junto_runtime_desc_init(&desc, sizeof(desc));
    desc.isa_deny = UINT64_MAX;
    junto_runtime* runtime = nullptr;
    return junto_runtime_create(&desc, &runtime, err);
  };
  Error err;
  CHECK_FAILS(fail(&err), JUNTO_E_UNSUPPORTED);
  const Error whole = err;
  CHECK(fail(nullptr) == JUNTO_E_UNSUPPORTED);
  for (size_t size = 0; size <= sizeof(Wider<junto_error>); ++size) {
    Wider<junto_error> wider;
    std::memset(&wider, 0xEE, sizeof(wider));
    wider.base.struct_size = static_cast<uint32_t>(size);
    CHECK(fail(&wider.base) == JUNTO_E_UNSUPPORTED);
    const auto* bytes = reinterpret_cast<const unsigned char*>(&wider);
    REQUIRE(wider.base.struct_size == size);
    for (size_t i = size < 17 ? 4 : std::min(size, sizeof(junto_error)); i < sizeof(wider); ++i) {
      REQUIRE(bytes[i] == 0xEE);
    }
    if (size < 17) continue;
    REQUIRE(wider.base.status == JUNTO_E_UNSUPPORTED);
    REQUIRE(wider.base.message_size == std::min<size_t>(whole.message_size, size - 17));
    REQUIRE(std::strlen(wider.base.message) == wider.base.message_size);
    REQUIRE(std::strncmp(wider.base.message, whole.message, wider.base.message_size) == 0);
  }
  // Cut between code points, whatever the size.
  Fixture fixture;
  const PromptHandle prompt = CreatePrompt(fixture.model);
  for (uint32_t size = 17; size < 80; ++size) {
    err = Error();
    err.struct_size = size;
    const std::string role = "\xE2\x98\x83\xE2\x98\x83\xF0\x9F\xA6\x93\xE2\x98\x83";
    CHECK(junto_prompt_begin_turn(prompt.get(), role.data(), role.size(), &err) == JUNTO_E_INVALID);
    REQUIRE(IsUtf8(err.text()));
  }
  // And a success wipes what was there.
  err = whole;
  junto_runtime* runtime = nullptr;
  REQUIRE_OK(junto_runtime_create(nullptr, &runtime, &err));
  CHECK(err.status == JUNTO_OK);
  CHECK(err.message_size == 0);
  CHECK(err.message[0] == '\0');
  junto_runtime_release(runtime);
}

TEST_CASE("services must be complete and values known") {
  Host host;
  Error err;
  junto_runtime* runtime = nullptr;
  const auto create = [&](auto change) {
    junto_allocator allocator = *host.allocator();
    junto_executor executor = *host.executor();
    junto_io io = *host.io();
    junto_runtime_desc desc = *host.desc();
    desc.allocator = &allocator;
    desc.executor = &executor;
    desc.io = &io;
    change(&desc, &allocator, &executor, &io);
    const junto_status status = junto_runtime_create(&desc, &runtime, &err);
    junto_runtime_release(runtime);
    runtime = nullptr;
    return status;
  };
  using Desc = junto_runtime_desc*;
  using Allocator = junto_allocator*;
  using Executor = junto_executor*;
  using Io = junto_io*;
  REQUIRE_OK(create([](Desc, Allocator, Executor, Io) {}));
  CHECK_FAILS(create([](Desc, Allocator a, Executor, Io) { a->allocate = nullptr; }),
              JUNTO_E_INVALID);
  CHECK_FAILS(create([](Desc, Allocator a, Executor, Io) { a->deallocate = nullptr; }),
              JUNTO_E_INVALID);
  CHECK_FAILS(create([](Desc, Allocator, Executor e, Io) { e->parallel_for = nullptr; }),
              JUNTO_E_INVALID);
  CHECK_FAILS(create([](Desc, Allocator, Executor e, Io) { e->worker_count = 0; }),
              JUNTO_E_INVALID);
  CHECK_FAILS(create([](Desc, Allocator, Executor e, Io) { e->reserved = 1; }),
              JUNTO_E_UNSUPPORTED);
  CHECK_FAILS(create([](Desc, Allocator, Executor, Io io) { io->open_file = nullptr; }),
              JUNTO_E_INVALID);
  CHECK_FAILS(create([](Desc, Allocator, Executor, Io io) { io->read_at = nullptr; }),
              JUNTO_E_INVALID);
  CHECK_FAILS(create([](Desc, Allocator, Executor, Io io) { io->close_file = nullptr; }),
              JUNTO_E_INVALID);
  REQUIRE_OK(create([](Desc, Allocator, Executor, Io io) { io->map_range = nullptr; }));
  REQUIRE_OK(create([](Desc, Allocator, Executor, Io io) { io->unmap_range = nullptr; }));
  for (const int level : {-1, 5, INT32_MAX, INT32_MIN}) {
    CHECK_FAILS(create([level](Desc d, Allocator, Executor, Io) {
                  d->log_level = static_cast<junto_log_level>(level);
                }),
                JUNTO_E_INVALID);
  }
  CHECK_FAILS(create([](Desc d, Allocator, Executor, Io) { d->isa_deny = UINT64_MAX; }),
              JUNTO_E_UNSUPPORTED);
  CHECK(host.Faults() == "");

  Fixture fixture;
  junto_session* session = nullptr;
  for (const int type : {-1, 4, INT32_MAX, INT32_MIN}) {
    const junto_session_desc desc = SessionDesc(8, 8, static_cast<junto_dtype>(type));
    CHECK_FAILS(junto_session_create(fixture.model.get(), &desc, &session, &err), JUNTO_E_INVALID);
  }
  junto_session_desc reserved = SessionDesc(8, 8);
  reserved.reserved = 1;
  CHECK_FAILS(junto_session_create(fixture.model.get(), &reserved, &session, &err),
              JUNTO_E_UNSUPPORTED);
  size_t count = 77;
  CHECK_FAILS(junto_tokenize(fixture.model.get(), "a", 1, 4, nullptr, 0, &count, &err),
              JUNTO_E_UNSUPPORTED);
  const junto_token token = 1;
  CHECK_FAILS(junto_detokenize(fixture.model.get(), &token, 1, 2, nullptr, 0, &count, &err),
              JUNTO_E_UNSUPPORTED);
  CHECK(count == 77);
  for (const int status : {-12, 4, INT32_MAX, INT32_MIN}) {
    CHECK(std::string(junto_status_name(static_cast<junto_status>(status))) == "unknown");
  }
}

TEST_CASE("sampling out of range names the field and changes nothing") {
  Fixture fixture;
  const SessionHandle session = CreateSession(fixture.model, SessionDesc(64, 8));
  const PromptHandle prompt = TokenPrompt(fixture.model, {30, 40, 50});
  SetSampling(session, 1.0f, 5, 8);
  Prefill(session, prompt);
  const Answer expected = Generate(session);
  Error err;
  const auto check = [&](const char* name, auto set) {
    junto_sampling sampling;
    junto_sampling_init(&sampling, sizeof(sampling));
    set(&sampling);
    CHECK_FAILS(junto_session_set_sampling(session.get(), &sampling, &err), JUNTO_E_INVALID);
    CHECK(err.text().find(name) != std::string::npos);
  };
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {-1.0f, 101.0f, inf, -inf, nan}) {
    check("temperature", [bad](junto_sampling* s) { s->temperature = bad; });
    check("top_p", [bad](junto_sampling* s) { s->top_p = bad; });
    check("min_p", [bad](junto_sampling* s) { s->min_p = bad; });
    check("repeat_penalty", [bad](junto_sampling* s) { s->repeat_penalty = bad; });
  }
  for (const float bad : {-101.0f, 101.0f, inf, -inf, nan}) {
    check("presence_penalty", [bad](junto_sampling* s) { s->presence_penalty = bad; });
    check("frequency_penalty", [bad](junto_sampling* s) { s->frequency_penalty = bad; });
  }
  check("penalty_window", [](junto_sampling* s) { s->penalty_window = UINT32_MAX; });
  junto_sampling sampling = {};
  sampling.struct_size = sizeof(sampling);
  sampling.reserved = 1;
  CHECK_FAILS(junto_session_set_sampling(session.get(), &sampling, &err), JUNTO_E_UNSUPPORTED);
  Prefill(session, prompt);
  CHECK(Generate(session) == expected);
}

TEST_CASE("NULL is refused where it is not allowed, and nothing is written") {
  Fixture fixture;
  Error err;
  junto_model* m = fixture.model.get();
  const SessionHandle session = CreateSession(fixture.model, SessionDesc(32, 8));
  const PromptHandle prompt = CreatePrompt(fixture.model);
  junto_batch* created = nullptr;
  REQUIRE_OK(junto_batch_create(m, 1, 0, &created, &err));
  const BatchHandle batch(created);
  junto_session* s = session.get();
  junto_prompt* p = prompt.get();
  junto_batch* b = batch.get();
  junto_model* model = nullptr;
  junto_session* new_session = nullptr;
  junto_prompt* new_prompt = nullptr;
  uint64_t bytes = 7;
  size_t size = 7;
  const uint8_t data[8] = {};
  CHECK_FAILS(junto_runtime_create(nullptr, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_model_load(nullptr, "a", 1, nullptr, &model, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_model_load(fixture.runtime.get(), nullptr, 1, nullptr, &model, &err),
              JUNTO_E_INVALID);
  CHECK_FAILS(junto_model_load(fixture.runtime.get(), "a", 1, nullptr, nullptr, &err),
              JUNTO_E_INVALID);
  CHECK_FAILS(junto_model_load_memory(nullptr, data, 8, nullptr, &model, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_model_load_memory(fixture.runtime.get(), nullptr, 8, nullptr, &model, &err),
              JUNTO_E_INVALID);
  CHECK_FAILS(junto_model_load_memory(fixture.runtime.get(), data, 8, nullptr, nullptr, &err),
              JUNTO_E_INVALID);
  CHECK_FAILS(junto_tokenize(nullptr, "a", 1, 0, nullptr, 0, &size, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_tokenize(m, nullptr, 1, 0, nullptr, 0, &size, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_tokenize(m, "a", 1, 0, nullptr, 0, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_detokenize(nullptr, nullptr, 0, 0, nullptr, 0, &size, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_detokenize(m, nullptr, 1, 0, nullptr, 0, &size, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_detokenize(m, nullptr, 0, 0, nullptr, 0, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_create(nullptr, &new_prompt, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_create(m, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_set_variable(nullptr, "a", 1, "b", 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_set_variable(p, nullptr, 1, "b", 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_set_variable(p, "a", 1, nullptr, 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_set_tools(nullptr, "[]", 2, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_set_tools(p, nullptr, 2, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_set_template(nullptr, "a", 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_set_template(p, nullptr, 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_begin_tool_turn(nullptr, "a", 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_begin_tool_turn(p, nullptr, 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_reasoning(nullptr, "a", 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_reasoning(p, nullptr, 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_tool_call(nullptr, "a", 1, "{}", 2, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_tool_call(p, nullptr, 1, "{}", 2, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_tool_call(p, "a", 1, nullptr, 2, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_begin_turn(nullptr, "user", 4, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_begin_turn(p, nullptr, 4, &err), JUNTO_E_INVALID);
  CHECK(junto_prompt_begin_turn(p, nullptr, 0, &err) == JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_end_turn(nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_end_turn(p, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_text(p, nullptr, 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_text(nullptr, "a", 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_add_tokens(p, nullptr, 1, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_render(nullptr, nullptr, 0, &size, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_prompt_render(p, nullptr, 0, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_plan(nullptr, nullptr, JUNTO_TAG_KV, &bytes, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_plan(m, nullptr, JUNTO_TAG_KV, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_create(nullptr, nullptr, &new_session, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_create(m, nullptr, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_set_sampling(s, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_set_sampling(nullptr, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_set_output(nullptr, 0, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_set_output(s, 8, &err), JUNTO_E_UNSUPPORTED);
  CHECK_FAILS(junto_session_prefill(s, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_prefill(nullptr, p, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_step(nullptr, 0, nullptr, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_generate(nullptr, nullptr, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_session_evaluate(nullptr, nullptr, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_create(nullptr, 1, 1, &created, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_create(m, 1, 1, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_add(nullptr, s, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_add(b, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_remove(nullptr, s, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_remove(b, nullptr, &err), JUNTO_E_INVALID);
  CHECK_FAILS(junto_batch_step(nullptr, 0, nullptr, nullptr, &err), JUNTO_E_INVALID);
  CHECK(junto_runtime_memory(nullptr, JUNTO_TAG_KV, &bytes, &bytes) == JUNTO_E_INVALID);
  CHECK(junto_runtime_memory(fixture.runtime.get(), JUNTO_TAG_KV, nullptr, &bytes) ==
        JUNTO_E_INVALID);
  CHECK(junto_runtime_memory(fixture.runtime.get(), JUNTO_TAG_KV, &bytes, nullptr) ==
        JUNTO_E_INVALID);
  CHECK(junto_model_get_info(m, nullptr) == JUNTO_E_INVALID);
  CHECK(junto_model_get_meta(nullptr, "a", 1, nullptr, 0, &size) == JUNTO_E_INVALID);
  CHECK(junto_model_get_meta(m, nullptr, 1, nullptr, 0, &size) == JUNTO_E_INVALID);
  CHECK(junto_model_get_meta(m, "a", 1, nullptr, 0, nullptr) == JUNTO_E_INVALID);
  CHECK(junto_session_get_usage(s, nullptr) == JUNTO_E_INVALID);
  CHECK(junto_session_get_usage(nullptr, nullptr) == JUNTO_E_INVALID);
  CHECK(junto_session_read(nullptr, nullptr, 0, &size) == JUNTO_E_INVALID);
  CHECK(junto_session_read_chunk(s, nullptr, 0, nullptr) == JUNTO_E_INVALID);
  CHECK(bytes == 7);
  CHECK(size == 7);
  CHECK((model == nullptr && new_session == nullptr && new_prompt == nullptr));
  // Empty input needs no address.
  CHECK(junto_tokenize(m, nullptr, 0, 0, nullptr, 0, &size, &err) == JUNTO_OK);
  CHECK(size == 0);
  CHECK(junto_detokenize(m, nullptr, 0, 0, nullptr, 0, &size, &err) == JUNTO_OK);
  CHECK(junto_prompt_add_text(p, nullptr, 0, &err) == JUNTO_OK);
  CHECK(junto_prompt_add_tokens(p, nullptr, 0, &err) == JUNTO_OK);
}

TEST_CASE("names and versions are there") {
  CHECK(junto_version() ==
        (JUNTO_VERSION_MAJOR << 16 | JUNTO_VERSION_MINOR << 8 | JUNTO_VERSION_PATCH));
  CHECK(std::string(junto_build_info()).find("junto 1.") == 0);
  CHECK(std::string(junto_status_name(JUNTO_OK)) == "OK");
  CHECK(std::string(junto_status_name(JUNTO_E_INTERNAL)) == "E_INTERNAL");
  for (int status = -11; status <= 3; ++status) {
    CHECK(std::string(junto_status_name(static_cast<junto_status>(status))) != "unknown");
  }
}

TEST_CASE("the table has every function, for one major version") {
  CHECK(junto_get_table(JUNTO_VERSION_MAJOR + 1) == nullptr);
  CHECK(junto_get_table(JUNTO_VERSION_MAJOR - 1) == nullptr);
  const junto_table* table = junto_get_table(JUNTO_VERSION_MAJOR);
  REQUIRE(table != nullptr);
  CHECK(table->struct_size == sizeof(junto_table));
  CHECK(table->version() == junto_version());
  CHECK(std::string(table->status_name(JUNTO_E_BUSY)) == "E_BUSY");
  CHECK(table->session_fork == junto_session_fork);
  const auto* functions = reinterpret_cast<void (*const*)(void)>(&table->version);
  for (size_t i = 0; i < (sizeof(junto_table) - 8) / sizeof(*functions); ++i) {
    CHECK(functions[i] != nullptr);
  }
}

}  // namespace
}  // namespace junto
