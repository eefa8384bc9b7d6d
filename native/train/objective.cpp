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

at::ArrayRef<int32_t> stocks_of(const PackedBatch& batch, size_t d) {
  return at::ArrayRef<int32_t>(batch.stocks)
      .slice(batch.offsets[d], batch.offsets[d + 1] - batch.offsets[d]);
}

Loss turnover_of(const Tensor& m, const PackedBatch& batch, size_t d) {
  return turnover_between(m.slice(0, batch.offsets[d], batch.offsets[d + 1]), stocks_of(batch, d),
                          m.slice(0, batch.offsets[d + 1], batch.offsets[d + 2]),
                          stocks_of(batch, d + 1));
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
    count_.resize(dates_ * horizons_);
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
            if (count_[entry]++ == 0) first[h] = *label;
            if (*label != first[h]) rankable_[entry] = true;
          }
        }
      }
    });
  }

  // Dates that have so many labels at none of these horizons, or no two that differ.
  int64_t without(at::ArrayRef<int64_t> horizons, bool rankable, int64_t least = 1) const {
    int64_t count = 0;
    for (size_t d = 0; d < dates_; ++d)
      count += std::none_of(horizons.begin(), horizons.end(), [&](int64_t h) {
        const size_t entry = d * horizons_ + static_cast<size_t>(h);
        return count_[entry] >= least && (rankable_[entry] || !rankable);
      });
    return count;
  }

 private:
  size_t dates_, horizons_;
  std::vector<int64_t> count_;  // [B, L]: labels
  std::vector<bool> rankable_;  // [B, L]: two that differ
};

bool share_a_stock(at::ArrayRef<int32_t> a, at::ArrayRef<int32_t> b) {
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i] == b[j]) return true;
    ++(a[i] < b[j] ? i : j);
  }
  return false;
}

}  // namespace

// Turnover lives on neighbouring pairs: the last date of a batch starts none.
int64_t entries(const Term& term, const PackedBatch& batch) {
  const auto dates = static_cast<int64_t>(batch.dates.size());
  return term.name == "turnover" && dates > 0 ? dates - 1 : dates;
}

bool on_cross_sections(const Term& term) {
  return term.name == "mse" || term.name == "ic" || term.name == "coMovement";
}

std::vector<int64_t> undefined_dates(const std::vector<Term>& terms, const nn::Config& config,
                                     const PackedBatch& batch) {
  // What a fit on all risk factors takes (losses.h).
  const int64_t enough = config.num_risk_factors + 2;
  std::optional<LabelledDates> labels;
  std::vector<int64_t> counts;
  for (const auto& term : terms) {
    if (term.name == "turnover" || term.name == "vif" || term.name == "decorrelation") {
      int64_t& count = counts.emplace_back(0);
      for (int64_t d = 0; d < entries(term, batch); ++d) {
        const auto stocks = stocks_of(batch, d);
        if (term.name == "turnover") {
          count += !share_a_stock(stocks, stocks_of(batch, d + 1));
        } else {
          count += static_cast<int64_t>(stocks.size()) < (term.name == "vif" ? enough : 2);
        }
      }
    } else if (term.name == "coMovement") {
      std::vector<int64_t> days(term.horizon_days);
      std::iota(days.begin(), days.end(), 0);
      const LabelledDates future(batch, batch.future(term.horizon_days).host);
      counts.push_back(future.without(days, /*rankable=*/true));
    } else {
      if (!labels) labels.emplace(batch, batch.host_targets);
      if (term.name == "risk") {
        std::vector<int64_t> all(batch.host_targets.size(1));
        std::iota(all.begin(), all.end(), 0);
        counts.push_back(labels->without(all, /*rankable=*/true, enough));
      } else {
        counts.push_back(labels->without(term.horizons, /*rankable=*/term.name != "mse"));
      }
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
                        const nn::Output& output, const PackedBatch& batch,
                        const std::vector<double>& factors) {
  ObjectiveValue objective;
  const auto undefined = undefined_dates(terms, model.config, batch);
  for (size_t i = 0; i < terms.size(); ++i) {
    const auto& term = terms[i];
    TermValue value;
    const int64_t count = entries(term, batch);
    value.undefined = undefined[i];
    if (on_cross_sections(term)) {
      if (value.undefined < count)
        value.value = std::get<0>(cross_sectional_loss(term, model, output, batch));
    } else {
      std::vector<Tensor> defined;
      for (int64_t d = 0; d < count; ++d) {
        const auto of_date = term_of_date(term, output, batch, d);
        if (of_date) defined.push_back(*of_date);
      }
      TORCH_INTERNAL_ASSERT(count - static_cast<int64_t>(defined.size()) == value.undefined,
                            "a term is defined on other dates than its labels say");
      value.value = mean_of(defined);
    }
    if (value.value) {
      // Most objectives are one term of weight 1, and a product is a launch in either direction.
      const double factor = factors.empty() ? term.weight : factors[i];
      const auto weighted = factor == 1 ? *value.value : *value.value * factor;
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
  for (int64_t d = 0; d < entries(term, batch); ++d) {
    const auto value = term_of_date(term, output, batch, d);
    if (value && !at::isfinite(*value).item<bool>()) return batch.dates[d];
  }
  return std::nullopt;
}

}  // namespace astgnn::train
