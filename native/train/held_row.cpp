#include "train/held_row.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <limits>

#include "ops/reference.h"

namespace astgnn::train {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

// Columns 0 .. N - 1 of `others` without row i, and one more for the row itself.
Tensor with_self(const Tensor& others, int64_t row, const Tensor& self) {
  Tensor columns = at::cat({others, self.expand({1})});
  columns[row].fill_(0);
  return columns;
}

}  // namespace

std::shared_ptr<nn::ASTGNNFactorModel> in_double(const nn::ASTGNNFactorModel& model) {
  auto copy = std::make_shared<nn::ASTGNNFactorModel>(model.config, /*seed=*/0);
  copy->to(at::kDouble);
  copy->eval();
  nn::load_state_dict(*copy, nn::state_dict(model));
  for (auto& parameter : copy->parameters()) parameter.set_requires_grad(false);
  return copy;
}

HeldDate::HeldDate(std::shared_ptr<nn::ASTGNNFactorModel> given, const Panel& panel, int64_t date)
    : model(std::move(given)) {
  c10::NoGradGuard no_grad;
  const auto packed = pack(panel, date, at::kDouble, /*seed=*/0, /*step=*/0);
  batch = packed.batch;
  rows = packed.offsets.back();
  const auto days = packed.sequences.date[0] - (panel.window - 1) + at::arange(panel.window);
  windows = packed.sequences.panel.index({days.unsqueeze(1), packed.sequences.stock}).to(at::kDouble);
  const auto sorted = std::get<0>(windows.sort(1));
  medians = (sorted.select(1, (rows - 1) / 2) + sorted.select(1, rows / 2)) / 2;

  nn::Sequences dense;
  dense.dense = windows;
  const auto output = model->forward(dense, batch);
  predictions = output.predictions;
  risk_factors = output.risk_factors;
  const auto& gat = *model->factor_extractor->gat;
  values = gat.linear->forward(output.state).view({rows, gat.heads, -1});
  target = (values * gat.attention_target).sum(-1);
  const auto& embedding = *model->relational_embedding;
  const auto& config = model->config;
  const auto features = windows.select(0, panel.window - 1);
  Tensor x = config.relational_input == "state"      ? output.state
             : config.relational_input == "features" ? features
                                                     : at::cat({features, output.state}, 1);
  for (const auto& layer : embedding.layers) {
    if (!inputs.empty()) x = x.relu();
    inputs.push_back(x.mm(layer->weight));
    if (inputs.size() == embedding.layers.size()) break;
    x = std::get<0>(ops::relational_embedding(
        x, risk_factors, {layer->weight}, {layer->bias}, {layer->sign}, batch.graph.offsets,
        embedding.groups(batch), embedding.scale(), config.exclude_self, config.top_k, /*p=*/0.0,
        batch.key));
  }
}

Tensor HeldDate::predictions_with(int64_t row, const Tensor& window) const {
  c10::NoGradGuard no_grad;
  nn::Sequences changed;
  changed.dense = windows.clone();
  changed.dense.select(1, row).copy_(window);
  return model->forward(changed, batch).predictions[row];
}

HeldRow::HeldRow(std::shared_ptr<const HeldDate> date, int64_t row, int64_t column)
    : date_(std::move(date)), row_(row), column_(column) {
  const auto& graph = date_->batch.graph;
  const Tensor yes = at::ones({}, at::kBool), all = at::ones({date_->rows}, at::kBool);
  Tensor seen = all;
  if (graph.groups) seen = *graph.groups == (*graph.groups)[row];
  if (graph.edge_offsets) {
    const int64_t* offset = graph.edge_offsets->const_data_ptr<int64_t>();
    seen = at::zeros_like(all).index_fill_(
        0, graph.edge_targets->slice(0, offset[row], offset[row + 1]), 1);
  }
  seen_ = with_self(seen, row, yes);
  const auto groups = date_->model->relational_embedding->groups(date_->batch);
  together_ = with_self(groups ? *groups == (*groups)[row] : all, row, yes);
  similar_ = together_.clone();
  if (date_->model->config.exclude_self) similar_[date_->rows].fill_(0);
  largest_ = date_->risk_factors.norm(2, 1).masked_fill(~together_.slice(0, 0, date_->rows), 0).max();
}

