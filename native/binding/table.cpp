// The torch-free half's exports: long tables on their way to the grid, and the checks of a grid. What
// takes time runs on a thread of libuv's, in pieces that JavaScript asks for one after the other.
#include <memory>

#include "binding/table.h"
#include "table/scratch.h"

namespace astgnn::binding {

namespace {

// (folder, bytes): an ArrayBuffer that lies in a file.
Napi::Value scratch(const Napi::CallbackInfo& info) {
  const int64_t bytes = integer(info[1]);
  std::unique_ptr<table::Scratch> made;
  try {
    made = std::make_unique<table::Scratch>(info[0].As<Napi::String>().Utf8Value(), bytes);
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), error.what());
  }
  auto* held = made.release();
  return Napi::ArrayBuffer::New(info.Env(), held->data(), static_cast<size_t>(bytes),
                                [held](Napi::Env, void*) { delete held; });
}

Napi::Value release_scratch(const Napi::CallbackInfo& info) {
  table::Scratch::release_all();
  return info.Env().Undefined();
}

}  // namespace

void define_scratch(Napi::Object exports) {
  define(exports, "scratch", scratch);
  define(exports, "releaseScratch", release_scratch);
}

}  // namespace astgnn::binding

// Sets the functions on the bootstrap's exports.
extern "C" napi_value astgnn_define_table(napi_env env, napi_value exports) {
  using namespace astgnn::binding;
  try {
    const Napi::Object object(env, exports);
    define_reading(object);
    define_rows(object);
    define_checks(object);
    define_scratch(object);
    return exports;
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
    return nullptr;
  }
}
