// Layers side by side: what A multiplies lies, all layers of a row, in one row of `values`, their
// sums over the graph in one row of `sums`, each layer padded to whole vectors. That is X W, or X
// where it is narrower: (I + sign A) X is then made again from both in the backward, which needs
// no pass over the pairs for a first layer whose X has no gradient. The backward keeps values and
// sums, so that dM needs one pass for all layers. Rows are brought into the order of (date, group)
// first, so that the rows of a segment are adjacent; without groups that order is the packed one.
// Products with weights run on one thread per fixed range of rows, and what is summed over rows is
// summed range by range, in order.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "ops/cpu/relational_rows.h"
#include "ops/cpu/similarity_graph.h"

namespace astgnn::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// z, statistics, inputs of layers 1, 2, ..., and what the backward needs (all but z in the order of
// the segments): the graph's rows, V and its sums.
using Forward = std::tuple<Tensor, Tensor, std::vector<Tensor>, Tensor, Tensor, Tensor>;

Forward relational_embedding_forward(const Tensor& x_any, const Tensor& m_any,
                                     at::TensorList weights_any, at::TensorList biases,
                                     at::ArrayRef<double> signs, const Tensor& offsets,
                                     const Optional& groups, at::TensorList, const Tensor& scale,
                                     bool exclude_self, int64_t top_k, double p,
                                     const Optional& key) {
  const Segments segments = make_segments(offsets, groups);
  const int64_t layers = static_cast<int64_t>(weights_any.size()), rows = x_any.size(0);
  const int64_t dates = static_cast<int64_t>(segments.dates.size()) - 1;
  const SimilarityOptions options{scale.item().toDouble(), exclude_self, top_k};
  const at::TensorOptions like = x_any.options().requires_grad(false);
  Tensor statistics = at::full({dates, 3}, std::numeric_limits<double>::quiet_NaN(), at::kDouble),
         z, kept, values, sums;
  std::vector<Tensor> inputs, weights, flat_biases;
  for (int64_t l = 0; l < layers; ++l) {
    weights.push_back(weights_any[l].detach());
    flat_biases.push_back(biases[l].detach().contiguous());
    if (l + 1 < layers) inputs.push_back(at::empty({rows, weights[l].size(1)}, like));
  }
  AT_DISPATCH_FLOATING_TYPES(x_any.scalar_type(), "relational_embedding", [&] {
    const KernelsOf<scalar_t>& kernels = kernels_of<scalar_t>();
    const Layout layout(weights, kernels.lanes);
    kept = at::zeros({SimilarityGraph<scalar_t>::kKeptRows, rows}, like);
    values = at::empty({rows, layout.total}, like);
    sums = at::empty({rows, layout.total}, like);
    const Tensor x = ordered<scalar_t>(x_any.detach(), segments);
    const Tensor m = dropped_factors<scalar_t>(ordered<scalar_t>(m_any.detach(), segments),
                                               segments, DropoutMask(p, key, kRisk));
    Tensor last = at::empty({rows, weights.back().size(1)}, like);
    SimilarityGraph<scalar_t> graph(segments, m.const_data_ptr<scalar_t>(), m.size(1), options,
                                    kept.mutable_data_ptr<scalar_t>(), true);
    std::vector<double> neighbours(rows);
    for (int64_t l = 0; l < layers; ++l) {
      const bool inner = l + 1 < layers, early = layout.inputs[l];
      const int64_t below = weights[l].size(0), width = weights[l].size(1),
                    padded = layout.padded(l), whole = graph.whole(width);
      const Tensor input = l == 0 ? x : inputs[l - 1];
      scalar_t* value = values.mutable_data_ptr<scalar_t>() + layout.starts[l];
      scalar_t* sum = sums.mutable_data_ptr<scalar_t>() + layout.starts[l];
      const Tensor wide = at::zeros({below, whole}, like);
      wide.slice(1, 0, width).copy_(weights[l]);
      const scalar_t* from = input.const_data_ptr<scalar_t>();
      const scalar_t* weight = wide.const_data_ptr<scalar_t>();
      each_range(rows, [&](int64_t, int64_t first, int64_t count) {
        if (early) return pad_rows(from + first * below, count, below, value + first * layout.total,
                                   padded, layout.total);
        kernels.row_products(from + first * below, count, below, weight, whole / kernels.lanes,
                             value + first * layout.total, layout.total);
      });
      graph.apply(value, layout.total, padded / kernels.lanes, sum, layout.total, false, false,
                  l == 0 ? neighbours.data() : nullptr);
      const DropoutMask mask(inner ? p : 0.0, key, kTgc + l);
      scalar_t* out = (inner ? inputs[l] : last).mutable_data_ptr<scalar_t>();
      const scalar_t* bias = flat_biases[l].const_data_ptr<scalar_t>();
      const Tensor none = at::zeros({early ? below : 0}, like);
      each_range(rows, [&](int64_t, int64_t first, int64_t count) {
        const SimilarityRows<scalar_t> part = {count,
                                               layout.widths[l],
                                               layout.total,
                                               value + first * layout.total,
                                               sum + first * layout.total,
                                               graph.others() + first,
                                               graph.own() + first};
        const scalar_t sign = static_cast<scalar_t>(signs[l]);
        scalar_t* to = out + first * width;
        if (early) {
          const Tensor mixed = at::empty({count, below}, like),
                       product = at::empty({count, whole}, like);
          scalar_t* seen = mixed.mutable_data_ptr<scalar_t>();
          kernels.similarity_combine(part, sign, none.const_data_ptr<scalar_t>(), false, seen,
                                     below);
          kernels.row_products(seen, count, below, weight, whole / kernels.lanes,
                               product.mutable_data_ptr<scalar_t>(), whole);
          add_bias(product.const_data_ptr<scalar_t>(), whole, count, width, bias, inner, to);
        } else {
          kernels.similarity_combine(part, sign, bias, inner, to, width);
        }
        if (!mask.active()) return;
        for (int64_t i = first; i < first + count; ++i)
          mask.apply(out + i * width, segments.rows[i], 0, width);
      });
    }
    for (int64_t date = 0; date < dates; ++date) {
      const int64_t lo = segments.bounds[segments.dates[date]],
                    hi = segments.bounds[segments.dates[date + 1]];
      if (lo < hi) {
        graph.statistics(lo, hi, neighbours.data(),
                         statistics.mutable_data_ptr<double>() + 3 * date);
      }
    }
    z = packed<scalar_t>(last, segments);
  });
  return {z, statistics, inputs, kept, values, sums};
}

