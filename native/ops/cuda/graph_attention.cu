// The algorithm of cpu/isa/attention.h, with both sweeps cut into chunks of kLanes entries. An
// entry gives its vector to those of the other kind: in the forward columns give v' to rows, in the
// backward rows give their gradient to columns. A chunk's totals of either branch, summed over the
// chunks in front of it and behind it, are where its own sweeps begin; what is added is never
// subtracted again. Sums are float64, factors are in (0, 1] as on the CPU.
//
// A warp per chunk and head: a lane first computes the factors of one entry, then carries one
// column of the vectors through all of them. 32 loads are under way at a time, each of a row's
// whole columns, and vectors are read once per kernel. A chunk's begin and end follow from its run
// alone, so the bits of a date do not depend on its batch, and there are no atomics.
//
// (5000 stocks, A 4, D 32, B 8, float32): 320,000 entries, 10,016 chunks. v, grad, out and dv have
// 20.5 MB, sums 5.3, factors 7.7. The forward moves 2 v + out, 5 sums and 2 factors, 105 MB: 25 us
// at 4 TB/s, 4 launches. The backward moves 3 v, 3 grad and dv, 10 sums and 5 factors, 235 MB: 60
// us, 7 launches. ATen's sort of the entries comes on top. The same by ATen takes sort, gather,
// exp, two cumsums, padding and two gathers of [A, N, D + 1] per segment, 40 launches each and
// autograd's as well; dense it is 3.2 GB per tensor.
#include "ops/cuda/attention.h"
#include "ops/cuda/philox.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kThreads = kWarps * kLanes;
constexpr int kScanWarps = 8;
static_assert(kAttentionChunk == kLanes);

// A chunk's entries in shared memory. Sums from the front are those of lower branches in the
// forward, of upper ones in the backward.
struct Entries {
  double front[kLanes], back[kLanes], given[kLanes];
  int32_t giver[kLanes], taker[kLanes];  // packed rows; -1: it is not one
};

// The chunk and the entry that this thread works on.
struct Place {
  int64_t head, chunk, run, entry;
  int lane;
  bool works, inside;  // the last warps, and the last entries of a run's last chunk, may have none

  template <class T>
  __device__ explicit Place(const Attention<T>& a)
      : head(blockIdx.y),
        chunk(static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kLanes),
        lane(static_cast<int>(threadIdx.x % kLanes)),
        works(chunk < a.chunk_count) {
    if (!works) return;
    run = a.chunks[chunk].run;
    entry = a.chunks[chunk].lo + lane;
    inside = entry < a.runs[run].hi;
    entry += head * 2 * a.rows;
  }
};

template <class T>
__device__ double* sums_of(const Attention<T>& a, const Place& place) {
  return a.sums + (place.head * a.chunk_count + place.chunk) * 2 * (a.width + 1);
}

// Brings the lane's own entry into shared memory.
template <bool kBack, class T>
__device__ void load_entry(Entries& entries, const Attention<T>& a, const Place& place,
                           const AttentionFactor& factor) {
  const int32_t code = place.inside ? a.order[place.entry] : 0;
  const bool column = code < a.rows, gives = column != kBack;
  const int32_t row = column ? code : code - static_cast<int32_t>(a.rows);
  entries.giver[place.lane] = place.inside && gives ? row : -1;
  entries.taker[place.lane] = place.inside && !gives ? row : -1;
  entries.front[place.lane] = kBack ? factor.upper : factor.lower;
  entries.back[place.lane] = kBack ? factor.lower : factor.upper;
  entries.given[place.lane] = factor.given;
  __syncwarp();
}

template <class T>
__device__ AttentionFactor kept_factor(const Attention<T>& a, const Place& place) {
  return place.inside ? a.factors[place.entry] : AttentionFactor{};
}

// A block of kLanes columns of the vectors of one head.
struct Columns {
  int64_t column, at, step;  // this lane's; a row's place in [R, A * D] is at + row * step
  bool inside;

  template <class T>
  __device__ Columns(const Attention<T>& a, const Place& place, int64_t start)
      : column(start + place.lane),
        at(place.head * a.width + column),
        step(a.heads * a.width),
        inside(column < a.width) {
    __syncwarp();  // else the compiler keeps all entries in registers from block to block, and
                   // spills
  }
  // Sums over other chunks.
  __device__ double front(const double* sums) const { return inside ? sums[column] : 0.0; }
  __device__ double back(const double* sums, int64_t width) const {
    return inside ? sums[width + 1 + column] : 0.0;
  }
};

