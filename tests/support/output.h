// Output of models for tests: written with its marks spelled, and what parsers make of it.
#ifndef JUNTO_TESTS_SUPPORT_OUTPUT_H_
#define JUNTO_TESTS_SUPPORT_OUTPUT_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "junto/text/output/stream.h"

namespace junto {
namespace test {

// A mark, or text where mark < 0.
struct OutputItem {
  int mark;
  std::string text;
};

// Marks of the markup that are spelled in `text` are marks, but those behind a '\1' are forged.
inline std::vector<OutputItem> ReadOutput(OutputKind kind, std::string_view text) {
  const OutputMarkup markup(kind);
  std::vector<OutputItem> items;
  const auto add = [&items](char c) {
    if (items.empty() || items.back().mark >= 0) items.push_back({-1, ""});
    items.back().text += c;
  };
  while (!text.empty()) {
    size_t taken = 0;
    for (size_t i = 0; i < markup.marks().size() && taken == 0; ++i) {
      if (!StartsWith(text, markup.marks()[i])) continue;
      items.push_back({static_cast<int>(i), ""});
      taken = markup.marks()[i].size();
    }
    if (taken == 0) {
      if (text.front() == '\1') text.remove_prefix(1);
      add(text.front());
      taken = 1;
    }
    text.remove_prefix(taken);
  }
  return items;
}

constexpr uint32_t kWantAll = kOutputReasoning | kOutputCalls;

// A stream with its memory.
struct OutputFixture {
  explicit OutputFixture(OutputKind kind, size_t piece_bytes = 256, uint32_t wanted = kWantAll)
      : markup(kind) {
    Arena measure;
    stream.LayOut(&markup, piece_bytes, &measure);
    memory.resize(measure.used() + Arena::kAlignment);
    void* start = memory.data();
    size_t space = memory.size();
    Arena arena(std::align(Arena::kAlignment, measure.used(), start, space), measure.used());
    stream.LayOut(&markup, piece_bytes, &arena);
    stream.Start(wanted);
  }

  Status Feed(const OutputItem& item) {
    return item.mark >= 0 ? stream.FeedMark(item.mark) : stream.Feed(item.text);
  }
  // Appends what waits to `events`: "[c]" begins content, "[r]" reasoning, "[n0]" the name of the
  // first tool, "[a0]" its arguments.
  void Take() {
    for (OutputPiece piece = stream.Front(); !piece.text.empty(); piece = stream.Front()) {
      const bool fresh = !any || piece.channel != last.channel || piece.call != last.call;
      if (fresh) {
        events += '[';
        events += "crna"[static_cast<int>(piece.channel)];
        if (piece.channel >= Channel::kToolName) events += std::to_string(piece.call);
        events += ']';
      }
      events += piece.text;
      last = piece;
      any = true;
      stream.Consume(piece.text.size());
    }
  }
  // All of it, and the end.
  std::string Run(const std::vector<OutputItem>& items, bool closed = true) {
    for (const OutputItem& item : items) {
      const Status status = Feed(item);
      if (status.failed()) return std::string("failed: ") + status.message();
      Take();
    }
    stream.Finish(closed);
    Take();
    return events;
  }

  OutputMarkup markup;
  std::vector<char> memory;
  OutputStream stream;
  std::string events;
  OutputPiece last;
  bool any = false;
};

// The items with every text cut into pieces of `size` bytes.
inline std::vector<OutputItem> CutOutput(const std::vector<OutputItem>& items, size_t size) {
  std::vector<OutputItem> cut;
  for (const OutputItem& item : items) {
    if (item.mark >= 0) cut.push_back(item);
    for (size_t at = 0; at < item.text.size(); at += size) {
      cut.push_back({-1, item.text.substr(at, size)});
    }
  }
  return cut;
}

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_OUTPUT_H_
