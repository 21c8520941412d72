#include <algorithm>

#include "kvcache/token_policy.h"

namespace lowkey {
namespace {

/// The newest tokens, and those of the others that got the most attention since the sequence began.
/// Source: H2O (arXiv 2306.14048), for a KV head: weights are summed over its query heads.
class HeavyHittersPolicy final : public TokenPolicy {
public:
    explicit HeavyHittersPolicy(SpecSettings& settings)
        : recent_(token_count(settings, "recent", 1)), heavy_(token_count(settings, "heavy", 0)) {}

    [[nodiscard]] bool selects() const override { return true; }
    [[nodiscard]] int64_t first_observed(bool, int64_t) const override { return 0; }
    [[nodiscard]] int64_t most_kept(int64_t prompt_tokens, int64_t num_tokens) const override {
        return std::min(num_tokens, recent_.at(prompt_tokens) + heavy_.at(prompt_tokens));
    }
    [[nodiscard]] std::vector<size_t> leaving(std::span<const Candidate> candidates, bool,
                                              int64_t prompt_tokens) const override {
        const int64_t others = static_cast<int64_t>(candidates.size()) - recent_.at(prompt_tokens);
        if (others <= 0) return {};
        std::vector<double> scores;
        scores.reserve(static_cast<size_t>(others));
        for (const Candidate& c : candidates.first(static_cast<size_t>(others)))
            scores.push_back(c.total);
        // Of equal ones the older leaves.
        return indices_of_least(scores, others - heavy_.at(prompt_tokens), /*last_first=*/false);
    }

private:
    TokenCount recent_;
    TokenCount heavy_;
};

}  // namespace

std::shared_ptr<const TokenPolicy> make_heavy_hitters_policy(SpecSettings& settings) {
    return std::make_shared<HeavyHittersPolicy>(settings);
}

}  // namespace lowkey
