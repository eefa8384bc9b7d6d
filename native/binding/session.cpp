#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "binding/handles.h"

namespace astgnn::binding {

namespace {

using at::Tensor;
using Dates = std::vector<int64_t>;

std::shared_ptr<SessionHandle> session(const Napi::CallbackInfo& info) { return self<SessionHandle>(info); }

// Marks the modules of a job as busy while it lives in JavaScript's table.
class ModelTask : public Task {
 public:
  // stepping: the job changes weights, so it shares the model with no other job that does.
  ModelTask(std::vector<std::shared_ptr<ModuleHandle>> modules, bool stepping, int thread_count) : modules_(std::move(modules)), stepping_(stepping) {
    threads = thread_count;
    if (stepping_ && modules_[0]->stepping) throw BindingError("ERR_BUSY", "This model is already being trained: await that run (or abort it) first.");
    training_ = modules_[0]->module->is_training();
    if (stepping_) modules_[0]->stepping = true;
    for (auto& module : modules_) ++module->busy;
  }
  void settled() override {
    if (stepping_) modules_[0]->stepping = false;
    for (auto& module : modules_) --module->busy;
    if (modules_[0]->busy == 0) modules_[0]->module->train(training_);
  }

 private:
  std::vector<std::shared_ptr<ModuleHandle>> modules_;
  bool stepping_, training_;
};

class SessionTask : public ModelTask {
 public:
  SessionTask(std::shared_ptr<SessionHandle> handle, int thread_count) : ModelTask({handle->model, handle->averaged}, true, thread_count), handle_(std::move(handle)) {}

 protected:
  std::shared_ptr<SessionHandle> handle_;
};

Dates read_dates(Napi::Value value, const char* name, const train::Panel& panel) {
  Tensor dates = read_typed_array(value, name, at::kInt);
  Dates out;
  for (int64_t i = 0; i < dates.numel(); ++i) {
    int64_t date = dates.const_data_ptr<int32_t>()[i];
    if (date < 0 || date >= panel.features.size(0)) {
      throw BindingError("ERR_OPTION", std::string("Expected date indices from 0 to ") + std::to_string(panel.features.size(0) - 1) + " for " + name +
                                           " but received " + std::to_string(date) + ".");
    }
    out.push_back(date);
  }
  return out;
}

int read_threads(Napi::Value value) { return static_cast<int>(read_integer(value, "threads", 1, 1024)); }

std::vector<train::Term> read_objective(Napi::Value value) {
  if (!value.IsArray()) expected("an array of terms", "objective", value);
  auto array = value.As<Napi::Array>();
  std::vector<train::Term> terms;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    auto object = read_object(array.Get(i), "objective[" + std::to_string(i) + "]");
    train::Term term;
    term.name = read_string(object.Get("name"), "name", {"mse", "ic", "pairwiseRank", "rankIc", "risk", "vif", "turnover"});
    term.weight = read_number(object.Get("weight"), "weight");
    term.predictions = read_integers(object.Get("predictions"), "predictions", 0, 1 << 20);
    term.horizons = read_integers(object.Get("horizons"), "horizons", 0, 1 << 20);
    term.strength = read_number(object.Get("strength"), "strength");
    term.omega = read_number(object.Get("omega"), "omega");
    term.orthogonality = read_number(object.Get("orthogonality"), "orthogonality");
    term.ridge = read_number(object.Get("ridge"), "ridge");
    terms.push_back(std::move(term));
  }
  return terms;
}

// Indices that the losses would otherwise read beyond the end of.
void check_objective(const std::vector<train::Term>& terms, const train::Panel& panel, const ModuleHandle& module) {
  int64_t horizons = panel.targets.defined() ? panel.targets.size(2) : 0;
  train::check_objective(terms, module.as<nn::ASTGNNFactorModel>().config.num_predictions, horizons);
}

Napi::Object step_to_js(Napi::Env env, const train::Step& step) {
  auto object = Napi::Object::New(env);
  object.Set("step", static_cast<double>(step.step));
  object.Set("updated", step.updated);
  object.Set("loss", step.loss);
  auto terms = Napi::Array::New(env, step.terms.size()), undefined = Napi::Array::New(env, step.undefined.size());
  for (size_t i = 0; i < step.terms.size(); ++i) terms.Set(static_cast<uint32_t>(i), step.terms[i]);
  for (size_t i = 0; i < step.undefined.size(); ++i) undefined.Set(static_cast<uint32_t>(i), static_cast<double>(step.undefined[i]));
  object.Set("terms", terms);
  object.Set("undefinedDates", undefined);
  object.Set("gradientNorm", step.gradient_norm);
  object.Set("rows", static_cast<double>(step.rows));
  object.Set("milliseconds", step.milliseconds);
  return object;
}

class RunTask : public SessionTask {
 public:
  RunTask(std::shared_ptr<SessionHandle> handle, int thread_count, Dates dates, Tensor offsets, Tensor rates)
      : SessionTask(std::move(handle), thread_count), dates_(std::move(dates)), offsets_(std::move(offsets)), rates_(std::move(rates)) {}

