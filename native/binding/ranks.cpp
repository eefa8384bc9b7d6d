// The processes that train together, for JavaScript: one group per process, whose calls are jobs.
#include "train/ranks.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "binding/model_task.h"

namespace astgnn::binding {

namespace {

std::shared_ptr<train::Ranks>& group() {
  static std::shared_ptr<train::Ranks> joined;
  return joined;
}

class JoinTask : public Task {
 public:
  explicit JoinTask(train::RankOptions options) : options_(std::move(options)) { alone = true; }
  bool step() override {
    group_ = std::make_shared<train::Ranks>(options_);
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    group() = group_;
    return env.Undefined();
  }

 private:
  train::RankOptions options_;
  std::shared_ptr<train::Ranks> group_;
};

class GatherTask : public Task {
 public:
  explicit GatherTask(at::Tensor bytes) : bytes_(std::move(bytes)), group_(joined_ranks()) {
    alone = true;
  }
  bool step() override {
    all_ = group_->gather_all(bytes_);
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    auto list = Napi::Array::New(env, all_.size());
    for (size_t r = 0; r < all_.size(); ++r) {
      const size_t bytes = all_[r].nbytes();
      auto buffer = Napi::ArrayBuffer::New(env, bytes);
      if (bytes > 0) std::memcpy(buffer.Data(), all_[r].const_data_ptr(), bytes);
      list.Set(static_cast<uint32_t>(r), Napi::Uint8Array::New(env, bytes, buffer, 0));
    }
    return list;
  }

 private:
  at::Tensor bytes_;
  std::shared_ptr<const train::Ranks> group_;
  std::vector<at::Tensor> all_;
};

class ConnectGpusTask : public Task {
 public:
  explicit ConnectGpusTask(at::Device device) : device_(device) {
    alone = true;
    joined_ranks();
  }
  bool step() override {
    reason_ = group()->connect_gpus(device_);
    return false;
  }
  Napi::Value result(Napi::Env env) override { return Napi::String::New(env, reason_); }

 private:
  at::Device device_;
  std::string reason_;
};

class LeaveTask : public Task {
 public:
  explicit LeaveTask(std::string reason) : reason_(std::move(reason)), group_(joined_ranks()) {
    alone = true;
  }
  bool step() override {
    group_->leave(reason_);
    return false;
  }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::string reason_;
  std::shared_ptr<const train::Ranks> group_;
};

Napi::Value join_ranks(const Napi::CallbackInfo& info) {
  if (group()) throw BindingError("ERR_BUSY", "This process has joined others already.");
  const auto object = read_object(info[0], "options");
  train::RankOptions options;
  options.host = read_string(object.Get("host"), "host");
  options.port = read_integer(object.Get("port"), "port", 1, 65535);
  options.size = read_integer(object.Get("size"), "size", 2, 65536);
  options.rank = read_integer(object.Get("rank"), "rank", 0, options.size - 1);
  options.hosts = read_boolean(object.Get("hosts"), "hosts");
  options.prefix = read_string(object.Get("prefix"), "prefix");
  options.start_seconds = read_number(object.Get("startSeconds"), "startSeconds");
  options.step_seconds = read_number(object.Get("stepSeconds"), "stepSeconds");
  return Environment::of(info.Env()).start(std::make_shared<JoinTask>(std::move(options)), {}, {});
}

Napi::Value gather_from_ranks(const Napi::CallbackInfo& info) {
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    expected("a Uint8Array", "bytes", info[0]);
  const auto given = info[0].As<Napi::Uint8Array>();
  auto bytes = at::empty({static_cast<int64_t>(given.ByteLength())}, at::kByte);
  if (given.ByteLength() > 0)
    std::memcpy(bytes.mutable_data_ptr(), given.Data(), given.ByteLength());
  auto task = std::make_shared<GatherTask>(std::move(bytes));
  return Environment::of(info.Env()).start(task, {}, {});
}

Napi::Value connect_gpus_of_ranks(const Napi::CallbackInfo& info) {
  auto task = std::make_shared<ConnectGpusTask>(read_device(info[0], "device"));
  return Environment::of(info.Env()).start(task, {}, {});
}

Napi::Value leave_ranks(const Napi::CallbackInfo& info) {
  auto task = std::make_shared<LeaveTask>(read_string(info[0], "reason"));
  return Environment::of(info.Env()).start(task, {}, {});
}

const Method kRanksFunctions[] = {
    {"joinRanks", join_ranks},
    {"gatherFromRanks", gather_from_ranks},
    {"connectGpusOfRanks", connect_gpus_of_ranks},
    {"leaveRanks", leave_ranks},
};

}  // namespace

std::shared_ptr<const train::Ranks> joined_ranks() {
  if (!group()) throw BindingError("ERR_OPTION", "This process has joined no others.");
  return group();
}

void define_ranks(Napi::Env env, Napi::Object exports) {
  export_functions(env, exports, kRanksFunctions);
}

}  // namespace astgnn::binding
