#include "binding/jobs.h"

#include "binding/cut_files.h"

namespace astgnn::binding {

void Mailbox::post(Message* message) {
  std::lock_guard lock(mutex);
  if (function == nullptr ||
      napi_call_threadsafe_function(function, message, napi_tsfn_nonblocking) != napi_ok)
    delete message;
}

void Task::emit(std::function<Napi::Value(Napi::Env)> build) {
  refuse_cut_files();
  mailbox_->post(new Message{id_, std::move(build), nullptr});
}

void Task::finish(std::exception_ptr error) noexcept {
  try {
    if (!error) refuse_cut_files();
  } catch (...) {
    error = std::current_exception();
  }
  auto failure = error ? std::make_shared<Failure>(describe(error)) : nullptr;
  mailbox_->post(new Message{id_, nullptr, std::move(failure)});
}

std::atomic<ops::Precision>& wanted_precision() {
  static std::atomic<ops::Precision> wanted{ops::Precision::kDefault};
  return wanted;
}

Environment& Environment::of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

Environment::Environment(Napi::Env env) : env_(env), mailbox_(std::make_shared<Mailbox>()) {
  napi_value name = Napi::String::New(env, "astgnn");
  napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr,
                                                       nullptr, this, deliver, &mailbox_->function);
  NAPI_THROW_IF_FAILED_VOID(env, status);
  // An idle addon must not keep the process alive: referenced only while jobs are pending.
  napi_unref_threadsafe_function(env, mailbox_->function);
  train::Executor::instance().join_owner(this);
  napi_add_env_cleanup_hook(
      env, [](void* self) { static_cast<Environment*>(self)->shutdown(); }, this);
}

Environment::~Environment() { shutdown(); }

Napi::Promise Environment::start(std::shared_ptr<Task> task, Napi::Function on_event,
                                 std::vector<Napi::Object> hold) {
  if (closed_)
    throw BindingError("ERR_ABORTED", "This environment is shutting down: no new job starts.");
  refuse_cut_files();
  // An Error made now has the caller's stack, which is gone when the job fails.
  auto site = env_.Global().Get("Error").As<Napi::Function>().New({});
  Pending pending{task, Napi::Promise::Deferred::New(env_), {}, Napi::Persistent(site), {}};
  if (!on_event.IsEmpty()) pending.on_event = Napi::Persistent(on_event);
  for (auto& object : hold) pending.hold.push_back(Napi::Persistent(object));
  task->mailbox_ = mailbox_;
  task->id_ = next_id_++;
  task->owner = this;
  task->precision = wanted_precision();
  auto promise = pending.deferred.Promise();
  const auto at = pending_.emplace(task->id_, std::move(pending)).first;
  bool started = false;
  try {
    task->started();
    started = true;
    train::Executor::instance().submit(task);
  } catch (...) {
    if (started) task->settled();
    pending_.erase(at);
    throw;
  }
  if (pending_.size() == 1) napi_ref_threadsafe_function(env_, mailbox_->function);
  return promise;
}

void Environment::deliver(napi_env env, napi_value, void* context, void* data) {
  std::unique_ptr<Message> message(static_cast<Message*>(data));
  if (env == nullptr)
    return;  // the environment is being torn down: nothing of N-API may be touched
  static_cast<Environment*>(context)->handle(*message);
}

void Environment::handle(Message& message) {
  Napi::HandleScope scope(env_);
  auto at = pending_.find(message.id);
  if (at == pending_.end()) return;
  try {
    if (message.build) {
      if (!at->second.on_event.IsEmpty()) at->second.on_event.Call({message.build(env_)});
      return;
    }
    Pending pending = std::move(at->second);
    pending_.erase(at);
    if (pending_.empty() && !closed_) napi_unref_threadsafe_function(env_, mailbox_->function);
    pending.task->settled();
    settle(pending, message.failure.get());
  } catch (const Napi::Error& error) {
    // A callback that throws: lib/train guards its own, so nothing is lost by dropping this one.
    (void)error;
  }
}

void Environment::settle(Pending& pending, const Failure* failure) {
  try {
    if (failure == nullptr)
      pending.deferred.Resolve(pending.task->result(env_));
    else
      pending.deferred.Reject(to_js(env_, *failure, pending.site.Value()));
  } catch (const Napi::Error& error) {
    pending.deferred.Reject(error.Value());
  } catch (...) {
    pending.deferred.Reject(to_js(env_, describe(std::current_exception()), pending.site.Value()));
  }
}

void Environment::shutdown() {
  if (closed_) return;
  closed_ = true;
  train::Executor::instance().leave_owner(this);
  {
    std::lock_guard lock(mailbox_->mutex);
    napi_release_threadsafe_function(mailbox_->function, napi_tsfn_abort);
    mailbox_->function = nullptr;
  }
  for (auto& [id, pending] : pending_) pending.task->settled();
  pending_.clear();
}

}  // namespace astgnn::binding
