// The program around a file of tests.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <cinttypes>
#include <cstdio>

#include "tests/support/bits.h"

int main(int argc, char** argv) {
  const int status = Catch::Session().run(argc, argv);
  const junto::test::Bits& bits = junto::test::Bits::OfThisProgram();
  if (bits.results() != 0) {
    std::printf("bits of %" PRIu64 " results: %016" PRIx64 "\n", bits.results(), bits.digest());
  }
  return status;
}
