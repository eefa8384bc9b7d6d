// Graph attention: the sorted sweeps and the edge kernel equal the dense reference in values and
// all gradients, for every graph and under every instruction set of this machine.
#include <ATen/Parallel.h>

#include "check.h"
#include "ops/cpu/isa/kernels.h"
#include "ops/graph_attention_sorted.h"
#include "ops/reference.h"

namespace {

using at::Tensor;
using namespace astgnn;

struct Case {
  std::string name;
  ops::Graph graph;
  int64_t rows;
};

Tensor make_key(int64_t rows, int64_t date = 40) {
  return at::cat({at::tensor({5, 9}, at::kLong).view({1, 2}),
                  at::stack({at::full({rows}, date, at::kLong), at::arange(rows, at::kLong)}, 1)});
}

// Random edges within each date, self included, sorted.
void add_edges(ops::Graph& graph, double density) {
  const auto offsets = graph.offsets.accessor<int64_t, 1>();
  std::vector<int64_t> starts = {0}, targets;
  for (int64_t date = 0; date + 1 < offsets.size(0); ++date) {
    for (int64_t i = offsets[date]; i < offsets[date + 1]; ++i) {
      for (int64_t j = offsets[date]; j < offsets[date + 1]; ++j) {
        if (i == j || at::rand({1}).item<double>() < density) targets.push_back(j);
      }
      starts.push_back(static_cast<int64_t>(targets.size()));
    }
  }
  graph.edge_offsets = at::tensor(starts, at::kLong);
  graph.edge_targets = at::tensor(targets, at::kLong);
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const std::vector<int64_t>& offsets : std::vector<std::vector<int64_t>>{
           {0}, {0, 0}, {0, 1}, {0, 2, 2, 33}, {0, 31, 182}, {0, 0, 33, 34}}) {
    const int64_t rows = offsets.back();
    const std::string where =
        " (" + std::to_string(rows) + " rows, " + std::to_string(offsets.size() - 1) + " dates)";
    ops::Graph complete{at::tensor(offsets, at::kLong), std::nullopt, std::nullopt, std::nullopt};
    out.push_back({"complete" + where, complete, rows});
    ops::Graph groups = complete;
    groups.groups = at::randint(-2, 4, {rows}, at::kInt);
    out.push_back({"groups" + where, groups, rows});
    ops::Graph alone = complete;
    alone.groups = at::arange(rows, at::kInt);
    out.push_back({"every stock its own group" + where, alone, rows});
    ops::Graph edges = complete;
    add_edges(edges, 0.2);
    out.push_back({"edges" + where, edges, rows});
  }
  return out;
}

void compare(const Case& c, const std::vector<Tensor>& inputs, double slope, double p,
             double tolerance, const std::string& where) {
  std::vector<Tensor> a, b;
  for (const Tensor& each : inputs) {
    a.push_back(each.detach().clone().requires_grad_(true));
    b.push_back(each.detach().clone().requires_grad_(true));
  }
  const Tensor key = make_key(c.rows);
  const Tensor got = ops::graph_attention(a[0], a[1], a[2], c.graph, slope, p, key);
  const Tensor expected = ops::reference::graph_attention(b[0], b[1], b[2], c.graph, slope, p, key);
  check::close(got, expected, tolerance, c.name + where + ": values");
  {
    at::NoGradGuard no_grad;
    check::equal(ops::graph_attention(a[0], a[1], a[2], c.graph, slope, p, key), got.detach(),
                 c.name + where + ": the same without gradients");
  }
  if (c.rows == 0) return;
  const auto x = check::gradients(got, a), y = check::gradients(expected, b);
  const char* names[] = {"v", "source", "target"};
  // One scale for all three: where the scores' gradient is 0 in theory, the reference returns
  // rounding noise.
  const double largest = y[0].abs().max().item<double>();
  for (size_t k = 0; k < 3; ++k) {
    const double difference = (x[k] - y[k]).abs().max().item<double>();
    check::that(difference <= tolerance * largest, c.name + where + ": gradient of " + names[k] +
                                                       ", off by " +
                                                       std::to_string(difference / largest));
  }
}

