// The entries of the later losses and their derivatives, as formulas.h writes those of the first ones; the definitions are in
// mlcfast/ops/label_loss/reference.py. Further functions asked of the including file: log1p_unit(x in [0, 1]) and
// expm1_nonpositive(x ≤ 0).
//
// Notation: x logit, z label (above 0 positive, 0 unknown, below 0 negative), p = σ(x), q = σ(−x), up = −log p, down = −log q.
#pragma once

#include "formulas.h"

namespace mlcfast {
namespace MLCFAST_ISA {

template <class T>
struct Logit {
  T p, q, up, down;
};

template <class T>
MLCFAST_FN Logit<T> logit_terms(T x) {
  const T negative = choose(x < 0, -x, T(0)), positive = choose(x < 0, T(0), x);
  const T e = exp_nonpositive(minus_size(x));
  const T small = quotient(e, 1 + e);
  const T large = 1 - small;  // near 1 rounded once, which its powers multiply
  const T tail = log1p_unit(e);
  return {choose(x < 0, small, large), choose(x < 0, large, small), tail + negative, tail + positive};
}

// ---- EM and EM + APL: L = a up + b down with −log(p + ε), −log(q + ε) for up and down. Positive (1, 0), negative (0, 1), unknown
// (−αp, −αq), a soft negative −s (βs, β(1 − s)). dL/dx = pq (b / (q + ε) − a / (p + ε) + c (up − down)), c = −α if unknown.

template <class T>
struct Entropy {
  T alpha, beta;
  T lowest;  // −1 where labels in (−1, 0) are soft, else 0
};

template <class T>
MLCFAST_FN Term<T> entropy(T x, T z, const Entropy<T>& f) {
  const auto [p, q] = sigmoid(x);
  const T eps = T(1e-5);
  const T arg_p = p + eps, arg_q = q + eps;
  const T up = -log_positive(arg_p), down = -log_positive(arg_q);
  const auto soft = (z < 0) & (z > f.lowest), unknown = z == 0;
  const T known_a = choose(z > 0, T(1), choose(soft, -f.beta * z, T(0)));
  const T known_b = choose(z > 0, T(0), choose(soft, f.beta * (1 + z), T(1)));
  const T c = choose(unknown, -f.alpha, T(0));
  const T a = choose(unknown, c * p, known_a), b = choose(unknown, c * q, known_b);
  return {a * up + b * down, p * q * (quotient(b, arg_q) - quotient(a, arg_p) + c * (up - down))};
}

// ---- the focal entry of a logit y: q^γ up and its derivative −q^γ (q + γ p up). EXPONENT is γ where that is 0 to 4, else −1.

template <int EXPONENT, class T>
MLCFAST_FN T focal_power(T q, T down, T gamma) {
  if constexpr (EXPONENT == 0) return T(1);
  if constexpr (EXPONENT == 1) return q;
  if constexpr (EXPONENT == 2) return q * q;
  if constexpr (EXPONENT == 3) return q * q * q;
  if constexpr (EXPONENT == 4) return (q * q) * (q * q);
  return exp_nonpositive(-gamma * down);
}

template <class T>
MLCFAST_FN T below_infinity(T x) {
  return choose(x > T(1e30), T(1e30), x);  // a NaN stays
}

// ---- focal, poly, SPLC: L = weight q^γ (up + ε q) of y, which is x − margin for a positive, x for an unknown label whose logit is
// above `corrected`, −x for any other.

template <class T>
struct Focal {
  T gamma, epsilon, positive, other, margin, corrected;
};

template <int EXPONENT, class T>
MLCFAST_FN Term<T> focal(T x, T z, const Focal<T>& f) {
  const auto observed = z > 0;
  const auto positive = observed | ((z == 0) & (x > f.corrected));
  const T y = choose(positive, x - choose(observed, f.margin, T(0)), -x);
  const Logit<T> s = logit_terms(y);
  const T scaled = choose(positive, f.positive, f.other) * focal_power<EXPONENT>(s.q, s.down, f.gamma);
  const T bend = EXPONENT == 0 ? T(0) : f.gamma * s.p * below_infinity(s.up);
  const T slope = scaled * (s.q + bend + f.epsilon * (f.gamma + 1) * s.q * s.p);
  return {scaled * (s.up + f.epsilon * s.q), choose(positive, -slope, slope)};
}

// ---- Hill: the focal entry of x − margin for a positive, else (λ − p) p².

template <class T>
struct Hill {
  T lambda, margin, gamma;
};

template <int EXPONENT, class T>
MLCFAST_FN Term<T> hill(T x, T z, const Hill<T>& f) {
  const auto positive = z > 0;
  const Logit<T> s = logit_terms(choose(positive, x - f.margin, -x));  // for the others q = σ(x)
  const T power = focal_power<EXPONENT>(s.q, s.down, f.gamma);
  const T slope = power * (s.q + f.gamma * s.p * below_infinity(s.up));
  const T square = s.q * s.q;
  return {choose(positive, power * s.up, (f.lambda - s.q) * square),
          choose(positive, -slope, s.p * square * (2 * f.lambda - 3 * s.q))};
}

// ---- GR: known labels −log(p + ε) or −log(q + ε), unknown V (k (1 − p^q2)/q2 + (1 − k) (1 − q^q3)/q3), k = σ(w p + b),
// V = exp(−½ ((p − μ)/σ)²), both constants in the derivative V (−k p^q2 q + (1 − k) q^q3 p).

template <class T>
struct Robust {
  T w, b, mu, inverse_sigma, q2, inverse_q2, q3, inverse_q3;
};

template <bool LINEAR, class T>
MLCFAST_FN Term<T> robust(T x, T z, const Robust<T>& f) {
  const Logit<T> s = logit_terms(x);
  const T k = sigmoid(f.w * s.p + f.b).p;
  const T distance = (s.p - f.mu) * f.inverse_sigma;
  const T v = exp_nonpositive(T(-0.5) * distance * distance);
  const T lost = expm1_nonpositive(-f.q2 * s.up);  // p^q2 − 1
  const T other_lost = LINEAR ? -s.p : expm1_nonpositive(-f.q3 * s.down);  // q^q3 − 1
  const T unknown = -v * (k * lost * f.inverse_q2 + (1 - k) * other_lost * f.inverse_q3);
  const T unknown_slope = v * ((1 - k) * (1 + other_lost) * s.p - k * (1 + lost) * s.q);
  const T known_arg = choose(z > 0, s.p, s.q) + T(1e-7);
  const T known_slope = quotient(s.p * s.q, known_arg);
  return {choose(z == 0, unknown, -log_positive(known_arg)),
          choose(z == 0, unknown_slope, choose(z > 0, -known_slope, known_slope))};
}

// ---- LL-R, LL-Ct, LL-Cp: cross-entropy; unknown entries with x ≥ threshold count 0, or with `flip` as positive.

template <class T>
struct Large {
  T threshold, flip;
};

template <class T>
MLCFAST_FN Term<T> large(T x, T z, const Large<T>& f) {
  const Logit<T> s = logit_terms(x);
  const auto changed = (z == 0) & (x >= f.threshold);
  const T positive = choose(z > 0, T(1), f.flip);
  const auto as_positive = (z > 0) | changed;
  return {choose(as_positive, positive * below_infinity(s.up), s.down), choose(as_positive, -positive * s.q, s.p)};
}

// ---- distribution-balanced: L = b w F(y) / s with the focal entry F, y = u and s = 1 of a positive, y = −λu and s = λ of another
// (u = x − shift), w = α + σ(β (inverse of_image − μ)), of_image the reciprocal of the sum of `inverse` over the image's positives.

template <class T>
struct Balanced {
  T alpha, beta, mu, scale, inverse_scale, gamma, balance, of_image;
};

template <int EXPONENT, class T>
MLCFAST_FN Term<T> balanced(T u, T z, T inverse, const Balanced<T>& f) {
  const auto positive = z > 0;
  const Logit<T> s = logit_terms(choose(positive, u, -f.scale * u));
  const T weight = f.balance * (f.alpha + sigmoid(f.beta * (inverse * f.of_image - f.mu)).p);
  const T power = weight * focal_power<EXPONENT>(s.q, s.down, f.gamma);
  const T slope = power * (s.q + f.gamma * s.p * below_infinity(s.up));
  return {choose(positive, power * s.up, power * s.up * f.inverse_scale), choose(positive, -slope, slope)};
}

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
