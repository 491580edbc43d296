// Unicode normal form C, which some tokenizers bring text to before they split it.
#ifndef JUNTO_TEXT_NFC_H_
#define JUNTO_TEXT_NFC_H_

#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/text/utf8.h"

namespace junto {

// Keeps its working memory from call to call; one thread at a time. O(n log n) however many
// combining marks follow each other (utf8proc's own ordering is quadratic).
class NfcNormaliser {
 public:
  explicit NfcNormaliser(Memory* memory)
      : code_points_({memory, Tag::kTokenizer}),
        keys_({memory, Tag::kTokenizer}),
        text_({memory, Tag::kTokenizer}) {}

  // `text` is UTF-8. The result is `text` itself or lives until the next call. Throws OutOfMemory.
  std::string_view Normalise(std::string_view text) {
    if (InertPrefix(text) == text.size()) return text;
    text_.clear();
    while (!text.empty()) {
      size_t inert = InertPrefix(text);
      if (inert != text.size()) inert = CharacterBefore(text, inert);  // what follows may join it
      text_.append(text.substr(0, inert));
      text.remove_prefix(inert);
      const size_t other = OtherPrefix(text);
      if (other == 0) continue;
      Decompose(text.substr(0, other));
      Order();
      Compose();
      text.remove_prefix(other);
    }
    return {text_.data(), text_.size()};
  }

 private:
  // No character of these ranges decomposes for good, is a mark or joins the one before it, so
  // each is what it is unless something else follows.
  static bool IsInert(uint32_t code_point) {
    struct Range {
      uint32_t first;
      uint32_t last;
    };
    static constexpr Range kRanges[] = {
        {0x0000, 0x02FF}, {0x0388, 0x03FF}, {0x0400, 0x0482},   {0x048A, 0x052F},  {0x0531, 0x0556},
        {0x0561, 0x0587}, {0x05D0, 0x05EA}, {0x0620, 0x064A},   {0x0E01, 0x0E30},  {0x0E40, 0x0E46},
        {0x10D0, 0x10FF}, {0x2010, 0x2027}, {0x2030, 0x205F},   {0x20A0, 0x20C0},  {0x2190, 0x22FF},
        {0x2500, 0x27BF}, {0x3000, 0x3029}, {0x3041, 0x3096},   {0x309D, 0x30FF},  {0x3400, 0xA48C},
        {0xAC00, 0xD7A3}, {0xFF01, 0xFFEE}, {0x1F000, 0x1FAFF}, {0x20000, 0x2EBE0}};
    if (code_point <= kRanges[0].last) return true;
    const Range* range = std::lower_bound(std::begin(kRanges), std::end(kRanges), code_point,
                                          [](const Range& r, uint32_t c) { return r.last < c; });
    return range != std::end(kRanges) && range->first <= code_point;
  }

  // Bytes up to the first character that is not inert.
  static size_t InertPrefix(std::string_view text) {
    size_t at = 0;
    while (at < text.size()) {
      if (static_cast<uint8_t>(text[at]) < 0xCC) {  // below U+0300; continuation bytes, too
        ++at;
        continue;
      }
      const size_t length = CodePointLength(text.substr(at));
      if (!IsInert(DecodeUtf8(text.data() + at, length))) break;
      at += length;
    }
    return at;
  }

  static size_t CharacterBefore(std::string_view text, size_t at) {
    if (at == 0) return 0;
    do --at;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
    return at;
  }

  // Bytes of the first character and of all that follow it and are not inert.
  static size_t OtherPrefix(std::string_view text) {
    size_t at = 0;
    while (at < text.size()) {
      const size_t length = CodePointLength(text.substr(at));
      if (at != 0 && IsInert(DecodeUtf8(text.data() + at, length))) break;
      at += length;
    }
    return at;
  }

  static uint64_t CombiningClass(int32_t code_point) {
    return static_cast<uint8_t>(utf8proc_get_property(code_point)->combining_class);
  }

  void Decompose(std::string_view text) {
    code_points_.clear();
    while (!text.empty()) {
      const size_t length = CodePointLength(text);
      const auto code_point = static_cast<utf8proc_int32_t>(DecodeUtf8(text.data(), length));
      text.remove_prefix(length);
      utf8proc_int32_t parts[kMaxParts] = {code_point};
      int boundary = 0;
      const utf8proc_ssize_t count =
          utf8proc_decompose_char(code_point, parts, kMaxParts, kOptions, &boundary);
      const bool known = count >= 1 && count <= kMaxParts;
      code_points_.insert(code_points_.end(), parts, parts + (known ? count : 1));
    }
  }

  // Sorts every run of combining marks by combining class, keeping the order of equals.
  void Order() {
    const size_t size = code_points_.size();
    for (size_t begin = 0; begin < size; ++begin) {
      keys_.clear();
      size_t end = begin;
      for (; end < size; ++end) {
        const uint64_t combining = CombiningClass(code_points_[end]);
        if (combining == 0) break;
        keys_.push_back(combining << 53 | uint64_t{end - begin} << 21 |
                        static_cast<uint32_t>(code_points_[end]));
      }
      if (keys_.size() > 1) std::sort(keys_.begin(), keys_.end());
      for (size_t i = 0; i < keys_.size(); ++i) {
        code_points_[begin + i] = static_cast<int32_t>(keys_[i] & 0x1FFFFF);
      }
      begin = end;
    }
  }

  void Compose() {
    const utf8proc_ssize_t size = utf8proc_normalize_utf32(
        code_points_.data(), static_cast<utf8proc_ssize_t>(code_points_.size()), kOptions);
    for (utf8proc_ssize_t i = 0; i < size; ++i) {
      char bytes[4];
      text_.append(bytes, EncodeUtf8(static_cast<uint32_t>(code_points_[i]), bytes));
    }
  }

  static constexpr int kMaxParts = 8;  // canonical decompositions have at most 4
  static constexpr auto kOptions =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  Vector<utf8proc_int32_t> code_points_;
  Vector<uint64_t> keys_;
  String text_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_NFC_H_
