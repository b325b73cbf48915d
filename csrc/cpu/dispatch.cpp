// Which instruction set's table this processor gets, decided once: the best it has, or less where ATEN_CPU_CAPABILITY (default, avx2
// or avx512), which bounds torch's own kernels, says so.
#include <cstdlib>
#include <cstring>

#include "kernels.h"
#include "pixels.h"

namespace mlcfast {

namespace baseline {
extern const Kernels table;
extern const PixelKernels pixels;
}
#ifdef MLCFAST_X86
namespace avx2 {
extern const Kernels table;
extern const PixelKernels pixels;
}
namespace avx512 {
extern const Kernels table;
extern const PixelKernels pixels;
}

enum class Level { baseline, avx2, avx512 };

static Level level() {
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  const char* const bound = std::getenv("ATEN_CPU_CAPABILITY");
  const bool below_v4 = bound != nullptr && (std::strcmp(bound, "default") == 0 || std::strcmp(bound, "avx2") == 0);
  const bool below_v3 = below_v4 && std::strcmp(bound, "avx2") != 0;
  return v4 && !below_v4 ? Level::avx512 : v3 && !below_v3 ? Level::avx2 : Level::baseline;
}

template <class Table>
static const Table& choose(const Table& baseline, const Table& avx2, const Table& avx512) {
  const Level mine = level();
  return mine == Level::avx512 ? avx512 : mine == Level::avx2 ? avx2 : baseline;
}
#define MLCFAST_CHOOSE(name) choose(baseline::name, avx2::name, avx512::name)
#else
#define MLCFAST_CHOOSE(name) baseline::name
#endif

const Kernels& kernels() {
  static const Kernels& chosen = MLCFAST_CHOOSE(table);
  return chosen;
}

const PixelKernels& pixel_kernels() {
  static const PixelKernels& chosen = MLCFAST_CHOOSE(pixels);
  return chosen;
}

}  // namespace mlcfast
