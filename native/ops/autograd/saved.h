// Tensors that an op may not have, among those that it saves: saved as undefined ones.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace astgnn::ops {

inline std::optional<at::Tensor> saved_optional(const at::Tensor& saved) {
  return saved.defined() ? std::optional(saved) : std::nullopt;
}

}  // namespace astgnn::ops
