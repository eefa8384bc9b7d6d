// Relational embedding: equal to the reference in values, statistics and all gradients over every
// option; A never outlives a date.
#include <ATen/Parallel.h>

#include "check.h"
#include "ops/reference.h"

namespace {

using at::Tensor;
using namespace astgnn;

struct Options {
  std::vector<int64_t> offsets;
  std::optional<Tensor> groups;
  bool exclude_self = false;
  int64_t top_k = 0;
  double scale = 1, p = 0;
  int64_t layers = 2;
};

Tensor make_key(int64_t rows) {
  return at::cat({at::tensor({5, 9}, at::kLong).view({1, 2}),
                  at::stack({at::full({rows}, 40, at::kLong), at::arange(rows, at::kLong)}, 1)});
}

constexpr int64_t kFeatures = 4, kFactors = 6;

// x, m, scale, then weights, then biases.
std::vector<Tensor> draw(const Options& o, at::ScalarType dtype) {
  const int64_t rows = o.offsets.back();
  std::vector<Tensor> inputs = {at::randn({rows, kFeatures}, dtype),
                                at::randn({rows, kFactors}, dtype).tanh(),
                                at::scalar_tensor(o.scale, dtype)};
  std::vector<int64_t> widths = {kFeatures, 7, 5, 3};
  for (int64_t l = 0; l < o.layers; ++l)
    inputs.push_back(at::randn({widths[l], widths[l + 1]}, dtype));
  for (int64_t l = 0; l < o.layers; ++l) inputs.push_back(at::randn({widths[l + 1]}, dtype));
  return inputs;
}

template <class Op>
std::tuple<Tensor, Tensor> call(Op&& op, const std::vector<Tensor>& in, const Options& o) {
  const at::TensorList all(in);
  std::vector<double> signs;
  for (int64_t l = 0; l < o.layers; ++l) signs.push_back(l % 2 ? -1 : 1);
  return op(in[0], in[1], all.slice(3, o.layers), all.slice(3 + o.layers), signs,
            at::tensor(o.offsets, at::kLong), o.groups, in[2], o.exclude_self, o.top_k, o.p,
            make_key(o.offsets.back()));
}

std::vector<Tensor> leaves(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> out;
  for (const Tensor& each : tensors) out.push_back(each.detach().clone().requires_grad_(true));
  return out;
}

void compare(const std::vector<Tensor>& inputs, const Options& o, double tolerance,
             const std::string& where) {
  const auto a = leaves(inputs), b = leaves(inputs);
  const auto [z, statistics] = call(ops::relational_embedding, a, o);
  const auto [z_expected, statistics_expected] = call(ops::reference::relational_embedding, b, o);
  check::close(z, z_expected, tolerance, "values" + where);
  check::close(statistics, statistics_expected, std::max(tolerance, 1e-10), "statistics" + where);
  if (o.offsets.back() == 0) return;
  const auto x = check::gradients(z, a), y = check::gradients(z_expected, b);
  double largest =
      0;  // one scale, as in the parity fixtures: M's gradient may be 0 but for rounding
  for (const Tensor& each : y) {
    if (each.defined() && each.numel())
      largest = std::max(largest, each.abs().max().item<double>());
  }
  for (size_t k = 0; k < a.size(); ++k) {
    const double difference =
        y[k].defined() && y[k].numel() ? (x[k] - y[k]).abs().max().item<double>() : 0;
    char text[64];
    std::snprintf(text, sizeof text, "gradient %zu off by %.1e", k, difference / largest);
    check::that(difference <= tolerance * largest, text + where);
  }
}

}  // namespace

