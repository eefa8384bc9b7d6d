// What LibTorch's CUDA side reads from the environment, set before it is used. cuBLAS may choose
// another algorithm with another workspace, and LibTorch's default one is another from GPU to GPU;
// this is the size that PyTorch documents for runs that repeat themselves to the bit. A value of
// the user's own stays.
#include <cstdlib>

namespace astgnn::ops::cuda {
namespace {

[[maybe_unused]] const int kWorkspace =
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);

}  // namespace
}  // namespace astgnn::ops::cuda
