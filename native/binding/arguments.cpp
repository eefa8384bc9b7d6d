#include "binding/arguments.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cmath>
#include <cstring>
#include <memory>

namespace astgnn::binding {

namespace {

constexpr int64_t kHandOverBytes = 1 << 20;

std::string describe_value(Napi::Value value) {
  if (value.IsUndefined()) return "nothing";
  if (value.IsString()) return "\"" + value.As<Napi::String>().Utf8Value() + "\" of type string";
  if (value.IsNumber() || value.IsBoolean())
    return value.ToString().Utf8Value() +
           (value.IsNumber() ? " of type number" : " of type boolean");
  if (value.IsNull()) return "null";
  if (value.IsArray()) return "an array";
  if (value.IsTypedArray()) return "a typed array of another kind";
  if (value.IsFunction()) return "a function";
  return "a value of type object";
}

at::ScalarType scalar_type(napi_typedarray_type type, Napi::Value value, const std::string& name) {
  switch (type) {
    case napi_float32_array:
      return at::kFloat;
    case napi_float64_array:
      return at::kDouble;
    case napi_int32_array:
      return at::kInt;
    case napi_bigint64_array:
      return at::kLong;
    default:
      expected("a Float32Array, Float64Array, Int32Array or BigInt64Array", name, value);
  }
}

const char* array_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "a Float32Array";
    case at::kDouble:
      return "a Float64Array";
    case at::kInt:
      return "an Int32Array";
    default:
      return "a BigInt64Array";
  }
}

}  // namespace

void expected(const std::string& what, const std::string& name, Napi::Value received) {
  throw BindingError("ERR_OPTION", "Expected " + what + " for " + name + " but received " +
                                       describe_value(received) + ".");
}

double read_number(Napi::Value value, const std::string& name) {
  if (!value.IsNumber()) expected("a number", name, value);
  return value.As<Napi::Number>().DoubleValue();
}

int64_t read_integer(Napi::Value value, const std::string& name, int64_t low, int64_t high) {
  double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) ||
      number != std::floor(number))
    expected("a whole number from " + std::to_string(low) + " to " + std::to_string(high), name,
             value);
  return static_cast<int64_t>(number);
}

bool read_boolean(Napi::Value value, const std::string& name) {
  if (!value.IsBoolean()) expected("true or false", name, value);
  return value.As<Napi::Boolean>();
}

std::string read_string(Napi::Value value, const std::string& name,
                        std::initializer_list<const char*> allowed) {
  if (value.IsString()) {
    std::string text = value.As<Napi::String>();
    if (allowed.size() == 0) return text;
    for (const char* candidate : allowed)
      if (text == candidate) return text;
  }
  std::string what = allowed.size() == 0 ? "a string" : "";
  for (const char* candidate : allowed)
    what += (what.empty() ? "\"" : " or \"") + std::string(candidate) + "\"";
  expected(what, name, value);
}

Napi::Object read_object(Napi::Value value, const std::string& name) {
  if (!value.IsObject() || value.IsArray() || value.IsTypedArray())
    expected("an object", name, value);
  return value.As<Napi::Object>();
}

Napi::Function read_function(Napi::Value value, const std::string& name) {
  if (!value.IsFunction()) expected("a function", name, value);
  return value.As<Napi::Function>();
}

std::vector<int64_t> read_integers(Napi::Value value, const std::string& name, int64_t low,
                                   int64_t high) {
  if (!value.IsArray()) expected("an array of whole numbers", name, value);
  auto array = value.As<Napi::Array>();
  std::vector<int64_t> out;
  for (uint32_t i = 0; i < array.Length(); ++i)
    out.push_back(read_integer(array.Get(i), name + "[" + std::to_string(i) + "]", low, high));
  return out;
}

int64_t element_count(at::IntArrayRef sizes, const std::string& what) {
  int64_t count = 1;
  for (int64_t size : sizes) {
    if (!__builtin_mul_overflow(count, size, &count)) continue;
    std::string product;
    for (int64_t factor : sizes) {
      if (!product.empty()) product += " x ";
      product += std::to_string(factor);
    }
    throw BindingError("ERR_SHAPE",
                       product + " values for " + what + " are more than memory can hold.");
  }
  return count;
}

at::ScalarType read_dtype(Napi::Value value, const std::string& name) {
  return read_string(value, name, {"float32", "float64"}) == "float64" ? at::kDouble : at::kFloat;
}

