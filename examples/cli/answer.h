// An answer, shown while it comes and kept for the next turn.
#ifndef JUNTO_EXAMPLES_CLI_ANSWER_H_
#define JUNTO_EXAMPLES_CLI_ANSWER_H_

#include <string>
#include <vector>

#include "junto.h"

namespace cli {

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON, unless it was cut off
};

// Content goes to stdout, and so does each call of a tool, on a line of its own. Reasoning goes to
// stderr, dimmed, where a person watches, and is left out elsewhere.
class Answer {
 public:
  explicit Answer(bool show_reasoning) : show_reasoning_(show_reasoning) {}

  static junto_status JUNTO_CALL OnChunk(void* self, const junto_chunk* chunk);

  const std::string& content() const { return content_; }
  const std::string& reasoning() const { return reasoning_; }
  const std::vector<ToolCall>& calls() const { return calls_; }
  // Nothing follows: leaves the cursor at the start of a line.
  void Finish();

 private:
  junto_status Take(const junto_chunk& chunk);
  void Write(const std::string& text);
  void Reason(const std::string& text);
  void EndReasoning();
  void ShowCalls();

  bool show_reasoning_;
  bool reasoning_open_ = false;
  bool line_open_ = false;  // stdout is within a line
  size_t calls_shown_ = 0;
  std::string content_;
  std::string reasoning_;
  std::vector<ToolCall> calls_;
};

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_ANSWER_H_
