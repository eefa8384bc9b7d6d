// Features of a panel. The job reads JavaScript's arrays where they lie: the promise's table keeps
// these alive.
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "binding/held.h"
#include "binding/model_task.h"
#include "binding/roomy.h"
#include "ops/data/panel_features.h"

namespace astgnn::binding {

namespace {

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
  // lives: of stocks that may share slots. known: features of other dates, those from known_from on
  // being input's first.
  FeaturesTask(ops::PanelFeaturesInput input, std::optional<ops::LivesInput> lives,
               std::shared_ptr<FeaturesHandle> known, int64_t known_from, int thread_count)
      : input_(std::move(input)),
        lives_(lives),
        input_first_(input_.first),
        known_(std::move(known)),
        known_from_(known_from),
        handle_(std::make_shared<FeaturesHandle>()) {
    threads = thread_count;
  }
  // Puts the features into a file, from `offset` on.
  void keep_in(std::string file, int64_t offset) {
    file_ = std::move(file);
    offset_ = offset;
  }
  // Puts what is made on the way into files of this folder.
  void keep_rest_in(std::string scratch) { input_.scratch = std::move(scratch); }
  bool step() override {
    if (!work_) begin();
    const int64_t before = work_->dates_done() - input_first_;
    const bool more = work_->step();
    const int64_t made = work_->dates_done() - input_first_ - before;
    if (handle_->mapping)
      handle_->mapping->release(before * handle_->stride(), made * handle_->stride());
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
    const auto bytes = static_cast<int64_t>((handle_->mapping ? 0 : handle_->values.nbytes()) +
                                            handle_->missing.nbytes());
    object.Set("features", wrap(env, std::move(handle_), bytes));
    return object;
  }

 private:
  void begin() {
    const int64_t M = input_.made();
    auto& slots = input_.slots = lives_ ? ops::Slots(*lives_) : ops::Slots(M, input_.stocks);
    if (known_) {
      input_.known = std::min(M, known_->dates() - known_from_);
      if (!slots.take_over(known_->slots, known_from_, input_.known)) input_.known = 0;
    }
    const std::vector<int64_t> shape{M, slots.count(), input_.features()};
    if (file_.empty()) {
      handle_->values = at::empty(shape, at::kFloat);
    } else {
      handle_->mapping = std::make_shared<Mapping>(
          file_, offset_, element_count(shape, "features") * 4, Mapping::Use::kWrite);
      handle_->values = tensor_over(handle_->mapping, shape, at::kFloat);
    }
    handle_->missing = input_.scratch.empty()
                           ? at::zeros({M, slots.count(), input_.mask_bytes()}, at::kByte)
                           : roomy({M, slots.count(), input_.mask_bytes()}, at::kByte,
                                   input_.scratch);  // zeros, as every new file
    handle_->incomplete = at::zeros({M}, at::kByte);
    handle_->slots = slots;
    if (input_.known > 0) {
      copy_known(handle_->values, known_->values);
      copy_known(handle_->missing, known_->missing);
      handle_->incomplete.narrow(0, 0, input_.known)
          .copy_(known_->incomplete.narrow(0, known_from_, input_.known));
    }
    known_.reset();
    work_ = std::make_unique<ops::PanelFeatures>(
        std::move(input_),
        ops::PanelFeaturesOutput{handle_->values.mutable_data_ptr<float>(),
                                 handle_->missing.mutable_data_ptr<uint8_t>(),
                                 handle_->incomplete.mutable_data_ptr<uint8_t>()});
  }

  // Of the known dates, what the stocks hold in both.
  void copy_known(const at::Tensor& to, const at::Tensor& from) const {
    const auto &slots = handle_->slots, &others = known_->slots;
    if (slots.of_stock().empty() && others.of_stock().empty()) {
      to.narrow(0, 0, input_.known).copy_(from.narrow(0, known_from_, input_.known));
      return;
    }
    const int64_t bytes = to.stride(1) * to.element_size();
    auto* out = static_cast<char*>(to.mutable_data_ptr());
    const auto* in = static_cast<const char*>(from.const_data_ptr());
    for (int64_t t = 0; t < input_.known; ++t) {
      for (int64_t n = 0; n < slots.stocks(); ++n) {
        if (!slots.holds(t, n)) continue;
        std::copy_n(in + ((t + known_from_) * others.count() + others.slot(n)) * bytes, bytes,
                    out + (t * slots.count() + slots.slot(n)) * bytes);
      }
    }
  }

