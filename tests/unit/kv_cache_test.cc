// The key/value cache: its layout, and that rings never lose a position that somebody still sees.
#include "junto/runtime/kv_cache.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "tests/support/faults.h"

namespace junto {
namespace {

struct Shape {
  uint32_t window;
  uint32_t kv_heads = 2;
  uint32_t key_dim = 3;
  uint32_t value_dim = 5;
};

// A cache over memory of its own.
struct Cache {
  Cache(const std::vector<Shape>& shapes, uint32_t context, uint32_t chunk, KvType type)
      : spec(&memory) {
    for (const Shape& shape : shapes) {
      LayerSpec layer;
      layer.attention.window = shape.window;
      layer.attention.kv_heads = shape.kv_heads;
      layer.attention.key_dim = shape.key_dim;
      layer.attention.value_dim = shape.value_dim;
      spec.layers.push_back(layer);
    }
    Arena tables;
    Arena pages;
    kv.LayOut(spec, context, chunk, type, &tables, &pages);
    table_bytes = tables.used();
    page_bytes = pages.used();
    REQUIRE(Block::Allocate(&memory, table_bytes, Arena::kAlignment, Tag::kKv, &table_block).ok());
    REQUIRE(Block::Allocate(&memory, page_bytes, Arena::kAlignment, Tag::kKv, &page_block).ok());
    Arena place_tables(table_block.data(), table_block.size());
    Arena place_pages(page_block.data(), page_block.size());
    kv.LayOut(spec, context, chunk, type, &place_tables, &place_pages);
    REQUIRE(place_tables.ok());
    REQUIRE(place_pages.ok());
    REQUIRE(place_tables.used() == table_bytes);
    REQUIRE(place_pages.used() == page_bytes);
  }

  test::CountingAllocator allocator;
  Memory memory{&allocator, 0};
  ModelSpec spec;
  Block table_block;
  Block page_block;
  uint64_t table_bytes = 0;
  uint64_t page_bytes = 0;
  KvCache kv;
};

TEST_CASE("blocks are as large as their shape says, apart and inside") {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kBF16}) {
    const std::vector<Shape> shapes = {{0, 2, 3, 5}, {100, 1, 64, 64}, {0, 4, 7, 1}};
    Cache cache(shapes, 1000, 16, type);
    CHECK(cache.kv.type() == type);
    std::map<const uint8_t*, uint64_t> pieces;
    for (uint32_t i = 0; i < shapes.size(); ++i) {
      const Shape& shape = shapes[i];
      const KvLayer& layer = cache.kv.layer(i);
      CHECK(layer.value_offset == 64 * shape.key_dim * KvTypeSize(type));
      CHECK(layer.head_bytes == 64 * (shape.key_dim + shape.value_dim) * KvTypeSize(type));
      CHECK(layer.block_bytes == layer.head_bytes * shape.kv_heads);
      CHECK(layer.window == shape.window);
      CHECK(layer.block_count == (shape.window == 0 ? 16u : 3u));
      for (uint32_t b = 0; b < layer.block_count; ++b) {
        pieces[layer.blocks[b]] = layer.block_bytes;
        CHECK(reinterpret_cast<uintptr_t>(layer.blocks[b]) % KvTypeSize(type) == 0);
      }
    }
    CHECK(pieces.size() == 16 + 3 + 16);
    const uint8_t* end = cache.page_block.data();
    for (const auto& [begin, bytes] : pieces) {
      CHECK(begin >= end);
      end = begin + bytes;
    }
    CHECK(end <= cache.page_block.data() + cache.page_bytes);
  }
}

TEST_CASE("a ring holds the window and a chunk, and no more blocks than the context") {
  struct Case {
    uint32_t context, chunk, window, blocks;
  };
  const Case cases[] = {
      {64, 1, 0, 1},
      {65, 1, 0, 2},
      {4096, 64, 128, 4},
      {4096, 1, 1, 2},
      {4096, 1, 64, 2},
      {4096, 1, 65, 3},
      {4096, 64, 1, 2},
      {4096, 65, 1, 3},
      {100, 64, 128, 2},
      {64, 512, 4096, 1},
      {1, 1, 1, 1},
      {4096, 512, 4096, 64},
      {1u << 30, 1u << 20, 0xFFFFFFFF, 1u << 24},
  };
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  for (const Case& c : cases) {
    ModelSpec spec(&memory);
    LayerSpec layer;
    layer.attention.window = c.window;
    layer.attention.kv_heads = layer.attention.key_dim = layer.attention.value_dim = 1;
    spec.layers.push_back(layer);
    Arena tables;
    Arena pages;
    KvCache kv;
    kv.LayOut(spec, c.context, c.chunk, KvType::kF16, &tables, &pages);
    INFO("context " << c.context << ", chunk " << c.chunk << ", window " << c.window);
    CHECK(pages.used() == uint64_t{c.blocks} * 64 * 2 * 2);
  }
}

