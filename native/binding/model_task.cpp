#include "binding/model_task.h"

namespace astgnn::binding {

Dates read_dates(Napi::Value value, const char* name, const train::Panel& panel) {
  at::Tensor dates = read_typed_array(value, name, at::kInt);
  Dates out;
  for (int64_t i = 0; i < dates.numel(); ++i) {
    int64_t date = dates.const_data_ptr<int32_t>()[i];
    if (date < 0 || date >= panel.features.size(0)) {
      throw BindingError("ERR_OPTION", std::string("Expected date indices from 0 to ") +
                                           std::to_string(panel.features.size(0) - 1) + " for " +
                                           name + " but received " + std::to_string(date) + ".");
    }
    out.push_back(date);
  }
  return out;
}

int read_threads(Napi::Value value) {
  return static_cast<int>(read_integer(value, "threads", 1, 1024));
}

std::vector<train::Term> read_objective(Napi::Value value) {
  if (!value.IsArray()) expected("an array of terms", "objective", value);
  auto array = value.As<Napi::Array>();
  std::vector<train::Term> terms;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    auto object = read_object(array.Get(i), "objective[" + std::to_string(i) + "]");
    train::Term term;
    term.name = read_string(
        object.Get("name"), "name",
        {"mse", "ic", "pairwiseRank", "rankIc", "risk", "vif", "turnover", "coMovement",
         "decorrelation"});
    term.weight = read_number(object.Get("weight"), "weight");
    term.predictions = read_integers(object.Get("predictions"), "predictions", 0, 1 << 20);
    term.horizons = read_integers(object.Get("horizons"), "horizons", 0, 1 << 20);
    term.strength = read_number(object.Get("strength"), "strength");
    term.omega = read_number(object.Get("omega"), "omega");
    term.orthogonality = read_number(object.Get("orthogonality"), "orthogonality");
    term.ridge = read_number(object.Get("ridge"), "ridge");
    term.horizon_days = read_integer(object.Get("horizonDays"), "horizonDays", 1, 1 << 16);
    terms.push_back(std::move(term));
  }
  return terms;
}

void check_objective(const std::vector<train::Term>& terms, const train::Panel& panel,
                     const ModuleHandle& module) {
  train::check_objective(terms, module.as<nn::ASTGNNFactorModel>().config.num_predictions, panel);
}

std::shared_ptr<ModuleHandle> read_model(Napi::Env env, Napi::Value value,
                                         const train::Panel& panel, bool same_device) {
  auto module = unwrap<ModuleHandle>(env, value, "model");
  if (module->kind != "model")
    throw BindingError("ERR_OPTION", "Expected a whole model but received a " + module->kind + ".");
  int64_t width = module->as<nn::ASTGNNFactorModel>().config.sequential_input_size;
  if (width != panel.features.size(2)) {
    throw BindingError("ERR_SHAPE", "The model takes " + std::to_string(width) +
                                        " features (sequentialInputSize) but the panel has " +
                                        std::to_string(panel.features.size(2)) + ".");
  }
  if (same_device && module->device != panel.device()) {
    throw BindingError("ERR_OPTION", "The model is on " + module->device.str() +
                                         " but the panel on " + panel.device().str() + ".");
  }
  return module;
}

namespace {

Napi::Object block_to_js(Napi::Env env, const train::BlockTime& block) {
  auto object = Napi::Object::New(env);
  object.Set("forward", block.forward);
  object.Set("backward", block.backward);
  return object;
}

}  // namespace

Napi::Object blocks_to_js(Napi::Env env, const train::BlockTimes& blocks) {
  auto object = Napi::Object::New(env);
  object.Set("gru", block_to_js(env, blocks.gru));
  object.Set("graphAttention", block_to_js(env, blocks.graph_attention));
  object.Set("relationalEmbedding", block_to_js(env, blocks.relational_embedding));
  object.Set("total", block_to_js(env, blocks.total));
  return object;
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
