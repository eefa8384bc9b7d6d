#include "ops/data/rank_codes.h"

#include <bit>
#include <cmath>
#include <vector>

namespace astgnn::ops {
namespace {

const double kSpreadOfRanks = std::sqrt(12.0);

// As CrossSection::rank computes it.
float rank_value(int32_t code, double twice_ranked) {
  return code == 0 ? 0.0F
                   : static_cast<float>(((code - 1) / twice_ranked - 0.5) * kSpreadOfRanks);
}

// -1 where there is none.
int32_t rank_code(float value, double twice_ranked) {
  const auto bits = [](float number) { return std::bit_cast<uint32_t>(number); };
  const auto is = [&](int32_t code) {
    return bits(rank_value(code, twice_ranked)) == bits(value);
  };
  if (is(0)) return 0;
  const double sum = std::nearbyint((value / kSpreadOfRanks + 0.5) * twice_ranked);
  if (!(sum >= 0 && sum <= twice_ranked)) return -1;
  const auto code = static_cast<int32_t>(sum) + 1;
  return is(code) ? code : -1;
}

bool encode_feature(const float* values, int64_t slots, int64_t stride, int32_t ranked,
                    uint16_t* codes) {
  for (int64_t s = 0; s < slots; ++s) {
    const int32_t code = rank_code(values[s * stride], 2.0 * ranked);
    if (code < 0) return false;
    codes[s * stride] = static_cast<uint16_t>(code);
  }
  return true;
}

}  // namespace

std::optional<int64_t> encode_ranks(const float* values, int64_t slots, int64_t features,
                                    uint16_t* codes, int32_t* ranked) {
  int32_t last = 1;  // the features of a date mostly have the same
  for (int64_t f = 0; f < features; ++f) {
    int32_t n = last;
    if (!encode_feature(values + f, slots, features, n, codes + f)) {
      n = 1;
      while (n <= kMostRanked && !encode_feature(values + f, slots, features, n, codes + f)) ++n;
      if (n > kMostRanked) return f;
    }
    ranked[f] = last = n;
  }
  return std::nullopt;
}

void decode_ranks(const uint16_t* codes, const int32_t* ranked, int64_t slots, int64_t features,
                  float* values) {
  std::vector<double> twice(ranked, ranked + features);
  for (double& n : twice) n *= 2;
  for (int64_t s = 0; s < slots; ++s, codes += features, values += features)
    for (int64_t f = 0; f < features; ++f) values[f] = rank_value(codes[f], twice[f]);
}

}  // namespace astgnn::ops
