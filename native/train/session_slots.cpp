// Steps slot by slot, by one process or by several.
#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "ops/to_device.h"
#include "train/module_guards.h"
#include "train/session.h"

namespace astgnn::train {

std::vector<std::vector<int64_t>> Session::slots_of(const Pass& pass) const {
  const bool linked = model->config.norm == "batch" ||
                      std::any_of(terms_.begin(), terms_.end(),
                                  [](const Term& term) { return term.name == "turnover"; });
  if (linked || pass.dates.empty()) return {pass.dates};
  std::vector<std::vector<int64_t>> slots;
  if (exact) {
    for (const int64_t date : pass.dates) slots.push_back({date});
    return slots;
  }
  const Shares shares(static_cast<int64_t>(pass.dates.size()), ranks->size());
  for (int64_t rank = 0; rank < ranks->size(); ++rank)
    if (shares.begin(rank) < shares.end(rank))
      slots.emplace_back(pass.dates.begin() + shares.begin(rank),
                         pass.dates.begin() + shares.end(rank));
  return slots;
}

// A term is a mean over the dates of the step that define it, which their labels tell beforehand:
// a slot's share of the total is then known when its turn comes.
Session::Sum Session::sum_over_slots(Pass& pass, bool keep) {
  const size_t terms = terms_.size();
  std::vector<PackedBatch> batches;
  std::vector<std::vector<int64_t>> defined;  // [slots][terms] dates
  std::vector<int64_t> counts(terms);
  pass.step.undefined.assign(terms, 0);
  for (const auto& dates : slots_of(pass)) {
    const auto& batch = batches.emplace_back(batch_of(pass, dates));
    auto& of_slot = defined.emplace_back();
    const auto undefined = undefined_dates(terms_, model->config, batch);
    for (size_t i = 0; i < terms; ++i) {
      of_slot.push_back(entries(terms_[i], batch) - undefined[i]);
      counts[i] += of_slot[i];
      pass.step.undefined[i] += undefined[i];
    }
  }
  for (const int64_t count : counts) pass.defined.push_back(count > 0);
  pass.step.updated = std::any_of(counts.begin(), counts.end(), [](int64_t n) { return n > 0; });

  const auto parameters = model->parameters();
  const auto values = at::zeros({static_cast<int64_t>(batches.size()), static_cast<int64_t>(terms)},
                                stop_.options().dtype(at::kDouble));
  const Shares shares(static_cast<int64_t>(batches.size()), ranks ? ranks->size() : 1);
  const int64_t own = ranks ? ranks->rank() : 0;
  TreeSum gradients;
  std::vector<Tensor> sums, predictions, risk_factors;
  for (int64_t s = shares.begin(own); s < shares.end(own); ++s) {
    std::vector<double> factors;
    for (size_t i = 0; i < terms; ++i)
      factors.push_back(counts[i] == 0 ? 0
                                       : terms_[i].weight * static_cast<double>(defined[s][i]) /
                                             static_cast<double>(counts[i]));
    std::vector<Tensor> of_slot(parameters.size());
    const bool any = std::any_of(defined[s].begin(), defined[s].end(),
                                 [](int64_t dates) { return dates > 0; });
    if (any || keep) {
      std::optional<BlockClock> clock;
      if (profile) clock.emplace(panel_->device());
      const auto out = forward_backward(batches[s], clock ? &*clock : nullptr, factors);
      if (clock) {
        if (!pass.step.blocks) pass.step.blocks.emplace();
        *pass.step.blocks += clock->times();
      }
      for (size_t i = 0; i < parameters.size(); ++i) of_slot[i] = parameters[i].grad();
      for (size_t i = 0; i < terms; ++i)
        if (const auto& value = out.objective.terms[i].value)
          values[s][i].copy_(value->detach() * defined[s][i]);
      if (keep) {
        predictions.push_back(out.output.predictions.detach());
        risk_factors.push_back(out.output.risk_factors.detach());
      }
    }
    gradients.add(flat(of_slot, parameters));
    if ((s + 1) % shares.subtree() == 0 || s + 1 == shares.end(own))
      sums.push_back(gradients.total());
    optimizer_->clear_gradients();
    batches[s] = {};
  }
  if (ranks) sums = exchange(shares, sums, values);
  for (auto& of_subtree : sums) gradients.add(std::move(of_subtree));

  Sum sum;
  sum.gradient = gradients.total();
  std::vector<Tensor> numbers;
  const auto of_terms = values.sum(0);
  auto total = at::zeros({}, values.options());
  for (size_t i = 0; i < terms; ++i) {
    if (counts[i] == 0) continue;
    numbers.push_back(of_terms[i] / counts[i]);
    total = total + numbers.back() * terms_[i].weight;
  }
  if (pass.step.updated) numbers.insert(numbers.begin(), total);
  sum.numbers = numbers.empty() ? at::empty({0}, values.options()) : at::stack(numbers);
  if (keep) {
    sum.output.predictions = at::cat(predictions);
    sum.output.risk_factors = at::cat(risk_factors);
  }
  return sum;
}

// One message: the terms of the sender's slots, sums of gradients, and whether it wants to stop. On
// a GPU it is put together and taken apart there; between, it is with the host or goes by NCCL.
std::vector<Tensor> Session::exchange(const Shares& shares, const std::vector<Tensor>& sums,
                                      const Tensor& values) {
  const auto parameters = model->parameters();
  int64_t count = 0;
  for (const auto& parameter : parameters) count += parameter.numel();
  const auto type = parameters[0].scalar_type();
  // Every part begins where memory of its own would.
  const auto aligned = [](int64_t bytes) { return (bytes + 63) / 64 * 64; };
  const int64_t terms = values.size(1), slot = terms * static_cast<int64_t>(sizeof(double)),
                width = count * static_cast<int64_t>(parameters[0].element_size()),
                sums_at = aligned(shares.most() * slot),
                wish_at = sums_at + shares.most_sums() * aligned(width), size = wish_at + 64;
  const auto terms_of = [&](int64_t rank) {
    return values.narrow(0, shares.begin(rank), shares.end(rank) - shares.begin(rank));
  };
  const auto terms_in = [&](const Tensor& message, int64_t rank) {
    const int64_t slots = shares.end(rank) - shares.begin(rank);
    return message.narrow(0, 0, slots * slot).view(at::kDouble).view({slots, terms});
  };
  const auto sum_in = [&](const Tensor& message, int64_t i) {
    return message.narrow(0, sums_at + i * aligned(width), width).view(type);
  };

  const int64_t own = ranks->rank();
  const auto message = at::zeros({size}, values.options().dtype(at::kByte));
  terms_in(message, own).copy_(terms_of(own));
  for (size_t i = 0; i < sums.size(); ++i) sum_in(message, static_cast<int64_t>(i)).copy_(sums[i]);
  Tensor all, wishes;
  if (ranks->connects(values.device())) {
    message.narrow(0, wish_at, 1).fill_(wants_to_stop);
    all = ranks->gather(message);
    wishes = all.select(1, wish_at).cpu();
  } else {
    HostCopy copy(message);
    const Tensor on_host = copy.wait();
    on_host.mutable_data_ptr<uint8_t>()[wish_at] = wants_to_stop;
    const auto gathered = ranks->gather(on_host);
    wishes = gathered.select(1, wish_at);
    all = ops::to_device(gathered, values.device());
  }
  stops = stops || wishes.max().item<int64_t>() != 0;
  std::vector<Tensor> everybodys;
  for (int64_t rank = 0; rank < ranks->size(); ++rank) {
    terms_of(rank).copy_(terms_in(all[rank], rank));
    for (int64_t i = 0; i < shares.sums(rank); ++i) everybodys.push_back(sum_in(all[rank], i));
  }
  return everybodys;
}

Tensor Session::exact_step(Pass& pass, double learning_rate) {
  BufferGuard buffers(*model);
  const auto sum = sum_over_slots(pass, /*keep=*/false);
  if (!pass.step.updated) return with_norm(at::zeros_like(stop_), sum.numbers);
  auto parameters = model->parameters();
  const auto gradients = parts_of(sum.gradient, parameters);
  for (size_t i = 0; i < parameters.size(); ++i) parameters[i].mutable_grad() = gradients[i];
  const auto norm = update(sum.numbers[0], optimizer_->next(learning_rate));
  buffers.keep_changes_unless(stop_);
  return with_norm(norm, sum.numbers);
}

}  // namespace astgnn::train
