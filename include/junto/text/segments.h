// Segments: a text of which some parts come from us and some from strangers.
#ifndef JUNTO_TEXT_SEGMENTS_H_
#define JUNTO_TEXT_SEGMENTS_H_

#include <algorithm>
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
  void Add(const SegmentList& other) {
    size_t begin = 0;
    for (const Segment& segment : other.segments_) {
      Add(other.text().substr(begin, segment.end - begin), segment.trusted);
      begin = segment.end;
    }
  }
  void Clear() {
    text_.clear();
    segments_.clear();
  }

  // Bytes [begin, end) of the text, with their segments.
  SegmentList Part(size_t begin, size_t end) const {
    SegmentList part(text_.get_allocator().memory(), text_.get_allocator().tag());
    for (size_t i = FirstAt(begin); begin < end; ++i) {
      const size_t stop = std::min(segments_[i].end, end);
      part.Add(text().substr(begin, stop - begin), segments_[i].trusted);
      begin = stop;
    }
    return part;
  }
  // Whether all of bytes [begin, end) are trusted.
  bool Trusted(size_t begin, size_t end) const {
    for (size_t i = FirstAt(begin); begin < end; begin = segments_[i++].end) {
      if (!segments_[i].trusted) return false;
    }
    return true;
  }
  // Whether bytes [begin, end) are there in the other, too, and as much trusted.
  bool SameAs(const SegmentList& other, size_t begin, size_t end) const {
    if (other.text().size() < end) return false;
    if (text().substr(begin, end - begin) != other.text().substr(begin, end - begin)) return false;
    size_t i = FirstAt(begin);
    for (size_t k = other.FirstAt(begin); begin < end;) {
      if (segments_[i].trusted != other.segments_[k].trusted) return false;
      begin = std::min(segments_[i].end, other.segments_[k].end);
      if (segments_[i].end == begin) ++i;
      if (other.segments_[k].end == begin) ++k;
    }
    return true;
  }

  std::string_view text() const { return {text_.data(), text_.size()}; }
  Span<const Segment> segments() const { return segments_; }

 private:
  // The segment that holds byte `at`.
  size_t FirstAt(size_t at) const {
    const auto first =
        std::upper_bound(segments_.begin(), segments_.end(), at,
                         [](size_t byte, const Segment& segment) { return byte < segment.end; });
    return static_cast<size_t>(first - segments_.begin());
  }

  String text_;
  Vector<Segment> segments_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_SEGMENTS_H_
