// The mathematics of one entry of each loss and of its derivative, shared by the CPU and the CUDA kernels.
//
// Notation: x logit, p = σ(x), not_p = σ(−x), y or z the label. Every function is branch-free in x, so that a compiler can
// vectorise the loop around it, and T may be a register of numbers (cpu/lanes.h); a NaN logit comes out as a NaN loss and a NaN
// gradient. The including file provides minus_size(x) = −|x|, exp_nonpositive(x ≤ 0), log_positive(x > 0), power(x in (0, 1], y ≥ 0)
// and quotient(a, b in [1e-37, 2]) for its type, and MLCFAST_ISA, the namespace of its instruction set, which keeps one's inline
// functions from standing in for another's.
#pragma once

#include <cstring>

#ifdef __CUDACC__
#define MLCFAST_FN __device__ __forceinline__
#else
#define MLCFAST_FN inline __attribute__((always_inline))
#endif

namespace mlcfast {
namespace MLCFAST_ISA {

#ifdef __CUDACC__
// Of a function nvcc 13.0 keeps the two sides longer: two kernels of the asymmetric loss then spilt on 9.0.
#define choose(condition, a, b) ((condition) ? (a) : (b))
#else
template <class T>
MLCFAST_FN T choose(bool condition, T a, T b) {
  return condition ? a : b;
}
#endif

template <class T>
struct Term {
  T loss, gradient;
};

template <class T>
struct Sigmoid {
  T p, not_p;
};

template <class T>
MLCFAST_FN Sigmoid<T> sigmoid(T x) {
  const T e = exp_nonpositive(minus_size(x));
  const T large = quotient(T(1), 1 + e);
  const T small = e * large;
  return {choose(x < 0, small, large), choose(x < 0, large, small)};
}

// ---- asymmetric loss: L = −log(a) w, a = max(p, eps) or max(min(not_p + clip, 1), eps), w = d^γ, d = not_p or
// max(p − clip, 0). dL/dx = −(a'/a w + log(a) w'), the second part left out when the focal weight is detached.

// In the order of AsymmetricOptions in mlcfast/ops/asymmetric_loss/reference.py, which also says what they mean.
struct AsymmetricOptions {
  double gamma_neg, gamma_pos, clip, eps, detach_focal_weight;
};
constexpr int kAsymmetricOptions = sizeof(AsymmetricOptions) / sizeof(double);

inline AsymmetricOptions asymmetric_options(const double* values) {
  AsymmetricOptions options;
  std::memcpy(&options, values, sizeof options);
  return options;
}

template <class T>
struct Asymmetric {
  T gamma_neg, gamma_pos, clip, eps;
  T attached;       // 0 when the focal weight is detached, else 1
  T neg_digits[3];  // the binary digits of max(gamma − 1, 0), lowest first; read for integer exponents up to 8
  T pos_digits[3];
};

inline bool small_integer(double gamma) { return gamma <= 8 && gamma == static_cast<int>(gamma); }

// Whether asymmetric_hard serves the labels 0 and 1.
inline bool integer_exponents(const AsymmetricOptions& o) { return small_integer(o.gamma_neg) && small_integer(o.gamma_pos); }

template <class T>
inline Asymmetric<T> make_asymmetric(const AsymmetricOptions& o) {
  Asymmetric<T> f{T(o.gamma_neg), T(o.gamma_pos), T(o.clip), T(o.eps), T(o.detach_focal_weight > 0 ? 0 : 1), {}, {}};
  for (int digit = 0; digit < 3; ++digit) {
    f.neg_digits[digit] = T(o.gamma_neg > 0 ? (static_cast<int>(o.gamma_neg) - 1) >> digit & 1 : 0);
    f.pos_digits[digit] = T(o.gamma_pos > 0 ? (static_cast<int>(o.gamma_pos) - 1) >> digit & 1 : 0);
  }
  return f;
}

template <class T>
MLCFAST_FN Term<T> asymmetric_from_weight(T log_slope, T log_a, T weight, T weight_slope) {
  return {-log_a * weight, -(log_slope * weight + log_a * weight_slope)};
}

// d^(gamma − 1), gamma the integer exponent of the label's side, by its binary digits; 1 for gamma = 0.
template <class T, class Mask>
MLCFAST_FN T power_below(T d, Mask positive, const Asymmetric<T>& f) {
  const T ones = choose(positive, f.pos_digits[0], f.neg_digits[0]);
  const T twos = choose(positive, f.pos_digits[1], f.neg_digits[1]);
  const T fours = choose(positive, f.pos_digits[2], f.neg_digits[2]);
  const T d2 = d * d;
  return choose(ones > 0, d, T(1)) * choose(twos > 0, d2, T(1)) * choose(fours > 0, d2 * d2, T(1));
}

// Labels in {0, 1} and integer exponents up to 8. With u = x for a positive and −x for a negative, σ(u) is the probability of
// the label and d = σ(−u) the distance to it; a negative's clip moves both and leaves nothing where it exceeds d.
template <class T>
MLCFAST_FN Term<T> asymmetric_hard(T x, T y, const Asymmetric<T>& f) {
  const auto positive = y > 0;
  const T e = exp_nonpositive(minus_size(x));
  const T large = quotient(T(1), 1 + e);
  const T small = e * large;
  const auto agrees = positive == (x >= 0);
  const T clip = choose(positive, T(0), f.clip);
  const T below = choose(agrees, small, large) - clip;
  const T d = choose(below < 0, T(0), below);
  const T slope = choose(below < 0, T(0), small * large);
  const T shifted = choose(agrees, large, small) + clip;
  const T target = choose(shifted > 1, T(1), shifted);
  const T a = choose(target < f.eps, f.eps, target);
  const T log_a = log_positive(a);
  const T inverse = choose(target < f.eps, T(0), quotient(slope, a));
  const T gamma = choose(positive, f.gamma_pos, f.gamma_neg);
  const T w_below = power_below(d, positive, f);
  const T weight = choose(gamma > 0, w_below * d, T(1));
  const T gradient = f.attached * (gamma * w_below) * slope * log_a - inverse * weight;
  return {-log_a * weight, choose(positive, gradient, -gradient)};
}

// Any label in [0, 1] and any exponents ≥ 0.
template <class T>
MLCFAST_FN Term<T> asymmetric_soft(T x, T label, const Asymmetric<T>& f) {
  const T y = choose(label < 0, T(0), label);
  const auto [p, not_p] = sigmoid(x);
  const T slope = p * not_p;
  const T shifted = not_p + f.clip;
  const T q = choose(shifted > 1, T(1), shifted);
  const T a_pos = choose(p < f.eps, f.eps, p), a_neg = choose(q < f.eps, f.eps, q);
  const T log_a = y * log_positive(a_pos) + (1 - y) * log_positive(a_neg);
  const T log_slope =
      y * choose(p < f.eps, T(0), quotient(slope, a_pos)) -
      (1 - y) * choose((q < f.eps) | (shifted > 1), T(0), quotient(slope, a_neg));
  const T below = p - f.clip;
  const T d = y * not_p + (1 - y) * choose(below < 0, T(0), below);
  const T d_slope = (1 - y) * choose(below < 0, T(0), slope) - y * slope;
  const T gamma = y * f.gamma_pos + (1 - y) * f.gamma_neg;
  const auto open = d > T(1e-37);  // at distance 0 the weight is 0^gamma, its slope taken as 0; a quotient must not overflow
  const T safe = choose(open, d, T(1));
  const T powered = power(safe, gamma);
  const T weight = choose(open, powered, choose(gamma > 0, T(0), T(1)) + d);
  const T weight_slope = choose(open, f.attached * (gamma * quotient(powered, safe) * d_slope), T(0));
  return asymmetric_from_weight(log_slope, log_a, weight, weight_slope);
}

// ---- weighted cross-entropy: L = −(a log(p + eps) + b log(not_p + eps)), (a, b) by the kind of label, linear between.

template <class T>
struct WeightedBce {
  T positive_a, positive_b, unknown_a, unknown_b, negative_a, negative_b, eps;
};

template <class T>
MLCFAST_FN Term<T> weighted_bce(T x, T a, T b, T eps) {
  const auto [p, not_p] = sigmoid(x);
  const T arg_a = p + eps, arg_b = not_p + eps;
  return {-(a * log_positive(arg_a) + b * log_positive(arg_b)), p * not_p * (quotient(b, arg_b) - quotient(a, arg_a))};
}

template <class T>
MLCFAST_FN Term<T> weighted_bce_soft(T x, T z, const WeightedBce<T>& f) {
  const T up = choose(z > 0, z, T(0)), down = choose(z < 0, -z, T(0));
  const T a = f.unknown_a + up * (f.positive_a - f.unknown_a) + down * (f.negative_a - f.unknown_a);
  const T b = f.unknown_b + up * (f.positive_b - f.unknown_b) + down * (f.negative_b - f.unknown_b);
  return weighted_bce(x, a, b, f.eps);
}

// Labels in {−1, 0, 1}.
template <class T>
MLCFAST_FN Term<T> weighted_bce_kinds(T x, T z, const WeightedBce<T>& f) {
  const T a = choose(z > 0, f.positive_a, choose(z < 0, f.negative_a, f.unknown_a));
  const T b = choose(z > 0, f.positive_b, choose(z < 0, f.negative_b, f.unknown_b));
  return weighted_bce(x, a, b, f.eps);
}

template <class T>
struct OneSided {
  T weight, arg, gradient;  // L = −weight log(arg)
};

// Labels in {−1, 0, 1} and weights of which one of (a, b) is 0 for each kind: one logarithm.
template <class T>
MLCFAST_FN OneSided<T> one_sided_bce(T x, T z, const WeightedBce<T>& f) {
  const auto [p, not_p] = sigmoid(x);
  const T a = choose(z > 0, f.positive_a, choose(z < 0, f.negative_a, f.unknown_a));
  const T b = choose(z > 0, f.positive_b, choose(z < 0, f.negative_b, f.unknown_b));
  const T arg = choose(a > 0, p, not_p) + f.eps;
  const T weight = choose(a > 0, a, b);
  return {weight, arg, quotient(choose(a > 0, -weight, weight) * (p * not_p), arg)};
}

template <class T>
MLCFAST_FN Term<T> weighted_bce_hard(T x, T z, const WeightedBce<T>& f) {
  const OneSided<T> s = one_sided_bce(x, z, f);
  return {-s.weight * log_positive(s.arg), s.gradient};
}

// ---- EPR and ROLE. One side of ROLE: L = −((z + t) log(p + eps) + (1 − t) log(not_p + eps)) with t held constant; EPR's
// entry is −z log(p + eps). Both add coupling · p not_p to the gradient, the derivative of the batch's regulariser.

template <class T>
MLCFAST_FN T role_side_loss(Sigmoid<T> s, T z, T t, T eps) {
  return -((z + t) * log_positive(s.p + eps) + (1 - t) * log_positive(s.not_p + eps));
}

template <class T>
MLCFAST_FN T role_side_gradient(Sigmoid<T> s, T z, T t, T eps, T scale, T coupling) {
  return s.p * s.not_p * (scale * (quotient(1 - t, s.not_p + eps) - quotient(z + t, s.p + eps)) + coupling);
}

template <class T>
MLCFAST_FN T epr_gradient(Sigmoid<T> s, T z, T eps, T scale, T coupling) {
  return s.p * s.not_p * (coupling - quotient(scale * z, s.p + eps));
}

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
