// Strided matrices over scratch memory, so that a kernel's inner loop can call ATen's GEMM without
// allocating.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>

// MKL, inside LibTorch where that was built with it; weak, so that the core also loads where it was
// not.
extern "C" __attribute__((weak)) int MKL_Set_Num_Threads_Local(int threads);

namespace astgnn::ops {

// MKL splits a long sum by the number of threads it was given, even where a parallel region leaves
// it one: telling it so on this thread makes a product's bits depend on its operands alone.
class OneProductThread {
 public:
  OneProductThread() : threads_(MKL_Set_Num_Threads_Local ? MKL_Set_Num_Threads_Local(1) : 0) {}
  ~OneProductThread() {
    if (MKL_Set_Num_Threads_Local) MKL_Set_Num_Threads_Local(threads_);
  }
  OneProductThread(const OneProductThread&) = delete;
  OneProductThread& operator=(const OneProductThread&) = delete;

 private:
  int threads_;
};

// What the body of an at::parallel_for needs before it calls ATen: autograd's switches are
// thread-local and not handed to OpenMP's threads.
class SequentialRegion {
  OneProductThread one_;
  at::AutoDispatchBelowADInplaceOrView below_;
  at::NoGradGuard no_grad_;
};

template <class T>
at::Tensor matrix(T* data, int64_t rows, int64_t columns, int64_t row_stride) {
  return at::from_blob(data, {rows, columns}, {row_stride, 1},
                       at::TensorOptions(c10::CppTypeToScalarType<T>::value));
}

template <class T>
at::Tensor matrix(T* data, int64_t rows, int64_t columns) {
  return matrix(data, rows, columns, columns);
}

// out = beta out + alpha a b
inline void multiply(at::Tensor out, const at::Tensor& a, const at::Tensor& b, double beta = 0,
                     double alpha = 1) {
  at::addmm_out(out, out, a, b, beta, alpha);
}

}  // namespace astgnn::ops
