// A register of numbers that the formulas compute with as with one: sixteen floats where the instruction set has AVX-512, elsewhere
// the number itself, in loops that the compiler vectorises. AVX-512 has what no such loop comes to: tables in registers,
// exponents and mantissas taken apart and put together, and reciprocals to 14 bits.
//
// A loop over n numbers reads and writes whole registers, up to n rounded up to a multiple of kLanes<T>: blocks of kBlock hold that.
#pragma once

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include <type_traits>

#include "vector_math.h"

#include "../formulas.h"

namespace mlcfast {
namespace MLCFAST_ISA {

template <class T>
struct LanesOf {
  using type = T;
  static constexpr int count = 1;
};

template <class T>
MLCFAST_INLINE T probability(T x) {
  return sigmoid(x).p;
}

template <class T>
MLCFAST_INLINE T load_lanes(const T* from) {
  return *from;
}

template <class T>
MLCFAST_INLINE void store_lanes(T* to, T value) {
  *to = value;
}

#ifdef __AVX512F__

struct LaneMask {
  __mmask16 bits;
};

MLCFAST_INLINE LaneMask operator&(LaneMask a, LaneMask b) { return {_kand_mask16(a.bits, b.bits)}; }
MLCFAST_INLINE LaneMask operator|(LaneMask a, LaneMask b) { return {_kor_mask16(a.bits, b.bits)}; }
MLCFAST_INLINE LaneMask operator==(LaneMask a, LaneMask b) { return {_kxnor_mask16(a.bits, b.bits)}; }

struct Lanes {
  __m512 v;
  Lanes() = default;
  MLCFAST_INLINE Lanes(__m512 lanes) : v(lanes) {}
  template <class N>
    requires std::is_arithmetic_v<N>
  MLCFAST_INLINE Lanes(N number) : v(_mm512_set1_ps(static_cast<float>(number))) {}
};

template <>
struct LanesOf<float> {
  using type = Lanes;
  static constexpr int count = 16;
};

MLCFAST_INLINE Lanes load_lanes(const float* from) { return _mm512_loadu_ps(from); }
MLCFAST_INLINE void store_lanes(float* to, Lanes value) { _mm512_storeu_ps(to, value.v); }

MLCFAST_INLINE Lanes operator+(Lanes a, Lanes b) { return _mm512_add_ps(a.v, b.v); }
MLCFAST_INLINE Lanes operator-(Lanes a, Lanes b) { return _mm512_sub_ps(a.v, b.v); }
MLCFAST_INLINE Lanes operator*(Lanes a, Lanes b) { return _mm512_mul_ps(a.v, b.v); }
MLCFAST_INLINE Lanes operator/(Lanes a, Lanes b) { return _mm512_div_ps(a.v, b.v); }
MLCFAST_INLINE Lanes operator-(Lanes a) { return _mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f)); }

