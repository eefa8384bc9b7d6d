#define ASTGNN_ISA scalar
#include "ops/cpu/isa/table.h"

namespace astgnn::ops {
const Kernels kScalarKernels = {"scalar", scalar::table<float>(), scalar::table<double>()};
}
