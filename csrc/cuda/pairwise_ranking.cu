// The pairwise ranking hinge on CUDA: one block an image, two passes over its row (see mlcfast/ops/label_bce/triton.py).
#include "device.cuh"

namespace mlcfast::gpu {
namespace {

template <class X, class Y, class T>
__global__ void __launch_bounds__(kThreads) pairwise_kernel(const X* __restrict__ logits, const Y* __restrict__ labels, X* gradient, T* partial,
                                T gradient_scale, int64_t K) {
  const X* x = logits + blockIdx.x * K;
  const Y* z = labels + blockIdx.x * K;
  T positives = 0, own = 0, other = 0;
  for (int64_t at = threadIdx.x; at < K; at += kThreads) {
    const T label = widen<T>(z[at]);
    const Sigmoid<T> s = sigmoid(widen<T>(x[at]));
    positives += label > 0 ? T(1) : T(0);
    own += label > 0 ? s.not_p : T(0);
    other += outside(label) ? not_a_number<T>() : label > 0 ? T(0) : s.p;
  }
  __shared__ T P, Q;
  using Sum = Accumulated<T>;
  const double positives_total = block_total(Sum::of(positives)), own_total = block_total(Sum::of(own));
  const double other_total = block_total(Sum::of(other));
  if (threadIdx.x == 0) {
    const double others_total = static_cast<double>(K) - positives_total;
    P = static_cast<T>(positives_total);
    Q = static_cast<T>(others_total);
    partial[blockIdx.x] = static_cast<T>(others_total * own_total + positives_total * other_total);
  }
  __syncthreads();
  if (gradient == nullptr) return;
  for (int64_t at = threadIdx.x; at < K; at += kThreads) {
    const Sigmoid<T> s = sigmoid(widen<T>(x[at]));
    const T side = widen<T>(z[at]) > 0 ? -Q : P;
    put(gradient + blockIdx.x * K + at, side * (s.p * s.not_p) * gradient_scale);
  }
}

}  // namespace

void pairwise_ranking(const Elementwise& e, int64_t rows, cudaStream_t stream) {
  over_types(e.entries.logits.type, e.entries.labels.type, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    pairwise_kernel<<<rows, kThreads, 0, stream>>>(
        static_cast<const X*>(e.entries.logits.data), static_cast<const Y*>(e.entries.labels.data),
        static_cast<X*>(e.entries.gradient.data), static_cast<T*>(e.partial), static_cast<T>(e.entries.gradient_scale),
        e.K);
  });
}

}  // namespace mlcfast::gpu
