#include "ops/data/loadings.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace astgnn::ops {
namespace {

constexpr double kReturnLimit = 0.25, kScaledLimit = 4;
// A stock whose daily returns vary by less than 1e-8 has no direction.
constexpr double kLeastVariance = 1e-16;
// A component that explains less than this share of the first one's variance is rounding: 0.
constexpr double kLeastEigenvalue = 1e-12;
// Refreshes of a thread in a step.
constexpr int64_t kRefreshesPerThread = 4;

inline double clipped(double value, double limit) {  // NaN stays
  return value < -limit ? -limit : value > limit ? limit : value;
}

// [rows, columns] of columns of [rows, stocks].
at::Tensor columns_of(const double* values, int64_t rows, int64_t stocks,
                      const std::vector<int64_t>& columns) {
  const int64_t count = static_cast<int64_t>(columns.size());
  at::Tensor out = at::empty({rows, count}, at::kDouble);
  double* to = out.data_ptr<double>();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < count; ++i) *to++ = values[r * stocks + columns[i]];
  return out;
}

void put_columns(const at::Tensor& from, const std::vector<int64_t>& columns, int64_t stocks,
                 double* values) {
  const at::Tensor held = from.contiguous();
  const double* at = held.data_ptr<double>();
  for (int64_t r = 0; r < held.size(0); ++r)
    for (const int64_t column : columns) values[r * stocks + column] = *at++;
}

struct OneThreadEach {
  const int before = at::get_num_threads();
  OneThreadEach() { at::set_num_threads(1); }
  ~OneThreadEach() { at::set_num_threads(before); }
};

}  // namespace

Loadings::Loadings(LoadingsInput input) : in_(std::move(input)) {
  double sum = 0;
  for (int64_t age = in_.window - 1; age >= 0; --age)
    sum += weights_.emplace_back(std::exp2(-static_cast<double>(age) / in_.half_life));
  for (double& weight : weights_) weight /= sum;
  values_.resize(in_.refreshes.size() * in_.count * in_.stocks);
  const auto computed =
      std::find_if(in_.refreshes.begin(), in_.refreshes.end(),
                   [](const LoadingsInput::Refresh& refresh) { return refresh.known == nullptr; });
  if (computed == in_.refreshes.end()) return;
  returns_from_ = returns_end_ = computed->date - in_.window + 1;
  returns_.resize((in_.refreshes.back().date + 1 - returns_from_) * in_.stocks);
}

void Loadings::make_returns(int64_t first, int64_t last) {
  const int64_t N = in_.stocks;
#pragma omp parallel for schedule(static)
  for (int64_t t = first; t < last; ++t) {
    double* out = returns_.data() + (t - returns_from_) * N;
    with_values(in_.close, [&](const auto* close) {
      const auto *now = close + t * N, *before = now - N;
      for (int64_t n = 0; n < N; ++n)
        out[n] = clipped(static_cast<double>(now[n]) / static_cast<double>(before[n]) - 1,
                         kReturnLimit);
    });
    if (in_.segments == nullptr) continue;
    const int32_t *now = in_.segments + t * N, *before = now - N;
    for (int64_t n = 0; n < N; ++n)
      if (now[n] != before[n]) out[n] = kMissingValue;
  }
}

std::vector<int64_t> Loadings::factorise(int64_t date, double* out) const {
  const int64_t N = in_.stocks, W = in_.window, K = in_.count;
  std::fill_n(out, K * N, kMissingValue);
  const double* returns = returns_.data() + (date - W + 1 - returns_from_) * N;

  std::vector<double> count(N), weight(N), mean(N), variance(N);
  for (int64_t d = 0; d < W; ++d) {
    const double w = weights_[d], *row = returns + d * N;
    for (int64_t n = 0; n < N; ++n) {
      const double x = row[n];
      const bool is_there = x == x;
      count[n] += is_there ? 1 : 0;
      weight[n] += is_there ? w : 0;
      mean[n] += is_there ? w * x : 0;
    }
  }
  for (int64_t n = 0; n < N; ++n) mean[n] /= weight[n];
  for (int64_t d = 0; d < W; ++d) {
    const double w = weights_[d], *row = returns + d * N;
    for (int64_t n = 0; n < N; ++n) {
      const double centred = row[n] - mean[n];
      variance[n] += centred == centred ? w * centred * centred : 0;
    }
  }

  std::vector<int64_t> members, others;
  for (int64_t n = 0; n < N; ++n) {
    if (5 * count[n] < 4 * W || !(variance[n] > kLeastVariance)) continue;
    const double price = in_.close.at(date * N + n);
    const bool counts = in_.universe[date * N + n] == 1 || price != price;
    (counts ? members : others).push_back(n);
  }
  if (members.empty()) return members;

  const auto scaled = [&](const std::vector<int64_t>& stocks) {
    at::Tensor x = columns_of(returns, W, N, stocks);
    double* at = x.data_ptr<double>();
    for (int64_t d = 0; d < W; ++d) {
      const double root = std::sqrt(weights_[d]);
      for (const int64_t n : stocks) {
        const double centred = *at == *at ? *at - mean[n] : 0;
        *at++ = root * clipped(centred / std::sqrt(variance[n]), kScaledLimit);
      }
    }
    return x;
  };
  const at::Tensor x = scaled(members);
  // U from the W x W matrix X X': W is a few hundred, whatever the number of stocks.
  const auto [eigenvalues, eigenvectors] = at::linalg_eigh(at::mm(x, x.t()));
  at::Tensor u = eigenvectors.narrow(1, W - K, K).flip(1).t().contiguous();  // [K, W]
  for (int64_t k = 0; k < K; ++k) {
    const double explained = eigenvalues.data_ptr<double>()[W - 1 - k];
    if (!(explained > kLeastEigenvalue * eigenvalues.data_ptr<double>()[W - 1])) u[k].zero_();
  }
  put_columns(at::mm(u, x), members, N, out);
  if (!others.empty()) put_columns(at::mm(u, scaled(others)), others, N, out);
  return members;
}

