// JSON as values, which come from outside.
#ifndef JUNTO_TEXT_JINJA_JSON_H_
#define JUNTO_TEXT_JINJA_JSON_H_

#include <charconv>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/value.h"
#include "junto/text/json_reader.h"

namespace junto {
namespace jinja {

// Reads one value, whose strings are untrusted and whose numbers remember how they were spelled.
class JsonValues {
 public:
  // `text` outlives the workspace, is UTF-8.
  JsonValues(Workspace* work, std::string_view text) : work_(work), reader_(text, work->memory()) {}

  // The whole text. E_FORMAT names the byte; what exceeds the workspace is its failure.
  Status Read(Value* out) {
    JUNTO_TRY(ReadValue(out));
    JUNTO_TRY(reader_.End());
    return work_->status();
  }

 private:
  Status ReadValue(Value* out) {
    JsonKind kind = JsonKind::kNull;
    JUNTO_TRY(reader_.Peek(&kind));
    if (!work_->Step()) return work_->status();
    switch (kind) {
      case JsonKind::kObject:
        return ReadObject(out);
      case JsonKind::kArray:
        return ReadArray(out);
      case JsonKind::kString:
        return ReadString(out);
      case JsonKind::kNumber:
        return ReadNumber(out);
      case JsonKind::kBool: {
        bool flag = false;
        JUNTO_TRY(reader_.ReadBool(&flag));
        *out = Value(flag);
        return Status();
      }
      case JsonKind::kNull:
        *out = Value(Type::kNone);
        return reader_.Skip();
    }
    return Status();
  }
  Status ReadObject(Value* out) {
    Dict* dict = work_->New<Dict>();
    *out = Value(dict);
    return reader_.Object([this, dict](std::string_view key) -> Status {
      const Value name = Copy(key);
      Value value;
      JUNTO_TRY(ReadValue(&value));
      dict->Set(work_, name, value);
      return work_->status();
    });
  }
  Status ReadArray(Value* out) {
    List* list = work_->New<List>();
    *out = Value(list);
    return reader_.Array([this, list]() -> Status {
      Value value;
      JUNTO_TRY(ReadValue(&value));
      list->Add(work_, value);
      return work_->status();
    });
  }
  Status ReadString(Value* out) {
    String text({work_->memory(), Tag::kObject});
    JUNTO_TRY(reader_.ReadString(&text));
    *out = Copy(text);
    return work_->status();
  }
  Value Copy(std::string_view text) {
    char* bytes = work_->Array<char>(text.size());
    if (bytes == nullptr) return Value();
    text.copy(bytes, text.size());
    return MakeString(work_, std::string_view(bytes, text.size()), false);
  }
  Status ReadNumber(Value* out) {
    std::string_view text;
    JUNTO_TRY(reader_.ReadNumber(&text));
    const char* end = text.data() + text.size();
    int64_t integer = 0;
    const auto whole = std::from_chars(text.data(), end, integer);
    if (whole.ec == std::errc() && whole.ptr == end && text != "-0") {
      *out = Value(integer);
      return Status();
    }
    double value = 0;
    if (std::from_chars(text.data(), end, value).ec != std::errc()) {
      return reader_.Error("a number in range");
    }
    const bool is_integer = text.find_first_of(".eE") == std::string_view::npos;
    if (text == "-0") text = "0";
    *out = Value(work_->New<Number>(Number{value, text, is_integer}));
    return Status();
  }

  Workspace* work_;
  JsonReader reader_;
};

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_JSON_H_
