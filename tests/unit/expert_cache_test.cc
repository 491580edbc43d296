// The cache of experts by itself: what passes hold is what they asked for, whoever else asks; what
// goes is what was not used for longest; and the share of hits is the one that theory gives.
#include "junto/runtime/expert_cache.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <list>
#include <random>
#include <thread>
#include <vector>

#include "c_api/background.h"
#include "c_api/os/memory.h"

namespace junto {
namespace {

void RequireOk(const Status& status) {
  INFO(status.message());
  REQUIRE(status.ok());
}

class Endless final : public Interrupt {
 public:
  bool Cancelled() override { return false; }
  uint64_t Budget() override { return kNoBudget; }
  uint64_t Elapsed() override { return 0; }
};

constexpr uint64_t kStride = 4096;
constexpr uint64_t kWeights = 8192;  // where the weights begin
constexpr uint32_t kGap = 3;         // records between those of two layers

// A file whose records say which they are.
class Records {
 public:
  Records(uint32_t layers, uint32_t experts)
      : bytes_(kWeights + layers * (experts + kGap) * kStride), layers_(layers), experts_(experts) {
    for (uint32_t layer = 0; layer < layers; ++layer) {
      for (uint32_t expert = 0; expert < experts; ++expert) {
        auto* words = reinterpret_cast<uint32_t*>(&bytes_[kWeights + OffsetOf(layer, expert)]);
        for (uint32_t i = 0; i < kStride / 4; ++i) words[i] = Word(layer, expert);
      }
    }
  }

  static uint32_t Word(uint32_t layer, uint32_t expert) { return layer << 16 | expert; }
  uint64_t OffsetOf(uint32_t layer, uint32_t expert) const {
    return (layer * (experts_ + kGap) + expert) * kStride;
  }
  void Open(uint64_t slots, uint32_t used, BackgroundService* service, Memory* memory,
            ExpertCache* cache) {
    file_ = New<MemoryFile, File>(memory, Tag::kObject, bytes_.data(), bytes_.size());
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      cache->AddLayer({OffsetOf(layer, 0), kStride, kStride - 8, experts_, used});
    }
    RequireOk(cache->Plan(slots * kStride));
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      for (uint32_t expert = 0; expert < experts_; ++expert) {
        PlacedHash hash;
        hash.Add(0, &bytes_[kWeights + OffsetOf(layer, expert)], kStride - 8);
        cache->hashes()->push_back(hash.value());
      }
    }
    RequireOk(cache->Open(file_.get(), kWeights, service));
  }

 private:
  std::vector<uint8_t> bytes_;
  uint32_t layers_;
  uint32_t experts_;
  Owned<File> file_;
};

// What a pass does with some experts of a layer; whether every byte was right.
bool Use(ExpertCache* cache, uint32_t layer, std::vector<uint32_t> experts, Interrupt* interrupt,
         ExpertCounters* counters) {
  ExpertWave wave;
  wave.experts = experts.data();
  wave.count = static_cast<uint32_t>(experts.size());
  wave.layer = layer;
  cache->Ask(&wave, counters);
  bool right = true;
  bool more = true;
  while (more) {
    right = right && cache->Gather(&wave, interrupt, counters).ok();
    for (uint32_t i = wave.done; i < wave.ready; ++i) {
      const auto* words = reinterpret_cast<const uint32_t*>(cache->Record(layer, wave.experts[i]));
      const uint32_t word = Records::Word(layer, wave.experts[i]);
      right = right && std::all_of(words, words + kStride / 4,
                                   [word](uint32_t found) { return found == word; });
    }
    more = cache->FinishWave(&wave);
  }
  return right;
}

struct Setup {
  explicit Setup(uint32_t layers, uint32_t experts)
      : memory(&allocator, 0), records(layers, experts) {}
  OsAllocator allocator;
  Memory memory;
  OsBackgroundService service;
  Records records;
  Endless endless;
};

