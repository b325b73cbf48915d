// What the CUDA kernels share: arithmetic on the device, element types, deterministic block sums, dispatch over types.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#define MLCFAST_ISA device

#include "math.cuh"
#include "../formulas.h"
#include "launch.h"

namespace mlcfast::gpu {

using namespace mlcfast::device;

template <class X>
struct Arithmetic {
  using type = float;
};
template <>
struct Arithmetic<double> {
  using type = double;
};

template <class T, class S>
__device__ __forceinline__ T widen(S value) {
  return static_cast<T>(value);
}
template <>
__device__ __forceinline__ float widen<float, __half>(__half value) {
  return __half2float(value);
}
template <>
__device__ __forceinline__ float widen<float, __nv_bfloat16>(__nv_bfloat16 value) {
  return __bfloat162float(value);
}

// A label: what 32 bits do not hold lies outside [−1, 1], and only its sign counts. A conversion from 64 bits is slow.
template <>
__device__ __forceinline__ float widen<float, int64_t>(int64_t value) {
  const int narrow = static_cast<int>(value);
  return value == narrow ? static_cast<float>(narrow) : (value < 0 ? -2.0f : 2.0f);
}

__device__ __forceinline__ void put(float* at, float value) { *at = value; }
__device__ __forceinline__ void put(double* at, double value) { *at = value; }
__device__ __forceinline__ void put(__half* at, float value) { *at = __float2half_rn(value); }
__device__ __forceinline__ void put(__nv_bfloat16* at, float value) { *at = __float2bfloat16_rn(value); }

template <class T>
__device__ __forceinline__ bool outside(T z) {
  return !(z >= T(-1) && z <= T(1));
}

template <class T>
__device__ __forceinline__ T not_a_number() {
  return T(__int_as_float(0x7fffffff));
}

constexpr int kThreads = 256;

// ---- sums. fp64 runs at a 64th of fp32's rate on most cards, so that fp32 terms are added as Split, two fp32 numbers of which
// low is what rounding took from high, and only the total of a block is fp64.

struct Split {
  float high, low;
};

__device__ __forceinline__ double sum_of(double a, double b) { return a + b; }
__device__ __forceinline__ Split sum_of(Split a, Split b) {
  const float high = a.high + b.high, of_b = high - a.high;
  return {high, (a.high - (high - of_b)) + (b.high - of_b) + (a.low + b.low)};
}

template <class T>
struct Accumulated {
  using type = Split;
  static __device__ __forceinline__ Split of(float term) { return {term, 0}; }
};
template <>
struct Accumulated<double> {
  using type = double;
  static __device__ __forceinline__ double of(double term) { return term; }
};

__device__ __forceinline__ double from_lane_above(double value, int offset) {
  return __shfl_down_sync(0xffffffffu, value, offset);
}
__device__ __forceinline__ Split from_lane_above(Split value, int offset) {
  return {__shfl_down_sync(0xffffffffu, value.high, offset), __shfl_down_sync(0xffffffffu, value.low, offset)};
}

__device__ __forceinline__ double rounded_once(double total) { return total; }
__device__ __forceinline__ double rounded_once(Split total) {
  const float low = total.low == total.low ? total.low : 0;  // an infinite high leaves a NaN as low
  return static_cast<double>(total.high) + static_cast<double>(low);
}

// The sum over a block of Threads, in an order that does not depend on timing; thread 0 has it.
template <int Threads = kThreads, class Sum>
__device__ __forceinline__ double block_total(Sum value) {
  __shared__ Sum of_warp[Threads / 32];
  for (int offset = 16; offset > 0; offset /= 2) value = sum_of(value, from_lane_above(value, offset));
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x != 0) return 0;
  Sum total = of_warp[0];
  for (int warp = 1; warp < Threads / 32; ++warp) total = sum_of(total, of_warp[warp]);
  return rounded_once(total);
}

// visit.template operator()<X, Y>() for the logits' and the labels' element types.
template <class X, class Visit>
void over_labels(Type labels, Visit visit) {
  switch (labels) {
    case Type::u8: return visit.template operator()<X, uint8_t>();
    case Type::i8: return visit.template operator()<X, int8_t>();
    case Type::i64: return visit.template operator()<X, int64_t>();
    default: return visit.template operator()<X, float>();
  }
}

template <class Visit>
void over_types(Type logits, Type labels, Visit visit) {
  switch (logits) {
    case Type::f64: return visit.template operator()<double, double>();
    case Type::f16: return over_labels<__half>(labels, visit);
    case Type::bf16: return over_labels<__nv_bfloat16>(labels, visit);
    default: return over_labels<float>(labels, visit);
  }
}

// What a block works on: entries [begin, end).
struct Range {
  int64_t begin, end;
  __device__ Range(int64_t block_entries, int64_t count)
      : begin(blockIdx.x * block_entries), end(begin + block_entries < count ? begin + block_entries : count) {}
};

}  // namespace mlcfast::gpu
