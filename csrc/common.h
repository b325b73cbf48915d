// What the CPU operators share: tensors as views, argument checks, and loops over fixed chunks.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/ArrayRef.h>
#include <c10/util/Exception.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/kernels.h"

namespace mlcfast {

enum Reduction : int64_t { none = 0, mean = 1, sum = 2 };

inline Type type_of(const at::Tensor& tensor, const char* name) {
  switch (tensor.scalar_type()) {
    case at::kFloat: return Type::f32;
    case at::kDouble: return Type::f64;
    case at::kHalf: return Type::f16;
    case at::kBFloat16: return Type::bf16;
    case at::kBool:
    case at::kByte: return Type::u8;
    case at::kChar: return Type::i8;
    case at::kShort: return Type::i16;
    case at::kInt: return Type::i32;
    case at::kLong: return Type::i64;
    default: TORCH_CHECK_VALUE(false, name, " has the unsupported dtype ", tensor.scalar_type());
  }
}

inline View view_of(const at::Tensor& tensor, const char* name) {
  return {tensor.const_data_ptr(), type_of(tensor, name)};
}

inline MutableView mutable_view_of(const at::Tensor& tensor) {
  return {tensor.defined() && tensor.numel() > 0 ? tensor.mutable_data_ptr() : nullptr, type_of(tensor, "output")};
}

inline bool is_wide(const at::Tensor& tensor) { return tensor.scalar_type() == at::kDouble; }

inline at::ScalarType arithmetic_type(const at::Tensor& logits) { return is_wide(logits) ? at::kDouble : at::kFloat; }

// An empty tensor whose every entry is written next. In a fresh one a page costs about as much as a loss computes for it, so
// large ones ask for pages of 2 MiB, which a system may keep for those who do.
inline at::Tensor unwritten(at::IntArrayRef sizes, const at::TensorOptions& options) {
  at::Tensor made = at::empty(sizes, options);
#ifdef __linux__
  constexpr uintptr_t kHuge = uintptr_t(1) << 21;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(made.mutable_data_ptr()), end = begin + made.nbytes();
  const uintptr_t first = (begin + kHuge - 1) / kHuge * kHuge, last = end / kHuge * kHuge;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // a wish: refused, nothing is lost
#endif
  return made;
}

inline void check_same_shape(const at::Tensor& logits, const at::Tensor& other, const char* name) {
  TORCH_CHECK_VALUE(other.sizes() == logits.sizes(), name, " must have the shape of logits ", logits.sizes(), ", not ",
                    other.sizes());
}

inline void check_options(const char* name, int wanted, at::ArrayRef<double> options) {
  TORCH_CHECK_VALUE(static_cast<int>(options.size()) == wanted, name, " takes ", wanted, " options, not ", options.size());
}

inline void check_label_values(bool bad, const char* name) {
  TORCH_CHECK_VALUE(!bad, name, " must lie in [-1, 1]");
}

// scale for sum and none, scale / entries for mean; an empty batch has mean 0.
inline double reduced_scale(int64_t reduction, double scale, int64_t entries) {
  return reduction == Reduction::mean ? scale / static_cast<double>(std::max<int64_t>(entries, 1)) : scale;
}

constexpr int64_t kChunk = 8192;  // entries whose sum is formed by itself
constexpr int64_t kForThread = 32768;  // entries, as in torch's own operators; for fewer it is not worth waking another thread

inline int64_t rows_in_chunk(int64_t K) { return std::max<int64_t>(kChunk / std::max<int64_t>(K, 1), 1); }

// Of a second pass over the same tensors: a thread's last entries first, which the caches still hold from the pass before.
enum class Order { as_stored, last_first };
constexpr int64_t kStretch = 1 << 17;  // entries that are then read as they are stored: a processor foresees no other order

// One result for each chunk of [0, total), computed by any number of threads: chunks do not depend on how many there are,
// so neither do the bits of a sum over them. size: the entries of a unit of `total`, such as a row's.
template <class Result, class Body>
std::vector<Result> over_chunks(int64_t total, int64_t chunk, int64_t size, Body body, Order order = Order::as_stored) {
  const int64_t chunks = (total + chunk - 1) / chunk;
  const int64_t of_thread = std::max<int64_t>(kForThread / std::max<int64_t>(chunk * size, 1), 1);
  if (chunks == 1) return {body(int64_t(0), total)};
  std::vector<Result> results(static_cast<size_t>(chunks));
  at::parallel_for(0, chunks, of_thread, [&](int64_t first, int64_t last) {
    const int64_t some = std::max<int64_t>(kStretch / std::max<int64_t>(chunk * size, 1), 1);
    const int64_t stretch = order == Order::as_stored ? last - first : some;
    for (int64_t end = last; end > first; end -= stretch)
      for (int64_t i = std::max(first, end - stretch); i < end; ++i)
        results[static_cast<size_t>(i)] = body(i * chunk, std::min(total, (i + 1) * chunk));
  });
  return results;
}

inline Sum total_of(const std::vector<Sum>& parts) {
  Sum total;
  for (const Sum& part : parts) {
    total.loss += part.loss;
    total.bad_label |= part.bad_label;
  }
  return total;
}

}  // namespace mlcfast
