// What the CUDA kernels share: arithmetic on the device, element types, deterministic block sums, dispatch over types.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#define MLCFAST_ISA device

namespace mlcfast {
namespace device {

__device__ __forceinline__ float exp_nonpositive(float x) { return expf(x); }
__device__ __forceinline__ float log_positive(float x) { return logf(x); }
__device__ __forceinline__ float power(float x, float y) { return powf(x, y); }
__device__ __forceinline__ double exp_nonpositive(double x) { return exp(x); }
__device__ __forceinline__ double log_positive(double x) { return log(x); }
__device__ __forceinline__ double power(double x, double y) { return pow(x, y); }

}  // namespace device
}  // namespace mlcfast

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
constexpr int kEntriesOfThread = 16;
constexpr int64_t kBlockEntries = kThreads * kEntriesOfThread;

// The sum over a block of kThreads, in an order that does not depend on timing; thread 0 has it.
__device__ __forceinline__ double block_total(double value) {
  __shared__ double of_warp[kThreads / 32];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffffu, value, offset);
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  double total = 0;
  if (threadIdx.x == 0)
    for (int warp = 0; warp < kThreads / 32; ++warp) total += of_warp[warp];
  return total;
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

}  // namespace mlcfast::gpu
