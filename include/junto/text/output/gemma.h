// Gemma 4's markup:
//   <|channel>thought\n...<channel|><|tool_call>call:NAME{key:value}<tool_call|>...
#ifndef JUNTO_TEXT_OUTPUT_GEMMA_H_
#define JUNTO_TEXT_OUTPUT_GEMMA_H_

#include <string_view>

#include "junto/text/output/gemma_arguments.h"
#include "junto/text/output/parser.h"

namespace junto {

// Marks that close nothing say nothing. White space at the end of a thought, up to 64 bytes of it,
// belongs to the markup.
class GemmaParser final : public OutputParser {
 public:
  enum Marks { kChannelOpen, kChannelClose, kCallOpen, kCallClose, kQuote };
  static constexpr std::string_view kMarks[] = {"<|channel>", "<channel|>", "<|tool_call>",
                                                "<tool_call|>", "<|\"|>"};

  explicit GemmaParser(OutputSink* sink) : OutputParser(sink), arguments_(&writer_) {}

  void Reset() override {
    state_ = State::kContent;
    spilt_ = false;
    BeginAnswer();
  }
  void BeginAnswer() override {
    writer_.Reset();
    held_.Clear();
  }

  void Mark(int mark) override {
    switch (mark) {
      case kChannelOpen:
        Leave(true);
        state_ = State::kChannel;
        break;
      case kCallOpen:
        Leave(true);
        state_ = State::kCall;
        spilt_ = false;
        break;
      case kChannelClose:
        if (state_ == State::kChannel || state_ == State::kReasoning) Leave(true);
        break;
      case kCallClose:
        if (spilt_) writer_.Write(Channel::kContent, kMarks[kCallClose]);
        spilt_ = false;
        if (state_ == State::kCall) {
          Spill();
          writer_.Write(Channel::kContent, kMarks[kCallClose]);
          spilt_ = false;
        } else if (InCall()) {
          Leave(true);
        }
        break;
      default:
        if (state_ == State::kArguments) {
          arguments_.Quote();
        } else {
          for (const char c : kMarks[kQuote]) Take(c);
        }
        break;
    }
  }

  void Take(char c) override {
    switch (state_) {
      case State::kContent:
        writer_.Write(Channel::kContent, {&c, 1});
        break;
      case State::kChannel:
        TakeChannel(c);
        break;
      case State::kReasoning:
        TakeReasoning(c);
        break;
      case State::kCall:
        TakeCall(c);
        break;
      case State::kArguments:
        TakeArgument(c);
        break;
      case State::kAfterCall:
        if (IsSpace(c) || c == '}') break;
        state_ = State::kContent;
        writer_.Write(Channel::kContent, {&c, 1});
        break;
    }
  }

  void End(bool) override {
    Leave(false);
    state_ = State::kContent;
  }

 private:
  enum class State { kContent, kChannel, kReasoning, kCall, kArguments, kAfterCall };
  static constexpr std::string_view kThought = "thought";
  static constexpr std::string_view kCallHead = "call:";
  static constexpr size_t kMaxHeld = 256;
  static constexpr size_t kMaxSpace = 64;

  bool InCall() const { return state_ == State::kArguments || state_ == State::kAfterCall; }

  // Ends what is open. closed: a mark ends it, not the output.
  void Leave(bool closed) {
    if (state_ == State::kChannel) {
      BeginReasoning();
    } else if (state_ == State::kCall) {
      Spill();
    } else if (state_ == State::kArguments && closed) {
      arguments_.Close();
      writer_.EndCall();
    }
    if (state_ == State::kReasoning && !closed) writer_.Write(Channel::kReasoning, held_.view());
    held_.Clear();
    state_ = State::kContent;
  }

  void TakeChannel(char c) {
    if (c == '\n') {
      const bool named = TrimSpace(held_.view()) == kThought;
      BeginReasoning();
      if (!named) TakeReasoning(c);
    } else if (!held_.Add(c)) {
      BeginReasoning();
      TakeReasoning(c);
    }
  }

  // What stands in the place of the channel's name is thought, too.
  void BeginReasoning() {
    writer_.Separate(Channel::kReasoning);
    state_ = State::kReasoning;
    const FixedText<kMaxHeld> name = held_;
    held_.Clear();
    if (StartsWith(kThought, TrimSpace(name.view()))) return;
    for (const char c : name.view()) TakeReasoning(c);
  }

  void TakeReasoning(char c) {
    if (IsSpace(c)) {
      if (held_.size() == kMaxSpace) {
        writer_.Write(Channel::kReasoning, held_.view().substr(0, 1));
        held_.Drop(1);
      }
      held_.Add(c);
      return;
    }
    writer_.Write(Channel::kReasoning, held_.view());
    held_.Clear();
    writer_.Write(Channel::kReasoning, {&c, 1});
  }

  void TakeCall(char c) {
    held_.Add(c);
    const std::string_view said = TrimSpace(held_.view());
    const bool head =
        said.size() <= kCallHead.size() ? StartsWith(kCallHead, said) : StartsWith(said, kCallHead);
    if (!head || held_.full()) {
      Spill();
      return;
    }
    if (c != '{') return;
    const std::string_view name =
        TrimSpace(said.substr(kCallHead.size(), said.size() - kCallHead.size() - 1));
    if (!OutputWriter::IsName(name)) {
      Spill();
      return;
    }
    writer_.BeginCall(name);
    held_.Clear();
    state_ = State::kArguments;
    arguments_.Begin();
  }

  void TakeArgument(char c) {
    if (!arguments_.Take(c)) {
      state_ = State::kContent;
      writer_.Write(Channel::kContent, {&c, 1});
    } else if (arguments_.done()) {
      writer_.EndCall();
      state_ = State::kAfterCall;
    }
  }

  // It was no call.
  void Spill() {
    writer_.Write(Channel::kContent, kMarks[kCallOpen]);
    writer_.Write(Channel::kContent, held_.view());
    held_.Clear();
    state_ = State::kContent;
    spilt_ = true;
  }

  GemmaArguments arguments_;
  FixedText<kMaxHeld> held_;  // a head, or white space that may end a thought
  State state_ = State::kContent;
  bool spilt_ = false;  // a call that was none is open
};

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_GEMMA_H_
