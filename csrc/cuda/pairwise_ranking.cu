// The pairwise ranking hinge on CUDA: one block an image, two passes over its row (see mlcfast/ops/label_bce/triton.py). A row of
// up to kShort labels has one warp: of 80 labels in fp32, 20 threads work.
#include "device.cuh"
#include "pack.cuh"

namespace mlcfast::gpu {
namespace {

constexpr int64_t kShort = 512;

template <int Threads, class X, class Y, class T>
__global__ void __launch_bounds__(Threads) pairwise_kernel(const X* __restrict__ logits, const Y* __restrict__ labels,
                                X* __restrict__ gradient, T* __restrict__ partial, T gradient_scale, int64_t K, bool packed) {
  const Span<kPackOf<X>> row(blockIdx.x * K, blockIdx.x * K + K, packed);
  T positives = 0, own = 0, other = 0;
  over_entries<Threads>(row, [&]<int N>(int64_t at) {
    const Pack<X, N> x = read<N>(logits + at);
    const Pack<Y, N> z = read<N>(labels + at);
    T of_positives[N], of_own[N], of_other[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const T label = widen<T>(z.at[i]);
      const Sigmoid<T> s = sigmoid(widen<T>(x.at[i]));
      of_positives[i] = label > 0 ? T(1) : T(0);
      of_own[i] = label > 0 ? s.not_p : T(0);
      of_other[i] = outside(label) ? not_a_number<T>() : label > 0 ? T(0) : s.p;
    }
    positives += pairwise_sum<N>(of_positives);
    own += pairwise_sum<N>(of_own);
    other += pairwise_sum<N>(of_other);
  });
  __shared__ T P, Q;
  using Sum = Accumulated<T>;
  const double positives_total = block_total<Threads>(Sum::of(positives)), own_total = block_total<Threads>(Sum::of(own));
  const double other_total = block_total<Threads>(Sum::of(other));
  if (threadIdx.x == 0) {
    const double others_total = static_cast<double>(K) - positives_total;
    P = static_cast<T>(positives_total);
    Q = static_cast<T>(others_total);
    partial[blockIdx.x] = static_cast<T>(others_total * own_total + positives_total * other_total);
  }
  __syncthreads();
  if (gradient == nullptr) return;
  const T of_positive = -Q, of_other = P;
  over_entries<Threads>(row, [&]<int N>(int64_t at) {
    const Pack<X, N> x = read<N>(logits + at);
    const Pack<Y, N> z = read<N>(labels + at);
    Pack<X, N> gradients;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const Sigmoid<T> s = sigmoid(widen<T>(x.at[i]));
      const T side = widen<T>(z.at[i]) > 0 ? of_positive : of_other;
      put(&gradients.at[i], side * (s.p * s.not_p) * gradient_scale);
    }
    write(gradient + at, gradients);
  });
}

}  // namespace

void pairwise_ranking(const Elementwise& e, int64_t rows, cudaStream_t stream) {
  const Entries& in = e.entries;
  const bool packed = aligned({in.logits.data, in.labels.data, in.gradient.data});
  over_types(in.logits.type, in.labels.type, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    const int threads = e.K <= kShort ? 32 : kThreads;
    const auto kernel = e.K <= kShort ? &pairwise_kernel<32, X, Y, T> : &pairwise_kernel<kThreads, X, Y, T>;
    kernel<<<rows, threads, 0, stream>>>(
        static_cast<const X*>(in.logits.data), static_cast<const Y*>(in.labels.data), static_cast<X*>(in.gradient.data),
        static_cast<T*>(e.partial), static_cast<T>(in.gradient_scale), e.K, packed);
  });
}

}  // namespace mlcfast::gpu
