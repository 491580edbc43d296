// Lexer: a template's source as text and the tokens between its tags.
#ifndef JUNTO_TEXT_JINJA_LEXER_H_
#define JUNTO_TEXT_JINJA_LEXER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/text/jinja/text.h"
#include "junto/text/jinja/workspace.h"

namespace junto {
namespace jinja {

enum class TokenKind : uint8_t {
  kText,         // between tags, what is trimmed left out
  kOutputBegin,  // {{
  kOutputEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,  // with its quotes
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};
struct Token {
  TokenKind kind;
  uint32_t line;
  std::string_view text;
};

// Works as Jinja's environment of chat templates: trim_blocks, lstrip_blocks, and one newline at
// the end of the source left out, which the caller has done. Newlines are "\n".
class Lexer {
 public:
  Lexer(Workspace* work, std::string_view source, Vector<Token>* out)
      : work_(work), source_(source), out_(out) {}

  // Fails where a tag does not end or holds what nothing begins with. Throws OutOfMemory.
  void Run() {
    while (at_ < source_.size() && !work_->failed()) Data();
    Add(TokenKind::kEnd, source_.size());
  }

 private:
  // Text up to the next tag, and that tag.
  void Data() {
    size_t tag = at_;
    for (;; ++tag) {
      tag = source_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 == source_.size()) tag = source_.size();
      if (tag == source_.size() || Is(tag, "{{") || Is(tag, "{%") || Is(tag, "{#")) break;
    }
    if (tag == source_.size()) {
      Add(TokenKind::kText, tag);
      return Advance(tag);
    }
    AddText(tag, source_[tag + 1] != '{');
    const char kind = source_[tag + 1];
    Advance(tag + 2);
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) Advance(at_ + 1);
    if (kind == '#') return Comment();
    if (kind == '%' && Raw()) return;
    out_->push_back({kind == '%' ? TokenKind::kBlockBegin : TokenKind::kOutputBegin, line_, {}});
    Inside(kind == '%' ? "%}" : "}}");
  }

