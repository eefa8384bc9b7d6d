// A weighted sum of named terms on predictions and on M, over the dates of a packed batch.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/losses.h"
#include "train/peers.h"

namespace astgnn::train {

struct Term {
  // mse | ic | pairwiseRank | rankIc | decorrelation on predictions, risk | vif | turnover |
  // coMovement on M
  std::string name;
  double weight = 1.0;
  std::vector<int64_t> predictions, horizons;  // pairs; the term is their mean
  double strength = 1.0, omega = 0.9, orthogonality = 0.05, ridge = 1e-6;
  int64_t horizon_days = 10;  // coMovement
};
struct TermValue {
  Loss value;             // mean over the defined dates
  int64_t undefined = 0;  // dates (pairs of neighbours for turnover) left out
};
struct ObjectiveValue {
  std::optional<Tensor> total;  // nullopt where no term is defined
  std::vector<TermValue> terms;
};

// Names, pairs within `predictions` columns and the horizons of the panel, and what else it must
// have. Throws c10::ValueError naming the term.
void check_objective(const std::vector<Term>& terms, int64_t predictions, const Panel& panel);
// What the terms need of `pack`.
FutureRequest future_of(const std::vector<Term>& terms, const nn::Config& config);

// The turnover penalty over the stocks that are on both dates. stocks: ascending, one per row of m
// [N, K].
Loss turnover_between(const Tensor& m, at::ArrayRef<int32_t> stocks, const Tensor& m_next,
                      at::ArrayRef<int32_t> stocks_next);

// Terms that one op computes on all dates at once.
bool on_cross_sections(const Term& term);
// Dates of the batch that a term counts: all; for turnover the pairs of neighbours.
int64_t entries(const Term& term, const PackedBatch& batch);
// TermValue::undefined of each term, from labels and rows alone: no forward is needed.
std::vector<int64_t> undefined_dates(const std::vector<Term>& terms, const nn::Config& config,
                                     const PackedBatch& batch);

// A date's prediction term is the mean over its pairs that are defined there; undefined where none
// is. factors: of the terms in the total, in place of their weights; empty: these.
ObjectiveValue evaluate(const std::vector<Term>& terms, const nn::ASTGNNFactorModel& model,
                        const nn::Output& output, const PackedBatch& batch,
                        const std::vector<double>& factors = {});

// Panel date index of the first date on which the term is defined and not finite (turnover: the
// first date of that pair).
std::optional<int64_t> first_not_finite(const Term& term, const nn::ASTGNNFactorModel& model,
                                        const nn::Output& output, const PackedBatch& batch);

}  // namespace astgnn::train
