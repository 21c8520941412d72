#include "eval/window_scores.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "eval/next_token.h"
#include "tensor/ops.h"

namespace lowkey {
namespace {

/// What a position, or the sum of some, adds to the means.
struct Score {
    double nll = 0;
    double reference_nll = 0;
    double change = 0;
    double change_squared = 0;
    double kl = 0;
    double same_first = 0;

    void add(const Score& other) {
        nll += other.nll;
        reference_nll += other.reference_nll;
        change += other.change;
        change_squared += other.change_squared;
        kl += other.kl;
        same_first += other.same_first;
    }
};

/// Last layer's output [targets, hidden_size] of the rows that are scored, of each engine.
struct ScoredRows {
    std::vector<Tensor> hidden;
    std::vector<CacheUsage> usage;
};

ScoredRows run_window(std::span<Engine* const> engines, const ScoredWindow& window,
                      const WindowRun& how) {
    const int64_t hidden_size = engines.front()->model().config().hidden_size;
    ScoredRows rows;
    for (size_t i = 0; i < engines.size(); ++i)
        rows.hidden.emplace_back(DType::kF32, Shape{window.targets(), hidden_size});
    int64_t done = 0;
    const auto keep = [&](size_t i, int64_t first, const float* hidden, int64_t n) {
        // What the last row predicts lies behind the window.
        const int64_t begin = std::max(first, window.first_scored);
        const int64_t end = std::min(first + n, window.length() - 1);
        if (begin < end) {
            std::copy_n(hidden + (begin - first) * hidden_size, (end - begin) * hidden_size,
                        rows.hidden[i].f32().data() + (begin - window.first_scored) * hidden_size);
        }
        done += n;
        if (how.on_tokens) how.on_tokens(done);
    };
    SideBySide caches(engines, how.stepping);
    caches.prefill(std::span(window.tokens).first(static_cast<size_t>(window.prefill)), keep);
    for (int64_t t = window.prefill; t < window.length(); ++t) {
        const std::vector<std::optional<int32_t>> tokens(caches.size(),
                                                         window.tokens[static_cast<size_t>(t)]);
        const Tensor hidden = caches.decode(tokens);
        for (size_t i = 0; i < caches.size(); ++i)
            keep(i, t, hidden.f32().data() + static_cast<int64_t>(i) * hidden_size, 1);
    }
    for (size_t i = 0; i < caches.size(); ++i) rows.usage.push_back(caches.usage(i));
    return rows;
}

/// What a block of targets adds, where `ours` and `reference` are logits [n, vocab_size]; the
/// latter may be null.
void add_block(const Tensor& ours, const Tensor* reference, std::span<const int32_t> targets,
               Score& sum, std::vector<double>& kls) {
    const auto row_of = [](const Tensor& rows, int64_t row) {
        return rows.f32().subspan(static_cast<size_t>(row * rows.dim(1)),
                                  static_cast<size_t>(rows.dim(1)));
    };
    std::vector<Score> scores(targets.size());
    parallel_for(std::ssize(targets), [&](int64_t i) {
        const int32_t target = targets[static_cast<size_t>(i)];
        const auto q = row_of(ours, i);
        Score& score = scores[static_cast<size_t>(i)];
        score.nll = nll_of(q, target);
        if (reference == nullptr) return;
        const auto p = row_of(*reference, i);
        score.reference_nll = nll_of(p, target);
        score.change = score.nll - score.reference_nll;
        score.change_squared = score.change * score.change;
        score.kl = kl_divergence(p, log_sum_exp(p), q);
        score.same_first = likeliest(p) == likeliest(q) ? 1 : 0;
    });
    for (const Score& score : scores) {
        sum.add(score);
        kls.push_back(score.kl);
    }
}

std::string tail_name(int64_t rank) { return "kl_top_" + std::to_string(rank); }

/// The largest of a window; zeros where it has fewer.
void add_tail(std::vector<double> kls, int64_t kl_tail, ItemResult& result) {
    kls.resize(std::max(kls.size(), static_cast<size_t>(kl_tail)));
    std::ranges::sort(kls, std::greater<>());
    for (int64_t rank = 0; rank < kl_tail; ++rank)
        result.scores[tail_name(rank)] = kls[static_cast<size_t>(rank)];
}

ItemResult means_of(const Score& sum, int64_t num_targets, bool with_reference) {
    if (!std::isfinite(sum.nll) || !std::isfinite(sum.kl)) {
        throw Error("the model's logits are not finite", "",
                    "the checkpoint or the plan is broken; try --dtype f32");
    }
    using namespace window_score;  // NOLINT(google-build-using-namespace): names of this table
    const auto targets = static_cast<double>(num_targets);
    ItemResult result{.scores = {{kNll, sum.nll / targets}}};
    if (with_reference) {
        result.scores[kReferenceNll] = sum.reference_nll / targets;
        result.scores[kChange] = sum.change / targets;
        result.scores[kChangeSquared] = sum.change_squared / targets;
        result.scores[kKl] = sum.kl / targets;
        result.scores[kSameFirst] = sum.same_first / targets;
    }
    return result;
}

}  // namespace

std::vector<std::string> window_score_names(bool with_reference, int64_t kl_tail) {
    using namespace window_score;  // NOLINT(google-build-using-namespace): names of this table
    if (!with_reference) return {kNll};
    std::vector<std::string> names = {kNll,           kReferenceNll, kChange,
                                      kChangeSquared, kKl,           kSameFirst};
    for (int64_t rank = 0; rank < kl_tail; ++rank) names.push_back(tail_name(rank));
    return names;
}

int64_t tail_of(int64_t count) { return count - (999 * count + 999) / 1000 + 1; }

double tail_value(std::span<const ItemResult> windows, int64_t kl_tail) {
    std::vector<double> largest;
    for (const ItemResult& window : windows) {
        for (int64_t rank = 0; rank < kl_tail; ++rank)
            largest.push_back(window.scores.at(tail_name(rank)));
    }
    std::ranges::sort(largest, std::greater<>());
    return largest[static_cast<size_t>(kl_tail - 1)];
}

double error_of_mean(double mean, double mean_square, int64_t count) {
    if (count < 2) return 0;
    const double variance = std::max(0.0, mean_square - mean * mean);
    return std::sqrt(variance / static_cast<double>(count - 1));
}

ScoredWindow::ScoredWindow(std::span<const int32_t> window, std::optional<int64_t> prompt,
                           std::optional<int32_t> bos) {
    const int64_t length = std::ssize(window);
    if (prompt && *prompt < 0) {
        throw UsageError("prefill of " + std::to_string(*prompt) + " tokens", "--prefill",
                         "give 0 or more");
    }
    if (prompt.value_or(0) >= length - 1) {
        throw UsageError("windows of " + std::to_string(length) + " tokens have no target after " +
                             std::to_string(prompt.value_or(0)) + " prefilled tokens",
                         "--prefill", "use longer windows or a shorter prefill");
    }
    if (bos) tokens.push_back(*bos);
    const int64_t front = std::ssize(tokens);
    tokens.insert(tokens.end(), window.begin(), window.end());
    prefill = front + prompt.value_or(length);
    first_scored = front + prompt.value_or(0);
}

std::vector<ItemResult> score_window(std::span<Engine* const> engines, const ScoredWindow& window,
                                     const WindowRun& how) {
    const ScoredRows rows = run_window(engines, window, how);
    const int64_t vocab = engines.front()->model().config().vocab_size;
    const int64_t size = std::min(logits_block(vocab), window.targets());
    const bool compares = how.reference.has_value();
    Tensor ours(DType::kF32, {size, vocab});
    Tensor reference(DType::kF32, {compares ? size : 0, vocab});
    std::vector<Score> sums(engines.size());
    std::vector<std::vector<double>> kls(engines.size());
    for (int64_t t = 0; t < window.targets(); t += size) {
        const int64_t n = std::min(size, window.targets() - t);
        const auto block =
            std::span(window.tokens)
                .subspan(static_cast<size_t>(window.first_scored + t + 1), static_cast<size_t>(n));
        const auto compute = [&](size_t i, Tensor& logits) {
            const Tensor& hidden = rows.hidden[i];
            engines[i]->model().logits(hidden.f32().data() + t * hidden.dim(1), n,
                                       logits.f32().data());
        };
        if (compares) compute(*how.reference, reference);
        for (size_t i = 0; i < engines.size(); ++i) {
            const bool own = how.reference == i;
            if (!own) compute(i, ours);
            add_block(own ? reference : ours, compares ? &reference : nullptr, block, sums[i],
                      kls[i]);
        }
    }
    std::vector<ItemResult> results;
    for (size_t i = 0; i < engines.size(); ++i) {
        results.push_back(means_of(sums[i], window.targets(), compares));
        results.back().cache = rows.usage[i];
        add_tail(std::move(kls[i]), compares ? how.kl_tail : 0, results.back());
    }
    return results;
}

}  // namespace lowkey
