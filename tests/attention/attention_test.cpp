#include "attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

using test::random_floats;

struct Case {
    const char* name;
    HeadPlan plan;
    int64_t past;    // tokens cached before the queries' own
    int64_t tokens;  // queries
    int64_t group;
    int64_t window = 0;  // the model's own
    bool alibi = false;
    double softcap = 0;
};

constexpr int64_t kDim = 32;

std::vector<Case> cases() {
    HeadPlan low_rank;
    low_rank.key = test::low_rank(kDim, 12, 1);
    low_rank.value = test::low_rank(kDim, 20, 2);
    HeadPlan unrotated = low_rank;
    unrotated.key.map.settings["space"] = std::string("before_rotation");
    HeadPlan with_sinks = unrotated;
    with_sinks.exact_sinks = 4;
    HeadPlan many_sinks = low_rank;
    many_sinks.exact_sinks = 33;
    HeadPlan window = low_rank;
    window.policy = {"window", {{"window", int64_t{70}}, {"sinks", int64_t{5}}}};
    HeadPlan coded = low_rank;
    coded.key = test::coded_in_blocks(kDim, 4, 6);
    coded.value = test::coded(kDim, 24, 5);
    coded.exact_sinks = 4;
    HeadPlan recent = coded;
    recent.exact_recent = 32;
    HeadPlan recent_window = recent;
    recent_window.policy = {"window", {{"window", int64_t{70}}}};
    HeadPlan short_window = recent;
    short_window.policy = {"window", {{"window", int64_t{20}}}};
    HeadPlan unrotated_window = with_sinks;
    unrotated_window.policy = {"window", {{"window", int64_t{129}}}};
    return {{"window_prefill", {}, 0, 700, 3, 128},
            {"window_prefill_after_past", {}, 300, 200, 2, 129},
            {"window_of_one", {}, 40, 20, 2, 1},
            {"window_decode", {}, 2500, 1, 7, 1000},
            {"window_and_sinks_prefill", window, 0, 400, 2},
            {"window_and_sinks_decode", window, 500, 1, 3},
            {"window_within_a_window", window, 200, 90, 2, 100},
            {"window_before_rotation", unrotated_window, 130, 200, 2},
            {"alibi_prefill", {}, 0, 300, 5, 0, true},
            {"alibi_decode", {}, 2500, 1, 3, 0, true},
            {"alibi_low_rank_window", window, 300, 100, 3, 0, true},
            {"softcap_prefill", {}, 0, 200, 2, 0, false, 3},
            {"softcap_decode", low_rank, 1500, 1, 4, 0, false, 20},
            {"softcap_window", {}, 0, 400, 2, 50, false, 5},
            {"one_token", {}, 0, 1, 1},
            {"prefill", {}, 0, 300, 3},
            {"prefill_after_past", {}, 130, 200, 2},
            {"decode_long", {}, 2500, 1, 7},
            {"low_rank_prefill", low_rank, 0, 150, 4},
            {"low_rank_decode", low_rank, 1500, 1, 2},
            {"before_rotation_prefill", unrotated, 10, 150, 2},
            {"before_rotation_decode", unrotated, 1500, 1, 3},
            {"sinks_prefill", with_sinks, 0, 100, 2},
            {"sinks_decode", with_sinks, 900, 1, 9},
            {"coded_prefill", coded, 0, 150, 4},
            {"coded_after_past", coded, 70, 90, 2},
            {"coded_decode", coded, 1500, 1, 7},
            {"recent_decode", recent, 1500, 1, 7},
            {"recent_few_tokens", recent, 30, 1, 3},
            {"recent_window_decode", recent_window, 500, 1, 3},
            {"recent_short_window", short_window, 300, 1, 2},
            {"recent_alibi", recent, 700, 1, 2, 0, true},
            {"within_the_sinks", many_sinks, 0, 20, 2},
            {"sinks_over_tiles", many_sinks, 100, 5, 2}};
}

class Attention : public ::testing::TestWithParam<Case> {};

/// Whether a query sees a token, said plainly.
bool sees(const Case& c, int64_t query, int64_t token) {
    if (token > query) return false;
    if (c.window > 0 && token <= query - c.window) return false;
    if (c.plan.policy.name == "all") return true;
    const auto setting = [&](const std::string& name) {
        return integer_setting(c.plan.policy.settings, name, "").value_or(0);
    };
    return token > query - setting("window") ||
           token < std::max(setting("sinks"), c.plan.exact_sinks);
}

