// The count-th largest logit of an unknown entry without sorting them all: a sample bounds it from below, one pass collects
// what is not below the bound, and a selection among that finds it. A bound that proves too high is given up, so that the
// result is exact whatever the sample.
#include <ATen/ops/full.h>

#include <cmath>
#include <limits>

#include "common.h"
#include "ops.h"

namespace mlcfast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kLeast = 512, kMost = 16384;  // entries of a sample
constexpr int64_t kRun = 8;                     // neighbours in it

bool larger(float a, float b) { return a > b || (std::isnan(a) && !std::isnan(b)); }

// The rank-th largest, counted from 1; −∞ where there are fewer.
float select(std::vector<float>& values, int64_t rank) {
  if (rank > static_cast<int64_t>(values.size())) return -kInfinity;
  std::nth_element(values.begin(), values.begin() + (rank - 1), values.end(), larger);
  return values[static_cast<size_t>(rank - 1)];
}

std::vector<float> collect(const View& logits, const View& labels, int64_t total, float least) {
  const auto parts = over_chunks<std::vector<float>>(total, 8 * kChunk, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> found(static_cast<size_t>(end - begin));
    found.resize(static_cast<size_t>(kernels().collect_unknown(logits, labels, begin, end, least, found.data())));
    return found;
  });
  std::vector<float> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// kRun entries out of each stretch of `step`, at a place that does not repeat with the labels.
std::vector<float> sample(const View& logits, const View& labels, int64_t total, int64_t step) {
  std::vector<float> values(static_cast<size_t>((total / step + 1) * kRun));
  int64_t found = 0;
  uint64_t stretch = 0;
  for (int64_t i = 0; i + step <= total; i += step, ++stretch) {
    const int64_t at = i + static_cast<int64_t>(stretch * 2654435761u % static_cast<uint64_t>(step - kRun + 1));
    found += kernels().collect_unknown(logits, labels, at, at + kRun, -kInfinity, values.data() + found);
  }
  values.resize(static_cast<size_t>(found));
  return values;
}

// A value that about `count` entries or more are at least; their number in the sample lies within five deviations.
float lower_bound(const View& logits, const View& labels, int64_t total, int64_t count) {
  const int64_t size = std::clamp(total / 8, kLeast, kMost);
  if (4 * size > total) return -kInfinity;
  const int64_t step = total / size * kRun;
  std::vector<float> values = sample(logits, labels, total, step);
  const double expected = static_cast<double>(count) * static_cast<double>(kRun) / static_cast<double>(step);
  return select(values, static_cast<int64_t>(expected + 5 * std::sqrt(expected + 1)) + 1);
}

}  // namespace

float large_loss_bound(const at::Tensor& logits_in, const at::Tensor& labels_in, int64_t count) {
  check_same_shape(logits_in, labels_in, "labels");
  TORCH_CHECK_VALUE(count >= 1, "count must be at least 1, not ", count);
  const at::Tensor logits = logits_in.contiguous(), labels = labels_in.contiguous();
  const View x = view_of(logits, "logits"), z = view_of(labels, "labels");
  const int64_t total = logits.numel();
  float least = lower_bound(x, z, total, count);
  std::vector<float> found = collect(x, z, total, least);
  if (static_cast<int64_t>(found.size()) < count && least > -kInfinity) found = collect(x, z, total, -kInfinity);
  return select(found, count);
}

at::Tensor large_loss_threshold(const at::Tensor& logits, const at::Tensor& labels, int64_t count) {
  return at::full({}, large_loss_bound(logits, labels, count), logits.options().dtype(at::kFloat));
}

}  // namespace mlcfast
