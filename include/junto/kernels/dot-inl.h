// Exact dot products of 8-bit integers, four columns per 32-bit lane: the few instructions Highway
// lacks stand here and nowhere else. Every form gives the same integers.
#include "junto/kernels/targets.h"
#if defined(JUNTO_KERNELS_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_DOT_INL_H_
#undef JUNTO_KERNELS_DOT_INL_H_
#else
#define JUNTO_KERNELS_DOT_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "junto/quant/panel.h"

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int kActivationMax = 127;

// Instructions that sum four products of bytes want four columns of one group side by side; those
// that sum two take the columns as they come. Two of the set's own kernels have to agree on it: the
// one that writes blocks of activations and the one that multiplies them.
#undef JUNTO_DOT_QUADS
#if HWY_TARGET <= HWY_AVX3_DL && HWY_COMPILER_GCC
#define JUNTO_DOT_QUADS 1
#else
#define JUNTO_DOT_QUADS 0
#endif

// Where a block keeps the code of a column: quads swap the middle pairs of every eight, which is
// its own inverse.
constexpr uint32_t CodeAt(uint32_t column) {
  return JUNTO_DOT_QUADS ? (column & ~6u) | (column & 2) << 1 | (column & 4) >> 1 : column;
}
// Where it keeps the sub-scale of a group: for quads each is the low half of a 32-bit lane, and the
// high half is 0.
constexpr uint32_t SubScaleAt(uint32_t group) { return JUNTO_DOT_QUADS ? 2 * group : group; }

#if HWY_TARGET != HWY_SCALAR

// A vector lane is an output row: half a panel, a panel, or two panels to a vector.
using PanelF32 = hn::CappedTag<float, 2 * kPanelRows>;
using PanelI32 = hn::RebindToSigned<PanelF32>;
using PanelI16 = hn::Repartition<int16_t, PanelF32>;
using PanelU16 = hn::Repartition<uint16_t, PanelF32>;
using PanelU8 = hn::Repartition<uint8_t, PanelF32>;
using PanelI8 = hn::Repartition<int8_t, PanelF32>;
using VecF32 = hn::Vec<PanelF32>;
using VecI32 = hn::Vec<PanelI32>;
using VecI16 = hn::Vec<PanelI16>;
using VecU8 = hn::Vec<PanelU8>;
using VecI8 = hn::Vec<PanelI8>;
constexpr uint32_t kVectorRows = hn::MaxLanes(PanelF32());
constexpr uint32_t kVectorPanels = HWY_MAX(kVectorRows / kPanelRows, 1);

// Weights as kernels multiply them: unsigned codes up to kMax, or signed bytes.
constexpr int kSignedCodes = -1;
// How many sums of two products fit one int16.
constexpr int PairHeadroom(int max) {
  return 32767 / (2 * (max == kSignedCodes ? 128 : max) * kActivationMax);
}
static_assert(PairHeadroom(31) >= 4, "up to 5 bits: all pairs of a group");
static_assert(PairHeadroom(63) >= 2, "6 bits: four products, a quad");
static_assert(PairHeadroom(kSignedCodes) >= 1, "8 bits");

// The vectors that hold a block's codes as Dot16 takes them: quads take signed ones in 16 bits.
template <int kMax>
constexpr int kCodeVectors = JUNTO_DOT_QUADS&& kMax == kSignedCodes ? 16 : 8;

#if JUNTO_DOT_QUADS

// Highway 1.0.3 does not enable AVX512_VNNI for this target, so intrinsics would not inline.
typedef int32_t __attribute__((may_alias)) Word;
// sum + the dot products of the four bytes of each lane of w with the four at `a`.
HWY_INLINE VecI32 AddQuads(VecI32 sum, VecU8 w, const int8_t* a) {
  __asm__("vpdpbusd %2%{1to16%}, %1, %0"
          : "+v"(sum.raw)
          : "v"(w.raw), "m"(*reinterpret_cast<const Word*>(a)));
  return sum;
}
// sum + the dot products of the 16-bit halves of each lane of v with the two at `a`.
HWY_INLINE VecI32 AddHalves(VecI32 sum, VecI32 v, const int16_t* a) {
  __asm__("vpdpwssd %2%{1to16%}, %1, %0"
          : "+v"(sum.raw)
          : "v"(v.raw), "m"(*reinterpret_cast<const Word*>(a)));
  return sum;
}

