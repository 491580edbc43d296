// Channels: the parts of a model's output.
#ifndef JUNTO_TEXT_OUTPUT_CHANNEL_H_
#define JUNTO_TEXT_OUTPUT_CHANNEL_H_

#include <cstdint>
#include <string_view>

namespace junto {

// Values equal junto_channel in c_api/junto.h.
enum class Channel : int32_t {
  kContent = 0,
  kReasoning = 1,
  kToolName = 2,       // the whole name of a tool that is called
  kToolArguments = 3,  // and, piece by piece, its arguments as JSON text
};

// Receives output in order. `text` is not empty and need not end with a whole code point: the rest
// of that follows at once. `call` counts the calls of tools from 0; it is 0 for other channels.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  virtual void Emit(Channel channel, uint32_t call, std::string_view text) = 0;
};

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_CHANNEL_H_
