// Dates one after the other, each with one buffer of the sum of n^2 over its blocks
// (SimilarityBlocks): A is built once per direction and used by all layers. Rows are brought into
// the order of (date, group) first, so that a block's rows lie together; without groups that order
// is the packed one.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include "ops/cpu/dropout_mask.h"
#include "ops/cpu/segments.h"
#include "ops/cpu/similarity_blocks.h"
#include "ops/ops.h"

namespace astgnn::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// Rows of a packed matrix in the order of the segments, and back.
template <class T>
Tensor ordered(const Tensor& packed_any, const Segments& segments) {
  const Tensor packed = packed_any.contiguous();
  if (segments.ordered) return packed;
  Tensor out = at::empty_like(packed);
  const int64_t width = packed.size(1);
  for (size_t place = 0; place < segments.rows.size(); ++place) {
    std::copy_n(packed.const_data_ptr<T>() + segments.rows[place] * width, width,
                out.mutable_data_ptr<T>() + place * width);
  }
  return out;
}
template <class T>
Tensor packed(const Tensor& ordered, const Segments& segments) {
  if (segments.ordered) return ordered;
  Tensor out = at::empty_like(ordered);
  const int64_t width = ordered.size(1);
  for (size_t place = 0; place < segments.rows.size(); ++place) {
    std::copy_n(ordered.const_data_ptr<T>() + place * width, width,
                out.mutable_data_ptr<T>() + segments.rows[place] * width);
  }
  return out;
}

// M as the graph sees it, and the way back for its gradient: times the mask of site kRisk, row by
// row.
template <class T>
Tensor dropped_factors(const Tensor& ordered, const Segments& segments, const DropoutMask& mask) {
  if (!mask.active()) return ordered;
  Tensor out = ordered.clone();
  const int64_t factors = out.size(1);
  for (size_t place = 0; place < segments.rows.size(); ++place) {
    mask.apply(out.mutable_data_ptr<T>() + place * factors, segments.rows[place], 0, factors);
  }
  return out;
}

std::vector<int64_t> date_bounds(const Segments& segments, int64_t date) {
  const int64_t first = segments.dates[date], last = segments.dates[date + 1];
  std::vector<int64_t> bounds(segments.bounds.begin() + first, segments.bounds.begin() + last + 1);
  const int64_t lo = bounds.front();
  for (int64_t& bound : bounds) bound -= lo;
  return bounds;
}

