// Blocks of any element type in and out of the arithmetic's type. Own conversions of the 16-bit formats: inline functions
// of a shared header must not be compiled for an instruction set that another translation unit may lack.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels.h"
#include "lanes.h"
#include "vector_math.h"

namespace mlcfast {
namespace MLCFAST_ISA {

constexpr int kBlock = 512;
constexpr int64_t kAhead = 2 * kBlock;  // entries, about a microsecond of a loss

MLCFAST_INLINE int size_of(Type type) {
  switch (type) {
    case Type::u8:
    case Type::i8: return 1;
    case Type::f16:
    case Type::bf16:
    case Type::i16: return 2;
    case Type::f32:
    case Type::i32: return 4;
    case Type::f64:
    case Type::i64: break;
  }
  return 8;
}

// Asks the caches for what a loop reads kAhead entries later: processors do so by themselves, but stop where a page of 4 KiB
// ends. What is asked for need not exist. Inlined, because GCC drops calls of a function that does nothing else.
MLCFAST_INLINE void ask_ahead(const View& view, int64_t offset, int n) {
  const int size = size_of(view.type), bytes = n * size;
  const uintptr_t there = reinterpret_cast<uintptr_t>(view.data) + static_cast<uintptr_t>((offset + kAhead) * size);
  for (int i = 0; i < bytes; i += 64) __builtin_prefetch(reinterpret_cast<const char*>(there + static_cast<uintptr_t>(i)));
}

// The same, register by register while a loop computes: a core waits for about a dozen lines at a time, and stops at a block's
// sixty-four. Where T has no registers, a request in the loop would keep it from being vectorised: the whole block at once.
template <class T>
class Ahead {
 public:
  MLCFAST_INLINE Ahead(const View& view, int64_t offset, int n) : size_(static_cast<uintptr_t>(size_of(view.type))) {
    there_ = reinterpret_cast<uintptr_t>(view.data) + static_cast<uintptr_t>(offset + kAhead) * size_;
    if constexpr (kLanes<T> == 1) ask_ahead(view, offset, n);
  }
  // Entries i to i + kLanes<T> of the block: a line of 64 bytes at most, two of 64-bit labels.
  MLCFAST_INLINE void ask(int i) const {
    if constexpr (kLanes<T> > 1) {
      const uintptr_t first = there_ + static_cast<uintptr_t>(i) * size_;
      __builtin_prefetch(reinterpret_cast<const char*>(first));
      if (size_ == 8) __builtin_prefetch(reinterpret_cast<const char*>(first + 64));
    }
  }

