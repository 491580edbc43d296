// XmlCall: a call as Qwen3.5, Qwen3-Coder and MiMo write it,
//   <function=NAME><parameter=KEY>VALUE</parameter></function>
// becomes a name and JSON text while it comes.
#ifndef JUNTO_TEXT_OUTPUT_XML_CALL_H_
#define JUNTO_TEXT_OUTPUT_XML_CALL_H_

#include <string_view>

#include "junto/text/output/fixed_text.h"
#include "junto/text/output/json_text.h"
#include "junto/text/output/text_parameters.h"
#include "junto/text/output/writer.h"

namespace junto {

// A value that is a JSON number, true, false, null (or Python's word for one), object or array is
// that, any other is a string, and so is each of a parameter that is a text. It is taken as it is,
// but for one newline at both ends where it begins with one. Text that stands between parameters
// comes out as content.
class XmlCall {
 public:
  XmlCall(OutputWriter* writer, const TextParameters* texts) : writer_(writer), texts_(texts) {}

  enum class Answer { kMore, kDone, kNone };  // kNone: this is no call; held() says what it was

  void Begin() {
    held_.Clear();
    state_ = State::kHead;
  }
  Answer Take(char c);
  // The call ends here, as a mark says, whatever is open. kDone or kNone.
  Answer Close();
  // The output ends here.
  void CutOff();
  bool named() const { return state_ != State::kHead; }

  std::string_view held() const { return held_.view(); }

 private:
  enum class State { kHead, kBetween, kTag, kValue };
  enum class Value {
    kStart,  // nothing of it was taken
    kOpen,   // held, as it may be JSON
    kText,   // written as a string
    kJson,   // too long to be held, but JSON so far
  };
  static constexpr std::string_view kFunction = "<function=";
  static constexpr std::string_view kParameter = "<parameter=";
  static constexpr std::string_view kEndParameter = "</parameter>";
  static constexpr std::string_view kEndFunction = "</function>";
  static constexpr size_t kMaxTag = 256;
  static constexpr size_t kMaxValue = 4096;  // that is held

  void Put(std::string_view text) { writer_->WriteArguments(text); }
  void PutString(std::string_view text) {
    for (const char c : text) Put(JsonEscaped(c).view());
  }
  void Reject() {
    writer_->Write(Channel::kContent, held_.view());
    held_.Clear();
    state_ = State::kBetween;
  }
  Answer TakeHead();
  Answer TakeTag();
  void BeginValue(std::string_view key);
  void TakeValue(char c);
  void TakeValueText(char c);
  bool MayBecomeWord() const;
  std::string_view JsonOfValue() const;
  void BecomeString();
  void EndValue();
  Answer EndFunction() {
    Put("}");
    writer_->EndCall();
    return Answer::kDone;
  }
  static bool MayEndCall(std::string_view text);

