// The kernels beyond 2^31 and 2^32 entries: arrays of reserved addresses, of which only the pages of a few blocks are touched.
// Entries repeat, so that a small problem has each result. Prints how many entries were compared; a difference, or an index
// that has lost its upper half and so lies elsewhere, ends the process. 77 where so many addresses cannot be reserved.
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "cuda/launch.h"
#include "emulator.h"

namespace {

using namespace mlcfast;
using namespace mlcfast::gpu;

constexpr int64_t kPeriod = 65, kRepeatedRows = 455, kMost = int64_t(1) << 32;  // 455: 65 rows, and 7 of a table
constexpr double kOptions[] = {2, 1, 0.05, 1e-8, 0};
int64_t compared = 0;

template <class T>
T* reserve(int64_t count) {
  void* found = mmap(nullptr, static_cast<std::size_t>(count) * sizeof(T), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (found == MAP_FAILED) std::exit(77);
  return static_cast<T*>(found);
}

template <class T>
void give_back(T* memory, int64_t count) {
  munmap(memory, static_cast<std::size_t>(count) * sizeof(T));
}

void expect(bool holds, const char* what, int64_t at) {
  ++compared;
  if (holds) return;
  std::printf("%s differs at entry %lld\n", what, static_cast<long long>(at));
  std::exit(1);
}

float logit(int64_t at) { return static_cast<float>(at % kPeriod % 13) - 6; }
float estimate(int64_t at) { return static_cast<float>(at % kPeriod % 5) - 2; }
uint8_t label(int64_t at) { return at % kPeriod % 5 == 0; }

// Entries of a problem, of which fill() writes those of a block or of a row.
struct Problem {
  int64_t count;
  float *logits = reserve<float>(count), *gradient = reserve<float>(count), *estimates = reserve<float>(count),
        *estimate_gradient = reserve<float>(count), *partial = reserve<float>(count);
  uint8_t* labels = reserve<uint8_t>(count);
  explicit Problem(int64_t count) : count(count) {}
  ~Problem() {
    for (float* each : {logits, gradient, estimates, estimate_gradient, partial}) give_back(each, count);
    give_back(labels, count);
  }
  void fill(int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      logits[at] = logit(at);
      estimates[at] = estimate(at);
      labels[at] = label(at);
    }
  }
  Elementwise elementwise(int64_t K) {
    Elementwise e{};
    e.entries.logits = {logits, Type::f32};
    e.entries.labels = {labels, Type::u8};
    e.entries.gradient = {gradient, Type::f32};
    e.partial = partial;
    e.count = count;
    e.K = K;
    return e;
  }
};

// The pieces of `size` entries that hold the first entry, those on either side of 2^31 and of 2^32, and the last.
std::vector<int64_t> pieces(int64_t count, int64_t size) {
  std::vector<int64_t> found;
  for (const int64_t at : {int64_t(0), (int64_t(1) << 31) - 1, int64_t(1) << 31, kMost - 1, kMost, count - 1})
    found.push_back(at / size);
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

void nothing_beside(const Problem& p, const float* values, int64_t begin, int64_t end, const char* what) {
  for (int64_t at = std::max<int64_t>(begin - 64, 0); at < begin; ++at) expect(values[at] == 0 || logit(at) == p.logits[at], what, at);
  for (int64_t at = end; at < std::min(end + 64, p.count); ++at) expect(values[at] == 0 || logit(at) == p.logits[at], what, at);
}

void elementwise_losses() {
  Problem small(kPeriod), large(kMost + 3 * 4096 + 5);
  small.fill(0, kPeriod);
  emulator::run_only({});
  asymmetric(small.elementwise(0), kOptions, nullptr);
  const int64_t size = block_entries(large.count);
  const auto blocks = pieces(large.count, size);
  for (const int64_t block : blocks) large.fill(block * size, std::min((block + 1) * size, large.count));
  emulator::run_only(blocks);
  asymmetric(large.elementwise(0), kOptions, nullptr);
  const float incoming = 0.5f;
  float total = 0;
  double sum = 0;
  for (const int64_t block : blocks) sum += large.partial[block];
  sum_partials(large.partial, blocks_for(large.count), &total, false, 1.0, nullptr);
  expect(sum > 0 && std::abs(total - sum) < 1e-5 * sum, "the total", 0);
  for (int pass = 0; pass < 2; ++pass) {
    for (const int64_t block : blocks) {
      const int64_t begin = block * size, end = std::min(begin + size, large.count);
      for (int64_t at = begin; at < end; ++at)
        expect(large.gradient[at] == small.gradient[at % kPeriod] * (pass == 0 ? 1 : incoming), "a gradient", at);
      nothing_beside(large, large.gradient, begin, end, "a gradient beside a block");
    }
    rescale({large.gradient, Type::f32}, &incoming, 1.0, large.count, nullptr);
  }
}

void rows_of(int64_t K) {
  Problem large((kMost / K + 2) * K), small(K);
  const auto rows = pieces(large.count, K);
  for (const int64_t row : rows) large.fill(row * K, (row + 1) * K);
  emulator::run_only(rows);
  pairwise_ranking(large.elementwise(K), large.count / K, nullptr);
  emulator::run_only({});
  for (const int64_t row : rows) {
    std::copy_n(large.logits + row * K, K, small.logits);
    std::copy_n(large.labels + row * K, K, small.labels);
    pairwise_ranking(small.elementwise(K), 1, nullptr);
    const float exact = small.partial[0];
    expect(exact > 0 && std::abs(large.partial[row] - exact) < 1e-5f * exact, "a row's loss", row * K);
    for (int64_t k = 0; k < K; ++k) expect(large.gradient[row * K + k] == small.gradient[k], "a gradient of a row", row * K + k);
  }
}

enum class Estimates { none, rows, table };

void coupled(Estimates kind, int64_t K) {
  Problem large((kMost / K + 2) * K), small(kRepeatedRows * K);
  const int64_t B = large.count / K, rows = 2 * B, first = rows - 7;  // of the large table the last seven are asked for
  int64_t *index = reserve<int64_t>(B), *small_index = reserve<int64_t>(kRepeatedRows);
  float *table = reserve<float>(rows * K), *small_table = reserve<float>(7 * K);
  for (int64_t at = 0; at < 7 * K; ++at) small_table[at] = table[first * K + at] = estimate(at);
  small.fill(0, small.count);
  float statistic[4] = {900, 700, 300, 1}, loss = 0;
  const float incoming = 0.75f;
  const auto launch = [&](Problem& p, float* from, const int64_t* by, int64_t table_rows) {
    CoupledLaunch c{};
    c.inputs.logits = {p.logits, Type::f32};
    c.inputs.observed = {p.labels, Type::u8};
    c.inputs.K = K;
    c.inputs.eps = 1e-5;
    c.role = kind != Estimates::none;
    if (c.role) c.inputs.estimate = {kind == Estimates::rows ? p.estimates : from, Type::f32};
    if (kind == Estimates::table) c.inputs.index = by;
    c.inputs.table_rows = kind == Estimates::table ? table_rows : p.count / K;
    c.inputs.logits_gradient = {p.gradient, Type::f32};
    if (c.role) c.inputs.estimate_gradient = {p.estimate_gradient, Type::f32};
    c.partial = p.partial;
    c.given = statistic;
    c.incoming = &incoming;
    c.loss = &loss;
    c.statistic = statistic;
    c.B = p.count / K;
    c.expected_positives = 2.9;
    c.weight = 1;
    return c;
  };
  for (int64_t row = 0; row < kRepeatedRows; ++row) small_index[row] = row % 7;
  emulator::run_only({});
  coupled_backward(launch(small, small_table, small_index, 7), nullptr);
  const int64_t size = block_entries(large.count), blocks = blocks_for(large.count);
  const auto chosen = pieces(large.count, size);
  for (const int64_t block : chosen) {
    const int64_t begin = block * size, end = std::min(begin + size, large.count);
    large.fill(begin, end);
    for (int64_t row = begin / K; row <= (end - 1) / K; ++row) index[row] = first + row % 7;
  }
  emulator::run_only(chosen);
  coupled_forward(launch(large, table, index, rows), nullptr);
  coupled_backward(launch(large, table, index, rows), nullptr);
  for (const int64_t block : chosen) {
    const int64_t begin = block * size, end = std::min(begin + size, large.count);
    double probabilities = 0;
    for (int64_t at = begin; at < end; ++at) {
      const int64_t same = at / K % kRepeatedRows * K + at % K;
      probabilities += 1 / (1 + std::exp(-static_cast<double>(logit(at))));
      expect(large.gradient[at] == small.gradient[same], "a gradient of EPR or ROLE", at);
      expect(large.estimate_gradient[at] == small.estimate_gradient[same], "an estimate's gradient", at);
    }
    expect(std::abs(large.partial[blocks + block] - probabilities) < 1e-5 * probabilities, "a block's sum", begin);
    nothing_beside(large, large.gradient, begin, end, "a gradient of EPR or ROLE beside a block");
  }
  give_back(index, B);
  give_back(small_index, kRepeatedRows);
  give_back(table, rows * K);
  give_back(small_table, 7 * K);
}

}  // namespace

int main() {
  elementwise_losses();
  for (const int64_t K : {80, 601}) rows_of(K);  // a warp a row and a block a row
  for (const Estimates kind : {Estimates::none, Estimates::rows, Estimates::table})
    for (const int64_t K : {80, 81}) coupled(kind, K);
  std::printf("%lld\n", static_cast<long long>(compared));
}
