// Sampler: from a row of logits to the next token.
//
// Order: penalties, temperature, top-k, top-p, min-p, then one draw. The draw's random number
// depends on (seed, position) alone, so a text replays whatever ran beside it.
#ifndef JUNTO_RUNTIME_SAMPLER_H_
#define JUNTO_RUNTIME_SAMPLER_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "junto/base/math.h"
#include "junto/base/span.h"
#include "junto/base/status.h"

namespace junto {

struct SamplingSpec {
  uint64_t seed = 0;
  float temperature = 0.0f;        // 0: greedy
  float top_p = 1.0f;              // 1: off
  float min_p = 0.0f;              // 0: off
  float repeat_penalty = 1.0f;     // 1: off; divides positive logits, multiplies negative ones
  float presence_penalty = 0.0f;   // subtracted once from what was seen
  float frequency_penalty = 0.0f;  // subtracted per time it was seen
  uint32_t top_k = 0;              // 0: off
  uint32_t penalty_window = 64;    // last tokens that penalties look at
};

constexpr uint32_t kMaxPenaltyWindow = 4096;

inline Status CheckSampling(const SamplingSpec& spec) {
  struct Bound {
    const char* name;
    float value;
    float low;
    float high;
  };
  const Bound bounds[] = {
      {"temperature", spec.temperature, 0.0f, 100.0f},
      {"top_p", spec.top_p, 0.0f, 1.0f},
      {"min_p", spec.min_p, 0.0f, 1.0f},
      {"repeat_penalty", spec.repeat_penalty, 0.01f, 100.0f},
      {"presence_penalty", spec.presence_penalty, -100.0f, 100.0f},
      {"frequency_penalty", spec.frequency_penalty, -100.0f, 100.0f},
  };
  for (const Bound& bound : bounds) {
    if (bound.value >= bound.low && bound.value <= bound.high) continue;
    return Status::Make(Code::kInvalid, "%s %g: %g to %g expected", bound.name,
                        static_cast<double>(bound.value), static_cast<double>(bound.low),
                        static_cast<double>(bound.high));
  }
  if (spec.penalty_window > kMaxPenaltyWindow) {
    return Status::Make(Code::kInvalid, "penalty_window %u: at most %u expected",
                        static_cast<unsigned>(spec.penalty_window),
                        static_cast<unsigned>(kMaxPenaltyWindow));
  }
  return Status();
}

// A number in [0, 1) for each (seed, counter): Philox 4x32-10 (Salmon et al., SC 2011).
inline double UniformAt(uint64_t seed, uint64_t counter) {
  uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0};
  uint32_t k[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53u} * c[0];
    const uint64_t second = uint64_t{0xCD9E8D57u} * c[2];
    const uint32_t next[4] = {
        static_cast<uint32_t>(second >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(second),
        static_cast<uint32_t>(first >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(first)};
    std::copy(next, next + 4, c);
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  const uint64_t bits = uint64_t{c[0]} << 21 | c[1] >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

// A token that may be drawn, and its share, relative to the best one's 1.
struct Candidate {
  float share;
  int32_t token;
};

// exp(x) of -100 < x <= 0, as good as a float. Without calls or branches, so that compilers make
// vectors of loops over it; in double and without fma, so that all of them give the same.
inline float ShareOf(double x) {
  constexpr double kRound = 0x1.8p52;  // added, it leaves no room for fractions
  const double shifted = x * 1.4426950408889634 + kRound;
  const double n = shifted - kRound;
  const double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double sum = 1.0 / 362880;  // r^9 / 9! and so on
  for (const double term :
       {1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0}) {
    sum = sum * r + term;
  }
  uint64_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits + 1023) << 52;  // n as the exponent
  double power;
  std::memcpy(&power, &bits, sizeof(power));
  return static_cast<float>(sum * power);
}

class Sampler {
 public:
  // `candidates` has one place per token of the vocabulary and is the sampler's scratch.
  explicit Sampler(Span<Candidate> candidates) : candidates_(candidates) {}

  // The next token. `logits` [vocabulary] are changed by penalties; a NaN is never chosen unless
  // all are. `recent` are the last tokens, `position` that of the token to come.
  int32_t Choose(const SamplingSpec& spec, float* logits, Span<const int32_t> recent,
                 uint64_t position) const {
    Penalise(spec, recent, logits);
    const int32_t best = Best(logits);
    if (spec.temperature == 0.0f || !(logits[best] > -INFINITY) || logits[best] == INFINITY) {
      return best;
    }
    FillShares(logits, logits[best], spec.temperature);
    const size_t kept = Filter(spec);
    return Draw(kept, UniformAt(spec.seed, position));
  }

 private:
  // Largest logit, ties to the lower id. In lanes, so that compilers make vectors of them; a NaN is
  // greater than nothing.
  int32_t Best(const float* logits) const {
    constexpr size_t kLanes = 16;
    float most[kLanes];
    std::fill(most, most + kLanes, -INFINITY);
    const size_t count = candidates_.size();
    const size_t whole = count / kLanes * kLanes;
    for (size_t i = 0; i < whole; i += kLanes) {
      for (size_t k = 0; k < kLanes; ++k) {
        most[k] = logits[i + k] > most[k] ? logits[i + k] : most[k];
      }
    }
    float best = *std::max_element(most, most + kLanes);
    for (size_t i = whole; i < count; ++i) best = logits[i] > best ? logits[i] : best;
    const float* const found = std::find(logits, logits + count, best);
    return found == logits + count ? 0 : static_cast<int32_t>(found - logits);
  }

  void Penalise(const SamplingSpec& spec, Span<const int32_t> recent, float* logits) const {
    const bool off = spec.repeat_penalty == 1.0f && spec.presence_penalty == 0.0f &&
                     spec.frequency_penalty == 0.0f;
    if (off) return;
    for (size_t i = 0; i < recent.size(); ++i) {
      const int32_t token = recent[i];
      if (std::find(recent.begin(), recent.begin() + i, token) != recent.begin() + i) continue;
      const auto times = std::count(recent.begin() + i, recent.end(), token);
      float& logit = logits[token];
      logit = logit > 0.0f ? logit / spec.repeat_penalty : logit * spec.repeat_penalty;
      logit -= spec.presence_penalty + spec.frequency_penalty * static_cast<float>(times);
    }
  }

  // Shares in order of token id.
  void FillShares(const float* logits, float best, float temperature) const {
    for (size_t i = 0; i < candidates_.size(); ++i) {
      const double below = (static_cast<double>(logits[i]) - best) / temperature;
      const bool counts = below > -100.0;  // not so a NaN
      const float share = ShareOf(counts ? below : 0.0);
      candidates_[i] = {share * static_cast<float>(counts), static_cast<int32_t>(i)};
    }
  }

  static bool Better(const Candidate& a, const Candidate& b) {
    return a.share != b.share ? a.share > b.share : a.token < b.token;
  }

  static double SumOf(const Candidate* begin, const Candidate* end) {
    double sum = 0.0;
    for (const Candidate* c = begin; c != end; ++c) sum += c->share;
    return sum;
  }

  // Moves the candidates that remain to the front, best first; returns how many. All of them, in
  // order of id, when no filter is on.
  size_t Filter(const SamplingSpec& spec) const {
    size_t count = candidates_.size();
    const bool top_p = spec.top_p < 1.0f;
    if (spec.top_k == 0 && !top_p && spec.min_p == 0.0f) return count;
    if (spec.top_k != 0 && spec.top_k < count) {
      count = spec.top_k;
      KeepBest(count);
    }
    Candidate* const begin = candidates_.begin();
    const double limit = top_p ? spec.top_p * SumOf(begin, begin + count) : INFINITY;
    Candidate* const end = Shorten(limit, spec.min_p, begin, begin + count);
    SortBest(begin, end);
    double sum = 0.0;
    Candidate* kept = begin;
    while (kept != end && (kept == begin || (sum < limit && kept->share >= spec.min_p))) {
      sum += kept++->share;
    }
    return static_cast<size_t>(kept - begin);
  }

  // Moves the best `count` to the front, in order of id so that sums have one order. Hardly any of
  // a vocabulary is better than the worst of those so far.
  void KeepBest(size_t count) const {
    Candidate* const begin = candidates_.begin();
    Candidate* const end = begin + count;
    std::make_heap(begin, end, Better);  // the worst in front
    for (Candidate* next = end; next != candidates_.end(); ++next) {
      if (!Better(*next, *begin)) continue;
      std::pop_heap(begin, end, Better);
      end[-1] = *next;
      std::push_heap(begin, end, Better);
    }
    std::sort(begin, end, [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
  }

  // Leaves out what `limit` or `min_p` cannot let pass; returns the new end. Shares that have the
  // same first bits are taken together: from the largest on, as many as surely reach the limit.
  static Candidate* Shorten(double limit, float min_p, Candidate* begin, Candidate* end) {
    constexpr uint32_t kDropped = 20;  // bits
    constexpr uint32_t kBuckets = (0x3F800000u >> kDropped) + 1;
    double mass[kBuckets] = {};
    for (const Candidate* c = begin; c != end; ++c) mass[BitsOf(c->share) >> kDropped] += c->share;
    const double surely = limit * (1.0 + 1e-9);  // in whatever order they are added
    uint32_t bucket = kBuckets;
    for (double sum = 0.0; bucket > 0 && (sum == 0.0 || sum < surely);) sum += mass[--bucket];
    const uint32_t least =
        std::max(bucket << kDropped, BitsOf(std::max(0.0f, std::min(min_p, 1.0f))));
    return std::remove_if(begin, end,
                          [least](const Candidate& c) { return BitsOf(c.share) < least; });
  }
  // Best first, by eight bits of the shares after the other: where all tokens are about as likely
  // most of them remain, and to compare them all takes more than twice as long.
  static void SortBest(Candidate* begin, Candidate* end, int shift = 24) {
    constexpr std::ptrdiff_t kFew = 64;
    constexpr uint32_t kDigits = 256;
    if (end - begin <= kFew || shift < 0) return std::sort(begin, end, Better);
    const auto digit = [shift](const Candidate& c) { return ~BitsOf(c.share) >> shift & 255; };
    uint32_t count[kDigits] = {};
    for (const Candidate* c = begin; c != end; ++c) ++count[digit(*c)];
    Candidate* next[kDigits];
    Candidate* last[kDigits];
    Candidate* at = begin;
    for (uint32_t d = 0; d < kDigits; ++d) {
      next[d] = at;
      last[d] = at += count[d];
    }
    for (uint32_t d = 0; d < kDigits; ++d) {
      while (next[d] != last[d]) {
        Candidate moved = *next[d];
        for (uint32_t to = digit(moved); to != d; to = digit(moved)) std::swap(moved, *next[to]++);
        *next[d]++ = moved;
      }
    }
    for (uint32_t d = 0; d < kDigits; ++d) SortBest(last[d] - count[d], last[d], shift - 8);
  }
  // In the order of the shares, which are between 0 and 1.
  static uint32_t BitsOf(float share) {
    uint32_t bits;
    std::memcpy(&bits, &share, sizeof(bits));
    return bits;
  }

  int32_t Draw(size_t kept, double uniform) const {
    const Candidate* begin = candidates_.data();
    const double target = uniform * SumOf(begin, begin + kept);
    double sum = 0.0;
    int32_t drawn = begin->token;
    for (size_t i = 0; i < kept; ++i) {
      if (begin[i].share == 0.0f) continue;
      drawn = begin[i].token;
      sum += begin[i].share;
      if (sum > target) break;
    }
    return drawn;
  }

  Span<Candidate> candidates_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_SAMPLER_H_
