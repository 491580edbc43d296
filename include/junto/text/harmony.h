// Harmony, the markup of gpt-oss: conversations written as its model was trained to read them.
#ifndef JUNTO_TEXT_HARMONY_H_
#define JUNTO_TEXT_HARMONY_H_

#include <cstddef>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/text/conversation.h"
#include "junto/text/harmony_tools.h"
#include "junto/text/harmony_variables.h"
#include "junto/text/segments.h"

namespace junto {

// What callers call the system's prompt is the developer's here; the markup's own system message is
// the preamble, as kHarmonyVariables say. What the assistant thought is kept until its answer is
// followed by something: of earlier answers only what was said, called and returned remains.
class HarmonyRenderer {
 public:
  HarmonyRenderer(jinja::Workspace* work, const Conversation& conversation, SegmentList* out)
      : work_(work), conversation_(conversation), variables_(work->New<jinja::Dict>()), out_(out) {}

  // Appends the whole conversation. E_INVALID where tools or calls are not what they should be.
  Status Run() {
    ConversationValues values(work_, conversation_, {});
    JUNTO_TRY(values.Variables(variables_));
    jinja::Value tools;
    if (!conversation_.tools.empty()) JUNTO_TRY(values.Tools(&tools));
    const bool has_tools = HasItems(&tools);
    System(has_tools);
    const Vector<ChatMessage>& messages = conversation_.messages;
    const bool instructed = !messages.empty() && Instructs(messages[0]);
    if (instructed || has_tools) {
      Developer(instructed ? std::string_view(messages[0].content) : "", tools, has_tools);
    }
    const size_t kept = FirstThought();
    for (size_t i = instructed ? 1 : 0; i < messages.size(); ++i) Message(i, i >= kept);
    return work_->status();
  }

  // Whether a tool of that name is one of "builtin_tools", whose calls need not be JSON.
  static bool TakesText(const Conversation& conversation, std::string_view tool) {
    const String* said = conversation.FindVariable("builtin_tools");
    if (said == nullptr) return false;
    jinja::Workspace work(said->get_allocator().memory(), jinja::Limits::For(said->size()));
    HarmonyRenderer renderer(&work, conversation, nullptr);
    if (ConversationValues(&work, conversation, {}).Variables(renderer.variables_).failed()) {
      return false;
    }
    return renderer.IsBuiltin(tool);
  }

 private:
  void Write(std::string_view text) { out_->Add(text, true); }
  void Copy(std::string_view text) { out_->Add(text, false); }

  static bool Instructs(const ChatMessage& message) {
    return message.role == ChatRole::kSystem || message.role == ChatRole::kDeveloper;
  }
  static bool HasItems(const jinja::Value* value) {
    return value != nullptr && value->is(jinja::Type::kList) && value->list->size != 0;
  }

  const jinja::Value* Variable(std::string_view key) { return variables_->Find(work_, key); }
  // What a variable says: `otherwise` where it was not set, nothing where it is null.
  std::string_view Said(std::string_view key, std::string_view otherwise) {
    const jinja::Value* value = Variable(key);
    if (value == nullptr) return otherwise;
    if (value->none()) return {};
    return value->string() ? value->view() : std::string_view(*conversation_.FindVariable(key));
  }

  // The first message whose thoughts are kept: behind the last one in which the assistant answered
  // instead of calling, and which something follows.
  size_t FirstThought() {
    const jinja::Value* all = Variable("preserve_thinking");
    if (all != nullptr && jinja::Truth(*all)) return 0;
    const Vector<ChatMessage>& messages = conversation_.messages;
    for (size_t i = messages.size(); i-- > 0;) {
      const bool answers = messages[i].role == ChatRole::kAssistant && messages[i].calls.empty();
      if (answers && i + 1 < messages.size()) return i + 1;
    }
    return 0;
  }

