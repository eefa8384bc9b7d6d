// One task per (segment, head), a segment being a date, or one group of a date; edges take one task
// per (date, head). Tasks share nothing and each sums in one order, so results do not depend on the
// number of threads or on what else is in the batch. Reads v once per pass and keeps [n, D] per
// thread; the dense form would move 4 B per pair several times.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/cpu/attention_sweeps.h"
#include "ops/cpu/dropout_mask.h"
#include "ops/cpu/edge_attention.h"
#include "ops/cpu/segments.h"
#include "ops/ops.h"

namespace astgnn::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// What both directions share: contiguous inputs, segments, and how a task finds its rows.
struct Inputs {
  Tensor v, source, target, edge_offsets, edge_targets;
  Segments segments;
  DropoutMask mask;
  int64_t rows, heads, width;
  double slope;
  bool edges;

  Inputs(const Tensor& v_any, const Tensor& source_any, const Tensor& target_any,
         const Tensor& offsets, const Optional& groups, const Optional& csr_offsets,
         const Optional& csr_targets, double negative_slope, double p, const Optional& key)
      : v(v_any.contiguous()),
        source(source_any.contiguous()),
        target(target_any.contiguous()),
        segments(make_segments(offsets, groups)),
        mask(p, key, kGat),
        rows(v.size(0)),
        heads(v.size(1)),
        width(v.size(2)),
        slope(negative_slope),
        edges(csr_offsets.has_value()) {
    if (!edges) return;
    edge_offsets = csr_offsets->contiguous();
    edge_targets = csr_targets->contiguous();
    const int64_t *starts = edge_offsets.const_data_ptr<int64_t>(),
                  *targets = edge_targets.const_data_ptr<int64_t>();
    TORCH_CHECK(starts[0] == 0 && starts[rows] == edge_targets.size(0),
                "graph_attention: Expected edge_offsets from 0 to ", edge_targets.size(0), ".");
    for (int64_t segment = 0; segment < segments.count(); ++segment) {
      const int64_t lo = segments.bounds[segment], hi = segments.bounds[segment + 1];
      for (int64_t row = lo; row < hi; ++row) {
        TORCH_CHECK(starts[row] < starts[row + 1],
                    "graph_attention: Expected every row to see itself at least, but row ", row,
                    " has no edge.");
        for (int64_t e = starts[row]; e < starts[row + 1]; ++e) {
          TORCH_CHECK(targets[e] >= lo && targets[e] < hi,
                      "graph_attention: Expected edges within a date but row ", row, " sees row ",
                      targets[e], ".");
        }
      }
    }
  }

  // Copies one head of the segment's rows into the task and drops its values.
  template <class T, class Task>
  void load(Task& task, int64_t segment, int64_t head) const {
    const int64_t lo = segments.bounds[segment], n = segments.bounds[segment + 1] - lo;
    task.resize(n, width);
    task.slope = slope;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = segments.rows[lo + i];
      task.source[i] = source.const_data_ptr<T>()[row * heads + head];
      task.target[i] = target.const_data_ptr<T>()[row * heads + head];
      T* values = &task.values[i * width];
      std::copy_n(v.const_data_ptr<T>() + (row * heads + head) * width, width, values);
      if (mask.active()) mask.apply(values, row, head * width, width);
    }
  }

  template <class T>
  void load_edges(EdgeAttention<T>& task, int64_t date) const {
    task.first_row = segments.bounds[date];
    task.edge_offsets = edge_offsets.const_data_ptr<int64_t>();
    task.edge_targets = edge_targets.const_data_ptr<int64_t>();
  }

  // Hands out (segment, head) pairs, several small ones at a time.
  template <class Body>
  void each_task(Body&& body) const {
    const int64_t tasks = segments.count() * heads;
    if (tasks == 0) return;
    const int64_t grain = std::max<int64_t>(1, tasks * 64 / std::max<int64_t>(1, rows * heads));
    at::parallel_for(0, tasks, grain, [&](int64_t begin, int64_t end) { body(begin, end); });
  }
};

