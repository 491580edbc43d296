// Conversation: what was said, who said it, and which tools there are.
#ifndef JUNTO_TEXT_CONVERSATION_H_
#define JUNTO_TEXT_CONVERSATION_H_

#include <cstddef>
#include <cstdio>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/base/utf8.h"
#include "junto/text/jinja/date.h"
#include "junto/text/jinja/json.h"

namespace junto {

enum class ChatRole { kSystem, kDeveloper, kUser, kAssistant, kTool };
constexpr std::string_view kChatRoles[] = {"system", "developer", "user", "assistant", "tool"};
inline std::string_view RoleName(ChatRole role) { return kChatRoles[static_cast<size_t>(role)]; }

// E_INVALID names a role that is not known.
inline Status ParseRole(std::string_view name, ChatRole* out) {
  for (size_t i = 0; i < sizeof(kChatRoles) / sizeof(kChatRoles[0]); ++i) {
    if (kChatRoles[i] != name) continue;
    *out = static_cast<ChatRole>(i);
    return Status();
  }
  return Status::Make(Code::kInvalid,
                      "role '%.*s': system, developer, user, assistant or tool expected",
                      static_cast<int>(Utf8Prefix(name, 64).size()), name.data());
}

struct ToolCall {
  String name;
  String arguments;  // a JSON object
};

struct ChatMessage {
  explicit ChatMessage(Memory* memory, ChatRole r = ChatRole::kUser)
      : role(r),
        content({memory, Tag::kObject}),
        reasoning({memory, Tag::kObject}),
        tool({memory, Tag::kObject}),
        calls({memory, Tag::kObject}) {}

  ChatRole role;
  String content;
  String reasoning;  // of the assistant: what was thought before `content`
  String tool;       // of a tool: its name; empty when it was not given
  Vector<ToolCall> calls;
};

// A variable of the template. A value that is JSON is what JSON says it is, any other is a string.
struct ChatVariable {
  String key;
  String value;
};

struct Conversation {
  explicit Conversation(Memory* memory)
      : messages({memory, Tag::kObject}),
        variables({memory, Tag::kObject}),
        tools({memory, Tag::kObject}) {}

  // The last value of a variable; nullptr when it has none.
  const String* FindVariable(std::string_view key) const {
    for (size_t i = variables.size(); i-- > 0;) {
      if (variables[i].key == key) return &variables[i].value;
    }
    return nullptr;
  }

  Vector<ChatMessage> messages;
  Vector<ChatVariable> variables;
  String tools;  // a JSON array; empty: none
};

// The call that the tool's message `index` answers: of the last assistant's that called, the first
// one of its name, or of any name, that no message between them answers. -1 where there is none.
struct AnsweredCall {
  size_t message = 0;
  ptrdiff_t call = -1;
};
inline AnsweredCall FindAnsweredCall(const Vector<ChatMessage>& messages, size_t index) {
  AnsweredCall found;
  size_t before = 0;  // results that come first and are of the same name
  const String& name = messages[index].tool;
  for (size_t i = index; i-- > 0 && messages[i].role != ChatRole::kUser;) {
    if (messages[i].role == ChatRole::kTool) before += name.empty() || messages[i].tool == name;
    if (messages[i].calls.empty()) continue;
    found.message = i;
    for (size_t c = 0; c < messages[i].calls.size(); ++c) {
      if (!name.empty() && messages[i].calls[c].name != name) continue;
      if (before-- == 0) found.call = static_cast<ptrdiff_t>(c);
      if (found.call >= 0) break;
    }
    break;
  }
  return found;
}

// Checks JSON that a caller gave; E_INVALID names `what` and the byte.
inline Status CheckJson(std::string_view json, JsonKind wanted, const char* what, Memory* memory) {
  if (!IsUtf8(json)) {
    return Status::Make(Code::kInvalid, "%s: byte %zu is not UTF-8", what, WholePrefix(json));
  }
  JsonReader reader(json, memory);
  JsonKind kind = JsonKind::kNull;
  Status status = reader.Peek(&kind);
  if (status.ok() && kind != wanted) {
    return Status::Make(Code::kInvalid, "%s: byte 0: JSON %s expected", what,
                        wanted == JsonKind::kObject ? "object" : "array");
  }
  if (status.ok()) status = reader.Skip();
  if (status.ok()) status = reader.End();
  if (status.ok()) return status;
  return Status::Make(Code::kInvalid, "%s: %s", what, status.message());
}

// A conversation as values that templates and renderers look at. The JSON of calls and tools must
// outlive the workspace, and is checked here.
class ConversationValues {
 public:
  // How templates of this kind name things.
  struct Names {
    std::string_view developer = "developer";  // the role
    std::string_view reasoning = "reasoning_content";
  };

  ConversationValues(jinja::Workspace* work, const Conversation& conversation, const Names& names)
      : work_(work), conversation_(conversation), names_(names) {}

