// Config: a configuration in JSON as flat pairs, and typed look-ups in it.
#ifndef JUNTO_HUGGINGFACE_CONFIG_H_
#define JUNTO_HUGGINGFACE_CONFIG_H_

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/io/gguf_metadata.h"
#include "junto/io/metadata.h"
#include "junto/text/json_reader.h"

namespace junto {
namespace hf {

// A number of JSON, to within a few units of a double's last place: what is read is a float.
inline double NumberOf(std::string_view text) {
  constexpr int kMost = 400;  // beyond it every number is 0 or infinite
  uint64_t digits = 0;
  int exponent = 0;
  bool fraction = false;
  size_t at = text.substr(0, 1) == "-" ? 1 : 0;
  for (; at < text.size() && (text[at] == '.' || (text[at] >= '0' && text[at] <= '9')); ++at) {
    if (text[at] == '.') {
      fraction = true;
    } else if (digits < UINT64_MAX / 10 - 1) {
      digits = digits * 10 + static_cast<uint64_t>(text[at] - '0');
      exponent -= fraction ? 1 : 0;
    } else {
      exponent += fraction ? 0 : 1;
    }
  }
  if (at < text.size()) {  // 'e'
    const bool plus = text.substr(at + 1, 1) == "+";
    int written = 0;
    std::from_chars(text.data() + at + (plus ? 2 : 1), text.data() + text.size(), written);
    exponent += std::clamp(written, -kMost, kMost);
  }
  double power = 1.0;
  for (int i = std::min(std::abs(exponent), kMost); i > 0; --i) power *= 10.0;
  const auto value = static_cast<double>(digits);
  const double scaled = exponent < 0 ? value / power : value * power;
  return text[0] == '-' ? -scaled : scaled;
}

// Turns an object into pairs: {"a": {"b": 1}} is "a.b" = 1. Arrays are of one kind each: numbers,
// strings or bools; others, nulls, and what lies deeper than kMaxDepth are left out. Like a GGUF
// file's pairs the text is walked twice, to measure and to keep.
class ConfigReader {
 public:
  static constexpr size_t kMaxDepth = 4;

  ConfigReader(std::string_view text, Memory* memory)
      : text_(text),
        memory_(memory),
        path_({memory, Tag::kLoadTemp}),
        elements_({memory, Tag::kLoadTemp}),
        texts_({memory, Tag::kLoadTemp}),
        ends_({memory, Tag::kLoadTemp}),
        values_({memory, Tag::kObject}) {}

  // E_FORMAT names the byte or the key. Throws OutOfMemory.
  Status Read(Metadata* out) {
    JUNTO_TRY(Walk());
    JUNTO_TRY(region_.Allocate(memory_, Tag::kObject));
    values_.reserve(count_);
    JUNTO_TRY(Walk());
    return out->Adopt(std::move(values_), region_.Release(), Block());
  }

 private:
  enum class Kind : uint8_t { kNone, kBools, kIntegers, kNumbers, kStrings, kMixed };

  Status Walk() {
    JsonReader reader(text_, memory_);
    JUNTO_TRY(Members(&reader, 1));
    return reader.End();
  }

  Status Members(JsonReader* reader, size_t depth) {
    return reader->Object([&](std::string_view key) -> Status {
      const size_t size = path_.size();
      if (size != 0) path_.push_back('.');
      path_.append(key);
      JUNTO_TRY(Value(reader, depth));
      path_.resize(size);
      return Status();
    });
  }

  Status Value(JsonReader* reader, size_t depth) {
    JsonKind kind = JsonKind::kNull;
    JUNTO_TRY(reader->Peek(&kind));
    if (kind == JsonKind::kNull) return reader->Skip();
    if (kind == JsonKind::kObject) {
      return depth < kMaxDepth ? Members(reader, depth + 1) : reader->Skip();
    }
    kind_ = Kind::kNone;
    elements_.clear();
    texts_.clear();
    ends_.clear();
    if (kind != JsonKind::kArray) {
      JUNTO_TRY(Element(reader));
      return Keep(false);
    }
    JUNTO_TRY(reader->Array([&] { return Element(reader); }));
    return kind_ == Kind::kNone || kind_ == Kind::kMixed ? Status() : Keep(true);
  }

