#pragma once

namespace astgnn::ops {

// MKL cuts a matrix product by the number of threads, and the order of its sums with it. On Intel's
// processors it can be told to keep one order, at no cost that was measured; it listens at its first
// product in the process. To be called before that, from the thread that loads the core. Someone's
// own MKL_CBWR is left as it is.
void fix_product_order();

}  // namespace astgnn::ops
