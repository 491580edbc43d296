#include "terminal.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "format.h"

namespace cli {
namespace {

std::atomic<junto_session*> interrupted{nullptr};
static_assert(std::atomic<junto_session*>::is_always_lock_free, "read by a signal handler");

void OnInterrupt(int) {
  if (junto_session* session = interrupted.load()) junto_session_cancel(session);
}

std::atomic<bool> abandoned{false};

void OnAbandon(int) { abandoned = true; }

void OnSigint(void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

bool InputIsTerminal() { return isatty(STDIN_FILENO) != 0; }
bool OutputIsTerminal() { return isatty(STDOUT_FILENO) != 0; }
bool ErrorIsTerminal() { return isatty(STDERR_FILENO) != 0; }

std::string ReadInput() {
  std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

void Explain(const Failure& failure) {
  std::fprintf(stderr, "junto: %s\n", failure.what());
  if (!failure.hint().empty()) std::fprintf(stderr, "       %s\n", failure.hint().c_str());
}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

junto_status JUNTO_CALL Progress::OnProgress(void* self, uint64_t done, uint64_t total) {
  static_cast<Progress*>(self)->Show(done, total);
  return abandoned ? JUNTO_E_CALLBACK : JUNTO_OK;
}

void Progress::Show(uint64_t done, uint64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (!visible_ || now < next_ || total == 0) return;
  next_ = now + std::chrono::milliseconds(100);
  shown_ = true;
  std::fprintf(stderr, "\r%s %3.0f %% of %s\033[K", doing_, 100.0 * done / total,
               Bytes(total).c_str());
  std::fflush(stderr);
}

AbandonOnInterrupt::AbandonOnInterrupt() { OnSigint(OnAbandon, SA_RESTART | SA_RESETHAND); }

AbandonOnInterrupt::~AbandonOnInterrupt() { OnSigint(SIG_DFL, 0); }

bool AbandonOnInterrupt::Happened() { return abandoned; }

CancelOnInterrupt::CancelOnInterrupt(junto_session* session) {
  interrupted = session;
  OnSigint(OnInterrupt, SA_RESTART | SA_RESETHAND);
}

CancelOnInterrupt::~CancelOnInterrupt() {
  OnSigint(SIG_DFL, 0);
  interrupted = nullptr;
}

}  // namespace cli
