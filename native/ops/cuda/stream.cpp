#include <c10/cuda/CUDAStream.h>

#include "ops/cuda/device.h"

namespace astgnn::ops::cuda {

Stream current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

}  // namespace astgnn::ops::cuda
