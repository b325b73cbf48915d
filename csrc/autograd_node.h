// The autograd node of an operator with one output. torch::autograd::Function makes and runs one for any number of tensors in
// and out; this is that node, of the same class for compiled autograd to take apart, made for what there is: a small loss is
// all such overhead.
#pragma once

#include <ATen/FuncTorchTLS.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Type.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace mlcfast {

// F is a torch::autograd::Function without forward; its backward returns a gradient for each input of `differentiable`.
template <class F>
struct OneOutputNode : torch::autograd::CppNode<F> {
  std::string name() const override { return c10::demangle(typeid(F).name()); }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& incoming) override {
    if (!incoming[0].defined()) return torch::autograd::CppNode<F>::apply(std::move(incoming));  // zeros take its place
    const std::lock_guard<std::mutex> lock(this->mutex_);
    return F::backward(&this->ctx_, incoming);
  }
};

// A node, held as this version of torch holds it: before 2.14 by std::shared_ptr, and without hooks of its creation.
template <class Node, class Pointer>
auto make_node() {
  if constexpr (std::is_same_v<Pointer, std::shared_ptr<torch::autograd::Node>>)
    return std::shared_ptr<Node>(new Node, [](auto* owned) { deleteNode(owned); });
  else
    return c10::make_intrusive<Node>();
}

template <class Pointer>
void announce(const Pointer& node) {
  if constexpr (requires { fire_node_creation_hooks(node); }) fire_node_creation_hooks(node);
}

// Makes `output`, which no graph knows yet, differentiable in `inputs`, undefined ones aside, by F; keep(context) saves what
// F::backward will need.
template <class F, class Keep>
void differentiable(std::initializer_list<const at::Tensor*> inputs, const at::Tensor& output, Keep keep) {
  using Pointer = decltype(torch::autograd::Edge::function);
  if (const auto& transforms = at::functorch::functorchTLSAccessor()) transforms->checkSupportsCppAutogradFunction();
  auto node = make_node<OneOutputNode<F>, Pointer>();
  for (const at::Tensor* input : inputs)
    node->add_next_edge(input->defined() ? torch::autograd::impl::gradient_edge(*input) : torch::autograd::Edge());
  node->is_variable_input_.assign(inputs.size(), true);
  node->set_ctx_grad_fn(node);
  keep(node->ctx_);
  torch::autograd::set_history(output, node);
  node->output_info_.emplace_back(output);
  node->save_variables_to_ctx();
  announce(Pointer(node));
}

}  // namespace mlcfast