  bool step() override {
    if (at_ == rates_.numel()) return false;
    const int32_t* offset = offsets_.const_data_ptr<int32_t>();
    at::ArrayRef<int64_t> dates(dates_.data() + offset[at_], dates_.data() + offset[at_ + 1]);
    train::Step done = handle_->session->step(dates, rates_.const_data_ptr<double>()[at_]);
    emit([done](Napi::Env env) -> Napi::Value { return step_to_js(env, done); });
    return ++at_ < rates_.numel();
  }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  Dates dates_;
  Tensor offsets_, rates_;
  int64_t at_ = 0;
};

Napi::Value run(const Napi::CallbackInfo& info) {
  auto handle = session(info);
  auto schedule = read_object(info[0], "schedule");
  Dates dates = read_dates(schedule.Get("dates"), "dates", *handle->panel);
  Tensor offsets = read_typed_array(schedule.Get("offsets"), "offsets", at::kInt);
  Tensor rates = read_typed_array(schedule.Get("learningRates"), "learningRates", at::kDouble);
  const int32_t* bounds = offsets.const_data_ptr<int32_t>();
  int64_t steps = rates.numel();
  if (offsets.numel() != steps + 1 || bounds[0] != 0 || bounds[steps] != static_cast<int64_t>(dates.size()) || !std::is_sorted(bounds, bounds + steps + 1))
    throw BindingError("ERR_SHAPE", "Expected offsets that rise from 0 to the number of dates, one per learning rate and one more.");
  int threads = read_threads(info[1]);
  auto on_step = read_function(info[2], "onStep");
  auto task = std::make_shared<RunTask>(handle, threads, std::move(dates), offsets, rates);
  return job_to_js(info.Env(), task, Environment::of(info.Env()).start(task, on_step, {info.This().As<Napi::Object>()}));
}

class GradientsTask : public SessionTask {
 public:
  GradientsTask(std::shared_ptr<SessionHandle> handle, int thread_count, Dates dates) : SessionTask(std::move(handle), thread_count), dates_(std::move(dates)) {}
  bool step() override {
    out_ = handle_->session->gradients(dates_);
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    object.Set("step", step_to_js(env, out_.step));
    object.Set("gradients", state_to_js(env, out_.gradients));
    object.Set("predictions", wrap_tensor(env, out_.predictions));
    object.Set("riskFactors", wrap_tensor(env, out_.risk_factors));
    return object;
  }

 private:
  Dates dates_;
  train::Session::Gradients out_;
};

class ApplyTask : public SessionTask {
 public:
  ApplyTask(std::shared_ptr<SessionHandle> handle, NamedTensors gradients, double rate)
      : SessionTask(std::move(handle), 1), gradients_(std::move(gradients)), rate_(rate) {}
  bool step() override {
    norm_ = handle_->session->apply(gradients_, rate_);
    return false;
  }
  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, norm_); }

 private:
  NamedTensors gradients_;
  double rate_, norm_ = 0;
};

class StateTask : public SessionTask {
 public:
  using SessionTask::SessionTask;
  bool step() override {
    state_ = handle_->session->state();
    steps_ = handle_->session->steps;
    updates_ = handle_->session->optimizer().updates;
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env), tensors = Napi::Object::New(env);
    for (auto& [name, tensor] : state_) tensors.Set(name, wrap_tensor(env, tensor));
    object.Set("tensors", tensors);
    object.Set("steps", static_cast<double>(steps_));
    object.Set("updates", static_cast<double>(updates_));
    return object;
  }

 private:
  NamedTensors state_;
  int64_t steps_ = 0, updates_ = 0;
};

