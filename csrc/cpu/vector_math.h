// exp and log written so that a compiler vectorises a loop of them: polynomials, bit patterns and selects, no branches,
// no calls. A polynomial's terms are added in pairs: a chain of products as long as its degree would be waited for. Error at most about
// 1 ulp over the ranges the losses use. double goes through libm.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define MLCFAST_INLINE inline __attribute__((always_inline))

namespace mlcfast {
namespace MLCFAST_ISA {

MLCFAST_INLINE int32_t bits_of(float x) {
  int32_t i;
  std::memcpy(&i, &x, sizeof i);
  return i;
}

MLCFAST_INLINE float float_of(int32_t i) {
  float x;
  std::memcpy(&x, &i, sizeof x);
  return x;
}

// a where the condition holds, else b, by its bits: of a select a compiler may make two paths, and compute both to their ends.
MLCFAST_INLINE float chosen(bool condition, float a, float b) {
  const int32_t mask = -static_cast<int32_t>(condition);
  return float_of((bits_of(a) & mask) | (bits_of(b) & ~mask));
}

// ln 2 in two parts: the first has 15 significant bits, so that its product with an exponent is exact.
constexpr float kLn2High = 0.693145751953125f, kLn2Low = 1.428606820309417e-6f;

// exp(r) − 1 for |r| ≤ ln 2 / 2 by a minimax polynomial fitted for (exp(r) − 1 − r) / r².
template <class T>
MLCFAST_INLINE T exponential_tail(T r) {
  const T square = r * r;
  const T fifth = 1.991937752e-4f * r + 1.394722494e-3f;
  const T third = 8.333262987e-3f * r + 4.166625440e-2f;
  const T first = 1.666666716e-1f * r + 0.5f;
  const T e = (fifth * square + third) * square + first;
  return e * square + r;
}

// exp(x) = scale (1 + tail) for x ≤ 0: x = n ln 2 + r, |r| ≤ ln 2 / 2, scale = 2^n.
struct Exponential {
  float scale, tail;
};

MLCFAST_INLINE Exponential exponential(float x) {
  const float kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer in the low bits
  const float shifted = x * 1.44269504088896341f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  return {float_of(static_cast<int32_t>((static_cast<uint32_t>(bits_of(shifted)) << 23) + 0x3f800000u)), exponential_tail(r)};
}

MLCFAST_INLINE float exp_nonpositive(float x) {
  const Exponential e = exponential(x);
  return chosen(x < -87.3f, 0.0f, (e.tail + 1.0f) * e.scale);
}

// exp(x) − 1 for x ≤ 0, to full relative accuracy.
MLCFAST_INLINE float expm1_nonpositive(float x) {
  const Exponential e = exponential(x);
  return chosen(x < -87.3f, -1.0f, e.tail * e.scale + (e.scale - 1.0f));
}

// log(2^n (1 + r)), r in [√½ − 1, √2 − 1]; log(1 + r) by a minimax polynomial fitted for (log(1 + r) − r + r²/2) / r³.
MLCFAST_INLINE float log_from(float n, float r) {
  const float square = r * r, fourth = square * square;
  const float seventh = -1.178979725e-1f * r + 1.187296957e-1f;
  const float fifth = -1.238434985e-1f * r + 1.421865970e-1f;
  const float third = -1.666925102e-1f * r + 2.000222653e-1f;
  const float first = -2.499998659e-1f * r + 3.333331048e-1f;
  const float c = ((6.915370375e-2f * square + seventh) * fourth + (fifth * square + third)) * square + first;
  const float tail = c * (r * square) + n * kLn2Low - 0.5f * square;
  return (r + tail) + n * kLn2High;
}

// log(x) for normal x > 0: x = 2^n m, m in [√½, √2), r = m − 1. NaN stays NaN: x − x.
MLCFAST_INLINE float log_positive(float x) {
  const int32_t i = bits_of(x) - 0x3f3504f3;  // the bits of √½
  const float r = float_of((i & 0x007fffff) + 0x3f3504f3) - 1.0f;
  return log_from(static_cast<float>(i >> 23), r) + (x - x);
}

// log(1 + x) for x in [0, 1], to full relative accuracy: r is exact on either side of √2 − 1.
MLCFAST_INLINE float log1p_unit(float x) {
  const bool upper = x > 0.41421356f;
  return log_from(chosen(upper, 1.0f, 0.0f), chosen(upper, (x - 1.0f) * 0.5f, x));
}

// x^y for x in (0, 1], y ≥ 0: its absolute error is at most about 1 ulp of 1.
MLCFAST_INLINE float power(float x, float y) { return exp_nonpositive(y * log_positive(x)); }
MLCFAST_INLINE float minus_size(float x) { return -__builtin_fabsf(x); }
MLCFAST_INLINE double minus_size(double x) { return -__builtin_fabs(x); }
MLCFAST_INLINE float quotient(float a, float b) { return a / b; }
MLCFAST_INLINE double quotient(double a, double b) { return a / b; }
MLCFAST_INLINE double exp_nonpositive(double x) { return ::exp(x); }
MLCFAST_INLINE double expm1_nonpositive(double x) { return ::expm1(x); }
MLCFAST_INLINE double log_positive(double x) { return ::log(x); }
MLCFAST_INLINE double log1p_unit(double x) { return ::log1p(x); }
MLCFAST_INLINE double power(double x, double y) { return ::pow(x, y); }

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
