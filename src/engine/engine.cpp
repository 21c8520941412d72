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
    layout_ = std::move(folded.layout);
    if (options_.kv_budget_bytes == 0)
        options_.kv_budget_bytes = options_.num_sequences * default_budget();
    pool_ = std::make_unique<PagePool>(options_.kv_budget_bytes);
}

std::unique_ptr<SequenceCache> Engine::new_sequence() {
    return std::make_unique<SequenceCache>(layout_, *pool_);
}

int64_t Engine::default_budget() const {
    const int64_t context = model_->max_context();
    int64_t bytes = layout_->peak_bytes(context, attends_exactly() ? 1 : options_.prefill_chunk);
    // Beside what a prompt leaves: what was there before a pass of it, and before all of them.
    if (layout_->loses_tokens()) bytes += 2 * layout_->peak_bytes(context, 1);
    if (attends_exactly()) {
        PagePool none(kPageBytes);
        const SequenceCache empty(layout_, none);
        const SequenceCache* const caches[] = {&empty};
        bytes += pages_for_bytes(model_->exact_prompt_bytes(caches, context)) * kPageBytes;
    }
    return bytes;
}

Growth Engine::growth(const SequenceCache& sequence, int64_t prompt_tokens,
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
    Growth growth{.num_tokens = num_tokens};
    if (prompt_tokens == 0) return growth;
    growth.prompt_end = prompt_end;
    if (attends_exactly()) {
        const SequenceCache* const caches[] = {&sequence};
        growth.pass_tokens = prompt_tokens;
        growth.other_bytes = model_->exact_prompt_bytes(caches, prompt_tokens);
    } else {
        growth.pass_tokens = std::min(prompt_tokens, options_.prefill_chunk);
        growth.step = growth.pass_tokens;
        if (PromptStart::shares_pages(sequence, prompt_tokens > growth.pass_tokens))
            growth.other_bytes = sequence.num_pages() * kPageBytes;
    }
    return growth;
}

Reservation Engine::reserve(SequenceCache& sequence, int64_t prompt_tokens,
                            int64_t new_tokens) const {
    return sequence.reserve(growth(sequence, prompt_tokens, new_tokens));
}

void Engine::check_request(const SequenceCache& sequence, int64_t prompt_tokens,
                           int64_t new_tokens) const {
    const Growth wanted = growth(sequence, prompt_tokens, new_tokens);
    if (sequence.has_room(wanted)) return;
    const int64_t needed = sequence.bytes_to_grow(wanted);
    const int64_t free = pool_->free_pages() * kPageBytes + sequence.promised_bytes();
    if (needed > free) {
        throw BudgetError(
            needed, free, std::to_string(wanted.num_tokens) + " tokens",
            "raise --kv-budget, shorten the request, or use a plan with a smaller cache");
    }
}

void Engine::prefill(SequenceCache& sequence, std::span<const int32_t> tokens,
                     const HiddenSink& sink, const std::function<bool()>& should_stop) {
    const auto count = static_cast<int64_t>(tokens.size());
    if (count == 0) return;
    const Reservation room = reserve(sequence, count, 0);
    const int64_t final_length = sequence.num_tokens() + count;
    // What attends exactly goes through each layer as a whole, in slices.
    const int64_t chunk = attends_exactly() ? count : options_.prefill_chunk;
    PromptStart start(sequence, count > chunk);
    for (int64_t t = 0; t < count; t += chunk) {
        if (t > 0 && should_stop && should_stop()) {
            start.keep();
            throw PromptStopped();
        }
        const int64_t n = std::min(chunk, count - t);
        const SequenceInput input{&sequence,
                                  tokens.subspan(static_cast<size_t>(t), static_cast<size_t>(n)),
                                  true, final_length};
        static_cast<void>(model_->forward({&input, 1}, nullptr, options_.prefill_chunk,
                                          [&](const Tensor& hidden) {
                                              if (sink) sink(t, hidden.f32().data(), n);
                                          }));
    }
    start.keep();
    release_prompt_buffers(count, options_);
}

Tensor Engine::decode(SequenceCache& sequence, int32_t token) {
    const SequenceInput input{&sequence, {&token, 1}, false, 0};
    Tensor logits(DType::kF32, {model_->config().vocab_size});
    static_cast<void>(model_->forward({&input, 1}, nullptr, 0, [&](const Tensor& hidden) {
        model_->logits(hidden.f32().data(), 1, logits.f32().data());
    }));
    return logits;
}

Tensor Engine::prefill_logits(SequenceCache& sequence, std::span<const int32_t> tokens,
                              const std::function<bool()>& should_stop) {
    if (tokens.empty()) throw UsageError("the prompt is empty", "", "give at least one token");
    Tensor logits(DType::kF32, {model_->config().vocab_size});
    const auto last = static_cast<int64_t>(tokens.size()) - 1;
    const auto sink = [&](int64_t first, const float* hidden, int64_t n) {
        if (first + n - 1 != last) return;
        model_->logits(hidden + (n - 1) * model_->config().hidden_size, 1, logits.f32().data());
    };
    prefill(sequence, tokens, sink, should_stop);
    return logits;
}

// ---- prompts of several passes

bool PromptStart::shares_pages(const SequenceCache& sequence, bool several_passes) {
    return several_passes && sequence.layout().loses_tokens();
}

PromptStart::PromptStart(SequenceCache& sequence, bool several_passes)
    : sequence_(several_passes ? &sequence : nullptr), num_tokens_(sequence.num_tokens()) {
    if (shares_pages(sequence, several_passes)) snapshot_ = sequence.snapshot();
}

PromptStart::PromptStart(PromptStart&& other) noexcept
    : sequence_(std::exchange(other.sequence_, nullptr)),
      num_tokens_(other.num_tokens_),
      snapshot_(std::move(other.snapshot_)) {}

void PromptStart::keep() noexcept {
    if (sequence_ != nullptr && snapshot_ != nullptr) sequence_->drop(*snapshot_);
    snapshot_.reset();
    sequence_ = nullptr;
}

PromptStart::~PromptStart() {
    if (sequence_ == nullptr) return;
    if (snapshot_ != nullptr) {
        sequence_->restore(*snapshot_);
    } else {
        LOWKEY_CHECK(sequence_->truncate(num_tokens_));
    }
}

CacheUsage Engine::usage(const SequenceCache& sequence) const {
    return {.bytes_allocated = sequence.num_pages() * kPageBytes,
            .bytes_full = layout_->bytes_full(sequence.num_tokens()),
            .tokens = sequence.num_tokens(),
            .peak_bytes = pool_->peak_bytes(),
            .pool_bytes = pool_->allocated_bytes()};
}

}  // namespace lowkey
