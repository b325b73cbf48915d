// The CPU kernels behind a table of functions: compiled once for each instruction set, chosen when the library loads.
// Plain C++: no torch type crosses this header.
#pragma once

#include <cstdint>

namespace mlcfast {

enum class Type : int { f32, f64, f16, bf16, u8, i8, i16, i32, i64 };  // u8 is also bool

struct View {
  const void* data = nullptr;
  Type type = Type::f32;
};

struct MutableView {
  void* data = nullptr;
  Type type = Type::f32;
};

// One elementwise loss over entries [begin, end): inputs, optional outputs, and what multiplies them.
struct Entries {
  View logits, labels, true_labels;
  MutableView loss, gradient;
  double loss_scale = 1, gradient_scale = 1;
  bool wide = false;  // fp64 arithmetic
};

struct WeightedBceOptions {
  double positive_a, positive_b, unknown_a, unknown_b, negative_a, negative_b, eps;
};

// Formulas of label_formulas.h and formulas.h by number.
enum class Formula : int { entropy, hill, focal, robust, large, asymmetric, weighted_bce, balanced, zlpr, two_way };
constexpr int kFormulas = 10;

// Whether the entries of a formula hang on the others of their image, so that its loop is over rows of (B, K).
static inline bool by_rows(Formula formula) { return formula >= Formula::balanced; }

// A formula's options and the weights of its entries.
struct LabelLossOptions {
  Formula formula;
  const double* values;                 // as many as Kernels::options_of says
  double threshold = 0;                 // of large
  View positive_weight, other_weight;   // (K,) each in the arithmetic's type, or neither; of balanced 1/n_k and its shift,
                                        // of two_way U and D of each label over the whole batch in f64, see two_way_kernels.cpp
  int64_t K = 1;
};

// EPR (no estimate) and ROLE over rows [begin, end) of (B, K); the estimate's row b is row index[b] where index is given.
struct Coupled {
  View logits, observed, estimate;
  const int64_t* index = nullptr;
  MutableView logits_gradient, estimate_gradient;
  int64_t K = 0, table_rows = 0;
  double eps = 0;
  double scale = 0, coupling = 0, estimate_coupling = 0;  // backward only
  bool wide = false;
};

struct Sum {
  double loss = 0;
  bool bad_label = false;
};

struct CoupledSum {
  double loss = 0, probability = 0, estimate = 0;
  bool bad_label = false, bad_index = false;
};

struct Kernels {
  Sum (*asymmetric)(const Entries&, const double* options, int64_t begin, int64_t end);  // those of its formula
  Sum (*weighted_bce)(const Entries&, const WeightedBceOptions&, int64_t begin, int64_t end);
  Sum (*label_loss)(const Entries&, const LabelLossOptions&, int64_t begin, int64_t end);  // rows where by_rows
  int (*options_of)(Formula);  // how many numbers a formula takes
  // The logits of unknown entries that are not below `least`, written to `found`, which holds end − begin; their number.
  int64_t (*collect_unknown)(const View& logits, const View& labels, int64_t begin, int64_t end, float least, float* found);
  Sum (*pairwise_ranking)(const Entries&, int64_t K, int64_t begin_row, int64_t end_row);
  CoupledSum (*coupled_forward)(const Coupled&, int64_t begin_row, int64_t end_row);
  void (*coupled_backward)(const Coupled&, int64_t begin_row, int64_t end_row);
  void (*scale)(MutableView, double factor, int64_t begin, int64_t end);
  const char* name;
};

const Kernels& kernels();  // the best table this processor can run

}  // namespace mlcfast
