// The loop of an elementwise loss over blocks that live in L1: widened, inspected, through a formula, rounded on the way out.
#pragma once

#include <cstdlib>
#include <cstring>

#include "convert.h"
#include "kernels.h"
#include "lanes.h"

#include "../formulas.h"

namespace mlcfast {
namespace MLCFAST_ISA {

// n numbers, to be read and written in whole registers. Not std::vector: its functions, compiled for this instruction set, could
// stand in for others'.
template <class T>
struct Buffer {
  T* const data;
  explicit Buffer(int64_t n) : data(static_cast<T*>(std::malloc(sizeof(T) * static_cast<size_t>(n + kLanes<T> - 1)))) {}
  ~Buffer() { std::free(data); }
  void fill(int64_t n, T value) {
    for (int64_t i = 0; i < n + kLanes<T> - 1; ++i) data[i] = value;
  }
};

struct LabelKinds {
  bool bad = false;   // some label is outside [−1, 1]
  bool hard = true;   // every label is −1, 0 or 1
};

template <class T>
LabelKinds inspect_floats(const T* __restrict labels, int n) {
  int bad = 0, soft = 0;
  for (int i = 0; i < n; ++i) {
    const T z = labels[i], size = z < 0 ? -z : z;
    bad |= !(size <= T(1));
    soft |= (z != 0) & (size != 1);
  }
  return {bad != 0, soft == 0};
}

#ifdef __AVX512F__
// As above; z² − |z|, rounded once, is 0 for −1, 0 and 1 and for no other label: of an infinite one it is NaN. What follows the labels
// are zeros.
inline LabelKinds inspect_floats(const float* __restrict labels, int n) {
  LaneMask hard = {0xffff};
  for (int i = 0; i < n; i += kLanes<float>) {
    const Lanes z = load_lanes(labels + i);
    hard = hard & (fused(z, z, minus_size(z)) == Lanes(0));
  }
  return hard.bits == 0xffff ? LabelKinds{} : inspect_floats<float>(labels, n);
}
#endif

// LOWEST as a byte: the smallest that a label may be, 0 or −1.
template <uint8_t LOWEST>
LabelKinds inspect_bytes(const void* data, int64_t offset, int n) {
  const uint8_t* __restrict labels = static_cast<const uint8_t*>(data) + offset;
  uint8_t largest = 0;
  for (int i = 0; i < n; ++i) {
    const uint8_t above = static_cast<uint8_t>(labels[i] - LOWEST);
    largest = above > largest ? above : largest;
  }
  return {largest > static_cast<uint8_t>(1 - LOWEST), true};
}

// What the n labels from `offset` are, widened already as `block`; bytes are looked at as they are, 32 in an instruction.
template <class T>
LabelKinds inspect(const View& labels, int64_t offset, int n, const T* block) {
  if (labels.type == Type::u8) return inspect_bytes<0>(labels.data, offset, n);
  if (labels.type == Type::i8) return inspect_bytes<0xff>(labels.data, offset, n);
  return inspect_floats(block, n);
}

// Entries that are not positive become −1 where the true label is ≤ 0 and 0 elsewhere.
template <class T>
void mark_true_negatives(const View& true_labels, int64_t offset, int n, T* __restrict labels) {
  T block[kBlock];
  const T* __restrict truth = load_asking(true_labels, offset, n, block);
  for (int i = 0; i < n; ++i) labels[i] = labels[i] > 0 ? labels[i] : (truth[i] <= 0 ? T(-1) : T(0));
}

template <class T, class Formula>
void map(const T* __restrict x, const T* __restrict z, Ahead<T> logits, Ahead<T> labels, int n, T* __restrict loss,
         T* __restrict gradient, T scale, Formula formula) {
  for (int i = 0; i < n; i += kLanes<T>) {
    logits.ask(i);
    labels.ask(i);
    const Term<WideOf<T>> term = formula(load_lanes(x + i), load_lanes(z + i));
    store_lanes(loss + i, term.loss);
    store_lanes(gradient + i, term.gradient * scale);
  }
}

// Σ log a over a block whose products of four a neither vanish nor overflow, a logarithm for each four; the product's roundings
// are as large as those that made its factors.
template <class T>
double log_of_product(T* __restrict factors, int n) {
  T logs[kBlock / 4];
  const int four = 4 * kLanes<T>, quarter = (n + four - 1) / four * kLanes<T>;
  for (int i = n; i < 4 * quarter; ++i) factors[i] = T(1);
  for (int i = 0; i < quarter; i += kLanes<T>) {
    const WideOf<T> first = load_lanes(factors + i) * load_lanes(factors + i + quarter);
    const WideOf<T> last = load_lanes(factors + i + 2 * quarter) * load_lanes(factors + i + 3 * quarter);
    store_lanes(logs + i, log_positive(first * last));
  }
  return block_sum(logs, quarter);
}

// A block's numbers, as they are computed, and their sum in fp64.
template <class T>
struct Tally {
  T numbers[kBlock];
  MLCFAST_INLINE void add(int i, int, T number) { numbers[i] = number; }
  double total(int n) const { return block_sum(numbers, n); }
};

#ifdef __AVX512F__
// In registers: eight in a row are added in fp32.
template <>
struct Tally<float> {
  __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
  Lanes part = 0;

