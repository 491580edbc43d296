// Harmony, the markup of gpt-oss: conversations written as its model was trained to read them.
#ifndef JUNTO_TEXT_HARMONY_H_
#define JUNTO_TEXT_HARMONY_H_

#include <cstddef>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/text/conversation.h"
#include "junto/text/harmony_tools.h"
#include "junto/text/segments.h"

namespace junto {

// What callers call the system's prompt is the developer's here; the markup's own system message is
// the preamble. What the assistant thought is kept while it has not answered: of earlier answers
// only what was said, called and returned remains.
class HarmonyRenderer {
 public:
  static constexpr std::string_view kVariables[] = {"current_date", "reasoning_effort",
                                                    "model_identity", "knowledge_cutoff"};

  HarmonyRenderer(jinja::Workspace* work, const Conversation& conversation, SegmentList* out)
      : work_(work), conversation_(conversation), out_(out) {}

  // E_INVALID names a variable that does not exist, or a value that does not fit.
  static Status CheckVariable(std::string_view key, std::string_view value);

  // Appends the whole conversation. E_INVALID where tools or calls are not what they should be.
  Status Run() {
    jinja::Value tools;
    if (!conversation_.tools.empty()) {
      JUNTO_TRY(ConversationValues(work_, conversation_, {}).Tools(&tools));
    }
    const bool has_tools = tools.is(jinja::Type::kList) && tools.list->size != 0;
    System(has_tools);
    const Vector<ChatMessage>& messages = conversation_.messages;
    const bool instructed = !messages.empty() && Instructs(messages[0]);
    if (instructed || has_tools) {
      Developer(instructed ? std::string_view(messages[0].content) : "", tools, has_tools);
    }
    const size_t answered = LastAnswer();
    for (size_t i = instructed ? 1 : 0; i < messages.size(); ++i) {
      Message(i, i > answered || answered == messages.size());
    }
    return work_->status();
  }

 private:
  void Write(std::string_view text) { out_->Add(text, true); }
  void Copy(std::string_view text) { out_->Add(text, false); }

  static bool Instructs(const ChatMessage& message) {
    return message.role == ChatRole::kSystem || message.role == ChatRole::kDeveloper;
  }
  // The last message in which the assistant answered instead of calling; the count if none.
  size_t LastAnswer() const {
    const Vector<ChatMessage>& messages = conversation_.messages;
    for (size_t i = messages.size(); i-- > 0;) {
      if (messages[i].role == ChatRole::kAssistant && messages[i].calls.empty()) return i;
    }
    return messages.size();
  }

  // The wording is the one the models were trained with; a byte more or less costs quality.
  void System(bool has_tools) {
    const auto variable = [this](std::string_view key, std::string_view otherwise) {
      const String* value = conversation_.FindVariable(key);
      value == nullptr ? Write(otherwise) : Copy(*value);
    };
    Write("<|start|>system<|message|>");
    variable("model_identity", "You are ChatGPT, a large language model trained by OpenAI.");
    Write("\nKnowledge cutoff: ");
    variable("knowledge_cutoff", "2024-06");
    if (const String* date = conversation_.FindVariable("current_date")) {
      Write("\nCurrent date: ");
      Copy(*date);
    }
    Write("\n\nReasoning: ");
    variable("reasoning_effort", "medium");
    Write(
        "\n\n# Valid channels: analysis, commentary, final. "
        "Channel must be included for every message.");
    if (has_tools) Write("\nCalls to these tools must go to the commentary channel: 'functions'.");
    Write("<|end|>");
  }

  void Developer(std::string_view instructions, const jinja::Value& tools, bool has_tools) {
    Write("<|start|>developer<|message|>");
    const bool instructed = !instructions.empty() || !has_tools;
    if (instructed) {
      Write("# Instructions\n\n");
      Copy(instructions);
    }
    if (has_tools) {
      if (instructed) Write("\n\n");
      HarmonyTools(work_, out_).Write(tools);
    }
    Write("<|end|>");
  }

  void Message(size_t index, bool thinks) {
    const ChatMessage& message = conversation_.messages[index];
    switch (message.role) {
      case ChatRole::kSystem:
      case ChatRole::kDeveloper:
        return Developer(message.content, jinja::Value(), false);
      case ChatRole::kUser:
        Write("<|start|>user<|message|>");
        Copy(message.content);
        return Write("<|end|>");
      case ChatRole::kAssistant:
        return Assistant(message, thinks);
      case ChatRole::kTool:
        return Result(index);
    }
  }

  // Calls look as the model writes them, so that a session that holds its own words keeps them.
  void Assistant(const ChatMessage& message, bool thinks) {
    if (thinks && !message.reasoning.empty()) Say("analysis", message.reasoning);
    if (message.calls.empty()) return Say("final", message.content);
    if (!message.content.empty()) Say("commentary", message.content);
    for (const ToolCall& call : message.calls) {
      Write("<|start|>assistant<|channel|>commentary to=functions.");
      Copy(call.name);
      Write(" <|constrain|>json<|message|>");
      Copy(call.arguments);
      Write("<|call|>");
    }
  }
  void Say(std::string_view channel, std::string_view text) {
    Write("<|start|>assistant<|channel|>");
    Write(channel);
    Write("<|message|>");
    Copy(text);
    Write("<|end|>");
  }
  void Result(size_t index) {
    const ChatMessage& message = conversation_.messages[index];
    const AnsweredCall answered = FindAnsweredCall(conversation_.messages, index);
    Write("<|start|>functions.");
    Copy(answered.call < 0 ? message.tool
                           : conversation_.messages[answered.message]
                                 .calls[static_cast<size_t>(answered.call)]
                                 .name);
    Write(" to=assistant<|channel|>commentary<|message|>");
    Copy(message.content);
    Write("<|end|>");
  }

  jinja::Workspace* work_;
  const Conversation& conversation_;
  SegmentList* out_;
};

inline Status HarmonyRenderer::CheckVariable(std::string_view key, std::string_view value) {
  const auto failure = [key, value](const char* expected) {
    return Status::Make(Code::kInvalid, "variable '%.*s': %s expected, '%.*s' given",
                        static_cast<int>(key.size()), key.data(), expected,
                        static_cast<int>(Utf8Prefix(value, 64).size()), value.data());
  };
  if (key == "current_date") {
    jinja::Date date;
    return value.size() == 10 && jinja::ReadDate(value, &date) ? Status() : failure("YYYY-MM-DD");
  }
  if (key == "reasoning_effort") {
    const bool fits = value == "low" || value == "medium" || value == "high";
    return fits ? Status() : failure("low, medium or high");
  }
  for (const std::string_view known : kVariables) {
    if (known == key) return Status();
  }
  return Status::Make(Code::kInvalid, "variable '%.*s' is none of %zu that Harmony has",
                      static_cast<int>(Utf8Prefix(key, 64).size()), key.data(),
                      sizeof(kVariables) / sizeof(kVariables[0]));
}

}  // namespace junto

#endif  // JUNTO_TEXT_HARMONY_H_
