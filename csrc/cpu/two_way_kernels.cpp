// The two-way loss of a whole batch in one call: the terms of a label run over all images. Compiled once for each instruction set.
//
// y = x/Tn of a negative, −x/Tp of a positive; D and U the log-sum-exp of the negatives' and the positives' y of a row or a column. The
// loss is the mean of softplus(Tn D + Tp U) over rows with a positive and over columns with one; with s = σ(Tn D + Tp U) over their
// number, its derivative is s_row e^(y − D_row) + s_column e^(y − D_column) for a negative, and its negative with U for a positive.

#include <cmath>
#include <limits>

#include "blocks.h"
#include "convert.h"
#include "kernels.h"
#include "vector_math.h"

namespace mlcfast {
namespace MLCFAST_ISA {

Sum two_way_loss(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end);

namespace {

constexpr int kWidth = 16;

double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

double sigmoid_of(double x) { return x > 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

struct Temperatures {
  double tp, tn;
  double margin(double D, double U) const { return tn * D + tp * U; }
};

// y of a block. Not inlined: were the quotient's rounding left out in one place, y − D of the largest y would not be 0 there.
template <class T>
__attribute__((noinline)) void divided(const T* __restrict x, const T* __restrict z, int n, T tp, T tn, T* __restrict y) {
  for (int i = 0; i < n; i += kLanes<T>) {
    const WideOf<T> logit = load_lanes(x + i);
    store_lanes(y + i, choose(load_lanes(z + i) > 0, -logit / WideOf<T>(tp), logit / WideOf<T>(tn)));
  }
}

// Calls visit(first, n, y, z) for each block of a row of K entries that begins at `start`.
template <class T, class Visit>
void blocks_of_row(const Entries& e, int64_t start, int64_t K, Temperatures t, Visit visit) {
  T x_block[kBlock], z_block[kBlock], y[kBlock];
  for (int64_t first = 0; first < K; first += kBlock) {
    const int n = static_cast<int>(K - first < kBlock ? K - first : kBlock);
    const T* z = load_asking(e.labels, start + first, n, z_block);
    divided(load_asking(e.logits, start + first, n, x_block), z, n, static_cast<T>(t.tp), static_cast<T>(t.tn), y);
    visit(first, n, static_cast<const T*>(y), z);
  }
}

// Of each column and kind `most`, what e^y is taken relative to, the sum of these powers, 0 for no entry, and, in the end, the factor
// of a power in the gradient; how many rows have a positive.
template <class T>
struct Columns {
  Buffer<T> other_most, positive_most, other_scale, positive_scale;
  Buffer<double> others, positives;
  int64_t rows_there = 0;
  explicit Columns(int64_t K)
      : other_most(K), positive_most(K), other_scale(K), positive_scale(K), others(K), positives(K) {}
};

// D or U; −∞ for no entry. A sum that is NaN stays.
template <class T>
double log_sum(T most, double sum) {
  return sum == 0 ? -std::numeric_limits<double>::infinity() : most + std::log(sum);
}

template <class T>
void largest_of_columns(const Entries& e, int64_t B, int64_t K, Temperatures t, Columns<T>& c, bool& bad) {
  const T none = -std::numeric_limits<T>::infinity();
  c.other_most.fill(K, none);
  c.positive_most.fill(K, none);
  for (int64_t row = 0; row < B; ++row) {
    int some = 0;
    blocks_of_row<T>(e, row * K, K, t, [&](int64_t first, int n, const T* __restrict y, const T* __restrict z) {
      bad |= inspect(e.labels, row * K + first, n, z).bad;
      T* __restrict other = c.other_most.data + first;
      T* __restrict positive = c.positive_most.data + first;
      for (int i = 0; i < n; ++i) {
        const T up = z[i] > 0 ? none : y[i], down = z[i] > 0 ? y[i] : none;
        other[i] = up > other[i] ? up : other[i];
        positive[i] = down > positive[i] ? down : positive[i];
        some |= z[i] > 0;
      }
    });
    c.rows_there += some;
  }
}

// e^y relative to the largest of its column and kind.
template <class T>
MLCFAST_INLINE void powers_of(const T* __restrict y, const T* __restrict z, int n, const T* __restrict positive,
                              const T* __restrict other, T* __restrict power) {
  for (int i = 0; i < n; i += kLanes<T>) {
    const WideOf<T> most = choose(load_lanes(z + i) > 0, load_lanes(positive + i), load_lanes(other + i));
    store_lanes(power + i, exp_nonpositive(load_lanes(y + i) - most));
  }
}

template <class T>
void sums_of_columns(const Entries& e, int64_t B, int64_t K, Temperatures t, Columns<T>& c) {
  T power[kBlock];
  c.others.fill(K, 0);
  c.positives.fill(K, 0);
  for (int64_t row = 0; row < B; ++row) {
    blocks_of_row<T>(e, row * K, K, t, [&](int64_t first, int n, const T* __restrict y, const T* __restrict z) {
      const T* __restrict other = c.other_most.data + first;
      const T* __restrict positive = c.positive_most.data + first;
      double* __restrict others = c.others.data + first;
      double* __restrict positives = c.positives.data + first;
      powers_of(y, z, n, positive, other, power);
      for (int i = 0; i < n; ++i) {
        others[i] += static_cast<double>(z[i] > 0 ? T(0) : power[i]);
        positives[i] += static_cast<double>(z[i] > 0 ? power[i] : T(0));
      }
    });
  }
}

// A column's D or U as the nearest T, which no y of the column exceeds, and the power that is missing from it.
template <class T>
void split(double log_sum, T& most, double& sum) {
  most = static_cast<T>(log_sum);
  sum = std::isinf(log_sum) ? (log_sum > 0 ? 1 : 0) : std::exp(log_sum - static_cast<double>(most));
}

// U and D of each column over a larger batch, of which this one is a part.
template <class T>
void given_columns(const LabelLossOptions& o, Columns<T>& c) {
  const double* const U = static_cast<const double*>(o.positive_weight.data);
  const double* const D = static_cast<const double*>(o.other_weight.data);
  for (int64_t k = 0; k < o.K; ++k) {
    split(U[k], c.positive_most.data[k], c.positives.data[k]);
    split(D[k], c.other_most.data[k], c.others.data[k]);
  }
}

// The columns' loss; their s, times `scale`, over the sums, as the factors of the powers.
template <class T>
double finish_columns(int64_t K, Temperatures t, double scale, Columns<T>& c) {
  double loss = 0;
  int64_t there = 0;
  for (int64_t k = 0; k < K; ++k) there += c.positives.data[k] != 0;
  const double share = 1.0 / static_cast<double>(there > 0 ? there : 1);
  for (int64_t k = 0; k < K; ++k) {
    const double others = c.others.data[k], positives = c.positives.data[k];
    const double margin = t.margin(log_sum(c.other_most.data[k], others), log_sum(c.positive_most.data[k], positives));
    const bool some = positives != 0 && others != 0;  // without a negative, or a positive, it adds nothing
    if (some) loss += softplus(margin) * share;
    const double slope = some ? sigmoid_of(margin) * share * scale : 0;
    c.other_scale.data[k] = static_cast<T>(some ? slope / others : 0);
    c.positive_scale.data[k] = static_cast<T>(some ? -slope / positives : 0);
  }
  return loss;
}

template <class T>
struct Row {
  T other, positive;  // the largest y of each kind
};

template <class T>
Row<T> of_row(const Entries& e, int64_t start, int64_t K, Temperatures t, T* powers, double& others, double& positives) {
  using W = WideOf<T>;
  const T none = -std::numeric_limits<T>::infinity();
  T other[kWidth], positive[kWidth];
  for (int j = 0; j < kWidth; ++j) other[j] = positive[j] = none;
  blocks_of_row<T>(e, start, K, t, [&](int64_t, int n, const T* __restrict y, const T* __restrict z) {
    for (int i = 0; i < n; i += kWidth) {
      const int width = n - i < kWidth ? n - i : kWidth;
      for (int j = 0; j < width; ++j) {
        const T up = z[i + j] > 0 ? none : y[i + j], down = z[i + j] > 0 ? y[i + j] : none;
        other[j] = up > other[j] ? up : other[j];
        positive[j] = down > positive[j] ? down : positive[j];
      }
    }
  });
  for (int j = 1; j < kWidth; ++j) {
    other[0] = other[j] > other[0] ? other[j] : other[0];
    positive[0] = positive[j] > positive[0] ? positive[j] : positive[0];
  }
  others = positives = 0;
  blocks_of_row<T>(e, start, K, t, [&](int64_t first, int n, const T* __restrict y, const T* __restrict z) {
    T* __restrict power = powers + first;
    Tally<T> of_others, of_positives;
    for (int i = 0; i < n; i += kLanes<T>) {
      const auto is_positive = load_lanes(z + i) > 0;
      const W own = exp_nonpositive(load_lanes(y + i) - choose(is_positive, W(positive[0]), W(other[0])));
      store_lanes(power + i, own);
      of_others.add(i, n, choose(is_positive, W(0), own));
      of_positives.add(i, n, choose(is_positive, own, W(0)));
    }
    others += of_others.total(n);
    positives += of_positives.total(n);
  });
  return {other[0], positive[0]};
}

template <class T>
Sum two_way_as(const Entries& e, const LabelLossOptions& o, int64_t B) {
  const int64_t K = o.K;
  const Temperatures t{o.values[0], o.values[1]};
  Sum sum;
  Columns<T> c(K);
  Buffer<T> powers(K);
  largest_of_columns<T>(e, B, K, t, c, sum.bad_label);
  if (o.positive_weight.data != nullptr)
    given_columns<T>(o, c);
  else
    sums_of_columns<T>(e, B, K, t, c);
  sum.loss = finish_columns<T>(K, t, o.values[3] * e.gradient_scale, c);
  const double row_share = o.values[2] > 0 ? o.values[2] : 1.0 / static_cast<double>(c.rows_there > 0 ? c.rows_there : 1);
  T gradient_block[kBlock], within[kBlock];
  for (int64_t row = 0; row < B; ++row) {
    const int64_t start = row * K;
    double others, positives;
    const Row<T> most = of_row<T>(e, start, K, t, powers.data, others, positives);
    const bool some = positives != 0 && others != 0;
    const double margin = t.margin(log_sum(most.other, others), log_sum(most.positive, positives));
    if (some) sum.loss += row_share * softplus(margin);
    if (e.gradient.data == nullptr) continue;
    const double slope = some ? row_share * sigmoid_of(margin) * e.gradient_scale : 0;
    const T of_other = static_cast<T>(some ? slope / others : 0), of_positive = static_cast<T>(some ? -slope / positives : 0);
    blocks_of_row<T>(e, start, K, t, [&](int64_t first, int n, const T* __restrict y, const T* __restrict z) {
      T* const gradient = in_place(e.gradient, start + first, n, gradient_block);
      const T* __restrict power = powers.data + first;
      const T* __restrict other = c.other_most.data + first;
      const T* __restrict positive = c.positive_most.data + first;
      const T* __restrict other_scale = c.other_scale.data + first;
      const T* __restrict positive_scale = c.positive_scale.data + first;
      powers_of(y, z, n, positive, other, within);
      for (int i = 0; i < n; ++i)
        gradient[i] = power[i] * (z[i] > 0 ? of_positive : of_other) + within[i] * (z[i] > 0 ? positive_scale[i] : other_scale[i]);
      if (gradient == gradient_block) store(e.gradient, start + first, n, gradient, T(1));
    });
  }
  return sum;
}

}  // namespace

Sum two_way_loss(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  return e.wide ? two_way_as<double>(e, o, end - begin) : two_way_as<float>(e, o, end - begin);
}

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
