#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <limits>

#include "binding/model_task.h"
#include "train/module_guards.h"

namespace astgnn::binding {

namespace {

using at::Tensor;

// A few dates per step, so that a long prediction takes turns with a training run: one on each
// thread where there are enough of them, else one on all threads.
class PredictTask : public ModelTask {
 public:
  PredictTask(std::shared_ptr<ModuleHandle> module, std::shared_ptr<train::Panel> panel,
              Dates dates, bool risk_factors, std::vector<train::Term> terms, int64_t peer_days,
              size_t dates_before, bool profile, int thread_count)
      : ModelTask({module}, false, thread_count),
        module_(std::move(module)),
        panel_(std::move(panel)),
        dates_(std::move(dates)),
        terms_(std::move(terms)),
        peer_days_(peer_days),
        dates_before_(dates_before),
        profile_(profile) {
    alone = alone || profile_;
    int64_t rows = 0, count = static_cast<int64_t>(dates_.size());
    for (int64_t date : dates_) rows += panel_->rows(date);
    const nn::Config& config = module_->as<nn::ASTGNNFactorModel>().config;
    const int64_t width = static_cast<int64_t>(terms_.size());
    const auto on = at::TensorOptions(module_->device).dtype(module_->dtype);
    predictions_ = at::empty({rows, config.num_predictions}, on);
    if (risk_factors) factors_ = at::empty({rows, config.num_risk_factors}, on);
    statistics_ = at::empty({count, 3}, on.dtype(at::kDouble));
    if (peer_days_ > 0) peers_ = at::empty({count, 3}, on.dtype(at::kDouble));
    term_values_ = at::full({width == 0 ? 0 : count, width},
                            std::numeric_limits<double>::quiet_NaN(), on.dtype(at::kDouble));
  }
  bool step() override {
    if (const size_t count = dates_at_once(); count > 1)
      predict_next(count);
    else if (count == 1)
      predict_next();
    if (at_ < dates_.size()) return true;
    for (Tensor* result : {&predictions_, &factors_, &statistics_, &peers_, &term_values_})
      if (result->defined()) *result = result->cpu();
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    object.Set("predictions", hand_over(env, std::move(predictions_)));
    if (factors_.defined()) object.Set("riskFactors", hand_over(env, std::move(factors_)));
    object.Set("statistics", hand_over(env, std::move(statistics_)));
    if (peers_.defined()) object.Set("peers", hand_over(env, std::move(peers_)));
    object.Set("terms", hand_over(env, std::move(term_values_)));
    if (profile_) object.Set("blocks", blocks_to_js(env, blocks_));
    return object;
  }

 private:
  // Hubs come and go slowly, and all pairs of stocks are ranked for them.
  static constexpr size_t kHubStride = 10;

  // By as many threads a single date gains at most (scripts/scale-model.mjs): a few for some
  // hundred stocks, more for thousands.
  static size_t threads_of_a_date(int64_t rows) {
    return static_cast<size_t>(std::clamp<int64_t>(rows / 150, 2, 32));
  }
  // Bounds the memory of dates that are computed at once: 1 to 2 KiB a row.
  static constexpr int64_t kRowsAtOnce = 1 << 18;
  static constexpr int64_t kRowsOfADevice = 1 << 16;  // lib/train/ranks/shared-scorer.ts cuts there

  // How many of the dates that are left a step does at once; 0 at the end.
  size_t dates_at_once() const {
    const bool on_device = !panel_->device().is_cpu();
    const size_t left = dates_.size() - at_, many = on_device ? left : threads;
    if (left == 0 || profile_) return std::min<size_t>(left, 1);
    const int64_t most = on_device ? kRowsOfADevice : kRowsAtOnce;
    size_t count = 0;
    for (int64_t rows = 0; count < std::min(left, many); ++count)
      if ((rows += panel_->rows(dates_[at_ + count])) > most) break;
    if (on_device) return std::max<size_t>(count, 1);
    return count < std::min(many, threads_of_a_date(panel_->rows(dates_[at_]))) ? 1 : count;
  }

  bool asks_for_hubs(size_t at) const {
    return peer_days_ > 0 && (dates_before_ + at) % kHubStride == 0;
  }