// Vectors of the givers, and of the takers where there are any, all asked for at once.
template <class T>
__device__ void load_vectors(double (&slots)[kLanes], const Entries& entries,
                             const Columns& columns, const T* given, const T* taken) {
#pragma unroll
  for (int k = 0; k < kLanes; ++k) {
    const bool gives = entries.giver[k] >= 0;
    const int64_t row = gives ? entries.giver[k] : taken ? entries.taker[k] : -1;
    slots[k] = columns.inside && row >= 0
                   ? static_cast<double>((gives ? given : taken)[row * columns.step + columns.at])
                   : 0.0;
  }
}

// taken(k, sum) for the takers, with what was given in front of them.
template <class Taken>
__device__ void walk_forward(const Entries& entries, const double (&slots)[kLanes], double sum,
                             Taken&& taken) {
#pragma unroll
  for (int k = 0; k < kLanes; ++k) {
    if (entries.taker[k] >= 0) {
      taken(k, entries.front[k] * sum);
    } else {
      sum += entries.front[k] * slots[k];
    }
  }
}
// And with what was given behind them.
template <class Taken>
__device__ void walk_back(const Entries& entries, const double (&slots)[kLanes], double sum,
                          Taken&& taken) {
#pragma unroll
  for (int k = kLanes - 1; k >= 0; --k) {
    if (entries.taker[k] >= 0) {
      taken(k, entries.back[k] * sum);
    } else {
      sum += entries.back[k] * slots[k];
    }
  }
}

struct Branches {
  double front, back;
};

// What the lane's own entry is given beside the vectors.
__device__ inline Branches given_to(const Entries& entries, int lane, const double* sums,
                                    int64_t width) {
  double front = sums[width], back = sums[2 * width + 1];
  for (int k = 0; k < kLanes; ++k) {
    if (entries.giver[k] < 0) continue;
    if (k < lane) front += entries.front[k] * entries.given[k];
    if (k > lane) back += entries.back[k] * entries.given[k];
  }
  return {entries.front[lane] * front, entries.back[lane] * back};
}

// Divides a row's factors by the sum of its weights: the branches' shares of it.
__device__ inline Branches normalise(Entries& entries, int lane, const double* sums,
                                     int64_t width) {
  const Branches weights = given_to(entries, lane, sums, width);
  const double inverse = 1 / (weights.front + weights.back);
  if (entries.taker[lane] >= 0) {
    entries.front[lane] *= inverse;
    entries.back[lane] *= inverse;
  }
  __syncwarp();
  return {weights.front * inverse, weights.back * inverse};
}

// The bits of a score as an unsigned number of the same order: 0 and -0 are equal, NaN comes last.
__device__ inline uint32_t ordered_bits(float score) {
  if (score != score) return 0xffffffffu;
  const float value = score + 0.0f;  // -0 + 0 is +0
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

// A thread per row and head.
__global__ void keys_kernel(const float* source, const float* target, const int64_t* run_of_row,
                            int64_t rows, int64_t heads, int64_t runs, int64_t* keys) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, head = blockIdx.y;
  if (row >= rows) return;
  const int64_t run = (head * runs + run_of_row[row]) << 32, at = row * heads + head;
  int64_t* to = keys + head * 2 * rows + row;
  to[0] = run | static_cast<int64_t>(ordered_bits(target[at]));
  to[rows] = run | static_cast<int64_t>(ordered_bits(-source[at]));
}

__global__ void order_kernel(const int64_t* places, int64_t entries, int32_t* order) {
  const int64_t entry = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x,
                first = blockIdx.y * entries;
  if (entry < entries) order[first + entry] = static_cast<int32_t>(places[first + entry] - first);
}

