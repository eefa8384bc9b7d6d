#include <algorithm>

#include "binding/model_task.h"

namespace astgnn::binding {

namespace {

using at::Tensor;

std::shared_ptr<SessionHandle> session(const Napi::CallbackInfo& info) {
  return self<SessionHandle>(info);
}

bool read_reduction(Napi::Value value) {
  const auto name = read_string(value, "reduction");
  if (name != "exact" && name != "fast") expected("\"exact\" or \"fast\"", "reduction", value);
  return name == "exact";
}

class SessionTask : public ModelTask {
 public:
  SessionTask(std::shared_ptr<SessionHandle> handle, int thread_count)
      : ModelTask({handle->model, handle->averaged}, true, thread_count),
        handle_(std::move(handle)) {
    const auto& session = *handle_->session;
    alone = alone || session.profile || session.ranks != nullptr;
  }

 protected:
  std::shared_ptr<SessionHandle> handle_;
};

Napi::Object step_to_js(Napi::Env env, const train::Step& step) {
  auto object = Napi::Object::New(env);
  object.Set("step", static_cast<double>(step.step));
  object.Set("updated", step.updated);
  object.Set("loss", step.loss);
  auto terms = Napi::Array::New(env, step.terms.size()),
       undefined = Napi::Array::New(env, step.undefined.size());
  for (size_t i = 0; i < step.terms.size(); ++i) terms.Set(static_cast<uint32_t>(i), step.terms[i]);
  for (size_t i = 0; i < step.undefined.size(); ++i)
    undefined.Set(static_cast<uint32_t>(i), static_cast<double>(step.undefined[i]));
  object.Set("terms", terms);
  object.Set("undefinedDates", undefined);
  object.Set("gradientNorm", step.gradient_norm);
  object.Set("rows", static_cast<double>(step.rows));
  object.Set("milliseconds", step.milliseconds);
  if (step.blocks) object.Set("blocks", blocks_to_js(env, *step.blocks));
  if (step.capture_failure) object.Set("captureFailure", *step.capture_failure);
  return object;
}

class RunTask : public SessionTask {
 public:
  RunTask(std::shared_ptr<SessionHandle> handle, int thread_count, Dates dates, Tensor offsets,
          Tensor rates)
      : SessionTask(std::move(handle), thread_count),
        dates_(std::move(dates)),
        offsets_(std::move(offsets)),
        rates_(std::move(rates)) {}

