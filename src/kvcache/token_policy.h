#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kvcache/plan.h"
#include "kvcache/spec_settings.h"

namespace lowkey {

/// The most sinks that a head can have: they share the first page.
inline constexpr int64_t kMaxSinks = 64;
/// The most newest tokens that a head can keep dense beside a codec.
inline constexpr int64_t kMaxRecent = 4096;

/// A number of tokens that may grow with the prompt.
struct TokenCount {
    int64_t tokens = 0;
    double share = 0;  ///< of the prompt's tokens
    /// max(tokens, ⌊share · prompt_tokens⌋)
    [[nodiscard]] int64_t at(int64_t prompt_tokens) const;
};

/// A token among which a policy selects.
struct Candidate {
    int64_t position = 0;
    /// Attention that the token got from the queries of the current step that the policy observes,
    /// summed over the query heads of its KV head; and the same of all steps so far.
    double received = 0;
    double total = 0;
};

/// Which tokens a head remembers, made from a TokenPolicySpec. A policy either has a window, which
/// forgets tokens in the order of their positions, or selects by the attention that tokens get.
/// Immutable, thread-safe.
class TokenPolicy {
public:
    virtual ~TokenPolicy() = default;

    /// First tokens of a sequence that are never forgotten.
    [[nodiscard]] virtual int64_t sinks() const { return 0; }
    /// A query at position p sees positions above p - window, once the longest prompt of the
    /// sequence had `prompt_tokens` tokens (0: none yet); 0: all positions. Never shrinks as
    /// prompts grow.
    [[nodiscard]] virtual int64_t window(int64_t /*prompt_tokens*/) const { return 0; }
    /// Whether the tokens that leave the window are replaced by their mean.
    [[nodiscard]] virtual bool compensates() const { return false; }
    /// Whether sinks stand right before the window, however far they are.
    [[nodiscard]] virtual bool reindexes() const { return false; }

    /// Whether the policy selects; the functions below are for those that do.
    [[nodiscard]] virtual bool selects() const { return false; }
    /// The first of the `num_tokens` queries of a step whose attention counts; num_tokens: none.
    [[nodiscard]] virtual int64_t first_observed(bool /*prompt*/, int64_t num_tokens) const {
        return num_tokens;
    }
    /// The most tokens beyond the sinks that are kept between steps once the sequence has
    /// `num_tokens`.
    [[nodiscard]] virtual int64_t most_kept(int64_t /*prompt_tokens*/, int64_t num_tokens) const {
        return num_tokens;
    }
    /// Indices of the candidates that leave after a step, ascending. Candidates come in the order
    /// of their positions.
    [[nodiscard]] virtual std::vector<size_t> leaving(std::span<const Candidate> /*candidates*/,
                                                      bool /*prompt*/,
                                                      int64_t /*prompt_tokens*/) const {
        return {};
    }
};

/// Indices of the `count` smallest scores, ascending. Of equal ones the first count as smaller, or
/// the last if `last_first`.
std::vector<size_t> indices_of_least(std::span<const double> scores, int64_t count,
                                     bool last_first);

/// The policy of a spec. Throws UnsupportedError for an unknown name, UsageError for settings that
/// are wrong; `where` names the head.
std::shared_ptr<const TokenPolicy> make_token_policy(const TokenPolicySpec& spec,
                                                     const std::string& where);

/// The settings `name`, at least `low`, and `name`_share, from 0 to 1: one of them at least.
TokenCount token_count(SpecSettings& settings, const std::string& name, int64_t low);

std::shared_ptr<const TokenPolicy> make_window_policy(SpecSettings& settings);
std::shared_ptr<const TokenPolicy> make_heavy_hitters_policy(SpecSettings& settings);
std::shared_ptr<const TokenPolicy> make_prompt_selection_policy(SpecSettings& settings);

}  // namespace lowkey
