// The recurrent state's slots: what is kept, what gives way, and that the two ends of a pass never
// share memory with each other or with a checkpoint.
#include "junto/runtime/state_cache.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <vector>

#include "tests/support/faults.h"

namespace junto {
namespace {

DeltaNetSpec Net(uint32_t key_heads, uint32_t value_heads, uint32_t key_dim, uint32_t value_dim,
                 uint32_t taps) {
  DeltaNetSpec spec;
  spec.key_heads = key_heads;
  spec.value_heads = value_heads;
  spec.key_dim = key_dim;
  spec.value_dim = value_dim;
  spec.taps = taps;
  return spec;
}

// A cache over memory of its own.
struct Cache {
  Cache(const std::vector<DeltaNetSpec>& nets, uint64_t checkpoint_bytes, uint32_t forks = 0)
      : spec(&memory) {
    for (const DeltaNetSpec& net : nets) {
      LayerSpec layer;
      layer.delta = net;
      spec.layers.push_back(layer);
    }
    SessionSpec session_spec;
    session_spec.checkpoint_bytes = checkpoint_bytes;
    session_spec.max_forks = forks;
    Arena tables;
    Arena states;
    pool.LayOut(spec, session_spec, &tables, &states);
    state_bytes = states.used();
    REQUIRE(
        Block::Allocate(&memory, tables.used(), Arena::kAlignment, Tag::kKv, &table_block).ok());
    REQUIRE(Block::Allocate(&memory, state_bytes, Arena::kAlignment, Tag::kKv, &state_block).ok());
    Arena place_tables(table_block.data(), table_block.size());
    Arena place_states(state_block.data(), state_block.size());
    pool.LayOut(spec, session_spec, &place_tables, &place_states);
    REQUIRE(place_tables.ok());
    REQUIRE(place_states.ok());
    REQUIRE(place_states.used() == state_bytes);
    cache.Use(&pool);
    cache.Prepare();
  }

