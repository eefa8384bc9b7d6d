// Training steps of one model on one panel, and predictions of a date.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "train/block_times.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/panel.h"

namespace astgnn::train {

struct Step {
  int64_t step = 0;
  bool updated = false;
  double loss = 0;
  std::vector<double> terms;
  std::vector<int64_t> undefined;
  double gradient_norm = 0;
  int64_t rows = 0;
  double milliseconds = 0;
  std::optional<BlockTimes> blocks;  // of a profiled step
};

// A term, their total or a gradient that is NaN or infinite: weights, averages and counts are as
// before the step.
struct NotFinite : std::runtime_error {
  NotFinite(int64_t step, std::optional<int64_t> date_index, std::string term);
  int64_t step;  // the number this step would have had, from 1
  std::optional<int64_t>
      date_index;    // panel date; none where no single date of the step is to blame
  std::string term;  // name of the term, or "total" or "gradient"
};

class Session {
 public:
  using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

  Session(std::shared_ptr<nn::ASTGNNFactorModel> model, std::shared_ptr<const Panel> panel,
          std::vector<Term> terms, const OptimizerOptions& options, uint64_t seed);
  // Where no term is defined the step is counted and nothing else changes. Throws NotFinite.
  Step step(at::ArrayRef<int64_t> dates, double learning_rate);
  struct Gradients {
    Step step;
    NamedTensors gradients;
    Tensor predictions, risk_factors;
  };
  // Forward and backward of the next step without its update. As in any forward in training mode,
  // running statistics of a batch norm move, so that gradients followed by apply is a step. Throws
  // NotFinite.
  Gradients gradients(at::ArrayRef<int64_t> dates);
  // One step with these gradients (one per parameter, by name); returns the norm before clipping.
  // Throws NotFinite.
  double apply(const NamedTensors& gradients, double learning_rate);
  NamedTensors state() const;  // copies: raw.*, ema.* (where ema > 0), exp_avg.*, exp_avg_sq.*
  void load_state(const NamedTensors& tensors, int64_t steps, int64_t updates);

  std::shared_ptr<nn::ASTGNNFactorModel> model, averaged;  // the same object where ema is 0
  int64_t steps = 0;
  bool profile = false;  // steps carry their block times
  Optimizer& optimizer() { return *optimizer_; }

 private:
  struct Pass {
    Step step;
    nn::Output output;
    PackedBatch batch;
  };
  Pass forward_backward(at::ArrayRef<int64_t> dates);
  void check_finite(const ObjectiveValue& objective, const Pass& pass) const;
  NamedTensors views() const;

  std::shared_ptr<const Panel> panel_;
  std::vector<Term> terms_;
  uint64_t seed_;
  std::unique_ptr<Optimizer> optimizer_;
};

// Evaluation mode, no gradient, one date at a time; the model's training flag is as before
// afterwards.
struct DatePrediction {
  Tensor predictions;         // [N, P]
  Tensor risk_factors;        // [N, K]
  double statistics[3];       // effective neighbours, self weight, share of empty rows
  std::vector<double> terms;  // NaN where undefined; turnover is the next function's
  PackedBatch batch;
};
DatePrediction predict_date(nn::ASTGNNFactorModel& model, const Panel& panel, int64_t date,
                            const std::vector<Term>& terms);
// The turnover term of a date and the next one asked for; NaN where they share no stock.
double turnover_between(const DatePrediction& date, const DatePrediction& next);

}  // namespace astgnn::train
