// Whether A knows who belongs together: what the peers that it gives a stock do in the days that
// follow, and whether all stocks are given the same ones.
#pragma once

#include "train/panel.h"

namespace astgnn::train {

// Of every date of the batch minus the mean over days h of the correlation over stocks of x[:, h]
// with how far their peers differ from all others that day: A x[:, h] less the mean of x[:, h] over
// the other stocks, A of M without the stock itself. A missing x counts as 0 in both and takes its
// stock out of that day. Mean [] over the dates where a day has two unequal x, and per day and date
// [H, B], both float64.
std::tuple<Tensor, Tensor> co_movement_loss(const nn::RelationalEmbedding& embedding,
                                            const Tensor& m, const PackedBatch& batch,
                                            const FutureReturns& future);

// Of one date's M, for each row how many others have it among the 20 rows (top_k where that is
// fewer) that are most similar to them: [N] float64.
Tensor hub_counts(const nn::RelationalEmbedding& embedding, const Tensor& m,
                  const nn::Batch& batch);
// The largest of these counts and their skewness, [2] float64; NaN where undefined.
Tensor hub_statistics(const Tensor& counts);

}  // namespace astgnn::train
