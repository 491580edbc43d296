// Chat: conversations as the text that a model was trained to read.
#ifndef JUNTO_TEXT_CHAT_H_
#define JUNTO_TEXT_CHAT_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/base/utf8.h"
#include "junto/text/chat_defaults.h"
#include "junto/text/conversation.h"
#include "junto/text/harmony.h"
#include "junto/text/jinja/template.h"
#include "junto/text/segments.h"
#include "junto/text/tokenizer.h"

namespace junto {

enum class Markup { kNone, kTemplate, kHarmony };

constexpr std::string_view kHarmonyMarkers[] = {"<|start|>", "<|message|>", "<|channel|>"};
// Control tokens that begin turns.
constexpr std::string_view kTurnMarkers[] = {"<|start|>",         "<|im_start|>",
                                             "<|turn>",           "<start_of_turn>",
                                             "<|start_of_role|>", "<|start_header_id|>"};

// The chat markup of a model: Harmony, which is written natively, or a template. Immutable once
// chosen, so any number of threads may use it.
class ChatMarkup {
 public:
  explicit ChatMarkup(Memory* memory) : memory_(memory) {}

  // Chooses by the file's template and, where it has none or one that cannot be read, by the
  // control tokens of the vocabulary. `tokenizer` outlives the markup. Throws OutOfMemory.
  void Detect(const Tokenizer& tokenizer, std::string_view chat_template);

  // Takes this template whatever the vocabulary has. E_INVALID names what is wrong with it, and its
  // line. Throws OutOfMemory.
  Status SetTemplate(const Tokenizer& tokenizer, std::string_view source);

  // The control token that begins every turn; -1 where there is none.
  int32_t turn_token() const { return turn_token_; }
  // Its spelling; empty where there is none.
  std::string_view turn_marker() const {
    return turn_token_ < 0 ? std::string_view() : tokenizer_->Piece(turn_token_);
  }
  Markup markup() const { return markup_; }

  // E_INVALID names a role that is not known; E_UNSUPPORTED when the model has no markup.
  Status CheckRole(std::string_view role, ChatRole* out) const {
    JUNTO_TRY(CheckMarkup());
    return ParseRole(role, out);
  }
  // E_INVALID names a variable that nothing asks for, or a value that does not fit it. Harmony:
  // see kHarmonyVariables. A template: those it mentions, and "current_date" (YYYY-MM-DD, HH:MM:SS
  // may follow) for strftime_now.
  Status CheckVariable(std::string_view key, std::string_view value) const;

  // Whether a call of that tool has arguments that need not be JSON: of Harmony's "builtin_tools".
  bool TakesText(const Conversation& conversation, std::string_view tool) const {
    return markup_ == Markup::kHarmony && HarmonyRenderer::TakesText(conversation, tool);
  }

  // Appends a whole prompt to `out`; with `answer` the assistant's turn is opened at the end. What
  // messages, tools and variables say is never trusted. E_INVALID where the template raises that,
  // cannot be run to its end within its limits, or JSON is not what it should be. A failure leaves
  // `*out` as it was. Throws OutOfMemory.
  Status Render(const Conversation& conversation, bool answer, SegmentList* out) const;

 private:
  static constexpr std::string_view kGivenByTurns[] = {"messages", "tools",
                                                       "add_generation_prompt"};

  Status CheckMarkup() const {
    if (markup_ != Markup::kNone) return Status();
    return Status::Make(Code::kUnsupported,
                        "the model has no chat template, and none of %zu markups that are known: "
                        "no turns, only text",
                        sizeof(kDefaultTemplates) / sizeof(kDefaultTemplates[0]) + 1);
  }
  static bool HasAll(const Tokenizer& tokenizer, Span<const std::string_view> markers) {
    for (const std::string_view marker : markers) {
      if (tokenizer.FindMarkup(marker) < 0) return false;
    }
    return true;
  }

  Status RenderTemplate(jinja::Workspace* work, const Conversation& conversation, bool answer,
                        SegmentList* out) const;

