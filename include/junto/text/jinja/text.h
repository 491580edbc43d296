// Text: a string that remembers which of its bytes the template wrote and which came from outside.
#ifndef JUNTO_TEXT_JINJA_TEXT_H_
#define JUNTO_TEXT_JINJA_TEXT_H_

#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/workspace.h"
#include "junto/text/segments.h"
#include "junto/text/utf8.h"

namespace junto {
namespace jinja {

// Immutable UTF-8 in a Workspace or somewhere that outlives it. Where all bytes are alike there are
// no segments.
struct Text {
  std::string_view view;
  bool trusted = false;
  Span<const Segment> segments;  // ends from the beginning of `view`
  bool safe = false;             // the filter of that name made it; only `+` looks

  // Calls f(std::string_view, bool trusted) for the stretches of bytes [begin, end).
  template <class F>
  void ForEach(size_t begin, size_t end, const F& f) const {
    if (segments.empty()) {
      if (begin != end) f(view.substr(begin, end - begin), trusted);
      return;
    }
    size_t i = FirstAt(begin);
    while (begin < end) {
      const size_t stop = std::min(segments[i].end, end);
      f(view.substr(begin, stop - begin), segments[i].trusted);
      begin = stop;
      ++i;
    }
  }
  // The segment that holds byte `at`.
  size_t FirstAt(size_t at) const {
    const auto* first =
        std::upper_bound(segments.begin(), segments.end(), at,
                         [](size_t byte, const Segment& segment) { return byte < segment.end; });
    return static_cast<size_t>(first - segments.begin());
  }
};

// Collects a text. What is added counts against the workspace's bytes.
class TextBuilder {
 public:
  explicit TextBuilder(Workspace* work) : work_(work), list_(work->memory()) {}

  void Add(std::string_view text, bool trusted) {
    if (work_->Charge(text.size())) list_.Add(text, trusted);
  }
  void Add(const Text& text) { Add(text, 0, text.view.size()); }
  void Add(const Text& text, size_t begin, size_t end) {
    text.ForEach(begin, end, [this](std::string_view run, bool trusted) { Add(run, trusted); });
  }
  // A code point.
  void Add(uint32_t code_point, bool trusted) {
    char bytes[4];
    Add({bytes, EncodeUtf8(code_point, bytes)}, trusted);
  }

  const SegmentList& list() const { return list_; }
  // What was collected, in the workspace.
  Text Finish() const {
    Text text;
    work_->Step(4);  // what collecting takes besides
    const std::string_view all = list_.text();
    char* bytes = work_->Array<char>(all.size());
    if (bytes == nullptr) return text;
    all.copy(bytes, all.size());
    text.view = {bytes, all.size()};
    const Span<const Segment> segments = list_.segments();
    text.trusted = segments.size() == 1 && segments[0].trusted;
    if (segments.size() < 2) return text;
    auto* copy = work_->Array<Segment>(segments.size());
    if (copy == nullptr) return Text();
    std::copy(segments.begin(), segments.end(), copy);
    text.segments = {copy, segments.size()};
    return text;
  }

