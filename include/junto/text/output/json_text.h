// JSON text, a character at a time: whether it is well formed so far, and strings with and without
// their escapes.
#ifndef JUNTO_TEXT_OUTPUT_JSON_TEXT_H_
#define JUNTO_TEXT_OUTPUT_JSON_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/utf8.h"

namespace junto {

// One character of a string as JSON writes it.
class JsonEscaped {
 public:
  explicit JsonEscaped(char c) {
    constexpr std::string_view kMeanings = "\"\\\b\f\n\r\t";
    constexpr std::string_view kLetters = "\"\\bfnrt";
    constexpr std::string_view kHex = "0123456789abcdef";
    const size_t simple = kMeanings.find(c);
    const auto byte = static_cast<uint8_t>(c);
    if (simple != std::string_view::npos) {
      Add('\\');
      Add(kLetters[simple]);
    } else if (byte < 0x20) {
      for (const char zero : std::string_view("\\u00")) Add(zero);
      Add(kHex[byte >> 4]);
      Add(kHex[byte & 15]);
    } else {
      Add(c);
    }
  }
  std::string_view view() const { return {bytes_, size_}; }

 private:
  void Add(char c) { bytes_[size_++] = c; }
  char bytes_[6];
  size_t size_ = 0;
};

// Reads what stands between the quotes of a JSON string. Escapes that mean nothing stay as they
// are; half a surrogate pair becomes U+FFFD.
class JsonUnescaper {
 public:
  void Reset() { *this = JsonUnescaper(); }
  bool escaped() const { return escape_size_ != 0; }  // whether a quote would not end the string

  // What is known of the text when it ends here. Valid until the next call, as that of Take.
  std::string_view Finish() {
    size_ = 0;
    ReleaseHigh();
    for (uint32_t i = 0; i < escape_size_; ++i) Add(escape_[i]);
    escape_size_ = 0;
    return {out_, size_};
  }

  // The text that is known with this character.
  std::string_view Take(char c) {
    size_ = 0;
    if (escape_size_ == 0 && c != '\\') {
      ReleaseHigh();
      Add(c);
    } else {
      escape_[escape_size_++] = c;
      if (escape_size_ == 2 && c != 'u') {
        TakeLetter(c);
      } else if (escape_size_ > 2) {
        TakeHex(c);
      }
    }
    return {out_, size_};
  }

 private:
  void Add(char c) { out_[size_++] = c; }
  void AddCodePoint(uint32_t code) { size_ += EncodeUtf8(code, out_ + size_); }
  void ReleaseHigh() {
    if (high_ != 0) AddCodePoint(0xFFFD);
    high_ = 0;
  }
  void TakeLetter(char c) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const size_t simple = kLetters.find(c);
    ReleaseHigh();
    escape_size_ = 0;
    if (simple == std::string_view::npos) {
      Add('\\');
      Add(c);
    } else {
      Add(kMeanings[simple]);
    }
  }
  static int Digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  }
  void TakeHex(char c) {
    if (Digit(c) < 0) {  // was no escape
      ReleaseHigh();
      for (uint32_t i = 0; i < escape_size_; ++i) Add(escape_[i]);
      escape_size_ = 0;
      return;
    }
    if (escape_size_ < 6) return;
    uint32_t code = 0;
    for (int i = 2; i < 6; ++i) code = code << 4 | static_cast<uint32_t>(Digit(escape_[i]));
    escape_size_ = 0;
    if (high_ != 0 && code >= 0xDC00 && code < 0xE000) {
      AddCodePoint(0x10000 + ((high_ - 0xD800) << 10) + (code - 0xDC00));
      high_ = 0;
      return;
    }
    ReleaseHigh();
    if (code >= 0xD800 && code < 0xDC00) {
      high_ = code;
    } else {
      AddCodePoint(code >= 0xDC00 && code < 0xE000 ? 0xFFFD : code);
    }
  }

  char out_[16];
  size_t size_ = 0;
  char escape_[8];
  uint32_t escape_size_ = 0;
  uint32_t high_ = 0;  // the first half of a surrogate pair
};

// Follows one JSON value.
class JsonScanner {
 public:
  static constexpr uint32_t kMaxDepth = 64;

  // lenient: strings may hold control characters, as models write them.
  explicit JsonScanner(bool lenient = false) : lenient_(lenient) {}

  // False when the text is no JSON with this character, and from then on.
  bool Take(char c);

  bool complete() const { return state_ == State::kEnd || (depth_ == 0 && NumberMayEnd()); }
  bool in_string() const { return state_ == State::kString || InEscape(); }
  bool in_number() const { return state_ >= State::kMinus && state_ <= State::kExponentDigits; }
  bool at_colon() const { return state_ == State::kColon; }
  bool between() const { return state_ == State::kNext || state_ == State::kEnd; }  // values
  bool in_key() const { return key_ && in_string(); }
  uint32_t depth() const { return depth_; }

 private:
  enum class State : uint8_t {
    kValue,
    kFirstItem,
    kFirstKey,
    kKey,
    kColon,
    kNext,
    kString,
    kEscape,
    kHex,
    kWord,
    kMinus,
    kZero,
    kInteger,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
    kEnd,
    kBroken,
  };

