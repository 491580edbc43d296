#include "handles.h"

#include <cstring>

namespace cli {
namespace {

const char* Hint(junto_status status) {
  switch (status) {
    case JUNTO_E_MEMORY:
      return "`junto inspect MODEL` says what is needed; a smaller --context or --kv f16 needs "
             "less";
    case JUNTO_E_IO:
      return "is the path right, and may you read the file?";
    case JUNTO_E_FORMAT:
      return "the file may be incomplete: compare its size and checksum with the publisher's";
    case JUNTO_E_UNSUPPORTED:
      return "the README lists the models that work";
    case JUNTO_E_CONTEXT_FULL:
      return "ask for more room with --context, up to what `junto inspect MODEL` shows";
    case JUNTO_E_INTERNAL:
      return "this is a bug in Junto: please report it with the output of `junto --version`";
    default:
      return "";
  }
}

}  // namespace

junto_status Check(junto_status status, const junto_error& error) {
  if (status >= 0) return status;
  std::string message = error.message[0] ? error.message : junto_status_name(status);
  if (error.os_error != 0) message += std::string(" (") + std::strerror(error.os_error) + ")";
  throw Failure(message, Hint(status));
}

junto_status Check(junto_status status) { return Check(status, NewError()); }

}  // namespace cli
