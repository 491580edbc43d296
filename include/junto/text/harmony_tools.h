// Tools as Harmony shows them: functions of TypeScript namespaces.
#ifndef JUNTO_TEXT_HARMONY_TOOLS_H_
#define JUNTO_TEXT_HARMONY_TOOLS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/filters.h"
#include "junto/text/segments.h"

namespace junto {

// Writes JSON schemas as types, byte for byte as the reference renderer does, whose indentation is
// not always what one expects. What schemas say is never trusted; what is not known is `any`.
class HarmonyTools {
 public:
  HarmonyTools(jinja::Workspace* work, SegmentList* out) : work_(work), out_(out) {}

  // The caller's own; `tools` is what ConversationValues::Tools gives.
  void Functions(const jinja::Value& tools) {
    Add("# Tools");
    Namespace("functions", {}, tools.list->items());
  }
  // Namespaces that the model knows from its training, as IsNamespaces says.
  void Builtin(const jinja::Value& namespaces) {
    Add("# Tools");
    for (const jinja::Value& space : namespaces.list->items()) {
      const jinja::List* tools = Elements(space, "tools");
      Namespace(Words(space, "name"), Words(space, "description"),
                tools == nullptr ? Span<const jinja::Value>() : tools->items());
    }
  }

  // A list of {"name", "description", "tools": [{"name", "description", "parameters"}]}, the last
  // two of which need not be.
  static bool IsNamespaces(jinja::Workspace* work, const jinja::Value& value) {
    HarmonyTools tools(work, nullptr);
    const auto named = [&tools](const Value& item) { return !tools.Words(item, "name").empty(); };
    const auto all_named = [&named](Span<const Value> items) {
      return std::all_of(items.begin(), items.end(), named);
    };
    if (!value.is(jinja::Type::kList) || !all_named(value.list->items())) return false;
    for (const Value& space : value.list->items()) {
      const Value* inner = tools.Member(space, "tools");
      if (inner == nullptr) continue;
      if (!inner->is(jinja::Type::kList) || !all_named(inner->list->items())) return false;
    }
    return true;
  }

 private:
  using Value = jinja::Value;

  void Add(std::string_view text) { out_->Add(text, true); }
  void Copy(std::string_view text) { out_->Add(text, false); }
  const Value* Member(const Value& object, std::string_view key) {
    return object.is(jinja::Type::kDict) ? object.dict->Find(work_, key) : nullptr;
  }
  // A member that is a string, or nothing.
  std::string_view Words(const Value& object, std::string_view key) {
    const Value* member = Member(object, key);
    return member != nullptr && member->string() ? member->view() : std::string_view();
  }
  const jinja::List* Elements(const Value& object, std::string_view key) {
    const Value* member = Member(object, key);
    return member != nullptr && member->is(jinja::Type::kList) && member->list->size != 0
               ? member->list
               : nullptr;
  }
  void Json(const Value& value) {
    jinja::TextBuilder json(work_);
    jinja::Printer::JsonStyle style;
    style.comma = ",";
    style.colon = ":";
    jinja::Printer(work_, &json).Json(value, style);
    Copy(json.list().text());
  }
  void Indent(uint32_t spaces) {
    for (uint32_t i = 0; i < spaces; ++i) Add(" ");
  }
  void Comment(std::string_view text, uint32_t indent) {
    if (text.empty()) return;
    Indent(indent);
    Add("// ");
    Copy(text);
    Add("\n");
  }

  // What is said of a namespace without functions is no comment.
  void Namespace(std::string_view name, std::string_view description, Span<const Value> tools) {
    Add("\n\n## ");
    Copy(name);
    Add("\n\n");
    if (tools.empty()) return Copy(description);
    Comments(description);
    Add("namespace ");
    Copy(name);
    Add(" {\n\n");
    for (const Value& tool : tools) {
      const Value* function = Member(tool, "function");
      Function(function == nullptr ? tool : *function);
    }
    Add("} // namespace ");
    Copy(name);
  }

  // Every line is one, empty ones as well.
  void Comments(std::string_view text) {
    while (!text.empty()) {
      const size_t size = std::min(text.find('\n'), text.size());
      Add("// ");
      Copy(text.substr(0, size));
      Add("\n");
      text.remove_prefix(std::min(size + 1, text.size()));
    }
  }
  void Function(const Value& function) {
    Comments(Words(function, "description"));
    Add("type ");
    Copy(Words(function, "name"));
    const Value* parameters = Member(function, "parameters");
    if (parameters == nullptr || Member(*parameters, "properties") == nullptr) {
      return Add(" = () => any;\n\n");
    }
    Add(" = (_: ");
    Object(*parameters, 0);
    Add(") => any;\n\n");
  }

