// What is different when a person watches: progress, dimmed text, Ctrl-C.
#ifndef JUNTO_EXAMPLES_CLI_TERMINAL_H_
#define JUNTO_EXAMPLES_CLI_TERMINAL_H_

#include <chrono>
#include <string>

#include "handles.h"

namespace cli {

bool InputIsTerminal();
bool OutputIsTerminal();
bool ErrorIsTerminal();

// Everything on standard input, without one newline at the end.
std::string ReadInput();

// Says on stderr what went wrong and what to do next.
void Explain(const Failure& failure);

// One line on stderr that is rewritten while a model loads and erased afterwards. It begins with
// `doing`.
class Progress {
 public:
  explicit Progress(bool visible, const char* doing = "loading")
      : visible_(visible), doing_(doing) {}
  ~Progress();
  static junto_status JUNTO_CALL OnProgress(void* self, uint64_t done, uint64_t total);

 private:
  void Show(uint64_t done, uint64_t total);

  bool visible_;
  const char* doing_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point next_{};
};

// While this lives, Ctrl-C makes Progress abandon the work it watches, so that files in the making
// are removed. At most one at a time, and not beside CancelOnInterrupt.
class AbandonOnInterrupt {
 public:
  AbandonOnInterrupt();
  ~AbandonOnInterrupt();
  AbandonOnInterrupt(const AbandonOnInterrupt&) = delete;
  AbandonOnInterrupt& operator=(const AbandonOnInterrupt&) = delete;
  static bool Happened();
};

// While this lives, Ctrl-C cancels the session's work instead of ending the program; a second one
// ends the program all the same. At most one at a time.
class CancelOnInterrupt {
 public:
  explicit CancelOnInterrupt(junto_session* session);
  ~CancelOnInterrupt();
  CancelOnInterrupt(const CancelOnInterrupt&) = delete;
  CancelOnInterrupt& operator=(const CancelOnInterrupt&) = delete;
};

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_TERMINAL_H_
