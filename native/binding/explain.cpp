#include "binding/model_task.h"
#include "train/explainer.h"

namespace astgnn::binding {

namespace {

using at::Tensor;

// A batch of points per step, so that it takes turns with a training run.
class ExplainTask : public ModelTask {
 public:
  ExplainTask(std::shared_ptr<ModuleHandle> module, std::shared_ptr<train::Panel> panel,
              int64_t date, std::vector<int64_t> rows, int64_t column, int thread_count)
      : ModelTask({module}, false, thread_count),
        module_(std::move(module)),
        column_(column),
        explainer_(std::move(panel), date, std::move(rows), column) {}
  bool step() override {
    const bool more = explainer_.step(module_->as<nn::ASTGNNFactorModel>());
    emit([done = explainer_.done()](Napi::Env env) -> Napi::Value {
      return Napi::Number::New(env, done);
    });
    return more;
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    object.Set("predictions", hand_over(env, explainer_.date->predictions.select(1, column_).clone()));
    object.Set("medians", hand_over(env, explainer_.date->medians.clone()));
    auto rows = Napi::Array::New(env);
    for (auto& explanation : explainer_.explanations) rows.Set(rows.Length(), of_row(env, explanation));
    object.Set("rows", rows);
    return object;
  }

 private:
  static Napi::Object of_row(Napi::Env env, const train::Explanation& row) {
    auto object = Napi::Object::New(env);
    object.Set("score", row.score);
    object.Set("own", row.own);
    object.Set("similarityParts", to_typed_array(env, row.similarity_parts));
    object.Set("attentionParts", to_typed_array(env, row.attention_parts));
    object.Set("weights", to_typed_array(env, row.weights));
    object.Set("attention", to_typed_array(env, row.attention));
    object.Set("baseline", row.baseline);
    object.Set("baselineReacting", row.baseline_reacting);
    object.Set("featureParts", to_typed_array(env, row.feature_parts.contiguous()));
    object.Set("window", to_typed_array(env, row.window));
    object.Set("peerGap", row.peer_gap);
    object.Set("featureGap", row.feature_gap);
    object.Set("evaluations", static_cast<double>(row.evaluations));
    return object;
  }

  std::shared_ptr<ModuleHandle> module_;
  int64_t column_;
  train::Explainer explainer_;
};

Napi::Value explain(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  auto panel = unwrap<train::Panel>(env, info[1], "panel");
  auto module = read_model(env, info[0], *panel, /*same_device=*/false);
  if (!panel->device().is_cpu()) throw BindingError("ERR_OPTION", "Expected a panel on the CPU.");
  auto options = read_object(info[2], "options");
  const int64_t date = read_integer(options.Get("date"), "date", 0, panel->features.size(0) - 1);
  const int64_t predictions = module->as<nn::ASTGNNFactorModel>().config.num_predictions;
  auto task = std::make_shared<ExplainTask>(
      module, panel, date,
      read_integers(options.Get("rows"), "rows", 0, panel->rows(date) - 1),
      read_integer(options.Get("prediction"), "prediction", 0, predictions - 1),
      read_threads(options.Get("threads")));
  return job_to_js(env, task,
                   Environment::of(env).start(
                       task, read_function(info[3], "onProgress"),
                       {info[0].As<Napi::Object>(), info[1].As<Napi::Object>()}));
}

const Method kExplainFunctions[] = {{"explain", explain}};

}  // namespace

void define_explain(Napi::Env env, Napi::Object exports) {
  export_functions(env, exports, kExplainFunctions);
}

}  // namespace astgnn::binding
