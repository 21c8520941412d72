#include "kvcache/token_policy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace lowkey {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 40;  // beyond any sequence

std::shared_ptr<const TokenPolicy> make_all_policy(PolicySettings&) {
    return std::make_shared<TokenPolicy>();
}

struct PolicyRow {
    const char* name;
    std::shared_ptr<const TokenPolicy> (*make)(PolicySettings& settings);
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
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto less = [&](size_t a, size_t b) {
        if (scores[a] != scores[b]) return scores[a] < scores[b];
        return last_first ? a > b : a < b;
    };
    std::nth_element(order.begin(), order.begin() + (count - 1), order.end(), less);
    order.resize(static_cast<size_t>(count));
    std::sort(order.begin(), order.end());
    return order;
}

PolicySettings::PolicySettings(const TokenPolicySpec& spec, std::string where)
    : spec_(spec), where_(std::move(where)) {}

int64_t PolicySettings::integer(const std::string& name, std::optional<int64_t> fallback,
                                int64_t low, int64_t high) {
    read_.push_back(name);
    const auto given = integer_setting(spec_.settings, name, where_);
    if (!given && !fallback) {
        throw UsageError("token policy '" + spec_.name + "' has no setting '" + name + "'", where_,
                         "make the plan again");
    }
    const int64_t value = given ? *given : *fallback;
    if (value < low || value > high) {
        throw UsageError("setting '" + name + "' of token policy '" + spec_.name + "' is " +
                             std::to_string(value),
                         where_, "use " + std::to_string(low) + " to " + std::to_string(high));
    }
    return value;
}

TokenCount PolicySettings::count(const std::string& name, int64_t low) {
    TokenCount count;
    const std::string share = name + "_share";
    read_.push_back(share);
    const auto given = number_setting(spec_.settings, share, where_);
    // Without a share the number itself must be there.
    count.tokens =
        integer(name, given ? std::optional<int64_t>(low) : std::nullopt, low, kMostTokens);
    count.share = given.value_or(0);
    if (!(count.share >= 0 && count.share <= 1)) {
        throw UsageError("setting '" + share + "' of token policy '" + spec_.name + "' is " +
                             std::to_string(count.share),
                         where_, "use 0 to 1");
    }
    return count;
}

bool PolicySettings::flag(const std::string& name) {
    read_.push_back(name);
    return bool_setting(spec_.settings, name, where_).value_or(false);
}

void PolicySettings::finish() const {
    for (const auto& [name, value] : spec_.settings) {
        if (std::find(read_.begin(), read_.end(), name) != read_.end()) continue;
        throw UsageError("token policy '" + spec_.name + "' has a setting '" + name +
                             "' that this lowkey does not know",
                         where_, "make the plan again with this lowkey");
    }
}

std::shared_ptr<const TokenPolicy> make_token_policy(const TokenPolicySpec& spec,
                                                     const std::string& where) {
    std::string known;
    for (const PolicyRow& row : kPolicies) {
        if (spec.name == row.name) {
            PolicySettings settings(spec, where);
            auto policy = row.make(settings);
            settings.finish();
            return policy;
        }
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw UnsupportedError("unknown token policy '" + spec.name + "'", where, "known are " + known);
}

}  // namespace lowkey
