// One row's score as a function of its own window and of the messages that it takes in, in float64:
// what the other rows of its date send is held.
#pragma once

#include <memory>

#include "train/panel.h"

namespace astgnn::train {

// A float64 copy on the CPU in evaluation mode; no gradient reaches its weights.
std::shared_ptr<nn::ASTGNNFactorModel> in_double(const nn::ASTGNNFactorModel& model);

// What the forward of a whole date made of each of its N rows.
struct HeldDate {
  HeldDate(std::shared_ptr<nn::ASTGNNFactorModel> model, const Panel& panel, int64_t date);

  std::shared_ptr<nn::ASTGNNFactorModel> model;  // as in_double
  nn::Batch batch;
  int64_t rows = 0;
  Tensor windows;              // [T, N, F]
  Tensor medians;              // [T, F], over the rows
  Tensor predictions;          // [N, P]
  Tensor values, target;       // attention: v [N, A, D], a_target . v [N, A]
  Tensor risk_factors;         // M [N, K]
  std::vector<Tensor> inputs;  // per TGC layer: X W [N, out]
  // The forward where one row has another window, [T, F]: its predictions [P]. All rows react.
  Tensor predictions_with(int64_t row, const Tensor& window) const;
};

// Row i of a date. Columns 0 .. N - 1 are the date's rows, of which column i is never used; column N
// is row i itself, as the window and the messages of the call make it.
//
//   out = alpha_N v_N + sum_j g_j alpha_j v_j              attention, g: share of j's message that arrives
//   M_i, a = softmax(ReLU(scale M_i M^T)) from it          as in the model, top_k included
//   z = y_N +- (a_N y_N + sum_j s_j a_j y_j) + b           TGC, s as g
class HeldRow {
 public:
  // column: which of the P predictions.
  HeldRow(std::shared_ptr<const HeldDate> date, int64_t row, int64_t column);

  struct Values {
    Tensor scores;             // [Q]
    Tensor attention;          // alpha, mean over heads [Q, N + 1]
    Tensor weights;            // a [Q, N + 1]
    Tensor products;           // scale M_i M^T [Q, N + 1]
    Tensor kept, smallest;     // with top_k: who is kept [Q, N + 1], and from which product on [Q, 1]
  };
  // windows [T, Q, F], all messages arrive.
  Values operator()(const Tensor& windows) const;
  // State h [Q, H] and features of the last date [Q, F]; similarity s and attention g [Q, N], or
  // undefined where all messages arrive.
  Values from_state(const Tensor& h, const Tensor& features, const Tensor& similarity,
                    const Tensor& attention) const;
  Tensor state(const Tensor& windows) const;

  const HeldDate& date() const { return *date_; }
  int64_t row() const { return row_; }

 private:
  void attend(const Tensor& h, const Tensor& share, Values& values, Tensor& out) const;
  void resemble(const Tensor& m, Values& values) const;

  std::shared_ptr<const HeldDate> date_;
  int64_t row_, column_;
  Tensor seen_, together_, similar_;  // bool [N + 1]
  Tensor largest_;                    // 0-d: norm of the longest other M of the date and group
};

}  // namespace astgnn::train
