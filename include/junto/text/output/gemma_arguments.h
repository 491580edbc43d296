// GemmaArguments: the arguments of a call as Gemma 4 writes them, {city:<|"|>Paris<|"|>,days:2},
// become JSON text while they come.
#ifndef JUNTO_TEXT_OUTPUT_GEMMA_ARGUMENTS_H_
#define JUNTO_TEXT_OUTPUT_GEMMA_ARGUMENTS_H_

#include <cstdint>
#include <string_view>

#include "junto/text/output/fixed_text.h"
#include "junto/text/output/json_text.h"
#include "junto/text/output/writer.h"

namespace junto {

// Strings stand between two quote marks, without escapes. Anything else that is no number, true,
// false, null or Python's word for one of them is taken for a string, too; so are JSON's strings
// and keys. What is left open is closed, and what is missing is null.
class GemmaArguments {
 public:
  explicit GemmaArguments(OutputWriter* writer) : writer_(writer) {}

  // Behind the call's first '{'.
  void Begin() {
    depth_ = 0;
    Open('{');
  }
  bool done() const { return depth_ == 0; }  // the first '{' is closed

  // False, and c not taken, for what lies too deep.
  bool Take(char c);
  void Quote();  // the mark
  void Close();  // everything that is open

 private:
  enum class State {
    kKey,         // expected, or the end of the object
    kBareKey,     // key
    kQuotedKey,   // <|"|>key<|"|>
    kJsonKey,     // "key"
    kColon,       // expected
    kValue,       // expected, or the end of the array
    kString,      // <|"|>text<|"|>
    kJsonString,  // "text"
    kBare,        // held until it is known what it is
    kLongBare,    // too long to be anything but a string
    kNext,        // ',' expected, or the end of the list
  };

  void Put(std::string_view text) { writer_->WriteArguments(text); }
  void PutEscaped(char c) { Put(JsonEscaped(c).view()); }
  bool InArray() const { return depth_ != 0 && (arrays_ >> (depth_ - 1) & 1) != 0; }
  static bool IsEnd(char c) { return c == '}' || c == ']'; }

  bool Open(char c) {
    if (depth_ == JsonScanner::kMaxDepth) return false;
    const uint64_t bit = uint64_t{1} << depth_++;
    arrays_ = c == '[' ? arrays_ | bit : arrays_ & ~bit;
    filled_ &= ~bit;
    Put(c == '[' ? "[" : "{");
    state_ = c == '[' ? State::kValue : State::kKey;
    return true;
  }
  // A key, or a value of an array, follows.
  void BeginItem() {
    const uint64_t bit = uint64_t{1} << (depth_ - 1);
    if ((filled_ & bit) != 0) Put(",");
    filled_ |= bit;
  }
  void BeginKey(State state) {
    BeginItem();
    Put("\"");
    spaces_ = 0;
    unescaper_.Reset();
    state_ = state;
  }
  void BeginString(State state) {
    if (InArray()) BeginItem();
    Put("\"");
    unescaper_.Reset();
    state_ = state;
  }
  void EndValue(std::string_view text) {
    Put(text);
    state_ = State::kNext;
  }
  void Pop() {
    Put(InArray() ? "]" : "}");
    --depth_;
    state_ = State::kNext;
  }
  // Ends the innermost list of this kind, and those in it.
  void CloseList(char c) {
    const uint64_t open = depth_ == 64 ? ~uint64_t{0} : (uint64_t{1} << depth_) - 1;
    const uint64_t kind = c == ']' ? arrays_ & open : ~arrays_ & open;
    if (kind == 0) return;
    bool found = false;
    while (!found) {
      found = InArray() == (c == ']');
      Pop();
    }
  }
  void TakeJson(char c, State next, std::string_view end) {
    if (c == '"' && !unescaper_.escaped()) {
      for (const char said : unescaper_.Finish()) PutEscaped(said);
      Put(end);
      state_ = next;
      return;
    }
    for (const char said : unescaper_.Take(c)) PutEscaped(said);
  }
  void FinishUnfinished();
  void FinishBare();
  bool TakeKey(char c);
  bool TakeBareKey(char c);
  bool TakeValue(char c);
  bool TakeBare(char c);

