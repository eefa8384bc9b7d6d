// CUDA graphs for the core, which does not see LibTorch's CUDA half and asks through the
// dispatcher (train/step_graph.h). One thread computes, so one graph is captured at a time; others
// may free theirs meanwhile.
//
// A capture is on a stream of its own, for the default one cannot be captured. It waits for no
// other and none waits for it, since nothing runs; replays go to the current stream, where they
// are in order with the copies into and out of them. Nothing made before the capture may bring
// that other stream into it: autograd accumulates a gradient on the stream that was current when
// the graph first met the weight, so no autograd graph of an earlier step may be alive.
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>

namespace astgnn::ops::cuda {
namespace {

struct StepGraph {
  c10::DeviceIndex device;
  c10::MempoolId_t pool;
  at::cuda::CUDAGraph graph;
  std::optional<c10::cuda::CUDAStreamGuard> capturing;
};

class StepGraphs {
 public:
  int64_t add(std::unique_ptr<StepGraph> graph) {
    const std::lock_guard lock(mutex_);
    graphs_.emplace(++last_, std::move(graph));
    return last_;
  }
  StepGraph& at(int64_t id) {
    const std::lock_guard lock(mutex_);
    const auto found = graphs_.find(id);
    TORCH_INTERNAL_ASSERT(found != graphs_.end(), "no step graph ", id);
    return *found->second;
  }
  std::unique_ptr<StepGraph> take(int64_t id) {
    const std::lock_guard lock(mutex_);
    auto node = graphs_.extract(id);
    TORCH_INTERNAL_ASSERT(node, "no step graph ", id);
    return std::move(node.mapped());
  }

 private:
  std::mutex mutex_;
  std::map<int64_t, std::unique_ptr<StepGraph>> graphs_;
  int64_t last_ = 0;  // 0 is none
};

// Leaked on purpose: at process exit CUDA may be gone before static objects.
StepGraphs& graphs() {
  static auto* all = new StepGraphs;
  return *all;
}

// One stream per device for every capture: cuBLAS keeps a workspace per stream.
c10::cuda::CUDAStream capture_stream(c10::DeviceIndex device) {
  static std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const auto found = streams.find(device);
  if (found != streams.end()) return found->second;
  return streams.emplace(device, c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device))
      .first->second;
}

// A capture that failed. LibTorch 2.11 throws before it has told its allocator that the capture
// ended, and the allocator then calls into the graph until the process ends
// (https://github.com/pytorch/pytorch/issues/180395, mended in 2.12): it is told here, and the
// graph is never destroyed. has_pool: the capture began, which counted as one user of its pool.
void abandon(std::unique_ptr<StepGraph> failed, bool has_pool) {
  const auto leave = [](auto&& call) {
    try {
      call();
    } catch (const c10::Error&) {
      // As far as LibTorch came, it has done this itself.
    }
  };
  StepGraph& own = *failed.release();
  own.capturing.reset();
  leave([&] { c10::cuda::CUDACachingAllocator::endAllocateToPool(own.device, own.pool); });
  if (has_pool) leave([&] { c10::cuda::CUDACachingAllocator::releasePool(own.device, own.pool); });
}

// Captures what the current stream of the device is given from now on, into memory shared with the
// graph `sibling` (0: its own). Calls that CUDA forbids in a capture are forbidden to this thread
// alone: others may free a pinned block meanwhile.
int64_t begin(int64_t device, int64_t sibling) {
  auto made = std::make_unique<StepGraph>();
  made->device = static_cast<c10::DeviceIndex>(device);
  made->pool = sibling == 0 ? at::cuda::graph_pool_handle() : graphs().at(sibling).pool;
  // What the steps before it left unused is not memory for the graph's pool, and may not be given
  // back in a capture.
  c10::cuda::CUDACachingAllocator::emptyCache();
  made->capturing.emplace(capture_stream(made->device));
  try {
    made->graph.capture_begin(made->pool, cudaStreamCaptureModeThreadLocal);
  } catch (...) {
    abandon(std::move(made), /*has_pool=*/false);
    throw;
  }
  return graphs().add(std::move(made));
}

void end(int64_t id) {
  StepGraph& own = graphs().at(id);
  own.graph.capture_end();
  own.capturing.reset();
}

void replay(int64_t id) {
  StepGraph& own = graphs().at(id);
  const c10::cuda::CUDAGuard guard(own.device);
  own.graph.replay();
}

// Of a graph whose capture did not end: it failed, or it ends here.
void free(int64_t id) {
  auto own = graphs().take(id);
  if (own->capturing) {
    try {
      own->graph.capture_end();
    } catch (const c10::Error&) {
      // What made the capture fail is on its way to the caller.
    }
    return abandon(std::move(own), /*has_pool=*/true);
  }
  const c10::cuda::CUDAGuard guard(own->device);
  own.reset();
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def("_step_graph_begin(int device, int sibling) -> int", TORCH_FN(astgnn::ops::cuda::begin));
  m.def("_step_graph_end(int graph) -> ()", TORCH_FN(astgnn::ops::cuda::end));
  m.def("_step_graph_replay(int graph) -> ()", TORCH_FN(astgnn::ops::cuda::replay));
  m.def("_step_graph_free(int graph) -> ()", TORCH_FN(astgnn::ops::cuda::free));
}
