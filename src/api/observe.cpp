#include "lowkey/observe.h"

#include "api/access.h"
#include "base/error.h"

namespace lowkey::api {
namespace {

class LayerObserver final : public ForwardObserver {
public:
    LayerObserver(const ModelConfig& config,
                  const std::function<void(const LayerVectors& seen)>& on_layer)
        : config_(config), on_layer_(on_layer) {}

    void on_rotated(const ObservedTokens& seen) override {
        LayerVectors out;
        out.layer = seen.layer;
        out.num_tokens = seen.num_tokens;
        out.num_heads = config_.num_heads;
        out.num_kv_heads = config_.num_kv_heads;
        out.head_dim = config_.head_dim;
        out.softmax_scale = config_.softmax_scale;
        out.queries = seen.q;
        out.keys = seen.k;
        out.values = seen.v;
        out.query_stride = seen.q_stride;
        out.kv_stride = seen.kv_stride;
        on_layer_(out);
    }

private:
    const ModelConfig& config_;
    const std::function<void(const LayerVectors& seen)>& on_layer_;
};

}  // namespace

void observe(const Model& model, std::span<const int32_t> tokens,
             const std::function<void(const LayerVectors& seen)>& on_layer) {
    if (tokens.empty()) throw UsageError("no tokens to observe", "", "give at least one");
    check_ids(model, tokens);
    const lowkey::Model& own = *Access::model(model);
    const ModelConfig& config = own.config();
    LayerObserver observer(config, on_layer);
    const auto layout = std::make_shared<const CacheLayout>(
        CachePlan::dense(config.num_layers, config.num_kv_heads), own.cache_shape());
    const auto count = static_cast<int64_t>(tokens.size());
    PagePool pool(layout->peak_bytes(count, count));
    SequenceCache cache(layout, pool);
    const SequenceInput input{&cache, tokens, true};
    static_cast<void>(own.forward({&input, 1}, &observer));
}

}  // namespace lowkey::api
