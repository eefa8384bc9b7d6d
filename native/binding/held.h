// Objects of JavaScript with typed arrays that jobs read where they lie.
#pragma once

#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "binding/arguments.h"
#include "binding/errors.h"
#include "ops/data/grid.h"

namespace astgnn::binding {

// Reads of an object with typed arrays that a job goes on to read.
class Held {
 public:
  Held(Napi::Value value, const char* name) : object_(read_object(value, name)) {}

  bool has(const char* key) const { return binding::has(object_, key); }
  Napi::Value get(const char* key) const { return object_.Get(key); }
  // Empty where there is none.
  std::string text(const char* key) const {
    if (!has(key)) return {};
    const auto value = get(key);
    if (!value.IsString()) expected("a path", key, value);
    return value.As<Napi::String>().Utf8Value();
  }
  int64_t integer(const char* key, int64_t low, int64_t high = INT32_MAX) const {
    return read_integer(get(key), key, low, high);
  }
  // Null where there is none.
  template <typename T>
  const T* array(const char* key, int64_t length) {
    if (!has(key)) return nullptr;
    return static_cast<const T*>(data(get(key), key, array_type<T>(), length));
  }
  template <typename T>
  const T* required(const char* key, int64_t length) {
    const T* values = array<T>(key, length);
    if (values == nullptr && length > 0) expected("a typed array", key, get(key));
    return values;
  }
  ops::Column column(const char* key, int64_t length) { return column(get(key), key, length); }
  ops::Column column(Napi::Value value, const char* name, int64_t length) {
    ops::Column column;
    if (value.IsTypedArray() &&
        value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array) {
      column.twice = static_cast<const double*>(data(value, name, napi_float64_array, length));
    } else {
      column.single = static_cast<const float*>(data(value, name, napi_float32_array, length));
    }
    return column;
  }
  std::vector<Napi::Object> take() {
    kept_.push_back(object_);
    return std::move(kept_);
  }

 private:
  template <typename T>
  static constexpr napi_typedarray_type array_type() {
    if constexpr (std::is_same_v<T, uint8_t>) return napi_uint8_array;
    if constexpr (std::is_same_v<T, int32_t>) return napi_int32_array;
    if constexpr (std::is_same_v<T, double>) return napi_float64_array;
    return napi_float32_array;
  }
  const void* data(Napi::Value value, const char* name, napi_typedarray_type type,
                   int64_t length) {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
      expected("a typed array of another kind", name, value);
    const auto array = value.As<Napi::TypedArray>();
    if (static_cast<int64_t>(array.ElementLength()) != length) {
      throw BindingError("ERR_SHAPE", std::string("Expected ") + std::to_string(length) +
                                          " values for " + name + " but the array has " +
                                          std::to_string(array.ElementLength()) + ".");
    }
    kept_.push_back(array);
    void* values = nullptr;
    napi_status status = napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, &values,
                                                  nullptr, nullptr);
    NAPI_THROW_IF_FAILED(value.Env(), status, nullptr);
    return values;
  }

  Napi::Object object_;
  std::vector<Napi::Object> kept_;
};

struct Size {
  int64_t dates, stocks, cells;
};

inline Size read_size(const Held& data) {
  const int64_t dates = data.integer("dates", 1), stocks = data.integer("stocks", 1);
  return {dates, stocks, element_count({dates, stocks}, "the panel")};
}

template <typename T>
at::Tensor tensor_of(const std::vector<T>& values, at::ScalarType type) {
  auto tensor = at::empty({static_cast<int64_t>(values.size())}, type);
  std::copy(values.begin(), values.end(), tensor.template mutable_data_ptr<T>());
  return tensor;
}

}  // namespace astgnn::binding
