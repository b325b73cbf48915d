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

// The estimate of an image is row index[image] of a table, or its own row where there is no index. A thread's entries lie
// kThreads apart: that many rows and columns, so that only its first entry costs a division.
struct Table {
  const int64_t* index;
  int64_t K, rows, rows_ahead, columns_ahead;
};

Table table_of(const Coupled& in) {
  const int64_t K = in.K > 0 ? in.K : 1;
  return {in.index, K, in.table_rows, kThreads / K, kThreads % K};
}

struct Place {
  int64_t row = 0, column = 0;
  __device__ Place(const Table& table, int64_t at) {
    if (table.index == nullptr) return;
    row = at / table.K;
    column = at - row * table.K;
  }
  __device__ void advance(const Table& table) {
    row += table.rows_ahead;
    column += table.columns_ahead;
    if (column < table.K) return;
    column -= table.K;
    ++row;
  }
};

template <bool kRole, class X, class Y, class T>
__device__ __forceinline__ Entry<T> read_entry(const X* logits, const Y* observed, const T* estimate,
                                               const Table& table, const Place& place, int64_t at) {
  const T z = widen<T>(observed[at]);
  Entry<T> entry{sigmoid(widen<T>(logits[at])), {T(0), T(1)}, z > 0 ? z : T(0), outside(z)};
  if constexpr (kRole) {
    int64_t source = at;
    bool known = true;
    if (table.index != nullptr) {
      const int64_t row = table.index[place.row];
      known = row >= 0 && row < table.rows;
      source = known ? row * table.K + place.column : 0;
    }
    entry.bad |= !known;
    entry.estimate = sigmoid(known ? estimate[source] : T(0));
  }
  return entry;
}

template <bool kRole, class X, class Y, class T>
__global__ void __launch_bounds__(kThreads) sums_kernel(const X* __restrict__ logits, const Y* __restrict__ observed,
                            const T* __restrict__ estimate, Table table, T* __restrict__ partial, T eps,
                            int64_t block_entries, int64_t count) {
  const Range range(block_entries, count);
  Place place(table, range.begin + threadIdx.x);
  T loss = 0, f = 0, y = 0;
  for (int64_t at = range.begin + threadIdx.x; at < range.end; at += kThreads, place.advance(table)) {
    const Entry<T> e = read_entry<kRole>(logits, observed, estimate, table, place, at);
    T term;
    if constexpr (kRole)
      term = role_side_loss(e.classifier, e.positive, e.estimate.p, eps) +
             role_side_loss(e.estimate, e.positive, e.classifier.p, eps);
    else
      term = -e.positive * log_positive(e.classifier.p + eps);
    loss += e.bad ? not_a_number<T>() : term;
    f += e.classifier.p;
    if constexpr (kRole) y += e.estimate.p;
  }
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

template <bool kRole, class X, class Y, class T>
__global__ void __launch_bounds__(kThreads) gradient_kernel(const X* __restrict__ logits, const Y* __restrict__ observed,
                                const T* __restrict__ estimate, Table table, const T* __restrict__ statistic,
                                const T* __restrict__ incoming, X* __restrict__ gradient, T* __restrict__ rows_gradient,
                                T eps, T expected, T weight, int64_t block_entries, int64_t count) {
  const T images = statistic[2] > 1 ? statistic[2] : T(1), K = T(table.K);
  const T g = *incoming * (kRole ? T(0.5) : T(1)) * (statistic[3] / images);
  const T scale = g / K;
  const T coupling = g * weight * 2 / K * ((statistic[0] / images - expected) / K);
  const T estimate_coupling = g * weight * 2 / K * ((statistic[1] / images - expected) / K);
  const Range range(block_entries, count);
  Place place(table, range.begin + threadIdx.x);
  for (int64_t at = range.begin + threadIdx.x; at < range.end; at += kThreads, place.advance(table)) {
    const Entry<T> e = read_entry<kRole>(logits, observed, estimate, table, place, at);
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
                                            static_cast<const T*>(in.estimate.data), table_of(in),
                                            static_cast<T*>(c.partial), static_cast<T>(in.eps), block_entries(count), count);
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
        static_cast<const T*>(in.estimate.data), table_of(in), static_cast<const T*>(c.statistic),
        static_cast<const T*>(c.incoming), static_cast<X*>(in.logits_gradient.data),
        static_cast<T*>(in.estimate_gradient.data), static_cast<T>(in.eps), static_cast<T>(c.expected_positives),
        static_cast<T>(c.weight), block_entries(count), count);
  });
}

}  // namespace mlcfast::gpu
