// A GRU layer over all times in one launch: a block of threads takes 64 rows through them with the
// state's weights in shared memory. Each thread has four rows and four units, all three gates of
// them, so that what the products become never leaves its registers. 48 products per two shared
// loads of 16 bytes; at 40,000 rows and 60 times a layer is 59 GFLOP and moves 2.5 GB (forward) or
// 7 GB (with what the backward needs).
#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kHidden = static_cast<int>(kGruHidden), kGates = 3 * kHidden,
              kRows = static_cast<int>(kGruRows), kEach = 4, kSide = kHidden / kEach,
              kThreads = kSide * kSide, kAside = 4;

struct alignas(16) Four {
  float v[kEach];
};
__device__ inline Four load(const float* at) { return *reinterpret_cast<const Four*>(at); }
__device__ inline void store(float* at, const Four& values) {
  *reinterpret_cast<Four*>(at) = values;
}

__device__ inline float sigmoid(float x) { return 1 / (1 + exp(-x)); }

struct ForwardMemory {
  float weights[kHidden][kGates];  // [unit before, gate and unit after]
  float states[2][kRows][kHidden + kAside];
};
struct BackwardMemory {
  float weights[kGates][kHidden];
  float gradients[kRows][kGates + kAside];
};
static_assert(sizeof(ForwardMemory) <= kGruSharedBytes &&
              sizeof(BackwardMemory) <= kGruSharedBytes);

