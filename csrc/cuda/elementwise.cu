// The elementwise losses on CUDA: one read of logits and labels, one write of the gradient, a partial loss a block.
#include "device.cuh"

namespace mlcfast::gpu {

int64_t blocks_for(int64_t count) { return (count + kBlockEntries - 1) / kBlockEntries; }

namespace {

template <class T>
struct AsymmetricFormula {
  Asymmetric<T> f;
  bool integer;
  __device__ Term<T> operator()(T x, T y) const {
    return integer && (y == 0 || y == 1 || y == -1) ? asymmetric_hard(x, y, f) : asymmetric_soft(x, y, f);
  }
};

template <class T>
struct WeightedBceFormula {
  WeightedBce<T> f;
  __device__ Term<T> operator()(T x, T z) const { return weighted_bce_soft(x, z, f); }
};

template <class X, class Y, class T, class Formula>
__global__ void __launch_bounds__(kThreads) elementwise_kernel(const X* __restrict__ logits, const Y* __restrict__ labels, const Y* __restrict__ truth,
                                   T* loss, X* gradient, T* partial, T loss_scale, T gradient_scale, int64_t count,
                                   Formula formula) {
  const int64_t begin = blockIdx.x * kBlockEntries + threadIdx.x;
  double sum = 0;
#pragma unroll 4
  for (int step = 0; step < kEntriesOfThread; ++step) {
    const int64_t at = begin + static_cast<int64_t>(step) * kThreads;
    if (at >= count) break;
    T z = widen<T>(labels[at]);
    const bool bad = outside(z);
    if (truth != nullptr && !(z > 0)) z = widen<T>(truth[at]) <= 0 ? T(-1) : T(0);
    Term<T> term = formula(widen<T>(logits[at]), z);
    if (bad) term = {not_a_number<T>(), not_a_number<T>()};
    if (loss != nullptr) loss[at] = term.loss * loss_scale;
    if (gradient != nullptr) put(gradient + at, term.gradient * gradient_scale);
    sum += term.loss;
  }
  sum = block_total(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = static_cast<T>(sum);
}

template <class T>
__global__ void __launch_bounds__(kThreads) total_kernel(const T* partial, int64_t count, T* total, double scale) {
  double sum = 0;
  for (int64_t at = threadIdx.x; at < count; at += kThreads) sum += partial[at];
  sum = block_total(sum);
  if (threadIdx.x == 0) *total = static_cast<T>(sum * scale);
}

template <class X>
__global__ void __launch_bounds__(kThreads) rescale_kernel(X* gradient, const typename Arithmetic<X>::type* incoming, double factor, int64_t count) {
  using T = typename Arithmetic<X>::type;
  const T scale = static_cast<T>(*incoming * factor);
  if (scale == T(1)) return;
  for (int step = 0; step < kEntriesOfThread; ++step) {
    const int64_t at = blockIdx.x * kBlockEntries + static_cast<int64_t>(step) * kThreads + threadIdx.x;
    if (at < count) put(gradient + at, widen<T>(gradient[at]) * scale);
  }
}

template <class MakeFormula>
void launch(const Elementwise& e, cudaStream_t stream, MakeFormula make) {
  over_types(e.entries.logits.type, e.entries.labels.type, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    elementwise_kernel<<<blocks_for(e.count), kThreads, 0, stream>>>(
        static_cast<const X*>(e.entries.logits.data), static_cast<const Y*>(e.entries.labels.data),
        static_cast<const Y*>(e.entries.true_labels.data), static_cast<T*>(e.entries.loss.data),
        static_cast<X*>(e.entries.gradient.data), static_cast<T*>(e.partial), static_cast<T>(e.entries.loss_scale),
        static_cast<T>(e.entries.gradient_scale), e.count, make.template operator()<T>());
  });
}

}  // namespace

void asymmetric(const Elementwise& e, const AsymmetricOptions& o, cudaStream_t stream) {
  launch(e, stream, [&]<class T>() {
    const bool integer = small_integer(o.gamma_neg) && small_integer(o.gamma_pos);
    return AsymmetricFormula<T>{make_asymmetric<T>(o.gamma_neg, o.gamma_pos, o.clip, o.eps, o.detach), integer};
  });
}

void weighted_bce(const Elementwise& e, const WeightedBceOptions& o, cudaStream_t stream) {
  launch(e, stream, [&]<class T>() {
    return WeightedBceFormula<T>{{T(o.positive_a), T(o.positive_b), T(o.unknown_a), T(o.unknown_b), T(o.negative_a),
                                  T(o.negative_b), T(o.eps)}};
  });
}

void sum_partials(const void* partial, int64_t count, void* total, bool wide, double scale, cudaStream_t stream) {
  if (wide)
    total_kernel<<<1, kThreads, 0, stream>>>(static_cast<const double*>(partial), count, static_cast<double*>(total), scale);
  else
    total_kernel<<<1, kThreads, 0, stream>>>(static_cast<const float*>(partial), count, static_cast<float*>(total), scale);
}

void rescale(MutableView gradient, const void* incoming, double factor, int64_t count, cudaStream_t stream) {
  over_types(gradient.type, Type::u8, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    rescale_kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<X*>(gradient.data),
                                                                static_cast<const T*>(incoming), factor, count);
  });
}

}  // namespace mlcfast::gpu
