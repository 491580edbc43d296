// GGUF files: right ones read back exactly, wrong ones are refused with the right words, and no
// failure of the host or of the file loses a byte.
#include "junto/io/gguf.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../support/faults.h"
#include "../support/gguf_writer.h"

namespace junto {
namespace {

using test::CountingAllocator;
using test::FaultyFileSystem;
using test::GgufWriter;

using Bytes = std::vector<uint8_t>;

Bytes Ramp(size_t size, uint8_t first) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(first + i);
  return bytes;
}

// A host with one model file, or several.
struct Host {
  Host() = default;
  explicit Host(Bytes bytes) { files.Add("m.gguf", std::move(bytes)); }

  Status Open(std::string_view name = "m.gguf") {
    model.reset();
    try {
      return Gguf::Open(&files, name, &memory, &model);
    } catch (const OutOfMemory& e) {
      return memory.Refusal(e.size, e.tag);
    }
  }
  bool clean() const { return allocator.clean() && memory.total() == 0 && files.open_files() == 0; }

  FaultyFileSystem files;
  CountingAllocator allocator;
  Memory memory{&allocator, 0};
  Owned<Gguf> model;
};

// The failure of a file, which leaves nothing behind.
Status Refused(Bytes bytes) {
  Host host(std::move(bytes));
  const Status status = host.Open();
  CHECK(!status.ok());
  CHECK(host.model == nullptr);
  CHECK(host.clean());
  CHECK(host.allocator.largest() < (1 << 20));
  return status;
}

std::string FormatError(Bytes bytes) {
  const Status status = Refused(std::move(bytes));
  CHECK(status.code() == Code::kFormat);
  return status.message();
}

std::string FormatError(const GgufWriter& writer) { return FormatError(writer.Bytes()); }

std::string UnsupportedError(Bytes bytes) {
  const Status status = Refused(std::move(bytes));
  CHECK(status.code() == Code::kUnsupported);
  return status.message();
}

GgufWriter Small() {
  GgufWriter writer;
  writer.Add("general.architecture", "llama").Add("llama.block_count", uint32_t{2});
  writer.Add("tokenizer.ggml.model", "gpt2");
  writer.Add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "bc", ""});
  writer.Add("flags", std::vector<bool>{true, false});
  writer.Tensor("one", BlockType::kF32, {5}, Ramp(20, 1));
  writer.Tensor("two", BlockType::kQ4_0, {64, 3}, Ramp(108, 2));
  writer.Tensor("three", BlockType::kMXFP4, {32, 2, 3, 1}, Ramp(102, 3));
  writer.Tensor("four", BlockType::kBF16, {1, 2, 3, 4}, Ramp(48, 4));
  return writer;
}

template <class T>
Bytes Patched(Bytes bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
  return bytes;
}

// Where `text` begins in the file.
size_t Find(const Bytes& bytes, const std::string& text) {
  return std::string(bytes.begin(), bytes.end()).find(text);
}

Bytes Contents(const Gguf& model, std::string_view name) {
  const TensorInfo* tensor = model.FindTensor(name);
  REQUIRE(tensor != nullptr);
  Bytes bytes(tensor->bytes);
  REQUIRE(model.Read(*tensor, 0, bytes.data(), bytes.size()).ok());
  return bytes;
}

Bytes ReadDisk(const std::string& name) {
  std::FILE* file = std::fopen((std::string(JUNTO_TEST_DATA "/gguf/") + name).c_str(), "rb");
  REQUIRE(file != nullptr);
  Bytes bytes(1 << 16);
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
  std::fclose(file);
  return bytes;
}

TEST_CASE("what the writer wrote reads back") {
  for (const uint32_t version : {2u, 3u}) {
    Host host(Small().Version(version).Bytes());
    REQUIRE(host.Open().ok());
    const Gguf& model = *host.model;
    REQUIRE(model.tensors().size() == 4);
    CHECK(model.tensors()[0].name == "one");
    CHECK(model.tensors()[3].name == "four");
    const TensorInfo& two = *model.FindTensor("two");
    CHECK(two.type == BlockType::kQ4_0);
    CHECK(two.rank == 2);
    CHECK((two.dims[0] == 64 && two.dims[1] == 3 && two.dims[2] == 1 && two.dims[3] == 1));
    CHECK(two.bytes == 108);
    CHECK(Contents(model, "one") == Ramp(20, 1));
    CHECK(Contents(model, "two") == Ramp(108, 2));
    CHECK(Contents(model, "three") == Ramp(102, 3));
    CHECK(Contents(model, "four") == Ramp(48, 4));
    CHECK(model.FindTensor("five") == nullptr);
    CHECK(model.FindTensor("") == nullptr);
    CHECK(model.has_vocabulary());
    host.model.reset();
    CHECK(host.clean());
  }
}

