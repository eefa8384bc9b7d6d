// States of a module and of a training, as files may have them: tensors that are missing,
// unexpected, given twice, of other shapes, types and layouts, or the module's own. What is refused
// leaves all as it was; what is taken is there afterwards.
#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "input.h"
#include "nn/modules.h"

namespace {

using namespace astgnn;
using at::Tensor;
using fuzz::require;
using State = std::vector<std::pair<std::string, Tensor>>;

Tensor draw_tensor(fuzz::Input& input, at::IntArrayRef shape, at::ScalarType type) {
  auto tensor = at::empty(shape, at::kDouble);
  auto* values = tensor.mutable_data_ptr<double>();
  for (int64_t i = 0; i < tensor.numel(); ++i) values[i] = input.byte();
  return tensor.to(type);
}

std::vector<int64_t> draw_shape(fuzz::Input& input) {
  std::vector<int64_t> shape;
  for (int64_t left = input.below(4); left > 0; --left) shape.push_back(input.below(4));
  return shape;
}

struct Part : torch::nn::Module {};

std::shared_ptr<Part> draw_module(fuzz::Input& input, int64_t depth) {
  auto part = std::make_shared<Part>();
  const auto type = input.flag() ? at::kFloat : at::kDouble;
  for (int64_t k = input.below(3); k > 0; --k)
    part->register_parameter("p" + std::to_string(k), draw_tensor(input, draw_shape(input), type),
                             false);
  if (input.flag()) part->register_buffer("b", draw_tensor(input, draw_shape(input), type));
  for (int64_t k = depth > 0 ? input.below(3) : 0; k > 0; --k)
    part->register_module("m" + std::to_string(k), draw_module(input, depth - 1));
  return part;
}

// The same or nearly the same.
Tensor changed(fuzz::Input& input, const Tensor& tensor) {
  const at::ScalarType types[] = {at::kFloat, at::kDouble, at::kInt, at::kLong};
  switch (input.byte() % 24) {
    case 0:
      return draw_tensor(input, draw_shape(input), at::kFloat);
    case 1:
      return draw_tensor(input, {tensor.numel()}, at::kFloat);
    case 2:
      return draw_tensor(input, tensor.sizes(), types[input.below(4)]);
    case 3:
      return tensor;
    case 4:
      return tensor.dim() > 1 ? tensor.clone().transpose(0, 1) : tensor.clone().unsqueeze(0);
    case 5:
      return at::zeros({}, tensor.options()).expand(tensor.sizes());
    case 6:
      return tensor.dim() > 1
                 ? draw_tensor(input, tensor.transpose(0, 1).sizes(), at::kFloat).transpose(0, 1)
                 : at::cat({tensor.reshape({-1}), tensor.reshape({-1})});
    default:
      return draw_tensor(input, tensor.sizes(), tensor.scalar_type());
  }
}

State draw_state(fuzz::Input& input, const State& own) {
  State state;
  for (const auto& [name, tensor] : own) {
    const uint8_t kind = input.byte();
    if (kind == 0) continue;
    if (kind == 1) state.emplace_back(name + ".", tensor.clone());
    state.emplace_back(kind == 2 ? name.substr(1) : name, changed(input, tensor));
    if (kind == 3) state.push_back(state.front());
  }
  if (input.byte() == 0) state.emplace_back("", at::zeros({2}));
  for (size_t i = state.size(); i > 1; --i)
    std::swap(state[i - 1], state[static_cast<size_t>(input.below(static_cast<int64_t>(i)))]);
  return state;
}

State copies(const State& state) {
  State out;
  for (const auto& [name, tensor] : state) out.emplace_back(name, tensor.clone());
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const auto module = draw_module(input, 2);
  const State own = nn::state_dict(*module);
  const State state = draw_state(input, own);
  const State before = copies(own), given = copies(state);
  std::map<std::string, Tensor> by_name;
  for (const auto& [name, tensor] : given) by_name.emplace(name, tensor);
  bool fits = by_name.size() == own.size();
  for (const auto& [name, tensor] : own)
    fits = fits && by_name.count(name) == 1 && by_name.at(name).sizes() == tensor.sizes();

  bool is_taken = true;
  try {
    nn::load_state_dict(*module, state);
  } catch (const c10::Error&) {
    is_taken = false;
  }
  require(is_taken == fits, "a state is taken where it has these tensors");
  for (size_t i = 0; i < own.size(); ++i) {
    const auto& [name, tensor] = own[i];
    const auto& expected = is_taken ? by_name.at(name) : before[i].second;
    require(at::equal(tensor, expected.to(tensor.scalar_type())),
            "and is there, or nothing is changed");
  }
  return 0;
}
