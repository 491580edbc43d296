// What can be learnt from a Jinja chat template without running it.
#ifndef JUNTO_TEXT_CHAT_TEMPLATE_H_
#define JUNTO_TEXT_CHAT_TEMPLATE_H_

#include <cstddef>
#include <string_view>

#include "junto/base/memory.h"

namespace junto {

// How much of a template is looked at: it comes from a stranger, and many unfinished literals would
// otherwise each be read to the end.
constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
constexpr size_t kMaxTemplateLiteral = 4096;

// The value of the string literal whose quote stands at `at`; false when it does not end.
inline bool ReadTemplateLiteral(std::string_view chat_template, size_t at, String* value) {
  const char quote = chat_template[at];
  value->clear();
  for (size_t i = at + 1; i < chat_template.size(); ++i) {
    char c = chat_template[i];
    if (c == quote) return true;
    if (c == '\\' && i + 1 < chat_template.size()) {
      c = chat_template[++i];
      if (c == 'n') c = '\n';
      if (c == 't') c = '\t';
    }
    if (value->size() == kMaxTemplateLiteral) return false;
    value->push_back(c);
  }
  return false;
}

// Finds a string literal of the template that is one whole turn, opening + text + closing, and puts
// its text into `*text`; leaves `*text` empty when there is none. Such a literal is what a template
// says where a conversation begins without a system turn. Throws OutOfMemory.
inline void FindTemplateText(std::string_view chat_template, std::string_view opening,
                             std::string_view closing, String* text) {
  const std::string_view marker = opening.substr(0, opening.find('\n'));
  chat_template = chat_template.substr(0, kMaxTemplateBytes);
  String literal(text->get_allocator());
  text->clear();
  for (size_t at = chat_template.find(marker); at != std::string_view::npos;
       at = chat_template.find(marker, at + 1)) {
    if (at == 0 || (chat_template[at - 1] != '\'' && chat_template[at - 1] != '"')) continue;
    if (!ReadTemplateLiteral(chat_template, at - 1, &literal)) continue;
    const std::string_view turn(literal);
    if (turn.size() <= opening.size() + closing.size()) continue;
    if (turn.substr(0, opening.size()) != opening) continue;
    if (turn.substr(turn.size() - closing.size()) != closing) continue;
    text->assign(turn.substr(opening.size(), turn.size() - opening.size() - closing.size()));
    return;
  }
}

}  // namespace junto

#endif  // JUNTO_TEXT_CHAT_TEMPLATE_H_