TEST_CASE("reads and mappings stay inside their tensor") {
  Host host(Small().Bytes());
  REQUIRE(host.Open().ok());
  const TensorInfo& one = *host.model->FindTensor("one");
  uint8_t buffer[32] = {};
  REQUIRE(host.model->Read(one, 17, buffer, 3).ok());
  CHECK((buffer[0] == 18 && buffer[2] == 20 && buffer[3] == 0));
  CHECK(host.model->Read(one, 20, buffer, 0).ok());
  const Status past = host.model->Read(one, 18, buffer, 3);
  CHECK(past.code() == Code::kInvalid);
  CHECK(past.message() == std::string("tensor 'one': 3 bytes wanted at 18 of 20"));
  CHECK(host.model->Read(one, UINT64_MAX, buffer, 1).code() == Code::kInvalid);

  CHECK(host.model->Map(one, 0, 20) == nullptr);
  host.files.set_mappable(true);
  const auto* p = static_cast<const uint8_t*>(host.model->Map(one, 4, 16));
  REQUIRE(p != nullptr);
  CHECK(p[0] == 5);
  CHECK(host.files.mappings() == 1);
  host.model->Unmap(one, p, 16);
  CHECK(host.files.mappings() == 0);
  CHECK(host.model->Map(one, 5, 16) == nullptr);
}

TEST_CASE("a model in memory opens without a file system") {
  const Bytes bytes = Small().Bytes();
  CountingAllocator allocator;
  Memory memory(&allocator, 0);
  Owned<Gguf> model;
  REQUIRE(Gguf::OpenFile(
              New<MemoryFile, File>(&memory, Tag::kObject, bytes.data(), uint64_t{bytes.size()}),
              &memory, &model)
              .ok());
  CHECK(Contents(*model, "two") == Ramp(108, 2));
}

TEST_CASE("a file of the reference writer reads identically") {
  Host host(ReadDisk("sample.gguf"));
  REQUIRE(host.Open().ok());
  const Metadata& pairs = host.model->metadata();
  const auto text = [&pairs](std::string_view key) {
    char buffer[64];
    size_t size = 0;
    const Status status = pairs.Format(key, buffer, sizeof(buffer), &size);
    return status.ok() ? std::string(buffer, size) : std::string(status.message());
  };
  CHECK(pairs.values().size() == 20);
  CHECK(text("general.architecture") == "sample");
  CHECK(text("general.alignment") == "64");
  CHECK(text("t.u8") == "250");
  CHECK(text("t.i8") == "-8");
  CHECK(text("t.u16") == "65000");
  CHECK(text("t.i16") == "-16000");
  CHECK(text("t.u32") == "4000000000");
  CHECK(text("t.i32") == "-2000000000");
  CHECK(text("t.f32") == "0.15625");
  CHECK(text("t.bool") == "true");
  CHECK(text("t.string") == "grüße, 世界");
  CHECK(text("t.u64") == "9223372036854775813");
  CHECK(text("t.i64") == "-4611686018427387904");
  CHECK(text("t.f64") == "1e-300");
  Span<const int32_t> ints;
  REQUIRE(pairs.GetI32s("t.ints", &ints).ok());
  CHECK(std::vector<int32_t>(ints.begin(), ints.end()) == std::vector<int32_t>{3, -1, 7});
  Span<const float> floats;
  REQUIRE(pairs.GetF32s("t.floats", &floats).ok());
  CHECK(std::vector<float>(floats.begin(), floats.end()) == std::vector<float>{0.5f, -2.25f});
  std::vector<uint32_t> bools(3);
  REQUIRE(pairs.GetU32s("t.bools", bools).ok());
  CHECK(bools == std::vector<uint32_t>{1, 0, 1});
  Span<const std::string_view> tokens;
  REQUIRE(pairs.GetStrings("tokenizer.ggml.tokens", &tokens).ok());
  REQUIRE(tokens.size() == 4);
  CHECK((tokens[0] == "<s>" && tokens[2] == "Ġb" && tokens[3].empty()));

  const TensorInfo& grid = *host.model->FindTensor("grid");
  CHECK((grid.rank == 3 && grid.dims[0] == 4 && grid.dims[1] == 3 && grid.dims[2] == 2));
  CHECK(grid.offset == 1024);
  const Bytes bytes = Contents(*host.model, "grid");
  for (size_t i = 0; i < 24; ++i) {
    float x = 0;
    std::memcpy(&x, &bytes[4 * i], 4);
    CHECK(x == 1 + static_cast<float>(i) / 8);
  }
  const TensorInfo& packed = *host.model->FindTensor("packed");
  CHECK((packed.type == BlockType::kQ8_0 && packed.dims[0] == 32 && packed.bytes == 68));
}

