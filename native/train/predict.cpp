// Predictions of dates: what validation and scoring compute.
#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <exception>
#include <limits>

#include "ops/cpu/matrix.h"
#include "ops/cpu/parallel.h"
#include "train/module_guards.h"
#include "train/peers.h"
#include "train/session.h"

namespace astgnn::train {

namespace {

// What is asked of each date beside its predictions.
struct Judgement {
  std::vector<Term> terms;  // the caller's, then the co-movement where the peers want it
  size_t given, judged;     // how many are the caller's; which one is the peers'
  bool correlates;

  Judgement(const Panel& panel, const std::vector<Term>& asked, int64_t peer_days)
      : terms(asked), given(asked.size()), correlates(peer_days > 0 && panel.returns.defined()) {
    const auto found = std::find_if(terms.begin(), terms.end(), [&](const Term& term) {
      return term.name == "coMovement" && term.horizon_days == peer_days;
    });
    judged = found - terms.begin();
    if (!correlates || judged < given) return;
    terms.emplace_back().name = "coMovement";
    terms.back().horizon_days = peer_days;
  }
};

PackedBatch batch_of(nn::ASTGNNFactorModel& model, const Panel& panel, at::ArrayRef<int64_t> dates,
                     const Judgement& judgement) {
  auto batch = pack(panel, dates, model.prediction->output->weight.scalar_type(), /*seed=*/0,
                    /*step=*/0, /*rows=*/0, future_of(judgement.terms, model.config));
  if (!batch.stocks.empty()) batch.batch = model.with_segments(batch.batch);
  return batch;
}

// Of a date without stocks.
DatePrediction nothing(const nn::ASTGNNFactorModel& model, const Judgement& judgement) {
  const auto options = model.prediction->output->weight.options().requires_grad(false);
  DatePrediction prediction;
  prediction.terms.resize(judgement.given);
  prediction.statistics =
      at::full({3}, std::numeric_limits<double>::quiet_NaN(), options.dtype(at::kDouble));
  prediction.peers = prediction.statistics.clone();
  prediction.predictions = at::empty({0, model.config.num_predictions}, options);
  prediction.risk_factors = at::empty({0, model.config.num_risk_factors}, options);
  return prediction;
}

// `output`: of the one date of `batch`.
DatePrediction judge(nn::ASTGNNFactorModel& model, const nn::Output& output, PackedBatch batch,
                     const Judgement& judgement, bool hubs) {
  DatePrediction prediction = nothing(model, judgement);
  prediction.predictions = output.predictions;
  prediction.risk_factors = output.risk_factors;
  prediction.statistics = output.statistics[0];
  ObjectiveValue objective;
  if (!judgement.terms.empty()) objective = evaluate(judgement.terms, model, output, batch);
  for (size_t i = 0; i < judgement.given; ++i) prediction.terms[i] = objective.terms[i].value;
  if (judgement.correlates && objective.terms[judgement.judged].value)
    prediction.peers[0].copy_(-*objective.terms[judgement.judged].value);
  if (hubs)
    prediction.peers.slice(0, 1).copy_(
        hub_statistics(hub_counts(*model.relational_embedding, output.risk_factors, batch.batch)));
  prediction.batch = std::move(batch);
  return prediction;
}

DatePrediction predict(nn::ASTGNNFactorModel& model, const Panel& panel, int64_t date,
                       const Judgement& judgement, bool hubs) {
  auto batch = batch_of(model, panel, {date}, judgement);
  if (batch.stocks.empty()) {
    auto prediction = nothing(model, judgement);
    prediction.batch = std::move(batch);
    return prediction;
  }
  const auto output = model.forward(batch.sequences, batch.batch);
  return judge(model, output, std::move(batch), judgement, hubs);
}

// One forward: a device wants many rows.
std::vector<DatePrediction> predict_together(nn::ASTGNNFactorModel& model, const Panel& panel,
                                             const std::vector<DateRequest>& requests,
                                             const Judgement& judgement) {
  std::vector<int64_t> dates;
  for (const auto& request : requests)
    if (panel.rows(request.date) > 0) dates.push_back(request.date);
  const Judgement none(panel, {}, 0);
  const auto together = batch_of(model, panel, dates, none);
  nn::Output all;
  if (!dates.empty()) all = model.forward(together.sequences, together.batch);
  std::vector<DatePrediction> predictions;
  for (size_t k = 0, at = 0; k < requests.size(); ++k) {
    if (panel.rows(requests[k].date) == 0) {
      predictions.push_back(predict(model, panel, requests[k].date, judgement, false));
      continue;
    }
    const int64_t lo = together.offsets[at], hi = together.offsets[at + 1];
    nn::Output output;
    output.predictions = all.predictions.slice(0, lo, hi);
    output.risk_factors = all.risk_factors.slice(0, lo, hi);
    output.statistics = all.statistics.slice(0, at, at + 1);
    const bool judged = !judgement.terms.empty() || requests[k].hubs;
    auto batch = judged ? batch_of(model, panel, {requests[k].date}, judgement) : PackedBatch();
    predictions.push_back(judge(model, output, std::move(batch), judgement, requests[k].hubs));
    ++at;
  }
  return predictions;
}

}  // namespace

DatePrediction predict_date(nn::ASTGNNFactorModel& model, const Panel& panel, int64_t date,
                            const std::vector<Term>& terms, int64_t peer_days, bool hubs) {
  c10::NoGradGuard no_grad;
  TrainingMode evaluation(model, false);
  return predict(model, panel, date, Judgement(panel, terms, peer_days), hubs);
}

std::vector<DatePrediction> predict_dates(nn::ASTGNNFactorModel& model, const Panel& panel,
                                          const std::vector<DateRequest>& requests,
                                          const std::vector<Term>& terms, int64_t peer_days) {
  if (!panel.device().is_cpu()) {
    c10::NoGradGuard no_grad;
    return predict_together(model, panel, requests, Judgement(panel, terms, peer_days));
  }
  std::vector<DatePrediction> predictions(requests.size());
  std::vector<std::exception_ptr> errors(requests.size());
  ops::each_in_parallel<ops::OneProductThread>(
      static_cast<int64_t>(requests.size()), [&](const ops::OneProductThread&, int64_t k) {
        try {
          predictions[k] =
              predict_date(model, panel, requests[k].date, terms, peer_days, requests[k].hubs);
        } catch (...) {
          errors[k] = std::current_exception();
        }
      });
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
  return predictions;
}

Loss turnover_between(const DatePrediction& date, const DatePrediction& next) {
  return turnover_between(date.risk_factors, date.batch.stocks, next.risk_factors,
                          next.batch.stocks);
}

}  // namespace astgnn::train
