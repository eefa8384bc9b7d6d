#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include "binding/handles.h"
#include "ops/graph.h"
#include "train/module_guards.h"

namespace astgnn::binding {

namespace {

using at::Tensor;

std::shared_ptr<ModuleHandle> module(const Napi::CallbackInfo& info) {
  return self<ModuleHandle>(info);
}

nn::Config read_config(Napi::Value value) {
  auto object = read_object(value, "config");
  nn::Config c;
  auto integer = [&](const char* key, int64_t& field) {
    field = read_integer(object.Get(key), key, 0, 1 << 24);
  };
  auto number = [&](const char* key, double& field) { field = read_number(object.Get(key), key); };
  auto text = [&](const char* key, std::string& field) {
    field = read_string(object.Get(key), key);
  };
  auto boolean = [&](const char* key, bool& field) { field = read_boolean(object.Get(key), key); };
  integer("sequentialInputSize", c.sequential_input_size);
  integer("gruHiddenSize", c.gru_hidden_size);
  integer("gruNumLayers", c.gru_num_layers);
  integer("gatHiddenSize", c.gat_hidden_size);
  integer("gatNumHeads", c.gat_num_heads);
  number("gatNegativeSlope", c.gat_negative_slope);
  text("gatResidual", c.gat_residual);
  integer("residualHiddenSize", c.residual_hidden_size);
  integer("numRiskFactors", c.num_risk_factors);
  text("relationalInput", c.relational_input);
  integer("tgcHiddenSize", c.tgc_hidden_size);
  integer("tgcOutputSize", c.tgc_output_size);
  integer("numTgcLayers", c.num_tgc_layers);
  auto modes = object.Get("tgcModes");
  if (!modes.IsArray()) expected("an array of \"add\" and \"subtract\"", "tgcModes", modes);
  c.tgc_modes.clear();
  for (uint32_t i = 0; i < modes.As<Napi::Array>().Length(); ++i)
    c.tgc_modes.push_back(
        read_string(modes.As<Napi::Array>().Get(i), "tgcModes", {"add", "subtract"}));
  if (auto scale = object.Get("similarityScale"); scale.IsNumber()) {
    c.similarity_scale = "number";
    c.similarity_scale_value = read_number(scale, "similarityScale");
  } else {
    c.similarity_scale = read_string(scale, "similarityScale", {"sqrtK", "learned"});
  }
  boolean("excludeSelf", c.exclude_self);
  integer("topK", c.top_k);
  text("similarityGraph", c.similarity_graph);
  boolean("relationalSkip", c.relational_skip);
  c.prediction_hidden_sizes =
      read_integers(object.Get("predictionHiddenSizes"), "predictionHiddenSizes", 1, 1 << 24);
  integer("numPredictions", c.num_predictions);
  text("norm", c.norm);
  number("dropout", c.dropout);
  number("eps", c.eps);
  c.check();
  return c;
}

struct LayerOptions {
  int64_t in, out, heads = 4;
  double slope = 0.2, dropout = 0;
  std::string mode = "add";
  nn::SimilarityOptions similarity;
};

LayerOptions read_layer(Napi::Value value) {
  auto object = read_object(value, "options");
  LayerOptions o;
  o.in = read_integer(object.Get("inSize"), "inSize", 1, 1 << 24);
  o.out = read_integer(object.Get("outSize"), "outSize", 1, 1 << 24);
  if (has(object, "heads")) o.heads = read_integer(object.Get("heads"), "heads", 1, o.out);
  if (has(object, "negativeSlope"))
    o.slope = read_number(object.Get("negativeSlope"), "negativeSlope");
  if (has(object, "dropout")) o.dropout = read_number(object.Get("dropout"), "dropout");
  if (has(object, "mode")) o.mode = read_string(object.Get("mode"), "mode", {"add", "subtract"});
  if (has(object, "similarityScale"))
    o.similarity.scale = read_number(object.Get("similarityScale"), "similarityScale");
  if (has(object, "excludeSelf"))
    o.similarity.exclude_self = read_boolean(object.Get("excludeSelf"), "excludeSelf");
  if (has(object, "topK"))
    o.similarity.top_k = read_integer(object.Get("topK"), "topK", 0, INT32_MAX);
  if (has(object, "similarityGraph"))
    o.similarity.graph =
        read_string(object.Get("similarityGraph"), "similarityGraph", {"complete", "groups"});
  return o;
}

template <typename Make>
Napi::Value create(const Napi::CallbackInfo& info, const char* kind, Make make) {
  auto handle = std::make_shared<ModuleHandle>();
  handle->kind = kind;
  handle->dtype = read_dtype(info[1], "dtype");
  handle->seed = static_cast<uint64_t>(read_integer(info[2], "seed", 0, UINT32_MAX));
  handle->device = read_device(info[3], "device");
  handle->module = make(info[0], handle->seed);
  handle->module->to(handle->device, handle->dtype);
  handle->module->eval();
  return wrap_module(info.Env(), std::move(handle));
}

at::Generator generator(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

// --- jobs ---

class ForwardTask : public Task {
 public:
  ForwardTask(std::shared_ptr<ModuleHandle> module, std::function<std::vector<Tensor>()> body,
              bool single)
      : module_(std::move(module)), body_(std::move(body)), single_(single) {
    uses = {module_->module.get()};
    alone = !module_->device.is_cpu();
  }
  bool step() override {
    at::NoGradGuard no_grad;
    results_ = body_();
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    if (single_) return wrap_tensor(env, results_[0]);
    auto array = Napi::Array::New(env, results_.size());
    for (size_t i = 0; i < results_.size(); ++i)
      array.Set(static_cast<uint32_t>(i), wrap_tensor(env, results_[i]));
    return array;
  }
  void started() override { ++module_->busy; }
  void settled() override { --module_->busy; }

 private:
  std::shared_ptr<ModuleHandle> module_;
  std::function<std::vector<Tensor>()> body_;
  std::vector<Tensor> results_;
  bool single_;
};

Napi::Value start(const Napi::CallbackInfo& info, std::shared_ptr<ModuleHandle> handle, bool single,
                  std::function<std::vector<Tensor>()> body) {
  auto task = std::make_shared<ForwardTask>(std::move(handle), std::move(body), single);
  return Environment::of(info.Env()).start(task, {}, {info.This().As<Napi::Object>()});
}

// --- arguments of a forward ---

// In the number type of the module, on its device.
Tensor read_tensor(Napi::Env env, Napi::Value value, const std::string& name, int64_t dimensions,
                   const ModuleHandle& module) {
  Tensor tensor = unwrap<TensorHandle>(env, value, name.c_str())->tensor;
  if (tensor.dim() != dimensions) {
    throw BindingError("ERR_SHAPE", "Expected " + std::to_string(dimensions) + " dimensions for " +
                                        name + " but received a tensor with " +
                                        std::to_string(tensor.dim()) + ".");
  }
  return tensor.to(module.device, module.dtype);
}

ops::Graph read_graph(Napi::Value value, int64_t rows, at::Device device) {
  auto object = read_object(value, "graph");
  auto optional = [&](const char* key) {
    return has(object, key) ? read_typed_array(object.Get(key), key, at::kInt) : Tensor();
  };
  auto graph =
      ops::make_graph(read_typed_array(object.Get("offsets"), "offsets", at::kInt),
                      optional("groups"), optional("edgeOffsets"), optional("edgeTargets"), rows);
  for (auto* edges : {&graph.edge_offsets, &graph.edge_targets})
    if (*edges) *edges = (*edges)->to(device);
  return graph;
}

// The dropout key of a module used alone: its own seed, its count of training forwards, date 0.
nn::Batch read_batch(ModuleHandle& handle, Napi::Value value, int64_t rows) {
  nn::Batch batch;
  batch.graph = read_graph(value, rows, handle.device);
  batch.similarity_groups = batch.graph.groups;
  if (handle.training) {
    batch.key = at::empty({rows + 1, 2}, at::kLong);
    auto* key = batch.key.mutable_data_ptr<int64_t>();
    key[0] = static_cast<int64_t>(handle.seed);
    key[1] = ++handle.training_calls;
    for (int64_t row = 0; row < rows; ++row) {
      key[2 * row + 2] = 0;
      key[2 * row + 3] = row;
    }
    batch.key = batch.key.to(handle.device);
  }
  return batch;
}

Napi::Value forward(const Napi::CallbackInfo& info) {
  auto handle = module(info);
  if (!info[0].IsArray()) expected("an array of tensors", "inputs", info[0]);
  auto list = info[0].As<Napi::Array>();
  size_t wanted =
      handle->kind == "relationalEmbedding" || handle->kind == "timeGraphConvolution" ? 2 : 1;
  if (list.Length() != wanted)
    expected(std::to_string(wanted) + " input tensor(s)", "inputs", info[0]);
  bool sequences = handle->kind == "model" || handle->kind == "factorExtractor";
  std::vector<Tensor> inputs;
  for (uint32_t i = 0; i < list.Length(); ++i)
    inputs.push_back(read_tensor(info.Env(), list.Get(i), "inputs[" + std::to_string(i) + "]",
                                 sequences ? 3 : 2, *handle));
  int64_t rows = inputs[0].size(sequences ? 1 : 0);
  for (const Tensor& input : inputs) {
    if (input.size(sequences ? 1 : 0) != rows)
      throw BindingError("ERR_SHAPE", "Expected the same number of rows in every input.");
  }
  nn::Batch batch = read_batch(*handle, info[1], rows);
  bool training = handle->training;
  return start(info, handle, false, [handle, inputs, batch, training]() -> std::vector<Tensor> {
    train::TrainingMode mode(*handle->module, training);
    nn::Sequences dense;
    dense.dense = inputs[0];
    if (handle->kind == "model") {
      auto out = handle->as<nn::ASTGNNFactorModel>().forward(dense, batch);
      return {out.predictions, out.risk_factors, out.embedding, out.state};
    }
    if (handle->kind == "factorExtractor") {
      auto out = handle->as<nn::FactorExtractor>().forward(dense, batch);
      return {out.risk_factors, out.state};
    }
    if (handle->kind == "relationalEmbedding")
      return {handle->as<nn::RelationalEmbedding>().forward(inputs[0], inputs[1], batch).embedding};
    if (handle->kind == "graphAttention")
      return {handle->as<nn::GraphAttention>().forward(inputs[0], batch)};
    return {handle->as<nn::SingleTimeGraphConvolution>().forward(inputs[0], inputs[1], batch)};
  });
}

Napi::Value attention(const Napi::CallbackInfo& info) {
  auto handle = module(info);
  Tensor h = read_tensor(info.Env(), info[0], "h", 2, *handle);
  ops::Graph graph = read_graph(info[1], h.size(0), handle->device);
  if (graph.offsets.numel() != 2)
    throw BindingError(
        "ERR_SHAPE", "Expected the rows of one date: the attention of several is not one matrix.");
  nn::GraphAttention* gat =
      handle->kind == "model" ? handle->as<nn::ASTGNNFactorModel>().factor_extractor->gat.get()
      : handle->kind == "factorExtractor" ? handle->as<nn::FactorExtractor>().gat.get()
      : handle->kind == "graphAttention"  ? &handle->as<nn::GraphAttention>()
                                          : nullptr;
  if (gat == nullptr) throw BindingError("ERR_OPTION", "A " + handle->kind + " has no attention.");
  return start(info, handle, true,
               [gat, h, graph]() -> std::vector<Tensor> { return {gat->attention(h, graph)}; });
}

Napi::Value similarity(const Napi::CallbackInfo& info) {
  auto handle = module(info);
  Tensor m = read_tensor(info.Env(), info[0], "m", 2, *handle);
  std::optional<Tensor> group;
  if (!info[1].IsUndefined()) {
    group = read_typed_array(info[1], "groups", at::kInt);
    if (group->numel() != m.size(0))
      throw BindingError("ERR_SHAPE", "Expected one group per row of m.");
  }
  std::function<std::vector<Tensor>()> body;
  if (handle->kind == "model" || handle->kind == "relationalEmbedding") {
    auto* embedding = handle->kind == "model"
                          ? handle->as<nn::ASTGNNFactorModel>().relational_embedding.get()
                          : &handle->as<nn::RelationalEmbedding>();
    body = [embedding, m, group]() -> std::vector<Tensor> {
      return {embedding->similarity(m, group)};
    };
  } else if (handle->kind == "timeGraphConvolution") {
    auto* layer = &handle->as<nn::SingleTimeGraphConvolution>();
    body = [layer, m, group]() -> std::vector<Tensor> { return {layer->similarity(m, group)}; };
  } else {
    throw BindingError("ERR_OPTION", "A " + handle->kind + " has no similarity.");
  }
  return start(info, handle, true, std::move(body));
}

// A model of its own, with the mode and the count of forwards of this one.
Napi::Value copy(const Napi::CallbackInfo& info) {
  auto handle = module(info);
  if (handle->kind != "model")
    throw BindingError("ERR_OPTION", "Only a whole model can be copied, not a " + handle->kind + ".");
  if (info[0].IsUndefined()) handle->refuse_if_busy();
  auto copied = std::make_shared<ModuleHandle>(*handle);
  copied->busy = 0;
  copied->stepping = false;
  copied->module = nn::make_like(
      handle->as<nn::ASTGNNFactorModel>(),
      info[0].IsUndefined() ? nn::state_dict(*handle->module) : read_state(info[0], "state"));
  return wrap_module(info.Env(), std::move(copied));
}

// Of forwards started from now on.
Napi::Value set_training(const Napi::CallbackInfo& info, bool training) {
  module(info)->training = training;
  return info.Env().Undefined();
}

const Method kModuleMethods[] = {
    {"kind",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Napi::String::New(info.Env(), module(info)->kind);
     },
     true},
    {"dtype",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Napi::String::New(info.Env(), dtype_name(module(info)->dtype));
     },
     true},
    {"device",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Napi::String::New(info.Env(), module(info)->device.str());
     },
     true},
    {"parameterCount",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       int64_t count = 0;
       for (const Tensor& parameter : module(info)->module->parameters())
         count += parameter.numel();
       return Napi::Number::New(info.Env(), static_cast<double>(count));
     },
     true},
    {"training",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return Napi::Boolean::New(info.Env(), module(info)->training);
     },
     true},
    {"disposed", is_disposed<ModuleHandle>, true},
    {"forward", forward},
    {"attention", attention},
    {"similarity", similarity},
    {"stateDict",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       auto handle = module(info);
       handle->refuse_if_busy();
       return state_to_js(info.Env(), nn::state_dict(*handle->module));
     }},
    {"loadStateDict",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       auto handle = module(info);
       handle->refuse_if_busy();
       nn::load_state_dict(*handle->module, read_state(info[0], "state"));
       return info.Env().Undefined();
     }},
    {"to",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       auto handle = module(info);
       handle->refuse_if_busy();
       const at::Device device = read_device(info[0], "device");
       handle->module->to(device);
       handle->device = device;
       return info.Env().Undefined();
     }},
    {"copy", copy},
    {"train",
     [](const Napi::CallbackInfo& info) -> Napi::Value { return set_training(info, true); }},
    {"eval",
     [](const Napi::CallbackInfo& info) -> Napi::Value { return set_training(info, false); }},
    {"dispose", dispose<ModuleHandle>},
};

