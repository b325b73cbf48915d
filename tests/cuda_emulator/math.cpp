// Prints how far csrc/cuda/math.cuh is off at most, in units in the last place: its logarithm, then its quotient.
#include "emulator.h"
#include "cuda/math.cuh"

#include <algorithm>
#include <cstdio>
#include <random>

namespace {

double units(double found, double exact) {
  return exact == 0 ? std::abs(found) * 0x1p149 : std::abs(found - exact) / std::ldexp(1.0, std::ilogb(exact) - 23);
}

}  // namespace

int main() {
  double of_log = 0, of_quotient = 0;
  for (int bits = __float_as_int(1e-37f); bits < __float_as_int(2.5f); bits += bits > __float_as_int(0.2f) ? 5 : 61) {
    const float x = __int_as_float(bits);
    of_log = std::max(of_log, units(mlcfast::device::log_positive(x), std::log(static_cast<double>(x))));
  }
  std::mt19937 random;
  std::uniform_real_distribution<float> above(-60, 1), below(-122, 1);
  for (int i = 0; i < 4000000; ++i) {
    const float a = std::exp2(above(random)), b = std::exp2(below(random));
    of_quotient = std::max(of_quotient, units(mlcfast::device::quotient(a, b), static_cast<double>(a) / b));
  }
  std::printf("%.3f %.3f\n", of_log, of_quotient);
}
