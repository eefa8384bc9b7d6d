// Loadings of a panel. The job reads JavaScript's arrays where they lie.
#include "ops/data/loadings.h"

#include <algorithm>

#include "binding/held.h"
#include "binding/model_task.h"

namespace astgnn::binding {

namespace {

class LoadingsTask : public Task {
 public:
  LoadingsTask(ops::LoadingsInput input, int thread_count) : input_(std::move(input)) {
    threads = thread_count;
  }
  bool step() override {
    if (!work_) work_ = std::make_unique<ops::Loadings>(std::move(input_));
    const bool more = work_->step();
    emit([done = work_->refreshes_done()](Napi::Env env) -> Napi::Value {
      return Napi::Number::New(env, static_cast<double>(done));
    });
    return more;
  }
  Napi::Value result(Napi::Env env) override {
    return hand_over(env, tensor_of(work_->values(), at::kFloat));
  }

 private:
  ops::LoadingsInput input_;
  std::unique_ptr<ops::Loadings> work_;
};

Napi::Value make_loadings(const Napi::CallbackInfo& info) {
  Held data(info[0], "input");
  const Size size = read_size(data);
  ops::LoadingsInput input;
  input.dates = size.dates;
  input.stocks = size.stocks;
  input.close = data.column("close", size.cells);
  input.universe = data.required<uint8_t>("universe", size.cells);
  input.segments = data.array<int32_t>("segments", size.cells);
  input.window = data.integer("window", 2);
  input.count = data.integer("count", 1, input.window);
  input.half_life = read_number(data.get("halfLife"), "halfLife");
  const auto refreshes = data.get("refreshes");
  if (!refreshes.IsArray()) expected("an array", "refreshes", refreshes);
  const auto list = refreshes.As<Napi::Array>();
  int64_t from = 0;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const auto refresh = read_object(list.Get(i), "refreshes[]");
    const bool is_known = has(refresh, "known");
    const int64_t date =
        read_integer(refresh.Get("date"), "date", is_known ? from : std::max(from, input.window),
                     size.dates - 1);
    const float* known = nullptr;
    if (is_known)
      known = data.column(refresh.Get("known"), "known", input.count * size.stocks).single;
    input.refreshes.push_back({date, known});
    from = date;
  }
  element_count({static_cast<int64_t>(list.Length()), input.count, size.stocks}, "loadings");
  const auto on_refresh = read_function(info[2], "onRefreshes");
  auto task = std::make_shared<LoadingsTask>(std::move(input), read_threads(info[1]));
  return job_to_js(info.Env(), task,
                   Environment::of(info.Env()).start(task, on_refresh, data.take()));
}

const Method kLoadingsFunctions[] = {{"makeLoadings", make_loadings}};

}  // namespace

void define_loadings(Napi::Env env, Napi::Object exports) {
  export_functions(env, exports, kLoadingsFunctions);
}

}  // namespace astgnn::binding