std::vector<float> slopes(const Case& c) {
    std::vector<float> out;
    for (int64_t g = 0; g < c.group; ++g) out.push_back(0.3f / static_cast<float>(g + 1));
    return out;
}

/// Softmax attention in f64 over what the cache says its tokens are.
std::vector<double> reference(const HeadCache& cache, const std::vector<float>& q, const Case& c,
                              double scale) {
    std::vector<std::vector<float>> keys, values;
    for (int64_t p = 0; p < cache.num_tokens(); ++p) {
        keys.emplace_back(kDim);
        values.emplace_back(kDim);
        cache.read(p, keys.back().data(), values.back().data());
    }
    std::vector<double> out;
    for (int64_t row = 0; row < c.tokens * c.group; ++row) {
        const int64_t query = c.past + row / c.group;
        const int64_t visible = query + 1;
        std::vector<double> weights;
        double top = -INFINITY;
        for (int64_t t = 0; t < visible; ++t) {
            double s = 0;
            for (int64_t i = 0; i < kDim; ++i) {
                s += static_cast<double>(q[static_cast<size_t>(row * kDim + i)]) *
                     keys[static_cast<size_t>(t)][static_cast<size_t>(i)];
            }
            s *= scale;
            if (c.softcap > 0) s = c.softcap * std::tanh(s / c.softcap);
            if (c.alibi) {
                s -= static_cast<double>(slopes(c)[static_cast<size_t>(row % c.group)]) *
                     static_cast<double>(query - t);
            }
            weights.push_back(sees(c, query, t) ? s : -INFINITY);
            top = std::max(top, weights.back());
        }
        double total = 0;
        for (double& w : weights) total += w = std::exp(w - top);
        for (int64_t i = 0; i < kDim; ++i) {
            double sum = 0;
            for (int64_t t = 0; t < visible; ++t) {
                sum += weights[static_cast<size_t>(t)] / total *
                       values[static_cast<size_t>(t)][static_cast<size_t>(i)];
            }
            out.push_back(sum);
        }
    }
    return out;
}

/// A head that is fed and attended to in passes of some tokens, as a model does it.
std::vector<float> fed(const HeadPlan& plan, const std::vector<int64_t>& passes,
                       const std::vector<float>& before, const std::vector<float>& after,
                       const std::vector<float>& values, const std::vector<float>& q) {
    CachePlan whole = CachePlan::dense(1, 1);
    whole.layers[0][0] = plan;
    const auto layout = std::make_shared<const CacheLayout>(
        whole, test::shape(1, kDim, DType::kF32, test::rotary(kDim)));
    PagePool pool(int64_t{64} << 20);
    SequenceCache cache(layout, pool);
    HeadCache& head = cache.head(0, 0);
    std::vector<float> out;
    int64_t done = 0;
    for (const int64_t count : passes) {
        head.begin_step(true);
        head.begin_prompt(done + count);
        head.reserve(count);
        const auto at = static_cast<size_t>(done * kDim);
        head.append({before.data() + at, after.data() + at, kDim, values.data() + at, kDim, count});
        head.settle(done, count);
        std::vector<float> own(static_cast<size_t>(count * kDim));
        const AttentionTask task{.caches = {&head},
                                 .q = q.data() + at,
                                 .q_stride = kDim,
                                 .q_dim = kDim,
                                 .out = own.data(),
                                 .out_stride = kDim,
                                 .out_dim = kDim,
                                 .num_tokens = count,
                                 .first_position = done};
        attend({&task, 1}, {.softmax_scale = 0.2f});
        out.insert(out.end(), own.begin(), own.end());
        head.forget(done + count);
        EXPECT_LE(head.num_pages() * kPageBytes, layout->peak_bytes(done + count, count));
        head.commit();
        EXPECT_LE(head.num_pages() * kPageBytes, layout->peak_bytes(done + count, 1));
        done += count;
    }
    return out;
}

