// The elementwise losses on CUDA: one read of logits and labels, one write of the gradient, a partial loss a block.
#include <type_traits>

#include "device.cuh"
#include "pack.cuh"

namespace mlcfast::gpu {
namespace {

// Labels of integer types are −1, 0 or 1, or refused: with integer exponents no soft label is compiled for them.
template <class T>
struct HardAsymmetric {
  static constexpr bool kTruth = false;
  Asymmetric<T> f;
  __device__ Term<T> operator()(T x, T y) const { return asymmetric_hard(x, y, f); }
};

template <class T>
struct SoftAsymmetric {
  static constexpr bool kTruth = false;
  Asymmetric<T> f;
  __device__ Term<T> operator()(T x, T y) const { return asymmetric_soft(x, y, f); }
};

// Floating labels, of which most are hard.
template <class T>
struct AnyAsymmetric {
  static constexpr bool kTruth = false;
  Asymmetric<T> f;
  bool integer;
  __device__ Term<T> operator()(T x, T y) const {
    return integer && (y == 0 || y == 1 || y == -1) ? asymmetric_hard(x, y, f) : asymmetric_soft(x, y, f);
  }
};

template <class T, bool kHard, bool kWithTruth>
struct WeightedBceFormula {
  static constexpr bool kTruth = kWithTruth;
  WeightedBce<T> f;
  __device__ Term<T> operator()(T x, T z) const {
    if constexpr (kHard) return weighted_bce_kinds(x, z, f);
    return weighted_bce_soft(x, z, f);
  }
};

template <class X, class Y, class T, class Formula>
__global__ void __launch_bounds__(kThreads) elementwise_kernel(const X* __restrict__ logits, const Y* __restrict__ labels,
                                   const Y* __restrict__ truth, T* __restrict__ loss, X* __restrict__ gradient,
                                   T* __restrict__ partial, T loss_scale, T gradient_scale, int64_t block_entries,
                                   int64_t count, bool packed, Formula formula) {
  const Range range(block_entries, count);
  auto sum = Accumulated<T>::of(0);
  over_entries(Span<kPackOf<X>>(range.begin, range.end, packed), [&]<int N>(int64_t at) {
    const Pack<X, N> x = read<N>(logits + at);
    const Pack<Y, N> y = read<N>(labels + at);
    Pack<Y, N> true_y{};
    if constexpr (Formula::kTruth) true_y = read<N>(truth + at);
    Pack<T, N> losses;
    Pack<X, N> gradients;
    T terms[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      T z = widen<T>(y.at[i]);
      const bool bad = outside(z);
      if (Formula::kTruth && !(z > 0)) z = widen<T>(true_y.at[i]) <= 0 ? T(-1) : T(0);
      Term<T> term = formula(widen<T>(x.at[i]), z);
      if (bad) term = {not_a_number<T>(), not_a_number<T>()};
      losses.at[i] = term.loss * loss_scale;
      put(&gradients.at[i], term.gradient * gradient_scale);
      terms[i] = term.loss;
    }
    if (loss != nullptr) write(loss + at, losses);
    if (gradient != nullptr) write(gradient + at, gradients);
    sum = sum_of(sum, Accumulated<T>::of(pairwise_sum<N>(terms)));
  });
  const double total = block_total(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = static_cast<T>(total);
}

template <class T>
__global__ void __launch_bounds__(kThreads) total_kernel(const T* partial, int64_t count, T* total, double scale) {
  double sum = 0;
  for (int64_t at = threadIdx.x; at < count; at += kThreads) sum += partial[at];
  sum = block_total(sum);
  if (threadIdx.x == 0) *total = static_cast<T>(sum * scale);
}

template <class X>
__global__ void __launch_bounds__(kThreads) rescale_kernel(X* gradient, const typename Arithmetic<X>::type* incoming,
                                   typename Arithmetic<X>::type factor, int64_t block_entries, int64_t count, bool packed) {
  using T = typename Arithmetic<X>::type;
  const T scale = *incoming * factor;
  if (scale == T(1)) return;
  const Range range(block_entries, count);
  over_entries(Span<kPackOf<X>>(range.begin, range.end, packed), [&]<int N>(int64_t at) {
    Pack<X, N> pack = read<N>(gradient + at);
#pragma unroll
    for (int i = 0; i < N; ++i) put(&pack.at[i], widen<T>(pack.at[i]) * scale);
    write(gradient + at, pack);
  });
}

// make.template operator()<T, kHard>() is the formula.
template <class MakeFormula>
void launch(const Elementwise& e, cudaStream_t stream, MakeFormula make) {
  const Entries& in = e.entries;
  const bool packed = aligned({in.logits.data, in.labels.data, in.true_labels.data, in.loss.data, in.gradient.data});
  over_types(in.logits.type, in.labels.type, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    const auto formula = make.template operator()<T, std::is_integral_v<Y>>();
    const auto kernel = elementwise_kernel<X, Y, T, std::remove_const_t<decltype(formula)>>;
    kernel<<<blocks_for(e.count), kThreads, 0, stream>>>(
        static_cast<const X*>(in.logits.data), static_cast<const Y*>(in.labels.data),
        static_cast<const Y*>(in.true_labels.data), static_cast<T*>(in.loss.data), static_cast<X*>(in.gradient.data),
        static_cast<T*>(e.partial), static_cast<T>(in.loss_scale), static_cast<T>(in.gradient_scale),
        block_entries(e.count), e.count, packed, formula);
  });
}

template <bool kInteger>
void launch_asymmetric(const Elementwise& e, const AsymmetricOptions& o, cudaStream_t stream) {
  launch(e, stream, [&]<class T, bool kHard>() {
    const Asymmetric<T> f = make_asymmetric<T>(o);
    if constexpr (!kHard)
      return AnyAsymmetric<T>{f, kInteger};
    else if constexpr (kInteger)
      return HardAsymmetric<T>{f};
    else
      return SoftAsymmetric<T>{f};
  });
}

template <bool kTruth>
void launch_weighted_bce(const Elementwise& e, const WeightedBceOptions& o, cudaStream_t stream) {
  launch(e, stream, [&]<class T, bool kHard>() {
    return WeightedBceFormula<T, kHard, kTruth>{{T(o.positive_a), T(o.positive_b), T(o.unknown_a), T(o.unknown_b),
                                                 T(o.negative_a), T(o.negative_b), T(o.eps)}};
  });
}

}  // namespace

int asymmetric_option_count() { return kAsymmetricOptions; }

void asymmetric(const Elementwise& e, const double* options, cudaStream_t stream) {
  const AsymmetricOptions o = asymmetric_options(options);
  integer_exponents(o) ? launch_asymmetric<true>(e, o, stream) : launch_asymmetric<false>(e, o, stream);
}

void weighted_bce(const Elementwise& e, const WeightedBceOptions& o, cudaStream_t stream) {
  e.entries.true_labels.data != nullptr ? launch_weighted_bce<true>(e, o, stream) : launch_weighted_bce<false>(e, o, stream);
}

void sum_partials(const void* partial, int64_t count, void* total, bool wide, double scale, cudaStream_t stream) {
  if (wide)
    total_kernel<<<1, kThreads, 0, stream>>>(static_cast<const double*>(partial), count, static_cast<double*>(total), scale);
  else
    total_kernel<<<1, kThreads, 0, stream>>>(static_cast<const float*>(partial), count, static_cast<float*>(total), scale);
}

void rescale(MutableView gradient, const void* incoming, double factor, int64_t count, cudaStream_t stream) {
  const bool packed = aligned({gradient.data});
  over_types(gradient.type, Type::u8, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    const auto kernel = rescale_kernel<X>;
    kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<X*>(gradient.data), static_cast<const T*>(incoming),
                                                        static_cast<T>(factor), block_entries(count), count, packed);
  });
}

}  // namespace mlcfast::gpu
