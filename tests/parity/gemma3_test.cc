// Gemma 3 270M, a file as people have it, against what HF transformers computes from its weights
// (tests/data/gemma3/README.md), on plain English.
#include "tests/support/real_model.h"

namespace junto {
namespace {

using namespace test;  // NOLINT: the vocabulary of these tests

constexpr char kReference[] = JUNTO_TEST_DATA "/gemma3/reference.gguf";

TEST_CASE("what follows a text is token for token that of HF transformers") {
  Host host(2);
  const auto tokens = ReadReference<int32_t>(&host, kReference, "prompt.tokens");
  const auto expected = ReadReference<int32_t>(&host, kReference, "prompt.continuation");
  const auto model = host.Load(JUNTO_TEST_MODEL, Widened());
  Prompt prompt(model.get());
  RequireOk(prompt.AddTokens({tokens.data(), tokens.size()}));
  const Answer answer = Generate(&host, *model, prompt, expected.size());
  INFO(answer.text);
  CHECK(answer.tokens == expected);
}

TEST_CASE("float weights equal HF, int8 activations lose less than llama.cpp's") {
  Host host(2);
  const Distance distance = ReadBothWays(&host, kReference, 64);
  // llama.cpp on this text: KL 0.0050, top-1 95.5 %, NMSE 2.3e-3.
  INFO("KL " << distance.divergence() << " +- " << distance.divergence_error() << ", top-1 "
             << distance.agreement() << ", NMSE " << distance.nmse());
  CHECK(distance.divergence() <= 0.0008);
  CHECK(distance.agreement() >= 0.975);
  CHECK(distance.nmse() <= 5e-4);
}

}  // namespace
}  // namespace junto