// Of each run and head, by a warp: the score of the last column. A NaN or infinite score, which is
// the first or the last of its run, has no place in an order: the peak is NaN then, and so is all
// that is computed with it, as in a softmax.
template <class T>
__global__ void peaks_kernel(Attention<T> a) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kLanes,
                head = blockIdx.y;
  if (index >= a.run_count) return;
  const int lane = static_cast<int>(threadIdx.x % kLanes);
  const AttentionRun run = a.runs[index];
  const int32_t* order = a.order + head * 2 * a.rows;
  const auto score_of = [&](int64_t code) {
    return static_cast<double>(code < a.rows ? a.target[code * a.heads + head]
                                             : a.source[(code - a.rows) * a.heads + head]);
  };
  double peak = -INFINITY;
  for (int64_t end = run.hi; end > run.lo && peak == -INFINITY; end -= kLanes) {
    const int64_t entry = end - 1 - lane;
    if (entry >= run.lo && order[entry] < a.rows) peak = score_of(order[entry]);
    peak = largest_over_warp(peak);
  }
  if (lane > 0 || run.lo == run.hi) return;
  const double first = score_of(order[run.lo]), last = score_of(order[run.hi - 1]);
  a.peaks[head * a.run_count + index] = peak + (first - first) + (last - last);
}

// E0 and E1 of a column; f0 and 1 of a row.
template <class T>
__device__ AttentionFactor factor_of(const Attention<T>& a, const Place& place) {
  if (!place.inside) return {};
  const int64_t code = a.order[place.entry];
  const double peak = a.peaks[place.head * a.run_count + place.run];
  if (code < a.rows) {
    const double below = static_cast<double>(a.target[code * a.heads + place.head]) - peak;
    return {exp(a.slope * below), exp(below), 1};
  }
  const double sum = static_cast<double>(a.source[(code - a.rows) * a.heads + place.head]) + peak;
  return {sum > 0 ? exp((a.slope - 1) * sum) : 1.0, 1, 0};
}

// What each chunk gives, in either branch. vectors: v', or grad in the backward.
template <bool kBack, class T>
__global__ void totals_kernel(Attention<T> a, const T* vectors) {
  __shared__ Entries all[kWarps];
  const Place place(a);
  if (!place.works) return;
  const int lane = place.lane;
  Entries& entries = all[threadIdx.x / kLanes];
  const AttentionFactor factor = kBack ? kept_factor(a, place) : factor_of(a, place);
  if (!kBack && place.inside) a.factors[place.entry] = factor;
  load_entry<kBack>(entries, a, place, factor);
  double* sums = sums_of(a, place);
  const double given = entries.giver[lane] >= 0 ? entries.given[lane] : 0.0,
               front = sum_over<kLanes>(entries.front[lane] * given),
               back = sum_over<kLanes>(entries.back[lane] * given);
  if (lane == 0) {
    sums[a.width] = front;
    sums[2 * a.width + 1] = back;
  }
  for (int64_t start = 0; start < a.width; start += kLanes) {
    const Columns columns(a, place, start);
    double slots[kLanes], from_front = 0, from_back = 0;
    load_vectors<T>(slots, entries, columns, vectors, nullptr);
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      from_front += entries.front[k] * slots[k];
      from_back += entries.back[k] * slots[k];
    }
    if (!columns.inside) continue;
    sums[columns.column] = from_front;
    sums[a.width + 1 + columns.column] = from_back;
  }
}

// A chunk's totals become the sums over the chunks in front of it in its run, the second half those
// over the chunks behind it. A lane per column of the sums; warps share the run's chunks.
__global__ void scan_kernel(const AttentionRun* runs, double* sums, int64_t chunks,
                            int64_t columns) {
  __shared__ double parts[kScanWarps][kLanes];
  const AttentionRun run = runs[blockIdx.x];
  const int lane = static_cast<int>(threadIdx.x % kLanes),
            warp = static_cast<int>(threadIdx.x / kLanes);
  const int64_t blocks = (columns + kLanes - 1) / kLanes, head = blockIdx.y / blocks,
                column = blockIdx.y % blocks * kLanes + lane,
                count = (run.hi - run.lo + kLanes - 1) / kLanes,
                each = (count + kScanWarps - 1) / kScanWarps, first = warp * each,
                end = first + each < count ? first + each : count;
  const bool behind = column >= columns / 2;
  double* totals = sums + (head * chunks + run.chunk + (behind ? count - 1 : 0)) * columns + column;
  const int64_t step = behind ? -columns : columns;
  double sum = 0;
  if (column < columns) {
    for (int64_t k = first; k < end; ++k) sum += totals[k * step];
  }
  parts[warp][lane] = sum;
  __syncthreads();
  if (column >= columns) return;
  sum = 0;
  for (int before = 0; before < warp; ++before) sum += parts[before][lane];
  for (int64_t k = first; k < end; ++k) {
    const double total = totals[k * step];
    totals[k * step] = sum;
    sum += total;
  }
}

