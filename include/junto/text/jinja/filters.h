// Filters: {{ x | trim }}. Those that are lazy in Jinja give lists.
#ifndef JUNTO_TEXT_JINJA_FILTERS_H_
#define JUNTO_TEXT_JINJA_FILTERS_H_

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/json.h"
#include "junto/text/jinja/methods.h"
#include "junto/text/jinja/tests.h"

namespace junto {
namespace jinja {

Value ApplyFilter(std::string_view name, const Value& value, const Arguments& arguments);

// ---- strings

inline Value TrimFilter(const Value& value, const Arguments& arguments) {
  return StripText(arguments.work, ToText(arguments.work, value),
                   arguments.Get(0, "chars", Value(Type::kNone)), true, true);
}
template <Case kCase>
Value CaseFilter(const Value& value, const Arguments& arguments) {
  return MakeString(arguments.work, ToCase(arguments.work, ToText(arguments.work, value), kCase));
}
inline Value StringFilter(const Value& value, const Arguments& arguments) {
  return value.string() ? value : MakeString(arguments.work, ToText(arguments.work, value));
}
inline Value ReplaceFilter(const Value& value, const Arguments& arguments) {
  Workspace* work = arguments.work;
  const Value count = arguments.Get(2, "count", Value(Type::kNone));
  const Text old = ToText(work, arguments.Need(0, "old"));
  const Text fresh = ToText(work, arguments.Need(1, "new"));
  return MakeString(work, Replace(work, ToText(work, value), old, fresh,
                                  count.none() ? -1 : arguments.Integer(2, "count", -1)));
}

inline Value IndentFilter(const Value& value, const Arguments& arguments) {
  Workspace* work = arguments.work;
  if (value.undefined()) FailUndefined(work, value);
  if (!value.string()) work->Fail("indent: str expected, not %s", TypeName(value));
  const Value width = arguments.Get(0, "width", Value(int64_t{4}));
  Text indent = width.string() ? *width.text : Text();
  if (!width.string()) {
    const int64_t count = std::max<int64_t>(0, arguments.Integer(0, "width", 4));
    char* spaces = work->Array<char>(static_cast<size_t>(count));
    if (spaces == nullptr) return Value();
    std::fill(spaces, spaces + count, ' ');
    indent = {{spaces, static_cast<size_t>(count)}, true, {}};
  }
  const Value newline = MakeString(work, std::string_view("\n"), true);
  const Value text = MakeString(work, ToText(work, value));
  const Value lines = SplitLinesMethod(text, {work, {}, {}});
  const bool ends = !text.view().empty() && text.view().back() == '\n';
  const bool blank = arguments.Flag(2, "blank");
  TextBuilder out(work);
  for (size_t i = 0; i < lines.list->size && work->Step(); ++i) {
    const Text& line = *lines.list->data[i].text;
    if (i != 0) out.Add(*newline.text);
    if (i == 0 ? arguments.Flag(1, "first") : blank || !line.view.empty()) out.Add(indent);
    out.Add(line);
  }
  if (ends) out.Add(*newline.text);
  if (ends && blank) out.Add(indent);
  return MakeString(work, out.Finish());
}

inline Value ToJsonFilter(const Value& value, const Arguments& arguments) {
  Workspace* work = arguments.work;
  Printer::JsonStyle style;
  style.ascii = arguments.Flag(0, "ensure_ascii");
  style.sorts = arguments.Flag(3, "sort_keys");
  const Value indent = arguments.Get(1, "indent", Value(Type::kNone));
  style.indents = !indent.none();
  if (indent.string()) style.indent = *indent.text;
  if (IsWhole(indent)) {
    static constexpr std::string_view kSpaces = "                                ";
    const int64_t count = std::max<int64_t>(0, ToInteger(indent));
    style.indent = {kSpaces.substr(0, static_cast<size_t>(count)), true, {}};
    if (style.indent.view.size() != static_cast<size_t>(count)) {
      work->Fail("tojson: at most %zu spaces of indent", kSpaces.size());
    }
  }
  const Value separators = arguments.Get(2, "separators", Value(Type::kNone));
  if (separators.sequence() && separators.list->size == 2 && separators.list->data[0].string() &&
      separators.list->data[1].string()) {
    style.comma = separators.list->data[0].view();
    style.colon = separators.list->data[1].view();
    style.given = true;
  }
  TextBuilder out(work);
  Printer(work, &out).Json(value, style);
  return MakeString(work, out.Finish());
}

inline Value FromJsonFilter(const Value& value, const Arguments& arguments) {
  Workspace* work = arguments.work;
  const Text text = ToText(work, value);
  Value out;
  const Status status = JsonValues(work, text.view).Read(&out);
  if (!status.ok()) work->Fail("from_json: %s", status.message());
  return out;
}

// ---- numbers

inline bool ParseDouble(std::string_view text, double* out) {
  const Range kept = Stripped(text, true, true, IsSpace);
  text = text.substr(kept.begin, kept.end - kept.begin);
  if (text.size() > 1 && text[0] == '+') text.remove_prefix(1);
  const auto read = std::from_chars(text.data(), text.data() + text.size(), *out);
  return !text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size();
}
inline Value IntFilter(const Value& value, const Arguments& arguments) {
  const Value otherwise = arguments.Get(0, "default", Value(int64_t{0}));
  if (value.undefined()) FailUndefined(arguments.work, value);
  if (IsWhole(value)) return Value(ToInteger(value));
  double number = 0;
  if (value.is(Type::kNumber)) {
    if (value.number->integer) return value;
    number = value.number->value;
  } else if (!value.string()) {
    return otherwise;
  } else {
    if (!arguments.work->Scan(16 * value.view().size())) return Value();
    const Range kept = Stripped(value.view(), true, true, IsSpace);
    std::string_view text = value.view().substr(kept.begin, kept.end - kept.begin);
    if (text.size() > 1 && text[0] == '+') text.remove_prefix(1);
    int64_t integer = 0;
    const auto base =
        static_cast<int>(std::clamp<int64_t>(arguments.Integer(1, "base", 10), 2, 36));
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, integer, base);
    if (!text.empty() && read.ec == std::errc() && read.ptr == end) return Value(integer);
    if (!ParseDouble(text, &number)) return otherwise;
  }
  if (!(std::fabs(number) < 9e18)) return otherwise;
  return Value(static_cast<int64_t>(number));
}
inline Value FloatFilter(const Value& value, const Arguments& arguments) {
  double number = 0;
  if (value.undefined()) FailUndefined(arguments.work, value);
  if (IsNumeric(value)) return MakeFloat(arguments.work, ToDouble(value));
  if (value.string() && !arguments.work->Scan(16 * value.view().size())) return Value();
  if (value.string() && ParseDouble(value.view(), &number)) {
    return MakeFloat(arguments.work, number);
  }
  return arguments.Get(0, "default", MakeFloat(arguments.work, 0.0));
}
inline Value AbsFilter(const Value& value, const Arguments& arguments) {
  if (value.is(Type::kNumber)) return MakeFloat(arguments.work, std::fabs(value.number->value));
  if (IsWhole(value) && ToInteger(value) != INT64_MIN) return Value(std::abs(ToInteger(value)));
  arguments.work->Fail("bad operand type for abs(): '%s'", TypeName(value));
  return Value();
}

// ---- any value

inline Value DefaultFilter(const Value& value, const Arguments& arguments) {
  const bool falsy = arguments.Flag(1, "boolean") && !Truth(value);
  if (!value.undefined() && !falsy) return value;
  return arguments.Get(0, "default_value", MakeString(arguments.work, std::string_view(), true));
}
inline Value SafeFilter(const Value& value, const Arguments& arguments) {
  Text text = ToText(arguments.work, value);
  text.safe = true;
  return MakeString(arguments.work, text);
}
inline Value LengthFilter(const Value& value, const Arguments& arguments) {
  switch (value.type) {
    case Type::kUndefined:
      return Value(int64_t{0});
    case Type::kString:
      arguments.work->Scan(value.view().size());
      return Value(static_cast<int64_t>(CountCharacters(value.view())));
    case Type::kList:
    case Type::kTuple:
      return Value(static_cast<int64_t>(value.list->size));
    case Type::kDict:
      return Value(static_cast<int64_t>(value.dict->size));
    case Type::kRange:
      return Value(static_cast<int64_t>(value.range->count));
    case Type::kLoop:
      return Value(static_cast<int64_t>(value.loop->items.size()));
    default:
      arguments.work->Fail("object of type '%s' has no len()", TypeName(value));
      return Value();
  }
}

// ---- sequences

inline Value ListFilter(const Value& value, const Arguments& arguments) {
  return MakeList(arguments.work, Items(arguments.work, value));
}
inline Value FirstFilter(const Value& value, const Arguments& arguments) {
  const Span<const Value> items = Items(arguments.work, value);
  return items.empty() ? Undefined(arguments.work, "first") : items[0];
}
inline Value LastFilter(const Value& value, const Arguments& arguments) {
  const Span<const Value> items = Items(arguments.work, value);
  return items.empty() ? Undefined(arguments.work, "last") : items[items.size() - 1];
}
inline Value ReverseFilter(const Value& value, const Arguments& arguments) {
  const Value none(Type::kNone);
  const Value list = value.string() ? value : ListFilter(value, arguments);
  return SliceOf(arguments.work, list, none, none, Value(int64_t{-1}));
}
inline Value JoinFilter(const Value& value, const Arguments& arguments) {
  Workspace* work = arguments.work;
  const Text between =
      ToText(work, arguments.Get(0, "d", MakeString(work, std::string_view(), true)));
  Span<const Value> items = Items(work, value);
  const Value* path = arguments.Find(1, "attribute");
  auto* list = work->New<List>();
  if (path != nullptr && !path->none()) {
    for (const Value& item : items) list->Add(work, ItemAt(work, item, *path));
    items = list->items();
  }
  return Join(work, items, between, true);
}

// The elements with what they are compared by: an attribute, and strings in lower case unless case
// matters.
inline Span<Keyed> KeyedItems(const Value& value, const Arguments& arguments, bool cased,
                              const Value& path) {
  Workspace* work = arguments.work;
  const Span<const Value> items = Items(work, value);
  auto* keyed = work->Array<Keyed>(items.size());
  if (keyed == nullptr) return {};
  for (size_t i = 0; i < items.size(); ++i) {
    Value key = path.none() ? items[i] : ItemAt(work, items[i], path);
    keyed[i] = {cased ? key : LowerKey(work, key), items[i]};
  }
  return {keyed, items.size()};
}
inline Value SortFilter(const Value& value, const Arguments& arguments) {
  const Value path = arguments.Get(2, "attribute", Value(Type::kNone));
  return Sorted(arguments.work,
                KeyedItems(value, arguments, arguments.Flag(1, "case_sensitive"), path),
                arguments.Flag(0, "reverse"));
}
inline Value UniqueFilter(const Value& value, const Arguments& arguments) {
  const Value path = arguments.Get(1, "attribute", Value(Type::kNone));
  auto* seen = arguments.work->New<Dict>();
  auto* list = arguments.work->New<List>();
  for (const Keyed& item :
       KeyedItems(value, arguments, arguments.Flag(0, "case_sensitive"), path)) {
    if (!item.key.undefined() && !CheckKey(arguments.work, item.key)) break;
    if (seen->Find(arguments.work, item.key) != nullptr) continue;
    seen->Set(arguments.work, item.key, item.value);
    list->Add(arguments.work, item.value);
  }
  return Value(list);
}
template <bool kMost>
Value ExtremeFilter(const Value& value, const Arguments& arguments) {
  const Value path = arguments.Get(1, "attribute", Value(Type::kNone));
  const Span<Keyed> items = KeyedItems(value, arguments, arguments.Flag(0, "case_sensitive"), path);
  if (items.empty()) return Undefined(arguments.work, "an element");
  const Keyed* best = &items[0];
  for (const Keyed& item : items.subspan(1, items.size() - 1)) {
    const bool better = kMost ? Less(arguments.work, best->key, item.key)
                              : Less(arguments.work, item.key, best->key);
    if (better) best = &item;
  }
  return best->value;
}

inline Value ItemsFilter(const Value& value, const Arguments& arguments) {
  if (value.is(Type::kDict)) return ItemsOf(arguments.work, *value.dict);
  if (!value.undefined()) {
    arguments.work->Fail("Can only get item pairs from a mapping, not %s", TypeName(value));
  }
  return Value(arguments.work->New<List>());
}
inline Value DictSortFilter(const Value& value, const Arguments& arguments) {
  Workspace* work = arguments.work;
  const Value by = arguments.Get(1, "by", Value(Type::kNone));
  const Value pairs = ItemsFilter(value, arguments);
  const Value path(int64_t{by.string() && by.view() == "value" ? 1 : 0});
  if (value.undefined()) FailUndefined(work, value);
  return Sorted(work, KeyedItems(pairs, arguments, arguments.Flag(0, "case_sensitive"), path),
                arguments.Flag(2, "reverse"));
}

// These filters take anything false for an empty list.
inline Span<const Value> ItemsOrNone(Workspace* work, const Value& value) {
  return Truth(value) ? Items(work, value) : Span<const Value>();
}

inline Value MapFilter(const Value& value, const Arguments& arguments) {
  Workspace* work = arguments.work;
  auto* list = work->New<List>();
  const Value* path = arguments.positional.empty() ? arguments.Find(0, "attribute") : nullptr;
  const Value filter = path == nullptr ? arguments.Need(0, "filter") : Value();
  if (path == nullptr && !filter.string())
    work->Fail("map needs a filter's name, not %s", TypeName(filter));
  const Value* otherwise = path == nullptr ? nullptr : arguments.Find(SIZE_MAX, "default");
  for (const Value& item : ItemsOrNone(work, value)) {
    if (!work->Step()) break;
    Value mapped = path != nullptr ? ItemAt(work, item, *path)
                                   : ApplyFilter(filter.view(), item, arguments.After(1));
    if (mapped.undefined() && otherwise != nullptr) mapped = *otherwise;
    list->Add(work, mapped);
  }
  return Value(list);
}

// select, reject, selectattr, rejectattr: the elements for which a test, or the truth, is kKeep.
template <bool kKeep, bool kAttribute>
Value SelectFilter(const Value& value, const Arguments& arguments) {
  Workspace* work = arguments.work;
  const size_t skip = kAttribute ? 1 : 0;
  const Value path = kAttribute ? arguments.Need(0, "attribute") : Value();
  const Value* test = arguments.Find(skip, "test");
  if (test != nullptr && !test->string())
    work->Fail("a test's name must be str, not %s", TypeName(*test));
  auto* list = work->New<List>();
  for (const Value& item : ItemsOrNone(work, value)) {
    if (!work->Step()) break;
    const Value asked = kAttribute ? ItemAt(work, item, path) : item;
    const bool holds =
        test == nullptr ? Truth(asked) : ApplyTest(test->view(), asked, arguments.After(skip + 1));
    if (holds == kKeep) list->Add(work, item);
  }
  return Value(list);
}

struct FilterEntry {
  std::string_view name;
  Value (*apply)(const Value& value, const Arguments& arguments);
};
constexpr FilterEntry kFilters[] = {
    {"tojson", ToJsonFilter},
    {"length", LengthFilter},
    {"count", LengthFilter},
    {"trim", TrimFilter},
    {"string", StringFilter},
    {"default", DefaultFilter},
    {"d", DefaultFilter},
    {"join", JoinFilter},
    {"items", ItemsFilter},
    {"upper", CaseFilter<Case::kUpper>},
    {"lower", CaseFilter<Case::kLower>},
    {"capitalize", CaseFilter<Case::kCapitalised>},
    {"title", CaseFilter<Case::kWords>},
    {"safe", SafeFilter},
    {"dictsort", DictSortFilter},
    {"list", ListFilter},
    {"replace", ReplaceFilter},
    {"indent", IndentFilter},
    {"map", MapFilter},
    {"select", SelectFilter<true, false>},
    {"reject", SelectFilter<false, false>},
    {"selectattr", SelectFilter<true, true>},
    {"rejectattr", SelectFilter<false, true>},
    {"first", FirstFilter},
    {"last", LastFilter},
    {"reverse", ReverseFilter},
    {"sort", SortFilter},
    {"unique", UniqueFilter},
    {"min", ExtremeFilter<false>},
    {"max", ExtremeFilter<true>},
    {"int", IntFilter},
    {"float", FloatFilter},
    {"abs", AbsFilter},
    {"from_json", FromJsonFilter},
};

// Fails when there is no such filter.
inline Value ApplyFilter(std::string_view name, const Value& value, const Arguments& arguments) {
  const Level level(arguments.work, arguments.work->limits().depth);
  if (!arguments.work->Step()) return Value();
  for (const FilterEntry& filter : kFilters) {
    if (filter.name == name) return filter.apply(value, arguments);
  }
  arguments.work->Fail("No filter named '%.*s', of %zu",
                       static_cast<int>(Utf8Prefix(name, 64).size()), name.data(),
                       sizeof(kFilters) / sizeof(kFilters[0]));
  return Value();
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_FILTERS_H_
