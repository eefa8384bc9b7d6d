// Jobs of one environment: JavaScript promises over the process's compute thread.
//
// N-API objects live on the environment's thread only. A task holds none: its promise, callback and
// held handles wait in the environment's table, and the compute thread only posts the task's number
// through one thread-safe function.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "binding/errors.h"
#include "train/executor.h"

namespace astgnn::binding {

// One message from the compute thread: build an event, or (no build) the task is done.
struct Message {
  uint64_t id;
  std::function<Napi::Value(Napi::Env)> build;
  std::shared_ptr<Failure> failure;
};

// What the compute thread may touch of an environment: closed before the environment is gone.
struct Mailbox {
  std::mutex mutex;
  napi_threadsafe_function function = nullptr;
  void post(Message* message);
};

// A job whose result is built on the environment's thread.
class Environment;

class Task : public train::Job {
 public:
  // After success, on the environment's thread.
  virtual Napi::Value result(Napi::Env env) = 0;
  // On the environment's thread, before the first step: takes marks (busy), or throws.
  virtual void started() {}
  // On the environment's thread, whatever the outcome: gives back what started took.
  virtual void settled() {}

  void finish(std::exception_ptr error) noexcept final;

 protected:
  // From the compute thread: calls the job's callback with what `build` makes. Throws where a file
  // that is mapped was cut.
  void emit(std::function<Napi::Value(Napi::Env)> build);

 private:
  friend class Environment;
  std::shared_ptr<Mailbox> mailbox_;
  uint64_t id_ = 0;
};

// Of jobs submitted from now on, in every environment of the process.
std::atomic<ops::Precision>& wanted_precision();

class Environment {
 public:
  explicit Environment(Napi::Env env);
  ~Environment();
  static Environment& of(Napi::Env env);

  // Starts the task; returns its promise. Values in `hold` live until it is settled.
  Napi::Promise start(std::shared_ptr<Task> task, Napi::Function on_event,
                      std::vector<Napi::Object> hold);
  // Cancels this environment's jobs and waits for the step in hand. Later starts are refused.
  void shutdown();

  Napi::FunctionReference error_factory;
  std::unordered_map<std::string, Napi::FunctionReference> constructors;

 private:
  struct Pending {
    std::shared_ptr<Task> task;
    Napi::Promise::Deferred deferred;
    Napi::FunctionReference on_event;
    Napi::ObjectReference site;
    std::vector<Napi::ObjectReference> hold;
  };

  static void deliver(napi_env env, napi_value, void* context, void* data);
  void handle(Message& message);
  void settle(Pending& pending, const Failure* failure);

  Napi::Env env_;
  std::shared_ptr<Mailbox> mailbox_;
  std::unordered_map<uint64_t, Pending> pending_;
  uint64_t next_id_ = 1;
  bool closed_ = false;
};

}  // namespace astgnn::binding
