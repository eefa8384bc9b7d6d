#include "ops/reference.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "ops/philox.h"

namespace astgnn::ops::reference {
namespace {

using at::Tensor;
using at::indexing::Slice;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// [rows, columns]: 0 where dropped, 1 / (1 - p) where kept. The definition of ops.h, one element at
// a time.
Tensor dropout_mask(int64_t rows, int64_t columns, double p, const Tensor& key, int64_t site,
                    int64_t time, at::ScalarType dtype) {
  Tensor mask = at::empty({rows, columns}, at::kDouble);
  const auto keys = key.accessor<int64_t, 2>();
  auto out = mask.accessor<double, 2>();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const auto words =
          philox({static_cast<uint32_t>(keys[0][0]), static_cast<uint32_t>(keys[0][1])},
                 {static_cast<uint32_t>(site * 65536 + time), static_cast<uint32_t>(keys[r + 1][0]),
                  static_cast<uint32_t>(keys[r + 1][1]), static_cast<uint32_t>(c / 4)});
      const double uniform = std::ldexp(static_cast<double>(words[c % 4]), -32);
      out[r][c] = uniform >= p ? 1.0 / (1.0 - p) : 0.0;
    }
  }
  return mask.to(dtype);
}

// [R, R] bool on the host: the attention mask, as in the reference.
Tensor graph_mask(const Graph& graph, int64_t lo, int64_t hi) {
  const int64_t n = hi - lo;
  if (graph.groups) {
    const Tensor group = graph.groups->slice(0, lo, hi);
    return group.unsqueeze(1) == group.unsqueeze(0);
  }
  if (!graph.edge_offsets) return at::ones({n, n}, at::kBool);
  Tensor mask = at::zeros({n, n}, at::kBool);
  const Tensor host_offsets = graph.edge_offsets->cpu(), host_targets = graph.edge_targets->cpu();
  const auto edge_offsets = host_offsets.accessor<int64_t, 1>();
  const auto targets = host_targets.accessor<int64_t, 1>();
  auto allowed = mask.accessor<bool, 2>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t e = edge_offsets[lo + i]; e < edge_offsets[lo + i + 1]; ++e)
      allowed[i][targets[e] - lo] = true;
  }
  return mask;
}

// effective neighbours over rows with a neighbour, self weight, share of empty rows; of one date's
// A.
Tensor graph_statistics(const Tensor& similarity) {
  const int64_t n = similarity.size(0);
  if (n == 0) return at::full({3}, NAN, at::kDouble);
  const Tensor a = similarity.detach().to(at::kDouble);
  const Tensor somebody = a.sum(1) > 0;
  const Tensor entropy = -(a * a.clamp_min(1e-300).log()).sum(1);
  const Tensor neighbours = entropy.exp().index({somebody}).mean();
  return at::stack({neighbours, a.diagonal().mean(), 1.0 - somebody.to(at::kDouble).mean()});
}

}  // namespace

Tensor dropout(const Tensor& x, double p, const Tensor& key, int64_t site, int64_t time) {
  if (p == 0 || x.numel() == 0) return x;
  return x * dropout_mask(x.size(0), x.numel() / x.size(0), p, key, site, time, x.scalar_type())
                 .view(x.sizes());
}

Tensor norm_activation(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps,
                       const std::optional<Tensor>& residual, Activation activation, double p,
                       const Tensor& key, int64_t site) {
  Tensor y = at::layer_norm(x, weight.sizes(), weight, bias, eps);
  if (residual) y = y + *residual;
  if (activation == Activation::kRelu) y = y.relu();
  if (activation == Activation::kTanh) y = y.tanh();
  return reference::dropout(y, p, key, site);
}

Tensor gru_dense(const Tensor& x, at::TensorList weights, double p, const Tensor& key) {
  std::vector<Tensor> inputs = x.unbind(0);
  const int64_t layers = static_cast<int64_t>(weights.size()) / 4;
  for (int64_t layer = 0; layer < layers; ++layer) {
    const Tensor &weight_ih = weights[4 * layer], &weight_hh = weights[4 * layer + 1];
    const Tensor &bias_ih = weights[4 * layer + 2], &bias_hh = weights[4 * layer + 3];
    Tensor h = at::zeros({x.size(1), weight_hh.size(1)}, weight_hh.options());
    for (size_t t = 0; t < inputs.size(); ++t) {
      const auto input = at::linear(inputs[t], weight_ih, bias_ih).chunk(3, 1);
      const auto hidden = at::linear(h, weight_hh, bias_hh).chunk(3, 1);
      const Tensor r = (input[0] + hidden[0]).sigmoid();
      const Tensor z = (input[1] + hidden[1]).sigmoid();
      const Tensor n = (input[2] + r * hidden[2]).tanh();
      h = (1 - z) * n + z * h;
      inputs[t] = layer + 1 < layers
                      ? reference::dropout(h, p, key, kGru + layer, static_cast<int64_t>(t))
                      : h;
    }
  }
  return inputs.back();
}

