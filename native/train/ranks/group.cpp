// The processes that train together, as one group of c10d over Gloo, and their GPUs over NCCL. A
// library of its own: a LibTorch without c10d loads the core all the same. The core calls it by the
// names of its ops.
//
// Beside the group there is the store through which its members met. Whoever ends says so there, and
// whoever finds that somebody is gone asks there who still answers: a connection tells neither. A
// question to a store whose machine is gone takes as long as TCP tries, many minutes: one thread
// asks all the time, and the others look at when it last heard. GPUs that wait for one another see
// nothing at all: each rank counts in the store, and who waits long looks whether all still do.
#include <ATen/ops/empty.h>
#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/library.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "train/ranks/address.h"
#include "train/ranks/nccl.h"

namespace astgnn::ranks {
namespace {

using at::Tensor;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kSlice{250};    // how often a waiting rank looks at the store
constexpr milliseconds kAnswer{100};   // how often the thread that answers for a rank does
constexpr milliseconds kRollCall{900};  // how long ranks have to answer
constexpr milliseconds kStore{3000};    // and the store
constexpr milliseconds kLifeless{5000};  // how long a rank whose GPU is waited for need not count

std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

// The first sentence of what LibTorch says.
std::string reason_of(const std::exception& error) {
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  std::string text = of_torch ? of_torch->what_without_backtrace() : error.what();
  text = text.substr(0, text.find('\n'));
  // "[/pytorch/third_party/gloo/...cc:534] Connection closed by peer": the place is of no use here.
  if (const auto end = text.find("] "); text.rfind('[', 0) == 0 && end != std::string::npos)
    text = text.substr(end + 2);
  return text;
}

// TORCH_CPP_LOG_LEVEL is read once; without it c10d's attempts to connect fill the terminal.
void be_quiet() {
  const bool unset = getenv("TORCH_CPP_LOG_LEVEL") == nullptr;
  if (unset) setenv("TORCH_CPP_LOG_LEVEL", "FATAL", 0);
  c10::initLogging();
  if (unset) unsetenv("TORCH_CPP_LOG_LEVEL");
}

class Group {
 public:
  // hosts: the store is this process's; else rank 0's or the launcher's.
  Group(int64_t rank, int64_t size, bool hosts) : rank_(rank), size_(size), hosts_(hosts) {}

  // Meets the others.
  void start(const std::string& host, int64_t port, const std::string& prefix,
             double start_seconds) {
    const auto deadline = Clock::now() + seconds(start_seconds);
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = hosts_;
    options.timeout = seconds(start_seconds);
    options.waitWorkers = false;
    options.useLibUV = false;  // Node's symbols of libuv would be taken for LibTorch's
    if (hosts_) options.masterListenFd = listen_on(host, static_cast<int>(port));
    c10::intrusive_ptr<c10d::Store> store;
    try {
      store = c10::make_intrusive<c10d::TCPStore>(host, options);
    } catch (const std::exception& error) {
      TORCH_CHECK(false, "lost: rank ", rank_, " of ", size_, " found nobody at ", host, ":", port,
                  " within ", start_seconds, " s (", reason_of(error), ")");
    }
    store_ = c10::make_intrusive<c10d::PrefixStore>(prefix, store);
    say("here", "");
    answers_ = c10::make_intrusive<c10d::PrefixStore>(prefix, store->clone());
    thread_ = std::thread([this] { answer(); });
    for (;;) {
      const auto missing = without("here", "here");
      if (missing.empty()) break;
      refuse_if_ended();
      TORCH_CHECK(Clock::now() < deadline, "lost: ", names(missing), " of ", size_,
                  " did not start within ", start_seconds, " s");
      std::this_thread::sleep_for(milliseconds(50));
    }
    auto gloo = c10d::ProcessGroupGloo::Options::create();
    gloo->timeout = seconds(start_seconds);
    const auto own = local_address_towards(host, static_cast<int>(port));
    const char* interface = getenv("GLOO_SOCKET_IFNAME");
    gloo->devices.push_back(
        interface != nullptr ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
        : own.empty()        ? c10d::ProcessGroupGloo::createDefaultDevice()
                             : c10d::ProcessGroupGloo::createDeviceForHostname(own));
    guarded([&] {
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, static_cast<int>(rank_),
                                                           static_cast<int>(size_), gloo);
    });
  }

