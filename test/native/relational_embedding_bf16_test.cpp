// The relational embedding in bf16 products on a device: against float64, and beside float32 on the
// same kernels over every option.
#include "ops/precision.h"
#include "relational_embedding_cases.h"

namespace {

using namespace relational_embedding_cases;

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
  const auto [z, statistics] = call(kEmbed, in, o);
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

}  // namespace

int main() {
  at::manual_seed(5);
  rounded_options();
  rounded_against_float64();
  return check::finish();
}