  bool step() override {
    if (at_ == rates_.numel()) return false;
    const int32_t* offset = offsets_.const_data_ptr<int32_t>();
    at::ArrayRef<int64_t> dates(dates_.data() + offset[at_], dates_.data() + offset[at_ + 1]);
    auto& session = *handle_->session;
    session.wants_to_stop = is_cancelled();
    report(session.advance(dates, rates_.const_data_ptr<double>()[at_]));
    if (session.stops) {
      session.stops = false;
      finish_steps();
      throw train::Cancelled();
    }
    if (++at_ < rates_.numel()) return true;
    finish_steps();
    return false;
  }
  // Ranks end after the same step.
  bool ends_itself() const override { return handle_->session->ranks != nullptr; }
  void wind_up() override { finish_steps(); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  void report(std::vector<train::Step> steps) {
    for (auto& done : steps)
      emit(
          [done = std::move(done)](Napi::Env env) -> Napi::Value { return step_to_js(env, done); });
  }
  void finish_steps() {
    for (auto steps = handle_->session->finish(); !steps.empty();
         steps = handle_->session->finish())
      report(std::move(steps));
  }

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
  if (offsets.numel() != steps + 1 || bounds[0] != 0 ||
      bounds[steps] != static_cast<int64_t>(dates.size()) ||
      !std::is_sorted(bounds, bounds + steps + 1))
    throw BindingError("ERR_SHAPE",
                       "Expected offsets that rise from 0 to the number of dates, one per learning "
                       "rate and one more.");
  int threads = read_threads(info[1]);
  auto on_step = read_function(info[2], "onStep");
  auto task = std::make_shared<RunTask>(handle, threads, std::move(dates), offsets, rates);
  return job_to_js(
      info.Env(), task,
      Environment::of(info.Env()).start(task, on_step, {info.This().As<Napi::Object>()}));
}

class GradientsTask : public SessionTask {
 public:
  GradientsTask(std::shared_ptr<SessionHandle> handle, int thread_count, Dates dates)
      : SessionTask(std::move(handle), thread_count), dates_(std::move(dates)) {}
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

Napi::Value create_session(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  auto panel = unwrap<train::Panel>(env, info[1], "panel");
  auto module = read_model(env, info[0], *panel);
  module->refuse_if_busy();
  auto object = read_object(info[2], "options");
  auto terms = read_objective(object.Get("objective"));
  check_objective(terms, *panel, *module);
  auto betas = object.Get("betas");
  if (!betas.IsArray() || betas.As<Napi::Array>().Length() != 2)
    expected("two numbers", "betas", betas);
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
  handle->session = std::make_shared<train::Session>(
      std::dynamic_pointer_cast<nn::ASTGNNFactorModel>(module->module), panel, std::move(terms),
      options, seed);
  handle->session->profile =
      has(object, "profile") && read_boolean(object.Get("profile"), "profile");
  if (has(object, "reduction")) handle->session->exact = read_reduction(object.Get("reduction"));
  if (has(object, "ranks") && read_boolean(object.Get("ranks"), "ranks"))
    handle->session->ranks = joined_ranks();
  std::optional<std::string> not_captured;
  if (has(object, "cudaGraph") && read_boolean(object.Get("cudaGraph"), "cudaGraph"))
    not_captured = handle->session->capture_steps();
  handle->averaged = module;
  if (handle->session->averaged != handle->session->model) {
    handle->averaged = std::make_shared<ModuleHandle>();
    handle->averaged->kind = "model";
    handle->averaged->dtype = module->dtype;
    handle->averaged->device = module->device;
    handle->averaged->seed = module->seed;
    handle->averaged->module = handle->session->averaged;
  }
  int64_t bytes = 0;
  for (const auto& [name, tensor] : nn::state_dict(*module->module))
    bytes += 3 * static_cast<int64_t>(tensor.nbytes());
  auto out = wrap(env, handle, bytes);
  out.Set("averaged", wrap_module(env, handle->averaged));
  if (not_captured) out.Set("notCaptured", *not_captured);
  return out;
}

const Method kSessionMethods[] = {
    {"steps",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Napi::Number::New(info.Env(), static_cast<double>(session(info)->session->steps));
     },
     true},
    {"disposed", is_disposed<SessionHandle>, true},
    {"run", run},
    {"gradients",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       auto handle = session(info);
       auto task = std::make_shared<GradientsTask>(handle, read_threads(info[1]),
                                                   read_dates(info[0], "dates", *handle->panel));
       return Environment::of(info.Env()).start(task, {}, {info.This().As<Napi::Object>()});
     }},
    {"apply",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       auto task = std::make_shared<ApplyTask>(session(info), read_state(info[0], "gradients"),
                                               read_number(info[1], "learningRate"));
       return Environment::of(info.Env()).start(task, {}, {info.This().As<Napi::Object>()});
     }},
    {"state",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Environment::of(info.Env())
           .start(std::make_shared<StateTask>(session(info), 1), {},
                  {info.This().As<Napi::Object>()});
     }},
    {"loadState",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       auto handle = session(info);
       for (const auto& module : {handle->model, handle->averaged}) module->refuse_if_busy();
       auto state = read_object(info[0], "state");
       handle->session->load_state(
           read_state(state.Get("tensors"), "tensors"),
           read_integer(state.Get("steps"), "steps", 0, INT64_MAX >> 11),
           read_integer(state.Get("updates"), "updates", 0, INT64_MAX >> 11));
       return info.Env().Undefined();
     }},
    {"dispose", dispose<SessionHandle>},
};

const Method kSessionFunctions[] = {{"createSession", create_session}};

}  // namespace

void define_session(Napi::Env env, Napi::Object exports) {
  define_handle<SessionHandle>(env, kSessionMethods);
  export_functions(env, exports, kSessionFunctions);
}

}  // namespace astgnn::binding
