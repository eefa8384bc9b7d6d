#include <c10/util/Exception.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(ASTGNN_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "ops/cpu/isa/kernels.h"
#include "ops/precision.h"

namespace astgnn::ops {
namespace {

#if defined(__x86_64__)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

// Linux hands the tile registers out on request only, once per process.
bool has_amx() {
#if defined(ASTGNN_EMULATED_TILES)
  return has_avx512();
#elif defined(ASTGNN_AMX)
  static const bool granted = [] {
    constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    unsigned a, b, c, d;
    return has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kBf16) && (d & kTile) &&
           syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return granted;
#else
  return false;
#endif
}

const InstructionSet* find(const char* name) {
  static const InstructionSet scalar = {kScalarKernels.name, &kScalarKernels};
  if (!std::strcmp(name, scalar.name)) return &scalar;
#if defined(__x86_64__)
  static const InstructionSet avx2 = {kAvx2Kernels.name, &kAvx2Kernels},
                              avx512 = {kAvx512Kernels.name, &kAvx512Kernels};
  if (!std::strcmp(name, avx2.name) && __builtin_cpu_supports("avx2") &&
      __builtin_cpu_supports("fma"))
    return &avx2;
  if (!std::strcmp(name, avx512.name) && has_avx512()) return &avx512;
#endif
#if defined(ASTGNN_AMX)
  static const Kernels high = with_tiles(kAvx512Kernels, kAmxHigh),
                       medium = with_tiles(kAvx512Kernels, kAmxMedium);
  static const InstructionSet amx = {"amx", &kAvx512Kernels, &high, &medium};
  if (!std::strcmp(name, amx.name) && has_amx()) return &amx;
#endif
  return nullptr;
}

const InstructionSet* choose() {
  if (const char* name = std::getenv("ASTGNN_ISA"); name && *name) {
    const InstructionSet* found = find(name);
    TORCH_CHECK_VALUE(found, "ASTGNN_ISA: expected an instruction set of this machine (",
                      find("amx") ? "amx, " : "", find("avx512") ? "avx512, " : "",
                      find("avx2") ? "avx2, " : "", "scalar) but got \"", name, "\"");
    return found;
  }
  for (const char* name : {"amx", "avx512", "avx2"}) {
    if (const InstructionSet* found = find(name)) return found;
  }
  return find("scalar");
}

std::atomic<const InstructionSet*> chosen{nullptr};
std::atomic<Precision> in_use{Precision::kHighest};

const InstructionSet& chosen_set() {
  const InstructionSet* now = chosen.load(std::memory_order_acquire);
  if (!now) chosen.store(now = choose(), std::memory_order_release);
  return *now;
}

const Kernels* at_precision(const InstructionSet& set, Precision wanted) {
  switch (wanted) {
    case Precision::kHigh:
      return set.high;
    case Precision::kMedium:
      return set.medium;
    default:
      return set.kernels;
  }
}

}  // namespace

const Kernels& kernels() {
  return *at_precision(chosen_set(), offered_by_cpu(precision()));
}

const char* instruction_set() { return chosen_set().name; }

Precision offered_by_cpu(Precision wanted) {
  if (wanted == Precision::kDefault) wanted = Precision::kHigh;
  return at_precision(chosen_set(), wanted) ? wanted : Precision::kHighest;
}

Precision use_precision(Precision wanted) {
  in_use.store(wanted, std::memory_order_relaxed);
  return offered_by_cpu(wanted);
}

Precision precision() { return in_use.load(std::memory_order_relaxed); }

Kernels with_tiles(Kernels rest, const TileKernels& tiles) {
  rest.single.gru_scratch = tiles.gru_scratch;
  rest.single.gru_forward = tiles.gru_forward;
  rest.single.gru_backward = tiles.gru_backward;
  rest.single.gru_packed_size = tiles.gru_packed_size;
  rest.single.gru_pack = tiles.gru_pack;
  rest.single.similarity_apply = tiles.similarity_apply;
  return rest;
}

bool use_kernels(const char* name) {
  const InstructionSet* found = find(name);
  if (found) use_instruction_set(*found);
  return found != nullptr;
}

void use_instruction_set(const InstructionSet& set) {
  chosen.store(&set, std::memory_order_release);
}

}  // namespace astgnn::ops
