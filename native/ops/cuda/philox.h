// Philox4x32-10 (ops/philox.h) on the device.
#pragma once

#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {

struct Words {
  uint32_t word[4];
};

// Words of columns 4 * quad .. 4 * quad + 3 of a packed row.
__device__ inline Words philox(const DropoutSite& site, int64_t row, uint32_t quad) {
  uint32_t key0 = static_cast<uint32_t>(site.key[0]), key1 = static_cast<uint32_t>(site.key[1]);
  Words c = {{site.where, static_cast<uint32_t>(site.key[2 * (row + 1)]),
              static_cast<uint32_t>(site.key[2 * (row + 1) + 1]), quad}};
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53} * c.word[0];
    const uint64_t second = uint64_t{0xCD9E8D57} * c.word[2];
    c = {{static_cast<uint32_t>(second >> 32) ^ c.word[1] ^ key0, static_cast<uint32_t>(second),
          static_cast<uint32_t>(first >> 32) ^ c.word[3] ^ key1, static_cast<uint32_t>(first)}};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c;
}

// 0 or 1 / (1 - p) of one element.
__device__ inline double dropout_factor(const DropoutSite& site, int64_t row, int64_t column) {
  const Words words = philox(site, row, static_cast<uint32_t>(column / 4));
  return words.word[column % 4] > site.dropped ? site.scale : 0.0;
}

}  // namespace astgnn::ops::cuda
