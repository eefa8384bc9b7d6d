#include "ops/cuda/device.h"

namespace astgnn::ops::cuda {

Stream current_stream() { return nullptr; }

}  // namespace astgnn::ops::cuda
