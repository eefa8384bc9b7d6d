// Products of a warp on tensor cores, from shared memory: factors in one or two bf16 values each,
// sums in float32. GPUs before compute capability 8.0 have no bf16; code for them has none of this.
//
// A tensor core adds up with the low bits cut off, which is a drift and not noise: long sums take
// several short ones and add those themselves.
#pragma once

#include <cstdint>
#include <type_traits>

#ifndef ASTGNN_EMULATED_CUDA
#include <cuda_bf16.h>
#include <mma.h>
#endif

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

namespace astgnn::ops::cuda {

namespace wmma = nvcuda::wmma;
using Rounded = __nv_bfloat16;

constexpr int kSquare = 16;
using Sum = wmma::fragment<wmma::accumulator, kSquare, kSquare, kSquare, float>;
template <int kHigh, int kWide>
using Sums = Sum[kHigh][kWide];

// Parts of a matrix, each of rows of kRow elements.
template <int kParts, int kRows, int kRow>
using Parts = Rounded[kParts][kRows][kRow];

__device__ inline uint32_t bits_of(Rounded first, Rounded second) {
  return static_cast<uint32_t>(__bfloat16_as_ushort(first)) |
         static_cast<uint32_t>(__bfloat16_as_ushort(second)) << 16;
}

// Puts four neighbours there in kParts parts, `plane` elements apart; x becomes what their parts
// add up to.
template <int kParts>
__device__ void split(float (&x)[4], Rounded* to, int64_t plane) {
  struct __attribute__((may_alias, aligned(8))) Four {
    uint32_t bits[2];
  };
  float left[4], sum[4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) left[i] = x[i];
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    Rounded part[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      part[i] = __float2bfloat16_rn(left[i]);
      const float value = __bfloat162float(part[i]);
      sum[i] += value;
      left[i] -= value;
    }
    *reinterpret_cast<Four*>(to +
                             p * plane) = {{bits_of(part[0], part[1]), bits_of(part[2], part[3])}};
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) x[i] = sum[i];
}

// Copies rows of kColumns elements, 16 bytes a thread, from a matrix [parts, .., stride] with
// `plane` elements between its parts; 0 from row `end` on.
template <int kParts, int kColumns, int kRows, int kRow>
__device__ void load_parts(Parts<kParts, kRows, kRow>& to, const Rounded* from, int64_t plane,
                           int64_t stride, int64_t row, int64_t end, int threads) {
  struct __attribute__((may_alias, aligned(16))) Eight {
    uint32_t bits[4];
  };
  constexpr int kEights = kColumns / 8;
  const int rows = static_cast<int>(end - row < kRows ? end - row : kRows);
  for (int at = static_cast<int>(threadIdx.x); at < kParts * kRows * kEights; at += threads) {
    const int c = at % kEights * 8, i = at / kEights % kRows, p = at / (kEights * kRows);
    Eight value = {};
    if (i < rows)
      value = *reinterpret_cast<const Eight*>(from + p * plane + (row + i) * stride + c);
    *reinterpret_cast<Eight*>(&to[p][i][c]) = value;
  }
}

template <int kHigh, int kWide>
__device__ void clear(Sums<kHigh, kWide>& sums) {
#pragma unroll
  for (int r = 0; r < kHigh; ++r) {
#pragma unroll
    for (int c = 0; c < kWide; ++c) wmma::fill_fragment(sums[r][c], 0.0f);
  }
}

template <int kHigh, int kWide>
__device__ void add(Sums<kHigh, kWide>& sums, const Sums<kHigh, kWide>& part) {
#pragma unroll
  for (int r = 0; r < kHigh; ++r) {
#pragma unroll
    for (int c = 0; c < kWide; ++c) {
#pragma unroll
      for (int i = 0; i < sums[r][c].num_elements; ++i) sums[r][c].x[i] += part[r][c].x[i];
    }
  }
}

// sums += kHigh squares of rows, from (row, k) of `left` on, times kWide squares of columns of
// `right`, over a depth of one square. right is [depth, columns] from (k, column) on, or where
// Order is col_major [columns, depth]. Of two parts each, low times low is left out: 2^-18.
template <class Order, int kParts, int kHigh, int kWide, int kLeftRows, int kLeftRow,
          int kRightRows, int kRightRow>
__device__ void multiply(Sums<kHigh, kWide>& sums, const Parts<kParts, kLeftRows, kLeftRow>& left,
                         int row, int k, const Parts<kParts, kRightRows, kRightRow>& right,
                         int right_row, int right_column) {
  constexpr bool kAcross = std::is_same_v<Order, wmma::row_major>;
  wmma::fragment<wmma::matrix_a, kSquare, kSquare, kSquare, Rounded, wmma::row_major> a[kParts];
  wmma::fragment<wmma::matrix_b, kSquare, kSquare, kSquare, Rounded, Order> b[kParts][kWide];
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
#pragma unroll
    for (int c = 0; c < kWide; ++c)
      wmma::load_matrix_sync(b[p][c],
                             &right[p][right_row + (kAcross ? 0 : c * kSquare)]
                                   [right_column + (kAcross ? c * kSquare : 0)],
                             kRightRow);
  }
#pragma unroll
  for (int r = 0; r < kHigh; ++r) {
#pragma unroll
    for (int p = 0; p < kParts; ++p)
      wmma::load_matrix_sync(a[p], &left[p][row + r * kSquare][k], kLeftRow);
#pragma unroll
    for (int c = 0; c < kWide; ++c) {
      if constexpr (kParts == 2) {
        wmma::mma_sync(sums[r][c], a[1], b[0][c], sums[r][c]);
        wmma::mma_sync(sums[r][c], a[0], b[1][c], sums[r][c]);
      }
      wmma::mma_sync(sums[r][c], a[0], b[0][c], sums[r][c]);
    }
  }
}

// Where a warp's share of a product leaves the fragments: store(row, column, sum) for each.
template <int kHigh, int kWide, class Store>
__device__ void store_each(const Sums<kHigh, kWide>& sums, float (&stage)[kSquare][kSquare],
                           const Store& store) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int r = 0; r < kHigh; ++r) {
#pragma unroll
    for (int c = 0; c < kWide; ++c) {
      wmma::store_matrix_sync(&stage[0][0], sums[r][c], kSquare, wmma::mem_row_major);
      __syncwarp();
      for (int at = lane; at < kSquare * kSquare; at += 32) {
        const int i = at / kSquare, k = at % kSquare;
        store(r * kSquare + i, c * kSquare + k, stage[i][k]);
      }
      __syncwarp();
    }
  }
}

}  // namespace astgnn::ops::cuda

#endif
