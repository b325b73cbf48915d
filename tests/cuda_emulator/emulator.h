// CUDA's execution model on one thread of the CPU: what the kernels of csrc/cuda use of CUDA, for a C++ compiler.
//
// The threads of a block are fibers. __syncthreads stops the block, a shuffle stops the warp, and which fiber goes on is
// drawn from MLCFAST_EMULATOR_SEED, as is the order of the blocks. Shared memory is NaN when a block starts. A barrier or
// a shuffle that some thread never reaches is an error. Launches are counted, and memory can be hidden from all but them. The hardware's reciprocal is emulated as worse than it is. Not
// emulated: how far CUDA's expf and powf, the CPU's here, are off (1 and 4 units in the last place), a device's memory model
// and its limits.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(threads)

struct Position {
  unsigned int x;
};
extern Position threadIdx, blockIdx, gridDim, blockDim;

using __half = c10::Half;
using __nv_bfloat16 = c10::BFloat16;

inline float __half2float(__half value) { return static_cast<float>(value); }
inline __half __float2half_rn(float value) { return static_cast<__half>(value); }
inline float __bfloat162float(__nv_bfloat16 value) { return static_cast<float>(value); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return static_cast<__nv_bfloat16>(value); }

inline float __int_as_float(int bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline int __float_as_int(float value) {
  int bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Up to 2^-21 off, four times as far as CUDA allows the hardware to be, by an amount drawn from the bits of x.
inline float rough_reciprocal(float x) {
  const uint32_t drawn = static_cast<uint32_t>(__float_as_int(x)) * 2654435761u;
  return static_cast<float>((1 + (drawn / 2147483648.0 - 1) * 0x1p-21) / x);
}

void __syncthreads();

namespace emulator {

// Runs `thread` for each thread of each block; std::runtime_error where CUDA would hang or leave results undefined, and on
// another stream than the current one, on which a captured graph would miss the kernel.
void run(int64_t blocks, int64_t threads, cudaStream_t stream, const std::function<void()>& thread);

// The arguments are evaluated once, before the kernel starts, as a launch on a device does.
template <class Kernel, class... Arguments>
void launch(int64_t blocks, int64_t threads, cudaStream_t stream, Kernel kernel, const Arguments&... arguments) {
  run(blocks, threads, stream, [&] { kernel(arguments...); });
}

// From now on launches of more than one block run these alone; none: all.
void run_only(std::vector<int64_t> blocks);

// Shared memory is NaN until a block writes it: the first thread of a block that comes by sees to it.
void fresh(void* shared, std::size_t bytes);

uint64_t shuffle_down(unsigned int mask, uint64_t bits, unsigned int offset, int width);

}  // namespace emulator

template <class T>
T __shfl_down_sync(unsigned int mask, T value, unsigned int offset, int width = 32) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = emulator::shuffle_down(mask, bits, offset, width);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
