// Targets of a dataset, what the loss sees of its labels. The job reads JavaScript's arrays where
// they lie.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>

#include "binding/held.h"
#include "binding/model_task.h"
#include "binding/roomy.h"
#include "ops/data/labels.h"

namespace astgnn::binding {

namespace {

class TargetsTask : public Task {
 public:
  TargetsTask(ops::MissingLabelsInput labels, ops::LabelTransform transform,
              std::optional<ops::NeutralTo> neutral, std::shared_ptr<FeaturesHandle> exposures,
              const int32_t* group_codes, int32_t group_count, std::string scratch, int thread_count)
      : input_(std::move(labels)),
        transform_(transform),
        neutral_(neutral),
        exposures_(std::move(exposures)),
        group_codes_(group_codes),
        group_count_(group_count),
        scratch_(std::move(scratch)) {
    threads = thread_count;
  }
  bool step() override {
    const auto& rows = input_.rows;
    const auto width = static_cast<int64_t>(input_.reach.size());
    found_ = ops::find_missing_labels(input_);
    targets_ = roomy({rows.dates, rows.stocks, width}, at::kFloat, scratch_);
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
    if (!scratch_.empty()) object.Set("values", hand_over(env, targets_));
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
  std::string scratch_;
  ops::MissingLabels found_;
  at::Tensor targets_, groups_;
};

// Offsets that rise from 0 to the number of rows; stocks of the panel that ascend on each date.
ops::RowList read_rows(Held& data, const Size& size) {
  ops::RowList rows{size.dates, size.stocks, nullptr, nullptr};
  rows.offsets = data.required<int32_t>("offsets", size.dates + 1);
  if (rows.offsets[0] != 0 || !std::is_sorted(rows.offsets, rows.offsets + size.dates + 1))
    throw BindingError("ERR_SHAPE", "Expected offsets that rise from 0.");
  rows.row_stocks = data.required<int32_t>("rowStocks", rows.offsets[size.dates]);
  for (int64_t t = 0; t < size.dates; ++t) {
    int32_t previous = -1;
    for (int64_t r = rows.offsets[t]; r < rows.offsets[t + 1]; ++r) {
      if (rows.row_stocks[r] <= previous || rows.row_stocks[r] >= size.stocks)
        throw BindingError("ERR_SHAPE",
                           "Expected rowStocks that ascend on each date, below stocks.");
      previous = rows.row_stocks[r];
    }
  }
  return rows;
}

// Exposures of a file need not have those of every row.
void require_exposures(const ops::RowList& rows, const ops::Slots& slots) {
  for (int64_t t = 0; t < rows.dates; ++t)
    for (int64_t r = rows.offsets[t]; r < rows.offsets[t + 1]; ++r)
      if (!slots.holds(t, rows.row_stocks[r]))
        throw BindingError("ERR_SHAPE", "Expected exposures of every row.");
}

// What labels are made neutral to: exposures of the same dates and stocks, groups, or both.
std::optional<ops::NeutralTo> read_neutral(Napi::Env env, Held& data, const Size& size,
                                           const ops::RowList& rows,
                                           std::shared_ptr<FeaturesHandle>& exposures) {
  if (!data.has("neutral")) return std::nullopt;
  const auto given = read_object(data.get("neutral"), "neutral");
  ops::NeutralTo neutral;
  neutral.clip = read_number(given.Get("clip"), "clip");
  if (has(given, "exposures")) {
    exposures = unwrap<FeaturesHandle>(env, given.Get("exposures"), "exposures");
    exposures->require_size(size.dates, size.stocks, "exposures");
    require_exposures(rows, exposures->slots);
    neutral.slots = &exposures->slots;
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
  const auto neutral = read_neutral(info.Env(), data, size, labels.rows, exposures);
  auto task = std::make_shared<TargetsTask>(std::move(labels), transform, neutral,
                                            std::move(exposures), codes,
                                            static_cast<int32_t>(groups), data.text("scratch"),
                                            read_threads(info[1]));
  return job_to_js(info.Env(), task, Environment::of(info.Env()).start(task, {}, data.take()));
}

const Method kTargetsFunctions[] = {{"sampleTargets", sample_targets}};

}  // namespace

void define_targets(Napi::Env env, Napi::Object exports) {
  export_functions(env, exports, kTargetsFunctions);
}

}  // namespace astgnn::binding
