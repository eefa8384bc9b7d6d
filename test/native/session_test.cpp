// The session: what a step changes, what it leaves alone, and that a run can be taken apart and
// continued.
#include "train/session.h"

#include "check.h"
#include "small_model.h"
#include "small_panel.h"

namespace {

using at::Tensor;
using namespace astgnn;
using train::Session;
using train::Term;

std::shared_ptr<train::Panel> prepared_panel() {
  at::manual_seed(8);
  auto panel = std::make_shared<train::Panel>(small_panel(3, 5));
  panel->prepare();
  return panel;
}

Term on_prediction(const std::string& name, double weight = 1) {
  Term term;
  term.name = name;
  term.weight = weight;
  term.predictions = term.horizons = {0};
  return term;
}
Term on_factors(const std::string& name, double weight = 1) {
  Term term;
  term.name = name;
  term.weight = weight;
  return term;
}

bool same(const Session::NamedTensors& a, const Session::NamedTensors& b) {
  bool equal = a.size() == b.size();
  for (size_t i = 0; equal && i < a.size(); ++i)
    equal = a[i].first == b[i].first && at::equal(a[i].second, b[i].second);
  return equal;
}

void steps_and_pieces() {
  const auto panel = prepared_panel();
  const std::vector<Term> terms{on_prediction("ic"), on_factors("turnover", 0.5),
                                on_factors("risk", 0.1)};
  for (const char* norm : {"layer", "batch"}) {
    const std::string where = std::string(" with norm ") + norm;
    Session whole(small_model(norm), panel, terms, {}, 3),
        pieces(small_model(norm), panel, terms, {}, 3), cut(small_model(norm), panel, terms, {}, 3);
    for (int64_t date = 2; date < 5; ++date) {
      const auto step = whole.step({date, date + 1}, 1e-2);
      const auto part = pieces.gradients({date, date + 1});
      const double norm_before = pieces.apply(part.gradients, 1e-2);
      check::that(step.updated && step.step == date - 1 &&
                      step.rows == panel->rows(date) + panel->rows(date + 1),
                  "a step reports itself" + where);
      check::that(step.loss == part.step.loss && step.gradient_norm == norm_before,
                  "its pieces report the same" + where);
      check::near(step.loss, step.terms[0] + 0.5 * step.terms[1] + 0.1 * step.terms[2], 1e-6,
                  "the total is the weighted sum" + where);
    }
    check::that(same(whole.state(), pieces.state()),
                "gradients and apply are a step, bit for bit" + where);

    cut.step({2, 3}, 1e-2);
    Session resumed(small_model(norm), panel, terms, {}, 3);
    resumed.load_state(cut.state(), cut.steps, cut.optimizer().updates);
    for (int64_t date = 3; date < 5; ++date) resumed.step({date, date + 1}, 1e-2);
    check::that(same(whole.state(), resumed.state()) && resumed.steps == 3,
                "a resumed run ends at the same bits" + where);
  }
}

// The total of a step over whole batches and date by date; and how slots are summed.
void reductions() {
  const auto panel = prepared_panel();
  const std::vector<Term> terms{on_prediction("ic"), on_prediction("pairwiseRank", 0.3),
                                on_factors("risk", 0.1), on_factors("vif", 0.05),
                                on_prediction("mse", 0.2)};
  // In float64: the variance inflation of nearly collinear factors magnifies rounding.
  const auto precise = [] {
    auto model = small_model();
    model->to(at::kDouble);
    return model;
  };
  Session exact(precise(), panel, terms, {}, 3), fast(precise(), panel, terms, {}, 3);
  fast.exact = false;
  for (const auto& dates : std::vector<std::vector<int64_t>>{{2, 3, 4}, {5, 6, 7}, {6}, {3}}) {
    const auto a = exact.gradients(dates), b = fast.gradients(dates);
    check::that(a.step.undefined == b.step.undefined && a.step.rows == b.step.rows &&
                    std::isnan(a.step.loss) == std::isnan(b.step.loss),
                "both reductions count the same");
    check::close(a.predictions, b.predictions, 1e-6, "both predict the same");
    if (!std::isnan(a.step.loss)) check::near(a.step.loss, b.step.loss, 1e-6, "and lose the same");
    for (size_t i = 0; i < a.gradients.size(); ++i)
      check::close(a.gradients[i].second, b.gradients[i].second, 1e-6,
                   "the mean is over the defined dates of the step: " + a.gradients[i].first);
  }
  Session one(small_model(), panel, terms, {}, 3), other(small_model(), panel, terms, {}, 3);
  other.exact = false;
  one.step({4}, 1e-2);
  other.step({4}, 1e-2);
  check::that(same(one.state(), other.state()), "of one date they are the same to the last bit");

  for (const size_t slots : {1, 2, 3, 5, 7, 8, 11}) {
    std::vector<Tensor> values;
    train::TreeSum sum;
    for (size_t i = 0; i < slots; ++i) {
      values.push_back(at::randn({64}));
      sum.add(values.back().clone());
    }
    for (size_t stride = 1; stride < slots; stride *= 2)
      for (size_t i = 0; i + stride < slots; i += 2 * stride) values[i] += values[i + stride];
    check::equal(sum.total(), values[0], "slots are summed by stride doubling");
  }
}

void random_numbers() {
  const auto panel = prepared_panel();
  const std::vector<Term> terms{on_prediction("mse")};
  Session alone(small_model(), panel, terms, {}, 3), first(small_model(), panel, terms, {}, 3),
      second(small_model(), panel, terms, {}, 4);
  at::manual_seed(1);
  const Tensor untouched = at::randn({3});
  at::manual_seed(1);
  for (int64_t date = 2; date < 6; ++date) alone.step(date, 1e-2);
  check::equal(at::randn({3}), untouched, "steps leave the global generator alone");
  for (int64_t date = 2; date < 6; ++date) {
    first.step(date, 1e-2);
    second.step(date, 1e-2);
  }
  check::that(same(alone.state(), first.state()), "a second session beside it changes nothing");
  check::that(!same(alone.state(), second.state()), "another seed drops others");
}

void undefined_steps() {
  const auto panel = prepared_panel();
  Session session(small_model("batch"), panel, {on_factors("turnover"), on_factors("vif", 0.1)}, {},
                  3);
  session.step({2, 3}, 1e-2);
  const auto before = session.state();
  const auto step = session.step(6, 1e-2);  // the empty date
  check::that(!step.updated && step.step == 2 && session.steps == 2,
              "a step without a defined term is counted");
  check::that(std::isnan(step.loss) && std::isnan(step.terms[0]) && step.undefined[0] == 0 &&
                  step.undefined[1] == 1 && step.gradient_norm == 0,
              "its terms are NaN; a single date has no pair to leave out");
  check::that(same(before, session.state()) && session.optimizer().updates == 1,
              "and nothing else changes");
  const auto mixed = session.step({5, 6, 7}, 1e-2);
  check::that(mixed.undefined[0] == 2 && mixed.undefined[1] == 1 && std::isnan(mixed.terms[0]) &&
                  mixed.updated,
              "terms are left out one by one");
}

void broken_numbers() {
  for (const char* norm : {"layer", "batch"}) {
    const auto panel = prepared_panel();
    // Date 8 alone sees the last date's features.
    panel->features[8] = panel->features[8] * NAN;
    Session session(small_model(norm), panel, {on_factors("vif", 0.1), on_prediction("ic")}, {}, 3);
    session.step({3, 4}, 1e-2);
    const auto before = session.state();
    try {
      session.step({5, 8}, 1e-2);
      check::that(false, "a NaN stops the step");
    } catch (const train::NotFinite& failure) {
      check::that(failure.step == 2, "the failure names its step");
      // Batch statistics spread one date's NaN over the whole batch.
      check::that(
          failure.date_index == (norm == std::string("layer") ? 8 : 5) && failure.term == "vif",
          "date and term");
      check::that(
          std::string(failure.what()).find("vif is not finite at step 2") != std::string::npos,
          "in words too");
    }
    check::that(
        same(before, session.state()) && session.steps == 1 && session.optimizer().updates == 1,
        std::string("weights, averages, statistics and counts are as before with norm ") + norm);
    check::that(session.step({3, 4}, 1e-2).updated, "and the session goes on");
  }
  {
    // Labels whose loss is finite, in float64, and whose gradient is not, in float32.
    const auto panel = prepared_panel();
    panel->targets[4].masked_fill_(panel->targets[4].isfinite(), 3e38);
    Session session(small_model(), panel, {on_prediction("mse")}, {}, 3);
    try {
      session.step({3, 4, 5}, 1e-2);
      check::that(false, "an infinite gradient stops the step");
    } catch (const train::NotFinite& failure) {
      check::that(failure.term == "gradient" && failure.date_index == 4,
                  "an infinite gradient of a finite loss is traced to its date");
    }
    check::that(session.step({3, 5}, 1e-2).updated, "and the session goes on");
  }
  const auto panel = prepared_panel();
  Session session(small_model(), panel, {on_prediction("ic")}, {}, 3);
  auto gradients = session.gradients(4).gradients;
  const auto before = session.state();
  gradients[3].second.fill_(INFINITY);
  try {
    session.apply(gradients, 1e-2);
    check::that(false, "an infinite gradient stops the update");
  } catch (const train::NotFinite& failure) {
    check::that(failure.term == "gradient" && !failure.date_index, "an infinite gradient is named");
  }
  check::that(same(before, session.state()) && session.steps == 0, "and changes nothing");
}

void averages() {
  const auto panel = prepared_panel();
  Session session(small_model(), panel, {on_prediction("ic")}, {}, 3);
  Tensor expected = session.model->prediction->output->weight.detach().to(at::kDouble).clone();
  for (int64_t u = 1; u <= 5; ++u) {
    session.step(1 + u == 6 ? 7 : 1 + u, 1e-2);
    const double b = std::min(0.998, static_cast<double>(u) / static_cast<double>(u + 10));
    expected =
        b * expected + (1 - b) * session.model->prediction->output->weight.detach().to(at::kDouble);
  }
  check::close(session.averaged->prediction->output->weight, expected, 1e-6,
               "the average warms up with u / (u + 10)");
  check::that(!session.averaged->is_training(), "the averaged model is in evaluation mode");
  train::OptimizerOptions options;
  options.ema = 0;
  Session plain(small_model(), panel, {on_prediction("ic")}, options, 3);
  check::that(plain.averaged == plain.model, "without EMA the averaged model is the model");
  check::that(plain.state().size() < session.state().size(), "and no average is stored");
}

void predictions() {
  const auto panel = prepared_panel();
  auto model = small_model("layer", 2);
  model->train();
  Term pairs = on_prediction("mse");
  pairs.predictions = {0, 1};
  pairs.horizons = {1, 0};
  const auto out = train::predict_date(*model, *panel, 4, {pairs, on_factors("turnover")});
  check::that(model->is_training() && model->prediction->is_training(),
              "a prediction leaves the training flag");
  check::that(out.predictions.size(0) == panel->rows(4) && out.predictions.size(1) == 2 &&
                  !out.predictions.requires_grad(),
              "its shape is [N, P]");
  const Tensor targets = out.batch.targets;
  const auto mse = [&](int64_t prediction, int64_t horizon) {
    return (out.predictions.select(1, prediction) - targets.select(1, horizon)).square().nanmean();
  };
  const auto expected = (mse(0, 1) + mse(1, 0)) / 2;
  check::near(out.terms[0]->item<double>(), expected.item<double>(), 1e-6,
              "a term is the mean over its pairs");
  check::that(!out.terms[1], "turnover of one date is undefined");
  const auto statistic = [&](int64_t i) { return out.statistics[i].item<double>(); };
  check::that(
      statistic(0) >= 1 && statistic(0) <= static_cast<double>(panel->rows(4)) && statistic(2) == 0,
      "graph statistics are in range");
  const auto again = train::predict_date(*model, *panel, 4, {});
  check::equal(again.predictions, out.predictions, "there is no dropout in a prediction");
  const auto empty = train::predict_date(*model, *panel, 6, {pairs});
  check::that(empty.predictions.size(0) == 0 && empty.risk_factors.size(1) == 3 &&
                  empty.statistics.isnan().all().item<bool>() && !empty.terms[0],
              "a date without stocks gives no rows and NaN");
}

void refusals() {
  const auto panel = prepared_panel();
  const auto refuses = [&](const char* words, Term term) {
    check::throws([&] { Session(small_model(), panel, {term}, {}, 0); }, words,
                  std::string("an objective is refused: ") + words);
  };
  refuses("unknown term", on_factors("sharpe"));
  refuses("horizon 2", [] {
    auto t = on_prediction("ic");
    t.horizons = {2};
    return t;
  }());
  refuses("prediction 1", [] {
    auto t = on_prediction("ic");
    t.predictions = {1};
    return t;
  }());
  refuses("as many predictions", [] {
    auto t = on_prediction("ic");
    t.predictions = {};
    return t;
  }());
  Session session(small_model(), panel, {on_prediction("ic")}, {}, 0);
  auto state = session.state();
  state.pop_back();
  check::throws([&] { session.load_state(state, 1, 1); }, "exp_avg_sq.prediction.output.bias",
                "an incomplete state is refused by name");
  auto gradients = session.gradients(4).gradients;
  gradients.pop_back();
  check::throws([&] { session.apply(gradients, 1e-3); }, "prediction.output.bias",
                "incomplete gradients are refused by name");
}

}  // namespace

int main() {
  steps_and_pieces();
  reductions();
  random_numbers();
  undefined_steps();
  broken_numbers();
  averages();
  predictions();
  refusals();
  return check::finish();
}