template <class T>
__global__ void attend_kernel(Attention<T> a, T* out) {
  __shared__ Entries all[kWarps];
  const Place place(a);
  if (!place.works) return;
  Entries& entries = all[threadIdx.x / kLanes];
  load_entry<false>(entries, a, place, kept_factor(a, place));
  const double* sums = sums_of(a, place);
  normalise(entries, place.lane, sums, a.width);
  for (int64_t start = 0; start < a.width; start += kLanes) {
    const Columns columns(a, place, start);
    double slots[kLanes];
    load_vectors<T>(slots, entries, columns, a.values, nullptr);
    walk_forward(entries, slots, columns.front(sums),
                 [&](int k, double lower) { slots[k] = lower; });
    walk_back(entries, slots, columns.back(sums, a.width), [&](int k, double upper) {
      if (columns.inside)
        out[entries.taker[k] * columns.step + columns.at] = static_cast<T>(slots[k] + upper);
    });
  }
}

// dsource, and what rows give in the backward: 1 / den and f0 / den, g . out beside the gradient g.
// out as it was rounded would cost digits in g . (v - out).
template <class T>
__global__ void rows_kernel(Attention<T> a, AttentionGradients<T> g) {
  __shared__ Entries all[kWarps];
  __shared__ Tile tiles[kWarps];
  const Place place(a);
  if (!place.works) return;
  const int lane = place.lane;
  Entries& entries = all[threadIdx.x / kLanes];
  Tile& products = tiles[threadIdx.x / kLanes];
  load_entry<false>(entries, a, place, kept_factor(a, place));
  const double* sums = sums_of(a, place);
  const Branches shares = normalise(entries, lane, sums, a.width);
  double lower = 0, upper = 0;  // g times either branch
  for (int64_t start = 0; start < a.width; start += kLanes) {
    const Columns columns(a, place, start);
    double slots[kLanes];
    load_vectors(slots, entries, columns, a.values, g.grad);
    const auto multiply = [&](int k, double sum) { products[k][lane] = slots[k] * sum; };
    walk_forward(entries, slots, columns.front(sums), multiply);
    lower += entry_sum(products, lane);
    walk_back(entries, slots, columns.back(sums, a.width), multiply);
    upper += entry_sum(products, lane);
  }
  const int32_t row = entries.taker[lane];
  if (row < 0) return;
  a.factors[place.entry] = {entries.front[lane], entries.back[lane], lower + upper};
  g.dsource[row * a.heads + place.head] =
      static_cast<T>((1 - a.slope) * (shares.front * upper - shares.back * lower));
}

template <class T>
__global__ void columns_kernel(Attention<T> a, AttentionGradients<T> g) {
  __shared__ Entries all[kWarps];
  __shared__ Tile tiles[kWarps];
  const Place place(a);
  if (!place.works) return;
  const int lane = place.lane;
  Entries& entries = all[threadIdx.x / kLanes];
  Tile& products = tiles[threadIdx.x / kLanes];
  load_entry<true>(entries, a, place, kept_factor(a, place));
  const double* sums = sums_of(a, place);
  const Branches deltas = given_to(entries, lane, sums, a.width);
  double scores = 0;
  for (int64_t start = 0; start < a.width; start += kLanes) {
    const Columns columns(a, place, start);
    double slots[kLanes];
    load_vectors(slots, entries, columns, g.grad, a.values);
    walk_forward(entries, slots, columns.front(sums),
                 [&](int k, double upper) { products[k][lane] = upper; });
    walk_back(entries, slots, columns.back(sums, a.width), [&](int k, double lower) {
      const double upper = products[k][lane];
      products[k][lane] = slots[k] * (upper + a.slope * lower);
      if (columns.inside)
        g.dv[entries.taker[k] * columns.step + columns.at] =
            undropped(upper + lower, static_cast<T>(slots[k]), g.passed);
    });
    scores += entry_sum(products, lane);
  }
  const int32_t row = entries.taker[lane];
  if (row < 0) return;
  g.dtarget[row * a.heads + place.head] =
      static_cast<T>(scores - (deltas.front + a.slope * deltas.back));
}