  // The text before the tag at `tag`, without the space that its sign or lstrip_blocks takes.
  void AddText(size_t tag, bool lstrip) {
    const std::string_view text = source_.substr(at_, tag - at_);
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    size_t end = text.size();
    if (sign == '-') {
      end = Stripped(text, false, true, IsSpace).end;
    } else if (sign != '+' && lstrip) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      const bool starts = line > 0 || at_ == 0 || source_[at_ - 1] == '\n';
      const std::string_view rest = text.substr(line);
      const Range kept = Stripped(rest, true, false, IsSpace);
      if (starts && kept.begin == rest.size()) end = line;
    }
    if (end != 0) out_->push_back({TokenKind::kText, line_, text.substr(0, end)});
  }

  // Steps over the end of a tag, "%}" and the like, with what its sign or trim_blocks takes.
  // False when it does not stand at at_.
  bool TagEnd(std::string_view end, bool trims) {
    const bool minus = at_ < source_.size() && source_[at_] == '-';
    const bool plus = at_ < source_.size() && source_[at_] == '+' && trims;
    if (!Is(at_ + (minus || plus ? 1 : 0), end)) return false;
    Advance(at_ + (minus || plus ? 1 : 0) + end.size());
    if (minus) {
      const std::string_view rest = source_.substr(at_);
      Advance(at_ + Stripped(rest, true, false, IsSpace).begin);
    } else if (!plus && trims && at_ < source_.size() && source_[at_] == '\n') {
      Advance(at_ + 1);
    }
    return true;
  }

  void Comment() {
    while (at_ < source_.size()) {
      const size_t end = source_.find("#}", at_);
      if (end == std::string_view::npos) break;
      Advance(end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+') ? end - 1 : end);
      if (TagEnd("#}", true)) return;
    }
    work_->line = line_;
    work_->Fail("a comment does not end");
  }

  // {% raw %} ... {% endraw %}, if that begins at at_.
  bool Raw() {
    size_t end = Word(at_, "raw");
    const bool trims = end < source_.size() && source_[end] == '-';
    if (end == 0 || !Is(end + (trims ? 1 : 0), "%}")) return false;
    Advance(end);
    TagEnd("%}", false);
    for (size_t tag = source_.find("{%", at_); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 2)) {
      end = tag + 2;
      if (end < source_.size() && (source_[end] == '-' || source_[end] == '+')) ++end;
      end = Word(end, "endraw");
      if (end == 0) continue;
      const size_t begin = at_;
      AddText(tag, true);
      Advance(end);
      if (TagEnd("%}", true)) return true;
      work_->line = line_;
      work_->Fail("'endraw' with more behind it than %zu bytes of text", tag - begin);
      return true;
    }
    work_->line = line_;
    work_->Fail("'raw' does not end");
    return true;
  }
  // Where `word` ends that stands at `at` with space around it; 0 if it does not.
  size_t Word(size_t at, std::string_view word) const {
    at = SkipSpace(at);
    if (!Is(at, word)) return 0;
    return SkipSpace(at + word.size());
  }
  size_t SkipSpace(size_t at) const {
    while (at < source_.size() && IsSpace(static_cast<uint8_t>(source_[at]))) ++at;
    return at;
  }

  // The tokens of a tag. Its end does not count where a bracket is open.
  void Inside(std::string_view end) {
    uint32_t open = 0;
    while (!work_->failed()) {
      Advance(SkipSpace(at_));
      if (at_ == source_.size()) break;
      const uint32_t line = line_;
      if (open == 0 && TagEnd(end, end == "%}")) {
        const TokenKind kind = end == "%}" ? TokenKind::kBlockEnd : TokenKind::kOutputEnd;
        out_->push_back({kind, line, {}});
        return;
      }
      TokenKind kind = TokenKind::kOperator;
      const size_t size = Measure(&kind);
      if (size == 0) return;
      const char c = source_[at_];
      if (c == '(' || c == '[' || c == '{') ++open;
      if (open > 0 && (c == ')' || c == ']' || c == '}')) --open;
      Add(kind, at_ + size);
      Advance(at_ + size);
    }
    work_->line = line_;
    work_->Fail("a tag does not end");
  }

  // Bytes and kind of the token at at_; 0 after a failure.
  size_t Measure(TokenKind* kind) {
    const char c = source_[at_];
    if (IsDigit(c)) return MeasureNumber(kind);
    if (IsNameByte(c)) {
      *kind = TokenKind::kName;
      size_t size = 1;
      while (at_ + size < source_.size() && IsNameByte(source_[at_ + size])) ++size;
      return size;
    }
    if (c == '\'' || c == '"') {
      *kind = TokenKind::kString;
      for (size_t i = at_ + 1; i < source_.size(); ++i) {
        if (source_[i] == c) return i + 1 - at_;
        if (source_[i] == '\\') ++i;
      }
      work_->line = line_;
      work_->Fail("a string does not end");
      return 0;
    }
    for (const std::string_view two : {"==", "!=", ">=", "<=", "**", "//"}) {
      if (Is(at_, two)) return 2;
    }
    if (std::string_view("+-*/%~<>=|.,:()[]{}").find(c) != std::string_view::npos) return 1;
    work_->line = line_;
    work_->Fail("byte 0x%02x begins nothing", static_cast<unsigned>(static_cast<uint8_t>(c)));
    return 0;
  }

  size_t MeasureNumber(TokenKind* kind) {
    size_t end = Digits(at_);
    *kind = TokenKind::kInteger;
    const auto digit = [this](size_t at) { return at < source_.size() && IsDigit(source_[at]); };
    if (end < source_.size() && source_[end] == '.' && digit(end + 1)) {
      end = Digits(end + 1);
      *kind = TokenKind::kFloat;
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool sign = Is(end + 1, "+") || Is(end + 1, "-");
      if (digit(end + (sign ? 2 : 1))) {
        end = Digits(end + (sign ? 2 : 1));
        *kind = TokenKind::kFloat;
      }
    }
    return end - at_;
  }
  size_t Digits(size_t at) const {
    while (at < source_.size() && IsDigit(source_[at])) ++at;
    return at;
  }

  static bool IsDigit(char c) { return c >= '0' && c <= '9'; }
  static bool IsNameByte(char c) {
    return IsDigit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }
  bool Is(size_t at, std::string_view text) const {
    return at <= source_.size() && source_.substr(at, text.size()) == text;
  }
  void Add(TokenKind kind, size_t end) {
    out_->push_back({kind, line_, source_.substr(at_, end - at_)});
  }
  void Advance(size_t to) {
    for (; at_ < to; ++at_) line_ += source_[at_] == '\n';
  }

  Workspace* work_;
  std::string_view source_;
  Vector<Token>* out_;
  size_t at_ = 0;
  uint32_t line_ = 1;
};

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_LEXER_H_