  void Join(Kind kind) {
    const bool numbers = (kind_ == Kind::kIntegers && kind == Kind::kNumbers) ||
                         (kind_ == Kind::kNumbers && kind == Kind::kIntegers);
    kind_ = kind_ == Kind::kNone || kind_ == kind ? kind : numbers ? Kind::kNumbers : Kind::kMixed;
  }

  // One scalar, of which the bits are kept as an integer or a double.
  Status Element(JsonReader* reader) {
    JsonKind kind = JsonKind::kNull;
    JUNTO_TRY(reader->Peek(&kind));
    if (kind == JsonKind::kString) {
      Join(Kind::kStrings);
      JUNTO_TRY(reader->ReadString(&texts_));
      ends_.push_back(texts_.size());
      return Status();
    }
    if (kind == JsonKind::kBool) {
      bool value = false;
      Join(Kind::kBools);
      JUNTO_TRY(reader->ReadBool(&value));
      elements_.push_back({value ? 1 : 0, 0.0});
      return Status();
    }
    if (kind != JsonKind::kNumber) {
      Join(Kind::kMixed);
      return reader->Skip();
    }
    std::string_view text;
    JUNTO_TRY(reader->ReadNumber(&text));
    Number number;
    const char* const end = text.data() + text.size();
    const std::from_chars_result read = std::from_chars(text.data(), end, number.integer);
    const bool whole = read.ptr == end && read.ec == std::errc();
    Join(whole ? Kind::kIntegers : Kind::kNumbers);
    number.real = NumberOf(text);
    elements_.push_back(number);
    return Status();
  }

  // The pair of what was read last.
  Status Keep(bool is_array) {
    MetadataValue value;
    uint8_t* key = nullptr;
    uint8_t* data = nullptr;
    const size_t count = kind_ == Kind::kStrings ? ends_.size() : elements_.size();
    const size_t element = kind_ == Kind::kStrings ? sizeof(std::string_view)
                           : kind_ == Kind::kBools ? 1
                                                   : 8;
    if (!region_.Take(count * element, element, &data) || !region_.Take(path_.size(), 1, &key)) {
      return Changed();
    }
    uint8_t* text = nullptr;
    if (kind_ == Kind::kStrings && !region_.Take(texts_.size(), 1, &text)) return Changed();
    if (region_.measuring()) {
      ++count_;
      return Status();
    }
    std::memcpy(key, path_.data(), path_.size());
    value.key = {reinterpret_cast<const char*>(key), path_.size()};
    value.is_array = is_array;
    value.count = count;
    value.data = data;
    if (kind_ == Kind::kStrings) {
      value.type = MetadataType::kString;
      KeepTexts(reinterpret_cast<char*>(text), data);
    } else {
      value.type = kind_ == Kind::kBools      ? MetadataType::kBool
                   : kind_ == Kind::kIntegers ? MetadataType::kI64
                                              : MetadataType::kF64;
      for (size_t i = 0; i < count; ++i) KeepNumber(elements_[i], data + i * element);
    }
    values_.push_back(value);
    return Status();
  }

  struct Number {
    int64_t integer = 0;
    double real = 0.0;
  };
  void KeepNumber(const Number& number, uint8_t* dst) const {
    if (kind_ == Kind::kBools) {
      *dst = static_cast<uint8_t>(number.integer);
    } else if (kind_ == Kind::kIntegers) {
      std::memcpy(dst, &number.integer, sizeof(number.integer));
    } else {
      std::memcpy(dst, &number.real, sizeof(number.real));
    }
  }

  void KeepTexts(char* text, uint8_t* views) const {
    texts_.copy(text, texts_.size());
    size_t begin = 0;
    for (size_t i = 0; i < ends_.size(); ++i) {
      new (views + i * sizeof(std::string_view)) std::string_view(text + begin, ends_[i] - begin);
      begin = ends_[i];
    }
  }

  Status Changed() const {
    return Status::Make(Code::kInternal, "%zu bytes of JSON read otherwise the second time",
                        text_.size());
  }

