// Numbers and text as a person or a program reads them.
#ifndef JUNTO_EXAMPLES_CLI_FORMAT_H_
#define JUNTO_EXAMPLES_CLI_FORMAT_H_

#include <cstdint>
#include <string>

namespace cli {

// printf into a string.
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
std::string
Format(const char* format, ...);

std::string Bytes(uint64_t bytes);  // "93.8 MiB"
std::string Count(uint64_t count);  // "134.5 million"
// In quotes, on one line; what does not print becomes an escape, bytes that are not UTF-8 \xNN.
std::string Quote(const std::string& text);

double PerSecond(uint64_t count, uint64_t ns);  // 0 when no time has passed

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_FORMAT_H_
