#include "compress/layer_probe.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace lowkey {
namespace {

Tensor copy(const Tensor& from) { return Tensor::convert(from.view(), DType::kF32); }

}  // namespace

LayerProbe::LayerProbe(std::shared_ptr<const Model> model,
                       const std::vector<std::vector<int32_t>>& sequences)
    : model_(std::move(model)), sequences_(sequences) {
    const auto layout = std::make_shared<const CacheLayout>(dense_plan(), model_->cache_shape());
    PagePool pool(kPageBytes);
    SequenceCache empty(layout, pool);
    std::vector<SequenceInput> batch;
    for (const auto& sequence : sequences_) batch.push_back({&empty, sequence, true});
    input_ = model_->embed(batch);
    output_ = copy(input_);
    run(layer_, dense_plan(), output_);
}

CachePlan LayerProbe::dense_plan() const {
    return CachePlan::dense(model_->config().num_layers, model_->config().num_kv_heads);
}

void LayerProbe::run(int64_t layer, const CachePlan& plan, Tensor& hidden) const {
    const auto layout = std::make_shared<const CacheLayout>(plan, model_->cache_shape());
    int64_t pages = 1;
    for (const auto& sequence : sequences_) {
        for (int64_t head = 0; head < layout->num_kv_heads(); ++head) {
            pages += layout->head(layer, head).pages_for(static_cast<int64_t>(sequence.size()));
        }
    }
    PagePool pool(pages * kPageBytes);
    std::vector<SequenceCache> caches;
    caches.reserve(sequences_.size());
    std::vector<SequenceInput> batch;
    for (const auto& sequence : sequences_) {
        caches.emplace_back(layout, pool);
        batch.push_back({&caches.back(), sequence, true});
    }
    model_->run_layer(layer, batch, hidden.f32().data());
}

Tensor LayerProbe::output(const std::vector<HeadPlan>& heads) const {
    CachePlan plan = dense_plan();
    plan.layers[static_cast<size_t>(layer_)] = heads;
    Tensor hidden = copy(input_);
    run(layer_, plan, hidden);
    return hidden;
}

double LayerProbe::error(const std::vector<HeadPlan>& heads) const {
    const Tensor compressed = output(heads);
    double difference = 0;
    double whole = 0;
    for (size_t i = 0; i < compressed.f32().size(); ++i) {
        const double exact = output_.f32()[i];
        const double off = exact - compressed.f32()[i];
        difference += off * off;
        whole += exact * exact;
    }
    return std::sqrt(difference / whole);
}

void LayerProbe::advance() {
    LOWKEY_CHECK(layer_ < model_->config().num_layers);
    ++layer_;
    input_ = std::move(output_);
    output_ = copy(input_);
    if (layer_ < model_->config().num_layers) run(layer_, dense_plan(), output_);
}

void LayerProbe::run_dense(int64_t first, Tensor& hidden) const {
    for (int64_t layer = first; layer < model_->config().num_layers; ++layer)
        run(layer, dense_plan(), hidden);
}

std::vector<std::vector<int32_t>> first_sequences(
    const std::vector<std::vector<int32_t>>& sequences, int64_t max_tokens) {
    std::vector<std::vector<int32_t>> chosen;
    int64_t tokens = 0;
    for (const auto& sequence : sequences) {
        tokens += static_cast<int64_t>(sequence.size());
        if (!chosen.empty() && tokens > max_tokens) break;
        chosen.push_back(sequence);
    }
    return chosen;
}

}  // namespace lowkey
