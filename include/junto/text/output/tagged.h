// The markup of ChatML's family: Qwen, MiMo, Hermes and others:
//   <think>...</think>...<tool_call>a call in XML or JSON</tool_call>
#ifndef JUNTO_TEXT_OUTPUT_TAGGED_H_
#define JUNTO_TEXT_OUTPUT_TAGGED_H_

#include <string_view>

#include "junto/text/output/fixed_text.h"
#include "junto/text/output/json_call.h"
#include "junto/text/output/parser.h"
#include "junto/text/output/xml_call.h"

namespace junto {

// A call says by its first character in which of the two ways it is written. It ends reasoning,
// too, as models forget to. Newlines at the beginning of reasoning and content belong to the
// markup, and so does white space, up to 64 bytes of it, before a mark.
class TaggedParser final : public OutputParser {
 public:
  enum Marks { kThinkOpen, kThinkClose, kCallOpen, kCallClose };
  static constexpr std::string_view kMarks[] = {"<think>", "</think>", "<tool_call>",
                                                "</tool_call>"};

  // `texts` outlives the parser; it tells values of calls in XML apart.
  TaggedParser(OutputSink* sink, const TextParameters* texts)
      : OutputParser(sink), xml_(&writer_, texts), json_(&writer_) {}

  void Reset() override {
    state_ = State::kContent;
    spilt_ = false;
    BeginAnswer();
  }
  void BeginAnswer() override {
    writer_.Reset();
    Begin(state_);
  }

  void Mark(int mark) override {
    if (mark == kCallOpen || mark == kCallClose) {
      MarkCall(mark);
    } else if (state_ == State::kContent || state_ == State::kReasoning) {
      const State next = mark == kThinkOpen ? State::kReasoning : State::kContent;
      if (next == state_) return;  // opens or closes nothing
      if (next == State::kReasoning) writer_.Separate(Channel::kReasoning);
      Begin(next);
    } else {
      for (const char c : kMarks[mark]) Take(c);  // what a call says
    }
  }

  void Take(char c) override {
    switch (state_) {
      case State::kContent:
        TakeText(Channel::kContent, c);
        break;
      case State::kReasoning:
        TakeText(Channel::kReasoning, c);
        break;
      case State::kCall:
        TakeCall(c);
        break;
      case State::kXml:
        TakeXml(c);
        break;
      case State::kJson:
        TakeJson(c);
        break;
      case State::kAfterCall:
        if (IsSpace(c) || c == '}') break;
        if (c == '<' || c == '{') {
          lead_.Clear();
          state_ = State::kCall;
          tagged_ = false;
        } else {
          Begin(State::kContent);
        }
        Take(c);
        break;
    }
  }

  void End(bool closed) override {
    if (state_ == State::kContent) writer_.Write(Channel::kContent, space_.view());
    if (state_ == State::kReasoning) writer_.Write(Channel::kReasoning, space_.view());
    if (state_ == State::kCall) Spill({});
    if (state_ == State::kXml && !xml_.named()) Spill(xml_.held());
    if (state_ == State::kXml) xml_.CutOff();
    if (state_ == State::kJson && !json_.named()) Spill(json_.held());
    if (state_ == State::kJson && closed) json_.Close();
    Begin(State::kContent);
  }

 private:
  enum class State { kContent, kReasoning, kCall, kXml, kJson, kAfterCall };
  static constexpr size_t kMaxSpace = 64;

  void Begin(State state) {
    space_.Clear();
    fresh_ = true;
    state_ = state;
  }

  void MarkCall(int mark) {
    const bool open = mark == kCallOpen;
    if (spilt_ && !open) {
      writer_.Write(Channel::kContent, kMarks[mark]);
      spilt_ = false;
      return;
    }
    bool rejected = false;
    if (state_ == State::kCall) {
      Spill({});
      rejected = true;
    } else if (state_ == State::kXml && xml_.Close() == XmlCall::Answer::kNone) {
      Spill(xml_.held());
      rejected = true;
    } else if (state_ == State::kJson && json_.named()) {
      json_.Close();
    } else if (state_ == State::kJson) {
      Spill(json_.held());
      rejected = true;
    }
    if (rejected && !open) writer_.Write(Channel::kContent, kMarks[mark]);
    spilt_ = false;
    if (!open) {
      if (InCall()) Begin(State::kContent);
      return;
    }
    // The white space of content comes out if this turns out to be no call.
    if (state_ != State::kContent) space_.Clear();
    lead_.Clear();
    state_ = State::kCall;
    tagged_ = true;
  }

  bool InCall() const { return state_ >= State::kCall; }

  void TakeText(Channel channel, char c) {
    if (fresh_ && (c == '\n' || c == '\r')) return;
    fresh_ = false;
    if (!IsSpace(c)) {
      writer_.Write(channel, space_.view());
      space_.Clear();
      writer_.Write(channel, {&c, 1});
      return;
    }
    if (space_.size() == kMaxSpace) {
      writer_.Write(channel, space_.view().substr(0, 1));
      space_.Drop(1);
    }
    space_.Add(c);
  }

  // The first character of a call is to come.
  void TakeCall(char c) {
    if (IsSpace(c) && lead_.Add(c)) return;
    if (c == '<') {
      state_ = State::kXml;
      xml_.Begin();
      TakeXml(c);
    } else if (c == '{') {
      state_ = State::kJson;
      json_.Begin();
      TakeJson(c);
    } else {
      Spill({});
      Take(c);
    }
  }

  void TakeXml(char c) {
    const XmlCall::Answer answer = xml_.Take(c);
    if (xml_.named()) space_.Clear();
    if (answer == XmlCall::Answer::kNone) Spill(xml_.held());
    if (answer == XmlCall::Answer::kDone) Begin(State::kAfterCall);
  }

  void TakeJson(char c) {
    switch (json_.Take(c)) {
      case JsonCall::Answer::kDone:
        Begin(State::kAfterCall);
        break;
      case JsonCall::Answer::kNone:
        Spill(json_.held());
        break;
      case JsonCall::Answer::kBroken:
        Begin(State::kContent);
        Take(c);
        break;
      default:
        break;
    }
  }

  // What was held was no call.
  void Spill(std::string_view held) {
    writer_.Write(Channel::kContent, space_.view());
    space_.Clear();
    if (tagged_) writer_.Write(Channel::kContent, kMarks[kCallOpen]);
    writer_.Write(Channel::kContent, lead_.view());
    writer_.Write(Channel::kContent, held);
    lead_.Clear();
    fresh_ = false;
    state_ = State::kContent;
    spilt_ = tagged_;
  }

  XmlCall xml_;
  JsonCall json_;
  State state_ = State::kContent;
  FixedText<kMaxSpace> space_;  // that a mark may follow
  FixedText<kMaxSpace> lead_;   // before the first character of a call
  bool fresh_ = true;           // nothing was said since the last mark
  bool tagged_ = false;         // a mark opened the call
  bool spilt_ = false;          // a call that was none is open
};

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_TAGGED_H_
