// What JavaScript holds: tensors, modules, panels and sessions.
#pragma once

#include <atomic>

#include "binding/arguments.h"
#include "binding/handle.h"
#include "binding/mapping.h"
#include "ops/data/slots.h"
#include "train/train.h"

namespace astgnn::binding {

struct TensorHandle {
  at::Tensor tensor;
};

// A module of any kind. `busy` counts its jobs: while there are any, its weights are not read or
// written from JavaScript's thread.
struct ModuleHandle {
  std::string kind;
  at::ScalarType dtype;
  at::Device device = at::kCPU;
  std::shared_ptr<torch::nn::Module> module;
  uint64_t seed = 0;
  // The mode of the user's own forwards. The module's flag is the compute thread's: every job sets
  // it for its step and no other thread reads it.
  bool training = false;
  int64_t training_calls = 0;  // forwards in training mode: the steps of a layer used alone
  int busy = 0;                // touched on JavaScript's thread only
  bool stepping = false;       // a session's job is among them

  template <typename M>
  M& as() const {
    return dynamic_cast<M&>(*module);
  }
  void refuse_if_busy() const {
    if (busy > 0)
      throw BindingError("ERR_BUSY",
                         "This model is in use by a running job: await it (or abort it) first.");
  }
};

// A panel's features, shared by the datasets and the native panels that use them.
struct FeaturesHandle {
  at::Tensor values;               // [dates, slots, F] float32; or, in 16 bits, these two:
  at::Tensor codes, ranked;  // [dates, slots, F], [dates, F] int32, as in ops/data/rank_codes.h
  at::Tensor missing, incomplete;  // as in ops::PanelFeaturesOutput
  ops::Slots slots{0, 0};
  std::shared_ptr<Mapping> mapping;  // of values, where they lie in a file

  // Bytes of a date.
  int64_t stride() const { return stored().stride(0) * stored().element_size(); }
  int64_t dates() const { return stored().size(0); }
  int64_t width() const { return stored().size(2); }
  const at::Tensor& stored() const { return codes.defined() ? codes : values; }
  int64_t stocks() const { return slots.stocks(); }
  void require_size(int64_t dates_wanted, int64_t stocks_wanted, const char* name) const {
    if (dates() != dates_wanted || stocks() != stocks_wanted)
      throw BindingError("ERR_SHAPE",
                         std::string("Expected ") + name + " of the same dates and stocks.");
  }
};

struct SessionHandle {
  std::shared_ptr<train::Session> session;
  std::shared_ptr<train::Panel> panel;
  std::shared_ptr<ModuleHandle> model, averaged;
};

template <>
struct HandleTraits<TensorHandle> {
  static constexpr const char* name = "NativeTensor";
  static constexpr napi_type_tag tag{0x6173746e6e000001, 0x9d1c4b5f2e7a8801};
};
template <>
struct HandleTraits<ModuleHandle> {
  static constexpr const char* name = "NativeModule";
  static constexpr napi_type_tag tag{0x6173746e6e000002, 0x9d1c4b5f2e7a8802};
};
template <>
struct HandleTraits<train::Panel> {
  static constexpr const char* name = "NativePanel";
  static constexpr napi_type_tag tag{0x6173746e6e000003, 0x9d1c4b5f2e7a8803};
};
template <>
struct HandleTraits<SessionHandle> {
  static constexpr const char* name = "NativeSession";
  static constexpr napi_type_tag tag{0x6173746e6e000004, 0x9d1c4b5f2e7a8804};
};

template <>
struct HandleTraits<FeaturesHandle> {
  static constexpr const char* name = "NativeFeatures";
  static constexpr napi_type_tag tag{0x6173746e6e000005, 0x9d1c4b5f2e7a8805};
};

// Each file defines its handle's methods and the functions that make it.
void define_tensor(Napi::Env env, Napi::Object exports);
void define_module(Napi::Env env, Napi::Object exports);
void define_loadings(Napi::Env env, Napi::Object exports);
void define_features(Napi::Env env, Napi::Object exports);
void define_rows(Napi::Env env, Napi::Object exports);
void define_targets(Napi::Env env, Napi::Object exports);
void define_packed(Napi::Env env, Napi::Object exports);
void define_panel(Napi::Env env, Napi::Object exports);
void define_session(Napi::Env env, Napi::Object exports);
void define_predict(Napi::Env env, Napi::Object exports);
void define_explain(Napi::Env env, Napi::Object exports);
void define_solve(Napi::Env env, Napi::Object exports);
void define_ranks(Napi::Env env, Napi::Object exports);

// The group that this process has joined; throws where there is none.
std::shared_ptr<const train::Ranks> joined_ranks();

Napi::Object wrap_tensor(Napi::Env env, at::Tensor tensor);
Napi::Object wrap_module(Napi::Env env, std::shared_ptr<ModuleHandle> module);

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;
Napi::Object state_to_js(Napi::Env env, const NamedTensors& state);  // copies
NamedTensors read_state(Napi::Value value, const char* name);        // shares the handles' tensors

// Exported functions: a static Method per name, guarded as the handles' methods are.
template <size_t N>
void export_functions(Napi::Env env, Napi::Object exports, const Method (&functions)[N]) {
  for (const Method& method : functions) {
    napi_value function;
    napi_status status = napi_create_function(env, method.name, NAPI_AUTO_LENGTH, detail::invoke,
                                              const_cast<Method*>(&method), &function);
    NAPI_THROW_IF_FAILED_VOID(env, status);
    exports.Set(method.name, Napi::Value(env, function));
  }
}

}  // namespace astgnn::binding
