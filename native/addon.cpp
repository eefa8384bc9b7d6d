// The one list of exported names, in the order of lib/binding/types.ts: info, tensor, create*,
// predict, shutdown.
#include <omp.h>
#include <torch/headeronly/version.h>

#include <climits>
#include <cstdlib>
#include <cstring>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "binding/handles.h"

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
  cpu.Set("precision", name_of(wanted_precision()));
  out.Set("cpu", cpu);
  return out;
}

Napi::Value set_precision(const Napi::CallbackInfo& info) {
  const std::string name = read_string(info[0], "precision", {"highest", "high", "medium"});
  wanted_precision() = ops::offered_precision(name == "high"     ? ops::Precision::kHigh
                                              : name == "medium" ? ops::Precision::kMedium
                                                                 : ops::Precision::kHighest);
  return Napi::String::New(info.Env(), name_of(wanted_precision()));
}

const Method kFunctions[] = {
    {"info", info_of_core},
    {"setPrecision", set_precision},
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

// glibc maps and unmaps every block above 32 MB anew, and each page of it faults: N x N temporaries
// then cost more than their arithmetic. One arena, because these settings do nothing for the arenas
// of other threads.
void keep_large_blocks() {
#if defined(__GLIBC__)
  const char* choice = std::getenv("ASTGNN_MALLOC");
  if (choice != nullptr && std::strcmp(choice, "system") == 0) return;
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

}  // namespace

}  // namespace astgnn::binding

// Called by the bootstrap once per environment, after LibTorch was opened.
extern "C" __attribute__((visibility("default"))) napi_value astgnn_init(napi_env raw,
                                                                         napi_value raw_exports) {
  using namespace astgnn::binding;
  return Napi::details::WrapCallback(raw, [&]() -> napi_value {
    Napi::Env env(raw);
    static const bool once = (keep_large_blocks(), true);
    (void)once;
    // JavaScript's thread computes nothing worth a second thread pool: only the compute thread has
    // one.
    omp_set_num_threads(1);
    env.SetInstanceData(new Environment(env));
    Napi::Object exports(env, raw_exports);
    export_functions(env, exports, kFunctions);
    define_tensor(env, exports);
    define_module(env, exports);
    define_panel(env, exports);
    define_session(env, exports);
    define_predict(env, exports);
    return exports;
  });
}