void HeldRow::attend(const Tensor& h, const Tensor& share, Values& values, Tensor& out) const {
  const auto& gat = *date_->model->factor_extractor->gat;
  const int64_t queries = h.size(0), rows = date_->rows;
  const auto own = gat.linear->forward(h).view({queries, gat.heads, -1});  // [Q, A, D]
  const auto source = (own * gat.attention_source).sum(-1).unsqueeze(2);   // [Q, A, 1]
  const auto self = (own * gat.attention_target).sum(-1).unsqueeze(2);
  const auto others = date_->target.t().unsqueeze(0).expand({queries, -1, -1});  // [Q, A, N]
  const auto raw = source + at::cat({others, self}, 2);                          // [Q, A, N + 1]
  const auto alpha = at::where(raw > 0, raw, raw * gat.slope)
                         .masked_fill(~seen_, kNever)
                         .softmax(-1);
  auto arriving = alpha.slice(2, 0, rows);
  if (share.defined()) arriving = arriving * share.unsqueeze(1);
  const auto sent = at::matmul(arriving.transpose(0, 1), date_->values.transpose(0, 1));  // [A, Q, D]
  out = (sent.transpose(0, 1) + alpha.slice(2, rows) * own).reshape({queries, -1});
  values.attention = alpha.mean(1);
}

void HeldRow::resemble(const Tensor& m, Values& values) const {
  const auto& config = date_->model->config;
  const auto scale = date_->model->relational_embedding->scale();
  values.products = scale * at::cat({m.mm(date_->risk_factors.t()), m.square().sum(1, true)}, 1);
  Tensor allowed = similar_.expand_as(values.products);
  if (config.top_k > 0 && config.top_k < date_->rows) {
    const auto norm = m.norm(2, 1, true);  // [Q, 1]
    const auto kth = std::get<0>(values.products.masked_fill(~allowed, kNever).topk(config.top_k, 1))
                         .slice(1, config.top_k - 1);
    values.smallest = kth - ops::kTie * scale.abs() * norm * at::maximum(norm, largest_);
    allowed = values.kept = allowed & (values.products.detach() >= values.smallest.detach());
  }
  const auto nobody = ~allowed.any(1, /*keepdim=*/true);
  values.weights = at::relu(values.products)
                       .masked_fill(~allowed & ~nobody, kNever)
                       .softmax(1)
                       .masked_fill(nobody, 0.0);
}

Tensor HeldRow::state(const Tensor& windows) const {
  return ops::reference::gru_dense(windows, date_->model->factor_extractor->gru->weights, 0, {});
}

HeldRow::Values HeldRow::operator()(const Tensor& windows) const {
  return from_state(state(windows), windows.select(0, windows.size(0) - 1), {}, {});
}

HeldRow::Values HeldRow::from_state(const Tensor& h, const Tensor& features,
                                    const Tensor& similarity, const Tensor& attention) const {
  const auto& model = *date_->model;
  auto& extractor = *model.factor_extractor;
  Values values;
  Tensor attended;
  attend(h, attention, values, attended);
  if (extractor.gat_shortcut)
    attended = extractor.gat_shortcut->forward(h) + extractor.gat_sign * attended;
  resemble(extractor.full_norm->forward(
               extractor.full_linear->forward(extractor.residual->forward(attended)),
               ops::Activation::kTanh),
           values);

  const auto& input = model.config.relational_input;
  const auto current =
      input == "state" ? h : input == "features" ? features : at::cat({features, h}, 1);
  auto arriving = values.weights.slice(1, 0, date_->rows);
  if (similarity.defined()) arriving = arriving * similarity;
  Tensor x = current;
  for (size_t l = 0; l < date_->inputs.size(); ++l) {
    const auto& layer = *model.relational_embedding->layers[l];
    const auto own = (l == 0 ? x : x.relu()).mm(layer.weight);
    const auto mixed = values.weights.slice(1, date_->rows) * own + arriving.mm(date_->inputs[l]);
    x = own + layer.sign * mixed + layer.bias;
  }
  if (model.config.relational_skip) x = at::cat({x, current}, 1);
  values.scores = model.prediction->forward(x, {}).select(1, column_).contiguous();
  return values;
}

}  // namespace astgnn::train