void Loadings::align(double* fresh, const std::vector<int64_t>& members,
                     const float* previous) const {
  const int64_t N = in_.stocks, K = in_.count;
  std::vector<int64_t> stocks, common;
  for (int64_t n = 0; n < N; ++n)
    if (fresh[n] == fresh[n]) stocks.push_back(n);
  for (const int64_t n : members)
    if (previous != nullptr && previous[n] == previous[n]) common.push_back(n);
  if (common.empty()) {
    for (int64_t k = 0; k < K; ++k) {
      double largest = 0;
      for (const int64_t n : members)
        if (std::abs(fresh[k * N + n]) > std::abs(largest)) largest = fresh[k * N + n];
      if (largest < 0)
        for (const int64_t n : stocks) fresh[k * N + n] = -fresh[k * N + n];
    }
    return;
  }
  const std::vector<double> before(previous, previous + K * N);
  const at::Tensor product =
      at::mm(columns_of(fresh, K, N, common), columns_of(before.data(), K, N, common).t());
  const auto [u, singular_values, vh] = at::linalg_svd(product);
  put_columns(at::mm(at::mm(u, vh).t(), columns_of(fresh, K, N, stocks)), stocks, N, fresh);
}

bool Loadings::step() {
  const int64_t total = static_cast<int64_t>(in_.refreshes.size());
  const int64_t size = in_.count * in_.stocks;
  const int64_t end = std::min(total, next_ + kRefreshesPerThread * omp_get_max_threads());
  if (next_ == end) return false;
  if (!returns_.empty()) {
    const int64_t last = std::max(returns_end_, in_.refreshes[end - 1].date + 1);
    make_returns(returns_end_, last);
    returns_end_ = last;
  }

  std::vector<double> fresh((end - next_) * size);
  std::vector<std::vector<int64_t>> members(end - next_);
  std::exception_ptr failure;
  const auto guarded = [&](auto&& body) {
    try {
      body();
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  };
  // Products and decompositions take one thread each, and MKL knows it: where it may have more, it
  // decomposes in another way even inside a parallel region. The same bits whatever the number.
  const OneThreadEach one_thread_each;
#pragma omp parallel num_threads(one_thread_each.before)
  {
#pragma omp for schedule(dynamic, 1)
    for (int64_t r = next_; r < end; ++r) {
      const int64_t i = r - next_;
      if (in_.refreshes[r].known == nullptr)
        guarded([&] { members[i] = factorise(in_.refreshes[r].date, fresh.data() + i * size); });
    }
#pragma omp single
    guarded([&] {
      for (int64_t r = next_; r < end && !failure; ++r) {
        float* out = values_.data() + r * size;
        if (const float* known = in_.refreshes[r].known) {
          std::copy_n(known, size, out);
        } else {
          double* made = fresh.data() + (r - next_) * size;
          align(made, members[r - next_],
                last_basis_ < 0 ? nullptr : values_.data() + last_basis_ * size);
          std::transform(made, made + size, out, [](double x) { return static_cast<float>(x); });
        }
        if (std::any_of(out, out + in_.stocks, [](float x) { return x == x; })) last_basis_ = r;
      }
    });
  }
  if (failure) std::rethrow_exception(failure);
  next_ = end;
  return next_ < total;
}

}  // namespace astgnn::ops