 private:
  uintptr_t size_, there_;
};

MLCFAST_INLINE float from_bf16(uint16_t h) { return float_of(static_cast<int32_t>(static_cast<uint32_t>(h) << 16)); }

MLCFAST_INLINE uint16_t to_bf16(float x) {  // round to nearest, ties to even
  const uint32_t i = static_cast<uint32_t>(bits_of(x));
  const uint32_t rounded = (i + 0x7fffu + ((i >> 16) & 1u)) >> 16;
  return static_cast<uint16_t>(x != x ? 0x7fc0u : rounded);
}

MLCFAST_INLINE float from_f16(uint16_t h) {
  const uint32_t magnitude = static_cast<uint32_t>(h & 0x7fffu) << 13;
  const float finite = float_of(static_cast<int32_t>(magnitude)) * 5.192296858534828e33f;  // 2^112
  const uint32_t special = magnitude | 0x7f800000u;
  const uint32_t i = magnitude >= 0x0f800000u ? special : static_cast<uint32_t>(bits_of(finite));
  return float_of(static_cast<int32_t>(i | (static_cast<uint32_t>(h & 0x8000u) << 16)));
}

MLCFAST_INLINE uint16_t to_f16(float x) {  // round to nearest, ties to even; subnormals; overflow to infinity
  const uint32_t i = static_cast<uint32_t>(bits_of(x));
  const uint32_t sign = (i >> 16) & 0x8000u;
  const uint32_t magnitude = i & 0x7fffffffu;
  const float absolute = float_of(static_cast<int32_t>(magnitude));
  const uint32_t subnormal = static_cast<uint32_t>(bits_of(absolute + 0.5f)) - 0x3f000000u;  // 0.5's ulp is 2^-24
  const uint32_t normal = (magnitude + 0xc8000fffu + ((magnitude >> 13) & 1u)) >> 13;
  uint32_t h = magnitude < 0x38800000u ? subnormal : normal;
  h = magnitude >= 0x477ff000u ? 0x7c00u : h;
  h = magnitude > 0x7f800000u ? 0x7e00u : h;
  return static_cast<uint16_t>(h | sign);
}

template <class T, class S>
MLCFAST_INLINE const T* widen(const void* data, int64_t offset, int n, T* __restrict block) {
  const S* __restrict source = static_cast<const S*>(data) + offset;
  for (int i = 0; i < n; ++i) block[i] = static_cast<T>(source[i]);
  return block;
}

// A label: what 32 bits do not hold lies outside [−1, 1], and only its sign counts. AVX2 converts no 64 bits.
template <class T>
MLCFAST_INLINE const T* widen64(const void* data, int64_t offset, int n, T* __restrict block) {
  const int64_t* __restrict source = static_cast<const int64_t*>(data) + offset;
  for (int i = 0; i < n; ++i) {
    const int32_t low = static_cast<int32_t>(source[i]), high = static_cast<int32_t>(source[i] >> 32);
    block[i] = high == low >> 31 ? static_cast<T>(low) : high < 0 ? T(-2) : T(2);
  }
  return block;
}

template <class T, float (*Convert)(uint16_t)>
MLCFAST_INLINE const T* widen16(const void* data, int64_t offset, int n, T* __restrict block) {
  const uint16_t* __restrict source = static_cast<const uint16_t*>(data) + offset;
  for (int i = 0; i < n; ++i) block[i] = static_cast<T>(Convert(source[i]));
  return block;
}

inline const float* itself(const void* data, int64_t offset, float*) { return static_cast<const float*>(data) + offset; }
inline const double* itself(const void* data, int64_t offset, double*) {
  return static_cast<const double*>(data) + offset;
}

// Zeros after the n entries of a block, to the end of its last register.
template <class T>
MLCFAST_INLINE void pad(T* block, int n) {
  for (int i = n; i % kLanes<T> != 0; ++i) block[i] = 0;
}

// n entries from `from`, to be read in whole registers: the memory itself where they end with one, else `block`, filled.
template <class T>
const T* whole(const T* from, int n, T* block) {
  if (n % kLanes<T> == 0) return from;
  std::memcpy(block, from, sizeof(T) * n);
  pad(block, n);
  return block;
}

template <class T>
const T* widened(const View& view, int64_t offset, int n, T* block) {
  switch (view.type) {
    case Type::f32: return widen<T, float>(view.data, offset, n, block);
    case Type::f64: return widen<T, double>(view.data, offset, n, block);
    case Type::f16: return widen16<T, from_f16>(view.data, offset, n, block);
    case Type::bf16: return widen16<T, from_bf16>(view.data, offset, n, block);
    case Type::u8: return widen<T, uint8_t>(view.data, offset, n, block);
    case Type::i8: return widen<T, int8_t>(view.data, offset, n, block);
    case Type::i16: return widen<T, int16_t>(view.data, offset, n, block);
    case Type::i32: return widen<T, int32_t>(view.data, offset, n, block);
    case Type::i64: return widen64<T>(view.data, offset, n, block);
  }
  return block;
}

// n entries from `offset` in type T, to be read in whole registers: the memory itself where it already has that type and they end
// with a register, else `block`, filled.
template <class T>
const T* load(const View& view, int64_t offset, int n, T* block) {
  constexpr Type own = sizeof(T) == 4 ? Type::f32 : Type::f64;
  if (view.type == own) return whole(itself(view.data, offset, block), n, block);
  widened(view, offset, n, block);
  pad(block, n);
  return block;
}

// The same, of a loop that asks for nothing itself.
template <class T>
const T* load_asking(const View& view, int64_t offset, int n, T* block) {
  ask_ahead(view, offset, n);
  return load(view, offset, n, block);
}

// Where n results may be written at once in whole registers: the view's own memory if it has type T and they end with one, else
// `block`.
template <class T>
T* in_place(const MutableView& view, int64_t offset, int n, T* block) {
  constexpr Type own = sizeof(T) == 4 ? Type::f32 : Type::f64;
  return view.data != nullptr && view.type == own && n % kLanes<T> == 0 ? static_cast<T*>(view.data) + offset : block;
}

// block · scale into n entries from `offset`, rounded to the view's type; nothing when the view is empty.
template <class T>
void store(const MutableView& view, int64_t offset, int n, const T* __restrict block, T scale) {
  if (view.data == nullptr) return;
  switch (view.type) {
    case Type::f64: {
      double* __restrict out = static_cast<double*>(view.data) + offset;
      for (int i = 0; i < n; ++i) out[i] = static_cast<double>(block[i] * scale);
      return;
    }
    case Type::f16: {
      uint16_t* __restrict out = static_cast<uint16_t*>(view.data) + offset;
      for (int i = 0; i < n; ++i) out[i] = to_f16(static_cast<float>(block[i] * scale));
      return;
    }
    case Type::bf16: {
      uint16_t* __restrict out = static_cast<uint16_t*>(view.data) + offset;
      for (int i = 0; i < n; ++i) out[i] = to_bf16(static_cast<float>(block[i] * scale));
      return;
    }
    default: {
      float* __restrict out = static_cast<float*>(view.data) + offset;
      for (int i = 0; i < n; ++i) out[i] = static_cast<float>(block[i] * scale);
      return;
    }
  }
}

// The sum of a block in fp64, in 16 interleaved partial sums, then pairwise. Four entries that lie 16 apart are added in their
// own type first: two roundings of numbers of their size, and a quarter of the conversions.
template <class T>
double block_sum(const T* __restrict block, int n) {
  double lane[16] = {};
  int i = 0;
  for (; i + 64 <= n; i += 64)
    for (int j = i; j < i + 16; ++j)
      lane[j - i] += static_cast<double>((block[j] + block[j + 16]) + (block[j + 32] + block[j + 48]));
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; ++j) lane[j] += static_cast<double>(block[i + j]);
  for (int j = 0; i + j < n; ++j) lane[j] += static_cast<double>(block[i + j]);
  for (int width = 8; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) lane[j] += lane[j + width];
  return lane[0];
}

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
