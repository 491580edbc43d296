// JsonCall: a call as Hermes, Qwen2.5 and Qwen3 write it, {"name": NAME, "arguments": {...}}, gives
// its name and its arguments while it comes.
#ifndef JUNTO_TEXT_OUTPUT_JSON_CALL_H_
#define JUNTO_TEXT_OUTPUT_JSON_CALL_H_

#include <string_view>

#include "junto/text/output/fixed_text.h"
#include "junto/text/output/json_text.h"
#include "junto/text/output/writer.h"

namespace junto {

// "parameters" does for "arguments"; arguments in a string are taken out of it; other members are
// left out. Strings may have newlines in them. What comes before the name is held, up to 4 KiB.
class JsonCall {
 public:
  explicit JsonCall(OutputWriter* writer) : writer_(writer) {}

  // kNone: this is no call; held() says what it was. kBroken: it is no JSON from this character on.
  enum class Answer { kMore, kDone, kNone, kBroken };

  void Begin() { *this = JsonCall(writer_); }
  Answer Take(char c);  // the first one is '{'
  // The call, which has a name, ends here, as is said by others than itself.
  void Close() {
    if (argument_bytes_ == 0 || argued_) writer_->EndCall();
  }
  bool named() const { return named_; }
  std::string_view held() const { return held_.view(); }

 private:
  enum class Member { kOther, kName, kArguments };
  static constexpr size_t kMaxHeld = 4096;

  Answer EndMember();
  void TakeName(char c);
  void TakeArgument(char c);
  static Member MemberOf(std::string_view key) {
    if (key == "name") return Member::kName;
    return key == "arguments" || key == "parameters" ? Member::kArguments : Member::kOther;
  }

  OutputWriter* writer_;
  JsonScanner scanner_{true};
  FixedText<kMaxHeld> held_;
  FixedText<16> key_;
  bool key_fits_ = false;
  Member member_ = Member::kOther;
  bool in_value_ = false;  // behind the colon of a member
  bool begun_ = false;     // the value has
  bool named_ = false;
  bool argued_ = false;   // there are arguments
  size_t arguments_ = 0;  // where they are held, and how many bytes
  size_t arguments_size_ = 0;

  FixedText<OutputWriter::kMaxName> name_;
  bool name_fits_ = true;
  JsonUnescaper unescaper_;

  JsonScanner argument_scanner_{true};
  JsonUnescaper argument_unescaper_;
  size_t argument_bytes_ = 0;
  bool argument_is_string_ = false;
};

inline JsonCall::Answer JsonCall::Take(char c) {
  const bool was_number = scanner_.in_number();
  const bool was_colon = scanner_.at_colon();
  const bool was_key = scanner_.in_key();
  const uint32_t depth = scanner_.depth();
  if (!named_) held_.Add(c);
  if (!scanner_.Take(c)) return named_ ? Answer::kBroken : Answer::kNone;
  if (!named_ && held_.full()) return Answer::kNone;
  if (in_value_ && depth == 1 && was_number && !scanner_.in_number()) {
    if (EndMember() == Answer::kNone) return Answer::kNone;
  }
  if (depth == 1 && !in_value_) {
    if (was_key && scanner_.in_key()) {
      key_fits_ = key_.Add(c) && key_fits_;
    } else if (scanner_.in_key()) {
      key_.Clear();
      key_fits_ = true;
    } else if (was_colon && c == ':') {
      member_ = key_fits_ ? MemberOf(key_.view()) : Member::kOther;
      if ((member_ == Member::kName && !name_.empty()) ||
          (member_ == Member::kArguments && argued_)) {
        member_ = Member::kOther;  // the first one counts
      }
      in_value_ = true;
      begun_ = false;
    }
  } else if (in_value_ && (begun_ || !IsSpace(c))) {
    begun_ = true;
    if (member_ == Member::kName) TakeName(c);
    if (member_ == Member::kArguments && named_) TakeArgument(c);
    if (member_ == Member::kArguments && !named_) {
      if (arguments_size_++ == 0) arguments_ = held_.size() - 1;
    }
    if (scanner_.depth() == 1 && scanner_.between()) {
      if (EndMember() == Answer::kNone) return Answer::kNone;
    }
  }
  if (scanner_.depth() != 0) return Answer::kMore;
  if (!named_) return Answer::kNone;
  writer_->EndCall();
  return Answer::kDone;
}

inline JsonCall::Answer JsonCall::EndMember() {
  in_value_ = false;
  if (member_ == Member::kArguments) argued_ = true;
  if (member_ != Member::kName) return Answer::kMore;
  if (!name_fits_ || !OutputWriter::IsName(name_.view())) return Answer::kNone;
  named_ = true;
  writer_->BeginCall(name_.view());
  for (const char c : held_.view().substr(arguments_, arguments_size_)) TakeArgument(c);
  held_.Clear();
  return Answer::kMore;
}

// A name that is no string is none.
inline void JsonCall::TakeName(char c) {
  if (c == '"' && !unescaper_.escaped()) {
    unescaper_.Finish();
    return;
  }
  if (!scanner_.in_string()) name_fits_ = false;
  for (const char said : unescaper_.Take(c)) name_fits_ = name_.Add(said) && name_fits_;
}

inline void JsonCall::TakeArgument(char c) {
  const bool first = argument_bytes_++ == 0;
  if (first) argument_is_string_ = c == '"';
  if (argument_is_string_) {
    if (first) return;
    if (c == '"' && !argument_unescaper_.escaped()) {
      writer_->WriteArguments(argument_unescaper_.Finish());
    } else {
      writer_->WriteArguments(argument_unescaper_.Take(c));
    }
    return;
  }
  const bool quoted = argument_scanner_.in_string();
  argument_scanner_.Take(c);
  if (quoted && static_cast<uint8_t>(c) < 0x20) {
    writer_->WriteArguments(JsonEscaped(c).view());
  } else {
    writer_->WriteArguments({&c, 1});
  }
}

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_JSON_CALL_H_
