#define ASTGNN_ISA avx512
#include "ops/cpu/isa/table.h"

namespace astgnn::ops {
const Kernels kAvx512Kernels = {"avx512", avx512::table<float>(), avx512::table<double>()};
}