  void predict_next() {
    std::optional<train::BlockClock> clock;
    if (profile_) clock.emplace(panel_->device());
    auto out =
        train::predict_date(model(), *panel_, dates_[at_], terms_, peer_days_, asks_for_hubs(at_));
    if (clock) {
      clock->end_forward();
      blocks_ += clock->times();
    }
    keep(std::move(out));
  }

  void predict_next(size_t count) {
    std::vector<train::DateRequest> requests;
    for (size_t at = at_; at < at_ + count; ++at)
      requests.push_back({dates_[at], asks_for_hubs(at)});
    train::TrainingMode evaluation(model(), false);
    for (auto& out : train::predict_dates(model(), *panel_, requests, terms_, peer_days_))
      keep(std::move(out));
  }

  // Writes the next date's part of the results.
  void keep(train::DatePrediction out) {
    const int64_t rows = out.predictions.size(0), date = static_cast<int64_t>(at_);
    predictions_.narrow(0, row_, rows).copy_(out.predictions);
    if (factors_.defined()) factors_.narrow(0, row_, rows).copy_(out.risk_factors);
    statistics_[date].copy_(out.statistics);
    if (peers_.defined()) peers_[date].copy_(out.peers);
    for (size_t i = 0; i < terms_.size(); ++i) {
      const int64_t term = static_cast<int64_t>(i);
      if (out.terms[i]) term_values_[date][term].copy_(*out.terms[i]);
      if (date == 0 || terms_[i].name != "turnover") continue;
      if (const auto turnover = train::turnover_between(previous_, out))
        term_values_[date - 1][term].copy_(*turnover);
    }
    previous_ = std::move(out);
    row_ += rows;
    ++at_;
  }

  nn::ASTGNNFactorModel& model() { return module_->as<nn::ASTGNNFactorModel>(); }

  std::shared_ptr<ModuleHandle> module_;
  std::shared_ptr<train::Panel> panel_;
  Dates dates_;
  std::vector<train::Term> terms_;
  int64_t peer_days_;
  size_t dates_before_;  // of the whole that these are a part of
  bool profile_;
  train::BlockTimes blocks_;  // sum over the dates
  train::DatePrediction previous_;
  Tensor predictions_, factors_, statistics_, peers_,
      term_values_;  // on the device until the last date
  size_t at_ = 0;
  int64_t row_ = 0;
};

Napi::Value predict(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  auto panel = unwrap<train::Panel>(env, info[1], "panel");
  auto module = read_model(env, info[0], *panel);
  auto options = read_object(info[2], "options");
  std::vector<train::Term> terms;
  if (has(options, "objective")) {
    terms = read_objective(options.Get("objective"));
    check_objective(terms, *panel, *module);
  }
  const int64_t peer_days =
      has(options, "peerDays") ? read_integer(options.Get("peerDays"), "peerDays", 1, 1 << 16) : 0;
  const int64_t dates_before =
      has(options, "datesBefore")
          ? read_integer(options.Get("datesBefore"), "datesBefore", 0, INT32_MAX)
          : 0;
  bool profile = has(options, "profile") && read_boolean(options.Get("profile"), "profile");
  auto task = std::make_shared<PredictTask>(
      module, panel, read_dates(options.Get("dates"), "dates", *panel),
      read_boolean(options.Get("riskFactors"), "riskFactors"), std::move(terms), peer_days,
      static_cast<size_t>(dates_before), profile, read_threads(options.Get("threads")));
  return job_to_js(env, task,
                   Environment::of(env).start(
                       task, {}, {info[0].As<Napi::Object>(), info[1].As<Napi::Object>()}));
}

// The heaviest entries of one row of A on one date.
class NeighboursTask : public ModelTask {
 public:
  NeighboursTask(std::shared_ptr<ModuleHandle> module, std::shared_ptr<train::Panel> panel,
                 int64_t date, int64_t row, int64_t top, int64_t peer_days, int thread_count)
      : ModelTask({module}, false, thread_count),
        module_(std::move(module)),
        panel_(std::move(panel)),
        date_(date),
        row_(row),
        top_(top),
        peer_days_(peer_days) {}
  bool step() override {
    at::NoGradGuard no_grad;
    auto& model = module_->as<nn::ASTGNNFactorModel>();
    const auto out = train::predict_date(model, *panel_, date_, {}, peer_days_);
    auto& embedding = *model.relational_embedding;
    const Tensor weights =
        embedding.similarity_rows(out.risk_factors, row_, row_ + 1, out.batch.batch)[0].to(
            at::kCPU, at::kDouble);
    const double* weight = weights.const_data_ptr<double>();
    std::vector<int32_t> rows;
    for (int64_t i = 0; i < weights.numel(); ++i)
      if (weight[i] > 0) rows.push_back(static_cast<int32_t>(i));
    const auto kept = std::min<int64_t>(top_, static_cast<int64_t>(rows.size()));
    std::partial_sort(rows.begin(), rows.begin() + kept, rows.end(), [&](int32_t a, int32_t b) {
      return weight[a] != weight[b] ? weight[a] > weight[b] : a < b;
    });
    rows.resize(kept);
    rows_ = at::tensor(rows, at::kInt);
    weights_ = weights.index_select(0, rows_);
    listed_by_ = train::hub_counts(embedding, out.risk_factors, out.batch.batch)
                     .to(at::kCPU, at::kInt)
                     .index_select(0, rows_);
    effective_ = (-weights * weights.clamp_min(1e-300).log()).sum().exp().item<double>();
    peer_correlation_ = out.peers[0].item<double>();
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    object.Set("rows", hand_over(env, std::move(rows_)));
    object.Set("weights", hand_over(env, std::move(weights_)));
    object.Set("listedBy", hand_over(env, std::move(listed_by_)));
    object.Set("effectiveNeighbours", effective_);
    object.Set("peerCorrelation", peer_correlation_);
    return object;
  }

