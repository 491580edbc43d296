// Values as text: as {{ }} prints them, as Python shows them, and as JSON.
#ifndef JUNTO_TEXT_JINJA_PRINT_H_
#define JUNTO_TEXT_JINJA_PRINT_H_

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "junto/text/jinja/value.h"

namespace junto {
namespace jinja {

// The shortest digits that give the same number, laid out as Python does.
inline void PrintDouble(double value, TextBuilder* out) {
  if (std::isnan(value)) return out->Add(std::string_view("nan"), true);
  if (std::isinf(value)) return out->Add(std::string_view(value < 0 ? "-inf" : "inf"), true);
  char buffer[32];
  const char* end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  if (text[0] == '-') out->Add(text.substr(0, 1), true);
  if (text[0] == '-') text.remove_prefix(1);
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), end, exponent);
  char digits[24];
  size_t count = 0;
  for (const char c : text.substr(0, e)) {
    if (c != '.') digits[count++] = c;
  }
  const std::string_view all(digits, count);
  static constexpr std::string_view kZeros = "0000000000000000";
  if (exponent < -4 || exponent >= 16) {
    out->Add(all.substr(0, 1), true);
    if (count > 1) out->Add(std::string_view("."), true);
    out->Add(all.substr(1), true);
    const int size = std::snprintf(buffer, sizeof(buffer), "e%+03d", exponent);
    return out->Add({buffer, static_cast<size_t>(size)}, true);
  }
  if (exponent < 0) {
    out->Add(std::string_view("0."), true);
    out->Add(kZeros.substr(0, static_cast<size_t>(-exponent - 1)), true);
    return out->Add(all, true);
  }
  const auto whole = static_cast<size_t>(exponent) + 1;
  out->Add(all.substr(0, whole), true);
  if (whole >= count) out->Add(kZeros.substr(0, whole - count), true);
  out->Add(std::string_view("."), true);
  out->Add(whole < count ? all.substr(whole) : std::string_view("0"), true);
}

inline void PrintInteger(int64_t value, TextBuilder* out) {
  char buffer[24];
  const char* end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  out->Add({buffer, static_cast<size_t>(end - buffer)}, true);
}

inline void PrintNumber(const Value& value, TextBuilder* out) {
  if (value.is(Type::kInt)) return PrintInteger(value.integer, out);
  if (!value.number->spelling.empty()) return out->Add(value.number->spelling, false);
  PrintDouble(value.number->value, out);
}

// Writes a value as Python's repr, or as JSON. Punctuation counts as untrusted: no template can say
// what stands between it.
class Printer {
 public:
  Printer(Workspace* work, TextBuilder* out) : work_(work), out_(out) {}

  void Repr(const Value& value) {
    const Level level(work_, work_->limits().depth);
    if (!work_->Step()) return;
    switch (value.type) {
      case Type::kString:
        return ReprString(*value.text);
      case Type::kList:
      case Type::kTuple:
        return ReprList(value);
      case Type::kDict:
        return ReprDict(*value.dict);
      case Type::kUndefined:
        return Add("Undefined");
      default:
        return Plain(value);
    }
  }

  // What {{ }} shows of something that is not a string.
  void Plain(const Value& value) {
    switch (value.type) {
      case Type::kUndefined:
        return;
      case Type::kNone:
        return Word("None");
      case Type::kBool:
        return Word(value.boolean ? "True" : "False");
      case Type::kInt:
      case Type::kNumber:
        return PrintNumber(value, out_);
      case Type::kRange:
        return PlainRange(*value.range);
      case Type::kList:
      case Type::kTuple:
      case Type::kDict:
        return Repr(value);
      default:
        work_->Fail("a %s has no text", TypeName(value));
    }
  }

  struct JsonStyle {
    Text indent;           // of one level
    bool indents = false;  // members on lines of their own
    bool ascii = false;
    bool sorts = false;
    bool given = false;  // what stands between members: else a comma that ends a line is bare
    std::string_view comma = ", ";
    std::string_view colon = ": ";
  };
  void Json(const Value& value, const JsonStyle& style, uint32_t depth = 0) {
    const Level level(work_, work_->limits().depth);
    if (!work_->Step()) return;
    switch (value.type) {
      case Type::kNone:
        return Add("null");
      case Type::kBool:
        return Add(value.boolean ? "true" : "false");
      case Type::kInt:
      case Type::kNumber:
        return JsonNumber(value);
      case Type::kString:
        return JsonString(*value.text, style.ascii);
      case Type::kList:
      case Type::kTuple:
        return JsonList(value.list->items(), style, depth);
      case Type::kDict:
        return JsonDict(*value.dict, style, depth);
      default:
        work_->Fail("Object of type %s is not JSON serializable", TypeName(value));
    }
  }

 private:
  void Add(std::string_view text) { out_->Add(text, false); }
  void Word(std::string_view text) { out_->Add(text, true); }
  // A backslash, a letter and the code in so many hexadecimal digits.
  void Escape(char letter, uint32_t code, int digits) {
    char buffer[16];
    const int size = std::snprintf(buffer, sizeof(buffer), "\\%c%0*x", letter, digits, code);
    Add({buffer, static_cast<size_t>(size)});
  }
  void Escape(char letter) {
    const char escaped[] = {'\\', letter};
    Add({escaped, sizeof(escaped)});
  }

