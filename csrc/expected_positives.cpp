// EPR and ROLE on the CPU. Forward reads everything once for the sums; backward, which alone knows the batch's mean, reads
// it once more and writes the gradients: no (B, K) tensor is kept between them.
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "common.h"
#include "ops.h"

namespace mlcfast {
namespace {

struct Inputs {
  at::Tensor logits, observed, estimate, index;
  Coupled view;
};

Inputs inputs_of(const at::Tensor& logits, const at::Tensor& observed, const std::optional<at::Tensor>& estimate,
                 const std::optional<at::Tensor>& index, double eps) {
  check_same_shape(logits, observed, "observed");
  Inputs in{logits.contiguous(), observed.contiguous(), {}, {}, {}};
  in.view.logits = view_of(in.logits, "logits");
  in.view.observed = view_of(in.observed, "observed");
  in.view.K = logits.size(1);
  in.view.eps = eps;
  in.view.wide = is_wide(logits);
  if (estimate.has_value()) {
    in.estimate = estimate->contiguous();
    in.view.estimate = view_of(in.estimate, "estimate_logits");
    in.view.table_rows = in.estimate.size(0);
  }
  if (index.has_value()) {
    TORCH_CHECK_VALUE(index->scalar_type() == at::kLong, "index must be int64");
    in.index = index->contiguous();
    in.view.index = in.index.const_data_ptr<int64_t>();
  } else if (estimate.has_value()) {
    check_same_shape(logits, *estimate, "estimate_logits");
  }
  return in;
}

struct Statistic {
  double probability, estimate, images, parts;
};

Statistic read_statistic(const at::Tensor& tensor) {
  const at::Tensor wide = tensor.to(at::kDouble).contiguous();
  TORCH_CHECK_VALUE(wide.numel() == 4, "statistic must be (4,), not ", tensor.sizes());
  const double* s = wide.const_data_ptr<double>();
  return {s[0], s[1], std::max(s[2], 1.0), s[3]};
}

CoupledSum sums_of(const Inputs& in) {
  CoupledSum total;
  const auto parts =
      over_chunks<CoupledSum>(in.logits.size(0), rows_in_chunk(in.view.K), in.view.K, [&](int64_t begin, int64_t end) {
        return kernels().coupled_forward(in.view, begin, end);
      });
  for (const CoupledSum& part : parts) {
    total.loss += part.loss;
    total.probability += part.probability;
    total.estimate += part.estimate;
    total.bad_label |= part.bad_label;
    total.bad_index |= part.bad_index;
  }
  check_label_values(total.bad_label, "observed");
  TORCH_CHECK_VALUE(!total.bad_index, "index must lie in [0, ", in.view.table_rows, ")");
  return total;
}

double squared(double x) { return x * x; }

}  // namespace

Pair expected_positives_forward(const at::Tensor& logits, const at::Tensor& observed,
                                const std::optional<at::Tensor>& estimate_logits,
                                const std::optional<at::Tensor>& index, const std::optional<at::Tensor>& statistic,
                                double expected_positives, double weight, double eps) {
  const Inputs in = inputs_of(logits, observed, estimate_logits, index, eps);
  const auto options = logits.options().dtype(arithmetic_type(logits));
  const CoupledSum sums = sums_of(in);
  at::Tensor total = at::zeros({4}, options);
  if (statistic.has_value()) {
    total.copy_(*statistic);
  } else {
    const double local[4] = {sums.probability, sums.estimate, static_cast<double>(logits.size(0)), 1.0};
    for (int i = 0; i < 4; ++i) {
      if (is_wide(logits))
        total.mutable_data_ptr<double>()[i] = local[i];
      else
        total.mutable_data_ptr<float>()[i] = static_cast<float>(local[i]);
    }
    if (logits.numel() == 0) return {at::zeros({}, options), total};
  }
  const Statistic s = read_statistic(total);
  const double K = static_cast<double>(std::max<int64_t>(in.view.K, 1));
  double penalty = squared((s.probability / s.images - expected_positives) / K);
  if (in.estimate.defined()) penalty += squared((s.estimate / s.images - expected_positives) / K);
  const double half = in.estimate.defined() ? 0.5 : 1.0;
  return {at::full({}, half * (sums.loss * (s.parts / s.images) / K + weight * penalty), options), total};
}

Pair expected_positives_backward(const at::Tensor& loss_gradient, const at::Tensor& logits, const at::Tensor& observed,
                                 const std::optional<at::Tensor>& estimate_logits,
                                 const std::optional<at::Tensor>& index, const at::Tensor& statistic,
                                 double expected_positives, double weight, double eps) {
  Inputs in = inputs_of(logits, observed, estimate_logits, index, eps);
  const bool role = in.estimate.defined();
  at::Tensor gradient = unwritten(logits.sizes(), logits.options());
  at::Tensor rows = role ? unwritten(logits.sizes(), in.estimate.options()) : at::empty({0}, logits.options());
  const Statistic s = read_statistic(statistic);
  const double K = static_cast<double>(std::max<int64_t>(in.view.K, 1));
  const double incoming = loss_gradient.item().toDouble() * (role ? 0.5 : 1.0) * (s.parts / s.images);
  in.view.scale = incoming / K;
  in.view.coupling = incoming * weight * 2 * (s.probability / s.images - expected_positives) / (K * K);
  in.view.estimate_coupling = incoming * weight * 2 * (s.estimate / s.images - expected_positives) / (K * K);
  in.view.logits_gradient = mutable_view_of(gradient);
  if (role) in.view.estimate_gradient = mutable_view_of(rows);
  const auto backward = [&](int64_t begin, int64_t end) {
    kernels().coupled_backward(in.view, begin, end);
    return '\0';
  };
  over_chunks<char>(logits.size(0), rows_in_chunk(in.view.K), in.view.K, backward, Order::last_first);
  return {gradient, rows};
}

}  // namespace mlcfast
