// Convex programmes. The job reads JavaScript's arrays where they lie.
#include <ATen/ops/empty.h>

#include "binding/held.h"
#include "binding/model_task.h"
#include "solver/solver.h"

namespace astgnn::binding {

namespace {

#ifdef ASTGNN_SOLVER

const char* const kStatus[] = {"solved",    "inaccurate", "infeasible", "unbounded", "iterations",
                               "timeLimit", "stopped",    "failed"};

class SolveTask : public Task {
 public:
  SolveTask(AstgnnProgramme programme, std::vector<AstgnnCone> cones)
      : programme_(programme), cones_(std::move(cones)) {}
  bool step() override {
    x_ = at::empty({programme_.variables}, at::kDouble);
    z_ = at::empty({programme_.constraints}, at::kDouble);
    solution_.x = x_.mutable_data_ptr<double>();
    solution_.z = z_.mutable_data_ptr<double>();
    programme_.cone = cones_.data();
    programme_.cones = static_cast<int32_t>(cones_.size());
    programme_.stop = [](void* job) -> int32_t {
      return static_cast<SolveTask*>(job)->is_cancelled() ? 1 : 0;
    };
    programme_.stop_data = this;
    status_ = astgnn_solve(&programme_, &solution_);
    if (status_ == 6) throw train::Cancelled();
    if (status_ >= 8)
      throw BindingError("ERR_INTERNAL", status_ == 8
                                             ? "The solver was given what is no programme."
                                             : "The solver of convex programmes failed.");
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    auto object = Napi::Object::New(env);
    object.Set("status", kStatus[status_]);
    object.Set("x", hand_over(env, std::move(x_)));
    object.Set("z", hand_over(env, std::move(z_)));
    object.Set("objective", solution_.objective);
    object.Set("dualObjective", solution_.dual_objective);
    object.Set("iterations", solution_.iterations);
    return object;
  }

 private:
  AstgnnProgramme programme_;
  std::vector<AstgnnCone> cones_;
  AstgnnSolution solution_{};
  at::Tensor x_, z_;
  int32_t status_ = 0;
};

AstgnnMatrix read_matrix(Held& data, const char* starts, const char* rows, const char* values,
                         int64_t columns, int64_t row_count) {
  AstgnnMatrix matrix{};
  matrix.starts = data.required<int32_t>(starts, columns + 1);
  const int64_t count = matrix.starts[columns];
  for (int64_t j = 0; j < columns; ++j)
    if (matrix.starts[j] < 0 || matrix.starts[j] > matrix.starts[j + 1])
      throw BindingError("ERR_SHAPE", std::string("Expected ascending numbers for ") + starts);
  matrix.rows = data.required<int32_t>(rows, count);
  matrix.values = data.required<double>(values, count);
  for (int64_t i = 0; i < count; ++i)
    if (matrix.rows[i] < 0 || matrix.rows[i] >= row_count)
      throw BindingError("ERR_SHAPE", std::string("Expected rows of the matrix for ") + rows);
  return matrix;
}

Napi::Value solve(const Napi::CallbackInfo& info) {
  Held data(info[0], "programme");
  AstgnnProgramme programme{};
  const int64_t n = data.integer("variables", 1), m = data.integer("constraints", 0);
  programme.variables = static_cast<int32_t>(n);
  programme.constraints = static_cast<int32_t>(m);
  programme.p = read_matrix(data, "pStarts", "pRows", "pValues", n, n);
  programme.q = data.required<double>("q", n);
  programme.a = read_matrix(data, "aStarts", "aRows", "aValues", n, m);
  programme.b = data.required<double>("b", m);
  const int64_t count = data.integer("cones", 0);
  const auto* kinds = data.required<int32_t>("coneKinds", count);
  const auto* sizes = data.required<int32_t>("coneSizes", count);
  std::vector<AstgnnCone> cones(count);
  int64_t covered = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (kinds[i] < 0 || kinds[i] > 2 || sizes[i] < 1)
      throw BindingError("ERR_SHAPE", "Expected kinds from 0 to 2 and sizes from 1 for cones.");
    cones[i] = {kinds[i], sizes[i]};
    covered += sizes[i];
  }
  if (covered != m) throw BindingError("ERR_SHAPE", "The cones must cover every constraint.");
  programme.tolerance = read_number(data.get("tolerance"), "tolerance");
  programme.time_limit_s = read_number(data.get("timeLimitMs"), "timeLimitMs") / 1000;
  programme.iterations = static_cast<int32_t>(data.integer("iterations", 1));
  auto task = std::make_shared<SolveTask>(programme, std::move(cones));
  return job_to_js(info.Env(), task, Environment::of(info.Env()).start(task, {}, data.take()));
}

#else

Napi::Value solve(const Napi::CallbackInfo&) {
  throw BindingError("ERR_SOLVER_MISSING",
                     "This build of astgnn has no solver of convex programmes.");
}

#endif

const Method kSolveFunctions[] = {{"solve", solve}};

}  // namespace

void define_solve(Napi::Env env, Napi::Object exports) {
  export_functions(env, exports, kSolveFunctions);
#ifdef ASTGNN_SOLVER
  exports.Set("hasSolver", true);
#else
  exports.Set("hasSolver", false);
#endif
}

}  // namespace astgnn::binding
