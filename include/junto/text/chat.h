// Chat: turns of a conversation as the text that a model was trained to read.
#ifndef JUNTO_TEXT_CHAT_H_
#define JUNTO_TEXT_CHAT_H_

#include <cstddef>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/base/utf8.h"
#include "junto/text/chat_template.h"
#include "junto/text/segments.h"
#include "junto/text/tokenizer.h"

namespace junto {

struct ChatTurn {
  std::string_view role;  // "system", "user" or "assistant"
  std::string_view text;
};

// A value that a markup's preamble shows.
struct ChatVariable {
  std::string_view key;
  std::string_view value;
};

enum class Markup { kNone, kChatMl, kHarmony };

// What stands around the text of one role's turns.
struct TurnMarkup {
  std::string_view role;
  std::string_view opening;
  std::string_view closing;
};

struct MarkupStyle {
  Markup markup;
  std::string_view markers[3];  // control tokens without which it cannot be; may be empty
  TurnMarkup turns[3];
  std::string_view answer;  // asks for the assistant's turn
};

// Harmony calls the user's system prompt the developer's; its own system message is the preamble.
// Assistant turns of the past were answers: their reasoning is not kept.
constexpr MarkupStyle kMarkupStyles[] = {
    {Markup::kChatMl,
     {"<|im_start|>", "<|im_end|>", ""},
     {{"system", "<|im_start|>system\n", "<|im_end|>\n"},
      {"user", "<|im_start|>user\n", "<|im_end|>\n"},
      {"assistant", "<|im_start|>assistant\n", "<|im_end|>\n"}},
     "<|im_start|>assistant\n"},
    {Markup::kHarmony,
     {"<|start|>", "<|message|>", "<|channel|>"},
     {{"system", "<|start|>developer<|message|># Instructions\n\n", "<|end|>"},
      {"user", "<|start|>user<|message|>", "<|end|>"},
      {"assistant", "<|start|>assistant<|channel|>final<|message|>", "<|end|>"}},
     "<|start|>assistant"},
};

// The chat markup of a model. Immutable once detected, so any number of threads may use it.
class ChatMarkup {
 public:
  explicit ChatMarkup(Memory* memory) : default_system_({memory, Tag::kTokenizer}) {}

  // Chooses the markup whose control tokens the vocabulary has and whose first one the template
  // mentions; an empty template leaves it to the vocabulary. Throws OutOfMemory.
  void Detect(const Tokenizer& tokenizer, std::string_view chat_template);

  // The control token that begins every turn; -1 where there is none.
  int32_t turn_token() const { return turn_token_; }
  Markup markup() const { return style_ == nullptr ? Markup::kNone : style_->markup; }

  // E_INVALID names a role that is not known; E_UNSUPPORTED when the model has no markup.
  Status CheckRole(std::string_view role) const {
    const TurnMarkup* turn = nullptr;
    return FindTurn(role, &turn);
  }
  // E_INVALID names a variable that the markup does not have, or a value that does not fit it.
  // Harmony: "current_date" (YYYY-MM-DD) and "reasoning_effort" (low, medium or high).
  Status CheckVariable(const ChatVariable& variable) const;

  // Appends a whole prompt to `out`: preamble, turns, and the opening of the assistant's turn
  // unless the last turn is the assistant's. What turns and variables say is never trusted; later
  // values of a variable win. A failure leaves `*out` as it was. Throws OutOfMemory.
  Status Render(Span<const ChatTurn> turns, Span<const ChatVariable> variables,
                SegmentList* out) const;

  // The parts of Render. The preamble depends on whether the first turn is the system's.
  Status RenderPreamble(bool system_first, Span<const ChatVariable> variables,
                        SegmentList* out) const;
  Status RenderTurn(const ChatTurn& turn, SegmentList* out) const;
  Status RenderAnswer(SegmentList* out) const;

 private:
  Status CheckMarkup() const;
  Status FindTurn(std::string_view role, const TurnMarkup** turn) const;
  static void RenderHarmonySystem(Span<const ChatVariable> variables, SegmentList* out);