__global__ void __launch_bounds__(kThreads, 2) forward_kernel(GruLayer layer) {
  ASTGNN_LARGE_SHARED(ForwardMemory, memory);
  const int thread = static_cast<int>(threadIdx.x), unit = thread % kSide * kEach,
            first = thread / kSide * kEach;
  for (int at = thread; at < kGates * kHidden; at += kThreads)
    memory.weights[at % kHidden][at / kHidden] = layer.state_weights[at];
  Four bias[3];
  for (int gate = 0; gate < 3; ++gate) bias[gate] = load(layer.bias + gate * kHidden + unit);
  const int64_t block = static_cast<int64_t>(blockIdx.x) * kRows + first;
  __syncthreads();
  for (int64_t t = 0; t < layer.times; ++t) {
    const auto& before = memory.states[t % 2];
    auto& after = memory.states[(t + 1) % 2];
    Four gates[3][kEach];  // of r, z and the state's part of n
#pragma unroll
    for (int a = 0; a < kEach; ++a) {
      const int64_t row = t * layer.rows + block + a;
      for (int gate = 0; gate < 3; ++gate) gates[gate][a] = bias[gate];
      if (block + a >= layer.rows) continue;
      for (int gate = 0; gate < 2; ++gate) {
        const Four given = load(layer.from_input + row * kGates + gate * kHidden + unit);
        for (int c = 0; c < kEach; ++c) gates[gate][a].v[c] += given.v[c];
      }
    }
    if (t > 0) {
#pragma unroll 4
      for (int k = 0; k < kHidden; k += kEach) {
        Four state[kEach];
#pragma unroll
        for (int a = 0; a < kEach; ++a) state[a] = load(&before[first + a][k]);
#pragma unroll
        for (int j = 0; j < kEach; ++j) {
#pragma unroll
          for (int gate = 0; gate < 3; ++gate) {
            const Four weight = load(&memory.weights[k + j][gate * kHidden + unit]);
#pragma unroll
            for (int a = 0; a < kEach; ++a) {
#pragma unroll
              for (int c = 0; c < kEach; ++c)
                gates[gate][a].v[c] = fmaf(state[a].v[j], weight.v[c], gates[gate][a].v[c]);
            }
          }
        }
      }
    }
#pragma unroll
    for (int a = 0; a < kEach; ++a) {
      const int64_t row = t * layer.rows + block + a;
      const bool inside = block + a < layer.rows;
      Four n{}, last{}, state;
      if (inside) n = load(layer.from_input + row * kGates + 2 * kHidden + unit);
      if (t > 0) last = load(&before[first + a][unit]);
#pragma unroll
      for (int c = 0; c < kEach; ++c) {
        float &r = gates[0][a].v[c], &z = gates[1][a].v[c];
        r = sigmoid(r);
        z = sigmoid(z);
        n.v[c] = tanh(n.v[c] + r * gates[2][a].v[c]);
        state.v[c] = n.v[c] + z * (last.v[c] - n.v[c]);
      }
      store(&after[first + a][unit], state);
      if (!inside) continue;
      store(layer.states + row * kHidden + unit, state);
      if (!layer.kept) continue;
      float* kept = layer.kept + row * 4 * kHidden + unit;
      store(kept, n);
      for (int gate = 0; gate < 3; ++gate) store(kept + (gate + 1) * kHidden, gates[gate][a]);
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kThreads, 2) backward_kernel(GruLayerGradients layer) {
  ASTGNN_LARGE_SHARED(BackwardMemory, memory);
  const int thread = static_cast<int>(threadIdx.x), unit = thread % kSide * kEach,
            first = thread / kSide * kEach;
  for (int at = thread; at < kGates * kHidden; at += kThreads)
    memory.weights[at / kHidden][at % kHidden] = layer.state_weights[at];
  const int64_t block = static_cast<int64_t>(blockIdx.x) * kRows + first;
  Four carried[kEach];
#pragma unroll
  for (int a = 0; a < kEach; ++a) {
    carried[a] = Four{};
    if (layer.grad_of_last && block + a < layer.rows)
      carried[a] = load(layer.grad_of_last + (block + a) * kHidden + unit);
  }
  for (int64_t t = layer.times - 1; t >= 0; --t) {
#pragma unroll
    for (int a = 0; a < kEach; ++a) {
      const int64_t row = t * layer.rows + block + a;
      Four n{}, r{}, z{}, state_n{}, before{};
      if (block + a < layer.rows) {
        const float* kept = layer.kept + row * 4 * kHidden + unit;
        n = load(kept);
        r = load(kept + kHidden);
        z = load(kept + 2 * kHidden);
        state_n = load(kept + 3 * kHidden);
        if (t > 0) before = load(layer.states + (row - layer.rows) * kHidden + unit);
        if (layer.grad) {
          const Four grad = load(layer.grad + row * kHidden + unit);
          for (int c = 0; c < kEach; ++c) carried[a].v[c] += grad.v[c];
        }
      }
#pragma unroll
      for (int c = 0; c < kEach; ++c) {
        const float dh = carried[a].v[c], dn = dh * (1 - z.v[c]) * (1 - n.v[c] * n.v[c]),
                    dstate_n = dn * r.v[c];
        carried[a].v[c] = dh * z.v[c];
        z.v[c] = carried[a].v[c] * (1 - z.v[c]) * (before.v[c] - n.v[c]);
        r.v[c] = dstate_n * state_n.v[c] * (1 - r.v[c]);
        n.v[c] = dn;
        state_n.v[c] = dstate_n;
      }
      float* own = &memory.gradients[first + a][unit];
      store(own, r);
      store(own + kHidden, z);
      store(own + 2 * kHidden, state_n);
      if (block + a >= layer.rows) continue;
      float* kept = layer.kept + row * 4 * kHidden + unit;
      store(kept, n);
      store(kept + kHidden, r);
      store(kept + 2 * kHidden, z);
      store(kept + 3 * kHidden, state_n);
    }
    if (t == 0) break;
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < kGates; k += kEach) {
      Four gradient[kEach];
#pragma unroll
      for (int a = 0; a < kEach; ++a) gradient[a] = load(&memory.gradients[first + a][k]);
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        const Four weight = load(&memory.weights[k + j][unit]);
#pragma unroll
        for (int a = 0; a < kEach; ++a) {
#pragma unroll
          for (int c = 0; c < kEach; ++c)
            carried[a].v[c] = fmaf(gradient[a].v[j], weight.v[c], carried[a].v[c]);
        }
      }
    }
    __syncthreads();
  }
}

}  // namespace

void gru_layer(const GruLayer& layer, Stream stream) {
  launch_with(sizeof(ForwardMemory), forward_kernel, dim3(count_of(layer.rows, kRows)),
              dim3(kThreads), stream, layer);
}
void gru_layer_gradients(const GruLayerGradients& layer, Stream stream) {
  launch_with(sizeof(BackwardMemory), backward_kernel, dim3(count_of(layer.rows, kRows)),
              dim3(kThreads), stream, layer);
}

}  // namespace astgnn::ops::cuda
