// Features that are ranks within their date, in 16 bits, from which they come back to the last bit.
// A rank feature is ((b + a) / (2 n) - 0.5) sqrt(12), rounded to float, where of n ranked stocks b
// are below the stock and a are not above it (CrossSection::rank), so that b + a of 0 .. 2 n and n
// tell all. Code 0 is the number 0, which a missing feature is filled with; else the code is one
// more than b + a, or than a multiple of it where n is one.
#pragma once

#include <cstdint>
#include <optional>

namespace astgnn::ops {

constexpr int32_t kMostRanked = 32767;

// Codes of a date's features [slots, F] and the n of each feature [F]; or the first feature that is
// no such rank among at most kMostRanked.
std::optional<int64_t> encode_ranks(const float* values, int64_t slots, int64_t features,
                                    uint16_t* codes, int32_t* ranked);
void decode_ranks(const uint16_t* codes, const int32_t* ranked, int64_t slots, int64_t features,
                  float* values);

}  // namespace astgnn::ops
