// Whether the CUDA library has code that a GPU runs.
#pragma once

#include <cstdlib>
#include <sstream>
#include <string>

namespace astgnn::ops::cuda {

struct DeviceCode {
  const char* architectures;  // as CMake names them, with blanks between: "80-real 90"
  int toolkit;                // CUDA version of the compiler, as CUDART_VERSION: 13020 is 13.2
};

// Why a GPU of this compute capability runs none of it, with a driver for at most this version of
// CUDA; empty where it does. Machine code serves its own major version from its minor one on. The
// rest takes PTX, which a driver only compiles if it is no older than the toolkit.
inline std::string lacks_code(const DeviceCode& code, int major, int minor, int driver) {
  const auto version = [](int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
  };
  bool compiles = false;
  std::istringstream list(code.architectures);
  for (std::string each; std::getline(list, each, ' ');) {
    const int number = std::atoi(each.c_str());
    const bool is_real = each.find("-virtual") == std::string::npos,
               is_virtual = each.find("-real") == std::string::npos;
    if (is_real && number / 10 == major && number % 10 <= minor) return "";
    compiles = compiles || (is_virtual && number <= 10 * major + minor);
  }
  if (compiles && driver >= code.toolkit) return "";
  const std::string capability = std::to_string(major) + "." + std::to_string(minor),
                    name = std::to_string(10 * major + minor) + "-real";
  return "The CUDA library has no machine code for compute capability " + capability +
         (compiles ? ", and the driver, which is for CUDA " + version(driver) +
                         ", does not compile the PTX of CUDA " + version(code.toolkit) +
                         ". Update the driver, or build the library from source with "
                   : ". Build it from source with ") +
         "ASTGNN_CUDA_ARCHITECTURES=" + name + ".";
}

}  // namespace astgnn::ops::cuda
