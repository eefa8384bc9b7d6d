// The kernels of graph_attention.cu and edge_attention.cu, over entries that ATen has sorted: all
// segments and heads take the same launches, and nothing is read back.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/cuda/device.h"
#include "ops/device_segments.h"
#include "ops/ops.h"

namespace astgnn::ops::cuda {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// int32 [A, 2 R]. Sorts are stable: columns stay before rows, and either in the order of their
// rows. float32 is sorted once, by run and score in one number; float64 by score, then by run.
Tensor order_of(at::TensorList segments, const Tensor& source, const Tensor& target) {
  const int64_t rows = source.size(0), heads = source.size(1);
  if (source.scalar_type() == at::kFloat) {
    const Tensor keys = at::empty({heads * 2 * rows}, segments[kRunOfRow].options()),
                 order = at::empty({heads, 2 * rows}, keys.options().dtype(at::kInt));
    attention_keys(source.const_data_ptr<float>(), target.const_data_ptr<float>(),
                   segments[kRunOfRow].const_data_ptr<int64_t>(), rows, heads,
                   segments[kRuns].size(0), keys.mutable_data_ptr<int64_t>(), current_stream());
    const Tensor places =
        std::get<1>(keys.sort(/*stable=*/true, 0, /*descending=*/false)).contiguous();
    attention_order(places.const_data_ptr<int64_t>(), rows, heads,
                    order.mutable_data_ptr<int32_t>(), current_stream());
    return order;
  }
  const Tensor scores = at::stack({target.t(), source.t().neg()}, 1).view(-1);  // [A, 2, R]
  const Tensor runs = segments[kRunOfRow].to(at::kInt);
  const Tensor first =
      at::arange(heads, runs.options()).mul_(segments[kRuns].size(0)).view({-1, 1, 1});
  const Tensor run = (first + runs).expand({heads, 2, rows}).reshape(-1);
  const Tensor by_score = std::get<1>(scores.sort(/*stable=*/true, 0, /*descending=*/false));
  const Tensor by_run =
      std::get<1>(run.index_select(0, by_score).sort(/*stable=*/true, 0, /*descending=*/false));
  return by_score.index_select(0, by_run).remainder_(2 * rows).to(at::kInt).view({heads, 2 * rows});
}

// Edge lists, and their transposes, on the device.
struct Lists {
  Tensor offsets, targets;

  Lists(const Tensor& edge_offsets, const Tensor& edge_targets, at::Device device)
      : offsets(to_device(edge_offsets, device).contiguous()),
        targets(to_device(edge_targets, device).contiguous()) {}

  // The transposed edge list: the rows that attend to each row, ascending.
  Lists transposed() const {
    const auto [sorted, order] = targets.sort(/*stable=*/true, 0, /*descending=*/false);
    const auto numbers = [&](int64_t count) { return at::arange(count, targets.options()); };
    const Tensor row =
        at::searchsorted(offsets, numbers(targets.size(0)), false, /*right=*/true) - 1;
    return {at::searchsorted(sorted, numbers(offsets.size(0))), row.index_select(0, order),
            targets.device()};
  }
};

// What both directions read, contiguous; values are dropped by then.
struct Inputs {
  Tensor values, source, target;
  int64_t rows, heads, width;
  double slope;

  Inputs(const Tensor& values_any, const Tensor& source_any, const Tensor& target_any,
         double negative_slope)
      : values(values_any.contiguous()),
        source(source_any.contiguous()),
        target(target_any.contiguous()),
        rows(values.size(0)),
        heads(values.size(1)),
        width(values.size(2)),
        slope(negative_slope) {}

  template <class T>
  EdgeAttention<T> along(const Lists& lists) const {
    return {lists.offsets.const_data_ptr<int64_t>(),
            lists.targets.const_data_ptr<int64_t>(),
            values.const_data_ptr<T>(),
            source.const_data_ptr<T>(),
            target.const_data_ptr<T>(),
            rows,
            heads,
            width,
            slope};
  }
};

// The kernels' view of the runs, with their scratch.
template <class T>
class Sorted {
 public:
  Sorted(const Inputs& in, at::TensorList segments, const Tensor& order) {
    const int64_t run_count = segments[kRuns].size(0), chunk_count = segments[kChunks].size(0);
    const auto scratch = [&](at::IntArrayRef shape) {
      memory_.push_back(at::empty(shape, in.values.options().dtype(at::kDouble)));
      return memory_.back().mutable_data_ptr<double>();
    };
    static_assert(sizeof(AttentionFactor) == 3 * sizeof(double));
    attention = {
        reinterpret_cast<const AttentionRun*>(segments[kRuns].const_data_ptr<int64_t>()),
        run_count,
        reinterpret_cast<const AttentionChunk*>(segments[kChunks].const_data_ptr<int64_t>()),
        chunk_count,
        order.const_data_ptr<int32_t>(),
        in.values.const_data_ptr<T>(),
        in.source.const_data_ptr<T>(),
        in.target.const_data_ptr<T>(),
        in.rows,
        in.heads,
        in.width,
        in.slope,
        scratch({in.heads, run_count}),
        reinterpret_cast<AttentionFactor*>(scratch({in.heads, 2 * in.rows, 3})),
        scratch({in.heads, chunk_count, 2, in.width + 1})};
  }
  Attention<T> attention;