// A float32 kernel computes in float64 and rounds its results: 6e-8. Dropout rounds 1 / (1 - p) and
// the values' product with it on the way in.
void float_errors(const std::string& isa) {
  // 3001 is too many for an emulation, where 1000 has 63 chunks.
  for (const int64_t rows :
       check::emulated ? std::vector<int64_t>{1000} : std::vector<int64_t>{1000, 3001}) {
    for (const double size : {1.0, 10.0}) {
      for (const auto& [edges, p] :
           {std::pair(false, 0.0), std::pair(false, 0.1), std::pair(true, 0.0)}) {
        ops::Graph graph{at::tensor({int64_t{0}, rows}, at::kLong), std::nullopt, std::nullopt,
                         std::nullopt};
        if (edges) {
          graph.edge_offsets = at::arange(rows + 1, at::kLong) * 20;
          graph.edge_targets = std::get<0>(((at::arange(rows, at::kLong).unsqueeze(1) +
                                             at::arange(20, at::kLong).unsqueeze(0) * 17) %
                                            rows)
                                               .sort(1))
                                   .reshape({-1});
        }
        const std::vector<Tensor> inputs = {at::randn({rows, 4, 32}), at::randn({rows, 4}) * size,
                                            at::randn({rows, 4}) * size};
        const auto run = [&](at::ScalarType dtype) {
          std::vector<Tensor> leaves;
          for (const Tensor& each : inputs)
            leaves.push_back(each.to(dtype, false, true).requires_grad_(true));
          const Tensor out =
              ops::graph_attention(leaves[0], leaves[1], leaves[2], graph, 0.2, p, make_key(rows));
          const Tensor cotangent =
              at::arange(out.numel(), at::kDouble).mul_(0.7).sin_().to(at::kFloat).to(dtype);
          auto result = torch::autograd::grad({out}, leaves, {cotangent.view(out.sizes())});
          result.insert(result.begin(), out.detach());
          return result;
        };
        const auto got = run(at::kFloat), expected = run(at::kDouble);
        const std::string where = isa + (edges ? ", edges, " : ", complete, ") +
                                  (p > 0 ? "dropout, " : "") + std::to_string(rows) +
                                  " rows, scores times " +
                                  std::to_string(static_cast<int64_t>(size));
        double errors[4];
        const char* names[] = {"values", "gradient of v", "of source", "of target"};
        for (size_t k = 0; k < 4; ++k) {
          errors[k] = check::error(got[k], expected[k]);
          check::close(got[k], expected[k], p > 0 ? 1.5e-7 : 7e-8,
                       where + ": float32 against float64, " + names[k]);
        }
        std::printf("%s: out %.1e, dv %.1e, ds %.1e, dt %.1e\n", where.c_str(), errors[0],
                    errors[1], errors[2], errors[3]);
      }
    }
  }
}

// Widths of several blocks and a part, row counts of every way to sort, against the reference.
void shapes() {
  for (const int64_t rows : {64, 65, 400, 1100}) {
    for (const int64_t width : {1, 32, 77}) {
      Case c{std::to_string(rows) + " rows, width " + std::to_string(width),
             {at::tensor({int64_t{0}, rows}, at::kLong), std::nullopt, std::nullopt, std::nullopt},
             rows};
      if (rows == 1100 && width != 77) continue;  // the reference is slow
      for (const bool edges : {false, true}) {
        if (edges && rows != 65) continue;
        if (edges) add_edges(c.graph, 0.3);
        std::vector<Tensor> inputs = {at::randn({rows, 2, width}, at::kDouble),
                                      at::randn({rows, 2}, at::kDouble),
                                      at::randn({rows, 2}, at::kDouble)};
        // Zeros of both signs are values like any other, dropped or not.
        inputs[0].slice(0, 0, rows / 2).masked_fill_(at::rand({rows / 2, 2, width}) < 0.3, 0.0);
        inputs[0].slice(0, 0, rows / 4).mul_(-1);
        compare(c, inputs, 0.2, 0.4, 1e-10, edges ? ", edges" : "");
        for (Tensor& each : inputs) each = each.to(at::kFloat);
        compare(c, inputs, 0.2, 0.4, 2e-5, edges ? ", edges, float32" : ", float32");
      }
    }
  }
}

// The way without kernels, for other devices, where a tensor of this one can stand for theirs.
void sorted() {
  for (const Case& c : cases()) {
    if (c.graph.edge_offsets) continue;
    for (const double size : {1.0, 30.0}) {
      for (const double p : {0.0, 0.4}) {
        std::vector<Tensor> a, b;
        for (const auto& shape : {std::vector<int64_t>{c.rows, 3, 5}, {c.rows, 3}, {c.rows, 3}}) {
          const Tensor each = at::randn(shape, at::kDouble) * (shape.size() == 2 ? size : 1.0);
          // Ties, and sums of exactly 0.
          a.push_back((shape.size() == 2 ? (each * 4).round() / 4 : each).requires_grad_(true));
          b.push_back(a.back().detach().clone().requires_grad_(true));
        }
        const Tensor got =
            ops::graph_attention_sorted(a[0], a[1], a[2], c.graph, 0.2, p, make_key(c.rows));
        const Tensor expected =
            ops::reference::graph_attention(b[0], b[1], b[2], c.graph, 0.2, p, make_key(c.rows));
        check::close(got, expected, 1e-12, "by ATen alone, " + c.name);
        if (c.rows == 0) continue;
        const auto x = check::gradients(got, a), y = check::gradients(expected, b);
        const double largest = y[0].abs().max().item<double>();
        for (size_t k = 0; k < 3; ++k)
          check::that((x[k] - y[k]).abs().max().item<double>() <= 1e-11 * largest,
                      "by ATen alone, " + c.name + ": gradient " + std::to_string(k));
      }
    }
  }
}

