// What went wrong, in the words of the package's errors.
#pragma once

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

}  // namespace astgnn::binding
