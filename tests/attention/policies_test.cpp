// Random lives of caches under random plans, against an implementation that keeps plain lists.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "attention/attention.h"
#include "base/error.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

using test::random_floats;

constexpr int64_t kDim = 16;
constexpr int64_t kGroup = 2;
constexpr float kScale = 0.1f;       // mild weights: rounding must not decide who is heavier
constexpr double kTolerance = 2e-4;  // of results up to 20

struct Token {
    int64_t position = 0;
    std::vector<float> key;  // as queries see it
    std::vector<float> value;
    double attention = 0;
};

/// What one head must remember, said as plainly as can be.
class PlainHead {
public:
    explicit PlainHead(const HeadLayout& layout) : layout_(&layout), policy_(layout.policy) {}

    void begin_prompt(int64_t end) { prompt_ = std::max(prompt_, end); }
    [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }

    /// The attention of the queries of `arriving` tokens, of which the body sees none yet if
    /// `exact`; then the step's end. [tokens, group, dim]
    std::vector<double> step(const std::vector<Token>& arriving, const std::vector<float>& q,
                             const std::vector<float>& slopes, bool prompt, bool exact,
                             const std::vector<Token>& uncompressed) {
        const int64_t first = num_tokens_;
        const auto count = std::ssize(arriving);
        tokens_.insert(tokens_.end(), arriving.begin(), arriving.end());
        num_tokens_ += count;
        std::vector<double> out;
        std::map<int64_t, double> received;
        const int64_t observed =
            policy_->selects() ? policy_->first_observed(prompt, count) : count;
        for (int64_t i = 0; i < count; ++i) {
            for (int64_t g = 0; g < kGroup; ++g) {
                const float* query = q.data() + (i * kGroup + g) * kDim;
                const auto weights =
                    weigh(first + i, query, slopes.empty() ? 0 : slopes[static_cast<size_t>(g)],
                          exact ? first : INT64_MAX, uncompressed);
                std::vector<double> row(kDim, 0.0);
                for (const auto& [weight, value, position] : weights) {
                    for (int64_t d = 0; d < kDim; ++d)
                        row[static_cast<size_t>(d)] += weight * value[static_cast<size_t>(d)];
                    if (i >= observed) received[position] += weight;
                }
                out.insert(out.end(), row.begin(), row.end());
            }
        }
        finish_step(prompt, received);
        return out;
    }

    [[nodiscard]] std::vector<int64_t> positions() const {
        std::vector<int64_t> all;
        for (const Token& t : tokens_) all.push_back(t.position);
        return all;
    }

private:
    struct Weight {
        double weight;
        std::vector<double> value;
        int64_t position;
    };

    [[nodiscard]] int64_t sinks() const { return layout_->num_sinks; }
    /// The first body token that a query sees.
    [[nodiscard]] int64_t first_seen(int64_t query) const {
        const int64_t window = layout_->window(prompt_);
        const int64_t first = window == 0 || policy_->selects() ? 0 : query - window + 1;
        return std::max({sinks(), first, horizon_});
    }

    std::vector<Weight> weigh(int64_t query, const float* q, float slope, int64_t cached_before,
                              const std::vector<Token>& uncompressed) const {
        std::vector<double> scores;
        std::vector<Weight> out;
        const auto score = [&](const auto& key, double distance) {
            double s = 0;
            for (int64_t d = 0; d < kDim; ++d)
                s += static_cast<double>(q[d]) * static_cast<double>(key[static_cast<size_t>(d)]);
            return s * static_cast<double>(kScale) - static_cast<double>(slope) * distance;
        };
        const auto add = [&](const Token& t) {
            scores.push_back(score(t.key, static_cast<double>(query - t.position)));
            out.push_back({0, {t.value.begin(), t.value.end()}, t.position});
        };
        std::vector<double> mean_key(kDim, 0.0);
        std::vector<double> mean_value(kDim, 0.0);
        double mean_position = 0;
        double dropped = 0;
        for (const Token& t : gone_) mix(t, mean_key, mean_value, mean_position, dropped);
        for (const Token& t : tokens_) {
            if (t.position > query || t.position >= cached_before) continue;
            if (t.position < sinks() || t.position >= first_seen(query)) {
                add(t);
            } else {
                mix(t, mean_key, mean_value, mean_position, dropped);
            }
        }
        for (const Token& t : uncompressed) {
            if (t.position <= query && t.position >= cached_before) add(t);
        }
        if (layout_->compensates() && dropped > 0) {
            scores.push_back(score(mean_key, static_cast<double>(query) - mean_position) +
                             std::log(dropped));
            out.push_back({0, mean_value, -1});
        }
        const double top = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        for (const double s : scores) sum += std::exp(s - top);
        for (size_t i = 0; i < out.size(); ++i) out[i].weight = std::exp(scores[i] - top) / sum;
        return out;
    }

