#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kvcache/plan.h"
#include "model/model.h"

namespace lowkey {

/// Measures what cached forms do to single layers, from the first to the last: a layer's output
/// with compressed heads against its uncompressed output, both with the inputs that the
/// uncompressed model gives the layer. Source: Eigen Attention (arXiv 2408.05646), section 3.2.
class LayerProbe {
public:
    /// `sequences` are run whole from position 0; stands at layer 0.
    LayerProbe(std::shared_ptr<const Model> model,
               const std::vector<std::vector<int32_t>>& sequences);

    [[nodiscard]] int64_t layer() const { return layer_; }
    /// ‖Y − Y'‖_F / ‖Y‖_F over all tokens, Y' with the heads' codecs, each token's own key and
    /// value included.
    [[nodiscard]] double error(const std::vector<HeadPlan>& heads) const;
    /// This layer's output with these heads, [tokens of all sequences, hidden_size].
    [[nodiscard]] Tensor output(const std::vector<HeadPlan>& heads) const;
    /// Steps to the next layer, whose input is this one's uncompressed output.
    void advance();

    /// Runs layers [first, end) uncompressed over `hidden` in place.
    void run_dense(int64_t first, Tensor& hidden) const;
    /// Input of the current layer.
    [[nodiscard]] const Tensor& input() const { return input_; }
    /// Tokens of all sequences.
    [[nodiscard]] int64_t num_tokens() const { return input_.dim(0); }

private:
    void run(int64_t layer, const CachePlan& plan, Tensor& hidden) const;
    [[nodiscard]] CachePlan dense_plan() const;

    std::shared_ptr<const Model> model_;
    const std::vector<std::vector<int32_t>>& sequences_;
    int64_t layer_ = 0;
    Tensor input_;
    Tensor output_;  ///< uncompressed, of the current layer
};

/// The first sequences that together have at most `max_tokens` tokens; at least one.
std::vector<std::vector<int32_t>> first_sequences(
    const std::vector<std::vector<int32_t>>& sequences, int64_t max_tokens);

}  // namespace lowkey
