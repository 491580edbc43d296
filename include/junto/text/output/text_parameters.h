// TextParameters: which parameters of tools are texts, whatever their values look like.
#ifndef JUNTO_TEXT_OUTPUT_TEXT_PARAMETERS_H_
#define JUNTO_TEXT_OUTPUT_TEXT_PARAMETERS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/hash.h"
#include "junto/base/span.h"

namespace junto {

// A sorted list of hashes of a tool's and its parameter's names, whose lowest bit says that null is
// null there. Never allocates.
class TextParameters {
 public:
  static constexpr size_t kMost = 1024;
  enum class Type : uint8_t { kAny, kText, kTextOrNull };

  // The name of a parameter, of a tool of which this is what ToolHash gave.
  static uint64_t Entry(Hash tool, std::string_view parameter, bool null) {
    tool.Add(parameter.data(), parameter.size());
    return (tool.value() & ~uint64_t{1}) | (null ? 1 : 0);
  }
  static Hash ToolHash(std::string_view tool) {
    Hash hash;
    hash.Add(tool.data(), tool.size());
    hash.Add(tool.size());
    return hash;
  }

  TextParameters() = default;
  explicit TextParameters(Span<uint64_t> room) : room_(room) {}

  // Sorted; what there is no room for is any value.
  void Assign(Span<const uint64_t> entries) {
    size_ = std::min(entries.size(), room_.size());
    std::copy(entries.begin(), entries.begin() + size_, room_.begin());
  }
  void CopyFrom(const TextParameters& other) { Assign(other.entries()); }

  Type Of(const Hash& tool, std::string_view parameter) const {
    const uint64_t entry = Entry(tool, parameter, false);
    const uint64_t* const end = room_.begin() + size_;
    const uint64_t* const found = std::lower_bound<const uint64_t*>(room_.begin(), end, entry);
    if (found == end || (*found & ~uint64_t{1}) != entry) return Type::kAny;
    return (*found & 1) != 0 ? Type::kTextOrNull : Type::kText;
  }

  // Writes them with to->Put.
  template <class Writer>
  void Save(Writer* to) const {
    to->Put(static_cast<uint32_t>(size_));
    for (const uint64_t entry : entries()) to->Put(entry);
  }
  // Reads that back with from->Get and Require; without `apply` only checks it.
  template <class Reader>
  void Load(bool apply, Reader* from) {
    const auto count = from->template Get<uint32_t>();
    from->Require(count <= room_.size());
    uint64_t before = 0;
    for (uint32_t i = 0; i < count && from->ok(); ++i) {
      const auto entry = from->template Get<uint64_t>();
      from->Require(i == 0 || before < entry);
      if (apply) room_[i] = entry;
      before = entry;
    }
    if (apply && from->ok()) size_ = count;
  }

 private:
  Span<const uint64_t> entries() const { return {room_.data(), size_}; }

  Span<uint64_t> room_;
  size_t size_ = 0;
};

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_TEXT_PARAMETERS_H_