  std::string_view text_;
  Memory* memory_;
  String path_;
  Vector<Number> elements_;
  String texts_;         // of an array's strings, one after the other
  Vector<size_t> ends_;  // of each
  Kind kind_ = Kind::kNone;
  gguf::Region region_;
  size_t count_ = 0;
  Vector<MetadataValue> values_;
};

// config.json. A model of text and more has the text's keys in an object of their own,
// "text_config", which goes before the others. Failures name the key.
class Config {
 public:
  explicit Config(const Metadata* pairs) : pairs_(pairs) {}

  const MetadataValue* Find(std::string_view name) const {
    const MetadataValue* value = pairs_->Find(InText(name));
    return value != nullptr ? value : pairs_->Find(name);
  }
  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  Status U32(std::string_view name, uint32_t* out) const { return pairs_->GetU32(Key(name), out); }
  Status U32Or(std::string_view name, uint32_t fallback, uint32_t* out) const {
    return pairs_->GetU32Or(Key(name), fallback, out);
  }
  Status F32(std::string_view name, float* out) const { return pairs_->GetF32(Key(name), out); }
  Status F32Or(std::string_view name, float fallback, float* out) const {
    return pairs_->GetF32Or(Key(name), fallback, out);
  }
  Status BoolOr(std::string_view name, bool fallback, bool* out) const {
    return pairs_->GetBoolOr(Key(name), fallback, out);
  }
  Status String(std::string_view name, std::string_view* out) const {
    return pairs_->GetString(Key(name), out);
  }
  Status StringOr(std::string_view name, std::string_view fallback, std::string_view* out) const {
    return pairs_->GetStringOr(Key(name), fallback, out);
  }
  // Exactly out.size() numbers, or one for all.
  Status U32s(std::string_view name, Span<uint32_t> out) const {
    return pairs_->GetU32s(Key(name), out);
  }

  // The flag of each layer whose kind is `kind`, of an array of exactly so many kinds.
  Status Kinds(std::string_view name, std::string_view kind, Span<uint32_t> out) const {
    Span<const std::string_view> kinds;
    JUNTO_TRY(pairs_->GetStrings(Key(name), &kinds));
    if (kinds.size() != out.size()) {
      return metadata::KeyError(Code::kFormat, Key(name), "%zu elements found, %zu expected",
                                kinds.size(), out.size());
    }
    for (size_t i = 0; i < out.size(); ++i) out[i] = kinds[i] == kind ? 1 : 0;
    return Status();
  }

  // That a number, where it is there, is what this program computes with.
  Status Expect(std::string_view name, double wanted) const {
    float value = 0.0f;
    JUNTO_TRY(F32Or(name, static_cast<float>(wanted), &value));
    if (value == static_cast<float>(wanted)) return Status();
    return metadata::KeyError(Code::kUnsupported, Key(name), "%g expected, %g found", wanted,
                              static_cast<double>(value));
  }
  Status Expect(std::string_view name, bool wanted) const {
    bool value = false;
    JUNTO_TRY(BoolOr(name, wanted, &value));
    if (value == wanted) return Status();
    return metadata::KeyError(Code::kUnsupported, Key(name), "%d expected, %d found", wanted,
                              value);
  }
  Status Expect(std::string_view name, const char* wanted) const {
    std::string_view value;
    JUNTO_TRY(StringOr(name, wanted, &value));
    if (value == wanted) return Status();
    value = Utf8Prefix(value, 64);
    return metadata::KeyError(Code::kUnsupported, Key(name),
                              "'%s' expected, %zu bytes '%.*s' found", wanted, value.size(),
                              static_cast<int>(value.size()), value.data());
  }

  // The key as it stands in the file, valid until the next call.
  std::string_view Key(std::string_view name) const {
    const std::string_view in_text = InText(name);
    return pairs_->Find(in_text) != nullptr ? in_text : name;
  }

 private:
  std::string_view InText(std::string_view name) const {
    const int size = std::snprintf(key_, sizeof(key_), "text_config.%.*s",
                                   static_cast<int>(name.size()), name.data());
    return {key_, std::min(static_cast<size_t>(size), sizeof(key_) - 1)};
  }

  const Metadata* pairs_;
  mutable char key_[128] = "";
};

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_CONFIG_H_
