// What the CUDA library computes in kernels of its own, without a word of LibTorch: device pointers
// and a stream. Every pointer is device memory; T is float or double. The .cu files also compile as
// plain C++ (test/native/emulated_cuda.h), which is how they are tested where there is no GPU.
#pragma once

#include <cstdint>

namespace astgnn::ops::cuda {

using Stream = void*;  // a cudaStream_t

// A dropout site of ops.h: word > dropped keeps an element. key: the op's key, [R + 1, 2].
struct DropoutSite {
  const int64_t* key;
  uint32_t where, dropped;
  double scale;  // 1 / (1 - p); 0 where nothing is dropped
};

// out = x times the mask, x [times, rows, columns] at the site's time and those after it. Row r
// takes the key of packed row place[r], or of r where place is null.
template <class T>
void dropout(const T* x, T* out, const int64_t* place, int64_t times, int64_t rows, int64_t columns,
             const DropoutSite& site, Stream stream);

template <class T>
struct NormRows {
  int64_t rows, columns;
  const T *x, *weight, *bias, *residual;  // residual may be null
  T *y, *moments;                         // [rows, columns], [rows, 2]
  T eps;
  int activation;  // ops::Activation
};
template <class T>
void norm_forward(const NormRows<T>& rows, const DropoutSite& site, Stream stream);

template <class T>
struct NormGradients {
  int64_t rows, columns;
  const T *grad, *x, *weight, *y, *moments;
  T *dx, *dresidual;  // dresidual may be null
  double* sums;       // [ranges, 2, columns]: dweight and dbias of kNormRange rows each
  T passed;           // 1 / (1 - p)
  int activation;
};
constexpr int64_t kNormRange = 64;
template <class T>
void norm_backward(const NormGradients<T>& gradients, Stream stream);

// out [window, rows, features] = panel [dates, stocks, features] at the window that ends at
// (date[r], stock[r]).
template <class T>
void gather_windows(const float* panel, const int64_t* date, const int64_t* stock, int64_t stocks,
                    int64_t features, int64_t window, int64_t rows, T* out, Stream stream);

// One time of a GRU layer. Gates in the order r, z, n (PyTorch), kept ones n, r, z and the state's
// part of n: the input's weights see the first three of their gradients, the state's the last
// three.
template <class T>
struct GruGates {
  int64_t rows, hidden;
  const T *from_input, *from_state;  // [rows, 3 hidden]: products, the input's with its bias
  const T *bias, *before;            // of the state's product, [3 hidden]; state before, or null
  T *after, *kept;                   // [rows, hidden]; null, or [rows, 4 hidden]
};
template <class T>
void gru_gates(const GruGates<T>& gates, Stream stream);

// A layer of kGruHidden units over all times at once, in float32. `state_weights` [3 H, H].
constexpr int64_t kGruHidden = 64;
// Rows of a block of threads, of which a multiprocessor takes two at once, and the shared memory of
// one.
constexpr int64_t kGruRows = 64, kGruSharedBytes = 100 << 10;
struct GruLayer {
  int64_t times, rows;
  const float *from_input, *state_weights, *bias;  // [times, rows, 3 H] with its bias; [3 H]
  float *states, *kept;                            // [times, rows, H]; null, or [times, rows, 4 H]
};
void gru_layer(const GruLayer& layer, Stream stream);

struct GruLayerGradients {
  int64_t times, rows;
  const float *grad, *grad_of_last;  // null, or [times, rows, H]; null, or [rows, H]
  const float *state_weights, *states;
  float* kept;  // becomes the gradients before the activations
};
void gru_layer_gradients(const GruLayerGradients& layer, Stream stream);

template <class T>
struct GruGateGradients {
  int64_t rows, hidden;
  const T *grad, *before;  // null, or [rows, hidden]: of the output; state before
  T* carried;  // [rows, hidden]: gradient of the state after, then its part of that of the one
               // before
  T* kept;     // as above, becomes the gradients before the activations
};
template <class T>
void gru_gate_gradients(const GruGateGradients<T>& gates, Stream stream);

// Rows of a segment are adjacent: a segment is a run of places, and a tile is kSimilarityTile rows
// of one segment at most.
struct SimilarityTile {
  int64_t lo, hi;  // places of the segment
  int64_t row;     // first place of the tile
};
template <class T>
constexpr int kSimilarityTile = sizeof(T) == 4 ? 64 : 32;

// Weight of j for i: exp(max(score, 0) - peak_i) where the score is at least threshold_i, else 0.
template <class T>
struct Similarity {
  const SimilarityTile* tiles;
  int64_t tile_count;
  const T* m;  // [R, factors]
  int64_t factors;
  const T* scale;      // one number
  bool self;           // a stock's weight for itself counts
  const T* threshold;  // [R], or null: no score is too small
  const T* peak;       // [R], not below 0: what is taken off a row's scores
  // 0, or how many bf16 values stand for a factor of the products with values and of their
  // gradients (2 or 1; float only): those are left to tensor cores, which the GPU then has to have.
  // Scores, weights and sums are T.
  int parts;
  int64_t rows;
};
// Columns of a matrix of bf16 values, behind its own ones filled up with 0.
constexpr int64_t rounded_columns(int64_t columns) {
  return columns <= 64 ? 64 : (columns + 127) / 128 * 128;
}
// Where parts > 0: memory for factors in bf16, [parts, rows, rounded_columns] of each, and for
// sums of their columns, [tiles, rounded_columns].
struct SimilarityScratch {
  uint16_t* rounded;
  double* columns;
};
// The shifts of a graph whose own ones are not read, into peak [R]: 0 or half a bound of the scores
// where no exponential overflows with it, else each row's largest score. norms [R]: scratch.
template <class T>
void similarity_peaks(const Similarity<T>& graph, T* norms, T* peak, Stream stream);
// Scores of the tiles' rows into out [R, width], column j - lo; -inf for oneself where self does
// not count, and past the segment's end.
template <class T>
void similarity_scores(const Similarity<T>& graph, T* out, int64_t width, Stream stream);

// out [R, width] (+)= A values, not normalised and without the diagonal; A^T where transposed.
template <class T>
struct SimilarityPass {
  const T* values;  // [R, width]
  T* out;
  int64_t width;
  bool add, transposed;
  double *others, *moments;  // null, or [R]: sum of the weights but the own one; of weights times exponents
  T* own;                    // beside them, [R]: weight of the row itself
  SimilarityScratch scratch = {};  // for values
};
template <class T>
void similarity_apply(const Similarity<T>& graph, const SimilarityPass<T>& pass, Stream stream);

// out [R, factors] = U M without the diagonal, U = dS + dS^T.
template <class T>
struct SimilarityGradient {
  const T *weighted, *values;  // G = sign g / total, V of all layers side by side, [R, width]
  int64_t width;
  T* mean;  // [R]: G_i . (A V)_i; scratch afterwards
  T* out;
  SimilarityScratch scratch = {};  // for G, V and M
};
template <class T>
void similarity_gradient(const Similarity<T>& graph, const SimilarityGradient<T>& gradient,
                         Stream stream);

// A matrix for each of some dates, [dates, rows, rows], rows those of the largest: products of M
// with itself before the scale.
template <class T>
struct SimilarityMatrix {
  const int64_t* bounds;  // [dates + 1]: places
  int64_t dates, rows;
  T* entries;
  double *others, *moments;  // as in SimilarityPass
  T* own;
};
// Entries become weights; the diagonal, and what is outside of a date, 0.
template <class T>
void similarity_weights(const Similarity<T>& graph, const SimilarityMatrix<T>& matrix,
                        Stream stream);
// products, of that shape: G_i . V_j, become weight_ij (G_i . V_j - their mean in the row) where
// the score is positive and not the row's own, else 0. Entries become scratch.
template <class T>
void similarity_slopes(const Similarity<T>& graph, const SimilarityMatrix<T>& matrix, T* products,
                       Stream stream);

// Of a date's rows, places bounds[d] .. bounds[d + 1]: see ops::relational_embedding.
template <class T>
struct SimilarityStatistics {
  const int64_t* bounds;  // [B + 1]
  int64_t dates;
  const double *others, *moments;  // [R]: as a forward's first pass filled them
  const T* own;
};
template <class T>
void similarity_statistics(const SimilarityStatistics<T>& rows, double* out, Stream stream);

// out = v times the mask; a dropped element is -0 and no other is.
template <class T>
void drop_values(const T* v, T* out, int64_t rows, int64_t columns, const DropoutSite& site,
                 Stream stream);

// Attention where all rows of a segment see each other. `order` has two entries for each of them:
// c < R is row c as it is seen, a column, and R + r is row r as it sees. By rising target_j and
// -source_i, columns first where they are equal, a run of entries is one segment: the columns in
// front of a row are its lower branch, those behind it are its upper one.
struct AttentionRun {
  int64_t lo, hi;  // entries
  int64_t chunk;   // the first of its chunks
};
struct AttentionChunk {
  int64_t run, lo;  // kAttentionChunk entries from lo on, or what is left of the run
};
constexpr int kAttentionChunk = 32;
// Of an entry: what it is multiplied with in either branch, and what it gives beside its vector.
struct AttentionFactor {
  double lower, upper, given;
};

template <class T>
struct Attention {
  const AttentionRun* runs;
  int64_t run_count;
  const AttentionChunk* chunks;
  int64_t chunk_count;
  const int32_t* order;               // [A, 2 R]
  const T *values, *source, *target;  // [R, A, D], dropped by then; [R, A]
  int64_t rows, heads, width;
  double slope;
  double* peaks;             // [A, runs]: largest target
  AttentionFactor* factors;  // [A, 2 R]
  double* sums;              // [A, chunks, 2, D + 1]
};
// float32: keys that bring the entries into that order, [A, 2, R] int64: head and run above 32 bits
// of the score; and the order, given the places in `keys` of the sorted ones. run_of_row [R].
void attention_keys(const float* source, const float* target, const int64_t* run_of_row,
                    int64_t rows, int64_t heads, int64_t runs, int64_t* keys, Stream stream);
void attention_order(const int64_t* places, int64_t rows, int64_t heads, int32_t* order,
                     Stream stream);
template <class T>
void attention_forward(const Attention<T>& attention, T* out, Stream stream);

template <class T>
struct AttentionGradients {
  const T* grad;              // [R, A * D]
  T *dv, *dsource, *dtarget;  // [R, A, D], [R, A]
  double passed;              // 1 / (1 - p); 0 where nothing was dropped
};
template <class T>
void attention_backward(const Attention<T>& attention, const AttentionGradients<T>& gradients,
                        Stream stream);

// Attention along lists: row r sees targets[offsets[r] .. offsets[r + 1]].
template <class T>
struct EdgeAttention {
  const int64_t *offsets, *targets;
  const T *values, *source, *target;
  int64_t rows, heads, width;
  double slope;
};
template <class T>
void edge_attention_forward(const EdgeAttention<T>& attention, T* out, Stream stream);

// Column j is seen by rows[offsets[j] .. offsets[j + 1]].
struct EdgeViewers {
  const int64_t *offsets, *rows;
};
// Of a row: largest score, 1 / sum of its weights, g . out.
struct EdgeRow {
  double peak, inverse, delta;
};
// kept: [R, A] of scratch.
template <class T>
void edge_attention_backward(const EdgeAttention<T>& attention, const EdgeViewers& viewers,
                             const AttentionGradients<T>& gradients, EdgeRow* kept, Stream stream);

// Which column of the predictions is held against which column of the labels.
constexpr int kColumnPairs = 64;
struct ColumnPairs {
  int count;
  int64_t prediction[kColumnPairs], label[kColumnPairs];
};

// cross_sectional_loss of ops.h for the pairs of one launch.
template <class T>
struct CrossSections {
  const T *predictions, *labels;  // [rows, prediction_width], [rows, label_width]
  int64_t rows, prediction_width, label_width;
  const int64_t* date_offsets;  // [dates + 1]
  int64_t dates;
  bool mse;  // else ic
  double eps;
  double *values, *shares;  // [pairs, dates]; shares: 1 where defined, else 0
  double* slopes;           // [pairs, rows]: derivative of the date's value by the prediction
};
template <class T>
void cross_sections(const CrossSections<T>& sections, const ColumnPairs& pairs, Stream stream);
// Of all pairs. shares become what a value counts in the mean.
void cross_sections_mean(const double* values, double* shares, int64_t pairs, int64_t dates,
                         double* mean, Stream stream);

template <class T>
struct CrossSectionGradients {
  const double *grad, *slopes, *shares;  // one number; as above
  int64_t rows, prediction_width;
  const int64_t* date_offsets;
  int64_t dates;
  T* dpredictions;  // [rows, prediction_width]
};
// add: to what the launches before it have left there.
template <class T>
void cross_sections_backward(const CrossSectionGradients<T>& gradients, const ColumnPairs& pairs,
                             bool add, Stream stream);

}  // namespace astgnn::ops::cuda
