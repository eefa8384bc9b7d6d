// Why rows of one date have their scores: what is their own, what comes from each peer, and which
// features and dates made the difference to the date's median stock.
#pragma once

#include <optional>

#include "train/path_integral.h"

namespace astgnn::train {

struct Explanation {
  double score = 0;
  // score = own + the sum of both parts: the line from no message to all of them (HeldRow).
  double own = 0;
  Tensor similarity_parts, attention_parts;  // [N], 0 for the row itself
  Tensor weights, attention;                 // row of A, row of alpha as the mean over heads: [N]
  // score - baseline = the sum of the parts: the line from the medians to the row's window.
  double baseline = 0;
  Tensor feature_parts;  // [T, F]
  Tensor window;         // [T, F]
  // Score of a median window where the other rows react to it.
  double baseline_reacting = 0;
  double peer_gap = 0, feature_gap = 0;  // what the sums miss
  int64_t evaluations = 0;
};

class Explainer {
 public:
  Explainer(std::shared_ptr<const Panel> panel, int64_t date, std::vector<int64_t> rows,
            int64_t column);
  // The first call copies the weights of `model`. True while there is more to do.
  bool step(const nn::ASTGNNFactorModel& model);
  double done() const;  // share of the work, from 0 to 1

  std::vector<Explanation> explanations;  // one per row
  std::shared_ptr<const HeldDate> date;   // after the first step

 private:
  void begin_row();
  void end_peers();
  void end_features();

  std::shared_ptr<const Panel> panel_;
  int64_t date_, column_;
  std::vector<int64_t> rows_;
  std::optional<HeldRow> row_;
  std::optional<PathIntegral> peers_, features_;
};

}  // namespace astgnn::train
