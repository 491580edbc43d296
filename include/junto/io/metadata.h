// Metadata: the key/value pairs of a model file, with their types checked at every look-up.
#ifndef JUNTO_IO_METADATA_H_
#define JUNTO_IO_METADATA_H_

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/base/utf8.h"

namespace junto {

// Values are the ids of the GGUF specification.
enum class MetadataType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// One pair. A scalar is kept as an array of one, so both are read the same way.
struct MetadataValue {
  std::string_view key;
  MetadataType type = MetadataType::kU8;  // of each element, never kArray
  bool is_array = false;
  uint64_t count = 1;          // elements; 1 for a scalar
  const void* data = nullptr;  // `count` elements, naturally aligned; strings: std::string_view
};

// Name and size of a type's elements as they lie in a file; strings have no fixed size.
struct MetadataTypeInfo {
  const char* name;
  uint32_t bytes;
};

// nullptr when no such type is known.
inline const MetadataTypeInfo* FindMetadataType(uint32_t id) {
  static constexpr MetadataTypeInfo kTypes[] = {
      {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
      {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8}};
  return id < sizeof(kTypes) / sizeof(kTypes[0]) ? &kTypes[id] : nullptr;
}

inline const char* MetadataTypeName(MetadataType type) {
  const MetadataTypeInfo* info = FindMetadataType(static_cast<uint32_t>(type));
  return info == nullptr ? "unknown" : info->name;
}

// Immutable once filled, so any number of threads may look things up. Every failure of a Get is
// E_FORMAT, names the key, and leaves the output as it was. Views live as long as this object.
class Metadata {
 public:
  explicit Metadata(Memory* memory) : values_({memory, Tag::kObject}) {}

  // Takes the pairs and the blocks they point into. A key that comes twice is an error.
  Status Adopt(Vector<MetadataValue> values, Block objects, Block tokenizer);

  Span<const MetadataValue> values() const { return values_; }  // ascending by key
  const MetadataValue* Find(std::string_view key) const;        // nullptr when absent

  // Scalars. The plain form requires the key; ...Or gives the fallback when it is absent, and still
  // fails when it is there with another type or out of range.
  // U32 takes any integer type, F32 any number whose nearest float is finite.
  Status GetU32(std::string_view key, uint32_t* out) const;
  Status GetU32Or(std::string_view key, uint32_t fallback, uint32_t* out) const;
  Status GetF32(std::string_view key, float* out) const;
  Status GetF32Or(std::string_view key, float fallback, float* out) const;
  Status GetBool(std::string_view key, bool* out) const;
  Status GetBoolOr(std::string_view key, bool fallback, bool* out) const;
  Status GetString(std::string_view key, std::string_view* out) const;
  Status GetStringOr(std::string_view key, std::string_view fallback, std::string_view* out) const;

  // Exactly dst.size() elements of any integer type or bool; a scalar goes to every element.
  Status GetU32s(std::string_view key, Span<uint32_t> dst) const;
  Status GetU32sOr(std::string_view key, uint32_t fallback, Span<uint32_t> dst) const;

  // Arrays in place, of any length. I32s also takes u32 elements that fit.
  Status GetStrings(std::string_view key, Span<const std::string_view>* out) const;
  Status GetI32s(std::string_view key, Span<const int32_t>* out) const;
  Status GetF32s(std::string_view key, Span<const float>* out) const;
  Status GetBytes(std::string_view key, std::string_view* out) const;  // elements of 8 bits

  // The value as NUL-terminated text: numbers in their shortest exact form, arrays as their element
  // count. `*size` is the length without the NUL. With dst == nullptr only the size is given; a
  // capacity below size + 1 is E_SHORT_BUFFER and writes nothing; an unknown key is E_INVALID.
  Status Format(std::string_view key, char* dst, size_t capacity, size_t* size) const;

 private:
  Vector<MetadataValue> values_;
  Block objects_;
  Block tokenizer_;
};

namespace metadata {

// A failure that begins with the key, which may be long.
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
inline Status
KeyError(Code code, std::string_view key, const char* format, ...) {
  char text[Status::kMessageCapacity];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  key = Utf8Prefix(key, 96);
  return Status::Make(code, "key '%.*s': %s", static_cast<int>(key.size()), key.data(), text);
}

inline Status Missing(std::string_view key) { return KeyError(Code::kFormat, key, "missing"); }

inline Status WrongType(const MetadataValue& value, const char* wanted) {
  return KeyError(Code::kFormat, value.key, "%s%s found where %s is expected",
                  value.is_array ? "array of " : "", MetadataTypeName(value.type), wanted);
}

template <class T>
T At(const MetadataValue& value, uint64_t i) {
  return static_cast<const T*>(value.data)[i];
}

// Sign and size hold every integer type there is.
struct Integer {
  bool negative;
  uint64_t magnitude;
};

inline Integer FromSigned(int64_t x) {
  return {x < 0, x < 0 ? 0 - static_cast<uint64_t>(x) : static_cast<uint64_t>(x)};
}

inline bool AsInteger(const MetadataValue& value, uint64_t i, Integer* out) {
  switch (value.type) {
    case MetadataType::kU8:
    case MetadataType::kBool:
      *out = {false, At<uint8_t>(value, i)};
      return true;
    case MetadataType::kU16:
      *out = {false, At<uint16_t>(value, i)};
      return true;
    case MetadataType::kU32:
      *out = {false, At<uint32_t>(value, i)};
      return true;
    case MetadataType::kU64:
      *out = {false, At<uint64_t>(value, i)};
      return true;
    case MetadataType::kI8:
      *out = FromSigned(At<int8_t>(value, i));
      return true;
    case MetadataType::kI16:
      *out = FromSigned(At<int16_t>(value, i));
      return true;
    case MetadataType::kI32:
      *out = FromSigned(At<int32_t>(value, i));
      return true;
    case MetadataType::kI64:
      *out = FromSigned(At<int64_t>(value, i));
      return true;
    default:
      return false;
  }
}

inline Status ToU32(const MetadataValue& value, uint64_t i, uint32_t* out) {
  constexpr uint32_t kMost = std::numeric_limits<uint32_t>::max();
  Integer integer = {};
  if (!AsInteger(value, i, &integer)) return WrongType(value, "an integer");
  if (integer.negative || integer.magnitude > kMost) {
    return metadata::KeyError(Code::kFormat, value.key, "%s%llu is outside 0 to %u",
                              integer.negative ? "-" : "",
                              static_cast<unsigned long long>(integer.magnitude), kMost);
  }
  *out = static_cast<uint32_t>(integer.magnitude);
  return Status();
}

inline Status ToScalar(const MetadataValue& value, uint32_t* out) {
  if (value.is_array || value.type == MetadataType::kBool) return WrongType(value, "an integer");
  return ToU32(value, 0, out);
}

inline Status ToScalar(const MetadataValue& value, float* out) {
  Integer integer = {};
  double number = 0;
  if (value.is_array || value.type == MetadataType::kBool) return WrongType(value, "a number");
  if (value.type == MetadataType::kF32) {
    number = At<float>(value, 0);
  } else if (value.type == MetadataType::kF64) {
    number = At<double>(value, 0);
  } else if (AsInteger(value, 0, &integer)) {
    number = static_cast<double>(integer.magnitude) * (integer.negative ? -1 : 1);
  } else {
    return WrongType(value, "a number");
  }
  if (!(std::fabs(number) <= std::numeric_limits<float>::max())) {
    return metadata::KeyError(Code::kFormat, value.key, "%g is not a finite 32-bit number", number);
  }
  *out = static_cast<float>(number);
  return Status();
}

inline Status ToScalar(const MetadataValue& value, bool* out) {
  if (value.is_array || value.type != MetadataType::kBool) return WrongType(value, "a bool");
  *out = At<uint8_t>(value, 0) != 0;
  return Status();
}

inline Status ToScalar(const MetadataValue& value, std::string_view* out) {
  if (value.is_array || value.type != MetadataType::kString) return WrongType(value, "a string");
  *out = At<std::string_view>(value, 0);
  return Status();
}

template <class T>
Status Get(const Metadata& pairs, std::string_view key, T* out) {
  const MetadataValue* value = pairs.Find(key);
  return value == nullptr ? Missing(key) : ToScalar(*value, out);
}

template <class T>
Status GetOr(const Metadata& pairs, std::string_view key, T fallback, T* out) {
  const MetadataValue* value = pairs.Find(key);
  if (value != nullptr) return ToScalar(*value, out);
  *out = fallback;
  return Status();
}

// An array of elements that are stored as T; `is_t` tells whether a type is.
template <class T, class IsT>
Status GetArray(const Metadata& pairs, std::string_view key, const char* wanted, IsT is_t,
                Span<const T>* out) {
  const MetadataValue* value = pairs.Find(key);
  if (value == nullptr) return Missing(key);
  if (!value->is_array || !is_t(value->type)) return WrongType(*value, wanted);
  *out = {static_cast<const T*>(value->data), static_cast<size_t>(value->count)};
  return Status();
}

// A number, string or count as text; the result lives in `buffer` or in the value.
inline std::string_view Text(const MetadataValue& value, char* buffer, size_t capacity) {
  Integer integer = {};
  char* end = buffer;
  if (value.is_array) {
    end = std::to_chars(buffer, buffer + capacity, value.count).ptr;
  } else if (value.type == MetadataType::kString) {
    return At<std::string_view>(value, 0);
  } else if (value.type == MetadataType::kBool) {
    return At<uint8_t>(value, 0) != 0 ? "true" : "false";
  } else if (value.type == MetadataType::kF32) {
    end = std::to_chars(buffer, buffer + capacity, At<float>(value, 0)).ptr;
  } else if (value.type == MetadataType::kF64) {
    end = std::to_chars(buffer, buffer + capacity, At<double>(value, 0)).ptr;
  } else if (AsInteger(value, 0, &integer)) {
    if (integer.negative) *end++ = '-';
    end = std::to_chars(end, buffer + capacity, integer.magnitude).ptr;
  }
  return {buffer, static_cast<size_t>(end - buffer)};
}

}  // namespace metadata

inline Status Metadata::Adopt(Vector<MetadataValue> values, Block objects, Block tokenizer) {
  std::sort(values.begin(), values.end(),
            [](const MetadataValue& a, const MetadataValue& b) { return a.key < b.key; });
  for (size_t i = 1; i < values.size(); ++i) {
    if (values[i].key != values[i - 1].key) continue;
    return metadata::KeyError(Code::kFormat, values[i].key, "comes twice");
  }
  values_ = std::move(values);
  objects_ = std::move(objects);
  tokenizer_ = std::move(tokenizer);
  return Status();
}

inline const MetadataValue* Metadata::Find(std::string_view key) const {
  const auto at = std::lower_bound(
      values_.begin(), values_.end(), key,
      [](const MetadataValue& value, std::string_view wanted) { return value.key < wanted; });
  return at != values_.end() && at->key == key ? &*at : nullptr;
}

inline Status Metadata::GetU32(std::string_view key, uint32_t* out) const {
  return metadata::Get(*this, key, out);
}
inline Status Metadata::GetU32Or(std::string_view key, uint32_t fallback, uint32_t* out) const {
  return metadata::GetOr(*this, key, fallback, out);
}
inline Status Metadata::GetF32(std::string_view key, float* out) const {
  return metadata::Get(*this, key, out);
}
inline Status Metadata::GetF32Or(std::string_view key, float fallback, float* out) const {
  return metadata::GetOr(*this, key, fallback, out);
}
inline Status Metadata::GetBool(std::string_view key, bool* out) const {
  return metadata::Get(*this, key, out);
}
inline Status Metadata::GetBoolOr(std::string_view key, bool fallback, bool* out) const {
  return metadata::GetOr(*this, key, fallback, out);
}
inline Status Metadata::GetString(std::string_view key, std::string_view* out) const {
  return metadata::Get(*this, key, out);
}
inline Status Metadata::GetStringOr(std::string_view key, std::string_view fallback,
                                    std::string_view* out) const {
  return metadata::GetOr(*this, key, fallback, out);
}

inline Status Metadata::GetU32s(std::string_view key, Span<uint32_t> dst) const {
  const MetadataValue* value = Find(key);
  if (value == nullptr) return metadata::Missing(key);
  if (!value->is_array) {
    uint32_t scalar = 0;
    JUNTO_TRY(metadata::ToU32(*value, 0, &scalar));
    std::fill(dst.begin(), dst.end(), scalar);
    return Status();
  }
  if (value->count != dst.size()) {
    return metadata::KeyError(Code::kFormat, key, "%llu elements found, %llu expected",
                              static_cast<unsigned long long>(value->count),
                              static_cast<unsigned long long>(dst.size()));
  }
  for (size_t i = 0; i < dst.size(); ++i) JUNTO_TRY(metadata::ToU32(*value, i, &dst[i]));
  return Status();
}

inline Status Metadata::GetU32sOr(std::string_view key, uint32_t fallback,
                                  Span<uint32_t> dst) const {
  if (Find(key) != nullptr) return GetU32s(key, dst);
  std::fill(dst.begin(), dst.end(), fallback);
  return Status();
}

inline Status Metadata::GetStrings(std::string_view key, Span<const std::string_view>* out) const {
  const auto is_string = [](MetadataType type) { return type == MetadataType::kString; };
  return metadata::GetArray(*this, key, "an array of strings", is_string, out);
}

inline Status Metadata::GetI32s(std::string_view key, Span<const int32_t>* out) const {
  const auto is_word = [](MetadataType type) {
    return type == MetadataType::kI32 || type == MetadataType::kU32;
  };
  Span<const int32_t> words;
  JUNTO_TRY(metadata::GetArray(*this, key, "an array of i32", is_word, &words));
  if (Find(key)->type == MetadataType::kU32) {
    for (const int32_t& word : words) {
      if (word >= 0) continue;
      return metadata::KeyError(Code::kFormat, key, "%u is outside 0 to %d",
                                static_cast<uint32_t>(word), std::numeric_limits<int32_t>::max());
    }
  }
  *out = words;
  return Status();
}

inline Status Metadata::GetF32s(std::string_view key, Span<const float>* out) const {
  const auto is_float = [](MetadataType type) { return type == MetadataType::kF32; };
  return metadata::GetArray(*this, key, "an array of f32", is_float, out);
}

inline Status Metadata::GetBytes(std::string_view key, std::string_view* out) const {
  const auto is_byte = [](MetadataType type) {
    return type == MetadataType::kU8 || type == MetadataType::kI8;
  };
  Span<const char> bytes;
  JUNTO_TRY(metadata::GetArray(*this, key, "an array of u8", is_byte, &bytes));
  *out = {bytes.data(), bytes.size()};
  return Status();
}

inline Status Metadata::Format(std::string_view key, char* dst, size_t capacity,
                               size_t* size) const {
  const MetadataValue* value = Find(key);
  if (value == nullptr) {
    return metadata::KeyError(Code::kInvalid, key, "missing");
  }
  char buffer[48];
  const std::string_view text = metadata::Text(*value, buffer, sizeof(buffer));
  *size = text.size();
  if (dst == nullptr) return Status();
  if (capacity <= text.size()) {
    return Status::Make(Code::kShortBuffer, "%llu bytes given, %llu needed",
                        static_cast<unsigned long long>(capacity),
                        static_cast<unsigned long long>(text.size() + 1));
  }
  std::memcpy(dst, text.data(), text.size());
  dst[text.size()] = '\0';
  return Status();
}

}  // namespace junto

#endif  // JUNTO_IO_METADATA_H_
