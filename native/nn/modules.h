// Parameters and forward of every block; nothing else. Names are the reference's state dict.
// Constructors initialise with the generator given (same families as the reference), on the CPU, in
// float32; convert with to(dtype).
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/module.h>

#include "nn/config.h"
#include "ops/ops.h"

namespace astgnn::nn {

using at::Tensor;

// What a forward needs besides its input. key is undefined or unused in evaluation; dropout is
// active iff the module is training.
struct Batch {
  ops::Graph graph;                         // GAT
  int64_t padded = 0;  // the most rows of a date where the last one is filler: see train::pack
  std::optional<Tensor> similarity_groups;  // int32 [R], for similarity_graph "groups"
  std::vector<Tensor> similarity_segments;  // as graph.segments, of the similarity
  Tensor key;                               // int64 [R + 1, 2], see ops.h
};

// A window of the resident panel, or dense sequences [T, R, F].
struct Sequences {
  Tensor dense;  // defined: the input is dense
  // Else these: [dates, slots, F], and per row its last date and the slot of its stock, int64 [R].
  Tensor panel, date, stock;
  int64_t window = 0;
  Tensor last(at::ScalarType dtype) const;  // x_T [R, F]
};

struct Linear : torch::nn::Module {
  Linear(int64_t in, int64_t out, bool bias,
         at::Generator generator);  // nn.Linear's initialisation
  Tensor forward(const Tensor& x);
  Tensor weight, bias;
};

// LayerNorm per row, or BatchNorm1d over all rows of the batch (running statistics, momentum .1,
// num_batches_tracked).
struct Norm : torch::nn::Module {
  Norm(const std::string& kind, int64_t width, double eps);
  // dropout(activation(norm(x) + residual)); p > 0 needs relu and the key of a site.
  Tensor forward(const Tensor& x, ops::Activation activation = ops::Activation::kNone,
                 const std::optional<Tensor>& residual = std::nullopt, double p = 0,
                 const Tensor& key = {}, int64_t site = 0);
  // Module::to would turn num_batches_tracked, a counter, into a floating-point tensor.
  void to(torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  bool batch;
  double eps;
  Tensor weight, bias, running_mean, running_var, num_batches_tracked;
};

struct Gru : torch::nn::Module {
  Gru(int64_t in, int64_t hidden, int64_t layers, double dropout, at::Generator generator);
  Tensor forward(const Sequences& x, const Tensor& key);  // [R, H], no dropout after the last layer
  std::vector<Tensor> weights;
  double dropout;
};

struct GraphAttention : torch::nn::Module {
  GraphAttention(int64_t in, int64_t out, int64_t heads, double slope, double dropout,
                 at::Generator generator);
  Tensor forward(const Tensor& h, const Batch& batch);         // [R, A * D]
  Tensor attention(const Tensor& h, const ops::Graph& graph);  // one date: [A, N, N]
  std::shared_ptr<Linear> linear;
  Tensor attention_source, attention_target;  // [A, D]
  int64_t heads;
  double slope, dropout;
};

struct ResidualBlock : torch::nn::Module {
  ResidualBlock(int64_t in, int64_t out, const std::string& norm, double eps,
                at::Generator generator);
  Tensor forward(const Tensor& x);
  std::shared_ptr<Linear> linear1, linear2, shortcut;
  std::shared_ptr<Norm> norm1, norm2, shortcut_norm;
};

struct Extracted {
  Tensor risk_factors;  // M [R, K], undropped
  Tensor state;         // h [R, H]
};

struct FactorExtractor : torch::nn::Module {
  FactorExtractor(const Config& config, at::Generator generator);
  Extracted forward(const Sequences& x, const Batch& batch);
  std::shared_ptr<Gru> gru;
  std::shared_ptr<GraphAttention> gat;
  std::shared_ptr<Linear> gat_shortcut, full_linear;
  std::shared_ptr<ResidualBlock> residual;
  std::shared_ptr<Norm> full_norm;
  double gat_sign, dropout;
};

// One layer's parameters; the maths of a stack is one op (ops::relational_embedding).
struct TimeGraphConvolution : torch::nn::Module {
  TimeGraphConvolution(int64_t in, int64_t out, const std::string& mode, at::Generator generator);
  Tensor weight, bias;  // [in, out], [out]
  double sign;
};

// A layer alone, with the similarity that a RelationalEmbedding shares among its layers. State
// dict: weight, bias.
struct SimilarityOptions {
  double scale = 1.0;
  bool exclude_self = false;
  int64_t top_k = 0;
  std::string graph = "complete";  // "complete" | "groups"
};
struct SingleTimeGraphConvolution : TimeGraphConvolution {
  SingleTimeGraphConvolution(int64_t in, int64_t out, const std::string& mode,
                             const SimilarityOptions& options, at::Generator generator);
  Tensor forward(const Tensor& x, const Tensor& m, const Batch& batch);    // [R, E]
  Tensor similarity(const Tensor& m, const std::optional<Tensor>& group);  // one date: A [N, N]
  SimilarityOptions options;
};

struct Embedded {
  Tensor embedding;   // [R, E]
  Tensor statistics;  // [B, 3]
};

struct RelationalEmbedding : torch::nn::Module {
  RelationalEmbedding(const Config& config, at::Generator generator);
  Embedded forward(const Tensor& x, const Tensor& m, const Batch& batch);
  // A values [R, H], A of M undropped and without the stock itself; no gradient reaches values.
  Tensor peers(const Tensor& values, const Tensor& m, const Batch& batch) const;
  Tensor similarity(const Tensor& m, const std::optional<Tensor>& group);  // one date: A [N, N]
  // Rows from .. to of one date's A, [to - from, N].
  Tensor similarity_rows(const Tensor& m, int64_t from, int64_t to, const Batch& batch);
  // The groups the similarity is confined to, or none; a model that asks for groups must be given
  // them.
  std::optional<Tensor> groups(const Batch& batch) const;
  Tensor scale() const;  // 0-d, differentiable where learned
  std::vector<std::shared_ptr<TimeGraphConvolution>> layers;
  Tensor log_scale;  // defined where learned
  Config config;
};

struct Prediction : torch::nn::Module {
  Prediction(const Config& config, int64_t in, at::Generator generator);
  Tensor forward(const Tensor& x, const Tensor& key);
  std::vector<std::shared_ptr<Linear>> hidden;
  std::vector<std::shared_ptr<Norm>> norms;
  std::shared_ptr<Linear> output;
  double dropout;
};

struct Output {
  Tensor predictions, risk_factors, embedding, state, statistics;
};

struct ASTGNNFactorModel : torch::nn::Module {
  ASTGNNFactorModel(const Config& config, uint64_t seed);
  Output forward(const Sequences& x, const Batch& batch);
  // The batch with the segments that a device's ops read, unless it has them.
  Batch with_segments(const Batch& batch) const;
  Config config;
  std::shared_ptr<FactorExtractor> factor_extractor;
  std::shared_ptr<RelationalEmbedding> relational_embedding;
  std::shared_ptr<Prediction> prediction;
};

// named parameters and buffers under the reference's names, in registration order; aliases, not
// copies.
std::vector<std::pair<std::string, Tensor>> state_dict(const torch::nn::Module& module);
// Copies `state` into the tensors of `own`. Strict: exactly these names and shapes. Throws
// TORCH_CHECK naming the first missing, unexpected or misshapen entry; nothing is copied then.
void copy_state(const std::vector<std::pair<std::string, Tensor>>& own,
                const std::vector<std::pair<std::string, Tensor>>& state);
void load_state_dict(torch::nn::Module& module,
                     const std::vector<std::pair<std::string, Tensor>>& state);
// A model of its own with the config, dtype and device of `model` and the weights of `state`, in
// evaluation mode.
std::shared_ptr<ASTGNNFactorModel> make_like(
    const ASTGNNFactorModel& model, const std::vector<std::pair<std::string, Tensor>>& state);

}  // namespace astgnn::nn
