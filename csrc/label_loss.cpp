// The losses told by a formula's number on the CPU: the formulas are in label_formulas.h, the loops in cpu/label_kernels.cpp.
#include "elementwise.h"

namespace mlcfast {
namespace {

at::Tensor weights_like(const at::Tensor& weights, const at::Tensor& logits, at::ScalarType type, const char* name) {
  TORCH_CHECK_VALUE(weights.dim() == 1 && weights.size(0) == logits.size(-1), name, " must be (", logits.size(-1),
                    ",), not ", weights.sizes());
  return (weights.scalar_type() == type ? weights : weights.to(type)).contiguous();
}

}  // namespace

Pair label_loss_forward(const at::Tensor& logits, const at::Tensor& labels, const std::optional<at::Tensor>& threshold,
                        const std::optional<at::Tensor>& positive_weight,
                        const std::optional<at::Tensor>& other_weight, int64_t formula, at::ArrayRef<double> values,
                        int64_t reduction, bool with_gradient) {
  check_same_shape(logits, labels, "labels");
  TORCH_CHECK_VALUE(formula >= 0 && formula < kFormulas, "formula must be from 0 to ", kFormulas - 1);
  check_options("this formula", kernels().options_of(static_cast<Formula>(formula)), values);
  TORCH_CHECK_VALUE(positive_weight.has_value() == other_weight.has_value(),
                    "positive_weight and other_weight must be given together");
  LabelLossOptions options{static_cast<Formula>(formula), values.data()};
  if (threshold.has_value()) {
    TORCH_CHECK_VALUE(threshold->numel() == 1, "threshold must be one number");
    const bool single = threshold->scalar_type() == at::kFloat;  // as large_loss_threshold gives it: nothing to convert
    options.threshold = single ? *threshold->const_data_ptr<float>() : *threshold->to(at::kDouble).const_data_ptr<double>();
  } else if (options.formula == Formula::large) {
    TORCH_CHECK_VALUE(!is_wide(logits) && values[1] >= 1, "this formula takes a threshold or, but for fp64, its rank");
    options.threshold = large_loss_bound(logits, labels, static_cast<int64_t>(values[1]));
  }
  const bool rows = by_rows(options.formula), whole = options.formula == Formula::two_way;
  at::Tensor positive, other;
  if (positive_weight.has_value()) {
    const at::ScalarType type = whole ? at::kDouble : arithmetic_type(logits);
    positive = weights_like(*positive_weight, logits, type, "positive_weight");
    other = weights_like(*other_weight, logits, type, "other_weight");
    options.positive_weight = view_of(positive, "positive_weight");
    options.other_weight = view_of(other, "other_weight");
  }
  options.K = std::max<int64_t>(logits.size(-1), 1);
  TORCH_CHECK_VALUE(options.formula != Formula::balanced || positive_weight.has_value(), "this formula takes weights");
  TORCH_CHECK_VALUE(options.formula != Formula::zlpr || (reduction != Reduction::none && !positive_weight.has_value()),
                    "this formula takes no weights, and its reduction must be mean or sum");
  TORCH_CHECK_VALUE(!whole || reduction == Reduction::sum, "the reduction of this formula must be sum");
  const int64_t total = rows ? logits.numel() / options.K : logits.numel();
  const int64_t chunk = whole ? std::max<int64_t>(total, 1) : rows ? rows_in_chunk(options.K) : kChunk;
  return run_elementwise(logits, labels, {}, "labels", reduction, 1.0, with_gradient, total, chunk,
                         [&options](const Entries& entries, int64_t begin, int64_t end) {
                           return kernels().label_loss(entries, options, begin, end);
                         });
}

}  // namespace mlcfast
