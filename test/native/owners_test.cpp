// Several environments at once, as worker threads are: each joins, makes a model, trains it, computes
// forwards and predictions beside the training, and leaves, while the others do the same. What each
// ends with is what it ends with alone. Under ThreadSanitizer (scripts/sanitize.mjs) also the test
// that none of it races.
#include <ATen/core/grad_mode.h>

#include <future>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "ops/cpu/caching_allocator.h"
#include "small_model.h"
#include "small_panel.h"
#include "train/executor.h"
#include "train/module_guards.h"
#include "train/session.h"

namespace {

using namespace astgnn;
using at::Tensor;
using train::Session;

// A job that an owner waits for.
class Awaited : public train::Job {
 public:
  void finish(std::exception_ptr error) noexcept override { end_.set_value(error); }
  // Null on success.
  std::exception_ptr end() { return end_.get_future().get(); }

 private:
  std::promise<std::exception_ptr> end_;
};

class Training : public Awaited {
 public:
  Training(Session& session, int64_t steps) : session_(session), steps_(steps) {
    uses = {session.model.get(), session.averaged.get()};
  }
  bool step() override {
    const int64_t date = 2 + 2 * (at_ % 2);
    session_.step({date, date + 1}, 1e-2);
    return ++at_ < steps_;
  }

 private:
  Session& session_;
  int64_t steps_, at_ = 0;
};

class Prediction : public Awaited {
 public:
  Prediction(std::shared_ptr<nn::ASTGNNFactorModel> model, std::shared_ptr<const train::Panel> panel)
      : model_(std::move(model)), panel_(std::move(panel)) {
    uses = {model_.get()};
  }
  bool step() override {
    dates.push_back(train::predict_date(*model_, *panel_, 2 + at_, {}).predictions);
    return ++at_ < 3;
  }
  std::vector<Tensor> dates;

 private:
  std::shared_ptr<nn::ASTGNNFactorModel> model_;
  std::shared_ptr<const train::Panel> panel_;
  int64_t at_ = 0;
};

class Forward : public Awaited {
 public:
  Forward(std::shared_ptr<nn::ASTGNNFactorModel> model, const train::Panel& panel)
      : model_(std::move(model)), batch_(train::pack(panel, {4}, at::kFloat, 0, 0)) {
    uses = {model_.get()};
  }
  bool step() override {
    at::NoGradGuard no_grad;
    train::TrainingMode mode(*model_, false);
    out = model_->forward(batch_.sequences, batch_.batch).predictions;
    return false;
  }
  Tensor out;

 private:
  std::shared_ptr<nn::ASTGNNFactorModel> model_;
  train::PackedBatch batch_;
};

// Yields: owners wait for one another's steps.
class Endless : public Awaited {
 public:
  bool step() override { return std::this_thread::yield(), true; }
};

std::vector<train::Term> objective() {
  train::Term ic, risk;
  ic.name = "ic";
  ic.predictions = ic.horizons = {0};
  risk.name = "risk";
  risk.weight = 0.1;
  return {ic, risk};
}

// What a life ends with.
struct Results {
  Session::NamedTensors state;
  std::vector<Tensor> predictions;
  Tensor forward;
  std::string error;
};

// The panel is the one that all read; their models are their own.
Results live(const std::shared_ptr<const train::Panel>& shared, uint64_t seed) {
  auto& executor = train::Executor::instance();
  Results results;
  int me = 0;
  executor.join_owner(&me);
  {
    auto panel = std::make_shared<train::Panel>(*shared);
    panel->prepare();
    Session session(small_model(), panel, objective(), {}, seed);
    const auto served = small_model();
    auto training = std::make_shared<Training>(session, 4);
    auto prediction = std::make_shared<Prediction>(served, panel);
    auto forward = std::make_shared<Forward>(served, *shared);
    auto cancelled = std::make_shared<Endless>();
    for (const std::shared_ptr<Awaited>& job :
         std::initializer_list<std::shared_ptr<Awaited>>{training, cancelled, prediction, forward}) {
      job->owner = &me;
      executor.submit(job);
    }
    // What the thread of an environment does meanwhile.
    for (int i = 0; i < 20; ++i) at::zeros({64, 64 + i}).add_(1);
    const auto another = small_model("batch");
    cancelled->cancel();
    for (const std::shared_ptr<Awaited>& job :
         std::initializer_list<std::shared_ptr<Awaited>>{training, prediction, forward})
      try {
        if (const auto error = job->end()) std::rethrow_exception(error);
      } catch (const std::exception& error) {
        results.error += error.what();
      }
    if (!cancelled->end()) results.error += "a cancelled job ended well";
    results.state = session.state();
    results.predictions = prediction->dates;
    results.forward = forward->out;
    // One that is left behind ends before its owner has left.
    auto left = std::make_shared<Endless>();
    left->owner = &me;
    executor.submit(left);
  }
  executor.leave_owner(&me);
  return results;
}

bool same(const Results& a, const Results& b) {
  bool equal = a.error.empty() && b.error.empty() && a.state.size() == b.state.size() &&
               a.predictions.size() == b.predictions.size() && at::equal(a.forward, b.forward);
  for (size_t i = 0; equal && i < a.state.size(); ++i)
    equal = a.state[i].first == b.state[i].first && at::equal(a.state[i].second, b.state[i].second);
  for (size_t i = 0; equal && i < a.predictions.size(); ++i)
    equal = at::equal(a.predictions[i], b.predictions[i]);
  return equal;
}

}  // namespace

int main() {
  constexpr int kOwners = 3, kLives = 6;
  ops::CachingAllocator::instance().install();
  at::manual_seed(8);
  auto panel = std::make_shared<train::Panel>(small_panel(3, 5));
  panel->prepare();
  std::vector<Results> alone;
  for (uint64_t seed = 0; seed < kOwners; ++seed) alone.push_back(live(panel, seed));
  check::that(!same(alone[0], alone[1]), "two seeds train two models");
  // From here on jobs run at once, of one owner too.
  train::Executor::instance().use_cores(kOwners);
  std::vector<std::future<std::string>> owners;
  for (int i = 0; i < kOwners; ++i)
    owners.push_back(std::async(std::launch::async, [&, i] {
      for (int life = 0; life < kLives; ++life) {
        const auto results = live(panel, static_cast<uint64_t>(i));
        if (!same(results, alone[static_cast<size_t>(i)]))
          return "life " + std::to_string(life) + " differs: " + results.error;
      }
      return std::string();
    }));
  // Memory is given back beside them, as after a pause.
  for (int i = 0; i < 50; ++i) {
    ops::CachingAllocator::instance().trim();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (int i = 0; i < kOwners; ++i) {
    const auto difference = owners[static_cast<size_t>(i)].get();
    check::that(difference.empty(), "owner " + std::to_string(i) +
                                        " ends with the same bits beside others: " + difference);
  }
  return check::finish();
}
