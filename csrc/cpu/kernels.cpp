// The loops of the CPU kernels. Compiled once for each instruction set (MLCFAST_ISA names it): a block of entries is
// widened to the arithmetic's type, goes through a formula, and is rounded on its way out; blocks live in L1.

#include "kernels.h"

#include "blocks.h"
#include "convert.h"
#include "expected_positives.h"
#include "vector_math.h"

#include "../formulas.h"

namespace mlcfast {
namespace MLCFAST_ISA {

Sum label_loss(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end);  // label_kernels.cpp
int options_of(Formula formula);
int64_t collect_unknown(const View& logits, const View& labels, int64_t begin, int64_t end, float least, float* found);
Sum pairwise_ranking(const Entries& e, int64_t K, int64_t begin_row, int64_t end_row);  // row_kernels.cpp

namespace {

template <class T>
Sum asymmetric_as(const Entries& e, const AsymmetricOptions& o, int64_t begin, int64_t end) {
  using W = WideOf<T>;
  const Asymmetric<W> f = make_asymmetric<W>(o);
  return elementwise<T>(
      e, begin, end, integer_exponents(o),
      [f](W x, W y) __attribute__((always_inline)) { return asymmetric_hard(x, y, f); },
      [f](W x, W y) __attribute__((always_inline)) { return asymmetric_soft(x, y, f); });
}

Sum asymmetric(const Entries& e, const double* options, int64_t begin, int64_t end) {
  const AsymmetricOptions o = asymmetric_options(options);
  return e.wide ? asymmetric_as<double>(e, o, begin, end) : asymmetric_as<float>(e, o, begin, end);
}

bool one_sided(const WeightedBceOptions& o) {
  return o.positive_a * o.positive_b == 0 && o.unknown_a * o.unknown_b == 0 && o.negative_a * o.negative_b == 0;
}

// The weight that all kinds of labels have which have one, 0 where they differ.
double common_weight(const WeightedBceOptions& o) {
  const double weights[] = {o.positive_a, o.positive_b, o.unknown_a, o.unknown_b, o.negative_a, o.negative_b};
  double largest = 0;
  for (const double weight : weights) largest = weight > largest ? weight : largest;
  for (const double weight : weights)
    if (weight != 0 && weight != largest) return 0;
  return largest;
}

template <class T>
Sum weighted_bce_as(const Entries& e, const WeightedBceOptions& o, int64_t begin, int64_t end) {
  using W = WideOf<T>;
  const WeightedBce<W> f{W(o.positive_a), W(o.positive_b), W(o.unknown_a), W(o.unknown_b),
                         W(o.negative_a), W(o.negative_b), W(o.eps)};
  const auto soft = [f](W x, W z) __attribute__((always_inline)) { return weighted_bce_soft(x, z, f); };
  const double weight = common_weight(o);
  if (one_sided(o) && weight > 0 && e.loss.data == nullptr && o.eps >= kLeastFactor) {
    const auto factor = [f](W x, W z) __attribute__((always_inline)) {
      const OneSided<W> s = one_sided_bce(x, z, f);
      return Term<W>{choose(s.weight > 0, s.arg, 1 + 0 * s.arg), s.gradient};  // a NaN stays one
    };
    return elementwise<T>(e, begin, end, true, factor, soft, Nothing{}, -weight);
  }
  return elementwise<T>(
      e, begin, end, one_sided(o),
      [f](W x, W z) __attribute__((always_inline)) { return weighted_bce_hard(x, z, f); }, soft);
}

Sum weighted_bce(const Entries& e, const WeightedBceOptions& o, int64_t begin, int64_t end) {
  return e.wide ? weighted_bce_as<double>(e, o, begin, end) : weighted_bce_as<float>(e, o, begin, end);
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
void epr_run(const Coupled& c, const Run& run, CoupledSum& sum) {
  T x_block[kBlock], z_block[kBlock], loss[kBlock];
  using W = WideOf<T>;
  const W eps = c.eps;
  for (int64_t offset = run.begin; offset < run.end; offset += kBlock) {
    const int n = static_cast<int>(run.end - offset < kBlock ? run.end - offset : kBlock);
    const Ahead<T> logits(c.logits, offset, n), observed(c.observed, offset, n);
    const T* __restrict x = load(c.logits, offset, n, x_block);
    const T* __restrict z = load(c.observed, offset, n, z_block);
    const LabelKinds kinds = inspect(c.observed, offset, n, z);
    sum.bad_label |= kinds.bad;
    Tally<T> probability_sum;
    if (kinds.hard && c.eps >= kLeastFactor) {
      for (int i = 0; i < n; i += kLanes<T>) {
        logits.ask(i);
        observed.ask(i);
        const W own = probability(load_lanes(x + i));
        probability_sum.add(i, n, own);
        store_lanes(loss + i, choose(load_lanes(z + i) > 0, own + eps, W(1)));
      }
      sum.loss -= log_of_product(loss, n);
    } else {
      for (int i = 0; i < n; i += kLanes<T>) {
        logits.ask(i);
        observed.ask(i);
        const W own = probability(load_lanes(x + i)), label = load_lanes(z + i);
        probability_sum.add(i, n, own);
        store_lanes(loss + i, -choose(label > 0, label, W(0)) * log_positive(own + eps));
      }
      sum.loss += block_sum(loss, n);
    }
    sum.probability += probability_sum.total(n);
  }
}

template <class T, class Side>
void role_run(const Coupled& c, const Run& run, CoupledSum& sum, Side side) {
  using W = WideOf<T>;
  T x_block[kBlock], z_block[kBlock], e_block[kBlock], loss[kBlock], factors[kBlock];
  for (int64_t offset = run.begin; offset < run.end; offset += kBlock) {
    const int n = static_cast<int>(run.end - offset < kBlock ? run.end - offset : kBlock);
    const int64_t estimate_at = run.estimate_begin + (offset - run.begin);
    const Ahead<T> logits(c.logits, offset, n), observed(c.observed, offset, n), estimate(c.estimate, estimate_at, n);
    const T* __restrict x = load(c.logits, offset, n, x_block);
    const T* __restrict z = load(c.observed, offset, n, z_block);
    const T* __restrict e = load(c.estimate, estimate_at, n, e_block);
    const LabelKinds kinds = inspect(c.observed, offset, n, z);
    sum.bad_label |= kinds.bad;
    Tally<T> loss_sum, probability_sum, estimate_sum;
    for (int i = 0; i < n; i += kLanes<T>) {
      logits.ask(i);
      observed.ask(i);
      estimate.ask(i);
      const RoleSide<W> s = side(load_lanes(x + i)), t = side(load_lanes(e + i));
      const W label = load_lanes(z + i), positive = choose(label > 0, label, W(0));
      loss_sum.add(i, n, role_side(s, positive, t.p) + role_side(t, positive, s.p));
      probability_sum.add(i, n, s.p);
      estimate_sum.add(i, n, t.p);
      store_lanes(factors + i, s.sum * t.sum);
    }
    sum.loss += loss_sum.total(n);
    sum.probability += probability_sum.total(n);
    sum.estimate += estimate_sum.total(n);
    if (kinds.hard) {
      for (int i = 0; i < n; ++i) factors[i] = z[i] > 0 ? factors[i] * factors[i] : factors[i];
      sum.loss += log_of_product(factors, n);
    } else {
      for (int i = 0; i < n; i += kLanes<T>) {
        const W label = load_lanes(z + i);
        store_lanes(loss + i, choose(label > 0, 1 + label, W(1)) * log_positive(load_lanes(factors + i)));
      }
      sum.loss += block_sum(loss, n);
    }
  }
}

template <class T>
void coupled_run(const Coupled& c, const Run& run, CoupledSum& sum) {
  using W = WideOf<T>;
  const W eps = c.eps;
  if (c.estimate.data == nullptr)
    epr_run<T>(c, run, sum);
  else if (near_one<T>(c.eps))
    role_run<T>(c, run, sum, [eps](W x) __attribute__((always_inline)) { return role_side_of<true>(x, eps); });
  else
    role_run<T>(c, run, sum, [eps](W x) __attribute__((always_inline)) { return role_side_of<false>(x, eps); });
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

template <bool NEAR, class T>
void coupled_gradient_run(const Coupled& c, const Run& run) {
  T x_block[kBlock], z_block[kBlock], e_block[kBlock], gradient_block[kBlock], estimate_block[kBlock];
  using W = WideOf<T>;
  const W eps = c.eps, scale = c.scale, coupling = c.coupling, estimate_coupling = c.estimate_coupling;
  for (int64_t offset = run.begin; offset < run.end; offset += kBlock) {
    const int n = static_cast<int>(run.end - offset < kBlock ? run.end - offset : kBlock);
    const Ahead<T> logits(c.logits, offset, n), observed(c.observed, offset, n);
    const T* __restrict x = load(c.logits, offset, n, x_block);
    const T* __restrict z = load(c.observed, offset, n, z_block);
    T* __restrict const gradient = in_place(c.logits_gradient, offset, n, gradient_block);
    if (c.estimate.data == nullptr) {
      for (int i = 0; i < n; i += kLanes<T>) {
        logits.ask(i);
        observed.ask(i);
        const LogSlopes<W> s = slopes_of_p<NEAR>(load_lanes(x + i), eps);
        const W label = load_lanes(z + i);
        store_lanes(gradient + i, coupling * s.slope - scale * (choose(label > 0, label, W(0)) * s.of_p));
      }
    } else {
      const int64_t estimate_at = run.estimate_begin + (offset - run.begin);
      const Ahead<T> estimate(c.estimate, estimate_at, n);
      const T* __restrict e = load(c.estimate, estimate_at, n, e_block);
      T* __restrict const estimate_gradient = in_place(c.estimate_gradient, offset, n, estimate_block);
      for (int i = 0; i < n; i += kLanes<T>) {
        logits.ask(i);
        observed.ask(i);
        estimate.ask(i);
        const LogSlopes<W> s = log_slopes<NEAR>(load_lanes(x + i), eps), t = log_slopes<NEAR>(load_lanes(e + i), eps);
        const W label = load_lanes(z + i), positive = choose(label > 0, label, W(0));
        store_lanes(gradient + i, role_gradient(s, positive, t.p, scale, coupling));
        store_lanes(estimate_gradient + i, role_gradient(t, positive, s.p, scale, estimate_coupling));
      }
      if (estimate_gradient == estimate_block) store(c.estimate_gradient, offset, n, estimate_block, T(1));
    }
    if (gradient == gradient_block) store(c.logits_gradient, offset, n, gradient_block, T(1));
  }
}

template <class T>
void coupled_gradient(const Coupled& c, const Run& run) {
  if (near_one<T>(c.eps))
    coupled_gradient_run<true, T>(c, run);
  else
    coupled_gradient_run<false, T>(c, run);
}

void coupled_backward(const Coupled& c, int64_t begin_row, int64_t end_row) {
  for_each_run(c, begin_row, end_row, [&](const Run& run) {
    if (c.wide)
      coupled_gradient<double>(c, run);
    else
      coupled_gradient<float>(c, run);
  });
}

// ---- in-place scaling of a gradient

template <class T>
void scale_as(MutableView view, double factor, int64_t begin, int64_t end) {
  T block[kBlock];
  for (int64_t offset = begin; offset < end; offset += kBlock) {
    const int n = static_cast<int>(end - offset < kBlock ? end - offset : kBlock);
    const T* values = load_asking(View{view.data, view.type}, offset, n, block);
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
