// Memory counts every byte, honours its limit, and comes back to zero whatever fails on the way.
#include "junto/base/memory.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "c_api/junto.h"
#include "c_api/os/memory.h"
#include "junto/base/arena.h"
#include "junto/base/checked.h"

namespace junto {
namespace {

// Checks that each block comes back as it went, and refuses on demand.
class CheckingAllocator final : public Allocator {
 public:
  void* Allocate(size_t size, size_t alignment, Tag tag) override {
    if (refuse) return nullptr;
    void* p = os_.Allocate(size, alignment, tag);
    blocks_.push_back({p, size, alignment, tag});
    return p;
  }
  void Deallocate(void* p, size_t size, size_t alignment, Tag tag) override {
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const Taken& block = blocks_[i];
      if (block.p != p) continue;
      CHECK(block.size == size);
      CHECK(block.alignment == alignment);
      CHECK(block.tag == tag);
      blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(i));
      return os_.Deallocate(p, size, alignment, tag);
    }
    FAIL("unknown block");
  }
  size_t live() const { return blocks_.size(); }

  bool refuse = false;

 private:
  struct Taken {
    void* p;
    size_t size, alignment;
    Tag tag;
  };
  OsAllocator os_;
  std::vector<Taken> blocks_;
};

TEST_CASE("tags equal the C ABI's, and each has a name") {
  const junto_tag tags[] = {JUNTO_TAG_OBJECT,  JUNTO_TAG_WEIGHTS,   JUNTO_TAG_KV,
                            JUNTO_TAG_SCRATCH, JUNTO_TAG_TOKENIZER, JUNTO_TAG_LOAD_TEMP,
                            JUNTO_TAG_THREAD,  JUNTO_TAG_EXTERNAL,  JUNTO_TAG_MAPPED};
  const Tag ours[] = {Tag::kObject,   Tag::kWeights, Tag::kKv,       Tag::kScratch, Tag::kTokenizer,
                      Tag::kLoadTemp, Tag::kThread,  Tag::kExternal, Tag::kMapped};
  static_assert(sizeof(ours) / sizeof(ours[0]) == kTagCount, "all of them");
  for (int i = 0; i < kTagCount; ++i) {
    CHECK(static_cast<int>(ours[i]) == static_cast<int>(tags[i]));
    CHECK(std::strlen(TagName(ours[i])) > 0);
  }
}

