#include "compress/layer_runner.h"

#include <utility>

namespace lowkey {

LayerRunner::LayerRunner(std::shared_ptr<const Model> model,
                         const std::vector<std::vector<int32_t>>& sequences)
    : model_(std::move(model)),
      sequences_(sequences),
      dense_(CachePlan::dense(model_->config().num_layers, model_->config().num_kv_heads)) {}

Tensor LayerRunner::embed() const {
    const auto layout = std::make_shared<const CacheLayout>(dense_, model_->cache_shape());
    PagePool pool(kPageBytes);
    SequenceCache empty(layout, pool);
    std::vector<SequenceInput> batch;
    for (const auto& sequence : sequences_) batch.push_back({&empty, sequence, true});
    return model_->embed(batch);
}

void LayerRunner::run(int64_t layer, const std::vector<HeadPlan>& heads, Tensor& hidden) const {
    CachePlan plan = dense_;
    plan.layers[static_cast<size_t>(layer)] = heads;
    const auto layout = std::make_shared<const CacheLayout>(plan, model_->cache_shape());
    int64_t pages = 1;
    for (const auto& sequence : sequences_) {
        for (int64_t head = 0; head < layout->num_kv_heads(); ++head) {
            const auto length = static_cast<int64_t>(sequence.size());
            pages += layout->head(layer, head).peak_pages(length, length, length);
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
    ForwardBuffers buffers;
    model_->run_layer(layer, batch, hidden.f32().data(), buffers);
}

void LayerRunner::run_from(int64_t first, const CachePlan& plan, Tensor& hidden) const {
    for (int64_t layer = first; layer < num_layers(); ++layer) {
        run(layer, plan.layers[static_cast<size_t>(layer)], hidden);
    }
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
