#include "eval/side_by_side.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/shared_prompt.h"
#include "eval/next_token.h"
#include "tensor/ops.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

std::span<const float> row_of(const Tensor& rows, int64_t row) {
    return rows.f32().subspan(static_cast<size_t>(row * rows.dim(1)),
                              static_cast<size_t>(rows.dim(1)));
}

/// Last layer's outputs of the positions that are scored, [engines] of [targets, hidden_size].
struct ScoredRows {
    std::vector<Tensor> hidden;
    std::vector<CacheUsage> usage;
};

ScoredRows run_window(std::span<Engine* const> engines, std::span<const int32_t> window,
                      int64_t prefill) {
    const int64_t hidden_size = engines.front()->model().config().hidden_size;
    const int64_t targets = std::ssize(window) - 1 - prefill;
    SideBySide caches(engines);
    ScoredRows rows;
    for (size_t i = 0; i < caches.size(); ++i)
        rows.hidden.emplace_back(DType::kF32, Shape{targets, hidden_size});
    caches.prefill(window.first(static_cast<size_t>(prefill)), {});
    for (int64_t t = prefill; t < std::ssize(window); ++t) {
        const std::vector<std::optional<int32_t>> tokens(caches.size(),
                                                         window[static_cast<size_t>(t)]);
        const Tensor hidden = caches.decode(tokens);
        if (t - prefill >= targets) break;  // predicts what is behind the window
        for (size_t i = 0; i < caches.size(); ++i) {
            std::copy_n(row_of(hidden, static_cast<int64_t>(i)).data(), hidden_size,
                        rows.hidden[i].f32().data() + (t - prefill) * hidden_size);
        }
    }
    for (size_t i = 0; i < caches.size(); ++i) rows.usage.push_back(caches.usage(i));
    return rows;
}

/// What a block of targets adds to a score, where `ours` and `first` are logits [n, vocab_size].
void add_block(const Tensor& first, const Tensor& ours, std::span<const int32_t> targets,
               WindowScore& sum) {
    std::vector<WindowScore> scores(targets.size());
    parallel_for(std::ssize(targets), [&](int64_t i) {
        const auto p = row_of(first, i);
        const auto q = row_of(ours, i);
        WindowScore& score = scores[static_cast<size_t>(i)];
        score.nll = nll_of(q, targets[static_cast<size_t>(i)]);
        score.change = score.nll - nll_of(p, targets[static_cast<size_t>(i)]);
        score.kl = kl_divergence(p, log_sum_exp(p), q);
        score.top1 = likeliest(p) == likeliest(q) ? 1 : 0;
    });
    for (const WindowScore& score : scores) {
        sum.nll += score.nll;
        sum.change += score.change;
        sum.change_squared += score.change * score.change;
        sum.kl += score.kl;
        sum.top1 += score.top1;
    }
}

void divide(WindowScore& sum, int64_t targets) {
    if (!std::isfinite(sum.nll) || !std::isfinite(sum.kl)) {
        throw Error("the model's logits are not finite", "",
                    "the checkpoint or the plan is broken; try --dtype f32");
    }
    for (double* part : {&sum.nll, &sum.change, &sum.change_squared, &sum.kl, &sum.top1})
        *part /= static_cast<double>(targets);
}

}  // namespace

SideBySide::SideBySide(std::span<Engine* const> engines) : engines_(engines) {
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

Tensor SideBySide::decode(std::span<const std::optional<int32_t>> tokens) {
    const int64_t hidden_size = engine(0).model().config().hidden_size;
    Tensor all = Tensor::zeros(DType::kF32, {std::ssize(engines_), hidden_size});
    std::vector<bool> done(size());
    for (size_t i = 0; i < size(); ++i) done[i] = !tokens[i];
    for (size_t i = 0; i < size(); ++i) {
        if (done[i]) continue;
        const Model& model = engine(i).model();
        std::vector<SequenceInput> batch;
        std::vector<size_t> members;
        for (size_t j = i; j < size(); ++j) {
            if (done[j] || &engine(j).model() != &model) continue;
            batch.push_back({sequences_[j].get(), {&*tokens[j], 1}});
            members.push_back(j);
            done[j] = true;
        }
        const Tensor hidden = model.forward(batch);
        for (size_t b = 0; b < members.size(); ++b) {
            std::copy_n(row_of(hidden, static_cast<int64_t>(b)).data(), hidden_size,
                        all.f32().data() + static_cast<int64_t>(members[b]) * hidden_size);
        }
    }
    return all;
}

Tensor SideBySide::logits(const Tensor& hidden) const {
    // The output head is never folded: that of one engine serves all.
    const Model& model = engine(0).model();
    Tensor logits(DType::kF32, {hidden.dim(0), model.config().vocab_size});
    model.logits(hidden.f32().data(), hidden.dim(0), logits.f32().data());
    return logits;
}

Continuations continue_side_by_side(std::span<Engine* const> engines, const Tokenizer& tokenizer,
                                    std::span<const int32_t> prompt,
                                    const ContinueOptions& options) {
    SideBySide caches(engines);
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

std::vector<WindowScore> score_side_by_side(std::span<Engine* const> engines,
                                            std::span<const int32_t> window, int64_t prefill) {
    const int64_t targets = std::ssize(window) - 1 - prefill;
    if (prefill < 0 || targets < 1) {
        throw UsageError("windows of " + std::to_string(window.size()) +
                             " tokens have no target after " + std::to_string(prefill) +
                             " prefilled tokens",
                         "", "use longer windows or a shorter prefill");
    }
    const ScoredRows rows = run_window(engines, window, prefill);
    const Model& model = engines.front()->model();
    const int64_t vocab = model.config().vocab_size;
    std::vector<WindowScore> scores(engines.size());
    for (int64_t t = 0; t < targets; t += logits_block(vocab)) {
        const int64_t n = std::min(logits_block(vocab), targets - t);
        const auto block =
            window.subspan(static_cast<size_t>(prefill + t + 1), static_cast<size_t>(n));
        const auto logits_of = [&](size_t i) {
            Tensor logits(DType::kF32, {n, vocab});
            model.logits(rows.hidden[i].f32().data() + t * rows.hidden[i].dim(1), n,
                         logits.f32().data());
            return logits;
        };
        const Tensor first = logits_of(0);
        add_block(first, first, block, scores[0]);
        for (size_t i = 1; i < engines.size(); ++i)
            add_block(first, logits_of(i), block, scores[i]);
    }
    for (size_t i = 0; i < engines.size(); ++i) {
        divide(scores[i], targets);
        scores[i].cache = rows.usage[i];
    }
    return scores;
}

}  // namespace lowkey
