// Runs a fuzz target without libFuzzer: on the files named, or on mutations of the target's seeds.
//
//   NAME                 10000 mutations of the seeds
//   NAME -N [FIRST]      N of them, from number FIRST on
//   NAME FILE...         these files, to replay what a fuzzer found
//   NAME -seeds FOLDER   writes the seeds there, a corpus for libFuzzer
//
// A mutation depends on its number alone. Every thousandth number is printed, so that what a
// sanitiser stopped at is soon found again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

// splitmix64
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t n) { return Next() % n; }

 private:
  uint64_t state_;
};

// Numbers that sizes and counts go wrong at.
uint64_t Awkward(Random* random) {
  const uint64_t bit = uint64_t{1} << random->Below(64);
  switch (random->Below(4)) {
    case 0:
      return bit;
    case 1:
      return bit - 1;
    case 2:
      return ~bit + 1;
    default:
      return random->Below(40);
  }
}

void MutateOnce(Bytes* bytes, Random* random) {
  const size_t size = bytes->size();
  const size_t at = random->Below(size);
  const size_t length = 1 + random->Below(random->Below(4) == 0 ? size - at : 1 + (size - at) / 8);
  switch (random->Below(7)) {
    case 0:
      (*bytes)[at] ^= static_cast<uint8_t>(1u << random->Below(8));
      break;
    case 1:
      (*bytes)[at] = static_cast<uint8_t>(random->Next());
      break;
    case 2:
    case 3: {
      const uint64_t number = Awkward(random);
      const size_t width = size_t{1} << random->Below(4);
      std::memcpy(bytes->data() + at, &number, width < size - at ? width : size - at);
      break;
    }
    case 4:
      bytes->erase(bytes->begin() + at, bytes->begin() + at + (length < size ? length : 0));
      break;
    case 5: {
      const size_t clipped = length < size - at ? length : size - at;
      const Bytes piece(bytes->begin() + at, bytes->begin() + at + clipped);
      bytes->insert(bytes->begin() + random->Below(size), piece.begin(), piece.end());
      break;
    }
    default:
      bytes->resize(at + 1);
      break;
  }
}

void RunMutations(const std::vector<Bytes>& seeds, uint64_t first, uint64_t count) {
  for (const Bytes& seed : seeds) LLVMFuzzerTestOneInput(seed.data(), seed.size());
  for (uint64_t i = first; i < first + count; ++i) {
    Random random(i);
    Bytes bytes = seeds[random.Below(seeds.size())];
    const uint64_t steps = 1 + random.Below(6);
    for (uint64_t step = 0; step < steps && !bytes.empty(); ++step) MutateOnce(&bytes, &random);
    if (i % 1000 == 0)
      std::fprintf(stderr, "mutations from %llu\n", static_cast<unsigned long long>(i));
    // A copy of exactly this size, so that a sanitiser sees a read past its end.
    const Bytes exact(bytes);
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
  }
}

bool Replay(const char* name) {
  std::FILE* file = std::fopen(name, "rb");
  if (file == nullptr) return false;
  Bytes bytes;
  uint8_t piece[4096];
  for (size_t n; (n = std::fread(piece, 1, sizeof(piece), file)) != 0;) {
    bytes.insert(bytes.end(), piece, piece + n);
  }
  std::fclose(file);
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  return true;
}

bool WriteSeeds(const std::vector<Bytes>& seeds, const std::string& folder) {
  for (size_t i = 0; i < seeds.size(); ++i) {
    std::FILE* file = std::fopen((folder + "/seed" + std::to_string(i)).c_str(), "wb");
    if (file == nullptr) return false;
    std::fwrite(seeds[i].data(), 1, seeds[i].size(), file);
    std::fclose(file);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<Bytes> seeds = junto::test::FuzzSeeds();
  if (argc == 3 && std::strcmp(argv[1], "-seeds") == 0) return WriteSeeds(seeds, argv[2]) ? 0 : 1;
  if (argc >= 2 && argv[1][0] != '-') {
    for (int i = 1; i < argc; ++i) {
      if (!Replay(argv[i])) return 1;
    }
    return 0;
  }
  const uint64_t count = argc >= 2 ? std::strtoull(argv[1] + 1, nullptr, 10) : 10000;
  const uint64_t first = argc >= 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
  RunMutations(seeds, first, count);
  return 0;
}
