// What c10d's header of ProcessGroupGloo needs of gloo, whose own headers LibTorch does not bring:
// declarations only, the code is in libtorch_cpu.
#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
  void closeConnections();
};

}  // namespace gloo
