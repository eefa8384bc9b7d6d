// The tile kernels with emulated registers, and a trap that carries out the instructions of the
// true ones where the processor has none, so that both are tested on any machine with AVX-512.
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>

#define ASTGNN_ISA emulated
#define ASTGNN_EMULATED_TILES
#include "ops/cpu/isa/tile_table.h"

namespace astgnn::ops {

extern const TileKernels kEmulatedHigh, kEmulatedMedium;
const TileKernels kEmulatedHigh = emulated::tile_kernels<2>(),
                  kEmulatedMedium = emulated::tile_kernels<1>();

namespace {

using Tiles = emulated::EmulatedTiles;

std::atomic<int64_t> instructions{0};

constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

[[noreturn]] void refuse(const char* why, size_t size) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, why, size);
  _exit(3);
}
#define REFUSE(why) refuse(why "\n", sizeof(why "\n") - 1)

// Palette 1 with eight whole tiles is the only configuration that the emulation knows.
bool whole_tiles(const uint8_t* configuration) {
  if (configuration[0] != 1) return false;
  for (int k = 1; k < 16; ++k) {
    if (configuration[k] != 0) return false;
  }
  for (int k = 0; k < 16; ++k) {
    const int bytes = configuration[16 + 2 * k] + 256 * configuration[17 + 2 * k],
              rows = configuration[48 + k];
    if (bytes != (k < 8 ? 64 : 0) || rows != (k < 8 ? 16 : 0)) return false;
  }
  return true;
}

// One AMX instruction: VEX prefix of three bytes, map 0F38, opcode, ModRM and what follows it.
void carry_out(int, siginfo_t*, void* context) {
  greg_t* state = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto* at = reinterpret_cast<const uint8_t*>(state[REG_RIP]);
  if (at[0] != 0xC4 || (at[1] & 31) != 2 || (at[2] & 0x84) != 0) REFUSE("illegal instruction");
  const int x = at[1] & 0x40 ? 0 : 8, b = at[1] & 0x20 ? 0 : 8;
  const int other = ~(at[2] >> 3) & 15, prefix = at[2] & 3;  // prefix: none, 66, F3, F2
  const int opcode = at[3], mode = at[4] >> 6, reg = at[4] >> 3 & 7, rm = at[4] & 7;
  const uint8_t* next = at + 5;
  char* address = nullptr;
  int64_t stride = 0;
  if (mode != 3) {
    int base = rm | b;
    if (rm == 4) {
      const int index = (*next >> 3 & 7) | x;
      if (index != 4) stride = state[kRegisters[index]] << (*next >> 6);
      base = (*next & 7) | b;
      ++next;
    }
    int32_t shift = 0;
    if (mode == 1) shift = static_cast<int8_t>(*next++);
    if (mode == 2 || (mode == 0 && (base & 7) == 5)) {
      __builtin_memcpy(&shift, next, 4);
      next += 4;
    }
    if (mode == 0 && (base & 7) == 5) {
      if (rm == 4) REFUSE("an address without a base");
      address = reinterpret_cast<char*>(const_cast<uint8_t*>(next)) + shift;
    } else {
      address = reinterpret_cast<char*>(state[kRegisters[base]]) + shift;
    }
  }
  if (opcode == 0x49 && prefix == 0 && mode != 3) {  // LDTILECFG
    if (!whole_tiles(reinterpret_cast<uint8_t*>(address))) REFUSE("another tile configuration");
    Tiles::configure(true);
    for (int k = 0; k < 8; ++k) Tiles::zero(k);
  } else if (opcode == 0x49 && prefix == 0 && at[4] == 0xC0) {  // TILERELEASE
    Tiles::configure(false);
  } else if (opcode == 0x49 && prefix == 3 && mode == 3 && rm == 0) {  // TILEZERO
    Tiles::zero(reg);
  } else if (opcode == 0x4B && prefix == 3 && mode != 3 && rm == 4) {  // TILELOADD
    Tiles::load(reg, address, stride);
  } else if (opcode == 0x4B && prefix == 2 && mode != 3 && rm == 4) {  // TILESTORED
    Tiles::store(reg, address, stride);
  } else if (opcode == 0x5C && prefix == 2 && mode == 3) {  // TDPBF16PS
    if (other > 7 || other == rm || other == reg || rm == reg) REFUSE("tiles of TDPBF16PS");
    Tiles::dot(reg, rm, other);
  } else {
    REFUSE("illegal instruction");
  }
  state[REG_RIP] = reinterpret_cast<greg_t>(next);
  instructions.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

void trap_tiles();
int64_t trapped_instructions();

int64_t trapped_instructions() { return instructions.load(); }
void trap_tiles() {
  struct sigaction action = {};
  action.sa_sigaction = carry_out;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, nullptr);
}

}  // namespace astgnn::ops