  void Object(const Value& schema, uint32_t indent) {
    const Value* properties = Member(schema, "properties");
    Comment(Words(schema, "description"), indent);
    Add("{\n");
    if (properties != nullptr && properties->is(jinja::Type::kDict)) {
      for (const jinja::Dict::Entry& entry : properties->dict->entries()) {
        if (!work_->Step()) return;
        Property(entry.key.view(), entry.value, Requires(schema, entry.key), indent);
      }
    }
    Indent(indent);
    Add("}");
  }
  bool Requires(const Value& schema, const Value& key) {
    const Value* required = Member(schema, "required");
    return required != nullptr && required->sequence() && jinja::Contains(work_, *required, key);
  }

  void Property(std::string_view name, const Value& schema, bool required, uint32_t indent) {
    const jinja::Level level(work_, kMaxSchemaDepth);
    if (!work_->Step()) return;
    const std::string_view title = Words(schema, "title");
    Comment(title, indent);
    if (!title.empty()) {
      Indent(indent);
      Add("//\n");
    }
    const jinja::List* variants = Elements(schema, "oneOf");
    Comment(Words(schema, "description"), indent);
    Examples(schema, indent);
    const Value* otherwise = Member(schema, "default");
    if (variants != nullptr && otherwise != nullptr) {
      Indent(indent);
      Default(schema, *otherwise);
      Add("\n");
    }
    Indent(indent);
    Copy(name);
    Add(required ? ":" : "?:");
    if (variants != nullptr) {
      Variants(*variants, indent);
      return Add(",\n");
    }
    Add(" ");
    const size_t before = out_->text().size();
    Type(schema, indent + 4);
    const Value* nullable = Member(schema, "nullable");
    const bool says_so = out_->text().find("null", before) != std::string_view::npos;
    if (nullable != nullptr && jinja::Truth(*nullable) && !says_so) Add(" | null");
    Add(",");
    if (otherwise != nullptr) {
      Add(" ");
      Default(schema, *otherwise);
    }
    Add("\n");
  }
  void Examples(const Value& schema, uint32_t indent) {
    const jinja::List* examples = Elements(schema, "examples");
    if (examples == nullptr) return;
    Indent(indent);
    Add("// Examples:\n");
    for (const Value& example : examples->items()) {
      Indent(indent);
      Add("// - ");
      Json(example);
      Add("\n");
    }
  }
  // A string is quoted unless it is one of an enumeration.
  void Default(const Value& schema, const Value& value) {
    Add("// default: ");
    if (value.string() && Elements(schema, "enum") != nullptr) return Copy(value.view());
    Json(value);
  }
  void Variants(const jinja::List& variants, uint32_t indent) {
    Add("\n");
    for (const Value& variant : variants.items()) {
      Indent(indent);
      Add(" | ");
      Type(variant, indent + 3);
      if (const std::string_view said = Words(variant, "description"); !said.empty()) {
        Add(" // ");
        Copy(said);
      }
      if (const Value* otherwise = Member(variant, "default")) {
        Add(" ");
        Default(variant, *otherwise);
      }
      Add("\n");
    }
    Indent(indent);
  }

  // `indent` is that of an object's properties.
  void Type(const Value& schema, uint32_t indent) {
    const jinja::Level level(work_, kMaxSchemaDepth);
    if (!work_->Step()) return;
    const std::string_view type = Words(schema, "type");
    if (const jinja::List* types = Elements(schema, "type")) {
      for (size_t i = 0; i < types->size; ++i) {
        if (i != 0) Add(" | ");
        Named(types->data[i].string() ? types->data[i].view() : std::string_view());
      }
    } else if (const jinja::List* choices = Elements(schema, "enum"); choices && type == "string") {
      for (size_t i = 0; i < choices->size; ++i) {
        if (i != 0) Add(" | ");
        Choice(choices->data[i]);
      }
    } else if (type == "object") {
      Object(schema, indent);
    } else if (const Value* items = Member(schema, "items"); items && type == "array") {
      Type(*items, indent);
      Add("[]");
    } else {
      Named(type == "null" ? std::string_view() : type);
    }
  }
  // In quotes, and never escaped.
  void Choice(const Value& value) {
    if (!value.string()) return Json(value);
    Add("\"");
    Copy(value.view());
    Add("\"");
  }
  void Named(std::string_view type) {
    if (type == "integer") type = "number";
    if (type == "array") return Add("Array<any>");
    for (const char* known : {"string", "number", "boolean", "object", "null"}) {
      if (type == known) return Add(type);
    }
    Add("any");
  }

  static constexpr uint32_t kMaxSchemaDepth = 128;
  jinja::Workspace* work_;
  SegmentList* out_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_HARMONY_TOOLS_H_
