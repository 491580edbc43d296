#include "c_api/dispatch.h"

// Highway includes this file once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "c_api/dispatch.cc"
#include "junto/kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "junto/kernels/table-inl.h"

#ifndef JUNTO_C_API_DISPATCH_CANDIDATE_
#define JUNTO_C_API_DISPATCH_CANDIDATE_
namespace junto {
namespace {

struct Candidate {
  int64_t target;  // Highway's bit
  const KernelTable* table;
};

}  // namespace
}  // namespace junto
#endif

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace {

Candidate GetCandidate() { return {HWY_TARGET, Table()}; }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace junto {
namespace {

// In Highway's order, which is best first; targets that were not compiled are nullptr.
constexpr Candidate (*kCompiled[])() = {
    HWY_CHOOSE_TARGET_LIST(GetCandidate),
    HWY_CHOOSE_FALLBACK(GetCandidate),
};
constexpr size_t kMaxCandidates = sizeof(kCompiled) / sizeof(kCompiled[0]);

// What of kCompiled runs here, in the same order.
struct Supported {
  Supported() {
    const int64_t targets = hwy::SupportedTargets();
    for (auto get : kCompiled) {
      if (get == nullptr) continue;
      const Candidate candidate = get();
      const bool repeated = count != 0 && tables[count - 1] == candidate.table;
      if ((candidate.target & targets) == 0 || repeated) continue;
      bits[count] = candidate.target;
      tables[count++] = candidate.table;
    }
  }

  size_t count = 0;
  int64_t bits[kMaxCandidates] = {};
  const KernelTable* tables[kMaxCandidates] = {};
};

const Supported& GetSupported() {
  static const Supported supported;
  return supported;
}

}  // namespace

Span<const KernelTable* const> SupportedKernels() {
  const Supported& supported = GetSupported();
  return {supported.tables, supported.count};
}

const KernelTable* ChooseKernels(uint64_t deny) {
  const Supported& supported = GetSupported();
  for (size_t i = 0; i < supported.count; ++i) {
    if ((static_cast<uint64_t>(supported.bits[i]) & deny) == 0) return supported.tables[i];
  }
  return nullptr;
}

}  // namespace junto
#endif  // HWY_ONCE