 private:
  std::shared_ptr<ModuleHandle> module_;
  std::shared_ptr<train::Panel> panel_;
  int64_t date_, row_, top_, peer_days_;
  Tensor rows_, weights_, listed_by_;
  double effective_ = 0, peer_correlation_ = 0;
};

Napi::Value neighbours(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  auto panel = unwrap<train::Panel>(env, info[1], "panel");
  auto module = read_model(env, info[0], *panel);
  auto options = read_object(info[2], "options");
  const int64_t date = read_integer(options.Get("date"), "date", 0, panel->features.size(0) - 1);
  const int64_t rows = panel->rows(date);
  if (rows == 0) throw BindingError("ERR_OPTION", "Expected a date that has rows.");
  auto task = std::make_shared<NeighboursTask>(
      module, panel, date, read_integer(options.Get("row"), "row", 0, rows - 1),
      read_integer(options.Get("top"), "top", 1, INT32_MAX),
      read_integer(options.Get("peerDays"), "peerDays", 1, 1 << 16),
      read_threads(options.Get("threads")));
  return Environment::of(env).start(task, {},
                                    {info[0].As<Napi::Object>(), info[1].As<Napi::Object>()});
}

// The heaviest entries of rows of A but the stock's own, one date per step: of every row, or of one
// stock's (-1 where it is no row).
class PeerListsTask : public ModelTask {
 public:
  PeerListsTask(std::shared_ptr<ModuleHandle> module, std::shared_ptr<train::Panel> panel,
                Dates dates, std::optional<int32_t> stock, int64_t top, bool features,
                int thread_count)
      : ModelTask({module}, false, thread_count),
        module_(std::move(module)),
        panel_(std::move(panel)),
        dates_(std::move(dates)),
        stock_(stock),
        top_(top) {
    int64_t rows = 0;
    for (int64_t date : dates_) rows += stock ? 1 : panel_->rows(date);
    rows_ = at::full({rows, top}, -1, at::kInt);
    weights_ = at::zeros({rows, top}, at::kDouble);
    if (features) features_ = at::empty({rows, panel_->features.size(2)}, at::kFloat);
  }
  bool step() override {
    if (at_ < dates_.size()) list_next();
    return at_ < dates_.size();
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    object.Set("rows", hand_over(env, std::move(rows_)));
    object.Set("weights", hand_over(env, std::move(weights_)));
    if (features_.defined()) object.Set("features", hand_over(env, std::move(features_)));
    return object;
  }

