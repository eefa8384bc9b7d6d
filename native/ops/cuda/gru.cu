// A GRU's gates at one time, one thread per row and unit, where gru_layer.cu does not take the whole
// layer; the products around them are cuBLAS's.
#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__device__ T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}

template <class T>
__global__ void forward_kernel(GruGates<T> gates) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= gates.rows * gates.hidden) return;
  const int64_t hidden = gates.hidden, row = index / hidden, unit = index % hidden;
  const T* from_input = gates.from_input + row * 3 * hidden + unit;
  T r = gates.bias[unit], z = gates.bias[hidden + unit], state_n = gates.bias[2 * hidden + unit],
    before = 0;
  if (gates.before) {
    const T* from_state = gates.from_state + row * 3 * hidden + unit;
    r += from_state[0];
    z += from_state[hidden];
    state_n += from_state[2 * hidden];
    before = gates.before[index];
  }
  r = sigmoid(from_input[0] + r);
  z = sigmoid(from_input[hidden] + z);
  const T n = tanh(from_input[2 * hidden] + r * state_n);
  gates.after[index] = n + z * (before - n);
  if (!gates.kept) return;
  T* kept = gates.kept + row * 4 * hidden + unit;
  kept[0] = n;
  kept[hidden] = r;
  kept[2 * hidden] = z;
  kept[3 * hidden] = state_n;
}

template <class T>
__global__ void backward_kernel(GruGateGradients<T> gates) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= gates.rows * gates.hidden) return;
  const int64_t hidden = gates.hidden, row = index / hidden, unit = index % hidden;
  T* kept = gates.kept + row * 4 * hidden + unit;
  const T n = kept[0], r = kept[hidden], z = kept[2 * hidden], state_n = kept[3 * hidden],
          before = gates.before ? gates.before[index] : T(0);
  T dh = gates.carried[index];
  if (gates.grad) dh += gates.grad[index];
  const T dn = dh * (T(1) - z) * (T(1) - n * n), dstate_n = dn * r, carried = dh * z;
  kept[0] = dn;
  kept[hidden] = dstate_n * state_n * (T(1) - r);
  kept[2 * hidden] = carried * (T(1) - z) * (before - n);
  kept[3 * hidden] = dstate_n;
  gates.carried[index] = carried;
}

}  // namespace

template <class T>
void gru_gates(const GruGates<T>& gates, Stream stream) {
  launch(forward_kernel<T>, dim3(count_of(gates.rows * gates.hidden, kThreads)), dim3(kThreads),
         stream, gates);
}
template <class T>
void gru_gate_gradients(const GruGateGradients<T>& gates, Stream stream) {
  launch(backward_kernel<T>, dim3(count_of(gates.rows * gates.hidden, kThreads)), dim3(kThreads),
         stream, gates);
}

template void gru_gates(const GruGates<float>&, Stream);
template void gru_gates(const GruGates<double>&, Stream);
template void gru_gate_gradients(const GruGateGradients<float>&, Stream);
template void gru_gate_gradients(const GruGateGradients<double>&, Stream);

}  // namespace astgnn::ops::cuda
