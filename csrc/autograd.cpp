// The differentiable operators: a forward operator and what its gradient becomes in backward. They go through the dispatcher,
// so that one definition serves the CPU and the CUDA kernels, and fake tensors when a graph is traced.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/div.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <c10/core/impl/PythonDispatcherTLS.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/library.h>

#include "common.h"
#include "ops.h"

namespace mlcfast {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<at::Tensor>;

template <class Signature>
auto operator_named(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

bool is_traced(const at::Tensor& tensor) {
  return c10::impl::dispatch_mode_enabled() || tensor.key_set().has(c10::DispatchKey::Python) ||
         c10::impl::PythonDispatcherTLS::get_state() != nullptr;
}

void refuse_second_derivative() {
  TORCH_CHECK_NOT_IMPLEMENTED(!at::GradMode::is_enabled(),
              "a fused loss has no second derivative: set MLCFAST_BACKEND=reference for create_graph=True");
}

// ---- elementwise losses: the gradient is computed in forward, and only rescaled in backward

struct Rescale {
  int64_t reduction;
  double scale;
};

void remember(AutogradContext* ctx, const at::Tensor& gradient, Rescale how) {
  ctx->save_for_backward({gradient});
  ctx->saved_data["reduction"] = how.reduction;
  ctx->saved_data["scale"] = how.scale;
}

at::Tensor multiplied(const at::Tensor& gradient, const at::Tensor& incoming, double factor, bool mean) {
  at::Tensor scale = at::mul(incoming, factor);
  if (mean) scale = at::div(scale, at::full_symint({}, gradient.sym_numel(), incoming.options()));
  return at::mul(gradient.to(incoming.scalar_type()), scale).to(gradient.scalar_type());
}

at::Tensor rescaled(AutogradContext* ctx, const at::Tensor& incoming) {
  static auto rescale = operator_named<void(const at::Tensor&, const at::Tensor&, double, bool)>("mlcfast::rescale_gradient_");
  const at::Tensor gradient = ctx->get_saved_variables()[0];
  const int64_t reduction = ctx->saved_data["reduction"].toInt();
  const bool half = gradient.scalar_type() == at::kHalf;
  const double factor = half ? ctx->saved_data["scale"].toDouble() / kHalfUnit : 1.0;
  const bool mean = half && reduction == Reduction::mean;
  if (reduction == Reduction::none || is_traced(gradient)) return multiplied(gradient, incoming, factor, mean);
  const bool kept = torch::autograd::get_current_graph_task_keep_graph();
  const at::Tensor own = kept ? gradient.clone() : gradient;
  rescale.call(own, incoming, factor, mean);
  return own;
}

using Options = at::ArrayRef<double>;

struct AsymmetricLoss : torch::autograd::Function<AsymmetricLoss> {
  static Pair call(const at::Tensor& logits, const at::Tensor& targets, Options options, int64_t reduction, double scale,
                   bool with_gradient) {
    static auto op = operator_named<decltype(asymmetric_loss_forward)>("mlcfast::asymmetric_loss_forward");
    at::AutoDispatchBelowADInplaceOrView below;
    return op.call(logits, targets, options, reduction, scale, with_gradient);
  }
  static Variable forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor& targets, Options options,
                          int64_t reduction, double scale) {
    auto [loss, gradient] = call(logits, targets, options, reduction, scale, true);
    remember(ctx, gradient, {reduction, scale});
    return loss;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& incoming) {
    refuse_second_derivative();
    variable_list gradients(5);
    gradients[0] = rescaled(ctx, incoming[0]);
    return gradients;
  }
};

bool needs_gradient(const at::Tensor& tensor) {
  TORCH_CHECK_NOT_IMPLEMENTED(!tensor._fw_grad(0).defined(),
              "a fused loss has no forward-mode derivative: set MLCFAST_BACKEND=reference");
  return at::GradMode::is_enabled() && tensor.requires_grad();
}

at::Tensor asymmetric_loss(const at::Tensor& logits, const at::Tensor& targets, Options options, int64_t reduction,
                           double scale) {
  if (!needs_gradient(logits))
    return std::get<0>(AsymmetricLoss::call(logits, targets, options, reduction, scale, false));
  return AsymmetricLoss::apply(logits, targets, options, reduction, scale);
}

struct WeightedBce : torch::autograd::Function<WeightedBce> {
  static Pair call(const at::Tensor& logits, const at::Tensor& labels, const OptionalTensor& true_labels, double pa,
                   double pb, double ua, double ub, double na, double nb, double eps, int64_t reduction,
                   bool with_gradient) {
    static auto op = operator_named<decltype(weighted_bce_forward)>("mlcfast::weighted_bce_forward");
    at::AutoDispatchBelowADInplaceOrView below;
    return op.call(logits, labels, true_labels, pa, pb, ua, ub, na, nb, eps, reduction, with_gradient);
  }
  static Variable forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor& labels,
                          const OptionalTensor& true_labels, double pa, double pb, double ua, double ub, double na,
                          double nb, double eps, int64_t reduction) {
    auto [loss, gradient] = call(logits, labels, true_labels, pa, pb, ua, ub, na, nb, eps, reduction, true);
    remember(ctx, gradient, {reduction, 1.0});
    return loss;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& incoming) {
    refuse_second_derivative();
    variable_list gradients(11);
    gradients[0] = rescaled(ctx, incoming[0]);
    return gradients;
  }
};

at::Tensor weighted_bce(const at::Tensor& logits, const at::Tensor& labels, const OptionalTensor& true_labels, double pa,
                        double pb, double ua, double ub, double na, double nb, double eps, int64_t reduction) {
  if (!needs_gradient(logits))
    return std::get<0>(WeightedBce::call(logits, labels, true_labels, pa, pb, ua, ub, na, nb, eps, reduction, false));
  return WeightedBce::apply(logits, labels, true_labels, pa, pb, ua, ub, na, nb, eps, reduction);
}