// One thread per four columns, the words of one counter.
template <class T>
__global__ void drop_kernel(const T* v, T* out, int64_t rows, int64_t columns, DropoutSite site) {
  const int64_t quads = (columns + 3) / 4,
                index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= rows * quads) return;
  const int64_t row = index / quads, quad = index % quads;
  const Words words = philox(site, row, static_cast<uint32_t>(quad));
  for (int k = 0; k < 4 && 4 * quad + k < columns; ++k) {
    const int64_t at = row * columns + 4 * quad + k;
    const bool kept = words.word[k] > site.dropped;
    const T product = v[at] * static_cast<T>(kept ? site.scale : 0.0);  // of a dropped one 0 or NaN
    out[at] = kept ? product + T(0) : -product * product;               // -0 + 0 is +0
  }
}

template <class T>
dim3 chunk_blocks(const Attention<T>& a) {
  return dim3(count_of(a.chunk_count, kWarps), static_cast<unsigned int>(a.heads));
}

// The sums in front of each chunk and behind it.
template <bool kBack, class T>
void sum_chunks(const Attention<T>& a, const T* vectors, Stream stream) {
  const int64_t columns = 2 * (a.width + 1);
  launch(totals_kernel<kBack, T>, chunk_blocks(a), dim3(kThreads), stream, a, vectors);
  launch(scan_kernel,
         dim3(count_of(a.run_count, 1), count_of(columns, kLanes) * count_of(a.heads, 1)),
         dim3(kScanWarps * kLanes), stream, a.runs, a.sums, a.chunk_count, columns);
}

template <class T>
void sum_columns(const Attention<T>& a, Stream stream) {
  launch(peaks_kernel<T>, dim3(count_of(a.run_count, kWarps), count_of(a.heads, 1)), dim3(kThreads),
         stream, a);
  sum_chunks<false>(a, a.values, stream);
}

}  // namespace

template <class T>
void drop_values(const T* v, T* out, int64_t rows, int64_t columns, const DropoutSite& site,
                 Stream stream) {
  launch(drop_kernel<T>, dim3(count_of(rows * ((columns + 3) / 4), kThreads)), dim3(kThreads),
         stream, v, out, rows, columns, site);
}

void attention_keys(const float* source, const float* target, const int64_t* run_of_row,
                    int64_t rows, int64_t heads, int64_t runs, int64_t* keys, Stream stream) {
  launch(keys_kernel, dim3(count_of(rows, kThreads), count_of(heads, 1)), dim3(kThreads), stream,
         source, target, run_of_row, rows, heads, runs, keys);
}
void attention_order(const int64_t* places, int64_t rows, int64_t heads, int32_t* order,
                     Stream stream) {
  launch(order_kernel, dim3(count_of(2 * rows, kThreads), count_of(heads, 1)), dim3(kThreads),
         stream, places, 2 * rows, order);
}

template <class T>
void attention_forward(const Attention<T>& a, T* out, Stream stream) {
  sum_columns(a, stream);
  launch(attend_kernel<T>, chunk_blocks(a), dim3(kThreads), stream, a, out);
}

template <class T>
void attention_backward(const Attention<T>& a, const AttentionGradients<T>& g, Stream stream) {
  sum_columns(a, stream);
  launch(rows_kernel<T>, chunk_blocks(a), dim3(kThreads), stream, a, g);
  sum_chunks<true>(a, g.grad, stream);
  launch(columns_kernel<T>, chunk_blocks(a), dim3(kThreads), stream, a, g);
}

template void drop_values(const float*, float*, int64_t, int64_t, const DropoutSite&, Stream);
template void drop_values(const double*, double*, int64_t, int64_t, const DropoutSite&, Stream);
template void attention_forward(const Attention<float>&, float*, Stream);
template void attention_forward(const Attention<double>&, double*, Stream);
template void attention_backward(const Attention<float>&, const AttentionGradients<float>&, Stream);
template void attention_backward(const Attention<double>&, const AttentionGradients<double>&,
                                 Stream);

}  // namespace astgnn::ops::cuda
