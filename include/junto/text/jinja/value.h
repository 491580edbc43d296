// Value: what expressions of a template are about.
#ifndef JUNTO_TEXT_JINJA_VALUE_H_
#define JUNTO_TEXT_JINJA_VALUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "junto/base/hash.h"
#include "junto/text/jinja/text.h"
#include "junto/text/jinja/workspace.h"

namespace junto {
namespace jinja {

enum class Type : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kNumber,  // a float, or an integer beyond 64 bits
  kString,
  kList,
  kTuple,
  kDict,
  kNamespace,
  kRange,
  kLoop,
  kMacro,
  kMethod,
  kFunction,
};

struct List;
struct Dict;
struct Loop;
struct Macro;
struct Method;

struct Number {
  double value;
  std::string_view spelling;  // in the JSON it came from; empty when computed
  bool integer;
};
// Python's range: never as long as it looks.
struct Progression {
  int64_t first;
  int64_t step;
  uint64_t count;
  int64_t stop;  // as it was given: only printing shows it
};
enum class Function : uint8_t { kNamespace, kRange, kRaise, kStrftimeNow, kDict };

// Small and copied freely; what it points to lives in the workspace.
struct Value {
  Type type = Type::kUndefined;
  union {
    const Text* name;  // kUndefined: what was asked for; nullptr where that is not known
    bool boolean;
    int64_t integer;
    const Number* number;
    const Text* text;
    List* list;  // kTuple, too
    Dict* dict;  // kNamespace, too
    const Progression* range;
    Loop* loop;
    const Macro* macro;
    const Method* method;
    Function function;
  };

  Value() : name(nullptr) {}
  explicit Value(Type t) : type(t), name(nullptr) {}
  explicit Value(bool b) : type(Type::kBool), boolean(b) {}
  explicit Value(int64_t i) : type(Type::kInt), integer(i) {}
  explicit Value(const Number* n) : type(Type::kNumber), number(n) {}
  explicit Value(const Text* t) : type(Type::kString), text(t) {}
  explicit Value(List* l, Type t = Type::kList) : type(t), list(l) {}
  explicit Value(Dict* d, Type t = Type::kDict) : type(t), dict(d) {}
  explicit Value(const Progression* r) : type(Type::kRange), range(r) {}
  explicit Value(Loop* l) : type(Type::kLoop), loop(l) {}
  explicit Value(const Macro* m) : type(Type::kMacro), macro(m) {}
  explicit Value(const Method* m) : type(Type::kMethod), method(m) {}
  explicit Value(Function f) : type(Type::kFunction), function(f) {}

  bool is(Type t) const { return type == t; }
  bool undefined() const { return type == Type::kUndefined; }
  bool none() const { return type == Type::kNone; }
  bool string() const { return type == Type::kString; }
  bool sequence() const { return type == Type::kList || type == Type::kTuple; }
  std::string_view view() const { return text->view; }  // of a string
};

// A function of a value: {{ text.split(',') }}.
struct Method {
  Value object;
  std::string_view name;
};

inline Value MakeString(Workspace* work, const Text& text) { return Value(work->New<Text>(text)); }
// Of bytes that outlive the workspace, or live in it.
inline Value MakeString(Workspace* work, std::string_view text, bool trusted) {
  return Value(work->New<Text>(Text{text, trusted, {}}));
}
inline Value MakeFloat(Workspace* work, double value) {
  return Value(work->New<Number>(Number{value, {}, false}));
}
inline Value Undefined(Workspace* work, std::string_view name) {
  Value value;
  value.name = work->New<Text>(Text{name, true, {}});
  return value;
}

// Grows at its end. Slices share the elements of what they were cut from, so nothing overwrites an
// element: what is shortened forgets its spare room.
struct List {
  Value* data = nullptr;
  size_t size = 0;
  size_t capacity = 0;

