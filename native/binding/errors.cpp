#include "binding/errors.h"

#include <c10/util/Exception.h>

#include "binding/jobs.h"
#include "train/executor.h"
#include "train/train.h"

namespace astgnn::binding {

namespace {

// LibTorch appends context and a stack after the first blank line; neither belongs in a message for
// users.
std::string first_paragraph(std::string text) {
  for (const char* end : {"\n\n", "\nException raised from"}) {
    if (auto at = text.find(end); at != std::string::npos) text.resize(at);
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

Failure from_c10(const c10::Error& error, const char* code) {
  std::string text = first_paragraph(error.what_without_backtrace());
  if (text.find("can't allocate memory") != std::string::npos ||
      text.find("not enough memory") != std::string::npos)
    code = "ERR_OUT_OF_MEMORY";
  return {code, text, {}, {}, {}};
}

}  // namespace

Failure describe(std::exception_ptr error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const BindingError& e) {
    return e.failure;
  } catch (const train::Cancelled&) {
    return {"ERR_ABORTED", "The job was cancelled.", {}, {}, {}};
  } catch (const train::RankLost& e) {
    return {"ERR_RANK_LOST", e.what(), {}, {}, {}};
  } catch (const train::NotFinite& e) {
    return {"ERR_NOT_FINITE", e.what(), e.step, e.date_index, e.term};
  } catch (const c10::OutOfMemoryError& e) {
    return from_c10(e, "ERR_OUT_OF_MEMORY");
  } catch (const c10::ValueError& e) {
    return from_c10(e, "ERR_OPTION");
  } catch (const c10::Error& e) {
    return from_c10(e, "ERR_SHAPE");
  } catch (const std::bad_alloc&) {
    return {"ERR_OUT_OF_MEMORY", "The system gave no more memory.", {}, {}, {}};
  } catch (const std::exception& e) {
    return {"ERR_INTERNAL", first_paragraph(e.what()), {}, {}, {}};
  } catch (...) {
    return {"ERR_INTERNAL", "An exception of unknown type.", {}, {}, {}};
  }
}

Napi::Value to_js(Napi::Env env, const Failure& failure, Napi::Value site) {
  auto details = Napi::Object::New(env);
  if (failure.step) details.Set("step", Napi::Number::New(env, static_cast<double>(*failure.step)));
  if (failure.date_index)
    details.Set("dateIndex", Napi::Number::New(env, static_cast<double>(*failure.date_index)));
  if (!failure.term.empty()) details.Set("term", failure.term);
  auto& factory = Environment::of(env).error_factory;
  try {
    if (!factory.IsEmpty())
      return factory.Call({Napi::String::New(env, failure.code),
                           Napi::String::New(env, failure.message), details, site});
  } catch (const Napi::Error&) {
    // The failure itself says more than that its factory failed too.
  }
  auto error = Napi::Error::New(env, failure.message).Value();
  error.Set("code", failure.code);
  return error;
}

}  // namespace astgnn::binding
