// Explanations: a row alone is the whole forward, its gradient is that of finite differences, parts
// sum to scores for every kind of model, and planted models have the parts that they must have.
#include "train/explainer.h"

#include "check.h"
#include "small_model.h"
#include "small_panel.h"

namespace {

using at::Tensor;
using namespace astgnn;
using Graph = train::Panel::Graph;

constexpr int64_t kDate = 4, kRow = 2;

std::shared_ptr<const train::Panel> panel_of(Graph graph, bool only_outwards = false) {
  auto panel = std::make_shared<train::Panel>(small_panel(3, 5));
  panel->graph = graph;
  if (graph == Graph::kEdges) {
    std::vector<int32_t> source, target;
    const int32_t stock =
        panel->row_stocks[panel->row_offsets[kDate].item<int64_t>() + kRow].item<int32_t>();
    for (int32_t s = 0; s < 12; ++s)
      for (int32_t t = 0; t < 12; ++t)
        if ((s + t) % 2 == 0 && !(only_outwards && t == stock)) {
          source.push_back(s);
          target.push_back(t);
        }
    panel->edge_source = at::tensor(source, at::kInt);
    panel->edge_target = at::tensor(target, at::kInt);
    panel->edge_from = at::zeros_like(panel->edge_source);
    panel->edge_to = at::full_like(panel->edge_source, 100);
  }
  panel->prepare();
  return panel;
}

std::shared_ptr<nn::ASTGNNFactorModel> model_of(
    const std::function<void(nn::Config&)>& change, uint64_t seed = 5) {
  nn::Config config = small_model()->config;
  change(config);
  auto model = std::make_shared<nn::ASTGNNFactorModel>(config, seed);
  model->eval();
  return model;
}

train::Explainer explained(const nn::ASTGNNFactorModel& model,
                           std::shared_ptr<const train::Panel> panel, int64_t row = kRow,
                           int64_t column = 0) {
  train::Explainer explainer(std::move(panel), kDate, {row}, column);
  double before = 0;
  bool rises = true;
  while (explainer.step(model)) {
    rises = rises && explainer.done() >= before - 0.5;
    before = explainer.done();
  }
  check::that(rises && explainer.done() == 1, "progress ends at 1");
  return explainer;
}

struct Kind {
  const char* name;
  Graph graph;
  std::function<void(nn::Config&)> change;
};
const Kind kKinds[] = {
    {"defaults", Graph::kComplete, [](nn::Config&) {}},
    {"add", Graph::kComplete, [](nn::Config& c) { c.tgc_modes = {"add"}; }},
    {"subtract, three layers, state", Graph::kComplete,
     [](nn::Config& c) {
       c.tgc_modes = {"subtract"};
       c.num_tgc_layers = 3;
       c.relational_input = "state";
     }},
    {"relative attention, learned scale, skip, both, three predictions", Graph::kComplete,
     [](nn::Config& c) {
       c.gat_residual = "subtract";
       c.similarity_scale = "learned";
       c.relational_skip = true;
       c.num_predictions = 3;
       c.relational_input = "both";
     }},
    {"attention alone, two predictions, no hidden layer", Graph::kComplete,
     [](nn::Config& c) {
       c.gat_residual = "none";
       c.num_predictions = 2;
       c.prediction_hidden_sizes = {};
     }},
    {"batch norm, one layer, sqrtK", Graph::kGroups,
     [](nn::Config& c) {
       c.norm = "batch";
       c.num_tgc_layers = 1;
       c.similarity_scale = "sqrtK";
     }},
    {"groups in A without itself", Graph::kGroups,
     [](nn::Config& c) {
       c.similarity_graph = "groups";
       c.exclude_self = true;
     }},
    {"top 2 without itself", Graph::kComplete,
     [](nn::Config& c) {
       c.top_k = 2;
       c.exclude_self = true;
       c.similarity_scale_value = 3;
     }},
    {"top 3 of groups, edges", Graph::kEdges,
     [](nn::Config& c) {
       c.top_k = 3;
       c.similarity_graph = "groups";
     }},
    {"no graph", Graph::kNone,
     [](nn::Config& c) {
       c.similarity_graph = "groups";
       c.exclude_self = true;
     }},
};

void sums_and_gradients() {
  for (const auto& kind : kKinds) {
    const std::string name = std::string(kind.name) + ": ";
    const auto panel = panel_of(kind.graph);
    const auto model = model_of(kind.change);
    const int64_t column = model->config.num_predictions - 1;
    const auto explainer = explained(*model, panel, kRow, column);
    const auto& date = *explainer.date;
    const auto& got = explainer.explanations[0];
    const double score = date.predictions[kRow][column].item<double>();
    check::near(got.score, score, 1e-12, name + "a row alone has the score of the whole forward");
    const auto sum = [](const Tensor& parts) { return parts.sum().item<double>(); };
    check::near(got.own + sum(got.similarity_parts) + sum(got.attention_parts), score, 1e-6,
                name + "own part and peers sum to the score");
    check::near(got.baseline + sum(got.feature_parts), score, 1e-6,
                name + "features and dates sum to the difference of the scores");
    check::that(got.similarity_parts[kRow].item<double>() == 0 &&
                    got.attention_parts[kRow].item<double>() == 0,
                name + "a stock is no peer of itself");
    if (kind.graph == Graph::kNone) {
      check::near(got.own, score, 1e-12, name + "all is its own");
    } else {
      check::that(got.attention.gt(0).sum().item<int64_t>() > 1, name + "it attends to others");
    }

    // The fixed window is away from the bends of ReLU by more than the step of the differences.
    const train::HeldRow row(explainer.date, kRow, column);
    const int64_t rows = date.rows;
    const auto share = at::rand({3, 2 * rows}, at::kDouble),
               window = date.windows.select(1, kRow).unsqueeze(1) +
                        0.3 * at::randn({3, 3, 5}, at::kDouble);
    check::gradient(
        [&](const std::vector<Tensor>& in) {
          return row.from_state(row.state(in[0]), in[0][2], in[1].slice(1, 0, rows),
                                in[1].slice(1, rows))
              .scores;
        },
        {window, share}, name + "the gradient is that of central differences");
    nn::Sequences changed;
    changed.dense = date.windows.clone();
    changed.dense.select(1, kRow).copy_(date.medians);
    check::near(got.baseline_reacting,
                date.model->forward(changed, date.batch).predictions[kRow][column].item<double>(),
                1e-12, name + "others react to the median window in one whole forward");
  }
}

// With one TGC layer and nobody who attends to the row, no message to it depends on it.
void held_is_whole_where_nobody_looks() {
  const auto panel = panel_of(Graph::kEdges, /*only_outwards=*/true);
  const auto model = model_of([](nn::Config& c) { c.num_tgc_layers = 1; });
  const auto got = explained(*model, panel).explanations[0];
  check::near(got.baseline, got.baseline_reacting, 1e-12,
              "where nobody looks at a stock, holding the others changes nothing");
}

// The part of a coordinate by a fine midpoint rule over central differences: no autograd.
void parts_by_finite_differences() {
  const auto panel = panel_of(Graph::kComplete);
  const auto model = model_of([](nn::Config&) {});
  const auto explainer = explained(*model, panel);
  const auto& date = *explainer.date;
  const train::HeldRow row(explainer.date, kRow, 0);
  const auto& got = explainer.explanations[0];
  const Tensor span = got.window - date.medians;  // [T, F]
  constexpr int64_t kPoints = 4000;
  const auto t = (at::arange(kPoints, at::kDouble) + 0.5) / kPoints;
  const auto points = (date.medians.unsqueeze(0) + t.view({-1, 1, 1}) * span).transpose(0, 1);
  for (const auto& [day, feature] : {std::pair<int64_t, int64_t>{2, 1}, {0, 3}}) {
    const auto moved = [&](double by) {
      Tensor windows = points.clone();
      windows.select(0, day).select(1, feature).add_(by);
      return row(windows).scores;
    };
    const double slope = ((moved(1e-6) - moved(-1e-6)) / 2e-6).mean().item<double>();
    check::near(got.feature_parts[day][feature].item<double>(),
                slope * span[day][feature].item<double>(), 2e-5,
                "the part of a feature is that of a fine rule over finite differences");
  }
}

void plant(const Tensor& parameter, const Tensor& value) {
  at::NoGradGuard no_grad;
  const_cast<Tensor&>(parameter).copy_(value);
}

// score = x_f of the last date -+ its mean over the stocks: M = 0 makes A the plain average.
void planted() {
  for (const char* mode : {"add", "subtract"}) {
    const auto panel = panel_of(Graph::kComplete);
    const auto model = model_of([&](nn::Config& c) {
      c.num_tgc_layers = 1;
      c.tgc_modes = {mode};
      c.prediction_hidden_sizes = {};
    });
    const double sign = mode == std::string("add") ? 1 : -1;
    plant(model->factor_extractor->full_norm->weight, at::zeros({}));
    plant(model->factor_extractor->full_norm->bias, at::zeros({}));
    Tensor weight = at::zeros({5, 5});
    weight[3][0] = 2;
    plant(model->relational_embedding->layers[0]->weight, weight);
    Tensor head = at::zeros({1, 5});
    head[0][0] = 0.5;
    plant(model->prediction->output->weight, head);
    plant(model->prediction->output->bias, at::zeros({1}));
    const auto explainer = explained(*model, panel);
    const auto& date = *explainer.date;
    const auto& got = explainer.explanations[0];
    const Tensor x = date.windows[2].select(1, 3);  // [N]
    const double rows = static_cast<double>(date.rows), own = x[kRow].item<double>();
    check::near(got.own, own * (1 + sign / rows), 1e-9, "planted: the own part is its feature");
    Tensor parts = sign * x / rows;
    parts[kRow] = 0;
    check::close(got.similarity_parts, parts, 1e-9, "planted: a peer's part is its weighted feature");
    check::that(got.attention_parts.abs().max().item<double>() < 1e-12,
                "planted: nothing comes through the attention");
    Tensor features = at::zeros({3, 5}, at::kDouble);
    features[2][3] = (1 + sign / rows) * (own - date.medians[2][3].item<double>());
    check::close(got.feature_parts, features, 1e-9, "planted: one feature of one date has all");
    check::close(got.weights, at::full_like(x, 1 / rows), 1e-12, "planted: the plain average");
  }
}

// The median window itself has nothing to explain; a stock alone on its date neither.
void nothing_to_explain() {
  const auto panel = panel_of(Graph::kComplete);
  const auto model = model_of([](nn::Config&) {});
  auto explainer = explained(*model, panel);
  auto& date = const_cast<train::HeldDate&>(*explainer.date);
  check::near(date.medians[1][2].item<double>(),
              date.windows[1].select(1, 2).quantile(0.5).item<double>(), 1e-15,
              "the median of an even number of stocks lies between the two in the middle");
  const train::HeldRow row(explainer.date, kRow, 0);
  train::PathIntegral still(date.medians.flatten(), date.medians.flatten(), 9,
                            [&](const Tensor& points) {
                              return row(points.view({-1, 3, 5}).transpose(0, 1));
                            });
  while (still.step()) continue;
  check::that(still.parts.abs().max().item<double>() == 0 && still.gap() == 0,
              "a line of no length has no parts");
}

}  // namespace

int main() {
  at::manual_seed(3);
  sums_and_gradients();
  held_is_whole_where_nobody_looks();
  parts_by_finite_differences();
  planted();
  nothing_to_explain();
  return check::finish();
}
