// Segments: a text of which some parts come from us and some from strangers.
#ifndef JUNTO_TEXT_SEGMENTS_H_
#define JUNTO_TEXT_SEGMENTS_H_

#include <cstddef>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/span.h"

namespace junto {

// A stretch of a text: from where the one before ends up to byte `end`. Only where
// it is trusted can "<|im_end|>" become the control token.
struct Segment {
  size_t end;
  bool trusted;
};

// A text with its segments, built from the front.
class SegmentList {
 public:
  explicit SegmentList(Memory* memory, Tag tag = Tag::kObject)
      : text_({memory, tag}), segments_({memory, tag}) {}

  // Throws OutOfMemory.
  void Add(std::string_view text, bool trusted) {
    if (text.empty()) return;
    text_.append(text);
    if (segments_.empty() || segments_.back().trusted != trusted) {
      segments_.push_back({text_.size(), trusted});
    } else {
      segments_.back().end = text_.size();
    }
  }
  void Clear() {
    text_.clear();
    segments_.clear();
  }

  std::string_view text() const { return {text_.data(), text_.size()}; }
  Span<const Segment> segments() const { return segments_; }

 private:
  String text_;
  Vector<Segment> segments_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_SEGMENTS_H_