TEST_CASE("many passes on many threads each see what they asked for") {
  for (const uint64_t slots : {4u, 9u, 40u}) {
    for (const bool threads_read : {true, false}) {
      Setup setup(3, 16);
      ExpertCache cache(&setup.memory);
      setup.records.Open(slots, 4, threads_read ? &setup.service : nullptr, &setup.memory, &cache);
      std::atomic<int> wrong{0};
      std::vector<std::thread> threads;
      for (uint32_t t = 0; t < 5; ++t) {
        threads.emplace_back([&, t] {
          std::mt19937 random(t);
          ExpertCounters counters;
          for (int i = 0; i < 300; ++i) {
            std::vector<uint32_t> experts(16);
            for (uint32_t e = 0; e < 16; ++e) experts[e] = e;
            std::shuffle(experts.begin(), experts.end(), random);
            const uint32_t layer = random() % 3;
            if (i % 3 == 0) cache.Foresee((layer + 1) % 3, experts.data(), 5);
            experts.resize(1 + random() % 16);
            if (!Use(&cache, layer, experts, &setup.endless, &counters)) ++wrong;
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      CHECK(wrong == 0);
    }
  }
}

// Never has time to wait.
class Hurried final : public Interrupt {
 public:
  bool Cancelled() override { return false; }
  uint64_t Budget() override { return 0; }
  uint64_t Elapsed() override { return 0; }
};

// A pass over experts of a layer that is interrupted whenever it would wait.
class SlicedPass {
 public:
  SlicedPass(ExpertCache* cache, uint32_t layer, std::vector<uint32_t> experts)
      : cache_(cache), experts_(std::move(experts)) {
    wave_.experts = experts_.data();
    wave_.count = static_cast<uint32_t>(experts_.size());
    wave_.layer = layer;
    cache_->Ask(&wave_, &counters_);
  }
  // Is interrupted while or before it uses what it asked for.
  void Slice() {
    (void)cache_->Gather(&wave_, &hurried_, &counters_);
    cache_->LetGo(&wave_);
    while (cache_->DoSome()) {
    }
  }
  void Finish() {
    for (bool more = true; more;) {
      while (!cache_->HoldAgain(&wave_, &hurried_, &counters_).ok()) cache_->LetGo(&wave_);
      while (!cache_->Gather(&wave_, &hurried_, &counters_).ok()) {
      }
      more = cache_->FinishWave(&wave_);
    }
  }
  uint64_t bytes_read() const { return counters_.bytes; }

 private:
  ExpertCache* cache_;
  std::vector<uint32_t> experts_;
  ExpertWave wave_;
  ExpertCounters counters_;
  Hurried hurried_;
};

TEST_CASE("what a pass keeps stays though others use it, too") {
  Setup setup(1, 8);
  ExpertCache cache(&setup.memory);
  setup.records.Open(2, 2, nullptr, &setup.memory, &cache);
  SlicedPass first(&cache, 0, {0, 1});
  first.Slice();
  first.Slice();
  SlicedPass(&cache, 0, {0}).Finish();
  SlicedPass other(&cache, 0, {4, 5});
  other.Slice();
  const uint64_t read = first.bytes_read();
  first.Finish();
  CHECK(first.bytes_read() == read);
  other.Finish();
}

TEST_CASE("the turn goes to a pass that waits, not to one that is done") {
  Setup setup(3, 8);
  ExpertCache cache(&setup.memory);
  setup.records.Open(4, 2, nullptr, &setup.memory, &cache);
  SlicedPass(&cache, 1, {0, 1}).Finish();
  SlicedPass first(&cache, 0, {0, 1});
  first.Slice();
  SlicedPass(&cache, 1, {0, 1}).Finish();  // finds all it wants
  SlicedPass waits(&cache, 2, {4, 5});
  waits.Slice();
  first.Finish();
  waits.Slice();  // in turn from here on
  waits.Slice();
  SlicedPass(&cache, 1, {2, 3}).Finish();
  SlicedPass(&cache, 1, {4, 5}).Finish();
  const uint64_t read = waits.bytes_read();
  waits.Finish();
  CHECK(waits.bytes_read() == read);
}

// Experts whose popularity falls as 1 / rank^skew.
std::vector<double> Popularity(uint32_t experts, double skew) {
  std::vector<double> weights(experts);
  double sum = 0.0;
  for (uint32_t e = 0; e < experts; ++e) sum += weights[e] = std::pow(e + 1.0, -skew);
  for (double& weight : weights) weight /= sum;
  return weights;
}

// What theory expects of an LRU cache for independent requests (Che's approximation): an expert is
// there if it was asked for within a characteristic time t, with which `slots` are expected there.
double ExpectedHits(const std::vector<double>& popularity, double slots) {
  double low = 0.0;
  double high = 1e9;
  for (int i = 0; i < 200; ++i) {
    const double t = (low + high) / 2;
    double held = 0.0;
    for (const double p : popularity) held += 1.0 - std::exp(-p * t);
    (held < slots ? low : high) = t;
  }
  double hits = 0.0;
  for (const double p : popularity) hits += p * (1.0 - std::exp(-p * low));
  return hits;
}

TEST_CASE("skewed choices hit as often as an LRU cache would, and as theory says") {
  for (const double skew : {0.0, 0.7, 1.2}) {
    for (const uint32_t slots : {8u, 16u, 32u}) {
      Setup setup(1, 64);
      ExpertCache cache(&setup.memory);
      setup.records.Open(slots, 1, nullptr, &setup.memory, &cache);
      const std::vector<double> popularity = Popularity(64, skew);
      std::mt19937 random(7);
      std::discrete_distribution<uint32_t> choose(popularity.begin(), popularity.end());
      std::list<uint32_t> recent;  // the most recent first
      uint64_t simulated = 0;
      ExpertCounters counters;
      constexpr int kRequests = 20000;
      for (int i = 0; i < kRequests; ++i) {
        const uint32_t expert = choose(random);
        const auto found = std::find(recent.begin(), recent.end(), expert);
        if (found != recent.end()) {
          ++simulated;
          recent.erase(found);
        } else if (recent.size() == slots) {
          recent.pop_back();
        }
        recent.push_front(expert);
        REQUIRE(Use(&cache, 0, {expert}, &setup.endless, &counters));
      }
      INFO("skew " << skew << ", " << slots << " slots");
      CHECK(counters.hits == simulated);
      CHECK(counters.misses == kRequests - simulated);
      CHECK(counters.bytes == counters.misses * kStride);
      const double share = static_cast<double>(counters.hits) / kRequests;
      CHECK(std::abs(share - ExpectedHits(popularity, slots)) < 0.02);
    }
  }
}

TEST_CASE("what is foreseen is there when it is asked for, and pushes out nobody") {
  Setup setup(2, 8);
  ExpertCache cache(&setup.memory);
  setup.records.Open(4, 2, &setup.service, &setup.memory, &cache);
  ExpertCounters counters;
  std::vector<uint32_t> own = {0, 1};
  ExpertWave wave;
  wave.experts = own.data();
  wave.count = 2;
  cache.Ask(&wave, &counters);
  const uint32_t next[] = {5, 6, 7};  // for which there is room, but for the last
  cache.Foresee(1, next, 3);
  while (wave.ready != 2) RequireOk(cache.Gather(&wave, &setup.endless, &counters));
  for (uint32_t i = 0; i < 2; ++i) {
    CHECK(*reinterpret_cast<const uint32_t*>(cache.Record(0, own[i])) == Records::Word(0, own[i]));
  }
  cache.FinishWave(&wave);
  for (uint64_t hits = 0; hits != 2;) {  // as soon as they have been read
    ExpertCounters asked;
    REQUIRE(Use(&cache, 1, {5, 6}, &setup.endless, &asked));
    hits = asked.hits;
    counters.Add(asked);
  }
  ExpertCounters asked;
  REQUIRE(Use(&cache, 1, {7}, &setup.endless, &asked));
  CHECK(asked.misses == 1);
  CHECK(counters.bytes + asked.bytes == 5 * kStride);  // nothing twice
}

TEST_CASE("a budget below the experts of one token is refused") {
  Setup setup(1, 8);
  ExpertCache cache(&setup.memory);
  cache.AddLayer({0, kStride, kStride, 8, 3});
  cache.AddLayer({0, 2 * kStride, kStride, 8, 2});
  CHECK(cache.Plan(6 * kStride - 1).code() == Code::kInvalid);
  RequireOk(cache.Plan(6 * kStride));
  CHECK(cache.bytes() == 6 * kStride);
  RequireOk(cache.Plan(1000 * kStride));
  CHECK(cache.bytes() == 32 * kStride);
}

TEST_CASE("hashes of records do not depend on order, and notice every bit and every swap") {
  std::mt19937_64 random(1);
  std::vector<uint64_t> words(513);
  for (uint64_t& word : words) word = random() % 3 == 0 ? 0 : random();
  const auto hash_of = [](const std::vector<uint64_t>& from) {
    PlacedHash hash;
    hash.Add(0, from.data(), from.size() * 8);
    return hash.value();
  };
  const uint64_t expected = hash_of(words);
  PlacedHash pieces;
  for (const size_t i : {400u, 0u, 200u}) {
    const size_t end = i == 400 ? 513 : i + 200;
    pieces.Add(i * 8, &words[i], (end - i) * 8);
  }
  CHECK(pieces.value() == expected);
  for (size_t at = 0; at < words.size(); ++at) {
    for (int bit = 0; bit < 64; bit += 3) {
      std::vector<uint64_t> changed = words;
      changed[at] ^= uint64_t{1} << bit;
      REQUIRE(hash_of(changed) != expected);
    }
    std::vector<uint64_t> swapped = words;
    std::swap(swapped[at], swapped[(at * 7 + 1) % words.size()]);
    REQUIRE((swapped == words || hash_of(swapped) != expected));
  }
  std::vector<uint64_t> zeros(100, 0);
  CHECK(hash_of(zeros) != hash_of(std::vector<uint64_t>(101, 0)));
}

}  // namespace
}  // namespace junto
