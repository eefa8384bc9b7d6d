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

DatePrediction predict_date(nn::ASTGNNFactorModel& model, const Panel& panel, int64_t date,
                            const std::vector<Term>& terms, int64_t peer_days, bool hubs) {
  c10::NoGradGuard no_grad;
  TrainingMode evaluation(model, false);
  DatePrediction prediction;
  auto asked = terms;
  const bool correlates = peer_days > 0 && panel.returns.defined();
  const auto judged =
      std::find_if(terms.begin(), terms.end(),
                   [&](const Term& term) {
                     return term.name == "coMovement" && term.horizon_days == peer_days;
                   }) -
      terms.begin();
  if (correlates && judged == static_cast<int64_t>(terms.size())) {
    asked.emplace_back().name = "coMovement";
    asked.back().horizon_days = peer_days;
  }
  auto& batch = prediction.batch;
  batch = pack(panel, date, model.prediction->output->weight.scalar_type(), /*seed=*/0, /*step=*/0, /*rows=*/0,
               future_of(asked, model.config));
  prediction.terms.resize(terms.size());
  const auto options = model.prediction->output->weight.options().requires_grad(false);
  prediction.statistics = 
      at::full({3}, std::numeric_limits<double>::quiet_NaN(), options.dtype(at::kDouble));
  prediction.peers = prediction.statistics.clone();
  if (batch.stocks.empty()) {
    prediction.predictions = at::empty({0, model.config.num_predictions}, options);
    prediction.risk_factors = at::empty({0, model.config.num_risk_factors}, options);
    return prediction;
  }
  batch.batch = model.with_segments(batch.batch);
  const auto output = model.forward(batch.sequences, batch.batch);
  prediction.predictions = output.predictions;
  prediction.risk_factors = output.risk_factors;
  prediction.statistics = output.statistics[0];
  const auto objective = evaluate(asked, model, output, batch);
  for (size_t i = 0; i < terms.size(); ++i) prediction.terms[i] = objective.terms[i].value;
  if (correlates && objective.terms[judged].value)
    prediction.peers[0].copy_(-*objective.terms[judged].value);
  if (hubs)
    prediction.peers.slice(0, 1).copy_(
        hub_statistics(hub_counts(*model.relational_embedding, output.risk_factors, batch.batch)));
  return prediction;
}

std::vector<DatePrediction> predict_dates(nn::ASTGNNFactorModel& model, const Panel& panel,
                                          const std::vector<DateRequest>& requests,
                                          const std::vector<Term>& terms, int64_t peer_days) {
  std::vector<DatePrediction> predictions(requests.size());
  std::vector<std::exception_ptr> errors(requests.size());
  ops::each_in_parallel<ops::OneProductThread>(
      static_cast<int64_t>(requests.size()), [&](const ops::OneProductThread&, int64_t k) {
        try {
          predictions[k] = predict_date(model, panel, requests[k].date, terms, peer_days,
                                        requests[k].hubs);
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
