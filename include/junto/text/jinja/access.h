// Attributes, items and slices of values.
#ifndef JUNTO_TEXT_JINJA_ACCESS_H_
#define JUNTO_TEXT_JINJA_ACCESS_H_

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/compare.h"
#include "junto/text/jinja/value.h"

namespace junto {
namespace jinja {

// Functions of Python's types that a dot may mean, also where methods.h does not have them: a dict
// is not asked for a key of such a name.
constexpr std::string_view kStringMethods[] = {
    "strip",      "lstrip",   "rstrip", "split",      "rsplit", "splitlines",
    "startswith", "endswith", "upper",  "capitalize", "lower",  "title",
    "find",       "replace",  "count",  "join",       "format"};
constexpr std::string_view kListMethods[] = {"append",  "pop",    "insert", "extend",
                                             "index",   "count",  "clear",  "copy",
                                             "reverse", "remove", "sort"};
constexpr std::string_view kTupleMethods[] = {"index", "count"};
constexpr std::string_view kDictMethods[] = {"items",      "keys",     "values", "get",
                                             "pop",        "update",   "copy",   "clear",
                                             "setdefault", "fromkeys", "popitem"};
constexpr std::string_view kLoopMethods[] = {"cycle", "changed"};

template <size_t n>
Span<const std::string_view> All(const std::string_view (&names)[n]) {
  return {names, n};
}
inline Span<const std::string_view> MethodsOf(const Value& value) {
  switch (value.type) {
    case Type::kString:
      return All(kStringMethods);
    case Type::kList:
      return All(kListMethods);
    case Type::kTuple:
      return All(kTupleMethods);
    case Type::kDict:
      return All(kDictMethods);
    case Type::kLoop:
      return All(kLoopMethods);
    default:
      return {};
  }
}

inline bool FindMethod(Workspace* work, const Value& object, std::string_view name, Value* out) {
  for (const std::string_view method : MethodsOf(object)) {
    if (method != name) continue;
    *out = Value(work->New<Method>(Method{object, method}));
    return true;
  }
  return false;
}

inline bool FindLoopAttribute(Workspace* work, const Loop& loop, std::string_view name,
                              Value* out) {
  const auto index = static_cast<int64_t>(loop.index);
  const auto size = static_cast<int64_t>(loop.items.size());
  const auto item = [&](bool there, size_t at) {
    return there ? loop.items[at] : Undefined(work, name);
  };
  if (name == "index") {
    *out = Value(index + 1);
  } else if (name == "index0") {
    *out = Value(index);
  } else if (name == "revindex") {
    *out = Value(size - index);
  } else if (name == "revindex0") {
    *out = Value(size - index - 1);
  } else if (name == "first") {
    *out = Value(index == 0);
  } else if (name == "last") {
    *out = Value(index + 1 == size);
  } else if (name == "length") {
    *out = Value(size);
  } else if (name == "depth" || name == "depth0") {
    *out = Value(int64_t{name == "depth"});  // no loop is recursive
  } else if (name == "previtem") {
    *out = item(index > 0, loop.index - 1);
  } else if (name == "nextitem") {
    *out = item(index + 1 < size, loop.index + 1);
  } else {
    return false;
  }
  return true;
}

// {{ object.name }}: what the object has by that name, else its item. Fails where the object is
// undefined; what neither has is undefined.
inline Value Attribute(Workspace* work, const Value& object, std::string_view name) {
  Value found;
  if (object.undefined()) {
    FailUndefined(work, object);
    return found;
  }
  if (FindMethod(work, object, name, &found)) return found;
  if (object.is(Type::kLoop) && FindLoopAttribute(work, *object.loop, name, &found)) return found;
  if (object.is(Type::kDict) || object.is(Type::kNamespace)) {
    if (const Value* value = object.dict->Find(work, name)) return *value;
  }
  return Undefined(work, name);
}

// {{ object[key] }}: its item, else what it has by that name.
inline Value Item(Workspace* work, const Value& object, const Value& key) {
  if (object.undefined()) {
    FailUndefined(work, object);
    return Value();
  }
  if (object.is(Type::kDict)) {
    if (const Value* value = object.dict->Find(work, key)) return *value;
  }
  if (IsWhole(key)) {
    int64_t index = ToInteger(key);
    if (object.sequence()) {
      const auto size = static_cast<int64_t>(object.list->size);
      if (index < 0) index += size;
      if (index >= 0 && index < size) return object.list->data[index];
    } else if (object.string()) {
      const std::string_view text = object.view();
      work->Scan(8 * text.size());
      const auto size = static_cast<int64_t>(CountCharacters(text));
      if (index < 0) index += size;
      if (index >= 0 && index < size) {
        const size_t at = ByteOfCharacter(text, static_cast<size_t>(index));
        return MakeString(work, Slice(work, *object.text, at, CharacterAt(text, at).end));
      }
    } else if (object.is(Type::kRange)) {
      const auto size = static_cast<int64_t>(object.range->count);
      if (index < 0) index += size;
      if (index >= 0 && index < size)
        return Value(object.range->first + index * object.range->step);
    }
  }
  return key.string() ? Attribute(work, object, key.view()) : Undefined(work, "item");
}

// The item at a path such as "function.name" or "0.role", as filters take them.
inline Value ItemAt(Workspace* work, Value object, const Value& path) {
  if (!path.string()) return Item(work, object, path);
  std::string_view rest = path.view();
  for (bool more = true; more && !work->failed();) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    int64_t index = 0;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number = !part.empty() && read.ptr == part.data() + part.size();
    object = number ? Item(work, object, Value(index))
                    : Item(work, object, MakeString(work, part, true));
    more = dot != std::string_view::npos;
    if (more) rest.remove_prefix(dot + 1);
  }
  return object;
}

// What a slice takes of `size` elements: those at first, first + step, ..., `count` of them.
struct Steps {
  int64_t first;
  int64_t step;
  int64_t count;
  int64_t last = 0;  // the place that ends it
};
inline Steps ResolveSlice(Workspace* work, int64_t size, const Value& from, const Value& to,
                          const Value& by) {
  for (const Value* each : {&from, &to, &by}) {
    if (!IsWhole(*each) && !each->none()) {
      work->Fail("slice indices must be integers, not %s", TypeName(*each));
      return {0, 1, 0};
    }
  }
  const int64_t step = by.none() ? 1 : std::clamp<int64_t>(ToInteger(by), -size - 1, size + 1);
  if (step == 0) {
    work->Fail("a slice's step is 0");
    return {0, 1, 0};
  }
  const auto resolve = [&](const Value& value, int64_t otherwise) {
    if (value.none()) return otherwise;
    int64_t index = ToInteger(value);
    if (index < 0) index = index < -size ? -1 : index + size;
    return step > 0 ? std::clamp<int64_t>(index, 0, size)
                    : std::clamp<int64_t>(index, -1, size - 1);
  };
  const int64_t first = resolve(from, step > 0 ? 0 : size - 1);
  const int64_t last = resolve(to, step > 0 ? size : -1);
  const int64_t span = step > 0 ? last - first : first - last;
  const int64_t stride = step > 0 ? step : -step;
  return {first, step, span <= 0 ? 0 : (span - 1) / stride + 1, last};
}

inline Value SliceOf(Workspace* work, const Value& object, const Value& from, const Value& to,
                     const Value& by) {
  if (object.string() && by.none()) {
    const std::string_view text = object.view();
    work->Scan(12 * text.size());
    const auto size = static_cast<int64_t>(CountCharacters(text));
    const Steps steps = ResolveSlice(work, size, from, to, by);
    if (steps.count == 0) return MakeString(work, std::string_view(), true);
    const size_t begin = ByteOfCharacter(text, static_cast<size_t>(steps.first));
    const size_t length = ByteOfCharacter(text.substr(begin), static_cast<size_t>(steps.count));
    return MakeString(work, Slice(work, *object.text, begin, begin + length));
  }
  if (object.is(Type::kRange)) {
    const Progression& range = *object.range;
    const Steps steps = ResolveSlice(work, static_cast<int64_t>(range.count), from, to, by);
    if (std::abs(static_cast<double>(range.step) * static_cast<double>(steps.step)) > 0x1p40) {
      work->Fail("range: a slice with a step beyond 2^40");
      return Value();
    }
    return Value(work->New<Progression>(
        Progression{range.first + steps.first * range.step, range.step * steps.step,
                    static_cast<uint64_t>(steps.count), range.first + steps.last * range.step}));
  }
  if (object.string() || object.sequence()) {
    const Span<const Value> items = Items(work, object);
    const Steps steps = ResolveSlice(work, static_cast<int64_t>(items.size()), from, to, by);
    auto* list = work->New<List>();
    if (object.sequence() && steps.step == 1) {
      *list = {object.list->data + steps.first, static_cast<size_t>(steps.count),
               static_cast<size_t>(steps.count)};
      return Value(list, object.type);
    }
    if (!work->Step(static_cast<uint64_t>(steps.count))) return Value();
    if (steps.count != 0) list->Reserve(work, static_cast<size_t>(steps.count));
    for (int64_t i = 0; i < steps.count; ++i)
      list->Add(work, items[static_cast<size_t>(steps.first + i * steps.step)]);
    if (!object.string()) return Value(list, object.is(Type::kTuple) ? Type::kTuple : Type::kList);
    TextBuilder out(work);
    for (const Value& item : list->items()) out.Add(*item.text);
    return MakeString(work, out.Finish());
  }
  if (object.undefined()) {
    FailUndefined(work, object);
  } else {
    work->Fail("'%s' object has no slices", TypeName(object));
  }
  return Value();
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_ACCESS_H_