  ops::PanelFeaturesInput input_;
  std::optional<ops::LivesInput> lives_;
  int64_t input_first_;
  std::string file_;
  int64_t offset_ = 0;
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
                                 element_count({refreshes, input.loadings_count, size.stocks},
                                               "loadings"))
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
  if (data.has("first")) input.first = data.integer("first", 0, size.dates - 1);
  if (data.has("fitFrom")) {
    input.fit_from = data.integer("fitFrom", input.first, size.dates - 1);
    input.fit_to = data.integer("fitTo", input.fit_from, size.dates - 1);
  }
  std::shared_ptr<FeaturesHandle> known;
  int64_t known_from = 0;
  if (data.has("known")) {
    known = unwrap<FeaturesHandle>(info.Env(), data.get("known"), "known");
    if (known->stocks() != size.stocks || known->values.size(2) != input.features())
      throw BindingError("ERR_SHAPE", "Expected known features of the same stocks and number.");
    known_from = data.integer("knownFrom", 0, known->dates() - 1);
  }
  std::optional<ops::LivesInput> lives;
  if (data.has("maxMissingDates")) {
    lives = ops::LivesInput{size.dates,
                            size.stocks,
                            input.first,
                            data.integer("maxMissingDates", 0),
                            data.required<uint8_t>("present", size.cells),
                            input.universe,
                            {}};
    if (data.has("close")) lives->close = data.column("close", size.cells);
  }
  const auto on_date = read_function(info[2], "onDates");
  auto task = std::make_shared<FeaturesTask>(std::move(input), lives, std::move(known), known_from,
                                             read_threads(info[1]));
  if (data.has("file")) task->keep_in(data.text("file"), data.integer("offset", 0));
  task->keep_rest_in(data.text("scratch"));
  return job_to_js(info.Env(), task,
                   Environment::of(info.Env()).start(task, on_date, data.take()));
}

// Features of dates in the order of the stocks [dates, stocks, F]: NaN where a stock does not live.
at::Tensor by_stock(const FeaturesHandle& handle, int64_t first, int64_t dates) {
  const auto values = handle.codes.defined()
                          ? train::decoded(handle.codes.narrow(0, first, dates),
                                           handle.ranked.narrow(0, first, dates))
                          : handle.values.narrow(0, first, dates);
  const auto& slots = handle.slots;
  if (slots.of_stock().empty()) return values;
  const int64_t F = values.size(2);
  auto dense = at::full({dates, slots.stocks(), F}, std::numeric_limits<float>::quiet_NaN());
  auto* out = dense.mutable_data_ptr<float>();
  const auto* in = values.const_data_ptr<float>();
  for (int64_t t = 0; t < dates; ++t) {
    for (int64_t n = 0; n < slots.stocks(); ++n) {
      if (slots.lives(first + t, n))
        std::copy_n(in + (t * slots.count() + slots.slot(n)) * F, F,
                    out + (t * slots.stocks() + n) * F);
    }
  }
  return dense;
}

Napi::Value slots_to_js(const Napi::CallbackInfo& info) {
  const auto& slots = self<FeaturesHandle>(info)->slots;
  auto object = Napi::Object::New(info.Env());
  object.Set("count", static_cast<double>(slots.count()));
  if (slots.of_stock().empty()) return object;
  std::vector<int32_t> from, last, until;
  for (int64_t n = 0; n < slots.stocks(); ++n) {
    from.push_back(static_cast<int32_t>(slots.from(n)));
    last.push_back(static_cast<int32_t>(slots.last(n)));
    until.push_back(static_cast<int32_t>(slots.until(n)));
  }
  object.Set("slot", to_typed_array(info.Env(), tensor_of(slots.of_stock(), at::kInt)));
  object.Set("from", to_typed_array(info.Env(), tensor_of(from, at::kInt)));
  object.Set("last", to_typed_array(info.Env(), tensor_of(last, at::kInt)));
  object.Set("until", to_typed_array(info.Env(), tensor_of(until, at::kInt)));
  return object;
}

// Of the dates from .. to - 1, where they lie in a file.
Napi::Value advise(const Napi::CallbackInfo& info, void (Mapping::*what)(int64_t, int64_t) const) {
  const auto handle = self<FeaturesHandle>(info);
  refuse_cut_files();
  const int64_t to = read_integer(info[1], "to", 0, handle->dates());
  const int64_t from = read_integer(info[0], "from", 0, to);
  if (handle->mapping)
    (*handle->mapping.*what)(from * handle->stride(), (to - from) * handle->stride());
  return info.Env().Undefined();
}

const Method kFeaturesMethods[] = {
    {"disposed", is_disposed<FeaturesHandle>, true},
    {"toTypedArray",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       const auto handle = self<FeaturesHandle>(info);
       return to_typed_array(info.Env(), by_stock(*handle, 0, handle->dates()));
     }},
    {"ofDate",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       const auto handle = self<FeaturesHandle>(info);
       const int64_t date = read_integer(info[0], "date", 0, handle->dates() - 1);
       return to_typed_array(info.Env(),
                             by_stock(*handle, date, 1).select(0, 0).t().contiguous());
     }},
    {"slots", slots_to_js},
    {"expect", [](const Napi::CallbackInfo& info) { return advise(info, &Mapping::expect); }},
    {"release", [](const Napi::CallbackInfo& info) { return advise(info, &Mapping::release); }},
    {"dispose", dispose<FeaturesHandle>},
};

const Method kFeaturesFunctions[] = {{"panelFeatures", panel_features}};

}  // namespace

void define_features(Napi::Env env, Napi::Object exports) {
  define_handle<FeaturesHandle>(env, kFeaturesMethods);
  export_functions(env, exports, kFeaturesFunctions);
}

}  // namespace astgnn::binding
