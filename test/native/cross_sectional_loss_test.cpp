// Losses of cross-sections: equal to their ATen twin, one date and pair at a time; where a date or
// a pair is left out; their gradients.
#include <ATen/Parallel.h>

#include "check.h"
#include "ops/reference.h"

namespace {

using at::Tensor;
using namespace astgnn;
using ops::CrossSectional;

const std::initializer_list<std::pair<CrossSectional, std::string>> kKinds = {
    {CrossSectional::kMse, "mse"}, {CrossSectional::kIc, "ic"}};

struct Case {
  std::string name;
  std::vector<int64_t> sizes;  // rows per date
  std::vector<int64_t> prediction_columns = {0}, label_columns = {0};
  double missing = 0;
  // Two stocks correlate fully whatever is predicted: what is left of their gradient is what eps
  // does, a difference of numbers that are 1e7 times as large.
  double rounding = 1e-12;
};

struct Data {
  Tensor predictions, labels, date_offsets;

  Data(const Case& which, at::ScalarType dtype) {
    std::vector<int64_t> offsets = {0};
    for (int64_t size : which.sizes) offsets.push_back(offsets.back() + size);
    date_offsets = at::tensor(offsets, at::kLong);
    predictions = at::randn({offsets.back(), 3}, at::kDouble).to(dtype);
    labels = (at::randn({offsets.back(), 2}, at::kDouble) * 0.02).to(dtype);
    const Tensor gone = at::rand(labels.sizes()) < which.missing;
    labels.masked_fill_(gone, NAN);
  }
  Tensor date(const Tensor& x, int64_t d) const {
    return x.slice(0, date_offsets[d].item<int64_t>(), date_offsets[d + 1].item<int64_t>());
  }
};

using Result = std::tuple<Tensor, Tensor>;

void against_the_twin(const Case& which, const Data& data, at::ScalarType dtype) {
  const double tolerance = dtype == at::kDouble ? which.rounding : 3e-7;  // a rounding to float32
  for (const auto& [kind, name] : kKinds) {
    const std::string where = name + ", " + which.name + " in " + c10::toString(dtype);
    const auto leaf = [&] { return data.predictions.detach().clone().requires_grad_(true); };
    const Tensor a = leaf(), b = leaf();
    const auto [mean, values] = ops::cross_sectional_loss(
        kind, a, data.labels, data.date_offsets, which.prediction_columns, which.label_columns);
    const auto [expected, wanted] = ops::reference::cross_sectional_loss(
        kind, b, data.labels, data.date_offsets, which.prediction_columns, which.label_columns);
    check::that(mean.scalar_type() == at::kDouble && !values.requires_grad(),
                "the mean is float64, the values are read only: " + where);
    // Dates of opposite signs may cancel: what rounds are the values.
    check::close(at::cat({mean.detach().view({1}), wanted.flatten()}),
                 at::cat({expected.detach().view({1}), wanted.flatten()}), 1e-12, "mean, " + where);
    check::close(values, wanted, 1e-12, "values, " + where);
    if (!expected.requires_grad()) continue;  // no date is defined
    const Tensor got = check::gradients(mean, {a})[0], same = check::gradients(expected, {b})[0];
    check::close(got, same, tolerance, "gradient, " + where);
    check::that(got.scalar_type() == dtype, "the gradient is the predictions': " + where);
  }
}

void central_differences() {
  const Case which{"", {5, 0, 9, 1, 4}, {2, 0, 2}, {0, 0, 1}, 0.2};
  const Data data(which, at::kDouble);
  for (const auto& [kind, name] : kKinds) {
    check::gradient(
        [&, kind = kind](const std::vector<Tensor>& in) {
          return std::get<0>(ops::cross_sectional_loss(kind, in[0], data.labels * 50,
                                                       data.date_offsets, which.prediction_columns,
                                                       which.label_columns));
        },
        {data.predictions}, "central differences of " + name);
  }
}

// What the mean leaves out, by hand.
void undefined() {
  const Case which{"", {4, 3, 3, 2, 3, 2}};
  Data data(which, at::kDouble);
  data.date(data.labels, 1).fill_(NAN);
  data.date(data.labels, 2).slice(0, 1).fill_(INFINITY);  // one label
  data.date(data.labels, 3).fill_(0.3);                   // equal labels
  data.date(data.labels, 4)[1].fill_(NAN);
  data.date(data.predictions, 1).fill_(NAN);
  data.date(data.predictions, 4)[1].fill_(NAN);
  const auto run = [&](CrossSectional kind) {
    const Tensor p = data.predictions.clone().requires_grad_(true);
    const auto [mean, values] =
        ops::cross_sectional_loss(kind, p, data.labels, data.date_offsets, {0}, {0});
    return std::tuple(mean, values[0], check::gradients(mean, {p})[0]);
  };
  const auto [mse, mse_values, mse_gradient] = run(CrossSectional::kMse);
  check::close(mse, mse_values.sum() / 5, 1e-14, "mse is a mean over dates with a label");
  const auto [ic, ic_values, ic_gradient] = run(CrossSectional::kIc);
  check::close(ic, ic_values.sum() / 3, 1e-14, "ic is a mean over dates with labels that differ");
  check::that(ic_values[5].abs().item<double>() > 0.999, "two stocks correlate fully");
  for (const int64_t d : {2, 3})
    check::that(
        data.date(ic_gradient, d).eq(0).all().item<bool>() && ic_values[d].item<double>() == 0,
        "a date that is left out has no gradient");
  for (const Tensor& gradient : {mse_gradient, ic_gradient}) {
    check::that(data.date(gradient, 1).eq(0).all().item<bool>(),
                "not even where its predictions are NaN");
    check::that(data.date(gradient, 4)[1].eq(0).all().item<bool>(),
                "nor has a row without a label, whatever its prediction");
    check::that(gradient.slice(1, 1).eq(0).all().item<bool>(), "nor a column that no pair has");
  }
  const Tensor nothing = at::full_like(data.labels, NAN);
  check::that(std::get<0>(ops::cross_sectional_loss(CrossSectional::kIc, data.predictions, nothing,
                                                    data.date_offsets, {0}, {0}))
                  .isnan()
                  .item<bool>(),
              "without a date the mean is NaN");
  data.date(data.predictions, 0)[2].fill_(NAN);
  const auto [broken, broken_values, unused] = run(CrossSectional::kIc);
  check::that(broken.isnan().item<bool>() && broken_values[0].isnan().item<bool>() &&
                  broken_values.slice(0, 1).isfinite().all().item<bool>(),
              "a NaN shows on its date and in the mean");
}

void constant_predictions() {
  const Data data({"", {40, 40}}, at::kFloat);
  const Tensor p = at::full_like(data.predictions, 0.3).requires_grad_(true);
  const auto [mean, values] =
      ops::cross_sectional_loss(CrossSectional::kIc, p, data.labels, data.date_offsets, {0}, {0});
  check::that(
      mean.item<double>() == 0 && check::gradients(mean, {p})[0].isfinite().all().item<bool>(),
      "predictions that are all equal have no ic and a finite gradient");
}

// A batch padded to a size holds rows of no date.
void rows_behind_the_dates() {
  const Case which{"", {6, 7, 0}};
  const Data data(which, at::kDouble);
  const Tensor more = at::cat({data.predictions, at::full({5, 3}, NAN, at::kDouble)}),
               labels = at::cat({data.labels, at::randn({5, 2}, at::kDouble)});
  for (const auto& [kind, name] : kKinds) {
    const Tensor a = data.predictions.clone().requires_grad_(true),
                 b = more.clone().requires_grad_(true);
    const auto [mean, values] =
        ops::cross_sectional_loss(kind, a, data.labels, data.date_offsets, {1}, {1});
    const auto [padded, unused] =
        ops::cross_sectional_loss(kind, b, labels, data.date_offsets, {1}, {1});
    check::equal(padded, mean, "rows behind the last date change nothing: " + name);
    const Tensor gradient = check::gradients(padded, {b})[0];
    check::equal(gradient.slice(0, 0, 13), check::gradients(mean, {a})[0],
                 "nor the gradient of the others: " + name);
    check::that(gradient.slice(0, 13).eq(0).all().item<bool>(), "and have none: " + name);
  }
}

void threads_and_repeats() {
  const Case which{"", std::vector<int64_t>(16, 300), {0, 1}, {0, 1}, 0.1};
  const Data data(which, at::kFloat);
  for (const auto& [kind, name] : kKinds) {
    std::vector<Tensor> means, gradients;
    for (const int threads : {1, 2, 2}) {
      at::set_num_threads(threads);
      const Tensor p = data.predictions.clone().requires_grad_(true);
      means.push_back(std::get<0>(
          ops::cross_sectional_loss(kind, p, data.labels, data.date_offsets, {0, 1}, {0, 1})));
      gradients.push_back(check::gradients(means.back(), {p})[0]);
    }
    for (size_t k = 1; k < means.size(); ++k) {
      check::equal(means[k], means[0], "any number of threads, " + name);
      check::equal(gradients[k], gradients[0], "gradients with any number of threads, " + name);
    }
  }
}

void refusals() {
  const Data data({"", {3, 4}}, at::kFloat);
  const auto refuses = [&](const char* words, const Tensor& labels, const Tensor& offsets,
                           std::vector<int64_t> predictions, std::vector<int64_t> horizons) {
    check::throws(
        [&] {
          ops::cross_sectional_loss(CrossSectional::kIc, data.predictions, labels, offsets,
                                    predictions, horizons);
        },
        words, std::string("refused: ") + words);
  };
  const Tensor& offsets = data.date_offsets;
  refuses("dtype of predictions", data.labels.to(at::kDouble), offsets, {0}, {0});
  refuses("predictions [R, P] and labels [R, L]", data.labels.slice(0, 1), offsets, {0}, {0});
  refuses("as many prediction columns", data.labels, offsets, {0, 1}, {0});
  refuses("prediction columns in 0 .. 2", data.labels, offsets, {3}, {0});
  refuses("label columns in 0 .. 1", data.labels, offsets, {0}, {-1});
  refuses("int64 date_offsets", data.labels, offsets.to(at::kInt), {0}, {0});
  refuses("rise from 0", data.labels, offsets + 1, {0}, {0});
}

}  // namespace

