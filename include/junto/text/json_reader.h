// JsonReader: reads JSON text from its beginning to its end, without keeping any of it.
#ifndef JUNTO_TEXT_JSON_READER_H_
#define JUNTO_TEXT_JSON_READER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/text/utf8.h"

namespace junto {

enum class JsonKind { kObject, kArray, kString, kNumber, kBool, kNull };

// The caller asks for what it expects next. Errors are E_FORMAT and name the byte. One thread at a
// time; throws OutOfMemory.
class JsonReader {
 public:
  static constexpr int kMaxDepth = 64;

  // `text` outlives the reader.
  JsonReader(std::string_view text, Memory* memory) : text_(text), memory_(memory) {}

  // What comes next.
  Status Peek(JsonKind* kind);

  // Calls member(std::string_view key), which reads one value or skips it, for every member.
  template <class F>
  Status Object(const F& member) {
    String key({memory_, Tag::kLoadTemp});
    return List('{', '}', [&]() -> Status {
      key.clear();
      JUNTO_TRY(ReadString(&key));
      JUNTO_TRY(Expect(':', "':'"));
      return member(std::string_view(key));
    });
  }
  // Calls element(), which reads one value or skips it, for every element.
  template <class F>
  Status Array(const F& element) {
    return List('[', ']', element);
  }

  Status ReadString(String* out);            // appends
  Status ReadNumber(std::string_view* out);  // as it is written
  Status ReadInteger(int64_t least, int64_t most, int64_t* out);
  Status ReadBool(bool* out);
  Status Skip();  // one value, whatever it is
  Status End();   // of the text

  // A failure at the byte that was reached.
  Status Error(const char* expected) const {
    return Status::Make(Code::kFormat, "JSON: byte %zu: %s expected", at_, expected);
  }

 private:
  char Next() {  // the next character that is not white space, NUL at the end
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  Status Expect(char c, const char* name) {
    if (Next() != c || at_ == text_.size()) return Error(name);
    ++at_;
    return Status();
  }
  Status ExpectWord(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return Error("a value");
    at_ += word.size();
    return Status();
  }

  template <class F>
  Status List(char open, char close, const F& item) {
    JUNTO_TRY(Expect(open, open == '{' ? "an object" : "an array"));
    if (++depth_ > kMaxDepth) return Error("less depth");
    if (Next() == close) {
      ++at_;
    } else {
      for (;;) {
        JUNTO_TRY(item());
        const char next = Next();
        if (next != ',' && next != close) return Error("',' or the end of the list");
        ++at_;
        if (next == close) break;
      }
    }
    --depth_;
    return Status();
  }

  Status ReadEscape(String* out);
  Status ReadHex(uint32_t* out);

  std::string_view text_;
  Memory* memory_;
  size_t at_ = 0;
  int depth_ = 0;
};

inline Status JsonReader::Peek(JsonKind* kind) {
  const char c = Next();
  if (c == '{')
    *kind = JsonKind::kObject;
  else if (c == '[')
    *kind = JsonKind::kArray;
  else if (c == '"')
    *kind = JsonKind::kString;
  else if (c == 't' || c == 'f')
    *kind = JsonKind::kBool;
  else if (c == 'n')
    *kind = JsonKind::kNull;
  else if (c == '-' || (c >= '0' && c <= '9'))
    *kind = JsonKind::kNumber;
  else
    return Error("a value");
  return Status();
}

inline Status JsonReader::ReadString(String* out) {
  JUNTO_TRY(Expect('"', "a string"));
  for (;;) {
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
           static_cast<uint8_t>(text_[at_]) >= 0x20) {
      ++at_;
    }
    out->append(text_.substr(begin, at_ - begin));
    if (at_ == text_.size() || static_cast<uint8_t>(text_[at_]) < 0x20) return Error("'\"'");
    if (text_[at_++] == '"') return Status();
    JUNTO_TRY(ReadEscape(out));
  }
}

inline Status JsonReader::ReadEscape(String* out) {
  static constexpr std::string_view kLetters = "\"\\/bfnrt";
  static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  const char c = at_ < text_.size() ? text_[at_] : '\0';
  const size_t simple = kLetters.find(c);
  if (c != '\0' && simple != std::string_view::npos) {
    ++at_;
    out->push_back(kMeanings[simple]);
    return Status();
  }
  if (c != 'u') return Error("an escape");
  ++at_;
  uint32_t code = 0;
  JUNTO_TRY(ReadHex(&code));
  if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
    at_ += 2;
    uint32_t low = 0;
    JUNTO_TRY(ReadHex(&low));
    if (low < 0xDC00 || low > 0xDFFF) return Error("the second half of a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  if (code >= 0xD800 && code <= 0xDFFF) return Error("a surrogate pair");
  char bytes[4];
  out->append(bytes, EncodeUtf8(code, bytes));
  return Status();
}

inline Status JsonReader::ReadHex(uint32_t* out) {
  *out = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return Error("four hexadecimal digits");
    *out = *out << 4 | static_cast<uint32_t>(digit);
  }
  return Status();
}

inline Status JsonReader::ReadNumber(std::string_view* out) {
  Next();
  const size_t begin = at_;
  const auto digits = [this] {
    const size_t first = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ != first;
  };
  const auto take = [this](std::string_view any) {
    if (at_ == text_.size() || any.find(text_[at_]) == std::string_view::npos) return false;
    ++at_;
    return true;
  };
  take("-");
  if (!take("0") && !digits()) return Error("a number");
  if (take(".") && !digits()) return Error("a digit");
  if (take("eE")) {
    take("+-");
    if (!digits()) return Error("a digit");
  }
  *out = text_.substr(begin, at_ - begin);
  return Status();
}

inline Status JsonReader::ReadInteger(int64_t least, int64_t most, int64_t* out) {
  std::string_view number;
  JUNTO_TRY(ReadNumber(&number));
  const bool negative = number[0] == '-';
  int64_t value = 0;
  for (const char c : number.substr(negative ? 1 : 0)) {
    if (c < '0' || c > '9' || value > (INT64_MAX - 9) / 10) return Error("an integer in range");
    value = value * 10 + (c - '0');
  }
  if (negative) value = -value;
  if (value < least || value > most) return Error("an integer in range");
  *out = value;
  return Status();
}

inline Status JsonReader::ReadBool(bool* out) {
  *out = Next() == 't';
  return ExpectWord(*out ? "true" : "false");
}

inline Status JsonReader::Skip() {
  JsonKind kind = JsonKind::kNull;
  JUNTO_TRY(Peek(&kind));
  String text({memory_, Tag::kLoadTemp});
  std::string_view number;
  bool flag = false;
  switch (kind) {
    case JsonKind::kObject:
      return Object([this](std::string_view) { return Skip(); });
    case JsonKind::kArray:
      return Array([this] { return Skip(); });
    case JsonKind::kString:
      return ReadString(&text);
    case JsonKind::kNumber:
      return ReadNumber(&number);
    case JsonKind::kBool:
      return ReadBool(&flag);
    case JsonKind::kNull:
      return ExpectWord("null");
  }
  return Status();
}

inline Status JsonReader::End() {
  Next();
  return at_ == text_.size() ? Status() : Error("the end");
}

}  // namespace junto

#endif  // JUNTO_TEXT_JSON_READER_H_