const Method kModuleFunctions[] = {
    {"createModel",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return create(info, "model", [](Napi::Value v, uint64_t seed) {
         return std::make_shared<nn::ASTGNNFactorModel>(read_config(v), seed);
       });
     }},
    {"createFactorExtractor",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return create(info, "factorExtractor", [](Napi::Value v, uint64_t seed) {
         return std::make_shared<nn::FactorExtractor>(read_config(v), generator(seed));
       });
     }},
    {"createRelationalEmbedding",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return create(info, "relationalEmbedding", [](Napi::Value v, uint64_t seed) {
         return std::make_shared<nn::RelationalEmbedding>(read_config(v), generator(seed));
       });
     }},
    {"createGraphAttention",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return create(info, "graphAttention", [](Napi::Value v, uint64_t seed) {
         LayerOptions o = read_layer(v);
         return std::make_shared<nn::GraphAttention>(o.in, o.out, o.heads, o.slope, o.dropout,
                                                     generator(seed));
       });
     }},
    {"createTimeGraphConvolution",
     [](const Napi::CallbackInfo& info) -> Napi::Value {
       return create(info, "timeGraphConvolution", [](Napi::Value v, uint64_t seed) {
         LayerOptions o = read_layer(v);
         return std::make_shared<nn::SingleTimeGraphConvolution>(o.in, o.out, o.mode, o.similarity,
                                                                 generator(seed));
       });
     }},
};

}  // namespace

Napi::Object wrap_module(Napi::Env env, std::shared_ptr<ModuleHandle> handle) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : nn::state_dict(*handle->module))
    bytes += static_cast<int64_t>(tensor.nbytes());
  return wrap(env, std::move(handle), bytes);
}

void define_module(Napi::Env env, Napi::Object exports) {
  define_handle<ModuleHandle>(env, kModuleMethods);
  export_functions(env, exports, kModuleFunctions);
}

}  // namespace astgnn::binding
