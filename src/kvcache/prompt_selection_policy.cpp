#include <algorithm>

#include "kvcache/token_policy.h"

namespace lowkey {
namespace {

constexpr int64_t kMostObserved = 1 << 16;
constexpr int64_t kWidestKernel = 1 << 16;

/// After a prompt: its last `observe` tokens, and those of the others that these tokens' queries
/// attend to most (averaged over `kernel` neighbours), `capacity` in all. What is generated stays.
/// Source: SnapKV (arXiv 2404.14469), for a KV head: weights are summed over its query heads.
class PromptSelectionPolicy final : public TokenPolicy {
public:
    explicit PromptSelectionPolicy(PolicySettings& settings)
        : observe_(settings.integer("observe", 32, 1, kMostObserved)),
          kernel_(settings.integer("kernel", 5, 1, kWidestKernel)),
          capacity_(settings.count("capacity", observe_ + 1)) {}

    [[nodiscard]] bool selects() const override { return true; }
    [[nodiscard]] int64_t first_observed(bool prompt, int64_t num_tokens) const override {
        return prompt ? std::max<int64_t>(0, num_tokens - observe_) : num_tokens;
    }
    [[nodiscard]] int64_t most_kept(int64_t prompt_tokens, int64_t num_tokens) const override {
        const int64_t generated = std::max<int64_t>(0, num_tokens - prompt_tokens);
        return std::min(num_tokens, capacity_.at(prompt_tokens) + generated);
    }
    [[nodiscard]] std::vector<size_t> leaving(std::span<const Candidate> candidates, bool prompt,
                                              int64_t prompt_tokens) const override {
        const auto n = static_cast<int64_t>(candidates.size());
        const int64_t count = n - capacity_.at(prompt_tokens);
        if (!prompt || count <= 0) return {};
        const int64_t others = n - observe_;
        const std::vector<double> scores = pool(candidates.first(static_cast<size_t>(others)));
        // Of equal ones the newer leaves.
        return indices_of_least(scores, count, /*last_first=*/true);
    }

private:
    /// Means over `kernel` neighbours, zeros beyond the ends counted.
    [[nodiscard]] std::vector<double> pool(std::span<const Candidate> candidates) const {
        const auto n = static_cast<int64_t>(candidates.size());
        std::vector<double> means(candidates.size());
        for (int64_t i = 0; i < n; ++i) {
            const int64_t begin = std::max<int64_t>(0, i - kernel_ / 2);
            const int64_t end = std::min(n, i - kernel_ / 2 + kernel_);
            double sum = 0;
            for (int64_t j = begin; j < end; ++j)
                sum += candidates[static_cast<size_t>(j)].received;
            means[static_cast<size_t>(i)] = sum / static_cast<double>(kernel_);
        }
        return means;
    }

    int64_t observe_;
    int64_t kernel_;
    TokenCount capacity_;
};

}  // namespace

std::shared_ptr<const TokenPolicy> make_prompt_selection_policy(PolicySettings& settings) {
    return std::make_shared<PromptSelectionPolicy>(settings);
}

}  // namespace lowkey
