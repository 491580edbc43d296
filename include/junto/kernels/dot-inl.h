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
// How many sums of two products fit one int16.
template <int kMax>
constexpr int PairHeadroom() {
  return 32767 / (2 * (kMax == kSignedCodes ? 128 : kMax) * kActivationMax);
}
static_assert(PairHeadroom<63>() >= 2, "up to 6 bits: the two pairs of a group");
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

// sum + both 16-bit halves of each 32-bit lane of v, times those of `factors`, which are alike.
HWY_INLINE VecI32 AddScaledHalves(VecI32 sum, VecI16 v, VecI16 factors) {
#if HWY_TARGET <= HWY_AVX3_DL
  return VecI32{_mm256_dpwssd_epi32(sum.raw, v.raw, factors.raw)};
#elif HWY_TARGET <= HWY_AVX2
  return hn::Add(sum, VecI32{_mm256_madd_epi16(v.raw, factors.raw)});
#elif HWY_TARGET == HWY_SSE4
  return hn::Add(sum, VecI32{_mm_madd_epi16(v.raw, factors.raw)});
#else
  const PanelI32 d32;
  const auto v32 = hn::BitCast(d32, v);
  const auto both = hn::Add(hn::ShiftRight<16>(hn::ShiftLeft<16>(v32)), hn::ShiftRight<16>(v32));
  return hn::Add(sum, hn::Mul(both, hn::ShiftRight<16>(hn::BitCast(d32, factors))));
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

// Four bytes, broadcast to every row.
HWY_INLINE VecI32 BroadcastWord(const void* p) {
  int32_t word;
  std::memcpy(&word, p, sizeof(word));
  return hn::Set(PanelI32(), word);
}

// sum + the dot products of 16 columns: w[i] holds columns 4 i .. 4 i + 3 of every row, `part` says
// which 16 of the activations.
template <int kMax>
HWY_INLINE VecI32 Dot16(const VecU8* HWY_RESTRICT w, const ActivationBlock& x, int part,
                        VecI32 sum) {
  const PanelI8 d8;
  for (int g = 0; g < 2; ++g) {
    const int8_t* a = x.q + 16 * part + 8 * g;
    const VecI8 first = hn::BitCast(d8, BroadcastWord(a));
    const VecI8 second = hn::BitCast(d8, BroadcastWord(a + 4));
    const VecI16 factors = hn::BitCast(PanelI16(), BroadcastWord(x.sub_scale[2 * part + g]));
    if constexpr (kMax == kSignedCodes) {
      const VecI8 w0 = hn::BitCast(d8, w[2 * g]);
      const VecI8 w1 = hn::BitCast(d8, w[2 * g + 1]);
      const VecU8 size0 = hn::BitCast(PanelU8(), hn::Abs(w0));
      const VecU8 size1 = hn::BitCast(PanelU8(), hn::Abs(w1));
      sum = AddScaledHalves(sum, MulPairs(size0, CopySigns(first, w0)), factors);
      sum = AddScaledHalves(sum, MulPairs(size1, CopySigns(second, w1)), factors);
    } else {
      const VecI16 pairs = hn::Add(MulPairs(w[2 * g], first), MulPairs(w[2 * g + 1], second));
      sum = AddScaledHalves(sum, pairs, factors);
    }
  }
  return sum;
}

#endif  // HWY_TARGET != HWY_SCALAR

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_DOT_INL_H_
