// The backward pass of the elementwise losses on the CPU: the stored gradient times the incoming scalar, in place.
#include "common.h"
#include "ops.h"

namespace mlcfast {

void rescale_gradient_(const at::Tensor& gradient, const at::Tensor& loss_gradient, double factor, bool mean) {
  TORCH_CHECK_VALUE(gradient.is_contiguous(), "gradient must be contiguous");
  TORCH_CHECK_VALUE(loss_gradient.numel() == 1, "loss_gradient must be a scalar");
  const double incoming =
      is_wide(loss_gradient) ? *loss_gradient.const_data_ptr<double>() : *loss_gradient.const_data_ptr<float>();
  const double scale = incoming * reduced_scale(mean ? Reduction::mean : Reduction::sum, factor, gradient.numel());
  if (scale == 1.0 || gradient.numel() == 0) return;
  const MutableView view = mutable_view_of(gradient);
  at::parallel_for(0, gradient.numel(), kForThread,
                   [&](int64_t begin, int64_t end) { kernels().scale(view, scale, begin, end); });
}

}  // namespace mlcfast
