// The CUDA operators: the same schemas as the CPU's (csrc/ops.h), outputs allocated, kernels launched on torch's stream.
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "../common.h"
#include "../ops.h"
#include "launch.h"

namespace mlcfast::gpu {
namespace {

cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream(); }

// Labels in a type the kernels read: fp64 beside fp64 logits, else u8, i8, i64 or fp32.
at::Tensor readable(const at::Tensor& labels, const at::Tensor& logits) {
  if (is_wide(logits)) return labels.to(at::kDouble).contiguous();
  switch (labels.scalar_type()) {
    case at::kBool:
    case at::kByte:
    case at::kChar:
    case at::kLong:
    case at::kFloat: return labels.contiguous();
    default: return labels.to(at::kFloat).contiguous();
  }
}

// The kernels only ask whether a true label is ≤ 0, so one of another type than the labels becomes 0 or 1 of theirs: converted
// itself, −1 would wrap in bytes and a soft truth would fall to 0. As in the reference, NaN is not ≤ 0.
at::Tensor readable_truth(const at::Tensor& truth, const at::Tensor& labels) {
  if (!truth.defined()) return truth;
  if (truth.scalar_type() == labels.scalar_type()) return truth.contiguous();
  return truth.le(0).logical_not_().to(labels.scalar_type()).contiguous();
}

// Run is called with the filled launch; it leaves `blocks` partial losses.
template <class Run>
Pair run_elementwise(const at::Tensor& logits_in, const at::Tensor& labels_in, const at::Tensor& truth_in,
                     int64_t reduction, double scale, bool with_gradient, int64_t blocks, Run run) {
  const c10::cuda::CUDAGuard guard(logits_in.device());
  const at::Tensor logits = logits_in.contiguous(), labels = readable(labels_in, logits);
  const at::Tensor truth = readable_truth(truth_in, labels);
  const auto options = logits.options().dtype(arithmetic_type(logits));
  const double reduced = reduced_scale(reduction, scale, logits.numel());
  const at::Tensor gradient = at::empty(with_gradient ? logits.sizes() : at::IntArrayRef{0}, logits.options());
  const bool whole = reduction == Reduction::none;
  const at::IntArrayRef loss_sizes = whole ? logits.sizes() : at::IntArrayRef{};
  if (logits.numel() == 0) return {at::zeros(loss_sizes, options), gradient};
  const at::Tensor loss = at::empty(loss_sizes, options);
  const at::Tensor partial = at::empty({blocks}, options);
  Elementwise launch{};
  launch.entries.logits = view_of(logits, "logits");
  launch.entries.labels = view_of(labels, "labels");
  if (truth.defined()) launch.entries.true_labels = view_of(truth, "true_labels");
  if (whole) launch.entries.loss = mutable_view_of(loss);
  if (with_gradient) launch.entries.gradient = mutable_view_of(gradient);
  launch.entries.loss_scale = scale;
  launch.entries.gradient_scale = logits.scalar_type() == at::kHalf ? kHalfUnit : reduced;
  launch.partial = partial.mutable_data_ptr();
  launch.count = logits.numel();
  run(launch);
  if (!whole) sum_partials(partial.const_data_ptr(), blocks, loss.mutable_data_ptr(), is_wide(logits), reduced, stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return {loss, gradient};
}

Pair asymmetric_loss_forward_cuda(const at::Tensor& logits, const at::Tensor& targets, at::ArrayRef<double> options,
                                  int64_t reduction, double scale, bool with_gradient) {
  check_same_shape(logits, targets, "targets");
  check_options("asymmetric_loss", asymmetric_option_count(), options);
  return run_elementwise(logits, targets, {}, reduction, scale, with_gradient, blocks_for(logits.numel()),
                         [&](const Elementwise& launch) { asymmetric(launch, options.data(), stream()); });
}

Pair weighted_bce_forward_cuda(const at::Tensor& logits, const at::Tensor& labels,
                               const std::optional<at::Tensor>& true_labels, double positive_a, double positive_b,
                               double unknown_a, double unknown_b, double negative_a, double negative_b, double eps,
                               int64_t reduction, bool with_gradient) {
  check_same_shape(logits, labels, "labels");
  const at::Tensor truth = true_labels.value_or(at::Tensor());
  if (truth.defined()) check_same_shape(logits, truth, "true_labels");
  const WeightedBceOptions options{positive_a, positive_b, unknown_a, unknown_b, negative_a, negative_b, eps};
  return run_elementwise(logits, labels, truth, reduction, 1.0, with_gradient, blocks_for(logits.numel()),
                         [&](const Elementwise& launch) { weighted_bce(launch, options, stream()); });
}

Pair pairwise_ranking_forward_cuda(const at::Tensor& logits, const at::Tensor& labels, int64_t reduction,
                                   bool with_gradient) {
  check_same_shape(logits, labels, "labels");
  TORCH_CHECK_VALUE(reduction != Reduction::none, "reduction must be mean or sum in this operator");
  const int64_t B = logits.size(0), K = logits.size(1);
  return run_elementwise(logits, labels, {}, reduction, 1.0, with_gradient, B, [&](Elementwise launch) {
    launch.K = K;
    pairwise_ranking(launch, B, stream());
  });
}

void rescale_gradient_cuda_(const at::Tensor& gradient, const at::Tensor& loss_gradient, double factor, bool mean) {
  const c10::cuda::CUDAGuard guard(gradient.device());
  TORCH_CHECK_VALUE(gradient.is_contiguous(), "gradient must be contiguous");
  TORCH_CHECK_VALUE(loss_gradient.numel() == 1, "loss_gradient must be a scalar");
  if (gradient.numel() == 0) return;
  const double scale = reduced_scale(mean ? Reduction::mean : Reduction::sum, factor, gradient.numel());
  rescale(mutable_view_of(gradient), loss_gradient.const_data_ptr(), scale, gradient.numel(), stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

struct Inputs {
  at::Tensor logits, observed, estimate, index;
  CoupledLaunch launch{};
};

Inputs inputs_of(const at::Tensor& logits, const at::Tensor& observed, const std::optional<at::Tensor>& estimate,
                 const std::optional<at::Tensor>& index, double expected_positives, double weight, double eps) {
  check_same_shape(logits, observed, "observed");
  Inputs in{logits.contiguous(), readable(observed, logits), {}, {}, {}};
  Coupled& view = in.launch.inputs;
  view.logits = view_of(in.logits, "logits");
  view.observed = view_of(in.observed, "observed");
  view.K = logits.size(1);
  TORCH_CHECK_VALUE(view.K <= int64_t(1) << 30, "a CUDA device takes at most 2^30 labels here, not ", view.K);
  view.eps = eps;
  in.launch.role = estimate.has_value();  // an empty estimate has no address either
  if (in.launch.role) {
    in.estimate = estimate->to(arithmetic_type(logits)).contiguous();
    view.estimate = view_of(in.estimate, "estimate_logits");
    view.table_rows = in.estimate.size(0);
  }
  if (index.has_value()) {
    in.index = index->contiguous();
    view.index = in.index.const_data_ptr<int64_t>();
  }
  in.launch.B = logits.size(0);
  in.launch.expected_positives = expected_positives;
  in.launch.weight = weight;
  return in;
}

Pair expected_positives_forward_cuda(const at::Tensor& logits, const at::Tensor& observed,
                                     const std::optional<at::Tensor>& estimate_logits,
                                     const std::optional<at::Tensor>& index,
                                     const std::optional<at::Tensor>& statistic, double expected_positives,
                                     double weight, double eps) {
  const c10::cuda::CUDAGuard guard(logits.device());
  const auto options = logits.options().dtype(arithmetic_type(logits));
  if (logits.numel() == 0 && !statistic.has_value()) return {at::zeros({}, options), at::zeros({4}, options)};
  const at::Tensor loss = at::empty({}, options), total = at::empty({4}, options);
  Inputs in = inputs_of(logits, observed, estimate_logits, index, expected_positives, weight, eps);
  const at::Tensor given = statistic.has_value() ? statistic->to(options).contiguous() : at::Tensor();
  const at::Tensor partial = at::empty({3, std::max<int64_t>(blocks_for(logits.numel()), 1)}, options);
  in.launch.partial = partial.mutable_data_ptr();
  in.launch.given = given.defined() ? given.const_data_ptr() : nullptr;
  in.launch.loss = loss.mutable_data_ptr();
  in.launch.statistic = total.mutable_data_ptr();
  coupled_forward(in.launch, stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return {loss, total};
}

Pair expected_positives_backward_cuda(const at::Tensor& loss_gradient, const at::Tensor& logits,
                                      const at::Tensor& observed, const std::optional<at::Tensor>& estimate_logits,
                                      const std::optional<at::Tensor>& index, const at::Tensor& statistic,
                                      double expected_positives, double weight, double eps) {
  const c10::cuda::CUDAGuard guard(logits.device());
  Inputs in = inputs_of(logits, observed, estimate_logits, index, expected_positives, weight, eps);
  const at::Tensor gradient = at::empty(logits.sizes(), logits.options());
  const bool role = in.estimate.defined();
  const at::Tensor rows = role ? at::empty(logits.sizes(), in.estimate.options()) : at::empty({0}, logits.options());
  if (logits.numel() > 0) {
    const at::Tensor incoming = loss_gradient.contiguous(), total = statistic.contiguous();
    in.launch.inputs.logits_gradient = mutable_view_of(gradient);
    if (role) in.launch.inputs.estimate_gradient = mutable_view_of(rows);
    in.launch.statistic = total.mutable_data_ptr();
    in.launch.incoming = incoming.const_data_ptr();
    coupled_backward(in.launch, stream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
  return {gradient, role ? rows.to(estimate_logits->scalar_type()) : rows};
}

std::string cuda_architectures() { return MLCFAST_CUDA_ARCHITECTURES; }

}  // namespace

TORCH_LIBRARY_IMPL(mlcfast, CompositeExplicitAutograd, m) { m.impl("cuda_architectures", &cuda_architectures); }

TORCH_LIBRARY_IMPL(mlcfast, CUDA, m) {
  m.impl("asymmetric_loss_forward", &asymmetric_loss_forward_cuda);
  m.impl("weighted_bce_forward", &weighted_bce_forward_cuda);
  m.impl("pairwise_ranking_forward", &pairwise_ranking_forward_cuda);
  m.impl("rescale_gradient_", &rescale_gradient_cuda_);
  m.impl("expected_positives_forward", &expected_positives_forward_cuda);
  m.impl("expected_positives_backward", &expected_positives_backward_cuda);
}

}  // namespace mlcfast::gpu