// A number that every row takes lies in memory once: instructions broadcast what they read.
template <class D>
using Spread = hn::TFromD<D>;
template <class D>
HWY_INLINE Spread<D> SpreadOf(D, hn::TFromD<D> value) {
  return value;
}
template <class D>
HWY_INLINE hn::Vec<D> LoadSpread(D d, const Spread<D>& value) {
  return hn::Set(d, value);
}

// From four columns to a lane, as files have them, to quads of a group. Signed codes become halves:
// bytes 0 and 2 of a quad, then bytes 1 and 3.
template <int kMax>
HWY_INLINE void ArrangeCodes(VecU8 (&code)[kCodeVectors<kMax>]) {
  const PanelU8 d8;
  const PanelI16 d16;
  const PanelI32 d32;
  for (int i = 0; i < 8; i += 2) {
    const auto first = hn::BitCast(d32, code[i]);
    const auto second = hn::BitCast(d32, code[i + 1]);
    code[i] = hn::BitCast(
        d8, hn::OddEven(hn::BitCast(d16, hn::ShiftLeft<16>(second)), hn::BitCast(d16, first)));
    code[i + 1] = hn::BitCast(
        d8, hn::OddEven(hn::BitCast(d16, second), hn::BitCast(d16, hn::ShiftRight<16>(first))));
  }
  if constexpr (kMax == kSignedCodes) {
    for (int i = 7; i >= 0; --i) {
      const auto quads = hn::BitCast(d16, code[i]);
      code[2 * i] = hn::BitCast(d8, hn::ShiftRight<8>(hn::ShiftLeft<8>(quads)));
      code[2 * i + 1] = hn::BitCast(d8, hn::ShiftRight<8>(quads));
    }
  }
}

// What Dot16 multiplies the codes of a block with.
template <int kMax>
struct DotFactors {
  HWY_INLINE void Set(const ActivationBlock& x) {
    std::memcpy(q, x.q, sizeof(q));
    std::memcpy(sub_scale, x.sub_scale, sizeof(sub_scale));
  }

  int8_t q[kBlockColumns];
  int16_t sub_scale[2 * kGroups];
};
// sub_scale * q, because sums with signed codes leave 16 bits: of each quad bytes 0 and 2, and 16
// halves further bytes 1 and 3.
template <>
struct DotFactors<kSignedCodes> {
  HWY_INLINE void Set(const ActivationBlock& x) {
    const PanelI16 d16;
    alignas(64) static constexpr int16_t kShift[32] = {8, 8, 8, 8, 8, 8, 8, 8,
                                                       8, 8, 8, 8, 8, 8, 8, 8};
    // Each 128-bit lane holds four quads, of two groups in turn.
    alignas(64) static constexpr uint8_t kFactor[64] = {
        0, 1, 0, 1, 4,  5,  4,  5,  0, 1, 0, 1, 4,  5,  4,  5,   //
        8, 9, 8, 9, 12, 13, 12, 13, 8, 9, 8, 9, 12, 13, 12, 13,  //
        0, 1, 0, 1, 4,  5,  4,  5,  0, 1, 0, 1, 4,  5,  4,  5,   //
        8, 9, 8, 9, 12, 13, 12, 13, 8, 9, 8, 9, 12, 13, 12, 13};
    const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x.q));
    const VecI16 twice = {_mm512_broadcast_i64x4(codes)};
    const VecI16 values = hn::ShiftRight<8>(hn::Shl(twice, hn::Load(d16, kShift)));
    const VecI16 factors = hn::TableLookupBytes(hn::LoadDup128(d16, x.sub_scale),
                                                hn::BitCast(d16, hn::Load(PanelU8(), kFactor)));
    hn::StoreU(hn::Mul(values, factors), d16, products);
  }

  int16_t products[kBlockColumns];
};