// z, statistics, inputs of layers 1, 2, ... (ordered; only their memory is new, they are needed by
// the next layer anyway).
std::tuple<Tensor, Tensor, std::vector<Tensor>> forward(
    const Tensor& x_any, const Tensor& m_any, at::TensorList weights, at::TensorList biases,
    at::ArrayRef<double> signs, const Tensor& offsets, const Optional& groups, const Tensor& scale,
    bool exclude_self, int64_t top_k, double p, const Optional& key) {
  const Segments segments = make_segments(offsets, groups);
  const int64_t layers = static_cast<int64_t>(weights.size()), rows = x_any.size(0),
                factors = m_any.size(1);
  const int64_t dates = static_cast<int64_t>(segments.dates.size()) - 1;
  const SimilarityOptions options{scale.item().toDouble(), exclude_self, top_k};
  Tensor statistics = at::full({dates, 3}, std::numeric_limits<double>::quiet_NaN(), at::kDouble),
         z;
  std::vector<Tensor> inputs, biases_flat;
  for (int64_t l = 0; l + 1 < layers; ++l)
    inputs.push_back(at::empty({rows, weights[l].size(1)}, x_any.options().requires_grad(false)));
  for (const Tensor& bias : biases) biases_flat.push_back(bias.detach().contiguous());
  AT_DISPATCH_FLOATING_TYPES(x_any.scalar_type(), "relational_embedding", [&] {
    const Tensor x = ordered<scalar_t>(x_any.detach(), segments);
    const Tensor m = dropped_factors<scalar_t>(ordered<scalar_t>(m_any.detach(), segments),
                                               segments, DropoutMask(p, key, kRisk));
    Tensor last = at::empty({rows, weights[layers - 1].size(1)}, x.options());
    Scratch<scalar_t> memory;
    for (int64_t date = 0; date < dates; ++date) {
      const int64_t lo = segments.bounds[segments.dates[date]],
                    hi = segments.bounds[segments.dates[date + 1]];
      if (lo == hi) continue;
      SimilarityBlocks<scalar_t> graph(date_bounds(segments, date), memory);
      graph.build(m.const_data_ptr<scalar_t>() + lo * factors, factors, options);
      graph.statistics(statistics.mutable_data_ptr<double>() + 3 * date);
      for (int64_t l = 0; l < layers; ++l) {
        const Tensor y = at::mm((l == 0 ? x : inputs[l - 1]).slice(0, lo, hi), weights[l].detach());
        const int64_t width = y.size(1);
        const bool inner = l + 1 < layers;
        const DropoutMask mask(inner ? p : 0.0, key, kTgc + l);
        const scalar_t* bias = biases_flat[l].const_data_ptr<scalar_t>();
        const scalar_t sign = static_cast<scalar_t>(signs[l]);
        scalar_t* out = (inner ? inputs[l] : last).mutable_data_ptr<scalar_t>() + lo * width;
        graph.apply(y.const_data_ptr<scalar_t>(), out, width,
                    [&](int64_t place, scalar_t* averaged, const scalar_t* own) {
                      for (int64_t c = 0; c < width; ++c)
                        averaged[c] = own[c] + sign * averaged[c] + bias[c];
                      if (!inner) return;
                      for (int64_t c = 0; c < width; ++c)
                        averaged[c] = averaged[c] < scalar_t(0) ? scalar_t(0) : averaged[c];
                      if (mask.active()) mask.apply(averaged, segments.rows[lo + place], 0, width);
                    });
      }
    }
    z = packed<scalar_t>(last, segments);
  });
  return {z, statistics, inputs};
}

std::tuple<Tensor, Tensor> infer(const Tensor& x, const Tensor& m, at::TensorList weights,
                                 at::TensorList biases, at::ArrayRef<double> signs,
                                 const Tensor& offsets, const Optional& groups, const Tensor& scale,
                                 bool exclude_self, int64_t top_k, double p, const Optional& key) {
  auto [z, statistics, inputs] =
      forward(x, m, weights, biases, signs, offsets, groups, scale, exclude_self, top_k, p, key);
  return {z, statistics};
}