  // [size, bytes] of everybody's [bytes], which are equally many.
  Tensor gather(const Tensor& message, double limit) {
    TORCH_CHECK(message.is_contiguous() && message.is_cpu(), "a message is contiguous");
    auto all = at::empty({size_, message.numel()}, message.options());
    guarded([&] {
      std::vector<std::vector<Tensor>> outputs(1);
      for (int64_t r = 0; r < size_; ++r) outputs[0].push_back(all[r]);
      std::vector<Tensor> inputs{message};
      c10d::AllgatherOptions options;
      options.timeout = seconds(limit) + 2 * kSlice;
      const auto work = group_->allgather(outputs, inputs, options);
      const auto deadline = Clock::now() + seconds(limit);
      for (;;) {
        try {
          work->wait(kSlice);
          return;
        } catch (const std::exception&) {
          if (work->isCompleted()) throw;
        }
        if (broken_) throw std::runtime_error("another rank says so");
        if (Clock::now() > deadline)
          throw std::runtime_error("nothing came for " + std::to_string(limit).substr(0, 6) + " s");
      }
    });
    return all;
  }

  // Has the others meet on this GPU; why they cannot, or "". All make the call.
  std::string join_gpus(const std::string& id, at::Device device, double limit) {
    answers_count_ = true;
    // NCCL has no limit of its own: a rank that fails here leaves the others waiting for it.
    auto meeting = std::make_shared<std::promise<std::unique_ptr<Nccl>>>();
    auto met = meeting->get_future();
    std::thread([=, rank = rank_, size = size_] {
      try {
        meeting->set_value(std::make_unique<Nccl>(device, id, rank, size));
      } catch (...) {
        meeting->set_exception(std::current_exception());
      }
    }).detach();
    if (met.wait_for(seconds(limit)) != std::future_status::ready)
      return "it did not start within " + std::to_string(limit).substr(0, 6) + " s";
    try {
      nccl_ = met.get();
      return "";
    } catch (const std::exception& error) {
      return reason_of(error);
    }
  }

  // The same as gather, among GPUs.
  Tensor gather_on_gpus(const Tensor& message, double limit) {
    TORCH_CHECK(nccl_ && message.is_contiguous(), "the GPUs have not met");
    Tensor all;
    guarded([&] {
      const auto begin = Clock::now(), deadline = begin + seconds(limit);
      all = nccl_->gather(message, [&] {
        const auto now = Clock::now();
        if (broken_) throw std::runtime_error("another rank says so");
        if (now > deadline)
          throw std::runtime_error("nothing came for " + std::to_string(limit).substr(0, 6) + " s");
        if (now - begin < kSlice) return;
        waits_ = true;
        if (lost_store_ || now - std::max(begin, heard_.load()) > kStore)
          throw std::runtime_error("the store is silent");
        if (lifeless_) throw std::runtime_error("no sign of life for 5 s");
      });
      waits_ = false;
    });
    return all;
  }

  // The store's host stays until the others know, so that nobody asks in vain.
  void leave(const std::string& reason) {
    if (left_.exchange(true) || !store_ || store_is_gone_) return;
    try {
      say("ended", reason);
      if (!reason.empty()) store_->set("broken", reason);
      const auto until = Clock::now() + milliseconds(reason.empty() ? 10000 : 2000);
      while (hosts_ && Clock::now() < until && !without("ended", "silent").empty())
        std::this_thread::sleep_for(milliseconds(20));
    } catch (const std::exception&) {
      // The store is gone, and with it whoever would want to know.
    }
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
    if (nccl_) nccl_->abort();
    nccl_ = nullptr;
  }

