// Methods of strings, lists, dicts and loops.
#ifndef JUNTO_TEXT_JINJA_METHODS_H_
#define JUNTO_TEXT_JINJA_METHODS_H_

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/access.h"
#include "junto/text/jinja/arguments.h"

namespace junto {
namespace jinja {

// ---- strings

inline Value StripText(Workspace* work, const Text& text, const Value& characters, bool left,
                       bool right) {
  Range kept = {0, 0};
  if (characters.none()) {
    kept = Stripped(text.view, left, right, IsSpace);
  } else if (characters.string()) {
    const std::string_view set = characters.view();
    kept = Stripped(text.view, left, right, [work, set](uint32_t code) {
      char bytes[4];
      return work->Step(1 + set.size() / 32) &&
             set.find(std::string_view(bytes, EncodeUtf8(code, bytes))) != std::string_view::npos;
    });
  } else {
    work->Fail("strip arg must be None or str, not %s", TypeName(characters));
  }
  work->Scan(16 * (text.view.size() - (kept.end - kept.begin)));
  return MakeString(work, Slice(work, text, kept.begin, kept.end));
}
template <bool kLeft, bool kRight>
Value StripMethod(const Value& self, const Arguments& arguments) {
  return StripText(arguments.work, *self.text, arguments.Get(0, "chars", Value(Type::kNone)), kLeft,
                   kRight);
}

// Where the next stretch of white space lies at or behind `at`.
inline Range NextSpace(std::string_view text, size_t at) {
  while (at < text.size() && !IsSpace(CharacterAt(text, at).code)) at = CharacterAt(text, at).end;
  size_t end = at;
  while (end < text.size() && IsSpace(CharacterAt(text, end).code))
    end = CharacterAt(text, end).end;
  return {at, end};
}

inline Value SplitAtSpace(Workspace* work, const Text& text, int64_t most) {
  auto* parts = work->New<List>();
  work->Scan(4 * text.view.size());
  size_t at = Stripped(text.view, true, false, IsSpace).begin;
  while (at < text.view.size() && work->Step()) {
    Range gap = NextSpace(text.view, at);
    if (most-- == 0) gap.begin = Stripped(text.view, false, true, IsSpace).end;
    if (most == -1) gap.end = text.view.size();
    parts->Add(work, MakeString(work, Slice(work, text, at, gap.begin)));
    at = gap.end;
  }
  return Value(parts);
}

inline Value SplitMethod(const Value& self, const Arguments& arguments) {
  Workspace* work = arguments.work;
  const Text& text = *self.text;
  int64_t most = arguments.Integer(1, "maxsplit", -1);
  if (arguments.Get(0, "sep", Value(Type::kNone)).none()) return SplitAtSpace(work, text, most);
  const std::string_view separator = arguments.NeedText(0, "sep").view;
  auto* parts = work->New<List>();
  if (separator.empty()) work->Fail("empty separator of %zu bytes", text.view.size());
  for (size_t at = 0; !work->failed() && work->Step();) {
    const size_t found =
        most-- == 0 ? std::string_view::npos : FindText(work, text.view, separator, at);
    const size_t end = std::min(found, text.view.size());
    parts->Add(work, MakeString(work, Slice(work, text, at, end)));
    if (found == std::string_view::npos) break;
    at = end + separator.size();
  }
  return Value(parts);
}

inline Value RightSplitMethod(const Value& self, const Arguments& arguments) {
  Workspace* work = arguments.work;
  const Text& text = *self.text;
  int64_t most = arguments.Integer(1, "maxsplit", -1);
  if (most < 0) return SplitMethod(self, arguments);
  const std::string_view separator = arguments.NeedText(0, "sep").view;
  work->Step(text.view.size() / 32 * (separator.size() / 32 + 1));
  auto* parts = work->New<List>();
  if (separator.empty()) work->Fail("empty separator of %zu bytes", text.view.size());
  size_t end = text.view.size();
  while (!work->failed() && work->Step()) {
    const bool fits = most-- > 0 && end >= separator.size();
    const size_t found =
        fits ? text.view.rfind(separator, end - separator.size()) : std::string_view::npos;
    const size_t begin = found == std::string_view::npos ? 0 : found + separator.size();
    parts->Add(work, MakeString(work, Slice(work, text, begin, end)));
    if (found == std::string_view::npos) break;
    end = found;
  }
  std::reverse(parts->data, parts->data + parts->size);
  return Value(parts);
}

inline Value SplitLinesMethod(const Value& self, const Arguments& arguments) {
  Workspace* work = arguments.work;
  const Text& text = *self.text;
  const bool keep = arguments.Flag(0, "keepends");
  auto* lines = work->New<List>();
  const auto breaks = [](uint32_t c) {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
  };
  size_t begin = 0;
  work->Scan(4 * text.view.size());
  for (size_t at = 0; at < text.view.size() && !work->failed();) {
    const Character character = CharacterAt(text.view, at);
    size_t end = character.end;
    if (breaks(character.code)) {
      if (text.view.substr(at, 2) == "\r\n") ++end;
      lines->Add(work, MakeString(work, Slice(work, text, begin, keep ? end : at)));
      begin = end;
    }
    at = end;
  }
  if (begin < text.view.size()) {
    lines->Add(work, MakeString(work, Slice(work, text, begin, text.view.size())));
  }
  return Value(lines);
}

// Whether the text begins, or ends, with a string or one of a tuple of them.
template <bool kEnd>
Value AffixMethod(const Value& self, const Arguments& arguments) {
  const auto has = [&](const Value& affix) {
    if (!affix.string()) {
      arguments.work->Fail("an affix must be str, not %s", TypeName(affix));
      return false;
    }
    const std::string_view text = self.view();
    const size_t size = affix.view().size();
    arguments.work->Scan(size);
    return size <= text.size() && text.substr(kEnd ? text.size() - size : 0, size) == affix.view();
  };
  const Value affixes = arguments.Need(0, "prefix");
  if (!affixes.is(Type::kTuple)) return Value(has(affixes));
  bool any = false;
  for (const Value& affix : affixes.list->items()) any = any || has(affix);
  return Value(any);
}

inline Text Replace(Workspace* work, const Text& text, const Text& old, const Text& fresh,
                    int64_t most) {
  TextBuilder out(work);
  size_t begin = 0;
  for (size_t at = 0; most != 0 && work->Step(); --most) {
    const size_t found = FindText(work, text.view, old.view, at);
    if (found == std::string_view::npos) break;
    out.Add(text, begin, found);
    out.Add(fresh);
    begin = found + old.view.size();
    at = begin;
    if (!old.view.empty()) continue;  // an empty text is found between all characters
    if (found == text.view.size()) break;
    at = CharacterAt(text.view, found).end;
  }
  if (begin < text.view.size()) out.Add(text, begin, text.view.size());
  return out.Finish();
}
inline Value ReplaceMethod(const Value& self, const Arguments& arguments) {
  return MakeString(arguments.work,
                    Replace(arguments.work, *self.text, arguments.NeedText(0, "old"),
                            arguments.NeedText(1, "new"), arguments.Integer(2, "count", -1)));
}

template <Case kCase>
Value CaseMethod(const Value& self, const Arguments& arguments) {
  return MakeString(arguments.work, ToCase(arguments.work, *self.text, kCase));
}

inline Value FindTextMethod(const Value& self, const Arguments& arguments) {
  const std::string_view part = arguments.NeedText(0, "sub").view;
  const size_t found = FindText(arguments.work, self.view(), part, 0);
  if (found == std::string_view::npos) return Value(int64_t{-1});
  return Value(static_cast<int64_t>(CountCharacters(self.view().substr(0, found))));
}

inline Value CountTextMethod(const Value& self, const Arguments& arguments) {
  const std::string_view part = arguments.NeedText(0, "sub").view;
  if (part.empty()) {
    if (!arguments.work->Scan(4 * self.view().size())) return Value();
    return Value(static_cast<int64_t>(CountCharacters(self.view())) + 1);
  }
  int64_t count = 0;
  for (size_t at = 0; arguments.work->Step(); ++count) {
    at = FindText(arguments.work, self.view(), part, at);
    if (at == std::string_view::npos) break;
    at += part.size();
  }
  return Value(count);
}

// Strings in a row with `between` between them; of other things their text where `any`.
inline Value Join(Workspace* work, Span<const Value> items, const Text& between, bool any) {
  TextBuilder out(work);
  for (size_t i = 0; i < items.size() && work->Step(); ++i) {
    if (!any && !items[i].string()) {
      work->Fail("sequence item %zu: expected str, %s found", i, TypeName(items[i]));
      break;
    }
    if (i != 0) out.Add(between);
    out.Add(ToText(work, items[i]));
  }
  return MakeString(work, out.Finish());
}
inline Value JoinMethod(const Value& self, const Arguments& arguments) {
  const Value items = arguments.Need(0, "iterable");
  return Join(arguments.work, Items(arguments.work, items), *self.text, false);
}

// Fields {}, {0} and {name}, without a format of their own.
inline Value FormatMethod(const Value& self, const Arguments& arguments) {
  Workspace* work = arguments.work;
  const Text& text = *self.text;
  const std::string_view view = text.view;
  TextBuilder out(work);
  int64_t next = 0;
  for (size_t at = 0; at < view.size() && work->Step();) {
    const size_t brace = std::min(view.find_first_of("{}", at), view.size());
    out.Add(text, at, brace);
    if (brace == view.size()) break;
    if (view.substr(brace, 2) == "{{" || view.substr(brace, 2) == "}}") {
      out.Add(text, brace, brace + 1);
      at = brace + 2;
      continue;
    }
    const size_t end = view.find('}', brace);
    const std::string_view field =
        end == std::string_view::npos ? "!" : view.substr(brace + 1, end - brace - 1);
    if (view[brace] == '}' || field.find_first_of("{:!.[") != std::string_view::npos) {
      work->Fail("format: byte %zu: {}, {0} or {name} expected", brace);
      break;
    }
    int64_t index = -1;
    if (field.empty()) index = next++;
    if (!field.empty() && field[0] >= '0' && field[0] <= '9') {
      std::from_chars(field.data(), field.data() + field.size(), index);
    }
    const Value value = arguments.Need(static_cast<size_t>(index), field);
    if (!work->failed()) out.Add(ToText(work, value));
    at = end + 1;
  }
  return MakeString(work, out.Finish());
}

// ---- lists

inline Value AppendMethod(const Value& self, const Arguments& arguments) {
  self.list->Add(arguments.work, arguments.Need(0, "object"));
  return Value(Type::kNone);
}
inline Value ExtendMethod(const Value& self, const Arguments& arguments) {
  for (const Value& item : Items(arguments.work, arguments.Need(0, "iterable"))) {
    if (arguments.work->Step()) self.list->Add(arguments.work, item);
  }
  return Value(Type::kNone);
}
inline Value PopMethod(const Value& self, const Arguments& arguments) {
  List* list = self.list;
  const auto size = static_cast<int64_t>(list->size);
  int64_t index = arguments.Integer(0, "index", -1);
  if (index < 0) index += size;
  if (index < 0 || index >= size) {
    arguments.work->Fail("pop index out of range of %zu", list->size);
    return Value();
  }
  const Value popped = list->data[index];
  if (!arguments.work->Step(list->size - static_cast<size_t>(index))) return popped;
  if (index + 1 != size && !list->Reserve(arguments.work, list->size)) return popped;
  std::copy(list->data + index + 1, list->data + size, list->data + index);
  --list->size;
  list->capacity = list->size;  // slices may still see what lies behind
  return popped;
}
inline Value InsertMethod(const Value& self, const Arguments& arguments) {
  List* list = self.list;
  const auto size = static_cast<int64_t>(list->size);
  int64_t index = arguments.Integer(0, "index", 0);
  if (index < 0) index = std::max<int64_t>(0, index < -size ? 0 : index + size);
  index = std::min(index, size);
  if (!arguments.work->Step(list->size)) return Value();
  if (!list->Reserve(arguments.work, list->size + 1)) return Value();
  std::copy_backward(list->data + index, list->data + size, list->data + size + 1);
  list->data[index] = arguments.Need(1, "object");
  ++list->size;
  return Value(Type::kNone);
}
inline Value IndexMethod(const Value& self, const Arguments& arguments) {
  const Value wanted = arguments.Need(0, "value");
  for (size_t i = 0; i < self.list->size; ++i) {
    if (Equal(arguments.work, self.list->data[i], wanted)) return Value(static_cast<int64_t>(i));
  }
  arguments.work->Fail("the value is not among %zu of the list", self.list->size);
  return Value();
}
inline Value CountMethod(const Value& self, const Arguments& arguments) {
  const Value wanted = arguments.Need(0, "value");
  int64_t count = 0;
  for (const Value& item : self.list->items()) count += Equal(arguments.work, item, wanted);
  return Value(count);
}

// ---- dicts

inline Value ItemsOf(Workspace* work, const Dict& dict) {
  auto* list = work->New<List>();
  for (const Dict::Entry& entry : dict.entries()) {
    if (!work->Step()) break;
    const Value pair[] = {entry.key, entry.value};
    list->Add(work, MakeList(work, {pair, 2}, Type::kTuple));
  }
  return Value(list);
}
inline Value ItemsMethod(const Value& self, const Arguments& arguments) {
  return ItemsOf(arguments.work, *self.dict);
}
inline Value KeysMethod(const Value& self, const Arguments& arguments) {
  return MakeList(arguments.work, Items(arguments.work, self));
}
inline Value ValuesMethod(const Value& self, const Arguments& arguments) {
  auto* list = arguments.work->New<List>();
  for (const Dict::Entry& entry : self.dict->entries()) list->Add(arguments.work, entry.value);
  return Value(list);
}
inline Value GetMethod(const Value& self, const Arguments& arguments) {
  const Value key = arguments.Need(0, "key");
  if (key.is(Type::kList) || key.is(Type::kDict)) CheckKey(arguments.work, key);
  const Value* value = self.dict->Find(arguments.work, key);
  return value != nullptr ? *value : arguments.Get(1, "default", Value(Type::kNone));
}
inline Value UpdateMethod(const Value& self, const Arguments& arguments) {
  const Value other = arguments.Get(0, "other", Value());
  if (other.is(Type::kDict) && other.dict != self.dict) {
    for (const Dict::Entry& entry : other.dict->entries()) {
      if (arguments.work->Step()) self.dict->Set(arguments.work, entry.key, entry.value);
    }
  }
  for (const Keyword& keyword : arguments.keywords) {
    self.dict->Set(arguments.work, keyword.name, keyword.value);
  }
  return Value(Type::kNone);
}

// ---- loops

inline Value CycleMethod(const Value& self, const Arguments& arguments) {
  if (!arguments.positional.empty()) {
    return arguments.positional[self.loop->index % arguments.positional.size()];
  }
  arguments.work->Fail("no items for cycling given at item %zu", self.loop->index);
  return Value();
}
inline Value ChangedMethod(const Value& self, const Arguments& arguments) {
  const Value now = MakeList(arguments.work, arguments.positional, Type::kTuple);
  const bool changed =
      self.loop->changed.undefined() || !Equal(arguments.work, self.loop->changed, now);
  self.loop->changed = now;
  return Value(changed);
}

struct MethodEntry {
  Type type;
  std::string_view name;
  Value (*apply)(const Value& self, const Arguments& arguments);
};
constexpr MethodEntry kMethods[] = {
    {Type::kString, "strip", StripMethod<true, true>},
    {Type::kString, "lstrip", StripMethod<true, false>},
    {Type::kString, "rstrip", StripMethod<false, true>},
    {Type::kString, "split", SplitMethod},
    {Type::kString, "rsplit", RightSplitMethod},
    {Type::kString, "splitlines", SplitLinesMethod},
    {Type::kString, "startswith", AffixMethod<false>},
    {Type::kString, "endswith", AffixMethod<true>},
    {Type::kString, "replace", ReplaceMethod},
    {Type::kString, "upper", CaseMethod<Case::kUpper>},
    {Type::kString, "lower", CaseMethod<Case::kLower>},
    {Type::kString, "title", CaseMethod<Case::kTitle>},
    {Type::kString, "capitalize", CaseMethod<Case::kCapitalised>},
    {Type::kString, "find", FindTextMethod},
    {Type::kString, "count", CountTextMethod},
    {Type::kString, "join", JoinMethod},
    {Type::kString, "format", FormatMethod},
    {Type::kList, "append", AppendMethod},
    {Type::kList, "extend", ExtendMethod},
    {Type::kList, "pop", PopMethod},
    {Type::kList, "insert", InsertMethod},
    {Type::kList, "index", IndexMethod},
    {Type::kList, "count", CountMethod},
    {Type::kTuple, "index", IndexMethod},
    {Type::kTuple, "count", CountMethod},
    {Type::kDict, "items", ItemsMethod},
    {Type::kDict, "keys", KeysMethod},
    {Type::kDict, "values", ValuesMethod},
    {Type::kDict, "get", GetMethod},
    {Type::kDict, "update", UpdateMethod},
    {Type::kLoop, "cycle", CycleMethod},
    {Type::kLoop, "changed", ChangedMethod},
};

inline Value CallMethod(const Method& method, const Arguments& arguments) {
  for (const MethodEntry& entry : kMethods) {
    if (entry.type == method.object.type && entry.name == method.name) {
      return entry.apply(method.object, arguments);
    }
  }
  arguments.work->Fail("'%.*s' of a %s is not supported", static_cast<int>(method.name.size()),
                       method.name.data(), TypeName(method.object));
  return Value();
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_METHODS_H_
