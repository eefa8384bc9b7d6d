// JavaScript handles on C++ objects: a tagged object that owns a shared_ptr. Every method checks
// the tag first, so that a method called on a foreign `this` is an error and never a wrong cast.
#pragma once

#include <napi.h>

#include <initializer_list>
#include <memory>

#include "binding/jobs.h"

namespace astgnn::binding {

// Specialise: `static constexpr const char* name` and `static constexpr napi_type_tag tag`.
template <typename T>
struct HandleTraits;

struct Method {
  const char* name;
  Napi::Value (*call)(const Napi::CallbackInfo&);
  bool getter = false;
};

namespace detail {

template <typename T>
struct Slot {
  std::shared_ptr<T> value;  // null once disposed
  int64_t bytes;             // what V8 was told
};

inline napi_value invoke(napi_env env, napi_callback_info raw) {
  return Napi::details::WrapCallback(env, [&] {
    Napi::CallbackInfo info(env, raw);
    auto* method = static_cast<const Method*>(info.Data());
    return static_cast<napi_value>(guarded(info, [&] { return method->call(info); }));
  });
}

template <typename T>
Slot<T>* slot(Napi::Env env, Napi::Value value, const char* what) {
  bool tagged = false;
  void* data = nullptr;
  if (value.IsObject() &&
      napi_check_object_type_tag(env, value, &HandleTraits<T>::tag, &tagged) == napi_ok && tagged &&
      napi_unwrap(env, value, &data) == napi_ok) {
    return static_cast<Slot<T>*>(data);
  }
  throw BindingError("ERR_OPTION",
                     std::string("Expected a ") + HandleTraits<T>::name + " for " + what + ".");
}

}  // namespace detail

// Methods must live as long as the process (static arrays).
template <typename T, size_t N>
void define_handle(Napi::Env env, const Method (&methods)[N]) {
  std::vector<napi_property_descriptor> properties;
  for (const Method& method : methods) {
    napi_property_descriptor property{};
    property.utf8name = method.name;
    (method.getter ? property.getter : property.method) = detail::invoke;
    property.attributes = napi_default_method;
    property.data = const_cast<Method*>(&method);
    properties.push_back(property);
  }
  napi_value constructor;
  napi_status status = napi_define_class(
      env, HandleTraits<T>::name, NAPI_AUTO_LENGTH,
      [](napi_env e, napi_callback_info info) -> napi_value {
        napi_value self = nullptr;
        napi_get_cb_info(e, info, nullptr, nullptr, &self, nullptr);
        return self;  // an untagged object: useless without wrap(), harmless in every method
      },
      nullptr, properties.size(), properties.data(), &constructor);
  NAPI_THROW_IF_FAILED_VOID(env, status);
  Environment::of(env).constructors[HandleTraits<T>::name] =
      Napi::Persistent(Napi::Function(env, constructor));
}

// bytes: what the object holds outside V8's heap, so that its garbage collector knows.
template <typename T>
Napi::Object wrap(Napi::Env env, std::shared_ptr<T> value, int64_t bytes) {
  auto object = Environment::of(env).constructors.at(HandleTraits<T>::name).New({});
  auto* slot = new detail::Slot<T>{std::move(value), bytes};
  napi_status status = napi_type_tag_object(env, object, &HandleTraits<T>::tag);
  if (status == napi_ok) {
    status = napi_wrap(
        env, object, slot,
        [](napi_env e, void* data, void*) {
          auto* s = static_cast<detail::Slot<T>*>(data);
          int64_t total;
          if (s->bytes != 0) napi_adjust_external_memory(e, -s->bytes, &total);
          delete s;
        },
        nullptr, nullptr);
  }
  if (status != napi_ok) {
    delete slot;
    throw BindingError("ERR_INTERNAL", "A native handle could not be made.");
  }
  int64_t total;
  napi_adjust_external_memory(env, bytes, &total);
  return object;
}

template <typename T>
std::shared_ptr<T> unwrap(Napi::Env env, Napi::Value value, const char* what) {
  auto* slot = detail::slot<T>(env, value, what);
  if (!slot->value)
    throw BindingError("ERR_DISPOSED", std::string("This ") + HandleTraits<T>::name +
                                           " was disposed and can no longer be used.");
  return slot->value;
}

template <typename T>
std::shared_ptr<T> self(const Napi::CallbackInfo& info) {
  return unwrap<T>(info.Env(), info.This(), "this");
}

template <typename T>
Napi::Value is_disposed(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(),
                            detail::slot<T>(info.Env(), info.This(), "this")->value == nullptr);
}

// Idempotent. Jobs under way keep their own share of the object.
template <typename T>
Napi::Value dispose(const Napi::CallbackInfo& info) {
  auto* slot = detail::slot<T>(info.Env(), info.This(), "this");
  if (slot->value) {
    slot->value.reset();
    int64_t total;
    napi_adjust_external_memory(info.Env(), -slot->bytes, &total);
    slot->bytes = 0;
  }
  return info.Env().Undefined();
}

}  // namespace astgnn::binding
