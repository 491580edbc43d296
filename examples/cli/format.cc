#include "format.h"

#include <cstdarg>
#include <cstdio>
#include <iterator>

namespace cli {
namespace {

// value in the largest unit that leaves at least 1, units being `step` apart.
template <size_t N>
std::string Scaled(uint64_t value, double step, const char* const (&units)[N]) {
  double scaled = static_cast<double>(value);
  size_t unit = 0;
  while (scaled >= step && unit + 1 < N) {
    scaled /= step;
    ++unit;
  }
  return unit == 0 ? Format("%.0f%s", scaled, units[0]) : Format("%.1f%s", scaled, units[unit]);
}

// Bytes of the valid UTF-8 sequence that starts at text[i], or 0.
size_t SequenceLength(const std::string& text, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char lead = byte(i);
  const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (length == 0 || lead > 0xF4 || i + length > text.size()) return 0;
  for (size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  }
  if ((lead == 0xE0 && byte(i + 1) < 0xA0) || (lead == 0xED && byte(i + 1) > 0x9F)) return 0;
  if ((lead == 0xF0 && byte(i + 1) < 0x90) || (lead == 0xF4 && byte(i + 1) > 0x8F)) return 0;
  return length;
}

}  // namespace

std::string Format(const char* format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  std::string text(static_cast<size_t>(std::vsnprintf(nullptr, 0, format, args)), '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  va_end(args);
  return text;
}

std::string Bytes(uint64_t bytes) {
  return Scaled(bytes, 1024, {" bytes", " KiB", " MiB", " GiB", " TiB"});
}

std::string Count(uint64_t count) {
  return Scaled(count, 1000, {"", " thousand", " million", " billion"});
}

std::string Quote(const std::string& text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    const size_t length = SequenceLength(text, i);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '"' || c == '\\') {
      out += {'\\', text[i]};
    } else if (length == 0) {
      out += Format("\\x%02X", c);
    } else if (c < 0x20 || c == 0x7F) {
      out += Format("\\u%04X", c);
    } else {
      out.append(text, i, length);
    }
    i += length == 0 ? 1 : length;
  }
  return out + '"';
}

double PerSecond(uint64_t count, uint64_t ns) {
  return ns == 0 ? 0.0 : static_cast<double>(count) * 1e9 / static_cast<double>(ns);
}

}  // namespace cli