 private:
  Workspace* work_;
  SegmentList list_;
};

// Bytes [begin, end) of a text, which must lie on code points.
inline Text Slice(Workspace* work, const Text& text, size_t begin, size_t end) {
  Text slice;
  slice.view = text.view.substr(begin, end - begin);
  slice.trusted = text.trusted;
  if (text.segments.empty() || begin == end) return slice;
  const size_t first = text.FirstAt(begin);
  const size_t last = text.FirstAt(end - 1);
  slice.trusted = text.segments[first].trusted;
  if (first == last) return slice;
  auto* segments = work->Array<Segment>(last - first + 1);
  if (segments == nullptr) return Text();
  for (size_t i = first; i <= last; ++i) {
    segments[i - first] = {std::min(text.segments[i].end, end) - begin, text.segments[i].trusted};
  }
  slice.segments = {segments, last - first + 1};
  return slice;
}

// Where `part` lies in `text` at or behind `at`; npos where it does not. In time that is linear in
// both, whatever they are.
inline size_t FindText(Workspace* work, std::string_view text, std::string_view part, size_t at) {
  static constexpr size_t kShort = 32;
  if (part.size() > text.size() || !work->Step()) return text.npos;
  if (part.size() <= kShort) {
    const size_t found = text.find(part, at);
    work->Scan(4 * (std::min(found, text.size()) - at));
    return found;
  }
  if (!work->Scan(4 * (text.size() - at + part.size()))) return text.npos;
  // How much of the part's beginning ends at each of its bytes (Knuth, Morris and Pratt).
  auto* border = work->Array<uint32_t>(part.size());
  if (border == nullptr) return text.npos;
  border[0] = 0;
  const auto extend = [&](size_t matched, char c) {
    while (matched > 0 && part[matched] != c) matched = border[matched - 1];
    return matched + (part[matched] == c ? 1 : 0);
  };
  for (size_t i = 1, matched = 0; i < part.size(); ++i) {
    matched = extend(matched, part[i]);
    border[i] = static_cast<uint32_t>(matched);
  }
  for (size_t matched = 0; at < text.size(); ++at) {
    matched = extend(matched, text[at]);
    if (matched == part.size()) return at + 1 - part.size();
  }
  return text.npos;
}

// A code point of a text and where it ends.
struct Character {
  uint32_t code;
  size_t end;
};
inline Character CharacterAt(std::string_view text, size_t at) {
  const size_t size = CodePointLength(text.substr(at, 4));
  if (size == 0) return {0xFFFD, at + 1};  // texts are UTF-8; this only keeps the bounds
  return {DecodeUtf8(text.data() + at, size), at + size};
}
inline size_t CharacterBefore(std::string_view text, size_t end) {
  do {
    --end;
  } while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80);
  return end;
}
inline size_t CountCharacters(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}
// The byte where character `index` begins, or the end of the text.
inline size_t ByteOfCharacter(std::string_view text, size_t index) {
  size_t at = 0;
  while (index > 0 && at < text.size()) {
    at = CharacterAt(text, at).end;
    --index;
  }
  return at;
}

// White space as Python has it, which takes the separators of ASCII in.
inline bool IsSpace(uint32_t code) {
  if (code < 0x80) return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20);
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

// What is left of [0, size) when characters for which `strips` holds are taken from its ends.
struct Range {
  size_t begin;
  size_t end;
};
template <class F>
Range Stripped(std::string_view text, bool left, bool right, const F& strips) {
  Range range = {0, text.size()};
  while (left && range.begin < range.end) {
    const Character character = CharacterAt(text, range.begin);
    if (!strips(character.code)) break;
    range.begin = character.end;
  }
  while (right && range.begin < range.end) {
    const size_t before = CharacterBefore(text, range.end);
    if (!strips(CharacterAt(text, before).code)) break;
    range.end = before;
  }
  return range;
}

// Calls f(code point) for the upper case of one, which may be several: there, and only there, full
// case folding gives several as well.
template <class F>
void ForEachUpper(uint32_t code, const F& f) {
  const auto point = static_cast<utf8proc_int32_t>(code);
  if (code < 0x80 || utf8proc_category(point) == UTF8PROC_CATEGORY_LU) {
    return f(static_cast<uint32_t>(utf8proc_toupper(point)));
  }
  utf8proc_int32_t folded[8];
  int last = 0;
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(point, folded, 8, UTF8PROC_CASEFOLD, &last);
  if (count < 2 || count > 8) return f(static_cast<uint32_t>(utf8proc_toupper(point)));
  for (int i = 0; i < count; ++i) f(static_cast<uint32_t>(utf8proc_toupper(folded[i])));
}
inline uint32_t ToLower(uint32_t code) {
  return static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

// kTitle is Python's title(), in which anything but a letter ends a word; kWords is Jinja's.
enum class Case { kUpper, kLower, kCapitalised, kTitle, kWords };

inline bool EndsWord(uint32_t code) {
  return IsSpace(code) || code == '-' || code == '(' || code == '{' || code == '[' || code == '<';
}

inline Text ToCase(Workspace* work, const Text& text, Case wanted) {
  TextBuilder out(work);
  bool starts = true;  // a word, or the text
  text.ForEach(0, text.view.size(), [&](std::string_view run, bool trusted) {
    for (size_t at = 0; at < run.size() && work->Step();) {
      const Character character = CharacterAt(run, at);
      const auto point = static_cast<utf8proc_int32_t>(character.code);
      if (wanted == Case::kUpper) {
        ForEachUpper(character.code, [&](uint32_t code) { out.Add(code, trusted); });
      } else if (wanted != Case::kLower && starts) {
        bool first = true;  // of several only it is large, but for Jinja
        ForEachUpper(character.code, [&](uint32_t code) {
          out.Add(first || wanted == Case::kWords ? code : ToLower(code), trusted);
          first = false;
        });
      } else if (character.code == 0x130) {  // the one whose lower case is two
        out.Add(std::string_view("i\xCC\x87"), trusted);
      } else {
        out.Add(ToLower(character.code), trusted);
      }
      starts = (wanted == Case::kTitle && utf8proc_toupper(point) == utf8proc_tolower(point)) ||
               (wanted == Case::kWords && EndsWord(character.code));
      at = character.end;
    }
  });
  return out.Finish();
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_TEXT_H_
