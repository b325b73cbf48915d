// The loop of an elementwise loss over blocks that live in L1: widened, inspected, through a formula, rounded on the way out.
#pragma once

#include <cstring>

#include "convert.h"
#include "kernels.h"

#include "../formulas.h"

namespace mlcfast {
namespace MLCFAST_ISA {

constexpr int kBlock = 512;

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
  const T* __restrict truth = load(true_labels, offset, n, block);
  for (int i = 0; i < n; ++i) labels[i] = labels[i] > 0 ? labels[i] : (truth[i] <= 0 ? T(-1) : T(0));
}

template <class T, class Formula>
void map(const T* __restrict x, const T* __restrict z, int n, T* __restrict loss, T* __restrict gradient, T scale,
         Formula formula) {
  for (int i = 0; i < n; ++i) {
    const Term<T> term = formula(x[i], z[i]);
    loss[i] = term.loss;
    gradient[i] = term.gradient * scale;
  }
}

// Σ log a over a block whose products of four a neither vanish nor overflow, a logarithm for each four; the product's roundings
// are as large as those that made its factors.
template <class T>
double log_of_product(T* __restrict factors, int n) {
  T logs[kBlock / 4];
  const int quarter = (n + 3) / 4;
  for (int i = n; i < 4 * quarter; ++i) factors[i] = T(1);
  for (int i = 0; i < quarter; ++i) {
    const T product = (factors[i] * factors[i + quarter]) * (factors[i + 2 * quarter] * factors[i + 3 * quarter]);
    logs[i] = log_positive(product);
  }
  return block_sum(logs, quarter);
}

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
    const T* x = load(e.logits, offset, n, x_block);
    const T* z = load(e.labels, offset, n, z_block);
    const LabelKinds kinds = inspect(e.labels, offset, n, z);
    sum.bad_label |= kinds.bad;
    if (e.true_labels.data != nullptr) {
      if (z != z_block) std::memcpy(z_block, z, sizeof(T) * n);
      mark_true_negatives(e.true_labels, offset, n, z_block);
      z = z_block;
    }
    T* const gradient = in_place(e.gradient, offset, gradient_block);
    const bool is_hard = hard_allowed && kinds.hard;
    if (is_hard)
      map(x, z, n, loss, gradient, scale, hard);
    else
      map(x, z, n, loss, gradient, scale, soft);
    after(offset, n, z, loss, gradient);
    sum.loss += is_hard && of_log != 0 ? of_log * log_of_product(loss, n) : block_sum(loss, n);
    store(e.loss, offset, n, loss, static_cast<T>(e.loss_scale));
    if (gradient == gradient_block) store(e.gradient, offset, n, gradient, T(1));
  }
  return sum;
}

}  // namespace MLCFAST_ISA
}  // namespace mlcfast
