// The differentiable operators: a forward operator and what its gradient becomes in backward. They go through the dispatcher,
// so that one definition serves the CPU and the CUDA kernels, and fake tensors when a graph is traced.
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <torch/library.h>

#include "stored_gradient.h"

namespace mlcfast {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<at::Tensor>;
using Options = at::ArrayRef<double>;

// ---- losses whose gradient is computed in forward, and only rescaled in backward

at::Tensor asymmetric_loss(const at::Tensor& logits, const at::Tensor& targets, Options options, int64_t reduction,
                           double scale) {
  static auto op = operator_named<decltype(asymmetric_loss_forward)>("mlcfast::asymmetric_loss_forward");
  return with_stored_gradient(logits, targets, "targets", reduction, scale, [&](bool with_gradient) {
    return op.call(logits, targets, options, reduction, scale, with_gradient);
  });
}

at::Tensor weighted_bce(const at::Tensor& logits, const at::Tensor& labels, const OptionalTensor& true_labels, double pa,
                        double pb, double ua, double ub, double na, double nb, double eps, int64_t reduction) {
  static auto op = operator_named<decltype(weighted_bce_forward)>("mlcfast::weighted_bce_forward");
  return with_stored_gradient(logits, labels, "labels", reduction, 1.0, [&](bool with_gradient) {
    return op.call(logits, labels, true_labels, pa, pb, ua, ub, na, nb, eps, reduction, with_gradient);
  });
}

at::Tensor label_loss(const at::Tensor& logits, const at::Tensor& labels, const OptionalTensor& threshold,
                      const OptionalTensor& positive_weight, const OptionalTensor& other_weight, int64_t formula,
                      Options options, int64_t reduction) {
  static auto op = operator_named<decltype(label_loss_forward)>("mlcfast::label_loss_forward");
  return with_stored_gradient(logits, labels, "labels", reduction, 1.0, [&](bool with_gradient) {
    return op.call(logits, labels, threshold, positive_weight, other_weight, formula, options, reduction, with_gradient);
  });
}

at::Tensor pairwise_ranking(const at::Tensor& logits, const at::Tensor& labels, int64_t reduction) {
  static auto op = operator_named<decltype(pairwise_ranking_forward)>("mlcfast::pairwise_ranking_forward");
  return with_stored_gradient(logits, labels, "labels", reduction, 1.0, [&](bool with_gradient) {
    return op.call(logits, labels, reduction, with_gradient);
  });
}

// ---- EPR and ROLE: forward keeps its inputs and the batch's statistic, backward computes the gradients

struct ExpectedPositives : torch::autograd::Function<ExpectedPositives> {
  static variable_list backward(AutogradContext* ctx, const variable_list& incoming) {
    static auto op = operator_named<decltype(expected_positives_backward)>("mlcfast::expected_positives_backward");
    refuse_second_derivative();
    const variable_list saved = ctx->get_saved_variables();
    const auto optional = [](const at::Tensor& t) { return t.defined() ? OptionalTensor(t) : std::nullopt; };
    const auto options = ctx->saved_data["options"].toDoubleVector();
    auto [logits, rows] = op.call(incoming[0], saved[0], saved[1], optional(saved[2]), optional(saved[3]), saved[4],
                                  options[0], options[1], options[2]);
    if (saved[3].defined()) return {logits, at::_sparse_coo_tensor_unsafe(saved[3].unsqueeze(0), rows, saved[2].sizes())};
    return {logits, saved[2].defined() ? rows : at::Tensor()};
  }
};

at::Tensor expected_positives(const at::Tensor& logits, const at::Tensor& observed, const OptionalTensor& estimate,
                              const OptionalTensor& index, const OptionalTensor& statistic, double expected,
                              double weight, double eps) {
  static auto op = operator_named<decltype(expected_positives_forward)>("mlcfast::expected_positives_forward");
  const bool estimate_learns = estimate.has_value() && needs_gradient(*estimate);
  const bool learns = needs_gradient(logits) || estimate_learns;
  auto [loss, total] = [&] {
    at::AutoDispatchBelowADInplaceOrView below;
    return op.call(logits, observed, estimate, index, statistic, expected, weight, eps);
  }();
  if (!learns) return loss;
  const at::Tensor estimated = estimate.value_or(at::Tensor());
  differentiable<ExpectedPositives>({&logits, &estimated}, loss, [&](AutogradContext& context) {
    context.save_for_backward({logits, observed, estimated, index.value_or(at::Tensor()), total});
    context.saved_data["options"] = std::vector<double>{expected, weight, eps};
  });
  return loss;
}

}  // namespace

TORCH_LIBRARY_IMPL(mlcfast, Autograd, m) {
  m.impl("asymmetric_loss", &asymmetric_loss);
  m.impl("weighted_bce", &weighted_bce);
  m.impl("label_loss", &label_loss);
  m.impl("pairwise_ranking", &pairwise_ranking);
  m.impl("expected_positives", &expected_positives);
}

// Inference mode and other callers below autograd.
TORCH_LIBRARY_IMPL(mlcfast, CompositeExplicitAutograd, m) {
  m.impl("asymmetric_loss", &asymmetric_loss);
  m.impl("weighted_bce", &weighted_bce);
  m.impl("label_loss", &label_loss);
  m.impl("pairwise_ranking", &pairwise_ranking);
  m.impl("expected_positives", &expected_positives);
}

}  // namespace mlcfast
