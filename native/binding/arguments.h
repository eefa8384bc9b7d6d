// Checked reads of JavaScript arguments: a wrong type or range is one sentence with what was
// expected and what was received.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <string>
#include <vector>

#include "binding/errors.h"

namespace astgnn::binding {

[[noreturn]] void expected(const std::string& what, const std::string& name, Napi::Value received);

double read_number(Napi::Value value, const std::string& name);
int64_t read_integer(Napi::Value value, const std::string& name, int64_t low, int64_t high);
bool read_boolean(Napi::Value value, const std::string& name);
std::string read_string(Napi::Value value, const std::string& name,
                        std::initializer_list<const char*> allowed = {});
Napi::Object read_object(Napi::Value value, const std::string& name);
Napi::Function read_function(Napi::Value value, const std::string& name);
std::vector<int64_t> read_integers(Napi::Value value, const std::string& name, int64_t low,
                                   int64_t high);  // a plain array
// The product of sizes that are not negative; an error that names `what` where it overflows.
int64_t element_count(at::IntArrayRef sizes, const std::string& what);
at::ScalarType read_dtype(Napi::Value value, const std::string& name);
// One of devices(); the CPU where there is no value.
at::Device read_device(Napi::Value value, const std::string& name);
// What this process can compute on: "cpu", then every GPU where the CUDA library was opened.
std::vector<at::Device> devices();

// Typed array -> own CPU tensor [length] (a copy). `type` restricts it.
at::Tensor read_typed_array(Napi::Value value, const std::string& name);
at::Tensor read_typed_array(Napi::Value value, const std::string& name, at::ScalarType type);

bool has(const Napi::Object& object, const char* key);

const char* dtype_name(at::ScalarType type);
// Tensor -> typed array of its dtype: a copy.
Napi::Value to_typed_array(Napi::Env env, const at::Tensor& tensor);
// The same without a copy for large results, where JavaScript takes memory that is not its own
// (Electron does not); only for a tensor that nothing else refers to.
Napi::Value hand_over(Napi::Env env, at::Tensor tensor);
Napi::Array to_js(Napi::Env env, at::IntArrayRef values);

}  // namespace astgnn::binding
