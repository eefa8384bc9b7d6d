// A model on a device of its own, as on a GPU: it trains and predicts as on the CPU, the host never
// waits for a step, and a number that is not finite stops it although the host learns of it late.
// The device is emulated (emulated_device.cpp), or a GPU where there is one.
#include <array>
#include <atomic>

#include "check.h"
#include "cuda_library.h"
#include "ops/cuda/device_code.h"
#include "small_model.h"
#include "small_panel.h"
#include "train/session.h"

namespace {

using at::Tensor;
using namespace astgnn;
using train::Panel;
using train::Session;
using train::Term;

const at::Device kCpu(at::kCPU), kDevice(at::kCUDA, 0);
std::atomic<long>*waits, *launches, *uploads;

std::vector<Term> objective() {
  std::vector<Term> terms;
  for (const char* name :
       {"ic", "mse", "pairwiseRank", "risk", "vif", "turnover", "decorrelation"}) {
    Term term;
    term.name = name;
    term.weight = 0.1;
    term.ridge = 0.1;  // so few stocks have nearly collinear factors, which amplify rounding
    if (terms.size() < 3) term.predictions = term.horizons = {0};
    terms.push_back(term);
  }
  return terms;
}

Term co_movement() {
  Term term;
  term.name = "coMovement";
  term.horizon_days = 2;
  return term;
}

std::shared_ptr<Panel> panel_on(at::Device device, Panel::Graph graph, bool broken = false) {
  at::manual_seed(8);
  auto panel = std::make_shared<Panel>(small_panel(3, 5));
  panel->graph = graph;
  if (graph == Panel::Graph::kEdges) {
    panel->edge_source = at::tensor({0, 1, 2, 3, 4, 5, 6, 7}, at::kInt);
    panel->edge_target = at::tensor({1, 2, 3, 0, 6, 7, 8, 9}, at::kInt);
    panel->edge_from = at::zeros({8}, at::kInt);
    panel->edge_to = at::full({8}, 9, at::kInt);
  }
  if (broken) panel->features[8] *= NAN;  // seen by date 8 alone
  panel->prepare(device);
  return panel;
}

Session session_on(at::Device device, at::ScalarType dtype, Panel::Graph graph,
                   const std::string& norm, bool broken = false) {
  const auto model = small_model(norm);
  model->to(device, dtype);
  return Session(model, panel_on(device, graph, broken), objective(), {}, 3);
}

const std::vector<std::vector<int64_t>> kSteps = {{2, 3}, {4, 5}, {6, 7}, {7, 8},
                                                  {3, 4}, {2, 3}, {4, 5}, {7, 8}};

std::vector<train::Step> run(Session& session, const std::vector<std::vector<int64_t>>& steps) {
  std::vector<train::Step> done;
  const auto take = [&](std::vector<train::Step> some) {
    std::move(some.begin(), some.end(), std::back_inserter(done));
    return !some.empty();
  };
  for (const auto& dates : steps) take(session.advance(dates, 1e-2));
  while (take(session.finish())) continue;
  return done;
}

void trains_as_the_cpu(at::ScalarType dtype, double tolerance, Panel::Graph graph,
                       const std::string& norm) {
  const std::string where = std::string(" in ") + c10::toString(dtype) + ", graph " +
                            std::to_string(static_cast<int>(graph)) + ", norm " + norm;
  Session cpu = session_on(kCpu, dtype, graph, norm),
          device = session_on(kDevice, dtype, graph, norm);
  const auto expected = run(cpu, kSteps), done = run(device, kSteps);
  check::that(done.size() == kSteps.size() && device.steps == cpu.steps, "every step ends" + where);
  for (size_t i = 0; i < done.size(); ++i) {
    check::near(done[i].loss, expected[i].loss, tolerance, "the loss" + where);
    check::near(done[i].gradient_norm, expected[i].gradient_norm,
                10 * tolerance * expected[i].gradient_norm, "the gradients' norm" + where);
  }
  const auto state = device.state(), wanted = cpu.state();
  for (size_t i = 0; i < state.size(); ++i) {
    check::that(state[i].second.device() == kDevice, state[i].first + " stays on the device");
    // By size, not relative: some gradients are 0 but for rounding, and so are their moments.
    const double off = (state[i].second.cpu() - wanted[i].second).abs().max().item<double>();
    check::that(off <= tolerance, state[i].first + where + ": off by " + std::to_string(off));
  }
  const auto panel = panel_on(kDevice, graph), host = panel_on(kCpu, graph);
  for (int64_t date : {4, 6}) {
    const auto scores = train::predict_date(*device.averaged, *panel, date, objective());
    const auto same = train::predict_date(*cpu.averaged, *host, date, objective());
    check::close(scores.predictions.cpu(), same.predictions, tolerance, "predictions" + where);
    check::close(scores.risk_factors.cpu(), same.risk_factors, tolerance, "factors" + where);
    check::close(scores.statistics.cpu(), same.statistics, tolerance, "statistics" + where);
  }
}

// Whose returns are known for long enough: loss, gradients and what a prediction tells of its
// peers.
void moves_as_on_the_cpu(at::ScalarType dtype, double tolerance, const std::string& graph) {
  constexpr int64_t kHistory = 22;
  const std::vector<int64_t> dates{kHistory + 4, kHistory + 6, kHistory + 5, kHistory + 8};
  std::vector<Tensor> numbers[2];
  for (const auto device : {kCpu, kDevice}) {
    at::manual_seed(8);
    const auto panel = std::make_shared<Panel>(small_panel(3, 5, kHistory));
    panel->prepare(device);
    nn::Config config = small_model()->config;
    config.similarity_graph = graph;
    config.similarity_scale = "learned";
    const auto model = std::make_shared<nn::ASTGNNFactorModel>(config, 2);
    model->to(device, dtype);
    Session session(model, panel, {co_movement()}, {}, 3);
    const long before = waits == nullptr ? 0 : waits->load();
    session.advance({dates[0], dates[2]}, 1e-2);
    check::that(device == kCpu || waits == nullptr || *waits == before,
                "co-movement does not wait for the device");
    while (!session.finish().empty()) continue;
    const auto result = session.gradients(dates);
    auto& of_device = numbers[device == kDevice];
    of_device = {at::scalar_tensor(result.step.loss),
                 at::scalar_tensor(static_cast<double>(result.step.undefined[0]))};
    for (const auto& [name, gradient] : result.gradients) of_device.push_back(gradient.cpu());
    for (const int64_t date : dates) {
      const auto out = train::predict_date(*session.averaged, *panel, date, {}, 2, true);
      of_device.push_back(out.peers.cpu());
    }
  }
  for (size_t i = 0; i < numbers[0].size(); ++i) {
    const Tensor a = numbers[1][i].to(at::kDouble), b = numbers[0][i].to(at::kDouble);
    const bool known = at::equal(a.isnan(), b.isnan());
    // By size, not relative: a gradient that no path leads to is 0.
    const double off = known ? (a - b).nan_to_num().abs().max().item<double>() : INFINITY;
    check::that(off <= tolerance, "co-movement, graph " + graph + ", number " + std::to_string(i) +
                                      ": off by " + std::to_string(off));
  }
  check::that(numbers[0][1].item<double>() == 2, "the empty date and the last one are undefined");
}

// Code for 8.0 and 9.0, and PTX of CUDA 13.2 for what comes later.
void knows_what_runs_its_code() {
  const ops::cuda::DeviceCode built{"80-real 90", 13020};
  const auto lacks = [&](int major, int minor, int driver) {
    return ops::cuda::lacks_code(built, major, minor, driver);
  };
  for (const auto& [major, minor] : {std::pair(8, 0), {8, 9}, {9, 0}})
    check::that(lacks(major, minor, 12080).empty(), "machine code needs no newer driver");
  check::that(lacks(10, 0, 13020).empty() && lacks(12, 0, 13030).empty(),
              "a driver of the toolkit's version compiles its PTX");
  check::that(lacks(12, 0, 13000).find("for CUDA 13.0, does not compile the PTX of CUDA 13.2") !=
                  std::string::npos,
              "an older one does not");
  check::that(lacks(7, 5, 13020).find("ASTGNN_CUDA_ARCHITECTURES=75-real") != std::string::npos,
              "an older GPU takes a build of its own");
}

void repeats_itself() {
  Session first = session_on(kDevice, at::kFloat, Panel::Graph::kEdges, "batch"),
          second = session_on(kDevice, at::kFloat, Panel::Graph::kEdges, "batch");
  run(first, kSteps);
  run(second, kSteps);
  const auto state = first.state(), again = second.state();
  for (size_t i = 0; i < state.size(); ++i)
    check::equal(state[i].second.cpu(), again[i].second.cpu(), state[i].first + " repeats itself");
}

void never_waits(Panel::Graph graph) {
  Session session = session_on(kDevice, at::kFloat, graph, "layer");
  run(session, {kSteps[0]});
  const long before = *waits;
  size_t done = 0;
  for (int64_t i = 0; i < 6; ++i) done += session.advance({3, 4}, 1e-2).size();
  check::that(*waits == before, "no step waits for the device, but " +
                                    std::to_string(*waits - before) + " copies or numbers did");
  check::that(done < 6, "some steps are under way");
  while (!session.finish().empty()) continue;
}

// What a step gives a GPU to run, in parts: forward, objective, backward, update.
std::array<long, 4> launches_of_step(const std::vector<Term>& terms,
                                     const std::vector<int64_t>& dates) {
  const auto model = small_model();
  model->to(kDevice, at::kFloat);
  const auto panel = panel_on(kDevice, Panel::Graph::kComplete);
  train::Optimizer optimizer(*model, nullptr, {});
  Tensor stop = at::zeros({}, at::TensorOptions(kDevice).dtype(at::kFloat));
  const auto batch = train::pack(*panel, dates, at::kFloat, 3, 1);
  std::array<long, 4> counts;
  auto count = [&, before = launches->load()](size_t part) mutable {
    counts[part] = *launches - before;
    before = *launches;
  };
  const auto output = model->forward(batch.sequences, batch.batch);
  count(0);
  const auto objective = train::evaluate(terms, *model, output, batch);
  count(1);
  objective.total->backward();
  count(2);
  optimizer.apply(optimizer.next(1e-3), stop);
  count(3);
  std::printf("%zu dates, term %s: %ld launches forward, %ld objective, %ld backward, %ld update\n",
              dates.size(), terms[0].name.c_str(), counts[0], counts[1], counts[2], counts[3]);
  return counts;
}

void launches_once_for_all_dates() {
  for (const char* name : {"ic", "mse"}) {
    Term term;
    term.name = name;
    term.predictions = term.horizons = {0};
    const auto few = launches_of_step({term}, {3, 4}),
               many = launches_of_step({term}, {2, 3, 4, 5, 7, 8, 2, 3, 4, 5, 7, 8, 2, 3, 4, 5});
    check::that(few == many, std::string("more dates are no more launches, term ") + name);
    check::that(many[1] <= 3, "the objective is a few launches, but there were " +
                                  std::to_string(many[1]) + ", term " + name);
  }
}

// Rows with their dropout keys, labels, and of each graph what it reads in both directions of who
// meets whom: as many blocks whatever the number of dates, and one less where the graphs agree.
void sends_little() {
  for (const auto& [graph, blocks] :
       {std::pair(Panel::Graph::kComplete, 3), std::pair(Panel::Graph::kGroups, 4)}) {
    const auto model = small_model();
    model->to(kDevice, at::kFloat);
    Term term;
    term.name = "vif";
    Session session(model, panel_on(kDevice, graph), {term}, {}, 3);
    session.exact = false;  // that sends each date by itself
    for (const auto& dates : std::vector<std::vector<int64_t>>{{3}, {2, 3, 4, 5, 7}}) {
      const long before = *uploads;
      session.step(dates, 1e-2);
      check::that(*uploads - before == blocks, std::to_string(dates.size()) +
                                                   " dates are sent in " +
                                                   std::to_string(*uploads - before) + " blocks");
    }
  }
}

// The loss and all gradients of a batch that is filled up to so many rows (0: it is not).
std::vector<Tensor> gradients_of(at::Device device, Panel::Graph graph,
                                 const std::vector<int64_t>& dates, int64_t rows) {
  const auto model = small_model();
  model->to(device, at::kDouble);
  const auto panel = panel_on(device, graph);
  const auto batch = train::pack(*panel, dates, at::kDouble, 3, 1, rows);
  const auto output = model->forward(batch.sequences, batch.batch);
  const auto value = train::evaluate(objective(), *model, output, batch);
  value.total->backward();
  std::vector<Tensor> all = {value.total->detach().cpu()};
  for (const auto& parameter : model->parameters()) all.push_back(parameter.grad().cpu());
  return all;
}

// A sum over more rows has its terms in other groups, so that its last bits may differ.
void filler_adds_nothing(at::Device device, Panel::Graph graph) {
  const std::vector<int64_t> dates = {4, 6, 7};  // no stock on the second
  const auto panel = panel_on(device, graph);
  const int64_t rows = panel->rows(4) + panel->rows(7);
  const auto wanted = gradients_of(device, graph, dates, 0);
  for (const int64_t filled : {rows, rows + 1, train::padded_rows(rows)}) {
    const auto got = gradients_of(device, graph, dates, filled);
    for (size_t i = 0; i < wanted.size(); ++i) {
      // By size, not relative: some gradients are 0 but for rounding.
      check::near((got[i] - wanted[i]).abs().max().item<double>(), 0, 1e-13,
                  std::to_string(filled - rows) + " rows of filler on " + device.str() +
                      ", graph " + std::to_string(static_cast<int>(graph)) + ", number " +
                      std::to_string(i));
    }
  }
}

void filler_evens_sizes() {
  const auto model = small_model();
  model->to(kDevice, at::kFloat);
  for (const auto graph : {Panel::Graph::kComplete, Panel::Graph::kNone}) {
    const auto panel = panel_on(kDevice, graph);
    const auto sizes = [&](const std::vector<int64_t>& dates) {
      auto batch = train::pack(*panel, dates, at::kFloat, 3, 1, 64);
      const auto& [graph_of, padded, groups, similar, key] = model->with_segments(batch.batch);
      std::vector<std::vector<int64_t>> all = {batch.sequences.date.sizes().vec(),
                                               batch.targets.sizes().vec(), key.sizes().vec()};
      for (const auto& parts : {graph_of.segments, similar})
        for (const auto& part : parts) all.push_back(part.sizes().vec());
      return all;
    };
    check::that(sizes({2, 3}) == sizes({4, 5}) && sizes({2, 3}) == sizes({6, 7}),
                "filled batches of as many dates have the same sizes");
  }
}

void stops_late_but_whole() {
  for (const char* norm : {"layer", "batch"}) {
    Session session = session_on(kDevice, at::kFloat, Panel::Graph::kComplete, norm, true);
    run(session, {{3, 4}});
    const auto before = session.state();
    size_t done = 0;
    try {
      for (const auto& dates :
           std::vector<std::vector<int64_t>>{{4, 5}, {5, 8}, {3, 4}, {2, 3}, {4, 5}, {2, 3}})
        done += session.advance(dates, 1e-2).size();
      for (auto more = session.finish(); !more.empty(); more = session.finish())
        done += more.size();
      check::that(false, "a NaN stops the run");
    } catch (const train::NotFinite& failure) {
      check::that(failure.step == 3 && failure.date_index, "the failure names its step and date");
    }
    check::that(done == 1 && session.steps == 2 && session.optimizer().updates == 2,
                "steps before it are reported, steps after it forgotten");
    Session clean = session_on(kDevice, at::kFloat, Panel::Graph::kComplete, norm, true);
    run(clean, {{3, 4}, {4, 5}});
    const auto state = session.state(), wanted = clean.state();
    for (size_t i = 0; i < state.size(); ++i)
      check::equal(state[i].second.cpu(), wanted[i].second.cpu(),
                   state[i].first + " is as before that step with norm " + norm);
    check::that(session.step({3, 4}, 1e-2).updated, "and the session goes on");
  }
}

}  // namespace

