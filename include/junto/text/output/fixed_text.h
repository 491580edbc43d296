// FixedText: a short text that never allocates.
#ifndef JUNTO_TEXT_OUTPUT_FIXED_TEXT_H_
#define JUNTO_TEXT_OUTPUT_FIXED_TEXT_H_

#include <cstddef>
#include <cstring>
#include <string_view>

namespace junto {

template <size_t kCapacity>
class FixedText {
 public:
  // False, and nothing added, when it is full.
  bool Add(char c) {
    if (size_ == kCapacity) return false;
    bytes_[size_++] = c;
    return true;
  }
  // Takes the first `bytes` away.
  void Drop(size_t bytes) {
    size_ -= bytes;
    std::memmove(bytes_, bytes_ + bytes, size_);
  }
  void Clear() { size_ = 0; }

  bool empty() const { return size_ == 0; }
  bool full() const { return size_ == kCapacity; }
  size_t size() const { return size_; }
  std::string_view view() const { return {bytes_, size_}; }

 private:
  char bytes_[kCapacity] = {};
  size_t size_ = 0;
};

inline bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

inline std::string_view TrimSpace(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

inline bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_FIXED_TEXT_H_
