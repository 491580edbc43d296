// Tables of kernels: complete, best first, and chosen by each runtime for itself.
#include "c_api/dispatch.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

namespace junto {
namespace {

TEST_CASE("every table is complete and has a name of its own") {
  std::set<std::string> names;
  for (const KernelTable* table : SupportedKernels()) {
    CAPTURE(table->target);
    CHECK(names.insert(table->target).second);
    const bool complete = table->rms_norm && table->quantise && table->activate && table->rope &&
                          table->add && table->scale_add && table->scale && table->softcap &&
                          table->route && table->store_kv && table->attention && table->matmul;
    CHECK(complete);
  }
  CHECK(names.size() >= 1);
}

TEST_CASE("the same tables every time") {
  const auto first = SupportedKernels(), second = SupportedKernels();
  REQUIRE(first.size() == second.size());
  for (size_t i = 0; i < first.size(); ++i) CHECK(first[i] == second[i]);
}

TEST_CASE("denying nothing gives the best, denying everything nothing") {
  CHECK(ChooseKernels(0) == SupportedKernels()[0]);
  CHECK(ChooseKernels(UINT64_MAX) == nullptr);
}

// Highway's bits run from the best target to the plainest, so denying ever more of them from below
// walks through all tables in order.
TEST_CASE("denying the best leaves the next best") {
  const auto tables = SupportedKernels();
  size_t at = 0;
  uint64_t deny = 0;
  for (int bit = 0; bit < 64; ++bit) {
    deny |= uint64_t{1} << bit;
    const KernelTable* next = at + 1 < tables.size() ? tables[at + 1] : nullptr;
    const KernelTable* chosen = ChooseKernels(deny);
    if (chosen == next) ++at;
    if (at == tables.size()) break;
    REQUIRE(chosen == tables[at]);
  }
  CHECK(at == tables.size());
}

}  // namespace
}  // namespace junto