  Span<const Value> items() const { return {data, size}; }
  void Add(Workspace* work, const Value& value) {
    if (size == capacity && !Reserve(work, std::max<size_t>(4, size * 2))) return;
    data[size++] = value;
  }
  bool Reserve(Workspace* work, size_t n) {
    auto* grown = work->Array<Value>(n);
    if (grown == nullptr) return false;
    std::copy(data, data + size, grown);
    data = grown;
    capacity = n;
    return true;
  }
};

inline Value MakeList(Workspace* work, Span<const Value> items, Type type = Type::kList) {
  auto* list = work->New<List>();
  if (!items.empty() && list->Reserve(work, items.size())) {
    std::copy(items.begin(), items.end(), list->data);
    list->size = items.size();
  }
  return Value(list, type);
}

// Keys that hash alike are compared by this; True is 1, as in Python.
inline bool SameKey(const Value& a, const Value& b) {
  const auto integer = [](const Value& v) {
    return v.is(Type::kBool) ? int64_t{v.boolean} : v.integer;
  };
  const auto whole = [](const Value& v) { return v.is(Type::kBool) || v.is(Type::kInt); };
  if (whole(a) && whole(b)) return integer(a) == integer(b);
  if (a.type != b.type) return false;
  if (a.string()) return a.view() == b.view();
  if (a.is(Type::kNumber)) return a.number->value == b.number->value;
  return a.none() || a.undefined();
}
inline uint64_t HashKey(const Value& key) {
  Hash hash;
  if (key.string()) hash.Add(key.view().data(), key.view().size());
  if (key.is(Type::kInt)) hash.Add(static_cast<uint64_t>(key.integer));
  if (key.is(Type::kBool)) hash.Add(uint64_t{key.boolean});
  return hash.value();
}

// Keeps the order in which keys came. Small ones are searched, others hashed.
struct Dict {
  struct Entry {
    Value key;
    Value value;
  };
  static constexpr size_t kSearched = 8;

  Entry* data = nullptr;
  size_t size = 0;
  size_t capacity = 0;
  uint32_t* slots = nullptr;  // entry + 1, or 0; 2 * capacity of them, a power of two

  Span<const Entry> entries() const { return {data, size}; }

  Value* Find(Workspace* work, const Value& key) const {
    if (key.string() && !work->Scan(4 * key.view().size())) return nullptr;
    if (slots == nullptr) {
      for (size_t i = 0; i < size; ++i) {
        if (SameKey(data[i].key, key)) return &data[i].value;
      }
      return nullptr;
    }
    const size_t mask = 2 * capacity - 1;
    for (size_t at = HashKey(key) & mask; slots[at] != 0 && work->Step(); at = (at + 1) & mask) {
      Entry* entry = &data[slots[at] - 1];
      if (SameKey(entry->key, key)) return &entry->value;
    }
    return nullptr;
  }
  Value* Find(Workspace* work, std::string_view key) const {
    const Text text{key, true, {}};
    return Find(work, Value(&text));
  }
  void Set(Workspace* work, const Value& key, const Value& value) {
    if (Value* known = Find(work, key)) {
      *known = value;
      return;
    }
    if (work->failed()) return;
    if (size == capacity && !Grow(work)) return;
    data[size++] = {key, value};
    if (slots != nullptr) Index(work, size - 1);
  }
  void Set(Workspace* work, std::string_view key, const Value& value) {
    Set(work, MakeString(work, key, true), value);
  }

