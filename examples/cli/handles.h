// junto.h for C++: handles that release themselves, and failures as exceptions. A program's own
// choice; the library neither throws nor needs this.
#ifndef JUNTO_EXAMPLES_CLI_HANDLES_H_
#define JUNTO_EXAMPLES_CLI_HANDLES_H_

#include <memory>
#include <stdexcept>
#include <string>

#include "junto.h"

namespace cli {

template <typename T, void(JUNTO_CALL* Release)(T*)>
struct Releaser {
  void operator()(T* handle) const { Release(handle); }
};
template <typename T, void(JUNTO_CALL* Release)(T*)>
using Handle = std::unique_ptr<T, Releaser<T, Release>>;

using Runtime = Handle<junto_runtime, junto_runtime_release>;
using Model = Handle<junto_model, junto_model_release>;
using Session = Handle<junto_session, junto_session_release>;
using Prompt = Handle<junto_prompt, junto_prompt_release>;

// A struct of junto.h with every field as its init function leaves it.
template <typename T>
T Struct(void(JUNTO_CALL* init)(T*, size_t)) {
  T value;
  init(&value, sizeof value);
  return value;
}

inline junto_error NewError() { return Struct(junto_error_init); }

// What went wrong, and what the reader can do next (may be empty).
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& message, std::string hint = "")
      : std::runtime_error(message), hint_(std::move(hint)) {}
  const std::string& hint() const { return hint_; }

 private:
  std::string hint_;
};

// Throws Failure when status < 0; the message is that of error, or the status' name. Returns
// status.
junto_status Check(junto_status status, const junto_error& error);
junto_status Check(junto_status status);

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_HANDLES_H_
