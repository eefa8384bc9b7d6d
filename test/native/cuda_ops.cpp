// Makes a test of an op one of the CUDA library's op as well: `test` alone is over the CPU's ops,
// `test <library> emulated` over the library's on the device of emulated_device.cpp, `test
// <library> cuda` on a GPU. There every op that the library has gets a CPU
// kernel that carries its arguments to the device, calls the op there and brings the results back.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "check.h"
#include "cuda_library.h"

int test_main();  // the test's own main

namespace {

const at::Device kDevice(at::kCUDA, 0);
int64_t calls = 0;

at::Tensor moved(const at::Tensor& tensor, at::Device to) {
  return tensor.defined() ? tensor.to(to) : tensor;
}

c10::IValue moved(const c10::IValue& value, at::Device to) {
  if (value.isTensor()) return moved(value.toTensor(), to);
  if (!value.isTensorList()) return value;
  std::vector<at::Tensor> tensors = value.toTensorVector();
  for (at::Tensor& tensor : tensors) tensor = moved(tensor, to);
  return tensors;
}

// offsets by contract, edge lists because they are checked there (parity has them on the device).
bool stays_on_host(const std::string& argument) {
  return argument == "offsets" || argument == "edge_offsets" || argument == "edge_targets";
}

void call_there(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  ++calls;
  const auto& arguments = op.schema().arguments();
  auto value = stack->end() - static_cast<int64_t>(arguments.size());
  for (const c10::Argument& argument : arguments) {
    if (!stays_on_host(argument.name())) *value = moved(*value, kDevice);
    ++value;
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CUDA), stack);
  value = stack->end() - static_cast<int64_t>(op.schema().returns().size());
  for (; value != stack->end(); ++value) *value = moved(*value, at::kCPU);
}

// Those that compute on the CPU themselves would come back here.
bool computes_on_cpu(const std::string& name) {
  return name.find("soft_rank") != std::string::npos;
}

void redirect(torch::Library& cpu) {
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    if (name.name.rfind("astgnn::", 0) != 0 || computes_on_cpu(name.name)) continue;
    if (!dispatcher.findSchemaOrThrow(name.name.c_str(), name.overload_name.c_str())
             .hasKernelForDispatchKey(c10::DispatchKey::CUDA))
      continue;
    cpu.impl(name.name.c_str(), torch::CppFunction::makeFromBoxedFunction<&call_there>());
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return test_main();
  check::on_device = true;
  check::emulated = arguments[2] == std::string("emulated");
  open_cuda_library(arguments[1], !check::emulated);
  torch::Library cpu(torch::Library::IMPL, "astgnn", c10::DispatchKey::CPU, __FILE__, __LINE__);
  redirect(cpu);
  const int result = test_main();
  std::printf("%ld calls on the device\n", static_cast<long>(calls));
  return calls > 0 ? result : 1;
}
