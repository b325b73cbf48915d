// The scheduler of the emulated device: one block after another, its threads as fibers that give way where they wait.
#include "emulator.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

Position threadIdx, blockIdx, gridDim, blockDim;

namespace emulator {

cudaStream_t current_stream = nullptr;

namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::size_t kWarp = 32;
constexpr std::size_t kMostThreads = 1024;

enum class State { ready, barrier, shuffle, finished };

struct Fiber {
  jmp_buf at;
  State state;
  uint64_t rank;  // of the schedules that prefer some fibers
  uint64_t value;
  unsigned int offset;
};

std::mutex device;
std::mt19937_64 dice([] {
  const char* seed = std::getenv("MLCFAST_EMULATOR_SEED");
  return seed != nullptr ? std::strtoull(seed, nullptr, 10) : 0;
}());
Fiber fibers[kMostThreads];  // started once, then idle between the blocks
std::size_t block_threads = 0, started = 0, running = 0;
jmp_buf scheduler;
const std::function<void()>* work;
uint64_t block_number = 0;
int64_t launches = 0;
std::vector<int64_t> chosen;  // of run_only
bool hiding = false;
std::map<void*, std::size_t> hidden;  // whole pages that only kernels see
std::map<void*, uint64_t> freshened;  // shared variable -> the block that has it poisoned already

// ucontext starts a fiber on its own stack; from then on setjmp switches, which makes no system call.
void give_way(State state) {
  Fiber& fiber = fibers[running];
  fiber.state = state;
  if (_setjmp(fiber.at) == 0) _longjmp(scheduler, 1);
}

void enter() {
  for (;;) {
    give_way(State::finished);
    (*work)();
  }
}

void start_fiber(std::size_t thread) {
  static char* const stacks = static_cast<char*>(mmap(nullptr, kStackBytes * kMostThreads, PROT_READ | PROT_WRITE,
                                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = stacks + thread * kStackBytes;
  context.uc_stack.ss_size = kStackBytes;
  context.uc_link = nullptr;
  makecontext(&context, enter, 0);
  running = thread;
  if (_setjmp(scheduler) == 0) setcontext(&context);
}

// Half of the blocks prefer some warps to others, so that the last warp lags as far as the barriers allow.
void start_block(std::size_t threads) {
  ++block_number;
  block_threads = threads;
  for (; started < threads; ++started) start_fiber(started);
  const bool by_warp = dice() % 2 == 0;
  uint64_t warps[kMostThreads / kWarp];
  for (uint64_t& rank : warps) rank = dice();
  for (std::size_t thread = 0; thread < threads; ++thread) {
    fibers[thread].state = State::ready;
    fibers[thread].rank = (by_warp ? warps[thread / kWarp] : dice()) << 16 | (dice() & 0xffff);
  }
}

void require(bool condition, const char* message) {
  if (condition) return;
  started = 0;  // the fibers are left where they are: the next block starts them anew
  throw std::runtime_error(std::string("emulated CUDA: ") + message);
}

// A warp whose 32 lanes wait at one shuffle goes on, each lane with the value of the lane `offset` above it or its own.
bool release_warp(std::size_t first) {
  if (first + kWarp > block_threads) return false;
  for (std::size_t lane = 0; lane < kWarp; ++lane)
    if (fibers[first + lane].state != State::shuffle) return false;
  uint64_t values[kWarp];
  for (std::size_t lane = 0; lane < kWarp; ++lane) {
    const std::size_t source = lane + fibers[first + lane].offset;
    require(fibers[first].offset < kWarp, "only shuffles of a whole warp are emulated");
    require(fibers[first + lane].offset == fibers[first].offset, "the lanes of a warp wait at different shuffles");
    values[lane] = fibers[first + (source < kWarp ? source : lane)].value;
  }
  for (std::size_t lane = 0; lane < kWarp; ++lane) {
    fibers[first + lane].value = values[lane];
    fibers[first + lane].state = State::ready;
  }
  return true;
}

std::size_t count_of(State state) {
  return std::count_if(fibers, fibers + block_threads, [state](const Fiber& fiber) { return fiber.state == state; });
}

// Called when no fiber can run; false when all are done.
bool release() {
  bool released = false;
  for (std::size_t first = 0; first < block_threads; first += kWarp) released |= release_warp(first);
  if (released) return true;
  const std::size_t waiting = count_of(State::barrier);
  if (waiting == block_threads) {
    for (std::size_t thread = 0; thread < block_threads; ++thread) fibers[thread].state = State::ready;
    return true;
  }
  require(count_of(State::shuffle) == 0, "a shuffle waits for a lane that never comes");
  require(waiting == 0, "a barrier waits for a thread that has left");
  return false;
}

void run_fiber(std::size_t thread) {
  running = thread;
  threadIdx.x = static_cast<unsigned int>(thread);
  if (_setjmp(scheduler) == 0) _longjmp(fibers[thread].at, 1);
}

void show(bool shown) {
  for (const auto& [memory, bytes] : hidden) mprotect(memory, bytes, shown ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void run_block(std::size_t threads) {
  start_block(threads);
  std::vector<std::size_t> order(threads);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [](std::size_t a, std::size_t b) { return fibers[a].rank < fibers[b].rank; });
  do {
    for (std::size_t at = 0; at < threads;) {
      if (fibers[order[at]].state == State::ready) run_fiber(order[at]);
      // The preferred warp goes through its shuffles before the next one starts.
      const std::size_t first = order[at] / kWarp * kWarp;
      at = fibers[order[at]].state == State::shuffle && release_warp(first) ? 0 : at + 1;
    }
  } while (release());
}

}  // namespace

void run(int64_t blocks, int64_t threads, cudaStream_t stream, const std::function<void()>& thread) {
  const std::lock_guard<std::mutex> alone(device);
  require(stream == current_stream, "a launch on another stream than the current one");
  require(blocks > 0 && blocks < int64_t(1) << 31, "a launch of no blocks or of too many");
  require(threads > 0 && threads <= static_cast<int64_t>(kMostThreads), "a launch of no threads or of too many");
  work = &thread;
  ++launches;
  gridDim.x = static_cast<unsigned int>(blocks);
  blockDim.x = static_cast<unsigned int>(threads);
  std::vector<int64_t> order = chosen;
  if (order.empty() || blocks == 1) {
    order.resize(static_cast<std::size_t>(blocks));
    std::iota(order.begin(), order.end(), int64_t(0));
  }
  std::shuffle(order.begin(), order.end(), dice);
  show(true);
  for (const int64_t block : order) {
    require(block < blocks, "no such block");
    blockIdx.x = static_cast<unsigned int>(block);
    run_block(static_cast<std::size_t>(threads));
  }
  show(false);
}

void run_only(std::vector<int64_t> blocks) { chosen = std::move(blocks); }

void of_device(void* memory, std::size_t bytes) {
  if (!hiding) return;
  hidden[memory] = bytes;
  mprotect(memory, bytes, PROT_NONE);
}

void given_back(void* memory) {
  if (const auto found = hidden.find(memory); found != hidden.end()) {
    mprotect(memory, found->second, PROT_READ | PROT_WRITE);
    hidden.erase(found);
  }
}

void fresh(void* shared, std::size_t bytes) {
  uint64_t& block = freshened[shared];
  if (block == block_number) return;
  block = block_number;
  std::memset(shared, 0xff, bytes);
}

uint64_t shuffle_down(unsigned int mask, uint64_t bits, unsigned int offset, int width) {
  fibers[running].value = bits;
  fibers[running].offset = mask == 0xffffffffu && width == 32 ? offset : kWarp;  // an exception must not cross fibers
  give_way(State::shuffle);
  return fibers[running].value;
}

}  // namespace emulator

void __syncthreads() { emulator::give_way(emulator::State::barrier); }

#define FOR_PYTHON extern "C" __attribute__((visibility("default")))

FOR_PYTHON int64_t emulator_launches() { return emulator::launches; }

FOR_PYTHON void emulator_set_stream(cudaStream_t stream) { emulator::current_stream = stream; }

// Whole pages, and whatever operators allocate from here on, stop a host that reads or writes there.
FOR_PYTHON void emulator_hide(void* pages, std::size_t bytes) {
  emulator::hiding = true;
  emulator::of_device(pages, bytes);
}

FOR_PYTHON void emulator_show_all() {
  emulator::show(true);
  emulator::hidden.clear();
  emulator::hiding = false;
}
