// Arithmetic of values.
#ifndef JUNTO_TEXT_JINJA_OPERATORS_H_
#define JUNTO_TEXT_JINJA_OPERATORS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "junto/text/jinja/compare.h"
#include "junto/text/jinja/node.h"
#include "junto/text/jinja/value.h"

namespace junto {
namespace jinja {

// {{ a ~ b }}: the texts of both, one after the other.
inline Value Concatenated(Workspace* work, Text a, Text b) {
  a.safe = b.safe = false;
  if (a.view.empty()) return MakeString(work, b);
  if (b.view.empty()) return MakeString(work, a);
  TextBuilder out(work);
  out.Add(a);
  out.Add(b);
  return MakeString(work, out.Finish());
}

// The text with what HTML would take for markup escaped.
inline Text Escaped(Workspace* work, const Text& text) {
  static constexpr std::string_view kMeant = "&<>'\"";
  static constexpr std::string_view kWritten[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  TextBuilder out(work);
  text.ForEach(0, text.view.size(), [&](std::string_view run, bool trusted) {
    for (size_t at = 0; at < run.size() && work->Step();) {
      const size_t end = std::min(run.find_first_of(kMeant, at), run.size());
      out.Add(run.substr(at, end - at), trusted);
      if (end < run.size()) out.Add(kWritten[kMeant.find(run[end])], trusted);
      at = end + 1;
    }
  });
  return out.Finish();
}

// {{ a + b }}. What is not safe is escaped where it meets what is.
inline Value JoinedTexts(Workspace* work, const Text& a, const Text& b) {
  if (!a.safe && !b.safe) return Concatenated(work, a, b);
  const Value joined =
      Concatenated(work, a.safe ? a : Escaped(work, a), b.safe ? b : Escaped(work, b));
  Text text = *joined.text;
  text.safe = true;
  return MakeString(work, text);
}

inline Value JoinedLists(Workspace* work, const Value& a, const Value& b) {
  auto* list = work->New<List>();
  if (list->Reserve(work, a.list->size + b.list->size)) {
    for (const Value& item : a.list->items()) list->Add(work, item);
    for (const Value& item : b.list->items()) list->Add(work, item);
  }
  return Value(list, a.type);
}

inline Value Repeated(Workspace* work, const Value& value, int64_t times) {
  const size_t size = value.string() ? value.view().size() : value.list->size;
  if (times < 0 || size == 0) times = 0;
  if (size != 0 && static_cast<uint64_t>(times) > work->limits().bytes / size) {
    work->Charge(UINT64_MAX / 2);
    return Value();
  }
  if (value.string()) {
    TextBuilder out(work);
    for (int64_t i = 0; i < times && work->Step(); ++i) out.Add(*value.text);
    return MakeString(work, out.Finish());
  }
  auto* list = work->New<List>();
  for (int64_t i = 0; i < times && work->Step(); ++i) {
    for (const Value& item : value.list->items()) list->Add(work, item);
  }
  return Value(list, value.type);
}

inline Value IntegerArithmetic(Workspace* work, Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Operator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Operator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Operator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Operator::kFloorDivide:
    case Operator::kModulo: {
      if (b == 0 || (a == INT64_MIN && b == -1)) {
        work->Fail(b == 0 ? "integer division or modulo by zero" : "an integer exceeds 64 bits");
        return Value();
      }
      const bool rounds = a % b != 0 && (a < 0) != (b < 0);  // towards minus infinity
      result = op == Operator::kModulo ? a % b + (rounds ? b : 0) : a / b - (rounds ? 1 : 0);
      break;
    }
    case Operator::kPower:
      result = 1;
      for (int64_t i = 0; i < b && !overflow && work->Step(); ++i) {
        overflow = __builtin_mul_overflow(result, a, &result);
      }
      break;
    default:
      break;
  }
  if (overflow) work->Fail("an integer exceeds 64 bits");
  return Value(result);
}

// By the remainder, as Python does: 1 // 0.1 is 9.
inline double FloorDivided(double a, double b) {
  const double rest = std::fmod(a, b);
  const double quotient = (a - rest) / b - (rest != 0 && (rest < 0) != (b < 0) ? 1 : 0);
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double whole = std::floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

inline Value FloatArithmetic(Workspace* work, Operator op, double a, double b) {
  const bool divides =
      op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo;
  if (divides && b == 0) {
    work->Fail("division by zero");
    return Value();
  }
  switch (op) {
    case Operator::kAdd:
      return MakeFloat(work, a + b);
    case Operator::kSubtract:
      return MakeFloat(work, a - b);
    case Operator::kMultiply:
      return MakeFloat(work, a * b);
    case Operator::kDivide:
      return MakeFloat(work, a / b);
    case Operator::kFloorDivide:
      return MakeFloat(work, FloorDivided(a, b));
    case Operator::kModulo: {
      const double rest = std::fmod(a, b);
      if (rest == 0) return MakeFloat(work, std::copysign(0.0, b));
      return MakeFloat(work, (rest < 0) != (b < 0) ? rest + b : rest);
    }
    default:
      return MakeFloat(work, std::pow(a, b));
  }
}

inline Value Arithmetic(Workspace* work, Operator op, const Value& a, const Value& b) {
  if (a.undefined() || b.undefined()) {
    FailUndefined(work, a.undefined() ? a : b);
    return Value();
  }
  if (op == Operator::kAdd && a.string() && b.string()) {
    return JoinedTexts(work, *a.text, *b.text);
  }
  if (op == Operator::kAdd && a.sequence() && a.type == b.type) return JoinedLists(work, a, b);
  if (op == Operator::kMultiply && (a.string() || a.sequence()) && IsWhole(b)) {
    return Repeated(work, a, ToInteger(b));
  }
  if (op == Operator::kMultiply && (b.string() || b.sequence()) && IsWhole(a)) {
    return Repeated(work, b, ToInteger(a));
  }
  if (IsWhole(a) && IsWhole(b) && op != Operator::kDivide &&
      (op != Operator::kPower || ToInteger(b) >= 0)) {
    return IntegerArithmetic(work, op, ToInteger(a), ToInteger(b));
  }
  if (IsNumeric(a) && IsNumeric(b)) return FloatArithmetic(work, op, ToDouble(a), ToDouble(b));
  static constexpr const char* kSigns[] = {"", "+", "-", "*", "/", "//", "%", "**"};
  work->Fail("unsupported operand type(s) for %s: '%s' and '%s'", kSigns[static_cast<int>(op)],
             TypeName(a), TypeName(b));
  return Value();
}

inline Value Negated(Workspace* work, const Value& value) {
  if (IsWhole(value)) return IntegerArithmetic(work, Operator::kSubtract, 0, ToInteger(value));
  if (value.is(Type::kNumber)) return MakeFloat(work, -value.number->value);
  return Arithmetic(work, Operator::kSubtract, Value(int64_t{0}), value);
}

// Whether a op b holds.
inline bool Compared(Workspace* work, Operator op, const Value& a, const Value& b) {
  switch (op) {
    case Operator::kEqual:
      return Equal(work, a, b);
    case Operator::kNotEqual:
      return !Equal(work, a, b);
    case Operator::kLess:
      return Less(work, a, b);
    case Operator::kGreater:
      return Less(work, b, a);
    case Operator::kLessEqual:
      return Less(work, a, b) || Equal(work, a, b);
    case Operator::kGreaterEqual:
      return Less(work, b, a) || Equal(work, a, b);
    case Operator::kIn:
      return Contains(work, b, a);
    default:
      return !Contains(work, b, a);
  }
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_OPERATORS_H_
