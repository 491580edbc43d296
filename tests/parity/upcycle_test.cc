// Real weights as mixtures of experts whose answer is known: the dense model they were made of.
#include "tests/support/upcycle.h"

#include <cmath>
#include <cstring>

#include "tests/support/compare.h"
#include "tests/support/runtime.h"

namespace junto {
namespace {

using test::Host;
using test::RequireOk;
using test::UpcycleOptions;

constexpr uint32_t kLayers = 4;
constexpr size_t kFirstToken = 448;  // a passage whose gates stay below the clamp of gpt-oss
constexpr size_t kTokens = 100;

std::vector<int32_t> English(Host* host) {
  const auto tokens = test::ReadTensor<int32_t>(
      host->Open(JUNTO_TEST_DATA "/smollm2/reference.gguf").get(), "tokens");
  return {tokens.begin() + kFirstToken, tokens.begin() + kFirstToken + kTokens};
}

// The logits of every token under the model in `file`.
std::vector<float> LogitsOf(Host* host, const std::vector<uint8_t>& file, bool widen) {
  Owned<Gguf> gguf;
  RequireOk(Gguf::OpenFile(
      New<MemoryFile, File>(&host->memory, Tag::kObject, file.data(), uint64_t{file.size()}),
      &host->memory, &gguf));
  LoadOptions options;
  options.widen = widen;
  Owned<Model> model;
  RequireOk(Model::Load(std::move(gguf), host->services, options, &model));
  return test::LogitsOf(host, *model, English(host), 64);
}

double Nmse(const std::vector<float>& found, const std::vector<float>& expected) {
  double error = 0.0;
  double power = 0.0;
  for (size_t i = 0; i < found.size(); ++i) {
    error += std::pow(double{found[i]} - expected[i], 2);
    power += std::pow(double{expected[i]}, 2);
  }
  return error / power;
}

TEST_CASE("one expert that is the dense network up to powers of two gives the same bits") {
  Host host(2);
  const auto source = host.Open(JUNTO_TEST_MODEL);
  const test::Upcycler upcycler(source.get(), kLayers);
  const std::vector<uint8_t> dense = upcycler.Dense();
  UpcycleOptions options;
  options.experts_used = 1;
  options.shuffle = false;
  const std::vector<uint8_t> sparse = upcycler.Mixtral(options);
  for (const bool widen : {false, true}) {
    INFO("float weights: " << widen);
    CHECK(test::SameBits(LogitsOf(&host, sparse, widen), LogitsOf(&host, dense, widen)));
  }
}

TEST_CASE("experts with shuffled units equal the dense model, however many, in any order") {
  Host host(2);
  const auto source = host.Open(JUNTO_TEST_MODEL);
  const test::Upcycler upcycler(source.get(), kLayers);
  const std::vector<float> dense = LogitsOf(&host, upcycler.Dense(), true);
  struct Variant {
    uint32_t experts_used;
    uint32_t router_seed;
    uint32_t rotation;
  };
  for (const Variant& variant :
       {Variant{1, 1, 0}, Variant{2, 1, 0}, Variant{8, 1, 0}, Variant{2, 2, 0}, Variant{2, 1, 3}}) {
    UpcycleOptions options;
    options.experts_used = variant.experts_used;
    options.router_seed = variant.router_seed;
    options.rotation = variant.rotation;
    INFO(variant.experts_used << " experts used, router " << variant.router_seed << ", rotated by "
                              << variant.rotation);
    CHECK(test::WorstError(LogitsOf(&host, upcycler.Mixtral(options), true), dense) <= 1e-4);
  }
}

TEST_CASE("parts of different experts do not fit together") {
  Host host(2);
  const auto source = host.Open(JUNTO_TEST_MODEL);
  const test::Upcycler upcycler(source.get(), kLayers);
  const std::vector<float> dense = LogitsOf(&host, upcycler.Dense(), false);
  for (const bool shuffle : {false, true}) {
    UpcycleOptions options;
    options.shuffle = shuffle;
    options.mix_parts = true;
    CHECK(Nmse(LogitsOf(&host, upcycler.Mixtral(options), false), dense) >= 0.01);
  }
}

// The kernels of a host, watching what goes into the activation.
float largest_gate;
float largest_up;
const KernelTable* watched;
void WatchedActivate(const ActivationSpec& spec, const float* gate, const float* up, size_t n,
                     float* y) {
  for (size_t i = 0; i < n; ++i) {
    largest_gate = std::max(largest_gate, gate[i]);
    largest_up = std::max(largest_up, std::abs(up[i]));
  }
  watched->activate(spec, gate, up, n, y);
}

TEST_CASE("clamped experts of gpt-oss equal the dense model where no clamp is reached") {
  watched = SupportedKernels()[0];
  largest_gate = largest_up = 0.0f;
  KernelTable table = *watched;
  table.activate = WatchedActivate;
  Host watching(1, &table);
  const auto source = watching.Open(JUNTO_TEST_MODEL);
  const test::Upcycler upcycler(source.get(), kLayers);
  const std::vector<float> dense = LogitsOf(&watching, upcycler.GptOssDense(), true);
  INFO("largest gate " << largest_gate << ", largest up " << largest_up);
  REQUIRE(largest_gate < test::Upcycler::kLargestGate);
  REQUIRE(largest_up < test::Upcycler::kLargestUp);

  Host host(2);
  for (const uint32_t experts_used : {1u, 4u}) {
    UpcycleOptions options;
    options.experts_used = experts_used;
    const std::vector<uint8_t> sparse = upcycler.GptOss(options);
    INFO(experts_used << " experts used");
    CHECK(test::WorstError(LogitsOf(&host, sparse, true), dense) <= 1e-4);
    CHECK(Nmse(LogitsOf(&host, sparse, false), dense) <= 2e-3);
  }
}

}  // namespace
}  // namespace junto
