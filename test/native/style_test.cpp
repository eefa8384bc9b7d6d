// Style exposures against NumPy; they know nothing of later dates, of dates before their look-backs,
// of stocks outside the universe or of threads.
#include "ops/data/style.h"

#include <ATen/Parallel.h>

#include "check.h"
#include "exposure_fixture.h"

namespace {

using at::Tensor;
using namespace astgnn;

ops::StyleInput input_of(const ExposureFixture& market) {
  ops::StyleInput in{};
  in.dates = market.close.size(0), in.stocks = market.close.size(1);
  in.prices.open.twice = market.open.data_ptr<double>();
  in.prices.high.twice = market.high.data_ptr<double>();
  in.prices.low.twice = market.low.data_ptr<double>();
  in.prices.close.twice = market.close.data_ptr<double>();
  in.prices.volume.twice = market.volume.data_ptr<double>();
  in.universe = market.universe.data_ptr<uint8_t>();
  in.present = market.present.data_ptr<uint8_t>();
  in.months = market.months.data_ptr<int32_t>();
  return in;
}

Tensor made(const ops::StyleInput& in, int64_t from, int64_t to, bool raw = false) {
  Tensor out = at::full({to - from, ops::kStyleFeatures, in.stocks}, 7.0, at::kDouble);
  ops::Style(in).compute(from, to, out.data_ptr<double>(), raw);
  return out;
}

// The same panel on other dates and stocks.
ExposureFixture with(const ExposureFixture& market,
                     const std::function<Tensor(const Tensor&)>& change,
                     const std::function<Tensor(const Tensor&)>& of_dates) {
  ExposureFixture other = market;
  for (Tensor* values :
       {&other.open, &other.high, &other.low, &other.close, &other.volume, &other.universe, &other.present})
    *values = change(*values).contiguous();
  other.months = of_dates(other.months).contiguous();
  return other;
}

void same(const Tensor& a, const Tensor& b, const std::string& behaviour) {
  check::that(a.sizes() == b.sizes() &&
                  std::memcmp(a.contiguous().data_ptr(), b.contiguous().data_ptr(), a.nbytes()) == 0,
              behaviour + " (bit for bit)");
}

void oracle(const ExposureFixture& market) {
  for (const bool raw : {true, false}) {
    const Tensor expected = raw ? market.raw_style : market.style;
    const Tensor all = made(input_of(market), 0, market.dates, raw);
    for (size_t i = 0; i < market.style_dates.size(); ++i) {
      for (int f = 0; f < ops::kStyleFeatures; ++f) {
        check::close(all[market.style_dates[i]][f], expected[i][f], 1e-10,
                     std::string(raw ? "raw " : "") + std::string(ops::kStyleNames[f]) + " of date " +
                         std::to_string(market.style_dates[i]) + " is NumPy's");
      }
    }
  }
}

// The date that those after must not change.
constexpr int64_t kNow = 270;

void causal(const ExposureFixture& market) {
  const Tensor all = made(input_of(market), 0, kNow);
  const auto changed = with(
      market,
      [](const Tensor& values) {
        Tensor later = values.clone();
        later.slice(0, kNow).mul_(later.scalar_type() == at::kDouble ? 3 : 1);
        return later;
      },
      [](const Tensor& months) { return months; });
  same(made(input_of(changed), 0, kNow), all, "prices from a date on change nothing before it");
  const auto cut = [](const Tensor& values) { return values.slice(0, 0, kNow); };
  same(made(input_of(with(market, cut, cut)), 0, kNow), all, "nor does their absence");
  const auto late = [](const Tensor& values) { return values.slice(0, 10); };
  const Tensor from = made(input_of(with(market, late, late)), kNow - 10, kNow - 9),
               to = made(input_of(market), kNow, kNow + 1);
  const auto short_sighted = [](const Tensor& values) {
    return values.slice(1, 0, ops::kSeasonality).contiguous();
  };
  same(short_sighted(from), short_sighted(to),
       "dates before the look-back change nothing but seasonality and age");
}

void blocks(const ExposureFixture& market) {
  const Tensor all = made(input_of(market), 0, market.dates);
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    same(made(input_of(market), 100, 137), all.slice(0, 100, 137),
         "neither threads nor blocks of dates change a value");
  }
  at::set_num_threads(before);
}

void ghosts(const ExposureFixture& market) {
  const auto other = with(
      market,
      [](const Tensor& values) {
        const Tensor ghost = values.scalar_type() == at::kDouble ? values.select(1, 2) * 1.7
                                                                 : at::zeros_like(values.select(1, 2));
        return at::cat({ghost.unsqueeze(1), values}, 1);
      },
      [](const Tensor& months) { return months; });
  same(made(input_of(other), 250, 300).slice(2, 1), made(input_of(market), 250, 300),
       "a stock outside the universe moves nobody's exposures");
}

void sizes_and_segments(const ExposureFixture& market) {
  auto in = input_of(market);
  const Tensor column = market.volume.log();
  in.size.twice = column.data_ptr<double>();
  same(made(in, 299, 300, true)[0][ops::kSize], column[299], "size is the column where there is one");
  Tensor segments = at::zeros({market.dates, market.stocks}, at::kInt);
  segments.slice(0, 290).select(1, 3).fill_(1);
  in.segments = segments.data_ptr<int32_t>();
  const Tensor broken = made(in, 299, 300, true)[0].select(1, 3),
               whole = made(input_of(market), 299, 300, true)[0].select(1, 3);
  for (const auto feature : {ops::kMomentum, ops::kReversal, ops::kEwma120, ops::kHigh252,
                             ops::kLiquidity, ops::kTurnoverVolatility}) {
    check::that(broken[feature].isnan().item<bool>() && whole[feature].isfinite().item<bool>(),
                std::string(ops::kStyleNames[feature]) + " compares no prices across a break");
  }
  check::that(broken[ops::kVolatility21].isfinite().item<bool>(), "volatility lacks one return there");
}

}  // namespace

int main() {
  const ExposureFixture market;
  oracle(market);
  causal(market);
  blocks(market);
  ghosts(market);
  sizes_and_segments(market);
  return check::finish();
}
