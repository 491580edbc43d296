// Arguments of a call.
#ifndef JUNTO_TEXT_JINJA_ARGUMENTS_H_
#define JUNTO_TEXT_JINJA_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/compare.h"
#include "junto/text/jinja/value.h"

namespace junto {
namespace jinja {

struct Keyword {
  std::string_view name;
  Value value;
};

struct Arguments {
  Workspace* work;
  Span<const Value> positional;
  Span<const Keyword> keywords;

  // Argument `index`, or the one called `name`; nullptr when it was not given.
  const Value* Find(size_t index, std::string_view name) const {
    if (index < positional.size()) return &positional[index];
    for (const Keyword& keyword : keywords) {
      if (keyword.name == name) return &keyword.value;
    }
    return nullptr;
  }
  Value Get(size_t index, std::string_view name, const Value& otherwise) const {
    const Value* value = Find(index, name);
    return value == nullptr ? otherwise : *value;
  }
  bool Flag(size_t index, std::string_view name) const {
    return Truth(Get(index, name, Value(false)));
  }
  // Fails when it was not given.
  Value Need(size_t index, std::string_view name) const {
    const Value* value = Find(index, name);
    if (value == nullptr) {
      work->Fail("argument '%.*s' is missing, %zu given", static_cast<int>(name.size()),
                 name.data(), positional.size() + keywords.size());
    }
    return value == nullptr ? Value() : *value;
  }
  // A string's text; fails when it is something else.
  Text NeedText(size_t index, std::string_view name) const {
    const Value value = Need(index, name);
    if (value.string()) return *value.text;
    work->Fail("argument '%.*s' must be str, not %s", static_cast<int>(name.size()), name.data(),
               TypeName(value));
    return Text();
  }
  int64_t Integer(size_t index, std::string_view name, int64_t otherwise) const {
    const Value value = Get(index, name, Value(otherwise));
    if (IsWhole(value)) return ToInteger(value);
    work->Fail("argument '%.*s' must be int, not %s", static_cast<int>(name.size()), name.data(),
               TypeName(value));
    return otherwise;
  }
  // Without the first `count` positional ones.
  Arguments After(size_t count) const {
    count = count < positional.size() ? count : positional.size();
    return {work, positional.subspan(count, positional.size() - count), keywords};
  }
};

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_ARGUMENTS_H_
