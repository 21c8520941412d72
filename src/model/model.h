#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kvcache/sequence_cache.h"
#include "model/batch.h"
#include "model/buffers.h"
#include "model/model_config.h"
#include "model/observer.h"
#include "model/weights.h"

namespace lowkey {

class LayerAttention;

/// How to load a model.
struct ModelOptions {
    DType dtype = DType::kBF16;  ///< of weights, and of the dense cache: bf16 or f32
    int64_t max_context = 0;  ///< longest sequence that will be run; 0: what the checkpoint allows
};

/// A decoder-only transformer: one forward pass for all families. Immutable and thread-safe;
/// forward() uses all threads.
class Model {
public:
    /// Loads a Hugging Face directory. Throws FileError or UnsupportedError.
    static std::shared_ptr<const Model> load(const std::string& directory,
                                             const ModelOptions& options = {},
                                             const LoadProgress& on_progress = {});
    /// Of any checkpoint's configuration and weights.
    static std::shared_ptr<const Model> load(std::shared_ptr<const Checkpoint> checkpoint,
                                             const ModelOptions& options = {},
                                             const LoadProgress& on_progress = {});
    /// Rotary tables by layer, which share them; null where positions do not rotate.
    using Rotaries = std::vector<std::shared_ptr<const RotaryTable>>;
    /// Of parameters that are already there (folding makes such). `weights` and `rotaries`
    /// [num_layers] fit `config`.
    Model(ModelConfig config, ModelWeights weights, ModelOptions options, Rotaries rotaries);

    [[nodiscard]] const ModelConfig& config() const { return config_; }
    [[nodiscard]] const ModelWeights& weights() const { return weights_; }
    [[nodiscard]] const ModelOptions& options() const { return options_; }
    [[nodiscard]] int64_t max_context() const { return options_.max_context; }
    /// Tells the checkpoint from all others, by every byte of its weights (io/fingerprint.h).
    [[nodiscard]] const std::string& fingerprint() const { return weights_.fingerprint; }
    /// What a user should know of the checkpoint's files, a sentence each.
    [[nodiscard]] const std::vector<std::string>& warnings() const { return weights_.warnings; }
    /// How a layer rotates queries and keys; null when positions do not.
    [[nodiscard]] const std::shared_ptr<const RotaryTable>& rotary(int64_t layer) const {
        return rotaries_[static_cast<size_t>(layer)];
    }
    [[nodiscard]] const Rotaries& rotaries() const { return rotaries_; }
    /// Whether positions rotate queries and keys.
    [[nodiscard]] bool rotates() const { return rotaries_.front() != nullptr; }
    /// What the KV heads cache, for making a CacheLayout.
    [[nodiscard]] CacheShape cache_shape() const;

    /// Runs all layers over the next tokens of every sequence of the batch, which share the linear
    /// layers, and extends their caches. Returns the last layer's output [sum of tokens,
    /// hidden_size] f32, for logits(). Throws BudgetError before anything is computed when a cache
    /// has no room, UsageError for token ids outside the vocabulary and for sequences longer than
    /// max_context(). Whatever it throws, or an observer does, leaves all caches as they were; the
    /// next pass gives what it would have given. Each layer takes the tokens in slices of at most `slice_tokens` (0: all at
    /// once), which bounds its buffers; prompts that attend exactly see all earlier slices.
    /// `before_commit` gets the result while the pass can still fail: what it throws undoes the
    /// pass.
    using HiddenStates = std::function<void(const Tensor& hidden)>;
    [[nodiscard]] Tensor forward(std::span<const SequenceInput> batch,
                                 ForwardObserver* observer = nullptr, int64_t slice_tokens = 0,
                                 const HiddenStates& before_commit = {}) const;

    /// Bytes that hold a prompt's keys and values beside its caches' pages while forward() lets it
    /// attend exactly, one layer at a time. `caches`: of the sequence and its companions.
    [[nodiscard]] int64_t exact_prompt_bytes(std::span<const SequenceCache* const> caches,
                                             int64_t num_tokens) const;

    // The steps of forward(), for calibration, which runs single layers.
    /// Embeddings [sum of tokens, hidden_size].
    [[nodiscard]] Tensor embed(std::span<const SequenceInput> batch) const;
    /// One layer in place, with `buffers` that may serve all layers: hidden [sum of tokens,
    /// hidden_size]. The caches' heads of this layer grow, all of them or, when this throws, none;
    /// their token count is left to the caller, as is room in their pools.
    void run_layer(int64_t layer, std::span<const SequenceInput> batch, float* hidden,
                   ForwardBuffers& buffers, ForwardObserver* observer = nullptr,
                   int64_t slice_tokens = 0) const;

    /// logits [num_tokens, vocab_size] of rows of forward()'s result.
    void logits(const float* hidden, int64_t num_tokens, float* logits) const;

private:
    /// run_layer() within a step of the caller's.
    void layer_pass(int64_t layer, std::span<const SequenceInput> batch, float* hidden,
                    ForwardBuffers& buffers, ForwardObserver* observer, int64_t slice_tokens) const;
    /// The next tokens of some sequences through one layer, in place.
    void run_slice(int64_t layer, std::span<const SequenceInput> slice, LayerAttention& attention,
                   float* hidden, ForwardBuffers& buffers) const;
    void mlp(int64_t layer, const float* x, int64_t num_tokens, float* out, Scratch& buffers) const;

    ModelConfig config_;
    ModelWeights weights_;
    ModelOptions options_;
    Rotaries rotaries_;
};

}  // namespace lowkey
