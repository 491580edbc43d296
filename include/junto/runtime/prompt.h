// Prompt: a whole context, as turns in the model's markup or as plain text and tokens.
#ifndef JUNTO_RUNTIME_PROMPT_H_
#define JUNTO_RUNTIME_PROMPT_H_

#include <cstdint>
#include <string_view>

#include "junto/runtime/model.h"

namespace junto {

// Encodes as it grows, so that using it allocates nothing. Text is encoded together with the text
// before it up to the last turn or token: turns begin with control tokens, which nothing merges
// with. One thread at a time; every function that adds may throw OutOfMemory.
class Prompt {
 public:
  // `model` outlives the prompt.
  explicit Prompt(const Model* model)
      : model_(model),
        memory_(model->services().memory),
        scratch_(memory_),
        settled_({memory_, Tag::kObject}),
        tail_tokens_({memory_, Tag::kObject}),
        answer_tokens_({memory_, Tag::kObject}),
        settled_text_({memory_, Tag::kObject}),
        tail_(memory_),
        role_({memory_, Tag::kObject}),
        text_({memory_, Tag::kObject}),
        variables_({memory_, Tag::kObject}) {}

  // Before the first turn; a later value replaces an earlier one.
  Status SetVariable(std::string_view key, std::string_view value) {
    if (turns_ != 0) {
      return Status::Make(Code::kInvalid, "variables come before the turns, of which there are %u",
                          turns_);
    }
    JUNTO_TRY(model_->markup().CheckVariable({key, value}));
    const ContainerAllocator<char> allocator(memory_, Tag::kObject);
    variables_.push_back({String(key, allocator), String(value, allocator)});
    return Status();
  }

  Status BeginTurn(std::string_view role) {
    if (open_) {
      return Status::Make(Code::kInvalid, "turn %u ('%s') has not ended", turns_, role_.c_str());
    }
    JUNTO_TRY(model_->markup().CheckRole(role));
    role_.assign(role);
    text_.clear();
    open_ = true;
    return Status();
  }

  Status EndTurn() {
    if (!open_) return Status::Make(Code::kInvalid, "no turn has begun after %u turns", turns_);
    SegmentList turn(memory_);
    if (turns_ == 0) JUNTO_TRY(RenderPreamble(&turn));
    JUNTO_TRY(model_->markup().RenderTurn({role_, text_}, &turn));
    Vector<int32_t> tokens({memory_, Tag::kObject});
    JUNTO_TRY(Encode(turn, empty(), &tokens));
    if (answer_tokens_.empty()) {
      SegmentList answer(memory_);
      JUNTO_TRY(model_->markup().RenderAnswer(&answer));
      JUNTO_TRY(Encode(answer, false, &answer_tokens_));
    }
    Settle(0, 0);
    tail_ = std::move(turn);
    tail_tokens_ = std::move(tokens);
    answers_ = role_ != "assistant";
    open_ = false;
    ++turns_;
    return Status();
  }

  // Inside a turn its text, otherwise plain text of the context. E_INVALID when it is not UTF-8.
  Status AddText(std::string_view text) {
    if (!IsUtf8(text)) {
      return Status::Make(Code::kInvalid, "text: byte %zu is not UTF-8", WholePrefix(text));
    }
    if (open_) {
      text_.append(text);
      return Status();
    }
    SegmentList tail = tail_;
    tail.Add(text, false);
    Vector<int32_t> tokens({memory_, Tag::kObject});
    JUNTO_TRY(Encode(tail, settled_.empty(), &tokens));
    tail_ = std::move(tail);
    tail_tokens_ = std::move(tokens);
    answers_ = false;
    return Status();
  }

  // Outside of turns. E_INVALID names a token that the model does not have.
  Status AddTokens(Span<const int32_t> tokens) {
    if (open_) {
      return Status::Make(Code::kInvalid, "turn '%s' is open: %zu tokens cannot be added to it",
                          role_.c_str(), tokens.size());
    }
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] >= 0 && static_cast<uint32_t>(tokens[i]) < model_->spec().vocab) continue;
      return Status::Make(Code::kInvalid, "token %zu is %d, outside of a vocabulary of %u", i,
                          static_cast<int>(tokens[i]), model_->spec().vocab);
    }
    size_t text_size = 0;
    for (int32_t token : tokens) text_size += model_->tokenizer().Piece(token).size();
    Settle(tokens.size(), text_size);
    settled_.insert(settled_.end(), tokens.begin(), tokens.end());
    for (int32_t token : tokens) settled_text_.append(model_->tokenizer().Piece(token));
    answers_ = false;
    return Status();
  }

  // The tokens are the concatenation of the parts; the last is what opens the assistant's turn.
  struct Parts {
    Span<const int32_t> part[3];
  };
  Status Tokens(Parts* parts) const {
    if (open_) {
      return Status::Make(Code::kInvalid, "turn %u ('%s') has not ended", turns_, role_.c_str());
    }
    parts->part[0] = settled_;
    parts->part[1] = tail_tokens_;
    parts->part[2] = answers_ ? Span<const int32_t>(answer_tokens_) : Span<const int32_t>();
    return Status();
  }

  // The same as text, control tokens spelled out.
  Status Render(String* out) const {
    Parts parts;
    JUNTO_TRY(Tokens(&parts));
    out->assign(settled_text_);
    out->append(tail_.text());
    for (int32_t token : parts.part[2]) out->append(model_->tokenizer().Piece(token));
    return Status();
  }

 private:
  struct Variable {
    String key;
    String value;
  };

  bool empty() const { return settled_.empty() && tail_tokens_.empty(); }

  Status RenderPreamble(SegmentList* out) const {
    Vector<ChatVariable> variables({memory_, Tag::kObject});
    for (const Variable& variable : variables_) variables.push_back({variable.key, variable.value});
    return model_->markup().RenderPreamble(role_ == "system", variables, out);
  }

  Status Encode(const SegmentList& list, bool first, Vector<int32_t>* tokens) {
    return model_->tokenizer().Encode(list.text(), list.segments(), first, &scratch_, tokens);
  }

  // What comes next does not merge with what is there. Makes room for so much more first, so that
  // running out of memory changes nothing.
  void Settle(size_t more_tokens, size_t more_text) {
    settled_.reserve(settled_.size() + tail_tokens_.size() + more_tokens);
    settled_text_.reserve(settled_text_.size() + tail_.text().size() + more_text);
    settled_.insert(settled_.end(), tail_tokens_.begin(), tail_tokens_.end());
    settled_text_.append(tail_.text());
    tail_tokens_.clear();
    tail_.Clear();
  }

  const Model* model_;
  Memory* memory_;
  EncodeScratch scratch_;
  Vector<int32_t> settled_;
  Vector<int32_t> tail_tokens_;
  Vector<int32_t> answer_tokens_;
  String settled_text_;
  SegmentList tail_;
  String role_;  // of the open turn, or of the last one
  String text_;  // of the open turn
  Vector<Variable> variables_;
  uint32_t turns_ = 0;
  bool open_ = false;
  bool answers_ = false;  // the assistant is to speak
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_PROMPT_H_
