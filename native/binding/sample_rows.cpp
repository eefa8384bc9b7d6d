// Rows and labels of a dataset. The job reads JavaScript's arrays where they lie.
#include <ATen/ops/empty.h>

#include "binding/held.h"
#include "binding/model_task.h"
#include "binding/roomy.h"
#include "ops/data/labels.h"
#include "ops/data/sample_rows.h"

namespace astgnn::binding {

namespace {

Napi::Array numbers(Napi::Env env, const std::vector<int64_t>& values) {
  return to_js(env, at::IntArrayRef(values));
}

class RowsTask : public Task {
 public:
  RowsTask(ops::SampleRowsInput rows, ops::LabelsInput labels,
           std::shared_ptr<FeaturesHandle> features, std::string scratch, int thread_count)
      : rows_input_(rows),
        labels_input_(std::move(labels)),
        features_(std::move(features)),
        scratch_(std::move(scratch)) {
    threads = thread_count;
  }
  bool step() override {
    if (!labels_.defined()) {
      labels_ = roomy({rows_input_.dates * rows_input_.stocks * labels_input_.width()}, at::kFloat,
                      scratch_);
      removed_ = labels_input_.column
                     ? ops::make_labels(labels_input_, labels_.mutable_data_ptr<float>())
                     : (labels_.fill_(std::numeric_limits<float>::quiet_NaN()),
                        ops::LabelsRemoved());
      return true;
    }
    rows_ = ops::sample_rows(rows_input_);
    offsets_ = tensor_of(rows_.offsets, at::kInt);
    stocks_ = tensor_of(rows_.stocks, at::kInt);
    rows_.stocks = {};
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    const auto count = [&](const char* key, int64_t value) {
      object.Set(key, static_cast<double>(value));
    };
    object.Set("labels", hand_over(env, std::move(labels_)));
    count("untradable", removed_.untradable);
    count("broken", removed_.broken);
    count("overflowing", removed_.overflowing);
    object.Set("offsets", hand_over(env, std::move(offsets_)));
    object.Set("stocks", hand_over(env, std::move(stocks_)));
    object.Set("lastPriced", hand_over(env, tensor_of(rows_.last_priced, at::kInt)));
    count("incompleteWindow", rows_.incomplete_window);
    count("found", rows_.found);
    count("whole", rows_.whole);
    count("gapless", rows_.gapless);
    object.Set("missing", numbers(env, rows_.missing));
    object.Set("unfilled", numbers(env, rows_.unfilled));
    return object;
  }

 private:
  ops::SampleRowsInput rows_input_;
  ops::LabelsInput labels_input_;
  std::shared_ptr<FeaturesHandle> features_;
  std::string scratch_;
  at::Tensor labels_, offsets_, stocks_;
  ops::LabelsRemoved removed_;
  ops::SampleRows rows_;
};

Napi::Value sample_rows(const Napi::CallbackInfo& info) {
  Held data(info[0], "input");
  const auto features = unwrap<FeaturesHandle>(info.Env(), data.get("features"), "features");
  const Size size = read_size(data);
  features->require_size(size.dates, size.stocks, "features");
  ops::SampleRowsInput rows{};
  rows.dates = size.dates;
  rows.stocks = size.stocks;
  rows.features = features->values.size(2);
  rows.window = data.integer("window", 1);
  rows.max_missing = data.integer("maxMissingDates", 0, rows.window - 1);
  rows.first = data.integer("first", rows.window - 1);
  if (data.has("close")) rows.close = data.column("close", size.cells);
  rows.present = data.required<uint8_t>("present", size.cells);
  rows.universe = data.required<uint8_t>("universe", size.cells);
  rows.slots = &features->slots;
  rows.values = features->values.const_data_ptr<float>();
  rows.missing = features->missing.const_data_ptr<uint8_t>();
  rows.incomplete = features->incomplete.const_data_ptr<uint8_t>();
  rows.mask_bytes = features->missing.size(2);
  if (const auto* may_lack = data.array<uint8_t>("mayLack", rows.features))
    rows.may_lack.assign(may_lack, may_lack + rows.features);

  ops::LabelsInput labels{};
  labels.dates = size.dates;
  labels.stocks = size.stocks;
  if (data.has("label")) labels.column = data.column("label", size.cells);
  labels.horizons = read_integers(data.get("horizons"), "horizons", 1, INT32_MAX);
  labels.lag = data.integer("lagDays", 0);
  labels.tradable = data.array<uint8_t>("tradable", size.cells);
  labels.segments = data.array<int32_t>("segments", size.cells);
  element_count({size.cells, labels.width()}, "labels");
  auto task = std::make_shared<RowsTask>(rows, std::move(labels), features,
                                         data.text("scratch"), read_threads(info[1]));
  return job_to_js(info.Env(), task, Environment::of(info.Env()).start(task, {}, data.take()));
}

const Method kRowsFunctions[] = {{"sampleRows", sample_rows}};

}  // namespace

void define_rows(Napi::Env env, Napi::Object exports) {
  export_functions(env, exports, kRowsFunctions);
}

}  // namespace astgnn::binding
