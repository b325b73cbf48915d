// The asymmetric loss on the CPU: the formula is in formulas.h, the loops in cpu/kernels.cpp.
#include "elementwise.h"

namespace mlcfast {

Pair asymmetric_loss_forward(const at::Tensor& logits, const at::Tensor& targets, at::ArrayRef<double> options,
                             int64_t reduction, double scale, bool with_gradient) {
  check_same_shape(logits, targets, "targets");
  check_options("asymmetric_loss", kernels().options_of(Formula::asymmetric), options);
  return run_elementwise(logits, targets, {}, "targets", reduction, scale, with_gradient, logits.numel(), kChunk,
                         [&options](const Entries& entries, int64_t begin, int64_t end) {
                           return kernels().asymmetric(entries, options.data(), begin, end);
                         });
}

}  // namespace mlcfast
