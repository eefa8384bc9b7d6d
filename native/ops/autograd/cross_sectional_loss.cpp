// dpredictions[r, c] = g times the sum over the pairs of column c of share slope_r: the derivative
// of the row's date by its prediction, and what that date and pair count in the mean. Both are
// float64 and known once the forward is, so they are saved in the inputs' place: 8 bytes per row
// and pair.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct CrossSectionalLoss : torch::autograd::Function<CrossSectionalLoss> {
  static variable_list forward(AutogradContext* ctx, const Tensor& predictions,
                               const Tensor& labels, const Tensor& date_offsets,
                               at::IntArrayRef prediction_columns, at::IntArrayRef label_columns,
                               int64_t kind, double eps) {
    using Signature = std::tuple<Tensor, Tensor, Tensor, Tensor>(const Tensor&, const Tensor&,
                                                                 const Tensor&, at::IntArrayRef,
                                                                 at::IntArrayRef, int64_t, double);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_cross_sectional_loss_forward", "")
                               .typed<Signature>();
    at::AutoDispatchBelowADInplaceOrView below;
    auto [mean, values, slopes, shares] =
        op.call(predictions, labels, date_offsets, prediction_columns, label_columns, kind, eps);
    ctx->save_for_backward({predictions, date_offsets, slopes, shares});
    ctx->saved_data["columns"] = prediction_columns.vec();
    ctx->mark_non_differentiable({values});
    return {mean, values};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&, at::IntArrayRef,
                             const Tensor&, const Tensor&);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_cross_sectional_loss_backward", "")
                               .typed<Signature>();
    const variable_list saved = ctx->get_saved_variables();
    variable_list gradients = {op.call(grads[0], saved[0], saved[1],
                                       ctx->saved_data["columns"].toIntVector(), saved[2],
                                       saved[3])};
    gradients.resize(7);  // slots: predictions, then nothing that has a gradient
    return gradients;
  }
};

std::tuple<Tensor, Tensor> cross_sectional_loss(const Tensor& predictions, const Tensor& labels,
                                                const Tensor& date_offsets,
                                                at::IntArrayRef prediction_columns,
                                                at::IntArrayRef label_columns, int64_t kind,
                                                double eps) {
  const variable_list out = CrossSectionalLoss::apply(predictions, labels, date_offsets,
                                                      prediction_columns, label_columns, kind, eps);
  return {out[0], out[1]};
}

}  // namespace

TORCH_LIBRARY_IMPL(astgnn, Autograd, m) {
  m.impl("cross_sectional_loss", TORCH_FN(cross_sectional_loss));
}
