// Steps that are captured once and replayed on other batches are the steps as they stand: in what
// they compute, in what they leave alone, and in how they fail.
#include "train/step_graph.h"

#include <atomic>
#include <cstdlib>

#include "check.h"
#include "cuda_library.h"
#include "small_model.h"
#include "small_panel.h"
#include "train/session.h"

namespace {

using at::Tensor;
using namespace astgnn;
using train::Panel;
using train::Session;
using train::Term;

using Dates = std::vector<int64_t>;

const at::Device kCpu(at::kCPU), kDevice(at::kCUDA, 0);
std::atomic<long>*waits, *launches;  // of an emulated device

constexpr int64_t kDays = 12, kUnlabelled = 5, kEmpty = 6, kFlat = 7, kBroken = 11;

// Days of 10 to 45 stocks: two of them are up to 64 rows or up to 128. No stock on kEmpty, no
// label on kUnlabelled, one for all on kFlat.
std::shared_ptr<Panel> growing_panel(at::Device device, bool broken = false, int32_t kStocks = 48) {
  at::manual_seed(8);
  auto panel = std::make_shared<Panel>();
  panel->window = 3;
  panel->features = at::randn({kDays, kStocks, 5});
  panel->targets = at::randn({kDays, kStocks, 2});
  panel->targets.index_put_({at::rand({kDays, kStocks, 2}) < 0.1}, at::scalar_tensor(NAN));
  panel->targets[kUnlabelled].fill_(NAN);
  panel->targets[kFlat].fill_(0.5);
  std::vector<int32_t> offsets{0}, stocks;
  for (int64_t date = 0; date < kDays; ++date) {
    const auto in = at::rand({kStocks}) < 0.1 + 0.07 * static_cast<double>(date);
    for (int32_t stock = 0; stock < kStocks && date >= 2 && date != kEmpty; ++stock)
      if (in[stock].item<bool>()) stocks.push_back(stock);
    offsets.push_back(static_cast<int32_t>(stocks.size()));
  }
  panel->row_offsets = at::tensor(offsets, at::kInt);
  panel->row_stocks = at::tensor(stocks, at::kInt);
  panel->groups = panel->row_stocks.remainder(3).to(at::kInt);
  if (broken) panel->features[kBroken] *= NAN;  // the last day's alone to see
  panel->prepare(device);
  return panel;
}

std::vector<Term> terms_of(const std::vector<const char*>& names) {
  std::vector<Term> terms;
  for (const char* name : names) {
    Term term;
    term.name = name;
    term.weight = 0.5;
    term.horizon_days = 2;
    if (name == std::string("ic") || name == std::string("mse"))
      term.predictions = term.horizons = {0};
    terms.push_back(term);
  }
  return terms;
}

Session session_on(const std::shared_ptr<Panel>& panel, at::ScalarType dtype = at::kDouble,
                   const std::vector<const char*>& names = {"ic", "mse"}) {
  const auto model = small_model();
  model->to(panel->device(), dtype);
  Session session(model, panel, terms_of(names), {}, 3);
  session.exact = false;  // a graph holds one backward
  return session;
}

Session capturing_session(const std::shared_ptr<Panel>& panel, at::ScalarType dtype = at::kDouble) {
  Session session = session_on(panel, dtype);
  check::that(!session.capture_steps(), "such steps can be captured");
  return session;
}

// Another one for each step, exact in float32.
double rate_of(size_t step) { return static_cast<double>(1 + step % 5) / 256; }

std::vector<train::Step> run(Session& session, const std::vector<Dates>& steps, size_t first = 0) {
  std::vector<train::Step> done;
  const auto take = [&](std::vector<train::Step> some) {
    std::move(some.begin(), some.end(), std::back_inserter(done));
    return !some.empty();
  };
  for (size_t i = first; i < steps.size(); ++i) take(session.advance(steps[i], rate_of(i)));
  while (take(session.finish())) continue;
  return done;
}

// Batches within a bucket and in another, of one to three dates, with terms that are not defined,
// without a term, and without a stock.
const std::vector<Dates> kSteps = {
    {2, 3},  {3, 4}, {2, kUnlabelled}, {9, 10},       {8, 9}, {4, 3},
    {10, 8}, {4},    {kEmpty},         {kUnlabelled}, {3},    {kFlat, 2},
    {kFlat}, {9, 8}, {kFlat},          {kFlat},       {2, 4}, {2, 3, kEmpty},
    {4, 2},  {8},    {10, 9, 4},       {9, 8, 3},     {10},   {4, 10, 8}};

void same_steps(const std::vector<train::Step>& got, const std::vector<train::Step>& wanted,
                double tolerance, const std::string& behaviour) {
  check::that(got.size() == wanted.size(), behaviour + ": every step ends");
  const auto near = [&](double a, double b) {
    return std::isnan(a) ? std::isnan(b) : std::abs(a - b) <= tolerance * (1 + std::abs(b));
  };
  for (size_t i = 0; i < got.size(); ++i) {
    const auto &a = got[i], &b = wanted[i];
    bool same = a.step == b.step && a.updated == b.updated && a.rows == b.rows &&
                a.undefined == b.undefined && near(a.loss, b.loss) &&
                near(a.gradient_norm, b.gradient_norm) && a.terms.size() == b.terms.size();
    for (size_t t = 0; same && t < a.terms.size(); ++t) same = near(a.terms[t], b.terms[t]);
    check::that(same, behaviour + ": step " + std::to_string(b.step));
  }
}

void same_state(const Session& got, const Session& wanted, double tolerance,
                const std::string& behaviour) {
  const auto a = got.state(), b = wanted.state();
  for (size_t i = 0; i < b.size(); ++i) {
    const auto off = (a[i].second.cpu() - b[i].second.cpu()).abs().max().item<double>();
    check::that(off <= tolerance,
                behaviour + ": " + b[i].first + " is off by " + std::to_string(off));
  }
}

// The steps in a session each, which never sees a shape twice: as they stand, filled up.
void equals_steps_as_they_stand() {
  constexpr auto dtype = at::kFloat;
  const auto panel = growing_panel(kDevice);
  Session captured = capturing_session(panel, dtype);
  const auto got = run(captured, kSteps);
  auto last = std::make_unique<Session>(capturing_session(panel, dtype));
  std::vector<train::Step> wanted;
  for (size_t i = 0; i < kSteps.size(); ++i) {
    auto next = std::make_unique<Session>(capturing_session(panel, dtype));
    next->load_state(last->state(), last->steps, last->optimizer().updates);
    wanted.push_back(next->step(kSteps[i], rate_of(i)));
    last = std::move(next);
  }
  // Libraries may choose other algorithms in a capture.
  const double tolerance = launches != nullptr ? 0 : 1e-4;
  const std::string behaviour = "replays are steps";
  same_steps(got, wanted, tolerance, behaviour);
  same_state(captured, *last, tolerance, behaviour);
}

void equals_steps_without_filler() {
  const auto panel = growing_panel(kDevice);
  Session captured = capturing_session(panel), plain = session_on(panel);
  const auto got = run(captured, kSteps), wanted = run(plain, kSteps);
  // Sums over more rows have their terms in other groups.
  same_steps(got, wanted, 1e-9, "filler changes nothing");
  same_state(captured, plain, 1e-9, "filler changes nothing");
}

// The terms of M that are computed on all dates at once, on a panel whose returns are known for
// long enough; the last date's lie beyond the panel, and the panel of the second run has no
// targets.
void captures_co_movement() {
  constexpr int64_t kHistory = 22;
  for (const bool alone : {false, true}) {
    at::manual_seed(8);
    auto panel = std::make_shared<Panel>(small_panel(3, 5, kHistory));
    if (alone) panel->targets = Tensor();
    panel->prepare(kDevice);
    const std::vector<const char*> names =
        alone ? std::vector{"coMovement"} : std::vector{"ic", "coMovement"};
    Session captured = session_on(panel, at::kDouble, names),
            plain = session_on(panel, at::kDouble, names);
    check::that(!captured.capture_steps(), "co-movement can be captured");
    std::vector<Dates> steps{{2, 3}, {3, 4}, {4, 2}, {7, 8}, {8}, {8, 3}, {8}, {8, 4}, {3, 5}};
    for (auto& dates : steps)
      for (auto& date : dates) date += kHistory;
    const auto got = run(captured, steps), wanted = run(plain, steps);
    same_steps(got, wanted, 1e-9, "co-movement in a graph");
    same_state(captured, plain, 1e-9, "co-movement in a graph");
    check::that(wanted[3].undefined.back() == 2 && wanted[2].undefined.back() == 0,
                "two dates have no two days ahead");
  }
}

void resumes() {
  const auto panel = growing_panel(kDevice);
  Session whole = capturing_session(panel), cut = capturing_session(panel),
          resumed = capturing_session(panel);
  run(whole, kSteps);
  const std::vector<Dates> first(kSteps.begin(), kSteps.begin() + 9);
  run(cut, first);
  // In place, under graphs that are there already.
  run(resumed, {{2, 3}, {3, 4}, {2, 5}});
  resumed.load_state(cut.state(), cut.steps, cut.optimizer().updates);
  run(resumed, kSteps, first.size());
  same_state(resumed, whole, launches != nullptr ? 0 : 1e-10, "a resumed run");
  check::that(
      resumed.steps == whole.steps && resumed.optimizer().updates == whole.optimizer().updates,
      "its counts are the whole run's");
}

void launches_once() {
  Session session = capturing_session(growing_panel(kDevice));
  run(session, {{2, 3}, {3, 4}});
  const long waited = *waits, before = *launches;
  run(session, {{2, 5}});
  const long count = *launches - before;
  std::printf("a replayed step is %ld launches\n", count);
  // Four blocks to the device, each on to where the graph reads it, the graph, and its numbers.
  check::that(count == 10,
              "a replayed step is 10 launches, but there were " + std::to_string(count));
  check::that(*waits == waited, "and the host waits for none");
}

// The broken date comes first in its shape, or is captured, or replayed; with steps behind it under
// way, or waited for.
void stops_the_same_way(size_t failing, bool late) {
  std::vector<Dates> steps = {{9, 10}, {10, 8}, {9, 8}, {8, 9}, {10, 9}, {8, 10}};
  steps[failing] = {10, kBroken};
  const auto panel = growing_panel(kDevice, /*broken=*/true);
  Session captured = capturing_session(panel), plain = session_on(panel),
          before = capturing_session(panel);
  run(before, {steps.begin(), steps.begin() + static_cast<int64_t>(failing)});
  const auto stop = [&](Session& session) {
    try {
      for (size_t i = 0; i < steps.size(); ++i)
        late ? (void)session.advance(steps[i], rate_of(i))
             : (void)session.step(steps[i], rate_of(i));
      while (!session.finish().empty()) continue;
    } catch (const train::NotFinite& failure) {
      return std::string(failure.what());
    }
    return std::string("nothing");
  };
  const auto got = stop(captured), wanted = stop(plain);
  check::that(got == wanted && wanted != "nothing",
              "a NaN stops it with \"" + wanted + "\", and it says \"" + got + "\"");
  check::that(captured.steps == static_cast<int64_t>(failing) &&
                  captured.optimizer().updates == before.optimizer().updates,
              "the step is not counted");
  same_state(captured, before, launches != nullptr ? 0 : 1e-10, "all is as before that step");
  check::that(captured.step({2, 3}, 1e-2).updated, "and the session goes on");
}

void keeps_a_few_graphs() {
  const auto panel = growing_panel(kDevice);
  Session captured = capturing_session(panel), plain = session_on(panel);
  const auto dates_of = [](size_t count) {
    Dates dates(count, kEmpty);
    dates[0] = 2;
    return dates;
  };
  std::vector<Dates> steps;
  for (int repeat = 0; repeat < 3; ++repeat)
    for (size_t count = 1; count <= 18; ++count) steps.push_back(dates_of(count));
  const auto got = run(captured, steps), wanted = run(plain, steps);
  same_steps(got, wanted, 1e-9, "eighteen shapes");
  if (launches == nullptr) return;
  const auto cost = [&](size_t count) {
    const long before = *launches;
    run(captured, {dates_of(count)});
    return *launches - before;
  };
  check::that(cost(16) == 10 && cost(17) > 100, "sixteen shapes are captured");
}

void says_why_not() {
  const auto refuses = [&](const char* reason, const std::shared_ptr<Panel>& panel,
                           const std::shared_ptr<nn::ASTGNNFactorModel>& model,
                           const std::vector<const char*>& names = {"ic"}) {
    model->to(panel->device(), at::kFloat);
    Session session(model, panel, terms_of(names), {}, 3);
    session.exact = false;
    const auto given = session.capture_steps();
    check::that(given && given->find(reason) != std::string::npos,
                std::string("steps are not captured: ") + reason);
    const auto done = run(session, {{2, 3}, {2, 3}, {2, 3}});
    check::that(done.size() == 3 && done[2].updated, "and are taken as they stand");
  };
  const auto panel_of = [](Panel::Graph graph) {
    auto panel = growing_panel(kDevice);
    panel->graph = graph;
    panel->edge_source = panel->edge_target = panel->edge_from = panel->edge_to =
        at::zeros({1}, at::kInt);
    panel->features = panel->features.cpu();
    panel->prepare(kDevice);
    return panel;
  };
  const auto model_with = [](auto change) {
    auto config = small_model()->config;
    change(config);
    return std::make_shared<nn::ASTGNNFactorModel>(config, 2);
  };
  const auto complete = growing_panel(kDevice);
  refuses("computes on cpu", growing_panel(kCpu), small_model());
  refuses("norm \"batch\"", complete, small_model("batch"));
  refuses("topK", complete, model_with([](nn::Config& config) { config.top_k = 3; }));
  refuses("graph", complete,
          model_with([](nn::Config& config) { config.similarity_graph = "groups"; }));
  refuses("graph", panel_of(Panel::Graph::kGroups), small_model());
  refuses("graph", panel_of(Panel::Graph::kEdges), small_model());
  refuses("\"vif\"", complete, small_model(), {"ic", "vif"});
  Session profiled = session_on(complete);
  profiled.profile = true;
  check::that(profiled.capture_steps().has_value(),
              "steps whose blocks are timed are not captured");
}

// Dates of 400 to 500 stocks, whose graph is a matrix each.
void takes_matrices() {
  const auto panel = growing_panel(kDevice, false, 600);
  Session captured = capturing_session(panel), plain = session_on(panel);
  const std::vector<Dates> steps = {{9, 10}, {10, 9}, {9, 10}, {8, 10}, {8, 9}, {10, 8}};
  same_steps(run(captured, steps), run(plain, steps), 1e-9, "with many stocks");
  same_state(captured, plain, 1e-9, "with many stocks");
}

// A step that a capture forbids is taken without one, as are all steps after it.
void goes_on_without_graphs() {
  const auto panel = growing_panel(kDevice);
  const auto model = small_model();
  model->to(kDevice, at::kFloat);
  auto batch = train::pack(*panel, Dates{2, 3}, at::kFloat, 3, 1, 64);
  batch.batch = model->with_segments(batch.batch);
  const Tensor numbers = at::zeros({3}, at::TensorOptions(kDevice).dtype(at::kDouble)),
               total = at::zeros({}, numbers.options());
  int64_t calls = 0;
  const auto work = [&](bool looks) {
    return [&, looks](const train::PackedBatch&, const Tensor& given) {
      ++calls;
      total.add_(given[0] + 1);
      if (looks) (void)total.item<double>();
      return total + 0;
    };
  };
  const train::StepGraphs::Shape one{64, 2, {true}}, other{64, 2, {false}};
  train::StepGraphs failing(kDevice), graphs(kDevice);
  for (const auto& shape : {other, other, one}) failing.run(shape, batch, numbers, work(false));
  check::that(!failing.take_failure(), "a capture that succeeds is no failure");
  calls = 0;
  Tensor result = failing.run(one, batch, numbers, work(true));
  check::near(result.item<double>(), 4, 0, "a step whose capture fails counts once");
  check::that(calls == 2, "its work is done anew");
  const auto reason = failing.take_failure();
  check::that(reason && reason->find("captur") != std::string::npos && !failing.take_failure(),
              "the reason is given once: " + reason.value_or("none"));
  for (int i = 0; i < 2; ++i) failing.run(other, batch, numbers, work(false));
  check::that(calls == 4, "no later step is captured, nor replayed");
  for (int i = 0; i < 2; ++i) graphs.run(other, batch, numbers, work(false));
  calls = 0;
  result = graphs.run(other, batch, numbers + 4, work(false));
  check::near(result.item<double>(), 13, 0, "another session replays, with its own numbers");
  check::that(calls == 0, "and replays its graph");
}

// LibTorch 2.11 refuses every capture after one that failed.
void trains_on_after_a_failed_capture() {
  const auto panel = growing_panel(kDevice);
  Session failing = capturing_session(panel), plain = session_on(panel);
  setenv("ASTGNN_EMULATED_GRAPH_FAILS", "1", 1);
  const auto got = run(failing, kSteps);
  unsetenv("ASTGNN_EMULATED_GRAPH_FAILS");
  same_steps(got, run(plain, kSteps), 1e-9, "after a failed capture");
  same_state(failing, plain, 1e-9, "after a failed capture");
  check::that(failing.optimizer().updates == plain.optimizer().updates,
              "an update is counted once");
  std::vector<int64_t> said;
  for (const auto& step : got)
    if (step.capture_failure) said.push_back(step.step);
  check::that(said.size() == 1 && got[said[0] - 1].capture_failure->find('\n') == std::string::npos,
              "one step says that it was not captured, in one line");
}

}  // namespace

// `step_graph_test <library> emulated` or `step_graph_test <CUDA library> cuda`.
int main(int, char** arguments) {
  setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8", 1);
  void* library = open_cuda_library(arguments[1], arguments[2] == std::string("cuda"));
  check::that(std::getenv("CUBLAS_WORKSPACE_CONFIG") == std::string(":16:8"),
              "a workspace of the user's own stays");
  waits = static_cast<std::atomic<long>*>(dlsym(library, "emulated_device_waits"));
  launches = static_cast<std::atomic<long>*>(dlsym(library, "emulated_device_launches"));
  equals_steps_as_they_stand();
  equals_steps_without_filler();
  captures_co_movement();
  resumes();
  if (launches != nullptr) launches_once();
  for (const size_t failing : {0, 1, 3}) stops_the_same_way(failing, /*late=*/true);
  stops_the_same_way(3, /*late=*/false);
  keeps_a_few_graphs();
  says_why_not();
  takes_matrices();
  goes_on_without_graphs();
  if (launches != nullptr) trains_on_after_a_failed_capture();  // the last: no capture after it
  return check::finish();
}
