#include "train/ranks.h"

#include <ATen/Functions.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/StringUtil.h>

#include <algorithm>

namespace astgnn::train {
namespace {

// Of the ranks library, which says so where a rank is lost.
template <class Signature, class... Arguments>
auto call(const char* name, Arguments&&... arguments) {
  const std::string lost = "lost: ";
  try {
    return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>().call(
        std::forward<Arguments>(arguments)...);
  } catch (const c10::Error& error) {
    std::string text = error.what_without_backtrace();
    text = text.substr(0, text.find('\n'));
    if (text.rfind(lost, 0) != 0) throw;
    throw RankLost(text.substr(lost.size()));
  }
}

}  // namespace

Ranks::Ranks(const RankOptions& options) : options_(options) {
  using Signature =
      void(std::string, int64_t, int64_t, int64_t, bool, std::string, double);
  call<Signature>("astgnn::_ranks_join", options.host, options.port, options.rank, options.size,
                  options.hosts, options.prefix, options.start_seconds);
}

Tensor Ranks::gather(const Tensor& message) const {
  return call<Tensor(const Tensor&, double)>("astgnn::_ranks_gather", message,
                                             options_.step_seconds);
}

std::vector<Tensor> Ranks::gather_all(const Tensor& bytes) const {
  const auto length = [&](const Tensor& message) {
    return call<Tensor(const Tensor&, double)>("astgnn::_ranks_gather", message,
                                               options_.start_seconds);
  };
  const auto own = at::full({1}, bytes.numel(), at::kLong).view(at::kByte);
  const auto lengths = length(own).contiguous().view(at::kLong);  // [size, 1]
  const auto padded = at::zeros({std::max<int64_t>(1, lengths.max().item<int64_t>())}, at::kByte);
  padded.narrow(0, 0, bytes.numel()).copy_(bytes);
  const auto all = length(padded);
  std::vector<Tensor> parts;
  for (int64_t r = 0; r < size(); ++r)
    parts.push_back(all[r].narrow(0, 0, lengths[r][0].item<int64_t>()));
  return parts;
}

std::vector<std::string> Ranks::gather_texts(const std::string& own) const {
  const auto bytes = at::empty({static_cast<int64_t>(own.size())}, at::kByte);
  std::copy(own.begin(), own.end(), bytes.mutable_data_ptr<uint8_t>());
  std::vector<std::string> texts;
  for (const auto& part : gather_all(bytes)) {
    const auto* text = reinterpret_cast<const char*>(part.const_data_ptr<uint8_t>());
    texts.emplace_back(text, text + part.numel());
  }
  return texts;
}

std::string Ranks::connect_gpus(at::Device device) {
  if (connects(device)) return "";
  gpu_.reset();
  const auto gpus = gather_texts(call<std::string(std::string)>("astgnn::_ranks_gpu_address",
                                                                device.str()));
  for (size_t r = 0; r < gpus.size(); ++r) {
    if (gpus[r].empty()) return c10::str("rank ", r, " has no NCCL");
    const auto first = std::find(gpus.begin(), gpus.end(), gpus[r]) - gpus.begin();
    if (first < static_cast<int64_t>(r))
      return c10::str("ranks ", first, " and ", r, " share a GPU");
  }
  const auto id = gather_texts(rank() == 0 ? call<std::string()>("astgnn::_ranks_gpu_id") : "")[0];
  const auto failures = gather_texts(call<std::string(std::string, std::string, double)>(
      "astgnn::_ranks_join_gpus", id, device.str(), 0.5 * options_.start_seconds));
  for (size_t r = 0; r < failures.size(); ++r)
    if (!failures[r].empty()) return c10::str("NCCL failed on rank ", r, ": ", failures[r]);
  gpu_ = device;
  return "";
}

void Ranks::leave(const std::string& reason) const {
  call<void(std::string)>("astgnn::_ranks_leave", reason);
}

Shares::Shares(int64_t slots, int64_t ranks)
    : slots_(slots), ranks_(ranks), subtree_(int64_t{1} << 62) {
  for (int64_t rank = 1; rank < ranks; ++rank) {
    const int64_t cut = begin(rank);
    if (cut > 0 && cut < slots) subtree_ = std::min(subtree_, cut & -cut);
  }
}

int64_t Shares::sums(int64_t rank) const {
  const int64_t own = end(rank) - begin(rank);
  return own == 0 ? 0 : (own - 1) / subtree_ + 1;
}

int64_t Shares::most_sums() const {
  int64_t most = 0;
  for (int64_t rank = 0; rank < ranks_; ++rank) most = std::max(most, sums(rank));
  return most;
}

}  // namespace astgnn::train
