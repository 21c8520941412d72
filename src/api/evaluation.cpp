#include "lowkey/evaluation.h"

#include <algorithm>

#include "api/access.h"
#include "base/error.h"
#include "eval/needle.h"
#include "eval/perplexity.h"

namespace lowkey::api {

Perplexity measure_perplexity(const Model& model, const Plan& plan, std::string_view text,
                              const PerplexityOptions& options) {
    const std::vector<int32_t> tokens = model.tokenize(text, SpecialTokens::kWithout);
    return measure_perplexity(model, plan, tokens, options);
}

Perplexity measure_perplexity(const Model& model, const Plan& plan, std::span<const int32_t> tokens,
                              const PerplexityOptions& options) {
    check_range("length", options.length, 2, kMaxModelSize);
    check_range("sequences", options.sequences, 0, kMaxModelSize);
    check_range("max_tokens", options.max_tokens, 0, INT64_MAX);
    check_ids(model, tokens);
    if (options.max_tokens > 0)
        tokens = tokens.first(std::min(tokens.size(), static_cast<size_t>(options.max_tokens)));
    const auto windows = cut_windows(tokens, {options.length, options.sequences});
    Engine engine = make_engine(model, plan, {});
    std::optional<Engine> reference;
    if (options.reference) reference.emplace(make_engine(model, Plan::uncompressed(model), {}));

    lowkey::PerplexityOptions how;
    how.prefill = options.prefill;
    if (options.on_progress) {
        how.on_progress = [&](int64_t done, int64_t total, std::optional<double>) {
            options.on_progress(done, total);
        };
    }
    const lowkey::Perplexity result =
        evaluate_perplexity(engine, windows, how, reference ? &*reference : nullptr);
    Perplexity out{result.perplexity(), result.nll,   result.tokens,
                   result.windows,      result.cache, {}};
    if (result.reference) {
        out.reference = {result.reference->mean_kl, result.reference->top1_agreement,
                         result.reference->nll};
    }
    return out;
}

NeedleResult measure_needle(const Model& model, const Plan& plan,
                            std::span<const std::string> haystack, const NeedleOptions& options) {
    const Tokenizer& tokenizer = Access::impl(model).need_tokenizer();
    Engine engine = make_engine(model, plan, {});
    lowkey::NeedleOptions how;
    how.lengths = options.lengths;
    how.depths = options.depths;
    how.trials = options.trials;
    how.needles = options.needles;
    how.seed = options.seed;
    how.decode_question = options.decode_question;
    ItemOptions items;
    if (options.on_progress) {
        items.on_progress = [&](const ItemProgress& progress) {
            options.on_progress(progress.done, progress.total);
        };
    }
    const lowkey::NeedleResult result = evaluate_needle(engine, tokenizer, haystack, how, items);
    NeedleResult out;
    for (const lowkey::NeedleCell& cell : result.grid)
        out.grid.push_back({cell.length, cell.depth, cell.score});
    out.mean = result.mean;
    out.cache = result.cache;
    return out;
}

}  // namespace lowkey::api
