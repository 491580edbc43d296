// What `is` asks: {{ x is defined }}.
#ifndef JUNTO_TEXT_JINJA_TESTS_H_
#define JUNTO_TEXT_JINJA_TESTS_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/arguments.h"

namespace junto {
namespace jinja {

template <Type kType>
bool IsType(const Value& value, const Arguments&) {
  return value.is(kType);
}
inline bool IsDefined(const Value& value, const Arguments&) { return !value.undefined(); }
inline bool IsTrue(const Value& value, const Arguments&) {
  return value.is(Type::kBool) && value.boolean;
}
inline bool IsFalse(const Value& value, const Arguments&) {
  return value.is(Type::kBool) && !value.boolean;
}
inline bool IsInteger(const Value& value, const Arguments&) {
  return value.is(Type::kInt) || (value.is(Type::kNumber) && value.number->integer);
}
inline bool IsFloat(const Value& value, const Arguments&) {
  return value.is(Type::kNumber) && !value.number->integer;
}
inline bool IsNumber(const Value& value, const Arguments&) { return IsNumeric(value); }
inline bool IsIterable(const Value& value, const Arguments&) {
  return value.undefined() || value.string() || value.sequence() || value.is(Type::kDict) ||
         value.is(Type::kRange) || value.is(Type::kLoop);
}
inline bool IsSequence(const Value& value, const Arguments& arguments) {
  return IsIterable(value, arguments) && !value.is(Type::kLoop);
}
inline bool IsCallable(const Value& value, const Arguments&) {
  return value.is(Type::kMacro) || value.is(Type::kMethod) || value.is(Type::kFunction) ||
         value.undefined();
}
inline bool IsEqual(const Value& value, const Arguments& arguments) {
  return Equal(arguments.work, value, arguments.Need(0, "other"));
}
inline bool IsNotEqual(const Value& value, const Arguments& arguments) {
  return !IsEqual(value, arguments);
}
inline bool IsLess(const Value& value, const Arguments& arguments) {
  return Less(arguments.work, value, arguments.Need(0, "other"));
}
inline bool IsGreater(const Value& value, const Arguments& arguments) {
  return Less(arguments.work, arguments.Need(0, "other"), value);
}
inline bool IsAtLeast(const Value& value, const Arguments& arguments) {
  return !IsLess(value, arguments);
}
inline bool IsAtMost(const Value& value, const Arguments& arguments) {
  return !IsGreater(value, arguments);
}
inline bool IsIn(const Value& value, const Arguments& arguments) {
  return Contains(arguments.work, arguments.Need(0, "seq"), value);
}
// The remainder of a number; fails where there is none.
inline double Remainder(const Value& value, int64_t by, Workspace* work) {
  if (!IsNumeric(value) || by == 0) {
    work->Fail("%s has no remainder by %lld", TypeName(value), static_cast<long long>(by));
    return 0;
  }
  if (IsWhole(value)) return by == -1 ? 0 : static_cast<double>(ToInteger(value) % by);
  return std::fmod(ToDouble(value), static_cast<double>(by));
}
inline bool IsOdd(const Value& value, const Arguments& arguments) {
  return std::fabs(Remainder(value, 2, arguments.work)) == 1;
}
inline bool IsEven(const Value& value, const Arguments& arguments) {
  return Remainder(value, 2, arguments.work) == 0;
}
inline bool IsDivisible(const Value& value, const Arguments& arguments) {
  return Remainder(value, arguments.Integer(0, "num", 1), arguments.work) == 0;
}
// Letters there are, all of this case.
template <Case kCase>
bool IsCase(const Value& value, const Arguments& arguments) {
  const Text text = ToText(arguments.work, value);
  const Case other = kCase == Case::kUpper ? Case::kLower : Case::kUpper;
  const Text same = ToCase(arguments.work, text, kCase);
  return same.view == text.view && ToCase(arguments.work, text, other).view != same.view;
}

struct TestEntry {
  std::string_view name;
  bool (*apply)(const Value& value, const Arguments& arguments);
};
constexpr TestEntry kTests[] = {
    {"defined", IsDefined},
    {"undefined", IsType<Type::kUndefined>},
    {"none", IsType<Type::kNone>},
    {"boolean", IsType<Type::kBool>},
    {"true", IsTrue},
    {"false", IsFalse},
    {"integer", IsInteger},
    {"float", IsFloat},
    {"number", IsNumber},
    {"string", IsType<Type::kString>},
    {"mapping", IsType<Type::kDict>},
    {"iterable", IsIterable},
    {"sequence", IsSequence},
    {"callable", IsCallable},
    {"eq", IsEqual},
    {"equalto", IsEqual},
    {"==", IsEqual},
    {"ne", IsNotEqual},
    {"!=", IsNotEqual},
    {"lt", IsLess},
    {"lessthan", IsLess},
    {"<", IsLess},
    {"le", IsAtMost},
    {"<=", IsAtMost},
    {"gt", IsGreater},
    {"greaterthan", IsGreater},
    {">", IsGreater},
    {"ge", IsAtLeast},
    {">=", IsAtLeast},
    {"in", IsIn},
    {"odd", IsOdd},
    {"even", IsEven},
    {"divisibleby", IsDivisible},
    {"upper", IsCase<Case::kUpper>},
    {"lower", IsCase<Case::kLower>},
};

// Fails when there is no such test.
inline bool ApplyTest(std::string_view name, const Value& value, const Arguments& arguments) {
  arguments.work->Step();
  for (const TestEntry& test : kTests) {
    if (test.name == name) return test.apply(value, arguments);
  }
  arguments.work->Fail("No test named '%.*s', of %zu",
                       static_cast<int>(Utf8Prefix(name, 64).size()), name.data(),
                       sizeof(kTests) / sizeof(kTests[0]));
  return false;
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_TESTS_H_