// sum + the dot products of 16 columns, of which w holds the arranged codes of every row and `part`
// says which 16 of the block.
template <int kMax>
HWY_INLINE VecI32 Dot16(const VecU8* HWY_RESTRICT w, const DotFactors<kMax>& x, int part,
                        VecI32 sum) {
  if constexpr (kMax == kSignedCodes) {
    VecI32 odd = hn::Zero(PanelI32());  // a chain of its own: each waits for the one before
    for (int quad = 0; quad < 4; ++quad) {
      const int16_t* a = x.products + 2 * (4 * part + quad);
      sum = AddHalves(sum, hn::BitCast(PanelI32(), w[2 * quad]), a);
      odd = AddHalves(odd, hn::BitCast(PanelI32(), w[2 * quad + 1]), a + 16);
    }
    sum = hn::Add(sum, odd);
  } else {
    constexpr int kTogether = HWY_MIN(PairHeadroom(kMax) / 2, 2);  // quads summed in 16 bits
    for (int group = 0; group < 2; ++group) {
      const int16_t* factor = x.sub_scale + SubScaleAt(2 * part + group);
      for (int i = group; i < 4; i += 2 * kTogether) {
        const int8_t* a = x.q + 16 * part + 4 * i;
        VecI32 quads = AddQuads(hn::Zero(PanelI32()), w[i], a);
        if (kTogether == 2) quads = AddQuads(quads, w[i + 2], a + 8);
        sum = AddHalves(sum, quads, factor);
      }
    }
  }
  return sum;
}

#else  // !JUNTO_DOT_QUADS

// Sums of two adjacent products w * a; the caller has proven that they fit 16 bits.
HWY_INLINE VecI16 MulPairs(VecU8 w, VecI8 a) {
#if HWY_TARGET <= HWY_AVX3
  return VecI16{_mm512_maddubs_epi16(w.raw, a.raw)};
#elif HWY_TARGET <= HWY_AVX2
  return VecI16{_mm256_maddubs_epi16(w.raw, a.raw)};
#elif HWY_TARGET == HWY_SSE4
  return VecI16{_mm_maddubs_epi16(w.raw, a.raw)};
#else
  const PanelI16 d16;
  const auto w16 = hn::BitCast(PanelU16(), w);
  const auto w_even = hn::BitCast(d16, hn::And(w16, hn::Set(PanelU16(), 255)));
  const auto w_odd = hn::BitCast(d16, hn::ShiftRight<8>(w16));
  const auto a16 = hn::BitCast(d16, a);
  const auto a_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(a16));
  const auto a_odd = hn::ShiftRight<8>(a16);
  return hn::Add(hn::Mul(w_even, a_even), hn::Mul(w_odd, a_odd));
#endif
}

// sum + the 16-bit halves of each 32-bit lane of v, each times that of `factors`.
HWY_INLINE VecI32 AddScaledHalves(VecI32 sum, VecI16 v, VecI16 factors) {
#if HWY_TARGET <= HWY_AVX3
  return hn::Add(sum, VecI32{_mm512_madd_epi16(v.raw, factors.raw)});
#elif HWY_TARGET <= HWY_AVX2
  return hn::Add(sum, VecI32{_mm256_madd_epi16(v.raw, factors.raw)});
#elif HWY_TARGET == HWY_SSE4
  return hn::Add(sum, VecI32{_mm_madd_epi16(v.raw, factors.raw)});
#else
  const PanelI32 d32;
  const auto halves = [&](VecI16 x, VecI32* low, VecI32* high) {
    *low = hn::ShiftRight<16>(hn::ShiftLeft<16>(hn::BitCast(d32, x)));
    *high = hn::ShiftRight<16>(hn::BitCast(d32, x));
  };
  VecI32 v_low, v_high, f_low, f_high;
  halves(v, &v_low, &v_high);
  halves(factors, &f_low, &f_high);
  return hn::Add(sum, hn::Add(hn::Mul(v_low, f_low), hn::Mul(v_high, f_high)));
#endif
}