TEST_CASE("the system's allocator aligns as asked") {
  OsAllocator os;
  for (size_t alignment = 1; alignment <= (size_t{1} << 21); alignment *= 2) {
    for (size_t size : {1u, 7u, 64u, 5000u}) {
      void* p = os.Allocate(size, alignment, Tag::kWeights);
      REQUIRE(p != nullptr);
      CHECK(reinterpret_cast<uintptr_t>(p) % alignment == 0);
      std::memset(p, 0xAA, size);
      os.Deallocate(p, size, alignment, Tag::kWeights);
    }
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)  // sanitizers stop at such a request
TEST_CASE("the system's allocator refuses with nullptr") {
  OsAllocator os;
  CHECK(os.Allocate(SIZE_MAX / 2, 1, Tag::kWeights) == nullptr);
  CHECK(os.Allocate(SIZE_MAX / 2, 4096, Tag::kWeights) == nullptr);
}
#endif

TEST_CASE("use and peak are counted per tag and in total") {
  CheckingAllocator allocator;
  Memory memory(&allocator, 0);
  void* a = memory.Allocate(100, 8, Tag::kKv);
  void* b = memory.Allocate(50, 64, Tag::kScratch);
  CHECK(memory.current(Tag::kKv) == 100);
  CHECK(memory.current(Tag::kScratch) == 50);
  CHECK(memory.total() == 150);
  memory.Deallocate(a, 100, 8, Tag::kKv);
  void* c = memory.Allocate(30, 8, Tag::kKv);
  CHECK(memory.current(Tag::kKv) == 30);
  CHECK(memory.peak(Tag::kKv) == 100);
  CHECK(memory.total_peak() == 150);
  memory.Deallocate(b, 50, 64, Tag::kScratch);
  memory.Deallocate(c, 30, 8, Tag::kKv);
  CHECK(memory.total() == 0);
  CHECK(allocator.live() == 0);
}

TEST_CASE("the limit holds to the byte, and refusals count nothing") {
  CheckingAllocator allocator;
  Memory memory(&allocator, 100);
  void* a = memory.Allocate(60, 8, Tag::kKv);
  REQUIRE(a != nullptr);
  CHECK(memory.Allocate(41, 8, Tag::kKv) == nullptr);
  CHECK(memory.Allocate(SIZE_MAX, 8, Tag::kKv) == nullptr);
  CHECK(memory.total() == 60);
  CHECK(memory.total_peak() == 60);
  void* b = memory.Allocate(40, 8, Tag::kScratch);
  REQUIRE(b != nullptr);
  CHECK(memory.Allocate(1, 1, Tag::kObject) == nullptr);
  memory.Deallocate(a, 60, 8, Tag::kKv);
  memory.Deallocate(b, 40, 8, Tag::kScratch);

  const Status status = memory.Refusal(123, Tag::kKv);
  CHECK(status.code() == Code::kMemory);
  CHECK(std::string(status.message()) ==
        "out of memory: 123 bytes for KV do not fit beside 0 of 100 allowed");
}

TEST_CASE("a host that refuses is not counted") {
  CheckingAllocator allocator;
  allocator.refuse = true;
  Memory memory(&allocator, 0);
  CHECK(memory.Allocate(10, 8, Tag::kKv) == nullptr);
  CHECK(memory.total() == 0);
  CHECK(memory.current(Tag::kKv) == 0);
  const Status status = memory.Refusal(10, Tag::kWeights);
  CHECK(std::string(status.message()) ==
        "out of memory: the allocator refused 10 bytes for weights with 0 in use");
}

TEST_CASE("containers allocate under their tag and throw when refused") {
  CheckingAllocator allocator;
  Memory memory(&allocator, 4096);
  {
    Vector<uint64_t> numbers(ContainerAllocator<uint64_t>(&memory, Tag::kTokenizer));
    for (uint64_t i = 0; i < 100; ++i) numbers.push_back(i);
    CHECK(memory.current(Tag::kTokenizer) == numbers.capacity() * 8);
    CHECK_THROWS_AS(numbers.reserve(1000), OutOfMemory);
    CHECK(numbers.size() == 100);
    CHECK(numbers[99] == 99);

    Vector<uint64_t> copy = numbers;
    CHECK(copy.get_allocator() == numbers.get_allocator());
    String text(ContainerAllocator<char>(&memory, Tag::kObject));
    text.assign(200, 'x');
    CHECK(memory.current(Tag::kObject) >= 200);
    try {
      text.assign(10000, 'y');
      FAIL("must throw");
    } catch (const OutOfMemory& refusal) {
      CHECK(refusal.size >= 10000);
      CHECK(refusal.tag == Tag::kObject);
    }
  }
  CHECK(memory.total() == 0);
  CHECK(allocator.live() == 0);
}

struct Base {
  virtual ~Base() = default;
  virtual int Answer() const = 0;
};
struct Derived final : Base {
  Derived(int* ends, bool fail) : ends(ends) {
    if (fail) throw std::runtime_error("no");
  }
  ~Derived() override { *ends += 1; }
  int Answer() const override { return 42; }
  int* ends;
  char room[1000];
};

TEST_CASE("objects live in a Memory, seen through a base class") {
  CheckingAllocator allocator;
  Memory memory(&allocator, 0);
  int ends = 0;
  {
    Owned<Base> object = New<Derived, Base>(&memory, Tag::kObject, &ends, false);
    CHECK(object->Answer() == 42);
    CHECK(memory.current(Tag::kObject) == sizeof(Derived));
    Owned<Base> moved = std::move(object);
    CHECK(moved->Answer() == 42);
  }
  CHECK(ends == 1);
  CHECK(memory.total() == 0);
  CHECK_THROWS_AS((New<Derived, Base>(&memory, Tag::kObject, &ends, true)), std::runtime_error);
  CHECK(memory.total() == 0);
  allocator.refuse = true;
  CHECK_THROWS_AS((New<Derived, Base>(&memory, Tag::kObject, &ends, false)), OutOfMemory);
  CHECK(ends == 1);
}

TEST_CASE("blocks free themselves and survive moves") {
  CheckingAllocator allocator;
  Memory memory(&allocator, 1000);
  {
    Block block;
    CHECK(block.data() == nullptr);
    REQUIRE(Block::Allocate(&memory, 600, 256, Tag::kScratch, &block).ok());
    CHECK(reinterpret_cast<uintptr_t>(block.data()) % 256 == 0);
    const uint8_t* before = block.data();
    CHECK(Block::Allocate(&memory, 600, 64, Tag::kKv, &block).code() == Code::kMemory);
    CHECK(block.data() == before);
    CHECK(block.size() == 600);

    Block other = std::move(block);
    CHECK(other.data() == before);
    CHECK(block.data() == nullptr);  // NOLINT: moves leave it empty
    REQUIRE(Block::Allocate(&memory, 0, 64, Tag::kKv, &other).ok());
    CHECK(other.data() == nullptr);
    CHECK(memory.total() == 0);
    REQUIRE(Block::Allocate(&memory, 400, 64, Tag::kKv, &other).ok());
  }
  CHECK(memory.total() == 0);
  CHECK(allocator.live() == 0);
}

TEST_CASE("counting is exact when threads allocate at once, and the limit is never passed") {
  OsAllocator allocator;
  Memory memory(&allocator, 1000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&memory] {
      for (int i = 0; i < 5000; ++i) {
        const size_t size = 1 + static_cast<size_t>(i) % 400;
        void* p = memory.Allocate(size, 8, Tag::kObject);
        if (p != nullptr) memory.Deallocate(p, size, 8, Tag::kObject);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(memory.total() == 0);
  CHECK(memory.current(Tag::kObject) == 0);
  CHECK(memory.total_peak() <= 1000);
  CHECK(memory.peak(Tag::kObject) <= 1000);
}

// One walk over an arena, as a plan and as a layout.
uint64_t Walk(Arena* arena, void** last) {
  arena->Take<char>(1);
  arena->Take<double>(9);
  *last = arena->Take<uint16_t>(64);
  return arena->used();
}

TEST_CASE("an arena that measures and one that lays out agree") {
  void* last = nullptr;
  Arena plan;
  const uint64_t bytes = Walk(&plan, &last);
  CHECK(bytes == 64 + 128 + 128);
  CHECK(last == nullptr);

  OsAllocator allocator;
  Memory memory(&allocator, 0);
  Block block;
  REQUIRE(Block::Allocate(&memory, bytes, Arena::kAlignment, Tag::kScratch, &block).ok());
  Arena layout(block.data(), block.size());
  CHECK(Walk(&layout, &last) == bytes);
  CHECK(layout.ok());
  CHECK(last == block.data() + 192);
  CHECK(layout.Take<char>(1) == nullptr);
  CHECK_FALSE(layout.ok());

  Arena absurd;
  CHECK(absurd.Take<double>(UINT64_MAX / 4) == nullptr);
  CHECK_FALSE(absurd.ok());
  CHECK(absurd.used() == 0);
}

TEST_CASE("checked arithmetic knows every edge") {
  uint8_t sum = 0;
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const auto x = static_cast<uint8_t>(a), y = static_cast<uint8_t>(b);
      const bool sums = CheckedAdd<uint8_t>(x, y, &sum);
      if (sums != (a + b < 256) || (sums && sum != a + b)) FAIL("sum " << a << " " << b);
      const bool multiplies = CheckedMul<uint8_t>(x, y, &sum);
      if (multiplies != (a * b < 256) || (multiplies && sum != a * b)) FAIL("by " << a << " " << b);
    }
  }
  CHECK(RangeFits(0, 0, 0));
  CHECK(RangeFits(5, 5, 10));
  CHECK_FALSE(RangeFits(5, 6, 10));
  CHECK_FALSE(RangeFits(11, 0, 10));
  CHECK_FALSE(RangeFits(UINT64_MAX, UINT64_MAX, 10));
  CHECK(CeilDiv(UINT64_MAX, uint64_t{2}) == UINT64_MAX / 2 + 1);
  CHECK(RoundUp(13, 8) == 16);
  CHECK(RoundUp(16, 8) == 16);
  CHECK(IsPowerOfTwo(uint64_t{1} << 63));
  CHECK_FALSE(IsPowerOfTwo(0));
  CHECK_FALSE(IsPowerOfTwo(12));
}

}  // namespace
}  // namespace junto