    static void mix(const Token& t, std::vector<double>& key, std::vector<double>& value,
                    double& position, double& count) {
        ++count;
        for (size_t d = 0; d < key.size(); ++d) {
            key[d] += (static_cast<double>(t.key[d]) - key[d]) / count;
            value[d] += (static_cast<double>(t.value[d]) - value[d]) / count;
        }
        position += (static_cast<double>(t.position) - position) / count;
    }

    void finish_step(bool prompt, const std::map<int64_t, double>& received) {
        if (policy_->selects()) {
            std::vector<Candidate> candidates;
            for (Token& t : tokens_) {
                const auto found = received.find(t.position);
                const double got = found == received.end() ? 0 : found->second;
                t.attention += got;
                if (t.position >= sinks()) candidates.push_back({t.position, got, t.attention});
            }
            std::vector<int64_t> leaving;
            for (const size_t i : policy_->leaving(candidates, prompt, prompt_))
                leaving.push_back(candidates[i].position);
            std::erase_if(tokens_, [&](const Token& t) {
                return std::find(leaving.begin(), leaving.end(), t.position) != leaving.end();
            });
            return;
        }
        const int64_t window = layout_->window(prompt_);
        if (window == 0) return;
        const int64_t last_query = layout_->compensates() ? num_tokens_ - 1 : num_tokens_;
        horizon_ = std::max(horizon_, last_query - window + 1);
        for (const Token& t : tokens_) {
            if (t.position >= sinks() && t.position < horizon_) gone_.push_back(t);
        }
        std::erase_if(tokens_, [&](const Token& t) {
            return t.position >= sinks() && t.position < horizon_;
        });
    }

    const HeadLayout* layout_;
    std::shared_ptr<const TokenPolicy> policy_;
    int64_t prompt_ = 0;
    int64_t num_tokens_ = 0;
    int64_t horizon_ = 0;
    std::vector<Token> tokens_;
    std::vector<Token> gone_;
};

/// One head of a sequence: the cache and what it must be.
struct Life {
    std::unique_ptr<SequenceCache> cache;
    PlainHead plain;
};

HeadPlan random_plan(std::mt19937& rng) {
    const auto draw = [&](int64_t low, int64_t high) {
        return std::uniform_int_distribution<int64_t>(low, high)(rng);
    };
    HeadPlan plan;
    switch (draw(0, 2)) {
        case 0:
            break;
        case 1:
            plan.key = test::low_rank(kDim, draw(2, kDim), 1);
            plan.value = test::low_rank(kDim, draw(2, kDim), 3);
            break;
        default:
            plan.key = test::low_rank(kDim, draw(2, kDim), 5, "before_rotation");
    }
    plan.exact_sinks = draw(0, 2) * 3;
    switch (draw(0, 4)) {
        case 0:
            break;
        case 1:
            plan.policy = {"window", {{"window", draw(1, 300)}, {"sinks", draw(0, 20)}}};
            break;
        case 2:
            plan.policy = {"window",
                           {{"window", draw(1, 300)},
                            {"window_share", 0.3},
                            {"sinks", draw(0, 20)},
                            {"compensation", true}}};
            break;
        case 3:
            plan.policy = {
                "heavy_hitters",
                {{"recent", draw(1, 150)}, {"heavy", draw(0, 150)}, {"heavy_share", 0.1}}};
            break;
        default:
            plan.policy = {
                "prompt_selection",
                {{"capacity", draw(20, 300)}, {"observe", draw(1, 19)}, {"kernel", draw(1, 6)}}};
    }
    return plan;
}

class Policies : public ::testing::TestWithParam<int> {
protected:
    Policies() : rng_(static_cast<unsigned>(GetParam())) {
        plan_.layers = {{random_plan(rng_)}};
        plan_.prefill_attention = PrefillAttention::kExact;
        layout_ = std::make_shared<const CacheLayout>(plan_, shape_);
        plain_layout_ = std::make_shared<const CacheLayout>(CachePlan::dense(1, 1), shape_);
        if (draw(0, 1) == 1 && layout_->head(0, 0).body.key->before_rotation() == false)
            slopes_ = {0.01f, 0.003f};
    }
    int64_t draw(int64_t low, int64_t high) {
        return std::uniform_int_distribution<int64_t>(low, high)(rng_);
    }

    /// A token as the cache will show it.
    Token restored(const SegmentLayout& segment, int64_t position, const float* before,
                   const float* after, const float* value) const {
        std::vector<std::byte> tile(
            static_cast<size_t>(std::max(segment.key->tile_bytes(), segment.value->tile_bytes())));
        Token t{position, std::vector<float>(kDim), std::vector<float>(kDim)};
        segment.key->encode(segment.key->before_rotation() ? before : after, kDim, 1, tile.data(),
                            0, {.first = position});
        segment.key->decode(tile.data(), 0, {.first = position}, t.key.data());
        if (segment.key->before_rotation()) rotary_->rotate(t.key.data(), position);
        segment.value->encode(value, kDim, 1, tile.data(), 0);
        segment.value->decode(tile.data(), 0, t.value.data());
        return t;
    }

