// The arena: measuring and placing are the same walk, and nothing overflows.
#include "junto/base/arena.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <random>
#include <vector>

namespace junto {
namespace {

struct Request {
  uint64_t count;
  uint64_t alignment;
  int type;
};

struct Piece {
  const uint8_t* begin;
  uint64_t bytes;
};

template <class T>
Piece TakeAs(Arena* arena, const Request& request) {
  const T* p = arena->Take<T>(request.count, request.alignment);
  return {reinterpret_cast<const uint8_t*>(p), request.count * sizeof(T)};
}

Piece Take(Arena* arena, const Request& request) {
  switch (request.type) {
    case 0:
      return TakeAs<uint8_t>(arena, request);
    case 1:
      return TakeAs<double>(arena, request);
    default:
      struct Odd {
        char bytes[44];
      };
      return TakeAs<Odd>(arena, request);
  }
}

std::vector<Request> RandomRequests(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Request> requests(1 + random() % 20);
  for (Request& request : requests) {
    request.count = random() % 100;
    request.alignment = uint64_t{64} << random() % 4;
    request.type = static_cast<int>(random() % 3);
  }
  return requests;
}

// A block that is aligned to 512 bytes, the most that the requests ask for.
struct AlignedBlock {
  explicit AlignedBlock(uint64_t size) : storage(size + 512) {
    const auto address = reinterpret_cast<uintptr_t>(storage.data());
    data = storage.data() + (512 - address % 512) % 512;
  }
  std::vector<uint8_t> storage;
  uint8_t* data;
};

TEST_CASE("what was measured is what placing takes") {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const std::vector<Request> requests = RandomRequests(seed);
    Arena measure;
    for (const Request& request : requests) CHECK(Take(&measure, request).begin == nullptr);
    REQUIRE(measure.ok());

    const AlignedBlock block(measure.used());
    Arena place(block.data, measure.used());
    const uint8_t* end = block.data;
    for (const Request& request : requests) {
      const Piece piece = Take(&place, request);
      REQUIRE(place.ok());
      REQUIRE(piece.begin >= end);
      REQUIRE(static_cast<uint64_t>(piece.begin - block.data) % request.alignment == 0);
      end = piece.begin + piece.bytes;
    }
    REQUIRE(end == block.data + place.used());
    REQUIRE(place.used() == measure.used());
  }
}

TEST_CASE("a block that is a byte too small is noticed, and stays noticed") {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<Request> requests = RandomRequests(seed);
    Arena measure;
    for (const Request& request : requests) Take(&measure, request);
    const uint64_t bytes = measure.used();
    if (bytes == 0) continue;
    const AlignedBlock block(bytes);
    for (uint64_t capacity = bytes - 1; capacity > 0; capacity /= 2) {
      Arena place(block.data, capacity);
      bool failed = false;
      for (const Request& request : requests) {
        const Piece piece = Take(&place, request);
        failed = failed || piece.begin == nullptr;
        REQUIRE((piece.begin == nullptr) == failed);
        REQUIRE(place.ok() == !failed);
        if (!failed) REQUIRE(piece.begin + piece.bytes <= block.data + capacity);
      }
      REQUIRE(failed);
      REQUIRE(place.used() == bytes);  // how much would have done
    }
  }
}

TEST_CASE("sizes that overflow are noticed before anything is placed") {
  constexpr uint64_t kMost = UINT64_MAX;
  Arena product;
  CHECK(product.Take<double>(kMost / 8 + 1) == nullptr);
  CHECK_FALSE(product.ok());
  CHECK(product.used() == 0);

  Arena sum;
  CHECK(sum.Take<uint8_t>(kMost - 100) == nullptr);
  CHECK(sum.ok());
  CHECK(sum.Take<uint8_t>(200) == nullptr);  // passes the end
  CHECK_FALSE(sum.ok());

  Arena rounding;
  CHECK(rounding.Take<uint8_t>(kMost - 10) == nullptr);
  CHECK(rounding.ok());
  CHECK(rounding.Take<uint8_t>(0) == nullptr);  // rounding up does
  CHECK_FALSE(rounding.ok());

  alignas(64) uint8_t storage[128];
  Arena place(storage, sizeof(storage));
  CHECK(place.Take<uint8_t>(64) == storage);
  CHECK(place.Take<double>(kMost / 4) == nullptr);
  CHECK(place.Take<uint8_t>(1) == nullptr);  // though there would be room
  CHECK_FALSE(place.ok());
}

TEST_CASE("nothing is something: empty pieces have a place") {
  alignas(64) uint8_t storage[64];
  Arena place(storage, sizeof(storage));
  CHECK(place.Take<double>(0) == reinterpret_cast<double*>(storage));
  CHECK(place.Take<uint8_t>(64) == storage);
  CHECK(place.ok());
}

}  // namespace
}  // namespace junto
