// The CPU implementations of the operators whose schemas mlcfast/ops declares.
#include <torch/library.h>

#include "ops.h"

TORCH_LIBRARY_IMPL(mlcfast, CPU, m) {
  m.impl("asymmetric_loss_forward", &mlcfast::asymmetric_loss_forward);
  m.impl("weighted_bce_forward", &mlcfast::weighted_bce_forward);
  m.impl("label_loss_forward", &mlcfast::label_loss_forward);
  m.impl("large_loss_threshold", &mlcfast::large_loss_threshold);
  m.impl("pixels_blend", &mlcfast::pixels_blend);
  m.impl("pixels_count", &mlcfast::pixels_count);
  m.impl("pixels_grey_sum", &mlcfast::pixels_grey_sum);
  m.impl("pixels_look_up", &mlcfast::pixels_look_up);
  m.impl("pixels_move", &mlcfast::pixels_move);
  m.impl("pixels_resize", &mlcfast::pixels_resize);
  m.impl("pairwise_ranking_forward", &mlcfast::pairwise_ranking_forward);
  m.impl("rescale_gradient_", &mlcfast::rescale_gradient_);
  m.impl("expected_positives_forward", &mlcfast::expected_positives_forward);
  m.impl("expected_positives_backward", &mlcfast::expected_positives_backward);
}