  const MarkupStyle* style_ = nullptr;
  int32_t turn_token_ = -1;
  String default_system_;  // what ChatML templates say where there is no system turn
};

inline void ChatMarkup::Detect(const Tokenizer& tokenizer, std::string_view chat_template) {
  style_ = nullptr;
  default_system_.clear();
  for (const MarkupStyle& style : kMarkupStyles) {
    bool complete =
        chat_template.empty() || chat_template.find(style.markers[0]) != std::string_view::npos;
    for (const std::string_view marker : style.markers) {
      complete = complete && (marker.empty() || tokenizer.FindMarkup(marker) >= 0);
    }
    if (complete) style_ = &style;
  }
  turn_token_ = style_ == nullptr ? -1 : tokenizer.FindMarkup(style_->markers[0]);
  if (markup() != Markup::kChatMl) return;
  const TurnMarkup& system = style_->turns[0];
  FindTemplateText(chat_template, system.opening, system.closing, &default_system_);
}

inline Status ChatMarkup::CheckMarkup() const {
  if (style_ != nullptr) return Status();
  return Status::Make(
      Code::kUnsupported,
      "the model has none of the %zu chat markups that are known: no turns, only text",
      sizeof(kMarkupStyles) / sizeof(kMarkupStyles[0]));
}

inline Status ChatMarkup::FindTurn(std::string_view role, const TurnMarkup** turn) const {
  JUNTO_TRY(CheckMarkup());
  for (const TurnMarkup& known : style_->turns) {
    if (known.role != role) continue;
    *turn = &known;
    return Status();
  }
  return Status::Make(Code::kInvalid, "role '%.*s': system, user or assistant expected",
                      static_cast<int>(Utf8Prefix(role, 64).size()), role.data());
}

inline Status ChatMarkup::CheckVariable(const ChatVariable& variable) const {
  JUNTO_TRY(CheckMarkup());
  const std::string_view value = variable.value;
  const auto failure = [&variable, value](const char* expected) {
    return Status::Make(Code::kInvalid, "variable '%.*s': %s expected, '%.*s' given",
                        static_cast<int>(variable.key.size()), variable.key.data(), expected,
                        static_cast<int>(Utf8Prefix(value, 64).size()), value.data());
  };
  if (markup() == Markup::kHarmony && variable.key == "current_date") {
    static constexpr std::string_view kShape = "0000-00-00";
    bool fits = value.size() == kShape.size();
    for (size_t i = 0; fits && i < kShape.size(); ++i) {
      fits = kShape[i] == '-' ? value[i] == '-' : value[i] >= '0' && value[i] <= '9';
    }
    return fits ? Status() : failure("YYYY-MM-DD");
  }
  if (markup() == Markup::kHarmony && variable.key == "reasoning_effort") {
    const bool fits = value == "low" || value == "medium" || value == "high";
    return fits ? Status() : failure("low, medium or high");
  }
  return Status::Make(Code::kInvalid, "variable '%.*s' is not one of this model's chat markup",
                      static_cast<int>(Utf8Prefix(variable.key, 64).size()), variable.key.data());
}

// The wording is the one the models were trained with; a byte more or less costs quality.
inline void ChatMarkup::RenderHarmonySystem(Span<const ChatVariable> variables, SegmentList* out) {
  std::string_view date;
  std::string_view effort = "medium";
  for (const ChatVariable& variable : variables) {
    (variable.key == "current_date" ? date : effort) = variable.value;
  }
  out->Add(
      "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
      "Knowledge cutoff: 2024-06\n",
      true);
  if (!date.empty()) {
    out->Add("Current date: ", true);
    out->Add(date, false);
    out->Add("\n", true);
  }
  out->Add("\nReasoning: ", true);
  out->Add(effort, false);
  out->Add(
      "\n\n# Valid channels: analysis, commentary, final. "
      "Channel must be included for every message.<|end|>",
      true);
}

inline Status ChatMarkup::RenderPreamble(bool system_first, Span<const ChatVariable> variables,
                                         SegmentList* out) const {
  JUNTO_TRY(CheckMarkup());
  for (const ChatVariable& variable : variables) JUNTO_TRY(CheckVariable(variable));
  if (markup() == Markup::kHarmony) {
    RenderHarmonySystem(variables, out);
  } else if (!system_first && !default_system_.empty()) {
    out->Add(style_->turns[0].opening, true);
    out->Add(default_system_, false);
    out->Add(style_->turns[0].closing, true);
  }
  return Status();
}

inline Status ChatMarkup::RenderTurn(const ChatTurn& turn, SegmentList* out) const {
  const TurnMarkup* markup = nullptr;
  JUNTO_TRY(FindTurn(turn.role, &markup));
  out->Add(markup->opening, true);
  out->Add(turn.text, false);
  out->Add(markup->closing, true);
  return Status();
}

inline Status ChatMarkup::RenderAnswer(SegmentList* out) const {
  JUNTO_TRY(CheckMarkup());
  out->Add(style_->answer, true);
  return Status();
}

inline Status ChatMarkup::Render(Span<const ChatTurn> turns, Span<const ChatVariable> variables,
                                 SegmentList* out) const {
  for (const ChatTurn& turn : turns) JUNTO_TRY(CheckRole(turn.role));
  JUNTO_TRY(RenderPreamble(!turns.empty() && turns[0].role == "system", variables, out));
  for (const ChatTurn& turn : turns) JUNTO_TRY(RenderTurn(turn, out));
  if (!turns.empty() && turns[turns.size() - 1].role == "assistant") return Status();
  return RenderAnswer(out);
}

}  // namespace junto

#endif  // JUNTO_TEXT_CHAT_H_
