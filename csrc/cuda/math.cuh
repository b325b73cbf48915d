// exp, log, powers and quotients on the device, for the formulas of ../formulas.h. fp32 leaves out what CUDA's own log and division
// do for arguments that no formula has: zeros, subnormal numbers and infinities.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
// 1 / x as the hardware has it, off by up to 1 ulp; the emulator of the tests brings one that is further off.
__device__ __forceinline__ float rough_reciprocal(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
#endif

namespace mlcfast {
namespace device {

__device__ __forceinline__ float minus_size(float x) { return x < 0 ? x : -x; }
__device__ __forceinline__ double minus_size(double x) { return x < 0 ? x : -x; }

__device__ __forceinline__ float exp_nonpositive(float x) { return expf(x); }
__device__ __forceinline__ float power(float x, float y) { return powf(x, y); }

// a / b for a finite a and b in [1e-37, 2]: one correction squares the relative error of the hardware's 1 / b.
__device__ __forceinline__ float quotient(float a, float b) {
  const float rough = rough_reciprocal(b), near = a * rough;
  return fmaf(fmaf(-near, b, a), rough, near);
}

// log(x) for normal x > 0: x = 2^n (1 + r), r in [−⅓, ⅓), by a minimax polynomial for (log(1 + r) − r) / r². Error below 1 ulp.
// NaN stays NaN: 0 x.
__device__ __forceinline__ float log_positive(float x) {
  const int exponent = (__float_as_int(x) - 0x3f2aaaab) & 0xff800000;  // n 2^23; the bits of ⅔
  const float r = __int_as_float(__float_as_int(x) - exponent) - 1.0f;
  float c = -1.294896752e-01f;
  c = fmaf(c, r, 1.400476098e-01f);
  c = fmaf(c, r, -1.216715351e-01f);
  c = fmaf(c, r, 1.400115937e-01f);
  c = fmaf(c, r, -1.668230593e-01f);
  c = fmaf(c, r, 2.001074702e-01f);
  c = fmaf(c, r, -2.499971688e-01f);
  c = fmaf(c, r, 3.333320916e-01f);
  c = fmaf(c, r, -0.5f);
  const float of_r = fmaf(c, r * r, fmaf(0.0f, x, r));
  return fmaf(static_cast<float>(exponent), 8.262958405e-8f, of_r);  // ln 2 / 2^23
}

__device__ __forceinline__ double exp_nonpositive(double x) { return exp(x); }
__device__ __forceinline__ double log_positive(double x) { return log(x); }
__device__ __forceinline__ double power(double x, double y) { return pow(x, y); }
__device__ __forceinline__ double quotient(double a, double b) { return a / b; }

}  // namespace device
}  // namespace mlcfast
