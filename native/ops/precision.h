// What products of float32 tensors are computed in. float64 is never rounded.
#pragma once

#include <c10/core/Device.h>

namespace astgnn::ops {

// kHighest is float32. kHigh splits every factor into two bf16 values and takes three products,
// kMedium takes one product of one; sums are float32 always. The CPU needs AMX for it, and computes
// the GRU and the values of the TGC so; a GPU needs tensor cores with bf16 (compute capability 8.0)
// and computes the TGC's products over pairs of stocks so, but for its scores, and under kMedium
// the GRU.
// kDefault applies where no precision was set: kHigh on a CPU with AMX, kHighest elsewhere.
enum class Precision { kDefault, kHighest, kHigh, kMedium };

// What it comes to there.
Precision offered_precision(Precision wanted, c10::Device device);
// From now on, for the whole process: to be called between ops, so that the backward pass has the
// precision of its forward. Returns what the CPU offers.
Precision use_precision(Precision wanted);
Precision precision();

}  // namespace astgnn::ops
