// at::empty for the emulated operators: NaN until somebody writes it, and a page behind it that stops who goes too far.
#pragma once

#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace emulator {

// Every other tensor ends where the fence starts; the rest start at a multiple of 16 bytes, as all do on a device.
inline at::Tensor empty(at::IntArrayRef sizes, const at::TensorOptions& options) {
  static unsigned int calls = 0;
  const std::size_t bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * options.dtype().itemsize();
  if (bytes == 0) return at::empty(sizes, options);
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), room = (bytes + page - 1) / page * page;
  char* memory = static_cast<char*>(mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  TORCH_CHECK(memory != MAP_FAILED && mprotect(memory + room, page, PROT_NONE) == 0, "no fenced memory");
  std::memset(memory, 0xff, room);
  const std::size_t unused = room - bytes, start = ++calls % 2 == 0 ? unused : unused / 16 * 16;
  return at::from_blob(memory + start, sizes, [memory, room, page](void*) { munmap(memory, room + page); }, options);
}

}  // namespace emulator
