// at::empty for the emulated operators: NaN until somebody writes it, and a page behind it that stops who goes too far.
#pragma once

#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace emulator {

void of_device(void* memory, std::size_t bytes);  // only kernels are to see it, where memory is being hidden
void given_back(void* memory);

// Starts at a multiple of 16 bytes, as all memory of a device does. The few bytes between its end and the fence are looked at
// when it is given back: who wrote them ends the process.
inline at::Tensor empty(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const std::size_t bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * options.dtype().itemsize();
  if (bytes == 0) return at::empty(sizes, options);
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), room = (bytes + page - 1) / page * page;
  void* found = mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char* memory = static_cast<char*>(found);
  TORCH_CHECK(found != MAP_FAILED && mprotect(memory + room, page, PROT_NONE) == 0, "no fenced memory");
  std::memset(memory, 0xff, room);
  const std::size_t start = (room - bytes) / 16 * 16;
  const auto give_back = [memory, room, page, end = start + bytes](void*) {
    given_back(memory);
    const bool kept = std::all_of(memory + end, memory + room, [](char byte) { return byte == '\xff'; });
    if (!kept) std::fprintf(stderr, "emulated CUDA: a kernel wrote past the end of a tensor\n");
    if (!kept) std::abort();
    munmap(memory, room + page);
  };
  of_device(memory, room);
  return at::from_blob(memory + start, sizes, give_back, options);
}

}  // namespace emulator
