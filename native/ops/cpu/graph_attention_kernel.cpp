// One task per (segment, head), a segment being a date, or one group of a date; edges take one task
// per (date, head). Tasks share nothing and each sums in one order, so results do not depend on the
// number of threads or on what else is in the batch. The sweeps are in isa/attention.h: they keep
// [n, D] per thread; the dense form would move 4 B per pair several times.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/cpu/dropout_mask.h"
#include "ops/cpu/parallel.h"
#include "ops/cpu/scratch.h"
#include "ops/ops.h"
#include "ops/segments.h"

namespace astgnn::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// What both directions share: contiguous inputs, segments, and how a task finds its rows. values
// are dropped by then.
struct Inputs {
  Tensor values, source, target, edge_offsets, edge_targets;
  Segments segments;
  int64_t rows, heads, width;
  double slope, kept;
  bool edges;

  Inputs(const Tensor& values_any, const Tensor& source_any, const Tensor& target_any,
         const Tensor& offsets, const Optional& groups, const Optional& csr_offsets,
         const Optional& csr_targets, double negative_slope, double p)
      : values(values_any.contiguous()),
        source(source_any.contiguous()),
        target(target_any.contiguous()),
        segments(make_segments(offsets, groups)),
        rows(values.size(0)),
        heads(values.size(1)),
        width(values.size(2)),
        slope(negative_slope),
        kept(p > 0 ? 1 / (1 - p) : 0),
        edges(csr_offsets.has_value()) {
    if (!edges) return;
    edge_offsets = csr_offsets->contiguous();
    edge_targets = csr_targets->contiguous();
  }

  EdgeList edge_list() const {
    return {edge_offsets.const_data_ptr<int64_t>(), edge_targets.const_data_ptr<int64_t>()};
  }

  template <class T>
  int64_t scratch() const {
    int64_t longest = 0, most = 0;
    for (int64_t s = 0; s < segments.count(); ++s)
      longest = std::max(longest, segments.bounds[s + 1] - segments.bounds[s]);
    if (!edges) return kernels_of<T>().attention_scratch(longest, width);
    const int64_t* starts = edge_list().offsets;
    for (int64_t row = 0; row < rows; ++row) most = std::max(most, starts[row + 1] - starts[row]);
    return kernels_of<T>().edge_scratch(longest, width, most);
  }

  // body(head's rows, its first score, its first value, its first place) for every task; several
  // small ones at a time.
  template <class T, class Body>
  void each_task(Body&& body) const {
    const int64_t tasks = segments.count() * heads;
    if (tasks == 0) return;
    const int64_t size = scratch<T>();
    const T *scores = source.const_data_ptr<T>(), *targets = target.const_data_ptr<T>(),
            *vectors = values.const_data_ptr<T>();
    const int64_t grain = std::max<int64_t>(1, tasks * 64 / std::max<int64_t>(1, rows * heads));
    each_in_parallel<Scratch<double>>(
        (tasks + grain - 1) / grain, [&](Scratch<double>& memory, int64_t range) {
          for (int64_t k = range * grain; k < std::min(tasks, (range + 1) * grain); ++k) {
            const int64_t segment = k / heads, head = k % heads, lo = segments.bounds[segment];
            body(AttentionHead<T>{segments.bounds[segment + 1] - lo, width, heads, heads * width,
                                  segments.rows.data() + lo, scores + head, targets + head,
                                  vectors + head * width, slope, kept, memory.get(size)},
                 head, head * width, lo);
          }
        });
  }
};

// Undefined where nothing is dropped.
Tensor dropped(const Tensor& v_any, double p, const Optional& key) {
  const DropoutMask mask(p, key, kGat);
  if (!mask.active()) return Tensor();
  const Tensor v = v_any.contiguous();
  Tensor out = at::empty_like(v);
  AT_DISPATCH_FLOATING_TYPES(v.scalar_type(), "graph_attention_dropout", [&] {
    const scalar_t* from = v.const_data_ptr<scalar_t>();
    scalar_t* to = out.mutable_data_ptr<scalar_t>();
    const int64_t width = v.size(1) * v.size(2);
    at::parallel_for(0, v.size(0), 64, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        kernels_of<scalar_t>().drop_values(to + row * width, from + row * width, mask.site(), row,
                                           width);
    });
  });
  return out;
}

