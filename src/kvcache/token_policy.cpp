#include "kvcache/token_policy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "base/error.h"

namespace lowkey {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 40;  // beyond any sequence

std::shared_ptr<const TokenPolicy> make_all_policy(SpecSettings&) {
    return std::make_shared<TokenPolicy>();
}

struct PolicyRow {
    const char* name;
    std::shared_ptr<const TokenPolicy> (*make)(SpecSettings& settings);
};

// A new policy is one file and one row here.
constexpr std::array<PolicyRow, 4> kPolicies = {{
    {"all", make_all_policy},
    {"window", make_window_policy},
    {"heavy_hitters", make_heavy_hitters_policy},
    {"prompt_selection", make_prompt_selection_policy},
}};

}  // namespace

int64_t TokenCount::at(int64_t prompt_tokens) const {
    // A share of 1 / 5 is not exactly that: 5 tokens of 25 stay 5.
    constexpr double kRounding = 1e-9;
    const double part = share * static_cast<double>(prompt_tokens);
    return std::max(tokens, static_cast<int64_t>(std::floor(part * (1 + kRounding))));
}

std::vector<size_t> indices_of_least(std::span<const double> scores, int64_t count,
                                     bool last_first) {
    if (count <= 0) return {};
    const auto less = [&](size_t a, size_t b) {
        if (scores[a] != scores[b]) return scores[a] < scores[b];
        return last_first ? a > b : a < b;
    };
    if (count == 1) {  // of every decoded token
        size_t least = 0;
        for (size_t i = 1; i < scores.size(); ++i) least = less(i, least) ? i : least;
        return {least};
    }
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::nth_element(order.begin(), order.begin() + (count - 1), order.end(), less);
    order.resize(static_cast<size_t>(count));
    std::sort(order.begin(), order.end());
    return order;
}

TokenCount token_count(SpecSettings& settings, const std::string& name, int64_t low) {
    TokenCount count;
    const auto share = settings.number(name + "_share", 0, 1);
    // Without a share the number itself must be there.
    count.tokens = settings.integer(name, share ? std::optional<int64_t>(low) : std::nullopt, low,
                                    kMostTokens);
    count.share = share.value_or(0);
    return count;
}

std::shared_ptr<const TokenPolicy> make_token_policy(const TokenPolicySpec& spec,
                                                     const std::string& where) {
    std::string known;
    for (const PolicyRow& row : kPolicies) {
        if (spec.name == row.name) {
            SpecSettings settings("token policy '" + spec.name + "'", spec.settings, where);
            auto policy = row.make(settings);
            settings.finish();
            return policy;
        }
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw UnsupportedError("unknown token policy '" + spec.name + "'", where, "known are " + known);
}

}  // namespace lowkey
