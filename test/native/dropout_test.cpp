// Dropout: the numbers are Philox's, the mask is what the reference multiplies by, and nothing but
// the key decides it.
#include <ATen/Parallel.h>

#include "check.h"
#include "ops/philox.h"
#include "ops/reference.h"

namespace {

using at::Tensor;
using namespace astgnn;

Tensor make_key(int64_t rows, int64_t seed = 7, int64_t step = 3, int64_t date = 100) {
  Tensor key = at::empty({rows + 1, 2}, at::kLong);
  auto k = key.accessor<int64_t, 2>();
  k[0][0] = seed;
  k[0][1] = step;
  for (int64_t r = 0; r < rows; ++r) {
    k[r + 1][0] = date;
    k[r + 1][1] = r;
  }
  return key;
}

}  // namespace

int main() {
  at::manual_seed(1);
  // Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
  using Words = std::array<uint32_t, 4>;
  check::that(
      ops::philox({0, 0}, {0, 0, 0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      "Philox of zeros");
  check::that(
      ops::philox({0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}) ==
          Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
      "Philox of ones");
  check::that(
      ops::philox({0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
      "Philox of pi");

  for (const int64_t rows : {0, 1, 2, 31, 33, 151}) {
    for (const int64_t columns : {1, 3, 4, 37, 130}) {
      const std::string where = " at " + std::to_string(rows) + " x " + std::to_string(columns);
      for (const auto dtype : {at::kDouble, at::kFloat}) {
        const Tensor x = at::randn({rows, columns}, dtype), key = make_key(rows);
        check::equal(ops::dropout(x, 0.3, key, ops::kHead + 1, 5),
                     ops::reference::dropout(x, 0.3, key, ops::kHead + 1, 5),
                     "dropout is x times the reference's mask" + where);
      }
      // Gradient of a sum is the mask itself.
      Tensor x = at::randn({rows, columns}, at::kDouble).requires_grad_(true);
      const Tensor key = make_key(rows), out = ops::dropout(x, 0.4, key, ops::kRisk);
      if (rows > 0) {
        const Tensor gradient = torch::autograd::grad({out.sum()}, {x})[0];
        check::equal(gradient,
                     ops::reference::dropout(at::ones_like(x), 0.4, key, ops::kRisk).detach(),
                     "backward uses forward's mask" + where);
        check::equal(out.detach(), x.detach() * gradient,
                     "forward is x times backward's mask" + where);
      }
    }
  }

  const Tensor ones = at::ones({400, 250}, at::kDouble), key = make_key(400);
  for (const double p : {0.1, 0.5, 0.9}) {
    const Tensor out = ops::dropout(ones, p, key, ops::kState);
    const double kept = (out > 0).to(at::kDouble).mean().item<double>();
    // 100,000 draws: five standard errors.
    check::near(kept, 1 - p, 5 * std::sqrt(p * (1 - p) / 1e5),
                "keep rate at p = " + std::to_string(p));
    check::equal(out.masked_select(out > 0), at::full_like(out.masked_select(out > 0), 1 / (1 - p)),
                 "kept entries are scaled by 1 / (1 - p)");
  }
  check::that(ops::dropout(ones, 0, at::Tensor(), ops::kState).is_same(ones),
              "p = 0 needs no key and changes nothing");

  const auto mask = [&](const Tensor& k, int64_t site, int64_t time) {
    return ops::dropout(ones, 0.5, k, site, time);
  };
  const Tensor base = mask(key, ops::kState, 0);
  check::equal(base, mask(key, ops::kState, 0), "the same key repeats");
  for (const auto& [other, what] : std::vector<std::pair<Tensor, std::string>>{
           {mask(make_key(400, 8), ops::kState, 0), "seed"},
           {mask(make_key(400, 7, 4), ops::kState, 0), "step"},
           {mask(make_key(400, 7, 3, 101), ops::kState, 0), "date"},
           {mask(key, ops::kGat, 0), "site"},
           {mask(key, ops::kState, 1), "time"}}) {
    const double same = (base == other).to(at::kDouble).mean().item<double>();
    check::near(same, 0.5, 0.01, "another " + what + " gives an independent mask");
  }
  // float32 and float64 share the words.
  check::equal(ops::dropout(ones.to(at::kFloat), 0.5, key, ops::kState).to(at::kDouble), base,
               "float32 drops what float64 drops");

  at::set_num_threads(1);
  const Tensor one = ops::dropout(ones, 0.3, key, ops::kState);
  at::set_num_threads(2);
  check::equal(ops::dropout(ones, 0.3, key, ops::kState), one,
               "dropout does not depend on the number of threads");
  // A date alone and behind another date.
  const Tensor both_key =
      at::cat({key.slice(0, 0, 1), make_key(60, 7, 3, 99).slice(0, 1), key.slice(0, 1)});
  check::equal(
      ops::dropout(at::ones({460, 250}, at::kDouble), 0.3, both_key, ops::kState).slice(0, 60), one,
      "a date's mask does not depend on what shares its batch");
  const Tensor strided = at::randn({37, 50}, at::kDouble).t();
  check::equal(ops::dropout(strided, 0.3, key.slice(0, 0, 51), ops::kState),
               ops::dropout(strided.contiguous(), 0.3, key.slice(0, 0, 51), ops::kState),
               "a non-contiguous input");

  check::throws([&] { ops::dropout(ones, 1.0, key, ops::kState); }, "in [0, 1)",
                "p = 1 is refused");
  check::throws([&] { ops::dropout(ones, 0.5, key.slice(0, 1), ops::kState); }, "dropout key",
                "a short key is refused");
  check::throws([&] { ops::dropout(ones, 0.5, at::Tensor(), ops::kState); }, "dropout key",
                "a missing key is refused");
  return check::finish();
}
