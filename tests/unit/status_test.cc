// Status carries a code and one line of text that is always whole.
#include "junto/base/status.h"

#include <catch2/catch.hpp>
#include <string>
#include <type_traits>

#include "c_api/junto.h"

namespace junto {
namespace {

TEST_CASE("a status without text") {
  CHECK(Status().ok());
  CHECK_FALSE(Status().failed());
  CHECK(std::string(Status().message()).empty());
  CHECK(Status(Code::kYielded).code() == Code::kYielded);
  CHECK_FALSE(Status(Code::kYielded).ok());
  CHECK_FALSE(Status(Code::kYielded).failed());
  CHECK(Status(Code::kIo).failed());
}

TEST_CASE("codes equal the C ABI's") {
  struct {
    Code code;
    junto_status status;
  } pairs[] = {
      {Code::kOk, JUNTO_OK},
      {Code::kYielded, JUNTO_YIELDED},
      {Code::kDone, JUNTO_DONE},
      {Code::kCancelled, JUNTO_CANCELLED},
      {Code::kInvalid, JUNTO_E_INVALID},
      {Code::kMemory, JUNTO_E_MEMORY},
      {Code::kIo, JUNTO_E_IO},
      {Code::kFormat, JUNTO_E_FORMAT},
      {Code::kUnsupported, JUNTO_E_UNSUPPORTED},
      {Code::kShortBuffer, JUNTO_E_SHORT_BUFFER},
      {Code::kContextFull, JUNTO_E_CONTEXT_FULL},
      {Code::kBusy, JUNTO_E_BUSY},
      {Code::kMismatch, JUNTO_E_MISMATCH},
      {Code::kCallback, JUNTO_E_CALLBACK},
      {Code::kInternal, JUNTO_E_INTERNAL},
  };
  for (const auto& pair : pairs)
    CHECK(static_cast<int>(pair.code) == static_cast<int>(pair.status));
  CHECK(sizeof(junto_error{}.message) == Status::kMessageCapacity);
}

TEST_CASE("text is formatted, and the system's error number rides along") {
  const Status status =
      Status::Make(Code::kFormat, "tensor '%s': %d found", "a.b", 7).WithOsError(5);
  CHECK(status.code() == Code::kFormat);
  CHECK(status.os_error() == 5);
  CHECK(std::string(status.message()) == "tensor 'a.b': 7 found");
}

TEST_CASE("text is one line") {
  const Status status = Status::Make(Code::kFormat, "%s", "a\nb\r\nc");
  CHECK(std::string(status.message()) == "a b  c");
}

TEST_CASE("long text is cut between code points") {
  constexpr size_t kRoom = Status::kMessageCapacity - 1;
  const std::string points[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
  for (const std::string& point : points) {
    for (size_t offset = 0; offset < 4; ++offset) {
      std::string text(offset, '.');
      while (text.size() < 2 * kRoom) text += point;
      const std::string got = Status::Make(Code::kIo, "%s", text.c_str()).message();
      const size_t whole = offset + (kRoom - offset) / point.size() * point.size();
      CHECK(got == text.substr(0, whole));
    }
  }
}

TEST_CASE("text of exactly the capacity is whole") {
  for (size_t size : {Status::kMessageCapacity - 2, Status::kMessageCapacity - 1}) {
    const std::string text(size, 'y');
    CHECK(Status::Make(Code::kIo, "%s", text.c_str()).message() == text);
  }
}

TEST_CASE("text that is not UTF-8 is cut without reading past it") {
  const std::string text(1000, '\x80');
  const std::string got = Status::Make(Code::kIo, "%s", text.c_str()).message();
  CHECK(got.size() < Status::kMessageCapacity);
}

Status Fails(int* steps) {
  JUNTO_TRY(Status());
  *steps += 1;
  JUNTO_TRY(Status::Make(Code::kIo, "stop"));
  *steps += 1;
  return Status();
}

TEST_CASE("JUNTO_TRY returns the first status that is not OK") {
  int steps = 0;
  const Status status = Fails(&steps);
  CHECK(steps == 1);
  CHECK(status.code() == Code::kIo);
  CHECK(std::string(status.message()) == "stop");
}

}  // namespace
}  // namespace junto
