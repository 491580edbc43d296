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

SessionSpec SpecOf(uint32_t context, uint32_t chunk, KvType type) {
  SessionSpec spec;
  spec.context = context;
  spec.chunk = chunk;
  spec.kv_type = type;
  return spec;
}

// A family of caches over memory of its own; kv is the first.
struct Cache {
  Cache(const std::vector<Shape>& shapes, uint32_t context, uint32_t chunk, KvType type)
      : Cache(shapes, SpecOf(context, chunk, type)) {}

  Cache(const std::vector<Shape>& shapes, const SessionSpec& session_spec)
      : spec(&memory), family(session_spec.family()), kv(family[0]) {
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
    LayOut(session_spec, &tables, &pages);
    table_bytes = tables.used();
    page_bytes = pages.used();
    REQUIRE(Block::Allocate(&memory, table_bytes, Arena::kAlignment, Tag::kKv, &table_block).ok());
    REQUIRE(Block::Allocate(&memory, page_bytes, Arena::kAlignment, Tag::kKv, &page_block).ok());
    Arena place_tables(table_block.data(), table_block.size());
    Arena place_pages(page_block.data(), page_block.size());
    LayOut(session_spec, &place_tables, &place_pages);
    REQUIRE(place_tables.ok());
    REQUIRE(place_pages.ok());
    REQUIRE(place_tables.used() == table_bytes);
    REQUIRE(place_pages.used() == page_bytes);
  }

  void LayOut(const SessionSpec& session_spec, Arena* tables, Arena* pages) {
    pool.LayOut(spec, session_spec, tables, pages);
    for (KvCache& member : family) member.LayOut(spec, session_spec, &pool, tables);
  }

  test::CountingAllocator allocator;
  Memory memory{&allocator, 0};
  ModelSpec spec;
  Block table_block;
  Block page_block;
  uint64_t table_bytes = 0;
  uint64_t page_bytes = 0;
  KvPool pool;
  std::vector<KvCache> family;
  KvCache& kv;
};

TEST_CASE("blocks are as large as their shape says, apart and inside") {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kBF16}) {
    const std::vector<Shape> shapes = {{0, 2, 3, 5}, {100, 1, 64, 64}, {0, 4, 7, 1}};
    Cache cache(shapes, 1000, 16, type);
    CHECK(cache.kv.type() == type);
    for (uint64_t p = 0; p < 1000; p += 8) REQUIRE(cache.kv.Prepare(p, p + 8).ok());
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
        REQUIRE(layer.blocks[b] != nullptr);
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
    KvPool pool;
    pool.LayOut(spec, SpecOf(c.context, c.chunk, KvType::kF16), &tables, &pages);
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
        cache.kv.Cut(0);
        for (uint64_t at = 0; at < end; at += chunk) {
          REQUIRE(cache.kv.Prepare(at, std::min<uint64_t>(at + chunk, end)).ok());
        }
        if (end != 0) REQUIRE(cache.kv.Prepare(end - 1, end).ok());  // again changes nothing
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
  REQUIRE(cache.kv.Prepare(0, 5000).ok());
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
        for (RingModel& ring : rings) ring.Clear();
      }
      cache.kv.Cut(back);
      held = back;
      continue;
    }
    const uint64_t count = std::min<uint64_t>(1 + random() % chunk, context - held);
    REQUIRE(cache.kv.Prepare(held, held + count).ok());
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

// Writes `seed` into every position of [begin, end), as passes would, and checks what was before.
struct Writer {
  Writer(KvCache* cache, uint32_t layers) : kv(cache), written(layers) {}

