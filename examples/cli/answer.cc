#include "answer.h"

#include <cstdio>
#include <cstring>

#include "terminal.h"

namespace cli {
namespace {

// The token that a marker such as "<|end|>" is, or -1.
junto_token Marker(const junto_model* model, const char* text) {
  junto_token token = -1;
  size_t count = 0;
  const junto_status status = junto_tokenize(
      model, text, std::strlen(text), JUNTO_TOKENIZE_PARSE_SPECIAL, &token, 1, &count, nullptr);
  return status == JUNTO_OK && count == 1 ? token : -1;
}

// size without a code point that is cut off at the end.
size_t WholeCodePoints(const std::string& text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const unsigned char c = static_cast<unsigned char>(text[text.size() - back]);
    if (c < 0x80) break;
    if (c < 0xC0) continue;
    const size_t length = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return length > back ? text.size() - back : text.size();
  }
  return text.size();
}

}  // namespace

Answer::Answer(const junto_model* model, bool raw, bool show_thinking)
    : model_(model), show_thinking_(show_thinking) {
  if (raw) return;
  channel_ = Marker(model, "<|channel|>");
  message_ = Marker(model, "<|message|>");
  end_ = Marker(model, "<|end|>");
  start_ = Marker(model, "<|start|>");
  if (message_ < 0 || end_ < 0 || start_ < 0) channel_ = -1;
}

junto_status JUNTO_CALL Answer::OnChunk(void* self, const junto_chunk* chunk) {
  return static_cast<Answer*>(self)->Take(*chunk);
}

junto_status Answer::Take(const junto_chunk& chunk) {
  if (channel_ < 0) return Write(chunk.text, chunk.text_size);
  for (size_t i = 0; i < chunk.token_count; ++i) {
    const junto_status status = TakeToken(chunk.tokens[i]);
    if (status != JUNTO_OK) return status;
  }
  return JUNTO_OK;
}

junto_status Answer::TakeToken(junto_token token) {
  if (token == message_) {
    part_ = header_.compare(0, 5, "final") == 0 ? Part::kAnswer : Part::kThinking;
    return JUNTO_OK;
  }
  if (token == channel_ || token == start_ || token == end_) {
    part_ = Part::kHeader;
    header_.clear();
    return JUNTO_OK;
  }
  char piece[512];
  size_t size = 0;
  const junto_status status =
      junto_detokenize(model_, &token, 1, 0, piece, sizeof piece, &size, nullptr);
  if (status != JUNTO_OK) return status;
  if (part_ == Part::kAnswer) return Write(piece, size);
  if (part_ == Part::kThinking) {
    Think(std::string(piece, size));
  } else {
    header_.append(piece, size);
  }
  return JUNTO_OK;
}

junto_status Answer::Write(const char* text, size_t size) {
  StopThinking();
  text_.append(text, size);
  const bool written = std::fwrite(text, 1, size, stdout) == size && std::fflush(stdout) == 0;
  return written ? JUNTO_OK : JUNTO_E_IO;
}

void Answer::Think(const std::string& text) {
  if (!show_thinking_) return;
  if (!thinking_) std::fputs("\033[2m", stderr);
  thinking_ = true;
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

void Answer::StopThinking() {
  if (thinking_) std::fputs("\033[0m\n\n", stderr);
  thinking_ = false;
}

std::string Answer::text() const { return text_.substr(0, WholeCodePoints(text_)); }

void Answer::Finish() {
  StopThinking();
  if (!text_.empty() && text_.back() == '\n' && !OutputIsTerminal()) return;
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

}  // namespace cli
