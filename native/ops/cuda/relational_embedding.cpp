// The composition of cpu/relational_embedding_kernel.cpp over the kernels of similarity.cu, without
// a number that the host waits for. A multiplies X W, or X where that is narrower. Rows are brought
// into the order of (date, group) first, so that the rows of a segment are adjacent.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>

#include "ops/cuda/device.h"
#include "ops/cuda/similarity_matrices.h"
#include "ops/device_segments.h"
#include "ops/ops.h"

namespace astgnn::ops::cuda {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// Rows in the order of the segments.
class Places {
 public:
  explicit Places(at::TensorList segments) : order_(segments[kOrder]) {}
  bool ordered() const { return order_.numel() == 0; }
  Tensor order() const { return ordered() ? Tensor() : order_; }  // as DropoutMask takes it
  Tensor in_order(const Tensor& packed) const {
    return ordered() ? packed.contiguous() : packed.index_select(0, order_);
  }
  Tensor packed(const Tensor& in_order) const {
    return ordered() ? in_order : at::empty_like(in_order).index_copy_(0, order_, in_order);
  }

 private:
  Tensor order_;
};

// Rows of `kept`, in the order of the segments.
enum Kept : int64_t { kOthers, kOwn, kThreshold, kPeak, kKeptRows };

template <class T>
class Graph {
 public:
  Graph(const Tensor& tiles, const Tensor& m, const Tensor& scale, bool exclude_self, int64_t top_k,
        const Tensor& kept, const std::optional<DateMatrices>& matrices)
      : tiles_(tiles), m_(m), scale_(scale.to(m.options()).contiguous()), kept_(kept) {
    graph_ = {reinterpret_cast<const SimilarityTile*>(tiles_.const_data_ptr<int64_t>()),
              tiles_.size(0),
              m_.const_data_ptr<T>(),
              m_.size(1),
              scale_.const_data_ptr<T>(),
              !exclude_self,
              top_k > 0 ? row(kThreshold) : nullptr,
              row(kPeak),
              bf16_parts(m_),
              m_.size(0)};
    if (matrices) matrices_.emplace(graph_, m_, *matrices);
  }

  void choose(int64_t top_k, const Tensor& offsets, const Optional& groups) {
    const Tensor squares = at::empty({m_.size(0)}, m_.options());
    similarity_peaks(graph_, squares.mutable_data_ptr<T>(), row(kPeak), current_stream());
    if (top_k == 0) return;
    Tensor threshold = kept_.select(0, kThreshold);
    threshold.fill_(-std::numeric_limits<double>::infinity());
    const Segments segments =
        make_segments(offsets, groups ? Optional(groups->cpu()) : std::nullopt);
    const std::vector<int64_t>& bounds = segments.bounds;
    const Tensor norms = m_.norm(2, 1), margins = norms * (kTie * scale_.abs());
    for (int64_t s = 0, tile = 0; s < segments.count(); ++s) {
      constexpr int64_t kEntries = 1 << 24;  // of scores at a time
      const int64_t n = bounds[s + 1] - bounds[s],
                    tiles = (n + kSimilarityTile<T> - 1) / kSimilarityTile<T>,
                    step = std::max<int64_t>(1, kEntries / (n * kSimilarityTile<T>));
      if (n - (graph_.self ? 0 : 1) > top_k) {
        const Tensor largest = norms.slice(0, bounds[s], bounds[s + 1]).amax();
        for (int64_t first = 0; first < tiles; first += step) {
          const int64_t rows = std::min(n, (first + step) * kSimilarityTile<T>) -
                               first * kSimilarityTile<T>,
                        place = bounds[s] + first * kSimilarityTile<T>;
          const Tensor scores = at::empty({rows, n}, m_.options());
          Similarity<T> part = graph_;
          part.tiles += tile + first;
          part.tile_count = std::min(step, tiles - first);
          similarity_scores(part, scores.mutable_data_ptr<T>(), n, current_stream());
          const Tensor kth = std::get<0>(scores.topk(top_k, 1)).select(1, top_k - 1),
                       margin = margins.slice(0, place, place + rows) * largest;
          threshold.slice(0, place, place + rows)
              .copy_((kth - margin)
                         .masked_fill(scores.isnan().any(1),
                                      -std::numeric_limits<double>::infinity()));
        }
      }
      tile += tiles;
    }
  }