Tensor gru(const Tensor& panel, const Tensor& date, const Tensor& stock, int64_t window,
           at::TensorList weights, double p, const Tensor& key) {
  std::vector<Tensor> steps;
  for (int64_t t = 0; t < window; ++t)
    steps.push_back(panel.index({date - (window - 1) + t, stock}));
  return gru_dense(at::stack(steps).to(weights[0].scalar_type()), weights, p, key);
}

Tensor attention(const Tensor& source, const Tensor& target, const Graph& graph,
                 double negative_slope) {
  const Tensor raw = source.t().unsqueeze(2) + target.t().unsqueeze(1);  // [A, N, N]
  const Tensor scores = at::where(raw > 0, raw, raw * negative_slope);
  const Tensor mask = graph_mask(graph, 0, source.size(0)).to(source.device());
  return scores.masked_fill(~mask.unsqueeze(0), -kInfinity).softmax(-1);
}

Tensor graph_attention(const Tensor& v, const Tensor& source, const Tensor& target,
                       const Graph& graph, double negative_slope, double p, const Tensor& key) {
  const int64_t rows = v.size(0), width = v.size(1) * v.size(2);
  const Tensor dropped = reference::dropout(v.reshape({rows, width}), p, key, kGat).view(v.sizes());
  const auto offsets = graph.offsets.accessor<int64_t, 1>();
  std::vector<Tensor> dates = {v.new_empty({0, width})};
  for (int64_t date = 0; date + 1 < offsets.size(0); ++date) {
    const int64_t lo = offsets[date], hi = offsets[date + 1];
    const Tensor raw = source.slice(0, lo, hi).t().unsqueeze(2) +
                       target.slice(0, lo, hi).t().unsqueeze(1);  // [A, N, N]
    const Tensor scores = at::where(raw > 0, raw, raw * negative_slope);
    const Tensor alpha =
        scores.masked_fill(~graph_mask(graph, lo, hi).unsqueeze(0), -kInfinity).softmax(-1);
    dates.push_back(
        at::einsum("aij,jad->iad", {alpha, dropped.slice(0, lo, hi)}).reshape({hi - lo, width}));
  }
  return at::cat(dates);
}

Tensor similarity_rows(const Tensor& m, int64_t from, int64_t to, const Tensor& scale,
                       bool exclude_self, int64_t top_k, const std::optional<Tensor>& group) {
  const int64_t n = m.size(0);
  const Tensor together = (group ? group->slice(0, from, to).unsqueeze(1) == group->unsqueeze(0)
                                 : at::ones({to - from, n}, at::kBool))
                              .to(m.device());
  Tensor allowed = together;
  if (exclude_self) {
    allowed = allowed & (at::arange(from, to).unsqueeze(1) != at::arange(n)).to(m.device());
  }
  const Tensor raw = scale.to(m.scalar_type()) * m.slice(0, from, to).mm(m.t());
  if (top_k > 0 && top_k < n) {
    const Tensor kth = std::get<0>(raw.detach().masked_fill(~allowed, -kInfinity).topk(top_k, -1))
                           .slice(1, top_k - 1, top_k);
    const Tensor norm = m.detach().norm(2, 1),
                 largest = norm.expand({to - from, n}).masked_fill(~together, 0).amax(1);
    const Tensor margin =
        kTie * scale.detach().abs().to(m.scalar_type()) * norm.slice(0, from, to) * largest;
    allowed = allowed & (raw.detach() >= kth - margin.unsqueeze(1));
  }
  const Tensor nobody = ~allowed.any(1, /*keepdim=*/true);
  return at::relu(raw)
      .masked_fill(~allowed & ~nobody, -kInfinity)
      .softmax(-1)
      .masked_fill(nobody, 0.0);
}

Tensor similarity(const Tensor& m, const Tensor& scale, bool exclude_self, int64_t top_k,
                  const std::optional<Tensor>& group) {
  return similarity_rows(m, 0, m.size(0), scale, exclude_self, top_k, group);
}

std::tuple<Tensor, Tensor> relational_embedding(const Tensor& x, const Tensor& m,
                                                at::TensorList weights, at::TensorList biases,
                                                at::ArrayRef<double> signs, const Tensor& offsets,
                                                const std::optional<Tensor>& groups,
                                                const Tensor& scale, bool exclude_self,
                                                int64_t top_k, double p, const Tensor& key) {
  const Tensor dropped = reference::dropout(m, p, key, kRisk);
  const auto bounds = offsets.accessor<int64_t, 1>();
  std::vector<Tensor> graphs;
  std::vector<Tensor> statistics = {at::empty({0, 3}, at::kDouble)};
  for (int64_t date = 0; date + 1 < bounds.size(0); ++date) {
    std::optional<Tensor> group;
    if (groups) group = groups->slice(0, bounds[date], bounds[date + 1]);
    graphs.push_back(similarity(dropped.slice(0, bounds[date], bounds[date + 1]), scale,
                                exclude_self, top_k, group));
    statistics.push_back(graph_statistics(graphs.back()).unsqueeze(0));
  }
  Tensor z = x;
  for (size_t layer = 0; layer < weights.size(); ++layer) {
    const Tensor y = z.mm(weights[layer]);
    std::vector<Tensor> parts = {y.new_empty({0, y.size(1)})};
    for (size_t date = 0; date < graphs.size(); ++date) {
      const Tensor rows = y.slice(0, bounds[date], bounds[date + 1]);
      parts.push_back(rows + signs[layer] * graphs[date].mm(rows) + biases[layer]);
    }
    z = at::cat(parts);
    if (layer + 1 < weights.size())
      z = reference::dropout(z.relu(), p, key, kTgc + static_cast<int64_t>(layer));
  }
  return {z, at::cat(statistics)};
}

