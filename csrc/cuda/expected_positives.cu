// EPR and ROLE on CUDA: a pass for the sums, one block to finish the loss, and a pass for the gradients in backward. An
// index outside the table and a label outside [−1, 1] make the loss and the entry's gradient NaN.
#include "device.cuh"
#include "estimates.cuh"
#include "pack.cuh"

namespace mlcfast::gpu {
namespace {

template <int N, class T>
struct Inputs {
  Sigmoid<T> classifier[N], estimate[N]{};
  T positive[N];
  bool bad[N];
};

template <From kFrom, int N, class X, class Y, class T, class Where>
__device__ __forceinline__ Inputs<N, T> read_inputs(const X* logits, const Y* observed, const T* estimate, const Where& where,
                                                    int64_t at) {
  const Pack<X, N> x = read<N>(logits + at);
  const Pack<Y, N> labels = read<N>(observed + at);
  Estimates<N, T> estimates;
  if constexpr (kFrom != From::nowhere) estimates = read_estimates<N>(estimate, where, at);
  Inputs<N, T> in;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const T z = widen<T>(labels.at[i]);
    in.positive[i] = z > 0 ? z : T(0);
    in.bad[i] = outside(z);
    in.classifier[i] = sigmoid(widen<T>(x.at[i]));
    if constexpr (kFrom != From::nowhere) {
      in.estimate[i] = sigmoid(estimates.logits.at[i]);
      in.bad[i] |= estimates.unknown[i];
    }
  }
  return in;
}

template <From kFrom, class X, class Y, class T>
__global__ void __launch_bounds__(kThreads) sums_kernel(const X* __restrict__ logits, const Y* __restrict__ observed,
                            const T* __restrict__ estimate, Table table, T* __restrict__ partial, T eps,
                            int64_t block_entries, int64_t count, bool packed) {
  constexpr bool kRole = kFrom != From::nowhere;
  const Range range(block_entries, count);
  T loss = 0, f = 0, y = 0;
  over_entries(
      Span<kPackOf<X>>(range.begin, range.end, packed), [&](int64_t at) { return place_of<kFrom>(table, at); },
      [&]<int N>(int64_t at, const auto& place) {
        const Inputs<N, T> in = read_inputs<kFrom, N>(logits, observed, estimate, place, at);
        T losses[N], probabilities[N];
        [[maybe_unused]] T estimates[N];
#pragma unroll
        for (int i = 0; i < N; ++i) {
          const Sigmoid<T> s = in.classifier[i], t = in.estimate[i];
          if constexpr (kRole)
            losses[i] = role_side_loss(s, in.positive[i], t.p, eps) + role_side_loss(t, in.positive[i], s.p, eps);
          else
            losses[i] = -in.positive[i] * log_positive(s.p + eps);
          if (in.bad[i]) losses[i] = not_a_number<T>();
          probabilities[i] = s.p;
          if constexpr (kRole) estimates[i] = t.p;
        }
        loss += pairwise_sum<N>(losses);
        f += pairwise_sum<N>(probabilities);
        if constexpr (kRole) y += pairwise_sum<N>(estimates);
      });
  using Sum = Accumulated<T>;
  const double sums[3] = {block_total(Sum::of(loss)), block_total(Sum::of(f)), kRole ? block_total(Sum::of(y)) : 0};
  for (int i = 0; threadIdx.x == 0 && i < 3; ++i) partial[i * gridDim.x + blockIdx.x] = static_cast<T>(sums[i]);
}

template <class T>
__global__ void __launch_bounds__(kThreads) finish_kernel(const T* partial, int64_t blocks, const T* given, T* loss, T* statistic, bool role,
                              double expected, double weight, double K, double B) {
  double sums[3] = {0, 0, 0};
  for (int i = 0; i < 3; ++i) {
    for (int64_t at = threadIdx.x; at < blocks; at += kThreads) sums[i] += partial[i * blocks + at];
    sums[i] = block_total(sums[i]);
  }
  if (threadIdx.x != 0) return;
  const double local[4] = {sums[1], sums[2], B, 1};
  double s[4];
  for (int i = 0; i < 4; ++i) {
    s[i] = given != nullptr ? static_cast<double>(given[i]) : local[i];
    statistic[i] = static_cast<T>(s[i]);
  }
  const double images = s[2] > 1 ? s[2] : 1;
  const double f = (s[0] / images - expected) / K, y = role ? (s[1] / images - expected) / K : 0;
  *loss = static_cast<T>((role ? 0.5 : 1.0) * (sums[0] * (s[3] / images) / K + weight * (f * f + y * y)));
}

template <From kFrom, class X, class Y, class T>
__global__ void __launch_bounds__(kThreads) gradient_kernel(const X* __restrict__ logits, const Y* __restrict__ observed,
                                const T* __restrict__ estimate, Table table, const T* __restrict__ statistic,
                                const T* __restrict__ incoming, X* __restrict__ gradient, T* __restrict__ rows_gradient,
                                T eps, T expected, T weight, int64_t block_entries, int64_t count, bool packed) {
  constexpr bool kRole = kFrom != From::nowhere;
  const T images = statistic[2] > 1 ? statistic[2] : T(1), K = T(table.K);
  const T g = *incoming * (kRole ? T(0.5) : T(1)) * (statistic[3] / images);
  const T scale = g / K;
  const T coupling = g * weight * 2 / K * ((statistic[0] / images - expected) / K);
  const T estimate_coupling = g * weight * 2 / K * ((statistic[1] / images - expected) / K);
  const Range range(block_entries, count);
  over_entries(
      Span<kPackOf<X>>(range.begin, range.end, packed), [&](int64_t at) { return place_of<kFrom>(table, at); },
      [&]<int N>(int64_t at, const auto& place) {
        const Inputs<N, T> in = read_inputs<kFrom, N>(logits, observed, estimate, place, at);
        Pack<X, N> gradients;
        Pack<T, N> rows;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          const Sigmoid<T> s = in.classifier[i], t = in.estimate[i];
          T result;
          if constexpr (kRole) {
            result = role_side_gradient(s, in.positive[i], t.p, eps, scale, coupling);
            const T row = role_side_gradient(t, in.positive[i], s.p, eps, scale, estimate_coupling);
            rows.at[i] = in.bad[i] ? not_a_number<T>() : row;
          } else {
            result = epr_gradient(s, in.positive[i], eps, scale, coupling);
          }
          put(&gradients.at[i], in.bad[i] ? not_a_number<T>() : result);
        }
        write(gradient + at, gradients);
        if constexpr (kRole) write(rows_gradient + at, rows);
      });
}

}  // namespace