TEST_CASE("a split model of the reference writer reads as one") {
  Host host;
  host.files.Add("d/split-00001-of-00002.gguf", ReadDisk("split-00001-of-00002.gguf"));
  host.files.Add("d/split-00002-of-00002.gguf", ReadDisk("split-00002-of-00002.gguf"));
  REQUIRE(host.Open("d/split-00001-of-00002.gguf").ok());
  REQUIRE(host.model->tensors().size() == 4);
  CHECK(host.model->FindTensor("grid")->file == 0);
  CHECK(host.model->FindTensor("tail")->file == 1);
  const Bytes bytes = Contents(*host.model, "tail");
  float x = 0;
  std::memcpy(&x, &bytes[28], 4);
  CHECK(x == 3.875f);
}

TEST_CASE("every prefix of a file is refused") {
  const Bytes whole = Small().Bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    const Status status = Refused(Bytes(whole.begin(), whole.begin() + size));
    INFO(size << ": " << status.message());
    CHECK(status.code() == Code::kFormat);
    CHECK(std::strlen(status.message()) > 10);
  }
  const Bytes cut(whole.begin(), whole.end() - 1);
  CHECK(FormatError(cut) == "tensor 'four': 48 bytes at " +
                                std::to_string(whole.size() - 48 - 288) +
                                " + 288 pass the end of the file at " + std::to_string(cut.size()));
}

TEST_CASE("any single byte may be anything") {
  const Bytes whole = Small().Bytes();
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const uint8_t value : {0x00, 0x01, 0x7F, 0x80, 0xFF, whole[at] ^ 1, whole[at] ^ 0x20}) {
      Host host(Patched(whole, at, value));
      const Status status = host.Open();
      if (!status.ok()) CHECK(std::strlen(status.message()) > 10);
      host.model.reset();
      CHECK(host.clean());
    }
  }
}

TEST_CASE("the fixed header is checked") {
  const Bytes whole = Small().Bytes();
  CHECK(FormatError(Patched(whole, 0, uint32_t{0x12345678})) ==
        "header: not a GGUF file: it starts with 0x12345678");
  CHECK(UnsupportedError(Patched(whole, 4, uint32_t{1})) ==
        "header: GGUF version 1, 2 and 3 are supported");
  CHECK(UnsupportedError(Patched(whole, 4, uint32_t{4})) ==
        "header: GGUF version 4, 2 and 3 are supported");
  CHECK(UnsupportedError(Patched(whole, 4, uint32_t{0})) ==
        "header: GGUF version 0, 2 and 3 are supported");
  CHECK(UnsupportedError(Patched(whole, 4, uint32_t{0x03000000})) ==
        "header: big-endian file (version word 0x03000000)");
  CHECK(FormatError(Bytes{'G', 'G', 'U'}) == "header: 4 bytes wanted at offset 0, 3 are left");
}

TEST_CASE("absurd counts are refused before anything is allocated for them") {
  const Bytes whole = Small().Bytes();
  const std::string left = std::to_string(whole.size() - 24);
  for (const uint64_t count : {uint64_t{1} << 32, uint64_t{1} << 60, UINT64_MAX}) {
    const std::string number = std::to_string(count);
    CHECK(FormatError(Patched(whole, 16, count)) ==
          "header: " + number + " keys claimed, " + left + " bytes are left");
    CHECK(FormatError(Patched(whole, 8, count)).find("header: " + number + " tensors claimed, ") ==
          0);
    const size_t tokens = Find(whole, "tokenizer.ggml.tokens") + 21 + 4;
    CHECK(FormatError(Patched(whole, tokens + 4, count))
              .find("key 'tokenizer.ggml.tokens': " + number +
                    " elements of type string claimed, ") == 0);
    CHECK(FormatError(Patched(whole, tokens + 12, count))
              .find("key 'tokenizer.ggml.tokens': " + number + " bytes wanted at offset ") == 0);
    CHECK(FormatError(Patched(whole, 24, count)) ==
          "key 0: name of " + number + " bytes found, 1 to 65535 allowed");
    CHECK(FormatError(Patched(whole, Find(whole, "one") - 8, count)) ==
          "tensor 0: name of " + number + " bytes found, 1 to 127 allowed");
  }
}

