#include "eval/likelihood.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "eval/next_token.h"
#include "jinja/text.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

/// Whether some head chooses after every step which tokens it keeps.
bool selects(const CacheLayout& layout) {
    for (int64_t layer = 0; layer < layout.num_layers(); ++layer) {
        for (int64_t head = 0; head < layout.num_kv_heads(); ++head) {
            if (layout.head(layer, head).selects()) return true;
        }
    }
    return false;
}

/// Tokens of a continuation that enter the cache: its last one is only predicted.
std::span<const int32_t> cached_tokens(const Continuation& continuation) {
    return std::span(continuation.tokens).first(continuation.tokens.size() - 1);
}

/// Rows of the last layer's output, one before each token of a continuation.
struct Rows {
    Tensor hidden;  ///< [tokens of the continuation, hidden_size]

    Rows(const Continuation& continuation, int64_t hidden_size)
        : hidden(DType::kF32, {std::ssize(continuation.tokens), hidden_size}) {}
    void set(int64_t row, const float* values, int64_t count) {
        std::copy_n(values, count * hidden.dim(1), hidden.f32().data() + row * hidden.dim(1));
    }
};

/// Runs continuations side by side, each in its own cache, which holds its context.
void run_side_by_side(Engine& engine, std::span<const std::unique_ptr<SequenceCache>> caches,
                      std::span<const Continuation> continuations, std::span<Rows> rows) {
    const int64_t hidden_size = engine.model().config().hidden_size;
    int64_t longest = 0;
    for (const Continuation& continuation : continuations)
        longest = std::max(longest, std::ssize(cached_tokens(continuation)));
    const int64_t step = selects(engine.layout()) ? 1 : longest;
    for (int64_t first = 0; first < longest; first += step) {
        std::vector<SequenceInput> batch;
        std::vector<size_t> members;
        for (size_t i = 0; i < continuations.size(); ++i) {
            const auto tokens = cached_tokens(continuations[i]);
            if (first >= std::ssize(tokens)) continue;
            const auto count = static_cast<size_t>(std::min(step, std::ssize(tokens) - first));
            batch.push_back({caches[i].get(), tokens.subspan(static_cast<size_t>(first), count)});
            members.push_back(i);
        }
        const Tensor hidden = engine.model().forward(batch);
        const float* row = hidden.f32().data();
        for (size_t b = 0; b < batch.size(); ++b) {
            const int64_t count = std::ssize(batch[b].tokens);
            rows[members[b]].set(first + 1, row, count);
            row += count * hidden_size;
        }
    }
}

/// Puts a context into a cache; returns the last layer's output [hidden_size] of its last token,
/// which predicts the first of a continuation. An exact prompt does not meet the cache that it
/// leaves behind, so there the last token comes alone, as decoding would have it.
Tensor fill_context(Engine& engine, SequenceCache& cache, std::span<const int32_t> context) {
    const CacheLayout& layout = engine.layout();
    const bool decodes_last =
        layout.prefill_attention() == PrefillAttention::kExact && !layout.keeps_everything();
    const auto prompt = context.first(context.size() - (decodes_last ? 1 : 0));
    const int64_t hidden_size = engine.model().config().hidden_size;
    Tensor last(DType::kF32, {hidden_size});
    engine.prefill(cache, prompt, [&](int64_t first, const float* hidden, int64_t n) {
        if (first + n == std::ssize(prompt))
            std::copy_n(hidden + (n - 1) * hidden_size, hidden_size, last.f32().data());
    });
    if (decodes_last) {
        const SequenceInput input{&cache, context.last(1)};
        const Tensor hidden = engine.model().forward({&input, 1});
        std::copy_n(hidden.f32().data(), hidden_size, last.f32().data());
    }
    return last;
}

