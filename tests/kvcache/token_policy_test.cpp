#include "kvcache/token_policy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

std::string refusal(const TokenPolicySpec& spec) {
    try {
        make_token_policy(spec, "layer 3, KV head 1");
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

TEST(TokenPolicies, SettingsHaveNamesAndBounds) {
    const int64_t huge = int64_t{1} << 60;
    const std::vector<std::pair<TokenPolicySpec, std::string>> wrong = {
        {{"all", {{"window", int64_t{5}}}}, "has a setting 'window'"},
        {{"window", {{"window", int64_t{5}}, {"windows", int64_t{5}}}}, "has a setting 'windows'"},
        {{"window", {{"window", huge}}}, "setting 'window'"},
        {{"window", {{"window", int64_t{0}}}}, "setting 'window'"},
        {{"window", {{"window", 5.5}}}, "not a whole number"},
        {{"window", {{"window_share", 1.5}}}, "setting 'window_share'"},
        {{"window", {{"window_share", std::nan("")}}}, "setting 'window_share'"},
        {{"window", {{"window", int64_t{5}}, {"sinks", int64_t{65}}}}, "setting 'sinks'"},
        {{"window", {{"window", int64_t{5}}, {"reindex", int64_t{1}}}}, "not true or false"},
        {{"heavy_hitters", {{"recent", huge}, {"heavy", huge}}}, "setting 'recent'"},
        {{"heavy_hitters", {{"recent", int64_t{4}}}}, "no setting 'heavy'"},
        {{"prompt_selection", {{"capacity", int64_t{64}}, {"kernel", int64_t{65536}}}},
         "setting 'kernel'"},
        {{"prompt_selection", {{"capacity", int64_t{64}}, {"observe", huge}}}, "setting 'observe'"},
        {{"some", {}}, "unknown token policy 'some'"},
    };
    for (const auto& [spec, what] : wrong) {
        EXPECT_NE(refusal(spec).find(what), std::string::npos) << what << ": " << refusal(spec);
        EXPECT_NE(refusal(spec).find("layer 3, KV head 1"), std::string::npos) << refusal(spec);
    }
}

// The scores are whole numbers: sums of any order are exact.
TEST(TokenPolicies, PromptSelectionAveragesOverNeighbours) {
    constexpr int64_t kObserve = 3;
    const auto noise = test::random_floats(60, 5);
    std::vector<Candidate> candidates;
    for (size_t i = 0; i < noise.size(); ++i)
        candidates.push_back({static_cast<int64_t>(i), std::floor(noise[i] * 100), 0});
    const int64_t n = std::ssize(candidates);
    for (const int64_t kernel : {1, 2, 5, 8, 56, 57, 58, 200, 4096}) {
        std::vector<double> means;
        for (int64_t i = 0; i < n - kObserve; ++i) {
            double sum = 0;
            for (int64_t j = i - kernel / 2; j < i - kernel / 2 + kernel; ++j)
                sum += j >= 0 && j < n - kObserve ? candidates[static_cast<size_t>(j)].received : 0;
            means.push_back(sum / static_cast<double>(kernel));
        }
        const auto policy = make_token_policy(
            {"prompt_selection",
             {{"capacity", int64_t{20}}, {"observe", kObserve}, {"kernel", kernel}}},
            "here");
        EXPECT_EQ(policy->leaving(candidates, true, n), indices_of_least(means, n - 20, true))
            << kernel;
    }
}

}  // namespace
}  // namespace lowkey