// One date per step, so that a long prediction takes turns with a training run.
class PredictTask : public ModelTask {
 public:
  PredictTask(std::shared_ptr<ModuleHandle> module, std::shared_ptr<train::Panel> panel, Dates dates, bool risk_factors, std::vector<train::Term> terms, int thread_count)
      : ModelTask({module}, false, thread_count), module_(std::move(module)), panel_(std::move(panel)), dates_(std::move(dates)), terms_(std::move(terms)) {
    int64_t rows = 0, count = static_cast<int64_t>(dates_.size());
    for (int64_t date : dates_) rows += panel_->rows(date);
    const nn::Config& config = module_->as<nn::ASTGNNFactorModel>().config;
    predictions_ = at::empty({rows, config.num_predictions}, module_->dtype);
    if (risk_factors) factors_ = at::empty({rows, config.num_risk_factors}, module_->dtype);
    statistics_ = at::empty({count, 3}, at::kDouble);
    term_values_ = at::empty({terms_.empty() ? 0 : count, static_cast<int64_t>(terms_.size())}, at::kDouble);
  }
  bool step() override {
    if (at_ == dates_.size()) return false;
    auto out = train::predict_date(module_->as<nn::ASTGNNFactorModel>(), *panel_, dates_[at_], terms_);
    int64_t rows = out.predictions.size(0);
    predictions_.narrow(0, row_, rows).copy_(out.predictions);
    if (factors_.defined()) factors_.narrow(0, row_, rows).copy_(out.risk_factors);
    std::copy(out.statistics, out.statistics + 3, statistics_.mutable_data_ptr<double>() + 3 * at_);
    double* values = term_values_.mutable_data_ptr<double>() + terms_.size() * at_;
    std::copy(out.terms.begin(), out.terms.end(), values);
    if (at_ > 0) {
      for (size_t i = 0; i < terms_.size(); ++i) {
        if (terms_[i].name == "turnover") (values - terms_.size())[i] = train::turnover_between(previous_, out);
      }
    }
    previous_ = std::move(out);
    row_ += rows;
    return ++at_ < dates_.size();
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    object.Set("predictions", hand_over(env, std::move(predictions_)));
    if (factors_.defined()) object.Set("riskFactors", hand_over(env, std::move(factors_)));
    object.Set("statistics", hand_over(env, std::move(statistics_)));
    object.Set("terms", hand_over(env, std::move(term_values_)));
    return object;
  }

 private:
  std::shared_ptr<ModuleHandle> module_;
  std::shared_ptr<train::Panel> panel_;
  Dates dates_;
  std::vector<train::Term> terms_;
  train::DatePrediction previous_;
  Tensor predictions_, factors_, statistics_, term_values_;
  size_t at_ = 0;
  int64_t row_ = 0;
};

std::shared_ptr<ModuleHandle> read_model(Napi::Env env, Napi::Value value, const train::Panel& panel) {
  auto module = unwrap<ModuleHandle>(env, value, "model");
  if (module->kind != "model") throw BindingError("ERR_OPTION", "Expected a whole model but received a " + module->kind + ".");
  int64_t width = module->as<nn::ASTGNNFactorModel>().config.sequential_input_size;
  if (width != panel.features.size(2)) {
    throw BindingError("ERR_SHAPE", "The model takes " + std::to_string(width) + " features (sequentialInputSize) but the panel has " +
                                        std::to_string(panel.features.size(2)) + ".");
  }
  return module;
}

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
  auto task = std::make_shared<PredictTask>(module, panel, read_dates(options.Get("dates"), "dates", *panel),
                                            read_boolean(options.Get("riskFactors"), "riskFactors"), std::move(terms), read_threads(options.Get("threads")));
  return job_to_js(env, task, Environment::of(env).start(task, {}, {info[0].As<Napi::Object>(), info[1].As<Napi::Object>()}));
}