/// Scores continuations of one context, as many at a time as the cache has room for.
void run_group(Engine& engine, std::span<const Continuation> group, std::span<Rows> rows,
               CacheUsage& largest) {
    const auto base = engine.new_sequence();
    const Tensor last = fill_context(engine, *base, group.front().context);
    for (Rows& r : rows) r.set(0, last.f32().data(), 1);
    const CacheUsage usage = engine.usage(*base);
    if (usage.tokens > largest.tokens) largest = usage;
    for (size_t begin = 0; begin < group.size();) {
        std::vector<std::unique_ptr<SequenceCache>> forks;
        int64_t free = base->pool().free_pages() * kPageBytes;
        while (begin + forks.size() < group.size()) {
            auto fork = base->fork();
            const int64_t count = std::ssize(cached_tokens(group[begin + forks.size()]));
            free -= fork->bytes_to_grow(count, count, 0);
            if (free < 0 && !forks.empty()) break;
            forks.push_back(std::move(fork));
        }
        const size_t count = forks.size();
        run_side_by_side(engine, forks, group.subspan(begin, count), rows.subspan(begin, count));
        begin += count;
    }
}

Likelihood score_rows(const Model& model, const Continuation& continuation, const Tensor& hidden) {
    const int64_t vocab = model.config().vocab_size;
    const int64_t count = hidden.dim(0);
    const int64_t block = std::min(logits_block(vocab), count);
    Tensor logits(DType::kF32, {block, vocab});
    std::vector<double> nlls(static_cast<size_t>(count));
    std::vector<int32_t> greedy(static_cast<size_t>(count));
    for (int64_t first = 0; first < count; first += block) {
        const int64_t n = std::min(block, count - first);
        model.logits(hidden.f32().data() + first * hidden.dim(1), n, logits.f32().data());
        parallel_for(n, [&](int64_t i) {
            const auto row =
                logits.f32().subspan(static_cast<size_t>(i * vocab), static_cast<size_t>(vocab));
            const auto at = static_cast<size_t>(first + i);
            nlls[at] = nll_of(row, continuation.tokens[at]);
            greedy[at] = likeliest(row);
        });
    }
    Likelihood likelihood;
    for (const double nll : nlls) likelihood.log_likelihood -= nll;
    likelihood.greedy = greedy == continuation.tokens;
    return likelihood;
}

}  // namespace

Continuation encode_continuation(const Tokenizer& tokenizer, std::string_view context,
                                 std::string_view continuation, int32_t start,
                                 std::optional<int32_t> first) {
    Continuation out;
    if (first) out.context.push_back(*first);
    if (context.empty()) {
        if (!first) out.context.push_back(start);
        out.tokens = tokenizer.encode(continuation, false);
    } else {
        const std::string whole = std::string(context).append(continuation);
        const std::string_view stripped = jinja::strip(context, std::nullopt, jinja::Side::kRight);
        const std::vector<int32_t> alone = tokenizer.encode(stripped, false);
        const std::vector<int32_t> together = tokenizer.encode(whole, false);
        out.context.insert(out.context.end(), alone.begin(), alone.end());
        const auto behind = std::min(std::ssize(alone), std::ssize(together));
        out.tokens.assign(together.begin() + behind, together.end());
        if (out.context.empty()) out.context.push_back(start);  // nothing but white space
    }
    if (out.tokens.empty()) {
        throw UsageError("nothing to score", "'" + std::string(continuation) + "'",
                         "a continuation needs a token of its own");
    }
    return out;
}

Likelihoods score_continuations(Engine& engine, std::span<const Continuation> continuations) {
    Likelihoods out;
    std::vector<Rows> rows;
    for (const Continuation& continuation : continuations)
        rows.emplace_back(continuation, engine.model().config().hidden_size);
    for (size_t begin = 0; begin < continuations.size();) {
        size_t end = begin + 1;
        while (end < continuations.size() &&
               continuations[end].context == continuations[begin].context) {
            ++end;
        }
        run_group(engine, continuations.subspan(begin, end - begin),
                  std::span(rows).subspan(begin, end - begin), out.cache);
        begin = end;
    }
    for (size_t i = 0; i < continuations.size(); ++i) {
        out.continuations.push_back(score_rows(engine.model(), continuations[i], rows[i].hidden));
    }
    out.cache.peak_bytes = engine.usage(*engine.new_sequence()).peak_bytes;
    return out;
}

}  // namespace lowkey