std::vector<Tensor> backward(const Tensor& grad_any, const Tensor& x_any, const Tensor& m_any,
                             at::TensorList weights, at::TensorList inputs,
                             at::ArrayRef<double> signs, const Tensor& offsets,
                             const Optional& groups, const Tensor& scale, bool exclude_self,
                             int64_t top_k, double p, const Optional& key, bool x_gradient,
                             bool graph_gradient) {
  const Segments segments = make_segments(offsets, groups);
  const int64_t layers = static_cast<int64_t>(weights.size()), factors = m_any.size(1);
  const int64_t dates = static_cast<int64_t>(segments.dates.size()) - 1;
  const SimilarityOptions options{scale.item().toDouble(), exclude_self, top_k};
  int64_t total_width = 0;
  for (const Tensor& weight : weights) total_width += weight.size(1);
  Tensor dx, dm, dscale;
  std::vector<Tensor> dweights, dbiases;
  for (const Tensor& weight : weights) {
    dweights.push_back(at::zeros_like(weight, at::MemoryFormat::Contiguous));
    dbiases.push_back(at::full({weight.size(1)}, 0, weight.options()));
  }
  AT_DISPATCH_FLOATING_TYPES(x_any.scalar_type(), "relational_embedding_backward", [&] {
    const Tensor x = ordered<scalar_t>(x_any, segments),
                 grad = ordered<scalar_t>(grad_any, segments);
    const DropoutMask risk_mask(p, key, kRisk);
    const Tensor m =
        dropped_factors<scalar_t>(ordered<scalar_t>(m_any, segments), segments, risk_mask);
    const scalar_t kept = static_cast<scalar_t>(p > 0 ? 1.0 / (1.0 - p) : 1.0);
    if (x_gradient) dx = at::empty_like(x);
    if (graph_gradient) dm = at::empty_like(m);
    double scale_sum = 0;
    Scratch<scalar_t> memory;
    for (int64_t date = 0; date < dates; ++date) {
      const int64_t lo = segments.bounds[segments.dates[date]],
                    hi = segments.bounds[segments.dates[date + 1]], n = hi - lo;
      if (n == 0) continue;
      SimilarityBlocks<scalar_t> graph(date_bounds(segments, date), memory);
      graph.build(m.const_data_ptr<scalar_t>() + lo * factors, factors, options);
      // dA = left right^T over all layers at once.
      Tensor left, right;
      if (graph_gradient) {
        left = at::empty({n, total_width}, x.options());
        right = at::empty({n, total_width}, x.options());
      }
      Tensor g = grad.slice(0, lo, hi);
      for (int64_t l = layers - 1, column = total_width; l >= 0; --l) {
        const int64_t width = weights[l].size(1);
        const Tensor input = (l == 0 ? x : inputs[l - 1]).slice(0, lo, hi);
        if (graph_gradient) {
          column -= width;
          left.slice(1, column, column + width).copy_(g).mul_(signs[l]);
          Tensor y = right.slice(1, column, column + width);
          at::mm_out(y, input, weights[l]);
        }
        dbiases[l].add_(g.sum(0));
        Tensor dy = at::empty({n, width}, x.options()),
               normalised = at::empty({n, width}, x.options());
        graph.apply_transposed(g.const_data_ptr<scalar_t>(), static_cast<scalar_t>(signs[l]),
                               normalised.mutable_data_ptr<scalar_t>(),
                               dy.mutable_data_ptr<scalar_t>(), width);
        multiply(dweights[l], input.t(), dy, 1);
        if (l == 0) {
          if (!x_gradient) continue;
          Tensor out = dx.slice(0, lo, hi);
          at::mm_out(out, dy, weights[0].t());
          continue;
        }
        g = at::mm(dy, weights[l].t());
        scalar_t* through = g.mutable_data_ptr<scalar_t>();
        const scalar_t* seen = input.const_data_ptr<scalar_t>();
        for (int64_t k = 0; k < g.numel(); ++k)
          through[k] *= seen[k] > scalar_t(0) ? kept : scalar_t(0);
      }
      if (!graph_gradient) continue;
      graph.to_score_gradient(left.const_data_ptr<scalar_t>(), right.const_data_ptr<scalar_t>(),
                              total_width);
      Tensor ahead = at::empty({n, factors}, x.options()),
             back = at::empty({n, factors}, x.options());
      const scalar_t* rows = m.const_data_ptr<scalar_t>() + lo * factors;
      graph.apply_score_gradient(rows, factors, ahead.mutable_data_ptr<scalar_t>(),
                                 back.mutable_data_ptr<scalar_t>());
      const scalar_t* forward_part = ahead.const_data_ptr<scalar_t>();
      scale_sum +=
          sum_of<scalar_t>(n * factors, [&](int64_t k) { return rows[k] * forward_part[k]; });
      dm.slice(0, lo, hi).copy_(ahead.add_(back).mul_(options.scale));
    }
    if (x_gradient) dx = packed<scalar_t>(dx, segments);
    if (graph_gradient) {
      dm = packed<scalar_t>(dropped_factors<scalar_t>(dm, segments, risk_mask), segments);
      dscale = at::full(scale.sizes(), scale_sum, scale.options());
    }
  });
  std::vector<Tensor> out = {dx, dm, dscale};
  out.insert(out.end(), dweights.begin(), dweights.end());
  out.insert(out.end(), dbiases.begin(), dbiases.end());
  return out;
}

}  // namespace
}  // namespace astgnn::ops

TORCH_LIBRARY_IMPL(astgnn, CPU, m) {
  m.impl("relational_embedding", TORCH_FN(astgnn::ops::infer));
  m.impl("_relational_embedding_forward", TORCH_FN(astgnn::ops::forward));
  m.impl("_relational_embedding_backward", TORCH_FN(astgnn::ops::backward));
}
