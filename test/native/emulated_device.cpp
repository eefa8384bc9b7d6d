// "cuda:0" where there is no GPU and no CUDA in LibTorch, for tests: memory that only device code
// may read, the CUDA library's ops over emulated kernels, and for all else a copy to the CPU, its
// op, and a copy back. A tensor that was left on the host, or made there, fails as it would on a
// GPU. It counts what a GPU would make the host wait for, what it would be given to run, and what
// it would be sent.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_set>

#include "emulated_graph.h"
#include "emulated_nccl.h"
#include "ops/cuda/device.h"

extern "C" {
// Copies and numbers that stop the host until the device has caught up.
__attribute__((visibility("default"))) std::atomic<long> emulated_device_waits = 0;
// Kernels of our own, copies, and ops of LibTorch, each for one: a GPU may take several launches.
__attribute__((visibility("default"))) std::atomic<long> emulated_device_launches = 0;
// Tensors that came from the host.
__attribute__((visibility("default"))) std::atomic<long> emulated_device_uploads = 0;

// Node loads it like an addon.
__attribute__((visibility("default"))) void* napi_register_module_v1(void*, void* exports) {
  return exports;
}
}

namespace {

using at::Tensor;

const c10::Device kDevice(at::kCUDA, 0);
thread_local bool falling_back = false;

// ASTGNN_EMULATED_GPU_BYTES is what the device has.
struct DeviceMemory final : c10::DeviceAllocator {
  c10::DataPtr allocate(size_t bytes) override {
    auto& used = emulated::memory_used;
    TORCH_CHECK_WITH(OutOfMemoryError, used + bytes <= total(),
                     "CUDA out of memory. Tried to allocate ", bytes,
                     " bytes. GPU 0 has a total capacity of ", total(), " bytes of which ",
                     total() - used, " are free.");
    void* data = emulated::allocate(bytes);
    peak = std::max(peak.load(), used.load());
    return {data, data, &emulated::release, kDevice};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &emulated::release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override {
    c10::CachingDeviceAllocator::DeviceStats stats;
    stats.allocated_bytes[0].current = static_cast<int64_t>(emulated::memory_used);
    stats.allocated_bytes[0].peak = static_cast<int64_t>(peak);
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override { peak = emulated::memory_used.load(); }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex) override {
    return {total() - emulated::memory_used, total()};
  }

  static size_t total() {
    const char* bytes = std::getenv("ASTGNN_EMULATED_GPU_BYTES");
    return bytes ? std::strtoull(bytes, nullptr, 10) : size_t{1} << 30;
  }
  inline static std::atomic<size_t> peak = 0;
};
DeviceMemory device_memory;

// Pages of the host that a copy may leave or enter while the host goes on.
struct PinnedMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    emulated::refuse_in_capture("pinned memory");  // it looks which copies have ended
    void* data = bytes == 0 ? nullptr : std::malloc(bytes);
    std::lock_guard lock(mutex);
    pinned.insert(data);
    return {data, data, &release, c10::kCPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  static void release(void* data) {
    std::lock_guard lock(mutex);
    pinned.erase(data);
    std::free(data);
  }
  static bool holds(const void* data) {
    std::lock_guard lock(mutex);
    return pinned.count(data) > 0;
  }
  inline static std::mutex mutex;
  inline static std::unordered_set<const void*> pinned;
};
PinnedMemory pinned_memory;

// Events arrive late: the first look finds that the device is still at work. A capture has a stream
// of its own, which no other may wait for or have it wait.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return at::kCUDA; }
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override {
    return emulated::capturing() ? c10::Stream(c10::Stream::UNSAFE, kDevice, /*id=*/1)
                                 : c10::Stream(c10::Stream::DEFAULT, kDevice);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {
    emulated::refuse_in_capture("an event");
    if (*event == nullptr) *event = new bool;
    *static_cast<bool*>(*event) = false;
  }
  void block(void*, const c10::Stream&) const override { emulated::refuse_in_capture("a wait"); }
  void* getStreamNativeHandle(const c10::Stream) const override { return nullptr; }
  bool queryEvent(void* event) const override {
    emulated::refuse_in_capture("a look at an event");
    if (emulated::collectives > 0) return false;
    return event == nullptr || std::exchange(*static_cast<bool*>(event), true);
  }
  void synchronizeEvent(void*) const override { emulated::refuse_in_capture("a wait"); }
  void synchronizeDevice(c10::DeviceIndex) const override { emulated::refuse_in_capture("a wait"); }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<bool*>(event);
  }
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard);

struct CUDAHooks final : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  int getNumGPUs() const override { return 1; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  bool isPinnedPtr(const void* data) const override { return PinnedMemory::holds(data); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static const at::Generator generator = at::detail::createCPUGenerator();  // for manual_seed
    return generator;
  }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory; }
};
using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks);

