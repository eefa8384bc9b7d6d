#include "emulated_graph.h"

#include <ATen/ATen.h>
#include <malloc.h>
#include <torch/library.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

extern "C" std::atomic<long> emulated_device_launches;

namespace emulated {

std::atomic<size_t> memory_used = 0;

namespace {

using at::Tensor;

struct Graph {
  std::vector<std::function<void()>> work;
  std::unordered_set<void*> memory;  // of its capture
  std::unordered_set<void*> dead;    // what of it no tensor holds
};

std::mutex mutex;  // over memory
std::unordered_map<void*, size_t> blocks;
std::map<int64_t, Graph> graphs;
std::atomic<Graph*> captured = nullptr;
std::vector<std::pair<void*, std::vector<char>>> before_capture;
// As LibTorch 2.11 after a capture that failed: every later one is refused.
bool still_recording = false;

// NaN in any floating-point type, no index in any integer type.
void scribble(void* data) { std::memset(data, 0xff, blocks.at(data)); }

void give_back(void* data) {
  memory_used -= malloc_usable_size(data);
  blocks.erase(data);
  std::free(data);
}

// Nothing of it has happened.
void undo_capture() {
  for (const auto& [data, bytes] : before_capture)
    if (blocks.count(data)) std::memcpy(data, bytes.data(), bytes.size());
  before_capture.clear();
  for (void* data : captured.load()->memory) scribble(data);
  captured = nullptr;
}

// The same memory, and no hold on it: what a launch is given. A number of the host is read now.
Tensor address_of(const Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  if (tensor.is_cpu()) return tensor.clone();
  return at::for_blob(tensor.data_ptr(), tensor.sizes())
      .strides(tensor.strides())
      .options(tensor.options())
      .target_device(tensor.device())
      .make_tensor();
}

c10::IValue address_of(const c10::IValue& value) {
  if (value.isTensor()) return address_of(value.toTensor());
  if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& tensor : value.toTensorVector()) list.push_back(address_of(tensor));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> list;
    for (const std::optional<Tensor>& tensor : value.toOptionalTensorVector())
      list.push_back(tensor ? std::optional(address_of(*tensor)) : std::nullopt);
    return list;
  }
  return value;
}

// What an op left on the stack.
std::vector<Tensor> results_of(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  std::vector<Tensor> all;
  const size_t count = op.schema().returns().size();
  for (size_t i = stack.size() - count; i < stack.size(); ++i) {
    if (stack[i].isTensor()) all.push_back(stack[i].toTensor());
    if (stack[i].isTensorList())
      for (const Tensor& tensor : stack[i].toTensorVector()) all.push_back(tensor);
  }
  return all;
}

int64_t begin(int64_t, int64_t) {
  static int64_t last = 0;
  const std::lock_guard lock(mutex);
  TORCH_CHECK(!capturing(), "a capture in a capture");
  TORCH_CHECK(!still_recording, "beginAllocateToPool: already recording to mempool_id");
  for (const auto& [data, bytes] : blocks)
    before_capture.emplace_back(
        data, std::vector<char>(static_cast<char*>(data), static_cast<char*>(data) + bytes));
  captured = &graphs[++last];
  return last;
}

void end(int64_t id) {
  const std::lock_guard lock(mutex);
  TORCH_CHECK(captured == &graphs.at(id), "the end of another capture");
  undo_capture();
  // ASTGNN_EMULATED_GRAPH_FAILS=1: what was captured cannot become a graph.
  const char* fails = std::getenv("ASTGNN_EMULATED_GRAPH_FAILS");
  still_recording = fails != nullptr && std::strcmp(fails, "1") == 0;
  TORCH_CHECK(!still_recording,
              "CUDA error: operation failed due to a previous error during capture\nSearch for "
              "`cudaErrorStreamCaptureInvalidated'");
}

void replay(int64_t id) {
  refuse_in_capture("a replay");
  ++emulated_device_launches;
  const at::AutoDispatchBelowADInplaceOrView below;
  const Graph& graph = [&]() -> const Graph& {
    const std::lock_guard lock(mutex);
    return graphs.at(id);
  }();
  for (const auto& work : graph.work) work();
  const std::lock_guard lock(mutex);
  for (void* data : graph.dead) scribble(data);
}

void free(int64_t id) {
  const std::lock_guard lock(mutex);
  Graph& graph = graphs.at(id);
  if (captured == &graph) undo_capture();
  for (void* data : graph.dead) give_back(data);
  graphs.erase(id);
}

}  // namespace

bool capturing() { return captured != nullptr; }

void refuse_in_capture(const char* what) {
  TORCH_CHECK(!capturing(), "operation not permitted when stream is capturing: ", what);
}

void run(const std::function<void()>& work) {
  work();
  if (capturing()) captured.load()->work.push_back(work);
}

void run(const c10::OperatorHandle& op, torch::jit::Stack* stack,
         void (*on_copies)(const c10::OperatorHandle&, torch::jit::Stack*)) {
  if (!capturing()) return on_copies(op, stack);
  const auto& arguments = op.schema().arguments();
  const torch::jit::Stack before(stack->end() - static_cast<int64_t>(arguments.size()),
                                 stack->end());
  torch::jit::Stack given;
  for (const auto& value : before) given.push_back(address_of(value));
  on_copies(op, stack);
  // What it writes to may have got its size, and a place, by now.
  for (size_t i = 0; i < given.size(); ++i)
    if (arguments[i].alias_info() != nullptr && arguments[i].alias_info()->isWrite())
      c10::IValue(address_of(before[i])).swap(given[i]);
  std::vector<Tensor> results;
  for (const Tensor& result : results_of(op, *stack)) results.push_back(address_of(result));
  captured.load()->work.push_back([op, given, results, on_copies] {
    torch::jit::Stack again = given;
    on_copies(op, &again);
    const auto computed = results_of(op, again);
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].defined() || results[i].numel() == 0) continue;
      if (computed[i].data_ptr() == results[i].data_ptr()) continue;
      TORCH_CHECK(computed[i].sizes() == results[i].sizes() &&
                      computed[i].strides() == results[i].strides(),
                  op.schema().name(), " of a replay has another size than in its capture");
      std::memcpy(results[i].data_ptr(), computed[i].data_ptr(),
                  computed[i].storage().nbytes() -
                      computed[i].storage_offset() * computed[i].element_size());
    }
  });
}

void* allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  void* data = std::malloc(bytes);
  memory_used += malloc_usable_size(data);
  const std::lock_guard lock(mutex);
  blocks.emplace(data, bytes);
  if (capturing()) captured.load()->memory.insert(data);
  return data;
}

void release(void* data) {
  if (data == nullptr) return;
  const std::lock_guard lock(mutex);
  for (auto& [id, graph] : graphs) {
    if (!graph.memory.count(data)) continue;
    graph.dead.insert(data);
    return;
  }
  give_back(data);
}

}  // namespace emulated

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def("_step_graph_begin(int device, int sibling) -> int", TORCH_FN(emulated::begin));
  m.def("_step_graph_end(int graph) -> ()", TORCH_FN(emulated::end));
  m.def("_step_graph_replay(int graph) -> ()", TORCH_FN(emulated::replay));
  m.def("_step_graph_free(int graph) -> ()", TORCH_FN(emulated::free));
}