 private:
  static constexpr int64_t kBlock = 256;  // rows at a time: a temporary is [256, N], never [N, N]

  void list_next() {
    at::NoGradGuard no_grad;
    auto& model = module_->as<nn::ASTGNNFactorModel>();
    const int64_t date = dates_[at_++], count = panel_->rows(date);
    if (stock_ && count == 0) ++done_;
    if (count == 0) return;
    const auto out = train::predict_date(model, *panel_, date, {});
    int64_t first = 0, end = count;
    if (stock_) {
      const auto& stocks = out.batch.stocks;
      const auto found = std::lower_bound(stocks.begin(), stocks.end(), *stock_);
      const bool present = found != stocks.end() && *found == *stock_;
      first = present ? found - stocks.begin() : 0;
      end = present ? first + 1 : 0;
    }
    std::vector<int32_t> order;
    for (int64_t lo = first; lo < end; lo += kBlock) {
      const int64_t hi = std::min(lo + kBlock, end);
      const Tensor block =
          model.relational_embedding->similarity_rows(out.risk_factors, lo, hi, out.batch.batch)
              .to(at::kCPU, at::kDouble)
              .contiguous();  // [block, N]
      for (int64_t row = lo; row < hi; ++row)
        list(block.const_data_ptr<double>() + (row - lo) * count, row, count, row - first, order);
    }
    if (features_.defined()) {
      features_.narrow(0, done_, count)
          .copy_(out.batch.sequences.panel.index(
              {out.batch.sequences.date, out.batch.sequences.stock}));
    }
    done_ += stock_ ? 1 : count;
  }
  // A row of A [count] -> entry `at` of the date's lists.
  void list(const double* weight, int64_t row, int64_t count, int64_t at,
            std::vector<int32_t>& order) {
    order.clear();
    for (int64_t i = 0; i < count; ++i)
      if (weight[i] > 0 && i != row) order.push_back(static_cast<int32_t>(i));
    const auto kept = std::min<int64_t>(top_, static_cast<int64_t>(order.size()));
    std::partial_sort(order.begin(), order.begin() + kept, order.end(), [&](int32_t a, int32_t b) {
      return weight[a] != weight[b] ? weight[a] > weight[b] : a < b;
    });
    auto* rows = rows_.mutable_data_ptr<int32_t>() + (done_ + at) * top_;
    auto* weights = weights_.mutable_data_ptr<double>() + (done_ + at) * top_;
    for (int64_t i = 0; i < kept; ++i) {
      rows[i] = order[i];
      weights[i] = weight[order[i]];
    }
  }

  std::shared_ptr<ModuleHandle> module_;
  std::shared_ptr<train::Panel> panel_;
  Dates dates_;
  std::optional<int32_t> stock_;
  int64_t top_;
  Tensor rows_, weights_, features_;
  size_t at_ = 0;
  int64_t done_ = 0;  // lists of the dates before
};

Napi::Value peer_lists(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  auto panel = unwrap<train::Panel>(env, info[1], "panel");
  auto module = read_model(env, info[0], *panel);
  auto options = read_object(info[2], "options");
  std::optional<int32_t> stock;
  if (has(options, "stock"))
    stock =
        static_cast<int32_t>(read_integer(options.Get("stock"), "stock", 0, panel->stocks() - 1));
  const bool features = read_boolean(options.Get("features"), "features");
  if (stock && features) throw BindingError("ERR_OPTION", "Expected no stock beside features.");
  auto task = std::make_shared<PeerListsTask>(
      module, panel, read_dates(options.Get("dates"), "dates", *panel), stock,
      read_integer(options.Get("top"), "top", 1, 1 << 16), features,
      read_threads(options.Get("threads")));
  return job_to_js(env, task,
                   Environment::of(env).start(
                       task, {}, {info[0].As<Napi::Object>(), info[1].As<Napi::Object>()}));
}

const Method kPredictionFunctions[] = {
    {"predict", predict}, {"neighbours", neighbours}, {"peerLists", peer_lists}};

}  // namespace

void define_predict(Napi::Env env, Napi::Object exports) {
  export_functions(env, exports, kPredictionFunctions);
}

}  // namespace astgnn::binding
