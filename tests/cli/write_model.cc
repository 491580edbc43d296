// write_model FILE TEMPLATE PIECE...: a model that says the second piece after the first, and so
// on.
#include <cstdio>
#include <string>
#include <vector>

#include "tests/support/script.h"

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const junto::test::Script script(argv[2], std::vector<std::string>(argv + 3, argv + argc));
  std::FILE* file = std::fopen(argv[1], "wb");
  if (file == nullptr) return 1;
  const size_t size = std::fwrite(script.bytes.data(), 1, script.bytes.size(), file);
  return std::fclose(file) == 0 && size == script.bytes.size() ? 0 : 1;
}
