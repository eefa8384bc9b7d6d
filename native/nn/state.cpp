// Parameters and buffers by name.
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <unordered_map>
#include <unordered_set>

#include "nn/modules.h"

namespace astgnn::nn {

namespace {

// Python's order: a module's parameters, its buffers, then its children.
void collect(const torch::nn::Module& module, const std::string& prefix,
             std::vector<std::pair<std::string, Tensor>>& state) {
  for (const auto& entry : module.named_parameters(/*recurse=*/false)) {
    state.emplace_back(prefix + entry.key(), entry.value());
  }
  for (const auto& entry : module.named_buffers(/*recurse=*/false)) {
    state.emplace_back(prefix + entry.key(), entry.value());
  }
  for (const auto& child : module.named_children()) {
    collect(*child.value(), prefix + child.key() + ".", state);
  }
}

}  // namespace

std::vector<std::pair<std::string, Tensor>> state_dict(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, Tensor>> state;
  collect(module, "", state);
  return state;
}

void copy_state(const std::vector<std::pair<std::string, Tensor>>& own,
                const std::vector<std::pair<std::string, Tensor>>& state) {
  std::unordered_map<std::string, Tensor> given(state.begin(), state.end());
  // All checks come before the first copy: a refused state leaves everything as it was.
  for (const auto& [name, tensor] : own) {
    const auto found = given.find(name);
    TORCH_CHECK(found != given.end(), "state: \"", name, "\" is missing");
    TORCH_CHECK(found->second.sizes() == tensor.sizes(), "state: \"", name, "\" has shape ",
                found->second.sizes(), " but expected ", tensor.sizes());
  }
  std::unordered_set<std::string> known;
  for (const auto& entry : own) known.insert(entry.first);
  for (const auto& [name, tensor] : state) {
    TORCH_CHECK(known.count(name), "state: \"", name, "\" is unexpected");
  }
  c10::NoGradGuard no_grad;
  for (auto [name, tensor] : own) tensor.copy_(given.at(name));
}

void load_state_dict(torch::nn::Module& module,
                     const std::vector<std::pair<std::string, Tensor>>& state) {
  copy_state(state_dict(module), state);
}

}  // namespace astgnn::nn
