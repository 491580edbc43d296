// A piece of work on each of a few threads.
#ifndef JUNTO_EXAMPLES_CLI_THREADS_H_
#define JUNTO_EXAMPLES_CLI_THREADS_H_

#include <thread>
#include <vector>

namespace cli {

// Runs body(t) for every t < threads, each on a thread of its own; 0 on the caller's.
template <typename Body>
void OnThreads(unsigned threads, Body body) {
  std::vector<std::thread> others;
  for (unsigned t = 1; t < threads; ++t) others.emplace_back(body, t);
  body(0u);
  for (std::thread& other : others) other.join();
}

}  // namespace cli

#endif  // JUNTO_EXAMPLES_CLI_THREADS_H_
