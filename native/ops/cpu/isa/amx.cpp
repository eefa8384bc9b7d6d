#define ASTGNN_ISA amx
#include "ops/cpu/isa/tile_table.h"

namespace astgnn::ops {
const TileKernels kAmxHigh = amx::tile_kernels<2>(), kAmxMedium = amx::tile_kernels<1>();
}
