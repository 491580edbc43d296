// OutputMarkup: which markup a model's output is in, and which of its tokens are the marks.
#ifndef JUNTO_TEXT_OUTPUT_MARKUP_H_
#define JUNTO_TEXT_OUTPUT_MARKUP_H_

#include <cstdint>
#include <string_view>

#include "junto/base/span.h"
#include "junto/text/output/gemma.h"
#include "junto/text/output/harmony.h"
#include "junto/text/output/tagged.h"
#include "junto/text/tokenizer.h"

namespace junto {

enum class OutputKind : uint8_t { kPlain, kHarmony, kGemma, kTagged };

struct OutputStyle {
  OutputKind kind;
  std::string_view turn;  // what begins a turn
  size_t needed;          // of the marks, the first so many must be tokens
  Span<const std::string_view> marks;
};

template <size_t kCount>
constexpr Span<const std::string_view> MarksOf(const std::string_view (&marks)[kCount]) {
  return {marks, kCount};
}

constexpr OutputStyle kOutputStyles[] = {
    {OutputKind::kPlain, "", 0, {}},
    {OutputKind::kHarmony, "<|start|>", 4, MarksOf(HarmonyParser::kMarks)},
    {OutputKind::kGemma, "<|turn>", 5, MarksOf(GemmaParser::kMarks)},
    {OutputKind::kTagged, "<|im_start|>", 0, MarksOf(TaggedParser::kMarks)},
};

// A mark that is a token is that token alone: text spelled like it is text. Marks that the model's
// template mentions and its vocabulary does not have are looked for in the text.
class OutputMarkup {
 public:
  static constexpr size_t kMaxMarks = 8;
  // In what a prompt ends with, where it has no turns.
  static constexpr size_t kTail = 16;

  static OutputMarkup Detect(const Tokenizer& tokenizer, std::string_view chat_template) {
    const auto mentions = [&](std::string_view text) {
      return chat_template.empty() || chat_template.find(text) != std::string_view::npos;
    };
    for (const OutputStyle& style : kOutputStyles) {
      OutputMarkup markup(style);
      bool all = true;
      bool any = false;
      for (size_t i = 0; i < style.marks.size(); ++i) {
        markup.tokens_[i] = tokenizer.FindMarkup(style.marks[i]);
        const bool spelled = markup.tokens_[i] < 0 && style.kind == OutputKind::kTagged &&
                             !chat_template.empty() && mentions(style.marks[i]);
        markup.spelled_[i] = spelled;
        all = all && (i >= style.needed || markup.tokens_[i] >= 0);
        any = any || markup.tokens_[i] >= 0 || spelled;
      }
      markup.turn_ = style.turn.empty() ? -1 : tokenizer.FindMarkup(style.turn);
      const bool fits = style.kind == OutputKind::kTagged ? any : all && mentions(style.turn);
      if (fits && style.kind != OutputKind::kPlain) return markup;
    }
    return OutputMarkup();
  }

  OutputMarkup() : OutputMarkup(OutputKind::kPlain) {}
  // Of which the caller tells the marks apart.
  explicit OutputMarkup(OutputKind kind) : OutputMarkup(kOutputStyles[static_cast<size_t>(kind)]) {}

  OutputKind kind() const { return style_->kind; }
  Span<const std::string_view> marks() const { return style_->marks; }
  bool spelled(size_t mark) const { return spelled_[mark]; }  // looked for in the text

  // The mark that a token is, or -1.
  int MarkOf(int32_t token) const {
    for (size_t i = 0; i < style_->marks.size(); ++i) {
      if (tokens_[i] == token) return static_cast<int>(i);
    }
    return -1;
  }

  // The part of a prompt that says in what state an answer begins: its last turn.
  Span<const int32_t> LastTurn(Span<const int32_t> prompt) const {
    for (size_t i = prompt.size(); i > 0 && turn_ >= 0; --i) {
      if (prompt[i - 1] == turn_) return prompt.subspan(i - 1, prompt.size() - i + 1);
    }
    const size_t tail = prompt.size() < kTail ? prompt.size() : kTail;
    return prompt.subspan(prompt.size() - tail, tail);
  }

 private:
  explicit OutputMarkup(const OutputStyle& style) : style_(&style) {
    for (int32_t& token : tokens_) token = -1;
  }

  const OutputStyle* style_;
  int32_t tokens_[kMaxMarks];
  bool spelled_[kMaxMarks] = {};
  int32_t turn_ = -1;
};

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_MARKUP_H_