AttentionOrder order_at(const Tensor& order, const Inputs& in, int64_t head, int64_t place) {
  if (!order.defined() || in.edges) return {};
  int32_t* by_source = order.mutable_data_ptr<int32_t>() + head * in.rows + place;
  return {by_source, by_source + in.heads * in.rows};
}

// order: int32 [2, A, R], or undefined where no backward will follow.
Tensor run_forward(const Inputs& in, const Tensor& order) {
  Tensor out = at::empty({in.rows, in.heads * in.width}, in.values.options());
  AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "graph_attention", [&] {
    scalar_t* result = out.mutable_data_ptr<scalar_t>();
    const auto& kernels = kernels_of<scalar_t>();
    in.each_task<scalar_t>(
        [&](const AttentionHead<scalar_t>& task, int64_t head, int64_t first, int64_t place) {
          if (in.edges) {
            kernels.edge_forward(task, in.edge_list(), result + first);
          } else {
            kernels.attention_forward(task, result + first, order_at(order, in, head, place));
          }
        });
  });
  return out;
}

Tensor infer(const Tensor& v, const Tensor& source, const Tensor& target, const Tensor& offsets,
             const Optional& groups, const Optional& edge_offsets, const Optional& edge_targets,
             at::TensorList, double negative_slope, double p, const Optional& key) {
  if (edge_offsets) check_edges("graph_attention", offsets, *edge_offsets, *edge_targets);
  const Tensor values = dropped(v, p, key);
  const Inputs in(values.defined() ? values : v, source, target, offsets, groups, edge_offsets,
                  edge_targets, negative_slope, p);
  return run_forward(in, Tensor());
}

std::tuple<Tensor, Tensor, Tensor> graph_attention_forward(
    const Tensor& v, const Tensor& source, const Tensor& target, const Tensor& offsets,
    const Optional& groups, const Optional& edge_offsets, const Optional& edge_targets,
    at::TensorList, double negative_slope, double p, const Optional& key) {
  if (edge_offsets) check_edges("graph_attention", offsets, *edge_offsets, *edge_targets);
  const Tensor values = dropped(v, p, key);
  const Inputs in(values.defined() ? values : v, source, target, offsets, groups, edge_offsets,
                  edge_targets, negative_slope, p);
  const Tensor order = at::empty({in.edges ? 0 : 2, in.heads, in.rows}, at::kInt);
  return {run_forward(in, order), values, order};
}

std::tuple<Tensor, Tensor, Tensor> graph_attention_backward(
    const Tensor& grad_any, const Tensor& values, const Tensor& source, const Tensor& target,
    const Tensor& order, const Tensor& offsets, const Optional& groups,
    const Optional& edge_offsets, const Optional& edge_targets, at::TensorList,
    double negative_slope, double p) {
  const Inputs in(values, source, target, offsets, groups, edge_offsets, edge_targets,
                  negative_slope, p);
  const Tensor grad = grad_any.contiguous();
  Tensor dv = at::empty_like(in.values), dsource = at::empty_like(in.source),
         dtarget = at::empty_like(in.target);
  AT_DISPATCH_FLOATING_TYPES(in.values.scalar_type(), "graph_attention_backward", [&] {
    const scalar_t* above = grad.const_data_ptr<scalar_t>();
    scalar_t *to_values = dv.mutable_data_ptr<scalar_t>(),
             *to_source = dsource.mutable_data_ptr<scalar_t>(),
             *to_target = dtarget.mutable_data_ptr<scalar_t>();
    const auto& kernels = kernels_of<scalar_t>();
    in.each_task<scalar_t>(
        [&](const AttentionHead<scalar_t>& task, int64_t head, int64_t first, int64_t place) {
          const AttentionGradients<scalar_t> gradients{above + first, to_values + first,
                                                       to_source + head, to_target + head};
          if (in.edges) {
            kernels.edge_backward(task, in.edge_list(), gradients);
          } else {
            kernels.attention_backward(task, order_at(order, in, head, place), gradients);
          }
        });
  });
  return {dv, dsource, dtarget};
}

}  // namespace
}  // namespace astgnn::ops

TORCH_LIBRARY_IMPL(astgnn, CPU, m) {
  m.impl("graph_attention", TORCH_FN(astgnn::ops::infer));
  m.impl("_graph_attention_forward", TORCH_FN(astgnn::ops::graph_attention_forward));
  m.impl("_graph_attention_backward", TORCH_FN(astgnn::ops::graph_attention_backward));
}
