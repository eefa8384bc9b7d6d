// Collectives of the emulated device that are under way.
#pragma once

#include <atomic>

namespace emulated {

extern std::atomic<int> collectives;

}  // namespace emulated
