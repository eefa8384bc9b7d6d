// CUDA graphs of the emulated device. What it is given to run in a capture is written down, and
// takes effect in replays alone: tensors of the device are read and written where they were in the
// capture, numbers of the host are what they were then, and memory that no tensor holds any more is
// another's to overwrite. What a GPU refuses in a capture throws.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <atomic>
#include <functional>

namespace emulated {

bool capturing();
// Throws in a capture.
void refuse_in_capture(const char* what);
// Does the work, also in a capture, where it gives tensors their sizes; and in each replay of it.
void run(const std::function<void()>& work);
// The same of an op that `on_copies` computes on the host.
void run(const c10::OperatorHandle& op, torch::jit::Stack* stack,
         void (*on_copies)(const c10::OperatorHandle&, torch::jit::Stack*));

// The device's memory.
void* allocate(size_t bytes);
void release(void* data);
extern std::atomic<size_t> memory_used;

}  // namespace emulated
