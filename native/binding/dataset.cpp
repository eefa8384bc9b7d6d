// Datasets: features, rows, labels and targets of a panel. The jobs read JavaScript's arrays where
// they lie: the promise's table keeps these alive.
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "binding/held.h"
#include "binding/model_task.h"
#include "ops/data/labels.h"
#include "ops/data/panel_features.h"
#include "ops/data/sample_rows.h"

namespace astgnn::binding {

namespace {

using at::Tensor;

Napi::Array numbers(Napi::Env env, const std::vector<int64_t>& values) {
  return to_js(env, at::IntArrayRef(values));
}

// --- features ---

ops::Processor read_processor(Napi::Value value, int64_t features) {
  Held data(value, "processors[]");
  using Kind = ops::Processor::Kind;
  const auto name = read_string(data.get("name"), "name",
                                {"rank", "zscore", "winsorize", "standardize", "fill"});
  ops::Processor processor;
  processor.kind = name == "rank"          ? Kind::kRank
                   : name == "zscore"      ? Kind::kZscore
                   : name == "winsorize"   ? Kind::kWinsorize
                   : name == "standardize" ? Kind::kStandardize
                                           : Kind::kFill;
  if (processor.kind == Kind::kWinsorize) processor.k = read_number(data.get("k"), "k");
  const auto* applies = data.required<uint8_t>("applies", features);
  processor.applies.assign(applies, applies + features);
  processor.fitted.assign(features, true);
  const auto values_of = [&](const char* key, std::vector<double>& values) {
    const ops::Column given = data.column(key, features);
    for (int64_t f = 0; f < features; ++f) {
      values.push_back(given.at(f));
      if (values[f] != values[f]) processor.fitted[f] = false;
    }
  };
  if (processor.kind == Kind::kStandardize) {
    values_of("mean", processor.mean);
    values_of("sd", processor.sd);
  }
  if (processor.kind == Kind::kFill) values_of("value", processor.value);
  return processor;
}

class FeaturesTask : public Task {
 public:
  // known: features of other dates, those from known_from on being input's first.
  FeaturesTask(ops::PanelFeaturesInput input, std::shared_ptr<FeaturesHandle> known,
               int64_t known_from, int thread_count)
      : input_(std::move(input)),
        known_(std::move(known)),
        known_from_(known_from),
        handle_(std::make_shared<FeaturesHandle>()) {
    threads = thread_count;
  }
  bool step() override {
    if (!work_) begin();
    const bool more = work_->step();
    emit([done = work_->dates_done()](Napi::Env env) -> Napi::Value {
      return Napi::Number::New(env, static_cast<double>(done));
    });
    return more;
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    if (!work_->unfit().empty()) {
      auto unfit = Napi::Object::New(env);
      unfit.Set("processor", static_cast<double>(work_->unfit()[0].processor));
      unfit.Set("feature", static_cast<double>(work_->unfit()[0].feature));
      object.Set("unfit", unfit);
      return object;
    }
    if (const auto* found = work_->beyond()) {
      auto beyond = Napi::Object::New(env);
      beyond.Set("feature", static_cast<double>(found->feature));
      beyond.Set("cell", static_cast<double>(found->cell));
      beyond.Set("value", found->value);
      object.Set("beyond", beyond);
      return object;
    }
    auto statistics = Napi::Array::New(env);
    for (const auto& processor : work_->processors()) {
      auto of_processor = Napi::Object::New(env);
      const auto set = [&](const char* key, const std::vector<double>& values) {
        if (!values.empty()) of_processor.Set(key, hand_over(env, tensor_of(values, at::kDouble)));
      };
      set("mean", processor.mean);
      set("sd", processor.sd);
      set("value", processor.value);
      statistics.Set(statistics.Length(), of_processor);
    }
    object.Set("statistics", statistics);
    const auto bytes = static_cast<int64_t>(handle_->values.nbytes() + handle_->missing.nbytes());
    object.Set("features", wrap(env, std::move(handle_), bytes));
    return object;
  }

