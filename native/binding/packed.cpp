// Arrays of packed datasets, which stay in their file.
#include "binding/held.h"
#include "binding/mapping.h"
#include "binding/handles.h"

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
  handle->mapping = std::make_shared<Mapping>(
      place.path, place.offset, bytes_of({size.dates, count, width}, "features"),
      Mapping::Use::kRead);
  handle->values = tensor_over(handle->mapping, {size.dates, count, width}, at::kFloat);
  return wrap(info.Env(), std::move(handle), 0);
}

Napi::Value release_scratch(const Napi::CallbackInfo& info) {
  table::Scratch::release_all();
  return info.Env().Undefined();
}

const Method kPackedFunctions[] = {{"releaseScratch", release_scratch},
                                   {"mapArray", map_array},
                                   {"mapTensor", map_float_tensor},
                                   {"mapFeatures", map_features}};

}  // namespace

void define_packed(Napi::Env env, Napi::Object exports) {
  export_functions(env, exports, kPackedFunctions);
}

}  // namespace astgnn::binding
