// The CPU operators; their schemas are declared in Python, next to each op.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <optional>
#include <tuple>

namespace mlcfast {

using Pair = std::tuple<at::Tensor, at::Tensor>;

// Forward operators return the loss and, with_gradient, the gradient of the reduced loss (else an empty tensor). fp16 logits
// store kHalfUnit times the gradient of the unreduced loss instead, clear of fp16's subnormals; rescale_gradient_ reduces it.
constexpr double kHalfUnit = 16;

// options: AsymmetricOptions of formulas.h.
Pair asymmetric_loss_forward(const at::Tensor& logits, const at::Tensor& targets, at::ArrayRef<double> options,
                             int64_t reduction, double scale, bool with_gradient);

Pair weighted_bce_forward(const at::Tensor& logits, const at::Tensor& labels,
                          const std::optional<at::Tensor>& true_labels, double positive_a, double positive_b,
                          double unknown_a, double unknown_b, double negative_a, double negative_b, double eps,
                          int64_t reduction, bool with_gradient);

// One of the losses told by a number: `formula` and its `options` are those of cpu/kernels.h; weights are (K,).
Pair label_loss_forward(const at::Tensor& logits, const at::Tensor& labels, const std::optional<at::Tensor>& threshold,
                        const std::optional<at::Tensor>& positive_weight,
                        const std::optional<at::Tensor>& other_weight, int64_t formula, at::ArrayRef<double> options,
                        int64_t reduction, bool with_gradient);

// The count-th largest logit of an entry labelled 0, 0-d fp32, −∞ where there are fewer; not for fp64.
at::Tensor large_loss_threshold(const at::Tensor& logits, const at::Tensor& labels, int64_t count);
float large_loss_bound(const at::Tensor& logits, const at::Tensor& labels, int64_t count);  // the same, as a number

// Images of bytes (H, W, 3), contiguous; see cpu/pixels.h and mlcfast/ops/pixels.py.
at::Tensor pixels_resize(const at::Tensor& image, int64_t height, int64_t width);
at::Tensor pixels_look_up(const at::Tensor& image, const at::Tensor& tables);  // (3, 256) bytes
at::Tensor pixels_count(const at::Tensor& image);                             // (3, 256) int64
int64_t pixels_grey_sum(const at::Tensor& image);
at::Tensor pixels_move(const at::Tensor& image, at::ArrayRef<double> matrix);
at::Tensor pixels_blend(const at::Tensor& image, bool with_grey, double factor);

Pair pairwise_ranking_forward(const at::Tensor& logits, const at::Tensor& labels, int64_t reduction,
                              bool with_gradient);

// gradient *= loss_gradient · factor, / entries if mean; returns at once when that is 1.
void rescale_gradient_(const at::Tensor& gradient, const at::Tensor& loss_gradient, double factor, bool mean);

// EPR without an estimate, ROLE with one; (loss, statistic of the global batch), see mlcfast/ops/statistic.py.
Pair expected_positives_forward(const at::Tensor& logits, const at::Tensor& observed,
                                const std::optional<at::Tensor>& estimate_logits,
                                const std::optional<at::Tensor>& index, const std::optional<at::Tensor>& statistic,
                                double expected_positives, double weight, double eps);

// (gradient of the logits, gradient of the estimate's rows or an empty tensor).
Pair expected_positives_backward(const at::Tensor& loss_gradient, const at::Tensor& logits, const at::Tensor& observed,
                                 const std::optional<at::Tensor>& estimate_logits,
                                 const std::optional<at::Tensor>& index, const at::Tensor& statistic,
                                 double expected_positives, double weight, double eps);

}  // namespace mlcfast