  OutputWriter* writer_;
  State state_ = State::kKey;
  uint32_t depth_ = 0;
  uint64_t arrays_ = 0;  // which of the open lists are arrays
  uint64_t filled_ = 0;  // which of them have items
  static constexpr uint32_t kMostSpaces = 64;
  uint32_t spaces_ = 0;  // in a bare key, to be written before its next character
  FixedText<64> bare_;
  JsonUnescaper unescaper_;
};

inline bool GemmaArguments::Take(char c) {
  switch (state_) {
    case State::kKey:
      return TakeKey(c);
    case State::kBareKey:
      return TakeBareKey(c);
    case State::kJsonKey:
      TakeJson(c, State::kColon, "\"");
      return true;
    case State::kColon:
      if (IsSpace(c)) return true;
      if (c == ',' || IsEnd(c)) {
        EndValue(":null");
        return Take(c);
      }
      Put(":");
      state_ = State::kValue;
      return c == ':' || Take(c);
    case State::kValue:
      return TakeValue(c);
    case State::kJsonString:
      TakeJson(c, State::kNext, "\"");
      return true;
    case State::kBare:
    case State::kLongBare:
      return TakeBare(c);
    case State::kNext:
      if (IsSpace(c)) return true;
      if (IsEnd(c)) {
        CloseList(c);
        return true;
      }
      state_ = InArray() ? State::kValue : State::kKey;
      return c == ',' || Take(c);
    default:  // within quote marks
      PutEscaped(c);
      return true;
  }
}

inline bool GemmaArguments::TakeKey(char c) {
  if (IsSpace(c) || c == ',' || c == '{') return true;
  if (IsEnd(c)) {
    CloseList(c);
    return true;
  }
  BeginKey(c == '"' ? State::kJsonKey : State::kBareKey);
  return c == '"' || TakeBareKey(c);
}

inline bool GemmaArguments::TakeBareKey(char c) {
  if (c == ':') {
    Put("\":");
    state_ = State::kValue;
  } else if (c == ',' || IsEnd(c)) {
    EndValue("\":null");
    return Take(c);
  } else if (IsSpace(c)) {
    if (spaces_ < kMostSpaces) {
      ++spaces_;
    } else {
      Put(" ");
    }
  } else {
    for (; spaces_ != 0; --spaces_) Put(" ");
    PutEscaped(c);
  }
  return true;
}

inline bool GemmaArguments::TakeValue(char c) {
  if (IsSpace(c)) return true;
  if (c == ',' || IsEnd(c)) {
    if (InArray()) {
      if (c != ',') CloseList(c);
      return true;
    }
    EndValue("null");
    return Take(c);
  }
  if (c == '"') {
    BeginString(State::kJsonString);
    return true;
  }
  if (c == '{' || c == '[') {
    if (depth_ == JsonScanner::kMaxDepth) return false;
    if (InArray()) BeginItem();
    return Open(c);
  }
  bare_.Clear();
  state_ = State::kBare;
  return TakeBare(c);
}

inline bool GemmaArguments::TakeBare(char c) {
  if (c == ',' || IsEnd(c)) {
    FinishBare();
    return Take(c);
  }
  if (state_ == State::kBare && bare_.Add(c)) return true;
  if (state_ == State::kBare) {
    BeginString(State::kLongBare);
    for (const char held : bare_.view()) PutEscaped(held);
  }
  PutEscaped(c);
  return true;
}

inline void GemmaArguments::FinishBare() {
  if (state_ == State::kLongBare) {
    EndValue("\"");
    return;
  }
  const std::string_view text = TrimSpace(bare_.view());
  const std::string_view word = JsonOfPython(text);
  if (!word.empty() || IsJson(text)) {
    if (InArray()) BeginItem();
    EndValue(word.empty() ? text : word);
    return;
  }
  BeginString(State::kString);
  for (const char c : text) PutEscaped(c);
  EndValue("\"");
}

inline void GemmaArguments::Quote() {
  switch (state_) {
    case State::kKey:
      BeginKey(State::kQuotedKey);
      break;
    case State::kQuotedKey:
      Put("\"");
      state_ = State::kColon;
      break;
    case State::kBareKey:
    case State::kColon:
      Put(state_ == State::kColon ? ":" : "\":");
      BeginString(State::kString);
      break;
    case State::kValue:
      BeginString(State::kString);
      break;
    case State::kString:
    case State::kJsonString:
    case State::kLongBare:
      EndValue("\"");
      break;
    case State::kNext:
      state_ = InArray() ? State::kValue : State::kKey;
      Quote();
      break;
    default:
      break;
  }
}

inline void GemmaArguments::FinishUnfinished() {
  switch (state_) {
    case State::kBareKey:
    case State::kQuotedKey:
    case State::kJsonKey:
      EndValue("\":null");
      break;
    case State::kColon:
      EndValue(":null");
      break;
    case State::kValue:
      if (!InArray()) EndValue("null");
      break;
    case State::kString:
    case State::kJsonString:
      EndValue("\"");
      break;
    case State::kBare:
    case State::kLongBare:
      FinishBare();
      break;
    default:
      break;
  }
}

inline void GemmaArguments::Close() {
  if (done()) return;
  FinishUnfinished();
  while (depth_ != 0) Pop();
}

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_GEMMA_ARGUMENTS_H_
