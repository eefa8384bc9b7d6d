// The hand-written kernels of one instruction set as a table of functions over raw pointers, and
// the table that this process uses. T is float or double; the double forms are the same code and
// exist for float64 models and for gradient checks.
#pragma once

#include <cstdint>

namespace astgnn::ops {

enum class Precision;  // ops/precision.h, which includes headers of LibTorch

// Masks of one dropout site: see ops.h. dropped: the largest random word that is dropped.
struct DropoutSite {
  uint32_t seed, step, where, dropped;
  const int64_t* keys;  // the op's key: row r has its date and place at keys[2 * (r + 1)]
  double kept;          // 1 / (1 - p); 0: no dropout
};

// One layer of a GRU, packed by gru_weights.h for vectors of `lanes` elements; P is H rounded up to
// whole vectors, padded entries are 0.
template <class T>
struct GruLayer {
  int64_t inputs;
  const T* forward_input;   // [P / lanes, inputs, 3 (r, z, n), lanes]
  const T* forward_hidden;  // [P / lanes, H, 3 (r, z, n), lanes]
  const T* bias;            // [P / lanes, 4 (r, z, n of the input, n of the state), lanes]
  const T* back_input;      // [3 P (rows n, r, z), inputs rounded up]
  const T* back_hidden;     // [3 P (rows r, z, n), P]
  DropoutSite dropout;      // after this layer
  // Null, or the weights once more, by gru_pack.
  const uint16_t* packed = nullptr;
};
template <class T>
struct GruLayers {
  const GruLayer<T>* layer;
  int64_t count, hidden;
};

// A block of rows with their windows in place.
template <class T>
struct GruBlock {
  int64_t rows, window;
  int64_t first_row;  // packed row of the block's first, for the dropout keys
  const T* const* x;  // [kGruRows]: each row's features at its window's first date
  int64_t x_step;     // elements from one date to the next
  T* scratch;         // gru_scratch(...) elements
};

// Sums over rows and steps of one layer, dates of the window last to first.
template <class T>
struct GruSums {
  T* input;   // [inputs, 3 P (n, r, z)]
  T* hidden;  // [H, 3 P (r, z, n)]
  T* bias;    // [4 P] (n of the input, r, z, n of the state)
};

// The stocks of one block, all of which may meet, and what turns scores into weights.
template <class T>
struct SimilarityBlock {
  int64_t rows, factors;
  int64_t factor_stride;  // factors rounded up to whole vectors
  const T* m;             // [rows, factor_stride], padded with 0
  const T* panels;        // M^T in panels of kSimilarityPanel stocks, the last one rounded up to
                          // whole vectors: [factors, stocks of the panel] each
  T scale, shift;         // weight = exp(max(scale m m^T, 0) - shift)
  bool self;              // a stock's weight for itself counts
  const T* threshold;     // [rows rounded up] or null: row i keeps scores of at least threshold[i]
  const T* peak;          // with thresholds, each row's own shift
  T* kept;                // null, or [rows, stocks of the panel] per panel: the weights
  bool filled;            // kept has them already
};
// out (+)= A values without the diagonal and not normalised, for a piece of the rows.
template <class T>
struct SimilarityPass {
  int64_t row, rows;  // at most kSimilarityRows
  const T* values;    // of the block's first row
  int64_t values_stride, vectors;
  T* out;  // of the block's first row
  int64_t out_stride;
  bool add, transposed;
  double *others, *moments;  // null, or [rows]: sum of weights but the own; of all weights times
                             // their exponents
  T* own;                    // [rows] beside them: weight of the row itself
};
// Rows of one layer: values V = X W, sums = the pass over V.
template <class T>
struct SimilarityRows {
  int64_t count, width, stride;
  const T *values, *sums;
  const T *others, *own;  // [count]
};
// Adds U M to out, U being dS + dS^T without the diagonal, for the pairs (i, j) with i in a piece
// of the rows and j > i. All layers lie side by side in a row.
template <class T>
struct SimilarityGradient {
  int64_t row, rows;
  int64_t stride;              // elements of a row of weighted and values
  const T *weighted, *values;  // G = sign g / total, V; of the block's first row
  const T* panels;             // [V | G]^T in panels as those of M
  const T* mean;               // [rows rounded up]: G_i . (A V)_i
  T* out;                      // [rows of the block, factor_stride]
};

// Stocks of a panel; rows of a piece at most.
constexpr int64_t kSimilarityPanel = 128, kSimilarityRows = 288;

// One head of rows that all see each other, or of all rows of a date for edges. Element of row r:
// scores at r * score_step, vectors [width] at r * value_step.
template <class T>
struct AttentionHead {
  int64_t count, width, score_step, value_step;
  const int64_t* rows;  // [count] packed rows; for edges one after the other
  const T *source, *target;
  const T* values;  // dropped: see drop_values
  double slope, kept;
  double* scratch;
};
// Packed rows [count] by rising score; nullptr where no backward will need them.
struct AttentionOrder {
  int32_t *by_source, *by_target;
};
template <class T>
struct AttentionGradients {
  const T* out;
  T *dv, *dsource, *dtarget;
};
// CSR over packed rows.
struct EdgeList {
  const int64_t *offsets, *targets;
};

// dropout(activation(layer norm + residual)) of rows [R, columns]: see norm_activation.cpp.
template <class T>
struct NormRows {
  int64_t columns;
  const T *x, *weight, *bias;
  const T* residual;  // or null
  T* y;
  T* moments;  // [R, 2]: mean, 1 / sqrt(variance + eps)
  double eps;
  int64_t activation;  // ops.h, Activation
  DropoutSite dropout;
};
template <class T>
struct NormGradients {
  int64_t columns;
  const T *x, *weight, *y, *moments, *grad;
  T* dx;
  T* dresidual;  // or null
  T kept;        // 1 / (1 - p)
  int64_t activation;
};

// One update by AdamW (train/optimizer.h) of `count` numbers that lie together.
template <class T>
struct AdamwPart {
  int64_t count;
  const T* gradient;
  T *weight, *first, *second;
  T* average;  // or null
};
template <class T>
struct AdamwStep {
  T clip;   // what the gradients are multiplied by
  T decay;  // what the weights are multiplied by first
  T beta1, beta2, other1, other2;  // other = 1 - beta
  T rate;                          // learning rate / (1 - beta1^u)
  T root;                          // 1 / sqrt(1 - beta2^u)
  T eps;
  T share;  // of the way that the average moves towards the weights
};

template <class T>
struct KernelsOf {
  int lanes;
  // mask[k] = 0 or site.kept for columns first .. first + count of a packed row.
  void (*dropout_mask)(T* mask, const DropoutSite& site, int64_t row, int64_t first, int64_t count);
  int64_t (*gru_scratch)(const GruLayers<T>& layers, int64_t window, bool backward);
  // out [rows, H], out_stride apart: the last layer's last state.
  void (*gru_forward)(const GruLayers<T>& layers, const GruBlock<T>& block, T* out,
                      int64_t out_stride);
  // grad [rows, H]; adds to sums (one per layer); dx [window, rows of the block, inputs rounded up]
  // where wanted.
  void (*gru_backward)(const GruLayers<T>& layers, const GruBlock<T>& block, const T* grad,
                       int64_t grad_stride, const GruSums<T>* sums, T* dx);
  // Null, or how a layer's packed weights come about from the others, and their size.
  int64_t (*gru_packed_size)(const GruLayer<T>& layer, int64_t hidden);
  void (*gru_pack)(const GruLayer<T>& layer, int64_t hidden, uint16_t* packed);
  // out = v times its mask, columns first 0 .. width of a packed row. What is dropped becomes -0
  // and a kept zero +0, so that the backward needs no second mask.
  void (*drop_values)(T* out, const T* v, const DropoutSite& site, int64_t row, int64_t width);
  int64_t (*attention_scratch)(int64_t count, int64_t width);
  void (*attention_forward)(const AttentionHead<T>& head, T* out, const AttentionOrder& order);
  void (*attention_backward)(const AttentionHead<T>& head, const AttentionOrder& order,
                             const AttentionGradients<T>& gradients);
  int64_t (*edge_scratch)(int64_t count, int64_t width, int64_t most_edges_of_a_row);
  void (*edge_forward)(const AttentionHead<T>& head, const EdgeList& edges, T* out);
  void (*edge_backward)(const AttentionHead<T>& head, const EdgeList& edges,
                        const AttentionGradients<T>& gradients);
  // out [rows, vectors] (out_stride apart) = a [rows, depth] b [depth, vectors], b packed without
  // gaps. A row's bits depend on that row and b alone, which a library does not promise.
  void (*row_products)(const T* a, int64_t rows, int64_t depth, const T* b, int64_t vectors, T* out,
                       int64_t out_stride);
  // out [rows, rows of the block rounded up]
  void (*similarity_scores)(const SimilarityBlock<T>& block, int64_t row, int64_t rows, T* out);
  void (*similarity_apply)(const SimilarityBlock<T>& block, const SimilarityPass<T>& pass);
  // out = values + sign A values + bias, without its negative part where positive_only.
  void (*similarity_combine)(const SimilarityRows<T>& rows, T sign, const T* bias,
                             bool positive_only, T* out, int64_t out_stride);
  // Of grad: weighted = sign grad / total (rows.stride apart), direct = what passes without a
  // neighbour; where mean is not null, adds G . (A V) to it and dS_ii to diagonal. Whole vectors.
  void (*similarity_prepare)(const SimilarityRows<T>& rows, T sign, const T* grad,
                             int64_t grad_stride, T* weighted, T* direct, int64_t direct_stride,
                             T* mean, T* diagonal);
  void (*similarity_gradient)(const SimilarityBlock<T>& block,
                              const SimilarityGradient<T>& gradient);
  void (*norm_forward)(const NormRows<T>& rows, int64_t begin, int64_t end);
  // Adds to dweight and dbias.
  void (*norm_backward)(const NormGradients<T>& rows, int64_t begin, int64_t end, T* dweight,
                        T* dbias);
  // Of the optimizer; both have the same bits with every instruction set.
  double (*square_sum)(const T* x, int64_t count);
  void (*adamw)(const AdamwStep<T>& step, const AdamwPart<T>& part);
};

struct Kernels {
  const char* name;  // as in ASTGNN_ISA
  KernelsOf<float> single;
  KernelsOf<double> dual;
};

// Those of the float kernels that have a form in bf16 tiles.
struct TileKernels {
  decltype(KernelsOf<float>::gru_scratch) gru_scratch;
  decltype(KernelsOf<float>::gru_forward) gru_forward;
  decltype(KernelsOf<float>::gru_backward) gru_backward;
  decltype(KernelsOf<float>::gru_packed_size) gru_packed_size;
  decltype(KernelsOf<float>::gru_pack) gru_pack;
  decltype(KernelsOf<float>::similarity_apply) similarity_apply;
};

struct InstructionSet {
  const char* name;        // as in ASTGNN_ISA; "amx" has the float32 kernels of "avx512"
  const Kernels* kernels;  // kHighest; null below where the set has no other precision
  const Kernels* high = nullptr;
  const Kernels* medium = nullptr;
};

// Rows of a block at most; a multiple of every tile height.
constexpr int64_t kGruRows = 48;

extern const Kernels kScalarKernels, kAvx2Kernels, kAvx512Kernels;
extern const TileKernels kAmxHigh, kAmxMedium;

// Those in use now. The first call settles the instruction set: the best that this machine has, or
// the one that ASTGNN_ISA names; throws where it has not that one.
const Kernels& kernels();
const char* instruction_set();
Precision offered_by_cpu(Precision wanted);

Kernels with_tiles(Kernels rest, const TileKernels& tiles);

// For tests: as ASTGNN_ISA, from now on. False where this machine has it not.
bool use_kernels(const char* name);
void use_instruction_set(const InstructionSet& set);

template <class T>
const KernelsOf<T>& kernels_of();
template <>
inline const KernelsOf<float>& kernels_of<float>() {
  return kernels().single;
}
template <>
inline const KernelsOf<double>& kernels_of<double>() {
  return kernels().dual;
}

}  // namespace astgnn::ops