template <class T>
void forward_sweeps(const Inputs& in, Tensor& out, Tensor& normalizer, Tensor& split,
                    Tensor& order) {
  T* result = out.mutable_data_ptr<T>();
  in.each_task([&](int64_t begin, int64_t end) {
    AttentionSweeps<T> task;
    for (int64_t index = begin; index < end; ++index) {
      const int64_t segment = index / in.heads, head = index % in.heads;
      const int64_t lo = in.segments.bounds[segment];
      in.load<T>(task, segment, head);
      const bool finite = task.finite();
      const auto at_row = [&](int64_t i) { return in.segments.rows[lo + i] * in.heads + head; };
      if (finite) {
        task.sort();
        task.factors();
      } else {
        std::iota(task.by_source.begin(), task.by_source.end(), 0);
        std::iota(task.by_target.begin(), task.by_target.end(), 0);
        std::fill(task.values.begin(), task.values.end(), std::numeric_limits<T>::quiet_NaN());
        std::fill(task.upper.begin(), task.upper.end(), 1.0);
        std::fill(task.lower.begin(), task.lower.end(), 1.0);
        std::fill(task.row_factor.begin(), task.row_factor.end(), 1.0);
        std::fill(task.source.begin(), task.source.end(), T(0));
        std::fill(task.target.begin(), task.target.end(), T(0));
      }
      task.forward([&](int64_t i, double lower_total, double upper_total, const double* lower_sum,
                       const double* upper_sum) {
        const double total = lower_total + upper_total;
        T* row = result + at_row(i) * in.width;
        for (int64_t d = 0; d < in.width; ++d)
          row[d] = static_cast<T>((lower_sum[d] + upper_sum[d]) / total);
        if (!normalizer.defined()) return;
        normalizer.mutable_data_ptr<double>()[at_row(i)] =
            finite ? total : std::numeric_limits<double>::quiet_NaN();
        T* difference = split.mutable_data_ptr<T>() + at_row(i) * in.width;
        for (int64_t d = 0; d < in.width; ++d) {
          difference[d] = static_cast<T>((lower_total * upper_sum[d] - upper_total * lower_sum[d]) /
                                         (total * total));
        }
      });
      if (!normalizer.defined()) continue;
      int32_t* saved = order.mutable_data_ptr<int32_t>();
      std::copy(task.by_source.begin(), task.by_source.end(), saved + head * in.rows + lo);
      std::copy(task.by_target.begin(), task.by_target.end(),
                saved + (in.heads + head) * in.rows + lo);
    }
  });
}

template <class T>
void forward_edges(const Inputs& in, Tensor& out, Tensor& normalizer) {
  in.each_task([&](int64_t begin, int64_t end) {
    EdgeAttention<T> task;
    for (int64_t index = begin; index < end; ++index) {
      const int64_t date = index / in.heads, head = index % in.heads;
      in.load<T>(task, date, head);
      in.load_edges(task, date);
      task.forward([&](int64_t i, double log_total, const double* average) {
        const int64_t place = (task.first_row + i) * in.heads + head;
        std::copy_n(average, in.width, out.mutable_data_ptr<T>() + place * in.width);
        if (normalizer.defined()) normalizer.mutable_data_ptr<double>()[place] = log_total;
      });
    }
  });
}

// normalizer [R, A] double: the sum of a row's weights, or for edges the logarithm of it. split [R,
// A * D] and order int32 [2, A, R]: not for edges. Left undefined where no backward will follow.
std::tuple<Tensor, Tensor, Tensor, Tensor> run_forward(const Inputs& in, bool save) {
  Tensor out = at::empty({in.rows, in.heads * in.width}, in.v.options()), normalizer, split, order;
  if (save) {
    normalizer = at::empty({in.rows, in.heads}, at::kDouble);
    split = in.edges ? at::empty({0}, in.v.options()) : at::empty_like(out);
    order = at::empty({in.edges ? 0 : 2, in.heads, in.rows}, at::kInt);
  }
  AT_DISPATCH_FLOATING_TYPES(in.v.scalar_type(), "graph_attention", [&] {
    if (in.edges) {
      forward_edges<scalar_t>(in, out, normalizer);
    } else {
      forward_sweeps<scalar_t>(in, out, normalizer, split, order);
    }
  });
  return {out, normalizer, split, order};
}

