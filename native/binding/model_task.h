// Jobs that use a model, and the arguments that they share.
#pragma once

#include "binding/handles.h"

namespace astgnn::binding {

using Dates = std::vector<int64_t>;

// Marks the modules of a job as busy while it lives in JavaScript's table.
class ModelTask : public Task {
 public:
  // stepping: the job changes weights, so it shares the model with no other job that does.
  ModelTask(std::vector<std::shared_ptr<ModuleHandle>> modules, bool stepping, int thread_count)
      : modules_(std::move(modules)), stepping_(stepping) {
    threads = thread_count;
    for (const auto& module : modules_) {
      uses.push_back(module->module.get());
      alone = alone || !module->device.is_cpu();
    }
  }
  void started() override {
    if (stepping_ && modules_[0]->stepping)
      throw BindingError(
          "ERR_BUSY", "This model is already being trained: await that run (or abort it) first.");
    if (stepping_) modules_[0]->stepping = true;
    for (auto& module : modules_) ++module->busy;
  }
  void settled() override {
    if (stepping_) modules_[0]->stepping = false;
    for (auto& module : modules_) --module->busy;
  }

 private:
  std::vector<std::shared_ptr<ModuleHandle>> modules_;
  bool stepping_;
};

Dates read_dates(Napi::Value value, const char* name, const train::Panel& panel);
int read_threads(Napi::Value value);
std::vector<train::Term> read_objective(Napi::Value value);
// Indices that the losses would otherwise read beyond the end of.
void check_objective(const std::vector<train::Term>& terms, const train::Panel& panel,
                     const ModuleHandle& module);
// A whole model whose width fits the panel, on the same device unless a job copies it.
std::shared_ptr<ModuleHandle> read_model(Napi::Env env, Napi::Value value,
                                         const train::Panel& panel, bool same_device = true);

// { gru, graphAttention, relationalEmbedding, total }, each { forward, backward } in milliseconds.
Napi::Object blocks_to_js(Napi::Env env, const train::BlockTimes& blocks);

// A promise and its cancel for JavaScript: { done, cancel() }.
Napi::Object job_to_js(Napi::Env env, std::shared_ptr<Task> task, Napi::Promise done);

}  // namespace astgnn::binding