// What a query sees dense, and what coded, does not depend on who else is in its pass.
TEST(RecentTokens, AreSeenAlikeHoweverTheyCome) {
    constexpr int64_t kTokens = 300;
    const auto rotary = test::rotary(kDim);
    const auto before = random_floats(kTokens * kDim, 40);
    auto after = before;
    for (int64_t p = 0; p < kTokens; ++p) rotary->rotate(after.data() + p * kDim, p);
    const auto values = random_floats(kTokens * kDim, 41);
    const auto q = random_floats(kTokens * kDim, 42);
    const std::vector<int64_t> singly(static_cast<size_t>(kTokens), 1);
    const std::vector<std::vector<int64_t>> ways = {
        {kTokens}, {7, 93, 1, 1, 150, 48}, {3, 1, 16, 32, 200, 48}};
    HeadPlan plan;
    plan.key = test::coded_in_blocks(kDim, 4, 2);
    plan.value = test::coded(kDim, kDim, 1);
    for (const int64_t recent : {0, 1, 16, 40}) {
        for (const int64_t sinks : {0, 4}) {
            for (const int64_t window : {0, 20, 90}) {
                SCOPED_TRACE(recent);
                plan.exact_recent = recent;
                plan.exact_sinks = sinks;
                plan.policy = {};
                if (window > 0)
                    plan.policy = {"window", {{"window", window}, {"compensation", sinks > 0}}};
                const auto want = fed(plan, singly, before, after, values, q);
                for (const auto& passes : ways) {
                    const auto got = fed(plan, passes, before, after, values, q);
                    double squares = 0;
                    for (size_t i = 0; i < want.size(); ++i)
                        squares += std::pow(static_cast<double>(got[i]) - want[i], 2);
                    // Coding loses about a third of a number; kernels that round weights to 8 bits
                    // lose a hundredth of that.
                    EXPECT_LT(std::sqrt(squares / static_cast<double>(want.size())), 0.01)
                        << "window " << window << ", sinks " << sinks;
                }
            }
        }
    }
}

// A prompt that attends to itself elsewhere is written when it has: most of it at once in codes.
TEST(RecentTokens, PromptsThatAreWrittenLateLeaveTheSame) {
    const auto rotary = test::rotary(kDim);
    constexpr int64_t kTokens = 300;
    const auto before = random_floats(kTokens * kDim, 50);
    auto after = before;
    for (int64_t p = 0; p < kTokens; ++p) rotary->rotate(after.data() + p * kDim, p);
    const auto values = random_floats(kTokens * kDim, 51);
    CachePlan plan = CachePlan::dense(1, 1);
    HeadPlan& head_plan = plan.layers[0][0];
    head_plan.value = test::coded(kDim, kDim, 2);
    for (const char* space : {"in_block", "before_rotation"}) {
        head_plan.key = std::string(space) == "in_block" ? test::coded_in_blocks(kDim, 4, 3)
                                                         : test::coded(kDim, kDim, 3);
        head_plan.key.map.settings["space"] = std::string(space);
        for (const int64_t window : {0, 70}) {
            head_plan.policy = {};
            if (window > 0)
                head_plan.policy = {"window", {{"window", window}, {"compensation", true}}};
            head_plan.exact_sinks = 3;
            head_plan.exact_recent = 20;
            const auto layout = std::make_shared<const CacheLayout>(
                plan, test::shape(1, kDim, DType::kF32, rotary));
            PagePool pool(int64_t{64} << 20);
            SequenceCache now(layout, pool);
            SequenceCache late(layout, pool);
            int64_t done = 0;
            for (const int64_t count : {37, 1, 200, 62}) {
                const auto at = static_cast<size_t>(done * kDim);
                const TokenRows rows{
                    before.data() + at, after.data() + at, kDim, values.data() + at, kDim, count};
                for (const bool is_late : {false, true}) {
                    HeadCache& head = (is_late ? late : now).head(0, 0);
                    head.begin_step(false);
                    head.begin_prompt(done + count);
                    head.reserve(is_late ? 0 : count);
                    if (!is_late) head.append(rows);
                    head.settle(done, count);
                    head.forget(done + count);
                    if (is_late) {
                        head.reserve(count);
                        head.append(rows);
                    }
                    head.commit();
                }
                done += count;
                const HeadCache& want = now.head(0, 0);
                const HeadCache& got = late.head(0, 0);
                EXPECT_EQ(got.num_pages(), want.num_pages());
                ASSERT_EQ(got.positions(), want.positions());
                std::vector<float> key(kDim), value(kDim), want_key(kDim), want_value(kDim);
                for (const int64_t position : want.positions()) {
                    got.read(position, key.data(), value.data());
                    want.read(position, want_key.data(), want_value.data());
                    for (size_t i = 0; i < key.size(); ++i) {
                        // Turned back and forth, a number may fall to the next level.
                        EXPECT_NEAR(key[i], want_key[i], 1e-4) << space << " " << position;
                        EXPECT_EQ(value[i], want_value[i]) << space << " " << position;
                    }
                }
            }
        }
    }
}