    void step(Life& life, int64_t count, bool prompt, bool exact) {
        HeadCache& head = life.cache->head(0, 0);
        const int64_t first = head.num_tokens();
        const auto seed = static_cast<unsigned>(draw(0, 1 << 30));
        const auto before = random_floats(count * kDim, seed);
        const auto values = random_floats(count * kDim, seed + 1);
        const auto q = random_floats(count * kGroup * kDim, seed + 2);
        std::vector<float> after = before;
        for (int64_t t = 0; t < count; ++t) rotary_->rotate(after.data() + t * kDim, first + t);
        const TokenRows rows{before.data(), after.data(), kDim, values.data(), kDim, count};
        if (prompt) {
            head.begin_prompt(first + count);
            life.plain.begin_prompt(first + count);
        }
        std::vector<Token> arriving;
        std::vector<Token> uncompressed;
        for (int64_t t = 0; t < count; ++t) {
            const bool sink = first + t < head.layout().num_sinks;
            const SegmentLayout& segment = sink ? head.layout().sinks : head.layout().body;
            arriving.push_back(restored(segment, first + t, before.data() + t * kDim,
                                        after.data() + t * kDim, values.data() + t * kDim));
            uncompressed.push_back({first + t,
                                    {after.begin() + t * kDim, after.begin() + (t + 1) * kDim},
                                    {values.begin() + t * kDim, values.begin() + (t + 1) * kDim}});
        }

        // No more room than the cache says it can need.
        std::vector<PageRef> taken;
        const int64_t needed =
            life.cache->bytes_to_grow(count, exact ? 1 : count, prompt ? first + count : 0);
        PagePool& pool = life.cache->pool();
        ASSERT_LE(needed, pool.free_pages() * kPageBytes);
        while (pool.free_pages() * kPageBytes > needed) taken.push_back(pool.allocate());

        PagePool own_pool(plain_layout_->peak_bytes(count, count));
        SequenceCache own(plain_layout_, own_pool, first);
        head.reserve(exact ? 0 : count);
        if (exact) {
            own.head(0, 0).reserve(count);
            own.head(0, 0).append(rows);
        } else {
            head.append(rows);
        }
        head.settle(first, count);
        std::vector<float> out(static_cast<size_t>(count * kGroup * kDim));
        AttentionTask task{.caches = {&head},
                           .q = q.data(),
                           .q_stride = kGroup * kDim,
                           .q_dim = kDim,
                           .out = out.data(),
                           .out_stride = kGroup * kDim,
                           .out_dim = kDim,
                           .group_size = kGroup,
                           .num_tokens = count,
                           .first_position = first,
                           .rotary = rotary_.get(),
                           .alibi_slopes = slopes_.empty() ? nullptr : slopes_.data()};
        const auto cached = static_cast<size_t>(head.num_held());
        if (exact) task.caches.push_back(&own.head(0, 0));
        std::vector<double> received(cached + static_cast<size_t>(exact ? count : 0));
        const bool selects = head.layout().selects();
        if (selects) {
            task.observers = {
                {received.data(), head.layout().policy->first_observed(prompt, count)}};
        }
        attend({&task, 1}, {.softmax_scale = kScale});
        const std::span<const double> all(received);
        std::vector<int64_t> entering;
        if (selects) entering = head.select(all.first(cached), all.subspan(cached), prompt);
        head.forget(first + count);
        if (exact) {
            head.reserve(count, selects ? std::ssize(entering) : count);
            if (selects) {
                std::vector<double> attention;
                attention.reserve(entering.size());
                for (const int64_t i : entering)
                    attention.push_back(received[cached + static_cast<size_t>(i)]);
                head.append_selected(rows, entering, attention);
            } else {
                head.append(rows);
            }
        }
        life.cache->set_num_tokens(first + count);

        const auto want = life.plain.step(arriving, q, slopes_, prompt, exact, uncompressed);
        for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], want[i], kTolerance) << i;
        expect_kept(life);
    }

    /// The cache holds what it must, and (for windows) at most the rest of a tile more.
    static void expect_kept(const Life& life) {
        const HeadCache& head = life.cache->head(0, 0);
        const std::vector<int64_t> held = head.positions();
        const std::vector<int64_t> wanted = life.plain.positions();
        EXPECT_TRUE(std::includes(held.begin(), held.end(), wanted.begin(), wanted.end()));
        EXPECT_LE(held.size(), wanted.size() + kTileTokens);
        if (head.layout().selects()) {
            EXPECT_EQ(held, wanted);
        }
        EXPECT_LE(head.num_pages(), head.layout().pages_for(head.num_tokens(), head.num_tokens(),
                                                            head.prompt_tokens()) +
                                        1);
    }

    std::mt19937 rng_;
    std::shared_ptr<const RotaryTable> rotary_ = test::rotary(kDim, 1 << 14);
    CacheShape shape_ = test::shape(1, kDim, DType::kF32, rotary_);
    CachePlan plan_;
    std::shared_ptr<const CacheLayout> layout_;
    std::shared_ptr<const CacheLayout> plain_layout_;
    std::vector<float> slopes_;
};

