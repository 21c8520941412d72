#include <algorithm>

#include "kvcache/token_policy.h"

namespace lowkey {
namespace {

constexpr int64_t kMostObserved = 1 << 16;
constexpr int64_t kWidestKernel = 1 << 12;

/// After a prompt: its last `observe` tokens, and those of the others that these tokens' queries
/// attend to most (averaged over `kernel` neighbours), `capacity` in all. What is generated stays.
/// Source: SnapKV (arXiv 2404.14469), for a KV head: weights are summed over its query heads.
class PromptSelectionPolicy final : public TokenPolicy {
public:
    explicit PromptSelectionPolicy(SpecSettings& settings)
        : observe_(settings.integer("observe", 32, 1, kMostObserved)),
          kernel_(settings.integer("kernel", 5, 1, kWidestKernel)),
          capacity_(token_count(settings, "capacity", observe_ + 1)) {}

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
    /// Means over `kernel` neighbours, zeros beyond the ends counted. O(n) for any kernel, and
    /// without differences of long sums, which would round: blocks of `kernel` have sums from each
    /// place to their end and from their begin to each place, and a window is one of either.
    [[nodiscard]] std::vector<double> pool(std::span<const Candidate> candidates) const {
        const auto n = static_cast<int64_t>(candidates.size());
        const int64_t before = kernel_ / 2;
        const auto received = [&](int64_t place) {
            const int64_t i = place - before;
            return i >= 0 && i < n ? candidates[static_cast<size_t>(i)].received : 0.0;
        };
        const int64_t places = n + kernel_ - 1;
        std::vector<double> to_end(static_cast<size_t>(places));
        for (int64_t i = places - 1; i >= 0; --i) {
            const bool last = i == places - 1 || (i + 1) % kernel_ == 0;
            const double rest = last ? 0 : to_end[static_cast<size_t>(i) + 1];
            to_end[static_cast<size_t>(i)] = received(i) + rest;
        }
        std::vector<double> means(candidates.size());
        double from_begin = 0;
        for (int64_t i = 0; i < places; ++i) {
            from_begin = (i % kernel_ == 0 ? 0 : from_begin) + received(i);
            const int64_t first = i - kernel_ + 1;
            if (first < 0) continue;
            const double head = first % kernel_ == 0 ? 0 : to_end[static_cast<size_t>(first)];
            means[static_cast<size_t>(first)] = (head + from_begin) / static_cast<double>(kernel_);
        }
        return means;
    }

    int64_t observe_;
    int64_t kernel_;
    TokenCount capacity_;
};

}  // namespace

std::shared_ptr<const TokenPolicy> make_prompt_selection_policy(SpecSettings& settings) {
    return std::make_shared<PromptSelectionPolicy>(settings);
}

}  // namespace lowkey
