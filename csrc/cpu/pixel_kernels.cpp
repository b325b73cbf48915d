// See pixels.h. Multiplications and additions of blend are not to be joined: Pillow rounds both. No std::vector here: its
// functions, compiled for this instruction set, could stand in for others'.
#include "pixels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mlcfast::MLCFAST_ISA {
namespace {

constexpr int kBits = 22;            // of a weight, as Pillow has them
constexpr int64_t kTogether = 1024;  // bytes of a row whose sums are kept in the first-level cache

using Bytes = uint8_t __attribute__((vector_size(4 * kRows)));
using Sums = int32_t __attribute__((vector_size(16 * kRows)));

inline uint8_t clipped(int32_t value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

// A pixel of each of kRows rows, with a fourth byte that is anything, lies beside the others: they are summed together.
void interleave(const uint8_t* const* rows, uint8_t* group, int64_t width) {
  for (int64_t x = 0; x + 1 < width; ++x)
    for (int row = 0; row < kRows; ++row) std::memcpy(group + 4 * (kRows * x + row), rows[row] + 3 * x, 4);
  for (int row = 0; row < kRows; ++row)  // behind the last pixel there may be nothing
    std::memcpy(group + 4 * (kRows * (width - 1) + row), rows[row] + 3 * (width - 1), 3);
}

template <int kTaps>  // 0: as many as there are
void resample_group(const int32_t* group, uint8_t* out, int64_t rows, int64_t new_width, const Resampling& to) {
  const int64_t taps = kTaps ? kTaps : to.taps;
  const int32_t *weights = to.weights, *first = to.first;
  for (int64_t x = 0; x < new_width; ++x, weights += taps) {
    const int32_t* from = group + 4 * kRows * first[x];
    Sums sums = Sums{} + (1 << (kBits - 1));
    for (int64_t tap = 0; tap < taps; ++tap) {
      Sums values;
      std::memcpy(&values, from + 4 * kRows * tap, sizeof values);
      sums += values * weights[tap];
    }
    sums >>= kBits;
    sums = sums < 0 ? Sums{} : sums;
    sums = sums > 255 ? Sums{} + 255 : sums;
    const Bytes bytes = __builtin_convertvector(sums, Bytes);
    uint8_t found[sizeof bytes];
    std::memcpy(found, &bytes, sizeof bytes);
    uint8_t* to_pixel = out + 3 * x;
    if (x + 1 < new_width && rows == kRows) {  // the next pixel is written over the fourth byte
      for (int row = 0; row < kRows; ++row) std::memcpy(to_pixel + 3 * row * new_width, found + 4 * row, 4);
    } else {
      for (int64_t row = 0; row < rows; ++row) std::memcpy(to_pixel + 3 * row * new_width, found + 4 * row, 3);
    }
  }
}

void resample_rows(const uint8_t* in, uint8_t* out, int64_t height, int64_t width, int64_t new_width,
                   const Resampling& to, Scratch scratch) {
  for (int64_t y = 0; y < height; y += kRows, out += 3 * kRows * new_width) {
    const uint8_t* rows[kRows];
    for (int64_t row = 0; row < kRows; ++row) rows[row] = in + 3 * width * std::min(y + row, height - 1);
    interleave(rows, scratch.bytes, width);
    for (int64_t i = 0; i < 4 * kRows * width; ++i) scratch.group[i] = scratch.bytes[i];
    const int64_t count = std::min<int64_t>(kRows, height - y);
    switch (to.taps) {
      case 2: resample_group<2>(scratch.group, out, count, new_width, to); break;
      case 3: resample_group<3>(scratch.group, out, count, new_width, to); break;
      case 4: resample_group<4>(scratch.group, out, count, new_width, to); break;
      default: resample_group<0>(scratch.group, out, count, new_width, to);
    }
  }
}

void resample_columns(const uint8_t* in, uint8_t* out, int64_t new_height, int64_t bytes, const Resampling& to) {
  int32_t sums[kTogether];
  for (int64_t y = 0; y < new_height; ++y, out += bytes) {
    const uint8_t* from = in + to.first[y] * bytes;
    const int32_t* weights = to.weights + y * to.taps;
    for (int64_t begin = 0; begin < bytes; begin += kTogether) {
      const int64_t length = std::min(kTogether, bytes - begin);
      for (int64_t i = 0; i < length; ++i) sums[i] = 1 << (kBits - 1);
      for (int64_t tap = 0; tap < to.taps; ++tap) {
        if (weights[tap] == 0) continue;  // its row may lie outside
        const uint8_t* row = from + tap * bytes + begin;
        for (int64_t i = 0; i < length; ++i) sums[i] += row[i] * weights[tap];
      }
      for (int64_t i = 0; i < length; ++i) out[begin + i] = clipped(sums[i] >> kBits);
    }
  }
}

void look_up(const uint8_t* in, uint8_t* out, int64_t pixels, const uint8_t* tables) {
  for (int64_t i = 0; i < pixels; ++i, in += 3, out += 3) {
    out[0] = tables[in[0]];
    out[1] = tables[256 + in[1]];
    out[2] = tables[512 + in[2]];
  }
}

inline uint8_t grey_of(const uint8_t* pixel) {
  return static_cast<uint8_t>((pixel[0] * 19595 + pixel[1] * 38470 + pixel[2] * 7471 + 0x8000) >> 16);
}

void count(const uint8_t* in, int64_t pixels, int64_t* counts) {
  int32_t found[2][3][256] = {};  // neighbours are often equal, and would wait for each other's sums
  for (int64_t i = 0; i < pixels; ++i, in += 3) {
    auto& mine = found[i & 1];
    for (int channel = 0; channel < 3; ++channel) ++mine[channel][in[channel]];
  }
  for (int channel = 0; channel < 3; ++channel)
    for (int value = 0; value < 256; ++value)
      counts[256 * channel + value] = found[0][channel][value] + found[1][channel][value];
}

int64_t grey_sum(const uint8_t* in, int64_t pixels) {
  int64_t sum = 0;
  for (int64_t i = 0; i < pixels; ++i, in += 3) sum += grey_of(in);
  return sum;
}

inline int64_t fixed(double value) { return static_cast<int64_t>(std::floor(value * 65536.0 + 0.5)); }

void move(const uint8_t* in, uint8_t* out, int64_t height, int64_t width, const double* m) {
  const int64_t over_x = fixed(m[0]), over_y = fixed(m[3]), down_x = fixed(m[1]), down_y = fixed(m[4]);
  int64_t row_x = fixed(m[2] + m[0] * 0.5 + m[1] * 0.5), row_y = fixed(m[5] + m[3] * 0.5 + m[4] * 0.5);
  for (int64_t y = 0; y < height; ++y, row_x += down_x, row_y += down_y) {
    int64_t at_x = row_x, at_y = row_y;
    for (int64_t x = 0; x < width; ++x, out += 3, at_x += over_x, at_y += over_y) {
      const int64_t column = at_x >> 16, row = at_y >> 16;
      const bool inside = column >= 0 && column < width && row >= 0 && row < height;
      if (inside) {
        std::memcpy(out, in + 3 * (row * width + column), 3);
      } else {
        std::memset(out, 0, 3);
      }
    }
  }
}

void grey(const uint8_t* in, uint8_t* out, int64_t pixels) {
  for (int64_t i = 0; i < pixels; ++i, in += 3, out += 3) out[0] = out[1] = out[2] = grey_of(in);
}

// Weights of 1 around a 5, over 13, rounded: a sum of whole numbers never lies halfway.
void smooth(const uint8_t* in, uint8_t* out, int64_t height, int64_t width) {
  const int64_t bytes = 3 * width;
  std::memcpy(out, in, static_cast<size_t>(height * bytes));
  for (int64_t y = 1; y + 1 < height; ++y) {
    const uint8_t *above = in + (y - 1) * bytes, *row = above + bytes, *below = row + bytes;
    uint8_t* to = out + y * bytes;
    for (int64_t i = 3; i < bytes - 3; ++i) {
      const uint32_t sum = static_cast<uint32_t>(above[i - 3] + above[i] + above[i + 3] + row[i - 3] + 5 * row[i] + row[i + 3] +
                                                 below[i - 3] + below[i] + below[i + 3]);
      to[i] = static_cast<uint8_t>((2 * sum + 13) * 10083 >> 18);  // / 26, exact up to 2 · 13 · 255 + 13
    }
  }
}

void blend(const uint8_t* in, uint8_t* out, int64_t bytes, float factor) {
  for (int64_t i = 0; i < bytes; ++i) {
    const float value = static_cast<float>(out[i]) + factor * static_cast<float>(in[i] - out[i]);
    out[i] = static_cast<uint8_t>(static_cast<int32_t>(std::min(std::max(value, 0.0f), 255.0f)));
  }
}

}  // namespace

extern const PixelKernels pixels;
const PixelKernels pixels = {resample_rows, resample_columns, look_up, count, grey_sum, move, grey, smooth, blend};

}  // namespace mlcfast::MLCFAST_ISA