TEST_P(Policies, AnyLifeIsWhatPlainListsSay) {
    PagePool pool(int64_t{16} << 20);
    std::vector<Life> lives;
    const auto begin = [&] {
        lives.push_back(
            {std::make_unique<SequenceCache>(layout_, pool), PlainHead(layout_->head(0, 0))});
    };
    begin();
    for (int event = 0; event < 60; ++event) {
        const auto at = static_cast<size_t>(draw(0, std::ssize(lives) - 1));
        switch (draw(0, 6)) {
            case 0:
                step(lives[at], draw(1, 400), true, true);
                break;
            case 1:
                step(lives[at], draw(1, 150), true, false);
                break;
            case 2:
                lives.push_back({lives[at].cache->fork(), lives[at].plain});
                break;
            case 3:
                if (lives.size() > 1) lives.erase(lives.begin() + static_cast<std::ptrdiff_t>(at));
                break;
            case 4:
                if (lives.size() < 4) begin();
                break;
            default:
                for (int64_t t = draw(1, 20); t > 0 && !HasFatalFailure(); --t)
                    step(lives[at], 1, false, false);
        }
        ASSERT_FALSE(HasFailure()) << "event " << event;
        int64_t most = 0;
        for (const Life& life : lives) most += life.cache->head(0, 0).num_pages();
        ASSERT_LE(pool.allocated_bytes(), most * kPageBytes);
    }
    lives.clear();
    EXPECT_EQ(pool.allocated_bytes(), 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Policies, ::testing::Range(0, 30));

TEST(Reindexing, SinksStandRightBeforeTheWindow) {
    // A query far away sees the sinks as one that stands sinks + window - 1 tokens behind them.
    const auto rotary = test::rotary(kDim, 4096);
    const CacheShape shape = test::shape(1, kDim, DType::kF32, rotary);
    CachePlan plan = CachePlan::dense(1, 1);
    const auto attend_at = [&](int64_t position, bool reindex) {
        plan.layers[0][0].policy = {
            "window", {{"window", int64_t{6}}, {"sinks", int64_t{3}}, {"reindex", reindex}}};
        const auto layout = std::make_shared<const CacheLayout>(plan, shape);
        PagePool pool(4 * kPageBytes);
        SequenceCache cache(layout, pool);
        HeadCache& head = cache.head(0, 0);
        // The same vectors wherever the window stands: those of the last six tokens and the sinks.
        const auto sinks = random_floats(3 * kDim, 1);
        const auto recent = random_floats(6 * kDim, 2);
        for (int64_t t = 0; t <= position; ++t) {
            const int64_t from_end = position - t;
            const float* x = t < 3 ? sinks.data() + t * kDim
                                   : recent.data() + (from_end < 6 ? 5 - from_end : 0) * kDim;
            std::vector<float> key(x, x + kDim);
            rotary->rotate(key.data(), t);
            head.reserve(1);
            head.append({x, key.data(), kDim, x, kDim, 1});
            head.forget(t + 1 <= position ? t + 1 : t);
        }
        std::vector<float> q = random_floats(kDim, 3);
        rotary->rotate(q.data(), position);
        std::vector<float> out(kDim);
        const AttentionTask task{.caches = {&head},
                                 .q = q.data(),
                                 .q_stride = kDim,
                                 .q_dim = kDim,
                                 .out = out.data(),
                                 .out_stride = kDim,
                                 .out_dim = kDim,
                                 .num_tokens = 1,
                                 .first_position = position,
                                 .rotary = rotary.get()};
        attend({&task, 1}, {.softmax_scale = kScale});
        return out;
    };
    const auto near = attend_at(8, true);  // sinks and window are all there is
    EXPECT_EQ(near, attend_at(8, false));
    const auto far = attend_at(500, true);
    const auto plain = attend_at(500, false);
    double moved = 0;
    for (size_t i = 0; i < near.size(); ++i) {
        EXPECT_NEAR(far[i], near[i], 1e-4);
        moved = std::max<double>(moved, std::abs(plain[i] - near[i]));
    }
    EXPECT_GT(moved, 1e-3);
}

}  // namespace
}  // namespace lowkey
