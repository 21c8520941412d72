#include "eval/random_cache.h"

#include <algorithm>
#include <random>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"

namespace lowkey {
namespace {

/// What the heads are given: the same tokens for all of them.
class RandomTokens {
public:
    RandomTokens(const CacheLayout& layout, int64_t num_tokens) {
        for (int64_t layer = 0; layer < layout.num_layers(); ++layer) {
            for (int64_t head = 0; head < layout.num_kv_heads(); ++head) {
                const CacheShape::Head& dims = layout.head(layer, head).dims;
                key_dim_ = std::max(key_dim_, dims.key_dim);
                value_dim_ = std::max(value_dim_, dims.value_dim);
            }
        }
        keys_ = numbers(num_tokens, key_dim_, 1);
        values_ = numbers(num_tokens, value_dim_, 2);
        for (const float x : numbers(num_tokens, 1, 3)) attention_.push_back((1.0 + x) / 2);
    }

    [[nodiscard]] TokenRows rows(int64_t first, int64_t count) const {
        const float* keys = keys_.data() + first * key_dim_;
        return {keys, keys, key_dim_, values_.data() + first * value_dim_, value_dim_, count};
    }
    [[nodiscard]] std::span<const double> attention(int64_t count) const {
        return std::span(attention_).first(static_cast<size_t>(count));
    }

private:
    static std::vector<float> numbers(int64_t num_tokens, int64_t dim, uint64_t seed) {
        std::vector<float> out(static_cast<size_t>(num_tokens * dim));
        parallel_for(num_tokens, [&](int64_t t) {
            std::minstd_rand random(static_cast<uint32_t>(seed * 0x9e3779b9u + t * 0x85ebca6bu));
            for (int64_t i = t * dim; i < (t + 1) * dim; ++i) {
                // The upper of its 31 bits, which a float holds exactly.
                const auto bits = static_cast<float>(random() >> 7);
                out[static_cast<size_t>(i)] = bits * 0x1p-23f - 1.0f;
            }
        });
        return out;
    }

    int64_t key_dim_ = 0;
    int64_t value_dim_ = 0;
    std::vector<float> keys_;
    std::vector<float> values_;
    std::vector<double> attention_;
};

/// A whole prompt that attended to itself elsewhere enters one layer, as ExactPrompt::write() does
/// it.
void fill_exactly(SequenceCache& cache, int64_t layer, const RandomTokens& tokens,
                  int64_t num_tokens) {
    const int64_t heads = cache.layout().num_kv_heads();
    std::vector<std::vector<int64_t>> entering(static_cast<size_t>(heads));
    for (int64_t h = 0; h < heads; ++h) {
        HeadCache& head = cache.head(layer, h);
        std::vector<int64_t>& own = entering[static_cast<size_t>(h)];
        head.begin_prompt(num_tokens);
        if (head.layout().selects()) own = head.select({}, tokens.attention(num_tokens), true);
        head.forget(num_tokens);
        head.reserve(num_tokens, head.layout().selects() ? std::ssize(own) : num_tokens);
    }
    parallel_for(heads, [&](int64_t h) {
        HeadCache& head = cache.head(layer, h);
        const TokenRows rows = tokens.rows(0, num_tokens);
        if (!head.layout().selects()) return head.append(rows);
        const std::vector<int64_t>& own = entering[static_cast<size_t>(h)];
        std::vector<double> attention;
        attention.reserve(own.size());
        for (const int64_t token : own)
            attention.push_back(tokens.attention(num_tokens)[static_cast<size_t>(token)]);
        head.append_selected(rows, own, attention);
    });
}

/// The tokens [first, end) of a prompt enter one layer, as LayerAttention does it.
void fill_chunk(SequenceCache& cache, int64_t layer, const RandomTokens& tokens, int64_t first,
                int64_t end, int64_t num_tokens) {
    const int64_t heads = cache.layout().num_kv_heads();
    for (int64_t h = 0; h < heads; ++h) {
        cache.head(layer, h).begin_prompt(num_tokens);
        cache.head(layer, h).reserve(end - first);
    }
    parallel_for(heads, [&](int64_t h) {
        HeadCache& head = cache.head(layer, h);
        head.append(tokens.rows(first, end - first));
        head.settle(first, end - first);
        if (head.layout().selects())
            head.select(tokens.attention(head.num_held()), {}, /*prompt=*/true);
        head.forget(end);
    });
}

}  // namespace

void fill_cache(SequenceCache& cache, int64_t num_tokens, int64_t chunk_tokens) {
    LOWKEY_CHECK(cache.num_tokens() == 0 && chunk_tokens > 0);
    if (num_tokens == 0) return;
    const CacheLayout& layout = cache.layout();
    const RandomTokens tokens(layout, num_tokens);
    const bool exact = layout.prefill_attention() == PrefillAttention::kExact;
    const int64_t step = exact ? num_tokens : chunk_tokens;
    for (int64_t first = 0; first < num_tokens; first += step) {
        const int64_t end = std::min(first + step, num_tokens);
        for (int64_t layer = 0; layer < layout.num_layers(); ++layer) {
            if (exact) {
                fill_exactly(cache, layer, tokens, num_tokens);
            } else {
                fill_chunk(cache, layer, tokens, first, end, num_tokens);
            }
        }
    }
    cache.set_num_tokens(num_tokens);
}

}  // namespace lowkey
