// Harmony, gpt-oss's markup:
//   <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...
#ifndef JUNTO_TEXT_OUTPUT_HARMONY_H_
#define JUNTO_TEXT_OUTPUT_HARMONY_H_

#include <cstdint>
#include <string_view>

#include "junto/text/output/fixed_text.h"
#include "junto/text/output/parser.h"

namespace junto {

// Messages of the channel analysis are reasoning, those with a recipient are calls of tools, all
// others content. Headers are read leniently: of what they should not say nothing is an error.
// Where <|message|> is missing, what follows the known part of the header is the message.
class HarmonyParser final : public OutputParser {
 public:
  enum Marks { kStart, kChannel, kMessage, kEnd, kConstrain };
  static constexpr std::string_view kMarks[] = {"<|start|>", "<|channel|>", "<|message|>",
                                                "<|end|>", "<|constrain|>"};

  using OutputParser::OutputParser;

  void Reset() override {
    writer_.Reset();
    header_.Clear();
    state_ = State::kContent;
  }
  void BeginAnswer() override { writer_.Reset(); }

  void Mark(int mark) override {
    switch (mark) {
      case kStart:
        CloseMessage();
        state_ = State::kHeader;
        break;
      case kChannel:
      case kConstrain:
        if (state_ != State::kHeader && mark == kConstrain) break;
        if (state_ != State::kHeader) CloseMessage();
        state_ = State::kHeader;
        AddToHeader(mark == kChannel ? kChannelSign : kTypeSign);
        break;
      case kMessage:
        if (state_ == State::kHeader) {
          BeginMessage();
        } else if (state_ == State::kBetween) {
          BeginText(State::kContent);
        }
        break;
      case kEnd:
        CloseMessage();
        state_ = State::kBetween;
        break;
      default:
        break;
    }
  }

  void Take(char c) override {
    switch (state_) {
      case State::kHeader:
        AddToHeader(static_cast<uint8_t>(c) < 0x20 ? ' ' : c);
        break;
      case State::kBetween:
        if (IsSpace(c)) break;
        BeginText(State::kContent);
        [[fallthrough]];
      default:
        WriteMessage({&c, 1});
        break;
    }
  }

  void End(bool closed) override {
    const bool cut_off = state_ == State::kHeader && !ToolOf(ReadHeader().recipient).empty();
    if (closed || !cut_off) CloseMessage(closed);
    header_.Clear();
    state_ = State::kBetween;
  }

 private:
  enum class State { kHeader, kReasoning, kContent, kCall, kBetween };
  static constexpr size_t kMaxHeader = 256;
  static constexpr char kChannelSign = '\x01';  // in a header for a mark
  static constexpr char kTypeSign = '\x02';

  struct Header {
    std::string_view channel;
    std::string_view recipient;
    size_t known = 0;  // bytes from the front that are what a header says
  };

  // A header that does not end was none.
  void AddToHeader(char c) {
    if (header_.Add(c)) return;
    CloseMessage(false);
    WriteMessage({&c, c == kChannelSign || c == kTypeSign ? size_t{0} : size_t{1}});
  }

  static bool EndsWord(char c) { return c == ' ' || c == kChannelSign || c == kTypeSign; }

  // People and tools, whose names have a dot.
  static bool IsRole(std::string_view word) {
    for (const std::string_view role : {"assistant", "user", "system", "developer", "python"}) {
      if (word == role) return true;
    }
    return word.find('.') != std::string_view::npos && word.back() != '.';
  }

  // The name of a channel that the word begins with, or all of it.
  static std::string_view ChannelOf(std::string_view word) {
    for (const std::string_view name : {"analysis", "commentary", "final"}) {
      if (StartsWith(word, name)) return name;
    }
    return word;
  }

  // role [to=recipient] [<|channel|> channel [to=recipient]] [[<|constrain|>] type]
  Header ReadHeader() const {
    const std::string_view text = header_.view();
    Header header;
    bool known = true;
    char sign = '\0';
    for (size_t at = 0; at < text.size();) {
      if (EndsWord(text[at])) {
        if (text[at] != ' ') sign = text[at];
        ++at;
        continue;
      }
      size_t end = at;
      while (end < text.size() && !EndsWord(text[end])) ++end;
      const std::string_view word = text.substr(at, end - at);
      bool understood = sign == kTypeSign || (at == 0 && IsRole(word));
      size_t said = end;
      if (StartsWith(word, "to=")) {
        if (header.recipient.empty()) header.recipient = word.substr(3);
        understood = true;
      } else if (sign == kChannelSign && header.channel.empty()) {
        header.channel = ChannelOf(word);
        said = at + header.channel.size();
        understood = true;
      }
      known = known && understood;
      if (known) header.known = said;
      known = known && said == end;
      sign = '\0';
      at = end;
    }
    return header;
  }

  // The tool that a recipient is; empty for people.
  static std::string_view ToolOf(std::string_view recipient) {
    constexpr std::string_view kFunctions = "functions.";
    for (const std::string_view nobody : {"assistant", "user", "all"}) {
      if (recipient == nobody) return {};
    }
    if (StartsWith(recipient, kFunctions)) recipient.remove_prefix(kFunctions.size());
    return recipient.substr(0, OutputWriter::kMaxName);
  }

  Header BeginMessage() {
    const Header header = ReadHeader();
    const std::string_view tool = ToolOf(header.recipient);
    if (!tool.empty()) {
      writer_.BeginCall(tool);
      state_ = State::kCall;
    } else {
      BeginText(header.channel == "analysis" ? State::kReasoning : State::kContent);
    }
    header_.Clear();
    return header;
  }

  void BeginText(State state) {
    state_ = state;
    writer_.Separate(state == State::kReasoning ? Channel::kReasoning : Channel::kContent);
  }

  void WriteMessage(std::string_view text) {
    if (state_ == State::kCall) {
      writer_.WriteArguments(text);
    } else {
      writer_.Write(state_ == State::kReasoning ? Channel::kReasoning : Channel::kContent, text);
    }
  }

  // whole: its end was said.
  void CloseMessage(bool whole = true) {
    if (state_ == State::kHeader && !header_.empty()) WriteHeader();
    if (state_ == State::kCall && whole) writer_.EndCall();
    if (whole) state_ = State::kBetween;
  }

  // What a header says beyond what is known of it.
  void WriteHeader() {
    const size_t known = ReadHeader().known;
    FixedText<kMaxHeader> rest;
    for (const char c : header_.view().substr(known)) {
      if (c != kChannelSign && c != kTypeSign && (c != ' ' || !rest.empty())) rest.Add(c);
    }
    if (rest.empty() && ToolOf(ReadHeader().recipient).empty()) {
      header_.Clear();
      BeginText(State::kContent);
      return;
    }
    BeginMessage();
    WriteMessage(rest.view());
  }

  FixedText<kMaxHeader> header_;
  State state_ = State::kContent;
};

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_HARMONY_H_
