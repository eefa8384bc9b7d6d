// Future returns, the co-movement loss and hubs: equal to literal writings of their definitions,
// their gradients, and what they may not look at.
#include "train/peers.h"

#include <cmath>

#include "check.h"
#include "small_model.h"
#include "small_panel.h"
#include "train/session.h"

namespace {

using at::Tensor;
using namespace astgnn;
using train::Panel;

constexpr int64_t kHistory = 70;  // 60 days of returns and more
const std::vector<int64_t> kDates{kHistory + 4, kHistory + 3, kHistory + 6, kHistory + 1};

Panel panel_with_returns() {
  Panel panel = small_panel(1, 2, kHistory);
  panel.returns.select(1, 2).fill_(0.01);                            // never deviates
  panel.returns.select(1, 3).slice(0, 0, kHistory - 15).fill_(NAN);  // 15 to 20 returns
  panel.returns[kHistory + 5][4] = 5;                                // beyond the clip
  panel.returns[kHistory + 5][5] = INFINITY;
  panel.prepare();
  return panel;
}

// One value by the definition, without the day's mean.
double standardised(const Panel& panel, int64_t date, int64_t stock, int64_t h) {
  const auto past = panel.returns.select(1, stock).slice(0, date - 59, date + 1).to(at::kDouble);
  const auto known = past.index({past.isfinite()});
  if (known.numel() < 20) return NAN;
  const double deviation = known.std().item<double>();
  const double value = panel.returns[date + h][stock].item<double>();
  if (!(deviation > 1e-12) || !std::isfinite(value)) return NAN;
  return std::min(4.0, std::max(-4.0, value / deviation));
}

void future_returns() {
  const Panel panel = panel_with_returns();
  const auto packed = train::pack(panel, kDates, at::kDouble, 0, 1, 64, {{2}});
  const auto& future = packed.future(2);
  Tensor expected = at::full({64, 2}, NAN, at::kDouble), others = at::zeros({64, 2}, at::kDouble);
  bool missing_stock = false, clipped = false;
  for (size_t d = 0; d < kDates.size(); ++d) {
    for (int64_t h = 0; h < 2; ++h) {
      const int64_t lo = packed.offsets[d], hi = packed.offsets[d + 1];
      Tensor day = expected.select(1, h).slice(0, lo, hi);
      for (int64_t row = lo; row < hi; ++row) {
        const double value = standardised(panel, kDates[d], packed.stocks[row], h + 1);
        day[row - lo] = value;
        missing_stock = missing_stock || (packed.stocks[row] == 2 && std::isnan(value));
        clipped = clipped || value == 4;
      }
      day -= day.nanmean();
      const Tensor known = day.nan_to_num(0.0);
      if (hi > lo)
        others.select(1, h).slice(0, lo, hi).copy_((known.sum() - known) /
                                                   std::max<int64_t>(1, hi - lo - 1));
    }
  }
  check::that(missing_stock && clipped, "the panel has a stock that never deviates and a clip");
  check::close(future.host, expected, 1e-12, "returns are standardised by the past");
  check::equal(future.x.nan_to_num(9), future.host.nan_to_num(9), "in both places");
  check::close(future.others + 1, others + 1, 1e-12, "the others' mean leaves out the stock");

  // Nothing after t + H is read, and the deviation reads nothing after t.
  Panel later = panel;
  later.returns = panel.returns.clone();
  later.returns.slice(0, kHistory + 7).fill_(0.3);
  const auto same = train::pack(later, {kDates[0], kDates[1]}, at::kDouble, 0, 1, 0, {{2}});
  check::equal(same.future(2).host.nan_to_num(9),
               future.host.slice(0, 0, packed.offsets[2]).nan_to_num(9),
               "returns after the horizon change nothing");
}

// A date whose samples may not look as far as H is left out, whatever the returns beyond.
void stays_within_reach() {
  Panel panel = panel_with_returns();
  panel.return_ends.slice(0, 0, kHistory + 6).fill_(kHistory + 5);
  const std::vector<int64_t> dates{kHistory + 3, kHistory + 4};
  const auto before = train::pack(panel, dates, at::kDouble, 0, 1, 0, {{2}}).future(2).host.clone();
  const auto packed = train::pack(panel, dates, at::kDouble, 0, 1, 0, {{2}});
  const Tensor within = before.slice(0, 0, packed.offsets[1]),
               beyond = before.slice(0, packed.offsets[1]);
  check::that(within.isfinite().any().item<bool>(), "H dates ahead is within reach");
  check::that(beyond.numel() > 0 && beyond.isnan().all().item<bool>(), "H + 1 is not");
  panel.returns.slice(0, kHistory + 6).fill_(0.5);
  check::equal(train::pack(panel, dates, at::kDouble, 0, 1, 0, {{2}}).future(2).host.nan_to_num(9),
               before.nan_to_num(9), "what lies beyond the end is not read");
}

std::shared_ptr<nn::RelationalEmbedding> embedding_with(const std::string& graph, int64_t top_k,
                                                        bool exclude_self) {
  nn::Config config;
  config.sequential_input_size = 2;
  config.num_risk_factors = 3;
  config.similarity_scale = "learned";
  config.similarity_graph = graph;
  config.top_k = top_k;
  config.exclude_self = exclude_self;
  const auto made =
      std::make_shared<nn::RelationalEmbedding>(config, at::detail::createCPUGenerator(3));
  made->to(at::kDouble);
  return made;
}

// Minus the mean over days of the correlation of x and A x less the others' mean, from A itself.
Tensor literal_loss(nn::RelationalEmbedding& embedding, const Tensor& m, const Tensor& x,
                    const std::optional<Tensor>& groups) {
  const auto known = x.nan_to_num(0.0);
  const auto a = ops::similarity(m, embedding.scale(), true, embedding.config.top_k, groups);
  const auto rest = static_cast<double>(std::max<int64_t>(1, m.size(0) - 1));
  const auto peers = a.mm(known) - (known.sum(0) - known) / rest;
  std::vector<Tensor> days;
  for (int64_t h = 0; h < x.size(1); ++h) {
    const auto in = x.select(1, h).isfinite();
    auto y = x.select(1, h).index({in}), p = peers.select(1, h).index({in});
    if (y.numel() < 2 || y.eq(y[0]).all().item<bool>()) continue;
    y = y - y.mean();
    p = p - p.mean();
    days.push_back((p * y).sum() / (p.square().sum().sqrt() * y.square().sum().sqrt() + 1e-8));
  }
  return days.empty() ? at::full({}, NAN, at::kDouble) : -at::stack(days).mean();
}

void loss(const std::string& where) {
  const Panel panel = panel_with_returns();
  const auto packed = train::pack(panel, kDates, at::kDouble, 0, 1, 0, {{2}});
  const auto& x = packed.future(2).host;
  const Tensor m = at::randn({x.size(0), 3}, at::kDouble).tanh();
  for (const std::string graph : {"complete", "groups"}) {
    for (const int64_t top_k : {0, 4}) {
      for (const bool exclude_self : {false, true}) {
        const auto embedding = embedding_with(graph, top_k, exclude_self);
        std::vector<Tensor> dates;
        for (size_t d = 0; d < kDates.size(); ++d) {
          const int64_t lo = packed.offsets[d], hi = packed.offsets[d + 1];
          if (lo == hi) continue;
          auto groups = embedding->groups(packed.batch);
          if (groups) groups = groups->slice(0, lo, hi);
          dates.push_back(literal_loss(*embedding, m.slice(0, lo, hi), x.slice(0, lo, hi), groups));
        }
        const std::string which = " (" + graph + ", top " + std::to_string(top_k) + where + ")";
        const auto of = [&](const Tensor& factors) {
          return std::get<0>(
              train::co_movement_loss(*embedding, factors, packed, packed.future(2)));
        };
        check::close(of(m), at::stack(dates).nanmean(), 1e-10,
                     "the loss is minus the correlation with the peers" + which);
        check::gradient([&](const std::vector<Tensor>& in) { return of(in[0]); }, {m},
                        "gradient of M" + which, 1e-7, 1e-6, check::emulated ? 6 : 40);
        Tensor scale = embedding->log_scale;
        scale.mutable_grad() = Tensor();
        of(m).backward();
        const double got = scale.grad().item<double>(), step = 1e-6;
        at::NoGradGuard no_grad;
        scale.add_(step);
        const double above = of(m).item<double>();
        scale.sub_(2 * step);
        const double below = of(m).item<double>();
        check::near(got, (above - below) / (2 * step), 1e-7, "gradient of the scale" + which);
      }
    }
  }
}

// The one other stock is all others, whatever M: nothing to be right about, and no gradient.
void two_stocks() {
  Panel panel = small_panel(1, 2, kHistory);
  panel.row_offsets = at::zeros({kHistory + 10}, at::kInt);
  panel.row_offsets.slice(0, kHistory + 1).fill_(2);
  panel.row_stocks = at::tensor({1, 5}, at::kInt);
  panel.groups = Tensor();
  panel.prepare();
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto packed = train::pack(panel, kHistory, dtype, 0, 1, 0, {{2}});
    const auto apart = train::pack(panel, kHistory, dtype, 0, 1, 0, {{2}, true});
    check::that(packed.future(2).others.abs().max().item<double>() == 0 &&
                    apart.future(2).others.abs().max().item<double>() > 0,
                "unless each is alone in its group");
    const auto embedding = embedding_with("complete", 0, false);
    embedding->to(dtype);
    for (int turn = 0; turn < 10; ++turn) {
      const Tensor m = at::randn({2, 3}, dtype).requires_grad_(true);
      const Tensor value =
          std::get<0>(train::co_movement_loss(*embedding, m, packed, packed.future(2)));
      value.backward();
      check::that(value.item<double>() == 0 && m.grad().abs().max().item<double>() == 0,
                  std::string("two stocks teach nothing in ") + c10::toString(dtype));
    }
  }
}