 private:
  std::vector<Tensor> memory_;
};

// Undefined where nothing is dropped.
Tensor dropped(const Tensor& v_any, double p, const Optional& key) {
  const DropoutMask mask(p, key, kGat, 0, v_any.device());
  if (!mask.active()) return Tensor();
  const Tensor v = v_any.contiguous(), out = at::empty_like(v);
  AT_DISPATCH_FLOATING_TYPES(v.scalar_type(), "graph_attention_dropout", [&] {
    drop_values(v.const_data_ptr<scalar_t>(), out.mutable_data_ptr<scalar_t>(), v.size(0),
                v.size(1) * v.size(2), mask.site(), current_stream());
  });
  return out;
}

std::tuple<Tensor, Tensor, Tensor> graph_attention_forward(
    const Tensor& v, const Tensor& source, const Tensor& target, const Tensor& offsets,
    const Optional& groups, const Optional& edge_offsets, const Optional& edge_targets,
    at::TensorList given, double negative_slope, double p, const Optional& key) {
  const c10::DeviceGuard guard(v.device());
  const Tensor values = dropped(v, p, key);
  const Inputs in(values.defined() ? values : v, source, target, negative_slope);
  const Tensor out = at::empty({in.rows, in.heads * in.width}, in.values.options());
  Tensor order = at::empty({0}, in.source.options().dtype(at::kInt));
  // On a device they are make_graph's or a panel's, who check them; the host would wait for them.
  if (edge_offsets && edge_offsets->is_cpu() && edge_targets->is_cpu())
    check_edges("graph_attention", offsets, *edge_offsets, *edge_targets);
  if (in.rows == 0) return {out, values, order};
  AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "graph_attention", [&] {
    scalar_t* result = out.mutable_data_ptr<scalar_t>();
    if (edge_offsets) {
      const Lists lists(*edge_offsets, *edge_targets, v.device());
      edge_attention_forward(in.along<scalar_t>(lists), result, current_stream());
    } else {
      const auto segments = segments_of(given, offsets, groups, in.values);
      order = order_of(segments, in.source, in.target);
      attention_forward(Sorted<scalar_t>(in, segments, order).attention, result, current_stream());
    }
  });
  return {out, values, order};
}

Tensor infer(const Tensor& v, const Tensor& source, const Tensor& target, const Tensor& offsets,
             const Optional& groups, const Optional& edge_offsets, const Optional& edge_targets,
             at::TensorList given, double negative_slope, double p, const Optional& key) {
  return std::get<0>(graph_attention_forward(v, source, target, offsets, groups, edge_offsets,
                                             edge_targets, given, negative_slope, p, key));
}

std::tuple<Tensor, Tensor, Tensor> graph_attention_backward(
    const Tensor& grad_any, const Tensor& values, const Tensor& source, const Tensor& target,
    const Tensor& order, const Tensor& offsets, const Optional& groups,
    const Optional& edge_offsets, const Optional& edge_targets, at::TensorList given,
    double negative_slope, double p) {
  const c10::DeviceGuard guard(values.device());
  const Inputs in(values, source, target, negative_slope);
  const Tensor grad = grad_any.contiguous(), dv = at::empty_like(in.values),
               dsource = at::empty_like(in.source), dtarget = at::empty_like(in.target);
  if (in.rows == 0) return {dv, dsource, dtarget};
  AT_DISPATCH_FLOATING_TYPES(dv.scalar_type(), "graph_attention_backward", [&] {
    const AttentionGradients<scalar_t> gradients{
        grad.const_data_ptr<scalar_t>(), dv.mutable_data_ptr<scalar_t>(),
        dsource.mutable_data_ptr<scalar_t>(), dtarget.mutable_data_ptr<scalar_t>(),
        p > 0 ? 1 / (1 - p) : 0};
    if (edge_offsets) {
      const Lists lists(*edge_offsets, *edge_targets, values.device()),
          viewers = lists.transposed();
      static_assert(sizeof(EdgeRow) == 3 * sizeof(double));
      const Tensor kept = at::empty({in.rows, in.heads, 3}, dv.options().dtype(at::kDouble));
      edge_attention_backward(
          in.along<scalar_t>(lists),
          {viewers.offsets.const_data_ptr<int64_t>(), viewers.targets.const_data_ptr<int64_t>()},
          gradients, reinterpret_cast<EdgeRow*>(kept.mutable_data_ptr<double>()), current_stream());
    } else {
      const auto segments = segments_of(given, offsets, groups, in.values);
      attention_backward(Sorted<scalar_t>(in, segments, order).attention, gradients,
                         current_stream());
    }
  });
  return {dv, dsource, dtarget};
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(astgnn, CUDA, m) {
  m.impl("graph_attention", TORCH_FN(astgnn::ops::cuda::infer));
  m.impl("_graph_attention_forward", TORCH_FN(astgnn::ops::cuda::graph_attention_forward));
  m.impl("_graph_attention_backward", TORCH_FN(astgnn::ops::cuda::graph_attention_backward));
}
