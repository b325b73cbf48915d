// The loops of the losses that are told by a formula's number, with optional weights of their entries. Compiled once for each
// instruction set, as kernels.cpp is.

#include "blocks.h"
#include "convert.h"
#include "kernels.h"
#include "vector_math.h"

#include "../label_formulas.h"

namespace mlcfast {
namespace MLCFAST_ISA {

Sum row_loss(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end);  // row_kernels.cpp

namespace {

// The weights of a block's entries: label k of entry i is (offset + i) mod K.
template <class T>
const T* spread(const View& weights, int64_t K, int64_t offset, int n, T* __restrict block) {
  const T* const source = static_cast<const T*>(weights.data);
  int64_t k = offset % K;
  if (k + n <= K) return source + k;
  for (int i = 0; i < n; k = 0) {
    const int run = static_cast<int>(n - i < K - k ? n - i : K - k);
    std::memcpy(block + i, source + k, sizeof(T) * run);
    i += run;
  }
  return block;
}

struct Weigh {
  const LabelLossOptions& o;

  template <class T>
  void operator()(int64_t offset, int n, const T* __restrict z, T* __restrict loss, T* __restrict gradient) const {
    if (o.positive_weight.data == nullptr) return;
    T positive_block[kBlock], other_block[kBlock];
    const T* __restrict positive = spread(o.positive_weight, o.K, offset, n, positive_block);
    const T* __restrict other = spread(o.other_weight, o.K, offset, n, other_block);
    for (int i = 0; i < n; ++i) {
      const T weight = other[i] + (z[i] > 0 ? z[i] : T(0)) * (positive[i] - other[i]);
      loss[i] *= weight;
      gradient[i] *= weight;
    }
  }
};

template <class T, class Each>
Sum run(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end, Each each) {
  return elementwise<T>(e, begin, end, false, each, each, Weigh{o});
}

template <class T, class Hard, class Soft>
Sum run(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end, bool hard_allowed, Hard hard, Soft soft) {
  return elementwise<T>(e, begin, end, hard_allowed, hard, soft, Weigh{o});
}

template <class T>
Sum entropy_as(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  using W = WideOf<T>;
  const Entropy<W> f{W(o.values[0]), W(o.values[1]), W(o.values[2] > 0 ? -1 : 0)};
  return run<T>(e, o, begin, end, [f](W x, W z) __attribute__((always_inline)) { return entropy(x, z, f); });
}

template <int EXPONENT, class T>
Sum hill_as(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  using W = WideOf<T>;
  const Hill<W> f{W(o.values[0]), W(o.values[1]), W(o.values[2])};
  return run<T>(e, o, begin, end, [f](W x, W z) __attribute__((always_inline)) { return hill<EXPONENT>(x, z, f); });
}

template <int EXPONENT, class T>
Sum focal_as(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  const double* v = o.values;
  using W = WideOf<T>;
  const Focal<W> f{W(v[0]), W(v[1]), W(v[2]), W(v[3]), W(v[4]), W(v[5])};
  return run<T>(e, o, begin, end, [f](W x, W z) __attribute__((always_inline)) { return focal<EXPONENT>(x, z, f); });
}

template <class T>
Sum robust_as(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  const double* v = o.values;
  using W = WideOf<T>;
  const Robust<W> f{W(v[0]), W(v[1]), W(v[2]), W(1 / v[3]), W(v[4]), W(1 / v[4]), W(v[5]), W(1 / v[5])};
  if (v[5] == 1)
    return run<T>(e, o, begin, end, [f](W x, W z) __attribute__((always_inline)) { return robust<true>(x, z, f); });
  return run<T>(e, o, begin, end, [f](W x, W z) __attribute__((always_inline)) { return robust<false>(x, z, f); });
}

template <class T>
Sum large_as(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  using W = WideOf<T>;
  const Large<W> f{W(o.threshold), W(o.values[0])};
  return run<T>(e, o, begin, end, [f](W x, W z) __attribute__((always_inline)) { return large(x, z, f); });
}

template <class T>
Sum weighed_asymmetric(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  const AsymmetricOptions options = asymmetric_options(o.values);
  using W = WideOf<T>;
  const Asymmetric<W> f = make_asymmetric<W>(options);
  return run<T>(
      e, o, begin, end, integer_exponents(options),
      [f](W x, W y) __attribute__((always_inline)) { return asymmetric_hard(x, y, f); },
      [f](W x, W y) __attribute__((always_inline)) { return asymmetric_soft(x, y, f); });
}

template <class T>
Sum weighed_bce(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  const double* v = o.values;
  using W = WideOf<T>;
  const WeightedBce<W> f{W(v[0]), W(v[1]), W(v[2]), W(v[3]), W(v[4]), W(v[5]), W(v[6])};
  return run<T>(
      e, o, begin, end, v[0] * v[1] == 0 && v[2] * v[3] == 0 && v[4] * v[5] == 0,
      [f](W x, W z) __attribute__((always_inline)) { return weighted_bce_hard(x, z, f); },
      [f](W x, W z) __attribute__((always_inline)) { return weighted_bce_soft(x, z, f); });
}

// The exponents that are products, 0 to 4, have a loop of their own.
template <class T, template <int, class> class Loop>
Sum by_exponent(double gamma, const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  if (gamma == 0) return Loop<0, T>::call(e, o, begin, end);
  if (gamma == 1) return Loop<1, T>::call(e, o, begin, end);
  if (gamma == 2) return Loop<2, T>::call(e, o, begin, end);
  if (gamma == 3) return Loop<3, T>::call(e, o, begin, end);
  if (gamma == 4) return Loop<4, T>::call(e, o, begin, end);
  return Loop<-1, T>::call(e, o, begin, end);
}

template <int EXPONENT, class T>
struct HillLoop {
  static Sum call(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
    return hill_as<EXPONENT, T>(e, o, begin, end);
  }
};

template <int EXPONENT, class T>
struct FocalLoop {
  static Sum call(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
    return focal_as<EXPONENT, T>(e, o, begin, end);
  }
};

template <class T>
Sum label_loss_as(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  switch (o.formula) {
    case Formula::entropy: return entropy_as<T>(e, o, begin, end);
    case Formula::hill: return by_exponent<T, HillLoop>(o.values[2], e, o, begin, end);
    case Formula::focal: return by_exponent<T, FocalLoop>(o.values[0], e, o, begin, end);
    case Formula::robust: return robust_as<T>(e, o, begin, end);
    case Formula::large: return large_as<T>(e, o, begin, end);
    case Formula::asymmetric: return weighed_asymmetric<T>(e, o, begin, end);
    case Formula::weighted_bce: return weighed_bce<T>(e, o, begin, end);
    case Formula::balanced:
    case Formula::zlpr:
    case Formula::two_way: break;  // row_kernels.cpp
  }
  return {};
}

constexpr int kOptionsOf[kFormulas] = {3, 3, 6, 6, 2, kAsymmetricOptions, 7, 6, 1, 4};

constexpr int kLane = 16;

// Unknown entries of a block whose logit is not below `least`, a NaN among them, appended to `found`.
int64_t collect_block(const float* __restrict x, const float* __restrict z, int n, float least, float* __restrict found) {
  int64_t count = 0;
  for (int first = 0; first < n; first += kLane) {
    int any = 0;
    if (first + kLane <= n) {
      for (int j = 0; j < kLane; ++j) any |= (z[first + j] == 0) & !(x[first + j] < least);
      if (any == 0) continue;
    }
    for (int i = first; i < n && i < first + kLane; ++i)
      if (z[i] == 0 && !(x[i] < least)) found[count++] = x[i];
  }
  return count;
}

}  // namespace

int64_t collect_unknown(const View& logits, const View& labels, int64_t begin, int64_t end, float least, float* found) {
  float x_block[kBlock], z_block[kBlock];
  int64_t count = 0;
  for (int64_t offset = begin; offset < end; offset += kBlock) {
    const int n = static_cast<int>(end - offset < kBlock ? end - offset : kBlock);
    const float* x = load_asking(logits, offset, n, x_block);
    const float* z = load_asking(labels, offset, n, z_block);
    count += collect_block(x, z, n, least, found + count);
  }
  return count;
}

int options_of(Formula formula) { return kOptionsOf[static_cast<int>(formula)]; }

Sum label_loss(const Entries& e, const LabelLossOptions& o, int64_t begin, int64_t end) {
  if (by_rows(o.formula)) return row_loss(e, o, begin, end);
  return e.wide ? label_loss_as<double>(e, o, begin, end) : label_loss_as<float>(e, o, begin, end);
}

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
