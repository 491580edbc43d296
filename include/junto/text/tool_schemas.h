// What the JSON schemas of tools say of their parameters' types.
#ifndef JUNTO_TEXT_TOOL_SCHEMAS_H_
#define JUNTO_TEXT_TOOL_SCHEMAS_H_

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/text/jinja/value.h"
#include "junto/text/output/text_parameters.h"

namespace junto {

// Finds the parameters of which a schema says that they are strings, or strings and null.
class ToolSchemas {
 public:
  explicit ToolSchemas(jinja::Workspace* work) : work_(work) {}

  // Entries for TextParameters, of the first TextParameters::kMost, sorted. `tools` is what
  // ConversationValues::Tools gives. Throws OutOfMemory.
  Vector<uint64_t> TextParametersOf(const jinja::Value& tools) {
    Vector<uint64_t> entries({work_->memory(), Tag::kObject});
    for (const jinja::Value& tool : tools.list->items()) {
      const jinja::Value* function = Member(tool, "function");
      const jinja::Value* name = function == nullptr ? nullptr : Member(*function, "name");
      if (name == nullptr) break;  // the workspace has had enough, which its status tells
      const jinja::Value* parameters = Member(*function, "parameters");
      const jinja::Value* properties =
          parameters == nullptr ? nullptr : Member(*parameters, "properties");
      if (properties == nullptr || !properties->is(jinja::Type::kDict)) continue;
      const Hash hash = TextParameters::ToolHash(name->view());
      for (const jinja::Dict::Entry& property : properties->dict->entries()) {
        const uint32_t kinds = KindsOf(property.value);
        if ((kinds & ~kNull) != kText || entries.size() == TextParameters::kMost) continue;
        entries.push_back(TextParameters::Entry(hash, property.key.view(), (kinds & kNull) != 0));
      }
    }
    std::sort(entries.begin(), entries.end());
    entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
    return entries;
  }

 private:
  static constexpr uint32_t kText = 1;  // kinds of values
  static constexpr uint32_t kNull = 2;
  static constexpr uint32_t kOther = 4;
  static constexpr uint32_t kMaxDepth = 64;

  const jinja::Value* Member(const jinja::Value& object, std::string_view key) {
    return object.is(jinja::Type::kDict) ? object.dict->Find(work_, key) : nullptr;
  }

  static uint32_t KindOfName(const jinja::Value& type) {
    if (!type.string()) return kOther;
    return type.view() == "string" ? kText : type.view() == "null" ? kNull : kOther;
  }
  static uint32_t KindOfValue(const jinja::Value& value) {
    return value.string() ? kText : value.none() ? kNull : kOther;
  }

  // Which kinds of values a schema takes. Where it does not say: others, too.
  uint32_t KindsOf(const jinja::Value& schema) {
    const jinja::Level level(work_, kMaxDepth);
    if (!work_->Step()) return kOther;
    const jinja::Value* nullable = Member(schema, "nullable");
    const uint32_t null = nullable != nullptr && jinja::Truth(*nullable) ? kNull : 0u;
    if (const jinja::Value* type = Member(schema, "type")) {
      return null | Union(*type, [](const jinja::Value& name) { return KindOfName(name); });
    }
    if (const jinja::Value* choices = Member(schema, "enum")) {
      return null | Union(*choices, [](const jinja::Value& value) { return KindOfValue(value); });
    }
    for (const char* variants : {"anyOf", "oneOf"}) {
      if (const jinja::Value* schemas = Member(schema, variants)) {
        return null | Union(*schemas, [this](const jinja::Value& one) { return KindsOf(one); });
      }
    }
    return kOther;
  }
  // Of a value, or of all elements of a list.
  template <class F>
  static uint32_t Union(const jinja::Value& value, const F& kinds_of) {
    if (!value.is(jinja::Type::kList)) return kinds_of(value);
    uint32_t kinds = 0;
    for (const jinja::Value& item : value.list->items()) kinds |= kinds_of(item);
    return kinds;
  }

  jinja::Workspace* work_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_TOOL_SCHEMAS_H_
