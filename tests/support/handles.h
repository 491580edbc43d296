// The C ABI for tests: handles that release themselves, and the calls that every test makes.
#ifndef JUNTO_TESTS_SUPPORT_HANDLES_H_
#define JUNTO_TESTS_SUPPORT_HANDLES_H_

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "c_api/junto.h"
#include "junto/base/utf8.h"
#include "junto/text/utf8.h"

namespace junto {
namespace test {

template <class T, void(JUNTO_CALL* kRelease)(T*)>
struct Releaser {
  void operator()(T* handle) const { kRelease(handle); }
};
template <class T, void(JUNTO_CALL* kRelease)(T*)>
using Handle = std::unique_ptr<T, Releaser<T, kRelease>>;

using RuntimeHandle = Handle<junto_runtime, junto_runtime_release>;
using ModelHandle = Handle<junto_model, junto_model_release>;
using PromptHandle = Handle<junto_prompt, junto_prompt_release>;
using SessionHandle = Handle<junto_session, junto_session_release>;
using BatchHandle = Handle<junto_batch, junto_batch_release>;

struct Error : junto_error {
  Error() { junto_error_init(this, sizeof(junto_error)); }
  std::string text() const { return std::string(message, message_size); }

  // Whether the message is one line of text.
  bool IsLine() const {
    const std::string_view line(message, message_size);
    bool printable = !line.empty() && std::strlen(message) == line.size() && IsUtf8(line);
    for (const char c : line) printable = printable && static_cast<unsigned char>(c) >= 0x20;
    return printable;
  }
  bool HasNumber() const { return text().find_first_of("0123456789") != std::string::npos; }
};

#define REQUIRE_OK(call)                                                               \
  do {                                                                                 \
    const junto_status require_ok_status = (call);                                     \
    INFO(#call << ": " << junto_status_name(require_ok_status) << ": " << err.text()); \
    REQUIRE(require_ok_status == JUNTO_OK);                                            \
  } while (false)

// A call that must fail with this status and say why.
#define CHECK_FAILS(call, expected)                                                     \
  do {                                                                                  \
    const junto_status check_fails_status = (call);                                     \
    INFO(#call << ": " << junto_status_name(check_fails_status) << ": " << err.text()); \
    CHECK(check_fails_status == (expected));                                            \
    CHECK(err.status == (expected));                                                    \
    CHECK(err.IsLine());                                                                \
    CHECK(err.HasNumber());                                                             \
  } while (false)

inline RuntimeHandle CreateRuntime(const junto_runtime_desc* desc) {
  Error err;
  junto_runtime* runtime = nullptr;
  REQUIRE_OK(junto_runtime_create(desc, &runtime, &err));
  return RuntimeHandle(runtime);
}

inline ModelHandle LoadBytes(junto_runtime* runtime, const std::vector<uint8_t>& bytes,
                             uint32_t flags = 0) {
  Error err;
  junto_model_desc desc;
  junto_model_desc_init(&desc, sizeof(desc));
  desc.flags = flags;
  junto_model* model = nullptr;
  REQUIRE_OK(junto_model_load_memory(runtime, bytes.data(), bytes.size(), &desc, &model, &err));
  return ModelHandle(model);
}

// A file by its name; `source` is the file that a packed one was made of, empty for none.
inline junto_status Load(junto_runtime* runtime, const std::string& name, uint32_t flags,
                         const std::string& source, ModelHandle* model, Error* err) {
  junto_model_desc desc;
  junto_model_desc_init(&desc, sizeof(desc));
  desc.flags = flags;
  if (!source.empty()) {
    desc.source = source.data();
    desc.source_size = source.size();
  }
  junto_model* loaded = nullptr;
  const junto_status status =
      junto_model_load(runtime, name.data(), name.size(), &desc, &loaded, err);
  model->reset(loaded);
  return status;
}

inline ModelHandle LoadFile(const RuntimeHandle& runtime, const std::string& name,
                            uint32_t flags = 0) {
  ModelHandle model;
  Error err;
  REQUIRE_OK(Load(runtime.get(), name, flags, "", &model, &err));
  return model;
}

inline junto_session_desc SessionDesc(uint32_t context, uint32_t chunk,
                                      junto_dtype type = JUNTO_DTYPE_AUTO) {
  junto_session_desc desc;
  junto_session_desc_init(&desc, sizeof(desc));
  desc.context_tokens = context;
  desc.prefill_chunk = chunk;
  desc.kv_dtype = type;
  return desc;
}

inline SessionHandle CreateSession(const ModelHandle& model, const junto_session_desc& desc) {
  Error err;
  junto_session* session = nullptr;
  REQUIRE_OK(junto_session_create(model.get(), &desc, &session, &err));
  return SessionHandle(session);
}

inline PromptHandle CreatePrompt(const ModelHandle& model) {
  Error err;
  junto_prompt* prompt = nullptr;
  REQUIRE_OK(junto_prompt_create(model.get(), &prompt, &err));
  return PromptHandle(prompt);
}

inline PromptHandle TokenPrompt(const ModelHandle& model, const std::vector<junto_token>& tokens) {
  Error err;
  PromptHandle prompt = CreatePrompt(model);
  REQUIRE_OK(junto_prompt_add_tokens(prompt.get(), tokens.data(), tokens.size(), &err));
  return prompt;
}

inline void AddTurn(const PromptHandle& prompt, std::string_view role, std::string_view text) {
  Error err;
  REQUIRE_OK(junto_prompt_begin_turn(prompt.get(), role.data(), role.size(), &err));
  REQUIRE_OK(junto_prompt_add_text(prompt.get(), text.data(), text.size(), &err));
  REQUIRE_OK(junto_prompt_end_turn(prompt.get(), &err));
}

inline void Prefill(const SessionHandle& session, const PromptHandle& prompt) {
  Error err;
  REQUIRE_OK(junto_session_prefill(session.get(), prompt.get(), &err));
}

inline void SetSampling(const SessionHandle& session, float temperature, uint64_t seed,
                        uint32_t max_new_tokens) {
  Error err;
  junto_sampling sampling;
  junto_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = temperature;
  sampling.seed = seed;
  sampling.max_new_tokens = max_new_tokens;
  REQUIRE_OK(junto_session_set_sampling(session.get(), &sampling, &err));
}

inline junto_usage UsageOf(const SessionHandle& session) {
  junto_usage usage;
  junto_usage_init(&usage, sizeof(usage));
  REQUIRE(junto_session_get_usage(session.get(), &usage) == JUNTO_OK);
  return usage;
}

// What a stream callback received. Every chunk must be whole code points.
struct Answer {
  std::string text;
  std::vector<junto_token> tokens;
  uint64_t chunks = 0;
  bool whole = true;

  static junto_status JUNTO_CALL Take(void* user, const junto_chunk* chunk) {
    auto* self = static_cast<Answer*>(user);
    ++self->chunks;
    self->whole = self->whole && IsUtf8({chunk->text, chunk->text_size});
    self->text.append(chunk->text, chunk->text_size);
    self->tokens.insert(self->tokens.end(), chunk->tokens, chunk->tokens + chunk->token_count);
    return JUNTO_OK;
  }
  bool operator==(const Answer& other) const {
    return text == other.text && tokens == other.tokens;
  }
};
inline std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  return out << answer.tokens.size() << " tokens: '" << answer.text << "'";
}

inline Answer Generate(const SessionHandle& session) {
  Error err;
  Answer answer;
  const junto_status status = junto_session_generate(session.get(), Answer::Take, &answer, &err);
  INFO(err.text());
  REQUIRE(status == JUNTO_DONE);
  REQUIRE(answer.whole);
  return answer;
}

inline std::vector<junto_token> Tokenize(const ModelHandle& model, std::string_view text,
                                         uint32_t flags = 0) {
  Error err;
  size_t count = 0;
  REQUIRE_OK(
      junto_tokenize(model.get(), text.data(), text.size(), flags, nullptr, 0, &count, &err));
  std::vector<junto_token> tokens(count);
  REQUIRE_OK(junto_tokenize(model.get(), text.data(), text.size(), flags, tokens.data(), count,
                            &count, &err));
  return tokens;
}

inline std::vector<uint8_t> ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}
inline std::vector<uint8_t> ParityModel(const std::string& name) {
  std::vector<uint8_t> bytes =
      ReadBytes(std::string(JUNTO_TEST_DATA) + "/parity/" + name + ".gguf");
  REQUIRE(!bytes.empty());
  return bytes;
}

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_HANDLES_H_
