// What this processor reaches: float32 multiply-adds in registers alone, and a copy that no cache
// holds. Compiled for the processor at hand by machine-peaks.mjs; prints one JSON line.
//
//   machine-peaks THREADS
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
using Vector __attribute__((vector_size(4 * kLanes))) = float;

constexpr int kChains = 12;  // more than latency times ports
constexpr long kSteps = 20'000'000;

float multiply_add() {
  Vector sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = Vector{} + static_cast<float>(i);
  Vector a = Vector{} + 0.999999f, b = Vector{} + 1e-9f;
  for (long step = 0; step < kSteps; ++step) {
    for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * a + b;
    asm volatile("" : "+x"(a), "+x"(b));  // not a constant to the compiler
  }
  float total = 0;
  for (int i = 0; i < kChains; ++i) total += sums[i][0];
  return total;
}

// Seconds that `work` takes on all threads at once, the best of five.
template <class Work>
double best_seconds(int threads, const Work& work) {
  double best = 1e300;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t) all.emplace_back(work, t);
    for (auto& each : all) each.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = took.count() < best ? took.count() : best;
  }
  return best;
}

}  // namespace

int main(int, char** arguments) {
  const int threads = std::atoi(arguments[1]);
  volatile float sink = 0;
  const double adding = best_seconds(threads, [&](int) { sink = multiply_add(); });
  constexpr size_t kBytes = size_t{256} << 20;
  std::vector<std::vector<char>> from(threads, std::vector<char>(kBytes, 1)),
      to(threads, std::vector<char>(kBytes, 2));
  const double copying =
      best_seconds(threads, [&](int t) { std::memcpy(to[t].data(), from[t].data(), kBytes); });
  std::printf("{\"gflops\": %.1f, \"bandwidthGBs\": %.1f, \"lanes\": %d}\n",
              2e-9 * kLanes * kChains * static_cast<double>(kSteps) * threads / adding,
              2e-9 * static_cast<double>(kBytes) * threads / copying, kLanes);
  return 0;
}
