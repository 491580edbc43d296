// Prompt: a whole context, as turns in the model's markup or as plain text and tokens.
#ifndef JUNTO_RUNTIME_PROMPT_H_
#define JUNTO_RUNTIME_PROMPT_H_

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "junto/runtime/encoded_chat.h"
#include "junto/runtime/model.h"
#include "junto/text/tool_schemas.h"

namespace junto {

// Renders and encodes as it grows, so that using it allocates nothing. A turn renders the whole
// conversation anew, because templates change earlier turns; what stays the same is not encoded
// again. Plain text is encoded together with the text before it up to the last turn or token: turns
// begin with control tokens, which nothing merges with. One thread at a time; every function that
// adds may throw OutOfMemory. What fails changes nothing.
class Prompt {
 public:
  // `model` outlives the prompt.
  explicit Prompt(const Model* model)
      : model_(model),
        memory_(model->services().memory),
        scratch_(memory_),
        conversation_(memory_),
        text_parameters_({memory_, Tag::kObject}),
        message_(memory_),
        settled_({memory_, Tag::kObject}),
        settled_text_({memory_, Tag::kObject}),
        said_({memory_, Tag::kObject}),
        chat_(memory_),
        tail_(memory_),
        tail_tokens_({memory_, Tag::kObject}) {}

  // Before the first turn; a later value replaces an earlier one.
  Status SetVariable(std::string_view key, std::string_view value) {
    JUNTO_TRY(CheckNoTurns("variables"));
    JUNTO_TRY(markup().CheckVariable(key, value));
    conversation_.variables.push_back({Copy(key), Copy(value)});
    return Status();
  }

  // A JSON array of functions, each {"name", "description", "parameters"} or that inside {"type":
  // "function", "function": ...}. Before the first turn; replaces what was set. Empty: none.
  Status SetTools(std::string_view json) {
    JUNTO_TRY(CheckNoTurns("tools"));
    if (!json.empty()) JUNTO_TRY(CheckJson(json, JsonKind::kArray, "tools", memory_));
    Conversation checked(memory_);
    checked.tools = Copy(json);
    jinja::Workspace work(memory_, jinja::Limits::For(json.size()));
    jinja::Value tools;
    Vector<uint64_t> texts({memory_, Tag::kObject});
    if (!json.empty()) {
      JUNTO_TRY(ConversationValues(&work, checked, {}).Tools(&tools));
      texts = ToolSchemas(&work).TextParametersOf(tools);
      if (work.failed()) return work.status();
    }
    conversation_.tools.swap(checked.tools);
    text_parameters_.swap(texts);
    return Status();
  }

  // A template instead of the model's, and of native markup. Before the first turn; variables that
  // were set must be known to it.
  Status SetTemplate(std::string_view source) {
    JUNTO_TRY(CheckNoTurns("a template"));
    Owned<ChatMarkup> own = New<ChatMarkup>(memory_, Tag::kObject, memory_);
    JUNTO_TRY(own->SetTemplate(model_->tokenizer(), source));
    for (const ChatVariable& variable : conversation_.variables) {
      JUNTO_TRY(own->CheckVariable(variable.key, variable.value));
    }
    own_markup_ = std::move(own);
    return Status();
  }

  // `tool` names whose result a tool's turn is; empty: that of the next call without one.
  Status BeginTurn(std::string_view role, std::string_view tool = {}) {
    if (open_) return StillOpen();
    ChatRole parsed = ChatRole::kUser;
    JUNTO_TRY(markup().CheckRole(role, &parsed));
    if (!IsUtf8(tool)) {
      return Status::Make(Code::kInvalid, "tool: byte %zu is not UTF-8", WholePrefix(tool));
    }
    ChatMessage message(memory_, parsed);
    message.tool = Copy(tool);
    message_ = std::move(message);
    open_ = true;
    return Status();
  }

  // In an assistant's turn: what was thought before its text.
  Status AddReasoning(std::string_view text) {
    JUNTO_TRY(CheckAssistant("reasoning"));
    JUNTO_TRY(CheckText(text, "reasoning"));
    message_.reasoning.append(text);
    return Status();
  }

  // In an assistant's turn: a call, after its text. `arguments` is a JSON object, or, of Harmony's
  // built-in tools, any text.
  Status AddToolCall(std::string_view name, std::string_view arguments) {
    JUNTO_TRY(CheckAssistant("a tool call"));
    if (name.empty()) return Status::Make(Code::kInvalid, "a tool call's name has 0 bytes");
    JUNTO_TRY(CheckText(name, "a tool call's name"));
    if (markup().TakesText(conversation_, name)) {
      JUNTO_TRY(CheckText(arguments, "arguments"));
    } else {
      JUNTO_TRY(CheckJson(arguments, JsonKind::kObject, "arguments", memory_));
    }
    message_.calls.push_back({Copy(name), Copy(arguments)});
    return Status();
  }

