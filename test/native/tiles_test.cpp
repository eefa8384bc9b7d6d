// bf16 tiles: the GRU at both precisions against float64, the twin and any number of threads, and
// the weights of the TGC times values against float64; with emulated registers, with the assembly
// trapped, and on the hardware where the machine has AMX. How precision is chosen.
#include <cstdlib>
#include <cstring>
#include <limits>

#include "gru_cases.h"

#if defined(ASTGNN_AMX)
namespace astgnn::ops {
extern const TileKernels kEmulatedHigh, kEmulatedMedium;
void trap_tiles();
int64_t trapped_instructions();
}  // namespace astgnn::ops
#endif

namespace {

using namespace gru_cases;
using ops::Precision;

void choice() {
  setenv("ASTGNN_ISA", "amx", 1);
  const bool amx = ops::use_kernels("amx");
  if (amx) {
    check::that(!std::strcmp(ops::instruction_set(), "amx"), "amx is chosen");
    for (const Precision each : {Precision::kHigh, Precision::kMedium, Precision::kHighest})
      check::that(ops::use_precision(each) == each, "amx has every precision");
  } else {
    check::throws([] { ops::kernels(); }, "expected an instruction set of this machine",
                  "ASTGNN_ISA=amx without AMX is refused");
  }
  unsetenv("ASTGNN_ISA");
  for (const char* name : {"scalar", "avx2", "avx512"}) {
    if (!ops::use_kernels(name)) continue;
    check::that(!std::strcmp(ops::instruction_set(), name), std::string(name) + " is chosen");
    for (const Precision each : {Precision::kHigh, Precision::kMedium, Precision::kHighest})
      check::that(ops::use_precision(each) == Precision::kHighest,
                  std::string(name) + " has float32 alone");
  }
}

// Values and all gradients of one GRU, always the same.
std::vector<Tensor> sample(int64_t rows, int64_t hidden) {
  at::manual_seed(8);
  auto inputs = make_weights(21, hidden, 2, at::kFloat);
  inputs.push_back(at::randn({5, rows, 21}));
  inputs = leaves(inputs);
  const Tensor out =
      ops::gru_dense(inputs.back(), at::TensorList(inputs).slice(0, 8), 0.2, make_key(rows));
  std::vector<Tensor> all = check::gradients(out, inputs);
  all.push_back(out.detach());
  return all;
}

// A missing value may not become a number, whatever its bits, nor reach another row.
void missing_values(const std::string& where) {
  const auto weights = make_weights(5, 6, 2, at::kFloat);
  const Tensor x = at::randn({3, 40, 5}), clean = ops::gru_dense(x, weights, 0, Tensor());
  for (const uint32_t bits : {0x7FFFFFFFu, 0xFFFFFFFFu, 0x7F800001u, 0x7FC00000u}) {
    std::memcpy(x.mutable_data_ptr<float>() + (1 * 40 + 17) * 5 + 3, &bits, sizeof bits);
    const Tensor got = ops::gru_dense(x, weights, 0, Tensor());
    check::that(got[17].isnan().all().item<bool>(), "NaN stays NaN, " + where);
    check::equal(got.slice(0, 0, 17), clean.slice(0, 0, 17), "rows before it, " + where);
    check::equal(got.slice(0, 18), clean.slice(0, 18), "rows after it, " + where);
  }
}

// Bars: x3 leaves out the product of the low parts and what two parts of 8 bits each cannot hold,
// about 2^-16 of a product; bf16 rounds to 2^-9. Sums over many rows and steps average most of it.
void precisions(const std::string& form) {
  ops::use_precision(Precision::kHighest);
  const Tensor exact = sample(70, 40).back();
  ops::use_precision(Precision::kHigh);
  const double split_error = check::error(sample(70, 40).back(), exact);
  ops::use_precision(Precision::kMedium);
  const double rounded_error = check::error(sample(70, 40).back(), exact);
  std::printf("%s, against float32: high %.1e, medium %.1e\n", form.c_str(), split_error,
              rounded_error);
  check::that(split_error > 0 && rounded_error > 50 * split_error,
              form + ": each precision has kernels of its own");

  struct Case {
    Precision precision;
    const char* name;
    Errors at_start, later;  // with weights as a model starts with, and 1.7 times as large
    double twin;
  };
  constexpr double kStart = 0.577;  // standard deviation of uniform(-1, 1)
  for (const Case& each : {Case{Precision::kHigh, "high", {1e-5, 1e-5}, {2e-5, 2e-5}, 2e-4},
                           Case{Precision::kMedium, "medium", {9e-3, 9e-3}, {9e-3, 9e-3}, 1e-1}}) {
    check::that(ops::use_precision(each.precision) == each.precision, "the precision is in force");
    const std::string where = form + ", " + each.name;
    at::manual_seed(3);
    accuracy(where + " at the start", each.at_start, kStart);
    accuracy(where, each.later);
    against_twin(at::kFloat, each.twin);
    any_number_of_threads();
    missing_values(where);
  }
  ops::use_precision(Precision::kHighest);
}

enum class Kept { kAll, kByRow, kByColumn };

// similarity_apply of the kernels in use, in pieces: the products, then the rows' sums of weights.
template <class T>
std::vector<Tensor> weigh(const Tensor& m_any, const Tensor& values_any, Kept kept) {
  const auto dtype = c10::CppTypeToScalarType<T>::value;
  const Tensor m = m_any.to(dtype).contiguous(), values = values_any.to(dtype).contiguous();
  const int64_t n = m.size(0), factors = m.size(1), columns = values.size(1),
                lanes = ops::kernels_of<T>().lanes;
  std::vector<Tensor> panels;
  for (int64_t first = 0; first < n; first += ops::kSimilarityPanel) {
    const Tensor part = m.slice(0, first, first + ops::kSimilarityPanel).t();
    const int64_t count = part.size(1), width = (count + lanes - 1) / lanes * lanes;
    panels.push_back(at::constant_pad_nd(part, {0, width - count}).contiguous().view(-1));
  }
  const Tensor panel = at::cat(panels), largest = at::full({n + 16}, 32.0, dtype),
               threshold = at::linspace(-1, 1, n + 16, dtype), own = at::zeros({n}, dtype),
               out = at::empty({n, columns}, dtype), others = at::zeros({n}, at::kDouble),
               moments = at::zeros({n}, at::kDouble);
  const bool all = kept == Kept::kAll;
  const ops::SimilarityBlock<T> block{n,
                                      factors,
                                      factors,
                                      m.const_data_ptr<T>(),
                                      panel.const_data_ptr<T>(),
                                      T(1),
                                      T(32),
                                      true,
                                      all ? nullptr : threshold.const_data_ptr<T>(),
                                      all ? nullptr : largest.const_data_ptr<T>(),
                                      nullptr,
                                      false};
  for (int64_t row = 0; row < n; row += ops::kSimilarityRows) {
    const int64_t rows = std::min(n - row, ops::kSimilarityRows);
    ops::kernels_of<T>().similarity_apply(
        block,
        {row, rows, values.const_data_ptr<T>(), columns, columns / lanes, out.mutable_data_ptr<T>(),
         columns, false, kept == Kept::kByColumn, others.mutable_data_ptr<double>() + row,
         moments.mutable_data_ptr<double>() + row, own.mutable_data_ptr<T>() + row});
  }
  return {out, others, own};
}

void similarity(const std::string& form) {
  at::manual_seed(4);
  for (const double spread : {0.1, 1.0, 3.0}) {
    for (const int64_t rows : {1, 31, 33, 300, 1000, 3001}) {
      if (rows == 3001 && spread != 1) continue;
      for (const int64_t columns : {16, 64, 128, 272}) {
        if (columns != 64 && rows > 300) continue;
        const Tensor m = (at::randn({rows, 32}) * spread).tanh(), v = at::randn({rows, columns});
        for (const Kept kept : {Kept::kAll, Kept::kByRow, Kept::kByColumn}) {
          ops::use_precision(Precision::kHighest);
          const auto exact = weigh<double>(m, v, kept), plain = weigh<float>(m, v, kept);
          ops::use_precision(Precision::kHigh);
          const auto got = weigh<float>(m, v, kept);
          const std::string where = form + ", TGC, R " + std::to_string(rows) + ", columns " +
                                    std::to_string(columns) + ", M spread " +
                                    std::to_string(spread).substr(0, 3) + ", kept " +
                                    std::to_string(static_cast<int>(kept));
          if (columns == 64 && kept == Kept::kAll && rows >= 1000)
            std::printf("%s: %.1e, float32 %.1e\n", where.c_str(), check::error(got[0], exact[0]),
                        check::error(plain[0], exact[0]));
          // Either factor is off by 2^-17 at most, and the product of their small parts, 2^-18, is
          // left out: where one weight is all, no sum averages it. A large score's float32 rounding
          // comes on top, as in the float32 kernel.
          check::close(got[0], exact[0], 0x1.4p-16 + check::error(plain[0], exact[0]), where);
          check::equal(got[1], plain[1], "sums of weights stay float32, " + where);
          check::equal(got[2], plain[2], "own weights stay float32, " + where);
        }
      }
    }
  }
  ops::use_precision(Precision::kHighest);
}

#if defined(ASTGNN_AMX)
// The assembly, on the hardware or trapped instruction by instruction, against the emulated form.
void assembly(const ops::InstructionSet& true_tiles, const ops::InstructionSet& emulated,
              double tolerance) {
  for (const Precision precision : {Precision::kHigh, Precision::kMedium}) {
    for (const int64_t rows : {1, 33, 200}) {
      for (const int64_t hidden : {6, 40, 64}) {
        ops::use_instruction_set(emulated);
        ops::use_precision(precision);
        const auto expected = sample(rows, hidden);
        ops::use_instruction_set(true_tiles);
        const auto got = sample(rows, hidden);
        for (size_t k = 0; k < got.size(); ++k)
          check::close(got[k], expected[k], tolerance,
                       std::string(true_tiles.name) + " is as emulated at R " +
                           std::to_string(rows) + ", H " + std::to_string(hidden) + ", tensor " +
                           std::to_string(k));
      }
    }
  }
  const Tensor m = at::randn({200, 32}).tanh(), v = at::randn({200, 48});
  ops::use_precision(Precision::kHigh);
  const Tensor got = weigh<float>(m, v, Kept::kAll)[0];
  ops::use_instruction_set(emulated);
  check::close(got, weigh<float>(m, v, Kept::kAll)[0], tolerance,
               std::string(true_tiles.name) + " is as emulated in the TGC");
  ops::use_precision(Precision::kHighest);
}
#endif

}  // namespace

