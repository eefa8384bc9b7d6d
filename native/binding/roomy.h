// Tensors that may be larger than memory.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <memory>
#include <string>

#include "binding/arguments.h"
#include "table/scratch.h"

namespace astgnn::binding {

// A tensor with whatever its memory held: in a file in `scratch`, or in memory where that is empty.
inline at::Tensor roomy(at::IntArrayRef shape, at::ScalarType type, const std::string& scratch) {
  if (scratch.empty()) return at::empty(shape, type);
  const int64_t bytes =
      element_count(shape, "this shape") * static_cast<int64_t>(c10::elementSize(type));
  try {
    auto made = std::make_shared<table::Scratch>(scratch, bytes);
    void* data = made->data();
    return at::from_blob(data, shape, [made = std::move(made)](void*) {}, at::TensorOptions(type));
  } catch (const std::runtime_error& error) {
    throw BindingError("ERR_DATA", error.what());
  }
}

}  // namespace astgnn::binding
