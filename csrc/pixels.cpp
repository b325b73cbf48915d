// Operators on 8-bit RGB images (H, W, 3) that give the bytes Pillow gives.
#include "cpu/pixels.h"

#include <ATen/ops/empty.h>

#include <cmath>

#include "common.h"
#include "ops.h"

namespace mlcfast {
namespace {

void check_image(const at::Tensor& image) {
  TORCH_CHECK_VALUE(image.dim() == 3 && image.size(2) == 3 && image.scalar_type() == at::kByte && image.is_contiguous(),
                    "an image must be contiguous bytes (H, W, 3), not ", image.scalar_type(), " ", image.sizes());
}

// Weights of a triangle as wide as the step between outputs, but at least as wide as one between inputs.
struct Weights {
  std::vector<int32_t> first, weights;
  int64_t taps = 0;
  operator Resampling() const { return {first.data(), weights.data(), taps}; }
};

Weights resampling(int64_t size, int64_t new_size) {
  const double scale = static_cast<double>(size) / static_cast<double>(new_size), width = std::max(scale, 1.0);
  Weights to;
  const auto begins = [&](double centre) { return std::max<int64_t>(static_cast<int64_t>(centre - width + 0.5), 0); };
  const auto ends = [&](double centre) { return std::min(static_cast<int64_t>(centre + width + 0.5), size); };
  const auto centre_of = [&](int64_t i) { return (static_cast<double>(i) + 0.5) * scale; };
  for (int64_t i = 0; i < new_size; ++i) to.taps = std::max(to.taps, ends(centre_of(i)) - begins(centre_of(i)));
  to.first.resize(static_cast<size_t>(new_size));
  to.weights.resize(static_cast<size_t>(new_size * to.taps));
  std::vector<double> weights(static_cast<size_t>(to.taps));
  for (int64_t i = 0; i < new_size; ++i) {
    const double centre = centre_of(i);
    const int64_t first = begins(centre), count = ends(centre) - first;
    double total = 0;
    for (int64_t tap = 0; tap < count; ++tap) {
      const double distance = std::abs((static_cast<double>(tap + first) - centre + 0.5) * (1.0 / width));
      weights[static_cast<size_t>(tap)] = distance < 1 ? 1 - distance : 0;
      total += weights[static_cast<size_t>(tap)];
    }
    to.first[static_cast<size_t>(i)] = static_cast<int32_t>(first);
    for (int64_t tap = 0; tap < count; ++tap) {
      const double weight = total == 0 ? weights[static_cast<size_t>(tap)] : weights[static_cast<size_t>(tap)] / total;
      to.weights[static_cast<size_t>(i * to.taps + tap)] = static_cast<int32_t>(0.5 + weight * (1 << 22));
    }
  }
  return to;
}

}  // namespace

at::Tensor pixels_resize(const at::Tensor& image, int64_t height, int64_t width) {
  check_image(image);
  TORCH_CHECK_VALUE(height > 0 && width > 0 && image.numel() > 0, "an image cannot be resized from ", image.sizes(), " to ",
                    height, " × ", width);
  at::Tensor made = image;
  if (width != image.size(1)) {
    const Weights to = resampling(image.size(1), width);
    const int64_t entries = 4 * kRows * image.size(1);
    std::vector<uint8_t> bytes(static_cast<size_t>(entries));
    std::vector<int32_t> group(static_cast<size_t>(entries + 4 * kRows * to.taps));  // taps without weight lie behind
    made = at::empty({image.size(0), width, 3}, image.options());
    pixel_kernels().resample_rows(image.const_data_ptr<uint8_t>(), made.mutable_data_ptr<uint8_t>(), image.size(0),
                                  image.size(1), width, to, {bytes.data(), group.data()});
  }
  if (height == image.size(0)) return made.is_same(image) ? image.clone() : made;
  const at::Tensor out = at::empty({height, width, 3}, image.options());
  pixel_kernels().resample_columns(made.const_data_ptr<uint8_t>(), out.mutable_data_ptr<uint8_t>(), height, 3 * width,
                                   resampling(image.size(0), height));
  return out;
}

at::Tensor pixels_look_up(const at::Tensor& image, const at::Tensor& tables) {
  check_image(image);
  TORCH_CHECK_VALUE(tables.numel() == 768 && tables.scalar_type() == at::kByte && tables.is_contiguous(),
                    "tables must be contiguous bytes (3, 256)");
  const at::Tensor out = at::empty(image.sizes(), image.options());
  pixel_kernels().look_up(image.const_data_ptr<uint8_t>(), out.mutable_data_ptr<uint8_t>(), image.numel() / 3,
                          tables.const_data_ptr<uint8_t>());
  return out;
}

at::Tensor pixels_count(const at::Tensor& image) {
  check_image(image);
  const at::Tensor counts = at::empty({3, 256}, image.options().dtype(at::kLong));
  pixel_kernels().count(image.const_data_ptr<uint8_t>(), image.numel() / 3, counts.mutable_data_ptr<int64_t>());
  return counts;
}

int64_t pixels_grey_sum(const at::Tensor& image) {
  check_image(image);
  return pixel_kernels().grey_sum(image.const_data_ptr<uint8_t>(), image.numel() / 3);
}

at::Tensor pixels_move(const at::Tensor& image, at::ArrayRef<double> matrix) {
  check_image(image);
  TORCH_CHECK_VALUE(matrix.size() == 6, "a matrix has 6 numbers, not ", matrix.size());
  const at::Tensor out = at::empty(image.sizes(), image.options());
  pixel_kernels().move(image.const_data_ptr<uint8_t>(), out.mutable_data_ptr<uint8_t>(), image.size(0), image.size(1),
                       matrix.data());
  return out;
}

at::Tensor pixels_blend(const at::Tensor& image, bool with_grey, double factor) {
  check_image(image);
  const at::Tensor out = at::empty(image.sizes(), image.options());
  const auto* in = image.const_data_ptr<uint8_t>();
  auto* to = out.mutable_data_ptr<uint8_t>();
  if (with_grey) {
    pixel_kernels().grey(in, to, image.numel() / 3);
  } else {
    pixel_kernels().smooth(in, to, image.size(0), image.size(1));
  }
  pixel_kernels().blend(in, to, image.numel(), static_cast<float>(factor));
  return out;
}

}  // namespace mlcfast
