// Training steps of one model on one panel, and predictions of a date.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "train/block_times.h"
#include "train/host_copy.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/panel.h"
#include "train/ranks.h"
#include "train/reduction.h"
#include "train/step_graph.h"

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
  // Of the one step whose capture as a CUDA graph failed; it and all later ones are not captured.
  std::optional<std::string> capture_failure;
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
  // Starts a step and returns those that have ended, in order. On the CPU that is this one; on a
  // GPU up to kInFlight steps are under way, so that the host never waits for the one in hand.
  // Where no term is defined the step is counted and nothing else changes. Throws NotFinite, at the
  // latest kInFlight steps after the one it names: no later step has changed anything.
  std::vector<Step> advance(at::ArrayRef<int64_t> dates, double learning_rate);
  // Waits for the steps under way. Empty: there are none; else call again. Throws NotFinite.
  std::vector<Step> finish();
  // One step from start to end.
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
  // A step's gradient is the sum over its slots by a fixed tree, each with a backward of its own: a
  // date, or all of its dates where a term or a norm links them. False: one backward for all.
  bool exact = true;
  // The others that take the same steps, each with a share of its slots; null: nobody. Their wish
  // to stop, and this process's, comes with the step in which it is made: `stops` is then true on
  // all.
  std::shared_ptr<const Ranks> ranks;
  bool wants_to_stop = false, stops = false;
  // From now on `advance`, where its step is one backward, fills batches up to a few row counts
  // (padded_rows), so that a GPU takes steps as CUDA graphs. Returns why it does not where these
  // steps cannot be captured; they are what they were then, as `gradients` and `apply` are anyway.
  std::optional<std::string> capture_steps();
  Optimizer& optimizer() { return *optimizer_; }

 private:
  static constexpr size_t kInFlight = 4;
  using Clock = std::chrono::steady_clock;
  // What the host keeps of a step until the numbers come.
  struct Pass {
    Clock::time_point start;
    Step step;  // but for the numbers that the device computes
    std::vector<int64_t> dates;
    int64_t filled = 0;         // rows of its batch where it was filled up; else 0
    std::vector<bool> defined;  // terms
  };
  struct Forward {
    nn::Output output;
    ObjectiveValue objective;
  };
  struct Running {
    Pass pass;
    HostCopy numbers;  // of numbers_of
  };
  Pass begin(at::ArrayRef<int64_t> dates, bool fill) const;
  PackedBatch batch_of(const Pass& pass) const;
  PackedBatch batch_of(const Pass& pass, at::ArrayRef<int64_t> dates) const;
  Forward forward(const PackedBatch& batch);
  Forward forward_backward(const PackedBatch& batch, BlockClock* clock = nullptr,
                           const std::vector<double>& factors = {});
  Forward forward_backward(Pass& pass, const PackedBatch& batch);
  // The slots of a step in order: the dates of each.
  std::vector<std::vector<int64_t>> slots_of(const Pass& pass) const;
  // A step slot by slot.
  struct Sum {
    Tensor gradient;  // of all parameters, one after the other
    Tensor numbers;   // the total and the terms that are defined
    nn::Output output;
  };
  // keep: the outputs, of all dates.
  Sum sum_over_slots(Pass& pass, bool keep);
  std::vector<Tensor> exchange(const Shares& shares, const std::vector<Tensor>& sums,
                               const Tensor& values);
  Tensor exact_step(Pass& pass, double learning_rate);
  static Tensor with_norm(const Tensor& norm, const Tensor& numbers);
  Tensor update(const Tensor& total, const Tensor& numbers);
  Tensor numbers_of(const ObjectiveValue& objective) const;
  Tensor plain_step(Pass& pass, double learning_rate);
  Tensor graph_step(Pass& pass, double learning_rate);
  // Fills in the step from the norm and such numbers; throws NotFinite.
  void read(Pass& pass, const Tensor& numbers);
  std::optional<int64_t> date_to_blame(const Pass& pass, const Term& term);
  std::optional<int64_t> date_of_gradient(const Pass& pass);
  std::vector<Step> collect(size_t may_run);
  NamedTensors views() const;

  std::shared_ptr<const Panel> panel_;
  std::vector<Term> terms_;
  uint64_t seed_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<StepGraphs> graphs_;  // null: steps are not captured
  std::deque<Running> running_;
  Tensor stop_;  // float 0-d on the device: 1 once a step was not finite
  Clock::time_point last_end_;
};

// Evaluation mode, no gradient, one date at a time; the model's training flag is as before
// afterwards.
struct DatePrediction {
  Tensor predictions;   // [N, P]
  Tensor risk_factors;  // [N, K]
  Tensor statistics;    // [3] double: effective neighbours, self weight, share of empty rows
  Tensor peers;  // [3] double: peer correlation, largest hub, skewness of hubs; NaN where unknown
  std::vector<Loss> terms;  // turnover is the next function's
  PackedBatch batch;
};
// peer_days: H of the peer correlation, which is minus the coMovement term; 0: it is not asked for.
DatePrediction predict_date(nn::ASTGNNFactorModel& model, const Panel& panel, int64_t date,
                            const std::vector<Term>& terms, int64_t peer_days = 0,
                            bool hubs = false);
struct DateRequest {
  int64_t date;
  bool hubs;
};
// The same of several dates: on a device in one forward, whose products may round another way than
// those of one date; on the CPU one on each thread, with the same bits: many dates take less time
// so than one after the other with all threads on each. The model is in evaluation mode already.
// Throws what the first date that fails throws.
std::vector<DatePrediction> predict_dates(nn::ASTGNNFactorModel& model, const Panel& panel,
                                          const std::vector<DateRequest>& requests,
                                          const std::vector<Term>& terms, int64_t peer_days);
// The turnover term of a date and the next one asked for.
Loss turnover_between(const DatePrediction& date, const DatePrediction& next);

}  // namespace astgnn::train
