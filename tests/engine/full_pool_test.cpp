// A pool that runs full refuses the request that asks for more and harms no other.
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/model/golden.h"

namespace lowkey {
namespace {

/// The plans whose caches grow in different ways.
std::vector<CachePlan> plans(const ModelConfig& config) {
    const CachePlan dense = CachePlan::dense(config.num_layers, config.num_kv_heads);
    std::vector<CachePlan> all = {dense};
    for (const TokenPolicySpec& policy :
         {TokenPolicySpec{"window", {{"window", int64_t{300}}, {"compensation", true}}},
          TokenPolicySpec{"prompt_selection", {{"capacity", int64_t{100}}}}}) {
        CachePlan plan = dense;
        plan.prefill_attention = PrefillAttention::kExact;
        // One head keeps all, so that the sequence grows without end.
        for (auto& layer : plan.layers) {
            for (size_t h = 1; h < layer.size(); ++h) layer[h].policy = policy;
        }
        all.push_back(plan);
    }
    return all;
}

TEST(FullPool, RefusesTheRequestAndLeavesTheOthersWhole) {
    const auto model = Model::load(std::string(LOWKEY_TEST_DATA) + "/models/llama-mha",
                                   {.dtype = DType::kF32, .max_context = 2000});
    const int64_t vocab = model->config().vocab_size;
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < 700; ++i) ids.push_back(static_cast<int32_t>(i * 37 % vocab));
    const std::span<const int32_t> text(ids);
    for (const CachePlan& plan : plans(model->config())) {
        // Alone, with all the memory it wants.
        Engine roomy(model, plan);
        const auto alone = roomy.new_sequence();
        static_cast<void>(roomy.prefill_logits(*alone, text.first(100)));
        std::vector<Tensor> want;
        for (size_t t = 100; t < 130; ++t) want.push_back(roomy.decode(*alone, ids[t]));

        // Two sequences in a pool that holds their first page or two per head, and what an exact
        // prompt of theirs takes beside them.
        const int64_t heads = model->config().num_layers * model->config().num_kv_heads;
        int64_t budget = 3 * heads * kPageBytes;
        if (plan.prefill_attention == PrefillAttention::kExact) {
            const SequenceCache* const prompts[] = {alone.get()};
            budget += model->exact_prompt_bytes(prompts, 250) + kPageBytes;
        }
        Engine engine(model, plan, {.kv_budget_bytes = budget});
        auto first = engine.new_sequence();
        const auto second = engine.new_sequence();
        static_cast<void>(engine.prefill_logits(*first, text.first(100)));
        static_cast<void>(engine.prefill_logits(*second, text.first(250)));
        size_t fed = 250;
        EXPECT_THROW(
            {
                for (;; ++fed) static_cast<void>(engine.decode(*second, ids[fed % ids.size()]));
            },
            BudgetError);
        const int64_t held = engine.usage(*second).pool_bytes;
        EXPECT_EQ(second->num_tokens(), static_cast<int64_t>(fed));
        for (size_t t = 100; t < 130; ++t) {
            const Tensor got = engine.decode(*first, ids[t]);
            for (size_t i = 0; i < static_cast<size_t>(vocab); ++i)
                ASSERT_NEAR(got.f32()[i], want[t - 100].f32()[i], 1e-5);
        }
        EXPECT_EQ(engine.usage(*first).pool_bytes, held);
        EXPECT_THROW(static_cast<void>(engine.decode(*second, 1)), BudgetError);
        // The refused one goes on where it stood once there is room.
        first.reset();
        EXPECT_NO_THROW(static_cast<void>(engine.decode(*second, 1)));
    }
}

}  // namespace
}  // namespace lowkey
