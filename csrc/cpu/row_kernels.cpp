// The loops of the losses whose entries hang on the others of their image, pairwise ranking and those told by a formula's
// number: over rows of (B, K). Compiled once for each instruction set, as kernels.cpp is.

#include <cmath>

#include "blocks.h"
#include "convert.h"
#include "kernels.h"
#include "vector_math.h"

#include "../label_formulas.h"

namespace mlcfast {
namespace MLCFAST_ISA {

Sum row_loss(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end);
Sum pairwise_ranking(const Entries& e, int64_t K, int64_t begin_row, int64_t end_row);
Sum two_way_loss(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end);  // two_way_kernels.cpp

namespace {

// Calls visit(first, n, x, z) for each block of a row of K entries that begins at `start`.
template <class T, class Visit>
void for_each_block(const Entries& e, int64_t start, int64_t K, Visit visit) {
  T x_block[kBlock], z_block[kBlock];
  for (int64_t first = 0; first < K; first += kBlock) {
    const int n = static_cast<int>(K - first < kBlock ? K - first : kBlock);
    visit(first, n, load_asking(e.logits, start + first, n, x_block), load_asking(e.labels, start + first, n, z_block));
  }
}

// ---- pairwise ranking: for each row, Q entries that are not positive and P that are,
// loss = Q Σ_pos not_p + P Σ_other p, gradient −Q p not_p of a positive and P p not_p of another.

struct Masses {
  double positives = 0, of_positives = 0, of_others = 0;  // P and the two sums
};

// Also p not_p of every entry, to `slopes`.
template <class T>
Masses masses(const Entries& e, int64_t start, int64_t K, T* slopes, bool& bad) {
  using W = WideOf<T>;
  Masses sums;
  for_each_block<T>(e, start, K, [&](int64_t first, int n, const T* __restrict x, const T* __restrict z) {
    bad |= inspect(e.labels, start + first, n, z).bad;
    T* __restrict slope = slopes + first;
    Tally<T> positives, of_positives, of_others;
    for (int i = 0; i < n; i += kLanes<T>) {
      const Sigmoid<W> s = sigmoid(load_lanes(x + i));
      const auto is_positive = load_lanes(z + i) > 0;
      store_lanes(slope + i, s.p * s.not_p);
      positives.add(i, n, choose(is_positive, W(1), W(0)));
      of_positives.add(i, n, choose(is_positive, s.not_p, W(0)));
      of_others.add(i, n, choose(is_positive, W(0), s.p));
    }
    sums.positives += positives.total(n);
    sums.of_positives += of_positives.total(n);
    sums.of_others += of_others.total(n);
  });
  return sums;
}

template <class T>
Sum pairwise_ranking_as(const Entries& e, int64_t K, int64_t begin_row, int64_t end_row) {
  const Buffer<T> slopes(K);
  T gradient_block[kBlock];
  Sum sum;
  for (int64_t row = begin_row; row < end_row; ++row) {
    const int64_t start = row * K;
    const Masses s = masses<T>(e, start, K, slopes.data, sum.bad_label);
    const double others = static_cast<double>(K) - s.positives;
    sum.loss += others * s.of_positives + s.positives * s.of_others;
    if (e.gradient.data == nullptr) continue;
    const T of_positive = static_cast<T>(-others * e.gradient_scale);
    const T of_other = static_cast<T>(s.positives * e.gradient_scale);
    for_each_block<T>(e, start, K, [&](int64_t first, int n, const T* __restrict, const T* __restrict z) {
      T* const gradient = in_place(e.gradient, start + first, n, gradient_block);
      const T* __restrict slope = slopes.data + first;
      for (int i = 0; i < n; ++i) gradient[i] = slope[i] * (z[i] > 0 ? of_positive : of_other);
      if (gradient == gradient_block) store(e.gradient, start + first, n, gradient, T(1));
    });
  }
  return sum;
}

// ---- distribution-balanced: balanced() of label_formulas.h, whose sum over an image's positives comes first

template <class T>
double of_positives(const Entries& e, int64_t start, int64_t K, const T* inverse, bool& bad) {
  T chosen[kBlock];
  double sum = 0;
  for_each_block<T>(e, start, K, [&](int64_t first, int n, const T* __restrict, const T* __restrict z) {
    bad |= inspect(e.labels, start + first, n, z).bad;
    const T* __restrict own = inverse + first;
    for (int i = 0; i < n; ++i) chosen[i] = z[i] > 0 ? own[i] : T(0);
    sum += block_sum(chosen, n);
  });
  return sum;
}

template <int EXPONENT, class T>
Sum balanced_as(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  const double* v = o.values;
  const T* const inverse = static_cast<const T*>(o.positive_weight.data);
  const T* const shift = static_cast<const T*>(o.other_weight.data);
  const T scale = static_cast<T>(e.gradient_scale);
  using W = WideOf<T>;
  T loss[kBlock], gradient_block[kBlock], own_block[kBlock], by_block[kBlock];
  Sum sum;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t start = row * o.K;
    const double positives = of_positives(e, start, o.K, inverse, sum.bad_label);
    const Balanced<W> f{W(v[0]), W(v[1]), W(v[2]), W(v[3]), W(1 / v[3]), W(v[4]), W(v[5]), W(1 / positives)};
    for_each_block<T>(e, start, o.K, [&](int64_t first, int n, const T* __restrict x, const T* __restrict z) {
      T* const gradient = in_place(e.gradient, start + first, n, gradient_block);
      const T* __restrict own = whole(inverse + first, n, own_block);
      const T* __restrict by = whole(shift + first, n, by_block);
      for (int i = 0; i < n; i += kLanes<T>) {
        const W u = load_lanes(x + i) - load_lanes(by + i);
        const Term<W> term = balanced<EXPONENT>(u, load_lanes(z + i), load_lanes(own + i), f);
        store_lanes(loss + i, term.loss);
        store_lanes(gradient + i, term.gradient * scale);
      }
      sum.loss += block_sum(loss, n);
      store(e.loss, start + first, n, loss, static_cast<T>(e.loss_scale));
      if (gradient == gradient_block) store(e.gradient, start + first, n, gradient, T(1));
    });
  }
  return sum;
}

template <class T>
Sum balanced_of(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  const double gamma = o.values[4];
  if (gamma == 0) return balanced_as<0, T>(e, o, begin, end);
  if (gamma == 1) return balanced_as<1, T>(e, o, begin, end);
  if (gamma == 2) return balanced_as<2, T>(e, o, begin, end);
  return balanced_as<-1, T>(e, o, begin, end);
}

// ---- ZLPR: log(1 + Σ_other e^x) + log(1 + Σ_positive e^−x). With y = x of the others and −x of the positives, and m the largest
// of 0 and the y of a kind, log(1 + Σ e^y) = m + log S, S = e^−m + Σ e^(y − m), and its derivative to y is e^(y − m) / S.

template <class T>
struct Kinds {
  T other, positive;
};

constexpr int kWidth = 16;

template <class T>
Kinds<T> largest(const Entries& e, int64_t start, int64_t K, bool& bad) {
  T other[kWidth] = {}, positive[kWidth] = {};
  for_each_block<T>(e, start, K, [&](int64_t first, int n, const T* __restrict x, const T* __restrict z) {
    bad |= inspect(e.labels, start + first, n, z).bad;
    for (int i = 0; i < n; i += kWidth) {
      const int width = n - i < kWidth ? n - i : kWidth;
      for (int j = 0; j < width; ++j) {
        const T up = z[i + j] > 0 ? T(0) : x[i + j], down = z[i + j] > 0 ? -x[i + j] : T(0);
        other[j] = up > other[j] ? up : other[j];
        positive[j] = down > positive[j] ? down : positive[j];
      }
    }
  });
  for (int j = 1; j < kWidth; ++j) {
    other[0] = other[j] > other[0] ? other[j] : other[0];
    positive[0] = positive[j] > positive[0] ? positive[j] : positive[0];
  }
  return {other[0], positive[0]};
}

template <class T>
Sum zlpr_as(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  const T scale = static_cast<T>(e.gradient_scale * o.values[0]);
  using W = WideOf<T>;
  const Buffer<T> powers(o.K);
  T gradient_block[kBlock];
  Sum sum;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t start = row * o.K;
    const Kinds<T> m = largest<T>(e, start, o.K, sum.bad_label);
    double of_others = exp_nonpositive(-m.other), of_positives = exp_nonpositive(-m.positive);
    for_each_block<T>(e, start, o.K, [&](int64_t first, int n, const T* __restrict x, const T* __restrict z) {
      T* __restrict power = powers.data + first;
      Tally<T> others, positives;
      for (int i = 0; i < n; i += kLanes<T>) {
        const W logit = load_lanes(x + i);
        const auto is_positive = load_lanes(z + i) > 0;
        const W own = exp_nonpositive(choose(is_positive, -logit - W(m.positive), logit - W(m.other)));
        store_lanes(power + i, own);
        others.add(i, n, choose(is_positive, W(0), own));
        positives.add(i, n, choose(is_positive, own, W(0)));
      }
      of_others += others.total(n);
      of_positives += positives.total(n);
    });
    sum.loss += o.values[0] * (m.other + std::log(of_others) + m.positive + std::log(of_positives));
    if (e.gradient.data == nullptr) continue;
    const T of_other = static_cast<T>(scale / of_others), of_positive = static_cast<T>(-scale / of_positives);
    for_each_block<T>(e, start, o.K, [&](int64_t first, int n, const T* __restrict, const T* __restrict z) {
      T* const gradient = in_place(e.gradient, start + first, n, gradient_block);
      const T* __restrict power = powers.data + first;
      for (int i = 0; i < n; ++i) gradient[i] = power[i] * (z[i] > 0 ? of_positive : of_other);
      if (gradient == gradient_block) store(e.gradient, start + first, n, gradient, T(1));
    });
  }
  return sum;
}

}  // namespace

Sum pairwise_ranking(const Entries& e, int64_t K, int64_t begin_row, int64_t end_row) {
  return e.wide ? pairwise_ranking_as<double>(e, K, begin_row, end_row)
                : pairwise_ranking_as<float>(e, K, begin_row, end_row);
}

Sum row_loss(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  if (o.formula == Formula::two_way) return two_way_loss(e, o, begin, end);
  if (o.formula == Formula::zlpr) return e.wide ? zlpr_as<double>(e, o, begin, end) : zlpr_as<float>(e, o, begin, end);
  return e.wide ? balanced_of<double>(e, o, begin, end) : balanced_of<float>(e, o, begin, end);
}

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