  bool Write(uint64_t begin, uint64_t end, uint8_t seed) {
    if (!kv->Prepare(begin, end).ok()) return false;
    for (uint32_t i = 0; i < written.size(); ++i) {
      written[i].resize(begin);
      for (uint64_t p = begin; p < end; ++p) {
        *At(i, p) = seed;
        written[i].push_back(seed);
      }
    }
    held = end;
    return true;
  }
  // A byte of the position's own.
  uint8_t* At(uint32_t i, uint64_t position) const {
    const KvLayer& layer = kv->layer(i);
    return layer.blocks[position / 64 % layer.block_count] + position % 64;
  }
  bool Holds() const {
    for (uint32_t i = 0; i < written.size(); ++i) {
      const uint32_t window = kv->layer(i).window;
      const uint64_t first = window == 0 || held == 0 ? 0 : FirstVisible(held - 1, window);
      for (uint64_t p = first; p < held; ++p) {
        if (*At(i, p) != written[i][p]) return false;
      }
    }
    return true;
  }
  void Fork(const Writer& parent) {
    kv->Cut(0);
    kv->ShareFrom(*parent.kv, parent.held);
    written = parent.written;
    held = parent.held;
  }

  KvCache* kv;
  std::vector<std::vector<uint8_t>> written;
  uint64_t held = 0;
};

TEST_CASE("forks share pages until they write, and never see each other's") {
  SessionSpec spec = SpecOf(600, 70, KvType::kF16);
  spec.max_forks = 4;
  spec.fork_tokens = 600;
  for (uint32_t seed = 0; seed < 8; ++seed) {
    const std::vector<Shape> shapes = {{0}, {100}, {1}, {0, 1, 1, 1}};
    Cache cache(shapes, spec);
    std::vector<Writer> members;
    for (KvCache& member : cache.family) members.emplace_back(&member, shapes.size());
    std::mt19937 random(seed);
    uint32_t forks = 0;
    for (int step = 0; step < 600; ++step) {
      Writer& member = members[random() % members.size()];
      if (random() % 10 == 0) {
        const Writer& parent = members[random() % members.size()];
        if (&parent == &member) continue;
        member.Fork(parent);
        ++forks;
      } else if (member.held == 600 || random() % 20 == 0) {
        uint64_t back = random() % (member.held + 1);
        if (!member.kv->CanRewind(back)) back = 0;
        member.kv->Cut(back);
        member.held = back;
        for (auto& layer : member.written) layer.resize(back);
      } else {
        const uint64_t end = std::min<uint64_t>(600, member.held + 1 + random() % 70);
        REQUIRE(member.Write(member.held, end, static_cast<uint8_t>(random())));
      }
      for (const Writer& each : members) REQUIRE(each.Holds());
    }
    CHECK(forks > 10);
    for (Writer& member : members) member.kv->Cut(0);
    for (uint32_t i = 0; i < shapes.size(); ++i) {
      CHECK(cache.pool.layer(i)->free_count() == 5u * cache.kv.layer(i).block_count);
    }
  }
}

TEST_CASE("a fork takes no page, then the one it parts in, and what is missing changes nothing") {
  SessionSpec spec = SpecOf(640, 64, KvType::kF16);
  spec.max_forks = 1;
  spec.fork_tokens = 64;
  Cache cache({{0}}, spec);
  PagePool* const pool = cache.pool.layer(0);
  CHECK(pool->free_count() == 10 + 2);
  Writer first(&cache.family[0], 1);
  Writer fork(&cache.family[1], 1);
  REQUIRE(first.Write(0, 600, 1));
  const uint64_t free = pool->free_count();
  fork.Fork(first);
  CHECK(pool->free_count() == free);
  REQUIRE(fork.Write(600, 601, 2));
  CHECK(pool->free_count() == free - 1);
  REQUIRE(fork.Write(601, 640, 3));
  CHECK(pool->free_count() == free - 1);
  REQUIRE(first.Write(600, 640, 4));
  CHECK(pool->free_count() == free - 1);
  CHECK(first.Holds());
  CHECK(fork.Holds());
  fork.kv->Cut(100);
  fork.held = 100;
  REQUIRE(fork.Write(100, 128, 5));
  REQUIRE(fork.Write(128, 192, 6));
  CHECK(pool->free_count() == 0);
  CHECK_FALSE(fork.kv->Prepare(192, 193).ok());
  CHECK(fork.Holds());
  CHECK(first.Holds());
  first.kv->Cut(0);
  CHECK(fork.Holds());
  REQUIRE(fork.Write(192, 193, 7));
  CHECK(fork.Holds());
}

}  // namespace
}  // namespace junto
