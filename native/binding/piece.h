// What the torch-free exports are made of: a promise of work on a thread of libuv's, and the arrays
// that such work reads and writes where they lie. A piece of work holds on to them.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>

namespace astgnn::binding {

// A promise of what `work` makes on another thread; `finish` makes its value on JavaScript's.
class Piece : public Napi::AsyncWorker {
 public:
  using Finish = std::function<Napi::Value(Napi::Env)>;

  static Napi::Value start(const Napi::CallbackInfo& info, std::function<void()> work,
                           Finish finish) {
    auto* piece = new Piece(info, std::move(work), std::move(finish));
    const Napi::Promise promise = piece->deferred_.Promise();
    piece->Queue();
    return promise;
  }

 private:
  Piece(const Napi::CallbackInfo& info, std::function<void()> work, Finish finish)
      : Napi::AsyncWorker(info.Env(), "astgnn"),
        deferred_(info.Env()),
        work_(std::move(work)),
        finish_(std::move(finish)) {
    auto held = Napi::Array::New(info.Env(), info.Length());
    for (uint32_t i = 0; i < info.Length(); ++i) held.Set(i, info[i]);
    held_ = Napi::Persistent(held.As<Napi::Object>());
  }
  void Execute() override { work_(); }
  // Where the environment ends meanwhile nobody waits, and no value can be made.
  void OnWorkComplete(Napi::Env env, napi_status status) override {
    try {
      Napi::AsyncWorker::OnWorkComplete(env, status);
    } catch (const Napi::Error&) {
    }
  }
  void OnOK() override { deferred_.Resolve(finish_(Env())); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

  Napi::Promise::Deferred deferred_;
  std::function<void()> work_;
  Finish finish_;
  Napi::ObjectReference held_;
};

inline Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

// Null where the value is no typed array.
inline void* data_of(Napi::Value value) {
  if (!value.IsTypedArray()) return nullptr;
  void* data = nullptr;
  napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, &data, nullptr, nullptr);
  return data;
}

template <class T>
T* array(const Napi::Value& value) {
  return static_cast<T*>(data_of(value));
}

inline int64_t length_of(const Napi::Value& value) {
  return static_cast<int64_t>(value.As<Napi::TypedArray>().ElementLength());
}

inline int64_t integer(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }

}  // namespace astgnn::binding
