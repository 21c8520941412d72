// Batches of prompts and single tokens of several sequences give what each gives alone.

#include <gtest/gtest.h>

#include <cmath>

#include "engine/engine.h"
#include "io/random_checkpoint.h"
#include "tests/io/temporary_folder.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

constexpr int64_t kHeadDim = 128;  // 32 tokens a page
constexpr int64_t kHidden = 32;
constexpr float kSumTolerance = 2e-5f;  // of sums of some hundred products in f32

class Batch : public TemporaryFolder {
protected:
    [[nodiscard]] std::shared_ptr<const Model> model() const {
        const std::string config = file("config.json", R"({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 50,
            "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128,
            "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 1024})");
        return Model::load(std::make_shared<const RandomCheckpoint>(config, DType::kF32, 3),
                           {DType::kF32, 512});
    }
    static std::vector<CachePlan> plans() {
        std::vector<CachePlan> all;
        for (const auto mode : {PrefillAttention::kCompressed, PrefillAttention::kExact}) {
            for (const TokenPolicySpec& policy : std::vector<TokenPolicySpec>{
                     {},
                     {"window", {{"window", int64_t{20}}, {"sinks", int64_t{3}}}},
                     {"window", {{"window", int64_t{20}}, {"compensation", true}}},
                     {"heavy_hitters", {{"recent", int64_t{12}}, {"heavy", int64_t{30}}}},
                     {"prompt_selection", {{"observe", int64_t{8}}, {"capacity", int64_t{36}}}}}) {
                CachePlan plan = CachePlan::dense(2, 2);
                plan.prefill_attention = mode;
                for (auto& layer : plan.layers) {
                    for (HeadPlan& head : layer) head.policy = policy;
                }
                plan.layers[0][0].key = test::low_rank(kHeadDim, 60, 3, "before_rotation");
                plan.layers[0][1].value = test::low_rank(kHeadDim, 60, 4);
                plan.layers[1][1].policy = {};
                all.push_back(std::move(plan));
            }
        }
        return all;
    }
    static std::vector<int32_t> ids(int64_t count, uint64_t seed) {
        std::vector<int32_t> out;
        for (int64_t i = 0; i < count; ++i) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            out.push_back(static_cast<int32_t>((seed >> 33) % 50));
        }
        return out;
    }
};

TEST_F(Batch, OfMixedPromptsAndTokensGivesWhatEachGivesAlone) {
    struct Part {
        int64_t before;  ///< tokens that the sequence holds
        int64_t tokens;
        bool prompt;
    };
    const std::vector<Part> parts = {{0, 50, true},  {70, 1, false}, {33, 21, true},
                                     {90, 1, false}, {64, 1, true},  {0, 1, true}};
    const auto loaded = model();
    for (const CachePlan& plan : plans()) {
        // Whole, and in slices that cut sequences.
        for (const int64_t slice : {0, 13}) {
            Engine engine(loaded, plan, {.num_sequences = 12});
            std::vector<std::unique_ptr<SequenceCache>> together;
            std::vector<std::unique_ptr<SequenceCache>> alone;
            std::vector<std::vector<int32_t>> tokens;
            for (size_t i = 0; i < parts.size(); ++i) {
                for (auto* sequences : {&together, &alone}) {
                    sequences->push_back(engine.new_sequence());
                    if (parts[i].before == 0) continue;
                    static_cast<void>(
                        engine.prefill_logits(*sequences->back(), ids(parts[i].before, 10 + i)));
                }
                tokens.push_back(ids(parts[i].tokens, 20 + i));
            }
            std::vector<SequenceInput> batch;
            for (size_t i = 0; i < parts.size(); ++i)
                batch.push_back({together[i].get(), tokens[i], parts[i].prompt});
            const Tensor got = engine.model().forward(batch, nullptr, slice);
            const float* row = got.f32().data();
            for (size_t i = 0; i < parts.size(); ++i) {
                // What is cut attends to a cache that has selected already: the same for all but
                // those. Only what is not cut is compared then.
                const SequenceInput input{alone[i].get(), tokens[i], parts[i].prompt};
                const Tensor want = engine.model().forward({&input, 1});
                const bool compare = slice == 0 || parts[i].tokens == 1 ||
                                     plan.prefill_attention == PrefillAttention::kExact;
                // Products of other shapes add in another order, no more.
                const auto near = [](float a, float b) {
                    return std::abs(a - b) <= kSumTolerance * std::max(1.0f, std::abs(b));
                };
                for (int64_t j = 0; compare && j < parts[i].tokens * kHidden; ++j)
                    ASSERT_TRUE(near(row[j], want.f32()[static_cast<size_t>(j)])) << i << ' ' << j;
                row += parts[i].tokens * kHidden;
                if (!compare) continue;
                // And so they go on.
                const Tensor next = engine.decode(*together[i], 3);
                const Tensor other = engine.decode(*alone[i], 3);
                for (size_t j = 0; j < next.f32().size(); ++j)
                    ASSERT_TRUE(near(next.f32()[j], other.f32()[j])) << i;
                EXPECT_EQ(together[i]->num_pages(), alone[i]->num_pages());
            }
        }
    }
}

}  // namespace
}  // namespace lowkey