void coupled_forward(const CoupledLaunch& c, cudaStream_t stream) {
  const Coupled& in = c.inputs;
  const int64_t count = c.B * in.K, blocks = count > 0 ? blocks_for(count) : 0;
  const bool packed = aligned({in.logits.data, in.observed.data, in.estimate.data});
  const From from = source_of(c);
  over_types(in.logits.type, in.observed.type, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    const auto sums = from == From::nowhere ? sums_kernel<From::nowhere, X, Y, T>
                      : from == From::rows  ? sums_kernel<From::rows, X, Y, T>
                                            : sums_kernel<From::table, X, Y, T>;
    const Table table = table_of<X, T>(in, packed);
    if (count > 0)
      sums<<<blocks, kThreads, 0, stream>>>(static_cast<const X*>(in.logits.data), static_cast<const Y*>(in.observed.data),
                                            static_cast<const T*>(in.estimate.data), table, static_cast<T*>(c.partial),
                                            static_cast<T>(in.eps), block_entries(count), count, packed);
    finish_kernel<<<1, kThreads, 0, stream>>>(static_cast<const T*>(c.partial), blocks, static_cast<const T*>(c.given),
                                              static_cast<T*>(c.loss), static_cast<T*>(c.statistic), c.role,
                                              c.expected_positives, c.weight, static_cast<double>(in.K),
                                              static_cast<double>(c.B));
  });
}

void coupled_backward(const CoupledLaunch& c, cudaStream_t stream) {
  const Coupled& in = c.inputs;
  const int64_t count = c.B * in.K;
  const bool packed = aligned({in.logits.data, in.observed.data, in.estimate.data, in.logits_gradient.data,
                               in.estimate_gradient.data});
  const From from = source_of(c);
  over_types(in.logits.type, in.observed.type, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    const auto kernel = from == From::nowhere ? gradient_kernel<From::nowhere, X, Y, T>
                        : from == From::rows  ? gradient_kernel<From::rows, X, Y, T>
                                              : gradient_kernel<From::table, X, Y, T>;
    const Table table = table_of<X, T>(in, packed);
    kernel<<<blocks_for(count), kThreads, 0, stream>>>(
        static_cast<const X*>(in.logits.data), static_cast<const Y*>(in.observed.data),
        static_cast<const T*>(in.estimate.data), table, static_cast<const T*>(c.statistic),
        static_cast<const T*>(c.incoming), static_cast<X*>(in.logits_gradient.data),
        static_cast<T*>(in.estimate_gradient.data), static_cast<T>(in.eps), static_cast<T>(c.expected_positives),
        static_cast<T>(c.weight), block_entries(count), count, packed);
  });
}

}  // namespace mlcfast::gpu
