// The integral of a score's gradient along a straight line: the part of each coordinate in the
// difference of the scores at the two ends.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "train/held_row.h"

namespace astgnn::train {

// parts_c = (to_c - from_c) times the integral over t in [0, 1] of d score / d p_c at p = from + t
// (to - from), so that parts sum to end - begin (integrated gradients; Aumann-Shapley values).
//
// Simpson's rule on stretches of the line. The sum over the coordinates of a stretch is known, the
// scores of its ends: where they miss it by more than a tolerance (ReLU has bends) the stretch is
// halved; its ends and middle are kept. Where top_k exchanges a stock the score jumps: the jump
// goes to the coordinates in proportion to how they move the product that crosses the threshold
// (the derivative of the step, as a distribution).
class PathIntegral {
 public:
  using Score = std::function<HeldRow::Values(const Tensor& points)>;  // points [Q, C]

  // most: how many points a call of `score` takes at once.
  PathIntegral(Tensor from, Tensor to, int64_t most, Score score);
  // One call of `score`; true while there is more to do.
  bool step();

  double done() const;  // share of the line, from 0 to 1; falls back where it starts again
  double gap() const;   // (end - begin) less the sum of the parts
  Tensor parts;         // [C]
  double begin = 0, end = 0;
  int64_t evaluations = 0;

 private:
  struct Point {
    double at, score, slope;
    Tensor gradient;  // [C]
    Tensor kept;      // [N + 1] with top_k
  };
  using Shared = std::shared_ptr<const Point>;
  struct Stretch {
    Shared from, to;
  };
  std::vector<Shared> evaluate(const std::vector<double>& at);
  void start();
  // Where top_k keeps others at the end of a short stretch than at its beginning: gives the jump to
  // the coordinates.
  bool cross(const Stretch& stretch, double jump);

  Tensor from_, span_;
  int64_t most_;
  Score score_;
  std::vector<Shared> first_;  // ends of the first stretches
  std::vector<Stretch> open_;
  double unit_ = 0, tolerance_ = 0, covered_ = 0;
};

}  // namespace astgnn::train