int main() {
  at::manual_seed(5);
  for (const std::vector<int64_t>& offsets : std::vector<std::vector<int64_t>>{
           {0}, {0, 0}, {0, 1}, {0, 2, 2, 33}, {0, 31, 182}, {0, 0, 33, 34}}) {
    const int64_t rows = offsets.back();
    for (const std::string graph : {"complete", "groups", "alone", "two groups"}) {
      for (const bool exclude_self : {false, true}) {
        for (const int64_t top_k : {0, 1, 5}) {
          for (const double p : {0.0, 0.3}) {
            for (const double scale : {0.4, 30.0}) {
              Options o{offsets, std::nullopt,          exclude_self, top_k, scale,
                        p,       1 + (rows + top_k) % 3};
              if (graph == "groups") o.groups = at::randint(-3, 9, {rows}, at::kInt);
              if (graph == "alone") o.groups = at::arange(rows, at::kInt);
              if (graph == "two groups") o.groups = at::randint(0, 2, {rows}, at::kInt);
              const std::string where = " (" + graph + ", " + std::to_string(rows) +
                                        " rows, self " + (exclude_self ? "out" : "in") + ", top " +
                                        std::to_string(top_k) + ", p " + std::to_string(p) +
                                        ", scale " + std::to_string(scale) + ", layers " +
                                        std::to_string(o.layers) + ")";
              compare(draw(o, at::kDouble), o, 1e-10, where);
              // float32 without top_k, where rounding may choose another neighbour; exp of scores
              // up to 2 rounds at 1e-6.
              if (top_k == 0 && scale < 1)
                compare(draw(o, at::kFloat), o, 1e-5, where + " float32");
            }
          }
        }
      }
    }
  }

  // A date large enough for pieces of rows and library products; 113 groups of 1,000 stocks.
  for (const bool grouped : {false, true}) {
    Options o{{0, 1000}, std::nullopt, true, 0, 0.5, 0.1, 2};
    if (grouped) o.groups = at::randint(0, 113, {1000}, at::kInt);
    compare(draw(o, at::kDouble), o, 1e-10,
            grouped ? " (1,000 stocks, 113 groups)" : " (1,000 stocks)");
    o.top_k = 20;
    compare(draw(o, at::kDouble), o, 1e-10,
            grouped ? " (1,000 stocks, 113 groups, top 20)" : " (1,000 stocks, top 20)");
  }
  {
    Options o{{0, 33}, std::nullopt, false, 0, 1, 0, 2};
    auto inputs = draw(o, at::kDouble);
    inputs[1] = inputs[1].abs().index(
        {at::arange(33, at::kLong).remainder(7)});  // copies: ties with the k-th
    o.top_k = 6;
    compare(inputs, o, 1e-10, " (ties with the k-th)");
    inputs[1].zero_();
    o.top_k = 0;
    compare(inputs, o, 1e-10, " (M = 0: A is the plain average)");
    auto small = draw(o, at::kFloat);
    small[1] =
        small[1].abs() * 1e-5;  // S > 0 but exp(S) = 1 in float32: the gradient must not vanish
    compare(small, o, 1e-5, " (scores below float32's resolution of 1)");
    const auto a = leaves(small);
    const Tensor gradient =
        check::gradients(std::get<0>(call(ops::relational_embedding, a, o)), a)[1];
    check::that(gradient.abs().max().item<double>() > 1e-9,
                "tiny positive scores still have a gradient");
    auto large = draw(o, at::kFloat);
    o.scale = 400;
    large[2].fill_(400);
    const auto [z, statistics] = call(ops::relational_embedding, large, o);
    check::that(!z.isnan().any().item<bool>() && !statistics.isnan().any().item<bool>(),
                "scores of 1,000 do not overflow float32");
  }

  for (const bool grouped : {false, true}) {
    Options o{{0, 3, 14}, std::nullopt, true, grouped ? 0 : 4, 0.7, 0.2, 3};
    if (grouped) o.groups = at::randint(0, 4, {14}, at::kInt);
    auto inputs = draw(o, at::kDouble);
    check::gradient(
        [&](const std::vector<Tensor>& in) {
          return std::get<0>(call(ops::relational_embedding, in, o));
        },
        inputs, grouped ? "central differences with groups" : "central differences with top_k");
  }

  // Only what is asked for is computed, and what is computed is the same.
  {
    Options o{{0, 33}, std::nullopt, true, 0, 0.7, 0.2, 2};
    const auto inputs = draw(o, at::kDouble);
    auto some = leaves(inputs);
    some[0] = inputs[0];
    some[1] = inputs[1];
    some[2] = inputs[2];
    const auto full = leaves(inputs);
    const auto a =
        check::gradients(std::get<0>(call(ops::relational_embedding, some, o)), {some[3], some[5]});
    const auto b =
        check::gradients(std::get<0>(call(ops::relational_embedding, full, o)), {full[3], full[5]});
    check::equal(a[0], b[0], "weights alone get the same gradient");
    check::equal(a[1], b[1], "biases alone get the same gradient");
    std::vector<Tensor> strided = inputs;
    strided[0] = inputs[0].t().contiguous().t();
    strided[1] = inputs[1].t().contiguous().t();
    strided[3] = inputs[3].t().contiguous().t();
    check::close(std::get<0>(call(ops::relational_embedding, strided, o)),
                 std::get<0>(call(ops::relational_embedding, inputs, o)), 1e-13,
                 "non-contiguous inputs");
  }

  // Threads and batch composition.
  for (const bool grouped : {false, true}) {
    Options o{{0, 31, 331}, std::nullopt, false, 0, 0.5, 0.2, 2};
    if (grouped) o.groups = at::randint(0, 9, {331}, at::kInt);
    const auto inputs = draw(o, at::kFloat);
    at::set_num_threads(1);
    const Tensor one = std::get<0>(call(ops::relational_embedding, inputs, o));
    at::set_num_threads(2);
    const auto [two, statistics] = call(ops::relational_embedding, inputs, o);
    check::close(two, one, 1e-6, "the number of threads changes rounding at most");
    Options first = o;
    first.offsets = {0, 31};
    first.p = o.p;
    auto alone = inputs;
    alone[0] = inputs[0].slice(0, 0, 31);
    alone[1] = inputs[1].slice(0, 0, 31);
    if (grouped) first.groups = o.groups->slice(0, 0, 31);
    const auto [z, own] = call(ops::relational_embedding, alone, first);
    check::equal(z, two.slice(0, 0, 31), "a date does not depend on what shares its batch");
    check::equal(own, statistics.slice(0, 0, 1), "nor do its statistics");
  }

  const Tensor m = at::randn({33, kFactors}, at::kDouble),
               scale = at::scalar_tensor(0.5, at::kDouble);
  const Tensor a = ops::similarity(m, scale, true, 5, std::nullopt);
  check::that((a > 0).sum(1).eq(5).all().item<bool>() && a.diagonal().eq(0).all().item<bool>(),
              "similarity keeps the top 5 and never itself");
  Options bad{{0, 33}, std::nullopt, false, 0, 1, 0, 2};
  auto inputs = draw(bad, at::kDouble);
  bad.offsets = {0, 32};
  check::throws([&] { call(ops::relational_embedding, inputs, bad); }, "number of rows (33)",
                "offsets that miss a row are refused");
  bad.offsets = {0, 33};
  bad.groups = at::zeros({33}, at::kLong);
  check::throws([&] { call(ops::relational_embedding, inputs, bad); }, "int32 groups",
                "int64 groups are refused");
  return check::finish();
}