template <class T>
void backward_sweeps(const Inputs& in, const Tensor& grad, const Tensor& out,
                     const Tensor& normalizer, const Tensor& split, const Tensor& order, Tensor& dv,
                     Tensor& dsource, Tensor& dtarget) {
  in.each_task([&](int64_t begin, int64_t end) {
    AttentionSweeps<T> task;
    std::vector<double> g, delta, totals;
    std::vector<T> column_mask(in.width);
    for (int64_t index = begin; index < end; ++index) {
      const int64_t segment = index / in.heads, head = index % in.heads;
      const int64_t lo = in.segments.bounds[segment], width = in.width;
      in.load<T>(task, segment, head);
      const int64_t n = task.n;
      g.resize(n * width);
      delta.resize(n);
      totals.resize(n);
      const int32_t* saved = order.const_data_ptr<int32_t>();
      std::copy_n(saved + head * in.rows + lo, n, task.by_source.begin());
      std::copy_n(saved + (in.heads + head) * in.rows + lo, n, task.by_target.begin());
      task.factors();
      const auto at_row = [&](int64_t i) { return in.segments.rows[lo + i] * in.heads + head; };
      for (int64_t i = 0; i < n; ++i) {
        const int64_t place = at_row(i);
        const T* gradient = grad.const_data_ptr<T>() + place * width;
        const T *result = out.const_data_ptr<T>() + place * width,
                *difference = split.const_data_ptr<T>() + place * width;
        double moved = 0;
        delta[i] = 0;
        for (int64_t d = 0; d < width; ++d) {
          g[i * width + d] = static_cast<double>(gradient[d]);
          delta[i] += g[i * width + d] * static_cast<double>(result[d]);
          moved += g[i * width + d] * static_cast<double>(difference[d]);
        }
        dsource.mutable_data_ptr<T>()[place] = static_cast<T>((1 - in.slope) * moved);
        totals[i] = normalizer.const_data_ptr<double>()[place];
      }
      task.backward(
          totals.data(),
          [&](int64_t i, double factor, double* accumulated) {
            for (int64_t d = 0; d < width; ++d) accumulated[d] += factor * g[i * width + d];
            return factor * delta[i];
          },
          [&](int64_t j, double factor, double derivative, const double* gradient_sum,
              double delta_sum, bool first) {
            double* column = &task.sums[j * width];
            double product = 0;
            for (int64_t d = 0; d < width; ++d) {
              const double value_gradient = factor * gradient_sum[d];
              column[d] = first ? value_gradient : column[d] + value_gradient;
              product += value_gradient * static_cast<double>(task.values[j * width + d]);
            }
            const double score_gradient = derivative * (product - factor * delta_sum);
            task.totals[j] = first ? score_gradient : task.totals[j] + score_gradient;
          });
      for (int64_t j = 0; j < n; ++j) {
        const int64_t place = at_row(j);
        dtarget.mutable_data_ptr<T>()[place] = static_cast<T>(task.totals[j]);
        T* value_gradient = dv.mutable_data_ptr<T>() + place * width;
        std::copy_n(&task.sums[j * width], width, value_gradient);
        if (in.mask.active())
          in.mask.apply(value_gradient, in.segments.rows[lo + j], head * width, width);
      }
    }
  });
}