  Memory* memory_;
  const Tokenizer* tokenizer_ = nullptr;
  Markup markup_ = Markup::kNone;
  Owned<jinja::Template> template_;
  int32_t turn_token_ = -1;
};

inline void ChatMarkup::Detect(const Tokenizer& tokenizer, std::string_view chat_template) {
  tokenizer_ = &tokenizer;
  template_.reset();
  markup_ = Markup::kNone;
  turn_token_ = -1;
  if (!tokenizer.has_vocabulary()) return;
  const bool harmony =
      chat_template.empty() || chat_template.find(kHarmonyMarkers[0]) != std::string_view::npos;
  if (harmony && HasAll(tokenizer, {kHarmonyMarkers, 3})) {
    markup_ = Markup::kHarmony;
    turn_token_ = tokenizer.FindMarkup(kHarmonyMarkers[0]);
    return;
  }
  if (!chat_template.empty() && SetTemplate(tokenizer, chat_template).ok()) return;
  for (const DefaultTemplate& known : kDefaultTemplates) {
    if (!HasAll(tokenizer, {known.markers, 2})) continue;
    if (SetTemplate(tokenizer, known.source).ok()) return;
  }
}

inline Status ChatMarkup::SetTemplate(const Tokenizer& tokenizer, std::string_view source) {
  Owned<jinja::Template> read;
  JUNTO_TRY(jinja::Template::Read(source, memory_, &read));
  tokenizer_ = &tokenizer;
  template_ = std::move(read);
  markup_ = Markup::kTemplate;
  turn_token_ = -1;
  for (const std::string_view marker : kTurnMarkers) {
    if (turn_token_ < 0 && template_->Mentions(marker)) turn_token_ = tokenizer.FindMarkup(marker);
  }
  return Status();
}

inline Status ChatMarkup::CheckVariable(std::string_view key, std::string_view value) const {
  JUNTO_TRY(CheckMarkup());
  const auto failure = [key, value](const char* what) {
    return Status::Make(Code::kInvalid, "variable '%.*s' with %zu bytes of value: %s",
                        static_cast<int>(Utf8Prefix(key, 64).size()), key.data(), value.size(),
                        what);
  };
  if (!IsUtf8(key) || !IsUtf8(value)) return failure("not UTF-8");
  if (markup_ == Markup::kHarmony) return CheckHarmonyVariable(memory_, key, value);
  for (const std::string_view given : kGivenByTurns) {
    if (key == given) return failure("turns and tools give it");
  }
  if (key == "current_date" && template_->Mentions("strftime_now")) {
    jinja::Date date;
    return jinja::ReadDate(value, &date) ? Status() : failure("YYYY-MM-DD expected");
  }
  if (!key.empty() && template_->Mentions(key)) return Status();
  return failure("the chat template does not mention it");
}

inline Status ChatMarkup::Render(const Conversation& conversation, bool answer,
                                 SegmentList* out) const {
  JUNTO_TRY(CheckMarkup());
  size_t given = conversation.tools.size();
  for (const ChatVariable& variable : conversation.variables) given += 64 + variable.value.size();
  for (const ChatMessage& message : conversation.messages) {
    given += 64 + message.content.size() + message.reasoning.size();
    for (const ToolCall& call : message.calls)
      given += 64 + call.name.size() + call.arguments.size();
  }
  jinja::Workspace work(memory_, jinja::Limits::For(given));
  SegmentList rendered(memory_);
  if (markup_ == Markup::kTemplate) {
    JUNTO_TRY(RenderTemplate(&work, conversation, answer, &rendered));
  } else {
    JUNTO_TRY(HarmonyRenderer(&work, conversation, &rendered).Run());
    if (answer) rendered.Add("<|start|>assistant", true);
  }
  out->Add(rendered);
  return Status();
}

inline Status ChatMarkup::RenderTemplate(jinja::Workspace* work, const Conversation& conversation,
                                         bool answer, SegmentList* out) const {
  ConversationValues::Names names;
  if (!template_->Mentions("developer")) names.developer = "system";
  if (!template_->Mentions(names.reasoning)) {
    names.reasoning = template_->Mentions("thinking") ? "thinking" : "reasoning";
  }
  ConversationValues values(work, conversation, names);
  auto* globals = work->New<jinja::Dict>();
  const auto set = [&](std::string_view key, const jinja::Value& value) {
    globals->Set(work, key, value);
  };
  set("bos_token", jinja::MakeString(work, tokenizer_->Piece(tokenizer_->bos()), true));
  set("eos_token", jinja::MakeString(work, tokenizer_->Piece(tokenizer_->eos()), true));
  JUNTO_TRY(values.Variables(globals));
  jinja::Value messages;
  JUNTO_TRY(values.Messages(&messages));
  set("messages", messages);
  set("add_generation_prompt", jinja::Value(answer));
  if (!conversation.tools.empty()) {
    jinja::Value tools;
    JUNTO_TRY(values.Tools(&tools));
    if (tools.list->size != 0) set("tools", tools);
  }
  const String* text = conversation.FindVariable("current_date");
  jinja::Date date;
  const bool dated = text != nullptr && jinja::ReadDate(*text, &date);
  return template_->Render(work, jinja::Value(globals), dated ? &date : nullptr, out);
}

}  // namespace junto

#endif  // JUNTO_TEXT_CHAT_H_
