// Elementary functions, one element per lane, any tag of floats. Each stays within 2 ulp of the
// exact value over the whole range, uses nothing but IEEE operations in a fixed order, and turns
// NaN into NaN. Subnormal results are rounded like others, unless the host made the CPU flush them.
#if defined(JUNTO_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_MATH_INL_H_
#undef JUNTO_KERNELS_MATH_INL_H_
#else
#define JUNTO_KERNELS_MATH_INL_H_
#endif

#include <cstdint>

#include "junto/kernels/targets.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A float whose unit in the last place is 1: adding it rounds |x| < 2^22 to the nearest integer,
// ties to even, and leaves that integer in the low bits.
constexpr float kRoundingBias = 12582912.0f;  // 1.5 * 2^23

// The integer in a sum x + kRoundingBias.
template <class D>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> BiasedToInt(D d, hn::Vec<D> biased) {
  const hn::RebindToSigned<D> di;
  return hn::Sub(hn::BitCast(di, biased), hn::BitCast(di, hn::Set(d, kRoundingBias)));
}

// 2^n for n in [-126, 127].
template <class D>
HWY_INLINE hn::Vec<D> PowerOfTwo(D d, hn::Vec<hn::RebindToSigned<D>> n) {
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(n, hn::Set(di, 127))));
}

// e^x. Infinity above 88.73, 0 below -103.98.
template <class D>
HWY_INLINE hn::Vec<D> Exp(D d, hn::Vec<D> x) {
  using V = hn::Vec<D>;
  // Beyond these the result is infinity or 0 anyway; comparisons keep NaN.
  const V highest = hn::Set(d, 89.0f);
  const V lowest = hn::Set(d, -104.0f);
  x = hn::IfThenElse(hn::Gt(x, highest), highest, x);
  x = hn::IfThenElse(hn::Lt(x, lowest), lowest, x);

  // x = n ln 2 + r. The first part of ln 2 has 15 bits, so that its product with n is exact.
  const V bias = hn::Set(d, kRoundingBias);
  const V biased = hn::MulAdd(x, hn::Set(d, 1.44269504f), bias);
  const V n = hn::Sub(biased, bias);
  V r = hn::NegMulAdd(n, hn::Set(d, 0x1.62e4p-1f), x);
  r = hn::NegMulAdd(n, hn::Set(d, 0x1.7f7d1cp-20f), r);

  // e^r = 1 + r + r^2 q(r), minimax for |r| <= ln(2)/2 with relative error 2^-28.
  V q = hn::Set(d, 0x1.6a215ap-10f);
  q = hn::MulAdd(q, r, hn::Set(d, 0x1.123b9ap-7f));
  q = hn::MulAdd(q, r, hn::Set(d, 0x1.5558fcp-5f));
  q = hn::MulAdd(q, r, hn::Set(d, 0x1.555490p-3f));
  q = hn::MulAdd(q, r, hn::Set(d, 0x1.fffffcp-2f));
  const V p = hn::Add(hn::MulAdd(hn::Mul(r, r), q, r), hn::Set(d, 1.0f));

  // In two steps, as 2^n itself may be out of range. Only the second can round.
  const auto whole = BiasedToInt(d, biased);
  const auto half = hn::ShiftRight<1>(whole);
  return hn::Mul(hn::Mul(p, PowerOfTwo(d, half)), PowerOfTwo(d, hn::Sub(whole, half)));
}

// 1 / (1 + e^-x).
template <class D>
HWY_INLINE hn::Vec<D> Sigmoid(D d, hn::Vec<D> x) {
  using V = hn::Vec<D>;
  const V one = hn::Set(d, 1.0f);
  const V e = Exp(d, hn::Neg(hn::Abs(x)));  // at most 1, so that neither side can overflow

  // (1 or e) / (1 + e), and the first-order effect of what the sum 1 + e lost by rounding.
  const auto negative = hn::Lt(x, hn::Zero(d));
  const V denominator = hn::Add(one, e);
  const V lost = hn::Sub(e, hn::Sub(denominator, one));
  const V quotient = hn::Div(hn::IfThenElse(negative, e, one), denominator);
  const V inverse = hn::IfThenElse(negative, hn::Sub(one, quotient), quotient);
  return hn::NegMulAdd(hn::Mul(quotient, lost), inverse, quotient);
}

// ln(1 + e^x).
template <class D>
HWY_INLINE hn::Vec<D> Softplus(D d, hn::Vec<D> x) {
  using V = hn::Vec<D>;
  // The larger of x and 0, and ln(1 + e) with e <= 1, which with s = e / (2 + e) is
  // e - s (e - r(s^2)): r minimax with absolute error 2^-28.
  const V zero = hn::Zero(d);
  const V e = Exp(d, hn::Neg(hn::Abs(x)));
  const V s = hn::Div(e, hn::Add(hn::Set(d, 2.0f), e));
  const V z = hn::Mul(s, s);
  V r = hn::Set(d, 0x1.dbef8ep-3f);
  r = hn::MulAdd(r, z, hn::Set(d, 0x1.bc7be0p-3f));
  r = hn::MulAdd(r, z, hn::Set(d, 0x1.24c9bep-2f));
  r = hn::MulAdd(r, z, hn::Set(d, 0x1.9998d2p-2f));
  r = hn::MulAdd(r, z, hn::Set(d, 0x1.555556p-1f));
  const V logarithm = hn::NegMulAdd(s, hn::NegMulAdd(r, z, e), e);
  // A comparison rather than a maximum, which would lose NaN; e keeps it, too.
  return hn::Add(hn::IfThenElse(hn::Gt(x, zero), x, zero), logarithm);
}

template <class D>
HWY_INLINE hn::Vec<D> Tanh(D d, hn::Vec<D> x) {
  using V = hn::Vec<D>;
  const V one = hn::Set(d, 1.0f);
  const V a = hn::Abs(x);

  // Near 0: x + x^3 p(x^2), minimax for |x| <= 0.55 with relative error 2^-29.
  const V u = hn::Mul(a, a);
  V p = hn::Set(d, -0x1.9b3046p-8f);
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.593d06p-6f));
  p = hn::MulAdd(p, u, hn::Set(d, -0x1.b9287ap-5f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.110d26p-3f));
  p = hn::MulAdd(p, u, hn::Set(d, -0x1.55554ap-2f));
  const V low = hn::MulAdd(hn::Mul(a, u), p, a);

  // Elsewhere: 1 - 2 / (e^2a + 1).
  const V e = Exp(d, hn::Add(a, a));
  const V high = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(e, one)));

  return hn::CopySign(hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.55f)), low, high), x);
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_MATH_INL_H_