  bool InEscape() const { return state_ == State::kEscape || state_ == State::kHex; }
  bool NumberMayEnd() const {
    return state_ == State::kZero || state_ == State::kInteger || state_ == State::kFraction ||
           state_ == State::kExponentDigits;
  }
  bool Fail() {
    state_ = State::kBroken;
    return false;
  }
  bool Go(State state) {
    state_ = state;
    return true;
  }
  bool EndValue() { return Go(depth_ == 0 ? State::kEnd : State::kNext); }
  bool Open(bool object) {
    if (depth_ == kMaxDepth) return Fail();
    const uint64_t bit = uint64_t{1} << depth_++;
    objects_ = object ? objects_ | bit : objects_ & ~bit;
    return Go(object ? State::kFirstKey : State::kFirstItem);
  }
  bool InObject() const { return (objects_ >> (depth_ - 1) & 1) != 0; }
  bool Close(bool object) {
    if (InObject() != object) return Fail();
    --depth_;
    return EndValue();
  }
  bool BeginString(bool key) {
    key_ = key;
    return Go(State::kString);
  }
  bool TakeInString(char c);
  bool TakeInNumber(char c, bool* used);
  bool BeginValue(char c);

  State state_ = State::kValue;
  bool lenient_;
  bool key_ = false;
  uint8_t hex_ = 0;
  const char* word_ = nullptr;
  uint32_t depth_ = 0;
  uint64_t objects_ = 0;  // which of the open lists are objects
};

inline bool JsonScanner::TakeInString(char c) {
  switch (state_) {
    case State::kEscape:
      if (c == 'u') {
        hex_ = 0;
        return Go(State::kHex);
      }
      return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos ? Go(State::kString)
                                                                              : Fail();
    case State::kHex:
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
        return Fail();
      }
      return Go(++hex_ == 4 ? State::kString : State::kHex);
    default:
      if (c == '"') return key_ ? Go(State::kColon) : EndValue();
      if (c == '\\') return Go(State::kEscape);
      return lenient_ || static_cast<uint8_t>(c) >= 0x20 ? true : Fail();
  }
}

// *used is false where the number ends before c.
inline bool JsonScanner::TakeInNumber(char c, bool* used) {
  const bool digit = c >= '0' && c <= '9';
  *used = true;
  switch (state_) {
    case State::kMinus:
      return digit ? Go(c == '0' ? State::kZero : State::kInteger) : Fail();
    case State::kPoint:
      return digit ? Go(State::kFraction) : Fail();
    case State::kExponent:
      if (c == '+' || c == '-') return Go(State::kExponentSign);
      return digit ? Go(State::kExponentDigits) : Fail();
    case State::kExponentSign:
      return digit ? Go(State::kExponentDigits) : Fail();
    default:
      break;
  }
  if (digit && state_ != State::kZero) return true;
  if (c == '.' && (state_ == State::kZero || state_ == State::kInteger)) return Go(State::kPoint);
  if ((c == 'e' || c == 'E') && state_ != State::kExponentDigits) return Go(State::kExponent);
  *used = false;
  return EndValue();
}

inline bool JsonScanner::BeginValue(char c) {
  switch (c) {
    case '{':
    case '[':
      return Open(c == '{');
    case '"':
      return BeginString(false);
    case 't':
    case 'f':
    case 'n':
      word_ = c == 't' ? "rue" : c == 'f' ? "alse" : "ull";
      return Go(State::kWord);
    case '-':
      return Go(State::kMinus);
    default:
      return c >= '0' && c <= '9' ? Go(c == '0' ? State::kZero : State::kInteger) : Fail();
  }
}

inline bool JsonScanner::Take(char c) {
  if (in_string()) return TakeInString(c);
  if (state_ == State::kWord) {
    if (c != *word_) return Fail();
    return *++word_ == '\0' ? EndValue() : true;
  }
  if (in_number()) {
    bool used = false;
    if (!TakeInNumber(c, &used)) return false;
    if (used) return true;
  }
  if (state_ == State::kBroken) return false;
  if (c == ' ' || c == '\t' || c == '\n' || c == '\r') return true;
  switch (state_) {
    case State::kValue:
      return BeginValue(c);
    case State::kFirstItem:
      return c == ']' ? Close(false) : BeginValue(c);
    case State::kFirstKey:
      if (c == '}') return Close(true);
      return c == '"' ? BeginString(true) : Fail();
    case State::kKey:
      return c == '"' ? BeginString(true) : Fail();
    case State::kColon:
      return c == ':' ? Go(State::kValue) : Fail();
    case State::kNext:
      if (c == ',') return Go(InObject() ? State::kKey : State::kValue);
      return c == '}' || c == ']' ? Close(c == '}') : Fail();
    default:
      return Fail();
  }
}

// Whether the text is one JSON value.
inline bool IsJson(std::string_view text) {
  JsonScanner scanner;
  for (const char c : text) {
    if (!scanner.Take(c)) return false;
  }
  return scanner.complete();
}

// Python's words for what JSON calls true, false and null; empty for other texts.
inline std::string_view JsonOfPython(std::string_view word) {
  return word == "True" ? "true" : word == "False" ? "false" : word == "None" ? "null" : "";
}

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_JSON_TEXT_H_
