#include "engine/engine.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/heap.h"
#include "model/fold.h"

namespace lowkey {

void release_prompt_buffers(int64_t num_tokens, const EngineOptions& options) {
    if (num_tokens >= options.prefill_chunk) release_free_memory();
}

Engine::Engine(const std::shared_ptr<const Model>& model, const CachePlan& plan,
               const EngineOptions& options)
    : options_(options) {
    FoldedModel folded = fold(model, plan);
    model_ = std::move(folded.model);
    layout_ = std::make_shared<const CacheLayout>(folded.plan, model_->cache_shape());
    if (options_.kv_budget_bytes == 0)
        options_.kv_budget_bytes =
            options_.num_sequences * layout_->peak_bytes(model_->max_context(), step());
    pool_ = std::make_unique<PagePool>(options_.kv_budget_bytes);
}

std::unique_ptr<SequenceCache> Engine::new_sequence() {
    return std::make_unique<SequenceCache>(layout_, *pool_);
}

void Engine::check_request(const SequenceCache& sequence, int64_t prompt_tokens,
                           int64_t new_tokens) const {
    const int64_t prompt_end = sequence.num_tokens() + prompt_tokens;
    const int64_t num_tokens = prompt_end + new_tokens;
    if (num_tokens > model_->max_context()) {
        throw UsageError(std::to_string(num_tokens) + " tokens do not fit the context of " +
                             std::to_string(model_->max_context()),
                         "",
                         "shorten the prompt or the generation, or raise --max-context where the "
                         "model allows it");
    }
    const int64_t needed =
        sequence.bytes_to_grow(num_tokens - sequence.num_tokens(), step(), prompt_end);
    const int64_t free = pool_->free_pages() * kPageBytes;
    if (needed > free) {
        throw BudgetError(
            needed, free, std::to_string(num_tokens) + " tokens",
            "raise --kv-budget, shorten the request, or use a plan with a smaller cache");
    }
}

void Engine::prefill(SequenceCache& sequence, std::span<const int32_t> tokens,
                     const HiddenSink& sink) {
    const auto count = static_cast<int64_t>(tokens.size());
    check_request(sequence, count, 0);
    const int64_t final_length = sequence.num_tokens() + count;
    // What attends exactly goes through each layer as a whole, in slices.
    const int64_t chunk = attends_exactly() ? std::max<int64_t>(count, 1) : options_.prefill_chunk;
    for (int64_t t = 0; t < count; t += chunk) {
        const int64_t n = std::min(chunk, count - t);
        const SequenceInput input{&sequence,
                                  tokens.subspan(static_cast<size_t>(t), static_cast<size_t>(n)),
                                  true, final_length};
        const Tensor hidden = model_->forward({&input, 1}, nullptr, options_.prefill_chunk);
        if (sink) sink(t, hidden.f32().data(), n);
    }
    release_prompt_buffers(count, options_);
}

Tensor Engine::decode(SequenceCache& sequence, int32_t token) {
    const SequenceInput input{&sequence, {&token, 1}, false, 0};
    const Tensor hidden = model_->forward({&input, 1});
    Tensor logits(DType::kF32, {model_->config().vocab_size});
    model_->logits(hidden.f32().data(), 1, logits.f32().data());
    return logits;
}

Tensor Engine::prefill_logits(SequenceCache& sequence, std::span<const int32_t> tokens,
                              const std::function<void()>& between_chunks) {
    if (tokens.empty()) throw UsageError("the prompt is empty", "", "give at least one token");
    Tensor logits(DType::kF32, {model_->config().vocab_size});
    const auto last = static_cast<int64_t>(tokens.size()) - 1;
    prefill(sequence, tokens, [&](int64_t first, const float* hidden, int64_t n) {
        if (first + n - 1 != last) {
            if (between_chunks) between_chunks();
            return;
        }
        model_->logits(hidden + (n - 1) * model_->config().hidden_size, 1, logits.f32().data());
    });
    return logits;
}

CacheUsage Engine::usage(const SequenceCache& sequence) const {
    return {.bytes_allocated = pool_->allocated_bytes(),
            .bytes_full = layout_->bytes_full(sequence.num_tokens()),
            .tokens = sequence.num_tokens(),
            .peak_bytes = pool_->peak_bytes()};
}

}  // namespace lowkey
