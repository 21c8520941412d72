#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kvcache/plan.h"
#include "model/model.h"

namespace lowkey {

/// Runs single layers of a model over whole sequences, each with the cached form that a plan gives
/// its heads: every token, the querying one included, is attended to as the cache would hold it.
class LayerRunner {
public:
    /// `sequences` must outlive the runner.
    LayerRunner(std::shared_ptr<const Model> model,
                const std::vector<std::vector<int32_t>>& sequences);

    [[nodiscard]] const Model& model() const { return *model_; }
    [[nodiscard]] int64_t num_layers() const { return model_->config().num_layers; }
    /// Input of layer 0, [tokens of all sequences, hidden_size].
    [[nodiscard]] Tensor embed() const;
    /// One layer in place.
    void run(int64_t layer, const std::vector<HeadPlan>& heads, Tensor& hidden) const;
    /// Layers [first, end) in place.
    void run_from(int64_t first, const CachePlan& plan, Tensor& hidden) const;
    /// The plan that compresses nothing.
    [[nodiscard]] const CachePlan& dense() const { return dense_; }

private:
    std::shared_ptr<const Model> model_;
    const std::vector<std::vector<int32_t>>& sequences_;
    CachePlan dense_;
};

/// The first sequences that together have at most `max_tokens` tokens; at least one.
std::vector<std::vector<int32_t>> first_sequences(
    const std::vector<std::vector<int32_t>>& sequences, int64_t max_tokens);

}  // namespace lowkey
