// What is done to 8-bit RGB images, with the bytes of Pillow's own arithmetic; compiled once for each instruction set.
// Plain C++: images are rows of pixels of three bytes, without padding.
#pragma once

#include <cstdint>

namespace mlcfast {

// One direction of a resize: output i is the sum of `taps` inputs from first[i] on, times weights[i · taps …] / 2^22.
struct Resampling {
  const int32_t *first, *weights;
  int64_t taps;
};
constexpr int kRows = 4;  // that are resampled together

// Room for `resample_rows`: 4 · kRows · width bytes, and as many whole numbers and 4 · kRows · taps zeros behind them.
struct Scratch {
  uint8_t* bytes;
  int32_t* group;
};

struct PixelKernels {
  // (height, width, 3) -> (height, new_width, 3), and (height, bytes) -> (new_height, bytes).
  void (*resample_rows)(const uint8_t* in, uint8_t* out, int64_t height, int64_t width, int64_t new_width,
                        const Resampling&, Scratch);
  void (*resample_columns)(const uint8_t* in, uint8_t* out, int64_t new_height, int64_t bytes, const Resampling&);
  void (*look_up)(const uint8_t* in, uint8_t* out, int64_t pixels, const uint8_t* tables);  // tables: 3 × 256
  void (*count)(const uint8_t* in, int64_t pixels, int64_t* counts);  // 3 × 256
  int64_t (*grey_sum)(const uint8_t* in, int64_t pixels);
  // The pixel (x, y) of the result is that of the input which holds matrix · (x + ½, y + ½, 1), in steps of 2^-16; else 0.
  void (*move)(const uint8_t* in, uint8_t* out, int64_t height, int64_t width, const double* matrix);
  void (*grey)(const uint8_t* in, uint8_t* out, int64_t pixels);
  void (*smooth)(const uint8_t* in, uint8_t* out, int64_t height, int64_t width);  // 3 × 3, the border copied
  // out + factor · (in − out), cut off and clipped, into out.
  void (*blend)(const uint8_t* in, uint8_t* out, int64_t bytes, float factor);
};

const PixelKernels& pixel_kernels();  // the best this processor can run

}  // namespace mlcfast
