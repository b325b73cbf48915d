// The host side of an elementwise loss: inputs made contiguous, outputs allocated, chunks run, labels judged, loss reduced.
#pragma once

#include <ATen/EmptyTensor.h>

#include "common.h"
#include "ops.h"

namespace mlcfast {

// A 0-d tensor of the CPU with this value.
inline at::Tensor scalar(double value, at::ScalarType type) {
  at::Tensor made = at::detail::empty_cpu({}, type);
  if (type == at::kDouble)
    *made.mutable_data_ptr<double>() = value;
  else
    *made.mutable_data_ptr<float>() = static_cast<float>(value);
  return made;
}

// Run is called as run(entries, begin, end) -> Sum for ranges of [0, total), chunk at a time.
template <class Run>
Pair run_elementwise(const at::Tensor& logits_in, const at::Tensor& labels_in, const at::Tensor& true_labels_in,
                     const char* labels_name, int64_t reduction, double scale, bool with_gradient, int64_t total,
                     int64_t chunk, Run run) {
  const at::Tensor logits = logits_in.contiguous(), labels = labels_in.contiguous();
  const at::Tensor true_labels = true_labels_in.defined() ? true_labels_in.contiguous() : at::Tensor();
  const double reduced = reduced_scale(reduction, scale, logits.numel());
  const bool half = logits.scalar_type() == at::kHalf;
  at::Tensor gradient = unwritten(with_gradient ? logits.sizes() : at::IntArrayRef{0}, logits.options());
  at::Tensor loss;
  if (reduction == Reduction::none) loss = unwritten(logits.sizes(), logits.options().dtype(arithmetic_type(logits)));

  Entries entries;
  entries.logits = view_of(logits, "logits");
  entries.labels = view_of(labels, labels_name);
  if (true_labels.defined()) entries.true_labels = view_of(true_labels, "true_labels");
  if (loss.defined()) entries.loss = mutable_view_of(loss);
  if (with_gradient) entries.gradient = mutable_view_of(gradient);
  entries.loss_scale = scale;
  entries.gradient_scale = half ? kHalfUnit : reduced;
  entries.wide = is_wide(logits);

  const int64_t size = logits.numel() / std::max<int64_t>(total, 1);
  const Sum sum = total_of(
      over_chunks<Sum>(total, chunk, size, [&](int64_t begin, int64_t end) { return run(entries, begin, end); }));
  check_label_values(sum.bad_label, labels_name);
  if (!loss.defined()) loss = scalar(sum.loss * reduced, arithmetic_type(logits));
  return {loss, gradient};
}

}  // namespace mlcfast