int main() {
  at::manual_seed(4);
  std::vector<int64_t> many_predictions, many_labels;  // more than one launch takes
  for (int64_t pair = 0; pair < 70; ++pair) {
    many_predictions.push_back(pair % 3);
    many_labels.push_back(pair / 3 % 2);
  }
  for (const Case& which :
       std::vector<Case>{{"one date", {31}},
                         {"one stock", {1}},
                         {"two stocks", {2, 2}, {0}, {0}, 0, 1e-8},
                         {"ragged dates", {33, 0, 151, 1, 2, 64}, {1}, {1}},
                         {"missing labels", {33, 4, 151, 3, 65}, {0}, {0}, 0.4},
                         {"few labels", {3, 2, 4, 2, 3, 2, 5}, {0, 1}, {0, 1}, 0.6, 1e-8},
                         {"pairs", {33, 4, 151}, {0, 1, 0, 2}, {0, 1, 1, 0}, 0.2},
                         {"70 pairs", {5, 9}, many_predictions, many_labels, 0.3},
                         {"real sizes", {1000, 3001}, {0}, {0}, 0.05}}) {
    for (const auto dtype : {at::kDouble, at::kFloat})
      against_the_twin(which, Data(which, dtype), dtype);
  }
  central_differences();
  undefined();
  constant_predictions();
  rows_behind_the_dates();
  threads_and_repeats();
  refusals();
  return check::finish();
}
