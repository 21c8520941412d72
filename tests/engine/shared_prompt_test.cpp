// One prompt for several plans at once gives what it gives them one by one.
#include "engine/shared_prompt.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "tests/eval/lossy_plan.h"
#include "tests/model/golden.h"

namespace lowkey {
namespace {

constexpr int64_t kPromptTokens = 300;
constexpr int64_t kDecodedTokens = 20;

class SharedPrompt : public ::testing::Test {
protected:
    explicit SharedPrompt(const std::string& name = "llama-mha")
        : model_(Model::load(std::string(LOWKEY_TEST_DATA) + "/models/" + name,
                             {.dtype = DType::kF32, .max_context = 1000})) {
        const int64_t vocab = model_->config().vocab_size;
        for (int64_t i = 0; i < kPromptTokens + kDecodedTokens; ++i)
            ids_.push_back(static_cast<int32_t>((i * 37 + i * i % 11) % vocab));
    }
    [[nodiscard]] CachePlan dense() const {
        return CachePlan::dense(model_->config().num_layers, model_->config().num_kv_heads);
    }
    /// All heads but the first of each layer under a policy.
    [[nodiscard]] CachePlan with_policy(const TokenPolicySpec& policy) const {
        CachePlan plan = dense();
        plan.prefill_attention = PrefillAttention::kExact;
        for (auto& layer : plan.layers) {
            for (size_t h = 1; h < layer.size(); ++h) layer[h].policy = policy;
        }
        return plan;
    }
    /// Plans that write keys before and after rotation, drop tokens, choose tokens, and compute
    /// something else.
    [[nodiscard]] std::vector<CachePlan> plans() const {
        std::vector<CachePlan> all = {dense()};
        all.push_back(with_policy(
            {"window", {{"sinks", int64_t{4}}, {"window", int64_t{50}}, {"compensation", true}}}));
        all.push_back(
            with_policy({"heavy_hitters", {{"recent", int64_t{40}}, {"heavy", int64_t{30}}}}));
        all.push_back(with_policy({"prompt_selection", {{"capacity", int64_t{90}}}}));
        all.push_back(with_policy(
            {"prompt_selection", {{"capacity", int64_t{60}}, {"observe", int64_t{9}}}}));
        CachePlan lossy = lossy_plan(model_->config(), 10);
        all.push_back(lossy);  // attends to what it loses, with weights of its own
        lossy.prefill_attention = PrefillAttention::kExact;
        HeadPlan& head = lossy.layers.front().front();
        head.key.map = {"linear", {{"space", "before_rotation"}}, head.value.map.tensors};
        all.push_back(lossy);
        CachePlan compressed = all[1];
        compressed.prefill_attention = PrefillAttention::kCompressed;
        all.push_back(compressed);
        return all;
    }
    [[nodiscard]] std::span<const int32_t> prompt() const {
        return std::span(ids_).first(static_cast<size_t>(kPromptTokens));
    }

    std::shared_ptr<const Model> model_;
    std::vector<int32_t> ids_;
};

/// prefill_shared(); the logits after the last token, of each target.
std::vector<Tensor> prefill_logits(std::span<const PromptTarget> targets,
                                   std::span<const int32_t> tokens) {
    std::vector<Tensor> logits(targets.size());
    const auto count = static_cast<int64_t>(tokens.size());
    prefill_shared(targets, tokens, [&](size_t i, int64_t first, const float* hidden, int64_t n) {
        if (first + n < count) return;
        const Model& model = targets[i].engine->model();
        const ModelConfig& config = model.config();
        logits[i] = Tensor(DType::kF32, {config.vocab_size});
        model.logits(hidden + (n - 1) * config.hidden_size, 1, logits[i].f32().data());
    });
    return logits;
}

bool same_bits(const Tensor& a, const Tensor& b) {
    return a.bytes() == b.bytes() &&
           std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

TEST_F(SharedPrompt, GivesEveryPlanWhatItGetsAlone) {
    for (const int64_t chunk : {64, 512}) {
        std::vector<Engine> together;
        std::vector<Engine> alone;
        for (const CachePlan& plan : plans()) {
            together.emplace_back(model_, plan, EngineOptions{.prefill_chunk = chunk});
            alone.emplace_back(model_, plan, EngineOptions{.prefill_chunk = chunk});
        }
        std::vector<std::unique_ptr<SequenceCache>> sequences;
        std::vector<PromptTarget> targets;
        for (Engine& engine : together) {
            sequences.push_back(engine.new_sequence());
            targets.push_back({&engine, sequences.back().get()});
        }
        const std::vector<Tensor> logits = prefill_logits(targets, prompt());
        for (size_t i = 0; i < targets.size(); ++i) {
            SCOPED_TRACE("plan " + std::to_string(i) + ", chunk " + std::to_string(chunk));
            const auto own = alone[i].new_sequence();
            EXPECT_TRUE(same_bits(logits[i], alone[i].prefill_logits(*own, prompt())));
            EXPECT_EQ(together[i].usage(*sequences[i]).bytes_allocated,
                      alone[i].usage(*own).bytes_allocated);
            EXPECT_EQ(sequences[i]->num_tokens(), kPromptTokens);
            for (int64_t t = kPromptTokens; t < std::ssize(ids_); ++t) {
                const int32_t id = ids_[static_cast<size_t>(t)];
                ASSERT_TRUE(
                    same_bits(together[i].decode(*sequences[i], id), alone[i].decode(*own, id)))
                    << t;
            }
        }
    }
}

TEST_F(SharedPrompt, ContinuesSequencesOneByOne) {
    Engine whole(model_, dense());
    Engine window(model_, plans()[1], {.num_sequences = 2});
    const auto a = whole.new_sequence();
    const auto b = window.new_sequence();
    const PromptTarget targets[] = {{&whole, a.get()}, {&window, b.get()}};
    static_cast<void>(prefill_logits(targets, prompt().first(100)));
    const std::vector<Tensor> logits = prefill_logits(targets, prompt().subspan(100));
    const auto alone = window.new_sequence();
    static_cast<void>(window.prefill_logits(*alone, prompt().first(100)));
    EXPECT_TRUE(same_bits(logits[1], window.prefill_logits(*alone, prompt().subspan(100))));
    EXPECT_FALSE(same_bits(logits[0], logits[1])) << "the second has forgotten something";
}

TEST_F(SharedPrompt, IsRefusedWholeWhenOnePoolIsFull) {
    Engine roomy(model_, dense());
    Engine tight(model_, with_policy({}), {.kv_budget_bytes = 4 * kPageBytes});
    const auto a = roomy.new_sequence();
    const auto b = tight.new_sequence();
    const PromptTarget targets[] = {{&roomy, a.get()}, {&tight, b.get()}};
    EXPECT_THROW(static_cast<void>(prefill_logits(targets, prompt())), BudgetError);
    EXPECT_EQ(a->num_tokens(), 0);
    EXPECT_EQ(roomy.usage(*a).bytes_allocated, 0);
}

}  // namespace
}  // namespace lowkey
