// Losses: equal to a second, literal writing of each formula; their gradients; where they are
// undefined.
#include "train/losses.h"

#include "check.h"

namespace {

using at::Tensor;
using namespace astgnn;

// Pearson through the covariance matrix, another route than the loss takes.
Tensor pearson(const Tensor& a, const Tensor& b) { return at::corrcoef(at::stack({a, b}))[0][1]; }

Tensor without(const Tensor& x, const Tensor& label) { return x.index({at::isfinite(label)}); }

void prediction_losses(int64_t n, bool missing) {
  const std::string where =
      " at N = " + std::to_string(n) + (missing ? " with missing labels" : "");
  const Tensor p = at::randn({n}, at::kDouble);
  Tensor y = at::randn({n}, at::kDouble);
  if (missing) y.slice(0, 0, n, 3).fill_(NAN);
  const Tensor pv = without(p, y), yv = without(y, y);
  const Tensor products = (pv.unsqueeze(1) - pv) * (yv.unsqueeze(1) - yv);
  check::close(*train::pairwise_rank_loss(p, y), (-products).clamp_min(0).mean(), 1e-12,
               "pairwise rank" + where);
  const Tensor spearman = pearson(train::average_tie_ranks(pv), train::average_tie_ranks(yv));
  check::close(*train::rank_ic_loss(p, y, 1e-6), -spearman, 1e-6,
               "rankIc tends to Spearman at a small strength" + where);
  for (const auto& [name, loss] :
       std::initializer_list<std::pair<std::string, std::function<train::Loss(const Tensor&)>>>{
           {"pairwiseRank", [&](const Tensor& x) { return train::pairwise_rank_loss(x, y); }},
           {"rankIc", [&](const Tensor& x) { return train::rank_ic_loss(x, y, 0.5); }}}) {
    check::gradient([&](const std::vector<Tensor>& in) { return *loss(in[0]); }, {p},
                    name + " gradient" + where);
  }
}

// 1 - residual / total of a least-squares fit with an intercept column.
Tensor fitted(const Tensor& factors, const Tensor& label) {
  const Tensor f = at::cat({at::ones({factors.size(0), 1}, at::kDouble), factors}, 1);
  const Tensor beta = std::get<0>(at::linalg_lstsq(f, label.unsqueeze(1)));
  return 1 - (label - f.mm(beta).squeeze(1)).square().sum() / (label - label.mean()).square().sum();
}

void factor_losses(int64_t n, int64_t k) {
  const std::string where = " at N = " + std::to_string(n) + ", K = " + std::to_string(k);
  const Tensor m = at::randn({n, k}, at::kDouble).tanh();
  Tensor y = m.mv(at::randn({k}, at::kDouble)) + at::randn({n}, at::kDouble);
  // The ridge of 1e-6 per stock moves R^2 by about its own size.
  check::close(*train::r_square(m, y), fitted(m, y), 1e-5,
               "R^2 is that of the regression with an intercept" + where);
  const Tensor correlation = k > 1 ? at::corrcoef(m.t()) : at::ones({1, 1}, at::kDouble);
  const Tensor off = correlation - at::eye(k, at::kDouble);
  check::close(*train::correlation_penalty(m),
               k > 1 ? off.square().sum() / (k * (k - 1)) : at::zeros({}, at::kDouble), 1e-6,
               "correlation penalty" + where);
  // VIF of factor j is 1 / (1 - R^2 of j on the others).
  Tensor vif = at::zeros({}, at::kDouble);
  for (int64_t j = 0; j < k; ++j) {
    vif += 1 / (1 - fitted(at::cat({m.slice(1, 0, j), m.slice(1, j + 1, k)}, 1), m.select(1, j)));
  }
  check::close(*train::variance_inflation_penalty(m), vif / k, 1e-4,
               "VIF is 1 / (1 - R^2) on the other factors" + where);

  Tensor labels =
      at::stack({y, at::full({n}, NAN, at::kDouble), y * 0.5 + at::randn({n}, at::kDouble)}, 1);
  labels[0][2] = NAN;
  const Tensor expected = ((1 - *train::r_square(m, labels.select(1, 0))) +
                           0.81 * (1 - *train::r_square(m, labels.select(1, 2)))) /
                              1.81 +
                          0.05 * *train::correlation_penalty(m);
  const std::vector<train::Labels> horizons{labels.select(1, 0), labels.select(1, 1),
                                            labels.select(1, 2)};
  check::close(*train::risk_loss(m, horizons), expected, 1e-12,
               "risk weighs the horizons that have labels" + where);
  const auto gradient = [&](const std::string& name,
                            const std::function<train::Loss(const Tensor&)>& loss) {
    check::gradient([&](const std::vector<Tensor>& in) { return *loss(in[0]); }, {m},
                    name + " gradient" + where, 1e-6);
  };
  gradient("risk", [&](const Tensor& x) { return train::risk_loss(x, horizons); });
  gradient("decorrelation", [&](const Tensor& x) { return train::correlation_penalty(x); });
  gradient("vif", [&](const Tensor& x) { return train::variance_inflation_penalty(x); });
  gradient("turnover",
           [&](const Tensor& x) { return train::turnover_penalty(x, at::zeros_like(x) + 0.1); });
}

void undefined() {
  const Tensor none = at::empty({0}, at::kDouble), one = at::ones({1}, at::kDouble),
               p = at::randn({4}, at::kDouble);
  const Tensor missing = at::full({4}, NAN, at::kDouble), equal = at::full({4}, 0.3, at::kDouble);
  using PredictionLoss = std::function<train::Loss(const Tensor&, const Tensor&)>;
  for (const auto& [name, loss] : std::initializer_list<std::pair<std::string, PredictionLoss>>{
           {"pairwiseRank",
            [](const Tensor&a, const Tensor&b) { return train::pairwise_rank_loss(a, b); }},
           {"rankIc", [](const Tensor&a, const Tensor&b) { return train::rank_ic_loss(a, b); }}}) {
    check::that(!loss(none, none) && !loss(one, one) && !loss(p, missing),
                name + " with fewer than two labels is undefined");
    check::that(!loss(p, equal), name + " with equal labels is undefined");
    check::that(loss(equal, p).has_value() && loss(equal, p)->isfinite().item<bool>(),
                name + " of equal predictions is finite");
  }
  const Tensor m = at::randn({5, 3}, at::kDouble), few = m.slice(0, 0, 4);
  Tensor y = at::randn({5}, at::kDouble);
  check::that(train::r_square(m, y).has_value() && !train::r_square(few, y.slice(0, 0, 4)),
              "R^2 needs K + 2 stocks");
  check::that(!train::r_square(m, at::ones({5}, at::kDouble)), "R^2 of equal labels is undefined");
  y[2] = NAN;
  check::that(!train::r_square(m, y), "a missing label takes its stock out of R^2");
  check::that(!train::risk_loss(m, {y}), "risk without a defined horizon is undefined");
  check::that(
      train::variance_inflation_penalty(m).has_value() && !train::variance_inflation_penalty(few),
      "VIF needs K + 2 stocks");
  check::that(!train::correlation_penalty(m.slice(0, 0, 1)),
              "the correlation penalty needs two stocks");
  check::that(!train::turnover_penalty(m.slice(0, 0, 0), m.slice(0, 0, 0)),
              "turnover needs a shared stock");
}

}  // namespace

int main() {
  at::manual_seed(4);
  // 257 crosses the row block of the pairwise loss.
  for (const int64_t n : {4, 31, 33, 151, 257}) {
    prediction_losses(n, false);
    prediction_losses(n, true);
  }
  factor_losses(7, 1);
  factor_losses(31, 4);
  factor_losses(151, 6);
  undefined();
  const Tensor ties = at::tensor({3.0, 1.0, 3.0, 2.0, 3.0, 1.0}, at::kDouble);
  check::equal(train::average_tie_ranks(ties),
               at::tensor({5.0, 1.5, 5.0, 3.0, 5.0, 1.5}, at::kDouble),
               "ties get their average rank");
  // At the default strength the soft rank is not yet the rank, and not the raw prediction either.
  const Tensor p = at::randn({151}, at::kDouble).exp(), y = at::randn({151}, at::kDouble) + p;
  check::that((*train::rank_ic_loss(p, y) + pearson(p, y)).abs().item<double>() > 1e-3,
              "rankIc differs from ic at the default strength");
  return check::finish();
}
