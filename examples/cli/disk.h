// How fast the disk gives what a model that streams its experts reads.
#ifndef JUNTO_EXAMPLES_CLI_DISK_H_
#define JUNTO_EXAMPLES_CLI_DISK_H_

#include <cstdint>
#include <string>

namespace cli {

// Bytes per second of reads of `size` bytes at aligned places all over a file, four at a time and
// past the system's cache where it allows that; measured for a second or two. 0 where the file
// cannot be read so.
double DiskBandwidth(const std::string& path, uint64_t size);

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_DISK_H_