  // E_INVALID with what a template says of a turn that it does not take; the turn stays open then.
  // Templates may want a user's turn behind a system's, or a result behind a call: what they say of
  // those is told when tokens are asked for and no turn has mended it.
  Status EndTurn() {
    if (!open_) return Status::Make(Code::kInvalid, "no turn has begun after %zu turns", turns());
    const ChatRole role = message_.role;
    const bool waits = role != ChatRole::kUser && role != ChatRole::kTool;
    conversation_.messages.reserve(turns() + 1);
    PushedMessage pushed(this);
    EncodedChat chat(memory_);
    Status status = EncodeChat(role != ChatRole::kAssistant, &chat);
    if (!status.ok() && (!waits || status.code() != Code::kInvalid)) return status;
    Settle(0, 0);
    chat_ = std::move(chat);
    pushed.Keep();
    pending_ = status;
    open_ = false;
    if (status.ok() && OnlyAsked()) opening_ = settled_.size() + chat_.TokensBefore(2);
    return Status();
  }

  // Inside a turn its text, otherwise plain text of the context. E_INVALID when it is not UTF-8.
  Status AddText(std::string_view text) {
    JUNTO_TRY(CheckText(text, "text"));
    if (open_) {
      message_.content.append(text);
      return Status();
    }
    Frozen frozen(memory_);
    JUNTO_TRY(Freeze(&frozen));
    frozen.tail.Add(text, false);
    Vector<int32_t> tokens({memory_, Tag::kObject});
    JUNTO_TRY(Encode(frozen.tail, settled_.empty() && frozen.tokens.empty(), &tokens));
    Apply(&frozen, 0, 0);
    tail_tokens_.swap(tokens);
    return Status();
  }

