// Philox4x32-10 (Salmon et al. 2011), a counter-based generator: the same words from any thread, in
// any order, in forward and backward.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace astgnn::ops {

inline std::array<uint32_t, 4> philox(std::array<uint32_t, 2> key,
                                      std::array<uint32_t, 4> counter) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53} * counter[0];
    const uint64_t second = uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(second),
        static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(first)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// Words up to this one are dropped: word * 2^-32 < p in whole numbers, exact because times 2^32
// only changes the exponent. p > 0.
inline uint32_t last_dropped_word(double p) {
  return static_cast<uint32_t>(std::ceil(std::ldexp(p, 32)) - 1);
}

}  // namespace astgnn::ops
