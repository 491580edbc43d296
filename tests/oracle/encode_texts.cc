// encode_texts VOCABULARY [--plain] < TEXTS > IDS: tokenizes many texts for tokenizers_agree.py.
// The vocabulary is a GGUF file, tokenizer.json or tokenizer.model, as its name ends. A text is its
// size in bytes and the bytes, its ids are their count and the ids, all in 32 bits. Says on stderr
// what loading and encoding took.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "junto/text/tokenizer.h"
#include "tests/support/faults.h"

namespace {

using Clock = std::chrono::steady_clock;
double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

std::vector<uint8_t> ReadAll(std::FILE* file) {
  std::vector<uint8_t> bytes;
  char chunk[1 << 16];
  size_t size = 0;
  while ((size = std::fread(chunk, 1, sizeof(chunk), file)) != 0) {
    bytes.insert(bytes.end(), chunk, chunk + size);
  }
  return bytes;
}

junto::Status Load(const std::string& name, const std::vector<uint8_t>& file, junto::Memory* memory,
                   junto::Owned<junto::Tokenizer>* out) {
  using namespace junto;  // NOLINT: a program of one file
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  const std::string end = name.substr(name.rfind('.') + 1);
  if (end == "json") return Tokenizer::FromJson(bytes, memory, out);
  if (end == "model") return Tokenizer::FromSentencePiece(bytes, memory, out);
  Owned<Gguf> gguf;
  JUNTO_TRY(Gguf::OpenFile(New<MemoryFile, File>(memory, Tag::kObject, file.data(), file.size()),
                           memory, &gguf));
  return Tokenizer::FromGguf(*gguf, memory, out);
}

int Fail(const junto::Status& status) {
  std::fprintf(stderr, "encode_texts: %s\n", status.message());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace junto;  // NOLINT: a program of one file
  const bool plain = argc == 3 && std::strcmp(argv[2], "--plain") == 0;
  std::FILE* in = argc >= 2 ? std::fopen(argv[1], "rb") : nullptr;
  if (in == nullptr) {
    std::fprintf(stderr, "usage: encode_texts VOCABULARY [--plain] < TEXTS > IDS\n");
    return 2;
  }
  const std::vector<uint8_t> file = ReadAll(in);
  std::fclose(in);
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  const auto since_start = Clock::now();
  Owned<Tokenizer> tokenizer;
  Status status = Load(argv[1], file, &memory, &tokenizer);
  if (!status.ok()) return Fail(status);
  const double load = Seconds(since_start);
  const uint64_t loaded = memory.total();

  const std::vector<uint8_t> input = ReadAll(stdin);
  std::vector<std::vector<int32_t>> all;
  EncodeScratch scratch(&memory);
  Vector<int32_t> ids({&memory, Tag::kScratch});
  uint64_t bytes = 0;
  const auto since = Clock::now();
  for (size_t at = 0; at + 4 <= input.size();) {
    uint32_t size = 0;
    std::memcpy(&size, &input[at], sizeof(size));
    const std::string_view text(reinterpret_cast<const char*>(&input[at + 4]), size);
    const Segment whole = {size, !plain};
    ids.clear();
    status = tokenizer->Encode(text, {&whole, 1}, false, &scratch, &ids);
    if (!status.ok()) return Fail(status);
    all.emplace_back(ids.begin(), ids.end());
    bytes += size;
    at += 4 + size;
  }
  const double encode = Seconds(since);
  std::fprintf(stderr, "load %.3f s, %.1f MB; %.2f MB in %.3f s, %.1f MB/s, %.1f MB at most\n",
               load, static_cast<double>(loaded) / 1e6, static_cast<double>(bytes) / 1e6, encode,
               static_cast<double>(bytes) / 1e6 / encode,
               static_cast<double>(memory.total_peak() - loaded) / 1e6);
  for (const std::vector<int32_t>& row : all) {
    const auto count = static_cast<uint32_t>(row.size());
    std::fwrite(&count, sizeof(count), 1, stdout);
    std::fwrite(row.data(), sizeof(int32_t), row.size(), stdout);
  }
  return 0;
}