// A that knows nothing scores 0, and one that knows the groups of the returns scores high.
void means_something() {
  Panel panel = small_panel(1, 2, kHistory);
  const auto groups = at::arange(12).remainder(3);
  panel.returns = 0.02 * at::randn({panel.returns.size(0), 3}).index_select(1, groups) +
                  0.002 * at::randn({panel.returns.size(0), 12});
  panel.prepare();
  const auto packed = train::pack(panel, kDates, at::kDouble, 0, 1, 0, {{2}});
  const auto embedding = embedding_with("complete", 0, false);
  embedding->log_scale.data().fill_(3.0);
  const auto stocks = at::tensor(packed.stocks, at::kLong);
  const auto value = [&](const Tensor& m) {
    return std::get<0>(train::co_movement_loss(*embedding, m, packed, packed.future(2)))
        .item<double>();
  };
  const double blind = value(at::zeros({stocks.numel(), 3}, at::kDouble)),
               knowing = value(at::eye(3, at::kDouble).index_select(0, stocks.remainder(3)));
  check::near(blind, 0, 1e-7, "the plain average knows nothing");
  check::that(knowing < -0.9, "the groups of the returns know it all: " + std::to_string(knowing));
}

void hubs() {
  const int64_t n = 61;
  nn::Batch batch;
  batch.graph.offsets = at::tensor({int64_t{0}, n});
  const auto complete = embedding_with("complete", 0, false);
  const auto counted = [&](const nn::RelationalEmbedding& embedding, const Tensor& m) {
    return train::hub_statistics(train::hub_counts(embedding, m, batch));
  };
  // 30 of them look at the other 31, as far as they are among their twenty.
  Tensor m = at::randn({n, 3}, at::kDouble).tanh();
  const auto scores = m.mm(m.t()).fill_diagonal_(-INFINITY);
  const auto listed =
      at::zeros({n, n}, at::kDouble).scatter_(1, std::get<1>(scores.topk(20, 1)), 1).sum(0);
  const auto deviation = listed - listed.mean();
  const auto skewness = deviation.pow(3).mean() / deviation.square().mean().pow(1.5);
  check::close(counted(*complete, m), at::stack({listed.max(), skewness}), 1e-10,
               "hubs are those who are among the twenty of many");
  m[7].fill_(1).mul_(m.sum(0).sign());  // the same for all
  m.abs_();
  m[7].fill_(1);
  check::near(counted(*complete, m)[0].item<double>(), static_cast<double>(n - 1), 0,
              "the largest loadings of one sign are in everybody's list");
  const auto few = embedding_with("complete", 5, false);
  check::that(counted(*few, m)[1].item<double>() > counted(*complete, m)[1].item<double>(),
              "fewer neighbours make the hub stand out more");
  batch.similarity_groups = at::arange(n, at::kInt).remainder(30);
  const auto grouped = embedding_with("groups", 0, false);
  check::that(counted(*grouped, m)[0].item<double>() <= 2, "no list reaches into another group");
  batch.similarity_groups = at::arange(n, at::kInt);
  check::near(counted(*grouped, m)[0].item<double>(), 0, 0, "who is alone has no list");
  check::that(counted(*complete, m.slice(0, 0, 1)).isnan().all().item<bool>(),
              "one stock has no hubs");
}

