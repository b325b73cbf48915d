// The autograd function of a loss whose gradient is computed in forward, and only rescaled in backward.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/div.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <c10/core/impl/PythonDispatcherTLS.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <torch/csrc/autograd/engine.h>

#include <tuple>

#include "autograd_node.h"
#include "common.h"
#include "ops.h"

namespace mlcfast {

template <class Signature>
auto operator_named(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

inline bool is_traced(const at::Tensor& tensor) {
  return c10::impl::dispatch_mode_enabled() || tensor.key_set().has(c10::DispatchKey::Python) ||
         c10::impl::PythonDispatcherTLS::get_state() != nullptr;
}

inline void refuse_second_derivative() {
  TORCH_CHECK_NOT_IMPLEMENTED(!at::GradMode::is_enabled(),
              "a fused loss has no second derivative: set MLCFAST_BACKEND=reference for create_graph=True");
}

inline bool needs_gradient(const at::Tensor& tensor) {
  TORCH_CHECK_NOT_IMPLEMENTED(!tensor._fw_grad(0).defined(),
              "a fused loss has no forward-mode derivative: set MLCFAST_BACKEND=reference");
  return at::GradMode::is_enabled() && tensor.requires_grad();
}

// As check_pair of mlcfast/ops/checks.py, but for the shape, which the kernels' operators compare: a traced one has symbols.
inline void check_pair(const at::Tensor& logits, const at::Tensor& labels, const char* name) {
  const at::ScalarType type = logits.scalar_type();
  TORCH_CHECK_VALUE(type == at::kFloat || type == at::kDouble || type == at::kBFloat16 || type == at::kHalf,
                    "logits must be float32, float64, bfloat16 or float16, not ", type);
  TORCH_CHECK_VALUE(logits.dim() > 0, "logits must have at least one dimension, (B, K)");
  TORCH_CHECK_VALUE(labels.layout() == at::kStrided, name, " must be dense, not ", labels.layout());
  TORCH_CHECK_VALUE(labels.device() == logits.device(), name, " must be on ", logits.device(), " like logits, not on ",
                    labels.device());
  TORCH_CHECK_VALUE(!labels.is_complex(), name, " must be bool, integer or floating, not ", labels.scalar_type());
  TORCH_CHECK_VALUE(!labels.requires_grad(), name, " must not require a gradient: pass ", name, ".detach()");
}

inline at::Tensor multiplied(const at::Tensor& gradient, const at::Tensor& incoming, double factor, bool mean) {
  at::Tensor scale = at::mul(incoming, factor);
  if (mean) scale = at::div(scale, at::full_symint({}, gradient.sym_numel(), incoming.options()));
  return at::mul(gradient.to(incoming.scalar_type()), scale).to(gradient.scalar_type());
}

inline at::Tensor rescaled(at::Tensor gradient, const at::Tensor& incoming, int64_t reduction, double scale) {
  static auto rescale = operator_named<void(const at::Tensor&, const at::Tensor&, double, bool)>("mlcfast::rescale_gradient_");
  const bool half = gradient.scalar_type() == at::kHalf;
  const double factor = half ? scale / kHalfUnit : 1.0;
  const bool mean = half && reduction == Reduction::mean;
  const bool several = incoming.key_set().has(c10::DispatchKey::Batched);  // is_grads_batched=True
  if (reduction == Reduction::none || several || is_traced(gradient)) {
    return multiplied(gradient, incoming, factor, mean);
  }
  if (torch::autograd::get_current_graph_task_keep_graph()) gradient = gradient.clone();
  // A number of the CPU can be looked at: one that changes nothing, the rule, is spared the dispatch.
  const bool changes = half || !incoming.is_cpu() || incoming.scalar_type() != at::kFloat ||
                       *incoming.const_data_ptr<float>() != 1.0f;
  if (changes) rescale.call(gradient, incoming, factor, mean);
  return gradient;
}

// Where nothing is named, the loss is reduced and its scale is in the gradient.
struct StoredGradient : torch::autograd::Function<StoredGradient> {
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& incoming) {
    refuse_second_derivative();
    const bool named = !ctx->saved_data.empty();
    const int64_t reduction = named ? ctx->saved_data["reduction"].toInt() : Reduction::sum;
    const double scale = named ? ctx->saved_data["scale"].toDouble() : 1.0;
    return {rescaled(ctx->get_saved_variables()[0], incoming[0], reduction, scale)};
  }
};

// forward(with_gradient) is the pair of loss and gradient; the loss is differentiable where the logits want a gradient.
// name: what an error calls the labels.
template <class Forward>
at::Tensor with_stored_gradient(const at::Tensor& logits, const at::Tensor& labels, const char* name, int64_t reduction,
                                double scale, Forward forward) {
  check_pair(logits, labels, name);
  const bool learns = needs_gradient(logits);
  auto [loss, gradient] = [&] {
    at::AutoDispatchBelowADInplaceOrView below;
    return forward(learns);
  }();
  if (!learns) return loss;
  differentiable<StoredGradient>({&logits}, loss, [&](torch::autograd::AutogradContext& context) {
    context.save_for_backward({gradient});
    if (reduction != Reduction::none && gradient.scalar_type() != at::kHalf) return;
    context.saved_data["reduction"] = reduction;
    context.saved_data["scale"] = scale;
  });
  return loss;
}

}  // namespace mlcfast
