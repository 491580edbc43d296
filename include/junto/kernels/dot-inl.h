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

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// Lanes of one step through a panel: rows, at most the 8 of a panel.
using PanelF32 = hn::CappedTag<float, 8>;
using PanelI32 = hn::RebindToSigned<PanelF32>;
using PanelI16 = hn::Repartition<int16_t, PanelF32>;
using PanelU8 = hn::Repartition<uint8_t, PanelF32>;
using PanelI8 = hn::Repartition<int8_t, PanelF32>;
using VecF32 = hn::Vec<PanelF32>;
using VecI32 = hn::Vec<PanelI32>;
using VecI16 = hn::Vec<PanelI16>;
using VecU8 = hn::Vec<PanelU8>;
using VecI8 = hn::Vec<PanelI8>;

// Weights as kernels multiply them: unsigned codes up to kMax, or signed bytes.
constexpr int kSignedCodes = -1;
constexpr int kActivationMax = 127;

// How many sums of two products fit one int16.
template <int kMax>
constexpr int PairHeadroom() {
  return 32767 / (2 * (kMax == kSignedCodes ? 128 : kMax) * kActivationMax);
}
static_assert(PairHeadroom<24>() >= 4, "MXFP4: four pairs may be added in 16 bits");
static_assert(PairHeadroom<15>() >= 4 && PairHeadroom<31>() >= 4, "4 and 5 bits: four pairs");
static_assert(PairHeadroom<63>() >= 2, "6 bits: two pairs");
static_assert(PairHeadroom<kSignedCodes>() >= 1, "8 bits: one pair");

// Sums of two adjacent products w * a; the caller has proven that they fit 16 bits.
HWY_INLINE VecI16 MulPairs(VecU8 w, VecI8 a) {
#if HWY_TARGET <= HWY_AVX2
  return VecI16{_mm256_maddubs_epi16(w.raw, a.raw)};
#elif HWY_TARGET == HWY_SSE4
  return VecI16{_mm_maddubs_epi16(w.raw, a.raw)};
#else
  const PanelI16 d16;
  const auto w16 = hn::BitCast(hn::RebindToUnsigned<PanelI16>(), w);
  const auto w_even =
      hn::BitCast(d16, hn::And(w16, hn::Set(hn::RebindToUnsigned<PanelI16>(), 255)));
  const auto w_odd = hn::BitCast(d16, hn::ShiftRight<8>(w16));
  const auto a16 = hn::BitCast(d16, a);
  const auto a_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(a16));
  const auto a_odd = hn::ShiftRight<8>(a16);
  return hn::Add(hn::Mul(w_even, a_even), hn::Mul(w_odd, a_odd));
#endif
}

// Adds the two 16-bit halves of each 32-bit lane.
HWY_INLINE VecI32 AddHalves(VecI16 v) {
#if HWY_TARGET <= HWY_AVX2
  return VecI32{_mm256_madd_epi16(v.raw, _mm256_set1_epi16(1))};
#elif HWY_TARGET == HWY_SSE4
  return VecI32{_mm_madd_epi16(v.raw, _mm_set1_epi16(1))};
#else
  const auto v32 = hn::BitCast(PanelI32(), v);
  return hn::Add(hn::ShiftRight<16>(hn::ShiftLeft<16>(v32)), hn::ShiftRight<16>(v32));
#endif
}

// `a` with the signs of `w`; anything where w is 0.
HWY_INLINE VecI8 CopySigns(VecI8 a, VecI8 w) {
#if HWY_TARGET <= HWY_AVX2
  return VecI8{_mm256_sign_epi8(a.raw, w.raw)};
#elif HWY_TARGET == HWY_SSE4
  return VecI8{_mm_sign_epi8(a.raw, w.raw)};
#else
  return hn::IfNegativeThenElse(w, hn::Neg(a), a);
#endif
}

// Four activations, broadcast to every row.
HWY_INLINE VecI8 BroadcastQuad(const int8_t* a) {
  int32_t quad;
  std::memcpy(&quad, a, sizeof(quad));
  return hn::BitCast(PanelI8(), hn::Set(PanelI32(), quad));
}

// sum + the dot products of 16 columns: w[i] holds columns 4 i .. 4 i + 3 of every row.
template <int kMax>
HWY_INLINE VecI32 Dot16(const VecU8* HWY_RESTRICT w, const int8_t* HWY_RESTRICT a, VecI32 sum) {
#if HWY_TARGET <= HWY_AVX3_DL
  if constexpr (kMax != kSignedCodes) {
    for (int i = 0; i < 4; ++i) {
      sum = VecI32{_mm256_dpbusd_epi32(sum.raw, w[i].raw, BroadcastQuad(a + 4 * i).raw)};
    }
    return sum;
  }
#endif
  if constexpr (kMax == kSignedCodes) {
    for (int i = 0; i < 4; ++i) {
      const VecI8 signed_w = hn::BitCast(PanelI8(), w[i]);
      const VecU8 magnitude = hn::BitCast(PanelU8(), hn::Abs(signed_w));
      sum = hn::Add(sum,
                    AddHalves(MulPairs(magnitude, CopySigns(BroadcastQuad(a + 4 * i), signed_w))));
    }
    return sum;
  } else {
    VecI16 first = hn::Add(MulPairs(w[0], BroadcastQuad(a)), MulPairs(w[1], BroadcastQuad(a + 4)));
    VecI16 second =
        hn::Add(MulPairs(w[2], BroadcastQuad(a + 8)), MulPairs(w[3], BroadcastQuad(a + 12)));
    if constexpr (PairHeadroom<kMax>() >= 4) {
      return hn::Add(sum, AddHalves(hn::Add(first, second)));
    }
    return hn::Add(sum, hn::Add(AddHalves(first), AddHalves(second)));
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_DOT_INL_H_
