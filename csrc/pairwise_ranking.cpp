// The pairwise ranking hinge on the CPU, mean or sum: the formula is with its loops in cpu/row_kernels.cpp.
#include "elementwise.h"

namespace mlcfast {

Pair pairwise_ranking_forward(const at::Tensor& logits, const at::Tensor& labels, int64_t reduction,
                              bool with_gradient) {
  check_same_shape(logits, labels, "labels");
  TORCH_CHECK_VALUE(reduction != Reduction::none, "reduction must be mean or sum in this operator");
  const int64_t B = logits.size(0), K = logits.size(1);
  return run_elementwise(logits, labels, {}, "labels", reduction, 1.0, with_gradient, B, rows_in_chunk(K),
                         [K](const Entries& entries, int64_t begin, int64_t end) {
                           return kernels().pairwise_ranking(entries, K, begin, end);
                         });
}

}  // namespace mlcfast
