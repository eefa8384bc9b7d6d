// Loadings against a full SVD in NumPy; they know nothing of later dates, of stocks outside the
// universe, of threads, or of what signs and rotations a decomposition comes out with.
#include "ops/data/loadings.h"

#include <ATen/Parallel.h>

#include "check.h"
#include "exposure_fixture.h"

namespace {

using at::Tensor;
using namespace astgnn;

ops::LoadingsInput input_of(const ExposureFixture& market, const Tensor& close,
                            const Tensor& universe) {
  ops::LoadingsInput in;
  in.dates = close.size(0), in.stocks = close.size(1);
  in.close.twice = close.data_ptr<double>();
  in.universe = universe.data_ptr<uint8_t>();
  in.segments = nullptr;
  in.window = market.window, in.count = market.count, in.half_life = market.half_life;
  for (const int64_t date : market.refreshes)
    if (date < in.dates) in.refreshes.push_back({date});
  return in;
}

Tensor made(ops::Loadings& loadings, const ops::LoadingsInput& in) {
  while (loadings.step()) continue;
  Tensor values = at::empty({static_cast<int64_t>(in.refreshes.size()), in.count, in.stocks});
  std::copy(loadings.values().begin(), loadings.values().end(), values.data_ptr<float>());
  return values;
}

Tensor made(const ops::LoadingsInput& in) {
  ops::Loadings loadings(in);
  return made(loadings, in);
}

// Equal numbers, and NaN in the same places.
void same(const Tensor& a, const Tensor& b, const std::string& behaviour) {
  const int64_t size = a.numel();
  check::that(size == b.numel() && std::memcmp(a.contiguous().data_ptr(), b.contiguous().data_ptr(),
                                               size * a.element_size()) == 0,
              behaviour + " (bit for bit)");
}

void oracle(const ExposureFixture& market) {
  const auto in = input_of(market, market.close, market.universe);
  // Single precision rounds to 6e-8 of a loading of up to 1; rotations add up a few of these.
  check::close(made(in), market.loadings, 1e-6, "loadings are those of a full SVD");

  ops::Loadings loadings(in);
  made(loadings, in);
  Tensor fresh = at::empty({market.count, market.stocks}, at::kDouble);
  const auto members = loadings.factorise(market.refreshes[0], fresh.data_ptr<double>());
  loadings.align(fresh.data_ptr<double>(), members, nullptr);
  check::close(fresh, market.loadings[0], 1e-11, "the first ones in double precision");
}

void causal(const ExposureFixture& market) {
  const Tensor all = made(input_of(market, market.close, market.universe));
  const Tensor later = market.close.clone();
  later.slice(0, 200).mul_(1.5).add_(1);
  const int64_t before = std::count_if(market.refreshes.begin(), market.refreshes.end(),
                                       [](int64_t date) { return date < 200; });
  same(made(input_of(market, later, market.universe)).slice(0, 0, before), all.slice(0, 0, before),
       "prices from a date on change no loading before it");
  const Tensor short_close = market.close.slice(0, 0, 200).clone(),
               short_universe = market.universe.slice(0, 0, 200).clone();
  same(made(input_of(market, short_close, short_universe)), all.slice(0, 0, before),
       "nor does their absence");
}

void ghosts(const ExposureFixture& market) {
  const auto with = [&](const Tensor& values, const Tensor& ghost) {
    return at::cat({values.slice(1, 0, 3), ghost.unsqueeze(1), values.slice(1, 3)}, 1).contiguous();
  };
  const Tensor ghost = market.close.select(1, 0) * market.volume.select(1, 1).sqrt(),
               nowhere = at::zeros({market.dates}, at::kByte);
  const Tensor close = with(market.close, ghost.nan_to_num(1)),
               universe = with(market.universe, nowhere);
  const Tensor all = made(input_of(market, close, universe));
  same(at::cat({all.slice(2, 0, 3), all.slice(2, 4)}, 2),
       made(input_of(market, market.close, market.universe)),
       "a stock outside the universe moves nobody's loadings");
  check::that(all.select(2, 3).isfinite().all().item<bool>(), "and has loadings all the same");
}

void threads(const ExposureFixture& market) {
  const auto in = input_of(market, market.close, market.universe);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Tensor one = made(in);
  for (const int count : {2, 3}) {
    at::set_num_threads(count);
    same(made(in), one, "loadings are the same with " + std::to_string(count) + " threads");
  }
  at::set_num_threads(before);
}

void stored(const ExposureFixture& market) {
  auto in = input_of(market, market.close, market.universe);
  const Tensor all = made(in);
  // A file that begins 60 dates later, so that its first refresh of its own is the ninth.
  constexpr int64_t kCut = 60, kKnown = 8;
  const Tensor close = market.close.slice(0, kCut).clone(),
               universe = market.universe.slice(0, kCut).clone();
  auto later = input_of(market, close, universe);
  later.refreshes.clear();
  for (size_t r = 0; r < market.refreshes.size(); ++r) {
    const float* known = static_cast<int64_t>(r) < kKnown ? all[r].data_ptr<float>() : nullptr;
    later.refreshes.push_back({market.refreshes[r] - kCut, known});
  }
  same(made(later), all, "a later file goes on from stored loadings as if it had been one file");
}

void alignment(const ExposureFixture& market) {
  const auto in = input_of(market, market.close, market.universe);
  ops::Loadings loadings(in);
  const Tensor all = made(loadings, in);
  Tensor previous = all[0].clone(), fresh = at::empty({market.count, market.stocks}, at::kDouble);
  double worst = 0;
  for (size_t r = 1; r < in.refreshes.size(); ++r) {
    const auto members = loadings.factorise(in.refreshes[r].date, fresh.data_ptr<double>());
    Tensor noise = at::arange(market.count * market.count, at::kDouble).add_(r).sin_();
    const Tensor turn = std::get<0>(at::linalg_qr(noise.view({market.count, market.count})));
    Tensor turned = at::mm(turn, fresh);
    turned[r % market.count].neg_();
    turned = turned.contiguous();
    loadings.align(turned.data_ptr<double>(), members, previous.data_ptr<float>());
    previous = turned.to(at::kFloat);
    worst = std::max(worst, check::error(previous, all[r]));
  }
  check::near(worst, 0, 1e-6, "rotations and signs of the decompositions change no loading");

  const Tensor step = (all.slice(0, 1) - all.slice(0, 0, -1)).nan_to_num(0).abs();
  check::that(step.mean().item<double>() < 0.15, "loadings move slowly");
}

void missing(const ExposureFixture& market) {
  const Tensor all = made(input_of(market, market.close, market.universe));
  const auto known = [&](int64_t r, int64_t stock) { return all[r][0][stock].isfinite().item<bool>(); };
  const auto refresh = [&](int64_t date) {
    return std::find(market.refreshes.begin(), market.refreshes.end(), date) -
           market.refreshes.begin();
  };
  check::that(!known(refresh(105), 5) && known(refresh(135), 5),
              "a stock has loadings from four fifths of a window of returns on");
  check::that(!known(refresh(180), 8), "a stock whose price never changes has none");
  check::that(known(refresh(180), 10), "a stock outside the universe has some");
}

void nobody() {
  Tensor close = at::full({30, 4}, 5.0, at::kDouble),
         universe = at::ones({30, 4}, at::kByte);
  ops::LoadingsInput in{30, 4, {}, universe.data_ptr<uint8_t>(), nullptr, 8, 3, 4.0, {{10}, {20}}};
  in.close.twice = close.data_ptr<double>();
  check::that(made(in).isnan().all().item<bool>(), "without a return that moves there are no loadings");
  close.select(1, 2).copy_(at::arange(30, at::kDouble).sin_().add_(3));
  const Tensor one = made(in);
  check::near(one[0][0][2].item<double>(), 1, 1e-6, "one stock is its own direction");
  check::that(one[0].select(1, 2).slice(0, 1).eq(0).all().item<bool>(), "and has no other");
}

}  // namespace

int main() {
  const ExposureFixture market;
  oracle(market);
  causal(market);
  ghosts(market);
  threads(market);
  stored(market);
  alignment(market);
  missing(market);
  nobody();
  return check::finish();
}