std::vector<Tensor> relational_embedding_backward(
    const Tensor& grad_any, const Tensor& x_any, const Tensor& m_any, at::TensorList weights,
    at::TensorList inputs, const Tensor& kept_any, const Tensor& values, const Tensor& sums,
    at::ArrayRef<double> signs, const Tensor& offsets, const Optional& groups, at::TensorList,
    const Tensor& scale, bool exclude_self, int64_t top_k, double p, const Optional& key,
    bool x_gradient, bool graph_gradient) {
  const Segments segments = make_segments(offsets, groups);
  const int64_t layers = static_cast<int64_t>(weights.size()), factors = m_any.size(1),
                rows = x_any.size(0), ranges = count_ranges(rows);
  const SimilarityOptions options{scale.item().toDouble(), exclude_self, top_k};
  Tensor dx, dm, dscale;
  std::vector<Tensor> dweights(layers), dbiases(layers);
  AT_DISPATCH_FLOATING_TYPES(x_any.scalar_type(), "relational_embedding_backward", [&] {
    const KernelsOf<scalar_t>& kernels = kernels_of<scalar_t>();
    const Layout layout(weights, kernels.lanes);
    const Tensor x = ordered<scalar_t>(x_any, segments);
    const DropoutMask risk_mask(p, key, kRisk);
    const Tensor m =
        dropped_factors<scalar_t>(ordered<scalar_t>(m_any, segments), segments, risk_mask);
    Tensor kept = kept_any;
    SimilarityGraph<scalar_t> graph(segments, m.const_data_ptr<scalar_t>(), factors, options,
                                    kept.mutable_data_ptr<scalar_t>(), false);
    const scalar_t passed = static_cast<scalar_t>(risk_mask.scale());
    if (x_gradient) dx = at::empty_like(x);
    if (graph_gradient) dm = at::empty_like(m);
    Tensor weighted = at::empty({rows, layout.total}, x.options()),
           means = at::zeros({2, rows}, x.options()), g = ordered<scalar_t>(grad_any, segments);
    scalar_t* mean = means.mutable_data_ptr<scalar_t>();
    scalar_t* diagonal = mean + rows;
    for (int64_t l = layers - 1; l >= 0; --l) {
      const int64_t below = weights[l].size(0), width = weights[l].size(1),
                    padded = layout.padded(l), start = layout.starts[l];
      const bool early = layout.inputs[l], inward = l > 0 || x_gradient;
      const Tensor input = l == 0 ? x : inputs[l - 1];
      const Tensor dy = at::empty({rows, padded}, x.options()),
                   parts = at::empty({ranges, below + 1, width}, x.options()),
                   none = at::zeros({early ? below : 0}, x.options());
      const scalar_t* grad = g.const_data_ptr<scalar_t>();
      scalar_t* direct = dy.mutable_data_ptr<scalar_t>();
      scalar_t* scaled = weighted.mutable_data_ptr<scalar_t>() + start;
      each_range(rows, [&](int64_t k, int64_t first, int64_t count) {
        const int64_t place = first * layout.total;
        const scalar_t sign = static_cast<scalar_t>(signs[l]);
        const SimilarityRows<scalar_t> part = {count,
                                               layout.widths[l],
                                               layout.total,
                                               values.const_data_ptr<scalar_t>() + place + start,
                                               sums.const_data_ptr<scalar_t>() + place + start,
                                               graph.others() + first,
                                               graph.own() + first};
        scalar_t* total = parts.mutable_data_ptr<scalar_t>() + (k * (below + 1) + below) * width;
        std::fill_n(total, width, scalar_t(0));
        for (int64_t i = first; i < first + count; ++i) {
          const scalar_t* row = grad + i * width;
          for (int64_t c = 0, end = width; c < end; ++c) total[c] += row[c];
        }
        const scalar_t* to_mix = grad + first * width;  // gradient of what A was applied to
        Tensor back;
        if (early) {
          const Tensor own = g.slice(0, first, first + count),
                       mixed = at::empty({count, below}, x.options());
          kernels.similarity_combine(part, sign, none.const_data_ptr<scalar_t>(), false,
                                     mixed.mutable_data_ptr<scalar_t>(), below);
          multiply(parts.select(0, k).slice(0, 0, below), mixed.t(), own);
          if (!inward && !graph_gradient) return;
          back = at::empty({count, below}, x.options());
          multiply(back, own, weights[l].t());
          to_mix = back.const_data_ptr<scalar_t>();
        }
        kernels.similarity_prepare(part, sign, to_mix, layout.widths[l], scaled + place,
                                   direct + first * padded, padded,
                                   graph_gradient ? mean + first : nullptr, diagonal + first);
      });
      if (!early || inward) {
        graph.apply(scaled, layout.total, padded / kernels.lanes, direct, padded, true, true,
                    nullptr);
      }
      Tensor next;
      if (l > 0) next = at::empty({rows, below}, x.options());
      if (l == 0 && x_gradient) next = dx;
      each_range(rows, [&](int64_t k, int64_t first, int64_t count) {
        const Tensor own = dy.slice(0, first, first + count).slice(1, 0, layout.widths[l]);
        const Tensor seen = input.slice(0, first, first + count);
        if (!early) multiply(parts.select(0, k).slice(0, 0, below), seen.t(), own);
        if (!next.defined()) return;
        Tensor out = next.slice(0, first, first + count);
        if (early)
          out.copy_(own);
        else
          multiply(out, own, weights[l].t());
        if (l == 0) return;
        scalar_t* through = out.mutable_data_ptr<scalar_t>();
        const scalar_t* value = seen.const_data_ptr<scalar_t>();
        const int64_t entries = count * below;
        const scalar_t factor = passed;  // by value: what is captured might be what is written
        for (int64_t i = 0; i < entries; ++i)
          through[i] *= value[i] > scalar_t(0) ? factor : scalar_t(0);
      });
      Tensor total = at::zeros({below + 1, width}, x.options());
      scalar_t* to = total.mutable_data_ptr<scalar_t>();
      const scalar_t* part = parts.const_data_ptr<scalar_t>();
      for (int64_t k = 0; k < ranges; ++k) {
        for (int64_t i = 0; i < (below + 1) * width; ++i) to[i] += *part++;
      }
      dweights[l] = total.slice(0, 0, below);
      dbiases[l] = total.select(0, below);
      g = next;
    }
    if (x_gradient) dx = packed<scalar_t>(dx, segments);
    if (graph_gradient) {
      scalar_t* out = dm.mutable_data_ptr<scalar_t>();
      graph.gradient(weighted.const_data_ptr<scalar_t>(), values.const_data_ptr<scalar_t>(),
                     layout.total, mean, diagonal, out);
      const scalar_t* factor = m.const_data_ptr<scalar_t>();
      double scale_sum = 0;
      for (int64_t i = 0; i < rows; ++i) {
        scalar_t own = 0;
        for (int64_t k = i * factors; k < (i + 1) * factors; ++k) {
          own += factor[k] * out[k];
          out[k] *= static_cast<scalar_t>(options.scale);
        }
        scale_sum += own;
      }
      dm = packed<scalar_t>(dropped_factors<scalar_t>(dm, segments, risk_mask), segments);
      dscale = at::full(scale.sizes(), scale_sum / 2, scale.options());
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
  m.impl("_relational_embedding_forward", TORCH_FN(astgnn::ops::relational_embedding_forward));
  m.impl("_relational_embedding_backward", TORCH_FN(astgnn::ops::relational_embedding_backward));
}