 private:
  static milliseconds seconds(double s) { return milliseconds(static_cast<int64_t>(1000 * s)); }

  void say(const std::string& what, const std::string& text) {
    store_->set(what + "/" + std::to_string(rank_), text);
  }

  // Ranks of which neither is there.
  std::vector<int64_t> without(const std::string& what, const std::string& other = "ended") {
    std::vector<int64_t> missing;
    for (int64_t r = 0; r < size_; ++r) {
      const auto of_rank = "/" + std::to_string(r);
      if (!store_->check({what + of_rank}) && !store_->check({other + of_rank}))
        missing.push_back(r);
    }
    return missing;
  }

  static std::string names(const std::vector<int64_t>& ranks) {
    std::string text = ranks.size() == 1 ? "rank " : "ranks ";
    for (size_t i = 0; i < ranks.size(); ++i)
      text += (i == 0 ? "" : ", ") + std::to_string(ranks[i]);
    return text;
  }

  void refuse_if_ended() {
    for (int64_t r = 0; r < size_; ++r) {
      const auto key = "ended/" + std::to_string(r);
      if (r == rank_ || !store_->check({key})) continue;
      const auto why = text_of(store_->get(key));
      TORCH_CHECK(false, "lost: rank ", r, " has ended", why.empty() ? "" : ": ", why);
    }
  }

  // Does what needs the others. Where it fails, finds out who is missing.
  template <typename F>
  void guarded(F&& work) {
    TORCH_CHECK(!dead_, "lost: ", dead_.value_or(""));
    std::string reason;
    try {
      work();
      return;
    } catch (const std::exception& error) {
      reason = reason_of(error);
    }
    waits_ = false;
    if (nccl_) nccl_->abort();
    nccl_ = nullptr;
    dead_ = roll_call(reason);
    TORCH_CHECK(false, "lost: ", *dead_);
  }

  // Whether the thread that asks has heard from the store since now, or had what it asks for.
  bool store_answers() const {
    const auto now = Clock::now(), until = now + kStore;
    while (!broken_ && heard_.load() < now) {
      if (lost_store_ || Clock::now() > until) return false;
      std::this_thread::sleep_for(milliseconds(20));
    }
    return true;
  }

  std::string nobody_at_store(const std::string& reason) {
    store_is_gone_ = true;
    return (hosts_ ? std::string("the store") : std::string("rank 0 or the launcher")) +
           " does not answer (" + reason + ")";
  }

  std::string roll_call(const std::string& reason) {
    if (!store_answers()) return nobody_at_store(reason);
    try {
      if (!store_->check({"broken"})) store_->set("broken", reason);
      const auto until = Clock::now() + kRollCall;
      std::vector<int64_t> silent;
      store_->set("alive/" + std::to_string(rank_), std::string());
      do {
        std::this_thread::sleep_for(milliseconds(20));
        silent = without("alive");
      } while (!silent.empty() && Clock::now() < until);
      for (const int64_t r : silent) store_->set("silent/" + std::to_string(r), std::string());
      for (int64_t r = 0; r < size_; ++r) {
        const auto key = "ended/" + std::to_string(r);
        if (r == rank_ || !store_->check({key})) continue;
        const auto why = text_of(store_->get(key));
        if (!why.empty()) return "rank " + std::to_string(r) + " has ended: " + why;
      }
      if (!silent.empty()) return names(silent) + " does not answer (" + reason + ")";
      return "some rank did not come to the same step (" + reason + ")";
    } catch (const std::exception&) {
      return nobody_at_store(reason);
    }
  }

