// Any bytes as a GGUF file: opened, and everything it offers looked at.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "../support/faults.h"
#include "../support/gguf_writer.h"
#include "junto/io/gguf.h"
#include "seeds.h"

namespace junto {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

void UseMetadata(const Metadata& pairs) {
  for (const MetadataValue& value : pairs.values()) {
    size_t size = 0;
    Require(pairs.Format(value.key, nullptr, 0, &size).ok());
    std::vector<char> text(size + 1);
    Require(pairs.Format(value.key, text.data(), text.size(), &size).ok());
    uint32_t u32 = 0;
    float f32 = 0;
    bool flag = false;
    std::string_view string;
    Span<const std::string_view> strings;
    Span<const int32_t> words;
    Span<const float> floats;
    uint32_t three[3] = {};
    int accepted = pairs.GetU32(value.key, &u32).ok() + pairs.GetF32(value.key, &f32).ok() +
                   pairs.GetBool(value.key, &flag).ok() + pairs.GetString(value.key, &string).ok() +
                   pairs.GetStrings(value.key, &strings).ok() +
                   pairs.GetI32s(value.key, &words).ok() + pairs.GetF32s(value.key, &floats).ok() +
                   pairs.GetU32s(value.key, {three, 3}).ok();
    Require(accepted <= 3);
    size_t sum = 0;
    for (const std::string_view each : strings) {
      for (const char c : each) sum += static_cast<unsigned char>(c);
    }
    for (const int32_t word : words) sum += static_cast<uint32_t>(word);
    for (const float x : floats) sum += x > 0;
    Require(sum <= SIZE_MAX);
  }
}

void UseTensors(const Gguf& model) {
  for (const TensorInfo& tensor : model.tensors()) {
    Require(model.FindTensor(tensor.name) == &tensor);
    Require(tensor.bytes > 0 && FindBlockType(static_cast<uint32_t>(tensor.type)) != nullptr);
    uint8_t byte = 0;
    Require(model.Read(tensor, 0, &byte, 1).ok());
    Require(model.Read(tensor, tensor.bytes - 1, &byte, 1).ok());
    Require(!model.Read(tensor, tensor.bytes, &byte, 1).ok());
    const void* p = model.Map(tensor, 0, static_cast<size_t>(tensor.bytes));
    Require(p != nullptr);
    model.Unmap(tensor, p, static_cast<size_t>(tensor.bytes));
  }
}

void OpenAndUse(const uint8_t* data, size_t size) {
  test::CountingAllocator allocator;
  {
    Memory memory(&allocator, 64 << 20);
    try {
      Owned<Gguf> model;
      const Status status = Gguf::OpenFile(
          New<MemoryFile, File>(&memory, Tag::kObject, data, uint64_t{size}), &memory, &model);
      Require(status.ok() == (model != nullptr));
      Require(status.ok() || status.message()[0] != '\0');
      if (status.ok()) {
        UseMetadata(model->metadata());
        UseTensors(*model);
      }
    } catch (const OutOfMemory&) {
    }
  }
  Require(allocator.clean());
  // What is allocated is in proportion to what is there.
  Require(allocator.largest() <= 8 * size + ByteCursor::kWindow + ByteCursor::kMaxName);
}

}  // namespace

namespace test {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  GgufWriter every;
  every.Add("general.architecture", "llama").Add("u8", uint8_t{1}).Add("i8", int8_t{-1});
  every.Add("u16", uint16_t{2}).Add("i16", int16_t{-2}).Add("u32", uint32_t{3});
  every.Add("i32", int32_t{-3}).Add("u64", uint64_t{4}).Add("i64", int64_t{-4});
  every.Add("f32", 0.5f).Add("f64", 0.25).Add("bool", true);
  every.Add("u32s", std::vector<uint32_t>{1, 2, 3}).Add("f32s", std::vector<float>{1, 2});
  every.Add("bools", std::vector<bool>{true, false, true});
  every.Add("tokenizer.ggml.model", "gpt2");
  every.Add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "", "bcd"});
  every.Tensor("one", BlockType::kF32, {5}, std::vector<uint8_t>(20, 1));
  every.Tensor("two", BlockType::kQ4_0, {64, 2}, std::vector<uint8_t>(72, 2));
  every.Tensor("three", BlockType::kMXFP4, {32, 2, 3}, std::vector<uint8_t>(102, 3));

  GgufWriter tight;
  tight.Version(2).Alignment(1);
  tight.Tensor("a", BlockType::kI8, {3}, {1, 2, 3}).Tensor("b", BlockType::kI8, {1}, {4});
  return {every.Bytes(), tight.Bytes()};
}

}  // namespace test
}  // namespace junto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  junto::OpenAndUse(data, size);
  return 0;
}
