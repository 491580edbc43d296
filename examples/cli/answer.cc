#include "answer.h"

#include <cstdio>

#include "terminal.h"

namespace cli {

junto_status JUNTO_CALL Answer::OnChunk(void* self, const junto_chunk* chunk) {
  return static_cast<Answer*>(self)->Take(*chunk);
}

junto_status Answer::Take(const junto_chunk& chunk) {
  const std::string text(chunk.text, chunk.text_size);
  if (text.empty()) return JUNTO_OK;
  if (chunk.channel != JUNTO_CHANNEL_TOOL_ARGUMENTS) ShowCalls();
  switch (chunk.channel) {
    case JUNTO_CHANNEL_REASONING:
      Reason(text);
      break;
    case JUNTO_CHANNEL_TOOL_NAME:
      calls_.push_back({text, ""});
      break;
    case JUNTO_CHANNEL_TOOL_ARGUMENTS:
      calls_.back().arguments += text;
      break;
    default:
      content_ += text;
      Write(text);
  }
  return std::ferror(stdout) == 0 ? JUNTO_OK : JUNTO_E_IO;
}

void Answer::Write(const std::string& text) {
  EndReasoning();
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  line_open_ = text.back() != '\n';
}

void Answer::Reason(const std::string& text) {
  reasoning_ += text;
  if (!show_reasoning_) return;
  if (!reasoning_open_) std::fputs("\033[2m", stderr);
  reasoning_open_ = true;
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void Answer::EndReasoning() {
  if (reasoning_open_) std::fputs("\033[0m\n\n", stderr);
  reasoning_open_ = false;
}

void Answer::ShowCalls() {
  for (; calls_shown_ < calls_.size(); ++calls_shown_) {
    const ToolCall& call = calls_[calls_shown_];
    Write((line_open_ ? "\n" : "") + ("call " + call.name) + " " + call.arguments + "\n");
  }
}

void Answer::Finish() {
  ShowCalls();
  EndReasoning();
  if (!line_open_ && (!content_.empty() || !calls_.empty()) && !OutputIsTerminal()) return;
  if (line_open_ || calls_.empty()) std::fputc('\n', stdout);
  std::fflush(stdout);
}

}  // namespace cli
