// Unicode normal form C, which some tokenizers bring text to before they split it.
#ifndef JUNTO_TEXT_NFC_H_
#define JUNTO_TEXT_NFC_H_

#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
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
    if (IsSurelyNormal(text)) return text;
    Decompose(text);
    Order();
    Compose();
    return {text_.data(), text_.size()};
  }

 private:
  // Below U+0300 there are neither combining marks nor anything that decomposes for good.
  static bool IsSurelyNormal(std::string_view text) {
    return std::none_of(text.begin(), text.end(),
                        [](char c) { return static_cast<uint8_t>(c) >= 0xCC; });
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
    text_.clear();
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
