// For tests of real weights. Where the file is absent the program says so and returns 77, which
// ctest counts as skipped, not as passed.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <cstdio>

int main(int argc, char** argv) {
  std::FILE* file = std::fopen(JUNTO_TEST_MODEL, "rb");
  if (file == nullptr) {
    std::printf("skipped: there is no '%s'; third_party/smollm2.sh obtains it\n", JUNTO_TEST_MODEL);
    return 77;
  }
  std::fclose(file);
  return Catch::Session().run(argc, argv);
}
