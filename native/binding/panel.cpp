#include "binding/handles.h"

namespace astgnn::binding {

namespace {

const Method kPanelMethods[] = {
    {"bytes",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Napi::Number::New(info.Env(), static_cast<double>(self<train::Panel>(info)->bytes()));
     },
     true},
    {"device",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Napi::String::New(info.Env(), self<train::Panel>(info)->device().str());
     },
     true},
    {"disposed", is_disposed<train::Panel>, true},
    {"dispose", dispose<train::Panel>},
};

at::Tensor read_sized(Napi::Object data, const char* key, at::ScalarType type, int64_t length) {
  auto tensor = read_typed_array(data.Get(key), key, type);
  if (length >= 0 && tensor.numel() != length) {
    throw BindingError("ERR_SHAPE", std::string("Expected ") + std::to_string(length) +
                                        " values for " + key + " but the array has " +
                                        std::to_string(tensor.numel()) + ".");
  }
  return tensor;
}

// The tensor of a handle, shared.
at::Tensor read_shared(Napi::Env env, Napi::Object data, const char* key, at::IntArrayRef shape) {
  const auto shared = unwrap<TensorHandle>(env, data.Get(key), key)->tensor;
  if (shared.sizes() != shape || shared.scalar_type() != at::kFloat || !shared.is_contiguous())
    throw BindingError("ERR_SHAPE", std::string("Expected another shape for ") + key + ".");
  return shared;
}

at::Tensor read_shaped(Napi::Object data, const char* key, at::IntArrayRef shape) {
  return read_sized(data, key, at::kFloat, element_count(shape, key)).view(shape);
}

Napi::Value create_panel(const Napi::CallbackInfo& info) {
  auto data = read_object(info[0], "panel");
  int64_t dates = read_integer(data.Get("dates"), "dates", 1, INT32_MAX);
  int64_t stocks = read_integer(data.Get("stocks"), "stocks", 1, INT32_MAX);
  int64_t width = read_integer(data.Get("featureCount"), "featureCount", 1, 1 << 20);
  int64_t horizons = read_integer(data.Get("horizons"), "horizons", 0, 1 << 16);

  auto panel = std::make_shared<train::Panel>();
  panel->window = read_integer(data.Get("window"), "window", 1, INT32_MAX);
  const bool shares = !data.Get("features").IsTypedArray();
  if (shares) {
    const auto handle = unwrap<FeaturesHandle>(info.Env(), data.Get("features"), "features");
    handle->require_size(dates, stocks, "features");
    if (handle->width() != width)
      throw BindingError("ERR_SHAPE", "Expected another number of features.");
    panel->features = handle->stored();
    panel->ranked = handle->ranked;
    panel->slots = handle->slots;
  } else {
    panel->features = read_shaped(data, "features", {dates, stocks, width});
    panel->slots = {dates, stocks};
  }
  panel->row_offsets = read_sized(data, "rowOffsets", at::kInt, dates + 1);
  panel->row_stocks = read_sized(data, "rowStocks", at::kInt, -1);
  if (has(data, "targets"))
    panel->targets = data.Get("targets").IsTypedArray()
                         ? read_shaped(data, "targets", {dates, stocks, horizons})
                         : read_shared(info.Env(), data, "targets", {dates, stocks, horizons});
  if (has(data, "returns")) {
    panel->returns = read_shaped(data, "returns", {dates, stocks});
    panel->return_ends = read_sized(data, "returnEnds", at::kInt, dates);
  }
  if (has(data, "groups"))
    panel->groups = read_sized(data, "groups", at::kInt, panel->row_stocks.numel());

  auto graph = read_string(data.Get("graph"), "graph", {"complete", "groups", "edges", "none"});
  using Graph = train::Panel::Graph;
  panel->graph = graph == "complete" ? Graph::kComplete
                 : graph == "groups" ? Graph::kGroups
                 : graph == "edges"  ? Graph::kEdges
                                     : Graph::kNone;
  if (has(data, "edges")) {
    auto edges = read_object(data.Get("edges"), "edges");
    panel->edge_source = read_sized(edges, "source", at::kInt, -1);
    int64_t count = panel->edge_source.numel();
    panel->edge_target = read_sized(edges, "target", at::kInt, count);
    panel->edge_from = read_sized(edges, "from", at::kInt, count);
    panel->edge_to = read_sized(edges, "to", at::kInt, count);
  }
  panel->prepare(read_device(info[1], "device"));
  // The collector knows of shared features already.
  const bool is_own = !shares || !panel->features.is_cpu();
  auto bytes = static_cast<int64_t>(panel->bytes() - (is_own ? 0 : panel->features.nbytes()));
  return wrap(info.Env(), std::move(panel), bytes);
}

const Method kPanelFunctions[] = {{"createPanel", create_panel}};

}  // namespace

void define_panel(Napi::Env env, Napi::Object exports) {
  define_handle<train::Panel>(env, kPanelMethods);
  export_functions(env, exports, kPanelFunctions);
}

}  // namespace astgnn::binding
