// The one list of exported names, in the order of lib/binding/types.ts: info, tensor, create*,
// makeLoadings, panelFeatures, sampleRows, sampleTargets, createPanel, createSession, predict, neighbours,
// peerLists, explain, solve, hasSolver, shutdown.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <omp.h>
#include <torch/headeronly/version.h>

#include <cstdlib>
#include <cstring>

#include "binding/handles.h"
#include "ops/cpu/caching_allocator.h"
#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/product_order.h"
#include "ops/precision.h"

namespace astgnn::binding {

namespace {

const char* name_of(ops::Precision precision) {
  switch (precision) {
    case ops::Precision::kHigh:
      return "high";
    case ops::Precision::kMedium:
      return "medium";
    default:
      return "highest";
  }
}

Napi::Value info_of_core(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  auto out = Napi::Object::New(env);
  out.Set("builtAgainst", Napi::String::New(env, std::to_string(TORCH_VERSION_MAJOR) + "." +
                                                     std::to_string(TORCH_VERSION_MINOR) + "." +
                                                     std::to_string(TORCH_VERSION_PATCH)));
  const auto found = devices();
  auto names = Napi::Array::New(env, found.size());
  for (uint32_t i = 0; i < found.size(); ++i) names.Set(i, found[i].str());
  out.Set("devices", names);
  auto cpu = Napi::Object::New(env);
  cpu.Set("isa", ops::instruction_set());
  out.Set("cpu", cpu);
  return out;
}

Napi::Value set_precision(const Napi::CallbackInfo& info) {
  const std::string name = read_string(info[0], "precision", {"highest", "high", "medium"});
  wanted_precision() = name == "high"     ? ops::Precision::kHigh
                       : name == "medium" ? ops::Precision::kMedium
                                          : ops::Precision::kHighest;
  return info.Env().Undefined();
}

Napi::Value precision_on(const Napi::CallbackInfo& info) {
  const at::Device device = read_device(info[0], "device");
  return Napi::String::New(info.Env(), name_of(ops::offered_precision(wanted_precision(), device)));
}

// The caching allocator's numbers, in bytes; the peak is since the last time they were asked for.
Napi::Value device_memory(const Napi::CallbackInfo& info) {
  const at::Device device = read_device(info[0], "device");
  if (device.is_cpu()) expected("a GPU", "device", info[0]);
  auto* allocator = c10::getDeviceAllocator(device.type());
  const auto stats = allocator->getDeviceStats(device.index());
  const auto& used = stats.allocated_bytes[0];  // of all sizes together
  const auto [free, total] = allocator->getMemoryInfo(device.index());
  allocator->resetPeakStats(device.index());
  auto out = Napi::Object::New(info.Env());
  out.Set("allocated", static_cast<double>(used.current));
  out.Set("peak", static_cast<double>(used.peak));
  out.Set("free", static_cast<double>(free));
  out.Set("total", static_cast<double>(total));
  return out;
}

const Method kFunctions[] = {
    {"info", info_of_core},
    {"deviceMemory", device_memory},
    {"useCores",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       train::Executor::instance().use_cores(
           static_cast<int>(read_integer(info[0], "cores", 1, 4096)));
       return info.Env().Undefined();
     }},
    {"setPrecision", set_precision},
    {"precisionOn", precision_on},
    {"setErrorFactory",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       Environment::of(info.Env()).error_factory =
           Napi::Persistent(read_function(info[0], "factory"));
       return info.Env().Undefined();
     }},
    {"shutdown",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       Environment::of(info.Env()).shutdown();
       return info.Env().Undefined();
     }},
};

void keep_freed_memory() {
  const char* choice = std::getenv("ASTGNN_MALLOC");
  if (choice == nullptr || std::strcmp(choice, "system") != 0)
    ops::CachingAllocator::instance().install();
}

}  // namespace

}  // namespace astgnn::binding

// Called by the bootstrap once per environment, after LibTorch was opened.
extern "C" __attribute__((visibility("default"))) napi_value astgnn_init(napi_env raw,
                                                                         napi_value raw_exports) {
  using namespace astgnn::binding;
  return Napi::details::WrapCallback(raw, [&]() -> napi_value {
    Napi::Env env(raw);
    // cuDNN rounds products to TF32 unless it is told not to.
    static const bool once =
        (keep_freed_memory(), at::globalContext().setAllowTF32CuDNN(false), true);
    (void)once;
    // JavaScript's thread computes nothing worth a second thread pool: only the compute thread has
    // one. LibTorch and this library each set a thread's count on its first use: before ours.
    at::get_num_threads();
    at::internal::lazy_init_num_threads();
    omp_set_num_threads(1);
    astgnn::ops::fix_product_order();
    astgnn::ops::CachingAllocator::keep_nothing_on_this_thread();
    env.SetInstanceData(new Environment(env));
    Napi::Object exports(env, raw_exports);
    export_functions(env, exports, kFunctions);
    define_tensor(env, exports);
    define_module(env, exports);
    define_loadings(env, exports);
    define_features(env, exports);
    define_rows(env, exports);
    define_targets(env, exports);
    define_packed(env, exports);
    define_panel(env, exports);
    define_session(env, exports);
    define_predict(env, exports);
    define_explain(env, exports);
    define_solve(env, exports);
    define_ranks(env, exports);
    return exports;
  });
}
