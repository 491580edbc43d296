// The variables of Harmony: what its system message says, and which thoughts are kept.
#ifndef JUNTO_TEXT_HARMONY_VARIABLES_H_
#define JUNTO_TEXT_HARMONY_VARIABLES_H_

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/text/conversation.h"
#include "junto/text/harmony_tools.h"

namespace junto {

struct HarmonyVariable {
  std::string_view key;
  const char* expected;
  bool (*fits)(jinja::Workspace* work, const jinja::Value& value);
};

constexpr HarmonyVariable kHarmonyVariables[] = {
    // Lines of the system message, which null leaves out.
    {"model_identity", "a text or null",
     [](jinja::Workspace*, const jinja::Value& value) {
       return value.none() || !(value.sequence() || value.is(jinja::Type::kDict));
     }},
    {"knowledge_cutoff", "a text or null",
     [](jinja::Workspace*, const jinja::Value& value) {
       return value.none() || !(value.sequence() || value.is(jinja::Type::kDict));
     }},
    {"current_date", "YYYY-MM-DD",
     [](jinja::Workspace*, const jinja::Value& value) {
       jinja::Date date;
       return value.string() && value.view().size() == 10 && jinja::ReadDate(value.view(), &date);
     }},
    {"reasoning_effort", "low, medium, high or null",
     [](jinja::Workspace*, const jinja::Value& value) {
       if (value.none()) return true;
       const std::string_view said = value.string() ? value.view() : std::string_view();
       return said == "low" || said == "medium" || said == "high";
     }},
    // Namespaces of tools that the model was trained to use, shown in the system message.
    {"builtin_tools", "[{\"name\", \"description\", \"tools\": [{\"name\", ...}]}]",
     HarmonyTools::IsNamespaces},
    // That answers may use; none are named where the list is empty.
    {"valid_channels", "a list of names",
     [](jinja::Workspace*, const jinja::Value& value) {
       if (!value.is(jinja::Type::kList)) return false;
       const Span<const jinja::Value> names = value.list->items();
       return std::all_of(names.begin(), names.end(),
                          [](const jinja::Value& name) { return name.string(); });
     }},
    // Whether what was thought before earlier answers stays.
    {"preserve_thinking", "true or false",
     [](jinja::Workspace*, const jinja::Value& value) { return value.is(jinja::Type::kBool); }},
};

// E_INVALID names a variable that does not exist, or a value that does not fit. Both are UTF-8.
inline Status CheckHarmonyVariable(Memory* memory, std::string_view key, std::string_view value) {
  constexpr size_t kCount = sizeof(kHarmonyVariables) / sizeof(kHarmonyVariables[0]);
  const auto name_size = static_cast<int>(Utf8Prefix(key, 64).size());
  for (const HarmonyVariable& variable : kHarmonyVariables) {
    if (variable.key != key) continue;
    jinja::Workspace work(memory, jinja::Limits::For(value.size()));
    const jinja::Value read = ConversationValues::VariableValue(&work, value);
    if (variable.fits(&work, read) && !work.failed()) return Status();
    return Status::Make(Code::kInvalid, "variable '%.*s': %s expected, '%.*s' given", name_size,
                        key.data(), variable.expected,
                        static_cast<int>(Utf8Prefix(value, 64).size()), value.data());
  }
  return Status::Make(Code::kInvalid, "variable '%.*s' is none of %zu that Harmony has", name_size,
                      key.data(), kCount);
}

}  // namespace junto

#endif  // JUNTO_TEXT_HARMONY_VARIABLES_H_