  // A values or A^T values, added to `to` where that is defined; the first pass of a forward fills
  // others and own, and moments [2, R] (double): sums of weights but the own, and of weights times
  // exponents.
  Tensor apply(const Tensor& values, bool transposed, const Tensor& to, const Tensor& moments) {
    double* sums = moments.defined() ? moments.mutable_data_ptr<double>() : nullptr;
    if (matrices_) {
      SimilarityMatrix<T> collected{};
      if (sums) collected = {nullptr, 0, 0, nullptr, sums, sums + m_.size(0), row(kOwn)};
      const Tensor product = matrices_->apply(values, transposed, collected);
      if (sums) kept_.select(0, kOthers).copy_(moments.select(0, 0));
      return to.defined() ? to + product : product;
    }
    const Tensor out = to.defined() ? to : at::empty_like(values);
    const Scratch scratch(graph_, m_, {values.size(1)});
    similarity_apply<T>(
        graph_,
        {values.const_data_ptr<T>(), out.mutable_data_ptr<T>(), values.size(1), to.defined(),
         transposed, sums, sums ? sums + m_.size(0) : nullptr, row(kOwn), scratch.pointers},
        current_stream());
    if (sums) kept_.select(0, kOthers).copy_(moments.select(0, 0));
    return out;
  }

  Tensor gradient(const Tensor& weighted, const Tensor& values, const Tensor& mean) {
    if (matrices_) return matrices_->gradient(weighted, values);
    const Tensor out = at::empty_like(m_);
    const Scratch scratch(graph_, m_, {values.size(1), values.size(1), m_.size(1)});
    similarity_gradient<T>(
        graph_,
        {weighted.const_data_ptr<T>(), values.const_data_ptr<T>(), values.size(1),
         mean.mutable_data_ptr<T>(), out.mutable_data_ptr<T>(), scratch.pointers},
        current_stream());
    return out;
  }

 private:
  // For matrices of such widths in bf16.
  struct Scratch {
    SimilarityScratch pointers = {};
    Tensor rounded, columns;

    Scratch(const Similarity<T>& graph, const Tensor& like, at::IntArrayRef widths) {
      if (graph.parts == 0) return;
      int64_t all = 0;
      for (const int64_t width : widths) all += rounded_columns(width);
      rounded = at::empty({graph.parts, graph.rows, all}, like.options().dtype(at::kShort));
      columns = at::empty({graph.tile_count, rounded_columns(widths[0])},
                          like.options().dtype(at::kDouble));
      pointers = {reinterpret_cast<uint16_t*>(rounded.mutable_data_ptr<int16_t>()),
                  columns.mutable_data_ptr<double>()};
    }
  };
  T* row(Kept which) { return kept_.mutable_data_ptr<T>() + which * m_.size(0); }

  Tensor tiles_, m_, scale_, kept_;
  Similarity<T> graph_;
  std::optional<SimilarityMatrices<T>> matrices_;
};

// A threshold wants scores that are summed up in one order everywhere, which tiles have.
std::optional<DateMatrices> matrices_of(const Tensor& offsets, const Optional& groups,
                                        at::TensorList given, const Tensor& bounds, int64_t top_k,
                                        int64_t element_size) {
  if (groups || top_k > 0) return std::nullopt;
  const DateMatrices cut(offsets, bounds, rows_of_any_date(given));
  return cut.pay(element_size) ? std::optional(cut) : std::nullopt;
}

// 1 / total (0 where a row of A is 0) and the factor of the row's own value in
// (I + sign A) V, [R, 1].
struct Shares {
  Tensor inverse, others, own;

