#include "compress/head_samples.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "base/progress.h"
#include "kvcache/sequence_cache.h"

namespace lowkey {
namespace {

class SampleObserver final : public ForwardObserver {
public:
    SampleObserver(const ModelConfig& config, HeadSamples& samples, int64_t skip)
        : config_(config), samples_(samples), skip_(skip) {}

    void on_projected(const ObservedTokens& seen) override {
        const int64_t d = config_.head_dim;
        const auto layer = static_cast<size_t>(seen.layer);
        for (int64_t t = 0; t < seen.num_tokens; ++t) {
            const int64_t position = seen.first_position + t;
            if (position < skip_) continue;
            if (layer == 0) samples_.positions.push_back(position);
            for (int64_t h = 0; h < config_.num_kv_heads; ++h) {
                add(samples_.keys[layer][static_cast<size_t>(h)], seen.layer, h,
                    seen.k + t * seen.kv_stride + h * d);
                add(samples_.values[layer][static_cast<size_t>(h)], seen.layer, h,
                    seen.v + t * seen.kv_stride + h * d);
            }
        }
    }

private:
    void add(std::vector<float>& to, int64_t layer, int64_t head, const float* x) const {
        float sum = 0;
        for (int64_t i = 0; i < config_.head_dim; ++i) sum += 0.0f * x[i];
        if (!std::isfinite(sum)) {
            throw Error("not finite: keys or values",
                        "layer " + std::to_string(layer) + ", KV head " + std::to_string(head),
                        "the checkpoint is broken: get it again");
        }
        to.insert(to.end(), x, x + config_.head_dim);
    }

    const ModelConfig& config_;
    HeadSamples& samples_;
    int64_t skip_;
};

}  // namespace

HeadSamples sample_heads(const Model& model, const std::vector<std::vector<int32_t>>& sequences,
                         int64_t skip) {
    const ModelConfig& config = model.config();
    HeadSamples samples;
    samples.dim = config.head_dim;
    const std::vector<std::vector<float>> heads(static_cast<size_t>(config.num_kv_heads));
    samples.keys.assign(static_cast<size_t>(config.num_layers), heads);
    samples.values = samples.keys;
    SampleObserver observer(config, samples, skip);
    const auto layout = std::make_shared<const CacheLayout>(
        CachePlan::dense(config.num_layers, config.num_kv_heads), model.cache_shape());
    Progress progress("sample keys and values", std::ssize(sequences));
    int64_t done = 0;
    for (const auto& sequence : sequences) {
        const auto length = std::ssize(sequence);
        PagePool pool(layout->peak_bytes(length, length));
        SequenceCache cache(layout, pool);
        const SequenceInput input{&cache, sequence, true};
        static_cast<void>(model.forward({&input, 1}, &observer));
        progress.update(++done);
    }
    return samples;
}

}  // namespace lowkey