  // Outside of turns. E_INVALID names a token that the model does not have.
  Status AddTokens(Span<const int32_t> tokens) {
    if (open_) {
      return Status::Make(Code::kInvalid, "turn '%s' is open: %zu tokens cannot be added to it",
                          RoleName(message_.role).data(), tokens.size());
    }
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] >= 0 && static_cast<uint32_t>(tokens[i]) < model_->spec().vocab) continue;
      return Status::Make(Code::kInvalid, "token %zu is %d, outside of a vocabulary of %u", i,
                          static_cast<int>(tokens[i]), model_->spec().vocab);
    }
    Frozen frozen(memory_);
    JUNTO_TRY(Freeze(&frozen));
    Vector<int32_t> tail({memory_, Tag::kObject});
    if (!frozen.tail.text().empty()) {  // tokens alone have no BOS before them
      JUNTO_TRY(Encode(frozen.tail, settled_.empty() && frozen.tokens.empty(), &tail));
    }
    size_t text_size = frozen.tail.text().size();
    for (int32_t token : tokens) text_size += model_->tokenizer().Piece(token).size();
    Apply(&frozen, tail.size() + tokens.size(), text_size);
    tail_tokens_.swap(tail);
    Settle(tokens.size(), 0);
    settled_.insert(settled_.end(), tokens.begin(), tokens.end());
    for (int32_t token : tokens) settled_text_.append(model_->tokenizer().Piece(token));
    return Status();
  }

  // The tokens are the concatenation of the parts.
  struct Parts {
    Span<const int32_t> part[3];
  };
  Status Tokens(Parts* parts) const {
    if (open_) return StillOpen();
    if (!pending_.ok()) return pending_;
    parts->part[0] = settled_;
    parts->part[1] = chat_.tokens();
    parts->part[2] = tail_tokens_;
    return Status();
  }

  // The same as text, control tokens spelled out.
  Status Render(String* out) const {
    Parts parts;
    JUNTO_TRY(Tokens(&parts));
    out->assign(settled_text_);
    out->append(chat_.text().text());
    out->append(tail_.text());
    return Status();
  }

  // The parameters of the tools that are texts, as ToolSchemas found.
  Span<const uint64_t> text_parameters() const { return text_parameters_; }

  // The control token that begins turns; -1 where there is none.
  int32_t turn_token() const { return markup().turn_token(); }

  // Tokens before the first user's turn, as they were when it ended: the system's turn with tools,
  // which other conversations may have, too.
  size_t opening() const { return opening_; }

 private:
  // The message of the open turn, at the end of the conversation unless nobody keeps it there.
  class PushedMessage {
   public:
    explicit PushedMessage(Prompt* prompt) : prompt_(prompt) {
      prompt->conversation_.messages.push_back(std::move(prompt->message_));
    }
    ~PushedMessage() {
      if (prompt_ == nullptr) return;
      prompt_->message_ = std::move(prompt_->conversation_.messages.back());
      prompt_->conversation_.messages.pop_back();
    }
    PushedMessage(const PushedMessage&) = delete;
    PushedMessage& operator=(const PushedMessage&) = delete;
    void Keep() { prompt_ = nullptr; }

   private:
    Prompt* prompt_;
  };

  // Turns that plain text or tokens are about to follow.
  struct Frozen {
    explicit Frozen(Memory* memory)
        : tokens({memory, Tag::kObject}),
          text({memory, Tag::kObject}),
          said({memory, Tag::kObject}),
          tail(memory) {}
    Vector<int32_t> tokens;  // that are settled then
    String text;             // and their text
    String said;             // all that the conversation is by now
    SegmentList tail;        // what the text is encoded together with
    bool turns = false;
  };

  const ChatMarkup& markup() const { return own_markup_ ? *own_markup_ : model_->markup(); }
  size_t turns() const { return conversation_.messages.size(); }
  // Whether the last turn is a user's and those before it say how to behave. What asks for the
  // answer is a turn of its own behind it then.
  bool OnlyAsked() const {
    const auto& messages = conversation_.messages;
    return messages.back().role == ChatRole::kUser &&
           std::all_of(messages.begin(), messages.end() - 1, [](const ChatMessage& message) {
             return message.role == ChatRole::kSystem || message.role == ChatRole::kDeveloper;
           });
  }
  String Copy(std::string_view text) const {
    return String(text, ContainerAllocator<char>(memory_, Tag::kObject));
  }
  Status StillOpen() const {
    return Status::Make(Code::kInvalid, "turn %zu ('%s') has not ended", turns(),
                        RoleName(message_.role).data());
  }
  Status CheckNoTurns(const char* what) const {
    if (turns() == 0 && !open_) return Status();
    return Status::Make(Code::kInvalid, "%s come before the turns, of which there are %zu", what,
                        turns() + (open_ ? 1 : 0));
  }
  Status CheckAssistant(const char* what) const {
    if (open_ && message_.role == ChatRole::kAssistant) return Status();
    return Status::Make(Code::kInvalid, "%s outside of an assistant's turn, after %zu turns", what,
                        turns());
  }
  static Status CheckText(std::string_view text, const char* what) {
    if (IsUtf8(text)) return Status();
    return Status::Make(Code::kInvalid, "%s: byte %zu is not UTF-8", what, WholePrefix(text));
  }

  Status Encode(const SegmentList& list, bool first, Vector<int32_t>* tokens) {
    return model_->tokenizer().Encode(list.text(), list.segments(), first, &scratch_, tokens);
  }

  // The conversation as it stands now, without what was said of it before plain text or tokens,
  // which cannot change any more.
  Status EncodeChat(bool answer, EncodedChat* out) {
    SegmentList text(memory_);
    JUNTO_TRY(markup().Render(conversation_, answer, &text));
    if (text.text().substr(0, said_.size()) != std::string_view(said_)) {
      return Status::Make(Code::kUnsupported,
                          "the template changes the %zu bytes of turns before plain text",
                          said_.size());
    }
    if (!said_.empty()) text = text.Part(said_.size(), text.text().size());
    const bool first = settled_.empty() && tail_tokens_.empty();
    return out->Encode(model_->tokenizer(), markup().turn_marker(), std::move(text), first, chat_,
                       &scratch_);
  }

  Status Freeze(Frozen* frozen) {
    if (!pending_.ok()) return pending_;
    frozen->tail = tail_;
    frozen->said = said_;
    if (chat_.empty()) return Status();
    EncodedChat chat(memory_);
    JUNTO_TRY(EncodeChat(false, &chat));
    const SegmentList& text = chat.text();
    frozen->turns = true;
    frozen->said.append(text.text());
    frozen->text.assign(text.text().substr(0, chat.TextBefore(1)));
    frozen->tokens.assign(chat.tokens().begin(), chat.tokens().begin() + chat.TokensBefore(1));
    frozen->tail = text.Part(chat.TextBefore(1), text.text().size());
    return Status();
  }
  // Makes room for so much more first, so that running out of memory changes nothing.
  void Apply(Frozen* frozen, size_t more_tokens, size_t more_text) {
    settled_.reserve(settled_.size() + frozen->tokens.size() + more_tokens);
    settled_text_.reserve(settled_text_.size() + frozen->text.size() + more_text);
    settled_.insert(settled_.end(), frozen->tokens.begin(), frozen->tokens.end());
    settled_text_.append(frozen->text);
    said_.swap(frozen->said);
    tail_ = std::move(frozen->tail);
    chat_.Clear();
  }

  // What comes next does not merge with plain text that is there. Makes room first.
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
  Owned<ChatMarkup> own_markup_;  // instead of the model's
  Conversation conversation_;
  Vector<uint64_t> text_parameters_;
  ChatMessage message_;  // of the open turn
  bool open_ = false;
  Status pending_;  // why the conversation cannot be rendered yet

  // In this order:
  Vector<int32_t> settled_;  // what cannot change any more
  String settled_text_;
  String said_;       // what of the conversation is in there, or in the tail
  EncodedChat chat_;  // the rest of it; empty behind plain text
  SegmentList tail_;  // plain text
  Vector<int32_t> tail_tokens_;

  size_t opening_ = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_PROMPT_H_
