// The loops of the CPU kernels. Compiled once for each instruction set (MLCFAST_ISA names it): a block of entries is
// widened to the arithmetic's type, goes through a formula, and is rounded on its way out; blocks live in L1.

#include "kernels.h"

#include "blocks.h"
#include "convert.h"
#include "vector_math.h"

#include "../formulas.h"

namespace mlcfast {
namespace MLCFAST_ISA {

Sum label_loss(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end);  // label_kernels.cpp
int options_of(Formula formula);
int64_t collect_unknown(const View& logits, const View& labels, int64_t begin, int64_t end, float least, float* found);

namespace {

template <class T>
Sum asymmetric_as(const Entries& e, const AsymmetricOptions& o, int64_t begin, int64_t end) {
  const Asymmetric<T> f = make_asymmetric<T>(o);
  return elementwise<T>(
      e, begin, end, integer_exponents(o),
      [f](T x, T y) __attribute__((always_inline)) { return asymmetric_hard(x, y, f); },
      [f](T x, T y) __attribute__((always_inline)) { return asymmetric_soft(x, y, f); });
}

Sum asymmetric(const Entries& e, const double* options, int64_t begin, int64_t end) {
  const AsymmetricOptions o = asymmetric_options(options);
  return e.wide ? asymmetric_as<double>(e, o, begin, end) : asymmetric_as<float>(e, o, begin, end);
}

bool one_sided(const WeightedBceOptions& o) {
  return o.positive_a * o.positive_b == 0 && o.unknown_a * o.unknown_b == 0 && o.negative_a * o.negative_b == 0;
}

template <class T>
Sum weighted_bce_as(const Entries& e, const WeightedBceOptions& o, int64_t begin, int64_t end) {
  const WeightedBce<T> f{T(o.positive_a), T(o.positive_b), T(o.unknown_a), T(o.unknown_b),
                         T(o.negative_a), T(o.negative_b), T(o.eps)};
  return elementwise<T>(
      e, begin, end, one_sided(o),
      [f](T x, T z) __attribute__((always_inline)) { return weighted_bce_hard(x, z, f); },
      [f](T x, T z) __attribute__((always_inline)) { return weighted_bce_soft(x, z, f); });
}

Sum weighted_bce(const Entries& e, const WeightedBceOptions& o, int64_t begin, int64_t end) {
  return e.wide ? weighted_bce_as<double>(e, o, begin, end) : weighted_bce_as<float>(e, o, begin, end);
}

// ---- pairwise ranking: for each row, Q entries that are not positive and P that are,
// loss = Q Σ_pos not_p + P Σ_other p, gradient −Q p not_p of a positive and P p not_p of another.

struct RowSums {
  double positives = 0, positive_mass = 0, other_mass = 0;
};

template <class T>
RowSums row_sums(const Entries& e, int64_t begin, int64_t end, bool& bad) {
  T x_block[kBlock], z_block[kBlock], positive[kBlock], own[kBlock], other[kBlock];
  RowSums sums;
  for (int64_t offset = begin; offset < end; offset += kBlock) {
    const int n = static_cast<int>(end - offset < kBlock ? end - offset : kBlock);
    const T* __restrict x = load(e.logits, offset, n, x_block);
    const T* __restrict z = load(e.labels, offset, n, z_block);
    bad |= inspect(z, n).bad;
    for (int i = 0; i < n; ++i) {
      const Sigmoid<T> s = sigmoid(x[i]);
      positive[i] = z[i] > 0 ? T(1) : T(0);
      own[i] = z[i] > 0 ? s.not_p : T(0);
      other[i] = z[i] > 0 ? T(0) : s.p;
    }
    sums.positives += block_sum(positive, n);
    sums.positive_mass += block_sum(own, n);
    sums.other_mass += block_sum(other, n);
  }
  return sums;
}

template <class T>
void row_gradient(const Entries& e, int64_t begin, int64_t end, T positives, T others) {
  T x_block[kBlock], z_block[kBlock], gradient[kBlock];
  for (int64_t offset = begin; offset < end; offset += kBlock) {
    const int n = static_cast<int>(end - offset < kBlock ? end - offset : kBlock);
    const T* __restrict x = load(e.logits, offset, n, x_block);
    const T* __restrict z = load(e.labels, offset, n, z_block);
    for (int i = 0; i < n; ++i) {
      const Sigmoid<T> s = sigmoid(x[i]);
      gradient[i] = (z[i] > 0 ? -others : positives) * (s.p * s.not_p);
    }
    store(e.gradient, offset, n, gradient, static_cast<T>(e.gradient_scale));
  }
}

template <class T>
Sum pairwise_ranking_as(const Entries& e, int64_t K, int64_t begin_row, int64_t end_row) {
  Sum sum;
  for (int64_t row = begin_row; row < end_row; ++row) {
    const RowSums s = row_sums<T>(e, row * K, (row + 1) * K, sum.bad_label);
    const double others = static_cast<double>(K) - s.positives;
    sum.loss += others * s.positive_mass + s.positives * s.other_mass;
    if (e.gradient.data != nullptr)
      row_gradient<T>(e, row * K, (row + 1) * K, static_cast<T>(s.positives), static_cast<T>(others));
  }
  return sum;
}

Sum pairwise_ranking(const Entries& e, int64_t K, int64_t begin_row, int64_t end_row) {
  return e.wide ? pairwise_ranking_as<double>(e, K, begin_row, end_row)
                : pairwise_ranking_as<float>(e, K, begin_row, end_row);
}

// ---- EPR and ROLE

// Where the entries of consecutive rows lie in the estimate: one run of all of them, or one run a row with an index.
struct Run {
  int64_t begin, end, estimate_begin;
};

template <class Visit>
void for_each_run(const Coupled& c, int64_t begin_row, int64_t end_row, Visit visit) {
  if (c.index == nullptr) {
    visit(Run{begin_row * c.K, end_row * c.K, begin_row * c.K});
    return;
  }
  for (int64_t row = begin_row; row < end_row; ++row) visit(Run{row * c.K, (row + 1) * c.K, c.index[row] * c.K});
}

template <class T>
void coupled_run(const Coupled& c, const Run& run, CoupledSum& sum) {
  T x_block[kBlock], z_block[kBlock], e_block[kBlock], loss[kBlock], p[kBlock], estimate[kBlock];
  const T eps = static_cast<T>(c.eps);
  for (int64_t offset = run.begin; offset < run.end; offset += kBlock) {
    const int n = static_cast<int>(run.end - offset < kBlock ? run.end - offset : kBlock);
    const T* __restrict x = load(c.logits, offset, n, x_block);
    const T* __restrict z = load(c.observed, offset, n, z_block);
    sum.bad_label |= inspect(z, n).bad;
    if (c.estimate.data == nullptr) {
      for (int i = 0; i < n; ++i) {
        const Sigmoid<T> s = sigmoid(x[i]);
        loss[i] = -(z[i] > 0 ? z[i] : T(0)) * log_positive(s.p + eps);
        p[i] = s.p;
      }
    } else {
      const T* __restrict e = load(c.estimate, run.estimate_begin + (offset - run.begin), n, e_block);
      for (int i = 0; i < n; ++i) {
        const Sigmoid<T> s = sigmoid(x[i]), t = sigmoid(e[i]);
        const T positive = z[i] > 0 ? z[i] : T(0);
        loss[i] = role_side_loss(s, positive, t.p, eps) + role_side_loss(t, positive, s.p, eps);
        p[i] = s.p;
        estimate[i] = t.p;
      }
      sum.estimate += block_sum(estimate, n);
    }
    sum.loss += block_sum(loss, n);
    sum.probability += block_sum(p, n);
  }
}

CoupledSum coupled_forward(const Coupled& c, int64_t begin_row, int64_t end_row) {
  CoupledSum sum;
  for (int64_t row = begin_row; c.index != nullptr && row < end_row; ++row)
    sum.bad_index |= c.index[row] < 0 || c.index[row] >= c.table_rows;
  if (sum.bad_index) return sum;
  for_each_run(c, begin_row, end_row, [&](const Run& run) {
    if (c.wide)
      coupled_run<double>(c, run, sum);
    else
      coupled_run<float>(c, run, sum);
  });
  return sum;
}

template <class T>
void coupled_gradient_run(const Coupled& c, const Run& run) {
  T x_block[kBlock], z_block[kBlock], e_block[kBlock], gradient[kBlock], estimate_gradient[kBlock];
  const T eps = static_cast<T>(c.eps), scale = static_cast<T>(c.scale);
  const T coupling = static_cast<T>(c.coupling), estimate_coupling = static_cast<T>(c.estimate_coupling);
  for (int64_t offset = run.begin; offset < run.end; offset += kBlock) {
    const int n = static_cast<int>(run.end - offset < kBlock ? run.end - offset : kBlock);
    const T* __restrict x = load(c.logits, offset, n, x_block);
    const T* __restrict z = load(c.observed, offset, n, z_block);
    if (c.estimate.data == nullptr) {
      for (int i = 0; i < n; ++i)
        gradient[i] = epr_gradient(sigmoid(x[i]), z[i] > 0 ? z[i] : T(0), eps, scale, coupling);
    } else {
      const T* __restrict e = load(c.estimate, run.estimate_begin + (offset - run.begin), n, e_block);
      for (int i = 0; i < n; ++i) {
        const Sigmoid<T> s = sigmoid(x[i]), t = sigmoid(e[i]);
        const T positive = z[i] > 0 ? z[i] : T(0);
        gradient[i] = role_side_gradient(s, positive, t.p, eps, scale, coupling);
        estimate_gradient[i] = role_side_gradient(t, positive, s.p, eps, scale, estimate_coupling);
      }
      store(c.estimate_gradient, offset, n, estimate_gradient, T(1));
    }
    store(c.logits_gradient, offset, n, gradient, T(1));
  }
}

void coupled_backward(const Coupled& c, int64_t begin_row, int64_t end_row) {
  for_each_run(c, begin_row, end_row, [&](const Run& run) {
    if (c.wide)
      coupled_gradient_run<double>(c, run);
    else
      coupled_gradient_run<float>(c, run);
  });
}

// ---- in-place scaling of a gradient

template <class T>
void scale_as(MutableView view, double factor, int64_t begin, int64_t end) {
  T block[kBlock];
  for (int64_t offset = begin; offset < end; offset += kBlock) {
    const int n = static_cast<int>(end - offset < kBlock ? end - offset : kBlock);
    const T* values = load(View{view.data, view.type}, offset, n, block);
    if (values != block) std::memcpy(block, values, sizeof(T) * n);
    store(view, offset, n, block, static_cast<T>(factor));
  }
}

void scale(MutableView view, double factor, int64_t begin, int64_t end) {
  if (view.type == Type::f64)
    scale_as<double>(view, factor, begin, end);
  else
    scale_as<float>(view, factor, begin, end);
}

}  // namespace

#define MLCFAST_STRING_(x) #x
#define MLCFAST_STRING(x) MLCFAST_STRING_(x)

extern const Kernels table;
const Kernels table{asymmetric,      weighted_bce,     label_loss, options_of, collect_unknown, pairwise_ranking,
                    coupled_forward, coupled_backward, scale,      MLCFAST_STRING(MLCFAST_ISA)};

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
