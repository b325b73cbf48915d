// Consecutive entries read and written at once: 128 bits at a time where every address is a multiple of 16, else one by one.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace mlcfast::gpu {

template <class V, int N>
struct alignas(sizeof(V) * N < 16 ? sizeof(V) * N : 16) Pack {
  V at[N];
};

// The entries of a pack by the logits' type, 16 bytes of them; one where an address is in the way.
template <class X>
constexpr int kPackOf = 16 / sizeof(X);

inline bool aligned(std::initializer_list<const void*> addresses) {
  for (const void* address : addresses)
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  return true;
}

// The first `inside` of N entries; the first one stands for those beyond the end, which nobody may read.
template <int N, class V>
__device__ __forceinline__ Pack<V, N> read(const V* from, int inside) {
  if (inside == N) return *reinterpret_cast<const Pack<V, N>*>(from);
  Pack<V, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.at[i] = from[i < inside ? i : 0];
  return pack;
}

template <int N, class V>
__device__ __forceinline__ void write(V* to, const Pack<V, N>& pack, int inside) {
  if (inside == N) {
    *reinterpret_cast<Pack<V, N>*>(to) = pack;
    return;
  }
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (i < inside) to[i] = pack.at[i];
}

// Σ terms as a tree, whose rounding grows with the logarithm of N.
template <int N, class T>
__device__ __forceinline__ T pairwise_sum(T (&terms)[N]) {
#pragma unroll
  for (int width = N / 2; width > 0; width /= 2)
#pragma unroll
    for (int i = 0; i < width; ++i) terms[i] += terms[i + width];
  return terms[0];
}

}  // namespace mlcfast::gpu
