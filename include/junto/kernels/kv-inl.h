// Elements of the key/value cache: to float and back.
#if defined(JUNTO_KERNELS_KV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef JUNTO_KERNELS_KV_INL_H_
#undef JUNTO_KERNELS_KV_INL_H_
#else
#define JUNTO_KERNELS_KV_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "junto/kernels/kernels.h"
#include "junto/kernels/lanes-inl.h"
#include "junto/kernels/targets.h"
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace junto {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <KvType kType>
using KvElement = std::conditional_t<kType == KvType::kF32, float, uint16_t>;

// Exact, infinity and NaN included. Where the CPU has no such instruction, the exponent is moved by
// a multiplication, which also normalises subnormals.
template <class D>
HWY_INLINE hn::Vec<D> HalfToFloat(D d, hn::Vec<hn::Rebind<uint16_t, D>> half) {
#if HWY_TARGET <= HWY_AVX2 || HWY_ARCH_ARM_A64
  return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), half));
#else
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::PromoteTo(du, half);
  const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7FFFu)));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
  const auto moved = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112f));
  const auto special = hn::IfThenElseZero(hn::Ge(moved, hn::Set(d, 65536.0f)),
                                          hn::BitCast(d, hn::Set(du, 0x7F800000u)));
  return hn::Or(hn::Or(moved, special), hn::BitCast(d, sign));
#endif
}

// `bits` shifted right by kShift, rounded to nearest even.
template <int kShift, class DU>
HWY_INLINE hn::Vec<DU> RoundedShift(DU du, hn::Vec<DU> bits) {
  const auto odd = hn::And(hn::ShiftRight<kShift>(bits), hn::Set(du, 1u));
  const auto below_half = hn::Set(du, (1u << (kShift - 1)) - 1u);
  return hn::ShiftRight<kShift>(hn::Add(bits, hn::Add(below_half, odd)));
}

// Bits of the nearest half, ties to even; overflow gives infinity.
struct FloatToHalf {
  template <class D>
  HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> operator()(D d, hn::Vec<D> v) const {
    const hn::RebindToUnsigned<D> du;
    const auto magnitude = hn::Abs(v);
    const auto sign = hn::AndNot(hn::Set(du, 0x7FFFFFFFu), hn::BitCast(du, v));
    // The carry of the rounding runs into the exponent, up to infinity's.
    const auto rebias = hn::Set(du, (127u - 15u) << 23);
    const auto normal = RoundedShift<13>(du, hn::Sub(hn::BitCast(du, magnitude), rebias));
    // The unit in the last place of 0.5f is that of a subnormal half.
    const auto aligner = hn::Set(d, 0.5f);
    const auto subnormal =
        hn::Sub(hn::BitCast(du, hn::Add(magnitude, aligner)), hn::BitCast(du, aligner));
    const auto nan_or_infinity = hn::IfThenElse(hn::RebindMask(du, hn::Eq(v, v)),
                                                hn::Set(du, 0x7C00u), hn::Set(du, 0x7E00u));

    const auto is_subnormal = hn::RebindMask(du, hn::Lt(magnitude, hn::Set(d, 0x1p-14f)));
    const auto is_normal = hn::RebindMask(du, hn::Lt(magnitude, hn::Set(d, 65536.0f)));
    const auto finite = hn::IfThenElse(is_subnormal, subnormal, normal);
    return hn::Or(hn::IfThenElse(is_normal, finite, nan_or_infinity), hn::ShiftRight<16>(sign));
  }
};

// Bits of the nearest bfloat16, ties to even; overflow gives infinity.
struct FloatToBfloat {
  template <class D>
  HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> operator()(D /*d*/, hn::Vec<D> v) const {
    const hn::RebindToUnsigned<D> du;
    const auto bits = hn::BitCast(du, v);
    const auto nan = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40u));  // stays a NaN
    return hn::IfThenElse(hn::RebindMask(du, hn::Eq(v, v)), RoundedShift<16>(du, bits), nan);
  }
};

// The floats of `p`, which is aligned to its type.
template <KvType kType, class D>
HWY_INLINE hn::Vec<D> LoadKv(D d, const KvElement<kType>* p) {
  if constexpr (kType == KvType::kF32) {
    return hn::LoadU(d, p);
  } else if constexpr (kType == KvType::kF16) {
    return HalfToFloat(d, hn::LoadU(hn::Rebind<uint16_t, D>(), p));
  } else {
    const hn::RebindToUnsigned<D> du;
    const auto bits = hn::PromoteTo(du, hn::LoadU(hn::Rebind<uint16_t, D>(), p));
    return hn::BitCast(d, hn::ShiftLeft<16>(bits));
  }
}

// y[i * stride] = converted x[i].
template <class Convert>
struct StoreKvBody {
  const float* x;
  uint16_t* y;
  size_t stride;

  template <class D>
  HWY_INLINE void operator()(D d, size_t i) const {
    const hn::RebindToSigned<D> di;
    const hn::Rebind<uint16_t, D> d16;
    const auto bits = hn::BitCast(di, Convert()(d, hn::LoadU(d, x + i)));
    uint16_t narrow[kVirtualLanes];
    hn::StoreU(hn::DemoteTo(d16, bits), d16, narrow);
    for (size_t l = 0; l < hn::MaxLanes(d); ++l) y[(i + l) * stride] = narrow[l];
  }
};

template <class Convert>
HWY_INLINE void StoreKv16(const KvStoreArgs& args) {
  uint16_t* const keys = reinterpret_cast<uint16_t*>(args.keys) + args.slot;
  uint16_t* const values =
      reinterpret_cast<uint16_t*>(args.values) + size_t{args.slot} * args.value_dim;
  ForEach(args.key_dim, StoreKvBody<Convert>{args.key, keys, kKvBlock});
  ForEach(args.value_dim, StoreKvBody<Convert>{args.value, values, 1});
}

HWY_INLINE void StoreKv32(const KvStoreArgs& args) {
  float* const keys = reinterpret_cast<float*>(args.keys) + args.slot;
  float* const values = reinterpret_cast<float*>(args.values) + size_t{args.slot} * args.value_dim;
  for (size_t i = 0; i < args.key_dim; ++i) keys[i * kKvBlock] = args.key[i];
  for (size_t i = 0; i < args.value_dim; ++i) values[i] = args.value[i];
}

// See KernelTable::store_kv. Keys and values are aligned to their type.
inline void StoreKv(const KvStoreArgs& args) {
  switch (args.type) {
    case KvType::kF32:
      return StoreKv32(args);
    case KvType::kF16:
      return StoreKv16<FloatToHalf>(args);
    case KvType::kBF16:
      return StoreKv16<FloatToBfloat>(args);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace junto
HWY_AFTER_NAMESPACE();

#endif  // JUNTO_KERNELS_KV_INL_H_