MLCFAST_INLINE LaneMask operator<(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
MLCFAST_INLINE LaneMask operator>(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
MLCFAST_INLINE LaneMask operator>=(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
MLCFAST_INLINE LaneMask operator==(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }

MLCFAST_INLINE Lanes choose(LaneMask condition, Lanes a, Lanes b) { return _mm512_mask_blend_ps(condition.bits, b.v, a.v); }

// a b + c, rounded once.
MLCFAST_INLINE Lanes fused(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }

// a, or `bound` where that is less or greater; a NaN stays.
MLCFAST_INLINE Lanes at_most(Lanes a, Lanes bound) { return _mm512_min_ps(bound.v, a.v); }
MLCFAST_INLINE Lanes at_least(Lanes a, Lanes bound) { return _mm512_max_ps(bound.v, a.v); }

// The first `count` of them, zeros after those.
MLCFAST_INLINE Lanes first(Lanes a, int count) { return _mm512_maskz_mov_ps(static_cast<__mmask16>((1u << count) - 1), a.v); }

MLCFAST_INLINE Lanes minus_size(Lanes x) { return _mm512_or_ps(x.v, _mm512_set1_ps(-0.0f)); }

// 1/a to about 1 ulp for a in [1e-37, 8e37], by one of Newton's steps from 14 bits of it.
MLCFAST_INLINE Lanes reciprocal(Lanes a) {
  const Lanes near = _mm512_rcp14_ps(a.v);
  return fused(near, Lanes(_mm512_fnmadd_ps(a.v, near.v, _mm512_set1_ps(1.0f))), near);
}

MLCFAST_INLINE Lanes quotient(Lanes a, Lanes b) { return a * reciprocal(b); }

// 2^(j/16), j from 0 to 15.
MLCFAST_INLINE Lanes powers_of_two() {
  return _mm512_setr_ps(1.0f, 1.04427378242741384f, 1.09050773266525766f, 1.13878863475669166f, 1.18920711500272107f,
                        1.24185781207348405f, 1.29683955465100967f, 1.35425554693689272f, 1.41421356237309505f,
                        1.47682614593949931f, 1.54221082540794082f, 1.61049033194925431f, 1.68179283050742909f,
                        1.75625216037329948f, 1.83400808640934246f, 1.91520656139714730f);
}

// exp(x) for x = (n + j/16) ln 2 + r, |r| ≤ ln 2 / 32, given 16 n + j + 1.5 · 2^23, so that j comes to lie in the low bits;
// exp(r) − 1 by a minimax polynomial fitted for (exp(r) − 1 − r) / r². The result goes to 0 through subnormal numbers.
MLCFAST_INLINE Lanes exp_from(Lanes shifted, Lanes sixteenths, Lanes r) {
  const Lanes tail = fused(fused(r, 0.16667027f, 0.50001626f), r * r, r);
  const Lanes power = _mm512_permutexvar_ps(_mm512_castps_si512(shifted.v), powers_of_two().v);
  return _mm512_scalef_ps(fused(power, tail, power).v, (sixteenths * 0.0625f).v);
}

constexpr float kSixteenths = 16 * 1.44269504088896341f, kRound = 12582912.0f;  // 1.5 · 2^23

// exp(x) for x ≤ 88; one below −104 counts as −104.
MLCFAST_INLINE Lanes exp_to_88(Lanes argument) {
  const Lanes x = at_least(argument, -104.0f);
  const Lanes shifted = fused(x, kSixteenths, kRound), sixteenths = shifted - kRound;
  return exp_from(shifted, sixteenths, fused(sixteenths, -kLn2Low / 16, fused(sixteenths, -kLn2High / 16, x)));
}

// exp(−x) for x ≥ −88; one above 104 counts as 104.
MLCFAST_INLINE Lanes exp_of_minus(Lanes argument) {
  const Lanes x = at_most(argument, 104.0f);
  const Lanes shifted = fused(x, -kSixteenths, kRound), sixteenths = shifted - kRound;
  const Lanes near = _mm512_fnmsub_ps(sixteenths.v, Lanes(kLn2High / 16).v, x.v);
  return exp_from(shifted, sixteenths, fused(sixteenths, -kLn2Low / 16, near));
}

MLCFAST_INLINE Lanes exp_nonpositive(Lanes x) { return exp_to_88(x); }

// exp(x) − 1 for x ≤ 0, to full relative accuracy: as the float's of vector_math.h.
MLCFAST_INLINE Lanes expm1_nonpositive(Lanes argument) {
  const Lanes x = at_least(argument, -104.0f);
  const Lanes n = _mm512_roundscale_ps((x * 1.44269504088896341f).v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const Lanes scale = _mm512_scalef_ps(_mm512_set1_ps(1.0f), n.v);
  return fused(exponential_tail(fused(n, -kLn2Low, fused(n, -kLn2High, x))), scale, scale - 1.0f);
}

// log(x) for normal x > 0: x = 2^n m, m in [¾, 1½), log m = log(m c) − log c, c near 1/m by the first four bits of the mantissa;
// log(1 + r), |r| ≤ 1/32, by a minimax polynomial fitted for (log(1 + r) − r) / r². Its error is at most about half an ulp of 1/32
// for x near 1, as small as that of the x which rounding made, and of the result elsewhere.
MLCFAST_INLINE Lanes log_positive(Lanes x) {
  const Lanes inverse = _mm512_setr_ps(0.969696999f, 0.914285719f, 0.864864886f, 0.820512831f, 0.780487776f, 0.744186044f,
                                       0.711111128f, 0.680851042f, 1.30612242f, 1.25490201f, 1.20754719f, 1.16363633f,
                                       1.12280703f, 1.08474576f, 1.04918027f, 1.01587307f);
  const Lanes logarithm = _mm512_setr_ps(0.0307716289f, 0.0896121531f, 0.145181986f, 0.19782573f, 0.247836201f, 0.295464217f,
                                       0.340926563f, 0.384411731f, -0.267062765f, -0.227057486f, -0.188591185f,
                                       -0.151549866f, -0.115831823f, -0.0813456413f, -0.0480091633f, -0.0157484147f);
  const __m512i cell = _mm512_srli_epi32(_mm512_castps_si512(x.v), 19);
  const Lanes m = _mm512_getmant_ps(x.v, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
  const Lanes n = Lanes(_mm512_getexp_ps(x.v)) - Lanes(_mm512_getexp_ps(m.v));
  const Lanes r = fused(m, Lanes(_mm512_permutexvar_ps(cell, inverse.v)), -1.0f);
  const Lanes curve = fused(fused(r, -0.24981756f, 0.33349834f), r, -0.50000013f);
  const Lanes within = fused(curve, r * r, r) + Lanes(_mm512_permutexvar_ps(cell, logarithm.v));
  return fused(n, 0.693147180559945f, within);
}

// log(1 + x) for x in [0, 1], to full relative accuracy, by a minimax polynomial fitted for (log(1 + x) − x) / x².
MLCFAST_INLINE Lanes log1p_unit(Lanes x) {
  Lanes curve = -0.00331847114f;
  constexpr float kNext[] = {0.0202045776f, -0.0576644316f, 0.106805541f,  -0.153553963f,
                             0.196953997f, -0.249585867f,  0.33330512f, -0.499999315f};
  for (const float next : kNext) curve = fused(curve, x, next);
  return fused(curve * x, x, x);
}

MLCFAST_INLINE Lanes power(Lanes x, Lanes y) { return exp_to_88(y * log_positive(x)); }

// σ(x) = 1/(1 + exp(−x)). σ(−x) is not to be had from it as exp(−x) σ(x): near 1 that product's roundings would show.
MLCFAST_INLINE Lanes probability(Lanes x) { return reciprocal(1 + exp_of_minus(at_least(x, -87.0f))); }

// asymmetric_hard of formulas.h by one exponential and no choice between its two sigmoids: with u = −x for a positive and x for a
// negative, e = exp(u), the distance to the label is σ(u) = e/(1 + e).
MLCFAST_INLINE Term<Lanes> asymmetric_hard(Lanes x, Lanes y, const Asymmetric<Lanes>& f) {
  const LaneMask positive = y > 0;
  const Lanes clip = _mm512_mask_mov_ps(f.clip.v, positive.bits, _mm512_setzero_ps());
  const Lanes e = exp_to_88(at_most(choose(positive, -x, x), 87.0f));
  const Lanes agreement = reciprocal(1 + e), distance = e * agreement;
  const Lanes below = distance - clip;
  const Lanes d = at_least(below, 0.0f);
  const Lanes slope = choose(below < 0, Lanes(0), distance * agreement);
  const Lanes target = at_most(agreement + clip, 1.0f), a = at_least(target, f.eps);
  const Lanes log_a = log_positive(a);
  const Lanes inverse = choose(target < f.eps, Lanes(0), quotient(slope, a));
  const Lanes gamma = choose(positive, f.gamma_pos, f.gamma_neg);
  const Lanes w_below = power_below(d, positive, f);
  const Lanes weight = choose(gamma > 0, w_below * d, Lanes(1));
  const Lanes gradient = f.attached * (gamma * w_below) * (slope * log_a) - inverse * weight;
  return {-log_a * weight, choose(positive, gradient, -gradient)};
}

#endif

template <class T>
using WideOf = typename LanesOf<T>::type;

template <class T>
constexpr int kLanes = LanesOf<T>::count;

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