int main() {
  choice();
  const bool amx = ops::use_kernels("amx");
  if (amx) {
    precisions("AMX");
    similarity("AMX");
  } else {
    std::printf("not tested: this machine has no amx\n");
  }
#if defined(ASTGNN_AMX)
  if (ops::use_kernels("avx512")) {
    const ops::Kernels &rest = ops::kernels(), high = ops::with_tiles(rest, ops::kEmulatedHigh),
                       medium = ops::with_tiles(rest, ops::kEmulatedMedium),
                       true_high = ops::with_tiles(rest, ops::kAmxHigh),
                       true_medium = ops::with_tiles(rest, ops::kAmxMedium);
    const ops::InstructionSet emulated = {"emulated tiles", &rest, &high, &medium},
                              true_tiles = {amx ? "AMX" : "trapped AMX", &rest, &true_high,
                                            &true_medium};
    if (!amx) ops::trap_tiles();
    // The hardware alone flushes denormal numbers.
    assembly(true_tiles, emulated, amx ? 1e-6 : 0);
    std::printf("%lld instructions of AMX were trapped\n",
                static_cast<long long>(ops::trapped_instructions()));
    check::that(amx == (ops::trapped_instructions() == 0), "the assembly ran");
    ops::use_instruction_set(emulated);
    precisions(emulated.name);
    similarity(emulated.name);
    ops::use_kernels("avx512");
  } else {
    std::printf("not tested: this machine has no avx512\n");
  }
#endif
  return check::finish();
}