  explicit Shares(const Tensor& kept)
      : others(kept.select(0, kOthers).unsqueeze(1)), own(kept.select(0, kOwn).unsqueeze(1)) {
    const Tensor total = others + own;
    inverse = at::where(total == 0, at::zeros_like(total), total.reciprocal());
  }
  Tensor keep(double sign) const {
    return at::where(inverse == 0, at::ones_like(inverse), (others + (1 + sign) * own) * inverse);
  }
  // (I + sign A) values, with what the values of the others add up to.
  Tensor mix(double sign, const Tensor& values, const Tensor& sums) const {
    return at::addcmul(keep(sign) * values, sign * inverse, sums);
  }
};

// A multiplies the layer's input.
bool multiplies_input(const Tensor& weight) { return weight.size(0) < weight.size(1); }
int64_t multiplied_width(const Tensor& weight) { return std::min(weight.size(0), weight.size(1)); }

// [B, 3] double: effective neighbours over rows with a neighbour, self weight, share of empty rows;
// NaN for a date without rows.
template <class T>
Tensor statistics_of(const Tensor& bounds, const Tensor& kept, const Tensor& moments) {
  const int64_t dates = bounds.size(0) - 1;
  const Tensor out = at::empty({dates, 3}, moments.options());
  similarity_statistics<T>(
      {bounds.const_data_ptr<int64_t>(), dates, moments.select(0, 0).const_data_ptr<double>(),
       moments.select(0, 1).const_data_ptr<double>(), kept.select(0, kOwn).const_data_ptr<T>()},
      out.mutable_data_ptr<double>(), current_stream());
  return out;
}

using Forward = std::tuple<Tensor, Tensor, std::vector<Tensor>, Tensor, Tensor, Tensor>;

Forward relational_embedding_forward(const Tensor& x_any, const Tensor& m_any,
                                     at::TensorList weights, at::TensorList biases,
                                     at::ArrayRef<double> signs, const Tensor& offsets,
                                     const Optional& groups, at::TensorList given,
                                     const Tensor& scale, bool exclude_self, int64_t top_k,
                                     double p, const Optional& key) {
  const size_t layers = weights.size();
  const at::Device device = x_any.device();
  const c10::DeviceGuard guard(device);
  Tensor z, statistics, kept;
  std::vector<Tensor> inputs, values, sums;
  AT_DISPATCH_FLOATING_TYPES(x_any.scalar_type(), "relational_embedding", [&] {
    const std::vector<Tensor> segments = segments_of(given, offsets, groups, x_any);
    const Places places(segments);
    kept = at::zeros({kKeptRows, x_any.size(0)}, x_any.options());
    const Tensor moments = at::zeros({2, x_any.size(0)}, x_any.options().dtype(at::kDouble));
    const Tensor m =
        DropoutMask(p, key, kRisk, 0, device).apply(places.in_order(m_any), places.order());
    Graph<scalar_t> graph(
        segments[kTiles], m, scale, exclude_self, top_k, kept,
        matrices_of(offsets, groups, given, segments[kDateBounds], top_k, m.element_size()));
    graph.choose(top_k, offsets, groups);
    z = places.in_order(x_any);
    for (size_t l = 0; l < layers; ++l) {
      if (l > 0) inputs.push_back(z);
      const bool early = multiplies_input(weights[l]);
      values.push_back(early ? z.contiguous() : z.mm(weights[l]));
      sums.push_back(graph.apply(values[l], false, Tensor(), l == 0 ? moments : Tensor()));
      const Tensor mixed = Shares(kept).mix(signs[l], values[l], sums[l]);
      z = early ? at::addmm(biases[l], mixed, weights[l]) : mixed.add_(biases[l]);
      if (l + 1 < layers)
        z = DropoutMask(p, key, kTgc + static_cast<int64_t>(l), 0, device)
                .apply(z.relu_(), places.order());
    }
    statistics = statistics_of<scalar_t>(segments[kDateBounds], kept, moments);
    z = places.packed(z);
  });
  return {z, statistics, inputs, kept, at::cat(values, 1), at::cat(sums, 1)};
}

std::vector<Tensor> relational_embedding_backward(
    const Tensor& grad, const Tensor& x_any, const Tensor& m_any, at::TensorList weights,
    at::TensorList inputs, const Tensor& kept, const Tensor& values, const Tensor& sums,
    at::ArrayRef<double> signs, const Tensor& offsets, const Optional& groups, at::TensorList given,
    const Tensor& scale, bool exclude_self, int64_t top_k, double p, const Optional& key,
    bool x_gradient, bool graph_gradient) {
  const int64_t layers = static_cast<int64_t>(weights.size());
  const c10::DeviceGuard guard(x_any.device());
  Tensor dx, dm, dscale;
  std::vector<Tensor> dweights(layers), dbiases(layers), weighted(layers);
  AT_DISPATCH_FLOATING_TYPES(x_any.scalar_type(), "relational_embedding_backward", [&] {
    const std::vector<Tensor> segments = segments_of(given, offsets, groups, x_any);
    const Places places(segments);
    const DropoutMask risk_mask(p, key, kRisk, 0, x_any.device());
    const Tensor m = risk_mask.apply(places.in_order(m_any), places.order());
    Graph<scalar_t> graph(
        segments[kTiles], m, scale, exclude_self, top_k, kept,
        matrices_of(offsets, groups, given, segments[kDateBounds], top_k, m.element_size()));
    const Shares shares(kept);
    Tensor g = places.in_order(grad), mean = at::zeros_like(shares.own), diagonal = mean.clone();
    for (int64_t l = layers - 1, end = values.size(1); l >= 0; --l) {
      const int64_t start = end - multiplied_width(weights[l]);
      const bool early = multiplies_input(weights[l]), inward = l > 0 || x_gradient;
      const Tensor v = values.slice(1, start, end), sum = sums.slice(1, start, end);
      end = start;
      dbiases[l] = g.sum(0);
      if (early) {
        dweights[l] = shares.mix(signs[l], v, sum).t().mm(g);
        if (!inward && !graph_gradient) break;
        g = g.mm(weights[l].t());
      }
      weighted[l] = (signs[l] * shares.inverse) * g;
      if (graph_gradient) {
        const Tensor others = shares.others * shares.inverse, own = shares.own * shares.inverse,
                     s = sum * shares.inverse;
        mean += (weighted[l] * (s + own * v)).sum(1, /*keepdim=*/true);
        diagonal += shares.own * (weighted[l] * (others * v - s)).sum(1, /*keepdim=*/true);
      }
      if (early && !inward) break;
      const Tensor dv = graph.apply(weighted[l], true, shares.keep(signs[l]) * g, Tensor());
      const Tensor input = l == 0 ? places.in_order(x_any) : inputs[l - 1];
      if (!early) {
        dweights[l] = input.t().mm(dv);
        if (!inward) break;
      }
      g = early ? dv : dv.mm(weights[l].t());
      // An inner input is positive exactly where ReLU and dropout let the value through.
      if (l > 0) g = at::where(input > 0, g * risk_mask.scale(), at::zeros_like(g));
    }
    if (x_gradient) dx = places.packed(g);
    if (!graph_gradient) return;
    const Tensor factor = scale.to(m.options());
    dm = graph.gradient(at::cat(weighted, 1), values, mean.squeeze(1));
    const Tensor norm = (m * m).sum(1, /*keepdim=*/true) * factor;
    dm += at::where(norm <= 0, at::zeros_like(norm), 2 * diagonal) * m;
    dscale = ((m * dm).sum() / 2).to(scale.options()).view(scale.sizes());
    dm = places.packed(risk_mask.apply(dm * factor, places.order()));
  });
  std::vector<Tensor> out = {dx, dm, dscale};
  out.insert(out.end(), dweights.begin(), dweights.end());
  out.insert(out.end(), dbiases.begin(), dbiases.end());
  return out;
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(astgnn, CUDA, m) {
  m.impl("_relational_embedding_forward",
         TORCH_FN(astgnn::ops::cuda::relational_embedding_forward));
  m.impl("_relational_embedding_backward",
         TORCH_FN(astgnn::ops::cuda::relational_embedding_backward));
}
