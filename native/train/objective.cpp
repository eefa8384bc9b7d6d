#include "train/objective.h"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "ops/ops.h"
#include "ops/to_device.h"

namespace astgnn::train {
namespace {

constexpr std::array kOnPairs = {"mse", "ic", "pairwiseRank", "rankIc"};
constexpr std::array kWithoutPairs = {"risk", "vif", "turnover", "coMovement", "decorrelation"};

template <size_t n>
bool contains(const std::array<const char*, n>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Loss mean_of(const std::vector<Tensor>& values) {
  if (values.empty()) return std::nullopt;
  return at::stack(values).mean();
}

Loss prediction_loss(const Term& term, const Tensor& prediction, const Labels& label) {
  if (term.name == "pairwiseRank") return pairwise_rank_loss(prediction, label);
  return rank_ic_loss(prediction, label, term.strength);
}

Loss turnover_of(const Tensor& m, const PackedBatch& batch, size_t d) {
  const auto stocks = [&](size_t date) {
    return at::ArrayRef<int32_t>(batch.stocks)
        .slice(batch.offsets[date], batch.offsets[date + 1] - batch.offsets[date]);
  };
  return turnover_between(m.slice(0, batch.offsets[d], batch.offsets[d + 1]), stocks(d),
                          m.slice(0, batch.offsets[d + 1], batch.offsets[d + 2]), stocks(d + 1));
}

Loss term_of_date(const Term& term, const nn::Output& output, const PackedBatch& batch, size_t d) {
  if (term.name == "turnover") return turnover_of(output.risk_factors, batch, d);
  const auto rows = [&](const Tensor& packed) {
    return packed.slice(0, batch.offsets[d], batch.offsets[d + 1]);
  };
  const auto m = rows(output.risk_factors);  // [N, K]
  if (term.name == "vif") return variance_inflation_penalty(m, term.ridge);
  const auto predictions = rows(output.predictions);  // [N, P]
  if (term.name == "decorrelation") return correlation_penalty(predictions);
  const auto labels = [&](int64_t horizon) {
    return Labels(rows(batch.host_targets).select(1, horizon),
                  rows(batch.targets).select(1, horizon));
  };
  if (term.name == "risk") {
    std::vector<Labels> horizons;
    for (int64_t h = 0; h < batch.targets.size(1); ++h) horizons.push_back(labels(h));
    return risk_loss(m, horizons, term.omega, term.orthogonality, term.ridge);
  }
  std::vector<Tensor> pairs;
  for (size_t k = 0; k < term.predictions.size(); ++k) {
    auto value =
        prediction_loss(term, predictions.select(1, term.predictions[k]), labels(term.horizons[k]));
    if (value) pairs.push_back(*value);
  }
  return mean_of(pairs);
}

std::tuple<Tensor, Tensor> cross_sectional_loss(const Term& term,
                                                const nn::ASTGNNFactorModel& model,
                                                const nn::Output& output,
                                                const PackedBatch& batch) {
  if (term.name == "coMovement")
    return co_movement_loss(*model.relational_embedding, output.risk_factors, batch,
                            batch.future(term.horizon_days));
  return ops::cross_sectional_loss(
      term.name == "mse" ? ops::CrossSectional::kMse : ops::CrossSectional::kIc, output.predictions,
      batch.targets, batch.date_offsets, term.predictions, term.horizons);
}

// Which dates and horizons have labels to speak of, as the ops find on the device; read on the
// host, which does not wait for it.
class LabelledDates {
 public:
  LabelledDates(const PackedBatch& batch, const Tensor& host_labels)
      : dates_(batch.dates.size()), horizons_(host_labels.size(1)) {
    labelled_.resize(dates_ * horizons_);
    rankable_.resize(dates_ * horizons_);
    const auto labels = host_labels.contiguous();
    AT_DISPATCH_FLOATING_TYPES(labels.scalar_type(), "labelled_dates", [&] {
      const auto* label = labels.const_data_ptr<scalar_t>();
      std::vector<scalar_t> first(horizons_);
      for (size_t d = 0; d < dates_; ++d) {
        for (int64_t row = batch.offsets[d]; row < batch.offsets[d + 1]; ++row) {
          for (size_t h = 0; h < horizons_; ++h, ++label) {
            const size_t entry = d * horizons_ + h;
            if (!std::isfinite(*label)) continue;
            if (!labelled_[entry]) first[h] = *label;
            labelled_[entry] = true;
            if (*label != first[h]) rankable_[entry] = true;
          }
        }
      }
    });
  }

  // Dates that have a label at none of these horizons, or no two that differ.
  int64_t without(at::ArrayRef<int64_t> horizons, bool rankable) const {
    const auto& defined = rankable ? rankable_ : labelled_;
    int64_t count = 0;
    for (size_t d = 0; d < dates_; ++d)
      count += std::none_of(horizons.begin(), horizons.end(), [&](int64_t h) {
        return defined[d * horizons_ + static_cast<size_t>(h)];
      });
    return count;
  }

 private:
  size_t dates_, horizons_;
  std::vector<bool> labelled_, rankable_;  // [B, L]: one label; two that differ
};

// Turnover lives on neighbouring pairs: the last date of a batch starts none.
size_t entries(const Term& term, const PackedBatch& batch) {
  const size_t dates = batch.dates.size();
  return term.name == "turnover" && dates > 0 ? dates - 1 : dates;
}

}  // namespace

bool on_cross_sections(const Term& term) {
  return term.name == "mse" || term.name == "ic" || term.name == "coMovement";
}

std::vector<int64_t> undefined_dates(const std::vector<Term>& terms, const PackedBatch& batch) {
  std::optional<LabelledDates> labels;
  std::vector<int64_t> counts;
  for (const auto& term : terms) {
    if (!on_cross_sections(term)) {
      counts.push_back(0);
    } else if (term.name == "coMovement") {
      std::vector<int64_t> days(term.horizon_days);
      std::iota(days.begin(), days.end(), 0);
      const LabelledDates future(batch, batch.future(term.horizon_days).host);
      counts.push_back(future.without(days, /*rankable=*/true));
    } else {
      if (!labels) labels.emplace(batch, batch.host_targets);
      counts.push_back(labels->without(term.horizons, /*rankable=*/term.name != "mse"));
    }
  }
  return counts;
}

FutureRequest future_of(const std::vector<Term>& terms, const nn::Config& config) {
  std::vector<int64_t> days;
  for (const auto& term : terms)
    if (term.name == "coMovement" &&
        std::find(days.begin(), days.end(), term.horizon_days) == days.end())
      days.push_back(term.horizon_days);
  return {std::move(days), config.similarity_graph == "groups"};
}

Loss turnover_between(const Tensor& m, at::ArrayRef<int32_t> stocks, const Tensor& m_next,
                      at::ArrayRef<int32_t> stocks_next) {
  std::vector<int64_t> here, next;
  for (size_t i = 0, j = 0; i < stocks.size() && j < stocks_next.size();) {
    if (stocks[i] == stocks_next[j]) {
      here.push_back(static_cast<int64_t>(i++));
      next.push_back(static_cast<int64_t>(j++));
    } else {
      ++(stocks[i] < stocks_next[j] ? i : j);
    }
  }
  const auto shared = [](const Tensor& factors, const std::vector<int64_t>& rows) {
    return factors.index_select(0, ops::to_device(at::tensor(rows, at::kLong), factors.device()));
  };
  return turnover_penalty(shared(m, here), shared(m_next, next));
}

void check_objective(const std::vector<Term>& terms, int64_t predictions, const Panel& panel) {
  const int64_t horizons = panel.targets.defined() ? panel.targets.size(2) : 0;
  TORCH_CHECK_VALUE(!terms.empty(), "loss: expected at least one term but got none");
  for (const auto& term : terms) {
    const bool on_pairs = contains(kOnPairs, term.name);
    TORCH_CHECK_VALUE(on_pairs || contains(kWithoutPairs, term.name), "loss: unknown term \"",
                      term.name, "\"");
    const bool on_labels = on_pairs || term.name == "risk";
    TORCH_CHECK_VALUE(horizons > 0 || !on_labels, "loss term \"", term.name,
                      "\" needs targets but the panel has none");
    if (term.name == "coMovement") {
      TORCH_CHECK_VALUE(panel.returns.defined(),
                        "loss term \"coMovement\" needs daily returns but the panel has none");
      TORCH_CHECK_VALUE(term.horizon_days >= 1,
                        "loss term \"coMovement\": expected horizon_days >= 1 but got ",
                        term.horizon_days);
    }
    if (!on_pairs) continue;
    TORCH_CHECK_VALUE(!term.predictions.empty() && term.predictions.size() == term.horizons.size(),
                      "loss term \"", term.name,
                      "\": expected as many predictions as horizons but got ",
                      term.predictions.size(), " and ", term.horizons.size());
    for (size_t k = 0; k < term.predictions.size(); ++k) {
      const int64_t prediction = term.predictions[k], horizon = term.horizons[k];
      TORCH_CHECK_VALUE(prediction >= 0 && prediction < predictions, "loss term \"", term.name,
                        "\": prediction ", prediction, " is not in 0 .. ", predictions - 1);
      TORCH_CHECK_VALUE(horizon >= 0 && horizon < horizons, "loss term \"", term.name,
                        "\": horizon ", horizon, " is not in 0 .. ", horizons - 1);
    }
  }
}

ObjectiveValue evaluate(const std::vector<Term>& terms, const nn::ASTGNNFactorModel& model,
                        const nn::Output& output, const PackedBatch& batch) {
  ObjectiveValue objective;
  const auto undefined = undefined_dates(terms, batch);
  for (size_t i = 0; i < terms.size(); ++i) {
    const auto& term = terms[i];
    TermValue value;
    const size_t count = entries(term, batch);
    if (on_cross_sections(term)) {
      value.undefined = undefined[i];
      if (value.undefined < static_cast<int64_t>(count))
        value.value = std::get<0>(cross_sectional_loss(term, model, output, batch));
    } else {
      std::vector<Tensor> defined;
      for (size_t d = 0; d < count; ++d) {
        const auto of_date = term_of_date(term, output, batch, d);
        if (of_date) defined.push_back(*of_date);
      }
      value.undefined = static_cast<int64_t>(count - defined.size());
      value.value = mean_of(defined);
    }
    if (value.value) {
      // Most objectives are one term of weight 1, and a product is a launch in either direction.
      const auto weighted = term.weight == 1 ? *value.value : *value.value * term.weight;
      objective.total = objective.total ? *objective.total + weighted : weighted;
    }
    objective.terms.push_back(std::move(value));
  }
  return objective;
}

std::optional<int64_t> first_not_finite(const Term& term, const nn::ASTGNNFactorModel& model,
                                        const nn::Output& output, const PackedBatch& batch) {
  c10::NoGradGuard no_grad;
  if (on_cross_sections(term)) {
    const auto finite = at::isfinite(std::get<1>(cross_sectional_loss(term, model, output, batch)))
                            .all(0)
                            .cpu();  // [B]
    const bool* of_date = finite.const_data_ptr<bool>();
    const auto first = std::find(of_date, of_date + finite.numel(), false) - of_date;
    return first < finite.numel() ? std::optional(batch.dates[first]) : std::nullopt;
  }
  for (size_t d = 0; d < entries(term, batch); ++d) {
    const auto value = term_of_date(term, output, batch, d);
    if (value && !at::isfinite(*value).item<bool>()) return batch.dates[d];
  }
  return std::nullopt;
}

}  // namespace astgnn::train
