// Relational embedding: equal to the reference in values, statistics and all gradients over every
// option, under every instruction set of this machine and every path through the tiles.
#include <ATen/Parallel.h>

#include "check.h"
#include "ops/cpu/similarity_graph.h"
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
  std::vector<int64_t> widths = {4, 7, 5, 3};  // of x, then of each layer
  int64_t factors = 6;
};

Tensor make_key(int64_t rows) {
  return at::cat({at::tensor({5, 9}, at::kLong).view({1, 2}),
                  at::stack({at::full({rows}, 40, at::kLong), at::arange(rows, at::kLong)}, 1)});
}

// x, m, scale, then weights, then biases.
std::vector<Tensor> draw(const Options& o, at::ScalarType dtype) {
  const int64_t rows = o.offsets.back();
  std::vector<Tensor> inputs = {at::randn({rows, o.widths[0]}, dtype),
                                at::randn({rows, o.factors}, dtype).tanh(),
                                at::scalar_tensor(o.scale, dtype)};
  for (int64_t l = 0; l < o.layers; ++l)
    inputs.push_back(at::randn({o.widths[l], o.widths[l + 1]}, dtype));
  for (int64_t l = 0; l < o.layers; ++l) inputs.push_back(at::randn({o.widths[l + 1]}, dtype));
  return inputs;
}

// As the reference: a device's segments are its own making.
constexpr auto kEmbed = [](const auto&... arguments) {
  return ops::relational_embedding(arguments...);
};

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
  const auto [z, statistics] = call(kEmbed, a, o);
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

using Sizes = std::vector<std::vector<int64_t>>;