Napi::Value create_session(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  auto panel = unwrap<train::Panel>(env, info[1], "panel");
  auto module = read_model(env, info[0], *panel);
  module->refuse_if_busy();
  auto object = read_object(info[2], "options");
  auto terms = read_objective(object.Get("objective"));
  check_objective(terms, *panel, *module);
  auto betas = object.Get("betas");
  if (!betas.IsArray() || betas.As<Napi::Array>().Length() != 2) expected("two numbers", "betas", betas);
  train::OptimizerOptions options;
  options.beta1 = read_number(betas.As<Napi::Array>().Get(0u), "betas[0]");
  options.beta2 = read_number(betas.As<Napi::Array>().Get(1u), "betas[1]");
  options.eps = read_number(object.Get("adamEps"), "adamEps");
  options.weight_decay = read_number(object.Get("weightDecay"), "weightDecay");
  options.clip_norm = read_number(object.Get("clipNorm"), "clipNorm");
  options.ema = read_number(object.Get("ema"), "ema");
  auto seed = static_cast<uint64_t>(read_integer(object.Get("seed"), "seed", 0, UINT32_MAX));

  auto handle = std::make_shared<SessionHandle>();
  handle->panel = panel;
  handle->model = module;
  handle->session = std::make_shared<train::Session>(std::dynamic_pointer_cast<nn::ASTGNNFactorModel>(module->module), panel, std::move(terms), options, seed);
  handle->averaged = module;
  if (handle->session->averaged != handle->session->model) {
    handle->averaged = std::make_shared<ModuleHandle>();
    handle->averaged->kind = "model";
    handle->averaged->dtype = module->dtype;
    handle->averaged->seed = module->seed;
    handle->averaged->module = handle->session->averaged;
  }
  int64_t bytes = 0;
  for (const auto& [name, tensor] : nn::state_dict(*module->module)) bytes += 3 * static_cast<int64_t>(tensor.nbytes());
  auto out = wrap(env, handle, bytes);
  out.Set("averaged", wrap_module(env, handle->averaged));
  return out;
}

const Method kMethods[] = {
    {"steps", [](const Napi::CallbackInfo& info) -> Napi::Value { return Napi::Number::New(info.Env(), static_cast<double>(session(info)->session->steps)); }, true},
    {"disposed", is_disposed<SessionHandle>, true},
    {"run", run},
    {"gradients",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       auto handle = session(info);
       auto task = std::make_shared<GradientsTask>(handle, read_threads(info[1]), read_dates(info[0], "dates", *handle->panel));
       return Environment::of(info.Env()).start(task, {}, {info.This().As<Napi::Object>()});
     }},
    {"apply",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       auto task = std::make_shared<ApplyTask>(session(info), read_state(info[0], "gradients"), read_number(info[1], "learningRate"));
       return Environment::of(info.Env()).start(task, {}, {info.This().As<Napi::Object>()});
     }},
    {"state",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Environment::of(info.Env()).start(std::make_shared<StateTask>(session(info), 1), {}, {info.This().As<Napi::Object>()});
     }},
    {"loadState",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       auto handle = session(info);
       handle->model->refuse_if_busy();
       auto state = read_object(info[0], "state");
       handle->session->load_state(read_state(state.Get("tensors"), "tensors"), read_integer(state.Get("steps"), "steps", 0, INT64_MAX >> 11),
                                   read_integer(state.Get("updates"), "updates", 0, INT64_MAX >> 11));
       return info.Env().Undefined();
     }},
    {"dispose", dispose<SessionHandle>},
};

const Method kFunctions[] = {{"createSession", create_session}, {"predict", predict}};

}  // namespace

void define_session(Napi::Env env, Napi::Object exports) {
  define_handle<SessionHandle>(env, kMethods);
  export_functions(env, exports, kFunctions);
}

Napi::Object job_to_js(Napi::Env env, std::shared_ptr<Task> task, Napi::Promise done) {
  auto job = Napi::Object::New(env);
  job.Set("done", done);
  std::weak_ptr<Task> weak = task;
  job.Set("cancel", Napi::Function::New(env, [weak](const Napi::CallbackInfo&) {
            if (auto running = weak.lock()) running->cancel();
          }));
  return job;
}

}  // namespace astgnn::binding
