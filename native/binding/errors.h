// C++ failures as JavaScript errors of the package's one class.
#pragma once

#include <napi.h>

#include <cstdint>
#include <exception>
#include <optional>
#include <string>

namespace astgnn::binding {

// What crosses the boundary of a failure: a code of lib/errors.ts, one sentence, and for a
// non-finite loss where it came from.
struct Failure {
  std::string code;
  std::string message;
  std::optional<int64_t> step, date_index;
  std::string term;
};

struct BindingError : std::exception {
  explicit BindingError(Failure f) : failure(std::move(f)) {}
  BindingError(std::string code, std::string message)
      : failure{std::move(code), std::move(message), {}, {}, {}} {}
  const char* what() const noexcept override { return failure.message.c_str(); }
  Failure failure;
};

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