// Every option with every other one.
void all_options(const Sizes& sizes, const std::vector<double>& probabilities,
                 const std::string& path) {
  for (const std::vector<int64_t>& offsets : sizes) {
    const int64_t rows = offsets.back();
    for (const std::string graph : {"complete", "groups", "alone", "two groups"}) {
      for (const bool exclude_self : {false, true}) {
        for (const int64_t top_k : {0, 1, 5}) {
          for (const double p : probabilities) {
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
                                        std::to_string(o.layers) + path + ")";
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
}

// Sizes around the tiles' edges; widths and factors that fill no vector.
void edges(const std::string& path) {
  const std::vector<int64_t> rows = {1, 2, 5, 47, 48, 49, 127, 128, 129, 193, 289};
  const std::vector<int64_t> factors = {3, 8, 32, 33};
  const std::vector<std::vector<int64_t>> widths = {{5, 21, 40}, {3, 16, 5}, {40, 1, 64}};
  int64_t turn = 0;
  for (const int64_t n : rows) {
    for (const int64_t top_k : {0, 7}) {
      Options o{{0, n}, std::nullopt, turn % 2 == 0, top_k, 0.6, 0.1, 2};
      o.widths = widths[turn % 3];
      o.factors = factors[turn % 4];
      ++turn;
      const std::string where = " (" + std::to_string(n) + " stocks, " + std::to_string(o.factors) +
                                " factors, top " + std::to_string(top_k) + path + ")";
      compare(draw(o, at::kDouble), o, 1e-10, where);
      // 33 factors: scores up to 20 round at 1e-6, their exponentials at 2e-6.
      if (top_k == 0) compare(draw(o, at::kFloat), o, 2e-5, where + " float32");
    }
  }
}

void special_scores(const std::string& path) {
  {
    Options o{{0, 33}, std::nullopt, false, 0, 1, 0, 2};
    auto inputs = draw(o, at::kDouble);
    inputs[1] = inputs[1].abs().index(
        {at::arange(33, at::kLong).remainder(7)});  // copies: ties with the k-th
    o.top_k = 6;
    compare(inputs, o, 1e-10, " (ties with the k-th)" + path);
    inputs[1].zero_();
    o.top_k = 0;
    compare(inputs, o, 1e-10, " (M = 0: A is the plain average)" + path);
    auto small = draw(o, at::kFloat);
    small[1] =
        small[1].abs() * 1e-5;  // S > 0 but exp(S) = 1 in float32: the gradient must not vanish
    compare(small, o, 1e-5, " (scores below float32's resolution of 1)" + path);
    const auto a = leaves(small);
    const Tensor gradient = check::gradients(std::get<0>(call(kEmbed, a, o)), a)[1];
    check::that(gradient.abs().max().item<double>() > 1e-9,
                "tiny positive scores still have a gradient");
    auto large = draw(o, at::kFloat);
    o.scale = 400;
    large[2].fill_(400);
    const auto [z, statistics] = call(kEmbed, large, o);
    check::that(!z.isnan().any().item<bool>() && !statistics.isnan().any().item<bool>(),
                "scores of 1,000 do not overflow float32");
  }

  // A NaN shows in every row that sees it and in no other.
  Options o{{0, 40}, at::arange(40, at::kInt).remainder(2), false, 0, 1, 0, 1};
  for (const int64_t top_k : {0, 4}) {
    o.top_k = top_k;
    auto inputs = draw(o, at::kFloat);
    inputs[1][7][2] = NAN;
    const Tensor lost = std::get<0>(call(kEmbed, inputs, o)).isnan().all(1);
    check::equal(lost, at::arange(40).remainder(2).eq(1),
                 "a NaN in M shows in its group alone" + path);
  }
}

void central_differences(const std::string& path) {
  for (const bool grouped : {false, true}) {
    Options o{{0, 3, 14}, std::nullopt, true, grouped ? 0 : 4, 0.7, 0.2, 3};
    if (grouped) o.groups = at::randint(0, 4, {14}, at::kInt);
    auto inputs = draw(o, at::kDouble);
    check::gradient([&](const std::vector<Tensor>& in) { return std::get<0>(call(kEmbed, in, o)); },
                    inputs,
                    grouped ? ("central differences with groups" + path)
                            : ("central differences with top_k" + path));
  }
}

// The same bits whatever the number of threads, and values whatever shares the batch.
void same_bits(const std::string& path) {
  for (const bool grouped : {false, true}) {
    for (const int64_t top_k : {0, 6}) {
      Options o{{0, 31, 531}, std::nullopt, false, top_k, 0.5, 0.2, 2};
      o.widths = {21, 40, 17};
      if (grouped) o.groups = at::randint(0, 9, {531}, at::kInt);
      const auto inputs = draw(o, at::kFloat);
      std::vector<std::vector<Tensor>> runs;
      for (const int threads : {1, 2, 3}) {
        at::set_num_threads(threads);
        const auto a = leaves(inputs);
        const auto [z, statistics] = call(kEmbed, a, o);
        runs.push_back(check::gradients(z, a));
        runs.back().push_back(z.detach());
        runs.back().push_back(statistics);
      }
      at::set_num_threads(2);
      for (size_t run = 1; run < runs.size(); ++run) {
        for (size_t k = 0; k < runs[0].size(); ++k) {
          check::equal(runs[run][k], runs[0][k],
                       std::to_string(run + 1) + " threads change no bit of result " +
                           std::to_string(k) + path);
        }
      }
      const Tensor& both = runs[0][runs[0].size() - 2];
      Options first = o;
      first.offsets = {0, 31};
      auto alone = inputs;
      alone[0] = inputs[0].slice(0, 0, 31);
      alone[1] = inputs[1].slice(0, 0, 31);
      if (grouped) first.groups = o.groups->slice(0, 0, 31);
      const auto [z, own] = call(kEmbed, alone, first);
      check::equal(z, both.slice(0, 0, 31),
                   "a date does not depend on what shares its batch" + path);
      check::equal(own, runs[0].back().slice(0, 0, 1), "nor do its statistics" + path);
    }
  }
}

const std::vector<std::string> kResults = {"z", "dx", "dm", "dscale", "dw1", "dw2"};

// Errors of kResults against the reference in float64: ours in float32, and the reference's.
struct Errors {
  std::vector<double> own, reference;
};

// The first layer's bias keeps ReLU out of the way: a value next to its kink would flip, whatever
// the kernel. What it adds to each stock cancels again in the second layer, which costs M's
// gradient digits where A is nearly uniform, here and in the reference.
Errors errors_against_float64(Options o, double sigma) {
  const int64_t n = o.offsets.back();
  o.widths = {64, 128, 64};
  o.factors = 32;
  std::vector<Tensor> inputs = draw(o, at::kFloat);
  inputs[1] = (at::randn({n, o.factors}, at::kFloat) * sigma).tanh();
  for (const int layer : {3, 4}) inputs[layer].mul_(0.05);
  inputs[5].fill_(2);
  const Tensor cotangent = at::randn({n, 64}, at::kFloat);
  const auto results = [&](auto&& op, at::ScalarType dtype) {
    std::vector<Tensor> in;
    for (const Tensor& each : inputs) in.push_back(each.to(dtype));
    in = leaves(in);
    const Tensor z = std::get<0>(call(op, in, o));
    std::vector<Tensor> out = torch::autograd::grad({z}, in, {cotangent.to(dtype)});
    out.insert(out.begin(), z.detach());
    return out;
  };
  const auto exact = results(ops::reference::relational_embedding, at::kDouble),
             plain = results(ops::reference::relational_embedding, at::kFloat),
             ours = results(kEmbed, at::kFloat);
  // A sum whose terms cancel: against the sum of their sizes.
  const double share =
      (exact[3].abs() / (exact[2] * inputs[1]).abs().sum().mul(0.5)).item<double>();
  Errors errors;
  for (size_t k = 0; k < kResults.size(); ++k) {
    const double scale = kResults[k] == "dscale" ? share : 1;
    errors.own.push_back(scale * check::error(ours[k], exact[k]));
    errors.reference.push_back(scale * check::error(plain[k], exact[k]));
  }
  return errors;
}

void print(const std::string& where, const Errors& errors) {
  std::printf("%s, error (reference in float32):", where.c_str());
  for (size_t k = 0; k < kResults.size(); ++k)
    std::printf(" %s %.1e (%.1e)", kResults[k].c_str(), errors.own[k], errors.reference[k]);
  std::printf("\n");
}

// float32 at sizes of many tiles, beside the reference in float32.
void against_float64(int64_t n, const std::string& path) {
  for (const double sigma : {0.1, 1.0, 3.0}) {
    const Errors errors = errors_against_float64({{0, n}, std::nullopt, false, 0, 1, 0, 2}, sigma);
    print("N " + std::to_string(n) + ", sigma " + std::to_string(sigma).substr(0, 3) + path,
          errors);
    for (size_t k = 0; k < kResults.size(); ++k)
      check::that(errors.own[k] <= std::max(sigma < 2 ? 2e-6 : 1e-5, 1.5 * errors.reference[k]),
                  "float32 " + kResults[k] + " at " + std::to_string(n) + path);
  }
}

#ifdef ASTGNN_CUDA_OPS
// Of float32 in bf16 products on tensor cores: bars against float64 for kResults, the larger of a
// number and of a multiple of the reference's error in float32, which tells how many digits the
// case costs; and a bar beside float32 on the same kernels.
struct Rounding {
  ops::Precision precision;
  const char* name;
  double least, multiple, beside;
};
const Rounding kRoundings[] = {{ops::Precision::kHigh, "high", 4e-5, 15, 1e-4},
                               {ops::Precision::kMedium, "medium", 2e-2, 2000, 5e-2}};

void rounded_against_float64() {
  const Tensor groups = at::randint(0, 5, {1000}, at::kInt);
  for (const Rounding& rounding : kRoundings) {
    ops::use_precision(rounding.precision);
    const auto hold = [&](const Options& o, double sigma, const std::string& what) {
      const std::string where = std::string(rounding.name) + ", " + what + ", sigma " +
                                std::to_string(sigma).substr(0, 3);
      const Errors errors = errors_against_float64(o, sigma);
      print(where, errors);
      for (size_t k = 0; k < kResults.size(); ++k)
        check::that(
            errors.own[k] <= std::max(rounding.least, rounding.multiple * errors.reference[k]),
            where + ": " + kResults[k]);
    };
    for (const double sigma : {0.1, 1.0, 3.0})
      hold({{0, 1000}, std::nullopt, false, 0, 1, 0, 2}, sigma, "N 1000");
    hold({{0, 1, 34, 34, 163, 1000}, groups, true, 0, 1, 0.2, 2}, 1, "N 1000 in segments");
    hold({{0, 3001}, std::nullopt, false, 0, 1, 0, 2}, 1, "N 3001");
  }
  ops::use_precision(ops::Precision::kHighest);
}

std::vector<Tensor> values_and_gradients(const std::vector<Tensor>& inputs, const Options& o) {
  const auto in = leaves(inputs);
  const auto [z, statistics] = call(ops::relational_embedding, in, o);
  std::vector<Tensor> out = check::gradients(z, in);
  out.push_back(z.detach());
  out.push_back(statistics);
  return out;
}

// Every option beside float32 on the same kernels, whose scores have the same bits: the top_k keep
// the same stocks. Widths of more than one block of columns, more factors than one block has.
void rounded_options() {
  for (const bool grouped : {false, true}) {
    for (const bool exclude_self : {false, true}) {
      for (const int64_t top_k : {0, 5}) {
        for (const std::vector<int64_t>& offsets :
             {std::vector<int64_t>{0, 1}, {0, 2, 2, 33}, {0, 31, 160}}) {
          Options o{offsets, std::nullopt, exclude_self, top_k, 0.5, 0.2, 2};
          o.widths = {21, 150, 17};
          o.factors = exclude_self ? 67 : 33;
          if (grouped) o.groups = at::randint(-1, 3, {offsets.back()}, at::kInt);
          auto inputs = draw(o, at::kFloat);
          inputs[1] *= 0.5;
          // ReLU would flip a value next to its kink.
          inputs[5].fill_(60);
          const auto exact = values_and_gradients(inputs, o);
          double largest = 0;
          for (const Tensor& each : exact)
            largest = std::max(largest, each.nan_to_num().abs().max().item<double>());
          for (const Rounding& rounding : kRoundings) {
            ops::use_precision(rounding.precision);
            const auto got = values_and_gradients(inputs, o);
            ops::use_precision(ops::Precision::kHighest);
            double off = 0;
            for (size_t k = 0; k < got.size(); ++k)
              off = std::max(off, at::equal(got[k].isnan(), exact[k].isnan())
                                      ? (got[k] - exact[k]).abs().nan_to_num().max().item<double>()
                                      : INFINITY);
            check::that(off <= rounding.beside * largest,
                        std::string(rounding.name) + ", " + std::to_string(offsets.back()) +
                            " rows" + (grouped ? " in groups" : "") +
                            (exclude_self ? ", self out" : "") + ", top " + std::to_string(top_k) +
                            ": off by " + std::to_string(off / largest));
            if (offsets.back() == 160) check::that(off > 0, std::string(rounding.name) + " rounds");
          }
        }
      }
    }
  }
}
#endif

#ifndef ASTGNN_CUDA_OPS
void every_path() {
  const std::vector<std::pair<const char*, ops::SimilarityPath>> paths = {
      {"automatic", ops::SimilarityPath::kAutomatic},
      {"materialised", ops::SimilarityPath::kMaterialised},
      {"flash", ops::SimilarityPath::kFlash},
      {"row maximum", ops::SimilarityPath::kRowMaximum}};
  const std::string best = ops::kernels().name;
  for (const char* isa : {"avx512", "avx2", "scalar"}) {
    if (!ops::use_kernels(isa)) {
      std::printf("NOT TESTED, this machine has it not: %s\n", isa);
      continue;
    }
    for (const auto& [name, path] : paths) {
      ops::force_similarity_path(path);
      const std::string where = std::string(", ") + isa + ", " + name;
      all_options({{0, 2, 2, 33}, {0, 1, 132}}, {0.3}, where);
      edges(where);
      special_scores(where);
      if (path != ops::SimilarityPath::kAutomatic) central_differences(where);
      same_bits(where);
      if (best == isa || path == ops::SimilarityPath::kFlash) against_float64(1000, where);
    }
    Options o{{0, 300, 1100}, std::nullopt, false, 0, 0.5, 0, 2};
    const auto inputs = draw(o, at::kFloat);
    ops::force_similarity_path(ops::SimilarityPath::kMaterialised);
    const Tensor kept = std::get<0>(call(kEmbed, inputs, o));
    ops::force_similarity_path(ops::SimilarityPath::kFlash);
    check::equal(std::get<0>(call(kEmbed, inputs, o)), kept,
                 std::string("keeping the weights changes no bit, ") + isa);
    ops::force_similarity_path(ops::SimilarityPath::kAutomatic);
  }
  ops::use_kernels(best.c_str());
  ops::force_similarity_path(ops::SimilarityPath::kAutomatic);
}
#endif

}  // namespace

int main() {
  at::manual_seed(5);
#ifdef ASTGNN_CUDA_OPS
  all_options({{0}, {0, 1}, {0, 2, 2, 33}, {0, 0, 33, 34}}, {0.0, 0.3}, "");
  edges("");
  special_scores("");
  central_differences("");
  against_float64(check::emulated ? 300 : 3001, "");
  rounded_options();
  rounded_against_float64();
#else
  all_options({{0}, {0, 0}, {0, 1}, {0, 2, 2, 33}, {0, 31, 182}, {0, 0, 33, 34}}, {0.0, 0.3}, "");
  every_path();
  against_float64(3001, "");
#endif

  // A date large enough for pieces of rows and library products; 113 groups.
  const int64_t many = check::emulated ? 200 : 1000;
  for (const bool grouped : {false, true}) {
    Options o{{0, many}, std::nullopt, true, 0, 0.5, 0.1, 2};
    if (grouped) o.groups = at::randint(0, 113, {many}, at::kInt);
    const std::string where = " (many stocks" + std::string(grouped ? ", 113 groups" : "");
    compare(draw(o, at::kDouble), o, 1e-10, where + ")");
    o.top_k = 20;
    compare(draw(o, at::kDouble), o, 1e-10, where + ", top 20)");
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
    const auto a = check::gradients(std::get<0>(call(kEmbed, some, o)), {some[3], some[5]});
    const auto b = check::gradients(std::get<0>(call(kEmbed, full, o)), {full[3], full[5]});
    check::equal(a[0], b[0], "weights alone get the same gradient");
    check::equal(a[1], b[1], "biases alone get the same gradient");
    std::vector<Tensor> strided = inputs;
    strided[0] = inputs[0].t().contiguous().t();
    strided[1] = inputs[1].t().contiguous().t();
    strided[3] = inputs[3].t().contiguous().t();
    check::close(std::get<0>(call(kEmbed, strided, o)), std::get<0>(call(kEmbed, inputs, o)), 1e-13,
                 "non-contiguous inputs");
  }

  const Tensor m = at::randn({33, 6}, at::kDouble), scale = at::scalar_tensor(0.5, at::kDouble);
  const Tensor a = ops::similarity(m, scale, true, 5, std::nullopt);
  check::that((a > 0).sum(1).eq(5).all().item<bool>() && a.diagonal().eq(0).all().item<bool>(),
              "similarity keeps the top 5 and never itself");
  Options bad{{0, 33}, std::nullopt, false, 0, 1, 0, 2};
  auto inputs = draw(bad, at::kDouble);
  bad.offsets = {0, 32};
  check::throws([&] { call(kEmbed, inputs, bad); }, "number of rows (33)",
                "offsets that miss a row are refused");
  bad.offsets = {0, 33};
  bad.groups = at::zeros({33}, at::kLong);
  check::throws([&] { call(kEmbed, inputs, bad); }, "int32 groups", "int64 groups are refused");
  return check::finish();
}
