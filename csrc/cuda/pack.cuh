// Consecutive entries read and written at once: 128 bits at a time where every address is a multiple of 16, else one by one.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace mlcfast::gpu {

template <class V, int N>
struct alignas(sizeof(V) * N < 16 ? sizeof(V) * N : 16) Pack {
  V at[N];
};

// The entries of a pack by the logits' type, 16 bytes of them.
template <class X>
constexpr int kPackOf = 16 / sizeof(X);

inline bool aligned(std::initializer_list<const void*> addresses) {
  for (const void* address : addresses)
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  return true;
}

template <int N, class V>
__device__ __forceinline__ Pack<V, N> read(const V* from) {
  return *reinterpret_cast<const Pack<V, N>*>(from);
}

template <int N, class V>
__device__ __forceinline__ void write(V* to, const Pack<V, N>& pack) {
  *reinterpret_cast<Pack<V, N>*>(to) = pack;
}

// Entries [begin, end) of arrays whose addresses are multiples of 16 if `packed`. Packs start at multiples of N, so that each of
// them is aligned in every array; what lies before the first and behind the last, or all, are single entries.
template <int N>
struct Span {
  int64_t begin, first, last, end;  // packs lie in [first, last)
  __device__ Span(int64_t begin, int64_t end, bool packed) : begin(begin), first(end), last(end), end(end) {
    const int64_t up = (begin + N - 1) & ~int64_t(N - 1), down = end & ~int64_t(N - 1);
    if (!packed || up >= down) return;
    first = up;
    last = down;
  }
  __device__ int64_t singles() const { return first - begin + (end - last); }
  __device__ int64_t single(int64_t i) const { return i < first - begin ? begin + i : i - (first - begin) + last; }
};

// visit.template operator()<entries>(at, place) for what this thread of a block of Threads has of the span; `place_of(at)` makes
// a place, which then advances with the thread.
template <int Threads = kThreads, int N, class PlaceOf, class Visit>
__device__ __forceinline__ void over_entries(const Span<N>& span, PlaceOf place_of, Visit visit) {
  if (int64_t at = span.first + threadIdx.x * N; at < span.last) {
    auto place = place_of(at);
#pragma unroll 1
    for (; at < span.last; at += Threads * N, place.advance()) visit.template operator()<N>(at, place);
  }
  if (int64_t i = threadIdx.x; i < span.singles()) {
    auto place = place_of(span.single(i));
#pragma unroll 1
    for (; i < span.singles(); i += Threads, place.advance()) visit.template operator()<1>(span.single(i), place);
  }
}

struct Anywhere {
  __device__ void advance() {}
};

template <int Threads = kThreads, int N, class Visit>
__device__ __forceinline__ void over_entries(const Span<N>& span, Visit visit) {
  over_entries<Threads>(span, [](int64_t) { return Anywhere{}; },
               [&]<int M>(int64_t at, Anywhere) { visit.template operator()<M>(at); });
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
