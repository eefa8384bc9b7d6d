// Arrays of packed datasets, which stay in their file.
#include "binding/held.h"
#include "binding/mapping.h"
#include "binding/handles.h"
#include "binding/jobs.h"
#include "ops/data/rank_codes.h"

namespace astgnn::binding {

namespace {

struct Place {
  std::string path;
  int64_t offset;
};

Place read_place(Napi::Object data) {
  const auto path = data.Get("file");
  if (!path.IsString()) expected("a path", "file", path);
  return {path.As<Napi::String>().Utf8Value(),
          read_integer(data.Get("offset"), "offset", 0, int64_t{1} << 53)};
}

// Of values of four bytes.
int64_t bytes_of(at::IntArrayRef shape, const std::string& what) {
  std::vector<int64_t> factors = shape.vec();
  factors.push_back(4);
  return element_count(factors, what);
}

at::Tensor map_tensor(Napi::Object data, at::IntArrayRef shape, at::ScalarType type) {
  const auto place = read_place(data);
  const int64_t bytes = bytes_of(shape, "this shape");
  if (bytes == 0) return at::empty(shape, type);
  return tensor_over(
      std::make_shared<Mapping>(place.path, place.offset, bytes, Mapping::Use::kRead), shape, type);
}

Napi::Value map_array(const Napi::CallbackInfo& info) {
  auto data = read_object(info[0], "place");
  const auto type = read_string(data.Get("type"), "type", {"float32", "int32"});
  const int64_t length = read_integer(data.Get("length"), "length", 0, int64_t{1} << 50);
  return hand_over(info.Env(),
                   map_tensor(data, {length}, type == "int32" ? at::kInt : at::kFloat));
}

Napi::Value map_float_tensor(const Napi::CallbackInfo& info) {
  auto data = read_object(info[0], "place");
  return wrap_tensor(info.Env(),
                     map_tensor(data, read_integers(data.Get("shape"), "shape", 0, INT32_MAX),
                                at::kFloat));
}

std::vector<int32_t> read_dates_of(Held& data, const char* key, int64_t stocks) {
  const auto* values = data.required<int32_t>(key, stocks);
  return {values, values + stocks};
}

Napi::Value map_features(const Napi::CallbackInfo& info) {
  Held data(info[0], "features");
  const Size size = read_size(data);
  const int64_t count = data.integer("slots", 1), width = data.integer("featureCount", 1);
  auto handle = std::make_shared<FeaturesHandle>();
  if (data.has("slot")) {
    handle->slots = ops::Slots(size.dates, count, read_dates_of(data, "slot", size.stocks),
                               read_dates_of(data, "from", size.stocks),
                               read_dates_of(data, "last", size.stocks),
                               read_dates_of(data, "until", size.stocks));
  } else {
    handle->slots = ops::Slots(size.dates, size.stocks);
  }
  if (handle->slots.count() != count || !handle->slots.is_valid())
    throw BindingError("ERR_DATA", "The slots of the packed features contradict each other.");
  const auto place = read_place(read_object(info[0], "features"));
  const bool in_codes = data.has("ranked");
  const int64_t bytes = bytes_of({size.dates, count, width}, "features") / (in_codes ? 2 : 1);
  handle->mapping =
      std::make_shared<Mapping>(place.path, place.offset, bytes, Mapping::Use::kRead);
  const std::vector<int64_t> shape{size.dates, count, width};
  if (in_codes) {
    handle->codes = tensor_over(handle->mapping, shape, at::kShort);
    const auto* ranked = data.required<int32_t>("ranked", size.dates * width);
    handle->ranked = at::empty({size.dates, width}, at::kInt);
    for (int64_t i = 0; i < size.dates * width; ++i)
      if (ranked[i] < 1 || ranked[i] > ops::kMostRanked)
        throw BindingError("ERR_DATA", "Packed ranks are among " + std::to_string(ranked[i]) +
                                           " stocks.");
    std::copy_n(ranked, size.dates * width, handle->ranked.mutable_data_ptr<int32_t>());
  } else {
    handle->values = tensor_over(handle->mapping, shape, at::kFloat);
  }
  return wrap(info.Env(), std::move(handle), 0);
}

// Writes features in 16 bits, one date after the other: also to where they lie themselves, as a
// date takes half of what it took.
class EncodeTask : public Task {
 public:
  EncodeTask(std::shared_ptr<FeaturesHandle> features, Place place)
      : features_(std::move(features)), place_(std::move(place)) {}
  bool step() override {
    const auto& values = features_->values;
    const int64_t slots = values.size(1), width = values.size(2);
    if (!to_) {
      to_ = std::make_unique<Mapping>(place_.path, place_.offset,
                                      std::max<int64_t>(1, 2 * values.numel()),
                                      Mapping::Use::kWrite);
      ranked_ = at::empty({values.size(0), width}, at::kInt);
    }
    codes_.resize(slots * width);
    const auto refused = ops::encode_ranks(
        values.const_data_ptr<float>() + at_ * slots * width, slots, width, codes_.data(),
        ranked_.mutable_data_ptr<int32_t>() + at_ * width);
    if (refused) {
      feature_ = *refused;
      return false;
    }
    const auto bytes = static_cast<int64_t>(codes_.size() * sizeof codes_[0]);
    std::memcpy(to_->data() + at_ * bytes, codes_.data(), bytes);
    ++at_;
    if (features_->mapping && at_ % kDates == 0)
      features_->mapping->release((at_ - kDates) * features_->stride(),
                                  kDates * features_->stride());
    if (at_ % kDates == 0)
      to_->release((at_ - kDates) * bytes, kDates * bytes);
    return at_ < values.size(0);
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    if (feature_ >= 0) {
      object.Set("feature", static_cast<double>(feature_));
      object.Set("date", static_cast<double>(at_));
    } else {
      object.Set("ranked", to_typed_array(env, ranked_));
    }
    return object;
  }

 private:
  static constexpr int64_t kDates = 64;
  std::shared_ptr<FeaturesHandle> features_;
  Place place_;
  std::unique_ptr<Mapping> to_;
  std::vector<uint16_t> codes_;  // of the date
  at::Tensor ranked_;
  int64_t at_ = 0, feature_ = -1;
};

Napi::Value encode_ranks(const Napi::CallbackInfo& info) {
  auto features = unwrap<FeaturesHandle>(info.Env(), info[0], "features");
  auto task = std::make_shared<EncodeTask>(std::move(features),
                                           read_place(read_object(info[1], "place")));
  return job_to_js(info.Env(), task, Environment::of(info.Env()).start(task, {}, {}));
}

Napi::Value release_scratch(const Napi::CallbackInfo& info) {
  table::Scratch::release_all();
  return info.Env().Undefined();
}

const Method kPackedFunctions[] = {{"releaseScratch", release_scratch},
                                   {"mapArray", map_array},
                                   {"mapTensor", map_float_tensor},
                                   {"mapFeatures", map_features},
                                   {"encodeRanks", encode_ranks}};

}  // namespace

void define_packed(Napi::Env env, Napi::Object exports) {
  export_functions(env, exports, kPackedFunctions);
}

}  // namespace astgnn::binding