void all(const std::string& isa) {
  at::manual_seed(4);
  float_errors(isa);
  shapes();
  const int64_t heads = 3, width = 5;
  const auto every = cases();
  for (const Case& c : every) {
    const auto draw = [&](at::ScalarType dtype, double size) {
      return std::vector<Tensor>{at::randn({c.rows, heads, width}, dtype),
                                 at::randn({c.rows, heads}, dtype) * size,
                                 at::randn({c.rows, heads}, dtype) * size};
    };
    for (const double slope : {0.0, 0.2, 0.9}) {
      for (const double p : {0.0, 0.4}) {
        const std::string where = ", slope " + std::to_string(slope) + ", p " + std::to_string(p);
        compare(c, draw(at::kDouble, 1), slope, p, 1e-10, where);
        // float32: the reference adds up to 151 float32 products.
        compare(c, draw(at::kFloat, 1), slope, p, 1e-5, where + ", float32");
      }
    }
    compare(c, draw(at::kDouble, 30), 0.2, 0, 1e-10, ", scores of up to 100");
    compare(c, draw(at::kDouble, 300), 0.2, 0, 1e-10, ", scores of up to 1,000");
    auto tied = draw(at::kDouble, 2);
    tied[1] = tied[1].round() / 2;
    tied[2] = tied[2].round() / 2;
    compare(c, tied, 0.2, 0, 1e-10, ", ties and scores of exactly 0");
    auto positive = draw(at::kDouble, 1);
    positive[1] = positive[1].abs() + 0.1;
    positive[2] = positive[2].abs() + 0.1;
    compare(c, positive, 0.2, 0, 1e-10, ", all scores positive");
    positive[1] = -positive[1];
    positive[2] = -positive[2];
    compare(c, positive, 0.2, 0, 1e-10, ", all scores negative");
  }

  for (const Case& c : every) {
    if (c.rows != 33 && c.rows != 34) continue;
    check::gradient(
        [&](const std::vector<Tensor>& in) {
          return ops::graph_attention(in[0], in[1], in[2], c.graph, 0.2, 0.3, make_key(c.rows));
        },
        {at::randn({c.rows, heads, width}, at::kDouble), at::randn({c.rows, heads}, at::kDouble),
         at::randn({c.rows, heads}, at::kDouble)},
        c.name + ": central differences");
  }

  // Threads and batch composition, bit for bit, with gradients.
  for (size_t k = 0; k < every.size(); ++k) {
    if (every[k].rows != 182) continue;
    const Case& c = every[k];
    const std::vector<Tensor> inputs = {at::randn({182, heads, width}), at::randn({182, heads}),
                                        at::randn({182, heads})};
    const auto run = [&](const ops::Graph& graph, int64_t lo, int64_t hi) {
      std::vector<Tensor> leaves;
      for (const Tensor& each : inputs)
        leaves.push_back(each.slice(0, lo, hi).clone().requires_grad_(true));
      const Tensor out = ops::graph_attention(
          leaves[0], leaves[1], leaves[2], graph, 0.2, 0.3,
          at::cat({make_key(182).slice(0, 0, 1), make_key(182).slice(0, lo + 1, hi + 1)}));
      auto result = torch::autograd::grad({out.square().sum()}, leaves);
      result.push_back(out.detach());
      return result;
    };
    at::set_num_threads(1);
    const auto one = run(c.graph, 0, 182);
    at::set_num_threads(2);
    const auto two = run(c.graph, 0, 182);
    ops::Graph second;
    second.offsets = at::tensor({0, 151}, at::kLong);
    if (c.graph.groups) second.groups = c.graph.groups->slice(0, 31, 182);
    if (c.graph.edge_offsets) {
      const int64_t first = (*c.graph.edge_offsets)[31].item<int64_t>();
      second.edge_offsets = c.graph.edge_offsets->slice(0, 31) - first;
      second.edge_targets = c.graph.edge_targets->slice(0, first) - 31;
    }
    const auto alone = run(second, 31, 182);
    for (size_t t = 0; t < one.size(); ++t) {
      check::equal(
          one[t], two[t],
          c.name + ": tensor " + std::to_string(t) + " does not depend on the number of threads");
      check::equal(one[t].slice(0, 31, 182), alone[t],
                   c.name + ": tensor " + std::to_string(t) + " does not depend on the other date");
    }
    // Permuting the stocks of the only date permutes the result (sums in another order).
    if (c.graph.edge_offsets) continue;
    const Tensor order = at::randperm(151, at::kLong) + 31;
    const auto permute = [&](const Tensor& t) { return t.index({order}).to(at::kDouble); };
    ops::Graph permuted = second;
    if (c.graph.groups) permuted.groups = c.graph.groups->index({order});
    const Tensor a = ops::graph_attention(permute(inputs[0]), permute(inputs[1]),
                                          permute(inputs[2]), permuted, 0.2, 0, Tensor());
    const Tensor b = ops::graph_attention(
        inputs[0].slice(0, 31).to(at::kDouble), inputs[1].slice(0, 31).to(at::kDouble),
        inputs[2].slice(0, 31).to(at::kDouble), second, 0.2, 0, Tensor());
    check::close(a, b.index({order - 31}), 1e-12,
                 c.name + ": permuting stocks permutes the output");
  }

  const ops::Graph graph{at::tensor({0, 33}, at::kLong), std::nullopt, std::nullopt, std::nullopt};
  const Tensor v = at::randn({width, heads, 33}, at::kDouble).permute({2, 1, 0}),
               s = at::randn({heads, 33}, at::kDouble).t();
  check::equal(
      ops::graph_attention(v, s, s, graph, 0.2, 0, Tensor()),
      ops::graph_attention(v.contiguous(), s.contiguous(), s.contiguous(), graph, 0.2, 0, Tensor()),
      "non-contiguous inputs");
  check::close(ops::attention(s, s, graph, 0.2).sum(-1), at::ones({heads, 33}, at::kDouble), 1e-12,
               "rows of the explicit attention sum to 1");
  check::close(at::einsum("aij,jad->iad", {ops::attention(s, s, graph, 0.2), v})
                   .reshape({33, heads * width}),
               ops::graph_attention(v, s, s, graph, 0.2, 0, Tensor()), 1e-12,
               "the explicit attention is the one the op averages with");
  Tensor broken = s.clone();
  broken[4][1] = NAN;
  const auto within = [&](const Tensor& values, const Tensor& source, const ops::Graph& of,
                          const std::string& what) {
    for (const double p : {0.0, 0.4}) {
      const Tensor leaf = source.detach().clone().requires_grad_(true);
      const Tensor out = ops::graph_attention(values, leaf, s, of, 0.2, p, make_key(33));
      const Tensor seen = out.detach().view({33, heads, width});
      const Tensor gradient = torch::autograd::grad({out.sum()}, {leaf})[0];
      check::that(seen.select(1, 1).isnan().any(1).all().item<bool>() &&
                      !seen.select(1, 0).isnan().any().item<bool>() &&
                      gradient.select(1, 1).isnan().all().item<bool>() &&
                      !gradient.select(1, 0).isnan().any().item<bool>(),
                  what + " reaches every row of its head and no other head");
    }
  };
  within(v, broken, graph, "a NaN score");
  Tensor infinite = s.clone();
  infinite[7][1] = INFINITY;
  within(v, infinite, graph, "an infinite score");
  Tensor missing = v.contiguous().clone();
  missing[4][1][2] = NAN;
  within(missing, s, graph, "a NaN value");
  ops::Graph everybody = graph;
  everybody.edge_offsets = at::arange(34, at::kLong) * 33;
  everybody.edge_targets = at::arange(33, at::kLong).repeat({33});
  within(missing, s, everybody, "with edges to everybody a NaN value");

  ops::Graph bad = graph;
  bad.edge_offsets = at::zeros({34}, at::kLong);
  bad.edge_targets = at::zeros({0}, at::kLong);
  check::throws([&] { ops::graph_attention(v, s, s, bad, 0.2, 0, Tensor()); }, "has no edge",
                "a row without edges is refused");
  bad.edge_offsets = at::arange(34, at::kLong);
  bad.edge_targets = at::full({33}, 33, at::kLong);
  check::throws([&] { ops::graph_attention(v, s, s, bad, 0.2, 0, Tensor()); }, "within a date",
                "an edge out of the date is refused");
  check::throws([&] { ops::graph_attention(v, s, s, graph, 1.0, 0, Tensor()); }, "in [0, 1)",
                "slope 1 is refused");
}

}  // namespace

int main() {
  sorted();
  check::each_instruction_set([](const std::string& isa) {
    const int failed = check::failed;
    all(isa);
    if (check::failed > failed) std::fprintf(stderr, "those failed under %s\n", isa.c_str());
  });
  return check::finish();
}