// `device_test <library> emulated` or `device_test <CUDA library> cuda`.
int main(int, char** arguments) {
  unsetenv("CUBLAS_WORKSPACE_CONFIG");
  void* library = open_cuda_library(arguments[1], arguments[2] == std::string("cuda"));
  const char* workspace = std::getenv("CUBLAS_WORKSPACE_CONFIG");
  check::that(workspace && workspace == std::string(":4096:8"), "cuBLAS gets one workspace");
  waits = static_cast<std::atomic<long>*>(dlsym(library, "emulated_device_waits"));
  launches = static_cast<std::atomic<long>*>(dlsym(library, "emulated_device_launches"));
  uploads = static_cast<std::atomic<long>*>(dlsym(library, "emulated_device_uploads"));
  for (const auto graph :
       {Panel::Graph::kComplete, Panel::Graph::kGroups, Panel::Graph::kEdges, Panel::Graph::kNone})
    trains_as_the_cpu(at::kDouble, 1e-9, graph, "layer");
  trains_as_the_cpu(at::kDouble, 1e-7, Panel::Graph::kComplete, "batch");
  // Eight steps of float32 rounding.
  trains_as_the_cpu(at::kFloat, 1e-3, Panel::Graph::kComplete, "layer");
  for (const char* similar : {"complete", "groups"})
    moves_as_on_the_cpu(at::kDouble, 1e-10, similar);
  moves_as_on_the_cpu(at::kFloat, 1e-3, "complete");  // a step of Adam amplifies rounding
  repeats_itself();
  knows_what_runs_its_code();
  if (waits != nullptr) {  // only an emulated device counts them
    for (const auto graph : {Panel::Graph::kComplete, Panel::Graph::kGroups, Panel::Graph::kEdges})
      never_waits(graph);
    launches_once_for_all_dates();
    sends_little();
  }
  for (const at::Device device : {kCpu, kDevice})
    for (const auto graph : {Panel::Graph::kComplete, Panel::Graph::kGroups, Panel::Graph::kNone})
      filler_adds_nothing(device, graph);
  filler_evens_sizes();
  stops_late_but_whole();
  return check::finish();
}
