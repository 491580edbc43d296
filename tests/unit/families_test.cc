// What families read from files that say little, or the same thing in two ways.
#include "junto/model/families.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "../support/faults.h"
#include "../support/tiny_model.h"

namespace junto {
namespace {

using test::CountingAllocator;
using test::TinyModel;

// A file and what its family makes of it.
struct Fixture {
  explicit Fixture(const TinyModel& model) : bytes(model.Bytes()) {
    Owned<File> file =
        New<MemoryFile, File>(&memory, Tag::kObject, bytes.data(), uint64_t{bytes.size()});
    REQUIRE(Gguf::OpenFile(std::move(file), &memory, &gguf).ok());
    const Status status = ReadModelSpec(*gguf, ModelOptions(), &spec);
    INFO(status.message());
    REQUIRE(status.ok());
  }
  std::vector<uint8_t> bytes;
  CountingAllocator allocator;
  Memory memory{&allocator, 0};
  Owned<Gguf> gguf;
  ModelSpec spec{&memory};
};

TEST_CASE("Gemma 3 without a pattern sees everything in every sixth layer") {
  const Fixture fixture(TinyModel::Gemma3(13));
  for (size_t i = 0; i < 13; ++i) {
    const AttentionSpec& attention = fixture.spec.layers[i].attention;
    INFO("layer " << i);
    CHECK(attention.window == (i % 6 == 5 ? 0u : 16u));
    CHECK(attention.rope == (i % 6 == 5 ? 0u : 1u));
    CHECK(attention.sees_ahead);
    CHECK(attention.scale == Approx(1.0 / std::sqrt(20.0)));
  }
  CHECK(fixture.spec.ropes[1].base == 10000.0);
}

TEST_CASE("Gemma 3 27B scales by the width of an even head") {
  const Fixture fixture(TinyModel::Gemma3(62));
  CHECK(fixture.spec.layers[61].attention.scale == Approx(1.0 / std::sqrt(48.0 / 4.0)));
}

TEST_CASE("Gemma 4 looks ahead in layers with a window, and without inputs to layers only") {
  const Fixture experts(TinyModel::Gemma4());
  CHECK(experts.spec.layers[0].attention.sees_ahead);
  CHECK_FALSE(experts.spec.layers[1].attention.sees_ahead);
  const Fixture shared(TinyModel::Gemma4Shared());
  for (const LayerSpec& layer : shared.spec.layers) CHECK_FALSE(layer.attention.sees_ahead);
}

TEST_CASE("layers without keys read those of the last layer of their kind") {
  const Fixture fixture(TinyModel::Gemma4Shared());
  const uint32_t back[] = {0, 0, 2, 2};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(fixture.spec.layers[i].attention.kv_back == back[i]);
    CHECK((fixture.spec.layers[i].attention.k.weight == nullptr) == (back[i] != 0));
  }
}

TEST_CASE("gate and up of experts may lie in one tensor or in two") {
  TinyModel model = TinyModel::Gemma4();
  for (const char* layer : {"blk.0.", "blk.1."}) {
    TinyModel::Tensor* both = model.Find(std::string(layer) + "ffn_gate_up_exps.weight");
    TinyModel::Tensor up = *both;
    both->dims[1] = up.dims[1] = 24;
    both->bytes.resize(both->bytes.size() / 2);
    up.bytes.resize(up.bytes.size() / 2);
    both->name = std::string(layer) + "ffn_gate_exps.weight";
    up.name = std::string(layer) + "ffn_up_exps.weight";
    model.tensors.push_back(up);
  }
  const Fixture one(TinyModel::Gemma4());
  const Fixture two(model);
  const FeedForwardSpec& fused = one.spec.layers[1].ffn;
  const FeedForwardSpec& apart = two.spec.layers[1].ffn;
  CHECK(fused.gate.weight == fused.up.weight);
  CHECK(fused.gate.first_row == 0);
  CHECK(fused.up.first_row == 24);
  CHECK(fused.up.tensor_rows == 48);
  CHECK(apart.gate.weight != apart.up.weight);
  CHECK(apart.up.first_row == 0);
  CHECK(apart.up.tensor_rows == 24);
  CHECK(apart.up.rows == fused.up.rows);
}

TEST_CASE("values are keys where the file has none, in layers that see everything") {
  const Fixture fixture(TinyModel::Gemma4());
  CHECK(fixture.spec.layers[0].attention.v.weight != nullptr);
  CHECK(fixture.spec.layers[1].attention.v.weight == nullptr);
  CHECK(fixture.spec.layers[1].attention.v_norm);
}

}  // namespace
}  // namespace junto