struct LabelLoss : torch::autograd::Function<LabelLoss> {
  static Pair call(const at::Tensor& logits, const at::Tensor& labels, const OptionalTensor& threshold,
                   const OptionalTensor& positive_weight, const OptionalTensor& other_weight, int64_t formula,
                   Options options, int64_t reduction, bool with_gradient) {
    static auto op = operator_named<decltype(label_loss_forward)>("mlcfast::label_loss_forward");
    at::AutoDispatchBelowADInplaceOrView below;
    return op.call(logits, labels, threshold, positive_weight, other_weight, formula, options, reduction, with_gradient);
  }
  static Variable forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor& labels,
                          const OptionalTensor& threshold, const OptionalTensor& positive_weight,
                          const OptionalTensor& other_weight, int64_t formula, Options options, int64_t reduction) {
    auto [loss, gradient] =
        call(logits, labels, threshold, positive_weight, other_weight, formula, options, reduction, true);
    remember(ctx, gradient, {reduction, 1.0});
    return loss;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& incoming) {
    refuse_second_derivative();
    variable_list gradients(8);
    gradients[0] = rescaled(ctx, incoming[0]);
    return gradients;
  }
};

at::Tensor label_loss(const at::Tensor& logits, const at::Tensor& labels, const OptionalTensor& threshold,
                      const OptionalTensor& positive_weight, const OptionalTensor& other_weight, int64_t formula,
                      Options options, int64_t reduction) {
  if (!needs_gradient(logits))
    return std::get<0>(
        LabelLoss::call(logits, labels, threshold, positive_weight, other_weight, formula, options, reduction, false));
  return LabelLoss::apply(logits, labels, threshold, positive_weight, other_weight, formula, options, reduction);
}

struct PairwiseRanking : torch::autograd::Function<PairwiseRanking> {
  static Pair call(const at::Tensor& logits, const at::Tensor& labels, int64_t reduction, bool with_gradient) {
    static auto op = operator_named<decltype(pairwise_ranking_forward)>("mlcfast::pairwise_ranking_forward");
    at::AutoDispatchBelowADInplaceOrView below;
    return op.call(logits, labels, reduction, with_gradient);
  }
  static Variable forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor& labels, int64_t reduction) {
    auto [loss, gradient] = call(logits, labels, reduction, true);
    remember(ctx, gradient, {reduction, 1.0});
    return loss;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& incoming) {
    refuse_second_derivative();
    return {rescaled(ctx, incoming[0]), Variable(), Variable()};
  }
};

at::Tensor pairwise_ranking(const at::Tensor& logits, const at::Tensor& labels, int64_t reduction) {
  if (!needs_gradient(logits)) return std::get<0>(PairwiseRanking::call(logits, labels, reduction, false));
  return PairwiseRanking::apply(logits, labels, reduction);
}

// ---- EPR and ROLE: forward keeps its inputs and the batch's statistic, backward computes the gradients

struct ExpectedPositives : torch::autograd::Function<ExpectedPositives> {
  static Pair call(const at::Tensor& logits, const at::Tensor& observed, const OptionalTensor& estimate,
                   const OptionalTensor& index, const OptionalTensor& statistic, double expected, double weight,
                   double eps) {
    static auto op = operator_named<decltype(expected_positives_forward)>("mlcfast::expected_positives_forward");
    at::AutoDispatchBelowADInplaceOrView below;
    return op.call(logits, observed, estimate, index, statistic, expected, weight, eps);
  }
  static Variable forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor& observed,
                          const OptionalTensor& estimate, const OptionalTensor& index, const OptionalTensor& statistic,
                          double expected, double weight, double eps) {
    auto [loss, total] = call(logits, observed, estimate, index, statistic, expected, weight, eps);
    ctx->save_for_backward(
        {logits, observed, estimate.value_or(at::Tensor()), index.value_or(at::Tensor()), total});
    ctx->saved_data["expected"] = expected;
    ctx->saved_data["weight"] = weight;
    ctx->saved_data["eps"] = eps;
    return loss;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& incoming) {
    static auto op = operator_named<decltype(expected_positives_backward)>("mlcfast::expected_positives_backward");
    refuse_second_derivative();
    const variable_list saved = ctx->get_saved_variables();
    const auto optional = [](const at::Tensor& t) { return t.defined() ? OptionalTensor(t) : std::nullopt; };
    auto [logits, rows] =
        op.call(incoming[0], saved[0], saved[1], optional(saved[2]), optional(saved[3]), saved[4],
                ctx->saved_data["expected"].toDouble(), ctx->saved_data["weight"].toDouble(),
                ctx->saved_data["eps"].toDouble());
    variable_list gradients(8);
    gradients[0] = logits;
    if (saved[3].defined())
      gradients[2] = at::_sparse_coo_tensor_unsafe(saved[3].unsqueeze(0), rows, saved[2].sizes());
    else if (saved[2].defined())
      gradients[2] = rows;
    return gradients;
  }
};

at::Tensor expected_positives(const at::Tensor& logits, const at::Tensor& observed, const OptionalTensor& estimate,
                              const OptionalTensor& index, const OptionalTensor& statistic, double expected,
                              double weight, double eps) {
  const bool estimate_learns = estimate.has_value() && needs_gradient(*estimate);
  if (!needs_gradient(logits) && !estimate_learns)
    return std::get<0>(ExpectedPositives::call(logits, observed, estimate, index, statistic, expected, weight, eps));
  return ExpectedPositives::apply(logits, observed, estimate, index, statistic, expected, weight, eps);
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
