// OutputWriter: what all parsers of output write with: blocks of text, and calls of tools.
#ifndef JUNTO_TEXT_OUTPUT_WRITER_H_
#define JUNTO_TEXT_OUTPUT_WRITER_H_

#include <cstdint>
#include <string_view>

#include "junto/text/output/channel.h"

namespace junto {

// A call is complete when its arguments are whole JSON; one that was cut off or malformed is not.
class OutputWriter {
 public:
  static constexpr size_t kMaxName = 128;  // bytes of a tool's name

  static bool IsName(std::string_view text) {
    for (const char c : text) {
      const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                         (c >= 'a' && c <= 'z') || static_cast<uint8_t>(c) >= 0x80;
      if (!plain && std::string_view("_-.:/").find(c) == std::string_view::npos) return false;
    }
    return !text.empty() && text.size() <= kMaxName;
  }

  explicit OutputWriter(OutputSink* sink) : sink_(sink) {}

  void Reset() { *this = OutputWriter(sink_); }

  // What is written to the channel next begins a block, which a newline keeps apart from the one
  // before.
  void Separate(Channel channel) { BlockOf(channel)->separate = true; }

  // Content or reasoning.
  void Write(Channel channel, std::string_view text) {
    if (text.empty()) return;
    Block* block = BlockOf(channel);
    if (block->separate && block->written) sink_->Emit(channel, 0, "\n");
    *block = {true, false};
    sink_->Emit(channel, 0, text);
  }

  // Calls do not nest. `name` is not empty.
  void BeginCall(std::string_view name) {
    call_ = begun_++;
    written_ = false;
    sink_->Emit(Channel::kToolName, call_, name);
    Separate(Channel::kContent);
  }
  void WriteArguments(std::string_view text) {
    if (text.empty()) return;
    written_ = true;
    sink_->Emit(Channel::kToolArguments, call_, text);
  }
  // The call is complete. Without any arguments it gets an empty object.
  void EndCall() {
    if (!written_) WriteArguments("{}");
    ++completed_;
  }

  uint32_t completed() const { return completed_; }

 private:
  struct Block {
    bool written;
    bool separate;
  };
  Block* BlockOf(Channel channel) { return &blocks_[channel == Channel::kContent ? 0 : 1]; }

  OutputSink* sink_;
  Block blocks_[2] = {};
  uint32_t begun_ = 0;
  uint32_t completed_ = 0;
  uint32_t call_ = 0;
  bool written_ = false;
};

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_WRITER_H_
