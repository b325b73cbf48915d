// The asymmetric loss on the CPU: the formula is in formulas.h, the loops in cpu/kernels.cpp.
#include "elementwise.h"

namespace mlcfast {

Pair asymmetric_loss_forward(const at::Tensor& logits, const at::Tensor& targets, double gamma_neg, double gamma_pos,
                             double clip, double eps, bool detach_focal_weight, int64_t reduction, double scale,
                             bool with_gradient) {
  check_same_shape(logits, targets, "targets");
  const AsymmetricOptions options{gamma_neg, gamma_pos, clip, eps, detach_focal_weight};
  return run_elementwise(logits, targets, {}, "targets", reduction, scale, with_gradient, logits.numel(), kChunk,
                         [&options](const Entries& entries, int64_t begin, int64_t end) {
                           return kernels().asymmetric(entries, options, begin, end);
                         });
}

}  // namespace mlcfast