  OutputWriter* writer_;
  const TextParameters* texts_;
  Hash tool_;  // by its name
  State state_ = State::kHead;
  bool filled_ = false;      // there are parameters
  FixedText<kMaxTag> held_;  // a tag, or the end of a value that may be closing tags
  TextParameters::Type type_ = TextParameters::Type::kAny;
  Value value_ = Value::kStart;
  bool padded_ = false;  // the value begins with a newline
  FixedText<kMaxValue> open_;
  JsonScanner scanner_;
};

inline XmlCall::Answer XmlCall::Take(char c) {
  if (state_ == State::kValue) {
    TakeValue(c);
    return Answer::kMore;
  }
  if (state_ == State::kBetween && c != '<') {
    if (!IsSpace(c)) writer_->Write(Channel::kContent, {&c, 1});
    return Answer::kMore;
  }
  held_.Add(c);
  if (state_ == State::kHead) return held_.full() ? Answer::kNone : TakeHead();
  state_ = State::kTag;
  return TakeTag();
}

inline XmlCall::Answer XmlCall::TakeHead() {
  const std::string_view text = held_.view();
  if (text.size() <= kFunction.size()) {
    return StartsWith(kFunction, text) ? Answer::kMore : Answer::kNone;
  }
  const char c = text.back();
  if (c == '\n' || c == '<') return Answer::kNone;
  if (c != '>') return Answer::kMore;
  const std::string_view name =
      TrimSpace(text.substr(kFunction.size(), text.size() - kFunction.size() - 1));
  if (!OutputWriter::IsName(name)) return Answer::kNone;
  writer_->BeginCall(name);
  tool_ = TextParameters::ToolHash(name);
  Put("{");
  held_.Clear();
  filled_ = false;
  state_ = State::kBetween;
  return Answer::kMore;
}

inline XmlCall::Answer XmlCall::TakeTag() {
  const std::string_view text = held_.view();
  if (text == kEndFunction) return EndFunction();
  if (text == kEndParameter) {  // closes nothing
    held_.Clear();
    state_ = State::kBetween;
    return Answer::kMore;
  }
  if (text.size() > kParameter.size() && StartsWith(text, kParameter) && text.back() != '\n' &&
      !held_.full()) {
    if (text.back() == '>') {
      BeginValue(text.substr(kParameter.size(), text.size() - kParameter.size() - 1));
    }
    return Answer::kMore;
  }
  if (!StartsWith(kEndFunction, text) && !StartsWith(kEndParameter, text) &&
      !StartsWith(kParameter, text)) {
    Reject();
  }
  return Answer::kMore;
}

inline void XmlCall::BeginValue(std::string_view key) {
  key = TrimSpace(key);
  type_ = texts_->Of(tool_, key);
  Put(filled_ ? ",\"" : "\"");
  PutString(key);
  Put("\":");
  filled_ = true;
  held_.Clear();
  open_.Clear();
  scanner_ = JsonScanner();
  value_ = Value::kStart;
  padded_ = false;
  state_ = State::kValue;
}

// Whether a value's closing tag and the function's, with white space around them, may begin so.
inline bool XmlCall::MayEndCall(std::string_view text) {
  const auto skip = [&text](std::string_view tag) {
    while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
    if (StartsWith(text, tag)) text.remove_prefix(tag.size());
    return StartsWith(tag, text);  // also where nothing is left
  };
  const bool within = skip(kEndParameter) || skip(kEndFunction);
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  return within || text.empty();
}

// Holds back what may be closing tags. White space can go on forever, so not all of it is kept.
inline void XmlCall::TakeValue(char c) {
  if (value_ == Value::kStart && !padded_ && held_.empty() && c == '\n') {
    padded_ = true;
    held_.Add(c);  // it begins the value's end where the value is empty
    return;
  }
  if (!held_.Add(c)) {
    const char first = held_.view().front();
    held_.Drop(1);
    held_.Add(c);
    TakeValueText(first);
  }
  const std::string_view text = held_.view();
  const size_t end = text.size() < kEndParameter.size() ? 0 : text.size() - kEndParameter.size();
  const bool closed = text.substr(end) == kEndParameter;
  if (closed && !padded_) {
    for (const char space : text.substr(0, end)) TakeValueText(space);
    EndValue();
    return;
  }
  if (closed && end != 0 && text[end - 1] == '\n') {
    for (const char space : text.substr(0, end - 1)) TakeValueText(space);
    EndValue();
    return;
  }
  while (!held_.empty() && !MayEndCall(held_.view())) {
    const char first = held_.view().front();
    held_.Drop(1);
    TakeValueText(first);
  }
}

// The first newline of a padded value is not one of its characters.
inline void XmlCall::TakeValueText(char c) {
  if (value_ == Value::kStart) {
    value_ = Value::kOpen;
    if (padded_) return;
  }
  if (value_ == Value::kText) {
    Put(JsonEscaped(c).view());
    return;
  }
  if (value_ == Value::kJson) {
    Put({&c, 1});
    return;
  }
  const bool blank = TrimSpace(open_.view()).empty();
  const bool json = type_ == TextParameters::Type::kAny && !(blank && c == '"') && scanner_.Take(c);
  if (!open_.Add(c)) {
    value_ = json && !blank ? Value::kJson : Value::kText;
    if (value_ == Value::kJson) {
      Put(open_.view());
      Put({&c, 1});
    } else {
      BecomeString();
      Put(JsonEscaped(c).view());
    }
    return;
  }
  if (!json && !MayBecomeWord()) BecomeString();
}

// Whether what is held may become a word of Python's, or of a text null.
inline bool XmlCall::MayBecomeWord() const {
  const std::string_view said = open_.view();
  if (type_ == TextParameters::Type::kText) return false;
  if (type_ == TextParameters::Type::kTextOrNull) {
    return StartsWith("null", TrimSpace(said)) || StartsWith("None", TrimSpace(said));
  }
  return StartsWith("True", said) || StartsWith("False", said) || StartsWith("None", said);
}

// What is held, which is the whole value, as JSON; empty where it is a string.
inline std::string_view XmlCall::JsonOfValue() const {
  const std::string_view text = TrimSpace(open_.view());
  if (type_ == TextParameters::Type::kText) return {};
  if (type_ == TextParameters::Type::kTextOrNull) {
    return text == "null" || text == "None" ? "null" : std::string_view();
  }
  const std::string_view word = JsonOfPython(text);
  if (!word.empty()) return word;
  return scanner_.complete() ? text : std::string_view();
}

inline void XmlCall::BecomeString() {
  Put("\"");
  PutString(open_.view());
  value_ = Value::kText;
}

inline void XmlCall::EndValue() {
  if (value_ == Value::kStart || value_ == Value::kOpen) {
    const std::string_view json = JsonOfValue();
    Put(json);
    value_ = Value::kJson;
    if (json.empty()) BecomeString();
  }
  if (value_ == Value::kText) Put("\"");
  held_.Clear();
  state_ = State::kBetween;
}

inline XmlCall::Answer XmlCall::Close() {
  if (state_ == State::kHead) return Answer::kNone;
  if (state_ == State::kTag) Reject();
  if (state_ == State::kValue) EndValue();  // without what it holds: closing tags
  return EndFunction();
}

inline void XmlCall::CutOff() {
  if (state_ == State::kTag) Reject();
  if (state_ != State::kValue) return;
  for (const char c : held_.view()) TakeValueText(c);
  if (value_ == Value::kOpen) Put(open_.view());
}

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_XML_CALL_H_
