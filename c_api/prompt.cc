// Prompts.
#include "c_api/handles.h"

using namespace junto;  // NOLINT: this file is the C ABI of that namespace

namespace {

// Runs f on a prompt that nobody else uses. `text` of `size` bytes must be there.
template <class F>
junto_status WithPrompt(junto_prompt* p, const void* text, size_t size, junto_error* err, F&& f) {
  return Guard(err, [&]() -> Status {
    if (p == nullptr || (text == nullptr && size != 0)) return NullArgument("p or text");
    const Seat seat(&p->busy);
    JUNTO_TRY(seat.status());
    return f(&p->prompt);
  });
}

}  // namespace

extern "C" {

junto_status junto_prompt_create(junto_model* m, junto_prompt** out, junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (m == nullptr || out == nullptr) return NullArgument("m or out");
    *out = Create<junto_prompt>(m->runtime, m);
    m->references.Retain();
    return Status();
  });
}

void junto_prompt_release(junto_prompt* p) {
  if (p == nullptr) return;
  junto_model* model = p->model;
  Destroy(model->runtime, p);
  Release(model);
}

junto_status junto_prompt_set_variable(junto_prompt* p, const char* key, size_t key_size,
                                       const char* value, size_t value_size, junto_error* err) {
  return WithPrompt(p, key, key_size, err, [&](Prompt* prompt) -> Status {
    if (value == nullptr && value_size != 0) return NullArgument("value");
    return prompt->SetVariable({key, key_size}, {value, value_size});
  });
}

junto_status junto_prompt_set_tools(junto_prompt* p, const char* json, size_t size,
                                    junto_error* err) {
  return WithPrompt(p, json, size, err, [&](Prompt* prompt) {
    return prompt->SetTools({json, size});
  });
}

junto_status junto_prompt_set_template(junto_prompt* p, const char* source, size_t size,
                                       junto_error* err) {
  return WithPrompt(p, source, size, err, [&](Prompt* prompt) {
    return prompt->SetTemplate({source, size});
  });
}

junto_status junto_prompt_begin_turn(junto_prompt* p, const char* role, size_t size,
                                     junto_error* err) {
  return WithPrompt(p, role, size, err, [&](Prompt* prompt) {
    return prompt->BeginTurn({role, size});
  });
}

junto_status junto_prompt_begin_tool_turn(junto_prompt* p, const char* name, size_t size,
                                          junto_error* err) {
  return WithPrompt(p, name, size, err, [&](Prompt* prompt) {
    return prompt->BeginTurn("tool", {name, size});
  });
}

junto_status junto_prompt_add_reasoning(junto_prompt* p, const char* text, size_t size,
                                        junto_error* err) {
  return WithPrompt(p, text, size, err, [&](Prompt* prompt) {
    return prompt->AddReasoning({text, size});
  });
}

junto_status junto_prompt_add_tool_call(junto_prompt* p, const char* name, size_t name_size,
                                        const char* arguments, size_t arguments_size,
                                        junto_error* err) {
  return WithPrompt(p, name, name_size, err, [&](Prompt* prompt) -> Status {
    if (arguments == nullptr && arguments_size != 0) return NullArgument("arguments");
    return prompt->AddToolCall({name, name_size}, {arguments, arguments_size});
  });
}

junto_status junto_prompt_end_turn(junto_prompt* p, junto_error* err) {
  return WithPrompt(p, nullptr, 0, err, [](Prompt* prompt) { return prompt->EndTurn(); });
}

junto_status junto_prompt_add_text(junto_prompt* p, const char* text, size_t size,
                                   junto_error* err) {
  return WithPrompt(p, text, size, err, [&](Prompt* prompt) {
    return prompt->AddText({text, size});
  });
}

junto_status junto_prompt_add_tokens(junto_prompt* p, const junto_token* tokens, size_t count,
                                     junto_error* err) {
  return WithPrompt(p, tokens, count, err, [&](Prompt* prompt) {
    return prompt->AddTokens({tokens, count});
  });
}

junto_status junto_prompt_render(const junto_prompt* p, char* dst, size_t capacity, size_t* size,
                                 junto_error* err) {
  return WithPrompt(const_cast<junto_prompt*>(p), nullptr, 0, err,
                    [&](const Prompt* prompt) -> Status {
                      if (size == nullptr) return NullArgument("size");
                      String text({&p->model->runtime->memory, Tag::kObject});
                      JUNTO_TRY(prompt->Render(&text));
                      *size = text.size();
                      if (dst == nullptr) return Status();
                      if (capacity < text.size()) {
                        return Status::Make(Code::kShortBuffer, "room for %zu bytes, %zu needed",
                                            capacity, text.size());
                      }
                      text.copy(dst, text.size());
                      return Status();
                    });
}

}  // extern "C"
