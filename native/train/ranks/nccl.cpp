#include "train/ranks/nccl.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <thread>

namespace astgnn::ranks {
namespace {

// As in nccl.h and cuda_runtime_api.h.
struct Id {
  char bytes[128];
};
constexpr int kSuccess = 0, kInProgress = 7, kUint8 = 1;

struct Library {
  int (*get_unique_id)(Id*);
  int (*init_rank)(void**, int, Id, int);
  int (*all_gather)(const void*, void*, size_t, int, void*, void*);
  int (*get_async_error)(void*, int*);
  int (*abort)(void*);
  const char* (*error_string)(int);
  int (*bus_id)(char*, int, int);
};

template <class Function>
bool find(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  return function != nullptr;
}

const std::optional<Library>& library() {
  static const auto found = [] {
    Library it{};
    const bool whole = find(it.get_unique_id, "ncclGetUniqueId") &&
                       find(it.init_rank, "ncclCommInitRank") &&
                       find(it.all_gather, "ncclAllGather") &&
                       find(it.get_async_error, "ncclCommGetAsyncError") &&
                       find(it.abort, "ncclCommAbort") &&
                       find(it.error_string, "ncclGetErrorString") &&
                       find(it.bus_id, "cudaDeviceGetPCIBusId");
    return whole ? std::optional(it) : std::nullopt;
  }();
  return found;
}

void check(int result) {
  TORCH_CHECK(result == kSuccess || result == kInProgress, "NCCL: ",
              library()->error_string(result));
}

}  // namespace

std::string address_of_gpu(at::Device device) {
  char bus[32] = "";
  if (!library() || library()->bus_id(bus, sizeof bus, device.index()) != kSuccess) return "";
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string machine;
  file >> machine;
  return machine + " " + bus;
}

std::string Nccl::make_id() {
  Id id;
  check(library()->get_unique_id(&id));
  return {id.bytes, sizeof id.bytes};
}

Nccl::Nccl(at::Device device, const std::string& id, int64_t rank, int64_t size)
    : device_(device), size_(size) {
  Id given;
  TORCH_CHECK(id.size() == sizeof given.bytes, "NCCL: an id of ", id.size(), " bytes");
  std::memcpy(given.bytes, id.data(), id.size());
  const c10::DeviceGuard guard(device);
  check(library()->init_rank(&communicator_, static_cast<int>(size), given,
                             static_cast<int>(rank)));
}

at::Tensor Nccl::gather(const at::Tensor& message, const std::function<void()>& look) {
  const c10::DeviceGuard guard(device_);
  const auto stream = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  auto all = at::empty({size_, message.numel()}, message.options());
  check(library()->all_gather(message.const_data_ptr(), all.mutable_data_ptr(),
                              static_cast<size_t>(message.numel()), kUint8, communicator_,
                              stream.native_handle()));
  c10::Event end(device_.type());
  end.record(stream);
  while (!end.query()) {
    int error = kSuccess;
    check(library()->get_async_error(communicator_, &error));
    check(error);
    look();
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return all;
}

void Nccl::abort() {
  const c10::DeviceGuard guard(device_);
  if (communicator_ != nullptr) library()->abort(std::exchange(communicator_, nullptr));
}

}  // namespace astgnn::ranks