template <class T>
void backward_edges(const Inputs& in, const Tensor& grad, const Tensor& out,
                    const Tensor& normalizer, Tensor& dv, Tensor& dsource, Tensor& dtarget) {
  in.each_task([&](int64_t begin, int64_t end) {
    EdgeAttention<T> task;
    std::vector<double> normalizers;
    for (int64_t index = begin; index < end; ++index) {
      const int64_t date = index / in.heads, head = index % in.heads, width = in.width;
      in.load<T>(task, date, head);
      in.load_edges(task, date);
      normalizers.resize(task.n);
      const auto at_row = [&](int64_t i) { return (task.first_row + i) * in.heads + head; };
      for (int64_t i = 0; i < task.n; ++i)
        normalizers[i] = normalizer.const_data_ptr<double>()[at_row(i)];
      task.backward(
          normalizers.data(),
          [&](int64_t i, double* g) {
            const T *gradient = grad.const_data_ptr<T>() + at_row(i) * width,
                    *result = out.const_data_ptr<T>() + at_row(i) * width;
            double delta = 0;
            for (int64_t d = 0; d < width; ++d) {
              g[d] = static_cast<double>(gradient[d]);
              delta += g[d] * static_cast<double>(result[d]);
            }
            return delta;
          },
          [&](int64_t i, double value) {
            dsource.mutable_data_ptr<T>()[at_row(i)] = static_cast<T>(value);
          });
      for (int64_t j = 0; j < task.n; ++j) {
        dtarget.mutable_data_ptr<T>()[at_row(j)] = static_cast<T>(task.target_sums[j]);
        T* value_gradient = dv.mutable_data_ptr<T>() + at_row(j) * width;
        std::copy_n(&task.sums[j * width], width, value_gradient);
        if (in.mask.active())
          in.mask.apply(value_gradient, task.first_row + j, head * width, width);
      }
    }
  });
}

Tensor infer(const Tensor& v, const Tensor& source, const Tensor& target, const Tensor& offsets,
             const Optional& groups, const Optional& edge_offsets, const Optional& edge_targets,
             double negative_slope, double p, const Optional& key) {
  const Inputs in(v, source, target, offsets, groups, edge_offsets, edge_targets, negative_slope, p,
                  key);
  return std::get<0>(run_forward(in, /*save=*/false));
}

std::tuple<Tensor, Tensor, Tensor, Tensor> forward(
    const Tensor& v, const Tensor& source, const Tensor& target, const Tensor& offsets,
    const Optional& groups, const Optional& edge_offsets, const Optional& edge_targets,
    double negative_slope, double p, const Optional& key) {
  const Inputs in(v, source, target, offsets, groups, edge_offsets, edge_targets, negative_slope, p,
                  key);
  return run_forward(in, /*save=*/true);
}

std::tuple<Tensor, Tensor, Tensor> backward(
    const Tensor& grad_any, const Tensor& v, const Tensor& source, const Tensor& target,
    const Tensor& out, const Tensor& normalizer, const Tensor& split, const Tensor& order,
    const Tensor& offsets, const Optional& groups, const Optional& edge_offsets,
    const Optional& edge_targets, double negative_slope, double p, const Optional& key) {
  const Inputs in(v, source, target, offsets, groups, edge_offsets, edge_targets, negative_slope, p,
                  key);
  const Tensor grad = grad_any.contiguous();
  Tensor dv = at::empty_like(in.v), dsource = at::empty_like(in.source),
         dtarget = at::empty_like(in.target);
  AT_DISPATCH_FLOATING_TYPES(in.v.scalar_type(), "graph_attention_backward", [&] {
    if (in.edges) {
      backward_edges<scalar_t>(in, grad, out, normalizer, dv, dsource, dtarget);
    } else {
      backward_sweeps<scalar_t>(in, grad, out, normalizer, split, order, dv, dsource, dtarget);
    }
  });
  return {dv, dsource, dtarget};
}

}  // namespace
}  // namespace astgnn::ops

TORCH_LIBRARY_IMPL(astgnn, CPU, m) {
  m.impl("graph_attention", TORCH_FN(astgnn::ops::infer));
  m.impl("_graph_attention_forward", TORCH_FN(astgnn::ops::forward));
  m.impl("_graph_attention_backward", TORCH_FN(astgnn::ops::backward));
}