  // The wording is the one the models were trained with; a byte more or less costs quality. What is
  // not to be said is left out, and so is a message that says nothing.
  void System(bool has_functions) {
    static constexpr std::string_view kBegin = "<|start|>system<|message|>";
    struct Line {
      std::string_view key;
      std::string_view before;  // what keeps it apart from the lines above
      std::string_view words;
      std::string_view otherwise;
    };
    static constexpr Line kLines[] = {
        {"model_identity", "\n", "", "You are ChatGPT, a large language model trained by OpenAI."},
        {"knowledge_cutoff", "\n", "Knowledge cutoff: ", "2024-06"},
        {"current_date", "\n", "Current date: ", ""},
        {"reasoning_effort", "\n\n", "Reasoning: ", "medium"},
    };
    std::string_view before = kBegin;
    for (const Line& line : kLines) {
      const std::string_view said = Said(line.key, line.otherwise);
      if (said.empty()) continue;
      Write(before == kBegin ? before : line.before);
      Write(line.words);
      Copy(said);
      before = "\n\n";
    }
    if (const jinja::Value* tools = Variable("builtin_tools"); HasItems(tools)) {
      Write(before);
      HarmonyTools(work_, out_).Builtin(*tools);
      before = "\n\n";
    }
    if (Channels(before, has_functions)) before = {};
    if (before != kBegin) Write("<|end|>");
  }
  // False, writing nothing, where there are none to name.
  bool Channels(std::string_view before, bool has_functions) {
    const jinja::Value* named = Variable("valid_channels");
    if (named != nullptr && !HasItems(named)) return false;
    Write(before);
    Write("# Valid channels: ");
    if (named == nullptr) Write("analysis, commentary, final");
    for (size_t i = 0; named != nullptr && i < named->list->size; ++i) {
      if (i != 0) Write(", ");
      Copy(named->list->data[i].view());
    }
    Write(". Channel must be included for every message.");
    if (has_functions) {
      Write("\nCalls to these tools must go to the commentary channel: 'functions'.");
    }
    return true;
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
      HarmonyTools(work_, out_).Functions(tools);
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

  void Assistant(const ChatMessage& message, bool thinks) {
    if (thinks && !message.reasoning.empty()) Say("analysis", message.reasoning);
    if (message.calls.empty()) return Say("final", message.content);
    if (!message.content.empty()) Say("commentary", message.content);
    for (const ToolCall& call : message.calls) Call(call);
  }
  void Say(std::string_view channel, std::string_view text) {
    Write("<|start|>assistant<|channel|>");
    Write(channel);
    Write("<|message|>");
    Copy(text);
    Write("<|end|>");
  }

  // Calls look as the model writes them, so that a session that holds its own words keeps them.
  void Call(const ToolCall& call) {
    const bool builtin = IsBuiltin(call.name);
    Write("<|start|>assistant<|channel|>");
    Write(ChannelOf(builtin));
    Write(" to=");
    Tool(builtin, call.name);
    Write(builtin ? " code" : " <|constrain|>json");
    Write("<|message|>");
    Copy(call.arguments);
    Write("<|call|>");
  }
  void Result(size_t index) {
    const ChatMessage& message = conversation_.messages[index];
    const AnsweredCall answered = FindAnsweredCall(conversation_.messages, index);
    const std::string_view name = answered.call < 0 ? message.tool
                                                    : conversation_.messages[answered.message]
                                                          .calls[static_cast<size_t>(answered.call)]
                                                          .name;
    const bool builtin = IsBuiltin(name);
    Write("<|start|>");
    Tool(builtin, name);
    Write(" to=assistant<|channel|>");
    Write(ChannelOf(builtin));
    Write("<|message|>");
    Copy(message.content);
    Write("<|end|>");
  }
  static std::string_view ChannelOf(bool builtin) { return builtin ? "analysis" : "commentary"; }
  void Tool(bool builtin, std::string_view name) {
    if (!builtin) Write("functions.");
    Copy(name);
  }
  // "python" is, or "browser.search", where there is a namespace of that name.
  bool IsBuiltin(std::string_view tool) {
    const jinja::Value* tools = Variable("builtin_tools");
    if (!HasItems(tools)) return false;
    const std::string_view space = tool.substr(0, tool.find('.'));
    for (const jinja::Value& one : tools->list->items()) {
      const jinja::Value* name =
          one.is(jinja::Type::kDict) ? one.dict->Find(work_, "name") : nullptr;
      if (name != nullptr && name->string() && name->view() == space) return true;
    }
    return false;
  }

  jinja::Workspace* work_;
  const Conversation& conversation_;
  jinja::Dict* variables_;
  SegmentList* out_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_HARMONY_H_
