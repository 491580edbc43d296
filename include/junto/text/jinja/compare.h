// How values compare, and sorting by that.
#ifndef JUNTO_TEXT_JINJA_COMPARE_H_
#define JUNTO_TEXT_JINJA_COMPARE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "junto/text/jinja/print.h"
#include "junto/text/jinja/value.h"

namespace junto {
namespace jinja {

inline bool IsNumeric(const Value& value) {
  return value.is(Type::kBool) || value.is(Type::kInt) || value.is(Type::kNumber);
}
inline bool IsWhole(const Value& value) { return value.is(Type::kBool) || value.is(Type::kInt); }
inline int64_t ToInteger(const Value& value) {  // of what IsWhole
  return value.is(Type::kBool) ? int64_t{value.boolean} : value.integer;
}
inline double ToDouble(const Value& value) {  // of what IsNumeric
  return value.is(Type::kNumber) ? value.number->value : static_cast<double>(ToInteger(value));
}

bool Equal(Workspace* work, const Value& a, const Value& b);

inline bool EqualLists(Workspace* work, const List& a, const List& b) {
  if (a.size != b.size) return false;
  for (size_t i = 0; i < a.size; ++i) {
    if (!Equal(work, a.data[i], b.data[i])) return false;
  }
  return true;
}
inline bool EqualDicts(Workspace* work, const Dict& a, const Dict& b) {
  if (a.size != b.size) return false;
  for (const Dict::Entry& entry : a.entries()) {
    const Value* other = b.Find(work, entry.key);
    if (other == nullptr || !Equal(work, entry.value, *other)) return false;
  }
  return true;
}

inline bool Equal(Workspace* work, const Value& a, const Value& b) {
  const Level level(work, work->limits().depth);
  if (!work->Step()) return false;
  if (IsWhole(a) && IsWhole(b)) return ToInteger(a) == ToInteger(b);
  if (IsNumeric(a) && IsNumeric(b)) return ToDouble(a) == ToDouble(b);
  if (a.type != b.type) return false;
  switch (a.type) {
    case Type::kUndefined:
    case Type::kNone:
      return true;
    case Type::kString:
      return a.view().size() == b.view().size() && work->Scan(a.view().size()) &&
             a.view() == b.view();
    case Type::kList:
    case Type::kTuple:
      return EqualLists(work, *a.list, *b.list);
    case Type::kDict:
      return EqualDicts(work, *a.dict, *b.dict);
    case Type::kNamespace:
      return a.dict == b.dict;
    case Type::kRange:
      return a.range->count == b.range->count &&
             (a.range->count == 0 || a.range->first == b.range->first) &&
             (a.range->count < 2 || a.range->step == b.range->step);
    default:
      return false;
  }
}

// Fails as Python does where the two have no order.
inline bool Less(Workspace* work, const Value& a, const Value& b) {
  const Level level(work, work->limits().depth);
  if (!work->Step()) return false;
  if (IsWhole(a) && IsWhole(b)) return ToInteger(a) < ToInteger(b);
  if (IsNumeric(a) && IsNumeric(b)) return ToDouble(a) < ToDouble(b);
  if (a.string() && b.string()) {  // bytes of UTF-8 are ordered as code points are
    return work->Scan(std::min(a.view().size(), b.view().size())) && a.view() < b.view();
  }
  if (a.sequence() && a.type == b.type) {
    for (size_t i = 0; i < a.list->size && i < b.list->size; ++i) {
      if (!Equal(work, a.list->data[i], b.list->data[i])) {
        return Less(work, a.list->data[i], b.list->data[i]);
      }
    }
    return a.list->size < b.list->size;
  }
  if (a.undefined() || b.undefined()) {
    FailUndefined(work, a.undefined() ? a : b);
  } else {
    work->Fail("'<' not supported between instances of '%s' and '%s'", TypeName(a), TypeName(b));
  }
  return false;
}

// Whether `container` has `item`.
inline bool Contains(Workspace* work, const Value& container, const Value& item) {
  switch (container.type) {
    case Type::kString: {
      if (!item.string()) break;
      return FindText(work, container.view(), item.view(), 0) != std::string_view::npos;
    }
    case Type::kDict:
      return container.dict->Find(work, item) != nullptr;
    case Type::kUndefined:
      return false;
    case Type::kRange: {
      if (!IsWhole(item) || container.range->count == 0) return false;
      const Progression& range = *container.range;
      const int64_t last = range.first + static_cast<int64_t>(range.count - 1) * range.step;
      const int64_t x = ToInteger(item);
      return x >= std::min(range.first, last) && x <= std::max(range.first, last) &&
             (x - range.first) % range.step == 0;
    }
    case Type::kList:
    case Type::kTuple:
      for (const Value& each : container.list->items()) {
        if (Equal(work, each, item)) return true;
      }
      return false;
    default:
      work->Fail("argument of type '%s' is not iterable", TypeName(container));
      return false;
  }
  work->Fail("'in <string>' requires string as left operand, not %s", TypeName(item));
  return false;
}

// A value and what it is sorted by.
struct Keyed {
  Value key;
  Value value;
};

// Sorts by key, equal ones as they came; `room` is as long as `items`. The standard library's
// stable sort would take memory of its own.
inline void SortKeyed(Workspace* work, Span<Keyed> items, Span<Keyed> room, bool reverse) {
  const auto before = [&](const Keyed& a, const Keyed& b) {
    return reverse ? Less(work, b.key, a.key) : Less(work, a.key, b.key);
  };
  for (size_t width = 1; width < items.size() && !work->failed(); width *= 2) {
    for (size_t begin = 0; begin < items.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, items.size());
      const size_t end = std::min(begin + 2 * width, items.size());
      size_t left = begin;
      size_t right = middle;
      for (size_t i = begin; i < end; ++i) {
        const bool from_right =
            left == middle || (right < end && before(items[right], items[left]));
        room[i] = items[from_right ? right++ : left++];
      }
    }
    std::copy(room.begin(), room.end(), items.begin());
  }
}

// The values of `items` in order; fails where two have none.
inline Value Sorted(Workspace* work, Span<Keyed> items, bool reverse) {
  auto* room = work->Array<Keyed>(items.size());
  auto* list = work->New<List>();
  if (room == nullptr || !list->Reserve(work, items.size())) return Value(list);
  SortKeyed(work, items, {room, items.size()}, reverse);
  for (const Keyed& item : items) list->Add(work, item.value);
  return Value(list);
}

inline Value LowerKey(Workspace* work, const Value& key) {
  return key.string() ? MakeString(work, ToCase(work, *key.text, Case::kLower)) : key;
}

inline void Printer::JsonDict(const Dict& dict, const JsonStyle& style, uint32_t depth) {
  Span<const Value> keys = Items(work_, Value(const_cast<Dict*>(&dict)));
  if (style.sorts) {
    auto* keyed = work_->Array<Keyed>(keys.size());
    if (keyed == nullptr) return;
    for (size_t i = 0; i < keys.size(); ++i) keyed[i] = {keys[i], keys[i]};
    keys = Sorted(work_, {keyed, keys.size()}, false).list->items();
  }
  Add("{");
  for (size_t i = 0; i < keys.size() && !work_->failed(); ++i) {
    if (i != 0) JsonComma(style);
    JsonBreak(style, depth + 1);
    const bool string = keys[i].string();
    if (!string) Add("\"");
    Json(keys[i], style, depth + 1);
    if (!string) Add("\"");
    Add(style.colon);
    const Value* value = dict.Find(work_, keys[i]);
    if (value != nullptr) Json(*value, style, depth + 1);
  }
  if (keys.size() != 0) JsonBreak(style, depth);
  Add("}");
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_COMPARE_H_
