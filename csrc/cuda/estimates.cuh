// Where ROLE's estimates lie and how a thread reads them: rows beside the logits, or rows of a table that an index names.
#pragma once

#include "device.cuh"
#include "pack.cuh"

namespace mlcfast::gpu {
namespace {

// ROLE's estimates: rows of the same shape as the logits, or of a table, row index[image] of it for an image.
enum class From { nowhere, rows, table };

From source_of(const CoupledLaunch& c) {
  if (!c.role) return From::nowhere;
  return c.inputs.index == nullptr ? From::rows : From::table;
}

// A thread's packs, or its single entries where there are none, lie some rows and columns apart, so that only its first one costs
// a division.
struct Table {
  const int64_t* index;
  int64_t rows, rows_ahead;
  int32_t K, columns_ahead;
  bool packed;  // every row starts at a multiple of 16 bytes
};

template <class X, class T>
Table table_of(const Coupled& in, bool packed) {
  const int64_t K = in.K > 0 ? in.K : 1, ahead = packed ? kThreads * kPackOf<X> : kThreads;
  return {in.index, in.table_rows, ahead / K, static_cast<int32_t>(K), static_cast<int32_t>(ahead % K),
          packed && K % kPackOf<T> == 0};
}

struct Place {
  const Table& table;
  int64_t row;
  int32_t column;
  __device__ Place(const Table& table, int64_t at)
      : table(table), row(at / table.K), column(static_cast<int32_t>(at - row * table.K)) {}
  __device__ void advance() {
    row += table.rows_ahead;
    column += table.columns_ahead;
    wrap();
  }
  __device__ void wrap() {
    if (column < table.K) return;
    column -= table.K;
    ++row;
  }
  // Where the entry of the table lies, −1 where there is none.
  __device__ int64_t source() const {
    const int64_t found = table.index[row];
    return found >= 0 && found < table.rows ? found * table.K + column : -1;
  }
};

template <From kFrom>
__device__ __forceinline__ auto place_of(const Table& table, int64_t at) {
  if constexpr (kFrom == From::table)
    return Place(table, at);
  else
    return Anywhere{};
}

template <int N, class T>
struct Estimates {
  Pack<T, N> logits{};
  bool unknown[N]{};
};

template <int N, class T>
__device__ __forceinline__ Estimates<N, T> read_estimates(const T* estimate, Anywhere, int64_t at) {
  return {read<N>(estimate + at), {}};
}

template <int N, class T>
__device__ __forceinline__ Estimates<N, T> read_estimates(const T* estimate, Place place, int64_t) {
  Estimates<N, T> found;
  if (N > 1 && place.table.packed && place.column + N <= place.table.K) {
    const int64_t source = place.source();
    if (source >= 0) found.logits = read<N>(estimate + source);
#pragma unroll
    for (int i = 0; i < N; ++i) found.unknown[i] = source < 0;
    return found;
  }
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const int64_t source = place.source();
    found.unknown[i] = source < 0;
    if (source >= 0) found.logits.at[i] = estimate[source];
    ++place.column;
    if (i + 1 < N) place.wrap();
  }
  return found;
}

}  // namespace
}  // namespace mlcfast::gpu
