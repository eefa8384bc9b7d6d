// C++ failures as JavaScript errors of the package's one class.
#pragma once

#include <napi.h>

#include <exception>

#include "binding/failure.h"

namespace astgnn::binding {

// Any exception -> Failure; LibTorch's text is cut before its C++ stack.
Failure describe(std::exception_ptr error) noexcept;

// Failure -> error object. `site` is an Error made where the call was made (its stack is kept), or
// empty.
Napi::Value to_js(Napi::Env env, const Failure& failure, Napi::Value site);

// Runs a binding function; what it throws becomes the JavaScript exception.
template <typename F>
Napi::Value guarded(const Napi::CallbackInfo& info, F&& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw Napi::Error(
        info.Env(), to_js(info.Env(), describe(std::current_exception()), info.Env().Undefined()));
  }
}

}  // namespace astgnn::binding
