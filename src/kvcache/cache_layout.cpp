#include "kvcache/cache_layout.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "kvcache/dense_codec.h"

namespace lowkey {
namespace {

constexpr int64_t kMaxSinks = 64;

int64_t tiles_for(int64_t num_tokens) { return (num_tokens + kTileTokens - 1) / kTileTokens; }

HeadLayout make_head(const HeadPlan& plan, const CacheShape& shape, const CacheShape::Head& dims,
                     const std::string& where) {
    if (plan.policy.name != "all") {
        throw UnsupportedError("unknown token policy '" + plan.policy.name + "'", where,
                               "known is all");
    }
    const CodecContext key{dims.key_dim, shape.dtype, dims.rotary, where + ", key"};
    const CodecContext value{dims.value_dim, shape.dtype, dims.rotary, where + ", value"};
    HeadLayout head;
    head.body = {make_key_codec(plan.key, key), make_value_codec(plan.value, value),
                 dims.sliding_window};
    if (plan.exact_sinks < 0 || plan.exact_sinks > kMaxSinks) {
        throw UsageError("exact_sinks is " + std::to_string(plan.exact_sinks), where,
                         "use 0 to " + std::to_string(kMaxSinks));
    }
    if (plan.exact_sinks > 0) {
        head.num_sinks = plan.exact_sinks;
        head.sinks = {make_dense_key_codec({}, key), make_dense_value_codec({}, value),
                      dims.sliding_window};
        head.sink_tiles = tiles_for(head.num_sinks);
    }
    head.page_tiles = kPageBytes / head.body.tile_bytes();
    if (head.page_tiles < 1) {
        throw UnsupportedError("16 tokens take " + std::to_string(head.body.tile_bytes()) +
                                   " bytes, a page has " + std::to_string(kPageBytes),
                               where, "use a codec with fewer bytes per token");
    }
    head.first_page_tiles =
        std::max<int64_t>(0, (kPageBytes - head.sink_bytes()) / head.body.tile_bytes());
    if (head.sink_bytes() > kPageBytes) {
        throw UnsupportedError("the exact sinks take " + std::to_string(head.sink_bytes()) +
                                   " bytes, a page has " + std::to_string(kPageBytes),
                               where, "use fewer exact sinks");
    }
    return head;
}

}  // namespace

int64_t HeadLayout::pages_for(int64_t num_tokens) const {
    if (num_tokens <= 0) return 0;
    const int64_t tiles = tiles_for(std::max<int64_t>(0, num_tokens - num_sinks));
    const int64_t rest = std::max<int64_t>(0, tiles - first_page_tiles);
    return 1 + (rest + page_tiles - 1) / page_tiles;
}

CacheLayout::CacheLayout(const CachePlan& plan, const CacheShape& shape)
    : shape_(shape), prefill_attention_(plan.prefill_attention) {
    LOWKEY_CHECK(!shape.layers.empty());
    if (plan.layers.size() != shape.layers.size()) {
        throw UsageError("plan made for another model",
                         "the plan has " + std::to_string(plan.layers.size()) +
                             " layers, the model " + std::to_string(shape.layers.size()),
                         "make a plan for this model");
    }
    for (size_t layer = 0; layer < shape.layers.size(); ++layer) {
        if (plan.layers[layer].size() != shape.layers[layer].size()) {
            throw UsageError("plan made for another model",
                             "the plan has " + std::to_string(plan.layers[layer].size()) +
                                 " KV heads in layer " + std::to_string(layer) + ", the model " +
                                 std::to_string(shape.layers[layer].size()),
                             "make a plan for this model");
        }
        std::vector<HeadLayout>& heads = heads_.emplace_back();
        for (size_t head = 0; head < shape.layers[layer].size(); ++head) {
            heads.push_back(
                make_head(plan.layers[layer][head], shape, shape.layers[layer][head],
                          "layer " + std::to_string(layer) + ", KV head " + std::to_string(head)));
        }
    }
}

int64_t CacheLayout::bytes_for(int64_t num_tokens) const {
    int64_t pages = 0;
    for (const auto& layer : heads_) {
        for (const HeadLayout& head : layer) pages += head.pages_for(num_tokens);
    }
    return pages * kPageBytes;
}

int64_t CacheLayout::bytes_full(int64_t num_tokens) const {
    return 2 * num_layers() * num_kv_heads() * shape_.head_dim * num_tokens * 2;
}

}  // namespace lowkey