  // Between quotes, stretches that stand for themselves are copied whole: `special` tells which
  // characters do not, and `write` writes those.
  template <class S, class W>
  void Quoted(const Text& text, std::string_view quote, const S& special, const W& write) {
    Add(quote);
    work_->Scan(text.view.size());
    text.ForEach(0, text.view.size(), [&](std::string_view run, bool trusted) {
      size_t begin = 0;
      for (size_t at = 0; at < run.size();) {
        const Character character = CharacterAt(run, at);
        if (special(character.code)) {
          if (!work_->Step()) return;
          out_->Add(run.substr(begin, at - begin), trusted);
          write(character.code);
          begin = character.end;
        }
        at = character.end;
      }
      out_->Add(run.substr(begin), trusted);
    });
    Add(quote);
  }

  void ReprString(const Text& text) {
    const bool single = text.view.find('\'') == std::string_view::npos;
    const bool uses_double = !single && text.view.find('"') == std::string_view::npos;
    const char quote = uses_double ? '"' : '\'';
    const auto special = [quote](uint32_t code) {
      return code == static_cast<uint8_t>(quote) || code == '\\' || !Printable(code);
    };
    Quoted(text, {&quote, 1}, special, [this](uint32_t code) {
      if (code == '\n') return Escape('n');
      if (code == '\r') return Escape('r');
      if (code == '\t') return Escape('t');
      if (code == '\\') return Escape('\\');
      if (code == '\'' || code == '"') return Escape(static_cast<char>(code));
      if (code < 0x100) return Escape('x', code, 2);
      if (code < 0x10000) return Escape('u', code, 4);
      Escape('U', code, 8);
    });
  }
  static bool Printable(uint32_t code) {
    if (code < 0x7F) return code >= 0x20;
    const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
    switch (category) {
      case UTF8PROC_CATEGORY_CC:
      case UTF8PROC_CATEGORY_CF:
      case UTF8PROC_CATEGORY_CS:
      case UTF8PROC_CATEGORY_CO:
      case UTF8PROC_CATEGORY_CN:
      case UTF8PROC_CATEGORY_ZL:
      case UTF8PROC_CATEGORY_ZP:
      case UTF8PROC_CATEGORY_ZS:
        return false;
      default:
        return true;
    }
  }
  void ReprList(const Value& value) {
    const bool tuple = value.is(Type::kTuple);
    Add(tuple ? "(" : "[");
    for (size_t i = 0; i < value.list->size && !work_->failed(); ++i) {
      if (i != 0) Add(", ");
      Repr(value.list->data[i]);
    }
    if (tuple && value.list->size == 1) Add(",");
    Add(tuple ? ")" : "]");
  }
  void ReprDict(const Dict& dict) {
    Add("{");
    for (size_t i = 0; i < dict.size && !work_->failed(); ++i) {
      if (i != 0) Add(", ");
      Repr(dict.data[i].key);
      Add(": ");
      Repr(dict.data[i].value);
    }
    Add("}");
  }
  void PlainRange(const Progression& range) {
    Word("range(");
    PrintInteger(range.first, out_);
    Word(", ");
    PrintInteger(range.stop, out_);
    if (range.step != 1) Word(", ");
    if (range.step != 1) PrintInteger(range.step, out_);
    Word(")");
  }

  void JsonNumber(const Value& value) {
    if (value.is(Type::kNumber) && !std::isfinite(value.number->value) && !value.number->integer) {
      const double x = value.number->value;
      return Add(std::isnan(x) ? "NaN" : x < 0 ? "-Infinity" : "Infinity");
    }
    PrintNumber(value, out_);
  }
  void JsonString(const Text& text, bool ascii) {
    const auto special = [ascii](uint32_t code) {
      return code < 0x20 || code == '"' || code == '\\' || (ascii && code >= 0x7F);
    };
    Quoted(text, "\"", special, [this](uint32_t code) {
      static constexpr std::string_view kCodes = "\"\\\b\f\n\r\t";
      static constexpr std::string_view kLetters = "\"\\bfnrt";
      const size_t letter = code < 0x80 ? kCodes.find(static_cast<char>(code)) : kCodes.npos;
      if (letter != kCodes.npos) return Escape(kLetters[letter]);
      if (code == 0x7F) return Add("\x7F");
      if (code < 0x10000) return Escape('u', code, 4);
      Escape('u', 0xD800 + ((code - 0x10000) >> 10), 4);
      Escape('u', 0xDC00 + ((code - 0x10000) & 0x3FF), 4);
    });
  }
  void JsonBreak(const JsonStyle& style, uint32_t depth) {
    if (!style.indents) return;
    Word("\n");
    for (uint32_t i = 0; i < depth; ++i) out_->Add(style.indent);
  }
  void JsonComma(const JsonStyle& style) {
    Add(style.indents && !style.given ? std::string_view(",") : style.comma);
  }
  void JsonList(Span<const Value> items, const JsonStyle& style, uint32_t depth) {
    Add("[");
    for (size_t i = 0; i < items.size() && !work_->failed(); ++i) {
      if (i != 0) JsonComma(style);
      JsonBreak(style, depth + 1);
      Json(items[i], style, depth + 1);
    }
    if (!items.empty()) JsonBreak(style, depth);
    Add("]");
  }
  void JsonDict(const Dict& dict, const JsonStyle& style, uint32_t depth);

  Workspace* work_;
  TextBuilder* out_;
};

// The text of a value: of a string itself.
inline Text ToText(Workspace* work, const Value& value) {
  if (value.string()) return *value.text;
  TextBuilder out(work);
  Printer(work, &out).Plain(value);
  return out.Finish();
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_PRINT_H_