// What lies where: for every slot of a ring the position last written to it.
class RingModel {
 public:
  explicit RingModel(uint32_t blocks) : held_(size_t{blocks} * 64, kNothing) {}
  void Write(uint64_t position) { held_[position % held_.size()] = position; }
  bool Holds(uint64_t position) const { return held_[position % held_.size()] == position; }
  void Clear() { std::fill(held_.begin(), held_.end(), kNothing); }

 private:
  static constexpr uint64_t kNothing = UINT64_MAX;
  std::vector<uint64_t> held_;
};

uint64_t FirstVisible(uint64_t position, uint32_t window) {
  return position + 1 > window ? position + 1 - window : 0;
}

// By its definition: whether no block that `position` sees, its own included, has had its place
// taken by a later one, given that blocks up to the one of `end` - 1 were written.
bool BlocksIntact(uint64_t position, uint64_t end, uint32_t window, uint32_t block_count) {
  if (position == 0 || end == 0) return true;
  const uint64_t first = FirstVisible(position, window) / 64;
  for (uint64_t kept = first; kept <= position / 64; ++kept) {
    for (uint64_t later = kept + 1; later <= (end - 1) / 64; ++later) {
      if (later % block_count == kept % block_count) return false;
    }
  }
  return true;
}

TEST_CASE("rewinding is allowed exactly where no block was reused") {
  const uint32_t kContext = 1200;
  for (const uint32_t window : {1u, 2u, 63u, 64u, 65u, 128u, 200u, 1000u, 5000u}) {
    for (const uint32_t chunk : {1u, 7u, 64u, 100u}) {
      Cache cache({{0}, {window}}, kContext, chunk, KvType::kF16);
      const uint32_t blocks = cache.kv.layer(1).block_count;
      for (uint64_t end = 0; end <= kContext; end += 1 + end % 41) {
        cache.kv.Clear();
        cache.kv.NoteWrites(end / 2);
        cache.kv.NoteWrites(end);
        cache.kv.NoteWrites(end / 3);  // smaller ones change nothing
        for (uint64_t position = 0; position <= end; ++position) {
          const bool expected = BlocksIntact(position, end, window, blocks);
          if (cache.kv.CanRewind(position) == expected) continue;
          FAIL("window " << window << ", chunk " << chunk << ", written to " << end << ", back to "
                         << position);
        }
      }
    }
  }
}

TEST_CASE("layers without windows can always rewind") {
  Cache cache({{0}, {0}}, 5000, 64, KvType::kF32);
  cache.kv.NoteWrites(5000);
  for (uint64_t position = 0; position <= 5000; ++position) CHECK(cache.kv.CanRewind(position));
}

// The life of a session: chunks are written whole and then seen by their rows; now and then it goes
// back, to where it may or to the start.
void Live(const std::vector<uint32_t>& windows, uint32_t context, uint32_t chunk, uint32_t seed) {
  std::vector<Shape> shapes;
  for (uint32_t window : windows) shapes.push_back({window});
  Cache cache(shapes, context, chunk, KvType::kF16);
  std::vector<RingModel> rings;
  for (uint32_t i = 0; i < windows.size(); ++i) {
    rings.emplace_back(cache.kv.layer(i).block_count);
  }
  std::mt19937 random(seed);
  uint64_t held = 0;
  uint32_t rewinds = 0;
  for (int step = 0; step < 400; ++step) {
    if (held == context || random() % 8 == 0) {
      uint64_t back = random() % (held + 1);
      if (cache.kv.CanRewind(back)) {
        ++rewinds;
      } else {
        back = 0;
      }
      if (back == 0) {
        cache.kv.Clear();
        for (RingModel& ring : rings) ring.Clear();
      }
      held = back;
      continue;
    }
    const uint64_t count = std::min<uint64_t>(1 + random() % chunk, context - held);
    cache.kv.NoteWrites(held + count);
    for (RingModel& ring : rings) {
      for (uint64_t p = held; p < held + count; ++p) ring.Write(p);
    }
    for (size_t i = 0; i < windows.size(); ++i) {
      for (uint64_t row = held; row < held + count; ++row) {
        const uint64_t first = windows[i] == 0 ? 0 : FirstVisible(row, windows[i]);
        for (uint64_t p = first; p <= row; ++p) {
          if (rings[i].Holds(p)) continue;
          FAIL("window " << windows[i] << ", chunk " << chunk << ", context " << context
                         << ": position " << p << " is lost to row " << row);
        }
      }
    }
    held += count;
  }
  CHECK(rewinds > 5);
}

TEST_CASE("every row finds every position it sees, whatever was rewound before") {
  uint32_t seed = 0;
  for (const uint32_t chunk : {1u, 5u, 64u, 130u}) {
    for (const uint32_t context : {200u, 777u}) {
      Live({0, 1, 128}, context, chunk, ++seed);
      Live({64, 65}, context, chunk, ++seed);
      Live({37, 300, 1000}, context, chunk, ++seed);
    }
  }
}

}  // namespace
}  // namespace junto