  Status Messages(jinja::Value* out) {
    auto* list = work_->New<jinja::List>();
    for (size_t i = 0; i < conversation_.messages.size(); ++i) {
      jinja::Value message;
      JUNTO_TRY(MessageValue(i, &message));
      list->Add(work_, message);
    }
    *out = jinja::Value(list);
    return work_->status();
  }

  // Tools as {"type": "function", "function": {"name": ...}}; E_INVALID names the one that is not.
  Status Tools(jinja::Value* out) {
    JUNTO_TRY(jinja::JsonValues(work_, conversation_.tools).Read(out));
    if (!out->is(jinja::Type::kList)) {
      return Status::Make(Code::kInvalid, "tools: byte 0: JSON array expected");
    }
    for (size_t i = 0; i < out->list->size; ++i) {
      jinja::Value* tool = &out->list->data[i];
      const jinja::Value* function = Member(*tool, "function");
      if (function == nullptr && Member(*tool, "name") != nullptr) {
        auto* wrapped = work_->New<jinja::Dict>();
        wrapped->Set(work_, "type", jinja::MakeString(work_, std::string_view("function"), true));
        wrapped->Set(work_, "function", *tool);
        *tool = jinja::Value(wrapped);
        function = Member(*tool, "function");
      }
      const jinja::Value* name = function == nullptr ? nullptr : Member(*function, "name");
      if (name == nullptr || !name->string() || name->view().empty()) {
        return Status::Make(Code::kInvalid, "tools: tool %zu has no function with a name", i);
      }
    }
    return work_->status();
  }

  Status Variables(jinja::Dict* globals) {
    for (const ChatVariable& variable : conversation_.variables) {
      globals->Set(work_, std::string_view(variable.key), VariableValue(work_, variable.value));
    }
    return work_->status();
  }
  // `text` outlives the workspace.
  static jinja::Value VariableValue(jinja::Workspace* work, std::string_view text) {
    jinja::Value value;
    JsonReader reader(text, work->memory());
    const bool json = reader.Skip().ok() && reader.End().ok();
    if (json && jinja::JsonValues(work, text).Read(&value).ok()) return value;
    return jinja::MakeString(work, text, false);
  }

  const jinja::Value* Member(const jinja::Value& object, std::string_view key) {
    return object.is(jinja::Type::kDict) ? object.dict->Find(work_, key) : nullptr;
  }

 private:
  jinja::Value Literal(std::string_view text) { return jinja::MakeString(work_, text, true); }
  jinja::Value Given(std::string_view text) { return jinja::MakeString(work_, text, false); }

  Status MessageValue(size_t index, jinja::Value* out) {
    const ChatMessage& message = conversation_.messages[index];
    auto* dict = work_->New<jinja::Dict>();
    *out = jinja::Value(dict);
    const bool developer = message.role == ChatRole::kDeveloper;
    dict->Set(work_, "role", Literal(developer ? names_.developer : RoleName(message.role)));
    dict->Set(work_, "content", Given(message.content));
    if (!message.reasoning.empty()) dict->Set(work_, names_.reasoning, Given(message.reasoning));
    if (!message.calls.empty()) JUNTO_TRY(AddCalls(index, dict));
    if (message.role == ChatRole::kTool) AddResult(index, dict);
    return work_->status();
  }

  // Some templates match results with calls by these, some insist on nine letters and digits.
  jinja::Value CallId(size_t message, size_t call) {
    char* id = work_->Array<char>(10);
    if (id == nullptr) return jinja::Value();
    std::snprintf(id, 10, "call%03u%02u", static_cast<unsigned>(message % 1000),
                  static_cast<unsigned>(call % 100));
    return Literal({id, 9});
  }
  Status AddCalls(size_t index, jinja::Dict* dict) {
    const ChatMessage& message = conversation_.messages[index];
    auto* calls = work_->New<jinja::List>();
    for (size_t i = 0; i < message.calls.size(); ++i) {
      jinja::Value arguments;
      JUNTO_TRY(jinja::JsonValues(work_, message.calls[i].arguments).Read(&arguments));
      auto* function = work_->New<jinja::Dict>();
      function->Set(work_, "name", Given(message.calls[i].name));
      function->Set(work_, "arguments", arguments);
      auto* call = work_->New<jinja::Dict>();
      call->Set(work_, "id", CallId(index, i));
      call->Set(work_, "type", Literal("function"));
      call->Set(work_, "function", jinja::Value(function));
      calls->Add(work_, jinja::Value(call));
    }
    dict->Set(work_, "tool_calls", jinja::Value(calls));
    return work_->status();
  }
  void AddResult(size_t index, jinja::Dict* dict) {
    const AnsweredCall answered = FindAnsweredCall(conversation_.messages, index);
    const String* name = &conversation_.messages[index].tool;
    if (answered.call >= 0) {
      const auto call = static_cast<size_t>(answered.call);
      name = &conversation_.messages[answered.message].calls[call].name;
      dict->Set(work_, "tool_call_id", CallId(answered.message, call));
    }
    if (!name->empty()) dict->Set(work_, "name", Given(*name));
  }

  jinja::Workspace* work_;
  const Conversation& conversation_;
  Names names_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_CONVERSATION_H_
