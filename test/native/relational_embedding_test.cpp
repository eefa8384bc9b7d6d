// Relational embedding: equal to the reference in values, statistics and all gradients over every
// option, under every instruction set of this machine and every path through the tiles.
#include "ops/cpu/similarity_graph.h"
#include "relational_embedding_cases.h"

namespace {

using namespace relational_embedding_cases;

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
    // dscale adds up rows^2 products of scores and their gradients, which cancel: a few times the
    // rounding of one.
    const double allowed = (k == 2 ? 5 : 1) * tolerance * largest;
    char text[64];
    std::snprintf(text, sizeof text, "gradient %zu off by %.1e", k, difference / largest);
    check::that(difference <= allowed, text + where);
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
    // Every stock has the same six loadings in an order of its own: all are equally similar to one
    // with equal loadings, but each sum rounds in its own way.
    for (int64_t i = 0; i < 33; ++i) inputs[1][i] = inputs[1][0].index({at::randperm(6)});
    inputs[1].slice(0, 0, 4).fill_(0.01);
    compare(inputs, o, 1e-10, " (ties that rounding tells apart)" + path);
    const Tensor kept = ops::similarity(inputs[1], inputs[2], false, 6, std::nullopt) > 0;
    check::that(kept.slice(0, 0, 4).slice(1, 4).all().item<bool>(), "all that tie are kept" + path);
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

// A comes before W where a layer is wider than its input, in vectors of any instruction set: in
// none of these layers, in the first and the last, in the one between.
void central_differences(const std::string& path) {
  const std::vector<std::vector<int64_t>> widths = {{7, 7, 5, 3}, {2, 9, 4, 17}, {9, 2, 9, 2}};
  for (const bool grouped : {false, true}) {
    for (size_t order = 0; order < widths.size(); ++order) {
      Options o{{0, 3, 14}, std::nullopt, true, grouped ? 0 : 4, 0.7, 0.2, 3};
      if (grouped) o.groups = at::randint(0, 4, {14}, at::kInt);
      o.widths = widths[order];
      auto inputs = draw(o, at::kDouble);
      check::gradient(
          [&](const std::vector<Tensor>& in) { return std::get<0>(call(kEmbed, in, o)); }, inputs,
          "central differences with " + std::string(grouped ? "groups" : "top_k") + ", widths " +
              std::to_string(order) + path);
    }
  }
}

// float32 at sizes of many tiles, beside the reference in float32.
void against_float64(int64_t n, const std::string& path) {
  for (const double sigma : {0.1, 1.0, 3.0}) {
    const Errors errors = errors_against_float64({{0, n}, std::nullopt, false, 0, 1, 0, 2}, sigma);
    print("N " + std::to_string(n) + ", sigma " + std::to_string(sigma).substr(0, 3) + path,
          errors);
    for (size_t k = 0; k < kResults.size(); ++k) {
      double reference = errors.reference[k];
      // One sum of M times dM: as exact as dM, whose errors cancel in it by luck.
      if (kResults[k] == "dscale") reference = std::max(reference, errors.reference[k - 1]);
      check::that(errors.own[k] <= std::max(sigma < 2 ? 2e-6 : 1e-5, 1.5 * reference),
                  "float32 " + kResults[k] + " at " + std::to_string(n) + path);
    }
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

// An infinite factor shows in itself and in every row that it is similar to, and in no other group.
void infinite_factors(const std::string& where) {
  Options o{{0, 40}, at::arange(40, at::kInt).remainder(2), false, 0, 1, 0, 1};
  for (const double value : {INFINITY, -INFINITY}) {
    for (const int64_t top_k : {0, 4}) {
      o.top_k = top_k;
      auto inputs = draw(o, at::kFloat);
      inputs[1][7][2] = value;
      const Tensor kept = std::get<0>(call(kEmbed, inputs, o)).isfinite().all(1),
                   own = at::arange(40).remainder(2).eq(1),
                   alike = own & (inputs[1].select(1, 2) * value > 0);
      check::that((kept | own).all().item<bool>() && !(kept & alike).any().item<bool>(),
                  "an infinite factor shows in those that are similar to it" + where);
    }
  }
}

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

}  // namespace

int main() {
  at::manual_seed(5);
  if (check::on_device) {
    all_options({{0}, {0, 1}, {0, 2, 2, 33}, {0, 0, 33, 34}}, {0.0, 0.3}, "");
    edges("");
    special_scores("");
    central_differences("");
    against_float64(check::emulated ? 300 : 3001, "");
  } else {
    all_options({{0}, {0, 0}, {0, 1}, {0, 2, 2, 33}, {0, 31, 182}, {0, 0, 33, 34}}, {0.0, 0.3}, "");
    every_path();
    against_float64(3001, "");
  }

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
  // Dates of several sizes, which matrices of the largest hold where they are not too different.
  for (const bool exclude_self : {false, true}) {
    const Options o{{0, 300, 300, 890}, std::nullopt, exclude_self, 0, 0.5, 0.1, 2};
    compare(draw(o, at::kDouble), o, 1e-10, " (dates of 300, 0 and 590 stocks)");
  }
  // Scores that a shift of half their bound keeps in range, and ones that take the row's largest.
  for (const double scale : {5.0, 9.0, 12.0, 60.0}) {
    for (const bool exclude_self : {false, true}) {
      const Options o{{0, 1, 70}, std::nullopt, exclude_self, 0, scale, 0, 2};
      auto inputs = draw(o, at::kDouble);
      inputs[1] = at::randn_like(inputs[1]).sign();  // each |m|^2 is 6
      const std::string where = " (scores up to " + std::to_string(6 * scale) + ")";
      compare(inputs, o, 1e-10, where);
      for (Tensor& each : inputs) each = each.to(at::kFloat);
      compare(inputs, o, 1e-4, where + " float32");  // exp amplifies the rounding of 360
    }
  }
  // Only what is asked for is computed, and what is computed is the same.
  for (const int64_t hidden : {7, 40}) {
    Options o{{0, 33}, std::nullopt, true, 0, 0.7, 0.2, 2};
    o.widths[1] = hidden;
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
  if (!check::on_device) {
    const std::string best = ops::kernels().name;
    for (const char* isa : {"avx512", "avx2", "scalar"}) {
      if (!ops::use_kernels(isa)) continue;
      for (const auto path : {ops::SimilarityPath::kMaterialised, ops::SimilarityPath::kFlash,
                              ops::SimilarityPath::kRowMaximum}) {
        ops::force_similarity_path(path);
        infinite_factors(std::string(", ") + isa);
      }
    }
    ops::use_kernels(best.c_str());
    ops::force_similarity_path(ops::SimilarityPath::kAutomatic);
  }
  return check::finish();
}
