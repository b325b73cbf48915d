// The CUDA kernels behind plain functions: no torch type crosses this header, so that nvcc never reads torch's headers.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "../cpu/kernels.h"

namespace mlcfast::gpu {

// Labels come as u8 (also bool), i8, i64 or f32, true labels and estimates in the types the host gave them: true labels
// like labels, estimates as f32; for f64 logits everything floating is f64 and labels are f64.
struct Elementwise {
  Entries entries;       // loss: per-entry losses where wanted
  void* partial;         // one loss a block, f32 or f64
  int64_t count;
  int64_t K;             // pairwise ranking only
};

struct CoupledLaunch {
  Coupled inputs;
  bool role;             // ROLE, else EPR
  void* partial;         // (3, blocks)
  const void* given;     // (4,) statistic of the global batch or null
  const void* incoming;  // backward only
  void* loss;
  void* statistic;       // (4,), written by forward, read by backward
  int64_t B;
  double expected_positives, weight;
};

// The entries of a thread block: a small problem is spread over more of them, four entries a thread.
constexpr int64_t block_entries(int64_t count) { return count <= 65536 ? 1024 : 4096; }

// Thread blocks, and so partial losses, of `count` entries.
constexpr int64_t blocks_for(int64_t count) { return (count + block_entries(count) - 1) / block_entries(count); }

int asymmetric_option_count();
void asymmetric(const Elementwise&, const double* options, cudaStream_t);
void weighted_bce(const Elementwise&, const WeightedBceOptions&, cudaStream_t);
void pairwise_ranking(const Elementwise&, int64_t rows, cudaStream_t);  // one partial loss a row
void sum_partials(const void* partial, int64_t count, void* total, bool wide, double scale, cudaStream_t);
void rescale(MutableView gradient, const void* incoming, double factor, int64_t count, cudaStream_t);
void coupled_forward(const CoupledLaunch&, cudaStream_t);
void coupled_backward(const CoupledLaunch&, cudaStream_t);

}  // namespace mlcfast::gpu
