// Span: a view of contiguous elements that somebody else owns.
#ifndef JUNTO_BASE_SPAN_H_
#define JUNTO_BASE_SPAN_H_

#include <cstddef>
#include <type_traits>

namespace junto {

template <class T>
class Span {
 public:
  constexpr Span() = default;
  constexpr Span(T* data, size_t size) : data_(data), size_(size) {}
  // From any contiguous container that has data() and size().
  template <class C, class = std::enable_if_t<
                         std::is_convertible<decltype(std::declval<C&>().data()), T*>::value>>
  constexpr Span(C& container) : data_(container.data()), size_(container.size()) {}  // NOLINT

  constexpr T* data() const { return data_; }
  constexpr size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr T& operator[](size_t i) const { return data_[i]; }
  constexpr T* begin() const { return data_; }
  constexpr T* end() const { return data_ + size_; }
  constexpr Span subspan(size_t offset, size_t count) const { return {data_ + offset, count}; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace junto

#endif  // JUNTO_BASE_SPAN_H_