 private:
  void begin() {
    const int64_t M = input_.made(), N = input_.stocks;
    handle_->values = at::empty({M, N, input_.features()}, at::kFloat);
    handle_->missing = at::zeros({M, N, input_.mask_bytes()}, at::kByte);
    handle_->incomplete = at::zeros({M}, at::kByte);
    if (known_) {
      input_.known = std::min(M, known_->values.size(0) - known_from_);
      const auto copy = [&](const Tensor& to, const Tensor& from) {
        to.narrow(0, 0, input_.known).copy_(from.narrow(0, known_from_, input_.known));
      };
      copy(handle_->values, known_->values);
      copy(handle_->missing, known_->missing);
      copy(handle_->incomplete, known_->incomplete);
      known_.reset();
    }
    work_ = std::make_unique<ops::PanelFeatures>(
        std::move(input_),
        ops::PanelFeaturesOutput{handle_->values.mutable_data_ptr<float>(),
                                 handle_->missing.mutable_data_ptr<uint8_t>(),
                                 handle_->incomplete.mutable_data_ptr<uint8_t>()});
  }

  ops::PanelFeaturesInput input_;
  std::shared_ptr<FeaturesHandle> known_;
  int64_t known_from_;
  std::shared_ptr<FeaturesHandle> handle_;
  std::unique_ptr<ops::PanelFeatures> work_;
};

Napi::Value panel_features(const Napi::CallbackInfo& info) {
  Held data(info[0], "input");
  const Size size = read_size(data);
  ops::PanelFeaturesInput input;
  input.dates = size.dates;
  input.stocks = size.stocks;
  input.universe = data.required<uint8_t>("universe", size.cells);
  input.segments = data.array<int32_t>("segments", size.cells);
  Napi::Object loadings;
  if (data.has("loadings")) {
    loadings = read_object(data.get("loadings"), "loadings");
    input.loadings_count = read_integer(loadings.Get("count"), "count", 1, 1 << 16);
    const int64_t refreshes = read_integer(loadings.Get("refreshes"), "refreshes", 0, INT32_MAX);
    input.loadings = data.column(loadings.Get("values"), "values",
                                 refreshes * input.loadings_count * size.stocks)
                         .single;
    input.refresh_of = data.required<int32_t>("refreshOf", size.dates);
    if (std::any_of(input.refresh_of, input.refresh_of + size.dates,
                    [&](int32_t refresh) { return refresh >= refreshes; }))
      throw BindingError("ERR_SHAPE", "Expected refreshOf to name refreshes of the loadings.");
  }
  const auto sources = data.get("sources");
  if (!sources.IsArray()) expected("an array", "sources", sources);
  for (uint32_t i = 0; i < sources.As<Napi::Array>().Length(); ++i) {
    const Napi::Value source = sources.As<Napi::Array>().Get(i);
    ops::PanelFeaturesInput::Source read;
    if (source.IsString()) {
      read.price = ops::price_feature(source.As<Napi::String>().Utf8Value());
      if (read.price < 0) expected("a price feature", "sources[]", source);
    } else if (source.IsObject() && has(source.As<Napi::Object>(), "style")) {
      const auto name = source.As<Napi::Object>().Get("style");
      read.style = name.IsString() ? ops::style_feature(name.As<Napi::String>().Utf8Value()) : -1;
      if (read.style < 0) expected("a style exposure", "style", name);
    } else if (source.IsObject() && has(source.As<Napi::Object>(), "loading")) {
      if (loadings.IsEmpty()) expected("loadings", "loadings", data.get("loadings"));
      read.loading = read_integer(source.As<Napi::Object>().Get("loading"), "loading", 0,
                                  input.loadings_count - 1);
    } else {
      read.column = data.column(source, "sources[]", size.cells);
    }
    input.sources.push_back(read);
  }
  if (input.sources.empty()) expected("at least one source", "sources", sources);
  element_count({size.cells, input.features()}, "features");
  const auto is_price = [](const auto& source) { return source.price >= 0 || source.style >= 0; };
  const auto is_style = [](const auto& source) { return source.style >= 0; };
  if (std::any_of(input.sources.begin(), input.sources.end(), is_price)) {
    input.prices = {data.column("open", size.cells), data.column("high", size.cells),
                    data.column("low", size.cells), data.column("close", size.cells),
                    data.column("volume", size.cells)};
  }
  if (std::any_of(input.sources.begin(), input.sources.end(), is_style)) {
    if (data.has("size")) input.size = data.column("size", size.cells);
    input.present = data.required<uint8_t>("present", size.cells);
    input.months = data.required<int32_t>("months", size.dates);
    if (!std::is_sorted(input.months, input.months + size.dates))
      throw BindingError("ERR_SHAPE", "Expected months that ascend.");
  }
  const auto processors = data.get("processors");
  if (!processors.IsArray()) expected("an array", "processors", processors);
  for (uint32_t i = 0; i < processors.As<Napi::Array>().Length(); ++i)
    input.processors.push_back(
        read_processor(processors.As<Napi::Array>().Get(i), input.features()));
  if (data.has("fitFrom")) {
    input.fit_from = data.integer("fitFrom", 0, size.dates - 1);
    input.fit_to = data.integer("fitTo", input.fit_from, size.dates - 1);
  }
  if (data.has("first")) input.first = data.integer("first", 0, size.dates - 1);
  std::shared_ptr<FeaturesHandle> known;
  int64_t known_from = 0;
  if (data.has("known")) {
    known = unwrap<FeaturesHandle>(info.Env(), data.get("known"), "known");
    if (known->values.size(1) != size.stocks || known->values.size(2) != input.features())
      throw BindingError("ERR_SHAPE", "Expected known features of the same stocks and number.");
    known_from = data.integer("knownFrom", 0, known->values.size(0) - 1);
  }
  const auto on_date = read_function(info[2], "onDates");
  auto task = std::make_shared<FeaturesTask>(std::move(input), std::move(known), known_from,
                                             read_threads(info[1]));
  return job_to_js(info.Env(), task,
                   Environment::of(info.Env()).start(task, on_date, data.take()));
}

// --- rows and labels ---

class RowsTask : public Task {
 public:
  RowsTask(ops::SampleRowsInput rows, ops::LabelsInput labels,
           std::shared_ptr<FeaturesHandle> features, int thread_count)
      : rows_input_(rows), labels_input_(std::move(labels)), features_(std::move(features)) {
    threads = thread_count;
  }
  bool step() override {
    if (!labels_.defined()) {
      labels_ = at::empty({rows_input_.dates * rows_input_.stocks * labels_input_.width()},
                          at::kFloat);
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
  Tensor labels_, offsets_, stocks_;
  ops::LabelsRemoved removed_;
  ops::SampleRows rows_;
};

Napi::Value sample_rows(const Napi::CallbackInfo& info) {
  Held data(info[0], "input");
  const auto features = unwrap<FeaturesHandle>(info.Env(), data.get("features"), "features");
  const Size size = read_size(data);
  if (features->values.size(0) != size.dates || features->values.size(1) != size.stocks)
    throw BindingError("ERR_SHAPE", "Expected features of the same dates and stocks.");
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
  auto task = std::make_shared<RowsTask>(rows, std::move(labels), features, read_threads(info[1]));
  return job_to_js(info.Env(), task, Environment::of(info.Env()).start(task, {}, data.take()));
}

// --- targets ---

class TargetsTask : public Task {
 public:
  TargetsTask(ops::MissingLabelsInput labels, ops::LabelTransform transform,
              std::optional<ops::NeutralTo> neutral, std::shared_ptr<FeaturesHandle> exposures,
              const int32_t* group_codes, int32_t group_count, int thread_count)
      : input_(std::move(labels)),
        transform_(transform),
        neutral_(neutral),
        exposures_(std::move(exposures)),
        group_codes_(group_codes),
        group_count_(group_count) {
    threads = thread_count;
  }
  bool step() override {
    const auto& rows = input_.rows;
    const auto width = static_cast<int64_t>(input_.reach.size());
    found_ = ops::find_missing_labels(input_);
    targets_ = at::empty({rows.dates, rows.stocks, width}, at::kFloat);
    std::vector<uint8_t> counted(rows.dates);
    for (int64_t i = 0; i < input_.sample_count; ++i) counted[input_.sample_dates[i]] = 1;
    if (neutral_) neutral_->counted = counted.data();
    counts_ = ops::make_targets(rows, input_.labels, width, transform_,
                                neutral_ ? &*neutral_ : nullptr,
                                targets_.mutable_data_ptr<float>());
    if (group_codes_ == nullptr) return false;
    groups_ = at::empty({rows.offsets[rows.dates]}, at::kInt);
    auto* group = groups_.mutable_data_ptr<int32_t>();
    for (int64_t t = 0; t < rows.dates; ++t) {
      for (int64_t r = rows.offsets[t]; r < rows.offsets[t + 1]; ++r) {
        const int32_t n = rows.row_stocks[r], code = group_codes_[t * rows.stocks + n];
        group[r] = code >= 0 ? code : group_count_ + n;
      }
    }
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    object.Set("targets", wrap_tensor(env, std::move(targets_)));
    if (groups_.defined()) object.Set("groups", hand_over(env, std::move(groups_)));
    object.Set("all", static_cast<double>(found_.all));
    object.Set("gone", static_cast<double>(found_.gone));
    object.Set("missing", static_cast<double>(found_.missing));
    if (neutral_) {
      auto neutral = Napi::Object::New(env);
      neutral.Set("filled", static_cast<double>(counts_.filled));
      neutral.Set("dependent", static_cast<double>(counts_.dependent));
      neutral.Set("unfit", static_cast<double>(counts_.unfit));
      neutral.Set("labels", static_cast<double>(counts_.labels));
      object.Set("neutral", neutral);
    }
    object.Set("leavers", hand_over(env, tensor_of(found_.leavers, at::kInt)));
    object.Set("leaverCounts", hand_over(env, tensor_of(found_.leaver_counts, at::kInt)));
    object.Set("gaps", hand_over(env, tensor_of(found_.gaps, at::kInt)));
    return object;
  }

 private:
  ops::MissingLabelsInput input_;
  ops::LabelTransform transform_;
  std::optional<ops::NeutralTo> neutral_;
  std::shared_ptr<FeaturesHandle> exposures_;  // what neutral_ reads
  ops::NeutralCounts counts_;
  const int32_t* group_codes_;
  int32_t group_count_;
  ops::MissingLabels found_;
  Tensor targets_, groups_;
};

// Offsets that rise from 0 to the number of stocks, which are stocks of the panel.
ops::RowList read_rows(Held& data, const Size& size) {
  ops::RowList rows{size.dates, size.stocks, nullptr, nullptr};
  rows.offsets = data.required<int32_t>("offsets", size.dates + 1);
  if (rows.offsets[0] != 0 || !std::is_sorted(rows.offsets, rows.offsets + size.dates + 1))
    throw BindingError("ERR_SHAPE", "Expected offsets that rise from 0.");
  rows.row_stocks = data.required<int32_t>("rowStocks", rows.offsets[size.dates]);
  return rows;
}

// What labels are made neutral to: exposures of the same dates and stocks, groups, or both.
std::optional<ops::NeutralTo> read_neutral(Napi::Env env, Held& data, const Size& size,
                                           std::shared_ptr<FeaturesHandle>& exposures) {
  if (!data.has("neutral")) return std::nullopt;
  const auto given = read_object(data.get("neutral"), "neutral");
  ops::NeutralTo neutral;
  neutral.clip = read_number(given.Get("clip"), "clip");
  if (has(given, "exposures")) {
    exposures = unwrap<FeaturesHandle>(env, given.Get("exposures"), "exposures");
    if (exposures->values.size(0) != size.dates || exposures->values.size(1) != size.stocks)
      throw BindingError("ERR_SHAPE", "Expected exposures of the same dates and stocks.");
    neutral.exposures = exposures->values.const_data_ptr<float>();
    neutral.count = exposures->values.size(2);
  }
  if (data.has("neutralGroups")) {
    neutral.groups = data.required<int32_t>("neutralGroups", size.cells);
    neutral.group_count = read_integer(given.Get("groupCount"), "groupCount", 0, INT32_MAX);
    const auto* end = neutral.groups + size.cells;
    if (std::any_of(neutral.groups, end, [&](int32_t g) { return g >= neutral.group_count; }))
      throw BindingError("ERR_SHAPE", "Expected groups below groupCount.");
  }
  return neutral;
}

Napi::Value sample_targets(const Napi::CallbackInfo& info) {
  Held data(info[0], "input");
  const Size size = read_size(data);
  ops::MissingLabelsInput labels{};
  labels.rows = read_rows(data, size);
  labels.reach = read_integers(data.get("reach"), "reach", 0, INT32_MAX);
  labels.labels = data.required<float>(
      "labels",
      element_count({size.cells, static_cast<int64_t>(labels.reach.size())}, "labels"));
  labels.lag = data.integer("lagDays", 0);
  labels.tradable = data.array<uint8_t>("tradable", size.cells);
  labels.last_priced = data.required<int32_t>("lastPriced", size.stocks);
  const auto dates = data.get("sampleDates");
  labels.sample_count =
      dates.IsTypedArray() ? static_cast<int64_t>(dates.As<Napi::TypedArray>().ElementLength()) : 0;
  labels.sample_dates = data.required<int32_t>("sampleDates", labels.sample_count);
  for (int64_t i = 0; i < labels.sample_count; ++i)
    if (labels.sample_dates[i] < 0 || labels.sample_dates[i] >= size.dates)
      throw BindingError("ERR_OPTION", "Expected date indices of the panel for sampleDates.");
  ops::LabelTransform transform{};
  const auto name = read_string(data.get("transform"), "transform", {"rank", "zscore", "none"});
  using Kind = ops::LabelTransform::Kind;
  transform.kind = name == "rank" ? Kind::kRank : name == "zscore" ? Kind::kZscore : Kind::kNone;
  if (data.has("winsorize"))
    transform.winsorize = read_number(data.get("winsorize"), "winsorize");
  const auto* codes = data.array<int32_t>("groupCodes", size.cells);
  const int64_t groups = codes == nullptr ? 0 : data.integer("groupCount", 0);
  std::shared_ptr<FeaturesHandle> exposures;
  const auto neutral = read_neutral(info.Env(), data, size, exposures);
  auto task = std::make_shared<TargetsTask>(std::move(labels), transform, neutral,
                                            std::move(exposures), codes,
                                            static_cast<int32_t>(groups), read_threads(info[1]));
  return job_to_js(info.Env(), task, Environment::of(info.Env()).start(task, {}, data.take()));
}

const Method kFeaturesMethods[] = {
    {"disposed", is_disposed<FeaturesHandle>, true},
    {"toTypedArray",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return to_typed_array(info.Env(), self<FeaturesHandle>(info)->values);
     }},
    {"ofDate",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       const auto& values = self<FeaturesHandle>(info)->values;
       const int64_t date = read_integer(info[0], "date", 0, values.size(0) - 1);
       return to_typed_array(info.Env(), values.select(0, date).t().contiguous());
     }},
    {"dispose", dispose<FeaturesHandle>},
};

const Method kFeaturesFunctions[] = {
    {"panelFeatures", panel_features},
    {"sampleRows", sample_rows},
    {"sampleTargets", sample_targets},
};

}  // namespace

void define_dataset(Napi::Env env, Napi::Object exports) {
  define_handle<FeaturesHandle>(env, kFeaturesMethods);
  export_functions(env, exports, kFeaturesFunctions);
}

}  // namespace astgnn::binding