  MLCFAST_INLINE void add(int i, int n, Lanes numbers) {
    part = part + (n - i < kLanes<float> ? first(numbers, n - i) : numbers);
    if ((i / kLanes<float>) % 8 == 7) widen();
  }
  MLCFAST_INLINE void widen() {
    low = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(part.v)));
    high = _mm512_add_pd(high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(part.v, 1)));
    part = 0;
  }
  MLCFAST_INLINE double total(int) {
    widen();
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
  }
};
#endif

constexpr double kLeastFactor = 1e-9;  // eps from here on may be one of four factors

struct Nothing {
  template <class T>
  void operator()(int64_t, int, const T*, T*, T*) const {}
};

// `after` is called with the offset, the length, the labels, losses and scaled gradients of each block. of_log: where it is not 0,
// `hard` gives a in place of of_log · log a, and no loss of an entry is wanted.
template <class T, class Hard, class Soft, class After = Nothing>
Sum elementwise(const Entries& e, int64_t begin, int64_t end, bool hard_allowed, Hard hard, Soft soft, After after = {},
                double of_log = 0) {
  T x_block[kBlock], z_block[kBlock], loss[kBlock], gradient_block[kBlock];
  const T scale = static_cast<T>(e.gradient_scale);
  Sum sum;
  for (int64_t offset = begin; offset < end; offset += kBlock) {
    const int n = static_cast<int>(end - offset < kBlock ? end - offset : kBlock);
    const Ahead<T> logits(e.logits, offset, n), labels(e.labels, offset, n);
    const T* x = load(e.logits, offset, n, x_block);
    const T* z = load(e.labels, offset, n, z_block);
    const LabelKinds kinds = inspect(e.labels, offset, n, z);
    sum.bad_label |= kinds.bad;
    if (e.true_labels.data != nullptr) {
      if (z != z_block) std::memcpy(z_block, z, sizeof(T) * n);
      mark_true_negatives(e.true_labels, offset, n, z_block);
      z = z_block;
    }
    T* const gradient = in_place(e.gradient, offset, n, gradient_block);
    const bool is_hard = hard_allowed && kinds.hard;
    if (is_hard)
      map(x, z, logits, labels, n, loss, gradient, scale, hard);
    else
      map(x, z, logits, labels, n, loss, gradient, scale, soft);
    after(offset, n, z, loss, gradient);
    sum.loss += is_hard && of_log != 0 ? of_log * log_of_product(loss, n) : block_sum(loss, n);
    store(e.loss, offset, n, loss, static_cast<T>(e.loss_scale));
    if (gradient == gradient_block) store(e.gradient, offset, n, gradient, T(1));
  }
  return sum;
}

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