TEST_P(Attention, EqualsPlainSoftmaxOverTheDecodedCache) {
    const Case& c = GetParam();
    const auto rotary = test::rotary(kDim);
    CachePlan plan = CachePlan::dense(1, 1);
    plan.layers[0][0] = c.plan;
    CacheShape shape = test::shape(1, kDim, DType::kF32, rotary);
    shape.layers[0][0].sliding_window = c.window;
    const auto layout = std::make_shared<const CacheLayout>(plan, shape);
    const std::vector<float> alibi = slopes(c);
    PagePool pool(int64_t{64} << 20);
    SequenceCache cache(layout, pool);
    const int64_t total = c.past + c.tokens;
    const auto before = random_floats(total * kDim, 30);
    auto after = before;
    for (int64_t p = 0; p < total; ++p) rotary->rotate(after.data() + p * kDim, p);
    const auto values = random_floats(total * kDim, 31);
    HeadCache& head = cache.head(0, 0);
    head.reserve(total);
    head.append({before.data(), after.data(), kDim, values.data(), kDim, total});
    const auto q = random_floats(c.tokens * c.group * kDim, 32);
    const double scale = 0.11;
    const std::vector<double> want = reference(head, q, c, scale);
    // Kernels may round queries and weights of coded vectors to 8 bits.
    const double tolerance = c.plan.key.store.name == "coded" ? 0.03 : 5e-4;

    const int threads = num_threads();
    std::vector<float> of_one_thread;
    for (const int n : {1, 2, 3}) {
        set_num_threads(n);
        std::vector<float> out(static_cast<size_t>(c.tokens * c.group * kDim), NAN);
        const AttentionTask task{.caches = {&head},
                                 .q = q.data(),
                                 .q_stride = c.group * kDim,
                                 .q_dim = kDim,
                                 .out = out.data(),
                                 .out_stride = c.group * kDim,
                                 .out_dim = kDim,
                                 .group_size = c.group,
                                 .num_tokens = c.tokens,
                                 .first_position = c.past,
                                 .alibi_slopes = c.alibi ? alibi.data() : nullptr};
        attend({&task, 1}, {.softmax_scale = static_cast<float>(scale),
                            .softcap = static_cast<float>(c.softcap)});
        // f32 sums of up to 2500 terms, values up to the low-rank codecs' amplification of
        // about 30.
        for (size_t i = 0; i < out.size(); ++i)
            ASSERT_NEAR(out[i], want[i], tolerance) << i << " with " << n << " threads";
        if (n == 1) of_one_thread = out;
        ASSERT_EQ(out, of_one_thread) << "with " << n << " threads";
    }
    set_num_threads(threads);
}

INSTANTIATE_TEST_SUITE_P(All, Attention, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Attention, ExactPromptTokensJoinTheCachedPast) {
    const auto layout = std::make_shared<const CacheLayout>(CachePlan::dense(1, 1),
                                                            test::shape(1, kDim, DType::kF32));
    PagePool pool(int64_t{16} << 20);
    const int64_t past = 150;
    const int64_t own = 40;
    const auto keys = random_floats((past + own) * kDim, 1);
    const auto values = random_floats((past + own) * kDim, 2);
    const auto q = random_floats(own * kDim, 3);
    const auto run = [&](const std::vector<const HeadCache*>& caches) {
        std::vector<float> out(static_cast<size_t>(own * kDim));
        const AttentionTask task{.caches = caches,
                                 .q = q.data(),
                                 .q_stride = kDim,
                                 .q_dim = kDim,
                                 .out = out.data(),
                                 .out_stride = kDim,
                                 .out_dim = kDim,
                                 .num_tokens = own,
                                 .first_position = past};
        attend({&task, 1}, {.softmax_scale = 0.2f});
        return out;
    };
    const auto fill = [&](HeadCache& cache, int64_t begin, int64_t end) {
        cache.reserve(end - begin);
        cache.append({keys.data() + begin * kDim, keys.data() + begin * kDim, kDim,
                      values.data() + begin * kDim, kDim, end - begin});
    };
    SequenceCache whole(layout, pool), first(layout, pool), second(layout, pool, past);
    fill(whole.head(0, 0), 0, past + own);
    fill(first.head(0, 0), 0, past);
    fill(second.head(0, 0), past, past + own);
    const auto want = run({&whole.head(0, 0)});
    const auto got = run({&first.head(0, 0), &second.head(0, 0)});
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5);
}

}  // namespace
}  // namespace lowkey
