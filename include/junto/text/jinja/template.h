// Template: a chat template, read once and rendered over conversations.
//
// What Jinja offers beyond the measured needs of chat templates (include, import, extends, call,
// recursive loops, printf-style formatting) is refused with a line that says so.
#ifndef JUNTO_TEXT_JINJA_TEMPLATE_H_
#define JUNTO_TEXT_JINJA_TEMPLATE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/evaluator.h"
#include "junto/text/jinja/lexer.h"
#include "junto/text/jinja/parser.h"
#include "junto/text/segments.h"

namespace junto {
namespace jinja {

// Immutable once read, so any number of threads may render it.
class Template {
 public:
  explicit Template(Memory* memory) : work_(memory, Limits()) {}  // use Read

  // E_INVALID names the line. Throws OutOfMemory.
  static Status Read(std::string_view source, Memory* memory, Owned<Template>* out) {
    if (source.size() > kMaxTemplateBytes) {
      return Status::Make(Code::kInvalid, "chat template: %zu bytes, at most %zu expected",
                          source.size(), kMaxTemplateBytes);
    }
    if (!IsUtf8(source)) {
      return Status::Make(Code::kInvalid, "chat template: byte %zu is not UTF-8",
                          WholePrefix(source));
    }
    Owned<Template> read = New<Template>(memory, Tag::kObject, memory);
    JUNTO_TRY(read->Parse(source, memory));
    *out = std::move(read);
    return Status();
  }

  // Appends to `*out` what the template makes of `globals`, a dict in `work`; strings in it are
  // trusted where they say so, literals of the template always. Failures, of which a limit that is
  // reached is one, are E_INVALID with the template's line, and leave `*out` as it was. Without
  // `date` strftime_now is not defined. Throws OutOfMemory.
  Status Render(Workspace* work, const Value& globals, const Date* date, SegmentList* out) const {
    if (work->failed()) return work->status();
    TextBuilder text(work);
    Evaluator(work, globals, date).Run(body_, &text);
    if (work->failed()) return work->status();
    out->Add(text.list());
    return Status();
  }

  // Whether the template asks for a variable or function of this name anywhere.
  bool Mentions(std::string_view name) const {
    return source_.find(name) != std::string_view::npos;
  }

 private:
  // Newlines become "\n", and one at the end goes, before anything else is looked at.
  Status Parse(std::string_view source, Memory* memory) {
    char* bytes = work_.Array<char>(source.size());
    if (bytes == nullptr) return work_.status();
    size_t size = 0;
    for (size_t i = 0; i < source.size(); ++i) {
      if (source[i] == '\r' && source.substr(i + 1, 1) == "\n") continue;
      bytes[size++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (size != 0 && bytes[size - 1] == '\n') --size;
    source_ = {bytes, size};
    Vector<Token> tokens({memory, Tag::kObject});
    Lexer(&work_, source_, &tokens).Run();
    if (!work_.failed()) body_ = Parser(&work_, tokens).Run();
    return work_.status();
  }

  Workspace work_;
  std::string_view source_;
  Node* body_ = nullptr;
};

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_TEMPLATE_H_