// What a prediction says of its peers, whether the objective has the term or not.
void predictions() {
  const auto panel = std::make_shared<Panel>(small_panel(3, 5, kHistory));
  panel->prepare();
  const auto model = small_model();
  train::Term term;
  term.name = "coMovement";
  term.horizon_days = 2;
  const int64_t date = kHistory + 4;
  const auto with = train::predict_date(*model, *panel, date, {term}, 2, true),
             without = train::predict_date(*model, *panel, date, {}, 2, false),
             other = train::predict_date(*model, *panel, date, {term}, 1, false),
             never = train::predict_date(*model, *panel, date, {});
  const auto peers = [](const train::DatePrediction& out, int64_t i) {
    return out.peers[i].item<double>();
  };
  check::near(peers(with, 0), -with.terms[0]->item<double>(), 0,
              "the correlation is minus the term");
  check::near(peers(without, 0), peers(with, 0), 0, "with or without it in the objective");
  check::that(peers(other, 0) != peers(with, 0), "and over the days asked for");
  check::that(peers(with, 1) >= 1 && std::isnan(peers(without, 1)) && std::isnan(peers(never, 0)),
              "what is not asked for is NaN");
  Panel silent = *panel;
  silent.returns = Tensor();
  const auto unknown = train::predict_date(*model, silent, date, {}, 2, true);
  check::that(std::isnan(peers(unknown, 0)) && peers(unknown, 1) == peers(with, 1),
              "hubs need no returns");
}

void refusals() {
  Panel panel = small_panel(1, 2);
  panel.return_ends[3] = 9;
  check::throws([&] { panel.prepare(); }, "return_ends", "an end beyond the panel is refused");
  panel = small_panel(1, 2);
  panel.returns = panel.returns.slice(0, 1).clone();
  check::throws([&] { panel.prepare(); }, "returns", "returns of other dates are refused");
  panel = small_panel(1, 2);
  panel.returns = Tensor();
  train::Term term;
  term.name = "coMovement";
  check::throws([&] { train::check_objective({term}, 1, panel); }, "needs daily returns",
                "the term is refused where there are none");
}

}  // namespace

int main() {
  at::manual_seed(5);
  future_returns();
  stays_within_reach();
  check::each_instruction_set([](const std::string& name) { loss(", " + name); });
  two_stocks();
  means_something();
  hubs();
  predictions();
  refusals();
  return check::finish();
}
