#define ASTGNN_ISA avx2
#include "ops/cpu/isa/table.h"

namespace astgnn::ops {
const Kernels kAvx2Kernels = {"avx2", avx2::table<float>(), avx2::table<double>()};
}
