#include "compress/layer_probe.h"

#include <cmath>
#include <utility>

#include "base/error.h"

namespace lowkey {

LayerProbe::LayerProbe(const LayerRunner& runner) : runner_(runner), input_(runner.embed()) {
    output_ = Tensor::convert(input_.view(), DType::kF32);
    runner_.run(0, runner_.dense().layers[0], output_);
}

double LayerProbe::error(const std::vector<HeadPlan>& heads) const {
    Tensor compressed = Tensor::convert(input_.view(), DType::kF32);
    runner_.run(layer_, heads, compressed);
    const std::span<const float> approximate = compressed.f32();
    const std::span<const float> exact = output_.f32();
    double difference = 0;
    double whole = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
        const double off = static_cast<double>(exact[i]) - approximate[i];
        difference += off * off;
        whole += static_cast<double>(exact[i]) * exact[i];
    }
    return std::sqrt(difference / whole);
}

void LayerProbe::advance() {
    LOWKEY_CHECK(layer_ < runner_.num_layers());
    ++layer_;
    input_ = std::move(output_);
    if (layer_ == runner_.num_layers()) return;
    output_ = Tensor::convert(input_.view(), DType::kF32);
    runner_.run(layer_, runner_.dense().layers[static_cast<size_t>(layer_)], output_);
}

}  // namespace lowkey