  // On a thread of its own: a rank that computes is alive too.
  void answer() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kAnswer, [this] { return stop_; })) {
      lock.unlock();
      bool done = false;
      try {
        if (answers_->check({"broken"})) {
          answers_->set("alive/" + std::to_string(rank_), std::string());
          broken_ = done = true;
        }
        if (answers_count_) count();
        heard_ = Clock::now();
      } catch (const std::exception&) {
        lost_store_ = done = true;
      }
      lock.lock();
      if (done) return;
    }
  }

  // Shows that this rank lives; where its GPU waits, looks whether the others do.
  void count() {
    const auto count_of = [](int64_t r) { return "count/" + std::to_string(r); };
    answers_->set(count_of(rank_), std::to_string(++count_));
    if (!waits_) return counts_.clear();
    const auto now = Clock::now();
    if (counts_.empty()) counts_.resize(static_cast<size_t>(size_), {"", now});
    for (int64_t r = 0; r < size_; ++r) {
      auto& [last, moved] = counts_[static_cast<size_t>(r)];
      auto text = answers_->check({count_of(r)}) ? text_of(answers_->get(count_of(r))) : "";
      if (text != last) moved = now;
      last = std::move(text);
      if (now - moved > kLifeless) lifeless_ = true;
    }
  }

  int64_t rank_, size_;
  bool hosts_;
  c10::intrusive_ptr<c10d::Store> store_, answers_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
  std::unique_ptr<Nccl> nccl_;
  std::atomic<bool> answers_count_ = false, waits_ = false, lifeless_ = false;
  int64_t count_ = 0;  // these two are the thread's
  std::vector<std::pair<std::string, Clock::time_point>> counts_;
  std::optional<std::string> dead_;
  std::atomic<bool> left_ = false, broken_ = false, lost_store_ = false, store_is_gone_ = false;
  std::atomic<Clock::time_point> heard_ = Clock::time_point();
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
};

// Never destroyed: that waits for operations which will not end where a rank is gone.
Group* group = nullptr;

Group& joined() {
  TORCH_CHECK(group != nullptr, "this process has joined no others");
  return *group;
}

void join(std::string host, int64_t port, int64_t rank, int64_t size, bool hosts,
          std::string prefix, double start_seconds) {
  TORCH_CHECK(group == nullptr, "this process has joined others already");
  be_quiet();
  group = new Group(rank, size, hosts);
  try {
    group->start(host, port, prefix, start_seconds);
  } catch (const std::exception& error) {
    group->leave(reason_of(error));
    throw;
  }
}

Tensor gather(const Tensor& message, double seconds) { return joined().gather(message, seconds); }

Tensor gather_on_gpus(const Tensor& message, double seconds) {
  return joined().gather_on_gpus(message, seconds);
}

std::string join_gpus(std::string id, std::string device, double seconds) {
  return joined().join_gpus(id, at::Device(device), seconds);
}

std::string gpu_address(std::string device) { return address_of_gpu(at::Device(device)); }

void leave(std::string reason) {
  if (group != nullptr) group->leave(reason);
}

}  // namespace
}  // namespace astgnn::ranks

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def(
      "_ranks_join(str host, int port, int rank, int size, bool hosts, str prefix, float "
      "start_seconds) -> ()",
      TORCH_FN(astgnn::ranks::join));
  m.def("_ranks_gather(Tensor message, float seconds) -> Tensor");
  m.def("_ranks_leave(str reason) -> ()", TORCH_FN(astgnn::ranks::leave));
  m.def("_ranks_gpu_address(str device) -> str", TORCH_FN(astgnn::ranks::gpu_address));
  m.def("_ranks_gpu_id() -> str", TORCH_FN(astgnn::ranks::Nccl::make_id));
  m.def("_ranks_join_gpus(str id, str device, float seconds) -> str",
        TORCH_FN(astgnn::ranks::join_gpus));
}

TORCH_LIBRARY_IMPL(astgnn, CPU, m) { m.impl("_ranks_gather", TORCH_FN(astgnn::ranks::gather)); }
TORCH_LIBRARY_IMPL(astgnn, CUDA, m) {
  m.impl("_ranks_gather", TORCH_FN(astgnn::ranks::gather_on_gpus));
}
