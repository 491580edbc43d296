// render_templates < CASES > RESULTS: renders many templates for templates_agree.py. A case is
// three texts, each its size in 32 bits and its bytes: the template, its variables as JSON, and a
// date or nothing. A result is one byte, 1 where it worked, and the text or the failure's line,
// with its size. Says on stderr what reading and rendering took.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "junto/text/jinja/template.h"
#include "tests/support/faults.h"

namespace {

std::string ReadAll(std::FILE* file) {
  std::string bytes;
  char chunk[1 << 16];
  size_t size = 0;
  while ((size = std::fread(chunk, 1, sizeof(chunk), file)) != 0) bytes.append(chunk, size);
  return bytes;
}

junto::Status Render(const std::string (&texts)[3], junto::Memory* memory, std::string* out) {
  using namespace junto;  // NOLINT: a program of one file
  Owned<jinja::Template> read;
  JUNTO_TRY(jinja::Template::Read(texts[0], memory, &read));
  jinja::Workspace work(memory, jinja::Limits::For(texts[1].size()));
  jinja::Value globals;
  JUNTO_TRY(jinja::JsonValues(&work, texts[1]).Read(&globals));
  jinja::Date date;
  const bool dated = jinja::ReadDate(texts[2], &date);
  SegmentList list(memory);
  JUNTO_TRY(read->Render(&work, globals, dated ? &date : nullptr, &list));
  out->assign(list.text());
  return Status();
}

}  // namespace

int main() {
  const std::string input = ReadAll(stdin);
  junto::test::CountingAllocator allocator;
  junto::Memory memory(&allocator, 0);
  const auto since = std::chrono::steady_clock::now();
  size_t cases = 0;
  for (size_t at = 0; at < input.size(); ++cases) {
    std::string texts[3];
    for (std::string& text : texts) {
      uint32_t size = 0;
      std::memcpy(&size, &input[at], sizeof(size));
      text = input.substr(at + sizeof(size), size);
      at += sizeof(size) + size;
    }
    std::string out;
    const junto::Status status = Render(texts, &memory, &out);
    if (!status.ok()) out = status.message();
    const auto size = static_cast<uint32_t>(out.size());
    std::fputc(status.ok() ? 1 : 0, stdout);
    std::fwrite(&size, sizeof(size), 1, stdout);
    std::fwrite(out.data(), 1, out.size(), stdout);
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
  std::fprintf(stderr, "%zu cases in %.3f s\n", cases, seconds);
  return 0;
}
