// The weighted cross-entropy family on the CPU: the formula is in formulas.h, the loops in cpu/kernels.cpp.
#include "elementwise.h"

namespace mlcfast {

Pair weighted_bce_forward(const at::Tensor& logits, const at::Tensor& labels,
                          const std::optional<at::Tensor>& true_labels, double positive_a, double positive_b,
                          double unknown_a, double unknown_b, double negative_a, double negative_b, double eps,
                          int64_t reduction, bool with_gradient) {
  check_same_shape(logits, labels, "labels");
  const at::Tensor known = true_labels.value_or(at::Tensor());
  if (known.defined()) check_same_shape(logits, known, "true_labels");
  const WeightedBceOptions options{positive_a, positive_b, unknown_a, unknown_b, negative_a, negative_b, eps};
  return run_elementwise(logits, labels, known, "labels", reduction, 1.0, with_gradient, logits.numel(), kChunk,
                         [&options](const Entries& entries, int64_t begin, int64_t end) {
                           return kernels().weighted_bce(entries, options, begin, end);
                         });
}

}  // namespace mlcfast
