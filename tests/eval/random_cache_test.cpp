#include "eval/random_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "engine/engine.h"
#include "tests/eval/random_model.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

using RandomCache = RandomModel;

std::vector<int64_t> pages(const SequenceCache& cache) {
    std::vector<int64_t> pages;
    for (int64_t layer = 0; layer < cache.layout().num_layers(); ++layer) {
        for (int64_t head = 0; head < cache.layout().num_kv_heads(); ++head) {
            pages.push_back(cache.head(layer, head).num_pages());
            pages.push_back(cache.head(layer, head).num_held());
        }
    }
    return pages;
}

struct Method {
    std::string name;
    HeadPlan head;
};

std::vector<Method> methods() {
    std::vector<Method> methods = {{"all", {}}};
    const auto add_policy = [&](const std::string& name, const std::string& policy,
                                const Settings& settings) {
        methods.push_back({name, {{policy, settings}, {}, {}}});
    };
    add_policy("window", "window", {{"window", int64_t{150}}, {"sinks", int64_t{4}}});
    add_policy("compensation", "window",
               {{"window_share", 0.3}, {"sinks", int64_t{4}}, {"compensation", true}});
    add_policy("h2o", "heavy_hitters", {{"recent", int64_t{50}}, {"heavy", int64_t{120}}});
    add_policy("snapkv", "prompt_selection", {{"capacity", int64_t{200}}});
    methods.push_back({"low rank",
                       {.policy = {},
                        .key = test::low_rank(64, 24, 1),
                        .value = test::low_rank(64, 40, 2),
                        .exact_sinks = 4}});
    return methods;
}

TEST_F(RandomCache, HoldsThePagesThatAPrefillLeaves) {
    constexpr int64_t kChunk = 128;
    const auto model = this->model();
    for (const Method& method : methods()) {
        for (const PrefillAttention mode :
             {PrefillAttention::kExact, PrefillAttention::kCompressed}) {
            // One head of each layer keeps everything, as plans that mix policies have it.
            CachePlan plan = CachePlan::dense(2, 2);
            plan.prefill_attention = mode;
            for (auto& layer : plan.layers) layer[1] = method.head;
            Engine engine(model, plan, {.prefill_chunk = kChunk});
            for (const int64_t n : {1, 16, 129, 700}) {
                SCOPED_TRACE(testing::Message()
                             << method.name << (mode == PrefillAttention::kExact ? ", exact" : "")
                             << ", " << n << " tokens");
                const auto prefilled = engine.new_sequence();
                engine.prefill(*prefilled, std::vector<int32_t>(static_cast<size_t>(n), 7), {});
                const auto filled = engine.new_sequence();
                fill_cache(*filled, n, kChunk);
                EXPECT_EQ(filled->num_tokens(), n);
                EXPECT_THAT(pages(*filled), testing::ElementsAreArray(pages(*prefilled)));
                // And decoding goes on from there.
                for (int i = 0; i < 3; ++i) {
                    static_cast<void>(engine.decode(*filled, 5));
                    static_cast<void>(engine.decode(*prefilled, 5));
                }
                EXPECT_THAT(pages(*filled), testing::ElementsAreArray(pages(*prefilled)));
            }
        }
    }
}

TEST_F(RandomCache, NoTokensLeaveItEmpty) {
    Engine engine(model(), CachePlan::dense(2, 2));
    const auto sequence = engine.new_sequence();
    fill_cache(*sequence, 0, 512);
    EXPECT_EQ(sequence->num_tokens(), 0);
    EXPECT_EQ(engine.usage(*sequence).bytes_allocated, 0);
}

}  // namespace
}  // namespace lowkey
