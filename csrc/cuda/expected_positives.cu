// EPR and ROLE on CUDA: a pass for the sums, one block to finish the loss, and a pass for the gradients in backward. An
// index outside the table and a label outside [−1, 1] make the loss and the entry's gradient NaN.
#include "device.cuh"

namespace mlcfast::gpu {
namespace {

template <class T>
struct Entry {
  Sigmoid<T> classifier, estimate;
  T positive;
  bool bad;
};

template <bool kRole, class X, class Y, class T>
__device__ __forceinline__ Entry<T> read_entry(const X* logits, const Y* observed, const T* estimate, const int64_t* index,
                               int64_t at, int64_t K, int64_t table_rows) {
  const T z = widen<T>(observed[at]);
  Entry<T> entry{sigmoid(widen<T>(logits[at])), {T(0), T(1)}, z > 0 ? z : T(0), outside(z)};
  if constexpr (kRole) {
    int64_t source = at;
    bool known = true;
    if (index != nullptr) {
      const int64_t row = index[at / K];
      known = row >= 0 && row < table_rows;
      source = row * K + at % K;
    }
    entry.bad |= !known;
    entry.estimate = sigmoid(known ? estimate[source] : T(0));
  }
  return entry;
}

template <bool kRole, class X, class Y, class T>
__global__ void __launch_bounds__(kThreads) sums_kernel(const X* logits, const Y* observed, const T* estimate, const int64_t* index, T* partial,
                            T eps, int64_t K, int64_t table_rows, int64_t count) {
  double loss = 0, f = 0, y = 0;
  for (int step = 0; step < kEntriesOfThread; ++step) {
    const int64_t at = blockIdx.x * kBlockEntries + static_cast<int64_t>(step) * kThreads + threadIdx.x;
    if (at >= count) break;
    const Entry<T> e = read_entry<kRole>(logits, observed, estimate, index, at, K, table_rows);
    T term;
    if constexpr (kRole)
      term = role_side_loss(e.classifier, e.positive, e.estimate.p, eps) +
             role_side_loss(e.estimate, e.positive, e.classifier.p, eps);
    else
      term = -e.positive * log_positive(e.classifier.p + eps);
    loss += e.bad ? not_a_number<T>() : term;
    f += e.classifier.p;
    y += kRole ? e.estimate.p : T(0);
  }
  const double sums[3] = {block_total(loss), block_total(f), block_total(y)};
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

template <bool kRole, class X, class Y, class T>
__global__ void __launch_bounds__(kThreads) gradient_kernel(const X* logits, const Y* observed, const T* estimate, const int64_t* index,
                                const T* statistic, const T* incoming, X* gradient, T* rows_gradient, T eps, T expected,
                                T weight, int64_t K, int64_t table_rows, int64_t count) {
  const T images = statistic[2] > 1 ? statistic[2] : T(1);
  const T g = *incoming * (kRole ? T(0.5) : T(1)) * (statistic[3] / images);
  const T scale = g / T(K);
  const T coupling = g * weight * 2 / T(K) * ((statistic[0] / images - expected) / T(K));
  const T estimate_coupling = g * weight * 2 / T(K) * ((statistic[1] / images - expected) / T(K));
  for (int step = 0; step < kEntriesOfThread; ++step) {
    const int64_t at = blockIdx.x * kBlockEntries + static_cast<int64_t>(step) * kThreads + threadIdx.x;
    if (at >= count) break;
    const Entry<T> e = read_entry<kRole>(logits, observed, estimate, index, at, K, table_rows);
    T result;
    if constexpr (kRole) {
      result = role_side_gradient(e.classifier, e.positive, e.estimate.p, eps, scale, coupling);
      const T row = role_side_gradient(e.estimate, e.positive, e.classifier.p, eps, scale, estimate_coupling);
      rows_gradient[at] = e.bad ? not_a_number<T>() : row;
    } else {
      result = epr_gradient(e.classifier, e.positive, eps, scale, coupling);
    }
    put(gradient + at, e.bad ? not_a_number<T>() : result);
  }
}

}  // namespace

void coupled_forward(const CoupledLaunch& c, cudaStream_t stream) {
  const Coupled& in = c.inputs;
  const int64_t count = c.B * in.K, blocks = count > 0 ? blocks_for(count) : 0;
  over_types(in.logits.type, in.observed.type, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    const auto sums = c.role ? sums_kernel<true, X, Y, T> : sums_kernel<false, X, Y, T>;
    if (count > 0)
      sums<<<blocks, kThreads, 0, stream>>>(static_cast<const X*>(in.logits.data), static_cast<const Y*>(in.observed.data),
                                            static_cast<const T*>(in.estimate.data), in.index, static_cast<T*>(c.partial),
                                            static_cast<T>(in.eps), in.K, in.table_rows, count);
    finish_kernel<<<1, kThreads, 0, stream>>>(static_cast<const T*>(c.partial), blocks, static_cast<const T*>(c.given),
                                              static_cast<T*>(c.loss), static_cast<T*>(c.statistic), c.role,
                                              c.expected_positives, c.weight, static_cast<double>(in.K),
                                              static_cast<double>(c.B));
  });
}

void coupled_backward(const CoupledLaunch& c, cudaStream_t stream) {
  const Coupled& in = c.inputs;
  const int64_t count = c.B * in.K;
  over_types(in.logits.type, in.observed.type, [&]<class X, class Y>() {
    using T = typename Arithmetic<X>::type;
    const auto kernel = c.role ? gradient_kernel<true, X, Y, T> : gradient_kernel<false, X, Y, T>;
    kernel<<<blocks_for(count), kThreads, 0, stream>>>(
        static_cast<const X*>(in.logits.data), static_cast<const Y*>(in.observed.data),
        static_cast<const T*>(in.estimate.data), in.index, static_cast<const T*>(c.statistic),
        static_cast<const T*>(c.incoming), static_cast<X*>(in.logits_gradient.data),
        static_cast<T*>(in.estimate_gradient.data), static_cast<T>(in.eps), static_cast<T>(c.expected_positives),
        static_cast<T>(c.weight), in.K, in.table_rows, count);
  });
}

}  // namespace mlcfast::gpu