TEST_CASE("metadata types and names are checked") {
  CHECK(FormatError(GgufWriter().RawPair("x", 13, {0})) == "key 'x': value type 13 is not known");
  CHECK(FormatError(GgufWriter().RawPair("x", 7, {2})) == "key 'x': bool of value 2");
  const Bytes of_unknown = {99, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
  CHECK(FormatError(GgufWriter().RawPair("x", 9, of_unknown)) ==
        "key 'x': value type 99 is not known");
  const Bytes nested = {9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  CHECK(UnsupportedError(GgufWriter().RawPair("x", 9, nested).Bytes()) ==
        "key 'x': array of arrays (1 of them)");
  CHECK(FormatError(GgufWriter().Add("", uint32_t{1}).Add("y", uint64_t{1})) ==
        "key 0: name of 0 bytes found, 1 to 65535 allowed");
  CHECK(FormatError(GgufWriter().Add(std::string(65536, 'k'), uint8_t{1})) ==
        "key 0: name of 65536 bytes found, 1 to 65535 allowed");
  CHECK(FormatError(GgufWriter().Add("a", uint8_t{1}).Add("b\xC3(", uint8_t{1})) ==
        "key 1: name is not UTF-8 text: byte 1 is 0xc3");
  CHECK(FormatError(GgufWriter().Add("a\nb", uint8_t{1})) ==
        "key 0: name is not UTF-8 text: byte 1 is 0x0a");
  CHECK(FormatError(GgufWriter().Add("a", uint8_t{1}).Add("b", "").Add("a", "")) ==
        "key 'a': comes twice");
}

TEST_CASE("tensor shapes and types are checked") {
  const auto one = [](uint32_t type, const std::vector<uint64_t>& dims, size_t bytes) {
    return FormatError(GgufWriter().RawTensor("t", type, dims, 0, Bytes(bytes)));
  };
  CHECK(UnsupportedError(GgufWriter().RawTensor("t", 4, {32}, 0, Bytes(64)).Bytes()) ==
        "tensor 't': type 4 is not known");
  CHECK(UnsupportedError(GgufWriter().RawTensor("t", 1000, {32}, 0, Bytes(64)).Bytes()) ==
        "tensor 't': type 1000 is not known");
  CHECK(one(0, {}, 64) == "tensor 't': 0 dimensions found, 1 to 4 allowed");
  CHECK(one(0, {1, 1, 1, 1, 1}, 64) == "tensor 't': 5 dimensions found, 1 to 4 allowed");
  CHECK(one(0, {4, 0}, 64) == "tensor 't': dimension 1 is 0");
  CHECK(one(2, {48, 2}, 64) == "tensor 't': row of 48 elements, Q4_0 needs a multiple of 32");
  CHECK(one(14, {576, 2}, 999) == "tensor 't': row of 576 elements, Q6_K needs a multiple of 256");
  CHECK(one(0, {uint64_t{1} << 62}, 64) ==
        "tensor 't': 4611686018427387904 x 1 x 1 x 1 elements pass 64 bits");
  CHECK(one(1, {uint64_t{1} << 32, uint64_t{1} << 31}, 64) ==
        "tensor 't': 4294967296 x 2147483648 x 1 x 1 elements pass 64 bits");
  CHECK(one(0, {16, 1, uint64_t{1} << 56}, 64).find("pass the end of the file at") !=
        std::string::npos);
  CHECK(one(0, {17}, 64).find("tensor 't': 68 bytes at ") == 0);

  GgufWriter twice;
  twice.Tensor("t", BlockType::kF32, {8}, Bytes(32)).Tensor("u", BlockType::kF32, {8}, Bytes(32));
  twice.Tensor("t", BlockType::kF32, {8}, Bytes(32));
  CHECK(FormatError(twice) == "tensor 't': comes twice");
}

TEST_CASE("tensors are aligned and do not overlap") {
  GgufWriter off;
  off.RawTensor("t", 0, {8}, 16, Bytes(32));
  CHECK(FormatError(off) == "tensor 't': offset 16, a multiple of 32 expected");
  GgufWriter far;
  far.RawTensor("t", 24, {8}, UINT64_MAX - 31, {});
  CHECK(FormatError(far).find("tensor 't': 8 bytes at ") == 0);

  // Nested, partly covered, and the same bytes; in any order in the table.
  for (const bool swapped : {false, true}) {
    for (const uint64_t offset : {0, 32, 64}) {
      GgufWriter writer;
      if (swapped) writer.RawTensor("b", 24, {16}, offset, Bytes(16));
      writer.RawTensor("a", 24, {65}, 0, Bytes(65));
      if (!swapped) writer.RawTensor("b", 24, {16}, offset, Bytes(16));
      CHECK(FormatError(writer).find("inside tensor '") != std::string::npos);
    }
  }
  GgufWriter near;
  near.RawTensor("b", 24, {16}, 64, Bytes(16)).RawTensor("a", 24, {64}, 0, Bytes(64));
  CHECK(Host(near.Bytes()).Open().ok());
}

TEST_CASE("alignment is a power of two up to 1 MiB") {
  for (const uint32_t alignment : {1u, 2u, 8u, 64u, 4096u, 1u << 20}) {
    GgufWriter writer;
    writer.Alignment(alignment);
    writer.Tensor("a", BlockType::kI8, {3}, Ramp(3, 7))
        .Tensor("b", BlockType::kI8, {5}, Ramp(5, 9));
    Host host(writer.Bytes());
    REQUIRE(host.Open().ok());
    CHECK(Contents(*host.model, "a") == Ramp(3, 7));
    CHECK(Contents(*host.model, "b") == Ramp(5, 9));
    CHECK(host.model->FindTensor("b")->offset % alignment == 0);
  }
  for (const uint32_t alignment : {0u, 3u, 48u, 1u << 21, UINT32_MAX}) {
    GgufWriter writer;
    writer.Add("general.alignment", alignment);
    CHECK(FormatError(writer) == "key 'general.alignment': " + std::to_string(alignment) +
                                     " found, a power of two up to 1048576 expected");
  }
  CHECK(FormatError(GgufWriter().Add("general.alignment", "32")) ==
        "key 'general.alignment': string found where an integer is expected");
}

TEST_CASE("an empty model is a model") {
  Host host(GgufWriter().Bytes());
  REQUIRE(host.Open().ok());
  CHECK(host.model->tensors().empty());
  CHECK(host.model->metadata().values().empty());
  CHECK(!host.model->has_vocabulary());
}

TEST_CASE("whether there is a vocabulary") {
  const auto has = [](const GgufWriter& writer) {
    Host host(writer.Bytes());
    REQUIRE(host.Open().ok());
    return host.model->has_vocabulary();
  };
  CHECK(has(GgufWriter().Add("tokenizer.ggml.model", "gpt2")));
  CHECK(!has(GgufWriter().Add("tokenizer.ggml.model", "no_vocab")));
  CHECK(!has(GgufWriter().Add("tokenizer.ggml.model", uint32_t{1})));
  CHECK(!has(GgufWriter()));
}

TEST_CASE("ten thousand tensors are found, each by its name") {
  GgufWriter writer;
  writer.Alignment(1);
  for (int i = 0; i < 10000; ++i) {
    writer.Tensor("blk." + std::to_string(i) + ".w", BlockType::kI8, {2}, Ramp(2, i & 0xFF));
  }
  Host host(writer.Bytes());
  REQUIRE(host.Open().ok());
  for (int i = 0; i < 10000; i += 7) {
    const TensorInfo* tensor = host.model->FindTensor("blk." + std::to_string(i) + ".w");
    REQUIRE(tensor == &host.model->tensors()[i]);
  }
  CHECK(host.files.reads() < 100);  // through a window, not field by field
}

TEST_CASE("arrays larger than the window arrive whole") {
  std::vector<int32_t> numbers(100000);
  std::vector<std::string> texts;
  for (int i = 0; i < 100000; ++i) {
    numbers[i] = i * 7919;
    if (i % 5 == 0) texts.push_back(std::string(i % 40, 'x') + std::to_string(i));
  }
  texts.push_back(std::string(200000, 'y'));
  GgufWriter writer;
  writer.Add("a", numbers).Add("tokenizer.t", texts).Add("z", numbers);
  Host host(writer.Bytes());
  REQUIRE(host.Open().ok());
  for (const char* key : {"a", "z"}) {
    Span<const int32_t> found;
    REQUIRE(host.model->metadata().GetI32s(key, &found).ok());
    CHECK(std::vector<int32_t>(found.begin(), found.end()) == numbers);
  }
  Span<const std::string_view> found;
  REQUIRE(host.model->metadata().GetStrings("tokenizer.t", &found).ok());
  CHECK(std::vector<std::string>(found.begin(), found.end()) == texts);
}

// A model in three parts.
struct SplitHost : Host {
  explicit SplitHost(const GgufWriter& writer = Small()) {
    for (auto& [name, bytes] : writer.Split("dir/x", 3)) files.Add(name, bytes);
  }
  Status OpenFirst() { return Open("dir/x-00001-of-00003.gguf"); }
  // The failure, which leaves nothing behind.
  Status Refused() {
    const Status status = OpenFirst();
    CHECK(!status.ok());
    CHECK(clean());
    return status;
  }
  std::string FormatError() {
    const Status status = Refused();
    CHECK(status.code() == Code::kFormat);
    return status.message();
  }
};

TEST_CASE("a split model is one model") {
  for (const uint32_t alignment : {32u, 64u}) {
    GgufWriter writer;
    writer.Add("general.architecture", "llama").Alignment(alignment);
    for (uint8_t i = 0; i < 7; ++i) {
      writer.Tensor(std::string(1, static_cast<char>('a' + i)), BlockType::kI8, {40}, Ramp(40, i));
    }
    SplitHost host(writer);
    REQUIRE(host.OpenFirst().ok());
    REQUIRE(host.model->tensors().size() == 7);
    CHECK(host.files.open_files() == 3);
    for (uint8_t i = 0; i < 7; ++i) {
      const std::string name(1, static_cast<char>('a' + i));
      CHECK(host.model->tensors()[i].name == name);
      CHECK(Contents(*host.model, name) == Ramp(40, i));
    }
    CHECK(host.model->FindTensor("g")->file == 2);
    host.model.reset();
    CHECK(host.clean());
  }
}

TEST_CASE("a split count of 0 or 1 is a whole model") {
  for (const uint16_t count : {0, 1}) {
    GgufWriter writer = Small();
    writer.Add("split.count", count).Add("split.no", uint16_t{0});
    CHECK(Host(writer.Bytes()).Open().ok());
  }
}

TEST_CASE("parts that are missing, strange or doubled are named") {
  SplitHost host;
  const std::string second = "dir/x-00002-of-00003.gguf";
  const std::string third = "dir/x-00003-of-00003.gguf";
  const Bytes good = host.files.bytes(second);

  host.files.Remove(second);
  const Status missing = host.Refused();
  CHECK(missing.code() == Code::kIo);
  CHECK(missing.os_error() == 2);
  CHECK(missing.message() == "part '...-00002-of-00003.gguf': no file '" + second + "'");

  host.files.Add(second, host.files.bytes(third));
  CHECK(host.FormatError() == "part '...-00002-of-00003.gguf': it says that it is part 3 of 3");
  host.files.Add(second, Small().Bytes());
  CHECK(host.FormatError() == "part '...-00002-of-00003.gguf': it says that it is part 1 of 1");
  host.files.Add(second, Small().Split("y", 4)[1].second);
  CHECK(host.FormatError() == "part '...-00002-of-00003.gguf': it says that it is part 2 of 4");
  host.files.Add(second, {});
  CHECK(host.FormatError() ==
        "part '...-00002-of-00003.gguf': header: 4 bytes wanted at offset 0, 0 are left");
  host.files.Add(second, Bytes(good.begin(), good.end() - 1));
  CHECK(host.FormatError().find("part '...-00002-of-00003.gguf': tensor 'two': 108 bytes at") == 0);
  host.files.Add(second, Patched(good, Find(good, "two"), 't'));
  CHECK(host.OpenFirst().ok());

  Bytes doubled = good;
  for (const char c : {'o', 'n', 'e'})
    doubled[Find(good, "two") + (c == 'o' ? 0 : c == 'n' ? 1 : 2)] = c;
  host.files.Add(second, doubled);
  CHECK(host.FormatError() == "tensor 'one': comes twice");
  host.files.Add(second, good);
  CHECK(host.OpenFirst().ok());
}

TEST_CASE("a split model is opened by its first part under its own name") {
  SplitHost host;
  const Status second = host.Open("dir/x-00002-of-00003.gguf");
  CHECK(second.code() == Code::kInvalid);
  CHECK(second.message() == std::string("part 2 of 3 of a split model: open its first part, "
                                        "'...-00001-of-00003.gguf'"));
  const Bytes first = host.files.bytes("dir/x-00001-of-00003.gguf");
  for (const std::string name : {"x.gguf", "x", "x-00001-of-00004.gguf"}) {
    host.files.Add(name, first);
    const Status renamed = host.Open(name);
    CHECK(renamed.code() == Code::kInvalid);
    CHECK(renamed.message() == std::string("first part of 3 of a split model: a name that ends in "
                                           "'-00001-of-00003.gguf' expected"));
  }
  CHECK(host.clean());

  Owned<Gguf> model;
  const Status alone = Gguf::OpenFile(
      New<MemoryFile, File>(&host.memory, Tag::kObject, first.data(), uint64_t{first.size()}),
      &host.memory, &model);
  CHECK(alone.code() == Code::kUnsupported);
  CHECK(alone.message() == std::string("part 1 of 3 of a split model cannot be loaded by itself"));
  CHECK(host.clean());
}

TEST_CASE("split keys are checked") {
  const auto refused = [](const GgufWriter& writer) {
    Host host;
    host.files.Add("x-00001-of-00002.gguf", writer.Bytes());
    const Status status = host.Open("x-00001-of-00002.gguf");
    CHECK(host.clean());
    return std::string(status.message());
  };
  CHECK(refused(GgufWriter().Add("split.count", uint16_t{2})) == "key 'split.no': missing");
  CHECK(refused(GgufWriter().Add("split.count", uint16_t{2}).Add("split.no", uint16_t{2})) ==
        "key 'split.no': part 2 of 2");
  CHECK(refused(GgufWriter().Add("split.count", uint32_t{65536}).Add("split.no", uint16_t{0})) ==
        "key 'split.no': part 0 of 65536");
  CHECK(refused(GgufWriter().Add("split.count", "2")) ==
        "key 'split.count': string found where an integer is expected");

  SplitHost host;
  Bytes& first = host.files.bytes("dir/x-00001-of-00003.gguf");
  first = Patched(first, Find(first, "split.tensors.count") + 19 + 4, int32_t{5});
  CHECK(host.FormatError() == "key 'split.tensors.count': 4 tensors found, 5 expected");
}

TEST_CASE("an allocation that fails anywhere is E_MEMORY and leaks nothing") {
  SplitHost host;
  uint64_t n = 0;
  for (;; ++n) {
    host.allocator.FailAt(n);
    const Status status = host.OpenFirst();
    if (host.allocator.calls() <= n) {
      CHECK(status.ok());
      break;
    }
    CHECK(status.code() == Code::kMemory);
    CHECK(std::string(status.message()).find("bytes") != std::string::npos);
    CHECK(host.model == nullptr);
    CHECK(host.clean());
  }
  CHECK(n > 15);
  CHECK(Contents(*host.model, "four") == Ramp(48, 4));
  host.model.reset();
  CHECK(host.clean());
}

TEST_CASE("a limit on memory that is too small is E_MEMORY") {
  const Bytes bytes = Small().Bytes();
  uint64_t peak = 0;
  for (uint64_t limit = 1; limit < (1 << 20); limit = limit * 5 / 4 + 1) {
    CountingAllocator allocator;
    Memory memory(&allocator, limit);
    {
      Owned<Gguf> model;
      Status status;
      try {
        status = Gguf::OpenFile(
            New<MemoryFile, File>(&memory, Tag::kObject, bytes.data(), uint64_t{bytes.size()}),
            &memory, &model);
      } catch (const OutOfMemory& e) {
        status = memory.Refusal(e.size, e.tag);
      }
      CHECK((status.ok() || status.code() == Code::kMemory));
      CHECK(status.ok() == (peak != 0 || status.ok()));
      if (status.ok()) peak = memory.total_peak();
    }
    CHECK(allocator.clean());
  }
  CHECK(peak > 0);
  CHECK(peak < 200000);
}

TEST_CASE("a read or an open that fails anywhere is E_IO and leaks nothing") {
  SplitHost host;
  uint64_t n = 0;
  for (;; ++n) {
    host.files.FailReadAt(n);
    const Status status = host.OpenFirst();
    if (host.files.reads() <= n) {
      CHECK(status.ok());
      break;
    }
    CHECK(status.code() == Code::kIo);
    CHECK(status.os_error() == 5);
    CHECK(host.clean());
  }
  CHECK(n >= 3);
  for (uint64_t open = 0; open < 3; ++open) {
    host.files.FailOpenAt(open);
    const Status status = host.OpenFirst();
    CHECK(status.code() == Code::kIo);
    CHECK(host.clean());
  }
  host.files.FailOpenAt(test::kNever);
  CHECK(host.OpenFirst().ok());
  uint8_t byte = 0;
  host.files.FailReadAt(0);
  CHECK(host.model->Read(host.model->tensors()[0], 0, &byte, 1).code() == Code::kIo);
}

// A file whose contents change when a reader turns back.
class ChangingFile final : public File {
 public:
  ChangingFile(const Bytes* first, const Bytes* then) : first_(first), then_(then) {}
  uint64_t size() const override { return first_->size(); }
  Status ReadAt(uint64_t offset, void* dst, size_t size) override {
    if (offset < last_) first_ = then_;
    last_ = offset;
    const Bytes& bytes = *first_;
    return MemoryFile(bytes.data(), bytes.size()).ReadAt(offset, dst, size);
  }

 private:
  const Bytes* first_;
  const Bytes* then_;
  uint64_t last_ = 0;
};

TEST_CASE("a file that changes under the reader is an error") {
  // Two tables of strings, together larger than the window, whose sizes are dealt out otherwise.
  const auto make = [](size_t head, size_t tail) {
    GgufWriter writer;
    writer.Add("a", std::string(head, 'x')).Add("b", std::vector<int8_t>(100000));
    writer.Add("tokenizer.c", std::vector<std::string>{std::string(tail, 'y')});
    return writer.Bytes();
  };
  const Bytes first = make(100, 200);
  for (const Bytes& then : {make(200, 100), make(90, 210)}) {
    REQUIRE(first.size() == then.size());
    CountingAllocator allocator;
    Memory memory(&allocator, 0);
    Owned<Gguf> model;
    const Status status = Gguf::OpenFile(
        New<ChangingFile, File>(&memory, Tag::kObject, &first, &then), &memory, &model);
    CHECK(!status.ok());
    CHECK(std::string(status.message()).find("the file changed while it was read") !=
          std::string::npos);
    CHECK(allocator.clean());
  }
}

TEST_CASE("a tensor name that changes under the reader is an error") {
  const auto make = [](size_t name) {
    GgufWriter writer;
    writer.Tensor(std::string(name, 'n'), BlockType::kI8, {1}, {1});
    for (int i = 0; i < 3000; ++i) writer.Tensor(std::to_string(i), BlockType::kI8, {1}, {1});
    return writer.Bytes();
  };
  Bytes first = make(50);
  Bytes then = make(51);
  first.resize(then.size());
  CountingAllocator allocator;
  Memory memory(&allocator, 0);
  Owned<Gguf> model;
  const Status status = Gguf::OpenFile(
      New<ChangingFile, File>(&memory, Tag::kObject, &first, &then), &memory, &model);
  CHECK(status.code() == Code::kIo);
  CHECK(allocator.clean());
}

// A header with nothing but zeros behind it, up to any size.
class SparseFile final : public File {
 public:
  SparseFile(const Bytes* head, uint64_t size) : head_(head), size_(size) {}
  uint64_t size() const override { return size_; }
  Status ReadAt(uint64_t offset, void* dst, size_t size) override {
    if (!RangeFits(offset, size, size_)) return Code::kIo;
    std::memset(dst, 0, size);
    if (offset < head_->size()) {
      const size_t rest = head_->size() - static_cast<size_t>(offset);
      std::memcpy(dst, head_->data() + offset, size < rest ? size : rest);
    }
    return Status();
  }

 private:
  const Bytes* head_;
  uint64_t size_;
};

TEST_CASE("files of petabytes open, and their size excuses no absurd count") {
  GgufWriter writer;
  writer.Add("s", "text");
  writer.RawTensor("big", 30, {1 << 20, uint64_t{1} << 28}, 0, {});
  writer.RawTensor("end", 0, {8}, uint64_t{1} << 49, {});
  const Bytes good = writer.Bytes();
  const uint64_t size = uint64_t{1} << 50;
  CountingAllocator allocator;
  Memory memory(&allocator, 0);
  Owned<Gguf> model;
  const auto open = [&](const Bytes& bytes) {
    return Gguf::OpenFile(New<SparseFile, File>(&memory, Tag::kObject, &bytes, size), &memory,
                          &model);
  };
  REQUIRE(open(good).ok());
  CHECK(model->FindTensor("big")->bytes == uint64_t{1} << 49);
  CHECK(allocator.largest() < (1 << 20));

  const Status keys = open(Patched(good, 16, uint64_t{1} << 40));
  CHECK(keys.message() ==
        std::string("header: 1099511627776 keys claimed, 1073741800 bytes are left"));
  const Status text = open(Patched(good, 24 + 9 + 4, uint64_t{1} << 45));
  CHECK(text.message() == std::string("key 's': 35184372088832 bytes wanted at offset 45, "
                                      "1073741779 are left"));
  CHECK(open(Patched(good, 8, uint64_t{1} << 40)).code() == Code::kFormat);
  CHECK(allocator.largest() < (1 << 20));
}

TEST_CASE("UTF-8 is well formed or it is not") {
  for (const char* good : {"", "a", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "a\xC3\xA9z"}) {
    CHECK(IsUtf8(good));
  }
  for (const char* bad : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2z", "\xE0\x9F\xBF",
                          "\xE1\x80", "\xE1\x80z", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xC3"}) {
    CHECK(!IsUtf8(bad));
  }
  CHECK(Utf8Prefix("abc", 9) == "abc");
  CHECK(Utf8Prefix("abc", 2) == "ab");
  CHECK(Utf8Prefix("a\xE4\xB8\x96z", 3) == "a");
  CHECK(Utf8Prefix("a\xE4\xB8\x96z", 4) == "a\xE4\xB8\x96");
}

TEST_CASE("block types are listed once each, by id") {
  uint32_t known = 0;
  const BlockTypeInfo* before = nullptr;
  for (uint32_t id = 0; id < 256; ++id) {
    const BlockTypeInfo* info = FindBlockType(id);
    if (info == nullptr) continue;
    CHECK(static_cast<uint32_t>(info->type) == id);
    CHECK((info->elements > 0 && info->bytes > 0));
    CHECK((before == nullptr || before < info));
    before = info;
    ++known;
  }
  CHECK(known == sizeof(internal::kBlockTypes) / sizeof(internal::kBlockTypes[0]));
  CHECK(FindBlockType(4) == nullptr);
  CHECK(FindBlockType(UINT32_MAX) == nullptr);
  CHECK(std::string(BlockTypeName(BlockType::kIQ4_XS)) == "IQ4_XS");
  CHECK(std::string(BlockTypeName(static_cast<BlockType>(77))) == "unknown");
}

}  // namespace
}  // namespace junto