// The same memory as a tensor of the host.
Tensor host(const Tensor& tensor) {
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(),
                       tensor.options().device(at::kCPU));
}

Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat>) {
  return at::detail::empty_generic(size, &device_memory, c10::DispatchKeySet(at::DispatchKey::CUDA),
                                   c10::dtype_or_default(dtype), std::nullopt);
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                     std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                     std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &device_memory,
                                           c10::DispatchKeySet(at::DispatchKey::CUDA),
                                           c10::dtype_or_default(dtype));
}

Tensor& copy(Tensor& to, const Tensor& from, bool non_blocking) {
  if (falling_back) {
    host(to).copy_(host(from));
    return to;
  }
  const bool crosses = from.is_cpu() != to.is_cpu();
  if (crosses) emulated::refuse_in_capture("a copy from or to the host");
  const bool pinned = PinnedMemory::holds((from.is_cpu() ? from : to).storage().data());
  if (crosses && !(non_blocking && pinned)) ++emulated_device_waits;
  ++emulated_device_launches;
  if (crosses && from.is_cpu()) ++emulated_device_uploads;
  emulated::run([to = host(to), from = host(from)] { to.copy_(from); });
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  if (to.numel() == 0) to.resize_(from.sizes());
  Tensor target = to;
  return copy(target, from, false);
}

// For results that are given a tensor to fill: what it held is lost.
const Tensor& resize(const Tensor& tensor, at::IntArrayRef size, std::optional<at::MemoryFormat>) {
  auto* impl = tensor.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(at::empty(size, tensor.options()).storage());
  impl->set_storage_offset(0);
  impl->set_sizes_contiguous(size);
  return tensor;
}

at::Scalar number(const Tensor& tensor) {
  if (!falling_back) {
    emulated::refuse_in_capture("a number for the host");
    ++emulated_device_waits;
  }
  return host(tensor).item();
}

void on_copies(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const bool before = std::exchange(falling_back, true);
  at::native::cpu_fallback(op, stack);
  falling_back = before;
}

void on_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  if (falling_back) return on_copies(op, stack);
  ++emulated_device_launches;
  emulated::run(op, stack, on_copies);
}

// Its schema does not say that it moves the running statistics: the fallback would move copies.
std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& x, const std::optional<Tensor>& weight,
                                              const std::optional<Tensor>& bias,
                                              const std::optional<Tensor>& mean,
                                              const std::optional<Tensor>& variance, bool training,
                                              double momentum, double eps) {
  emulated::refuse_in_capture("a batch norm");  // it would not be written down
  ++emulated_device_launches;
  const auto on_host = [](const std::optional<Tensor>& t) {
    return t && t->defined() ? std::optional<Tensor>(host(*t)) : std::nullopt;
  };
  const auto [y, saved_mean, saved_inverse] =
      at::native_batch_norm(host(x), on_host(weight), on_host(bias), on_host(mean),
                            on_host(variance), training, momentum, eps);
  const bool before = std::exchange(falling_back, true);
  const std::tuple out = {y.to(kDevice), saved_mean.to(kDevice), saved_inverse.to(kDevice)};
  falling_back = before;
  return out;
}

// at::gru asks a device for fused cells; cuDNN takes its place on a GPU.
std::tuple<Tensor, Tensor> gru(const Tensor& x, const Tensor& h0, at::TensorList w, bool, int64_t,
                               double, bool, bool, bool) {
  Tensor h = h0[0];
  std::vector<Tensor> out;
  for (int64_t t = 0; t < x.size(0); ++t) {
    const auto input = at::linear(x[t], w[0], w[2]).chunk(3, 1);
    const auto state = at::linear(h, w[1], w[3]).chunk(3, 1);
    const Tensor r = (input[0] + state[0]).sigmoid(), z = (input[1] + state[1]).sigmoid();
    h = (1 - z) * (input[2] + r * state[2]).tanh() + z * h;
    out.push_back(h);
  }
  return {at::stack(out), h.unsqueeze(0)};
}

}  // namespace

namespace astgnn::ops::cuda {

Stream current_stream() { return nullptr; }

// ASTGNN_EMULATED_GPU_BF16=0 for a GPU before compute capability 8.0.
bool has_shared_memory(c10::DeviceIndex, int64_t) { return true; }
int64_t multiprocessors(c10::DeviceIndex) { return 1; }
int64_t device_memory(c10::DeviceIndex) { return int64_t{1} << 26; }
bool has_bf16(c10::DeviceIndex) {
  const char* offered = std::getenv("ASTGNN_EMULATED_GPU_BF16");
  return offered == nullptr || std::strcmp(offered, "0") != 0;
}

}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("copy_", copy);
  m.impl("resize_", resize);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", number);
  m.impl("native_batch_norm", batch_norm);
  m.impl("gru.input", gru);
  // LibTorch would take these lists apart.
  for (const char* name : {"_foreach_norm.Scalar", "_foreach_mul_.Tensor", "_foreach_sub.List",
                           "_foreach_add_.List", "_foreach_copy_"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>());
}
TORCH_LIBRARY_IMPL(aten, AutogradCUDA, m) { m.impl("gru.input", gru); }
TORCH_LIBRARY_IMPL(_, CUDA, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>());
}

REGISTER_ALLOCATOR(at::kCUDA, &device_memory);