std::vector<at::Device> devices() {
  std::vector<at::Device> found{at::kCPU};
  const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("astgnn::_relational_embedding_forward", "");
  if (!c10::impl::hasDeviceGuardImpl(at::kCUDA) ||
      !op.hasKernelForDispatchKey(at::DispatchKey::CUDA))
    return found;
  const int count = c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount();
  for (int i = 0; i < count; ++i) found.emplace_back(at::kCUDA, static_cast<at::DeviceIndex>(i));
  return found;
}

at::Device read_device(Napi::Value value, const std::string& name) {
  if (value.IsUndefined()) return at::kCPU;
  const std::string text = read_string(value, name);
  std::string names;
  for (const at::Device device : devices()) {
    if (device.str() == text) return device;
    names += (names.empty() ? "\"" : ", \"") + device.str() + "\"";
  }
  throw BindingError("ERR_CUDA_UNAVAILABLE", "There is no device \"" + text + "\" for " + name +
                                                 "; this process computes on " + names + ".");
}

at::Tensor read_typed_array(Napi::Value value, const std::string& name) {
  if (!value.IsTypedArray()) expected("a typed array", name, value);
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  napi_status status =
      napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr);
  if (status != napi_ok) expected("a typed array", name, value);
  auto tensor = at::empty({static_cast<int64_t>(length)}, scalar_type(type, value, name));
  if (length > 0) std::memcpy(tensor.mutable_data_ptr(), data, tensor.nbytes());
  return tensor;
}

at::Tensor read_typed_array(Napi::Value value, const std::string& name, at::ScalarType type) {
  if (!value.IsTypedArray()) expected(array_name(type), name, value);
  napi_typedarray_type kind;
  napi_get_typedarray_info(value.Env(), value, &kind, nullptr, nullptr, nullptr, nullptr);
  if (scalar_type(kind, value, name) != type) expected(array_name(type), name, value);
  return read_typed_array(value, name);
}

bool has(const Napi::Object& object, const char* key) {
  auto value = object.Get(key);
  return !value.IsUndefined() && !value.IsNull();
}

const char* dtype_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kInt:
      return "int32";
    case at::kLong:
      return "int64";
    default:
      return "other";
  }
}

namespace {

Napi::Value view(Napi::Env env, at::ScalarType type, Napi::ArrayBuffer buffer, size_t length) {
  switch (type) {
    case at::kFloat:
      return Napi::Float32Array::New(env, length, buffer, 0);
    case at::kDouble:
      return Napi::Float64Array::New(env, length, buffer, 0);
    case at::kInt:
      return Napi::Int32Array::New(env, length, buffer, 0);
    case at::kLong:
      return Napi::BigInt64Array::New(env, length, buffer, 0);
    default:
      throw BindingError("ERR_INTERNAL", "A tensor of a type that JavaScript has no array for.");
  }
}

}  // namespace

Napi::Value to_typed_array(Napi::Env env, const at::Tensor& tensor) {
  at::Tensor flat = tensor.detach().cpu().contiguous();
  auto buffer = Napi::ArrayBuffer::New(env, flat.nbytes());
  if (flat.nbytes() > 0) std::memcpy(buffer.Data(), flat.const_data_ptr(), flat.nbytes());
  return view(env, flat.scalar_type(), buffer, static_cast<size_t>(flat.numel()));
}

Napi::Value hand_over(Napi::Env env, at::Tensor tensor) {
  if (static_cast<int64_t>(tensor.nbytes()) < kHandOverBytes || !tensor.is_contiguous() ||
      !tensor.is_cpu())
    return to_typed_array(env, tensor);
  auto owner = std::make_unique<at::Tensor>(tensor);
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(
      env, owner->mutable_data_ptr(), owner->nbytes(),
      [](napi_env, void*, void* held) { delete static_cast<at::Tensor*>(held); }, owner.get(),
      &buffer);
  if (status == napi_no_external_buffers_allowed) return to_typed_array(env, tensor);
  NAPI_THROW_IF_FAILED(env, status, Napi::Value());
  owner.release();
  return view(env, tensor.scalar_type(), Napi::ArrayBuffer(env, buffer),
              static_cast<size_t>(tensor.numel()));
}

Napi::Array to_js(Napi::Env env, at::IntArrayRef values) {
  auto array = Napi::Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i)
    array.Set(static_cast<uint32_t>(i), Napi::Number::New(env, static_cast<double>(values[i])));
  return array;
}

}  // namespace astgnn::binding
