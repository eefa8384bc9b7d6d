// Statistical exposures of stocks (`loadings`): whom a stock moved with over the last year, by a
// principal component analysis of daily returns at every refresh date, in a basis that stays.
//
// At a refresh date t, of the `window` daily returns up to t, clipped to ±25 %, with weights
// w = 2^(-age / half_life), for the stocks that have at least 80 % of them: centred by their weighted
// mean, missing = 0, scaled to weighted variance 1, clipped to ±4, rows times sqrt(w / sum w). With
// the singular value decomposition U S V' of this matrix X [window, stocks], the loadings are the
// first `count` columns of V S = X'U: the inner product of the loadings of two stocks is their
// modelled correlation. Stocks of the universe, and those without a close at t, make U; a stock
// with a close outside the universe gets its loadings by X'U and moves nobody's.
//
// Signs and rotations of V are arbitrary. The first basis has the largest entry of each column
// positive; later ones are rotated onto the loadings before them, by orthogonal Procrustes over the
// stocks that make U and have both. Loadings are rounded to single precision at every refresh, so a chain
// that goes on from stored ones is the same to the last bit.
#pragma once

#include <cstdint>
#include <exception>
#include <vector>

#include "ops/data/grid.h"

namespace astgnn::ops {

struct LoadingsInput {
  int64_t dates, stocks;
  Column close;
  const uint8_t* universe;  // [dates, stocks]: 1 where the stock counts
  const int32_t* segments;  // [dates, stocks] of prices that may be compared, or null
  int64_t window, count;    // count <= window
  double half_life;         // dates
  struct Refresh {
    int64_t date;                  // a refresh is computed from date `window` on
    const float* known = nullptr;  // [count, stocks]: taken as they are, not computed
  };
  std::vector<Refresh> refreshes;  // dates ascend
};

class Loadings {
 public:
  explicit Loadings(LoadingsInput input);

  // Makes the next refreshes with OpenMP's threads; true while there is more to do.
  bool step();
  int64_t refreshes_done() const { return next_; }
  // [refreshes, count, stocks]; NaN where a stock has too little history or returns that never
  // change.
  const std::vector<float>& values() const { return values_; }

  // The loadings of a date before they are rotated: out [count, stocks], NaN where missing. Returns
  // the stocks that made them.
  std::vector<int64_t> factorise(int64_t date, double* out) const;
  // Rotates fresh [count, stocks] onto `previous`, or without one gives it the first basis.
  void align(double* fresh, const std::vector<int64_t>& members, const float* previous) const;

 private:
  void make_returns(int64_t first, int64_t last);

  LoadingsInput in_;
  std::vector<double> weights_;  // [window], oldest first; sum 1
  std::vector<double> returns_;  // of dates from returns_from_ on: [dates, stocks], clipped
  std::vector<float> values_;
  int64_t next_ = 0, returns_from_ = 0, returns_end_ = 0;
  int64_t last_basis_ = -1;  // the last refresh that has loadings
};

}  // namespace astgnn::ops