  test::CountingAllocator allocator;
  Memory memory{&allocator, 0};
  ModelSpec spec;
  Block table_block;
  Block state_block;
  uint64_t state_bytes = 0;
  StatePool pool;
  StateCache cache;
};

TEST_CASE("a state is as large as its shape says") {
  const StateShape shape(Net(2, 6, 20, 12, 4));
  CHECK(shape.panels == 1);
  CHECK(shape.channels == 2 * 2 * 20 + 6 * 12);
  CHECK(shape.history == 3 * shape.channels);
  CHECK(shape.head == 20 * 16);
  CHECK(shape.total == shape.history + 6 * shape.head);
  CHECK(StateShape(DeltaNetSpec()).total == 0);
  CHECK(StateShape(Net(1, 1, 1, 17, 1)).history == 0);
  CHECK(StateShape(Net(1, 1, 1, 17, 1)).panels == 2);
}

TEST_CASE("layers lie apart and inside, and those without a net take nothing") {
  const std::vector<DeltaNetSpec> nets = {Net(1, 2, 3, 5, 4), DeltaNetSpec(), Net(2, 2, 16, 16, 2)};
  Cache cache(nets, 0);
  const uint64_t first = RoundUp<uint64_t>(StateShape(nets[0]).total, 16);
  const uint64_t last = RoundUp<uint64_t>(StateShape(nets[2]).total, 16);
  CHECK(cache.state_bytes == 2 * (first + last) * sizeof(float));
  CHECK(cache.cache.before(0) == nullptr);
  CHECK(cache.cache.after(2) == cache.cache.after(0) + first);
  cache.cache.Advance(1, false);
  CHECK(cache.cache.before(2) == cache.cache.before(0) + first);
  CHECK(cache.cache.before(0) != cache.cache.after(0));
}

TEST_CASE("a model without delta-nets has no state and goes back anywhere") {
  Cache cache({DeltaNetSpec(), DeltaNetSpec()}, 1 << 20);
  CHECK(cache.state_bytes == 0);
  CHECK_FALSE(cache.cache.present());
  cache.cache.Advance(7, true);
  CHECK(cache.cache.Rewind(5) == 5);
}

TEST_CASE("checkpoints are as many as fit, and no more than a few") {
  const uint64_t state = RoundUp<uint64_t>(StateShape(Net(1, 1, 4, 4, 4)).total, 16) * 4;
  const auto slots = [&](uint64_t bytes) {
    return Cache({Net(1, 1, 4, 4, 4)}, bytes).state_bytes / state;
  };
  CHECK(slots(0) == 2);
  CHECK(slots(state - 1) == 2);
  CHECK(slots(state) == 3);
  CHECK(slots(3 * state) == 5);
  CHECK(slots(~uint64_t{0}) == 2 + StatePool::kMaxCheckpoints);
}

// What a cache of `room` checkpoints should hold, as a plain list, with the number of tokens before
// each state written into it.
TEST_CASE("any walk through a chat finds the states it should, unharmed") {
  for (const uint32_t room : {0u, 1u, 2u, 5u}) {
    const uint64_t state = RoundUp<uint64_t>(StateShape(Net(1, 1, 4, 4, 4)).total, 16) * 4;
    Cache made({Net(1, 1, 4, 4, 4)}, room * state);
    StateCache& cache = made.cache;
    std::mt19937 random(room);
    uint64_t now = 0;
    uint64_t pinned = 0;
    std::vector<uint64_t> kept;  // ascending
    for (int i = 0; i < 3000; ++i) {
      if (random() % 20 == 0) {
        pinned =
            kept.empty() || random() % 3 == 0 ? random() % (now + 9) : kept[random() % kept.size()];
        cache.Pin(pinned);
      }
      if (random() % 4 != 0) {
        const uint64_t next = now + 1 + random() % 9;
        const bool keep = random() % 3 == 0;
        float* const to = cache.after(0);
        *to = -1.0f;  // a pass that is given up
        if (random() % 2 == 0) *to = static_cast<float>(next);
        if (*to < 0.0f) continue;
        cache.Advance(next, keep);
        if (keep && now != 0 && (kept.empty() || kept.back() != now)) kept.push_back(now);
        if (kept.size() > room) {
          // The earliest goes, but the pinned one only if the latest alone is beside it.
          const bool spared = kept.front() == pinned && kept.size() > 2;
          const auto found = std::find(kept.begin(), kept.end(), pinned);
          const bool goes = kept.size() == 2 && found != kept.end();
          kept.erase(goes ? found : kept.begin() + (spared ? 1 : 0));
        }
        now = next;
      } else {
        const uint64_t limit = random() % 3 == 0 ? now : random() % (now + 3);
        uint64_t expected = 0;
        for (const uint64_t position : kept) {
          if (position <= limit) expected = position;
        }
        if (now <= limit) expected = now;
        REQUIRE(cache.Rewind(limit) == expected);
        now = expected;
        while (!kept.empty() && kept.back() > now) kept.pop_back();
      }
      REQUIRE((cache.before(0) == nullptr) == (now == 0));
      if (now != 0) REQUIRE(*cache.before(0) == static_cast<float>(now));
      if (now > 4000) {
        cache.Clear();
        cache.Prepare();
        now = 0;
        kept.clear();
      }
    }
  }
}

TEST_CASE("forks share states, and each goes its own way") {
  const uint64_t state = RoundUp<uint64_t>(StateShape(Net(1, 1, 4, 4, 4)).total, 16) * 4;
  for (const uint32_t room : {0u, 2u}) {
    Cache made({Net(1, 1, 4, 4, 4)}, room * state, 3);
    CHECK(made.state_bytes == 4 * (2 + room) * state);
    struct Member {
      StateCache cache;
      std::map<uint64_t, float> states;  // by position, all there ever were
      uint64_t now = 0;
    };
    std::vector<Member> members(4);
    made.cache.Clear();
    for (Member& member : members) member.cache.Use(&made.pool);
    std::mt19937 random(room);
    for (int i = 0; i < 4000; ++i) {
      Member& member = members[random() % 4];
      if (random() % 8 == 0) {
        const Member& parent = members[random() % 4];
        if (&parent == &member) continue;
        member.cache.Clear();
        member.cache.ShareFrom(parent.cache);
        member.states = parent.states;
        member.now = parent.now;
      } else if (random() % 8 == 0) {
        member.now = member.cache.Rewind(member.now == 0 ? 0 : random() % member.now);
      } else {
        member.cache.Prepare();
        const auto value = static_cast<float>(i);
        *member.cache.after(0) = value;
        member.now += 1 + random() % 9;
        member.states[member.now] = value;
        member.cache.Advance(member.now, random() % 3 == 0);
      }
      for (const Member& each : members) {
        REQUIRE((each.cache.before(0) == nullptr) == (each.now == 0));
        if (each.now != 0) REQUIRE(*each.cache.before(0) == each.states.at(each.now));
      }
    }
  }
}

}  // namespace
}  // namespace junto
