// An answer, shown while it comes and kept for the next turn.
#ifndef JUNTO_EXAMPLES_CLI_ANSWER_H_
#define JUNTO_EXAMPLES_CLI_ANSWER_H_

#include <string>

#include "junto.h"

namespace cli {

// Some models (gpt-oss) speak in channels that control tokens delimit:
//   <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...
// Of those only the final channel is the answer, on stdout; the others are the model's thinking,
// dimmed on stderr where a person watches. Everything other models say is the answer.
class Answer {
 public:
  // raw: channels are not looked for.
  Answer(const junto_model* model, bool raw, bool show_thinking);

  static junto_status JUNTO_CALL OnChunk(void* self, const junto_chunk* chunk);

  // The answer so far, whole code points only.
  std::string text() const;
  // Leaves the cursor at the start of a line.
  void Finish();

 private:
  enum class Part { kHeader, kThinking, kAnswer };

  junto_status Take(const junto_chunk& chunk);
  junto_status TakeToken(junto_token token);
  junto_status Write(const char* text, size_t size);
  void Think(const std::string& text);
  void StopThinking();

  const junto_model* model_;
  bool show_thinking_;
  junto_token channel_ = -1;  // -1: this model has no channels
  junto_token message_ = -1;
  junto_token end_ = -1;
  junto_token start_ = -1;
  Part part_ = Part::kHeader;
  std::string header_;
  std::string text_;
  bool thinking_ = false;
};

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_ANSWER_H_
