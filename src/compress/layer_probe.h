#pragma once

#include <cstdint>
#include <vector>

#include "compress/layer_runner.h"

namespace lowkey {

/// Measures what cached forms do to single layers, from the first to the last: a layer's output
/// with compressed heads against its uncompressed output, both with the inputs that the
/// uncompressed model gives the layer. Source: Eigen Attention (arXiv 2408.05646), section 3.2.
class LayerProbe {
public:
    /// Stands at layer 0. The runner must outlive the probe.
    explicit LayerProbe(const LayerRunner& runner);

    /// ‖Y − Y'‖_F / ‖Y‖_F over all tokens, Y' with the heads' codecs.
    [[nodiscard]] double error(const std::vector<HeadPlan>& heads) const;
    /// Steps to the next layer, whose input is this one's uncompressed output.
    void advance();

private:
    const LayerRunner& runner_;
    int64_t layer_ = 0;
    Tensor input_;
    Tensor output_;  ///< uncompressed, of the current layer
};

}  // namespace lowkey