 private:
  bool Grow(Workspace* work) {
    const size_t n = capacity == 0 ? kSearched : capacity * 2;
    auto* grown = work->Array<Entry>(n);
    auto* table = n > kSearched ? work->Array<uint32_t>(2 * n) : nullptr;
    if (grown == nullptr || (n > kSearched && table == nullptr)) return false;
    std::copy(data, data + size, grown);
    data = grown;
    capacity = n;
    slots = table;
    if (slots == nullptr) return true;
    std::fill(slots, slots + 2 * n, 0u);
    for (size_t i = 0; i < size; ++i) Index(work, i);
    return true;
  }
  void Index(Workspace* work, size_t entry) {
    const size_t mask = 2 * capacity - 1;
    if (data[entry].key.string()) work->Scan(4 * data[entry].key.view().size());
    size_t at = HashKey(data[entry].key) & mask;
    while (slots[at] != 0 && work->Step()) at = (at + 1) & mask;
    if (slots[at] == 0) slots[at] = static_cast<uint32_t>(entry + 1);
  }
};

// Where a `for` stands.
struct Loop {
  Span<const Value> items;
  size_t index = 0;
  Value changed;  // what loop.changed() was asked last
};

inline const char* TypeName(const Value& value) {
  switch (value.type) {
    case Type::kUndefined:
      return "Undefined";
    case Type::kNone:
      return "NoneType";
    case Type::kBool:
      return "bool";
    case Type::kInt:
      return "int";
    case Type::kNumber:
      return value.number->integer ? "int" : "float";
    case Type::kString:
      return "str";
    case Type::kList:
      return "list";
    case Type::kTuple:
      return "tuple";
    case Type::kDict:
      return "dict";
    case Type::kNamespace:
      return "Namespace";
    case Type::kRange:
      return "range";
    case Type::kLoop:
      return "LoopContext";
    case Type::kMacro:
      return "Macro";
    case Type::kMethod:
    case Type::kFunction:
      return "function";
  }
  return "";
}

// Fails as Python does when something undefined is used.
inline void FailUndefined(Workspace* work, const Value& value) {
  const std::string_view name = value.name == nullptr ? "a value" : value.name->view;
  work->Fail("'%.*s' is undefined", static_cast<int>(Utf8Prefix(name, 64).size()), name.data());
}

// Fails where a value cannot be a key.
inline bool CheckKey(Workspace* work, const Value& key) {
  const bool fits = key.string() || key.none() || key.is(Type::kBool) || key.is(Type::kInt) ||
                    key.is(Type::kNumber);
  if (!fits) work->Fail("unhashable type: '%s'", TypeName(key));
  return work->Step();
}

inline bool Truth(const Value& value) {
  switch (value.type) {
    case Type::kUndefined:
    case Type::kNone:
      return false;
    case Type::kBool:
      return value.boolean;
    case Type::kInt:
      return value.integer != 0;
    case Type::kNumber:
      return value.number->value != 0;
    case Type::kString:
      return !value.view().empty();
    case Type::kList:
    case Type::kTuple:
      return value.list->size != 0;
    case Type::kDict:
      return value.dict->size != 0;
    case Type::kRange:
      return value.range->count != 0;
    default:
      return true;
  }
}

// The elements of what can be iterated: characters of a string, keys of a dict. Fails otherwise.
inline Span<const Value> Items(Workspace* work, const Value& value) {
  List list;
  switch (value.type) {
    case Type::kUndefined:
      break;
    case Type::kList:
    case Type::kTuple:
      return value.list->items();
    case Type::kString: {
      const std::string_view text = value.view();
      if (!list.Reserve(work, CountCharacters(text))) break;
      for (size_t at = 0; at < text.size() && work->Step();) {
        const size_t end = CharacterAt(text, at).end;
        list.Add(work, MakeString(work, Slice(work, *value.text, at, end)));
        at = end;
      }
      break;
    }
    case Type::kDict:
      if (!list.Reserve(work, value.dict->size)) break;
      for (const Dict::Entry& entry : value.dict->entries()) list.Add(work, entry.key);
      break;
    case Type::kRange:
      if (!list.Reserve(work, value.range->count)) break;
      for (uint64_t i = 0; i < value.range->count; ++i) {
        list.Add(work, Value(value.range->first + static_cast<int64_t>(i) * value.range->step));
      }
      break;
    default:
      work->Fail("'%s' object is not iterable", TypeName(value));
  }
  return list.items();
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_VALUE_H_
