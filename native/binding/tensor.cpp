#include <ATen/ops/clone.h>

#include "binding/handles.h"

namespace astgnn::binding {

namespace {

at::Tensor& tensor(const Napi::CallbackInfo& info) { return self<TensorHandle>(info)->tensor; }

const Method kTensorMethods[] = {
    {"shape",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return to_js(info.Env(), tensor(info).sizes());
     },
     true},
    {"dtype",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Napi::String::New(info.Env(), dtype_name(tensor(info).scalar_type()));
     },
     true},
    {"device",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Napi::String::New(info.Env(), tensor(info).device().str());
     },
     true},
    {"disposed", is_disposed<TensorHandle>, true},
    {"toTypedArray",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return to_typed_array(info.Env(), tensor(info));
     }},
    {"dispose", dispose<TensorHandle>},
};

const Method kTensorFunctions[] = {
    {"tensor",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       at::Tensor data = read_typed_array(info[0], "data");
       auto shape = read_integers(info[1], "shape", 0, INT32_MAX);
       const int64_t count = element_count(shape, "this shape");
       if (count != data.numel()) {
         throw BindingError("ERR_SHAPE", "Expected " + std::to_string(count) +
                                             " values for this shape but the array has " +
                                             std::to_string(data.numel()) + ".");
       }
       return wrap_tensor(info.Env(), data.view(shape));
     }},
};

}  // namespace

Napi::Object wrap_tensor(Napi::Env env, at::Tensor tensor) {
  auto bytes = static_cast<int64_t>(tensor.nbytes());
  return wrap(env, std::make_shared<TensorHandle>(TensorHandle{std::move(tensor)}), bytes);
}

Napi::Object state_to_js(Napi::Env env, const NamedTensors& state) {
  auto object = Napi::Object::New(env);
  for (const auto& [name, value] : state)
    object.Set(name, wrap_tensor(env, value.detach().clone()));
  return object;
}

NamedTensors read_state(Napi::Value value, const char* name) {
  auto object = read_object(value, name);
  auto keys = object.GetPropertyNames();
  NamedTensors out;
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    std::string key = keys.Get(i).As<Napi::String>();
    out.emplace_back(key, unwrap<TensorHandle>(value.Env(), object.Get(key), key.c_str())->tensor);
  }
  return out;
}

void define_tensor(Napi::Env env, Napi::Object exports) {
  define_handle<TensorHandle>(env, kTensorMethods);
  export_functions(env, exports, kTensorFunctions);
}

}  // namespace astgnn::binding
