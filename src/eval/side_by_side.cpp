#include "eval/side_by_side.h"

#include <algorithm>

#include "engine/shared_prompt.h"
#include "eval/next_token.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

std::span<const float> row_of(const Tensor& rows, int64_t row) {
    return rows.f32().subspan(static_cast<size_t>(row * rows.dim(1)),
                              static_cast<size_t>(rows.dim(1)));
}

}  // namespace

SideBySide::SideBySide(std::span<Engine* const> engines, Stepping stepping)
    : engines_(engines), stepping_(stepping) {
    for (Engine* engine : engines) sequences_.push_back(engine->new_sequence());
}

void SideBySide::prefill(std::span<const int32_t> tokens, const HiddenSink& sink) {
    std::vector<PromptTarget> targets;
    for (size_t i = 0; i < size(); ++i) targets.push_back({engines_[i], sequences_[i].get()});
    prefill_shared(targets, tokens,
                   [&](size_t i, int64_t first, const float* hidden, int64_t num_tokens) {
                       if (sink) sink(i, first, hidden, num_tokens);
                   });
}

std::vector<size_t> SideBySide::company(size_t i,
                                        std::span<const std::optional<int32_t>> tokens) const {
    std::vector<size_t> members = {i};
    if (stepping_ == Stepping::kAlone) return members;
    for (size_t j = i + 1; j < size(); ++j) {
        if (tokens[j] && &engine(j).model() == &engine(i).model()) members.push_back(j);
    }
    return members;
}

Tensor SideBySide::decode(std::span<const std::optional<int32_t>> tokens) {
    const int64_t hidden_size = engine(0).model().config().hidden_size;
    Tensor all = Tensor::zeros(DType::kF32, {std::ssize(engines_), hidden_size});
    std::vector<bool> done(size());
    for (size_t i = 0; i < size(); ++i) {
        if (done[i] || !tokens[i]) continue;
        const std::vector<size_t> members = company(i, tokens);
        std::vector<SequenceInput> batch;
        for (const size_t j : members) batch.push_back({sequences_[j].get(), {&*tokens[j], 1}});
        const Tensor hidden = engine(i).model().forward(batch);
        for (size_t b = 0; b < members.size(); ++b) {
            done[members[b]] = true;
            std::copy_n(row_of(hidden, static_cast<int64_t>(b)).data(), hidden_size,
                        all.f32().data() + static_cast<int64_t>(members[b]) * hidden_size);
        }
    }
    return all;
}

Tensor SideBySide::logits(const Tensor& hidden) const {
    // The output head is never folded: that of one engine serves all.
    const Model& model = engine(0).model();
    const int64_t vocab = model.config().vocab_size;
    Tensor logits(DType::kF32, {hidden.dim(0), vocab});
    const int64_t rows = stepping_ == Stepping::kAlone ? 1 : hidden.dim(0);
    for (int64_t row = 0; row < hidden.dim(0); row += rows)
        model.logits(row_of(hidden, row).data(), rows, logits.f32().data() + row * vocab);
    return logits;
}

Continuations continue_side_by_side(std::span<Engine* const> engines, const Tokenizer& tokenizer,
                                    std::span<const int32_t> prompt,
                                    const ContinueOptions& options) {
    SideBySide caches(engines, options.stepping);
    const int64_t hidden_size = engines.front()->model().config().hidden_size;
    Tensor hidden(DType::kF32, {std::ssize(engines), hidden_size});
    caches.prefill(prompt, [&](size_t i, int64_t first, const float* rows, int64_t n) {
        if (first + n != std::ssize(prompt)) return;
        std::copy_n(rows + (n - 1) * hidden_size, hidden_size,
                    hidden.f32().data() + static_cast<int64_t>(i) * hidden_size);
    });
    for (const int32_t id : options.decoded_prompt)
        hidden = caches.decode(std::vector<std::optional<int32_t>>(caches.size(), id));

    Continuations out;
    out.ids.resize(caches.size());
    std::vector<std::optional<int32_t>> next(caches.size());
    std::vector<bool> complete(caches.size());
    for (int64_t step = 0; step < options.max_new_tokens; ++step) {
        const Tensor logits = caches.logits(hidden);
        bool any = false;
        for (size_t i = 0; i < caches.size(); ++i) {
            next[i].reset();
            if (complete[i]) continue;
            const int32_t id = likeliest(row_of(logits, static_cast<int64_t>(i)));
            if (!tokenizer.is_special(id)) out.ids[i].push_back(id);
            complete[i] = tokenizer.is_special(id) ||
                          (options.is_complete && options.is_complete(out.ids[i]));
            if (complete[i]) continue;
            next[i] = id;
            any = true;
        }
        if (!any || step + 1 == options.max_new_tokens) break;
        hidden = caches.decode(next);
    }
    for (size_t i = 0; i < caches.size(); ++i) out.usage.push_back(caches.usage(i));
    return out;
}

}  // namespace lowkey