namespace {

struct SoftRank : torch::autograd::Function<SoftRank> {
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& theta,
                        double strength) {
    const Tensor z = theta / strength;
    const int64_t n = z.numel();
    const Tensor order = z.argsort(/*stable=*/true, 0, /*descending=*/true);
    Tensor ranks = at::arange(n, 0, -1, z.options());
    ranks = (ranks - ranks.mean()) / ranks.std(/*unbiased=*/false);
    const Tensor y = (z.index({order}) - ranks).to(at::kDouble).contiguous();
    std::vector<std::pair<double, int64_t>> blocks;  // sum, count; means decreasing
    for (int64_t i = 0; i < n; ++i) {
      blocks.emplace_back(y.data_ptr<double>()[i], 1);
      while (blocks.size() > 1) {
        const auto last = blocks.back();
        auto& before = blocks[blocks.size() - 2];
        if (before.first / static_cast<double>(before.second) >
            last.first / static_cast<double>(last.second))
          break;
        blocks.pop_back();
        blocks.back().first += last.first;
        blocks.back().second += last.second;
      }
    }
    std::vector<double> means;
    std::vector<int64_t> block;
    for (size_t b = 0; b < blocks.size(); ++b) {
      for (int64_t i = 0; i < blocks[b].second; ++i) {
        means.push_back(blocks[b].first / static_cast<double>(blocks[b].second));
        block.push_back(static_cast<int64_t>(b));
      }
    }
    ctx->save_for_backward({order, at::tensor(block, at::kLong)});
    ctx->saved_data["strength"] = strength;
    return at::empty_like(z).index_put_(
        {order}, z.index({order}) - at::tensor(means, at::kDouble).to(z.scalar_type()));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &order = saved[0], &block = saved[1];
    const Tensor g = grads[0].index({order});
    const Tensor count = at::bincount(block).to(g.scalar_type());
    const Tensor mean = at::zeros_like(count).index_add_(0, block, g) / count;
    const Tensor out = (g - mean.index({block})) / ctx->saved_data["strength"].toDouble();
    return {at::empty_like(g).index_put_({order}, out), Tensor()};
  }
};

}  // namespace

Tensor soft_rank(const Tensor& theta, double strength) {
  return theta.numel() == 0 ? theta : SoftRank::apply(theta, strength);
}

std::tuple<Tensor, Tensor> cross_sectional_loss(CrossSectional kind, const Tensor& predictions,
                                                const Tensor& labels, const Tensor& date_offsets,
                                                at::IntArrayRef prediction_columns,
                                                at::IntArrayRef label_columns, double eps) {
  const auto offsets = date_offsets.accessor<int64_t, 1>();
  const int64_t dates = offsets.size(0) - 1;
  const Tensor values =
      at::zeros({static_cast<int64_t>(prediction_columns.size()), dates}, at::kDouble);
  std::vector<Tensor> of_dates;
  for (int64_t date = 0; date < dates; ++date) {
    std::vector<Tensor> of_pairs;
    for (size_t pair = 0; pair < prediction_columns.size(); ++pair) {
      const auto column = [&](const Tensor& x, int64_t c) {
        return x.slice(0, offsets[date], offsets[date + 1]).select(1, c).to(at::kDouble);
      };
      const Tensor label = column(labels, label_columns[pair]), keep = at::isfinite(label);
      const Tensor y = label.index({keep}),
                   p = column(predictions, prediction_columns[pair]).index({keep});
      Tensor value;
      if (kind == CrossSectional::kMse) {
        if (y.numel() == 0) continue;
        value = (p - y).square().mean();
      } else {
        if (y.numel() < 2 || !(y != y[0]).any().item<bool>()) continue;
        const Tensor dp = p - p.mean(), dy = y - y.mean();
        value = -(dp * dy).sum() / (dp.norm() * dy.norm() + eps);
      }
      values[static_cast<int64_t>(pair)][date].copy_(value.detach());
      of_pairs.push_back(value);
    }
    if (!of_pairs.empty()) of_dates.push_back(at::stack(of_pairs).mean());
  }
  if (of_dates.empty()) return {at::full({}, NAN, at::kDouble), values};
  return {at::stack(of_dates).mean(), values};
}

}  // namespace astgnn::ops::reference
