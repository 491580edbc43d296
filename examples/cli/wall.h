// How fast this machine reads memory: the wall that decoding runs against, as each new token reads
// every active weight once.
#ifndef JUNTO_EXAMPLES_CLI_WALL_H_
#define JUNTO_EXAMPLES_CLI_WALL_H_

#include <cstdint>
#include <vector>

namespace cli {

// Bytes per second of `rounds` reads by `threads` threads, each over its own part of a buffer far
// larger than the caches, in eight streams: 1 GiB, or less where there is less to be had.
std::vector<double> ReadBandwidth(unsigned threads, unsigned rounds);

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_WALL_H_