// `a` with the signs of `w`; anything where w is 0.
HWY_INLINE VecI8 CopySigns(VecI8 a, VecI8 w) {
#if HWY_TARGET <= HWY_AVX3
  return VecI8{
      _mm512_mask_sub_epi8(a.raw, _mm512_movepi8_mask(w.raw), _mm512_setzero_si512(), a.raw)};
#elif HWY_TARGET <= HWY_AVX2
  return VecI8{_mm256_sign_epi8(a.raw, w.raw)};
#elif HWY_TARGET == HWY_SSE4
  return VecI8{_mm_sign_epi8(a.raw, w.raw)};
#else
  return hn::IfNegativeThenElse(w, hn::Neg(a), a);
#endif
}

// A number that every row takes lies in memory once for each.
template <class D>
using Spread = hn::Vec<D>;
template <class D>
HWY_INLINE Spread<D> SpreadOf(D d, hn::TFromD<D> value) {
  return hn::Set(d, value);
}
template <class D>
HWY_INLINE hn::Vec<D> LoadSpread(D, const Spread<D>& value) {
  return value;
}

// Four bytes, broadcast to every row.
HWY_INLINE VecI32 BroadcastWord(const void* p) {
  int32_t word;
  std::memcpy(&word, p, sizeof(word));
  return hn::Set(PanelI32(), word);
}

// Sums of pairs of products of four columns.
template <int kMax>
HWY_INLINE VecI16 MulCodes(VecU8 w, VecI8 a) {
  if constexpr (kMax == kSignedCodes) {
    const VecI8 weights = hn::BitCast(PanelI8(), w);
    return MulPairs(hn::BitCast(PanelU8(), hn::Abs(weights)), CopySigns(a, weights));
  } else {
    return MulPairs(w, a);
  }
}

// Columns stay as files have them.
template <int kMax>
HWY_INLINE void ArrangeCodes(VecU8 (&)[kCodeVectors<kMax>]) {}

// What Dot16 multiplies the codes of a block with, broadcast once for all vectors of codes: as
// operands in memory they then cost no instruction.
template <int kMax>
struct DotFactors {
  HWY_INLINE void Set(const ActivationBlock& x) {
    for (int i = 0; i < 8; ++i) q[i] = hn::BitCast(PanelI8(), BroadcastWord(x.q + 4 * i));
    for (int part = 0; part < 2; ++part) {
      sub_scale[part] = hn::BitCast(PanelI16(), BroadcastWord(x.sub_scale + 2 * part));
    }
  }

  VecI8 q[8];
  VecI16 sub_scale[2];
};

// sum + the dot products of 16 columns: w[i] holds columns 4 i .. 4 i + 3 of every row, `part` says
// which 16 of the block.
template <int kMax>
HWY_INLINE VecI32 Dot16(const VecU8* HWY_RESTRICT w, const DotFactors<kMax>& x, int part,
                        VecI32 sum) {
  constexpr int kTogether = HWY_MIN(PairHeadroom(kMax), 4);  // products summed in 16 bits
  static_assert(4 % kTogether == 0, "columns are taken in equal steps");
  for (int i = 0; i < 4; i += kTogether) {
    VecI16 pairs = hn::Zero(PanelI16());
    for (int j = i; j < i + kTogether; ++j) {
      const VecI16 products = MulCodes<kMax>(w[j], x.q[4 * part + j]);
      pairs = j == i ? products : hn::Add(pairs, products);
    }
    sum = AddScaledHalves(sum, pairs, x.sub_scale[part]);
  }
  return sum;
}

#endif  // JUNTO_DOT_QUADS

#endif  // HWY_TARGET != HWY_SCALAR

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_DOT_INL_H_
