// One entry of EPR and ROLE (formulas.h has the losses) by few logarithms and quotients. With e = exp(−|x|), S = 1 + e and
// w = eps S, the larger of p and not_p is 1/S and, eps added, (1 + w)/S; the smaller is e/S and (e + w)/S. So
//   log(larger + eps) = log(1 + w) − log S,    log(smaller + eps) = log(e + w) − log S,
//   slope/(larger + eps) = e/(S (1 + w)),      slope/(smaller + eps) = e/(S (e + w)),      slope = p not_p = e/S²,
// and a side of ROLE is (1 + z) log S − (z + t) α − (1 − t) β, α = log(1 + w) and β = log(e + w) for x ≥ 0, else exchanged. Its
// first term hangs on no other tensor: the caller takes it from products of several S.
#pragma once

#include "lanes.h"
#include "vector_math.h"

#include "../formulas.h"

namespace mlcfast {
namespace MLCFAST_ISA {

// Whether 1 + w is so near 1 that short series of log(1 + w) and 1/(1 + w) are right to a rounding of T.
template <class T>
inline bool near_one(double eps) {
  return sizeof(T) == 4 && eps <= 1e-3;
}

template <class T>
struct RoleSide {
  T p, sum, alpha, beta;  // sum is S
};

template <bool NEAR, class T>
MLCFAST_FN RoleSide<T> role_side_of(T x, T eps) {
  const T e = exp_nonpositive(minus_size(x));
  const T sum = 1 + e, w = eps * sum;
  const T large = quotient(T(1), sum), small = e * large;
  const T larger = NEAR ? w * (1 - w * (T(0.5) - w * T(1.0 / 3))) : log_positive(1 + w);
  const T smaller = log_positive(e + w);
  return {choose(x < 0, small, large), sum, choose(x < 0, smaller, larger), choose(x < 0, larger, smaller)};
}

// A side's loss without (1 + z) log S.
template <class T>
MLCFAST_FN T role_side(RoleSide<T> s, T z, T t) {
  return -((z + t) * s.alpha + (1 - t) * s.beta);
}

template <class T>
struct LogSlopes {
  T p, slope, of_p, of_not_p;  // p not_p, and it divided by p + eps and by not_p + eps
};

template <bool NEAR, class T>
MLCFAST_FN LogSlopes<T> log_slopes(T x, T eps) {
  const T e = exp_nonpositive(minus_size(x));
  const T sum = 1 + e, w = eps * sum, low = e + w;
  const T inverse = quotient(T(1), sum * low);
  const T large = inverse * low, small = e * large;
  const T larger = NEAR ? small * (1 - w * (1 - w)) : quotient(small, 1 + w);
  const T smaller = e * inverse;
  return {choose(x < 0, small, large), small * large, choose(x < 0, smaller, larger), choose(x < 0, larger, smaller)};
}

// Of these the two that EPR needs.
template <bool NEAR, class T>
MLCFAST_FN LogSlopes<T> slopes_of_p(T x, T eps) {
  return log_slopes<NEAR>(x, eps);
}

#ifdef __AVX512F__
// With e = exp(−x) alone: p not_p = e/(1 + e)², and over p + eps e/((1 + e) (1 + w)).
template <bool NEAR>
MLCFAST_FN LogSlopes<Lanes> slopes_of_p(Lanes x, Lanes eps) {
  const Lanes e = exp_of_minus(at_least(x, -87.0f));
  const Lanes sum = 1 + e, p = reciprocal(sum), not_p = e * p;
  return {p, not_p * p, quotient(not_p, fused(eps, sum, 1)), {}};
}
#endif

template <class T>
MLCFAST_FN T role_gradient(LogSlopes<T> s, T z, T t, T scale, T coupling) {
  return scale * ((1 - t) * s.of_not_p - (z + t) * s.of_p) + coupling * s.slope;
}

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
